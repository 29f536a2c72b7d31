/* SPDX-License-Identifier: MIT */
/*
 * The summaries: what an allocation and a free change in them.
 *
 * Each entry of the radix tree summarises its part of the heap by three counts
 * of free pages: at its low end, the longest run, at its high end.  Keeping all
 * of them exact is what makes Go's page allocator slow: an operation recomputes
 * the leaf (25 to 50 ns) and up to four merges of eight children (17 ns each).
 *
 * Invariants.  For every entry
 *	start and end are exact;
 *	it is zero exactly if it has no free page;
 *	max is at least the longest run (and at least start and end).
 * Only max may be stale, and only too high.
 *
 * Taking [i, i + n) shortens start to min(start, i) and end likewise: the pages
 * before i are what they were, and a run that reached i ends there.  The same
 * holds at each level above, with i counted from the entry's start; and when
 * neither changes at one level, neither does above, for a run at the edge of an
 * entry is part of one at the edge of its parent or of none.  max stays, but
 *for the cap that what is in use leaves.  One test of eight siblings, when a
 *chunk becomes full, keeps zero exact.
 *
 * Freeing computes the free run around the pages from the bitmap.  If it
 *reaches no edge of the chunk and is not longer than max, nothing above
 *changes: two loads and a compare.  Otherwise the run is followed into the
 *siblings, level by level, until nothing changes.
 *
 *	level 3   |   parent: start' = left + start if left reaches the edge  |
 *	level 4   | whole | whole |   child  | ...                            |
 *	          <----- left ----><-start->
 *
 * Several chunks at once are recomputed eagerly; the cost is in proportion to
 * what is allocated.
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

/* Carries a change of a leaf by an allocation upward. */
static void lower_above(const struct page_piece *p, bool full)
{
	struct page_region *r = p->region;
	unsigned i = p->ci;
	unsigned first = p->i, size = PAGE_BITS; /* of the run, in its entry */

	for (unsigned level = PAGE_LEAF; level-- != 0;) {
		struct page_sum *s, new_sum = {0};

		first += size * (i & 7u);
		size *= PAGE_FANOUT;
		full = full && block_is_zero(r, level + 1, i);
		i /= PAGE_FANOUT;
		s = page_region_sum(r, level, i);
		if (!full) {
			unsigned start = page_sum_start(*s);
			unsigned max = page_sum_max(*s), end = page_sum_end(*s);
			unsigned above = size - first - p->n;

			/* The cap keeps max off the value "all free". */
			new_sum = page_sum_of(start < first ? start : first,
					      max < size - p->n ? max
								: size - p->n,
					      end < above ? end : above);
		}
		if (new_sum.packed == s->packed)
			return;
		*s = new_sum;
	}
}

void ph__page_tree_leaf_taken(const struct page_piece *p)
{
	struct page_sum *leaf = page_region_sum(p->region, PAGE_LEAF, p->ci);

	*leaf = leaf_without(p, *leaf);
}

void ph__page_tree_taken(const struct page_piece *p)
{
	struct page_sum *leaf = page_region_sum(p->region, PAGE_LEAF, p->ci);
	struct page_sum old = *leaf;

	*leaf = leaf_without(p, old);
	if (leaf->packed != 0 && page_sum_start(*leaf) == page_sum_start(old) &&
	    page_sum_end(*leaf) == page_sum_end(old))
		return;
	lower_above(p, leaf->packed == 0);
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
	if (page_sum_start(child) == size) {
		low += right;
		high += left;
	}
	if (page_sum_start(child) != 0 && left == c * size)
		start = low;
	if (page_sum_end(child) != 0 && right == (PAGE_FANOUT - 1 - c) * size)
		end = high;
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
