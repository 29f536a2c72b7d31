/* SPDX-License-Identifier: MIT */
/*
 * What the scavenger knows of a chunk without reading its bitmaps.
 *
 *	63          32 31 30   28 27 26 25      16 15       0
 *	+-------------+--+-------+--+--+----------+---------+
 *	| generation  |gr|   0   |hd|hf| last use | in use  |
 *	+-------------+--+-------+--+--+----------+---------+
 *
 * in use	pages of the chunk in use now, 0 to 512
 * last use	pages in use as the last generation ended in which it changed
 * hf		may have free dirty pages
 * hd		has some, but for a forced scavenge only
 * gr		the chunk has been grown
 * generation	in which "in use" last changed
 *
 * A zero word is a chunk never grown.  A generation is a period of the
 * program's life that the heap defines.  A chunk that is dense (496 pages or
 * more), or was as this or the previous generation ended, is about to be used
 * up: only a forced scavenge touches it.
 */
#ifndef PH_PAGE_SCAV_INDEX_H
#define PH_PAGE_SCAV_INDEX_H

#include <stdbool.h>

#include "base/check.h"

#define SCAV_HAS_FREE (UINT64_C(1) << 26)
#define SCAV_HIDDEN (UINT64_C(1) << 27)
#define SCAV_GROWN (UINT64_C(1) << 31)

/* Pages in use from which a chunk counts as dense: 31/32 of 512. */
#define SCAV_DENSE_PAGES 496u

struct scav_chunk {
	uint64_t packed;
};

static inline unsigned scav_chunk_in_use(struct scav_chunk c)
{
	return (unsigned)(c.packed & 0xffff);
}

static inline unsigned scav_chunk_last_in_use(struct scav_chunk c)
{
	return (unsigned)(c.packed >> 16) & 0x3ff;
}

static inline uint32_t scav_chunk_gen(struct scav_chunk c)
{
	return (uint32_t)(c.packed >> 32);
}

/* Enters generation gen: remembers how full the chunk was before it. */
static inline struct scav_chunk scav_chunk_roll(struct scav_chunk c,
						uint32_t gen)
{
	if (ph_unlikely(scav_chunk_gen(c) != gen))
		c.packed = (uint64_t)gen << 32 | (c.packed & 0xfc00ffff) |
			   (uint64_t)scav_chunk_in_use(c) << 16;
	return c;
}

static inline struct scav_chunk scav_chunk_alloc(struct scav_chunk c,
						 unsigned npages, uint32_t gen)
{
	ph_require(scav_chunk_in_use(c) + npages <= 512);
	c = scav_chunk_roll(c, gen);
	c.packed += npages;
	if (scav_chunk_in_use(c) == 512)
		c.packed &= ~(SCAV_HAS_FREE | SCAV_HIDDEN);
	return c;
}

static inline struct scav_chunk scav_chunk_free(struct scav_chunk c,
						unsigned npages, uint32_t gen)
{
	ph_require(scav_chunk_in_use(c) >= npages);
	c = scav_chunk_roll(c, gen);
	c.packed = (c.packed - npages) | SCAV_HAS_FREE;
	return c;
}

static inline struct scav_chunk scav_chunk_set_empty(struct scav_chunk c)
{
	c.packed &= ~(SCAV_HAS_FREE | SCAV_HIDDEN);
	return c;
}

/* Nothing for a background scavenge before the next free in the chunk. */
static inline struct scav_chunk scav_chunk_set_hidden(struct scav_chunk c)
{
	c.packed = (c.packed & ~SCAV_HAS_FREE) | SCAV_HIDDEN;
	return c;
}

/* Who asks: a patient scavenger, or one that must have the memory. */
enum scav_mode { SCAV_BACKGROUND, SCAV_FORCED };

static inline bool scav_chunk_is_eligible(struct scav_chunk c, uint32_t gen,
					  enum scav_mode mode)
{
	if (mode == SCAV_FORCED)
		return (c.packed & (SCAV_HAS_FREE | SCAV_HIDDEN)) != 0;
	if (!(c.packed & SCAV_HAS_FREE))
		return false;
	if (scav_chunk_in_use(c) >= SCAV_DENSE_PAGES)
		return false;
	return scav_chunk_gen(c) != gen ||
	       scav_chunk_last_in_use(c) < SCAV_DENSE_PAGES;
}

/*
 * Where the search for eligible chunks starts.  Guarded by the owner's lock.
 * Addresses are of pages; 0 is none.
 */
struct scav_index {
	uint32_t gen;
	unsigned min_pages;  /* of every request; 0 before the first */
	uintptr_t cursor[2]; /* by enum scav_mode: nothing eligible above */
	uintptr_t free_high; /* highest page freed in this generation */
};

/* Pages up to the one at addr, the last of its range, were freed. */
static inline void scav_index_note_free(struct scav_index *x, uintptr_t addr)
{
	if (x->free_high < addr)
		x->free_high = addr;
	if (x->cursor[SCAV_FORCED] < addr)
		x->cursor[SCAV_FORCED] = addr;
}

/*
 * Ends a generation.  A background scavenge sees what was freed before the last
 * such call only; a forced one sees it at once.  What a background scavenge
 * passed over, dense chunks for instance, it sees again after the next free in
 * the chunk or above: so the reference has it, and its recorded answers.
 */
static inline void scav_index_next_gen(struct scav_index *x)
{
	x->gen++;
	if (x->cursor[SCAV_BACKGROUND] < x->free_high)
		x->cursor[SCAV_BACKGROUND] = x->free_high;
	x->free_high = 0;
}

#endif
