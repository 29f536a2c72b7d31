/* SPDX-License-Identifier: MIT */
/*
 * For garbage collectors: objects of addresses, marks, sweeping.
 *
 * Marks are a second bitmap, made when the first object of a span is marked.
 * Sweeping a span makes the marks its allocation bits, in one pass over words,
 * and clears them; an unmarked large object is freed.  A heap's sweep begins a
 * generation, which each swept span records, and empties all magazines first,
 * so that no magazine holds an object that the sweep frees.
 */
#include "object/objects.h"

/* The object that contains the address; its number in the span in *index. */
static struct ph_span *span_of_interior(struct ph_heap *heap, uintptr_t addr,
					size_t *index)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, addr);
	enum span_state state;

	/* Relaxed here and below: the span may be freed and used again. */
	if (!s || ph_load_relaxed(&s->heap) != heap)
		return NULL;
	*index = 0;
	state = span_state(s);
	if (state != SPAN_SMALL)
		return state == SPAN_LARGE ? s : NULL;
	*index = span_object_index(s, addr - ph_load_relaxed(&s->base));
	if (*index >= ph_load_relaxed(&s->nelems) ||
	    !span_bit_get(ph_load_relaxed(&s->alloc_bits), *index))
		return NULL;
	return s;
}

void *ph_object_base(struct ph_heap *heap, const void *addr, size_t *nbytes)
{
	size_t i;
	struct ph_span *s = span_of_interior(heap, (uintptr_t)addr, &i);

	if (!s)
		return NULL;
	if (nbytes)
		*nbytes = ph_span_elem_size(s);
	return (void *)(ph_load_relaxed(&s->base) +
			i * ph_load_relaxed(&s->elem_size));
}

/* The span's mark bits, made if need be; NULL: no memory. */
static uint64_t *mark_bits(struct ph_heap *heap, struct ph_span *s)
{
	/* Acquire: the bitmap was zeroed before its pointer was set. */
	uint64_t *bits = ph_load_acquire(&s->mark_bits);

	if (ph_likely(bits))
		return bits;
	heap_lock(heap);
	bits = s->mark_bits;
	if (!bits) {
		bits = span_bitmap_words(s) > 1 ? ph__span_bitmap_alloc(heap, s)
						: &s->mark_word;
		ph_store_release(&s->mark_bits, bits);
	}
	heap_unlock(heap);
	return bits;
}

int ph_object_mark(struct ph_heap *heap, void *p)
{
	size_t i;
	struct ph_span *s = span_of_interior(heap, (uintptr_t)p, &i);
	uint64_t mask, *bits;

	if (!s || s->base + i * s->elem_size != (uintptr_t)p)
		return -1;
	bits = mark_bits(heap, s);
	if (!bits)
		return -2;
	mask = (uint64_t)1 << (i % 64);
	/* Relaxed: the collector's own synchronisation ends the marking. */
	return ph_fetch_or_relaxed(&bits[i / 64], mask) & mask ? 0 : 1;
}

static void sweep_large(struct ph_heap *heap, struct ph_span *s,
			struct ph_sweep *out)
{
	size_t nbytes = span_nbytes(s);

	out->nspans++;
	if (s->mark_bits && (s->mark_bits[0] & 1)) {
		s->mark_bits[0] = 0;
		s->sweep_gen = heap->sweep_gen;
		out->live_objects++;
		return;
	}
	out->freed_objects++;
	out->freed_bytes += nbytes;
	ph_require(ph__span_free(heap, s, SPAN_LARGE, s->base));
}

struct ph_sweep ph_heap_sweep(struct ph_heap *heap)
{
	struct objects *o = ph_load_acquire(&heap->objects);
	struct ph_sweep out = {0};
	uintptr_t addr = 0;

	ph__thread_flush_stopped(heap);
	heap->sweep_gen += 2;
	for (;;) {
		struct ph_span *s;

		heap_lock(heap);
		s = ph__span_next(heap, addr);
		heap_unlock(heap);
		if (!s)
			return out;
		addr = s->base + span_nbytes(s);
		if (span_state(s) == SPAN_SMALL)
			ph__central_sweep(heap, &o->centrals[s->size_class], s,
					  &out);
		else if (span_state(s) == SPAN_LARGE)
			sweep_large(heap, s, &out);
	}
}
