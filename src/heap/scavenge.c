/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back.
 *
 * page/ chooses the ranges (highest addresses first, whole huge pages, dense
 * chunks spared unless forced); this file makes the system calls, without the
 * heap's lock.  A range in flight counts as in use, so nobody gets its pages;
 * one whose release fails is free and dirty again, and the attempt ends, for
 * the next would fail for the same reason (a locked mapping, say) forever.
 *
 * When the heap grows although it holds free memory, that memory was of no use
 * to the request; as much of it is given back as was grown, as far as the heap
 * holds more than a tenth above its highest use.  Chunks that are nearly full
 * are spared.
 *
 * Ranges in flight are written down in the heap: a child of fork, in which the
 * thread that released them does not exist, takes them back.  How far their
 * release had come is not known.  To a source that makes no difference between
 * prepared and ready they are as they were; from another they must be asked for
 * again, and may hold old contents.
 *
 * A generation (page/scav_index.h) ends when as many pages were allocated and
 * freed as are in use: the heap has had time to use up what is dense.  Frees
 * count, for in a heap that only grows, allocations never catch up with what
 * is in use, and what was freed before would stay.
 */
#include <errno.h>

#include "heap/heap.h"

/* Held above the peak of use before growth makes the heap give back: 1/10. */
#define RETAIN_SHARE 10

static void end_generation_if_due(struct ph_heap *heap) PH_REQUIRES(heap->lock)
{
	if (heap->generation_pages < heap->pages.in_use_pages)
		return;
	ph__page_alloc_next_generation(&heap->pages);
	heap->generation_pages = 0;
}

/* Takes a range out of the heap for its flight.  NULL: none, or no slot. */
static struct page_range *take_off(struct ph_heap *heap,
				   const struct scav_request *req)
	PH_REQUIRES(heap->lock)
{
	for (unsigned i = 0; i < HEAP_FLIGHTS; i++) {
		struct page_range *f = &heap->flights[i];

		if (f->npages)
			continue;
		*f = ph__page_scavenge_take(&heap->pages, req);
		heap->pages_in_flight += f->npages;
		return f->npages ? f : NULL;
	}
	/* As many threads are at it already. */
	return NULL;
}

/* Puts a range back: given back to the system, or as it was. */
static void land(struct ph_heap *heap, struct page_range *f, bool released)
	PH_REQUIRES(heap->lock)
{
	heap->pages_in_flight -= f->npages;
	if (released) {
		ph__page_scavenge_done(&heap->pages, *f);
		gauge_add(&heap->gauges->scavenges, 1);
		gauge_add(&heap->gauges->scavenged_bytes,
			  (uint64_t)f->npages << PH_PAGE_SHIFT);
	} else {
		ph__page_scavenge_abort(&heap->pages, *f);
	}
	f->npages = 0;
	ph__pages_update_gauges(heap);
}

void ph__heap_land_flights(struct ph_heap *heap)
{
	for (unsigned i = 0; i < HEAP_FLIGHTS; i++) {
		struct page_range *f = &heap->flights[i];

		if (!f->npages)
			continue;
		if (heap->os->use)
			heap->zero_doubted = true;
		land(heap, f, heap->os->use != NULL);
	}
}

/* Gives one range back.  Its bytes, or 0: nothing left, or refused. */
static size_t scavenge_one(struct ph_heap *heap, const struct scav_request *req)
{
	struct page_range *f;
	struct page_range range;
	size_t nbytes;
	int error;

	heap_lock(heap);
	f = take_off(heap, req);
	if (f)
		range = *f;
	heap_unlock(heap);
	if (!f)
		return 0;
	nbytes = range.npages << PH_PAGE_SHIFT;
	error = heap->os->release(heap->os_ctx, (void *)range.addr, nbytes);

	heap_lock(heap);
	land(heap, f, error == 0);
	heap_unlock(heap);
	return error ? 0 : nbytes;
}

size_t ph__heap_scavenge(struct ph_heap *heap, size_t nbytes,
			 enum scav_mode mode)
{
	struct scav_request req = {
		.min_pages = (unsigned)heap->scavenge_min_pages,
		.huge_pages = (unsigned)heap->scavenge_huge_pages,
		.mode = mode};
	size_t done = 0;

	while (done < nbytes) {
		size_t left = nbytes - done, n;

		req.max_pages = left >> PH_PAGE_SHIFT;
		if (left % PH_PAGE_SIZE != 0)
			req.max_pages++;
		n = scavenge_one(heap, &req);
		if (n == 0)
			break;
		done += n;
	}
	return done;
}

void ph__heap_scavenge_after_growth(struct ph_heap *heap, size_t grown_nbytes)
{
	const struct ph_gauges *g;
	uint64_t retained, goal, over = 0;
	int saved = errno;

	heap_lock(heap);
	g = heap->gauges; /* under the lock: they may move */
	end_generation_if_due(heap);
	retained = g->in_use_bytes + g->free_bytes;
	goal = g->peak_in_use_bytes + g->peak_in_use_bytes / RETAIN_SHARE;
	if (retained > goal)
		over = retained - goal;
	heap_unlock(heap);
	if (over > grown_nbytes)
		over = grown_nbytes;
	if (over)
		(void)ph__heap_scavenge(heap, over, SCAV_BACKGROUND);
	errno = saved;
}

size_t ph_scavenge(struct ph_heap *heap, size_t nbytes)
{
	int saved = errno;
	size_t done = ph__heap_scavenge(heap, nbytes, SCAV_FORCED);

	errno = saved;
	return done;
}
