/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a page allocator, next to a model that keeps one byte a
 * page and does everything by walking over them.
 *
 * The operations come from a string of bytes: from a fuzzer, or from a random
 * number generator in the property test.  Every result is compared with the
 * model's, ph__page_alloc_check() is called after every operation, and every
 * bit is compared after some.  A difference writes one line and aborts.
 */
#ifndef TESTS_SUPPORT_PAGE_OPS_H
#define TESTS_SUPPORT_PAGE_OPS_H

#include <stddef.h>
#include <stdint.h>

/* How many operations of each kind found something to do. */
enum page_op {
	PAGE_OP_GROW,
	PAGE_OP_TAKE,
	PAGE_OP_TAKE_LONG,
	PAGE_OP_TAKE_ALIGNED,
	PAGE_OP_TAKE_AT,
	PAGE_OP_FREE,
	PAGE_OP_FREE_LONG,
	PAGE_OP_REFILL,
	PAGE_OP_CACHE_TAKE,
	PAGE_OP_CACHE_FREE,
	PAGE_OP_FLUSH,
	PAGE_OP_SCAVENGE,
	PAGE_OP_DONE,
	PAGE_OP_ABORT,
	PAGE_OP_BACKGROUND,
	PAGE_OP_GENERATION,
	PAGE_OP_SETTLE,
	PAGE_OP_QUERY,
	PAGE_OP_WRONG,
	PAGE_OP_COUNT
};

struct page_ops_report {
	size_t steps;
	size_t done[PAGE_OP_COUNT];
};

/* Runs until the bytes are used up or max_steps operations are done. */
struct page_ops_report page_ops_run(const uint8_t *bytes, size_t nbytes,
				    size_t max_steps);

/* The name of an operation. */
const char *page_op_name(enum page_op op);

#endif
