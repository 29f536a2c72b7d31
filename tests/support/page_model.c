/* SPDX-License-Identifier: MIT */
#include "page_model.h"

#include <string.h>

#include "pageheap.h"

static const struct {
	size_t chunk; /* index of the first chunk in the address space */
	size_t nchunks;
} segments[] = {
	{1, 4},
	{16 * 4096 - 8, 16},
	{16 * 4096 + 512 - 6, 12},
	{17 * 4096 - 2, 2},
	{700 * 4096, 6},
};

void page_model_init(struct page_model *m)
{
	size_t c = 0;

	memset(m, 0, sizeof(*m));
	for (size_t s = 0; s < PH_ARRAY_SIZE(segments); s++)
		for (size_t i = 0; i < segments[s].nchunks; i++)
			m->addr[c++] = (segments[s].chunk + i)
				       << PH_CHUNK_SHIFT;
}

uintptr_t page_model_addr(const struct page_model *m, size_t page)
{
	return m->addr[page / PAGE_BITS] + (page % PAGE_BITS) * PH_PAGE_SIZE;
}

size_t page_model_page(const struct page_model *m, uintptr_t addr)
{
	for (size_t c = 0; c < PAGE_MODEL_CHUNKS; c++)
		if (addr - m->addr[c] < PH_CHUNK_SIZE)
			return c * PAGE_BITS +
			       (addr - m->addr[c]) / PH_PAGE_SIZE;
	return PAGE_MODEL_NONE;
}

bool page_model_is_free(const struct page_model *m, size_t page)
{
	return m->state[page] == DIRTY || m->state[page] == SCAVENGED;
}

bool page_model_has_next(const struct page_model *m, size_t page)
{
	return page + 1 < PAGE_MODEL_PAGES &&
	       page_model_addr(m, page + 1) ==
		       page_model_addr(m, page) + PH_PAGE_SIZE;
}

bool page_model_fits(const struct page_model *m, size_t page, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (page + i >= PAGE_MODEL_PAGES ||
		    !page_model_is_free(m, page + i))
			return false;
		if (i + 1 < n && !page_model_has_next(m, page + i))
			return false;
	}
	return true;
}

size_t page_model_first_fit(const struct page_model *m, size_t n, size_t align)
{
	size_t run = 0; /* free pages that end with the one looked at */

	for (size_t page = 0; page < PAGE_MODEL_PAGES; page++) {
		if (!page_model_is_free(m, page))
			run = 0;
		else if (page != 0 && page_model_has_next(m, page - 1))
			run++;
		else
			run = 1;
		if (run >= n && page_model_addr(m, page - n + 1) % align == 0)
			return page - n + 1;
	}
	return PAGE_MODEL_NONE;
}

size_t page_model_count(const struct page_model *m, size_t page, size_t n,
			enum page_state state)
{
	size_t count = 0;

	for (size_t i = 0; i < n; i++)
		count += m->state[page + i] == state;
	return count;
}

void page_model_set(struct page_model *m, size_t page, size_t n,
		    enum page_state state)
{
	memset(m->state + page, (int)state, n);
}

bool page_model_can_scavenge(const struct page_model *m, size_t page,
			     size_t min)
{
	return page_model_count(m, page - page % min, min, DIRTY) == min;
}

size_t page_model_candidate(const struct page_model *m, size_t wanted,
			    size_t min, size_t huge, size_t *npages)
{
	size_t end = PAGE_MODEL_PAGES, run, first, low;
	size_t max = (wanted + min - 1) / min * min;

	while (end != 0 && !page_model_can_scavenge(m, end - 1, min))
		end--;
	if (end == 0)
		return PAGE_MODEL_NONE;
	for (run = 1; (end - run) % PAGE_BITS != 0; run++)
		if (!page_model_can_scavenge(m, end - run - 1, min))
			break;
	first = end - (run < max ? run : max);
	if (huge > min) {
		low = first - first % huge;
		if ((first + huge - 1) / huge * huge <= end && low >= end - run)
			first = low;
	}
	*npages = end - first;
	return first;
}
