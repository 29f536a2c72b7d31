/* SPDX-License-Identifier: MIT */
#include "object/size_class.h"

#include <check.h>

#include "support/suite.h"
#include "support/vec_reader.h"

START_TEST(classes_are_the_references)
{
	struct vec_reader r;
	unsigned n = 0;

	vec_open(&r, "vectors/sizeclass.vec.gz");
	while (vec_next(&r)) {
		const struct size_class *c;
		char *f[5];

		ck_assert_uint_eq(vec_fields(&r, f, 5), 5);
		ck_assert_int_eq(vec_dec(&r, f[0]), n);
		ck_assert_uint_lt(n, PH_NUM_CLASSES);
		c = &ph__size_classes[n++];
		ck_assert_int_eq(c->size, vec_dec(&r, f[1]));
		ck_assert_int_eq(c->npages, vec_dec(&r, f[2]));
		ck_assert_int_eq(c->nelems, vec_dec(&r, f[3]));
		ck_assert_uint_eq(c->div_magic, vec_hex(&r, f[4]));
		ck_assert_uint_eq(c->span_bytes, c->npages * PH_PAGE_SIZE);
	}
	vec_close(&r);
	ck_assert_uint_eq(n, PH_NUM_CLASSES);
}
END_TEST

/* The smallest class that will do, found by trying all. */
static unsigned slow_class(size_t size, size_t multiple_above_16)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		size_t have = ph__size_classes[c].size;

		if (have >= size &&
		    (have <= 16 || have % multiple_above_16 == 0))
			return c;
	}
	return 0;
}

START_TEST(lookup_finds_the_smallest_class)
{
	ck_assert_uint_eq(size_class_of(0), size_class_of(1));
	ck_assert_uint_eq(size_class_of_align16(0), size_class_of_align16(1));
	for (size_t size = 1; size <= PH_SMALL_MAX; size++) {
		if (size_class_of(size) != slow_class(size, 1) ||
		    size_class_of_align16(size) != slow_class(size, 16))
			ck_abort_msg("size %zu", size);
	}
}
END_TEST

START_TEST(waste_is_bounded)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		const struct size_class *k = &ph__size_classes[c];
		size_t tail = k->span_bytes - (size_t)k->size * k->nelems;

		ck_assert_uint_ge(k->nelems, 1);
		ck_assert_uint_lt(tail, k->size);
		ck_assert_uint_le(tail * 8, k->span_bytes);
	}
}
END_TEST

START_TEST(division_is_exact_everywhere)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		const struct size_class *k = &ph__size_classes[c];

		for (size_t at = 0; at < k->span_bytes; at++) {
			unsigned want = (unsigned)(at / k->size);
			unsigned index = ~0u;
			bool starts = at % k->size == 0 && want < k->nelems;

			if (size_class_index(k, at) != want)
				ck_abort_msg("class %u, offset %zu", c, at);
			if (size_class_object_at(k, at, &index) != starts ||
			    index != (starts ? want : ~0u))
				ck_abort_msg("class %u, object at %zu", c, at);
		}
	}
}
END_TEST

START_TEST(no_object_is_in_class_0)
{
	unsigned index = 7;

	ck_assert(!size_class_object_at(&ph__size_classes[0], 0, &index));
	ck_assert(!size_class_object_at(&ph__size_classes[0], 64, &index));
	ck_assert_uint_eq(index, 7);
}
END_TEST

static unsigned slow_aligned(size_t size, size_t align)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		if (ph__size_classes[c].size >= size &&
		    ph__size_classes[c].size % align == 0)
			return c;
	}
	return 0;
}

/* Every offset that a page's entry can stand for, in every class there is. */
START_TEST(starts_are_found_without_a_division)
{
	for (unsigned c = 0; c < OBJECT_STARTS_LEN; c++) {
		for (size_t offset = 0; offset < 512 * PH_PAGE_SIZE;
		     offset += c < PH_NUM_CLASSES ? 1 : 509) {
			unsigned i;
			bool starts = c > 0 && c < PH_NUM_CLASSES &&
				      offset < ph__size_classes[c].span_bytes &&
				      size_class_object_at(&ph__size_classes[c],
							   offset, &i);

			if (object_starts_at(c, offset) != starts)
				ck_abort_msg("class %u offset %zu", c, offset);
		}
	}
}
END_TEST

START_TEST(aligned_classes_are_multiples)
{
	for (size_t align = 1; align <= PH_PAGE_SIZE; align *= 2) {
		for (size_t size = 0; size <= PH_SMALL_MAX; size++) {
			if (ph__size_class_for_aligned(size, align) !=
			    slow_aligned(size, align))
				ck_abort_msg("%zu at %zu", size, align);
		}
	}
}
END_TEST

START_TEST(aligned_classes_refuse_nonsense)
{
	ck_assert_uint_eq(ph__size_class_for_aligned(PH_SMALL_MAX + 1, 8), 0);
	ck_assert_uint_eq(ph__size_class_for_aligned(SIZE_MAX, 8), 0);
	ck_assert_uint_eq(ph__size_class_for_aligned(8, 2 * PH_PAGE_SIZE), 0);
	ck_assert_uint_eq(ph__size_class_for_aligned(8, 0), 0);
	ck_assert_uint_eq(ph__size_class_for_aligned(8, 24), 0);
	ck_assert_uint_eq(ph__size_class_for_aligned(8, SIZE_MAX), 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "size_class");

	tcase_add_test(tcase, classes_are_the_references);
	tcase_add_test(tcase, lookup_finds_the_smallest_class);
	tcase_add_test(tcase, waste_is_bounded);
	tcase_add_test(tcase, division_is_exact_everywhere);
	tcase_add_test(tcase, no_object_is_in_class_0);
	tcase_add_test(tcase, starts_are_found_without_a_division);
	tcase_add_test(tcase, aligned_classes_are_multiples);
	tcase_add_test(tcase, aligned_classes_refuse_nonsense);
	return suite_run(suite);
}
