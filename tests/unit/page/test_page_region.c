/* SPDX-License-Identifier: MIT */
#include <errno.h>

#include "meta/meta.h"
#include "page/page_region.h"
#include "support/fake_os.h"
#include "support/rng.h"
#include "support/suite.h"

static struct fake_os os;
static struct meta meta;
static struct page_root root;

static void setup(void)
{
	fake_os_init(&os, NULL);
	ph__meta_init(&meta, &os.ops, &os);
	root = (struct page_root){NULL, 0, 0, NULL, 0};
}

static void teardown(void)
{
	ph__page_root_destroy(&root, &meta);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ph__meta_destroy(&meta);
	fake_os_destroy(&os);
}

static void add(size_t first, size_t last)
{
	struct page_root_plan plan;

	ck_assert_int_eq(
		ph__page_root_prepare(&root, &meta, first, last, &plan), 0);
	ph__page_root_apply(&root, &meta, &plan);
}

START_TEST(layout)
{
	unsigned entries = 1;

	/* Blocks of eight start at cache lines; levels do not overlap. */
	for (unsigned level = 0; level < PAGE_LEVELS; level++) {
		if (level != 0)
			ck_assert_uint_eq(page_level_offset(level) % 8, 0);
		if (level + 1 < PAGE_LEVELS)
			ck_assert_uint_eq(page_level_offset(level) + entries,
					  page_level_offset(level + 1));
		else
			ck_assert_uint_eq(page_level_offset(level) + entries,
					  PAGE_REGION_SUMS);
		entries *= PAGE_FANOUT;
	}
	ck_assert_uint_eq(offsetof(struct page_region, sum) % 64, 0);
	ck_assert_uint_eq(offsetof(struct page_region, chunk) % 64, 0);
	ck_assert_uint_eq(sizeof(struct page_chunk), 128);
}
END_TEST

START_TEST(windows_follow_the_heap)
{
	add(100, 100);
	ck_assert_uint_eq(root.count, 4);
	add(101, 103);
	ck_assert_uint_eq(root.count, 4);
	add(104, 104);
	ck_assert_uint_eq(root.count, 8);
	add(99, 99); /* downward: spare entries below */
	ck_assert_uint_eq(root.count, 16);
	ck_assert_uint_le(root.base, 92);
	add(0, 0);
	add(PAGE_REGION_COUNT - 1, PAGE_REGION_COUNT - 1);
	ck_assert_uint_eq(root.count, PAGE_REGION_COUNT);
	ck_assert_uint_eq(root.base, 0);
	add(98, 105); /* some of them exist */
	ck_assert_uint_eq(root.num_regions, 10);
}
END_TEST

/* Random regions against a plain table of all. */
START_TEST(lookup_at_random)
{
	struct rng rng = rng_start("page_region: lookup");
	static bool exists[PAGE_REGION_COUNT];
	size_t count = 0, next = SIZE_MAX;

	for (int i = 0; i < 60; i++) {
		size_t first = rng_below(&rng, 300) + (i > 40 ? 9000 : 2000);
		size_t last = first + rng_below(&rng, 3);

		add(first, last);
		for (; first <= last; first++) {
			count += !exists[first];
			exists[first] = true;
		}
	}
	ck_assert_uint_eq(root.num_regions, count);
	for (size_t i = PAGE_REGION_COUNT; i-- != 0;) {
		struct page_region *r = page_root_find(&root, i);
		struct page_region *ge = ph__page_root_find_ge(&root, i);

		if ((r != NULL) != exists[i] || (r != NULL && r->index != i))
			ck_abort_msg("region %zu", i);
		next = exists[i] ? i : next;
		if ((ge == NULL ? SIZE_MAX : ge->index) != next)
			ck_abort_msg("region at or above %zu", i);
	}
	ck_assert_ptr_null(page_root_find(&root, SIZE_MAX));
}
END_TEST

START_TEST(abandoned_plans_cost_nothing)
{
	struct page_root_plan plan;
	size_t used;

	add(7, 8);
	used = meta_used_bytes(&meta);
	ck_assert_int_eq(ph__page_root_prepare(&root, &meta, 6, 30, &plan), 0);
	ck_assert_uint_gt(meta_used_bytes(&meta), used);
	ph__page_root_abandon(&meta, &plan);
	ck_assert_uint_eq(meta_used_bytes(&meta), used);
	fake_os_fail(&os, FAKE_GROWING, 1, FAKE_FOREVER);
	ck_assert_int_eq(ph__page_root_prepare(&root, &meta, 6, 300, &plan),
			 ENOMEM);
	fake_os_fail(&os, FAKE_GROWING, 0, FAKE_ONCE);
	ck_assert_uint_eq(meta_used_bytes(&meta), used);
	ck_assert_uint_eq(root.num_regions, 2);
	ck_assert_uint_eq(root.count, 4);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_region");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, layout);
	tcase_add_test(tcase, windows_follow_the_heap);
	tcase_add_test(tcase, lookup_at_random);
	tcase_add_test(tcase, abandoned_plans_cost_nothing);
	return suite_run(suite);
}
