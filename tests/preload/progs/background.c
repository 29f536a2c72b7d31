/* SPDX-License-Identifier: MIT */
/*
 * Programs that free much and go on, or idle: memory must come back by itself,
 * and whoever brings it back must not be in the way of anything else.
 *
 * usage: background drops MIB | settles MIB | single | off | forks | none |
 *                   ends MODULE
 */
#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "check.h"

#define MIB ((size_t)1 << 20)

/* Looks that a wait may take, a tenth of a second apart. */
#define LOOKS 600
#define LOOKS_SHORT 200

/* A list of objects, so that the test has no array that stays resident. */
struct object {
	struct object *next;
	char rest[92];
};

static struct object *make(size_t nbytes)
{
	struct object *list = NULL;

	for (size_t done = 0; done < nbytes; done += sizeof(*list)) {
		struct object *o = malloc(sizeof(*o));

		check(o != NULL);
		fill(o, sizeof(*o), 1);
		o->next = list;
		list = o;
	}
	return list;
}

static void drop(struct object *list)
{
	while (list != NULL) {
		struct object *next = list->next;

		free(list);
		list = next;
	}
}

static void nap(void)
{
	struct timespec t = {0, 100000000};

	nanosleep(&t, NULL);
}

static size_t resident(void)
{
	unsigned long total, pages;
	FILE *f = fopen("/proc/self/statm", "r");

	check(f != NULL && fscanf(f, "%lu %lu", &total, &pages) == 2);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static int count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	int n = 0;

	check(tasks != NULL);
	for (struct dirent *e; (e = readdir(tasks)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(tasks);
	return n;
}

static void wait_for_one_thread(void)
{
	for (int i = 0; count_threads() != 1; i++) {
		check(i < LOOKS);
		nap();
	}
}

/* Waits until no more than nbytes are resident. */
static void wait_for_resident(size_t nbytes, int looks)
{
	for (int i = 0; resident() > nbytes; i++) {
		if (i == looks)
			fprintf(stderr, "%zu of %zu bytes\n", resident(),
				nbytes);
		check(i < looks);
		if (i % 10 == 0)
			fprintf(stderr, "%2d s: %zu MiB resident\n", i / 10,
				resident() / MIB);
		nap();
	}
}

/* Half of it is gone, soon. */
static void drops(size_t nbytes)
{
	size_t before = resident();
	struct object *list = make(nbytes);
	size_t peak = resident();

	check(peak >= before + nbytes);
	drop(list);
	if (on_pageheap())
		wait_for_resident(before + (peak - before) / 2, LOOKS_SHORT);
}

/* All but a twentieth, or 16 MiB, and the thread as well. */
static void settles(size_t nbytes)
{
	size_t before = resident();
	struct object *list = make(nbytes);
	size_t peak = resident();
	size_t left = peak / 20 > 16 * MIB ? peak / 20 : 16 * MIB;

	drop(list);
	if (on_pageheap())
		wait_for_resident(before + left, LOOKS);
	wait_for_one_thread();
	/* And once more. */
	list = make(nbytes);
	drop(list);
	if (on_pageheap())
		wait_for_resident(before + left, LOOKS);
	wait_for_one_thread();
}

/* A program that never frees much may do what only single threads may. */
static void single(void)
{
	for (int i = 0; i < 100; i++)
		drop(make(3 * MIB));
	check(count_threads() == 1);
	check(unshare(CLONE_NEWUSER) == 0 || errno != EINVAL);
}

/* Switched off: memory and threads stay as they are. */
static void off(char **argv)
{
	static char value[4096];
	const char *old = getenv("PAGEHEAP");

	snprintf(value, sizeof(value), "%s%sscavenge=0", old ? old : "",
		 old ? "," : "");
	check(setenv("PAGEHEAP", value, 1) == 0);
	argv[1] = "off-now";
	execv("/proc/self/exe", argv);
	check(!"exec");
}

static void off_now(void)
{
	struct object *list = make(40 * MIB);
	size_t peak = resident();

	drop(list);
	for (int i = 0; i < 15; i++) {
		nap();
		free(malloc(MIB));
		check(count_threads() == 1);
	}
	if (on_pageheap())
		check(resident() >= peak - 4 * MIB);
}

/* Forks while memory is given back. */
static void forks(void)
{
	for (int i = 0; i < 50; i++) {
		int status;
		pid_t pid;

		drop(make((i % 10 == 0 ? 40 : 4) * MIB));
		pid = fork();
		check(pid >= 0);
		if (pid == 0) {
			drop(make(12 * MIB));
			free(malloc(12 * MIB));
			if (i % 2)
				_exit(0);
			exit(0);
		}
		drop(make(6 * MIB));
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	/* The process ends while the thread is at work. */
}

/* Bytes of address space in use. */
static size_t address_space(void)
{
	unsigned long pages;
	FILE *f = fopen("/proc/self/statm", "r");

	check(f != NULL && fscanf(f, "%lu", &pages) == 1);
	fclose(f);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* No thread can be made; later it can. */
static void none(void)
{
	struct object *list = make(40 * MIB), *more = make(40 * MIB);
	size_t peak = resident();
	struct rlimit small, saved;

	check(getrlimit(RLIMIT_AS, &saved) == 0);
	small = saved;
	small.rlim_cur = address_space() + 64 * 1024;
	check(setrlimit(RLIMIT_AS, &small) == 0);
	drop(list);
	for (int i = 0; i < 30; i++) {
		drop(make(MIB));
		check(count_threads() == 1);
		nap();
	}
	check(setrlimit(RLIMIT_AS, &saved) == 0);
	drop(more);
	/* Who frees after the limit is gone, and a second, makes the thread. */
	for (int i = 0; on_pageheap() && resident() > peak - 40 * MIB; i++) {
		check(i < LOOKS);
		drop(make(MIB));
		nap();
	}
}

static void *ending(void *arg)
{
	drop(make(8 * MIB));
	pthread_exit(arg);
}

/* Threads end and modules go while memory is given back. */
static void ends(const char *path)
{
	pthread_t threads[4];

	for (int round = 0; round < 20; round++) {
		void *module;

		for (int i = 0; i < 4; i++)
			check(pthread_create(&threads[i], NULL, ending, NULL) ==
			      0);
		module = dlopen(path, RTLD_NOW);
		check(module != NULL);
		drop(make(4 * MIB));
		check(dlclose(module) == 0);
		for (int i = 0; i < 4; i++)
			check(pthread_join(threads[i], NULL) == 0);
	}
	wait_for_one_thread();
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	size_t nbytes = argc > 2 ? (size_t)atoi(argv[2]) * MIB : 0;

	if (strcmp(what, "drops") == 0)
		drops(nbytes);
	else if (strcmp(what, "settles") == 0)
		settles(nbytes);
	else if (strcmp(what, "single") == 0)
		single();
	else if (strcmp(what, "off") == 0)
		off(argv);
	else if (strcmp(what, "off-now") == 0)
		off_now();
	else if (strcmp(what, "forks") == 0)
		forks();
	else if (strcmp(what, "none") == 0)
		none();
	else if (strcmp(what, "ends") == 0 && argc > 2)
		ends(argv[2]);
	else
		check(!"a known mode");
	puts("background: ok");
	return 0;
}
