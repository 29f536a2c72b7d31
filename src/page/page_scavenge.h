/* SPDX-License-Identifier: MIT */
/*
 * Giving free pages back to the system, in two halves, so that the system call
 * is made without the owner's lock:
 *
 *	lock; range = ph__page_scavenge_take(); unlock;
 *	release the range;
 *	lock; ph__page_scavenge_done() or _abort(); unlock
 *
 * Between the halves the pages are in use and counted so.  Several ranges may
 *be in flight at a time.
 */
#ifndef PH_PAGE_PAGE_SCAVENGE_H
#define PH_PAGE_PAGE_SCAVENGE_H

#include "page/page_alloc.h"

/*
 * What to take, in pages.  min_pages is a property of the memory: every request
 * to one page allocator names the same.
 */
struct scav_request {
	size_t max_pages;    /* wanted; at least 1 */
	unsigned min_pages;  /* given back together: a power of two <= 64 */
	unsigned huge_pages; /* of a huge page: power of two <= 512; 0: none */
	enum scav_mode mode;
};

/*
 * The next range to give back, highest addresses first, at most one chunk long
 * and possibly longer than asked for because a free dirty huge page is not
 * split.  npages is 0 when nothing eligible is left.
 */
PH_MUST_USE struct page_range ph__page_scavenge_take(
	struct page_alloc *pa, const struct scav_request *req);

/*
 * The range was released: its pages are free and scavenged.  A range within one
 * chunk that was allocated and has lost its memory may be freed so as well.
 */
void ph__page_scavenge_done(struct page_alloc *pa, struct page_range range);

/* The release failed: its pages are free and dirty, and eligible again. */
void ph__page_scavenge_abort(struct page_alloc *pa, struct page_range range);

#endif
