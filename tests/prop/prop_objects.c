/* SPDX-License-Identifier: MIT */
/*
 * Objects, with pages and spans between them, against the model.
 */
#include "base/compiler.h"
#include "support/fake_os.h"
#include "support/heap_model.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define PROGRAM_BYTES 8000

static void run_over(const struct ph_os_ops *os, void *ctx,
		     const struct heap_model_config *config, struct rng *rng)
{
	static uint8_t program[PROGRAM_BYTES];
	struct ph_heap *heap = heap_over(os, ctx, config->heap_flags);

	for (size_t i = 0; i < sizeof(program); i++)
		program[i] = (uint8_t)rng_next(rng);
	heap_model_run(heap, config, program, sizeof(program));
	ph_heap_destroy(heap);
}

static const struct heap_model_config configs[] = {
	{.what = MODEL_OBJECTS, .check_every = 50},
	{.what = MODEL_OBJECTS,
	 .heap_flags = PH_HEAP_ALIGN16,
	 .check_every = 50},
	{.what = MODEL_OBJECTS | MODEL_PAGES, .check_every = 100},
	{.what = MODEL_OBJECTS | MODEL_PAGES | MODEL_SWEEP, .check_every = 100},
	{.what = MODEL_OBJECTS | MODEL_HUGE | MODEL_SWEEP,
	 .heap_flags = PH_HEAP_NO_RANDOM,
	 .check_every = 500},
};

START_TEST(test_operating_system)
{
	struct rng rng = rng_start("prop_objects");

	for (int round = 0; round < 3; round++)
		run_over(NULL, NULL, &configs[_i], &rng);
}
END_TEST

static const struct fake_os_config fakes[] = {
	{.flags = PH_OS_ZEROES},
	{.flags = 0},
	{.flags = PH_OS_ZEROES, .has_use = true},
	{.flags = PH_OS_ZEROES, .has_use = true, .page_size = 65536},
	{.flags = 0, .has_use = true, .page_size = 16384},
};

START_TEST(test_fake)
{
	struct rng rng = rng_start("prop_objects: fake");
	struct fake_os os;

	fake_os_init(&os, &fakes[_i]);
	run_over(&os.ops, &os, &configs[3], &rng);
	run_over(&os.ops, &os, &configs[1], &rng);
	fake_os_destroy(&os);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "prop_objects");

	tcase_add_loop_test(tc, test_operating_system, 0,
			    PH_ARRAY_SIZE(configs));
	tcase_add_loop_test(tc, test_fake, 0, PH_ARRAY_SIZE(fakes));
	return suite_run(suite);
}
