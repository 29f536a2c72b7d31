/* SPDX-License-Identifier: MIT */
/*
 * Verifying a page allocator against its own bitmaps.
 *
 * The bitmaps are the truth.  Every summary, counter, bound and scavenger word
 * is recomputed from them by code that shares nothing with the fast paths but
 * the bit operations, and compared.  Cost: linear in the number of chunks and
 * free runs; nothing is allocated.
 */
#include <string.h>

#include "base/print.h"
#include "page/page_alloc.h"
#include "page/page_tree.h"

struct check {
	const struct page_alloc *pa;
	struct text why;
	bool describe; /* there is room to describe a failure */
	bool settled;  /* every max must be exact */
	size_t in_use_pages;
	size_t scavenged_pages;
	size_t run_pages; /* free pages up to the chunk being looked at */
};

/* Describes a broken invariant at an address and a place of the tree. */
static bool broken(struct check *c, const char *what, uintptr_t addr)
{
	if (c->describe) {
		ph__text_str(&c->why, what);
		ph__text_str(&c->why, " at ");
		ph__text_hex(&c->why, addr);
	}
	return false;
}

static bool broken_count(struct check *c, const char *what, size_t is,
			 size_t should)
{
	if (c->describe) {
		ph__text_str(&c->why, what);
		ph__text_str(&c->why, " is ");
		ph__text_dec(&c->why, is);
		ph__text_str(&c->why, ", should be ");
		ph__text_dec(&c->why, should);
	}
	return false;
}

/* A free run [addr, addr + npages pages) with no free page on either side. */
static bool check_run(struct check *c, uintptr_t addr, size_t npages)
{
	const struct page_alloc *pa = c->pa;

	if (addr < pa->search)
		return broken(c, "free page below the search address", addr);
	if (npages >= pa->none_pages)
		return broken(c, "free run as long as none should be", addr);
	for (unsigned k = 1; k < PAGE_ALLOC_FITS; k++)
		if (npages >> k != 0 && addr < pa->fit[k])
			return broken(c, "free run below a fit bound", addr);
	return true;
}

/* Ends the run that reached up to addr, if any. */
static bool end_run(struct check *c, uintptr_t addr)
{
	size_t npages = c->run_pages;

	c->run_pages = 0;
	return npages == 0 ||
	       check_run(c, addr - (npages << PH_PAGE_SHIFT), npages);
}

/* The free runs of a chunk, joined with the run that reaches it from below. */
static bool check_runs(struct check *c, const struct page_chunk *chunk,
		       uintptr_t addr)
{
	for (unsigned i = 0; i < PAGE_BITS; i++) {
		uintptr_t at = addr + ((uintptr_t)i << PH_PAGE_SHIFT);

		if (i % 64 == 0 && chunk->in_use.word[i / 64] == 0) {
			c->run_pages += 64;
			i += 63;
			continue;
		}
		if (!page_bits_get(&chunk->in_use, i)) {
			c->run_pages++;
			continue;
		}
		if (!end_run(c, at))
			return false;
	}
	return true;
}

/* The scavenger's word of a chunk, and its cursors. */
static bool check_scav(struct check *c, const struct page_chunk *chunk,
		       struct scav_chunk scav, uintptr_t addr)
{
	const struct scav_index *x = &c->pa->scav;
	unsigned used = page_bits_popcount(&chunk->in_use, 0, PAGE_BITS);
	unsigned min = x->min_pages != 0 ? x->min_pages : 1;
	struct scav_candidate dirty = ph__page_chunk_candidate(
		chunk, PAGE_BITS - 1, min, PAGE_BITS, 0);

	if (scav_chunk_in_use(scav) != used)
		return broken(c, "scavenger's count of a chunk", addr);
	if (scav_chunk_last_in_use(scav) > PAGE_BITS)
		return broken(c, "scavenger's last count of a chunk", addr);
	if (dirty.npages == 0)
		return true;
	if (!(scav.packed & (SCAV_HAS_FREE | SCAV_HIDDEN)))
		return broken(c, "dirty chunk unknown to the scavenger", addr);
	if (x->cursor[SCAV_FORCED] < addr)
		return broken(c, "dirty chunk above the forced cursor", addr);
	return true;
}

static bool check_chunk(struct check *c, struct page_region *r, unsigned ci,
			bool grown)
{
	const struct page_chunk *chunk = &r->chunk[ci];
	uintptr_t addr = page_entry_addr(r, PAGE_LEAF, ci);

	if (grown != ((r->scav[ci].packed & SCAV_GROWN) != 0))
		return broken(c, "grown flag of a chunk", addr);
	if (!grown) {
		if (page_region_sum(r, PAGE_LEAF, ci)->packed != 0)
			return broken(c, "summary of a chunk never grown",
				      addr);
		return true;
	}
	for (unsigned w = 0; w < PAGE_BITS_WORDS; w++)
		if (chunk->in_use.word[w] & chunk->scavenged.word[w])
			return broken(c, "page both in use and scavenged",
				      addr);
	c->in_use_pages += page_bits_popcount(&chunk->in_use, 0, PAGE_BITS);
	c->scavenged_pages +=
		page_bits_popcount(&chunk->scavenged, 0, PAGE_BITS);
	return check_scav(c, chunk, r->scav[ci], addr) &&
	       check_runs(c, chunk, addr);
}

/* Is any chunk of the entry grown? */
static bool entry_is_grown(const struct page_alloc *pa, struct page_region *r,
			   unsigned level, unsigned i)
{
	struct addr_range entry;

	entry.base = page_entry_addr(r, level, i);
	entry.limit = entry.base + ((uintptr_t)1 << page_level_shift(level));
	return ph__addr_ranges_overlaps(&pa->grown, entry);
}

/*
 * Compares a summary with the truth.  least is what it must not be below: the
 * truth for a leaf, what the children's summaries merge to for others.
 */
static bool check_summary(struct check *c, struct page_region *r,
			  unsigned level, unsigned i, struct page_sum truth,
			  struct page_sum least)
{
	struct page_sum s = *page_region_sum(r, level, i);
	uintptr_t addr = page_entry_addr(r, level, i);

	if ((s.packed == 0) != (truth.packed == 0))
		return broken(c, "summary zero or not", addr);
	if (page_sum_start(s) < page_sum_start(least))
		return broken(c, "start of a summary too low", addr);
	if (page_sum_end(s) < page_sum_end(least))
		return broken(c, "end of a summary too low", addr);
	if (page_sum_max(s) < page_sum_max(least))
		return broken(c, "max of a summary too low", addr);
	if (level == PAGE_LEAF && page_sum_start(s) != page_sum_start(truth))
		return broken(c, "start of a leaf", addr);
	if (level == PAGE_LEAF && page_sum_end(s) != page_sum_end(truth))
		return broken(c, "end of a leaf", addr);
	if (c->settled && s.packed != truth.packed)
		return broken(c, "settled summary", addr);
	return true;
}

/*
 * Checks entry i of a level and all below it, in order of address.  The true
 * summary goes to *truth.  Recursion is five levels deep.
 */
static bool check_entry(struct check *c, struct page_region *r, unsigned level,
			unsigned i, struct page_sum *truth)
{
	struct page_sum child[PAGE_FANOUT], least = {0};
	bool grown = entry_is_grown(c->pa, r, level, i);

	truth->packed = 0;
	if (!grown && !end_run(c, page_entry_addr(r, level, i)))
		return false;
	if (level == PAGE_LEAF) {
		if (!check_chunk(c, r, i, grown))
			return false;
		if (grown)
			*truth = ph__page_bits_summarize(&r->chunk[i].in_use);
		least = *truth;
	} else if (grown) {
		for (unsigned k = 0; k < PAGE_FANOUT; k++)
			if (!check_entry(c, r, level + 1, PAGE_FANOUT * i + k,
					 &child[k]))
				return false;
		*truth = ph__page_sum_merge(child, PAGE_FANOUT,
					    page_level_log2_pages(level + 1));
		least = ph__page_sum_merge(
			page_region_sum(r, level + 1, PAGE_FANOUT * i),
			PAGE_FANOUT, page_level_log2_pages(level + 1));
	}
	return check_summary(c, r, level, i, *truth, least);
}

static bool check_totals(struct check *c)
{
	const struct page_alloc *pa = c->pa;
	size_t total = pa->grown.total_bytes >> PH_PAGE_SHIFT;

	if (pa->total_pages != total)
		return broken_count(c, "total_pages", pa->total_pages, total);
	if (pa->in_use_pages != c->in_use_pages)
		return broken_count(c, "in_use_pages", pa->in_use_pages,
				    c->in_use_pages);
	if (pa->scavenged_pages != c->scavenged_pages)
		return broken_count(c, "scavenged_pages", pa->scavenged_pages,
				    c->scavenged_pages);
	if (pa->search != PAGE_SEARCH_NONE &&
	    !ph__addr_ranges_contains(&pa->grown, pa->search))
		return broken(c, "search address outside the heap", pa->search);
	return true;
}

static bool check_all(struct check *c)
{
	const struct page_alloc *pa = c->pa;
	struct page_region *r;
	size_t num_regions = 0;

	if (!ph__addr_ranges_check(&pa->grown))
		return broken(c, "set of grown ranges", 0);
	for (r = pa->root.lowest; r != NULL; r = r->next) {
		struct page_sum truth;

		num_regions++;
		if (page_root_find(&pa->root, r->index) != r)
			return broken(c, "table of regions",
				      page_region_addr(r));
		if (r->next != NULL && r->next->index <= r->index)
			return broken(c, "order of regions",
				      page_region_addr(r));
		if (!check_entry(c, r, 0, 0, &truth))
			return false;
		if ((r->next == NULL || r->next->index != r->index + 1) &&
		    !end_run(c, page_region_addr(r) +
					((uintptr_t)1 << PAGE_REGION_SHIFT)))
			return false;
	}
	if (num_regions != pa->root.num_regions)
		return broken_count(c, "num_regions", pa->root.num_regions,
				    num_regions);
	return check_totals(c);
}

static bool check_with(const struct page_alloc *pa, char *why, size_t size,
		       bool settled)
{
	struct check c;
	bool ok;

	memset(&c, 0, sizeof(c));
	c.pa = pa;
	c.settled = settled;
	c.describe = why != NULL && size >= 2;
	if (c.describe)
		c.why = text_over(why, size);
	ok = check_all(&c);
	if (c.describe)
		ph__text_end(&c.why);
	return ok;
}

bool ph__page_alloc_check(const struct page_alloc *pa, char *why, size_t size)
{
	return check_with(pa, why, size, false);
}

bool ph__page_alloc_check_settled(const struct page_alloc *pa, char *why,
				  size_t size)
{
	return check_with(pa, why, size, true);
}
