/* SPDX-License-Identifier: MIT */
/*
 * Runs and spans of pages against the model, on the operating system and on
 * fake ones: memory that cannot be touched, that must be made ready, that is
 * rubbish at first, and with physical pages larger than the heap's.
 */
#include "support/fake_os.h"
#include "support/heap_model.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define PROGRAM_BYTES 2500

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

static void run_fake(const struct fake_os_config *fake,
		     struct heap_model_config config, const char *name)
{
	struct rng rng = rng_start(name);
	struct fake_os os;

	config.untouchable = fake->flags & PH_OS_UNTOUCHABLE;
	fake_os_init(&os, fake);
	for (int round = 0; round < 2; round++)
		run_over(&os.ops, &os, &config, &rng);
	fake_os_destroy(&os);
}

static const struct heap_model_config pages = {.what = MODEL_PAGES,
					       .check_every = 200};

START_TEST(test_operating_system)
{
	struct rng rng = rng_start("prop_heap: operating system");

	for (int round = 0; round < 4; round++)
		run_over(NULL, NULL, &pages, &rng);
}
END_TEST

START_TEST(test_untouchable)
{
	struct fake_os_config fake = {.flags = PH_OS_UNTOUCHABLE};
	struct heap_model_config config = pages;

	config.what |= MODEL_HUGE;
	config.check_every = 1000;
	run_fake(&fake, config, "prop_heap: untouchable");
}
END_TEST

/* 4, 16, 64 and 512 KiB. */
static const size_t page_sizes[] = {4096, 16384, 65536, 524288};

START_TEST(test_zeroes)
{
	struct fake_os_config fake = {.flags = PH_OS_ZEROES,
				      .page_size = page_sizes[_i]};

	run_fake(&fake, pages, "prop_heap: zeroes");
}
END_TEST

START_TEST(test_rubbish)
{
	struct fake_os_config fake = {.page_size = page_sizes[_i]};

	run_fake(&fake, pages, "prop_heap: rubbish");
}
END_TEST

START_TEST(test_use)
{
	struct fake_os_config fake = {.flags = PH_OS_ZEROES,
				      .page_size = page_sizes[_i],
				      .has_use = true};

	run_fake(&fake, pages, "prop_heap: use");
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "prop_heap");

	tcase_add_test(tc, test_operating_system);
	tcase_add_test(tc, test_untouchable);
	tcase_add_loop_test(tc, test_zeroes, 0, 4);
	tcase_add_loop_test(tc, test_rubbish, 0, 4);
	tcase_add_loop_test(tc, test_use, 0, 4);
	return suite_run(suite);
}
