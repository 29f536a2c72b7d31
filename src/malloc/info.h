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
void ph__stats_prepare(const struct options *o);

/* What malloc_stats() prints, to where ph__stats_prepare() said. */
void ph__stats_print(struct ph_heap *heap);

#endif
