/* SPDX-License-Identifier: MIT */
/*
 * The metadata of 16 GiB of address space, one root entry of the radix tree,
 * and the table that finds it.
 *
 *	level  entries in a region  pages in an entry
 *	  0              1           2^21  16 GiB
 *	  1              8           2^18   2 GiB
 *	  2             64           2^15 256 MiB
 *	  3            512           2^12  32 MiB
 *	  4           4096           2^9    4 MiB, a chunk
 *
 * Eight siblings fill one cache line.  A region is one zeroed metadata block of
 * which only the parts that describe grown chunks are touched.
 */
#ifndef PH_PAGE_PAGE_REGION_H
#define PH_PAGE_PAGE_REGION_H

#include "page/page_chunk.h"
#include "page/scav_index.h"
#include "pageheap.h"

#define PAGE_ADDR_BITS 48
#define PAGE_LEVELS 5
#define PAGE_LEAF (PAGE_LEVELS - 1)
#define PAGE_FANOUT 8u
#define PAGE_REGION_SHIFT 34
#define PAGE_REGION_CHUNKS 4096u
#define PAGE_REGION_COUNT ((size_t)1 << (PAGE_ADDR_BITS - PAGE_REGION_SHIFT))

/* Log2 of the bytes, and of the pages, of an entry at a level. */
#define page_level_shift(level) (34u - 3u * (unsigned)(level))
#define page_level_log2_pages(level) (21u - 3u * (unsigned)(level))

/*
 * Where a level starts in sum[]: the root at 7, so that every later block of
 * eight siblings starts at a multiple of eight.  Level l holds 8^l entries, and
 * 7 + (1 + 8 + ... + 8^(l-1)) rounded to eights is 8^l + 8^(l-1) + ... + 8.
 */
static inline unsigned page_level_offset(unsigned level)
{
	static const uint16_t offset[PAGE_LEVELS] = {7, 8, 16, 80, 592};

	return offset[level];
}

#define PAGE_REGION_SUMS 4688u

struct page_region {
	struct page_region *next; /* the next region above that exists */
	size_t index;		  /* address / 16 GiB */
	struct page_sum sum[PAGE_REGION_SUMS] PH_ALIGNED(PH_CACHE_LINE);
	struct scav_chunk scav[PAGE_REGION_CHUNKS];
	struct page_chunk chunk[PAGE_REGION_CHUNKS];
};

/*
 * Regions by address: a window onto the table of all 2^14 that covers those in
 * use, so that an empty heap has none.
 */
struct page_root {
	struct page_region **window; /* NULL where a region does not exist */
	size_t base;		     /* index of the region of window[0] */
	size_t count;		     /* entries */
	struct page_region *lowest;  /* head of the list by address; or NULL */
	size_t num_regions;
};

static inline struct page_region *page_root_find(const struct page_root *root,
						 size_t index)
{
	size_t i = index - root->base; /* wraps below the base */

	return ph_likely(i < root->count) ? root->window[i] : NULL;
}

/* The region at the index, or else the next above that exists; or NULL. */
struct page_region *ph__page_root_find_ge(const struct page_root *root,
					  size_t index);

struct meta;

/*
 * Adding regions takes two steps, so that a caller can prepare other things in
 * between and still change nothing when one of them fails.
 */
struct page_root_plan {
	struct page_region *fresh;   /* new regions, highest first */
	struct page_region **window; /* a larger table; or NULL: it will do */
	size_t base;
	size_t count;
};

/*
 * Takes the metadata for every missing region from index first to last.
 * Returns 0 or ENOMEM; nothing has changed then.
 */
PH_MUST_USE int ph__page_root_prepare(const struct page_root *root,
				      struct meta *meta, size_t first,
				      size_t last, struct page_root_plan *plan);

/* Carries the plan out, or gives what it took back. */
void ph__page_root_apply(struct page_root *root, struct meta *meta,
			 struct page_root_plan *plan);
void ph__page_root_abandon(struct meta *meta, struct page_root_plan *plan);

/* Gives every region and the table back. */
void ph__page_root_destroy(struct page_root *root, struct meta *meta);

/* The summary of entry i of a level; i counts from the region's start. */
static inline struct page_sum *page_region_sum(struct page_region *r,
					       unsigned level, unsigned i)
{
	return &r->sum[page_level_offset(level) + i];
}

#endif
