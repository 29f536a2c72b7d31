/* SPDX-License-Identifier: MIT */
/*
 * Span descriptors: what a run of pages is used for.
 *
 * A descriptor is type-stable: it comes from a pool whose memory is never
 * used for anything else while a reader may look, so a lock-free reader that
 * holds a stale pointer reads a valid, if outdated, descriptor.  Publication:
 * every field is written before `state` is stored with release; a reader loads
 * `state` with acquire first, then checks that its address lies in
 * [base, base + npages pages).
 *
 * States
 *
 *	from	to	by
 *	dead	small	object/central: a span of equal objects
 *	dead	large	object/large: one object of its own pages
 *	dead	user	ph_span_alloc(): undivided pages
 *	any	dead	its free; the descriptor goes back to the pool
 *
 * Bitmaps lie outside the pages, and outside the descriptor unless they fit
 * into one word.  Bit i stands for object i; 1 = allocated (or marked).
 */
#ifndef PH_SPAN_SPAN_H
#define PH_SPAN_SPAN_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "base/list.h"
#include "pageheap.h"

enum span_state {
	SPAN_DEAD = 0,
	SPAN_SMALL,
	SPAN_LARGE,
	SPAN_USER,
};

/* Which list of its central a span of small objects is on. */
enum span_list {
	SPAN_IN_TRANSIT = 0, /* new, or about to be freed: nobody's */
	SPAN_ON_NONE,	     /* full */
	SPAN_ON_PARTIAL,     /* some objects free, some allocated */
	SPAN_ON_EMPTY,	     /* all objects free; kept by the central */
};

struct ph_span {
	/* Written before publication, constant while in use. */
	uintptr_t base;
	size_t npages; /* large: changes in place, under the heap lock */
	struct ph_heap *heap;
	uint32_t elem_size; /* bytes; 0 for undivided and large */
	uint32_t div_magic; /* ceil(2^32 / elem_size) */
	uint16_t nelems;    /* objects that fit; 1 for large, 0 undivided */
	uint8_t size_class; /* 0 for undivided and large */
	uint8_t state;	    /* enum span_state; atomic, stored last */
	uint8_t zeroed;	    /* memory was known zero when allocated */
	uint8_t on_list;    /* enum span_list; guarded by the central's lock */
	uint16_t nalloc;    /* allocated objects; central's lock */
	uint32_t sweep_gen; /* heap generation of the last sweep; central */
	uint16_t hint_word; /* no free object in words below; central */
	uint16_t spare;

	struct list link;     /* of its central, or of the pool's owner */
	uint64_t *alloc_bits; /* central's lock (readers: relaxed) */
	uint64_t *mark_bits;  /* NULL until an object is marked; atomic */
	uint64_t alloc_word;  /* alloc_bits of spans of up to 64 objects */
	uint64_t mark_word;   /* mark_bits of those */
	uintptr_t user;	      /* for the span's owner */
};

static inline enum span_state span_state(const struct ph_span *s)
{
	/* Acquire: pairs with the release in span_publish(). */
	return (enum span_state)ph_load_acquire(&s->state);
}

static inline void span_publish(struct ph_span *s, enum span_state state)
{
	/* Release: the fields written before are visible with the state. */
	ph_store_release(&s->state, (uint8_t)state);
}

static inline size_t span_nbytes(const struct ph_span *s)
{
	return ph_load_relaxed(&s->npages) << PH_PAGE_SHIFT;
}

/* Is the address inside?  Wraps around for addresses below the base. */
static inline bool span_contains(const struct ph_span *s, uintptr_t addr)
{
	return addr - ph_load_relaxed(&s->base) < span_nbytes(s);
}

/* In use, and does it contain the address?  Safe on stale descriptors. */
static inline bool span_is_at(const struct ph_span *s, uintptr_t addr)
{
	return span_state(s) != SPAN_DEAD && span_contains(s, addr);
}

/* Words of a bitmap with one bit an object. */
static inline size_t span_bitmap_words(const struct ph_span *s)
{
	return ((size_t)s->nelems + 63) / 64;
}

/*
 * Object number of a byte offset into a span of small objects; at least
 * nelems in the waste at its end.  Exact: the product of an offset below 2^17
 * with ceil(2^32 / size) is off by less than 1/size of an object.
 */
static inline size_t span_object_index(const struct ph_span *s, size_t offset)
{
	return (size_t)((uint64_t)offset * ph_load_relaxed(&s->div_magic) >>
			32);
}

static inline bool span_bit_get(const uint64_t *bits, size_t i)
{
	return ph_load_relaxed(&bits[i / 64]) >> (i % 64) & 1;
}

#endif
