/* SPDX-License-Identifier: MIT */
/*
 * Keeping the summaries of the radix tree right, and searching it.
 *
 * Summaries above the leaf are bounds from above, and so is a leaf's max; a
 * leaf's start and end, and whether a summary is zero, are exact.
 * ph__page_tree_find() tightens what misleads it.  page_tree.c and page_find.c
 * tell why.
 */
#ifndef PH_PAGE_PAGE_TREE_H
#define PH_PAGE_PAGE_TREE_H

#include "page/page_region.h"

/* A place in a region: pages [i, i + n) of chunk ci, counted in the region. */
struct page_piece {
	struct page_region *region;
	unsigned ci;
	unsigned i;
	unsigned n;
};

static inline uintptr_t page_region_addr(const struct page_region *r)
{
	return (uintptr_t)r->index << PAGE_REGION_SHIFT;
}

static inline uintptr_t page_entry_addr(const struct page_region *r,
					unsigned level, unsigned i)
{
	return page_region_addr(r) + ((uintptr_t)i << page_level_shift(level));
}

/*
 * The pages of the piece, which were free or in use, are all in use now;
 * nothing else in the chunk has changed since the leaf was last right.
 */
void ph__page_tree_taken(const struct page_piece *p);

/*
 * The pages of the piece, all in use before, are free now.  Returns the whole
 * free run around them in the chunk.
 */
struct bit_run ph__page_tree_freed(const struct page_piece *p);

/* As above, for the leaf alone: ph__page_tree_merge() must follow. */
struct bit_run ph__page_tree_leaf_freed(const struct page_piece *p);

/* Pages of the chunk were freed; its leaf is to be computed afresh. */
void ph__page_tree_refresh(struct page_region *r, unsigned ci);

/* The leaves of chunks first to last changed: recomputes all above them. */
void ph__page_tree_merge(struct page_region *r, unsigned first, unsigned last);

/* Makes the summaries of chunks first to last, and all above them, exact. */
void ph__page_tree_settle(struct page_region *r, unsigned first, unsigned last);

/*
 * The lowest run of npages free pages that starts at or above `from`, 0 if
 * there is none.  The caller knows that no such run starts below `from`.
 */
uintptr_t ph__page_tree_find(const struct page_root *root, uintptr_t from,
			     size_t npages);

/*
 * As above, where such runs may start below `from`; of a run that contains
 * `from` only the part above counts.
 */
uintptr_t ph__page_tree_find_above(const struct page_root *root, uintptr_t from,
				   size_t npages);

/*
 * The lowest free page at or above `search`, below which none is, rounded down
 * to an entry that depends on the run of npages at addr that is about to be
 * taken; 0 when that is below `search`.  page_find.c explains.
 */
uintptr_t ph__page_tree_lowest(const struct page_root *root, uintptr_t search,
			       uintptr_t addr, size_t npages);

struct page_alloc;

/*
 * Pages within the piece were freed and the summaries know it: lowers the
 * bounds that the page allocator keeps of its searches (page_alloc.c).
 */
void ph__page_alloc_note_freed(struct page_alloc *pa,
			       const struct page_piece *p);

#endif
