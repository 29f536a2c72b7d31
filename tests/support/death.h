/* SPDX-License-Identifier: MIT */
/*
 * Runs a function in a child process and tells how it ended and what it wrote
 * to standard error, so that a test asserts both the signal and the message.
 *
 *	struct death d = death_of(free_twice, NULL);
 *
 *	ck_assert_int_eq(d.signal, SIGABRT);
 *	ck_assert_ptr_nonnull(strstr(d.message, "double free"));
 */
#ifndef TESTS_SUPPORT_DEATH_H
#define TESTS_SUPPORT_DEATH_H

#include <stddef.h>

struct death {
	int signal;	    /* that ended the child, or 0 */
	int status;	    /* exit status when signal is 0, else -1 */
	size_t nbytes;	    /* of the message, without the final NUL */
	char message[4096]; /* what fitted of standard error */
};

/*
 * Calls f(arg) in a child, which exits with status 0 when f returns.  The
 * child leaves no core file, and dies of SIGALRM after 20 seconds.
 */
struct death death_of(void (*f)(void *arg), void *arg);

#endif
