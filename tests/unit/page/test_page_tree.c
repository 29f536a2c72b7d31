/* SPDX-License-Identifier: MIT */
/*
 * The summaries as an allocator leaves them: which are exact, which only
 * bounds. What must hold of all of them at all times is
 * ph__page_alloc_check()'s affair.
 */
#include "meta/meta.h"
#include "page/page_alloc.h"
#include "support/suite.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)

static struct meta meta;
static struct page_alloc pa;

static void setup(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__page_alloc_init(&pa, &meta);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, 16 * PH_CHUNK_SIZE), 0);
}

static void teardown(void)
{
	char why[160] = "";

	ck_assert_msg(ph__page_alloc_check(&pa, why, sizeof(why)), "%s", why);
	ph__page_alloc_settle(&pa);
	ck_assert_msg(ph__page_alloc_check_settled(&pa, why, sizeof(why)), "%s",
		      why);
	ph__page_alloc_destroy(&pa);
	ph__meta_destroy(&meta);
}

/* Summary of the entry with page `page` at a level. */
static struct page_sum summary(unsigned level, size_t page)
{
	return ph__page_alloc_summary(&pa, level,
				      PAGE(page) >> page_level_shift(level));
}

#define assert_summary(level, page, start, max, end)                           \
	do {                                                                   \
		struct page_sum s_ = summary((level), (page));                 \
		ck_assert_uint_eq(page_sum_start(s_), (start));                \
		ck_assert_uint_eq(page_sum_max(s_), (max));                    \
		ck_assert_uint_eq(page_sum_end(s_), (end));                    \
	} while (0)

static void take_at(size_t page, size_t npages)
{
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(page), npages).addr,
			  PAGE(page));
}

/* Taking pages touches the leaf; what is above keeps its promise. */
START_TEST(taking_leaves_bounds)
{
	take_at(600, 10);
	assert_summary(4, 512, 88, 502, 414);
	assert_summary(3, 0, 4096, 4096, 4096);
	assert_summary(2, 0, 8192, 8192, 0);
	take_at(517, 1);
	assert_summary(4, 512, 5, 501, 414);
	ph__page_alloc_free(&pa, PAGE(517), 1);
	assert_summary(4, 512, 88, 501, 414);
	ph__page_alloc_settle(&pa);
	assert_summary(4, 512, 88, 414, 414);
	assert_summary(3, 0, 600, 4096 - 610, 4096 - 610);
	assert_summary(2, 0, 600, 8192 - 610, 0);
	assert_summary(0, 0, 600, 8192 - 610, 0);
}
END_TEST

/* Promises of a run across an edge are measured, and corrected. */
START_TEST(a_false_edge_is_corrected)
{
	/* Whole free, then spoiled at both sides of the edge of level 3. */
	take_at(8 * 512 - 20, 1);
	take_at(8 * 512 + 30, 1);
	assert_summary(3, 0, 4096, 4096, 4096);
	assert_summary(3, 8 * 512, 4096, 4096, 4096);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 4100).addr, 0);
	assert_summary(3, 8 * 512, 30, 4096, 4096);
	take_at(0, 8 * 512 - 20);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 49).addr,
			  PAGE(8 * 512 - 19));
}
END_TEST

START_TEST(a_misled_search_tightens)
{
	/* Leave runs of 100 at most, every 101 pages. */
	for (size_t page = 100; page < 16 * 512; page += 101)
		take_at(page, 1);
	ck_assert_uint_ge(page_sum_max(summary(0, 0)), 101);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 101).addr, 0);
	/* The walk corrects what it passes: all but its start's parents. */
	for (size_t ci = 0; ci < 16; ci++)
		ck_assert_uint_le(page_sum_max(summary(4, 512 * ci)), 100);
	ck_assert_uint_le(page_sum_max(summary(3, 8 * 512)), 100);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 100).addr, BASE);
}
END_TEST

START_TEST(zero_is_exact)
{
	for (size_t ci = 0; ci < 16; ci++) {
		take_at(512 * ci, 256);
		ck_assert_uint_ne(summary(4, 512 * ci).packed, 0);
		take_at(512 * ci + 256, 256);
		ck_assert_uint_eq(summary(4, 512 * ci).packed, 0);
		ck_assert((summary(3, 512 * ci).packed == 0) == (ci % 8 == 7));
		ck_assert((summary(0, 0).packed == 0) == (ci == 15));
	}
	ph__page_alloc_free(&pa, PAGE(700), 1);
	ph__page_alloc_settle(&pa);
	for (unsigned level = 0; level < PAGE_LEVELS; level++)
		assert_summary(level, 700, 0, 1, 0);
}
END_TEST

START_TEST(frees_join_across_chunks)
{
	/* All are zero once all is taken, so what follows is exact. */
	take_at(0, 16 * 512);
	ph__page_alloc_free(&pa, PAGE(8 * 512), 512);
	assert_summary(3, 8 * 512, 512, 512, 0);
	ph__page_alloc_free(&pa, PAGE(7 * 512 + 500), 12);
	assert_summary(3, 0, 0, 12, 12);
	assert_summary(2, 0, 0, 524, 0);
	ph__page_alloc_free(&pa, PAGE(9 * 512), 7 * 512);
	assert_summary(3, 8 * 512, 4096, 4096, 4096);
	assert_summary(2, 0, 0, 4096 + 12, 0);
	ph__page_alloc_free(&pa, PAGE(0), 7 * 512 + 500);
	assert_summary(3, 0, 4096, 4096, 4096);
	assert_summary(2, 0, 8192, 8192, 0);
	assert_summary(0, 0, 8192, 8192, 0);
}
END_TEST

START_TEST(a_whole_region)
{
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE + 16 * PH_CHUNK_SIZE,
					     4080 * PH_CHUNK_SIZE),
			 0);
	assert_summary(0, 0, 1u << 21, 1u << 21, 1u << 21);
	take_at(77, 1);
	ph__page_alloc_settle(&pa);
	assert_summary(0, 0, 77, (1u << 21) - 78, (1u << 21) - 78);
	ph__page_alloc_free(&pa, PAGE(77), 1);
	assert_summary(0, 0, 1u << 21, 1u << 21, 1u << 21);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_tree");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, taking_leaves_bounds);
	tcase_add_test(tcase, a_false_edge_is_corrected);
	tcase_add_test(tcase, a_misled_search_tightens);
	tcase_add_test(tcase, zero_is_exact);
	tcase_add_test(tcase, frees_join_across_chunks);
	tcase_add_test(tcase, a_whole_region);
	return suite_run(suite);
}
