/* SPDX-License-Identifier: MIT */
/*
 * The summaries: what an allocation and a free change in them.
 *
 * Each entry of the radix tree summarises its part of the heap by three counts
 * of free pages: at its low end, the longest run, at its high end.  Keeping all
 * of them exact is what makes Go's page allocator slow: an operation recomputes
 * the leaf (25 to 50 ns) and up to four merges of eight children (17 ns each).
 *
 * Here they are bounds instead.
 *
 * Invariants.
 *	leaf: start and end are exact; max is at least the longest run
 *	above: every count is at least what merging the children gives
 *	all: an entry is zero exactly if it has no free page
 * It follows that no count is too low, and a search never passes over a run.
 *
 * Taking pages can only lower counts, so nothing above the leaf is touched.
 * Taking [i, i + n) shortens the leaf's start to min(start, i) and its end
 * likewise: the pages before i are what they were, and a run that reached i
 *ends there.  When the chunk becomes full, one test of eight siblings keeps
 *zero exact above.
 *
 * Freeing computes the free run around the pages from the bitmap, and raises
 *the leaf, then its parent if that promises less than the leaf now gives, and
 *so on until nothing changes.  What was taken and is freed again finds the
 *promise still standing, and stops at the parent.
 *
 *	level 3   |   parent: start' = left + start if left reaches the edge  |
 *	level 4   | whole | whole |   child  | ...                            |
 *	          <----- left ----><-start->
 *
 * A free of many chunks recomputes all above them, at a cost in proportion to
 * their number.
 *
 * Locking: the page allocator's owner holds its lock.
 */
#include "page/page_tree.h"

/* The leaf of a chunk in which pages [i, i + n) are in use now. */
static struct page_sum leaf_without(const struct page_piece *p,
				    struct page_sum s)
{
	unsigned start = page_sum_start(s), max = page_sum_max(s);
	unsigned end = page_sum_end(s), above = PAGE_BITS - p->i - p->n;
	unsigned nfree = PAGE_BITS - scav_chunk_in_use(p->region->scav[p->ci]);
	struct page_sum zero = {0};

	if (nfree == 0)
		return zero;
	return page_sum_of(start < p->i ? start : p->i,
			   max < nfree ? max : nfree,
			   end < above ? end : above);
}

/* Is every one of the eight siblings of entry i zero? */
static bool block_is_zero(struct page_region *r, unsigned level, unsigned i)
{
	const struct page_sum *s = page_region_sum(r, level, i & ~7u);
	uint64_t any = 0;

	for (unsigned c = 0; c < PAGE_FANOUT; c++)
		any |= s[c].packed;
	return any == 0;
}

/* A chunk has become full: so may have what is above it. */
static void zero_above(struct page_region *r, unsigned i)
{
	for (unsigned level = PAGE_LEAF; level != 0; level--) {
		if (!block_is_zero(r, level, i))
			return;
		i /= PAGE_FANOUT;
		page_region_sum(r, level - 1, i)->packed = 0;
	}
}

void ph__page_tree_taken(const struct page_piece *p)
{
	struct page_sum *leaf = page_region_sum(p->region, PAGE_LEAF, p->ci);

	*leaf = leaf_without(p, *leaf);
	if (leaf->packed == 0)
		zero_above(p->region, p->ci);
}

/* Free pages in the siblings just below entry i of a level, without a gap. */
static unsigned run_left(struct page_region *r, unsigned level, unsigned i)
{
	unsigned size = 1u << page_level_log2_pages(level), run = 0;

	for (; i % PAGE_FANOUT != 0; i--) {
		unsigned end = page_sum_end(*page_region_sum(r, level, i - 1));

		run += end;
		if (end != size)
			break;
	}
	return run;
}

/* And just above. */
static unsigned run_right(struct page_region *r, unsigned level, unsigned i)
{
	unsigned size = 1u << page_level_log2_pages(level), run = 0;

	for (i++; i % PAGE_FANOUT != 0; i++) {
		unsigned start = page_sum_start(*page_region_sum(r, level, i));

		run += start;
		if (start != size)
			break;
	}
	return run;
}

static unsigned max2(unsigned a, unsigned b)
{
	return a > b ? a : b;
}

/* The parent's summary, given that the free pages of its child i became more.
 */
static struct page_sum raised_parent(struct page_region *r, unsigned level,
				     unsigned i, struct page_sum parent)
{
	struct page_sum child = *page_region_sum(r, level, i);
	unsigned size = 1u << page_level_log2_pages(level), c = i % PAGE_FANOUT;
	unsigned start = page_sum_start(parent), end = page_sum_end(parent);
	unsigned max = max2(page_sum_max(parent), page_sum_max(child));
	unsigned low = page_sum_start(child), high = page_sum_end(child);
	unsigned left = low != 0 ? run_left(r, level, i) : 0;
	unsigned right = high != 0 ? run_right(r, level, i) : 0;

	/* The runs through the child's edges; one run if it is all free. */
	low += left;
	high += right;
	if (page_sum_start(child) == size && page_sum_end(child) == size) {
		low += right;
		high += left;
	}
	if (page_sum_start(child) != 0 && left == c * size)
		start = max2(start, low);
	if (page_sum_end(child) != 0 && right == (PAGE_FANOUT - 1 - c) * size)
		end = max2(end, high);
	return page_sum_of(start, max2(max, max2(low, high)), end);
}

/* Carries a change of a leaf by a free upward. */
static void raise_above(struct page_region *r, unsigned i)
{
	for (unsigned level = PAGE_LEAF; level != 0; level--) {
		struct page_sum *s =
			page_region_sum(r, level - 1, i / PAGE_FANOUT);
		struct page_sum new_sum = raised_parent(r, level, i, *s);

		if (new_sum.packed == s->packed)
			return;
		*s = new_sum;
		i /= PAGE_FANOUT;
	}
}

struct bit_run ph__page_tree_leaf_freed(const struct page_piece *p)
{
	struct page_sum *leaf = page_region_sum(p->region, PAGE_LEAF, p->ci);
	struct bit_run run = ph__page_bits_run_around(
		&p->region->chunk[p->ci].in_use, p->i, p->n);

	*leaf = page_sum_of(run.first == 0 ? run.limit : page_sum_start(*leaf),
			    max2(page_sum_max(*leaf), run.limit - run.first),
			    run.limit == PAGE_BITS ? PAGE_BITS - run.first
						   : page_sum_end(*leaf));
	return run;
}

struct bit_run ph__page_tree_freed(const struct page_piece *p)
{
	struct page_sum *leaf = page_region_sum(p->region, PAGE_LEAF, p->ci);
	struct page_sum old = *leaf;
	struct bit_run run = ph__page_tree_leaf_freed(p);

	if (leaf->packed != old.packed)
		raise_above(p->region, p->ci);
	return run;
}

void ph__page_tree_refresh(struct page_region *r, unsigned ci)
{
	*page_region_sum(r, PAGE_LEAF, ci) =
		ph__page_bits_summarize(&r->chunk[ci].in_use);
	raise_above(r, ci);
}

void ph__page_tree_merge(struct page_region *r, unsigned first, unsigned last)
{
	for (unsigned level = PAGE_LEAF; level-- != 0;) {
		bool changed = false;

		first /= PAGE_FANOUT;
		last /= PAGE_FANOUT;
		for (unsigned i = first; i <= last; i++) {
			struct page_sum *s = page_region_sum(r, level, i);
			struct page_sum new_sum = ph__page_sum_merge(
				page_region_sum(r, level + 1, PAGE_FANOUT * i),
				PAGE_FANOUT, page_level_log2_pages(level + 1));

			changed |= new_sum.packed != s->packed;
			*s = new_sum;
		}
		if (!changed)
			return;
	}
}

void ph__page_tree_settle(struct page_region *r, unsigned first, unsigned last)
{
	for (unsigned ci = first; ci <= last; ci++)
		*page_region_sum(r, PAGE_LEAF, ci) =
			ph__page_bits_summarize(&r->chunk[ci].in_use);
	for (unsigned level = PAGE_LEAF; level-- != 0;) {
		first /= PAGE_FANOUT;
		last /= PAGE_FANOUT;
		for (unsigned i = first; i <= last; i++)
			*page_region_sum(r, level, i) = ph__page_sum_merge(
				page_region_sum(r, level + 1, PAGE_FANOUT * i),
				PAGE_FANOUT, page_level_log2_pages(level + 1));
	}
}
