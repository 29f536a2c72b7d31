/* SPDX-License-Identifier: MIT */
/*
 * Central lists.
 *
 * Taking.  The oldest span with room is emptied from its lowest free object
 * up, then the next, until the batch is full; a span whose last object goes is
 * on no list.  Without a span with room the spare empty one is used, without
 * that a new one is made, with the lock dropped meanwhile: making a span may
 * grow the heap.
 *
 *	alloc_bits  1 1 1 0 1 0 0 0 ...		taken: objects 3, 5, 6
 *			  ^ hint_word names the first word with a zero
 *
 * Giving.  The batch is sorted, so that the objects of one span come together
 * and the span is looked up once.  For each object its bit must be set, which
 * proves that it was handed out and is not free: a double free that got past
 * the magazines ends here.  A span that had been full goes to the end of the
 * list: it has the longest time to collect further free objects before it is
 * taken from.  A span that is empty becomes the spare one, or its pages go
 * back, after the lock is dropped.
 *
 * Cost of a batch: one lock, a few instructions an object, a page map lookup a
 * span.  Worst case n spans for n objects.
 */
#include "object/central.h"

#include <errno.h>

#include "base/bits.h"
#include "heap/report.h"
#include "object/objects.h"

/* Spans that became empty in one batch, freed after the lock is dropped. */
#define EMPTY_BATCH 32

static void central_lock(struct central *c)
	PH_ACQUIRE(c->lock) PH_NO_THREAD_SAFETY
{
	lock_acquire(&c->lock);
	ph_store_relaxed(&c->seq, c->seq + 1);
	/* As in heap_lock(). */
	ph_fence_release();
}

static void central_unlock(struct central *c)
	PH_RELEASE(c->lock) PH_NO_THREAD_SAFETY
{
	ph_store_release(&c->seq, c->seq + 1);
	lock_release(&c->lock);
}

void ph__central_init(struct central *c, unsigned size_class)
{
	lock_init(&c->lock, LOCK_RANK_CENTRAL);
	c->size_class = size_class;
	c->seq = 0;
	list_init(&c->partial);
	c->empty = NULL;
}

static void enlist(struct central *c, struct ph_span *s)
{
	s->on_list = SPAN_ON_PARTIAL;
	list_push_back(&c->partial, &s->link);
}

static void delist(struct ph_span *s)
{
	if (s->on_list == SPAN_ON_PARTIAL)
		list_remove(&s->link);
	s->on_list = SPAN_ON_NONE;
}

/* A new span of the class, all free, on no list.  Without the lock. */
static struct ph_span *make_span(struct ph_heap *heap, unsigned size_class)
{
	const struct size_class *sc = &ph__size_classes[size_class];
	struct span_shape shape = {.npages = sc->npages,
				   .align = PH_PAGE_SIZE,
				   .state = SPAN_SMALL,
				   .elem_size = sc->size,
				   .div_magic = sc->div_magic,
				   .nelems = sc->nelems,
				   .size_class = (uint8_t)size_class};

	return ph__span_alloc(heap, &shape);
}

/* Gives the pages of an empty span back.  Without the lock. */
static void unmake_span(struct ph_heap *heap, struct ph_span *s)
{
	bool ok = ph__span_free(heap, s, SPAN_SMALL, s->base);

	ph_require(ok);
}

/* Takes up to want objects of one span, lowest first. */
static size_t take_from_span(struct ph_span *s, void **objects, size_t want)
{
	size_t words = span_bitmap_words(s), n = 0;

	for (size_t w = s->hint_word; w < words && n < want; w++) {
		uint64_t bits = s->alloc_bits[w];
		uint64_t room = ~bits;

		if (w == words - 1 && s->nelems % 64 != 0)
			room &= ones64(s->nelems % 64);
		s->hint_word = (uint16_t)w;
		while (room && n < want) {
			unsigned i = ctz64(room);

			room &= room - 1;
			bits |= (uint64_t)1 << i;
			objects[n++] =
				(void *)(s->base + (64 * w + i) * s->elem_size);
		}
		/* Relaxed: lock-free readers want whole words only. */
		ph_store_relaxed(&s->alloc_bits[w], bits);
	}
	s->nalloc = (uint16_t)(s->nalloc + n);
	return n;
}

/* A span with room, or NULL. */
static struct ph_span *span_with_room(struct central *c) PH_REQUIRES(c->lock)
{
	struct ph_span *s = c->empty;

	if (!list_is_empty(&c->partial))
		return ph_list_entry(c->partial.next, struct ph_span, link);
	if (s) {
		c->empty = NULL;
		enlist(c, s);
	}
	return s;
}

size_t ph__central_take(struct ph_heap *heap, struct central *c, void **objects,
			size_t want)
{
	size_t n = 0;

	central_lock(c);
	while (n < want) {
		struct ph_span *s = span_with_room(c);

		if (!s && n > 0)
			break;
		if (!s) {
			central_unlock(c);
			s = make_span(heap, c->size_class);
			if (!s)
				return 0;
			central_lock(c);
			gauge_add(&heap->gauges->class_spans[c->size_class], 1);
			enlist(c, s);
		}
		n += take_from_span(s, objects + n, want - n);
		if (s->nalloc == s->nelems)
			delist(s);
	}
	gauge_add(&heap->gauges->class_objects[c->size_class], n);
	central_unlock(c);
	return n;
}

/*
 * Shell sort by address, gaps 1, 4, 13, 40, 121: batches have at most a few
 * hundred pointers, often nearly in order.
 */
static void sort_objects(void **objects, size_t n)
{
	size_t gap = 1;

	while (gap < n / 3)
		gap = 3 * gap + 1;
	for (; gap > 0; gap /= 3) {
		for (size_t i = gap; i < n; i++) {
			void *p = objects[i];
			size_t k = i;

			for (; k >= gap && objects[k - gap] > p; k -= gap)
				objects[k] = objects[k - gap];
			objects[k] = p;
		}
	}
}

/* Clears the object's bit.  False: it is no allocated object of the span. */
static bool free_in_span(struct ph_span *s, const struct size_class *sc,
			 uintptr_t addr)
{
	unsigned i;
	uint64_t mask;

	if (!size_class_object_at(sc, addr - s->base, &i))
		return false;
	mask = (uint64_t)1 << (i % 64);
	if (!(s->alloc_bits[i / 64] & mask))
		return false;
	ph_store_relaxed(&s->alloc_bits[i / 64], s->alloc_bits[i / 64] & ~mask);
	if (i / 64 < s->hint_word)
		s->hint_word = (uint16_t)(i / 64);
	s->nalloc--;
	return true;
}

/*
 * Files a span after some of its objects were freed.  Returns it when its
 * pages are to be given back.
 */
static struct ph_span *refile(struct central *c, struct ph_span *s)
	PH_REQUIRES(c->lock)
{
	if (s->nalloc > 0) {
		if (s->on_list == SPAN_ON_NONE)
			enlist(c, s);
		return NULL;
	}
	delist(s);
	if (!c->empty) {
		s->on_list = SPAN_ON_EMPTY;
		c->empty = s;
		return NULL;
	}
	s->on_list = SPAN_IN_TRANSIT;
	return s;
}

/* The span of the class that contains the address, or NULL. */
static struct ph_span *span_of_class(struct ph_heap *heap,
				     const struct central *c, uintptr_t addr)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, addr);

	if (!s || s->heap != heap || s->size_class != c->size_class)
		return NULL;
	return s;
}

/* What a locked part of a give has done. */
struct give {
	size_t done;   /* objects given */
	void *bad;     /* NULL, or one that is no allocated object */
	size_t nempty; /* spans to give back */
	struct ph_span *empty[EMPTY_BATCH];
};

/* Gives sorted objects until done, a bad one, or too many empty spans. */
static void give_locked(struct ph_heap *heap, struct central *c,
			void *const *objects, size_t n, struct give *g)
	PH_REQUIRES(c->lock)
{
	const struct size_class *sc = &ph__size_classes[c->size_class];

	g->nempty = 0;
	while (g->done < n && g->nempty < EMPTY_BATCH && !g->bad) {
		uintptr_t a = (uintptr_t)objects[g->done];
		struct ph_span *s = span_of_class(heap, c, a);
		size_t before = g->done;

		while (s && g->done < n) {
			a = (uintptr_t)objects[g->done];
			if (!span_contains(s, a) || !free_in_span(s, sc, a))
				break;
			g->done++;
		}
		/* The next object is another span's, or is wrong. */
		if (g->done < n && (!s || span_contains(s, a)))
			g->bad = objects[g->done];
		if (g->done == before)
			break;
		s = refile(c, s);
		if (s)
			g->empty[g->nempty++] = s;
	}
	gauge_sub(&heap->gauges->class_spans[c->size_class], g->nempty);
}

void ph__central_give(struct ph_heap *heap, struct central *c, void **objects,
		      size_t n)
{
	struct give g = {.done = 0};

	sort_objects(objects, n);
	while (g.done < n) {
		size_t before = g.done;

		central_lock(c);
		give_locked(heap, c, objects, n, &g);
		gauge_sub(&heap->gauges->class_objects[c->size_class],
			  g.done - before);
		central_unlock(c);
		for (size_t i = 0; i < g.nempty; i++)
			unmake_span(heap, g.empty[i]);
		if (g.bad)
			ph__object_bad(heap, "double free of", g.bad);
	}
}

void ph__central_trim(struct ph_heap *heap, struct central *c)
{
	struct ph_span *s;

	central_lock(c);
	s = c->empty;
	c->empty = NULL;
	if (s) {
		s->on_list = SPAN_IN_TRANSIT;
		gauge_sub(&heap->gauges->class_spans[c->size_class], 1);
	}
	central_unlock(c);
	if (s)
		unmake_span(heap, s);
}

/* Makes the mark bits the allocation bits.  Returns the objects freed. */
static size_t exchange_bits(struct ph_span *s)
{
	size_t live = 0, freed;

	for (size_t w = 0; w < span_bitmap_words(s); w++) {
		uint64_t bits = 0;

		if (s->mark_bits) {
			bits = s->alloc_bits[w] & s->mark_bits[w];
			ph_store_relaxed(&s->mark_bits[w], 0);
		}
		ph_store_relaxed(&s->alloc_bits[w], bits);
		live += popcount64(bits);
	}
	freed = s->nalloc - live;
	s->nalloc = (uint16_t)live;
	s->hint_word = 0;
	return freed;
}

void ph__central_sweep(struct ph_heap *heap, struct central *c,
		       struct ph_span *span, struct ph_sweep *out)
{
	struct ph_span *empty = NULL;
	size_t freed;

	central_lock(c);
	freed = exchange_bits(span);
	span->sweep_gen = heap->sweep_gen;
	out->nspans++;
	out->live_objects += span->nalloc;
	out->freed_objects += freed;
	out->freed_bytes += freed * span->elem_size;
	gauge_sub(&heap->gauges->class_objects[c->size_class], freed);
	if (freed > 0 && span != c->empty) {
		empty = refile(c, span);
		if (empty)
			gauge_sub(&heap->gauges->class_spans[c->size_class], 1);
	}
	central_unlock(c);
	if (empty)
		unmake_span(heap, empty);
}
