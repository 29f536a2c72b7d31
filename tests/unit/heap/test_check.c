/* SPDX-License-Identifier: MIT */
/*
 * ph_heap_check() finds what is broken: one thing after another is broken in a
 * healthy heap, must be reported, and is put right again.
 */
#include <errno.h>
#include <string.h>

#include "heap/heap.h"
#include "object/objects.h"
#include "page/page_tree.h"
#include "support/heap_util.h"
#include "support/suite.h"

static struct ph_heap *heap;
static struct ph_span *small, *large, *user;
static void *run;

static void set_up(void)
{
	heap = heap_over(NULL, NULL, 0);
	for (int i = 0; i < 100; i++)
		must(ph_malloc(heap, 64) != NULL);
	small = ph_span_of(heap, ph_malloc(heap, 64));
	large = ph_span_of(heap, ph_malloc(heap, 100000));
	user = ph_span_alloc(heap, 1300, 0);
	run = ph_pages_alloc(heap, 5, NULL);
	must(small && large && user && run);
	/* Some pages are free and dirty, some are returned. */
	ph_pages_free(heap, ph_pages_alloc(heap, 40, NULL), 40);
	heap_must_check(heap);
}

static void tear_down(void)
{
	heap_must_check(heap);
	ph_heap_destroy(heap);
}

/* The check fails and describes something of this sort. */
static void must_find(const char *sort)
{
	char why[200] = "";

	ck_assert_int_eq(ph_heap_check(heap, why, sizeof(why)), EFAULT);
	ck_assert_msg(strstr(why, sort) != NULL, "\"%s\" is not about \"%s\"",
		      why, sort);
	/* The same without room for a description. */
	ck_assert_int_eq(ph_heap_check(heap, NULL, 0), EFAULT);
	ck_assert_int_eq(ph_heap_check(heap, why, 1), EFAULT);
}

/* Breaks a number by 1 or a page's worth, and mends it. */
#define must_find_changed(field, delta, sort)                                  \
	do {                                                                   \
		(field) += (delta);                                            \
		must_find(sort);                                               \
		(field) -= (delta);                                            \
		heap_must_check(heap);                                         \
	} while (0)

START_TEST(test_gauges)
{
	struct ph_gauges *g = heap->gauges;
	unsigned class = small->size_class;

	must_find_changed(g->mapped_bytes, PH_PAGE_SIZE, "gauges of pages");
	must_find_changed(g->in_use_bytes, PH_PAGE_SIZE, "gauges of pages");
	must_find_changed(g->free_bytes, PH_PAGE_SIZE, "gauges of pages");
	must_find_changed(g->returned_bytes, PH_PAGE_SIZE, "gauges of pages");
	must_find_changed(g->raw_bytes, PH_PAGE_SIZE, "gauges of pages");
	must_find_changed(g->small_span_bytes, PH_PAGE_SIZE, "gauges");
	must_find_changed(g->large_span_bytes, PH_PAGE_SIZE, "gauges");
	must_find_changed(g->spans, 1, "gauges of spans");
	must_find_changed(g->class_objects[class], 1, "size class");
	must_find_changed(g->class_spans[class], 1, "size class");
	must_find_changed(g->class_spans[3], 1, "size class");
	must_find_changed(g->large_objects, 1, "large objects");
	must_find_changed(g->large_bytes, PH_PAGE_SIZE, "large objects");
}
END_TEST

/* Pages that moved from one use to another, so that all sums still agree. */
START_TEST(test_gauges_that_agree)
{
	struct ph_gauges *g = heap->gauges;

	g->raw_bytes -= PH_PAGE_SIZE;
	g->large_span_bytes += PH_PAGE_SIZE;
	must_find("gauges of spans");
	g->large_span_bytes -= PH_PAGE_SIZE;

	/* A page that nobody owns any more. */
	g->in_use_bytes -= PH_PAGE_SIZE;
	g->free_bytes += PH_PAGE_SIZE;
	must_find("gauges of pages");
	g->in_use_bytes += PH_PAGE_SIZE;
	g->free_bytes -= PH_PAGE_SIZE;
	g->raw_bytes += PH_PAGE_SIZE;
}
END_TEST

static struct page_region *region_of(const void *p)
{
	return page_root_find(&heap->pages.root,
			      (uintptr_t)p >> PAGE_REGION_SHIFT);
}

static struct page_chunk *chunk_of(const void *p)
{
	return &region_of(p)->chunk[((uintptr_t)p >> PH_CHUNK_SHIFT) %
				    PAGE_REGION_CHUNKS];
}

START_TEST(test_page_bits)
{
	unsigned page = (unsigned)((uintptr_t)run >> PH_PAGE_SHIFT) % 512;
	uint64_t mask = UINT64_C(1) << page % 64;
	uint64_t *in_use = &chunk_of(run)->in_use.word[page / 64];
	uint64_t *scavenged = &chunk_of(run)->scavenged.word[page / 64];

	*in_use ^= mask;
	must_find("");
	*in_use ^= mask;
	*scavenged ^= mask;
	must_find("");
	*scavenged ^= mask;
}
END_TEST

/* Each page of a span in turn would be somebody else's. */
START_TEST(test_span_on_free_pages)
{
	uintptr_t base = small->base;

	/* Bitmaps, summaries and counters agree; only the span does not. */
	lock_acquire(&heap->lock);
	ph__page_alloc_free(&heap->pages, base, 1);
	lock_release(&heap->lock);
	must_find("span on pages that are free");
	lock_acquire(&heap->lock);
	must(ph__page_alloc_take_at(&heap->pages, base, 1).addr == base);
	lock_release(&heap->lock);
	/* It took what was dirty as such; the gauges saw nothing of it. */
}
END_TEST

START_TEST(test_summaries)
{
	struct page_region *r = region_of(run);
	unsigned ci = (unsigned)((uintptr_t)run >> PH_CHUNK_SHIFT) %
		      PAGE_REGION_CHUNKS;

	for (unsigned level = 0; level < PAGE_LEVELS; level++) {
		struct page_sum *sum = page_region_sum(
			r, level, ci >> (3 * (PAGE_LEAF - level)));
		struct page_sum was = *sum;

		*sum = page_sum_of(0, 0, 0);
		must_find("");
		*sum = was;
	}
}
END_TEST

START_TEST(test_counters)
{
	struct page_alloc *pa = &heap->pages;

	must_find_changed(pa->total_pages, 1, "");
	must_find_changed(pa->in_use_pages, 1, "");
	must_find_changed(pa->scavenged_pages, 1, "");
	must_find_changed(pa->search, (uintptr_t)1 << 30, "");
}
END_TEST

START_TEST(test_allocation_bits)
{
	uint64_t *bits = small->alloc_bits;
	size_t last = span_bitmap_words(small) - 1;

	bits[0] ^= 1;
	must_find("counts other than its bits");
	bits[0] ^= 1;
	must_find_changed(small->nalloc, 1, "counts other than its bits");

	/* 128 objects of 64 bytes fill two words; those of 48 leave a rest. */
	small = ph_span_of(heap, ph_malloc(heap, 48));
	bits = small->alloc_bits;
	last = span_bitmap_words(small) - 1;
	ck_assert_uint_ne(small->nelems % 64, 0);
	bits[last] ^= UINT64_C(1) << 63;
	must_find("behind the last object");
	bits[last] ^= UINT64_C(1) << 63;

	small->alloc_bits = NULL;
	must_find("without a bitmap");
	small->alloc_bits = bits;
}
END_TEST

START_TEST(test_page_map)
{
	struct pagemap_leaf *leaf =
		pagemap_leaf_of(heap->pagemap->root, small->base);
	size_t page = pagemap_page_in_leaf(small->base);
	struct ph_span *was;

	must_find_changed(leaf->entry[page], 1, "wrong entry");
	/* Descriptors that name others, or nothing. */
	was = leaf->span[page];
	leaf->span[page] = NULL;
	must_find("");
	leaf->span[page] = large;
	must_find("");
	leaf->span[page] = was;

	/* The user's span has a middle that is entered by whole chunks. */
	page = pagemap_chunk_in_leaf(user->base + 2 * PH_CHUNK_SIZE);
	leaf = pagemap_leaf_of(heap->pagemap->root,
			       user->base + 2 * PH_CHUNK_SIZE);
	was = leaf->chunk[page];
	if (was) {
		leaf->chunk[page] = NULL;
		must_find("page leads to another span");
		leaf->chunk[page] = was;
	}
	page = pagemap_page_in_leaf(large->base + PH_PAGE_SIZE);
	leaf = pagemap_leaf_of(heap->pagemap->root, large->base);
	must_find_changed(leaf->entry[page], 5, "wrong entry");
	was = leaf->span[page];
	leaf->span[page] = NULL;
	must_find("page leads to another span");
	leaf->span[page] = was;
}
END_TEST

START_TEST(test_span_fields)
{
	/* A span that reaches over the next, or too little far. */
	large->npages++;
	must_find("");
	large->npages -= 2;
	must_find("");
	large->npages++;
	heap_must_check(heap);

	small->state = SPAN_DEAD;
	must_find("");
	small->state = SPAN_SMALL;
	heap_must_check(heap);
}
END_TEST

START_TEST(test_lists)
{
	unsigned was = small->on_list;

	small->on_list = SPAN_ON_NONE;
	must_find("not on its list");
	small->on_list = SPAN_ON_EMPTY;
	must_find("");
	small->on_list = SPAN_IN_TRANSIT;
	must_find("");
	small->on_list = (uint8_t)was;

	/* On the list it says, but the list does not know. */
	list_remove(&small->link);
	must_find("");
	list_push_back(&heap->objects->centrals[small->size_class].partial,
		       &small->link);
}
END_TEST

START_TEST(test_pools)
{
	must_find_changed(heap->span_pool.nlive, 1, "");
	must_find_changed(heap->span_pool.nslabs, 1, "");
	must_find_changed(heap->bitmap_pools[0].nlive, 1, "");
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "check");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_gauges);
	tcase_add_test(tc, test_gauges_that_agree);
	tcase_add_test(tc, test_page_bits);
	tcase_add_test(tc, test_span_on_free_pages);
	tcase_add_test(tc, test_summaries);
	tcase_add_test(tc, test_counters);
	tcase_add_test(tc, test_allocation_bits);
	tcase_add_test(tc, test_page_map);
	tcase_add_test(tc, test_span_fields);
	tcase_add_test(tc, test_lists);
	tcase_add_test(tc, test_pools);
	return suite_run(suite);
}
