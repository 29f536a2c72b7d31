/* SPDX-License-Identifier: MIT */
/*
 * Verification of a whole heap, for tests and for users who suspect it.
 *
 *	pages	page/ verifies bitmaps, summaries, counters (reference: the
 *		invariants of Go's page allocator)
 *	spans	every span in use lies on used pages, is found from each of
 *		them, has entries that say its class, and as many bits set as
 *		it counts objects; no two overlap (each page leads to one)
 *	gauges	the sums over spans equal the gauges; mapped = in use + free +
 *		returned; in use = small + large + raw
 *	pools	counts and free lists
 *
 * Linear in the heap's pages.
 */
#include <string.h>

#include "base/bits.h"
#include "base/print.h"
#include "heap/heap.h"
#include "heap/registry.h"

struct heap_check {
	struct ph_heap *heap;
	struct text why;
	uint64_t nspans;
	uint64_t small_bytes;
	uint64_t large_bytes;
	uint64_t nlarge_objects;
	uint64_t large_object_bytes;
};

/* Describes a broken invariant; returns 1, the visitors' "stop". */
static int broken(struct heap_check *c, const char *what, uintptr_t addr)
{
	ph__text_str(&c->why, what);
	if (addr) {
		ph__text_str(&c->why, " at ");
		ph__text_hex(&c->why, addr);
	}
	return 1;
}

static unsigned expected_entry(const struct ph_heap *heap,
			       const struct ph_span *s, size_t page)
{
	if (span_state(s) != SPAN_SMALL)
		return 0;
	if (!(heap->flags & HEAP_PRIMARY))
		return PAGE_ENTRY_OTHER;
	return (unsigned)(s->size_class | page << PAGE_ENTRY_CLASS_BITS);
}

static int check_span_pages(struct heap_check *c, struct ph_span *s)
{
	struct ph_heap *heap = c->heap;

	if (!ph__page_alloc_is_allocated(&heap->pages, s->base, s->npages))
		return broken(c, "span on pages that are free", s->base);
	for (size_t i = 0; i < s->npages; i++) {
		uintptr_t a = s->base + (i << PH_PAGE_SHIFT);

		if (pagemap_span_at(heap->pagemap, a) != s)
			return broken(c, "page leads to another span", a);
		if (pagemap_entry(heap->pagemap->root, a) !=
		    expected_entry(heap, s, i))
			return broken(c, "page has a wrong entry", a);
	}
	return 0;
}

static int check_span_bits(struct heap_check *c, const struct ph_span *s)
{
	size_t set = 0;

	if (!s->alloc_bits)
		return broken(c, "span without a bitmap", s->base);
	for (size_t i = 0; i < span_bitmap_words(s); i++)
		set += popcount64(s->alloc_bits[i]);
	for (size_t i = s->nelems; i < 64 * span_bitmap_words(s); i++)
		if (span_bit_get(s->alloc_bits, i))
			return broken(c, "bit behind the last object", s->base);
	if (set != s->nalloc)
		return broken(c, "span counts other than its bits", s->base);
	return 0;
}

static int check_span(void *ctx, struct ph_span *s)
{
	struct heap_check *c = ctx;

	c->nspans++;
	if (span_state(s) == SPAN_SMALL) {
		c->small_bytes += span_nbytes(s);
		if (check_span_bits(c, s))
			return 1;
	} else {
		c->large_bytes += span_nbytes(s);
	}
	if (span_state(s) == SPAN_LARGE) {
		c->nlarge_objects++;
		c->large_object_bytes += span_nbytes(s);
	}
	return check_span_pages(c, s);
}

static bool check_gauges(struct heap_check *c)
{
	const struct ph_gauges *g = c->heap->gauges;
	const struct page_alloc *pa = &c->heap->pages;

	if (g->mapped_bytes !=
		    g->in_use_bytes + g->free_bytes + g->returned_bytes ||
	    g->in_use_bytes !=
		    g->small_span_bytes + g->large_span_bytes + g->raw_bytes ||
	    g->mapped_bytes != (uint64_t)pa->total_pages << PH_PAGE_SHIFT ||
	    g->in_use_bytes !=
		    (uint64_t)(pa->in_use_pages - c->heap->pages_in_flight)
			    << PH_PAGE_SHIFT ||
	    g->returned_bytes != (uint64_t)pa->scavenged_pages << PH_PAGE_SHIFT)
		return !broken(c, "gauges of pages do not add up", 0);
	if (c->nspans != g->spans || c->small_bytes != g->small_span_bytes ||
	    c->large_bytes != g->large_span_bytes)
		return !broken(c, "gauges of spans differ from the spans", 0);
	if (c->nlarge_objects != g->large_objects ||
	    c->large_object_bytes != g->large_bytes)
		return !broken(c, "gauges of large objects differ", 0);
	return true;
}

static bool check_pools(struct heap_check *c)
{
	const char *wrong = ph__pool_check(&c->heap->span_pool);

	for (unsigned i = 0; !wrong && i < HEAP_BITMAP_POOLS; i++)
		wrong = ph__pool_check(&c->heap->bitmap_pools[i]);
	if (wrong)
		return !broken(c, wrong, 0);
	if (c->heap->span_pool.nlive != c->nspans)
		return !broken(c, "descriptors are lost", 0);
	return true;
}

bool ph__heap_check(struct ph_heap *heap, char *why, size_t size)
{
	char nowhere[2];
	struct heap_check c = {.heap = heap};
	bool ok;

	if (!why || size < 2) {
		why = nowhere;
		size = sizeof(nowhere);
	}
	if (!ph__page_alloc_check(&heap->pages, why, size))
		return false;
	c.why = text_over(why, size);
	ok = ph__spans_visit(heap, check_span, &c) == 0 && check_gauges(&c) &&
	     check_pools(&c);
	(void)ph__text_end(&c.why);
	return ok;
}
