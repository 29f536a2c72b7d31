/* SPDX-License-Identifier: MIT */
/*
 * How much free memory may stay, and for how long; how hard to work on it.
 * Time is simulated throughout.
 */
#include "heap/pacer.h"

#include <math.h>
#include <stdbool.h>

#include "support/rng.h"
#include "support/suite.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

static struct pacer pacer_at(uint64_t now_ns)
{
	struct pacer p;

	ph__pacer_init(&p, now_ns);
	return p;
}

/* As if use never was above what it is at the looks. */
static uint64_t goal_at(struct pacer *p, uint64_t in_use, uint64_t now_ns)
{
	return ph__pacer_goal(p, in_use, in_use, now_ns);
}

/* The goal for a demand, as the header states it. */
static uint64_t with_margin(uint64_t demand)
{
	return demand + demand / PACER_MARGIN_SHARE + PACER_MARGIN_BYTES;
}

START_TEST(goal_is_demand_and_margin)
{
	struct pacer p = pacer_at(0);

	ck_assert_uint_eq(goal_at(&p, 0, 0), with_margin(0));
	ck_assert_uint_eq(goal_at(&p, 10 * GIB, SECOND), with_margin(10 * GIB));
	/* Growth is demand at once. */
	ck_assert_uint_eq(goal_at(&p, 11 * GIB, SECOND), with_margin(11 * GIB));
	/* No time, no decay. */
	ck_assert_uint_eq(goal_at(&p, 0, SECOND), with_margin(11 * GIB));
	/* A half-life; an eternity. */
	ck_assert_uint_le(goal_at(&p, 0, SECOND + PACER_HALF_LIFE_NS),
			  with_margin(11 * GIB / 2 + GIB / 2));
	ck_assert_uint_eq(goal_at(&p, 0, 1000 * SECOND), with_margin(0));
	ck_assert_uint_eq(p.demand_bytes, 0);
}
END_TEST

/* Steps between two looks, as a round and as a nap of the scavenger make. */
static const uint64_t steps_ns[] = {
	1000,	    10000,	77777,	    MS,		 7 * MS,    100 * MS,
	150 * MS,   SECOND / 2, SECOND,	    1499 * MS,	 1500 * MS, 1501 * MS,
	2 * SECOND, 3 * SECOND, 5 * SECOND, 10 * SECOND,
};

#define NSTEPS (sizeof(steps_ns) / sizeof(steps_ns[0]))

/* However often the pacer is asked, demand stays on the exponential. */
START_TEST(decay_is_exponential_at_every_step)
{
	uint64_t step = steps_ns[_i], peak = 4 * GIB, use = GIB;
	uint64_t limit = step < MS ? 50000 * step : 15 * SECOND;
	struct pacer p = pacer_at(5);

	(void)goal_at(&p, peak, 5);
	for (uint64_t t = step; t <= limit; t += step) {
		double exact = (double)(peak - use) *
			       exp2(-(double)t / (double)PACER_HALF_LIFE_NS);
		double excess;

		(void)goal_at(&p, use, 5 + t);
		excess = (double)p.demand_bytes - (double)use;
		/* A byte a step may be lost to rounding. */
		if (excess > exact * 1.005 + 1 ||
		    excess < exact * 0.995 - (double)(t / step) - 1)
			ck_abort_msg("steps of %ju ns, after %ju: %.0f is not "
				     "%.0f",
				     (uintmax_t)step, (uintmax_t)t, excess,
				     exact);
	}
}
END_TEST

/* What stays of a gigabyte, as pacer.c says. */
START_TEST(a_gigabyte_is_gone_when_stated)
{
	struct pacer p = pacer_at(0);
	uint64_t t = 0;

	(void)goal_at(&p, GIB, 0);
	for (; t < 13 * SECOND / 2; t += 100 * MS)
		(void)goal_at(&p, 0, t);
	(void)goal_at(&p, 0, t);
	ck_assert_uint_le(p.demand_bytes, GIB * 53 / 1000);
	for (; t <= 12 * SECOND; t += 100 * MS)
		(void)goal_at(&p, 0, t);
	ck_assert_uint_le(p.demand_bytes, 43 * MIB / 10);
}
END_TEST

/* A working set that swings stays, whatever the phase of the looks. */
START_TEST(a_swinging_set_stays)
{
	struct pacer p = pacer_at(0);

	for (uint64_t t = 0; t < 20 * SECOND; t += 100 * MS) {
		bool high = t / (500 * MS) % 2 == 0;

		(void)goal_at(&p, high ? GIB : 0, t);
		ck_assert_uint_ge(p.demand_bytes, 79 * GIB / 100);
		ck_assert_uint_le(p.demand_bytes, GIB);
	}
}
END_TEST

/* A peak that no look saw counts as if it were now. */
START_TEST(a_peak_between_looks_counts)
{
	struct pacer p = pacer_at(0);

	ck_assert_uint_eq(ph__pacer_goal(&p, 0, GIB, 100 * SECOND),
			  with_margin(GIB));
	ck_assert_uint_le(ph__pacer_goal(&p, 0, 0, 103 * SECOND),
			  with_margin(GIB / 4));
	/* One below demand changes nothing, one above counts. */
	ck_assert_uint_le(ph__pacer_goal(&p, 0, MIB, 106 * SECOND),
			  with_margin(GIB / 16));
	ck_assert_uint_eq(ph__pacer_goal(&p, 0, GIB / 9, 109 * SECOND),
			  with_margin(GIB / 9));
}
END_TEST

START_TEST(huge_values)
{
	/* All that 57 bits address; beyond that the margin overflows. */
	static const uint64_t peaks[] = {
		1, UINT64_C(1) << 47, (UINT64_C(1) << 48) - 1,
		(UINT64_C(1) << 57) - 1, UINT64_C(1) << 62};

	for (size_t i = 0; i < sizeof(peaks) / sizeof(peaks[0]); i++) {
		struct pacer p = pacer_at(0);
		uint64_t last = goal_at(&p, peaks[i], 0);

		ck_assert_uint_eq(last, with_margin(peaks[i]));
		for (uint64_t t = 0; t < 120 * SECOND; t += 250 * MS) {
			uint64_t goal = goal_at(&p, 0, t);
			double exact =
				(double)peaks[i] *
				exp2(-(double)t / (double)PACER_HALF_LIFE_NS);

			ck_assert_uint_le(goal, last);
			ck_assert_double_le((double)p.demand_bytes,
					    exact * 1.005 + 1);
			last = goal;
		}
		ck_assert_uint_eq(last, with_margin(0));
	}
}
END_TEST

START_TEST(odd_clocks)
{
	struct pacer p = pacer_at(UINT64_MAX - 10);

	(void)goal_at(&p, GIB, UINT64_MAX - 10);
	/* Back to the beginning of time: as if no time passed. */
	ck_assert_uint_eq(goal_at(&p, 0, 0), with_margin(GIB));
	/* Standing still. */
	for (int i = 0; i < 1000; i++)
		ck_assert_uint_eq(goal_at(&p, 0, 0), with_margin(GIB));
	/* It goes on from there. */
	(void)goal_at(&p, 0, PACER_HALF_LIFE_NS);
	ck_assert_uint_le(p.demand_bytes, 53 * GIB / 100);
	ck_assert_uint_ge(p.demand_bytes, 47 * GIB / 100);
	/* To the end of time at once. */
	ck_assert_uint_eq(goal_at(&p, 7, UINT64_MAX), with_margin(7));
}
END_TEST

START_TEST(goal_is_never_below_use)
{
	struct rng rng = rng_start("pacer: goals");
	struct pacer p = pacer_at(0);
	uint64_t now = 0;

	for (int i = 0; i < 200000; i++) {
		uint64_t use = rng_skewed(&rng, UINT64_C(1) << 57) - 1;
		uint64_t before = p.demand_bytes, goal;

		if (rng_one_in(&rng, 50))
			now -= rng_below(&rng, now + 1);
		else if (!rng_one_in(&rng, 10))
			now += rng_skewed(&rng, 20 * SECOND);
		goal = goal_at(&p, use, now);
		if (p.demand_bytes < use ||
		    p.demand_bytes > (before > use ? before : use) ||
		    goal != with_margin(p.demand_bytes))
			ck_abort_msg("step %d: demand %ju after %ju, use %ju, "
				     "goal %ju",
				     i, (uintmax_t)p.demand_bytes,
				     (uintmax_t)before, (uintmax_t)use,
				     (uintmax_t)goal);
	}
}
END_TEST

/* Rounds of a length for a simulated time: the share that they take. */
static double share_of(uint64_t work_ns, uint64_t duration_ns)
{
	struct pacer p = pacer_at(0);
	uint64_t slept = 100 * MS, worked = 0, now = 0;

	while (now < duration_ns) {
		slept = ph__pacer_sleep_ns(&p, work_ns, slept);
		if (slept > SECOND)
			ck_abort_msg("sleeps %ju ns", (uintmax_t)slept);
		worked += work_ns;
		now += work_ns + slept;
	}
	return (double)worked / (double)now;
}

/*
 * The sleeps swing, because the controller's constants are for many
 * processors; their sum is right.
 */
START_TEST(work_is_a_hundredth)
{
	double at_start = share_of(MS, 10 * SECOND);

	ck_assert_double_le(at_start, 0.012);
	ck_assert_double_ge(share_of(MS, 600 * SECOND), 0.009);
	ck_assert_double_le(share_of(MS, 600 * SECOND), 0.011);
	ck_assert_double_le(share_of(3 * MS, 600 * SECOND), 0.012);
	/* No sleep exceeds a second: rounds far too long take more. */
	ck_assert_double_le(share_of(10 * MS, 600 * SECOND), 0.015);
	/* What the clock cannot see counts as a millisecond. */
	ck_assert_double_le(share_of(0, 60 * SECOND), 0.011);
	ck_assert_double_le(share_of(100000, 600 * SECOND), 0.0011);
}
END_TEST

START_TEST(odd_work)
{
	static const uint64_t odd[] = {0,	  1, MS, SECOND, UINT64_MAX / 2,
				       UINT64_MAX};
	size_t n = sizeof(odd) / sizeof(odd[0]);
	struct pacer p = pacer_at(0);

	for (size_t i = 0; i < n * n * 10; i++) {
		uint64_t sleep =
			ph__pacer_sleep_ns(&p, odd[i % n], odd[i / n % n]);

		ck_assert_uint_le(sleep, SECOND);
	}
	/* The past is forgotten: it works as before. */
	for (int i = 0; i < 1000; i++)
		(void)ph__pacer_sleep_ns(&p, MS, SECOND);
	ck_assert_uint_le(ph__pacer_sleep_ns(&p, MS, SECOND), SECOND);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "pacer");

	tcase_add_test(tc, goal_is_demand_and_margin);
	tcase_add_loop_test(tc, decay_is_exponential_at_every_step, 0,
			    (int)NSTEPS);
	tcase_add_test(tc, a_gigabyte_is_gone_when_stated);
	tcase_add_test(tc, a_swinging_set_stays);
	tcase_add_test(tc, a_peak_between_looks_counts);
	tcase_add_test(tc, huge_values);
	tcase_add_test(tc, odd_clocks);
	tcase_add_test(tc, goal_is_never_below_use);
	tcase_add_test(tc, work_is_a_hundredth);
	tcase_add_test(tc, odd_work);
	return suite_run(suite);
}
