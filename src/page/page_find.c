/* SPDX-License-Identifier: MIT */
/*
 * Address-ordered first fit over the radix tree.
 *
 * A walk goes through entries by ascending address and carries the length of
 * the free run that reaches the edge it stands at.  At an entry
 *
 *	(a) if carry + start fits, the run begins `carry` pages below: found;
 *	(b) else if max fits, the run is inside: descend;
 *	(c) else the carry grows by an entry that is all free, or becomes its
 *end.
 *
 * (a) before (b) makes the answer the lowest.  The walk starts at a chunk and
 * climbs: past the chunk's siblings, then its parent's siblings, and so on to
 * the regions, so that a fit nearby is found nearby.
 *
 *	level 2                                   [ parent's sibling ] ...
 *	level 3            [ sibling ] [ sibling ] ^
 *	level 4   [from] -> ^        descend where max fits
 *
 * Summaries above the leaf are bounds from above.  So (a) may promise a run
 *that is not there: it is measured chunk by chunk on both sides of the edge,
 *for a leaf's start and end are exact, and the entries that begin and end at
 *the edge are corrected if it is too short.  And (b) may find nothing: the
 *entry is then recomputed from its children.  Either way the walk goes on, and
 *the next one is not misled.  Every such detour was made possible by an earlier
 *allocation that left the summaries alone, so their cost is bounded by what
 *those saved.
 *
 * The search address.  Every allocation looks at how far the lower bound of the
 * free pages can be raised.  The rule is that of Go's allocator, whose search
 * goes from the root down and notes the first entry with a free page at each
 * level it looks at: the bound becomes the start of that entry on the last
 * level that both the lowest free page's path and the search have in common.
 * ph__page_tree_lowest() gets the same answer without the search.
 *
 * Cost: a few nanoseconds within a chunk; up to 8 entries for each of 5 levels
 * up and down; one load for each region beyond.
 */
#include "page/page_tree.h"

/* What is looked for. */
struct search {
	const struct page_root *root;
	size_t npages;
};

static uintptr_t find_inside(const struct search *s, struct page_region *r,
			     unsigned level, unsigned i);

/* The leaf of the chunk that contains an address; zero if there is none. */
static struct page_sum leaf_at(const struct page_root *root, uintptr_t addr)
{
	struct page_region *r = page_root_find(root, addr >> PAGE_REGION_SHIFT);
	struct page_sum zero = {0};

	if (r == NULL)
		return zero;
	return *page_region_sum(r, PAGE_LEAF,
				(addr >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS);
}

/* Length of the free run that ends at a chunk's edge; `enough` is enough. */
static size_t run_before(const struct page_root *root, uintptr_t edge,
			 size_t enough)
{
	size_t run = 0;
	unsigned end = PAGE_BITS;

	for (; end == PAGE_BITS && run < enough; edge -= PH_CHUNK_SIZE) {
		end = page_sum_end(leaf_at(root, edge - PH_CHUNK_SIZE));
		run += end;
	}
	return run;
}

/* And that begins there. */
static size_t run_after(const struct page_root *root, uintptr_t edge,
			size_t enough)
{
	size_t run = 0;
	unsigned start = PAGE_BITS;

	for (; start == PAGE_BITS && run < enough; edge += PH_CHUNK_SIZE) {
		start = page_sum_start(leaf_at(root, edge));
		run += start;
	}
	return run;
}

/* Sets start and end of an entry that is not all free, whatever it said. */
static void lower_sum(struct page_sum *s, unsigned start, unsigned end)
{
	unsigned top = PAGE_SUM_LIMIT - 1, max = page_sum_max(*s);

	*s = page_sum_of(start < top ? start : top, max < top ? max : top,
			 end < top ? end : top);
}

/*
 * The run that ends at an edge has exactly npages: no entry that ends there, or
 * ends where whole free entries before it begin, may promise more.
 */
static void correct_ends(const struct page_root *root, uintptr_t edge,
			 size_t npages)
{
	struct page_region *r =
		page_root_find(root, (edge - 1) >> PAGE_REGION_SHIFT);

	for (unsigned level = PAGE_LEAF; r != NULL && level-- != 0;) {
		unsigned shift = page_level_shift(level);
		size_t size = (size_t)1 << page_level_log2_pages(level);
		size_t left = npages;
		unsigned i = (unsigned)(((edge - 1) &
					 (((uintptr_t)1 << PAGE_REGION_SHIFT) -
					  1)) >>
					shift);
		struct page_sum *s;

		if (edge & (((uintptr_t)1 << shift) - 1))
			return;
		for (; left >= size && i % PAGE_FANOUT != 0; i--)
			left -= size;
		s = page_region_sum(r, level, i);
		if (page_sum_end(*s) > left)
			lower_sum(s, page_sum_start(*s), (unsigned)left);
	}
}

/* Likewise for the run that begins at an edge. */
static void correct_starts(const struct page_root *root, uintptr_t edge,
			   size_t npages)
{
	struct page_region *r = page_root_find(root, edge >> PAGE_REGION_SHIFT);

	for (unsigned level = PAGE_LEAF; r != NULL && level-- != 0;) {
		unsigned shift = page_level_shift(level);
		unsigned i = (unsigned)((edge &
					 (((uintptr_t)1 << PAGE_REGION_SHIFT) -
					  1)) >>
					shift);
		struct page_sum *s = page_region_sum(r, level, i);

		if (edge & (((uintptr_t)1 << shift) - 1))
			return;
		if (page_sum_start(*s) > npages)
			lower_sum(s, (unsigned)npages, page_sum_end(*s));
	}
}

/*
 * Bounds promise a run across an edge, *carry pages before it and more after.
 * Returns its address if that is so.  If not, corrects the bounds and *carry.
 */
static PH_NOINLINE uintptr_t measure(const struct search *s, uintptr_t edge,
				     size_t *carry)
{
	size_t after = run_after(s->root, edge, s->npages);
	size_t before = run_before(s->root, edge, *carry);

	if (before > *carry)
		before = *carry; /* what lies below the search's start */
	if (before + after >= s->npages)
		return edge - (before << PH_PAGE_SHIFT);
	correct_starts(s->root, edge, after);
	if (before < *carry)
		correct_ends(s->root, edge, before);
	*carry = before;
	return 0;
}

/*
 * One step of a walk, at entry i of a level.  *carry is the free run below it
 * on entry and the run at its end on return.  Returns the run's address, or 0.
 */
static inline uintptr_t walk_entry(const struct search *s,
				   struct page_region *r, unsigned level,
				   unsigned i, size_t *carry)
{
	const struct page_sum *sum = page_region_sum(r, level, i);
	size_t size = (size_t)1 << page_level_log2_pages(level);
	uintptr_t addr;

	if (sum->packed == 0) {
		*carry = 0;
		return 0;
	}
	if (*carry + page_sum_start(*sum) >= s->npages) {
		addr = page_entry_addr(r, level, i);
		if (level == PAGE_LEAF)
			return addr - (*carry << PH_PAGE_SHIFT);
		addr = measure(s, addr, carry);
		if (addr != 0)
			return addr;
	}
	if (page_sum_max(*sum) >= s->npages) {
		addr = find_inside(s, r, level, i);
		if (addr != 0)
			return addr;
	}
	*carry = page_sum_start(*sum) == size && page_sum_end(*sum) == size
			 ? *carry + size
			 : page_sum_end(*sum);
	return 0;
}

/* The lowest run in a chunk whose leaf promises one; corrects the leaf if not.
 */
static uintptr_t find_in_chunk(struct page_region *r, unsigned ci,
			       size_t npages, unsigned from)
{
	const struct page_bits *used = &r->chunk[ci].in_use;
	struct page_find found =
		ph__page_bits_find(used, (unsigned)npages, from);

	if (found.index != PAGE_BITS_NONE)
		return page_entry_addr(r, PAGE_LEAF, ci) +
		       ((uintptr_t)found.index << PH_PAGE_SHIFT);
	*page_region_sum(r, PAGE_LEAF, ci) = ph__page_bits_summarize(used);
	return 0;
}

/*
 * The lowest run inside an entry whose max promises one; corrects the entry if
 * there is none.  Recursion ends at the leaf, four levels down at most.
 */
static uintptr_t find_inside(const struct search *s, struct page_region *r,
			     unsigned level, unsigned i)
{
	size_t carry = 0;

	if (level == PAGE_LEAF)
		return find_in_chunk(r, i, s->npages, 0);
	for (unsigned c = 0; c < PAGE_FANOUT; c++) {
		uintptr_t addr = walk_entry(s, r, level + 1,
					    PAGE_FANOUT * i + c, &carry);

		if (addr != 0)
			return addr;
	}
	*page_region_sum(r, level, i) = ph__page_sum_merge(
		page_region_sum(r, level + 1, PAGE_FANOUT * i), PAGE_FANOUT,
		page_level_log2_pages(level + 1));
	return 0;
}

/* The walk from the chunk above ci on, with the run that ends there. */
static uintptr_t climb(const struct search *s, struct page_region *r,
		       unsigned ci, size_t carry)
{
	unsigned i = ci + 1;
	uintptr_t addr;

	for (unsigned level = PAGE_LEAF; level != 0; level--) {
		for (; i % PAGE_FANOUT != 0; i++) {
			addr = walk_entry(s, r, level, i, &carry);
			if (addr != 0)
				return addr;
		}
		i /= PAGE_FANOUT;
	}
	for (; r->next != NULL; r = r->next) {
		if (r->next->index != r->index + 1)
			carry = 0;
		addr = walk_entry(s, r->next, 0, 0, &carry);
		if (addr != 0)
			return addr;
	}
	return 0;
}

/* Where a search from an address starts: its chunk, or the first above it. */
struct start {
	struct page_region *region; /* NULL: nothing there */
	unsigned ci;
	unsigned page;
};

static struct start start_at(const struct page_root *root, uintptr_t from)
{
	struct start at;

	at.region = ph__page_root_find_ge(root, from >> PAGE_REGION_SHIFT);
	if (at.region != NULL && from < page_region_addr(at.region))
		from = page_region_addr(at.region);
	at.ci = (unsigned)(from >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS;
	at.page = (unsigned)(from >> PH_PAGE_SHIFT) % PAGE_BITS;
	return at;
}

uintptr_t ph__page_tree_find(const struct page_root *root, uintptr_t from,
			     size_t npages)
{
	struct start at = start_at(root, from);
	struct search s = {root, npages};
	struct page_sum leaf;

	if (at.region == NULL)
		return 0;
	leaf = *page_region_sum(at.region, PAGE_LEAF, at.ci);
	if (page_sum_max(leaf) >= npages && npages <= PAGE_BITS - at.page) {
		uintptr_t addr =
			find_in_chunk(at.region, at.ci, npages, at.page);

		if (addr != 0)
			return addr;
	}
	return climb(&s, at.region, at.ci, page_sum_end(leaf));
}

uintptr_t ph__page_tree_find_above(const struct page_root *root, uintptr_t from,
				   size_t npages)
{
	struct start at = start_at(root, from);
	struct search s = {root, npages};
	struct page_sum leaf;
	size_t carry;

	if (at.region == NULL)
		return 0;
	leaf = *page_region_sum(at.region, PAGE_LEAF, at.ci);
	if (at.page != 0 && npages <= PAGE_BITS - at.page && leaf.packed != 0) {
		struct page_bits above = at.region->chunk[at.ci].in_use;
		struct page_find found;

		page_bits_set_range(&above, 0, at.page);
		found = ph__page_bits_find(&above, (unsigned)npages, at.page);
		if (found.index != PAGE_BITS_NONE)
			return page_entry_addr(at.region, PAGE_LEAF, at.ci) +
			       ((uintptr_t)found.index << PH_PAGE_SHIFT);
	} else if (at.page == 0 && page_sum_max(leaf) >= npages) {
		uintptr_t addr = find_in_chunk(at.region, at.ci, npages, 0);

		if (addr != 0)
			return addr;
	}
	carry = page_sum_end(leaf);
	if (carry > PAGE_BITS - at.page)
		carry = PAGE_BITS - at.page;
	return climb(&s, at.region, at.ci, carry);
}

/* A non-zero entry. */
struct entry {
	struct page_region *region; /* NULL: there is none */
	unsigned level;
	unsigned i;
};

/* The first entry that is not zero on the way up from a chunk that is. */
static struct entry first_nonzero(struct page_region *r, unsigned ci)
{
	struct entry e = {r, PAGE_LEAF, ci + 1};

	for (; e.level != 0; e.level--) {
		for (; e.i % PAGE_FANOUT != 0; e.i++)
			if (page_region_sum(r, e.level, e.i)->packed != 0)
				return e;
		e.i /= PAGE_FANOUT;
	}
	e.i = 0;
	for (e.region = r->next; e.region != NULL; e.region = e.region->next)
		if (page_region_sum(e.region, 0, 0)->packed != 0)
			break;
	return e;
}

/*
 * The level on which a search from the root down finds the run: the first on
 * which the run starts with an entry or leaves the one it starts in.
 * PAGE_LEVELS: inside a chunk.
 */
static unsigned found_level(uintptr_t addr, size_t npages)
{
	uintptr_t last = addr + ((npages - 1) << PH_PAGE_SHIFT);
	unsigned level;

	for (level = 0; level < PAGE_LEVELS; level++) {
		unsigned shift = page_level_shift(level);

		if ((addr & (((uintptr_t)1 << shift) - 1)) == 0 ||
		    addr >> shift != last >> shift)
			break;
	}
	return level;
}

uintptr_t ph__page_tree_lowest(const struct page_root *root, uintptr_t search,
			       uintptr_t addr, size_t npages)
{
	struct start at = start_at(root, search);
	unsigned chunk = PH_CHUNK_SHIFT, level;
	struct entry e;
	uintptr_t lowest;

	if (at.region == NULL)
		return 0;
	if (page_region_sum(at.region, PAGE_LEAF, at.ci)->packed != 0) {
		/* Only a search that ends in this chunk learns anything. */
		if (addr >> chunk != search >> chunk ||
		    (addr + ((npages - 1) << PH_PAGE_SHIFT)) >> chunk !=
			    search >> chunk)
			return 0;
		lowest = page_entry_addr(at.region, PAGE_LEAF, at.ci);
		return lowest +
		       ((uintptr_t)ph__page_bits_find(
				&at.region->chunk[at.ci].in_use, 1, at.page)
				.index
			<< PH_PAGE_SHIFT);
	}
	e = first_nonzero(at.region, at.ci);
	if (e.region == NULL)
		return 0;
	/* Follow the lowest free page down as far as the search did. */
	level = found_level(addr, npages);
	lowest = page_entry_addr(e.region, e.level, e.i);
	while (e.level < level && e.level < PAGE_LEAF &&
	       lowest >> page_level_shift(e.level) ==
		       addr >> page_level_shift(e.level)) {
		e.level++;
		e.i *= PAGE_FANOUT;
		while (page_region_sum(e.region, e.level, e.i)->packed == 0)
			e.i++;
		lowest = page_entry_addr(e.region, e.level, e.i);
	}
	if (level == PAGE_LEVELS && e.level == PAGE_LEAF &&
	    lowest >> chunk == addr >> chunk)
		return lowest + ((uintptr_t)ph__page_bits_find(
					 &e.region->chunk[e.i].in_use, 1, 0)
					 .index
				 << PH_PAGE_SHIFT);
	/* Or climb to where they parted. */
	while (e.level != 0 &&
	       (e.level > level ||
		lowest >> page_level_shift(e.level - 1) !=
			addr >> page_level_shift(e.level - 1))) {
		e.level--;
		lowest &= ~(((uintptr_t)1 << page_level_shift(e.level)) - 1);
	}
	return lowest < search ? 0 : lowest;
}
