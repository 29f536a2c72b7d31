/* SPDX-License-Identifier: MIT */
/*
 * Choosing pages to give back to the system.
 *
 * Order.  Highest chunk first, highest run in it first, for allocation works
 * from the other end.  Each chunk has a word (scav_index.h) that says whether
 * it may hold free dirty pages and whether it is dense; the search goes down
 * the chunks from a cursor, above which nothing is eligible, over grown ranges
 * only.
 *
 *	mode         cursor raised by              dense chunks
 *	background   the end of a generation       left alone
 *	forced       every free                    taken
 *
 * States of a page on the way:
 *
 *	free, dirty --take--> in use --done---> free, scavenged
 *	                             --abort--> free, dirty
 *
 * While in flight the pages are in use to everybody else, in bitmaps,
 * summaries, counters and the chunk's word, but the chunk's generation does not
 * roll and a chunk they fill is not marked empty: nothing was allocated.
 *
 * Cost: the walk from the cursor, 1 ns a chunk, and about 50 ns a range.
 * Locking: the page allocator's, dropped by the caller between the halves.
 */
#include "page/page_scavenge.h"
#include "page/page_tree.h"

static uintptr_t last_page_of_chunk(size_t ci)
{
	return ((ci + 1) << PH_CHUNK_SHIFT) - PH_PAGE_SIZE;
}

/* The highest eligible chunk; its region is NULL when there is none. */
static struct page_piece find_chunk(struct page_alloc *pa, enum scav_mode mode)
{
	uintptr_t *cursor = &pa->scav.cursor[mode];
	struct page_piece p = {NULL, 0, 0, 0};
	size_t top = *cursor >> PH_CHUNK_SHIFT;
	size_t i = ph__addr_ranges_find_succ(&pa->grown, *cursor);

	while (*cursor != 0 && i-- != 0) {
		size_t base = pa->grown.range[i].base >> PH_CHUNK_SHIFT;
		size_t ci = (pa->grown.range[i].limit >> PH_CHUNK_SHIFT) - 1;

		for (ci = ci < top ? ci : top; ci >= base; ci--) {
			p.region = page_root_find(&pa->root,
						  ci / PAGE_REGION_CHUNKS);
			p.ci = ci % PAGE_REGION_CHUNKS;
			if (!scav_chunk_is_eligible(p.region->scav[p.ci],
						    pa->scav.gen, mode))
				continue;
			if (ci != top)
				*cursor = last_page_of_chunk(ci);
			p.i = (unsigned)(*cursor >> PH_PAGE_SHIFT) % PAGE_BITS;
			return p;
		}
	}
	*cursor = 0;
	p.region = NULL;
	return p;
}

/*
 * The candidate in an eligible chunk.  When there is none the chunk is no
 * longer eligible: because it has none at all, or because what it has was freed
 * in this generation, above a background scavenge's cursor.  The latter stays
 * eligible for a forced one.
 */
static struct scav_candidate candidate_in(const struct page_piece *p,
					  const struct scav_request *req,
					  unsigned max)
{
	const struct page_chunk *chunk = &p->region->chunk[p->ci];
	struct scav_chunk *scav = &p->region->scav[p->ci];
	struct scav_candidate cand, any;

	cand = ph__page_chunk_candidate(chunk, p->i, req->min_pages, max,
					req->huge_pages);
	if (cand.npages != 0)
		return cand;
	any = ph__page_chunk_candidate(chunk, PAGE_BITS - 1, req->min_pages,
				       max, 0);
	*scav = any.npages == 0 ? scav_chunk_set_empty(*scav)
				: scav_chunk_set_hidden(*scav);
	return cand;
}

struct page_range ph__page_scavenge_take(struct page_alloc *pa,
					 const struct scav_request *req)
{
	struct page_range range = {0, 0};
	unsigned max = req->max_pages < PAGE_BITS ? (unsigned)req->max_pages
						  : PAGE_BITS;

	if (pa->scav.min_pages == 0)
		pa->scav.min_pages = req->min_pages;
	ph_require(req->max_pages != 0 && req->min_pages == pa->scav.min_pages);
	for (;;) {
		struct page_piece p = find_chunk(pa, req->mode);
		struct scav_candidate cand;

		if (p.region == NULL)
			return range;
		cand = candidate_in(&p, req, max);
		if (cand.npages == 0)
			continue;
		p.i = cand.first;
		p.n = cand.npages;
		page_bits_set_range(&p.region->chunk[p.ci].in_use, p.i, p.n);
		p.region->scav[p.ci].packed += p.n;
		pa->in_use_pages += p.n;
		ph__page_tree_taken(&p);
		range.addr = page_entry_addr(p.region, PAGE_LEAF, p.ci) +
			     ((uintptr_t)p.i << PH_PAGE_SHIFT);
		range.npages = p.n;
		return range;
	}
}

/* Makes a range in flight free again; returns its piece. */
static struct page_piece land(struct page_alloc *pa, struct page_range range)
{
	struct page_piece p;

	p.region = page_root_find(&pa->root, range.addr >> PAGE_REGION_SHIFT);
	p.ci = (unsigned)(range.addr >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS;
	p.i = (unsigned)(range.addr >> PH_PAGE_SHIFT) % PAGE_BITS;
	p.n = (unsigned)range.npages;
	ph_require(p.region != NULL && range.npages != 0 &&
		   range.npages <= PAGE_BITS - p.i);
	ph_assert(page_bits_all_set(&p.region->chunk[p.ci].in_use, p.i, p.n));
	page_bits_clear_range(&p.region->chunk[p.ci].in_use, p.i, p.n);
	p.region->scav[p.ci].packed -= p.n;
	pa->in_use_pages -= p.n;
	if (range.addr < pa->search)
		pa->search = range.addr;
	ph__page_tree_freed(&p);
	ph__page_alloc_note_freed(pa, &p);
	return p;
}

void ph__page_scavenge_done(struct page_alloc *pa, struct page_range range)
{
	struct page_piece p = land(pa, range);

	page_bits_set_range(&p.region->chunk[p.ci].scavenged, p.i, p.n);
	pa->scavenged_pages += p.n;
}

void ph__page_scavenge_abort(struct page_alloc *pa, struct page_range range)
{
	struct page_piece p = land(pa, range);
	uintptr_t last = range.addr + ((range.npages - 1) << PH_PAGE_SHIFT);

	p.region->scav[p.ci].packed |= SCAV_HAS_FREE;
	scav_index_note_free(&pa->scav, last);
	if (pa->scav.cursor[SCAV_BACKGROUND] < last)
		pa->scav.cursor[SCAV_BACKGROUND] = last;
}
