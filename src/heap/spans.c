/* SPDX-License-Identifier: MIT */
/*
 * Spans: runs of pages with a descriptor.
 *
 * Making one takes, in this order, a descriptor and a bitmap (metadata), the
 * pages, and the entries of the page map; each step undoes the ones before it
 * when it fails.  The state is stored last.  Freeing goes the other way round:
 * the state first, under the lock, so that of two threads that free the same
 * span one finds it dead.
 *
 * Bitmaps of up to 64 objects are a word inside the descriptor; others come
 * from pools of 2, 4, 8 and 16 words.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "heap/heap.h"
#include "heap/report.h"

static enum page_kind kind_of(enum span_state state)
{
	return state == SPAN_SMALL ? PAGES_SMALL : PAGES_LARGE;
}

/* The pool whose bitmaps hold this many words, more than one. */
static struct meta_pool *bitmap_pool(struct ph_heap *heap, size_t words)
{
	unsigned i = log2_ceil(words) - 1;

	ph_assert(i < HEAP_BITMAP_POOLS);
	return &heap->bitmap_pools[i];
}

uint64_t *ph__span_bitmap_alloc(struct ph_heap *heap, const struct ph_span *s)
{
	return ph__pool_alloc_zeroed(bitmap_pool(heap, span_bitmap_words(s)));
}

void ph__span_bitmap_free(struct ph_heap *heap, const struct ph_span *s,
			  uint64_t *bits)
{
	if (bits && bits != &s->alloc_word && bits != &s->mark_word)
		ph__pool_free(bitmap_pool(heap, span_bitmap_words(s)), bits);
}

/* Counts large objects in and out. */
static void book_large(struct ph_heap *heap, enum span_state state,
		       uint64_t nobjects, uint64_t npages)
	PH_REQUIRES(heap->lock)
{
	if (state != SPAN_LARGE)
		return;
	/* Differences of unsigned numbers: a decrease is a wrapped increase. */
	gauge_add(&heap->gauges->large_objects, nobjects);
	gauge_add(&heap->gauges->large_bytes, npages << PH_PAGE_SHIFT);
}

/* A descriptor with everything but its pages.  NULL: no memory. */
static struct ph_span *span_make(struct ph_heap *heap,
				 const struct span_shape *shape)
	PH_REQUIRES(heap->lock)
{
	struct ph_span *s = ph__pool_alloc(&heap->span_pool);
	uint64_t *bits;

	if (!s)
		return NULL;
	/* Stale readers may look: dead, and fields they read atomically. */
	ph_store_relaxed(&s->base, 0);
	ph_store_relaxed(&s->npages, shape->npages);
	ph_store_relaxed(&s->heap, heap);
	ph_store_relaxed(&s->elem_size, shape->elem_size);
	ph_store_relaxed(&s->div_magic, shape->div_magic);
	ph_store_relaxed(&s->nelems, shape->nelems);
	s->size_class = shape->size_class;
	s->on_list = SPAN_IN_TRANSIT;
	s->nalloc = 0;
	s->hint_word = 0;
	s->sweep_gen = heap->sweep_gen;
	list_init(&s->link);
	s->mark_bits = NULL;
	ph_store_relaxed(&s->alloc_word, 0);
	s->mark_word = 0;
	s->user = 0;
	bits = &s->alloc_word;
	if (span_bitmap_words(s) > 1)
		bits = ph__span_bitmap_alloc(heap, s);
	if (!bits) {
		ph__pool_free(&heap->span_pool, s);
		return NULL;
	}
	ph_store_relaxed(&s->alloc_bits, bits);
	return s;
}

/* Gives the descriptor and its bitmaps back. */
static void span_unmake(struct ph_heap *heap, struct ph_span *s)
	PH_REQUIRES(heap->lock)
{
	ph__span_bitmap_free(heap, s, s->alloc_bits);
	ph__span_bitmap_free(heap, s, s->mark_bits);
	/* alloc_bits stays: a stale reader may look, and pools keep memory. */
	s->mark_bits = NULL;
	ph__pool_free(&heap->span_pool, s);
}

/* What the entries of a span's pages say. */
static unsigned entry_class(const struct ph_heap *heap, const struct ph_span *s)
{
	return heap->flags & HEAP_PRIMARY ? s->size_class : PAGE_ENTRY_OTHER;
}

/* Makes a span with pages known to everybody. */
static void span_enter(struct ph_heap *heap, struct ph_span *s,
		       const struct heap_run *run, enum span_state state)
	PH_REQUIRES(heap->lock)
{
	ph_store_relaxed(&s->base, run->addr);
	s->zeroed = run->zeroed;
	ph__pagemap_set_span(heap->pagemap, s);
	if (state == SPAN_SMALL)
		ph__pagemap_set_entries(heap->pagemap, s, entry_class(heap, s));
	gauge_add(&heap->gauges->spans, 1);
	book_large(heap, state, 1, s->npages);
	span_publish(s, state);
}

/* The reverse; its pages and descriptor are left to the caller. */
static void span_leave(struct ph_heap *heap, struct ph_span *s)
	PH_REQUIRES(heap->lock)
{
	enum span_state state = span_state(s);

	span_publish(s, SPAN_DEAD);
	if (state == SPAN_SMALL)
		ph__pagemap_set_entries(heap->pagemap, s, 0);
	gauge_sub(&heap->gauges->spans, 1);
	book_large(heap, state, (uint64_t)-1, (uint64_t)0 - s->npages);
}

struct ph_span *ph__span_alloc(struct ph_heap *heap,
			       const struct span_shape *shape)
{
	enum page_kind kind = kind_of(shape->state);
	struct heap_run run = {0};
	struct ph_span *s;

	heap_lock(heap);
	s = span_make(heap, shape);
	if (s) {
		run = ph__pages_take(heap, shape->npages, shape->align, kind);
		if (run.addr) {
			span_enter(heap, s, &run, shape->state);
		} else {
			span_unmake(heap, s);
			s = NULL;
		}
	}
	heap_unlock(heap);
	if (!s) {
		errno = ENOMEM;
		return NULL;
	}
	if (ph__pages_ready(heap, &run, shape->npages))
		return s;
	ph__pages_empty(heap, &run, shape->npages);
	heap_lock(heap);
	span_leave(heap, s);
	ph__pages_give_empty(heap, run.addr, shape->npages, kind);
	span_unmake(heap, s);
	heap_unlock(heap);
	errno = ENOMEM;
	return NULL;
}

bool ph__span_free(struct ph_heap *heap, struct ph_span *s,
		   enum span_state state, uintptr_t base)
{
	bool ok;

	heap_lock(heap);
	ok = span_state(s) == state && (base == 0 || s->base == base) &&
	     s->heap == heap;
	if (ok) {
		span_leave(heap, s);
		ph__pages_give(heap, s->base, s->npages, kind_of(state));
		span_unmake(heap, s);
	}
	heap_unlock(heap);
	return ok;
}

/* Says that the span is that long, whose pages were or will be booked. */
static void set_length(struct ph_heap *heap, struct ph_span *s, size_t npages)
	PH_REQUIRES(heap->lock)
{
	book_large(heap, SPAN_LARGE, 0, npages - s->npages);
	ph_store_relaxed(&s->npages, npages);
}

static bool span_extend(struct ph_heap *heap, struct ph_span *s, size_t npages)
	PH_EXCLUDES(heap->lock)
{
	size_t old = s->npages, more = npages - old;
	struct heap_run run;

	heap_lock(heap);
	run = ph__pages_take_at(heap, s->base + (old << PH_PAGE_SHIFT), more,
				PAGES_LARGE);
	if (run.addr) {
		/* The entries lead to the span before it is that long. */
		ph__pagemap_extend_span(heap->pagemap, s, npages);
		set_length(heap, s, npages);
	}
	heap_unlock(heap);
	if (!run.addr)
		return false;
	if (ph__pages_ready(heap, &run, more))
		return true;
	ph__pages_empty(heap, &run, more);
	heap_lock(heap);
	set_length(heap, s, old);
	ph__pages_give_empty(heap, run.addr, more, PAGES_LARGE);
	heap_unlock(heap);
	return false;
}

bool ph__span_resize(struct ph_heap *heap, struct ph_span *s, size_t npages)
{
	size_t old = s->npages;

	if (npages > old)
		return span_extend(heap, s, npages);
	heap_lock(heap);
	set_length(heap, s, npages);
	ph__pages_give(heap, s->base + (npages << PH_PAGE_SHIFT), old - npages,
		       PAGES_LARGE);
	heap_unlock(heap);
	return true;
}

/* The span whose first page is at addr, or NULL. */
static struct ph_span *span_starting_at(const struct ph_heap *heap,
					uintptr_t addr)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, addr);

	return s && s->base == addr && s->heap == heap ? s : NULL;
}

struct ph_span *ph__span_next(struct ph_heap *heap, uintptr_t addr)
{
	const struct addr_ranges *grown = &heap->pages.grown;

	for (size_t i = 0; i < grown->count; i++) {
		uintptr_t a = grown->range[i].base;

		for (a = a > addr ? a : addr; a < grown->range[i].limit;
		     a += PH_PAGE_SIZE) {
			struct ph_span *s = span_starting_at(heap, a);

			if (s)
				return s;
		}
	}
	return NULL;
}

int ph__spans_visit(struct ph_heap *heap,
		    int (*visit)(void *ctx, struct ph_span *s), void *ctx)
{
	struct ph_span *s = ph__span_next(heap, 0);
	int stop = 0;

	while (s && !stop) {
		uintptr_t end = s->base + span_nbytes(s);

		stop = visit(ctx, s);
		s = ph__span_next(heap, end);
	}
	return stop;
}

/* ---- public ---- */

struct ph_span *ph_span_alloc(struct ph_heap *heap, size_t npages, size_t align)
{
	struct span_shape shape = {.npages = npages,
				   .align = align ? align : PH_PAGE_SIZE,
				   .state = SPAN_USER};

	if (npages == 0 || !is_pow2(shape.align)) {
		errno = EINVAL;
		return NULL;
	}
	return ph__span_alloc(heap, &shape);
}

void ph_span_free(struct ph_heap *heap, struct ph_span *span)
{
	uintptr_t base;

	if (!span)
		return;
	base = ph_load_relaxed(&span->base);
	if (!ph__span_free(heap, span, SPAN_USER, 0))
		ph__report_pointer(heap, "invalid free of span at",
				   (void *)base);
}

struct ph_span *ph_span_of(struct ph_heap *heap, const void *addr)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, (uintptr_t)addr);

	return s && ph_load_relaxed(&s->heap) == heap ? s : NULL;
}

void *ph_span_base(const struct ph_span *span)
{
	return (void *)span->base;
}

size_t ph_span_npages(const struct ph_span *span)
{
	return span->npages;
}

size_t ph_span_elem_size(const struct ph_span *span)
{
	if (span_state(span) == SPAN_LARGE)
		return span_nbytes(span);
	return ph_load_relaxed(&span->elem_size);
}

size_t ph_span_nelems(const struct ph_span *span)
{
	return span->nelems;
}

int ph_span_zeroed(const struct ph_span *span)
{
	return span->zeroed;
}

uintptr_t ph_span_user(const struct ph_span *span)
{
	return span->user;
}

void ph_span_set_user(struct ph_span *span, uintptr_t value)
{
	span->user = value;
}
