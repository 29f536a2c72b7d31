/* SPDX-License-Identifier: MIT */
/*
 * Searches from places other than the lowest free page, which aligned
 * allocation needs, against a page-by-page search.  That searches from the
 * lowest page are right is the property test's affair, and that the search
 * address is the reference's, the traces'.
 */
#include "meta/meta.h"
#include "page/page_alloc.h"
#include "page/page_tree.h"
#include "support/rng.h"
#include "support/suite.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)
#define NUM_CHUNKS 20
#define NUM_PAGES (NUM_CHUNKS * 512u)

static struct meta meta;
static struct page_alloc pa;
static bool used[NUM_PAGES];

static void setup(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__page_alloc_init(&pa, &meta);
	ck_assert_int_eq(
		ph__page_alloc_grow(&pa, BASE, NUM_CHUNKS * PH_CHUNK_SIZE), 0);
}

static void teardown(void)
{
	ph__page_alloc_destroy(&pa);
	ph__meta_destroy(&meta);
}

static uintptr_t slow_find(size_t from, size_t npages)
{
	size_t run = 0;

	for (size_t i = from; i < NUM_PAGES; i++) {
		run = used[i] ? 0 : run + 1;
		if (run == npages)
			return PAGE(i + 1 - npages);
	}
	return 0;
}

/* Takes runs of random length and places, so that all kinds of holes arise. */
static void fragment(struct rng *rng)
{
	for (int i = 0; i < 400; i++) {
		size_t n = rng_skewed(rng, 700);
		size_t page = rng_below(rng, NUM_PAGES - n);

		if (ph__page_alloc_take_at(&pa, PAGE(page), n).addr == 0)
			continue;
		for (size_t k = 0; k < n; k++)
			used[page + k] = true;
	}
}

START_TEST(find_above_at_random)
{
	struct rng rng = rng_start("page_find: above");
	size_t nfound = 0;

	fragment(&rng);
	for (int i = 0; i < 3000; i++) {
		size_t from = rng_below(&rng, NUM_PAGES);
		size_t n = rng_skewed(&rng, 1500);
		uintptr_t addr =
			ph__page_tree_find_above(&pa.root, PAGE(from), n);

		ck_assert_uint_eq(addr, slow_find(from, n));
		nfound += addr != 0;
	}
	ck_assert_uint_gt(nfound, 300);
}
END_TEST

START_TEST(nothing_above_the_heap)
{
	ck_assert_uint_eq(
		ph__page_tree_find_above(&pa.root, PAGE(NUM_PAGES), 1), 0);
	ck_assert_uint_eq(ph__page_tree_find_above(
				  &pa.root, BASE + ((uintptr_t)1 << 40), 1),
			  0);
	ck_assert_uint_eq(
		ph__page_tree_find_above(&pa.root, PH_PAGE_SIZE, NUM_PAGES),
		BASE);
	ck_assert_uint_eq(
		ph__page_tree_find_above(&pa.root, PAGE(1), NUM_PAGES), 0);
	ck_assert_uint_eq(ph__page_tree_find_above(&pa.root, PAGE(1), SIZE_MAX),
			  0);
}
END_TEST

/* A run that begins below an aligned place and reaches past it must not lead
 * the search back to that place for ever. */
START_TEST(aligned_search_ends)
{
	size_t n = 3 * 512;

	/* Free: the top 300 pages of chunk 0 and all of chunks 1 and 2. */
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(0), 212).addr,
			  PAGE(0));
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(n), 512).addr,
			  PAGE(n));
	/* 256 lies in the run, which is too short from there. */
	ck_assert_uint_eq(
		ph__page_alloc_take_aligned(&pa, n - 212, PH_PAGE_SIZE * 256)
			.addr,
		PAGE(2048));
	ck_assert_uint_eq(
		ph__page_alloc_take_aligned(&pa, n - 256, PH_PAGE_SIZE * 256)
			.addr,
		PAGE(256));
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_find");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, find_above_at_random);
	tcase_add_test(tcase, nothing_above_the_heap);
	tcase_add_test(tcase, aligned_search_ends);
	return suite_run(suite);
}
