/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "meta/meta.h"
#include "page/page_alloc.h"
#include "support/fake_os.h"
#include "support/suite.h"

#define BASE ((uintptr_t)1 << 34)
#define PAGE(i) (BASE + (uintptr_t)(i)*PH_PAGE_SIZE)
#define CHUNK(i) (BASE + (uintptr_t)(i)*PH_CHUNK_SIZE)

static struct fake_os os;
static struct meta meta;
static struct page_alloc pa;

static void setup(void)
{
	fake_os_init(&os, NULL);
	ph__meta_init(&meta, &os.ops, &os);
	ph__page_alloc_init(&pa, &meta);
}

static void verify(void)
{
	char why[160] = "";

	ck_assert_msg(ph__page_alloc_check(&pa, why, sizeof(why)), "%s", why);
}

static void teardown(void)
{
	verify();
	ph__page_alloc_destroy(&pa);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ph__meta_destroy(&meta);
	fake_os_destroy(&os);
}

static void grow(size_t chunk, size_t nchunks)
{
	ck_assert_int_eq(
		ph__page_alloc_grow(&pa, CHUNK(chunk), nchunks * PH_CHUNK_SIZE),
		0);
}

/* Allocates and compares: where, and how many pages had been scavenged. */
#define assert_take(npages, page, scavenged)                                   \
	do {                                                                   \
		struct page_run run_ = ph__page_alloc_take(&pa, (npages));     \
		ck_assert_uint_eq(run_.addr, PAGE(page));                      \
		ck_assert_uint_eq(run_.scavenged_pages, (scavenged));          \
	} while (0)

#define assert_full(npages)                                                    \
	ck_assert_uint_eq(ph__page_alloc_take(&pa, (npages)).addr, 0)

START_TEST(empty_allocator)
{
	ck_assert_uint_le(sizeof(pa), 1024);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	assert_full(1);
	assert_full(SIZE_MAX);
	ck_assert_uint_eq(
		ph__page_alloc_take_aligned(&pa, 1, PH_CHUNK_SIZE).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, BASE, 1).addr, 0);
	ck_assert(!ph__page_alloc_is_free(&pa, BASE, 1));
	ck_assert(!ph__page_alloc_is_allocated(&pa, BASE, 1));
	ck_assert_ptr_null(ph__page_alloc_chunk(&pa, BASE >> PH_CHUNK_SHIFT));
	ck_assert_uint_eq(ph__page_alloc_summary(&pa, 0, 1).packed, 0);
	ck_assert_uint_eq(ph__page_alloc_free_below(&pa, BASE), 0);
	ph__page_alloc_settle(&pa);
	ph__page_alloc_next_generation(&pa);
	ph__page_alloc_destroy(&pa);
	ph__page_alloc_destroy(&pa);
}
END_TEST

START_TEST(first_fit)
{
	grow(0, 1);
	assert_take(10, 0, 10);
	assert_take(20, 10, 20);
	assert_take(30, 30, 30);
	ph__page_alloc_free(&pa, PAGE(10), 20);
	ph__page_alloc_free(&pa, PAGE(2), 3);
	assert_take(4, 10, 0);
	assert_take(3, 2, 0);
	assert_take(16, 14, 0);
	assert_take(452, 60, 452);
	assert_full(1);
	ck_assert_uint_eq(pa.in_use_pages, 512);
}
END_TEST

/* Runs across chunks, across every level, and across regions. */
START_TEST(runs_across_edges)
{
	static const size_t edges[] = {1, 8, 64, 512, 4096};

	for (size_t e = 0; e < PH_ARRAY_SIZE(edges); e++) {
		size_t edge = edges[e] * PH_CHUNK_PAGES;

		grow(edges[e] - 1, 2);
		/* Leave ten free pages, five on each side. */
		assert_take(507, edge - 512, 507);
		ck_assert_uint_eq(
			ph__page_alloc_take_at(&pa, PAGE(edge + 5), 507).addr,
			PAGE(edge + 5));
		assert_full(11);
		assert_take(10, edge - 5, 10);
		ph__page_alloc_free(&pa, PAGE(edge - 5), 10);
		verify();
		assert_take(6, edge - 5, 0);
		ck_assert_uint_eq(
			ph__page_alloc_free_below(&pa, PAGE(edge + 512)), 0);
		ph__page_alloc_destroy(&pa);
	}
}
END_TEST

/* A run of 48 GiB and a bit: three whole regions and parts of two. */
START_TEST(runs_of_many_regions)
{
	size_t npages = 3 * 4096 * 512 + 700;

	grow(4095, 3 * 4096 + 2);
	assert_take(npages, 4095 * 512, npages);
	verify();
	assert_take(324, 4095 * 512 + npages, 324);
	assert_full(1);
	ph__page_alloc_free(&pa, PAGE(4095 * 512), npages);
	verify();
	ck_assert_uint_eq(ph__page_alloc_free_below(&pa, CHUNK(4 * 4096)),
			  3 * 4096 * 512 + 512);
	assert_take(npages, 4095 * 512, 0);
}
END_TEST

START_TEST(gaps_separate_runs)
{
	grow(0, 1);
	grow(2, 1);
	grow(4096 * 5, 1);
	assert_full(513);
	assert_take(512, 0, 512);
	assert_take(500, 1024, 500);
	assert_take(13, (size_t)4096 * 5 * 512, 13);
	grow(1, 1);
	assert_take(512, 512, 512);
	grow(3, 1);
	assert_take(520, 1524, 520);
}
END_TEST

START_TEST(grow_refuses_nonsense)
{
	uintptr_t limit = (uintptr_t)1 << 48;

	grow(10, 4);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, CHUNK(9), PH_CHUNK_SIZE * 2),
			 EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, CHUNK(13), PH_CHUNK_SIZE),
			 EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, 0, PH_CHUNK_SIZE), EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, PAGE(1), PH_CHUNK_SIZE),
			 EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, PH_PAGE_SIZE), EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, BASE, 0), EINVAL);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, limit, PH_CHUNK_SIZE),
			 EINVAL);
	ck_assert_int_eq(
		ph__page_alloc_grow(&pa, BASE, (size_t)0 - PH_CHUNK_SIZE),
		EINVAL);
	ck_assert_uint_eq(pa.total_pages, 4 * 512);
	/* The last chunk there is. */
	ck_assert_int_eq(
		ph__page_alloc_grow(&pa, limit - PH_CHUNK_SIZE, PH_CHUNK_SIZE),
		0);
	ck_assert_int_eq(ph__page_alloc_grow(&pa, PH_CHUNK_SIZE, PH_CHUNK_SIZE),
			 0);
	ck_assert_uint_eq(ph__page_alloc_take(&pa, 512).addr, PH_CHUNK_SIZE);
	ck_assert_uint_eq(
		ph__page_alloc_take_at(&pa, limit - PH_PAGE_SIZE, 1).addr,
		limit - PH_PAGE_SIZE);
	ck_assert_uint_eq(
		ph__page_alloc_take_at(&pa, limit - PH_PAGE_SIZE, 2).addr, 0);
}
END_TEST

START_TEST(aligned_runs)
{
	struct page_run run;

	grow(0, 4);
	assert_take(1, 0, 1);
	run = ph__page_alloc_take_aligned(&pa, 3, 8 * PH_PAGE_SIZE);
	ck_assert_uint_eq(run.addr, PAGE(8));
	ck_assert_uint_eq(run.scavenged_pages, 3);
	run = ph__page_alloc_take_aligned(&pa, 600, PH_CHUNK_SIZE);
	ck_assert_uint_eq(run.addr, CHUNK(1));
	/* Below the page's size alignment means nothing. */
	ck_assert_uint_eq(ph__page_alloc_take_aligned(&pa, 1, 1).addr, PAGE(1));
	ck_assert_uint_eq(ph__page_alloc_take_aligned(&pa, 1, 16).addr,
			  PAGE(2));
	/* Free pages there are, but none at such an address. */
	ck_assert_uint_eq(
		ph__page_alloc_take_aligned(&pa, 1, (size_t)1 << 40).addr, 0);
	ck_assert_uint_eq(
		ph__page_alloc_take_aligned(&pa, 1, (size_t)1 << 63).addr, 0);
	/* A failed search for an aligned page says nothing of others. */
	assert_take(1, 3, 1);
}
END_TEST

START_TEST(given_ranges)
{
	struct page_run run;

	grow(0, 2);
	run = ph__page_alloc_take_at(&pa, PAGE(500), 20);
	ck_assert_uint_eq(run.addr, PAGE(500));
	ck_assert_uint_eq(run.scavenged_pages, 20);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(519), 2).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(499), 2).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(1023), 2).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(1), 0).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(1) + 1, 1).addr, 0);
	ck_assert_uint_eq(ph__page_alloc_take_at(&pa, PAGE(520), SIZE_MAX).addr,
			  0);
	ck_assert(ph__page_alloc_is_allocated(&pa, PAGE(500), 20));
	ck_assert(!ph__page_alloc_is_allocated(&pa, PAGE(500), 21));
	ck_assert(ph__page_alloc_is_free(&pa, PAGE(520), 504));
	assert_take(504, 520, 504);
}
END_TEST

/* Failing searches are remembered, and forgotten when pages are freed. */
START_TEST(failure_is_remembered)
{
	grow(0, 4);
	assert_take(4 * 512, 0, 4 * 512);
	assert_full(2);
	assert_full(1);
	ph__page_alloc_free(&pa, PAGE(511), 1);
	assert_full(2);
	ph__page_alloc_free(&pa, PAGE(512), 1);
	assert_full(3);
	assert_take(2, 511, 0);
	ph__page_alloc_free(&pa, PAGE(100), 1800);
	assert_full(1801);
	verify();
	assert_take(1800, 100, 0);
}
END_TEST

START_TEST(double_free_is_fatal)
{
	grow(0, 1);
	assert_take(2, 0, 2);
	ph__page_alloc_free(&pa, PAGE(0), 2);
	ph__page_alloc_free(&pa, PAGE(0), 2);
}
END_TEST

START_TEST(zero_pages_are_fatal)
{
	grow(0, 1);
	assert_full(0);
}
END_TEST

/* A copy of all that a caller can see. */
struct picture {
	uintptr_t search;
	size_t total_pages, in_use_pages, scavenged_pages, nranges, nregions;
	size_t used_bytes;
};

static struct picture take_picture(void)
{
	struct picture p;

	memset(&p, 0, sizeof(p));
	p.search = pa.search;
	p.total_pages = pa.total_pages;
	p.in_use_pages = pa.in_use_pages;
	p.scavenged_pages = pa.scavenged_pages;
	p.nranges = pa.grown.count;
	p.nregions = pa.root.num_regions;
	p.used_bytes = meta_used_bytes(&meta);
	return p;
}

/*
 * Grows a small heap by four regions far away while the nth call to the system
 * fails; true when it succeeded in spite of that.
 */
static bool grow_failing(uint64_t nth)
{
	uintptr_t base = CHUNK(4096 * 90 - 1);
	size_t nbytes = (2 * 4096 + 2) * PH_CHUNK_SIZE;
	struct picture before, after;
	int error;

	/* As many ranges as the set holds inside, so that it must grow too. */
	for (size_t i = 0; i < ADDR_RANGES_INLINE; i++)
		grow(2 * i, 1);
	assert_take(100, 0, 100);
	before = take_picture();
	fake_os_fail(&os, FAKE_GROWING, nth, FAKE_FOREVER);
	error = ph__page_alloc_grow(&pa, base, nbytes);
	fake_os_fail(&os, FAKE_GROWING, 0, FAKE_ONCE);
	verify();
	if (error != 0) {
		ck_assert_int_eq(error, ENOMEM);
		after = take_picture();
		ck_assert_mem_eq(&before, &after, sizeof(before));
		ck_assert(!ph__page_alloc_is_free(&pa, base, 1));
		ck_assert_int_eq(ph__page_alloc_grow(&pa, base, nbytes), 0);
	}
	assert_take(513, ((size_t)4096 * 90 - 1) * 512, 513);
	return error == 0;
}

START_TEST(grow_fails_without_change)
{
	uint64_t nth;

	for (nth = 1; !grow_failing(nth); nth++) {
		ck_assert_uint_lt(nth, 1000);
		teardown();
		setup();
	}
	ck_assert_uint_gt(nth, 3);
}
END_TEST

/* A heap of one chunk touches few pages of metadata. */
START_TEST(one_chunk_is_cheap)
{
	size_t touched = 0;
	const unsigned char *bytes;
	struct page_region *r;

	grow(77, 1);
	assert_take(3, 77 * 512, 3);
	r = pa.root.lowest;
	bytes = (const unsigned char *)r;
	for (size_t at = 0; at < sizeof(*r); at += 4096) {
		size_t n = sizeof(*r) - at < 4096 ? sizeof(*r) - at : 4096;
		bool used = false;

		for (size_t i = 0; i < n; i++)
			used = used || bytes[at + i] != 0;
		touched += used;
	}
	ck_assert_uint_le(touched, 5);
	ck_assert_uint_le(sizeof(*r), (size_t)600 << 10);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_alloc");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, empty_allocator);
	tcase_add_test(tcase, first_fit);
	tcase_add_test(tcase, runs_across_edges);
	tcase_add_test(tcase, runs_of_many_regions);
	tcase_add_test(tcase, gaps_separate_runs);
	tcase_add_test(tcase, grow_refuses_nonsense);
	tcase_add_test(tcase, aligned_runs);
	tcase_add_test(tcase, given_ranges);
	tcase_add_test(tcase, failure_is_remembered);
	tcase_add_test_raise_signal(tcase, double_free_is_fatal, SIGABRT);
	tcase_add_test_raise_signal(tcase, zero_pages_are_fatal, SIGABRT);
	tcase_add_test(tcase, grow_fails_without_change);
	tcase_add_test(tcase, one_chunk_is_cheap);
	return suite_run(suite);
}
