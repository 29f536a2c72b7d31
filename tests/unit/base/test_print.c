/* SPDX-License-Identifier: MIT */
#include "base/print.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/rng.h"
#include "support/suite.h"

static char space[64];

/* What one function writes for a number into a buffer of 64 bytes. */
static const char *text_of(void (*print)(struct text *t, uint64_t n),
			   uint64_t n)
{
	struct text t = text_over(space, sizeof(space));

	print(&t, n);
	return ph__text_end(&t);
}

START_TEST(numbers_are_printfs)
{
	struct rng rng = rng_start("print: numbers");
	static const uint64_t edges[] = {0, 1, 9, 10, 15, 16, UINT64_MAX};

	for (unsigned i = 0; i < 500; i++) {
		uint64_t n = i < PH_ARRAY_SIZE(edges)
				     ? edges[i]
				     : rng_skewed(&rng, UINT64_MAX);
		char want[64];

		snprintf(want, sizeof(want), "%" PRIu64, n);
		ck_assert_str_eq(text_of(ph__text_dec, n), want);
		snprintf(want, sizeof(want), "0x%" PRIx64, n);
		ck_assert_str_eq(text_of(ph__text_hex, n), want);
	}
}
END_TEST

START_TEST(sizes_are_for_people)
{
	ck_assert_str_eq(text_of(ph__text_size, 0), "0 B");
	ck_assert_str_eq(text_of(ph__text_size, 10239), "10239 B");
	ck_assert_str_eq(text_of(ph__text_size, 10240), "10.0 KiB");
	ck_assert_str_eq(text_of(ph__text_size, 10240 + 512), "10.5 KiB");
	ck_assert_str_eq(text_of(ph__text_size, (1 << 20) - 1), "1023.9 KiB");
	ck_assert_str_eq(text_of(ph__text_size, 1 << 20), "1.0 MiB");
	ck_assert_str_eq(text_of(ph__text_size, UINT64_C(5) << 30), "5.0 GiB");
	ck_assert_str_eq(text_of(ph__text_size, UINT64_C(3) << 49), "1.5 PiB");
	ck_assert_str_eq(text_of(ph__text_size, UINT64_MAX), "16383.9 PiB");
}
END_TEST

START_TEST(pieces_are_joined)
{
	struct text t = text_over(space, sizeof(space));

	ph__text_str(&t, "a=");
	ph__text_dec(&t, 7);
	ph__text_bytes(&t, ", b and", 3);
	ph__text_str(&t, "");
	ck_assert_str_eq(ph__text_end(&t), "a=7, b");
}
END_TEST

START_TEST(what_does_not_fit_is_cut_and_marked)
{
	for (size_t capacity = 2; capacity <= 12; capacity++) {
		struct text t = text_over(space, capacity);

		memset(space, '#', sizeof(space));
		ph__text_str(&t, "abcd");
		ph__text_str(&t, "efghi");
		ph__text_end(&t);
		ck_assert_uint_eq(strlen(space),
				  capacity > 9 ? 9 : capacity - 1);
		ck_assert_int_eq(t.cut, capacity < 10);
		if (t.cut)
			ck_assert_int_eq(space[capacity - 2], '~');
		else
			ck_assert_str_eq(space, "abcdefghi");
		/* Not a byte behind the buffer. */
		ck_assert_int_eq(space[capacity], '#');
	}
}
END_TEST

START_TEST(writing_reaches_the_descriptor)
{
	char got[64] = {0};
	struct text t = text_over(space, sizeof(space));
	int fds[2];

	ph__text_str(&t, "one line\n");
	ck_assert_int_eq(pipe(fds), 0);
	errno = 1234;
	ck_assert(ph__text_write(&t, fds[1]));
	ck_assert_int_eq(errno, 1234);
	ck_assert_int_eq(read(fds[0], got, sizeof(got)), 9);
	ck_assert_str_eq(got, "one line\n");
	close(fds[0]);
	close(fds[1]);
}
END_TEST

START_TEST(a_bad_descriptor_is_told)
{
	struct text t = text_over(space, sizeof(space));

	ph__text_str(&t, "lost");
	errno = 1234;
	ck_assert(!ph__text_write(&t, -1));
	ck_assert_int_eq(errno, 1234);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "print");

	tcase_add_test(tcase, numbers_are_printfs);
	tcase_add_test(tcase, sizes_are_for_people);
	tcase_add_test(tcase, pieces_are_joined);
	tcase_add_test(tcase, what_does_not_fit_is_cut_and_marked);
	tcase_add_test(tcase, writing_reaches_the_descriptor);
	tcase_add_test(tcase, a_bad_descriptor_is_told);
	return suite_run(suite);
}
