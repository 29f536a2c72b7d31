/* SPDX-License-Identifier: MIT */
/*
 * Three price classes of assertion, and the way out when the heap cannot go
 * on.
 *
 *	ph_assert(c)	debug builds only (PH_DEBUG); may cost anything
 *	ph_require(c)	always compiled; one compare that is there to stay
 *	x_check()	a function for each structure that verifies all of it
 *
 * ph_require and ph_assert report pageheap's own mistakes.  The caller's
 * mistakes (a double free, a foreign pointer) are reported by heap/report.h,
 * which knows spans and size classes.
 */
#ifndef PH_BASE_CHECK_H
#define PH_BASE_CHECK_H

#include "base/compiler.h"

/*
 * Writes "pageheap: file:line: what" as one line to standard error and aborts.
 * Uses neither stdio nor the heap.
 */
PH_COLD PH_NORETURN void ph__check_failed(const char *what, const char *file,
					  int line);

#define ph_require(cond)                                                       \
	(ph_likely(cond) ? (void)0                                             \
			 : ph__check_failed("internal check failed: " #cond,   \
					    __FILE__, __LINE__))

#if defined(PH_DEBUG)
#define ph_assert(cond) ph_require(cond)
#else
#define ph_assert(cond) ((void)sizeof((cond) ? 1 : 0))
#endif

#define PH_STATIC_ASSERT(cond, msg) _Static_assert(cond, msg)

#endif
