/* SPDX-License-Identifier: MIT */
/*
 * The writer of a report file (pageheap_report.h): this process's slot.
 */
#ifndef PH_MALLOC_REPORT_FILE_H
#define PH_MALLOC_REPORT_FILE_H

#include "heap/heap.h"
#include "malloc/options.h"

/*
 * Claims a slot of the file named by report=PATH, if there is one, and moves
 * the heap's gauges there.  A heap of NULL gets no slot.  Once, by one thread.
 */
void ph__report_attach(struct ph_heap *heap, const struct options *o);

/*
 * In the child of fork: takes the gauges out of the parent's slot and claims
 * one for the child.  Takes no lock and must come before anything that changes
 * a gauge, so its handler is to be registered before those of
 * object/fork.c (children run handlers in the order of registration).
 */
void ph__report_fork_child(struct ph_heap *heap);

/* At the end of the process: writes what is known only then. */
void ph__report_end(struct ph_heap *heap);

#endif
