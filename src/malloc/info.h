/* SPDX-License-Identifier: MIT */
/*
 * Statistics at the end of the process (stats=1); the functions of malloc.h
 * that info.c defines are declared there.
 */
#ifndef PH_MALLOC_INFO_H
#define PH_MALLOC_INFO_H

#include "heap/heap.h"
#include "malloc/options.h"

/*
 * With stats=1: keeps a way to today's standard error, since many programs
 * have closed theirs when the end comes.  Once, by one thread.
 */
void ph__exit_stats_prepare(const struct options *o);

/* Writes the statistics there, if they were asked for. */
void ph__exit_stats_write(struct ph_heap *heap);

/* As malloc_stats(), of a heap, to a file descriptor. */
void ph__stats_write(struct ph_heap *heap, int fd);

#endif
