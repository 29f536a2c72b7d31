/* SPDX-License-Identifier: MIT */
/*
 * Random operations on a page allocator against a page-by-page model; see
 * support/page_ops.h.
 */
#include <stdlib.h>

#include "support/page_ops.h"
#include "support/rng.h"
#include "support/suite.h"

#define ROUNDS 100
#define STEPS 500

START_TEST(random_operations)
{
	struct rng rng = rng_start("page_alloc: random operations");
	static uint8_t bytes[8 * STEPS];
	size_t done[PAGE_OP_COUNT] = {0}, steps = 0;

	for (int round = 0; round < ROUNDS; round++) {
		struct page_ops_report report;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (uint8_t)(rng_next(&rng) >> 8);
		report = page_ops_run(bytes, sizeof(bytes), STEPS);
		steps += report.steps;
		for (int op = 0; op < PAGE_OP_COUNT; op++)
			done[op] += report.done[op];
	}
	/* A generator that leaves an operation out proves nothing about it. */
	ck_assert_uint_eq(steps, ROUNDS * STEPS);
	for (int op = 0; op < PAGE_OP_COUNT; op++)
		ck_assert_msg(done[op] != 0, "%s was never done",
			      page_op_name((enum page_op)op));
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "prop_page_alloc");

	tcase_add_test(tcase, random_operations);
	return suite_run(suite);
}
