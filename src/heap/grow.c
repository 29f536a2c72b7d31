/* SPDX-License-Identifier: MIT */
/*
 * Growth: more chunks when no run of free pages is long enough.
 *
 * The heap grows at its end, so that what is free there is used first:
 *
 *	... [used][free tail]|<- end of the heap
 *	         |<----- npages asked for ----->|
 *	                     |<-- grown now --->|   rounded up to chunks
 *
 * Only when the addresses behind the end are not to be had is a place
 * elsewhere taken, and then with room for all of the request.  A heap that is
 * large already grows by a sixteenth of itself (at most 64 MiB) rather than
 * chunk by chunk: pages grown in advance cost address space, not memory.  When
 * that is refused, just what is needed is tried.
 *
 * Order of steps, and what undoes each: address space (given back), leaves of
 * the page map (stay, cost nothing), metadata of the page allocator (its grow
 * changes nothing on failure).  Nothing is published before the last step.
 *
 * These are the only system calls made under the heap's lock.
 */
#include <errno.h>

#include "base/bits.h"
#include "heap/heap.h"

/* A heap grows by at least this part of itself, within a bound. */
#define GROW_SHARE 16
#define GROW_MOST_BYTES ((size_t)64 << 20)

/* Bytes by which the heap may still grow. */
static size_t grow_allowance(const struct ph_heap *heap)
{
	size_t have = heap->pages.total_pages << PH_PAGE_SHIFT;

	return heap->max_bytes > have ? heap->max_bytes - have : 0;
}

/* One past the heap's highest page; 0 for an empty heap. */
static uintptr_t heap_end(const struct ph_heap *heap)
{
	const struct addr_ranges *grown = &heap->pages.grown;

	return grown->count ? grown->range[grown->count - 1].limit : 0;
}

/*
 * Bytes to add behind `end` so that nbytes at a multiple of align fit, counting
 * on the free tail.
 */
static size_t need_at_end(const struct ph_heap *heap, uintptr_t end,
			  size_t nbytes, size_t align)
{
	size_t tail = ph__page_alloc_free_below(&heap->pages, end)
		      << PH_PAGE_SHIFT;
	uintptr_t start = align_up(end - tail, align);

	if (start + nbytes < start || start + nbytes <= end)
		return 0;
	return align_up(start + nbytes - end, PH_CHUNK_SIZE);
}

/* Chunks behind the heap's end. */
static struct arena_run take_at_end(struct ph_heap *heap, size_t nbytes,
				    size_t align, size_t most)
{
	struct arena_run run = {0, 0};
	uintptr_t end = heap_end(heap);
	size_t have = heap->pages.total_pages << PH_PAGE_SHIFT;
	size_t share = align_up(have / GROW_SHARE, PH_CHUNK_SIZE);
	size_t need;

	if (!end)
		return run;
	need = need_at_end(heap, end, nbytes, align);
	if (need == 0 || need > most)
		return run;
	if (share > GROW_MOST_BYTES)
		share = GROW_MOST_BYTES;
	if (share > need && share <= most)
		run = ph__arenas_take_at(heap->arenas, share, end);
	if (!run.base)
		run = ph__arenas_take_at(heap->arenas, need, end);
	return run;
}

/* Chunks anywhere, enough for the run wherever they start. */
static struct arena_run take_anywhere(struct ph_heap *heap, size_t nbytes,
				      size_t align, size_t most)
{
	struct arena_run none = {0, 0};
	size_t need = nbytes;

	/* Chunks start at multiples of a chunk; coarser needs a margin. */
	if (align > PH_CHUNK_SIZE &&
	    add_overflows(need, align - PH_CHUNK_SIZE, &need))
		return none;
	if (need > SIZE_MAX - PH_CHUNK_SIZE)
		return none;
	need = align_up(need, PH_CHUNK_SIZE);
	return need <= most ? ph__arenas_take(heap->arenas, need) : none;
}

size_t ph__heap_grow(struct ph_heap *heap, size_t npages, size_t align)
{
	size_t most = grow_allowance(heap);
	struct arena_run run;
	size_t nbytes;

	if (npages > SIZE_MAX >> (PH_PAGE_SHIFT + 1) || align > SIZE_MAX / 4)
		return 0;
	nbytes = npages << PH_PAGE_SHIFT;
	run = take_at_end(heap, nbytes, align, most);
	if (!run.base)
		run = take_anywhere(heap, nbytes, align, most);
	if (!run.base)
		return 0;
	if (ph__pagemap_cover(heap->pagemap, run.base, run.nbytes) != 0 ||
	    ph__page_alloc_grow(&heap->pages, run.base, run.nbytes) != 0) {
		ph__arenas_give_back(heap->arenas, run);
		return 0;
	}
	gauge_add(&heap->gauges->growths, 1);
	gauge_add(&heap->gauges->reserved_bytes, run.nbytes);
	return run.nbytes;
}
