/* SPDX-License-Identifier: MIT */
/*
 * The page allocator: which pages of the heap are free, and where the lowest
 * run of n free pages is.  page_alloc.c tells how.
 *
 * Pure: it neither locks nor calls the system nor touches a page, so it manages
 * any addresses below 2^48, real or not.  Its metadata comes from a struct
 * meta.  Every function on one struct page_alloc needs the lock of its owner,
 * except where the text says otherwise.
 *
 * Addresses are multiples of PH_PAGE_SIZE, lengths are in pages.  Address 0
 * means none: chunk 0 is never part of a heap.
 */
#ifndef PH_PAGE_PAGE_ALLOC_H
#define PH_PAGE_PAGE_ALLOC_H

#include <stdbool.h>

#include "base/compiler.h"
#include "page/addr_ranges.h"
#include "page/page_region.h"
#include "page/scav_index.h"

/* The search address of a heap that is known to be full. */
#define PAGE_SEARCH_NONE UINTPTR_MAX

/* Powers of two of pages for which a bound of the first fit is remembered. */
#define PAGE_ALLOC_FITS 10

struct meta;

/* An allocation's result. */
struct page_run {
	uintptr_t addr;		/* 0: none fits */
	size_t scavenged_pages; /* pages of it that held no memory */
};

/* Free pages [addr, addr + npages pages); npages 0: none. */
struct page_range {
	uintptr_t addr;
	size_t npages;
};

/*
 * All fields may be read by the owner; total_pages, in_use_pages and
 * scavenged_pages also without the lock, by relaxed loads, as a rough picture.
 * Free dirty pages are total - in_use - scavenged.  Must not be moved.
 */
struct page_alloc {
	uintptr_t search;	  /* no free page below; or PAGE_SEARCH_NONE */
	size_t none_pages;	  /* no run of so many free pages exists */
	struct page_root root;	  /* regions by address */
	struct scav_index scav;	  /* where free dirty pages may lie */
	size_t total_pages;	  /* ever grown */
	size_t in_use_pages;	  /* handed out, in page caches, in flight */
	size_t scavenged_pages;	  /* free, and without memory */
	struct addr_ranges grown; /* every range ever grown */
	struct meta *meta;
	/*
	 * fit[k], k >= 1: no longest possible run of free pages that has at
	 * least 2^k of them starts below.  Lowered by whatever frees pages,
	 * raised by searches; fit[0] is not used, `search` serves.
	 */
	uintptr_t fit[PAGE_ALLOC_FITS];
};

/* Prepares an empty allocator; takes no memory, cannot fail. */
void ph__page_alloc_init(struct page_alloc *pa, struct meta *meta);

/*
 * Gives all metadata back, whatever is in use; the allocator is as after
 * ph__page_alloc_init().
 */
void ph__page_alloc_destroy(struct page_alloc *pa);

/*
 * Adds [base, base + nbytes), a range of whole chunks that was never grown.
 * The new pages are free and count as scavenged.
 *
 * Returns 0; EINVAL when the range is empty, not made of whole chunks, contains
 * chunk 0, ends above 2^48, or overlaps what was grown; ENOMEM when there is no
 * memory for metadata.  After a failure nothing has changed.  Cost: linear in
 * the number of chunks.
 */
PH_MUST_USE int ph__page_alloc_grow(struct page_alloc *pa, uintptr_t base,
				    size_t nbytes);

/*
 * The lowest run of npages (at least 1) free pages of the heap, now in use.
 * addr is 0 when there is none.  Adjacent grown ranges count as one.
 */
PH_MUST_USE struct page_run ph__page_alloc_take(struct page_alloc *pa,
						size_t npages);

/*
 * As above, at the lowest multiple of align bytes, a power of two, that fits.
 * Cost: one search for each run that is long enough but badly placed.
 */
PH_MUST_USE struct page_run ph__page_alloc_take_aligned(struct page_alloc *pa,
							size_t npages,
							size_t align);

/*
 * Exactly [addr, addr + npages pages), any address and length; addr of the
 * result is 0 when a page of it is in use or was never grown.
 */
PH_MUST_USE struct page_run ph__page_alloc_take_at(struct page_alloc *pa,
						   uintptr_t addr,
						   size_t npages);

/*
 * Frees [addr, addr + npages pages): a whole run, part of one, or several.
 * Every page must be in use (ph__page_alloc_is_allocated(), a mistake is
 * fatal in debug builds) and in no page cache.
 */
void ph__page_alloc_free(struct page_alloc *pa, uintptr_t addr, size_t npages);

/*
 * Is every page of the range in use?  Any address and length may be asked;
 * pages that were never grown are not in use, pages in page caches are.
 * Cost: a few loads for each chunk.
 */
bool ph__page_alloc_is_allocated(const struct page_alloc *pa, uintptr_t addr,
				 size_t npages);

/* Is every page of the range grown and free?  Likewise. */
bool ph__page_alloc_is_free(const struct page_alloc *pa, uintptr_t addr,
			    size_t npages);

/* Number of scavenged pages in the range, all of it grown. */
size_t ph__page_alloc_count_scavenged(const struct page_alloc *pa,
				      uintptr_t addr, size_t npages);

/*
 * Length of the free run that ends at limit, a chunk's edge: what a heap that
 * grows at limit need not ask for.
 */
size_t ph__page_alloc_free_below(const struct page_alloc *pa, uintptr_t limit);

/* Ends a generation of the scavenger: see page/scav_index.h. */
void ph__page_alloc_next_generation(struct page_alloc *pa);

/* Makes every summary exact.  Linear in the number of chunks. */
void ph__page_alloc_settle(struct page_alloc *pa);

/*
 * Verifies the whole structure in linear time.  On failure describes the first
 * broken invariant in the size bytes at why (which may be NULL) and returns
 * false.
 */
bool ph__page_alloc_check(const struct page_alloc *pa, char *why, size_t size);

/* Also that every summary is exact, as ph__page_alloc_settle() leaves it. */
bool ph__page_alloc_check_settled(const struct page_alloc *pa, char *why,
				  size_t size);

/*
 * For dumps and pictures.  The chunk at index ci (address / 4 MiB), NULL when
 * it was never grown; and the summary of entry i (address / bytes of an entry)
 * of a level 0 to 4, zero where nothing was grown.
 */
const struct page_chunk *ph__page_alloc_chunk(const struct page_alloc *pa,
					      size_t ci);
struct page_sum ph__page_alloc_summary(const struct page_alloc *pa,
				       unsigned level, size_t i);

#endif
