/* SPDX-License-Identifier: MIT */
/*
 * struct ph_heap: pages and spans of one heap, and the lock that guards them.
 *
 * The layers above (object/, malloc/) hang their own state on `objects`; this
 * layer never looks at it.
 */
#ifndef PH_HEAP_HEAP_H
#define PH_HEAP_HEAP_H

#include "heap/arena.h"
#include "heap/pacer.h"
#include "meta/meta.h"
#include "meta/pool.h"
#include "os/lock.h"
#include "page/page_alloc.h"
#include "page/page_scavenge.h"
#include "pageheap.h"
#include "pageheap_report.h"
#include "span/pagemap.h"
#include "span/span.h"

struct objects;

/* Out-of-line bitmaps hold 2, 4, 8 or 16 words. */
#define HEAP_BITMAP_POOLS 4

/* Flags of struct ph_heap beyond the public ones. */
#define HEAP_PRIMARY UINT32_C(0x10000)	 /* its classes are in page entries */
#define HEAP_OWN_META UINT32_C(0x40000)	 /* own_meta */
#define HEAP_OWN_SPACE UINT32_C(0x20000) /* own page map and arenas */

/*
 * The background scavenger's state (object/background.c).  `wanted` and
 * `running` are atomic; the others are set when it is enabled, or belong to
 * the thread that runs, or are guarded by the heap's lock (pacer).
 */
#define BACKGROUND_START_BYTES ((uint64_t)4 << 20)
#define BACKGROUND_START_SHARE 8

struct heap_background {
	bool enabled;
	uint32_t wanted;    /* 1: free memory asks for a thread */
	uint32_t running;   /* 1: there is a thread, or one is being made */
	uint32_t process;   /* pid in which threads may be made */
	uint64_t retry_ns;  /* atomic; no attempt to make one before */
	uint64_t fruit_ns;  /* when it last released, or had to wait */
	uint64_t second_ns; /* when it last did what is due once a second */

	/* Guarded by the heap's lock, as is the pacer. */
	uint64_t peak_bytes; /* of use since the pacer last looked */
	uint64_t left_bytes; /* free ones that the last thread gave up on */
	struct pacer pacer;
};

/* Ranges on their way to the system at a time, of all threads together. */
#define HEAP_FLIGHTS 8

struct ph_heap {
	/*
	 * Never reused in a process: high bits count heaps, low bits are the
	 * slot in the registry.
	 */
	uint64_t id;
	uint32_t flags;	   /* PH_HEAP_*, HEAP_* */
	uint32_t os_flags; /* PH_OS_* */
	const struct ph_os_ops *os;
	void *os_ctx;
	size_t max_bytes;	    /* SIZE_MAX: no bound */
	size_t scavenge_min_pages;  /* physical page, in pages */
	size_t scavenge_huge_pages; /* huge page, in pages; 0: none */

	struct meta *meta;	 /* the process's, or own_meta */
	struct arenas *arenas;	 /* shared, or own_arenas */
	struct pagemap *pagemap; /* shared, or own_pagemap */

	/*
	 * Guards everything below except where noted.  seq is odd while the
	 * holder changes something, for readers outside the process.
	 */
	struct ph_lock lock;
	uint32_t seq;
	struct page_alloc pages;
	struct meta_pool span_pool;
	struct meta_pool bitmap_pools[HEAP_BITMAP_POOLS];
	uint32_t sweep_gen;	/* of the last sweep begun */
	bool zero_doubted;	/* returned memory may hold old contents */
	size_t pages_in_flight; /* on their way to the system */
	struct page_range flights[HEAP_FLIGHTS]; /* those; npages 0: none */
	struct heap_background background;

	/*
	 * Gauges: changed under the lock (those by size class under the
	 * class's lock), read by anybody.  Points to own_gauges, or into a
	 * report file's slot.
	 */
	struct ph_gauges *gauges;
	struct ph_gauges own_gauges;

	struct objects *objects; /* atomic; NULL until the first object */

	size_t generation_pages; /* taken and freed since the last began */

	struct meta own_meta;	    /* HEAP_OWN_META */
	struct arenas own_arenas;   /* HEAP_OWN_SPACE */
	struct pagemap own_pagemap; /* HEAP_OWN_SPACE */
};

/* A short critical section on the heap, visible to outside readers. */
static inline void heap_lock(struct ph_heap *heap)
	PH_ACQUIRE(heap->lock) PH_NO_THREAD_SAFETY
{
	lock_acquire(&heap->lock);
	ph_store_relaxed(&heap->seq, heap->seq + 1);
	/* Release fence: the odd number is visible before the changes. */
	ph_fence_release();
}

static inline void heap_unlock(struct ph_heap *heap)
	PH_RELEASE(heap->lock) PH_NO_THREAD_SAFETY
{
	/* Release: the changes are visible before the even number. */
	ph_store_release(&heap->seq, heap->seq + 1);
	lock_release(&heap->lock);
}

/* Adds to a gauge whose writers hold one lock; readers see whole values. */
static inline void gauge_add(uint64_t *gauge, uint64_t n)
{
	/* Relaxed: a gauge orders nothing. */
	ph_store_relaxed(gauge, *gauge + n);
}

static inline void gauge_sub(uint64_t *gauge, uint64_t n)
{
	ph_store_relaxed(gauge, *gauge - n);
}

/* ---- heap.c: a heap's life ---- */

/* Makes a heap; see ph_heap_create().  more_flags may be HEAP_PRIMARY. */
PH_MUST_USE struct ph_heap *ph__heap_create(
	const struct ph_heap_options *options, uint32_t more_flags);

/*
 * Gives everything of this layer back.  The heap must not be registered any
 * more, and no object state may be left.
 */
void ph__heap_destroy(struct ph_heap *heap);

/* ---- grow.c ---- */

/*
 * Grows the heap so that a run of npages at a multiple of align exists.
 * Returns the bytes grown, 0 when the system or a bound refuses.
 */
PH_MUST_USE size_t ph__heap_grow(struct ph_heap *heap, size_t npages,
				 size_t align) PH_REQUIRES(heap->lock);

/* ---- pages.c ---- */

/* What pages are used for: the three parts of in_use_bytes. */
enum page_kind { PAGES_SMALL, PAGES_LARGE, PAGES_RAW };

/* A run of pages as the heap hands it out; addr 0: none, errno is set. */
struct heap_run {
	uintptr_t addr;
	bool zeroed;	       /* known to read as zero */
	size_t prepared_pages; /* of it, to be made ready */
	size_t grown_nbytes;   /* what the heap grew by for it */
};

/* The two steps of an allocation.  The first under the lock ... */
struct heap_run ph__pages_take(struct ph_heap *heap, size_t npages,
			       size_t align, enum page_kind kind)
	PH_REQUIRES(heap->lock);
/*
 * ... the second without it: makes prepared memory ready, releases other
 * memory when the heap grew.  False when the source refuses; the caller then
 * undoes the first step.
 */
PH_MUST_USE bool ph__pages_ready(struct ph_heap *heap,
				 const struct heap_run *run, size_t npages)
	PH_EXCLUDES(heap->lock);

/*
 * Frees a run that could not be made ready; sets errno to ENOMEM.  Or in two
 * halves, for callers who have more to undo.
 */
void ph__pages_undo(struct ph_heap *heap, const struct heap_run *run,
		    size_t npages, enum page_kind kind) PH_EXCLUDES(heap->lock);
void ph__pages_empty(struct ph_heap *heap, const struct heap_run *run,
		     size_t npages) PH_EXCLUDES(heap->lock);
void ph__pages_give_empty(struct ph_heap *heap, uintptr_t addr, size_t npages,
			  enum page_kind kind) PH_REQUIRES(heap->lock);

/* Frees pages whose use was checked by the caller. */
void ph__pages_give(struct ph_heap *heap, uintptr_t addr, size_t npages,
		    enum page_kind kind) PH_REQUIRES(heap->lock);

/* Takes [addr, addr + npages pages) if all of it is free. */
struct heap_run ph__pages_take_at(struct ph_heap *heap, uintptr_t addr,
				  size_t npages, enum page_kind kind)
	PH_REQUIRES(heap->lock);

/* Brings the gauges of pages up to date. */
void ph__pages_update_gauges(struct ph_heap *heap) PH_REQUIRES(heap->lock);

/* ---- scavenge.c ---- */

/* As ph_scavenge(), with a choice of chunks. */
size_t ph__heap_scavenge(struct ph_heap *heap, size_t nbytes,
			 enum scav_mode mode) PH_EXCLUDES(heap->lock);

/* In a forked child: ranges that other threads had in flight are free. */
void ph__heap_land_flights(struct ph_heap *heap) PH_REQUIRES(heap->lock);

/* After a growth: releases as much as the heap holds beyond its demand. */
void ph__heap_scavenge_after_growth(struct ph_heap *heap, size_t grown_nbytes)
	PH_EXCLUDES(heap->lock);

/* ---- spans.c ---- */

/* What a span is divided into. */
struct span_shape {
	size_t npages;
	size_t align; /* bytes; 0: a page */
	enum span_state state;
	uint32_t elem_size;
	uint32_t div_magic;
	uint16_t nelems;
	uint8_t size_class;
};

/* Allocates a span.  NULL and ENOMEM. */
PH_MUST_USE struct ph_span *ph__span_alloc(struct ph_heap *heap,
					   const struct span_shape *shape)
	PH_EXCLUDES(heap->lock);

/*
 * Frees a span that is in the given state and, when base is not 0, starts
 * there.  False, and nothing changed, when it is not: a double free.
 */
PH_MUST_USE bool ph__span_free(struct ph_heap *heap, struct ph_span *s,
			       enum span_state state, uintptr_t base)
	PH_EXCLUDES(heap->lock);

/* Resizes a large span in place.  False when the pages behind are taken. */
PH_MUST_USE bool ph__span_resize(struct ph_heap *heap, struct ph_span *s,
				 size_t npages) PH_EXCLUDES(heap->lock);

/* A zeroed bitmap for the span's objects, NULL and ENOMEM; and its return. */
PH_MUST_USE uint64_t *ph__span_bitmap_alloc(struct ph_heap *heap,
					    const struct ph_span *s)
	PH_REQUIRES(heap->lock);
void ph__span_bitmap_free(struct ph_heap *heap, const struct ph_span *s,
			  uint64_t *bits) PH_REQUIRES(heap->lock);

/* The lowest span in use whose first page is at addr or above, or NULL. */
struct ph_span *ph__span_next(struct ph_heap *heap, uintptr_t addr)
	PH_REQUIRES(heap->lock);

/*
 * Calls visit for each span in use, ascending, until it returns other than 0;
 * returns that.  The heap lock keeps spans from coming and going.
 */
int ph__spans_visit(struct ph_heap *heap,
		    int (*visit)(void *ctx, struct ph_span *s), void *ctx)
	PH_REQUIRES(heap->lock);

/* ---- check.c ---- */

/* Verifies pages, spans, page map and gauges.  As ph_heap_check(). */
PH_MUST_USE bool ph__heap_check(struct ph_heap *heap, char *why, size_t size)
	PH_REQUIRES(heap->lock);

#endif
