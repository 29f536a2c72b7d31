/* SPDX-License-Identifier: MIT */
/*
 * Growth, seen from outside: how much a heap grows, where, and what is left
 * when it cannot.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define MIB ((size_t)1 << 20)
#define GIB ((size_t)1 << 30)
#define PAGES(nbytes) ((nbytes) / PH_PAGE_SIZE)

static struct fake_os os;
static struct ph_heap *heap;

static void set_up(void)
{
	struct fake_os_config config = {.flags = PH_OS_UNTOUCHABLE};

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
}

static void tear_down(void)
{
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}

static char *take(size_t npages)
{
	return ph_pages_alloc(heap, npages, NULL);
}

START_TEST(test_chunk_by_chunk)
{
	char *first = take(1);

	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, PH_CHUNK_SIZE);
	ck_assert_uint_eq(heap_stats(heap).growths, 1);
	for (size_t i = 1; i < 512; i++)
		ck_assert_ptr_eq(take(1), first + i * PH_PAGE_SIZE);
	ck_assert_uint_eq(heap_stats(heap).growths, 1);
	ck_assert_ptr_eq(take(1), first + PH_CHUNK_SIZE);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, 2 * PH_CHUNK_SIZE);
	ck_assert_uint_eq(heap_stats(heap).growths, 2);
}
END_TEST

/* What is free at the end of the heap is part of the run. */
START_TEST(test_free_tail)
{
	char *first = take(100);
	char *second = take(500), *third;

	ck_assert_ptr_eq(second, first + 100 * PH_PAGE_SIZE);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, 2 * PH_CHUNK_SIZE);
	/* 424 are free behind; 424 + 512 fit with one chunk more. */
	third = take(936);
	ck_assert_ptr_eq(third, second + 500 * PH_PAGE_SIZE);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, 3 * PH_CHUNK_SIZE);
	ck_assert_uint_eq(heap_stats(heap).free_bytes +
				  heap_stats(heap).returned_bytes,
			  0);
}
END_TEST

/* Several free chunks at the end count as well. */
START_TEST(test_free_tail_of_chunks)
{
	char *a = take(1), *b = take(3000);

	ph_pages_free(heap, b, 3000);
	ck_assert_ptr_eq(take(4000), b);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes,
			  align_up(4001 * PH_PAGE_SIZE, PH_CHUNK_SIZE));
	ck_assert_ptr_eq(a + PH_PAGE_SIZE, b);
}
END_TEST

/* A large heap grows by a sixteenth, at most 64 MiB. */
START_TEST(test_share)
{
	size_t before;

	take(PAGES(4 * GIB));
	before = heap_stats(heap).mapped_bytes;
	take(1);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, before + 64 * MIB);
	ck_assert_uint_eq(heap_stats(heap).reserved_bytes,
			  heap_stats(heap).mapped_bytes);
}
END_TEST

/* Contiguous from 16 MiB to 8 GiB, so that one run can be all of it. */
START_TEST(test_contiguous)
{
	char *first = take(1), *last = first;
	size_t n;

	for (n = 1; n < 1024; n++) {
		last = take(1024);
		ck_assert_ptr_eq(last, first + PH_PAGE_SIZE +
					       (n - 1) * 1024 * PH_PAGE_SIZE);
	}
	ph_pages_free(heap, first, 1 + (n - 1) * 1024);
	ck_assert_ptr_eq(take(1 + (n - 1) * 1024), first);
}
END_TEST

START_TEST(test_aligned)
{
	take(3);
	for (size_t align = PH_PAGE_SIZE; align <= 16 * GIB; align *= 2) {
		char *p = ph_pages_alloc_aligned(heap, 3, align, NULL);

		ck_assert_ptr_nonnull(p);
		ck_assert_uint_eq((uintptr_t)p % align, 0);
	}
	/* Alignments that no address has, but zero. */
	for (unsigned shift = 48; shift < 64; shift++) {
		errno = 0;
		ck_assert_ptr_null(ph_pages_alloc_aligned(
			heap, 1, (size_t)1 << shift, NULL));
		ck_assert_int_eq(errno, ENOMEM);
	}
}
END_TEST

START_TEST(test_huge_requests)
{
	static const size_t sizes[] = {
		(size_t)1 << 35,  ((size_t)1 << 35) + 1, (size_t)1 << 36,
		SIZE_MAX >> 14,	  (SIZE_MAX >> 14) + 1,	 SIZE_MAX >> 13,
		SIZE_MAX / 2 + 1, SIZE_MAX - 1,		 SIZE_MAX};
	struct ph_stats before, after;

	take(5);
	before = heap_stats(heap);
	for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
		errno = 0;
		ck_assert_ptr_null(take(sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		errno = 0;
		ck_assert_ptr_null(ph_span_alloc(heap, sizes[i], 0));
		ck_assert_int_eq(errno, ENOMEM);
	}
	after = heap_stats(heap);
	ck_assert(heap_stats_same_use(&before, &after));
	ck_assert_uint_eq(before.mapped_bytes, after.mapped_bytes);
}
END_TEST

static struct ph_heap *bounded(size_t max_bytes)
{
	struct ph_heap_options options = {.struct_size = sizeof(options),
					  .max_bytes = max_bytes,
					  .os = &os.ops,
					  .os_ctx = &os};
	struct ph_heap *h = ph_heap_create(&options);

	must(h != NULL);
	return h;
}

START_TEST(test_max_bytes)
{
	struct ph_heap *b = bounded(20 * MIB + 5);
	void *p;

	/* 20 MiB are five chunks, however they are asked for. */
	ck_assert_ptr_null(ph_pages_alloc(b, PAGES(20 * MIB) + 1, NULL));
	ck_assert_int_eq(errno, ENOMEM);
	p = ph_pages_alloc(b, PAGES(20 * MIB), NULL);
	ck_assert_ptr_nonnull(p);
	ck_assert_ptr_null(ph_pages_alloc(b, 1, NULL));
	ph_pages_free(b, p, PAGES(20 * MIB));
	ck_assert_ptr_nonnull(ph_pages_alloc(b, 1, NULL));
	/* Two MiB-aligned pages more than fit behind the first. */
	ck_assert_ptr_null(ph_pages_alloc_aligned(b, 1, 64 * MIB, NULL));
	ck_assert_uint_eq(heap_stats(b).mapped_bytes, 20 * MIB);
	heap_must_check(b);
	ph_heap_destroy(b);

	/* Growing by shares does not overstep it, and uses all of it. */
	b = bounded(1028 * MIB);
	ck_assert_ptr_nonnull(ph_pages_alloc(b, PAGES(1000 * MIB), NULL));
	for (int i = 0; i < 7; i++)
		ck_assert_ptr_nonnull(ph_pages_alloc(b, 512, NULL));
	ck_assert_ptr_null(ph_pages_alloc(b, 1, NULL));
	ck_assert_uint_eq(heap_stats(b).mapped_bytes, 1028 * MIB);
	ph_heap_destroy(b);

	/* Less than a chunk is nothing. */
	b = bounded(MIB);
	ck_assert_ptr_null(ph_pages_alloc(b, 1, NULL));
	ck_assert_int_eq(errno, ENOMEM);
	ph_heap_destroy(b);
}
END_TEST

/* The addresses behind the heap belong to somebody else. */
START_TEST(test_neighbour)
{
	char *first = take(1024), *stone, *second;

	/* Behind all that was reserved. */
	stone = first;
	while (fake_os_state(&os, stone) != FAKE_NONE)
		stone += PH_CHUNK_SIZE;
	ck_assert_ptr_nonnull(
		os.ops.reserve(&os, stone, PH_CHUNK_SIZE, PH_CHUNK_SIZE));
	second = take(PAGES(128 * MIB));
	ck_assert_ptr_nonnull(second);
	ck_assert(second > stone || second + 128 * MIB <= first);
	heap_must_check(heap);
	os.ops.unmap(&os, stone, PH_CHUNK_SIZE);
}
END_TEST

/* Each system call of a growth fails in turn, and then all of them. */
START_TEST(test_failures)
{
	size_t npages = PAGES(200 * MIB);

	take(300);
	for (uint64_t nth = 1; nth < 30; nth++) {
		struct ph_stats before = heap_stats(heap), after;
		char *p;

		fake_os_fail(&os, FAKE_ALL, nth, FAKE_FOREVER);
		errno = 0;
		p = take(npages);
		heap_must_check(heap);
		fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
		if (p)
			return;
		ck_assert_int_eq(errno, ENOMEM);
		after = heap_stats(heap);
		ck_assert(heap_stats_same_use(&before, &after));
		ck_assert_uint_eq(before.mapped_bytes, after.mapped_bytes);
		ck_assert_uint_eq(before.reserved_bytes, after.reserved_bytes);
	}
	ck_abort_msg("never succeeded");
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "grow");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_chunk_by_chunk);
	tcase_add_test(tc, test_free_tail);
	tcase_add_test(tc, test_free_tail_of_chunks);
	tcase_add_test(tc, test_share);
	tcase_add_test(tc, test_contiguous);
	tcase_add_test(tc, test_aligned);
	tcase_add_test(tc, test_huge_requests);
	tcase_add_test(tc, test_max_bytes);
	tcase_add_test(tc, test_neighbour);
	tcase_add_test(tc, test_failures);
	return suite_run(suite);
}
