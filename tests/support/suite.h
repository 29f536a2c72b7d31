/* SPDX-License-Identifier: MIT */
/*
 * The few lines that every unit test's main would repeat.
 */
#ifndef TESTS_SUPPORT_SUITE_H
#define TESTS_SUPPORT_SUITE_H

#include <check.h>
#include <stdlib.h>

/* A suite of one test case. */
static inline TCase *suite_start(Suite **suite, const char *name)
{
	TCase *tcase = tcase_create(name);

	*suite = suite_create(name);
	suite_add_tcase(*suite, tcase);
	return tcase;
}

/* Runs it; the result is main's. */
static inline int suite_run(Suite *suite)
{
	SRunner *runner = srunner_create(suite);
	int nfailed;

	srunner_run_all(runner, CK_NORMAL);
	nfailed = srunner_ntests_failed(runner);
	srunner_free(runner);
	return nfailed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
