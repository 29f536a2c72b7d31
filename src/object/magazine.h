/* SPDX-License-Identifier: MIT */
/*
 * A magazine: the objects of one size class that a thread has at hand.
 *
 *	block	[-4..-1] NULL	0 1 2 3 4 5 6 7
 *				a b c d e f . .
 *				^ oldest    ^ top	    ^ end
 *
 * The four guards hold NULL, so that the newest object is read without asking
 * whether there is one, and the four newest are compared without a bounds
 * check.  A magazine without a block points behind guards that all share.
 *
 * The row also holds what free() needs of the size class, so that it reads one
 * line: an object starts at an offset into a span if the offset is below limit
 * and divisible (object/size_class.h).  A row with limit 0 takes nothing.
 *
 * The owner stores a slot, then top.  Who looks at a magazine from elsewhere (a
 * forked child, statistics) may find the fields of a block that is just being
 * replaced; capacity is 0 meanwhile, and a top outside the block counts as
 * nothing.
 */
#ifndef PH_OBJECT_MAGAZINE_H
#define PH_OBJECT_MAGAZINE_H

#include <stdbool.h>

#include "base/atomic.h"

#define MAGAZINE_GUARD_SLOTS 4

struct magazine {
	void **top;	   /* one past the newest object; atomic */
	void **end;	   /* of the block; atomic */
	uint64_t inverse;  /* as struct object_starts; constant */
	uint32_t limit;	   /* likewise */
	uint32_t capacity; /* objects that fit the block; 0: no block; atomic */
};

/* Guards of magazines without a block. */
extern void *ph__magazine_guards[MAGAZINE_GUARD_SLOTS] PH_HIDDEN;

#define MAGAZINE_NO_BLOCK (ph__magazine_guards + MAGAZINE_GUARD_SLOTS)

/* The newest object, or NULL. */
static PH_ALWAYS_INLINE void *magazine_pop(struct magazine *m)
{
	void **top = m->top;
	void *p = top[-1];

	if (ph_unlikely(!p))
		return NULL;
	/* Relaxed: a child of fork may lose the object, not get it twice. */
	ph_store_relaxed(&m->top, top - 1);
	return p;
}

static PH_ALWAYS_INLINE bool magazine_has_room(const struct magazine *m)
{
	return m->top < m->end;
}

/* Is p among the four newest objects? */
static PH_ALWAYS_INLINE bool magazine_has_recent(const struct magazine *m,
						 const void *p)
{
	void *const *top = m->top;

	return top[-1] == p || top[-2] == p || top[-3] == p || top[-4] == p;
}

/* There is room. */
static PH_ALWAYS_INLINE void magazine_push(struct magazine *m, void *p)
{
	void **top = m->top;

	ph_store_relaxed(top, p);
	/* Release: the slot before top. */
	ph_store_release(&m->top, top + 1);
}

/* Does an object of the row's class start at this offset into a span? */
static PH_ALWAYS_INLINE bool magazine_object_starts_at(const struct magazine *m,
						       uint32_t offset)
{
	return offset < m->limit && offset * m->inverse < m->inverse;
}

/* First slot of the block; only with a capacity. */
static inline void **magazine_slots(const struct magazine *m)
{
	return m->end - m->capacity;
}

/* Objects in the magazine; asked by anybody, right at some moment. */
static inline uint32_t magazine_count(const struct magazine *m)
{
	uint32_t capacity = ph_load_acquire(&m->capacity);
	void **end = ph_load_relaxed(&m->end);
	void **top = ph_load_relaxed(&m->top);
	uintptr_t nbytes = (uintptr_t)top - (uintptr_t)(end - capacity);

	/* Wraps around for a top below the block. */
	return nbytes <= capacity * sizeof(void *)
		       ? (uint32_t)(nbytes / sizeof(void *))
		       : 0;
}

#endif
