/* SPDX-License-Identifier: MIT */
/*
 * Central lists: for each size class of a heap, the spans that have room.
 *
 * Threads do not allocate from spans: they fill their magazines from here in
 * batches and empty them here in batches.  A central hands objects out in
 * address order within a span and proves, when they come back, that each was
 * handed out: its bit in the span's bitmap is set.
 *
 *	list		spans with				counted by
 *	partial		some objects free, some allocated	lock
 *	empty		none allocated; one kept, lest a	lock
 *			boundary case thrash
 *	(none)		all allocated
 */
#ifndef PH_OBJECT_CENTRAL_H
#define PH_OBJECT_CENTRAL_H

#include "base/list.h"
#include "heap/heap.h"
#include "os/lock.h"

struct central {
	struct ph_lock lock;
	uint32_t size_class;
	uint32_t seq; /* odd while the lock's holder changes lists or bits */
	struct list partial PH_GUARDED_BY(lock);
	struct ph_span *empty PH_GUARDED_BY(lock);
} PH_ALIGNED(PH_CACHE_LINE);

void ph__central_init(struct central *c, unsigned size_class);

/*
 * Takes up to `want` objects (at least 1) and stores their addresses at
 * objects[], ascending within each span.  Returns how many; 0 and ENOMEM when
 * no span could be made.  Linear in the objects taken.
 */
PH_MUST_USE size_t ph__central_take(struct ph_heap *heap, struct central *c,
				    void **objects, size_t want);

/*
 * Takes n objects back; sorts objects[] by address.  Aborts, naming the
 * object, when one is free already or is none.  Spans that become empty go
 * back to the heap's pages, but for one.  n log n.
 */
void ph__central_give(struct ph_heap *heap, struct central *c, void **objects,
		      size_t n);

/* Gives the spare empty span back to the heap's pages. */
void ph__central_trim(struct ph_heap *heap, struct central *c);

/*
 * Frees what is not marked in a span of this class (see ph_heap_sweep()).
 * Adds to *out.  The span may be gone afterwards.
 */
void ph__central_sweep(struct ph_heap *heap, struct central *c,
		       struct ph_span *span, struct ph_sweep *out);

#endif
