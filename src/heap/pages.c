/* SPDX-License-Identifier: MIT */
/*
 * Runs of pages: the page allocator behind the heap's lock.
 *
 * An allocation is two steps.  Under the lock the run is found, growing the
 * heap if it must be, and marked used.  Without the lock memory that the source
 * wants to be told about is made ready; and when the heap grew although it
 * holds free memory (fragmentation), as much of that is given back as the
 * growth will add, so that resident memory follows demand, not history.
 *
 * Zero knowledge: pages that hold no memory (never used, or given back) read
 * as zero if the source says so (PH_OS_ZEROES).  A run is known zero when all
 * of its pages were such.
 *
 * Physical pages may be larger than the heap's.  Memory is made ready by whole
 * physical pages, some of which neighbours may be using already; it is given
 * back only when all of a physical page is free (page/page_scavenge.c).
 *
 * When memory cannot be made ready, the run goes back as memory that holds
 * nothing, so that the next to get it asks again.  Which of its pages were
 * ready is not known any more; those that were are given back first, and if
 * that fails too the heap stops believing that such memory is zero.
 */
#include <errno.h>

#include "base/bits.h"
#include "heap/heap.h"
#include "heap/report.h"

static uint64_t *kind_gauge(struct ph_heap *heap, enum page_kind kind)
{
	switch (kind) {
	case PAGES_SMALL:
		return &heap->gauges->small_span_bytes;
	case PAGES_LARGE:
		return &heap->gauges->large_span_bytes;
	case PAGES_RAW:
		break;
	}
	return &heap->gauges->raw_bytes;
}

/* Asks for a background thread when much is free; object/background.c. */
static void ask_for_background(struct ph_heap *heap) PH_REQUIRES(heap->lock)
{
	const struct ph_gauges *g = heap->gauges;
	struct heap_background *b = &heap->background;

	if (b->peak_bytes < g->in_use_bytes)
		b->peak_bytes = g->in_use_bytes;
	if (b->left_bytes > g->free_bytes)
		b->left_bytes = g->free_bytes;
	/* Sequentially consistent: pairs with the thread's last store. */
	if (g->free_bytes - b->left_bytes >
		    BACKGROUND_START_BYTES +
			    g->in_use_bytes / BACKGROUND_START_SHARE &&
	    !ph_load_seq(&b->running))
		ph_store_relaxed(&b->wanted, 1);
}

void ph__pages_update_gauges(struct ph_heap *heap)
{
	const struct page_alloc *pa = &heap->pages;
	struct ph_gauges *g = heap->gauges;
	uint64_t mapped = (uint64_t)pa->total_pages << PH_PAGE_SHIFT;
	/*
	 * Not what the page allocator counts: pages in flight to the system
	 * and in page caches are used to it, but nobody's.
	 */
	uint64_t in_use =
		g->small_span_bytes + g->large_span_bytes + g->raw_bytes;
	uint64_t returned = (uint64_t)pa->scavenged_pages << PH_PAGE_SHIFT;

	ph_store_relaxed(&g->mapped_bytes, mapped);
	ph_store_relaxed(&g->in_use_bytes, in_use);
	ph_store_relaxed(&g->returned_bytes, returned);
	ph_store_relaxed(&g->free_bytes, mapped - in_use - returned);
	if (in_use > g->peak_in_use_bytes)
		ph_store_relaxed(&g->peak_in_use_bytes, in_use);
	if (mapped - returned > g->peak_resident_bytes)
		ph_store_relaxed(&g->peak_resident_bytes, mapped - returned);
	if (heap->background.enabled)
		ask_for_background(heap);
}

/* Books a run that the page allocator has marked used. */
static struct heap_run book(struct ph_heap *heap, struct page_run run,
			    size_t npages, size_t grown, enum page_kind kind)
	PH_REQUIRES(heap->lock)
{
	struct heap_run out = {.addr = run.addr,
			       .prepared_pages = run.scavenged_pages,
			       .grown_nbytes = grown};

	out.zeroed = run.scavenged_pages == npages &&
		     (heap->os_flags & PH_OS_ZEROES) && !heap->zero_doubted;
	heap->generation_pages += npages;
	gauge_add(&heap->gauges->page_allocs, 1);
	gauge_add(kind_gauge(heap, kind), (uint64_t)npages << PH_PAGE_SHIFT);
	ph__pages_update_gauges(heap);
	return out;
}

static struct page_run find_run(struct ph_heap *heap, size_t npages,
				size_t align)
{
	if (align <= PH_PAGE_SIZE)
		return ph__page_alloc_take(&heap->pages, npages);
	return ph__page_alloc_take_aligned(&heap->pages, npages, align);
}

struct heap_run ph__pages_take(struct ph_heap *heap, size_t npages,
			       size_t align, enum page_kind kind)
{
	struct page_run run = {0, 0};
	size_t grown = 0;

	if (npages <= (size_t)1 << (PAGEMAP_ADDR_BITS - PH_PAGE_SHIFT)) {
		run = find_run(heap, npages, align);
		if (!run.addr) {
			grown = ph__heap_grow(heap, npages, align);
			if (grown)
				run = find_run(heap, npages, align);
		}
	}
	if (!run.addr) {
		/* A growth that did not help would be our mistake. */
		ph_require(grown == 0);
		errno = ENOMEM;
		return (struct heap_run){0};
	}
	return book(heap, run, npages, grown, kind);
}

struct heap_run ph__pages_take_at(struct ph_heap *heap, uintptr_t addr,
				  size_t npages, enum page_kind kind)
{
	struct page_run run =
		ph__page_alloc_take_at(&heap->pages, addr, npages);

	if (!run.addr)
		return (struct heap_run){0};
	return book(heap, run, npages, 0, kind);
}

/* Makes the physical pages that a run touches ready. */
static int use_run(struct ph_heap *heap, uintptr_t addr, size_t npages)
{
	size_t page = heap->os->page_size;
	uintptr_t first = align_down(addr, page);
	uintptr_t limit = align_up(addr + (npages << PH_PAGE_SHIFT), page);

	return heap->os->use(heap->os_ctx, (void *)first, limit - first);
}

bool ph__pages_ready(struct ph_heap *heap, const struct heap_run *run,
		     size_t npages)
{
	if (run->prepared_pages && heap->os->use &&
	    use_run(heap, run->addr, npages) != 0)
		return false;
	if (ph_unlikely(run->grown_nbytes))
		ph__heap_scavenge_after_growth(heap, run->grown_nbytes);
	return true;
}

/* Gives a run's ready memory back.  False when some may be left. */
static bool release_run(struct ph_heap *heap, uintptr_t addr, size_t npages)
{
	size_t page = heap->os->page_size;
	uintptr_t end = addr + (npages << PH_PAGE_SHIFT);
	uintptr_t first = align_up(addr, page);
	uintptr_t limit = align_down(end, page);

	return first < limit &&
	       heap->os->release(heap->os_ctx, (void *)first, limit - first) ==
		       0 &&
	       first == addr && limit == end;
}

void ph__pages_empty(struct ph_heap *heap, const struct heap_run *run,
		     size_t npages)
{
	if (run->prepared_pages == npages ||
	    release_run(heap, run->addr, npages))
		return;
	heap_lock(heap);
	heap->zero_doubted = true;
	heap_unlock(heap);
}

void ph__pages_give_empty(struct ph_heap *heap, uintptr_t addr, size_t npages,
			  enum page_kind kind)
{
	uintptr_t end = addr + (npages << PH_PAGE_SHIFT);

	/* They land as those do that the scavenger gave back. */
	for (uintptr_t a = addr, next; a < end; a = next) {
		struct page_range part = {a, 0};

		next = align_down(a, PH_CHUNK_SIZE) + PH_CHUNK_SIZE;
		if (next > end)
			next = end;
		part.npages = (next - a) >> PH_PAGE_SHIFT;
		ph__page_scavenge_done(&heap->pages, part);
	}
	gauge_sub(&heap->gauges->page_allocs, 1);
	gauge_sub(kind_gauge(heap, kind), (uint64_t)npages << PH_PAGE_SHIFT);
	ph__pages_update_gauges(heap);
}

void ph__pages_undo(struct ph_heap *heap, const struct heap_run *run,
		    size_t npages, enum page_kind kind)
{
	ph__pages_empty(heap, run, npages);
	heap_lock(heap);
	ph__pages_give_empty(heap, run->addr, npages, kind);
	heap_unlock(heap);
	errno = ENOMEM;
}

void ph__pages_give(struct ph_heap *heap, uintptr_t addr, size_t npages,
		    enum page_kind kind)
{
	ph__page_alloc_free(&heap->pages, addr, npages);
	heap->generation_pages += npages;
	gauge_add(&heap->gauges->page_frees, 1);
	gauge_sub(kind_gauge(heap, kind), (uint64_t)npages << PH_PAGE_SHIFT);
	ph__pages_update_gauges(heap);
}

/* ---- public: runs without a descriptor ---- */

void *ph_pages_alloc(struct ph_heap *heap, size_t npages, int *zeroed)
{
	return ph_pages_alloc_aligned(heap, npages, PH_PAGE_SIZE, zeroed);
}

void *ph_pages_alloc_aligned(struct ph_heap *heap, size_t npages, size_t align,
			     int *zeroed)
{
	struct heap_run run;

	if (npages == 0 || !is_pow2(align)) {
		errno = EINVAL;
		return NULL;
	}
	heap_lock(heap);
	run = ph__pages_take(heap, npages, align, PAGES_RAW);
	heap_unlock(heap);
	if (!run.addr)
		return NULL;
	if (!ph__pages_ready(heap, &run, npages)) {
		ph__pages_undo(heap, &run, npages, PAGES_RAW);
		return NULL;
	}
	if (zeroed)
		*zeroed = run.zeroed;
	return (void *)run.addr;
}

/* Takes exactly these pages for the caller. */
static int take_exactly(struct ph_heap *heap, uintptr_t addr, size_t npages,
			int *zeroed)
{
	struct heap_run run;

	heap_lock(heap);
	run = ph__pages_take_at(heap, addr, npages, PAGES_RAW);
	heap_unlock(heap);
	if (!run.addr)
		return ENOMEM;
	if (!ph__pages_ready(heap, &run, npages)) {
		ph__pages_undo(heap, &run, npages, PAGES_RAW);
		return ENOMEM;
	}
	if (zeroed)
		*zeroed = run.zeroed;
	return 0;
}

int ph_pages_alloc_at(struct ph_heap *heap, void *addr, size_t npages,
		      int *zeroed)
{
	int saved = errno;
	int error;

	if (npages == 0 || !addr || (uintptr_t)addr % PH_PAGE_SIZE != 0)
		return EINVAL;
	error = take_exactly(heap, (uintptr_t)addr, npages, zeroed);
	errno = saved;
	return error;
}

int ph_pages_extend(struct ph_heap *heap, void *addr, size_t old_npages,
		    size_t new_npages)
{
	uintptr_t end = (uintptr_t)addr + (old_npages << PH_PAGE_SHIFT);

	if (!addr || (uintptr_t)addr % PH_PAGE_SIZE != 0 || old_npages == 0 ||
	    new_npages < old_npages)
		return EINVAL;
	if (new_npages == old_npages)
		return 0;
	return ph_pages_alloc_at(heap, (void *)end, new_npages - old_npages,
				 NULL);
}

/*
 * Does a span in use lie anywhere in the range?  Its ends would not tell: a
 * span may lie between two runs.  A heap of runs only need not look.
 */
static bool touches_span(const struct ph_heap *heap, uintptr_t addr,
			 size_t npages) PH_REQUIRES(heap->lock)
{
	return heap->gauges->spans != 0 &&
	       ph__pagemap_has_span(heap->pagemap, addr, npages);
}

void ph_pages_free(struct ph_heap *heap, void *addr, size_t npages)
{
	uintptr_t a = (uintptr_t)addr;
	const char *mistake = NULL;

	if (!addr || npages == 0)
		return;
	heap_lock(heap);
	if (a % PH_PAGE_SIZE != 0)
		mistake = "unaligned free of pages";
	else if (!ph__page_alloc_is_allocated(&heap->pages, a, npages))
		mistake = "free of pages that are free or foreign:";
	else if (touches_span(heap, a, npages))
		mistake = "free of pages inside a span:";
	else
		ph__pages_give(heap, a, npages, PAGES_RAW);
	heap_unlock(heap);
	if (mistake)
		ph__report_pages(heap, mistake, addr, npages);
}
