/* SPDX-License-Identifier: MIT */
/*
 * Runs of pages: arguments, places, zero knowledge, memory made ready.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define PAGE PH_PAGE_SIZE

START_TEST(test_arguments)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	static const size_t bad[] = {0, 3, 12288, SIZE_MAX};
	int zeroed = 77;
	char *p;

	errno = 0;
	ck_assert_ptr_null(ph_pages_alloc(heap, 0, &zeroed));
	ck_assert_int_eq(errno, EINVAL);
	for (size_t i = 0; i < PH_ARRAY_SIZE(bad); i++) {
		errno = 0;
		ck_assert_ptr_null(
			ph_pages_alloc_aligned(heap, 1, bad[i], &zeroed));
		ck_assert_int_eq(errno, EINVAL);
	}
	/* Outputs are written on success only. */
	ck_assert_int_eq(zeroed, 77);
	for (size_t align = 1; align <= PAGE; align *= 2)
		ck_assert_ptr_nonnull(
			ph_pages_alloc_aligned(heap, 1, align, NULL));

	p = ph_pages_alloc(heap, 4, NULL);
	errno = 0;
	ck_assert_int_eq(ph_pages_alloc_at(heap, p + 1, 1, NULL), EINVAL);
	ck_assert_int_eq(ph_pages_alloc_at(heap, p + 4096, 1, NULL), EINVAL);
	ck_assert_int_eq(ph_pages_alloc_at(heap, p, 0, NULL), EINVAL);
	ck_assert_int_eq(ph_pages_alloc_at(heap, NULL, 1, NULL), EINVAL);
	ck_assert_int_eq(ph_pages_alloc_at(heap, p, 1, &zeroed), ENOMEM);
	ck_assert_int_eq(ph_pages_extend(heap, p, 4, 3), EINVAL);
	ck_assert_int_eq(ph_pages_extend(heap, p, 0, 3), EINVAL);
	ck_assert_int_eq(ph_pages_extend(heap, NULL, 1, 3), EINVAL);
	ck_assert_int_eq(ph_pages_extend(heap, p + 1, 1, 3), EINVAL);
	ck_assert_int_eq(ph_pages_extend(heap, p, 4, 4), 0);
	ck_assert_int_eq(ph_pages_extend(heap, p, 4, SIZE_MAX), ENOMEM);
	ck_assert_int_eq(zeroed, 77);
	/* Functions that return int leave errno alone. */
	ck_assert_int_eq(errno, 0);
	errno = 5;
	ph_pages_free(heap, p, 4);
	ck_assert_int_eq(errno, 5);
	heap_must_check(heap);
	ph_heap_destroy(heap);
}
END_TEST

/* First fit by address: the picture shows pages in use as letters. */
START_TEST(test_first_fit)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	char *p = ph_pages_alloc(heap, 16, NULL);

	/* xxxx..xx...xxxxx */
	ph_pages_free(heap, p + 4 * PAGE, 2);
	ph_pages_free(heap, p + 8 * PAGE, 3);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 3, NULL), p + 8 * PAGE);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 1, NULL), p + 4 * PAGE);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 2, NULL), p + 16 * PAGE);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 1, NULL), p + 5 * PAGE);
	heap_must_check(heap);
	ph_heap_destroy(heap);
}
END_TEST

START_TEST(test_at_and_extend)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	char *p = ph_pages_alloc(heap, 10, NULL), *other;
	struct ph_stats s;

	ck_assert_int_eq(ph_pages_alloc_at(heap, p + 20 * PAGE, 5, NULL), 0);
	/* xxxxxxxxxx..........xxxxx */
	ck_assert_int_eq(ph_pages_extend(heap, p, 10, 21), ENOMEM);
	ck_assert_int_eq(ph_pages_alloc_at(heap, p + 19 * PAGE, 2, NULL),
			 ENOMEM);
	ck_assert_int_eq(ph_pages_extend(heap, p, 10, 20), 0);
	memset(p, 1, 25 * PAGE);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.raw_bytes, 25 * PAGE);
	/* Adjacent runs are freed at once. */
	ph_pages_free(heap, p, 25);
	ck_assert_uint_eq(heap_stats(heap).in_use_bytes, 0);
	/* Up to the end of what was grown, and beyond. */
	other = ph_pages_alloc(heap, 1, NULL);
	ck_assert_int_eq(ph_pages_extend(heap, other, 1, 513), ENOMEM);
	ck_assert_int_eq(ph_pages_extend(heap, other, 1, 512), 0);
	heap_must_check(heap);
	ph_heap_destroy(heap);
}
END_TEST

/* ---- zero knowledge ---- */

static void must_be_zero(const char *p, size_t npages)
{
	for (size_t i = 0; i < npages * PAGE; i++)
		must(p[i] == 0);
}

START_TEST(test_zeroed)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	int zeroed = -1;
	char *p = ph_pages_alloc(heap, 600, &zeroed), *q;

	ck_assert_int_eq(zeroed, 1);
	must_be_zero(p, 600);
	memset(p, 1, 600 * PAGE);
	ph_pages_free(heap, p, 600);
	/* Dirty now, wholly or in part. */
	ck_assert_ptr_eq(ph_pages_alloc(heap, 600, &zeroed), p);
	ck_assert_int_eq(zeroed, 0);
	ph_pages_free(heap, p, 600);
	q = ph_pages_alloc(heap, 700, &zeroed);
	ck_assert_ptr_eq(q, p);
	ck_assert_int_eq(zeroed, 0);
	ph_pages_free(heap, q, 700);
	/* Given back: zero again, truly. */
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), 700 * PAGE);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 600, &zeroed), p);
	ck_assert_int_eq(zeroed, 1);
	must_be_zero(p, 600);
	ph_heap_destroy(heap);

	/* Chunks of a heap that is gone are as good as new. */
	heap = heap_over(NULL, NULL, 0);
	p = ph_pages_alloc(heap, 600, &zeroed);
	if (zeroed)
		must_be_zero(p, 600);
	ph_heap_destroy(heap);
}
END_TEST

/* Without PH_OS_ZEROES nothing is ever known zero. */
START_TEST(test_never_zeroed)
{
	struct fake_os_config config = {.has_use = _i};
	struct fake_os os;
	struct ph_heap *heap;
	struct ph_span *s;
	int zeroed = -1;
	char *p;

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, 10, &zeroed);
	ck_assert_int_eq(zeroed, 0);
	ck_assert_int_ne(p[0], 0);
	s = ph_span_alloc(heap, 10, 0);
	ck_assert_int_eq(ph_span_zeroed(s), 0);
	p = ph_calloc(heap, 1, 100000);
	for (size_t i = 0; i < 100000; i++)
		must(p[i] == 0);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

/* ---- memory that must be made ready ---- */

/* Physical pages of two and of eight of the heap's. */
START_TEST(test_use_whole_physical_pages)
{
	size_t physical = _i ? 65536 : 16384;
	struct fake_os_config config = {
		.flags = PH_OS_ZEROES, .has_use = true, .page_size = physical};
	struct fake_os os;
	struct ph_heap *heap;
	int zeroed = -1;
	char *p, *q;

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, 1, &zeroed);
	ck_assert_int_eq(zeroed, 1);
	memset(p, 1, PAGE);
	/* The neighbour's memory is ready already, its contents its own. */
	q = ph_pages_alloc(heap, 1, &zeroed);
	ck_assert_ptr_eq(q, p + PAGE);
	ck_assert_int_eq(zeroed, 1);
	must_be_zero(q, 1);
	ck_assert_int_eq(p[PAGE - 1], 1);
	ck_assert_uint_eq(fake_os_bytes(&os, FAKE_READY), physical);
	/* One page of a physical one in use: nothing can be given back. */
	ph_pages_free(heap, p, 1);
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), 0);
	ph_pages_free(heap, q, 1);
	if (!_i) {
		ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), physical);
		ck_assert_uint_eq(fake_os_bytes(&os, FAKE_READY), 0);
	}
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

/*
 * What cannot be made ready is free again, and made ready by the next to get
 * it; touching it would be a fault.
 */
START_TEST(test_use_fails)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES, .has_use = true};
	struct ph_stats before, after;
	struct fake_os os;
	struct ph_heap *heap;
	int zeroed = -1;
	char *p, *q;

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
	p = ph_pages_alloc(heap, 8, NULL);
	memset(p, 1, 8 * PAGE);
	/* Four dirty pages before memory that was never used. */
	ph_pages_free(heap, p + 4 * PAGE, 4);
	before = heap_stats(heap);
	fake_os_fail(&os, FAKE_BIT(FAKE_USE), 1, FAKE_FOREVER);
	errno = 0;
	ck_assert_ptr_null(ph_pages_alloc(heap, 12, &zeroed));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_int_eq(ph_pages_extend(heap, p, 4, 10), ENOMEM);
	ck_assert_ptr_null(ph_span_alloc(heap, 12, 0));
	ck_assert_ptr_null(ph_malloc(heap, 100));
	heap_must_check(heap);
	after = heap_stats(heap);
	ck_assert(heap_stats_same_use(&before, &after));
	ck_assert_int_eq(zeroed, -1);
	fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);

	q = ph_pages_alloc(heap, 12, &zeroed);
	ck_assert_ptr_eq(q, p + 4 * PAGE);
	if (zeroed)
		must_be_zero(q, 12);
	memset(q, 2, 12 * PAGE);
	heap_must_check(heap);

	/* The same, and what was ready cannot be given back either. */
	ph_pages_free(heap, q, 4);
	fake_os_fail(&os, FAKE_BIT(FAKE_USE) | FAKE_BIT(FAKE_RELEASE), 1,
		     FAKE_FOREVER);
	ck_assert_ptr_null(ph_pages_alloc(heap, 500, NULL));
	ph_pages_free(heap, q + 4 * PAGE, 8);
	ck_assert_ptr_null(ph_pages_alloc(heap, 500, NULL));
	heap_must_check(heap);
	fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
	ck_assert_ptr_eq(ph_pages_alloc(heap, 500, &zeroed), q);
	if (zeroed)
		must_be_zero(q, 500);
	memset(q, 3, 500 * PAGE);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "pages");

	tcase_add_test(tc, test_arguments);
	tcase_add_test(tc, test_first_fit);
	tcase_add_test(tc, test_at_and_extend);
	tcase_add_test(tc, test_zeroed);
	tcase_add_loop_test(tc, test_never_zeroed, 0, 2);
	tcase_add_loop_test(tc, test_use_whole_physical_pages, 0, 2);
	tcase_add_test(tc, test_use_fails);
	return suite_run(suite);
}
