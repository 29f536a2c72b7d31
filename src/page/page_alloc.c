/* SPDX-License-Identifier: MIT */
/*
 * The page allocator.
 *
 * It manages ranges of whole chunks (4 MiB, 512 pages of 8 KiB) and keeps for
 * each page two bits, in use and scavenged (page_chunk.h).  Over the bits of
 * all chunks stands a radix tree of summaries (page_tree.c), one root entry for
 * each region of 16 GiB (page_region.h), and a search of that tree answers
 * "which is the lowest run of n free pages" (page_find.c).
 *
 *	root      | region            | region            |   16 GiB each
 *	          /    \
 *	levels   |8 entries| ... five levels, fan-out 8
 *	          |
 *	leaf      (start, max, end) of a chunk     + a word for the scavenger
 *	          |
 *	chunk     512 bits in use, 512 bits scavenged
 *
 * First fit by address keeps the heap's top empty, so that huge pages become
 * free as a whole; measured on page-level traces it packs as well as the best
 * huge-page-aware allocators and better than "densest first".
 *
 * Bounds of searches, each a lower bound that is cheap to keep:
 *	search      no free page lies below (where one-page searches start)
 *	fit[k]      no run of at least 2^k pages starts below, for "longest
 *	            possible" runs, those with no free page on either side
 *	none_pages  no run of so many pages exists at all
 * Freeing pages computes the free run around them (the summaries need it
 * anyway) and lowers those bounds that its length concerns.
 *
 * Invariants, verified by page_check.c: no page is both in use and scavenged;
 * the summaries' (page_tree.c); the three bounds; `search` lies in a grown
 *range or is PAGE_SEARCH_NONE; the counters agree with the bitmaps; what the
 * scavenger's words say of each chunk.
 *
 * Cost: allocating or freeing up to 512 pages, 3 to 60 ns whatever the heap's
 * size; beyond that, linear in the number of chunks of the run.  A failing
 * allocation costs one walk over the regions once, then a compare.
 *
 * Locking: none here.  The owner serialises all calls.
 *
 * Rejected: exact summaries at all times (2 to 5 times slower); free lists by
 * size (fast, but not address-ordered); trees of free runs (metadata grows with
 * fragmentation).
 */
#include <errno.h>
#include <string.h>

#include "page/page_alloc.h"
#include "page/page_tree.h"

/* Longer than any run: used where a run's length is not known. */
#define UNKNOWN_LENGTH SIZE_MAX

void ph__page_alloc_init(struct page_alloc *pa, struct meta *meta)
{
	memset(pa, 0, sizeof(*pa));
	pa->search = PAGE_SEARCH_NONE;
	pa->meta = meta;
	ph__addr_ranges_init(&pa->grown);
}

void ph__page_alloc_destroy(struct page_alloc *pa)
{
	ph__page_root_destroy(&pa->root, pa->meta);
	ph__addr_ranges_destroy(&pa->grown, pa->meta);
	ph__page_alloc_init(pa, pa->meta);
}

/* ------------------------------------------------------------------------ */
/* Pieces: a run of pages, chunk by chunk                                   */
/* ------------------------------------------------------------------------ */

/*
 * The first piece of [addr, addr + npages pages).  Its region is NULL where
 * none exists.
 */
static inline struct page_piece piece_at(const struct page_alloc *pa,
					 uintptr_t addr, size_t npages)
{
	struct page_piece p;

	p.region = page_root_find(&pa->root, addr >> PAGE_REGION_SHIFT);
	p.ci = (unsigned)(addr >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS;
	p.i = (unsigned)(addr >> PH_PAGE_SHIFT) % PAGE_BITS;
	p.n = npages < PAGE_BITS - p.i ? (unsigned)npages : PAGE_BITS - p.i;
	return p;
}

static inline bool piece_is_grown(const struct page_piece *p)
{
	return p->region != NULL &&
	       (p->region->scav[p->ci].packed & SCAV_GROWN) != 0;
}

/* Passes over the first piece of what is left; false at the end. */
static inline bool next_piece(const struct page_alloc *pa, struct page_piece *p,
			      uintptr_t *addr, size_t *npages)
{
	*addr += (uintptr_t)p->n << PH_PAGE_SHIFT;
	*npages -= p->n;
	if (*npages == 0)
		return false;
	*p = piece_at(pa, *addr, *npages);
	return true;
}

/* Does the run lie below 2^48, with at least one page? */
static inline bool run_makes_sense(uintptr_t addr, size_t npages)
{
	uintptr_t limit = (uintptr_t)1 << PAGE_ADDR_BITS;

	return npages != 0 && addr % PH_PAGE_SIZE == 0 && addr < limit &&
	       npages <= (limit - addr) >> PH_PAGE_SHIFT;
}

/* The chunks of a run in one region: the leaves changed, now those above. */
static void merge_above(struct page_alloc *pa, uintptr_t addr, size_t npages)
{
	size_t first = addr >> PH_CHUNK_SHIFT;
	size_t last = (addr + (npages << PH_PAGE_SHIFT) - 1) >> PH_CHUNK_SHIFT;

	while (first <= last) {
		size_t index = first / PAGE_REGION_CHUNKS;
		size_t top = (index + 1) * PAGE_REGION_CHUNKS - 1;

		if (top > last)
			top = last;
		ph__page_tree_merge(page_root_find(&pa->root, index),
				    first % PAGE_REGION_CHUNKS,
				    top % PAGE_REGION_CHUNKS);
		first = top + 1;
	}
}

/* ------------------------------------------------------------------------ */
/* Bounds of searches                                                       */
/* ------------------------------------------------------------------------ */

/* A free run that begins at addr may now be as long as npages. */
static inline void note_run(struct page_alloc *pa, uintptr_t addr,
			    size_t npages)
{
	unsigned top = npages >= (size_t)1 << (PAGE_ALLOC_FITS - 1)
			       ? PAGE_ALLOC_FITS - 1
			       : log2_floor(npages);

	for (unsigned k = 1; k <= top; k++)
		if (pa->fit[k] > addr)
			pa->fit[k] = addr;
	if (pa->none_pages <= npages)
		pa->none_pages = npages == SIZE_MAX ? npages : npages + 1;
}

/*
 * Where a free run that begins at a chunk's edge at addr begins, counting what
 * lies below.  A chunk below that is all free needs no following: the run it
 * belongs to was longer than any fit[] asks for, so they are below it already.
 */
static uintptr_t run_start_below(const struct page_alloc *pa, uintptr_t addr)
{
	struct page_piece below = piece_at(pa, addr - PH_PAGE_SIZE, 1);
	unsigned end;

	if (!piece_is_grown(&below))
		return addr;
	end = page_sum_end(*page_region_sum(below.region, PAGE_LEAF, below.ci));
	return addr - ((uintptr_t)end << PH_PAGE_SHIFT);
}

/* As note_run(), for the free run [first, limit) of a chunk. */
static inline void note_chunk_run(struct page_alloc *pa,
				  const struct page_piece *p,
				  struct bit_run run)
{
	uintptr_t addr = page_entry_addr(p->region, PAGE_LEAF, p->ci);
	size_t npages = run.limit - run.first;

	if (run.first == 0 || run.limit == PAGE_BITS)
		npages = UNKNOWN_LENGTH;
	if (run.first == 0)
		addr = run_start_below(pa, addr);
	else
		addr += (uintptr_t)run.first << PH_PAGE_SHIFT;
	note_run(pa, addr, npages);
}

void ph__page_alloc_note_freed(struct page_alloc *pa,
			       const struct page_piece *p)
{
	const struct page_bits *used = &p->region->chunk[p->ci].in_use;
	struct bit_run run = ph__page_bits_run_around(used, p->i, 1);

	/*
	 * The pages of the piece may be several runs, the lowest of which is
	 * this.  No run inside the chunk is longer than its max says.
	 */
	if (p->n != 1 && run.limit < p->i + p->n && run.first != 0) {
		struct page_sum s =
			*page_region_sum(p->region, PAGE_LEAF, p->ci);
		uintptr_t addr = page_entry_addr(p->region, PAGE_LEAF, p->ci) +
				 ((uintptr_t)run.first << PH_PAGE_SHIFT);
		bool edge = ph__page_bits_run_around(used, p->i + p->n - 1, 1)
				    .limit == PAGE_BITS;

		note_run(pa, addr, edge ? UNKNOWN_LENGTH : page_sum_max(s));
		return;
	}
	note_chunk_run(pa, p, run);
}

/* Where a search for npages starts. */
static inline uintptr_t search_start(const struct page_alloc *pa, size_t npages)
{
	unsigned k = log2_floor(npages);

	if (k == 0)
		return pa->search;
	if (k >= PAGE_ALLOC_FITS)
		k = PAGE_ALLOC_FITS - 1;
	return pa->fit[k] > pa->search ? pa->fit[k] : pa->search;
}

/* A search for npages found its run just below limit; or none: SEARCH_NONE. */
static inline void note_found(struct page_alloc *pa, size_t npages,
			      uintptr_t limit)
{
	unsigned k = log2_ceil(npages);

	if (k < PAGE_ALLOC_FITS && pa->fit[k] < limit)
		pa->fit[k] = limit;
}

static PH_COLD void note_none(struct page_alloc *pa, size_t npages)
{
	for (unsigned k = log2_ceil(npages); k < PAGE_ALLOC_FITS; k++)
		pa->fit[k] = PAGE_SEARCH_NONE;
	if (pa->none_pages > npages)
		pa->none_pages = npages;
	if (npages == 1)
		pa->search = PAGE_SEARCH_NONE;
}

/* Raises the search address as far as the allocation to come allows. */
static void raise_search(struct page_alloc *pa, uintptr_t addr, size_t npages)
{
	uintptr_t lowest =
		ph__page_tree_lowest(&pa->root, pa->search, addr, npages);
	struct page_piece p = piece_at(pa, lowest, 1);

	if (lowest <= pa->search)
		return;
	/* An entry may begin below the first chunk that was grown. */
	if (!piece_is_grown(&p) &&
	    !ph__addr_ranges_find_ge(&pa->grown, lowest, &lowest))
		return;
	pa->search = lowest;
}

/* ------------------------------------------------------------------------ */
/* Taking                                                                   */
/* ------------------------------------------------------------------------ */

static inline unsigned take_bits(struct page_alloc *pa,
				 const struct page_piece *p)
{
	struct scav_chunk *scav = &p->region->scav[p->ci];

	ph_assert(p->region != NULL);
	*scav = scav_chunk_alloc(*scav, p->n, pa->scav.gen);
	return page_chunk_take(&p->region->chunk[p->ci], p->i, p->n);
}

/* Marks a free run as in use, in bitmaps, summaries and counters. */
static struct page_run take_run(struct page_alloc *pa, uintptr_t addr,
				size_t npages)
{
	struct page_run run = {addr, 0};
	struct page_piece p = piece_at(pa, addr, npages);
	uintptr_t at = addr;
	size_t left = npages;

	do {
		run.scavenged_pages += take_bits(pa, &p);
		ph__page_tree_taken(&p);
	} while (next_piece(pa, &p, &at, &left));
	pa->in_use_pages += npages;
	pa->scavenged_pages -= run.scavenged_pages;
	return run;
}

struct page_run ph__page_alloc_take(struct page_alloc *pa, size_t npages)
{
	struct page_run none = {0, 0};
	uintptr_t addr;

	ph_require(npages != 0);
	if (npages >= pa->none_pages || pa->search == PAGE_SEARCH_NONE)
		return none;
	addr = ph__page_tree_find(&pa->root, search_start(pa, npages), npages);
	if (addr == 0) {
		note_none(pa, npages);
		return none;
	}
	raise_search(pa, addr, npages);
	note_found(pa, npages, addr + (npages << PH_PAGE_SHIFT));
	return take_run(pa, addr, npages);
}

struct page_run ph__page_alloc_take_aligned(struct page_alloc *pa,
					    size_t npages, size_t align)
{
	struct page_run none = {0, 0};
	uintptr_t from, limit = (uintptr_t)1 << PAGE_ADDR_BITS;

	ph_require(npages != 0 && is_pow2(align));
	if (align <= PH_PAGE_SIZE)
		return ph__page_alloc_take(pa, npages);
	if (npages >= pa->none_pages || pa->search == PAGE_SEARCH_NONE ||
	    align >= limit)
		return none;
	/*
	 * Between a run's start and the next multiple of align no run can fit
	 * that starts at one; nor can one before the multiple after, once that
	 * place was found to be in use.
	 */
	for (from = search_start(pa, npages); from < limit;) {
		from = ph__page_tree_find_above(&pa->root, from, npages);
		if (from == 0)
			break;
		from = align_up(from, align);
		if (ph__page_alloc_is_free(pa, from, npages))
			return take_run(pa, from, npages);
		from += align;
	}
	return none;
}

struct page_run ph__page_alloc_take_at(struct page_alloc *pa, uintptr_t addr,
				       size_t npages)
{
	struct page_run none = {0, 0};

	if (!ph__page_alloc_is_free(pa, addr, npages))
		return none;
	return take_run(pa, addr, npages);
}

/* ------------------------------------------------------------------------ */
/* Freeing                                                                  */
/* ------------------------------------------------------------------------ */

static inline void free_bits(struct page_alloc *pa, const struct page_piece *p)
{
	struct scav_chunk *scav = &p->region->scav[p->ci];

	ph_assert(p->region != NULL);
	page_bits_clear_range(&p->region->chunk[p->ci].in_use, p->i, p->n);
	*scav = scav_chunk_free(*scav, p->n, pa->scav.gen);
	scav_index_note_free(
		&pa->scav,
		page_entry_addr(p->region, PAGE_LEAF, p->ci) +
			((uintptr_t)(p->i + p->n - 1) << PH_PAGE_SHIFT));
}

void ph__page_alloc_free(struct page_alloc *pa, uintptr_t addr, size_t npages)
{
	struct page_piece p = piece_at(pa, addr, npages);
	uintptr_t at = addr;
	size_t left = npages;

	ph_assert(ph__page_alloc_is_allocated(pa, addr, npages));
	if (addr < pa->search)
		pa->search = addr;
	pa->in_use_pages -= npages;
	free_bits(pa, &p);
	if (ph_likely(p.n == npages)) {
		note_chunk_run(pa, &p, ph__page_tree_freed(&p));
		return;
	}
	if (npages <= PAGE_BITS) {
		/* Two chunks: what is above them seldom needs a change. */
		note_chunk_run(pa, &p, ph__page_tree_freed(&p));
		(void)next_piece(pa, &p, &at, &left);
		free_bits(pa, &p);
		ph__page_tree_freed(&p);
		return;
	}
	note_chunk_run(pa, &p, ph__page_tree_leaf_freed(&p));
	while (next_piece(pa, &p, &at, &left)) {
		free_bits(pa, &p);
		ph__page_tree_leaf_freed(&p);
	}
	merge_above(pa, addr, npages);
}

/* ------------------------------------------------------------------------ */
/* Growing                                                                  */
/* ------------------------------------------------------------------------ */

static void add_chunks(struct page_alloc *pa, uintptr_t base, size_t npages)
{
	struct page_piece p = piece_at(pa, base, npages);
	uintptr_t at = base;
	size_t left = npages;

	do {
		ph_assert(p.region != NULL);
		p.region->scav[p.ci].packed = SCAV_GROWN;
		page_bits_set_range(&p.region->chunk[p.ci].scavenged, 0,
				    PAGE_BITS);
		*page_region_sum(p.region, PAGE_LEAF, p.ci) =
			page_sum_of(PAGE_BITS, PAGE_BITS, PAGE_BITS);
	} while (next_piece(pa, &p, &at, &left));
	merge_above(pa, base, npages);
}

int ph__page_alloc_grow(struct page_alloc *pa, uintptr_t base, size_t nbytes)
{
	struct addr_range r = {base, base + nbytes};
	struct page_root_plan plan;

	if (base % PH_CHUNK_SIZE != 0 || nbytes % PH_CHUNK_SIZE != 0 ||
	    base == 0 || !run_makes_sense(base, nbytes >> PH_PAGE_SHIFT) ||
	    ph__addr_ranges_overlaps(&pa->grown, r))
		return EINVAL;
	if (ph__page_root_prepare(
		    &pa->root, pa->meta, r.base >> PAGE_REGION_SHIFT,
		    (r.limit - 1) >> PAGE_REGION_SHIFT, &plan) != 0)
		return ENOMEM;
	if (ph__addr_ranges_reserve(&pa->grown, pa->meta) != 0) {
		ph__page_root_abandon(pa->meta, &plan);
		return ENOMEM;
	}
	/* Nothing below can fail. */
	ph__page_root_apply(&pa->root, pa->meta, &plan);
	ph__addr_ranges_add(&pa->grown, r);
	pa->total_pages += nbytes >> PH_PAGE_SHIFT;
	pa->scavenged_pages += nbytes >> PH_PAGE_SHIFT;
	if (base < pa->search)
		pa->search = base;
	note_run(pa, run_start_below(pa, base), UNKNOWN_LENGTH);
	add_chunks(pa, base, nbytes >> PH_PAGE_SHIFT);
	return 0;
}

/* ------------------------------------------------------------------------ */
/* Queries                                                                  */
/* ------------------------------------------------------------------------ */

bool ph__page_alloc_is_allocated(const struct page_alloc *pa, uintptr_t addr,
				 size_t npages)
{
	struct page_piece p;

	if (!run_makes_sense(addr, npages))
		return false;
	p = piece_at(pa, addr, npages);
	do {
		if (!piece_is_grown(&p) ||
		    !page_bits_all_set(&p.region->chunk[p.ci].in_use, p.i, p.n))
			return false;
	} while (next_piece(pa, &p, &addr, &npages));
	return true;
}

bool ph__page_alloc_is_free(const struct page_alloc *pa, uintptr_t addr,
			    size_t npages)
{
	struct page_piece p;

	if (!run_makes_sense(addr, npages))
		return false;
	p = piece_at(pa, addr, npages);
	do {
		if (!piece_is_grown(&p) ||
		    !page_bits_all_clear(&p.region->chunk[p.ci].in_use, p.i,
					 p.n))
			return false;
	} while (next_piece(pa, &p, &addr, &npages));
	return true;
}

size_t ph__page_alloc_count_scavenged(const struct page_alloc *pa,
				      uintptr_t addr, size_t npages)
{
	struct page_piece p = piece_at(pa, addr, npages);
	size_t count = 0;

	ph_require(run_makes_sense(addr, npages));
	do {
		if (piece_is_grown(&p))
			count += page_bits_popcount(
				&p.region->chunk[p.ci].scavenged, p.i, p.n);
	} while (next_piece(pa, &p, &addr, &npages));
	return count;
}

size_t ph__page_alloc_free_below(const struct page_alloc *pa, uintptr_t limit)
{
	size_t npages = 0;
	unsigned end = PAGE_BITS;

	ph_require(limit % PH_CHUNK_SIZE == 0);
	while (limit != 0 && end == PAGE_BITS) {
		struct page_piece p = piece_at(pa, limit - PH_PAGE_SIZE, 1);

		if (!piece_is_grown(&p))
			break;
		end = page_sum_end(*page_region_sum(p.region, PAGE_LEAF, p.ci));
		npages += end;
		limit -= PH_CHUNK_SIZE;
	}
	return npages;
}

void ph__page_alloc_next_generation(struct page_alloc *pa)
{
	scav_index_next_gen(&pa->scav);
}

void ph__page_alloc_settle(struct page_alloc *pa)
{
	for (size_t i = 0; i < pa->grown.count; i++) {
		size_t first = pa->grown.range[i].base >> PH_CHUNK_SHIFT;
		size_t end = pa->grown.range[i].limit >> PH_CHUNK_SHIFT;

		while (first < end) {
			size_t index = first / PAGE_REGION_CHUNKS;
			size_t top = (index + 1) * PAGE_REGION_CHUNKS;

			top = top < end ? top : end;
			ph__page_tree_settle(page_root_find(&pa->root, index),
					     first % PAGE_REGION_CHUNKS,
					     (top - 1) % PAGE_REGION_CHUNKS);
			first = top;
		}
	}
}

const struct page_chunk *ph__page_alloc_chunk(const struct page_alloc *pa,
					      size_t ci)
{
	struct page_piece p = piece_at(pa, ci << PH_CHUNK_SHIFT, 1);

	return piece_is_grown(&p) ? &p.region->chunk[p.ci] : NULL;
}

struct page_sum ph__page_alloc_summary(const struct page_alloc *pa,
				       unsigned level, size_t i)
{
	unsigned shift = PAGE_REGION_SHIFT - page_level_shift(level);
	struct page_region *r = page_root_find(&pa->root, i >> shift);
	struct page_sum zero = {0};

	if (r == NULL)
		return zero;
	return *page_region_sum(r, level,
				(unsigned)(i & (((size_t)1 << shift) - 1)));
}
