/* SPDX-License-Identifier: MIT */
/*
 * A page cache: the free pages of one aligned block of 64, owned by one thread.
 *
 * To the page allocator the cached pages are in use; their scavenged bits live
 * here meanwhile.  Taking and freeing pages costs a few instructions and no
 * lock.  Refilling and flushing work on the page allocator and need its
 * owner's lock.
 */
#ifndef PH_PAGE_PAGE_CACHE_H
#define PH_PAGE_PAGE_CACHE_H

#include "page/page_alloc.h"

#define PAGE_CACHE_PAGES 64u

/* All zero is a valid empty cache. */
struct page_cache {
	uintptr_t base;	    /* of the block, a multiple of 64 pages; or 0 */
	uint64_t free;	    /* bit i: page i is free and this cache's */
	uint64_t scavenged; /* bit i: and holds no memory; subset of free */
};

/* A run of npages (1 to 64) out of the cache; addr 0: there is none. */
static inline struct page_run page_cache_take(struct page_cache *c,
					      size_t npages)
{
	struct page_run run = {0, 0};
	unsigned i = npages == 1 ? ctz64(c->free)
				 : find_ones64(c->free, (unsigned)npages);
	uint64_t mask;

	if (i >= 64)
		return run;
	mask = word_mask(i, (unsigned)npages);
	run.addr = c->base + ((uintptr_t)i << PH_PAGE_SHIFT);
	run.scavenged_pages = popcount64(c->scavenged & mask);
	c->free &= ~mask;
	c->scavenged &= ~mask;
	return run;
}

/* Does [addr, addr + npages pages) lie in the cache's block? */
static inline bool page_cache_covers(const struct page_cache *c, uintptr_t addr,
				     size_t npages)
{
	size_t i = (addr - c->base) >> PH_PAGE_SHIFT; /* wraps below */

	return c->base != 0 && i < PAGE_CACHE_PAGES &&
	       npages <= PAGE_CACHE_PAGES - i;
}

/* The pages of the cache's own block that a covered range stands for. */
static inline uint64_t page_cache_mask(const struct page_cache *c,
				       uintptr_t addr, size_t npages)
{
	return word_mask((unsigned)((addr - c->base) >> PH_PAGE_SHIFT),
			 (unsigned)npages);
}

/*
 * Puts a covered range (npages at least 1) back as free dirty pages.  False,
 * and nothing changed, when a page of it is in the cache already: a double
 * free. The caller knows that the pages were in use.
 */
static inline bool page_cache_free(struct page_cache *c, uintptr_t addr,
				   size_t npages)
{
	uint64_t mask = page_cache_mask(c, addr, npages);

	if (ph_unlikely(c->free & mask))
		return false;
	c->free |= mask;
	return true;
}

/*
 * Fills an empty cache with all free pages of the block that contains the
 * lowest free page.  False when the heap has no free page.
 */
bool ph__page_cache_refill(struct page_alloc *pa, struct page_cache *c);

/* Gives the cache's pages back; the cache is all zero afterwards. */
void ph__page_cache_flush(struct page_alloc *pa, struct page_cache *c);

#endif
