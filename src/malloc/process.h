/* SPDX-License-Identifier: MIT */
/*
 * The process's heap: the primary one, behind malloc().
 */
#ifndef PH_MALLOC_PROCESS_H
#define PH_MALLOC_PROCESS_H

#include "heap/heap.h"

/*
 * The primary heap, made on the first call, which may come before any
 * constructor has run.  NULL and ENOMEM only while the system refuses even the
 * heap's own metadata; the next call tries again.
 */
struct ph_heap *ph__process_heap(void);

/* The heap that owns an object; the primary one for foreign addresses. */
struct ph_heap *ph__heap_of_object(const void *p);

#endif
