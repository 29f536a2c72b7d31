/* SPDX-License-Identifier: MIT */
/*
 * Refilling and flushing page caches; page_cache.h has the rest.
 *
 * A refill takes every free page of one aligned word of 64, the one with the
 * lowest free page, so that one-page allocations stay address-ordered at the
 * grain of 512 KiB, cost one trailing-zero count each, and touch the summaries
 * once in 64.  The scavenged bits of the pages move into the cache and back.
 *
 * The search address after a refill is the block's last page, not the one past
 * it, which might belong to no grown range.
 *
 * Cost: 10 to 50 ns for a refill or flush.  Locking: the page allocator's.
 */
#include "page/page_cache.h"
#include "page/page_tree.h"

bool ph__page_cache_refill(struct page_alloc *pa, struct page_cache *c)
{
	struct page_piece p;
	struct page_chunk *chunk;
	struct scav_chunk *scav;
	uintptr_t addr;
	unsigned w, npages;

	ph_require(c->free == 0);
	if (pa->search == PAGE_SEARCH_NONE)
		return false;
	addr = ph__page_tree_find(&pa->root, pa->search, 1);
	if (addr == 0) {
		pa->search = PAGE_SEARCH_NONE;
		return false;
	}
	p.region = page_root_find(&pa->root, addr >> PAGE_REGION_SHIFT);
	p.ci = (unsigned)(addr >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS;
	w = (unsigned)(addr >> PH_PAGE_SHIFT) % PAGE_BITS / 64;
	p.i = 64 * w;
	p.n = 64;
	chunk = &p.region->chunk[p.ci];
	scav = &p.region->scav[p.ci];

	c->base = page_entry_addr(p.region, PAGE_LEAF, p.ci) +
		  ((uintptr_t)p.i << PH_PAGE_SHIFT);
	c->free = ~chunk->in_use.word[w];
	c->scavenged = chunk->scavenged.word[w];
	chunk->in_use.word[w] = ~UINT64_C(0);
	chunk->scavenged.word[w] = 0;
	npages = popcount64(c->free);
	pa->in_use_pages += npages;
	pa->scavenged_pages -= popcount64(c->scavenged);
	*scav = scav_chunk_alloc(*scav, npages, pa->scav.gen);
	ph__page_tree_taken(&p);
	pa->search = c->base + (63 << PH_PAGE_SHIFT);
	return true;
}

void ph__page_cache_flush(struct page_alloc *pa, struct page_cache *c)
{
	struct page_cache empty = {0, 0, 0};
	struct page_piece p;
	struct page_chunk *chunk;
	struct scav_chunk *scav;
	unsigned w, npages = popcount64(c->free);

	if (npages == 0) {
		*c = empty;
		return;
	}
	p.region = page_root_find(&pa->root, c->base >> PAGE_REGION_SHIFT);
	ph_require(p.region != NULL);
	p.ci = (unsigned)(c->base >> PH_CHUNK_SHIFT) % PAGE_REGION_CHUNKS;
	w = (unsigned)(c->base >> PH_PAGE_SHIFT) % PAGE_BITS / 64;
	chunk = &p.region->chunk[p.ci];
	scav = &p.region->scav[p.ci];

	ph_require((c->free & ~chunk->in_use.word[w]) == 0);
	chunk->in_use.word[w] &= ~c->free;
	chunk->scavenged.word[w] |= c->scavenged;
	pa->in_use_pages -= npages;
	pa->scavenged_pages += popcount64(c->scavenged);
	*scav = scav_chunk_free(*scav, npages, pa->scav.gen);
	scav_index_note_free(
		&pa->scav,
		c->base + ((uintptr_t)(63 - clz64(c->free)) << PH_PAGE_SHIFT));
	if (c->base < pa->search)
		pa->search = c->base;
	ph__page_tree_refresh(p.region, p.ci);
	p.i = 64 * w + ctz64(c->free);
	p.n = 64 * w + 64 - clz64(c->free) - p.i;
	ph__page_alloc_note_freed(pa, &p);
	*c = empty;
}
