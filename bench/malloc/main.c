/* SPDX-License-Identifier: MIT */
/*
 * bench-malloc: runs one pattern on whatever malloc the process has.
 *
 *	bench-malloc --list
 *	bench-malloc [--expect LIBRARY] [--batches N] PATTERN
 *
 * The result is one line of JSON: the median, smallest and largest batch in
 * nanoseconds per operation, the process's peak resident memory and page
 * faults up to the end of the pattern, and which file malloc and free came
 * from.  With --expect the run fails when that file is another: a preload that
 * the dynamic linker ignored must not pass as a measurement.
 *
 * Patterns of one thread are timed by the process's own time on a processor,
 * which another program's turn does not lengthen; those of two by the clock on
 * the wall, since threads that wait for each other's locks use no processor.
 *
 * --batches N with N of 0 or more replaces the pattern's number of batches and
 * leaves the rest alone, so that the difference between two counts of
 * instructions is what the further batches executed.
 */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "bench.h"

#define WARMUP_BATCHES 3

void bench_die(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	fputs("bench-malloc: ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	exit(1);
}

static uint64_t read_clock(clockid_t clock)
{
	struct timespec ts;

	if (clock_gettime(clock, &ts) != 0)
		bench_die("clock_gettime failed");
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t bench_wall_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

uint64_t bench_cpu_ns(void)
{
	return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

/* How often another program took the processor from this one. */
static long preemptions(void)
{
	struct rusage usage;

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		bench_die("getrusage failed");
	return usage.ru_nivcsw;
}

/*
 * Batches that lost the processor found cold caches afterwards; they count
 * only when there are hardly any others.
 */
static void run_one_thread(const struct pattern *p, struct result *r)
{
	static double disturbed[MAX_BATCHES];
	unsigned ndisturbed = 0;

	if (p->setup)
		p->setup();
	for (unsigned i = 0; i < WARMUP_BATCHES; i++)
		p->run(p->ops);
	for (unsigned i = 0; i < p->batches; i++) {
		long before = preemptions();
		uint64_t t = bench_cpu_ns();
		double ns;

		p->run(p->ops);
		ns = (double)(bench_cpu_ns() - t) / (double)p->ops;
		if (preemptions() == before)
			r->samples[r->nsamples++] = ns;
		else
			disturbed[ndisturbed++] = ns;
	}
	r->nbatches = p->batches;
	if (4 * r->nsamples < ndisturbed)
		while (ndisturbed > 0)
			r->samples[r->nsamples++] = disturbed[--ndisturbed];
}

/* The file that a function of the process comes from. */
static const char *file_of(const char *function)
{
	void *address = dlsym(RTLD_DEFAULT, function);
	Dl_info info;

	if (!address || !dladdr(address, &info) || !info.dli_fname)
		bench_die("cannot tell where %s comes from", function);
	return info.dli_fname;
}

/* Peak resident memory in KiB: of this program, not of what it was before. */
static long peak_rss_kib(void)
{
	FILE *f = fopen("/proc/self/status", "re");
	char line[256];
	long kib = -1;

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "VmHWM: %ld", &kib) == 1)
			break;
	if (!f || fclose(f) != 0 || kib < 0)
		bench_die("no VmHWM in /proc/self/status");
	return kib;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void print_result(const struct pattern *p, struct result *r)
{
	unsigned n = r->nsamples;
	struct rusage usage;
	long rss = peak_rss_kib();

	if (getrusage(RUSAGE_SELF, &usage) != 0)
		bench_die("getrusage failed");
	qsort(r->samples, n, sizeof(r->samples[0]), compare_doubles);
	printf("{\"pattern\": \"%s\", \"malloc\": \"%s\", \"ops\": %zu, "
	       "\"batches\": %u, \"kept\": %u, ",
	       p->name, file_of("malloc"), p->ops, r->nbatches, n);
	if (n > 0)
		printf("\"ns\": %.3f, \"ns_min\": %.3f, \"ns_max\": %.3f, ",
		       r->samples[n / 2], r->samples[0], r->samples[n - 1]);
	else
		printf("\"ns\": null, ");
	printf("\"cpu_ms\": %.3f, \"rss_kib\": %ld, \"minflt\": %ld}\n",
	       (double)bench_cpu_ns() / 1e6, rss, usage.ru_minflt);
}

static void list(const struct pattern *p)
{
	for (; p->name; p++)
		printf("%s\t%u\t%s\t%s\n", p->name, p->nthreads,
		       p->control ? "control" : "pattern", p->what);
}

static const struct pattern *find(const struct pattern *p, const char *name)
{
	while (p->name && strcmp(p->name, name) != 0)
		p++;
	return p->name ? p : NULL;
}

static void check_library(const char *expected)
{
	static const char *const functions[] = {"malloc", "free", "calloc",
						"realloc"};

	for (size_t i = 0; i < sizeof(functions) / sizeof(*functions); i++) {
		const char *file = file_of(functions[i]);

		if (!strstr(file, expected))
			bench_die("%s comes from %s, not from %s", functions[i],
				  file, expected);
	}
}

static unsigned parse_batches(const char *text)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || n > MAX_BATCHES)
		bench_die("--batches takes 0 to %d, not %s", MAX_BATCHES, text);
	return (unsigned)n;
}

int main(int argc, char **argv)
{
	static struct result result;
	const struct pattern *found;
	struct pattern p;
	int i = 1;

	if (argc == 2 && strcmp(argv[1], "--list") == 0) {
		list(bench_one_thread);
		list(bench_two_threads);
		return 0;
	}
	while (i + 2 < argc && strcmp(argv[i], "--expect") == 0) {
		check_library(argv[i + 1]);
		i += 2;
	}
	if (argc <= i || argv[argc - 1][0] == '-')
		bench_die("usage: bench-malloc --list | [--expect LIBRARY] "
			  "[--batches N] PATTERN");
	found = find(bench_one_thread, argv[argc - 1]);
	if (!found)
		found = find(bench_two_threads, argv[argc - 1]);
	if (!found)
		bench_die("no pattern %s; see --list", argv[argc - 1]);
	p = *found;
	if (i + 2 < argc && strcmp(argv[i], "--batches") == 0) {
		p.batches = parse_batches(argv[i + 1]);
		i += 2;
	}
	if (i != argc - 1)
		bench_die("unexpected argument %s", argv[i]);
	if (p.nthreads == 1)
		run_one_thread(&p, &result);
	else
		bench_run_two_threads(&p, &result);
	print_result(&p, &result);
	return 0;
}
