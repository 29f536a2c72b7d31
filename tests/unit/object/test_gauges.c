/* SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "object/objects.h"
#include "support/suite.h"

static struct ph_heap *heap;

static void setup(void)
{
	heap = ph_heap_create(NULL);
	ck_assert_ptr_nonnull(heap);
}

static void teardown(void)
{
	char why[128] = "";

	ck_assert_msg(ph_heap_check(heap, why, sizeof(why)) == 0, "%s", why);
	ph_heap_destroy(heap);
}

static struct ph_stats stats_now(void)
{
	struct ph_stats s = {.struct_size = sizeof(s)};

	ck_assert_int_eq(ph_heap_stats(heap, &s), 0);
	ck_assert_uint_eq(s.mapped_bytes,
			  s.in_use_bytes + s.free_bytes + s.returned_bytes);
	ck_assert_uint_eq(s.in_use_bytes, s.small_span_bytes +
						  s.large_span_bytes +
						  s.raw_bytes);
	return s;
}

START_TEST(a_heap_without_objects_has_statistics)
{
	struct ph_stats s = stats_now();

	ck_assert_uint_eq(s.mapped_bytes, 0);
	ck_assert_uint_eq(s.live_objects, 0);
	ck_assert_uint_gt(s.meta_bytes, 0);
	ck_assert_ptr_null(heap->objects);
}
END_TEST

START_TEST(classes_are_counted_apart)
{
	static struct class_stats classes[PH_NUM_CLASSES];
	unsigned class = size_class_of(100);
	struct ph_stats s;
	void *p[50];

	for (unsigned i = 0; i < 50; i++)
		p[i] = ph_malloc(heap, 100);
	for (unsigned i = 0; i < 10; i++)
		ph_free(heap, p[i]);
	ph__heap_stats_by_class(heap, &s, classes);
	ck_assert_uint_eq(classes[class].live, 40);
	ck_assert_uint_ge(classes[class].cached, 1);
	ck_assert_uint_eq(classes[class].live + classes[class].cached +
				  classes[class].free,
			  classes[class].nspans *
				  ph__size_classes[class].nelems);
	ck_assert_uint_eq(classes[class + 1].nspans, 0);
	ck_assert_uint_eq(s.live_objects, 40);
	ck_assert_uint_eq(s.cached_objects, classes[class].cached);
	ph_heap_flush(heap);
	ph__heap_stats_by_class(heap, &s, classes);
	ck_assert_uint_eq(classes[class].cached, 0);
	ck_assert_uint_eq(s.cached_bytes, 0);
}
END_TEST

START_TEST(older_callers_get_what_they_know)
{
	union {
		struct ph_stats stats;
		unsigned char bytes[sizeof(struct ph_stats)];
	} u;
	size_t old = offsetof(struct ph_stats, live_bytes);

	memset(&u, 0xee, sizeof(u));
	u.stats.struct_size = old;
	ck_assert_int_eq(ph_heap_stats(heap, &u.stats), 0);
	ck_assert_uint_eq(u.stats.struct_size, old);
	ck_assert_uint_eq(u.stats.raw_bytes, 0);
	for (size_t i = old; i < sizeof(u); i++)
		ck_assert_uint_eq(u.bytes[i], 0xee);
	u.stats.struct_size = sizeof(size_t);
	ck_assert_int_eq(ph_heap_stats(heap, &u.stats), EINVAL);
}
END_TEST

START_TEST(gauges_may_live_anywhere)
{
	static struct ph_gauges other;
	struct ph_stats before, after;
	void *p = ph_malloc(heap, 100), *large = ph_malloc(heap, 100000);

	before = stats_now();
	ph__heap_move_gauges(heap, &other);
	ck_assert_uint_gt(other.meta_bytes, 0);
	after = stats_now();
	ck_assert_mem_eq(&before, &after, sizeof(before));
	/* Moving to where they are is no mistake. */
	ph__heap_move_gauges(heap, &other);
	ph_free(heap, large);
	ck_assert_uint_eq(other.large_objects, 0);
	ck_assert_uint_eq(heap->own_gauges.large_objects, 1);
	ph__heap_move_gauges_alone(heap, &heap->own_gauges);
	ck_assert_uint_eq(heap->own_gauges.large_objects, 0);
	ph_free(heap, p);
	ck_assert_uint_eq(stats_now().live_objects, 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "gauges");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_add_test(tc, a_heap_without_objects_has_statistics);
	tcase_add_test(tc, classes_are_counted_apart);
	tcase_add_test(tc, older_callers_get_what_they_know);
	tcase_add_test(tc, gauges_may_live_anywhere);
	return suite_run(suite);
}
