/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "page/page_chunk.h"
#include "support/suite.h"
#include "support/vec_reader.h"

START_TEST(candidate_vectors)
{
	struct vec_reader r;
	char *f[22];
	size_t count = 0;

	vec_open(&r, "vectors/candidate.vec.gz");
	while (vec_next(&r)) {
		struct page_chunk c;
		struct scav_candidate cand;

		ck_assert_uint_eq(vec_fields(&r, f, 22), 22);
		for (unsigned w = 0; w < PAGE_BITS_WORDS; w++) {
			c.in_use.word[w] = vec_hex(&r, f[w]);
			c.scavenged.word[w] = vec_hex(&r, f[8 + w]);
		}
		cand = ph__page_chunk_candidate(&c,
						(unsigned)vec_dec(&r, f[16]),
						(unsigned)vec_dec(&r, f[17]),
						(unsigned)vec_dec(&r, f[18]),
						(unsigned)vec_dec(&r, f[19]));
		ck_assert_int_eq(cand.npages, vec_dec(&r, f[21]));
		if (cand.npages != 0)
			ck_assert_int_eq(cand.first, vec_dec(&r, f[20]));
		count++;
	}
	vec_close(&r);
	ck_assert_uint_eq(count, 9000);
}
END_TEST

/* Taking pages clears their scavenged bits, counts them, touches no other. */
START_TEST(take_moves_bits)
{
	for (unsigned i = 0; i < PAGE_BITS; i += 13) {
		for (unsigned n = 1; n <= PAGE_BITS - i; n += 17) {
			struct page_chunk c;
			unsigned scavenged = 0;

			memset(&c, 0, sizeof(c));
			for (unsigned k = 0; k < PAGE_BITS; k += 3)
				page_bits_set_range(&c.scavenged, k, 1);
			for (unsigned k = i; k < i + n; k++)
				scavenged += k % 3 == 0;
			ck_assert_uint_eq(page_chunk_take(&c, i, n), scavenged);
			for (unsigned k = 0; k < PAGE_BITS; k++) {
				bool in = k >= i && k < i + n;

				if (page_bits_get(&c.in_use, k) != in ||
				    page_bits_get(&c.scavenged, k) !=
					    (!in && k % 3 == 0))
					ck_abort_msg("page %u of %u+%u", k, i,
						     n);
			}
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "page_chunk");

	tcase_add_test(tcase, candidate_vectors);
	tcase_add_test(tcase, take_moves_bits);
	return suite_run(suite);
}
