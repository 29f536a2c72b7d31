/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "meta/meta.h"
#include "page/page_scavenge.h"
#include "support/suite.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)

static struct meta meta;
static struct page_alloc pa;

static void verify(void)
{
	char why[160] = "";

	ck_assert_msg(ph__page_alloc_check(&pa, why, sizeof(why)), "%s", why);
}

/* A heap of four chunks, all dirty. */
static void setup(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__page_alloc_init(&pa, &meta);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, 4 * PH_CHUNK_SIZE), 0);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 4 * 512).addr, BASE);
	ph__page_alloc_free(&pa, BASE, 4 * 512);
	verify();
}

static void teardown(void)
{
	verify();
	ph__page_alloc_destroy(&pa);
	ph__meta_destroy(&meta);
}

static struct page_range take(size_t max, unsigned min, unsigned huge,
			      enum scav_mode mode)
{
	struct scav_request req = {max, min, huge, mode};
	struct page_range range = ph__page_scavenge_take(&pa, &req);

	verify();
	return range;
}

#define assert_pages(range, page, n)                                           \
	do {                                                                   \
		struct page_range range_ = (range);                            \
		ck_assert_uint_eq(range_.npages, (n));                         \
		ck_assert_uint_eq(range_.addr, PAGE(page));                    \
	} while (0)

START_TEST(highest_first)
{
	struct page_range range = take(10, 1, 0, SCAV_FORCED);

	assert_pages(range, 4 * 512 - 10, 10);
	ph__page_scavenge_done(&pa, range);
	verify();
	ck_assert_uint_eq(pa.scavenged_pages, 10);
	range = take(SIZE_MAX, 1, 0, SCAV_FORCED);
	assert_pages(range, 3 * 512, 502);
	ph__page_scavenge_done(&pa, range);
	assert_pages(take(1, 1, 0, SCAV_FORCED), 3 * 512 - 1, 1);
}
END_TEST

START_TEST(huge_pages_stay_whole)
{
	struct page_range range = take(1, 1, 256, SCAV_FORCED);

	assert_pages(range, 4 * 512 - 256, 256);
	ph__page_scavenge_done(&pa, range);
	/* One that is in use in part is broken already. */
	ck_assert_uint_ne(
		ph__page_alloc_take_at(&pa, PAGE(3 * 512 + 5), 1).addr, 0);
	assert_pages(take(1, 1, 256, SCAV_FORCED), 4 * 512 - 257, 1);
}
END_TEST

START_TEST(large_physical_pages)
{
	/* Groups of eight; the last group of chunk 3 is in use in part. */
	ck_assert_uint_ne(ph__page_alloc_take_at(&pa, PAGE(2047), 1).addr, 0);
	assert_pages(take(1, 8, 0, SCAV_FORCED), 2047 - 15, 8);
	assert_pages(take(9, 8, 0, SCAV_FORCED), 2047 - 31, 16);
}
END_TEST

START_TEST(in_flight_is_in_use)
{
	struct page_range a = take(512, 1, 0, SCAV_FORCED);
	struct page_range b = take(512, 1, 0, SCAV_FORCED);

	assert_pages(a, 3 * 512, 512);
	assert_pages(b, 2 * 512, 512);
	ck_assert_uint_eq(pa.in_use_pages, 1024);
	ck_assert(ph__page_alloc_is_allocated(&pa, a.addr, 512));
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 1024).addr, BASE);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 1).addr, 0);
	ph__page_scavenge_done(&pa, b);
	verify();
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 1).addr, b.addr);
	ph__page_scavenge_abort(&pa, a);
	verify();
	/* Not released: dirty still, and eligible again. */
	ck_assert_uint_eq(ph__page_alloc_count_scavenged(&pa, a.addr, 512), 0);
	assert_pages(take(512, 1, 0, SCAV_FORCED), 3 * 512, 512);
}
END_TEST

START_TEST(nothing_left)
{
	struct page_range range;
	size_t released = 0;

	while ((range = take(100, 1, 0, SCAV_FORCED)).npages != 0) {
		released += range.npages;
		ph__page_scavenge_done(&pa, range);
	}
	ck_assert_uint_eq(released, 4 * 512);
	ck_assert_uint_eq(pa.scavenged_pages, 4 * 512);
	ck_assert_uint_eq(take(1, 1, 0, SCAV_FORCED).npages, 0);
}
END_TEST

/* Background: after a generation, and not where it is dense. */
START_TEST(background_waits)
{
	ck_assert_uint_eq(take(1, 1, 0, SCAV_BACKGROUND).npages, 0);
	ph__page_alloc_next_generation(&pa);
	/* The chunks were full a moment ago, but not as the generation ended.
	 */
	assert_pages(take(3, 1, 0, SCAV_BACKGROUND), 4 * 512 - 3, 3);
	ck_assert_uint_ne(ph__page_alloc_take_at(&pa, PAGE(3 * 512), 496).addr,
			  0);
	assert_pages(take(3, 1, 0, SCAV_BACKGROUND), 3 * 512 - 3, 3);
	assert_pages(take(3, 1, 0, SCAV_FORCED), 4 * 512 - 6, 3);
}
END_TEST

/*
 * What a background scavenge cannot see in a chunk, because it was freed later
 * and above its cursor, a forced one must.
 */
START_TEST(background_hides_nothing_from_forced)
{
	struct page_range range;

	ph__page_alloc_next_generation(&pa);
	while ((range = take(512, 1, 0, SCAV_BACKGROUND)).npages != 0)
		ph__page_scavenge_done(&pa, range);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 4 * 512).addr, BASE);
	ph__page_alloc_free(&pa, PAGE(10), 30);
	ph__page_alloc_next_generation(&pa);
	ph__page_alloc_free(&pa, PAGE(100), 100);
	range = take(512, 1, 0, SCAV_BACKGROUND);
	assert_pages(range, 10, 30);
	ph__page_scavenge_done(&pa, range);
	ck_assert_uint_eq(take(512, 1, 0, SCAV_BACKGROUND).npages, 0);
	assert_pages(take(512, 1, 0, SCAV_FORCED), 100, 100);
}
END_TEST

START_TEST(one_grain_for_all)
{
	(void)take(1, 1, 0, SCAV_FORCED);
	(void)take(1, 2, 0, SCAV_FORCED);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_scavenge");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, highest_first);
	tcase_add_test(tcase, huge_pages_stay_whole);
	tcase_add_test(tcase, large_physical_pages);
	tcase_add_test(tcase, in_flight_is_in_use);
	tcase_add_test(tcase, nothing_left);
	tcase_add_test(tcase, background_waits);
	tcase_add_test(tcase, background_hides_nothing_from_forced);
	tcase_add_test_raise_signal(tcase, one_grain_for_all, SIGABRT);
	return suite_run(suite);
}
