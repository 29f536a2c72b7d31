/* SPDX-License-Identifier: MIT */
#include "base/bits.h"

#include <check.h>

#include "support/rng.h"
#include "support/suite.h"

/* Each function against the definition, one bit at a time. */
static void compare_with_definitions(uint64_t x)
{
	unsigned low = 64, high = 64, count = 0;

	for (unsigned i = 0; i < 64; i++) {
		if ((x >> i & 1) == 0)
			continue;
		low = low == 64 ? i : low;
		high = i;
		count++;
	}
	ck_assert_uint_eq(ctz64(x), low);
	ck_assert_uint_eq(clz64(x), x == 0 ? 64 : 63 - high);
	ck_assert_uint_eq(popcount64(x), count);
	ck_assert_int_eq(is_pow2(x), count == 1);
	if (x != 0) {
		ck_assert_uint_eq(log2_floor(x), high);
		ck_assert_uint_eq(log2_ceil(x), high + (count > 1));
	}
}

START_TEST(words_follow_their_definitions)
{
	struct rng rng = rng_start("bits: words");

	compare_with_definitions(0);
	compare_with_definitions(UINT64_MAX);
	for (unsigned i = 0; i < 64; i++) {
		compare_with_definitions(UINT64_C(1) << i);
		compare_with_definitions((UINT64_C(1) << i) - 1);
		compare_with_definitions(~(UINT64_C(1) << i));
	}
	for (unsigned i = 0; i < 1000; i++)
		compare_with_definitions(rng_next(&rng) >> rng_below(&rng, 64) &
					 rng_next(&rng));
}
END_TEST

START_TEST(ones_fill_from_below)
{
	ck_assert_uint_eq(ones64(0), 0);
	ck_assert_uint_eq(ones64(1), 1);
	ck_assert_uint_eq(ones64(63), UINT64_MAX >> 1);
	ck_assert_uint_eq(ones64(64), UINT64_MAX);
}
END_TEST

START_TEST(rounding_to_powers_of_two)
{
	for (uint64_t align = 1; align <= 4096; align *= 2) {
		for (uint64_t x = 0; x<3 * align; x += align> 64 ? 7 : 1) {
			uint64_t down = align_down(x, align);
			uint64_t up = align_up(x, align);

			ck_assert_uint_eq(down, x / align * align);
			ck_assert_uint_eq(up, div_ceil(x, align) * align);
			ck_assert(down <= x && x <= up && up - down <= align);
		}
	}
	ck_assert_uint_eq(div_ceil(UINT64_MAX, 2), UINT64_C(1) << 63);
}
END_TEST

START_TEST(overflow_is_seen)
{
	size_t out;

	ck_assert(!mul_overflows(3, 5, &out));
	ck_assert_uint_eq(out, 15);
	ck_assert(mul_overflows(SIZE_MAX / 2 + 1, 2, &out));
	ck_assert(!mul_overflows(SIZE_MAX, 1, &out));
	ck_assert(!mul_overflows(SIZE_MAX, 0, &out));
	ck_assert(!add_overflows(SIZE_MAX - 1, 1, &out));
	ck_assert_uint_eq(out, SIZE_MAX);
	ck_assert(add_overflows(SIZE_MAX, 1, &out));
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "bits");

	tcase_add_test(tcase, words_follow_their_definitions);
	tcase_add_test(tcase, ones_fill_from_below);
	tcase_add_test(tcase, rounding_to_powers_of_two);
	tcase_add_test(tcase, overflow_is_seen);
	return suite_run(suite);
}
