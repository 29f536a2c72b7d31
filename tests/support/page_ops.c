/* SPDX-License-Identifier: MIT */
/*
 * Each operation draws its arguments from the bytes, does its work on the
 * allocator and on the model of page_model.h, and compares.
 */
#include "page_ops.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "meta/meta.h"
#include "page/page_alloc.h"
#include "page/page_cache.h"
#include "page/page_scavenge.h"
#include "page_model.h"

#define NUM_PAGES PAGE_MODEL_PAGES
#define NUM_SLOTS 4
#define NUM_FLIGHTS 3
#define NONE PAGE_MODEL_NONE

struct world {
	const uint8_t *bytes;
	size_t left;
	struct meta meta;
	struct page_alloc pa;
	struct page_model m;
	struct page_cache slot[NUM_SLOTS];
	struct page_range flight[NUM_FLIGHTS];
	unsigned min_pages;
	unsigned profile; /* see op_of() */
	struct page_ops_report report;
};

static void fail(const struct world *w, enum page_op op, const char *what)
{
	fprintf(stderr, "page_ops: step %zu, %s: %s\n", w->report.steps,
		page_op_name(op), what);
	abort();
}

static void expect(const struct world *w, enum page_op op, bool ok,
		   const char *what)
{
	if (!ok)
		fail(w, op, what);
}

/* ------------------------------------------------------------------------ */
/* Bytes to numbers                                                         */
/* ------------------------------------------------------------------------ */

static unsigned next_byte(struct world *w)
{
	if (w->left == 0)
		return 0;
	w->left--;
	return *w->bytes++;
}

static size_t next_below(struct world *w, size_t n)
{
	size_t x = next_byte(w);

	if (n > 256)
		x = x << 8 | next_byte(w);
	return x % n;
}

/* A length of 1 to 2^bits pages, short ones more often. */
static size_t next_length(struct world *w, unsigned bits)
{
	unsigned b = next_byte(w);
	size_t top = (size_t)1 << b % bits;

	return 1 + (b / bits == 0 ? 0 : next_below(w, 2 * top));
}

/* ------------------------------------------------------------------------ */
/* Operations; each returns whether it found something to do                */
/* ------------------------------------------------------------------------ */

static bool op_grow(struct world *w)
{
	size_t chunk = next_below(w, PAGE_MODEL_CHUNKS),
	       n = 1 + next_below(w, 4);
	size_t want = n;

	/* Up to the segment's end, over chunks that are absent. */
	for (n = 0; n < want && chunk + n < PAGE_MODEL_CHUNKS; n++) {
		size_t page = (chunk + n) * PAGE_BITS;

		if (w->m.state[page] != ABSENT)
			break;
		if (n != 0 && !page_model_has_next(&w->m, page - 1))
			break;
	}
	if (n == 0) {
		expect(w, PAGE_OP_GROW,
		       ph__page_alloc_grow(&w->pa, w->m.addr[chunk],
					   PH_CHUNK_SIZE) == EINVAL,
		       "grew twice");
		return false;
	}
	expect(w, PAGE_OP_GROW,
	       ph__page_alloc_grow(&w->pa, w->m.addr[chunk],
				   n * PH_CHUNK_SIZE) == 0,
	       "did not grow");
	page_model_set(&w->m, chunk * PAGE_BITS, n * PAGE_BITS, SCAVENGED);
	return true;
}

/* Compares a result with the run the model gives, and takes it there. */
static bool took(struct world *w, enum page_op op, struct page_run run,
		 size_t page, size_t n)
{
	if (page == NONE) {
		expect(w, op, run.addr == 0 && run.scavenged_pages == 0,
		       "took pages where there are none");
		return false;
	}
	expect(w, op, run.addr == page_model_addr(&w->m, page),
	       run.addr == 0 ? "found no run" : "not the lowest run");
	expect(w, op,
	       run.scavenged_pages ==
		       page_model_count(&w->m, page, n, SCAVENGED),
	       "number of scavenged pages");
	page_model_set(&w->m, page, n, USED);
	return true;
}

static bool op_take(struct world *w, enum page_op op, unsigned bits)
{
	size_t n = next_length(w, bits),
	       page = page_model_first_fit(&w->m, n, 1);

	return took(w, op, ph__page_alloc_take(&w->pa, n), page, n);
}

static bool op_take_aligned(struct world *w)
{
	size_t n = next_length(w, 10);
	size_t align = (size_t)1 << (12 + next_below(w, 15));
	size_t page = page_model_first_fit(&w->m, n, align);

	return took(w, PAGE_OP_TAKE_ALIGNED,
		    ph__page_alloc_take_aligned(&w->pa, n, align), page, n);
}

static bool op_take_at(struct world *w)
{
	size_t page = next_below(w, NUM_PAGES), n = next_length(w, 11);
	struct page_run run =
		ph__page_alloc_take_at(&w->pa, page_model_addr(&w->m, page), n);

	return took(w, PAGE_OP_TAKE_AT, run,
		    page_model_fits(&w->m, page, n) ? page : NONE, n);
}

/* Frees used pages from a random place on, up to n of them. */
static bool op_free(struct world *w, unsigned bits)
{
	size_t page = next_below(w, NUM_PAGES), want = next_length(w, bits), n;

	while (page < NUM_PAGES && w->m.state[page] != USED)
		page++;
	if (page == NUM_PAGES)
		return false;
	for (n = 1; n < want && page_model_has_next(&w->m, page + n - 1); n++)
		if (w->m.state[page + n] != USED)
			break;
	ph__page_alloc_free(&w->pa, page_model_addr(&w->m, page), n);
	page_model_set(&w->m, page, n, DIRTY);
	return true;
}

static bool op_refill(struct world *w)
{
	struct page_cache *c = &w->slot[next_below(w, NUM_SLOTS)];
	size_t page = page_model_first_fit(&w->m, 1, 1);
	bool ok;

	if (c->free != 0)
		return false;
	ok = ph__page_cache_refill(&w->pa, c);
	expect(w, PAGE_OP_REFILL, ok == (page != NONE), "refilled or not");
	if (!ok)
		return false;
	page -= page % 64;
	expect(w, PAGE_OP_REFILL, c->base == page_model_addr(&w->m, page),
	       "block");
	for (unsigned i = 0; i < 64; i++) {
		uint8_t state = w->m.state[page + i];
		bool is_free = page_model_is_free(&w->m, page + i);

		expect(w, PAGE_OP_REFILL, (c->free >> i & 1) == is_free,
		       "free pages");
		expect(w, PAGE_OP_REFILL,
		       (c->scavenged >> i & 1) == (state == SCAVENGED),
		       "scavenged pages");
		if (is_free)
			w->m.state[page + i] = CACHED;
	}
	return true;
}

static bool op_cache_take(struct world *w)
{
	struct page_cache *c = &w->slot[next_below(w, NUM_SLOTS)];
	struct page_cache old = *c;
	size_t n = 1 + next_below(w, 8), page;
	struct page_run run = page_cache_take(c, n);

	if (run.addr == 0) {
		expect(w, PAGE_OP_CACHE_TAKE, old.free == c->free, "changed");
		return false;
	}
	page = page_model_page(&w->m, run.addr);
	expect(w, PAGE_OP_CACHE_TAKE,
	       page_model_count(&w->m, page, n, CACHED) == n, "not cached");
	expect(w, PAGE_OP_CACHE_TAKE,
	       run.scavenged_pages ==
		       popcount64(old.scavenged) - popcount64(c->scavenged),
	       "number of scavenged pages");
	page_model_set(&w->m, page, n, USED);
	return true;
}

static bool op_cache_free(struct world *w)
{
	struct page_cache *c = &w->slot[next_below(w, NUM_SLOTS)];
	size_t i = next_below(w, 64), page;
	uintptr_t addr = c->base + i * PH_PAGE_SIZE;

	if (c->base == 0)
		return false;
	page = page_model_page(&w->m, addr);
	expect(w, PAGE_OP_CACHE_FREE, page_cache_covers(c, addr, 1), "covers");
	expect(w, PAGE_OP_CACHE_FREE,
	       !page_cache_covers(c, addr, 65 - i) &&
		       !page_cache_covers(c, c->base - PH_PAGE_SIZE, 1),
	       "covers too much");
	if (w->m.state[page] == USED) {
		expect(w, PAGE_OP_CACHE_FREE, page_cache_free(c, addr, 1),
		       "refused");
		w->m.state[page] = CACHED;
		return true;
	}
	if (c->free >> i & 1)
		expect(w, PAGE_OP_CACHE_FREE, !page_cache_free(c, addr, 1),
		       "freed twice");
	return false;
}

static bool op_flush(struct world *w)
{
	struct page_cache *c = &w->slot[next_below(w, NUM_SLOTS)];
	struct page_cache old = *c;

	ph__page_cache_flush(&w->pa, c);
	expect(w, PAGE_OP_FLUSH,
	       c->base == 0 && c->free == 0 && c->scavenged == 0, "not empty");
	for (unsigned i = 0; i < 64 && old.free != 0; i++) {
		if (!(old.free >> i & 1))
			continue;
		w->m.state[page_model_page(&w->m, old.base) + i] =
			old.scavenged >> i & 1 ? SCAVENGED : DIRTY;
	}
	return old.free != 0;
}

static struct page_range *free_flight(struct world *w)
{
	for (size_t i = 0; i < NUM_FLIGHTS; i++)
		if (w->flight[i].npages == 0)
			return &w->flight[i];
	return NULL;
}

static bool op_scavenge(struct world *w, enum page_op op, enum scav_mode mode)
{
	struct page_range *range = free_flight(w);
	struct scav_request req = {next_length(w, 10), w->min_pages,
				   256u * (unsigned)next_below(w, 3), mode};
	size_t npages = 0, page;

	if (req.huge_pages > PAGE_BITS || next_below(w, 4) == 0)
		req.huge_pages = 64;
	if (range == NULL)
		return false;
	page = page_model_candidate(&w->m, req.max_pages, req.min_pages,
				    req.huge_pages, &npages);
	*range = ph__page_scavenge_take(&w->pa, &req);
	if (mode == SCAV_BACKGROUND) {
		/* Which it takes depends on history; that it may, does not. */
		if (range->npages == 0)
			return false;
		page = page_model_page(&w->m, range->addr);
		npages = range->npages;
		for (size_t i = 0; i < npages; i++)
			expect(w, op,
			       page_model_can_scavenge(&w->m, page + i,
						       w->min_pages),
			       "not dirty");
	} else if (page == NONE) {
		expect(w, op, range->npages == 0, "found what is not there");
		return false;
	}
	expect(w, op, range->npages != 0, "found nothing");
	expect(w, op, range->addr == page_model_addr(&w->m, page),
	       "not the highest");
	expect(w, op, range->npages == npages, "length");
	page_model_set(&w->m, page, npages, FLYING);
	return true;
}

static bool op_land(struct world *w, bool released)
{
	struct page_range *range = &w->flight[next_below(w, NUM_FLIGHTS)];

	if (range->npages == 0)
		return false;
	if (released)
		ph__page_scavenge_done(&w->pa, *range);
	else
		ph__page_scavenge_abort(&w->pa, *range);
	page_model_set(&w->m, page_model_page(&w->m, range->addr),
		       range->npages, released ? SCAVENGED : DIRTY);
	range->npages = 0;
	return true;
}

static bool op_settle(struct world *w)
{
	char why[160] = "";

	ph__page_alloc_settle(&w->pa);
	if (!ph__page_alloc_check_settled(&w->pa, why, sizeof(why)))
		fail(w, PAGE_OP_SETTLE, why);
	return true;
}

static bool op_query(struct world *w)
{
	size_t page = next_below(w, NUM_PAGES), n = next_length(w, 11), i;
	uintptr_t addr = page_model_addr(&w->m, page), edge;
	bool used = true;

	for (i = 0; i < n && used; i++) {
		used = page + i < NUM_PAGES && w->m.state[page + i] >= USED;
		if (i + 1 < n && used)
			used = page_model_has_next(&w->m, page + i);
	}
	expect(w, PAGE_OP_QUERY,
	       ph__page_alloc_is_allocated(&w->pa, addr, n) == used,
	       "is_allocated");
	expect(w, PAGE_OP_QUERY,
	       ph__page_alloc_is_free(&w->pa, addr, n) ==
		       page_model_fits(&w->m, page, n),
	       "is_free");
	n = n < PAGE_BITS - page % PAGE_BITS ? n : PAGE_BITS - page % PAGE_BITS;
	expect(w, PAGE_OP_QUERY,
	       ph__page_alloc_count_scavenged(&w->pa, addr, n) ==
		       page_model_count(&w->m, page, n, SCAVENGED),
	       "count_scavenged");
	/* The free run below the chunk's upper edge. */
	page += PAGE_BITS - 1 - page % PAGE_BITS;
	edge = page_model_addr(&w->m, page) + PH_PAGE_SIZE;
	for (n = 0; page_model_is_free(&w->m, page); n++, page--)
		if (page == 0 || !page_model_has_next(&w->m, page - 1)) {
			n++;
			break;
		}
	expect(w, PAGE_OP_QUERY, ph__page_alloc_free_below(&w->pa, edge) == n,
	       "free_below");
	return true;
}

/* What must be refused, and change nothing. */
static bool op_wrong(struct world *w)
{
	struct page_alloc *pa = &w->pa;
	uintptr_t limit = (uintptr_t)1 << 48;
	bool ok =
		ph__page_alloc_grow(pa, 0, PH_CHUNK_SIZE) == EINVAL &&
		ph__page_alloc_grow(pa, PH_CHUNK_SIZE, 0) == EINVAL &&
		ph__page_alloc_grow(pa, PH_PAGE_SIZE, PH_CHUNK_SIZE) ==
			EINVAL &&
		ph__page_alloc_grow(pa, PH_CHUNK_SIZE, PH_PAGE_SIZE) ==
			EINVAL &&
		ph__page_alloc_grow(pa, limit, PH_CHUNK_SIZE) == EINVAL &&
		ph__page_alloc_grow(pa, limit - PH_CHUNK_SIZE,
				    2 * PH_CHUNK_SIZE) == EINVAL &&
		ph__page_alloc_grow(pa, PH_CHUNK_SIZE, 0 - PH_CHUNK_SIZE) ==
			EINVAL &&
		ph__page_alloc_take(pa, SIZE_MAX).addr == 0 &&
		ph__page_alloc_take(pa, NUM_PAGES + 1).addr == 0 &&
		ph__page_alloc_take_aligned(pa, 1, (size_t)1 << 63).addr == 0 &&
		ph__page_alloc_take_aligned(pa, SIZE_MAX, 1 << 20).addr == 0 &&
		ph__page_alloc_take_at(pa, w->m.addr[0], SIZE_MAX).addr == 0 &&
		ph__page_alloc_take_at(pa, w->m.addr[0], 0).addr == 0 &&
		ph__page_alloc_take_at(pa, 1, 1).addr == 0 &&
		!ph__page_alloc_is_free(pa, UINTPTR_MAX, 1) &&
		!ph__page_alloc_is_allocated(pa, 0, 1) &&
		!ph__page_alloc_is_allocated(pa, limit - PH_PAGE_SIZE, 2);

	expect(w, PAGE_OP_WRONG, ok, "nonsense was accepted");
	return true;
}

/* ------------------------------------------------------------------------ */

static bool run_op(struct world *w, enum page_op op)
{
	switch (op) {
	case PAGE_OP_GROW:
		return op_grow(w);
	case PAGE_OP_TAKE:
		return op_take(w, op, 7);
	case PAGE_OP_TAKE_LONG:
		return op_take(w, op, 13);
	case PAGE_OP_TAKE_ALIGNED:
		return op_take_aligned(w);
	case PAGE_OP_TAKE_AT:
		return op_take_at(w);
	case PAGE_OP_FREE:
		return op_free(w, 7);
	case PAGE_OP_FREE_LONG:
		return op_free(w, 13);
	case PAGE_OP_REFILL:
		return op_refill(w);
	case PAGE_OP_CACHE_TAKE:
		return op_cache_take(w);
	case PAGE_OP_CACHE_FREE:
		return op_cache_free(w);
	case PAGE_OP_FLUSH:
		return op_flush(w);
	case PAGE_OP_SCAVENGE:
		return op_scavenge(w, op, SCAV_FORCED);
	case PAGE_OP_BACKGROUND:
		return op_scavenge(w, op, SCAV_BACKGROUND);
	case PAGE_OP_DONE:
		return op_land(w, true);
	case PAGE_OP_ABORT:
		return op_land(w, false);
	case PAGE_OP_GENERATION:
		ph__page_alloc_next_generation(&w->pa);
		return true;
	case PAGE_OP_SETTLE:
		return op_settle(w);
	case PAGE_OP_QUERY:
		return op_query(w);
	case PAGE_OP_WRONG:
	case PAGE_OP_COUNT:
		break;
	}
	return op_wrong(w);
}

/*
 * Which operation a byte means: frequent ones have more values.  One profile
 * has everything, the other only what moves runs about, and reaches rarer
 * arrangements of them sooner.
 */
static enum page_op op_of(const struct world *w, unsigned byte)
{
	static const uint8_t ops[2][32] = {
		{
			PAGE_OP_GROW,	      PAGE_OP_TAKE,
			PAGE_OP_TAKE,	      PAGE_OP_TAKE,
			PAGE_OP_TAKE,	      PAGE_OP_TAKE,
			PAGE_OP_TAKE,	      PAGE_OP_TAKE_LONG,
			PAGE_OP_TAKE_ALIGNED, PAGE_OP_TAKE_AT,
			PAGE_OP_FREE,	      PAGE_OP_FREE,
			PAGE_OP_FREE,	      PAGE_OP_FREE,
			PAGE_OP_FREE,	      PAGE_OP_FREE_LONG,
			PAGE_OP_FREE_LONG,    PAGE_OP_REFILL,
			PAGE_OP_REFILL,	      PAGE_OP_CACHE_TAKE,
			PAGE_OP_CACHE_TAKE,   PAGE_OP_CACHE_FREE,
			PAGE_OP_FLUSH,	      PAGE_OP_SCAVENGE,
			PAGE_OP_SCAVENGE,     PAGE_OP_DONE,
			PAGE_OP_DONE,	      PAGE_OP_ABORT,
			PAGE_OP_BACKGROUND,   PAGE_OP_GENERATION,
			PAGE_OP_SETTLE,	      PAGE_OP_QUERY,
		},
		{
			PAGE_OP_GROW,	      PAGE_OP_GROW,
			PAGE_OP_TAKE,	      PAGE_OP_TAKE,
			PAGE_OP_TAKE,	      PAGE_OP_TAKE,
			PAGE_OP_TAKE_LONG,    PAGE_OP_TAKE_LONG,
			PAGE_OP_TAKE_LONG,    PAGE_OP_TAKE_LONG,
			PAGE_OP_TAKE_LONG,    PAGE_OP_TAKE_LONG,
			PAGE_OP_TAKE_ALIGNED, PAGE_OP_TAKE_ALIGNED,
			PAGE_OP_TAKE_ALIGNED, PAGE_OP_TAKE_ALIGNED,
			PAGE_OP_TAKE_AT,      PAGE_OP_TAKE_AT,
			PAGE_OP_FREE,	      PAGE_OP_FREE,
			PAGE_OP_FREE,	      PAGE_OP_FREE,
			PAGE_OP_FREE_LONG,    PAGE_OP_FREE_LONG,
			PAGE_OP_FREE_LONG,    PAGE_OP_FREE_LONG,
			PAGE_OP_FREE_LONG,    PAGE_OP_FREE_LONG,
			PAGE_OP_FREE_LONG,    PAGE_OP_REFILL,
			PAGE_OP_FLUSH,	      PAGE_OP_QUERY,
		},
	};

	return byte == 255 ? PAGE_OP_WRONG
			   : (enum page_op)ops[w->profile][byte % 32];
}

/* Totals, and the state of every page.  Slow, so not after every step. */
static void compare_pages(const struct world *w, enum page_op op)
{
	size_t used = 0, scavenged = 0, present = 0;

	for (size_t page = 0; page < NUM_PAGES; page++) {
		present += w->m.state[page] != ABSENT;
		scavenged += w->m.state[page] == SCAVENGED;
		used += w->m.state[page] >= USED;
	}
	expect(w, op, w->pa.total_pages == present, "total_pages");
	expect(w, op, w->pa.in_use_pages == used, "in_use_pages");
	expect(w, op, w->pa.scavenged_pages == scavenged, "scavenged_pages");
	for (size_t c = 0; c < PAGE_MODEL_CHUNKS; c++) {
		const struct page_chunk *chunk = ph__page_alloc_chunk(
			&w->pa, w->m.addr[c] >> PH_CHUNK_SHIFT);
		const uint8_t *state = w->m.state + c * PAGE_BITS;

		expect(w, op, (chunk == NULL) == (state[0] == ABSENT), "grown");
		for (unsigned i = 0; chunk != NULL && i < PAGE_BITS; i++) {
			expect(w, op,
			       page_bits_get(&chunk->in_use, i) ==
				       (state[i] >= USED),
			       "in-use bit");
			expect(w, op,
			       page_bits_get(&chunk->scavenged, i) ==
				       (state[i] == SCAVENGED),
			       "scavenged bit");
		}
	}
}

static void verify(const struct world *w, enum page_op op)
{
	char why[160] = "";

	if (!ph__page_alloc_check(&w->pa, why, sizeof(why)))
		fail(w, op, why);
	if (w->report.steps % 16 == 0 || w->left == 0)
		compare_pages(w, op);
}

static void start(struct world *w, const uint8_t *bytes, size_t nbytes)
{
	memset(w, 0, sizeof(*w));
	page_model_init(&w->m);
	w->bytes = bytes;
	w->left = nbytes;
	ph__meta_init(&w->meta, ph_os_default(), NULL);
	ph__page_alloc_init(&w->pa, &w->meta);
	w->min_pages = next_byte(w) % 4 == 3 ? 8 : 1;
	w->profile = next_byte(w) % 2;
}

struct page_ops_report page_ops_run(const uint8_t *bytes, size_t nbytes,
				    size_t max_steps)
{
	static struct world w;

	start(&w, bytes, nbytes);
	while (w.left != 0 && w.report.steps < max_steps) {
		enum page_op op = op_of(&w, next_byte(&w));

		w.report.steps++;
		w.report.done[op] += run_op(&w, op);
		verify(&w, op);
	}
	ph__page_alloc_destroy(&w.pa);
	expect(&w, PAGE_OP_COUNT, meta_used_bytes(&w.meta) == 0,
	       "metadata was not given back");
	ph__meta_destroy(&w.meta);
	return w.report;
}

const char *page_op_name(enum page_op op)
{
	static const char *const names[PAGE_OP_COUNT + 1] = {
		"grow",	      "take",	    "take long",  "take aligned",
		"take at",    "free",	    "free long",  "refill",
		"cache take", "cache free", "flush",	  "scavenge",
		"done",	      "abort",	    "background", "generation",
		"settle",     "query",	    "wrong",	  "end",
	};

	return names[op];
}
