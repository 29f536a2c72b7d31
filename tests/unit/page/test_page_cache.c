/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "meta/meta.h"
#include "page/page_cache.h"
#include "support/suite.h"
#include "support/vec_reader.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)

static struct meta meta;
static struct page_alloc pa;

static void setup(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__page_alloc_init(&pa, &meta);
}

static void teardown(void)
{
	char why[160] = "";

	ck_assert_msg(ph__page_alloc_check(&pa, why, sizeof(why)), "%s", why);
	ph__page_alloc_destroy(&pa);
	ph__meta_destroy(&meta);
}

START_TEST(take_vectors)
{
	struct vec_reader r;
	char *f[7];
	size_t count = 0;

	vec_open(&r, "vectors/pagecache.vec.gz");
	while (vec_next(&r)) {
		struct page_cache c = {BASE, 0, 0};
		struct page_run run;
		int64_t index;

		ck_assert_uint_eq(vec_fields(&r, f, 7), 7);
		c.free = vec_hex(&r, f[0]);
		c.scavenged = vec_hex(&r, f[1]);
		run = page_cache_take(&c, (size_t)vec_dec(&r, f[2]));
		index = run.addr == 0
				? -1
				: (int64_t)((run.addr - BASE) / PH_PAGE_SIZE);
		ck_assert_int_eq(index, vec_dec(&r, f[3]));
		ck_assert_int_eq((int64_t)run.scavenged_pages,
				 vec_dec(&r, f[4]));
		ck_assert_uint_eq(c.free, vec_hex(&r, f[5]));
		ck_assert_uint_eq(c.scavenged, vec_hex(&r, f[6]));
		count++;
	}
	vec_close(&r);
	ck_assert_uint_eq(count, 6000);
}
END_TEST

START_TEST(refill_of_nothing)
{
	struct page_cache c = {0, 0, 0};

	ck_assert(!ph__page_cache_refill(&pa, &c));
	ck_assert_uint_eq(c.base, 0);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, PH_CHUNK_SIZE), 0);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 512).addr, BASE);
	ck_assert(!ph__page_cache_refill(&pa, &c));
	ck_assert_uint_eq(pa.search, PAGE_SEARCH_NONE);
	ph__page_cache_flush(&pa, &c);
	ck_assert_uint_eq(pa.in_use_pages, 512);
}
END_TEST

/* The block of the lowest free page, with what is free and scavenged in it. */
START_TEST(refill_takes_the_lowest_block)
{
	struct page_cache c = {0, 0, 0};

	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, PH_CHUNK_SIZE), 0);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 70).addr, BASE);
	ph__page_alloc_free(&pa, PAGE(64), 1);
	ck_assert(ph__page_cache_refill(&pa, &c));
	ck_assert_uint_eq(c.base, PAGE(64));
	ck_assert_uint_eq(c.free, ~UINT64_C(0x3e));
	ck_assert_uint_eq(c.scavenged, ~UINT64_C(0x3f));
	ck_assert_uint_eq(pa.in_use_pages, 128);
	ck_assert(ph__page_alloc_is_allocated(&pa, BASE, 128));
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 1).addr, PAGE(128));
	ph__page_cache_flush(&pa, &c);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 1).addr, PAGE(64));
	ck_assert_uint_eq(ph__page_alloc_count_scavenged(&pa, PAGE(64), 64),
			  58);
}
END_TEST

START_TEST(refill_of_a_full_cache)
{
	struct page_cache c = {BASE, 1, 0};

	(void)ph__page_cache_refill(&pa, &c);
}
END_TEST

START_TEST(flush_of_foreign_pages)
{
	struct page_cache c = {BASE, 1, 0};

	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, PH_CHUNK_SIZE), 0);
	ph__page_cache_flush(&pa, &c); /* page 0 is free, so nobody's */
}
END_TEST

START_TEST(free_into_the_cache)
{
	struct page_cache c = {0, 0, 0}, none = {0, 0, 0};
	struct page_run run;

	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, PH_CHUNK_SIZE), 0);
	ck_assert(!page_cache_covers(&none, 0, 1));
	ck_assert(ph__page_cache_refill(&pa, &c));
	run = page_cache_take(&c, 5);
	ck_assert_uint_eq(run.addr, BASE);
	ck_assert_uint_eq(run.scavenged_pages, 5);
	ck_assert(page_cache_covers(&c, run.addr, 64));
	ck_assert(!page_cache_covers(&c, run.addr, 65));
	ck_assert(!page_cache_covers(&c, PAGE(63), 2));
	ck_assert(!page_cache_covers(&c, PAGE(64), 1));
	ck_assert(page_cache_free(&c, PAGE(1), 3));
	ck_assert(!page_cache_free(&c, PAGE(0), 2));
	ck_assert(!page_cache_free(&c, PAGE(3), 2));
	/* What was freed is dirty. */
	run = page_cache_take(&c, 3);
	ck_assert_uint_eq(run.addr, PAGE(1));
	ck_assert_uint_eq(run.scavenged_pages, 0);
	ph__page_cache_flush(&pa, &c);
	ck_assert_uint_eq(pa.in_use_pages, 5);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_cache");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, take_vectors);
	tcase_add_test(tcase, refill_of_nothing);
	tcase_add_test(tcase, refill_takes_the_lowest_block);
	tcase_add_test_raise_signal(tcase, refill_of_a_full_cache, SIGABRT);
	tcase_add_test_raise_signal(tcase, flush_of_foreign_pages, SIGABRT);
	tcase_add_test(tcase, free_into_the_cache);
	return suite_run(suite);
}
