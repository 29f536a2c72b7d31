/* SPDX-License-Identifier: MIT */
/*
 * Objects: every size, every alignment, zeroes, resizing, bad sizes.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "base/compiler.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define MIB ((size_t)1 << 20)
#define NSIZES 40001

static struct ph_heap *heap;
static uint32_t flags;

static void set_up(void)
{
	heap = heap_over(NULL, NULL, 0);
}

static void set_up_align16(void)
{
	flags = PH_HEAP_ALIGN16;
	heap = heap_over(NULL, NULL, flags);
}

/* Nothing is live; the heap is destroyed. */
static void tear_down(void)
{
	struct ph_stats s;

	heap_must_check(heap);
	ph_heap_flush(heap);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.live_objects, 0);
	ck_assert_uint_eq(s.in_use_bytes, 0);
	ph_heap_destroy(heap);
}

/* What the header promises of an object. */
static void must_suit(char *p, size_t nbytes)
{
	size_t usable, base_nbytes = 0;

	must(p != NULL);
	usable = ph_usable_size(heap, p);
	must(usable >= nbytes && usable > 0);
	must(usable == ph_good_size(heap, nbytes));
	/* At most a fifth and two words more; pages above 32 KiB. */
	must(nbytes > PH_SMALL_MAX || usable <= nbytes + nbytes / 5 + 16);
	must(nbytes <= PH_SMALL_MAX || usable < nbytes + PH_PAGE_SIZE);
	must((uintptr_t)p % 8 == 0);
	/* The largest power of two that divides the class. */
	must(usable > PH_SMALL_MAX ||
	     (uintptr_t)p % ((usable & -usable) < PH_PAGE_SIZE
				     ? usable & -usable
				     : PH_PAGE_SIZE) ==
		     0);
	must(!(flags & PH_HEAP_ALIGN16) || nbytes <= 8 ||
	     (uintptr_t)p % 16 == 0);
	must(nbytes <= PH_SMALL_MAX || (uintptr_t)p % PH_PAGE_SIZE == 0);
	must(ph_object_base(heap, p + usable - 1, &base_nbytes) == p);
	must(base_nbytes == usable);
}

START_TEST(test_every_size)
{
	static char *p[NSIZES];

	for (size_t n = 0; n < NSIZES; n++) {
		p[n] = ph_malloc(heap, n);
		must_suit(p[n], n);
		/* Neighbours that overlap would show at the edges. */
		p[n][0] = (char)(n % 251);
		p[n][ph_usable_size(heap, p[n]) - 1] = (char)(n % 251);
	}
	heap_must_check(heap);
	ck_assert_uint_eq(heap_stats(heap).live_objects, NSIZES);
	for (size_t n = 0; n < NSIZES; n++) {
		must(p[n][0] == (char)(n % 251));
		must(p[n][ph_usable_size(heap, p[n]) - 1] == (char)(n % 251));
		ph_free(heap, p[n]);
	}
}
END_TEST

START_TEST(test_good_size)
{
	/* A size that is good stays as it is. */
	for (size_t n = 0; n < 3 * NSIZES; n++) {
		size_t good = ph_good_size(heap, n);

		must(good >= n && ph_good_size(heap, good) == good);
		must(n == 0 || good >= ph_good_size(heap, n - 1));
	}
	ck_assert_uint_eq(ph_good_size(heap, SIZE_MAX), 0);
	ck_assert_uint_eq(ph_good_size(heap, (size_t)PTRDIFF_MAX + 1), 0);
	ck_assert_uint_eq(ph_usable_size(heap, NULL), 0);
}
END_TEST

START_TEST(test_alignments)
{
	static const size_t sizes[] = {0,     1,     7,	    8,	   9,
				       24,    100,   4095,  8192,  8193,
				       20000, 32768, 32769, 100000};

	for (size_t align = 1; align <= (size_t)1 << 30; align *= 2) {
		for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
			char *p = ph_aligned_alloc(heap, align, sizes[i]);
			char *q = ph_aligned_alloc(heap, align, sizes[i]);

			must(p != NULL && q != NULL && p != q);
			must((uintptr_t)p % align == 0);
			must((uintptr_t)q % align == 0);
			must(ph_usable_size(heap, p) >= sizes[i]);
			p[0] = q[0] = 1;
			ph_free(heap, p);
			ph_free(heap, q);
		}
	}
	static const size_t bad[] = {0, 3, 12, SIZE_MAX};

	for (size_t i = 0; i < PH_ARRAY_SIZE(bad); i++) {
		errno = 0;
		ck_assert_ptr_null(ph_aligned_alloc(heap, bad[i], 8));
		ck_assert_int_eq(errno, EINVAL);
	}
	for (unsigned shift = 48; shift < 64; shift++) {
		errno = 0;
		ck_assert_ptr_null(
			ph_aligned_alloc(heap, (size_t)1 << shift, 8));
		ck_assert_int_eq(errno, ENOMEM);
	}
}
END_TEST

START_TEST(test_bad_sizes)
{
	static const size_t sizes[] = {
		SIZE_MAX,
		SIZE_MAX - 1,
		SIZE_MAX - 4096,
		SIZE_MAX - 2 * 8192,
		(size_t)PTRDIFF_MAX + 1,
		PTRDIFF_MAX,
		PTRDIFF_MAX - 8192,
		(size_t)1 << 62,
		(size_t)1 << 50,
	};
	char *p = ph_malloc(heap, 100), *q = ph_malloc(heap, 100000);
	struct ph_stats before = heap_stats(heap), after;

	p[0] = q[0] = 5;
	for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i];

#define must_refuse(call)                                                      \
	do {                                                                   \
		errno = 0;                                                     \
		ck_assert_ptr_null(call);                                      \
		ck_assert_int_eq(errno, ENOMEM);                               \
	} while (0)
		must_refuse(ph_malloc(heap, n));
		must_refuse(ph_calloc(heap, 1, n));
		must_refuse(ph_calloc(heap, n, 1));
		must_refuse(ph_realloc(heap, p, n));
		must_refuse(ph_realloc(heap, q, n));
		must_refuse(ph_realloc(heap, NULL, n));
		must_refuse(ph_aligned_alloc(heap, 16, n));
		must_refuse(ph_aligned_alloc(heap, 65536, n));
	}
	/* Products that overflow, to 0 and to something small. */
	must_refuse(ph_calloc(heap, (size_t)1 << 32, (size_t)1 << 32));
	must_refuse(ph_calloc(heap, ((size_t)1 << 32) + 1, (size_t)1 << 32));
	must_refuse(ph_calloc(heap, SIZE_MAX, 2));
	after = heap_stats(heap);
	ck_assert(heap_stats_same_use(&before, &after));
	ck_assert(p[0] == 5 && q[0] == 5);
	ph_free(heap, p);
	ph_free(heap, q);
	ph_free(heap, ph_calloc(heap, 0, SIZE_MAX));
	ph_free(heap, ph_calloc(heap, SIZE_MAX, 0));
}
END_TEST

static void must_be_zero(const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		must(p[i] == 0);
}

/* Memory that was used before is zero too. */
START_TEST(test_calloc_after_use)
{
	for (size_t n = 1; n < 100000; n += n / 4 + 1) {
		char *p[20];

		for (int round = 0; round < 3; round++) {
			for (size_t i = 0; i < 20; i++) {
				p[i] = ph_malloc(heap, n);
				memset(p[i], 0xa5, ph_usable_size(heap, p[i]));
			}
			for (size_t i = 0; i < 20; i++)
				ph_free(heap, p[i]);
			if (round == 1)
				ph_heap_flush(heap);
			if (round == 2)
				ph_scavenge(heap, SIZE_MAX);
			for (size_t i = 0; i < 20; i++) {
				p[i] = ph_calloc(heap, n, 1);
				must_be_zero(p[i], n);
				memset(p[i], 0x5a, n);
			}
			for (size_t i = 0; i < 20; i++)
				ph_free(heap, p[i]);
		}
	}
}
END_TEST

/* From every size of a list to every other: contents, in place or moved. */
START_TEST(test_realloc_matrix)
{
	static const size_t sizes[] = {
		0,     1,     8,     9,	    16,	    17,	    100,
		1000,  4096,  8192,  8193,  20000,  32767,  32768,
		32769, 40960, 40961, 65536, 100000, 300001, MIB};
	enum { N = PH_ARRAY_SIZE(sizes) };

	for (size_t i = 0; i < N; i++) {
		for (size_t k = 0; k < N; k++) {
			size_t least =
				sizes[i] < sizes[k] ? sizes[i] : sizes[k];
			char *p = ph_malloc(heap, sizes[i]), *q;

			for (size_t b = 0; b < sizes[i]; b++)
				p[b] = (char)(b * 31 + i);
			q = ph_realloc(heap, p, sizes[k]);
			must(q && ph_usable_size(heap, q) >= sizes[k]);
			for (size_t b = 0; b < least; b++)
				must(q[b] == (char)(b * 31 + i));
			/* Nothing larger than it need be, after a shrink. */
			must(ph_usable_size(heap, q) <=
			     2 * ph_good_size(heap, sizes[k]) + 8);
			memset(q, 1, sizes[k]);
			ph_free(heap, q);
		}
	}
	ph_free(heap, ph_realloc(heap, NULL, 10));
}
END_TEST

/* A large object grows where it is while the pages behind it are free. */
START_TEST(test_large_in_place)
{
	char *p = ph_malloc(heap, 100000), *stone;

	memset(p, 1, 100000);
	for (size_t n = 100000; n < 3 * MIB; n += 50000) {
		must(ph_realloc(heap, p, n) == p);
		must(ph_usable_size(heap, p) == ph_good_size(heap, n));
		must(ph_object_base(heap, p + n - 1, NULL) == p);
		p[n - 1] = 1;
	}
	ck_assert_uint_eq(heap_stats(heap).large_objects, 1);
	ck_assert_uint_eq(heap_stats(heap).large_bytes,
			  ph_usable_size(heap, p));
	/* And shrinks there; what is behind belongs to others. */
	must(ph_realloc(heap, p, 40000) == p);
	ck_assert_uint_eq(heap_stats(heap).large_bytes, 40960);
	stone = ph_malloc(heap, 100000);
	ck_assert_ptr_eq(stone, p + 40960);
	ck_assert_ptr_eq(ph_object_base(heap, p + 40960, NULL), stone);
	memset(stone, 2, 100000);
	p = ph_realloc(heap, p, 50000);
	ck_assert_ptr_eq(p, stone + 106496);
	for (size_t i = 0; i < 40000; i++)
		must(p[i] == 1);
	heap_must_check(heap);
	ph_free(heap, p);
	ph_free(heap, stone);
}
END_TEST

/* Freed objects come back first, in the order of a stack. */
START_TEST(test_reuse)
{
	void *a = ph_malloc(heap, 64), *b = ph_malloc(heap, 64);

	ph_free(heap, a);
	ph_free(heap, b);
	ck_assert_ptr_eq(ph_malloc(heap, 64), b);
	ck_assert_ptr_eq(ph_malloc(heap, 64), a);
	ph_free(heap, a);
	ph_free(heap, b);
}
END_TEST

/* free keeps errno, with a magazine that is full, too. */
START_TEST(test_free_keeps_errno)
{
	static void *p[5000];

	for (size_t i = 0; i < 5000; i++)
		p[i] = ph_malloc(heap, i * 11);
	for (size_t i = 0; i < 5000; i++) {
		errno = 12345;
		ph_free(heap, p[i]);
		must(errno == 12345);
	}
	errno = 12345;
	ph_free(heap, NULL);
	ph_heap_flush(heap);
	(void)ph_scavenge(heap, SIZE_MAX);
	ck_assert_int_eq(errno, 12345);
}
END_TEST

/* What is freed is given back to pages; one empty span a class is kept. */
START_TEST(test_empty_spans_go)
{
	static void *p[20000];
	struct ph_stats s;

	for (size_t i = 0; i < 20000; i++)
		p[i] = ph_malloc(heap, 256);
	ck_assert_uint_ge(heap_stats(heap).small_span_bytes, 20000 * 256);
	for (size_t i = 0; i < 20000; i++)
		ph_free(heap, p[i]);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.live_objects, 0);
	/* A magazine's worth may keep as many spans from going. */
	ck_assert_uint_le(s.cached_objects, 256);
	ck_assert_uint_le(s.small_span_bytes,
			  (s.cached_objects + 1) * PH_PAGE_SIZE);
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).small_span_bytes, 0);
}
END_TEST

static void add_all(TCase *tc)
{
	tcase_add_test(tc, test_every_size);
	tcase_add_test(tc, test_good_size);
	tcase_add_test(tc, test_alignments);
	tcase_add_test(tc, test_bad_sizes);
	tcase_add_test(tc, test_calloc_after_use);
	tcase_add_test(tc, test_realloc_matrix);
	tcase_add_test(tc, test_large_in_place);
	tcase_add_test(tc, test_reuse);
	tcase_add_test(tc, test_free_keeps_errno);
	tcase_add_test(tc, test_empty_spans_go);
}

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "object");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	add_all(tc);
	tc = tcase_create("align16");
	suite_add_tcase(suite, tc);
	tcase_add_checked_fixture(tc, set_up_align16, tear_down);
	add_all(tc);
	return suite_run(suite);
}
