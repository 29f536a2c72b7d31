/* SPDX-License-Identifier: MIT */
/*
 * Runs a fuzz target where there is no libFuzzer.
 *
 *     fuzz.x [--runs N] [--seed S] [--max-len L] [FILE...]
 *
 * Each FILE is one input; then come N pseudo-random inputs of up to L bytes.
 * Input i is derived from the seed and i alone, so that a failure is
 * reproduced with "--runs 1 --seed" and the seed printed for it.  Lengths are
 * spread over the powers of two, since short inputs reach other states than
 * long ones do, and most bytes are small, since an operation's code usually
 * lies in a byte's low bits and large arguments fail early.
 *
 * The inputs run in a child process, which notes in shared memory where it is;
 * however it ends (signal, abort, a sanitizer's exit), the parent names the
 * input.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

/* Where the child is; shared with the parent. */
struct progress {
	int file;	    /* index into argv of the file that runs, or 0 */
	uint64_t seed;	    /* of the random input that runs */
	uint64_t nfinished; /* inputs that came to their end */
};

struct options {
	uint64_t runs;
	uint64_t seed;
	size_t max_len;
	int first_file; /* index into argv */
};

/* Sebastiano Vigna's splitmix64: one state word, every seed good. */
static uint64_t random_next(uint64_t *state)
{
	uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static void run_random(uint64_t seed, size_t max_len, uint8_t *buffer)
{
	uint64_t state = seed;
	size_t nbytes = max_len >> (random_next(&state) % 8);

	if (nbytes != 0)
		nbytes = (size_t)(random_next(&state) % nbytes) + 1;
	for (size_t i = 0; i < nbytes; i++) {
		uint64_t r = random_next(&state);

		buffer[i] = (uint8_t)(r >> 8);
		if ((r & 3) != 0)
			buffer[i] &= 31;
	}
	LLVMFuzzerTestOneInput(buffer, nbytes);
}

static int run_file(const char *path)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	size_t nbytes = 0;
	size_t room = 0;

	if (file == NULL) {
		fprintf(stderr, "fuzz: %s: %s\n", path, strerror(errno));
		return 1;
	}
	do {
		uint8_t *larger;

		room = room == 0 ? 4096 : 2 * room;
		larger = realloc(data, room);
		if (larger == NULL) {
			fprintf(stderr, "fuzz: %s: too large\n", path);
			free(data);
			fclose(file);
			return 1;
		}
		data = larger;
		nbytes += fread(data + nbytes, 1, room - nbytes, file);
	} while (nbytes == room);
	fclose(file);
	LLVMFuzzerTestOneInput(data, nbytes);
	free(data);
	return 0;
}

static uint64_t parse_number(const char *text)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 0);
	if (errno != 0 || end == text || *end != '\0') {
		fprintf(stderr, "fuzz: '%s' is not a number\n", text);
		exit(2);
	}
	return value;
}

static struct options parse_options(int argc, char **argv)
{
	struct options o = {.runs = 0, .seed = 1, .max_len = 4096};
	int i = 1;

	for (; i + 1 < argc && strncmp(argv[i], "--", 2) == 0; i += 2) {
		uint64_t value = parse_number(argv[i + 1]);

		if (strcmp(argv[i], "--runs") == 0) {
			o.runs = value;
		} else if (strcmp(argv[i], "--seed") == 0) {
			o.seed = value;
		} else if (strcmp(argv[i], "--max-len") == 0) {
			o.max_len = (size_t)value;
		} else {
			fprintf(stderr, "fuzz: unknown option %s\n", argv[i]);
			exit(2);
		}
	}
	o.first_file = i;
	if (o.runs == 0 && i == argc) {
		fprintf(stderr, "fuzz: neither --runs nor a file: "
				"nothing would be checked\n");
		exit(2);
	}
	return o;
}

/* The child: all inputs, in order. */
static int run_all(const struct options *o, int argc, char **argv,
		   struct progress *progress)
{
	uint8_t *buffer = malloc(o->max_len + 1);
	int status = 0;

	if (buffer == NULL)
		return 1;
	for (int i = o->first_file; i < argc && status == 0; i++) {
		progress->file = i;
		status = run_file(argv[i]);
		progress->nfinished += status == 0;
	}
	progress->file = 0;
	for (uint64_t run = 0; run < o->runs && status == 0; run++) {
		progress->seed = o->seed + run;
		run_random(progress->seed, o->max_len, buffer);
		progress->nfinished++;
	}
	free(buffer);
	return status;
}

int main(int argc, char **argv)
{
	struct options o = parse_options(argc, argv);
	uint64_t expected = o.runs + (uint64_t)(argc - o.first_file);
	struct progress *progress;
	int status = 0;
	pid_t child;

	progress = mmap(NULL, sizeof(*progress), PROT_READ | PROT_WRITE,
			MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (progress == MAP_FAILED || (child = fork()) < 0) {
		fprintf(stderr, "fuzz: %s\n", strerror(errno));
		return 1;
	}
	if (child == 0)
		exit(run_all(&o, argc, argv, progress));
	if (waitpid(child, &status, 0) == child && status == 0 &&
	    progress->nfinished == expected) {
		printf("fuzz: %d files, %llu random inputs from seed %llu\n",
		       argc - o.first_file, (unsigned long long)o.runs,
		       (unsigned long long)o.seed);
		return 0;
	}
	if (progress->file != 0)
		fprintf(stderr, "fuzz: failed on %s\n", argv[progress->file]);
	else
		fprintf(stderr,
			"fuzz: failed; to repeat: %s --runs 1 --seed %llu "
			"--max-len %zu\n",
			argv[0], (unsigned long long)progress->seed, o.max_len);
	return 1;
}
