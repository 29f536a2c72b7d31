/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <check.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "support/death.h"
#include "support/suite.h"

static int three = 3;

static void require_false(void *arg)
{
	(void)arg;
	ph_require(three == 4);
}

START_TEST(a_failed_check_says_where_and_aborts)
{
	struct death d = death_of(require_false, NULL);
	const char *what = ": internal check failed: three == 4\n";
	const char *found = strstr(d.message, what);

	ck_assert_int_eq(d.signal, SIGABRT);
	ck_assert_int_eq(strncmp(d.message, "pageheap: ", 10), 0);
	ck_assert_ptr_nonnull(strstr(d.message, "test_check.c:"));
	/* One line; an emulator adds its own behind it. */
	ck_assert_ptr_nonnull(found);
	ck_assert_ptr_eq(strchr(d.message, '\n'), found + strlen(what) - 1);
}
END_TEST

START_TEST(a_true_check_is_silent)
{
	errno = 1234;
	ph_require(three == 3);
	ph_assert(three == 3);
	ck_assert_int_eq(errno, 1234);
}
END_TEST

static int nevaluated;

static int evaluate(void)
{
	return ++nevaluated;
}

START_TEST(assertions_cost_nothing_without_debug)
{
	ph_assert(evaluate() > 0);
#if defined(PH_DEBUG)
	ck_assert_int_eq(nevaluated, 1);
#else
	ck_assert_int_eq(nevaluated, 0);
	(void)evaluate;
#endif
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "check");

	tcase_add_test(tcase, a_failed_check_says_where_and_aborts);
	tcase_add_test(tcase, a_true_check_is_silent);
	tcase_add_test(tcase, assertions_cost_nothing_without_debug);
	return suite_run(suite);
}
