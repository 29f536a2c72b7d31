/* SPDX-License-Identifier: MIT */
/*
 * Spans of ph_span_alloc(), most of them on addresses that nobody can touch.
 */
#include <errno.h>

#include "base/bits.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define PAGE PH_PAGE_SIZE
#define GIB ((size_t)1 << 30)

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

/* Every page of the span leads to it, and those around it do not. */
static void must_lead(struct ph_span *s)
{
	char *base = ph_span_base(s);
	size_t npages = ph_span_npages(s);

	for (size_t i = 0; i < npages; i++) {
		must(ph_span_of(heap, base + i * PAGE) == s);
		must(ph_span_of(heap, base + i * PAGE + PAGE - 1) == s);
	}
	must(ph_span_of(heap, base - 1) != s);
	must(ph_span_of(heap, base + npages * PAGE) != s);
}

START_TEST(test_fields)
{
	struct ph_span *s = ph_span_alloc(heap, 7, 0);

	ck_assert_uint_eq(ph_span_npages(s), 7);
	ck_assert_uint_eq(ph_span_elem_size(s), 0);
	ck_assert_uint_eq(ph_span_nelems(s), 0);
	ck_assert_int_eq(ph_span_zeroed(s), 0);
	ck_assert_uint_eq(ph_span_user(s), 0);
	ph_span_set_user(s, UINTPTR_MAX);
	ck_assert_uint_eq(ph_span_user(s), UINTPTR_MAX);
	ph_span_free(heap, s);
	/* A new life begins with a new word. */
	s = ph_span_alloc(heap, 7, 0);
	ck_assert_uint_eq(ph_span_user(s), 0);
	/* Not objects. */
	ck_assert_ptr_null(ph_object_base(heap, ph_span_base(s), NULL));
	ck_assert_int_eq(ph_object_mark(heap, ph_span_base(s)), -1);
	ck_assert_uint_eq(heap_stats(heap).live_objects, 0);
	ck_assert_uint_eq(heap_stats(heap).large_span_bytes, 7 * PAGE);
}
END_TEST

START_TEST(test_arguments)
{
	static const size_t bad[] = {3, 12288, SIZE_MAX, SIZE_MAX - 1};

	errno = 0;
	ck_assert_ptr_null(ph_span_alloc(heap, 0, 0));
	ck_assert_int_eq(errno, EINVAL);
	for (size_t i = 0; i < PH_ARRAY_SIZE(bad); i++) {
		errno = 0;
		ck_assert_ptr_null(ph_span_alloc(heap, 1, bad[i]));
		ck_assert_int_eq(errno, EINVAL);
	}
	for (size_t align = 1; align <= 4 * GIB; align *= 2)
		ck_assert_uint_eq(
			(uintptr_t)ph_span_base(ph_span_alloc(heap, 3, align)) %
				align,
			0);
}
END_TEST

START_TEST(test_sizes)
{
	static const size_t sizes[] = {1,    2,	   511,	   512,	  513,
				       1023, 1024, 131072, 131073};
	struct ph_span *spans[PH_ARRAY_SIZE(sizes)];

	for (unsigned shift = 0; shift < 3; shift++) {
		/* Begin in another place of the chunk each time. */
		struct ph_span *first = ph_span_alloc(heap, 1 + 200 * shift, 0);

		for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
			spans[i] = ph_span_alloc(heap, sizes[i], 0);
			must_lead(spans[i]);
		}
		for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
			char *base = ph_span_base(spans[i]);

			must_lead(spans[i]);
			ph_span_free(heap, spans[i]);
			ck_assert_ptr_null(ph_span_of(heap, base));
			ck_assert_ptr_null(
				ph_span_of(heap, base + sizes[i] * PAGE - 1));
		}
		ph_span_free(heap, first);
	}
}
END_TEST

/* 10 GiB, every page of it. */
START_TEST(test_multi_gib)
{
	struct ph_span *a = ph_span_alloc(heap, 5, 0), *b, *c;

	b = ph_span_alloc(heap, 10 * GIB / PAGE, 0);
	c = ph_span_alloc(heap, 5, 0);
	must_lead(b);
	must_lead(a);
	must_lead(c);
	ph_span_free(heap, b);
	ck_assert_ptr_null(ph_span_of(heap, (char *)ph_span_base(a) + 6 * GIB));
	/* Small ones where the large one was. */
	for (int i = 0; i < 2000; i++)
		must_lead(ph_span_alloc(heap, 1 + (size_t)i % 700, 0));
}
END_TEST

START_TEST(test_any_address)
{
	struct ph_span *s = ph_span_alloc(heap, 1, 0);
	uintptr_t base = (uintptr_t)ph_span_base(s);
	struct rng rng = rng_start("spans: any address");
	struct ph_heap *real = heap_over(NULL, NULL, 0);
	struct ph_span *t = ph_span_alloc(real, 1, 0);

	for (unsigned bit = 48; bit < 64; bit++)
		ck_assert_ptr_null(
			ph_span_of(heap, (void *)(base | (uintptr_t)1 << bit)));
	ck_assert_ptr_null(ph_span_of(heap, NULL));
	ck_assert_ptr_null(ph_span_of(heap, (void *)UINTPTR_MAX));
	ck_assert_ptr_null(ph_span_of(heap, &rng));
	for (int i = 0; i < 100000; i++) {
		uintptr_t a = rng_next(&rng) >> rng_below(&rng, 64);

		if (a - base >= PAGE)
			must(ph_span_of(heap, (void *)a) == NULL);
	}
	/* Each heap knows its own. */
	ck_assert_ptr_eq(ph_span_of(real, ph_span_base(t)), t);
	ck_assert_ptr_null(ph_span_of(heap, ph_span_base(t)));
	ck_assert_ptr_null(ph_span_of(real, ph_span_base(s)));
	ph_heap_destroy(real);
	real = heap_over(NULL, NULL, 0);
	ck_assert_ptr_null(ph_span_of(real, (void *)base));
	ph_heap_destroy(real);
}
END_TEST

/* Objects cannot be had here, and the failure leaves nothing behind. */
START_TEST(test_untouchable)
{
	static const size_t sizes[] = {0, 1, 1000, 32768, 32769, 1 << 20};

	for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
		errno = 0;
		ck_assert_ptr_null(ph_malloc(heap, sizes[i]));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_ptr_null(ph_calloc(heap, 1, sizes[i]));
		ck_assert_ptr_null(ph_realloc(heap, NULL, sizes[i]));
		ck_assert_ptr_null(ph_aligned_alloc(heap, 64, sizes[i]));
	}
	ph_heap_flush(heap);
	ck_assert_uint_eq(ph_heap_sweep(heap).nspans, 0);
	ck_assert_uint_eq(heap_stats(heap).in_use_bytes, 0);
	ck_assert_uint_eq(heap_stats(heap).mapped_bytes, 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "spans");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_fields);
	tcase_add_test(tc, test_arguments);
	tcase_add_test(tc, test_sizes);
	tcase_add_test(tc, test_multi_gib);
	tcase_add_test(tc, test_any_address);
	tcase_add_test(tc, test_untouchable);
	return suite_run(suite);
}
