/* SPDX-License-Identifier: MIT */
/*
 * Finding, making and giving back regions.
 *
 *	root.window   base                         base + count
 *	              [ r4 | -- | r6 | r7 | -- | -- | -- | -- ]
 *	                 |         |    |
 *	root.lowest --> r4 -----> r6 -> r7 -> NULL
 *
 * The window answers "which region holds this address" with one load; the list
 * lets searches pass over gaps of any width.  A heap's regions lie close
 * together as a rule, so the window starts with a few entries and at least
 * doubles when a region falls outside; in the worst case it holds all 2^14
 * (128 KiB).
 *
 * Rejected: a window that is always complete, as it makes each of ten thousand
 * small heaps pay 128 KiB of address space and a page; and a hash table, which
 * loses the order that first fit needs.
 */
#include <errno.h>
#include <string.h>

#include "meta/meta.h"
#include "page/page_region.h"

#define WINDOW_FIRST_COUNT 4

struct page_region *ph__page_root_find_ge(const struct page_root *root,
					  size_t index)
{
	struct page_region *r = page_root_find(root, index);

	if (ph_likely(r != NULL))
		return r;
	for (r = root->lowest; r != NULL && r->index < index; r = r->next)
		;
	return r;
}

static void free_window(struct meta *meta, struct page_region **window,
			size_t count)
{
	if (window != NULL)
		ph__meta_free(meta, window,
			      count * sizeof(struct page_region *));
}

/*
 * A window that covers first to last and what the old one covers, the spare
 * entries on the side towards which the heap grows.
 */
static int plan_window(const struct page_root *root, struct meta *meta,
		       size_t first, size_t last, struct page_root_plan *plan)
{
	size_t low = first, high = last, count = WINDOW_FIRST_COUNT;

	if (root->count != 0 && first >= root->base &&
	    last < root->base + root->count)
		return 0;
	if (root->count != 0) {
		low = first < root->base ? first : root->base;
		high = last < root->base + root->count
			       ? root->base + root->count - 1
			       : last;
		count = 2 * root->count;
	}
	while (count < high - low + 1)
		count *= 2;
	if (count > PAGE_REGION_COUNT)
		count = PAGE_REGION_COUNT;
	if (root->count != 0 && first < root->base)
		low = high + 1 > count ? high + 1 - count : 0;
	if (low > PAGE_REGION_COUNT - count)
		low = PAGE_REGION_COUNT - count;
	plan->window = ph__meta_alloc(meta, count * sizeof(plan->window[0]),
				      sizeof(void *));
	if (plan->window == NULL)
		return ENOMEM;
	plan->base = low;
	plan->count = count;
	return 0;
}

int ph__page_root_prepare(const struct page_root *root, struct meta *meta,
			  size_t first, size_t last,
			  struct page_root_plan *plan)
{
	memset(plan, 0, sizeof(*plan));
	if (plan_window(root, meta, first, last, plan) != 0)
		return ENOMEM;
	for (size_t i = first; i <= last; i++) {
		struct page_region *r;

		if (page_root_find(root, i) != NULL)
			continue;
		r = ph__meta_alloc(meta, sizeof(*r), PH_CACHE_LINE);
		if (r == NULL) {
			ph__page_root_abandon(meta, plan);
			return ENOMEM;
		}
		r->index = i;
		r->next = plan->fresh;
		plan->fresh = r;
	}
	return 0;
}

void ph__page_root_abandon(struct meta *meta, struct page_root_plan *plan)
{
	while (plan->fresh != NULL) {
		struct page_region *r = plan->fresh;

		plan->fresh = r->next;
		ph__meta_free(meta, r, sizeof(*r));
	}
	free_window(meta, plan->window, plan->count);
	plan->window = NULL;
}

void ph__page_root_apply(struct page_root *root, struct meta *meta,
			 struct page_root_plan *plan)
{
	struct page_region **link = &root->lowest, *r, *low_first = NULL;

	if (plan->window != NULL) {
		if (root->count != 0)
			memcpy(plan->window + (root->base - plan->base),
			       root->window,
			       root->count * sizeof(root->window[0]));
		free_window(meta, root->window, root->count);
		root->window = plan->window;
		root->base = plan->base;
		root->count = plan->count;
	}
	/* Lowest first, so that one walk along the list links them all. */
	while ((r = plan->fresh) != NULL) {
		plan->fresh = r->next;
		r->next = low_first;
		low_first = r;
	}
	while ((r = low_first) != NULL) {
		low_first = r->next;
		while (*link != NULL && (*link)->index < r->index)
			link = &(*link)->next;
		r->next = *link;
		*link = r;
		root->window[r->index - root->base] = r;
		root->num_regions++;
	}
}

void ph__page_root_destroy(struct page_root *root, struct meta *meta)
{
	while (root->lowest != NULL) {
		struct page_region *r = root->lowest;

		root->lowest = r->next;
		ph__meta_free(meta, r, sizeof(*r));
	}
	free_window(meta, root->window, root->count);
	memset(root, 0, sizeof(*root));
}
