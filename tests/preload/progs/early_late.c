/* SPDX-License-Identifier: MIT */
/*
 * Allocation before main() and after it: in preinit functions, constructors of
 * every priority, atexit handlers and destructors.
 *
 * Usage: early_late [exit | _exit | quick]
 */
#include "check.h"

#define NBLOCKS 100

static void *blocks[4][NBLOCKS];

static void make(int set)
{
	for (int i = 0; i < NBLOCKS; i++) {
		blocks[set][i] = malloc((size_t)i * 30);
		check(blocks[set][i] != NULL);
		fill(blocks[set][i], (size_t)i * 30, (unsigned)(set + i));
	}
}

static void drop(int set)
{
	for (int i = 0; i < NBLOCKS; i++) {
		check(is_filled(blocks[set][i], (size_t)i * 30,
				(unsigned)(set + i)));
		free(blocks[set][i]);
	}
}

static void preinit(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	make(0);
}

/* Runs before the constructors of every library, the drop-in's included. */
__attribute__((section(".preinit_array"),
	       used)) static void (*const preinit_entry)(int, char **,
							 char **) = preinit;

__attribute__((constructor(101))) static void first(void)
{
	make(1);
}

__attribute__((constructor)) static void second(void)
{
	make(2);
	setenv("EARLY_LATE", "set in a constructor", 1);
}

__attribute__((destructor(101))) static void last(void)
{
	static const char done[] = "early_late: last destructor ok\n";

	drop(0);
	drop(3);
	void *p = calloc(1, 100000);
	check(p != NULL && is_zero(p, 100000));
	free(p);
	if (write(1, done, sizeof(done) - 1) < 0)
		_exit(1);
}

__attribute__((destructor)) static void before_last(void)
{
	drop(2);
	make(3);
}

static void at_exit(void)
{
	drop(1);
	char *p = strdup("at exit");
	printf("%s\n", p);
	fflush(stdout);
	free(p);
}

static void at_quick(void)
{
	free(malloc(1000));
	drop(1);
}

int main(int argc, char **argv)
{
	const char *how = argc > 1 ? argv[1] : "exit";

	check(strcmp(getenv("EARLY_LATE"), "set in a constructor") == 0);
	check(atexit(at_exit) == 0);
	check(at_quick_exit(at_quick) == 0);
	if (strcmp(how, "_exit") == 0)
		_exit(3);
	if (strcmp(how, "quick") == 0)
		quick_exit(4);
	return 5;
}
