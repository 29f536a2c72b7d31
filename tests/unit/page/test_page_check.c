/* SPDX-License-Identifier: MIT */
/*
 * Each kind of damage is found and named.  A check that finds nothing would
 * make every property test pass.
 */
#include <string.h>

#include "meta/meta.h"
#include "page/page_alloc.h"
#include "page/page_scavenge.h"
#include "page/page_tree.h"
#include "support/suite.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)

static struct meta meta;
static struct page_alloc pa;
static struct page_region *r;

/* Two chunks: pages 0..9 in use, 10..19 dirty, 20 in use, the rest scavenged.
 */
static void setup(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__page_alloc_init(&pa, &meta);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, 2 * PH_CHUNK_SIZE), 0);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 21).addr, BASE);
	ph__page_alloc_free(&pa, PAGE(10), 10);
	ph__page_alloc_settle(&pa);
	r = pa.root.lowest;
}

static void teardown(void)
{
	ph__page_alloc_destroy(&pa);
	ph__meta_destroy(&meta);
}

static void assert_finds(const char *what)
{
	char why[160] = "", little[5];

	ck_assert(!ph__page_alloc_check(&pa, why, sizeof(why)));
	ck_assert_msg(strncmp(why, what, strlen(what)) == 0, "%s", why);
	ck_assert(!ph__page_alloc_check(&pa, NULL, 0));
	ck_assert(!ph__page_alloc_check(&pa, little, sizeof(little)));
	ck_assert_uint_lt(strlen(little), sizeof(little));
}

START_TEST(nothing_wrong)
{
	char why[160] = "x";

	ck_assert(ph__page_alloc_check(&pa, why, sizeof(why)));
	ck_assert_str_eq(why, "");
	ck_assert(ph__page_alloc_check_settled(&pa, why, sizeof(why)));
}
END_TEST

START_TEST(bits)
{
	page_bits_set_range(&r->chunk[0].scavenged, 20, 1);
	assert_finds("page both in use and scavenged at 0x400000000");
}
END_TEST

START_TEST(count_of_scavenged)
{
	page_bits_set_range(&r->chunk[0].scavenged, 10, 1);
	assert_finds("scavenged_pages is 1003, should be 1004");
}
END_TEST

START_TEST(count_of_total)
{
	pa.total_pages++;
	assert_finds("total_pages is 1025, should be 1024");
}
END_TEST

START_TEST(count_of_in_use)
{
	pa.in_use_pages--;
	assert_finds("in_use_pages is 10, should be 11");
}
END_TEST

static struct page_sum changed(struct page_sum s, int start, int max, int end)
{
	return page_sum_of((unsigned)((int)page_sum_start(s) + start),
			   (unsigned)((int)page_sum_max(s) + max),
			   (unsigned)((int)page_sum_end(s) + end));
}

START_TEST(summaries)
{
	struct page_sum *leaf = page_region_sum(r, PAGE_LEAF, 0), old;

	/* So that every level has a start; ends only the lower two have. */
	ph__page_alloc_free(&pa, BASE, 1);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE + 2 * PH_CHUNK_SIZE,
					     6 * PH_CHUNK_SIZE),
			 0);
	for (unsigned level = 0; level < PAGE_LEVELS; level++) {
		struct page_sum *s = page_region_sum(r, level, 0);
		char why[160] = "";

		old = *s;
		*s = changed(old, -1, 0, 0);
		assert_finds("start of a summary too low at 0x400000000");
		if (level >= PAGE_LEAF - 1) {
			*s = changed(old, 0, 0, -1);
			assert_finds("end of a summary too low at 0x400000000");
		}
		*s = changed(old, 0, -1, 0);
		assert_finds("max of a summary too low at 0x400000000");
		s->packed = 0;
		assert_finds("summary zero or not at 0x400000000");
		/* Too high is allowed, but not once settled. */
		*s = changed(old, 0, 1, 0);
		if (level == 0)
			ck_assert(ph__page_alloc_check(&pa, why, sizeof(why)));
		ck_assert(!ph__page_alloc_check_settled(&pa, why, sizeof(why)));
		*s = old;
	}
	old = *leaf;
	*leaf = changed(old, 1, 0, 0);
	assert_finds("start of a leaf at 0x400000000");
	*leaf = changed(old, 0, 0, 1);
	assert_finds("end of a leaf at 0x400000000");
	*leaf = old;
	page_region_sum(r, PAGE_LEAF - 1, 1)->packed = 1;
	assert_finds("summary zero or not at 0x402000000");
}
END_TEST

START_TEST(summary_of_nothing)
{
	page_region_sum(r, PAGE_LEAF, 2)->packed = 1;
	assert_finds("summary of a chunk never grown at 0x400800000");
}
END_TEST

START_TEST(bounds)
{
	pa.search = PAGE(11);
	assert_finds("free page below the search address at 0x400014000");
	pa.search = PAGE_SEARCH_NONE;
	assert_finds("free page below the search address at 0x400014000");
	pa.search = BASE;
	pa.none_pages = 10;
	assert_finds("free run as long as none should be at 0x400014000");
	pa.none_pages = SIZE_MAX;
	pa.fit[3] = PAGE(11);
	assert_finds("free run below a fit bound at 0x400014000");
	pa.fit[3] = 0;
	pa.fit[9] = PAGE(22);
	assert_finds("free run below a fit bound at 0x40002a000");
	pa.fit[9] = 0;
	pa.search = BASE - PH_PAGE_SIZE;
	assert_finds("search address outside the heap at 0x3ffffe000");
}
END_TEST

START_TEST(scavenger)
{
	struct scav_chunk old = r->scav[0];
	uintptr_t cursor = pa.scav.cursor[SCAV_FORCED];

	r->scav[0].packed++;
	assert_finds("scavenger's count of a chunk at 0x400000000");
	r->scav[0].packed = old.packed | UINT64_C(1000) << 16;
	assert_finds("scavenger's last count of a chunk at 0x400000000");
	r->scav[0] = scav_chunk_set_empty(old);
	assert_finds("dirty chunk unknown to the scavenger at 0x400000000");
	r->scav[0].packed = old.packed & ~SCAV_GROWN;
	assert_finds("grown flag of a chunk at 0x400000000");
	r->scav[0] = old;
	pa.scav.cursor[SCAV_FORCED] = 0;
	assert_finds("dirty chunk above the forced cursor at 0x400000000");
	pa.scav.cursor[SCAV_FORCED] = cursor;
	r->scav[5].packed = SCAV_GROWN;
	assert_finds("grown flag of a chunk at 0x401400000");
}
END_TEST

START_TEST(regions_and_ranges)
{
	pa.root.window[r->index - pa.root.base] = NULL;
	assert_finds("table of regions at 0x400000000");
	pa.root.window[r->index - pa.root.base] = r;
	pa.root.num_regions = 2;
	assert_finds("num_regions is 2, should be 1");
	pa.root.num_regions = 1;
	pa.grown.total_bytes++;
	assert_finds("set of grown ranges at 0x0");
	pa.grown.total_bytes--;
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_check");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, nothing_wrong);
	tcase_add_test(tcase, bits);
	tcase_add_test(tcase, count_of_scavenged);
	tcase_add_test(tcase, count_of_total);
	tcase_add_test(tcase, count_of_in_use);
	tcase_add_test(tcase, summaries);
	tcase_add_test(tcase, summary_of_nothing);
	tcase_add_test(tcase, bounds);
	tcase_add_test(tcase, scavenger);
	tcase_add_test(tcase, regions_and_ranges);
	return suite_run(suite);
}
