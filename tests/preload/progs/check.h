/* SPDX-License-Identifier: MIT */
/*
 * What the programs of this directory share.
 *
 * Each is an ordinary program that knows nothing of pageheap: the test runs it
 * on the C library's malloc, to see that the program itself is right, and on
 * the drop-in.  A check that only one of them can pass asks on_pageheap().
 * Nothing here may allocate behind the back of a test, hence no assert().
 */
#ifndef PRELOAD_CHECK_H
#define PRELOAD_CHECK_H

#include <dlfcn.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define check(cond) ((cond) ? (void)0 : check_failed(#cond, __FILE__, __LINE__))

static inline void check_failed(const char *what, const char *file, int line)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s:%d: not so: %s\n", file, line,
			 what);

	if (write(2, text, (size_t)n) != n)
		_exit(98);
	_exit(99);
}

/* Whether malloc is the drop-in's. */
static inline bool on_pageheap(void)
{
	Dl_info info;
	void *p = dlsym(RTLD_DEFAULT, "malloc");

	return p != NULL && dladdr(p, &info) != 0 && info.dli_fname != NULL &&
	       strstr(info.dli_fname, "libpageheap-malloc") != NULL;
}

/* A value that the compiler cannot see through. */
static inline size_t opaque(size_t n)
{
	volatile size_t copy = n;

	return copy;
}

static inline void *same(void *p)
{
	void *volatile copy = p;

	return copy;
}

static inline bool is_aligned(const void *p, size_t align)
{
	return ((uintptr_t)p & (align - 1)) == 0;
}

/* A pattern that tells one block's bytes from another's. */
static inline void fill(void *p, size_t nbytes, unsigned seed)
{
	unsigned char *b = p;

	for (size_t i = 0; i < nbytes; i++)
		b[i] = (unsigned char)(seed + i * 7);
}

static inline bool is_filled(const void *p, size_t nbytes, unsigned seed)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < nbytes; i++)
		if (b[i] != (unsigned char)(seed + i * 7))
			return false;
	return true;
}

static inline bool is_zero(const void *p, size_t nbytes)
{
	const unsigned char *b = p;

	for (size_t i = 0; i < nbytes; i++)
		if (b[i] != 0)
			return false;
	return true;
}

#endif
