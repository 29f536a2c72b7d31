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

/*
 * Starts the background thread if the heap asks for one, unless the caller of
 * free() at `caller` is the C library or the dynamic linker: those call free()
 * while they hold locks that making a thread takes (glibc frees the TLS of
 * cached stacks under the lock of that cache).  The next free() of anybody else
 * does it then.  Never in a static program, where the two cannot be told
 * apart.
 */
void ph__process_background(struct ph_heap *heap, const void *caller);

/* The heap that owns an object; the primary one for foreign addresses. */
struct ph_heap *ph__heap_of_object(const void *p);

#endif
