/* SPDX-License-Identifier: MIT */
/*
 * What the tests of heaps share: checks that end the program with one line,
 * whether or not a test framework runs, and looks at the process from outside.
 */
#ifndef TESTS_SUPPORT_HEAP_UTIL_H
#define TESTS_SUPPORT_HEAP_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "pageheap.h"

/* As assert(), in every build, without a test framework. */
#define must(cond)                                                             \
	((cond) ? (void)0 : heap_must_failed(#cond, __FILE__, __LINE__))

_Noreturn void heap_must_failed(const char *what, const char *file, int line);

/* ph_heap_check() finds nothing; else the program ends with what it found. */
#define heap_must_check(heap) heap_must_check_at(heap, __FILE__, __LINE__)
void heap_must_check_at(struct ph_heap *heap, const char *file, int line);

/* The statistics, after asserting every identity of docs/statistics.md. */
struct ph_stats heap_stats(struct ph_heap *heap);

/* A heap over a source, NULL for the operating system; never NULL. */
struct ph_heap *heap_over(const struct ph_os_ops *os, void *ctx,
			  uint32_t flags);

/*
 * Are two snapshots equal but for what a failed call may leave behind: counts
 * of attempts, peaks, metadata, address space?
 */
bool heap_stats_same_use(const struct ph_stats *a, const struct ph_stats *b);

/* Resident memory and number of mappings of this process. */
size_t process_resident_bytes(void);
size_t process_mappings(void);

/* Resident bytes of a range of real memory, by mincore(2). */
size_t range_resident_bytes(const void *addr, size_t nbytes);

#endif
