/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "page/page_bits.h"
#include "support/rng.h"
#include "support/suite.h"
#include "support/vec_reader.h"

static void read_bits(const struct vec_reader *r, char **field,
		      struct page_bits *b)
{
	for (unsigned w = 0; w < PAGE_BITS_WORDS; w++)
		b->word[w] = vec_hex(r, field[w]);
}

/* The next vector, of exactly n fields; false, and closed, at the end. */
static bool next_vector(struct vec_reader *r, char **field, size_t n)
{
	if (!vec_next(r)) {
		vec_close(r);
		return false;
	}
	ck_assert_uint_eq(vec_fields(r, field, n), n);
	return true;
}

START_TEST(find_vectors)
{
	struct vec_reader r;
	char *f[12];
	size_t count = 0;

	vec_open(&r, "vectors/find.vec.gz");
	for (; next_vector(&r, f, 12); count++) {
		struct page_bits b;
		struct page_find found;
		int64_t index, first;

		read_bits(&r, f, &b);
		found = ph__page_bits_find(&b, (unsigned)vec_dec(&r, f[9]),
					   (unsigned)vec_dec(&r, f[8]));
		index = vec_dec(&r, f[10]);
		first = vec_dec(&r, f[11]);
		if (index == -1) {
			ck_assert_uint_eq(found.index, PAGE_BITS_NONE);
			continue;
		}
		ck_assert_int_eq((int64_t)found.index, index);
		ck_assert_int_eq((int64_t)found.first, first);
	}
	ck_assert_uint_eq(count, 18000);
}
END_TEST

START_TEST(summarize_vectors)
{
	struct vec_reader r;
	char *f[12];
	size_t count = 0;

	vec_open(&r, "vectors/summarize.vec.gz");
	for (; next_vector(&r, f, 12); count++) {
		struct page_bits b;
		struct page_sum s;

		read_bits(&r, f, &b);
		s = ph__page_bits_summarize(&b);
		ck_assert_int_eq(page_sum_start(s), vec_dec(&r, f[8]));
		ck_assert_int_eq(page_sum_max(s), vec_dec(&r, f[9]));
		ck_assert_int_eq(page_sum_end(s), vec_dec(&r, f[10]));
		ck_assert_uint_eq(s.packed, vec_hex(&r, f[11]));
	}
	ck_assert_uint_eq(count, 12000);
}
END_TEST

START_TEST(popcount_vectors)
{
	struct vec_reader r;
	char *f[11];
	size_t count = 0;

	vec_open(&r, "vectors/popcnt.vec.gz");
	for (; next_vector(&r, f, 11); count++) {
		struct page_bits b;

		read_bits(&r, f, &b);
		ck_assert_int_eq(
			page_bits_popcount(&b, (unsigned)vec_dec(&r, f[8]),
					   (unsigned)vec_dec(&r, f[9])),
			vec_dec(&r, f[10]));
	}
	ck_assert_uint_eq(count, 3000);
}
END_TEST

START_TEST(range_vectors)
{
	struct vec_reader r;
	char *f[19];
	size_t count = 0;

	vec_open(&r, "vectors/range.vec.gz");
	for (; next_vector(&r, f, 19); count++) {
		struct page_bits b, after;
		unsigned i = (unsigned)vec_dec(&r, f[9]);
		unsigned n = (unsigned)vec_dec(&r, f[10]);

		read_bits(&r, f, &b);
		read_bits(&r, f + 11, &after);
		if (f[8][0] == 's')
			page_bits_set_range(&b, i, n);
		else
			page_bits_clear_range(&b, i, n);
		ck_assert_mem_eq(&b, &after, sizeof(b));
		ck_assert(f[8][0] == 's' ? page_bits_all_set(&b, i, n)
					 : page_bits_all_clear(&b, i, n));
	}
	ck_assert_uint_eq(count, 3000);
}
END_TEST

START_TEST(find_ones_vectors)
{
	struct vec_reader r;
	char *f[3];
	size_t count = 0;

	vec_open(&r, "vectors/bitrange64.vec.gz");
	for (; next_vector(&r, f, 3); count++)
		ck_assert_int_eq(find_ones64(vec_hex(&r, f[0]),
					     (unsigned)vec_dec(&r, f[1])),
				 vec_dec(&r, f[2]));
	ck_assert_uint_eq(count, 8000);
}
END_TEST

START_TEST(fill_aligned_vectors)
{
	struct vec_reader r;
	char *f[3];
	size_t count = 0;

	vec_open(&r, "vectors/fillaligned.vec.gz");
	for (; next_vector(&r, f, 3); count++)
		ck_assert_uint_eq(
			ph__fill_aligned64(vec_hex(&r, f[0]),
					   (unsigned)vec_dec(&r, f[1])),
			vec_hex(&r, f[2]));
	ck_assert_uint_eq(count, 4000);
}
END_TEST

/* Bits in runs of random length, so that every shape of run occurs. */
static void random_bits(struct rng *rng, struct page_bits *b)
{
	bool used = rng_one_in(rng, 2);

	memset(b, 0, sizeof(*b));
	for (unsigned i = 0; i < PAGE_BITS; used = !used) {
		unsigned n = (unsigned)rng_skewed(rng, PAGE_BITS);

		n = n < PAGE_BITS - i ? n : PAGE_BITS - i;
		if (used)
			page_bits_set_range(b, i, n);
		i += n;
	}
}

/* The run of clear bits that bit i, which is clear, belongs to. */
static struct bit_run slow_run(const struct page_bits *b, unsigned i)
{
	struct bit_run run = {i, i + 1};

	while (run.first != 0 && !page_bits_get(b, run.first - 1))
		run.first--;
	while (run.limit != PAGE_BITS && !page_bits_get(b, run.limit))
		run.limit++;
	return run;
}

START_TEST(runs_and_ranges_at_random)
{
	struct rng rng = rng_start("page_bits: runs and ranges");
	size_t nruns = 0;

	for (int round = 0; round < 20000; round++) {
		struct page_bits b;
		unsigned i = (unsigned)rng_below(&rng, PAGE_BITS);
		unsigned n = 1 + (unsigned)rng_below(&rng, PAGE_BITS - i);
		bool set = true, clear = true;
		struct bit_run run, slow;

		random_bits(&rng, &b);
		for (unsigned k = i; k < i + n; k++) {
			set = set && page_bits_get(&b, k);
			clear = clear && !page_bits_get(&b, k);
		}
		ck_assert_int_eq(page_bits_all_set(&b, i, n), set);
		ck_assert_int_eq(page_bits_all_clear(&b, i, n), clear);
		if (!clear)
			continue;
		nruns++;
		run = ph__page_bits_run_around(&b, i, n);
		slow = slow_run(&b, i);
		ck_assert_uint_eq(run.first, slow.first);
		ck_assert_uint_eq(run.limit, slow.limit);
	}
	ck_assert_uint_gt(nruns, 1000);
}
END_TEST

/* Holes of each length, at each place, with each max to begin with. */
START_TEST(summaries_of_one_hole)
{
	for (unsigned n = 1; n <= PAGE_BITS; n += n < 70 ? 1 : 37) {
		for (unsigned i = 0; i + n <= PAGE_BITS; i++) {
			struct page_bits b;
			struct page_sum s;

			memset(&b, 0xff, sizeof(b));
			page_bits_clear_range(&b, i, n);
			s = ph__page_bits_summarize(&b);
			if (page_sum_max(s) != n ||
			    page_sum_start(s) != (i == 0 ? n : 0) ||
			    page_sum_end(s) != (i + n == PAGE_BITS ? n : 0))
				ck_abort_msg("hole of %u at %u", n, i);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_bits");

	tcase_add_test(tcase, find_vectors);
	tcase_add_test(tcase, summarize_vectors);
	tcase_add_test(tcase, popcount_vectors);
	tcase_add_test(tcase, range_vectors);
	tcase_add_test(tcase, find_ones_vectors);
	tcase_add_test(tcase, fill_aligned_vectors);
	tcase_add_test(tcase, runs_and_ranges_at_random);
	tcase_add_test(tcase, summaries_of_one_hole);
	return suite_run(suite);
}
