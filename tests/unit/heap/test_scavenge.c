/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back: how much, from where, and whether it is really gone.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "heap/heap.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define PAGE PH_PAGE_SIZE
#define MIB ((size_t)1 << 20)
#define PAGES(nbytes) ((nbytes) / PH_PAGE_SIZE)

START_TEST(test_amounts)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	char *p = ph_pages_alloc(heap, 1000, NULL);
	size_t done, sum = 0;

	memset(p, 1, 1000 * PAGE);
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), 0);
	/* Every second page: no huge page is whole. */
	for (size_t i = 0; i < 1000; i += 2)
		ph_pages_free(heap, p + i * PAGE, 1);
	ck_assert_uint_eq(heap_stats(heap).free_bytes, 500 * PAGE);
	ck_assert_uint_eq(ph_scavenge(heap, 0), 0);
	errno = 3;
	ck_assert_uint_eq(ph_scavenge(heap, 1), PAGE);
	ck_assert_int_eq(errno, 3);
	ck_assert_uint_eq(ph_scavenge(heap, PAGE), PAGE);
	ck_assert_uint_eq(ph_scavenge(heap, PAGE + 1), 2 * PAGE);
	sum = 4 * PAGE;
	/* Highest addresses first. */
	ck_assert_uint_eq(range_resident_bytes(p + 998 * PAGE, PAGE), 0);
	ck_assert_uint_eq(range_resident_bytes(p + 992 * PAGE, PAGE), 0);
	ck_assert_uint_eq(range_resident_bytes(p + 990 * PAGE, PAGE), PAGE);
	while ((done = ph_scavenge(heap, 10 * PAGE)) != 0)
		sum += done;
	ck_assert_uint_eq(sum, 500 * PAGE);
	ck_assert_uint_eq(heap_stats(heap).scavenged_bytes, sum);
	ck_assert_uint_eq(heap_stats(heap).free_bytes, 0);
	/* What is in use kept its contents. */
	for (size_t i = 1; i < 1000; i += 2)
		must(p[i * PAGE] == 1 && p[i * PAGE + PAGE - 1] == 1);
	heap_must_check(heap);
	ph_heap_destroy(heap);
}
END_TEST

START_TEST(test_resident_memory_drops)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	size_t nbytes = 64 * MIB, before = process_resident_bytes(), full;
	char *p = ph_pages_alloc(heap, PAGES(nbytes), NULL);

	memset(p, 1, nbytes);
	full = process_resident_bytes();
	ck_assert_uint_ge(full, before + nbytes);
	ph_pages_free(heap, p, PAGES(nbytes));
	ck_assert_uint_eq(range_resident_bytes(p, nbytes), nbytes);
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), nbytes);
	ck_assert_uint_eq(range_resident_bytes(p, nbytes), 0);
	/* Tools keep their shadow of it; some have one larger than it. */
	ck_assert(PH_TSAN || getenv("PH_VALGRIND") != NULL ||
		  process_resident_bytes() <= before + nbytes / 4);
	ck_assert_uint_eq(heap_stats(heap).returned_bytes,
			  heap_stats(heap).mapped_bytes);
	ph_heap_destroy(heap);
}
END_TEST

/* A free huge page is given back as a whole, or not at all. */
START_TEST(test_huge_pages)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	size_t huge = heap->scavenge_huge_pages;
	char *p = ph_pages_alloc(heap, 512, NULL);

	if (!huge) {
		printf("skipped in part: no huge pages here\n");
		ph_heap_destroy(heap);
		return;
	}
	ck_assert_uint_eq((uintptr_t)p % PH_CHUNK_SIZE, 0);
	memset(p, 1, 512 * PAGE);
	ph_pages_free(heap, p, 512);
	ck_assert_uint_eq(ph_scavenge(heap, 1), huge * PAGE);
	ck_assert_uint_eq(
		range_resident_bytes(p + (512 - huge) * PAGE, huge * PAGE), 0);
	/* One page in use: the rest of its huge page goes page by page. */
	ck_assert_ptr_eq(ph_pages_alloc(heap, 1, NULL), p);
	if (huge < 512)
		ck_assert_uint_eq(ph_scavenge(heap, 1), PAGE);
	heap_must_check(heap);
	ph_heap_destroy(heap);
}
END_TEST

START_TEST(test_physical_pages)
{
	static const size_t sizes[] = {4096, 16384, 65536, 524288};
	struct fake_os_config config = {.flags = PH_OS_ZEROES,
					.page_size = sizes[_i]};
	size_t group = sizes[_i] > PAGE ? sizes[_i] / PAGE : 1;
	struct fake_os os;
	struct ph_heap *heap;
	char *p;

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, 512, NULL);
	/* All free but the first page of each second group. */
	for (size_t i = 0; i < 512; i++)
		if (group == 1 ? i % 2 : i % (2 * group))
			ph_pages_free(heap, p + i * PAGE, 1);
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), 256 * PAGE);
	ck_assert_uint_eq(fake_os_call_bytes(&os, FAKE_RELEASE), 256 * PAGE);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

/* A release that fails loses nothing, and is tried again. */
START_TEST(test_release_fails)
{
	struct fake_os os;
	struct ph_heap *heap;
	struct ph_stats before, after;
	char *p;

	fake_os_init(&os, NULL);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, 1500, NULL);
	memset(p, 1, 1500 * PAGE);
	ph_pages_free(heap, p, 1500);
	for (uint64_t nth = 1; nth <= 3; nth++) {
		before = heap_stats(heap);
		fake_os_fail(&os, FAKE_BIT(FAKE_RELEASE), nth, FAKE_FOREVER);
		/* What was given back before the failure counts. */
		size_t done = ph_scavenge(heap, SIZE_MAX);

		after = heap_stats(heap);
		ck_assert_uint_eq(before.free_bytes - done, after.free_bytes);
		ck_assert_uint_eq(before.returned_bytes + done,
				  after.returned_bytes);
		ck_assert_uint_eq(before.scavenges + nth - 1, after.scavenges);
		ck_assert_uint_eq(after.in_use_bytes, 0);
		heap_must_check(heap);
	}
	fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
	/* Nothing was forgotten: all of it goes now. */
	ph_scavenge(heap, SIZE_MAX);
	ck_assert_uint_eq(heap_stats(heap).free_bytes, 0);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 1500, NULL), p);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

/*
 * A heap whose free pages do not serve grows, and gives as much back as it
 * grew by, so that what is resident follows demand.
 */
START_TEST(test_after_growth)
{
	struct fake_os os;
	struct ph_heap *heap;
	struct ph_stats s;
	size_t npages = PAGES(64 * MIB);
	char *p;

	fake_os_init(&os, NULL);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, npages, NULL);
	/* A comb: seven free pages of each eight, no run of eight. */
	for (size_t i = 0; i < npages; i += 8)
		ph_pages_free(heap, p + i * PAGE, 7);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.free_bytes, 56 * MIB);
	for (int i = 0; i < 40; i++) {
		ck_assert_ptr_nonnull(ph_pages_alloc(heap, PAGES(MIB), NULL));
		s = heap_stats(heap);
		/* A tenth above the peak of use, and one growth behind. */
		ck_assert_uint_le(s.in_use_bytes + s.free_bytes,
				  s.peak_in_use_bytes * 11 / 10 + 8 * MIB);
	}
	ck_assert_uint_gt(s.scavenged_bytes, 0);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

/* As long as the heap is within its peak, growth gives nothing back. */
START_TEST(test_growth_within_demand)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);

	for (int i = 0; i < 200; i++)
		ck_assert_ptr_nonnull(ph_pages_alloc(heap, 300, NULL));
	ck_assert_uint_eq(heap_stats(heap).scavenges, 0);
	ph_heap_destroy(heap);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "scavenge");

	tcase_add_test(tc, test_amounts);
	tcase_add_test(tc, test_resident_memory_drops);
	tcase_add_test(tc, test_huge_pages);
	tcase_add_loop_test(tc, test_physical_pages, 0, 4);
	tcase_add_test(tc, test_release_fails);
	tcase_add_test(tc, test_after_growth);
	tcase_add_test(tc, test_growth_within_demand);
	return suite_run(suite);
}
