/* SPDX-License-Identifier: MIT */
/*
 * Mistakes that must end the process with one line and SIGABRT.
 *
 * Usage: mistakes NAME; without NAME prints the names.
 */
#include <malloc.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "check.h"

static void sink(void *p)
{
	check(p != &p);
}

static void double_small(void)
{
	void *p = malloc(100);

	free(same(p));
	free(p);
}

static void double_large(void)
{
	void *p = malloc(1000000);

	free(same(p));
	free(p);
}

static void double_later(void)
{
	void *p[1000];

	for (int i = 0; i < 1000; i++)
		p[i] = malloc(100);
	for (int i = 0; i < 1000; i++)
		free(same(p[i]));
	/* Caught at the latest as the magazine is emptied. */
	free(p[0]);
	for (int i = 1; i < 1000; i++)
		free(p[i]);
}

static void *free_it(void *p)
{
	free(p);
	return NULL;
}

/* Two threads free one object; both are gone, with their magazines. */
static void double_threads(void)
{
	pthread_t thread;
	void *p = malloc(100);

	for (int i = 0; i < 2; i++) {
		pthread_create(&thread, NULL, free_it, same(p));
		pthread_join(thread, NULL);
	}
}

static void interior(void)
{
	char *p = malloc(100);

	free(same(p + 16));
}

static void interior_large(void)
{
	char *p = malloc(1000000);

	free(same(p + 8192));
}

static void stack(void)
{
	char local[64];

	free(same(local));
}

static void foreign(void)
{
	void *p = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	free(p);
}

static void small_number(void)
{
	free(same((void *)16));
}

static void kernel(void)
{
	free(same((void *)(uintptr_t)0xffffffff81000000));
}

static void realloc_freed(void)
{
	void *p = malloc(1000000);

	free(same(p));
	sink(realloc(p, 2000000));
}

static void realloc_foreign(void)
{
	char local[64];

	sink(realloc(same(local), 100));
}

static void usable_foreign(void)
{
	char local[64];

	sink((void *)malloc_usable_size(same(local)));
}

static const struct {
	const char *name;
	void (*run)(void);
} mistakes[] = {
	{"double_small", double_small},
	{"double_large", double_large},
	{"double_later", double_later},
	{"double_threads", double_threads},
	{"interior", interior},
	{"interior_large", interior_large},
	{"stack", stack},
	{"foreign", foreign},
	{"small_number", small_number},
	{"kernel", kernel},
	{"realloc_freed", realloc_freed},
	{"realloc_foreign", realloc_foreign},
	{"usable_foreign", usable_foreign},
};

int main(int argc, char **argv)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	for (size_t i = 0; i < sizeof(mistakes) / sizeof(*mistakes); i++) {
		if (argc < 2)
			puts(mistakes[i].name);
		else if (strcmp(argv[1], mistakes[i].name) == 0) {
			mistakes[i].run();
			puts("survived");
			return 0;
		}
	}
	return argc < 2 ? 0 : 2;
}
