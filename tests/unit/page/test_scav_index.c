/* SPDX-License-Identifier: MIT */
#include <signal.h>

#include "page/scav_index.h"
#include "support/suite.h"
#include "support/vec_reader.h"

START_TEST(vectors)
{
	struct vec_reader r;
	char *f[7];
	size_t count = 0;

	vec_open(&r, "vectors/scavchunk.vec.gz");
	while (vec_next(&r)) {
		struct scav_chunk c;
		unsigned npages;
		uint32_t gen;

		ck_assert_uint_eq(vec_fields(&r, f, 7), 7);
		c.packed = vec_hex(&r, f[0]);
		npages = (unsigned)vec_dec(&r, f[2]);
		gen = (uint32_t)vec_dec(&r, f[3]);
		switch (f[1][0]) {
		case '0':
			c = scav_chunk_alloc(c, npages, gen);
			break;
		case '1':
			c = scav_chunk_free(c, npages, gen);
			break;
		default:
			ck_assert_str_eq(f[1], "2");
			c = scav_chunk_set_empty(c);
			break;
		}
		ck_assert_uint_eq(c.packed, vec_hex(&r, f[4]));
		ck_assert_int_eq(
			scav_chunk_is_eligible(c, gen, SCAV_BACKGROUND),
			vec_dec(&r, f[5]));
		ck_assert_int_eq(scav_chunk_is_eligible(c, gen, SCAV_FORCED),
				 vec_dec(&r, f[6]));
		count++;
	}
	vec_close(&r);
	ck_assert_uint_eq(count, 7500);
}
END_TEST

START_TEST(flags_survive)
{
	struct scav_chunk c = {SCAV_GROWN};

	c = scav_chunk_alloc(c, 512, 3);
	c = scav_chunk_free(c, 20, 4);
	ck_assert(c.packed & SCAV_GROWN);
	ck_assert_uint_eq(scav_chunk_in_use(c), 492);
	ck_assert_uint_eq(scav_chunk_last_in_use(c), 512);
	ck_assert_uint_eq(scav_chunk_gen(c), 4);
	c = scav_chunk_set_hidden(c);
	ck_assert(!scav_chunk_is_eligible(c, 6, SCAV_BACKGROUND));
	ck_assert(scav_chunk_is_eligible(c, 6, SCAV_FORCED));
	c = scav_chunk_alloc(c, 20, 6);
	ck_assert(!scav_chunk_is_eligible(c, 6, SCAV_FORCED));
	ck_assert(c.packed & SCAV_GROWN);
}
END_TEST

START_TEST(alloc_of_too_many)
{
	struct scav_chunk c = {500};

	(void)scav_chunk_alloc(c, 13, 0);
}
END_TEST

START_TEST(free_of_too_many)
{
	struct scav_chunk c = {5};

	(void)scav_chunk_free(c, 6, 0);
}
END_TEST

/* A background scavenge sees what was freed before the last generation. */
START_TEST(cursors)
{
	struct scav_index x = {0};

	scav_index_note_free(&x, 0x10000);
	scav_index_note_free(&x, 0x8000);
	ck_assert_uint_eq(x.cursor[SCAV_FORCED], 0x10000);
	ck_assert_uint_eq(x.cursor[SCAV_BACKGROUND], 0);
	scav_index_next_gen(&x);
	ck_assert_uint_eq(x.gen, 1);
	ck_assert_uint_eq(x.cursor[SCAV_BACKGROUND], 0x10000);
	scav_index_note_free(&x, 0x4000);
	scav_index_next_gen(&x);
	ck_assert_uint_eq(x.cursor[SCAV_BACKGROUND], 0x10000);
	x.cursor[SCAV_BACKGROUND] = 0;
	scav_index_next_gen(&x);
	ck_assert_uint_eq(x.cursor[SCAV_BACKGROUND], 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "scav_index");

	tcase_add_test(tcase, vectors);
	tcase_add_test(tcase, flags_survive);
	tcase_add_test_raise_signal(tcase, alloc_of_too_many, SIGABRT);
	tcase_add_test_raise_signal(tcase, free_of_too_many, SIGABRT);
	tcase_add_test(tcase, cursors);
	return suite_run(suite);
}
