/* SPDX-License-Identifier: MIT */
/*
 * What a page allocator should do, one byte a page.
 *
 * The pages lie in five segments; pages of different segments are not
 * neighbours.  Everything is done page by page, so that reading the code is
 * enough to believe it.
 *
 *	segment  chunks  why there
 *	   0        4    the lowest address a heap can have
 *	   1       16    across the edge of two regions
 *	   2       12    across an edge of levels 1 and 2
 *	   3        2    at the end of a region
 *	   4        6    at the start of one, but far away
 */
#ifndef TESTS_SUPPORT_PAGE_MODEL_H
#define TESTS_SUPPORT_PAGE_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "page/page_bits.h"

#define PAGE_MODEL_CHUNKS 40
#define PAGE_MODEL_PAGES (PAGE_MODEL_CHUNKS * PAGE_BITS)
#define PAGE_MODEL_NONE SIZE_MAX

enum page_state { ABSENT, DIRTY, SCAVENGED, USED, CACHED, FLYING };

struct page_model {
	uint8_t state[PAGE_MODEL_PAGES];
	uintptr_t addr[PAGE_MODEL_CHUNKS]; /* of each chunk */
};

/* All pages are absent. */
void page_model_init(struct page_model *m);

/* Address of a page, and the page at an address or NONE. */
uintptr_t page_model_addr(const struct page_model *m, size_t page);
size_t page_model_page(const struct page_model *m, uintptr_t addr);

/* Dirty or scavenged. */
bool page_model_is_free(const struct page_model *m, size_t page);

/* Does page + 1 follow page in the address space? */
bool page_model_has_next(const struct page_model *m, size_t page);

/* Are the n pages from page on adjacent and free? */
bool page_model_fits(const struct page_model *m, size_t page, size_t n);

/* The lowest n free pages at a multiple of align bytes; or NONE. */
size_t page_model_first_fit(const struct page_model *m, size_t n, size_t align);

/* How many of the n pages from page on are in the state. */
size_t page_model_count(const struct page_model *m, size_t page, size_t n,
			enum page_state state);

void page_model_set(struct page_model *m, size_t page, size_t n,
		    enum page_state state);

/*
 * The pages that a forced scavenge takes, by the definition: of pages wanted,
 * in groups of min, out of huge pages of huge (0: none).  NONE if there are
 * none.
 */
size_t page_model_candidate(const struct page_model *m, size_t wanted,
			    size_t min, size_t huge, size_t *npages);

/* Is the group of min pages that page belongs to free and dirty? */
bool page_model_can_scavenge(const struct page_model *m, size_t page,
			     size_t min);

#endif
