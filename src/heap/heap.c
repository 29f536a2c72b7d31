/* SPDX-License-Identifier: MIT */
/*
 * A heap's life: made, registered, destroyed.
 *
 * An ordinary heap owns its descriptors and its page allocator's metadata; it
 * shares the page map, the arenas and the metadata memory with the other heaps
 * of the process.  A heap over a source of the caller's own has its own page
 * map and arenas, for its addresses may collide with real ones.
 *
 *	struct ph_heap (about 1 KiB) ---- pages: regions on demand
 *	      |                      ---- span_pool, bitmap_pools: slabs
 *	      '-- objects (object/)  ---- centrals, caches: on demand
 *
 * Destroying gives back chunks, not objects: the memory of each range is
 * released and the chunks go to the arenas, where the next heap takes them.
 * What the page map says about those pages is wiped first, so that no lookup
 * finds a descriptor that is gone.
 */
#include "heap/heap.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "heap/registry.h"
#include "os/os.h"

#define PUBLIC_FLAGS (PH_HEAP_NO_RANDOM | PH_HEAP_ALIGN16)

/* Slabs of descriptors and bitmaps: small, for there may be many heaps. */
#define SPAN_SLAB_BYTES ((size_t)4 << 10)
#define BITMAP_SLAB_BYTES ((size_t)4 << 10)

/* Physical pages the arithmetic copes with: 64 pages share one bitmap word. */
#define OS_PAGE_MIN ((size_t)4 << 10)
#define OS_PAGE_MAX (64 * PH_PAGE_SIZE)

static bool ops_are_valid(const struct ph_os_ops *os)
{
	return os->struct_size >= sizeof(*os) && is_pow2(os->page_size) &&
	       os->page_size >= OS_PAGE_MIN && os->page_size <= OS_PAGE_MAX &&
	       os->reserve && os->commit && os->release && os->unmap &&
	       os->clock_ns;
}

static bool options_are_valid(const struct ph_heap_options *o)
{
	if (o->struct_size < sizeof(*o) || (o->flags & ~PUBLIC_FLAGS))
		return false;
	if (o->os && !ops_are_valid(o->os))
		return false;
	if (o->meta_os && (!ops_are_valid(o->meta_os) ||
			   !(o->meta_os->flags & PH_OS_ZEROES) ||
			   (o->meta_os->flags & PH_OS_UNTOUCHABLE)))
		return false;
	return true;
}

/* The struct itself, from the metadata memory it will use. */
static struct ph_heap *heap_alloc(const struct ph_heap_options *o)
{
	struct meta own;
	struct ph_heap *heap;

	if (!o->meta_os) {
		heap = ph__meta_alloc(&ph__registry.meta, sizeof(*heap),
				      PH_CACHE_LINE);
		if (heap)
			heap->meta = &ph__registry.meta;
		return heap;
	}
	ph__meta_init(&own, o->meta_os, o->meta_os_ctx);
	heap = ph__meta_alloc(&own, sizeof(*heap), PH_CACHE_LINE);
	if (!heap) {
		ph__meta_destroy(&own);
		return NULL;
	}
	heap->own_meta = own;
	heap->meta = &heap->own_meta;
	heap->flags |= HEAP_OWN_META;
	return heap;
}

static void heap_free(struct ph_heap *heap)
{
	if (heap->flags & HEAP_OWN_META) {
		/* The struct lies in the memory that is unmapped. */
		struct meta own = heap->own_meta;

		ph__meta_destroy(&own);
	} else {
		ph__meta_free(heap->meta, heap, sizeof(*heap));
	}
}

/* Page map and arenas: the process's, or the heap's own. */
static int heap_init_space(struct ph_heap *heap,
			   const struct ph_heap_options *o)
{
	bool own = o->os || (o->flags & PH_HEAP_NO_RANDOM);

	if (!own) {
		heap->arenas = &ph__registry.arenas;
		heap->pagemap = &ph__registry.pagemap;
		return 0;
	}
	heap->arenas = &heap->own_arenas;
	ph__arenas_init(&heap->own_arenas, heap->os, heap->os_ctx, heap->meta,
			o->os || PH_TSAN ? 0 : ARENAS_FIXED);
	heap->flags |= HEAP_OWN_SPACE;
	if (!o->os) {
		heap->pagemap = &ph__registry.pagemap;
		return 0;
	}
	heap->pagemap = &heap->own_pagemap;
	return ph__pagemap_init(&heap->own_pagemap, heap->meta, NULL);
}

static void heap_init(struct ph_heap *heap, const struct ph_heap_options *o,
		      uint32_t more_flags)
{
	size_t os_pages, huge = ph__os_huge_page_bytes() / PH_PAGE_SIZE;

	heap->flags |= o->flags | more_flags;
	heap->os = o->os ? o->os : ph_os_default();
	heap->os_ctx = o->os ? o->os_ctx : NULL;
	heap->os_flags = heap->os->flags;
	heap->max_bytes = o->max_bytes ? align_down(o->max_bytes, PH_CHUNK_SIZE)
				       : SIZE_MAX;
	os_pages = heap->os->page_size / PH_PAGE_SIZE;
	heap->scavenge_min_pages = os_pages ? os_pages : 1;
	if (!o->os && is_pow2(huge) && huge > heap->scavenge_min_pages)
		heap->scavenge_huge_pages = huge;
	lock_init(&heap->lock, LOCK_RANK_HEAP);
	ph__page_alloc_init(&heap->pages, heap->meta);
	ph__pool_init(&heap->span_pool, heap->meta, sizeof(struct ph_span),
		      SPAN_SLAB_BYTES);
	for (unsigned i = 0; i < HEAP_BITMAP_POOLS; i++)
		ph__pool_init(&heap->bitmap_pools[i], heap->meta,
			      sizeof(uint64_t) << (i + 1), BITMAP_SLAB_BYTES);
	heap->gauges = &heap->own_gauges;
}

struct ph_heap *ph__heap_create(const struct ph_heap_options *options,
				uint32_t more_flags)
{
	static const struct ph_heap_options defaults = {
		.struct_size = sizeof(struct ph_heap_options)};
	const struct ph_heap_options *o = options ? options : &defaults;
	struct ph_heap *heap;
	int error;

	if (!options_are_valid(o)) {
		errno = EINVAL;
		return NULL;
	}
	ph__registry_init();
	heap = heap_alloc(o);
	if (!heap) {
		errno = ENOMEM;
		return NULL;
	}
	heap_init(heap, o, more_flags);
	error = heap_init_space(heap, o);
	if (!error)
		error = ph__registry_add(heap);
	if (error) {
		if (heap->pagemap == &heap->own_pagemap)
			ph__pagemap_destroy(&heap->own_pagemap);
		heap_free(heap);
		errno = error;
		return NULL;
	}
	return heap;
}

/* Forgets, in the page map, everything about a range of chunks. */
static void wipe_pagemap(struct pagemap *map, struct addr_range r)
{
	for (uintptr_t a = r.base; a < r.limit; a += PH_CHUNK_SIZE) {
		struct pagemap_leaf *leaf = map->root[a >> PAGEMAP_LEAF_SHIFT];
		size_t first = pagemap_page_in_leaf(a);

		/* Reading what was never written costs no memory. */
		for (size_t i = first; i < first + PH_CHUNK_PAGES; i++) {
			if (leaf->span[i])
				ph_store_relaxed(&leaf->span[i], NULL);
			if (leaf->entry[i])
				ph_store_relaxed(&leaf->entry[i], 0);
		}
		ph_store_relaxed(&leaf->chunk[pagemap_chunk_in_leaf(a)], NULL);
	}
}

/* Gives the heap's chunks to the shared arenas. */
static void return_chunks(struct ph_heap *heap)
{
	const struct addr_ranges *grown = &heap->pages.grown;

	for (size_t i = 0; i < grown->count; i++) {
		struct addr_range r = grown->range[i];
		struct arena_run run = {r.base, r.limit - r.base};

		wipe_pagemap(heap->pagemap, r);
		if (heap->flags & HEAP_OWN_SPACE)
			continue;
		if (heap->os->release(heap->os_ctx, (void *)run.base,
				      run.nbytes) == 0)
			ph__arenas_give_back(heap->arenas, run);
		else
			ph__arenas_drop(heap->arenas, run);
	}
}

void ph__heap_destroy(struct ph_heap *heap)
{
	return_chunks(heap);
	if (heap->flags & HEAP_OWN_SPACE)
		ph__arenas_destroy(&heap->own_arenas);
	if (heap->pagemap == &heap->own_pagemap)
		ph__pagemap_destroy(&heap->own_pagemap);
	ph__page_alloc_destroy(&heap->pages);
	ph__pool_destroy(&heap->span_pool);
	for (unsigned i = 0; i < HEAP_BITMAP_POOLS; i++)
		ph__pool_destroy(&heap->bitmap_pools[i]);
	heap_free(heap);
}
