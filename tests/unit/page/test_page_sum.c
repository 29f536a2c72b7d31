/* SPDX-License-Identifier: MIT */
#include "page/page_sum.h"
#include "support/suite.h"
#include "support/vec_reader.h"

START_TEST(merge_vectors)
{
	struct vec_reader r;
	char *f[2 + 3 * 8 + 4];
	size_t count = 0;

	vec_open(&r, "vectors/merge.vec.gz");
	while (vec_next(&r)) {
		size_t n = vec_fields(&r, f, PH_ARRAY_SIZE(f));
		unsigned k = (unsigned)vec_dec(&r, f[1]);
		struct page_sum child[8], s;
		char **answer = f + 2 + 3 * (size_t)k;

		ck_assert_uint_le(k, 8);
		ck_assert_uint_eq(n, 2 + 3 * (size_t)k + 4);
		for (unsigned i = 0; i < k; i++)
			child[i] = page_sum_of(
				(unsigned)vec_dec(&r, f[2 + 3 * i]),
				(unsigned)vec_dec(&r, f[3 + 3 * i]),
				(unsigned)vec_dec(&r, f[4 + 3 * i]));
		s = ph__page_sum_merge(child, k, (unsigned)vec_dec(&r, f[0]));
		ck_assert_int_eq(page_sum_start(s), vec_dec(&r, answer[0]));
		ck_assert_int_eq(page_sum_max(s), vec_dec(&r, answer[1]));
		ck_assert_int_eq(page_sum_end(s), vec_dec(&r, answer[2]));
		ck_assert_uint_eq(s.packed, vec_hex(&r, answer[3]));
		count++;
	}
	vec_close(&r);
	ck_assert_uint_eq(count, 6000);
}
END_TEST

START_TEST(limits_survive_packing)
{
	unsigned top = PAGE_SUM_LIMIT - 1;
	struct page_sum s = page_sum_of(top, top, top);

	ck_assert_uint_eq(page_sum_start(s), top);
	ck_assert_uint_eq(page_sum_max(s), top);
	ck_assert_uint_eq(page_sum_end(s), top);
	s = page_sum_of(PAGE_SUM_LIMIT, PAGE_SUM_LIMIT, PAGE_SUM_LIMIT);
	ck_assert_uint_eq(s.packed, UINT64_C(1) << 63);
	ck_assert_uint_eq(page_sum_start(s), PAGE_SUM_LIMIT);
	ck_assert_uint_eq(page_sum_max(s), PAGE_SUM_LIMIT);
	ck_assert_uint_eq(page_sum_end(s), PAGE_SUM_LIMIT);
	ck_assert_uint_eq(page_sum_of(0, 0, 0).packed, 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_sum");

	tcase_add_test(tcase, merge_vectors);
	tcase_add_test(tcase, limits_survive_packing);
	return suite_run(suite);
}
