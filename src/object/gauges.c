/* SPDX-License-Identifier: MIT */
/*
 * Gauges: the numbers a heap keeps about itself, read and moved.
 *
 * Every part of the heap adds to the gauges that its lock guards: those of
 * pages and spans under the heap's lock, those of a size class under its
 * central's.
 *
 *	caches lock -> central 0 -> central 1 -> ... -> heap lock
 *	               '------- by ascending address ------------'
 *
 * A snapshot holds all of them, so what it reads is of one moment and the
 * identities of docs/statistics.md hold.  Threads go on allocating from their
 * magazines meanwhile; what lies in magazines is counted, not stopped, and
 * clamped so that no difference is negative.  Cost: 70 uncontended locks and a
 * walk over the threads' caches, a few microseconds.
 *
 * Where the gauges live may change: the drop-in moves them to a page that it
 * shares with `pageheap run`, so that they are read after the process has
 * come to a sudden end.  All writers go through heap->gauges under a lock that
 * the mover holds.
 */
#include <errno.h>
#include <string.h>

#include "object/objects.h"

/* ---- snapshots ---- */

static void lock_objects(struct objects *o) PH_NO_THREAD_SAFETY
{
	lock_acquire(&o->caches_lock);
	for (unsigned c = 0; c < PH_NUM_CLASSES; c++)
		lock_acquire_same_rank(&o->centrals[c].lock);
}

static void unlock_objects(struct objects *o) PH_NO_THREAD_SAFETY
{
	for (unsigned c = PH_NUM_CLASSES; c-- > 0;)
		lock_release(&o->centrals[c].lock);
	lock_release(&o->caches_lock);
}

struct objects *ph__snapshot_begin(struct ph_heap *heap) PH_NO_THREAD_SAFETY
{
	for (;;) {
		struct objects *o = ph_load_acquire(&heap->objects);

		if (o)
			lock_objects(o);
		heap_lock(heap);
		/*
		 * Objects made since the look above are unlocked.  Made from
		 * now on they have no span while the heap is locked.
		 */
		if (o || !ph_load_acquire(&heap->objects))
			return o;
		heap_unlock(heap);
	}
}

void ph__snapshot_end(struct ph_heap *heap,
		      struct objects *o) PH_NO_THREAD_SAFETY
{
	heap_unlock(heap);
	if (o)
		unlock_objects(o);
}

/* ---- statistics ---- */

/* Splits the objects out of spans into live and cached ones. */
static void count_classes(const struct ph_gauges *g, struct objects *o,
			  struct class_stats classes[PH_NUM_CLASSES])
{
	uint64_t cached[PH_NUM_CLASSES] = {0};

	if (o)
		ph__thread_count_cached(o, cached);
	memset(&classes[0], 0, sizeof(classes[0]));
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		uint64_t out = g->class_objects[c];
		uint64_t n = cached[c] < out ? cached[c] : out;

		classes[c].nspans = g->class_spans[c];
		classes[c].cached = n;
		classes[c].live = out - n;
		classes[c].free =
			g->class_spans[c] * ph__size_classes[c].nelems - out;
	}
}

static void sum_classes(const struct ph_gauges *g,
			const struct class_stats classes[PH_NUM_CLASSES],
			struct ph_stats *s)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		s->cached_objects += classes[c].cached;
		s->cached_bytes += classes[c].cached * ph__size_classes[c].size;
		s->live_objects += classes[c].live;
		s->live_bytes += classes[c].live * ph__size_classes[c].size;
	}
	s->large_objects = g->large_objects;
	s->large_bytes = g->large_bytes;
	s->live_objects += g->large_objects;
	s->live_bytes += g->large_bytes;
}

/* Metadata handed out for this heap alone. */
static uint64_t heap_meta_bytes(const struct ph_heap *heap,
				const struct objects *o)
{
	uint64_t n = sizeof(*heap);

	if (heap->flags & HEAP_OWN_META)
		return ph_load_relaxed(&heap->own_meta.used_bytes);
	n += heap->span_pool.nslabs * heap->span_pool.slab_bytes;
	for (unsigned i = 0; i < HEAP_BITMAP_POOLS; i++)
		n += heap->bitmap_pools[i].nslabs *
		     heap->bitmap_pools[i].slab_bytes;
	for (const struct page_region *r = heap->pages.root.lowest; r;
	     r = r->next)
		n += sizeof(*r);
	n += heap->pages.root.count * sizeof(*heap->pages.root.window);
	if (o)
		n += sizeof(*o);
	return n;
}

static void fill_stats(struct ph_heap *heap, struct objects *o,
		       struct ph_stats *s,
		       struct class_stats classes[PH_NUM_CLASSES])
	PH_REQUIRES(heap->lock)
{
	struct ph_gauges *g = heap->gauges;

	ph_store_relaxed(&g->meta_bytes, heap_meta_bytes(heap, o));
	s->reserved_bytes = g->reserved_bytes;
	s->mapped_bytes = g->mapped_bytes;
	s->in_use_bytes = g->in_use_bytes;
	s->free_bytes = g->free_bytes;
	s->returned_bytes = g->returned_bytes;
	s->small_span_bytes = g->small_span_bytes;
	s->large_span_bytes = g->large_span_bytes;
	s->raw_bytes = g->raw_bytes;
	s->meta_bytes = g->meta_bytes;
	s->peak_in_use_bytes = g->peak_in_use_bytes;
	s->peak_resident_bytes = g->peak_resident_bytes;
	s->page_allocs = g->page_allocs;
	s->page_frees = g->page_frees;
	s->growths = g->growths;
	s->scavenges = g->scavenges;
	s->scavenged_bytes = g->scavenged_bytes;
	s->spans = g->spans;
	count_classes(g, o, classes);
	sum_classes(g, classes, s);
	ph_store_relaxed(&g->cached_objects, s->cached_objects);
	ph_store_relaxed(&g->cached_bytes, s->cached_bytes);
}

void ph__heap_stats_by_class(struct ph_heap *heap, struct ph_stats *stats,
			     struct class_stats classes[PH_NUM_CLASSES])
{
	struct objects *o = ph__snapshot_begin(heap);

	memset(stats, 0, sizeof(*stats));
	stats->struct_size = sizeof(*stats);
	fill_stats(heap, o, stats, classes);
	ph__snapshot_end(heap, o);
}

int ph_heap_stats(struct ph_heap *heap, struct ph_stats *stats)
{
	struct class_stats classes[PH_NUM_CLASSES];
	struct ph_stats s;
	size_t n = stats->struct_size;

	if (n < offsetof(struct ph_stats, mapped_bytes))
		return EINVAL;
	ph__heap_stats_by_class(heap, &s, classes);
	s.struct_size = n;
	memcpy(stats, &s, n < sizeof(s) ? n : sizeof(s));
	return 0;
}

/* ---- moving ---- */

void ph__heap_move_gauges_alone(struct ph_heap *heap, struct ph_gauges *to)
{
	struct ph_gauges *from = heap->gauges;

	if (from == to)
		return;
	memcpy(to, from, sizeof(*to));
	heap->gauges = to;
}

void ph__heap_move_gauges(struct ph_heap *heap, struct ph_gauges *to)
{
	struct objects *o = ph__snapshot_begin(heap);

	/* A process that ends suddenly leaves what is written now. */
	ph_store_relaxed(&heap->gauges->meta_bytes, heap_meta_bytes(heap, o));
	ph__heap_move_gauges_alone(heap, to);
	ph__snapshot_end(heap, o);
}
