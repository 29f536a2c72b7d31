/* SPDX-License-Identifier: MIT */
/*
 * The page map's slow half: making leaves, publishing spans.
 *
 * Which pages of a span are entered where:
 *
 *	chunk       |   0   |   1   |   2   |   3   |
 *	span            [#######################)
 *	entered in      span[]  chunk[] chunk[] span[]
 *
 * A chunk that lies wholly inside a span gets one store in chunk[]; the pages
 * of the first and last chunk, when they are covered in part, one store each
 * in span[].  A one-page span, the common case, is one store.
 *
 * Why a stale span[] entry can not hide a chunk[] entry: readers test the
 * descriptor that span[] names, and a dead or moved one fails the test.  Why
 * the reverse cannot happen either: span[] is looked at first, and the pages
 * of a partly covered chunk are always entered there.
 *
 * Rejected: one store for every page (Go: a 16 GiB span writes 16 MiB); only
 * the first page and a page-within-span number for large spans (the number
 * needs four bytes, or a third table).
 */
#include "span/pagemap.h"

#include <errno.h>
#include <string.h>

int ph__pagemap_init(struct pagemap *map, struct meta *meta,
		     struct pagemap_leaf **root)
{
	lock_init(&map->lock, LOCK_RANK_PAGEMAP);
	map->meta = meta;
	map->root = root;
	map->root_nbytes = 0;
	map->low = PAGEMAP_ROOT_LEN;
	map->high = 0;
	if (root)
		return 0;

	map->root_nbytes = PAGEMAP_ROOT_LEN * sizeof(*map->root);
	map->root = ph__meta_alloc(meta, map->root_nbytes, PH_CACHE_LINE);
	return map->root ? 0 : ENOMEM;
}

void ph__pagemap_destroy(struct pagemap *map)
{
	if (!map->root)
		return;
	for (size_t i = map->low; i < map->high; i++) {
		if (!map->root[i])
			continue;
		ph__meta_free(map->meta, map->root[i], sizeof(*map->root[i]));
		map->root[i] = NULL;
	}
	if (map->root_nbytes)
		ph__meta_free(map->meta, map->root, map->root_nbytes);
	map->root = NULL;
}

int ph__pagemap_cover(struct pagemap *map, uintptr_t base, size_t nbytes)
{
	size_t first = base >> PAGEMAP_LEAF_SHIFT;
	size_t last = (base + nbytes - 1) >> PAGEMAP_LEAF_SHIFT;
	int error = 0;

	if (nbytes == 0 || last >= PAGEMAP_ROOT_LEN || last < first)
		return ENOMEM;
	lock_acquire(&map->lock);
	for (size_t i = first; i <= last; i++) {
		struct pagemap_leaf *leaf;

		if (map->root[i])
			continue;
		leaf = ph__meta_alloc(map->meta, sizeof(*leaf), PH_CACHE_LINE);
		if (!leaf) {
			/* Leaves made so far stay: empty ones cost nothing. */
			error = ENOMEM;
			break;
		}
		/* Release: readers that see the leaf see its zeroes. */
		ph_store_release(&map->root[i], leaf);
		if (i < map->low)
			map->low = i;
		if (i >= map->high)
			map->high = i + 1;
	}
	lock_release(&map->lock);
	return error;
}

/* Enters pages [first, last) of one chunk, or the chunk as a whole. */
static void set_pages_of_chunk(struct pagemap *map, struct ph_span *s,
			       uintptr_t first, uintptr_t last)
{
	struct pagemap_leaf *leaf = map->root[first >> PAGEMAP_LEAF_SHIFT];

	if (last - first == PH_CHUNK_SIZE) {
		/* Release: the descriptor before its pointer, here and below.
		 */
		ph_store_release(&leaf->chunk[pagemap_chunk_in_leaf(first)], s);
		return;
	}
	for (uintptr_t a = first; a < last; a += PH_PAGE_SIZE)
		ph_store_release(&leaf->span[pagemap_page_in_leaf(a)], s);
}

static void set_range(struct pagemap *map, struct ph_span *s, uintptr_t first,
		      uintptr_t limit)
{
	while (first < limit) {
		uintptr_t last =
			align_down(first, PH_CHUNK_SIZE) + PH_CHUNK_SIZE;

		if (last > limit)
			last = limit;
		set_pages_of_chunk(map, s, first, last);
		first = last;
	}
}

void ph__pagemap_set_span(struct pagemap *map, struct ph_span *s)
{
	set_range(map, s, s->base, s->base + span_nbytes(s));
}

void ph__pagemap_extend_span(struct pagemap *map, struct ph_span *s,
			     size_t new_npages)
{
	uintptr_t first = align_down(s->base + span_nbytes(s), PH_CHUNK_SIZE);

	/* The chunk in which the span used to end may be whole now. */
	if (first < s->base)
		first = s->base;
	set_range(map, s, first, s->base + (new_npages << PH_PAGE_SHIFT));
}

void ph__pagemap_set_entries(struct pagemap *map, const struct ph_span *s,
			     unsigned size_class)
{
	for (size_t i = 0; i < s->npages; i++) {
		uintptr_t a = s->base + (i << PH_PAGE_SHIFT);
		struct pagemap_leaf *leaf = map->root[a >> PAGEMAP_LEAF_SHIFT];
		size_t v = size_class;

		if (size_class != 0 && size_class != PAGE_ENTRY_OTHER)
			v |= i << PAGE_ENTRY_CLASS_BITS;
		/* Relaxed: see pagemap_entry(). */
		ph_store_relaxed(&leaf->entry[pagemap_page_in_leaf(a)],
				 (uint16_t)v);
	}
}

/* Looks at pages [first, limit) of one leaf, which lie in one chunk. */
static bool chunk_has_span(const struct pagemap_leaf *leaf, uintptr_t first,
			   uintptr_t limit)
{
	size_t i = pagemap_page_in_leaf(first);
	size_t end = i + ((limit - first) >> PH_PAGE_SHIFT);
	const struct ph_span *s;

	s = ph_load_acquire(&leaf->chunk[pagemap_chunk_in_leaf(first)]);
	if (s && (span_is_at(s, first) || span_is_at(s, limit - 1)))
		return true;
	for (uintptr_t a = first; i < end; i++, a += PH_PAGE_SIZE) {
		s = ph_load_relaxed(&leaf->span[i]);
		/* Mostly NULL: pages without a span keep it that way. */
		if (ph_unlikely(s) && span_is_at(s, a))
			return true;
	}
	return false;
}

bool ph__pagemap_has_span(const struct pagemap *map, uintptr_t addr,
			  size_t npages)
{
	uintptr_t limit = addr + (npages << PH_PAGE_SHIFT);

	for (uintptr_t a = addr, next; a < limit; a = next) {
		const struct pagemap_leaf *leaf = pagemap_leaf_of(map->root, a);

		next = align_down(a, PH_CHUNK_SIZE) + PH_CHUNK_SIZE;
		if (next > limit)
			next = limit;
		if (leaf && chunk_has_span(leaf, a, next))
			return true;
	}
	return false;
}
