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
 * A generation (page/scav_index.h) ends when as many pages were allocated as
 * are in use: the heap has had time to use up what is dense.
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

/* Gives one range back.  Its bytes, or 0: nothing left, or refused. */
static size_t scavenge_one(struct ph_heap *heap, const struct scav_request *req)
{
	struct page_range range;
	size_t nbytes;
	int error;

	heap_lock(heap);
	range = ph__page_scavenge_take(&heap->pages, req);
	heap->pages_in_flight += range.npages;
	heap_unlock(heap);
	if (range.npages == 0)
		return 0;
	nbytes = range.npages << PH_PAGE_SHIFT;
	error = heap->os->release(heap->os_ctx, (void *)range.addr, nbytes);

	heap_lock(heap);
	heap->pages_in_flight -= range.npages;
	if (error) {
		ph__page_scavenge_abort(&heap->pages, range);
		nbytes = 0;
	} else {
		ph__page_scavenge_done(&heap->pages, range);
		gauge_add(&heap->gauges->scavenges, 1);
		gauge_add(&heap->gauges->scavenged_bytes, nbytes);
	}
	ph__pages_update_gauges(heap);
	heap_unlock(heap);
	return nbytes;
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
	const struct ph_gauges *g = heap->gauges;
	uint64_t retained, goal, over = 0;
	int saved = errno;

	heap_lock(heap);
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
