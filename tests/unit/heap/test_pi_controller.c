/* SPDX-License-Identifier: MIT */
#include "heap/pi_controller.h"

#include <check.h>
#include <math.h>
#include <string.h>

#include "support/suite.h"
#include "support/vec_reader.h"

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

START_TEST(every_step_is_the_references)
{
	struct pi_controller c = {0};
	struct vec_reader r;
	size_t nsteps = 0;
	size_t noverflows = 0;

	vec_open(&r, "vectors/picontroller.vec.gz");
	while (vec_next(&r)) {
		struct pi_output out;
		char *f[6];
		size_t n = vec_fields(&r, f, 6);

		if (n == 6 && strcmp(f[0], "new") == 0) {
			c = (struct pi_controller){
				.kp = vec_double(&r, f[1]),
				.ti = vec_double(&r, f[2]),
				.tt = vec_double(&r, f[3]),
				.min = vec_double(&r, f[4]),
				.max = vec_double(&r, f[5]),
			};
			continue;
		}
		ck_assert_uint_eq(n, 5);
		out = ph__pi_controller_next(&c, vec_double(&r, f[0]),
					     vec_double(&r, f[1]),
					     vec_double(&r, f[2]));
		if (bits_of(out.value) != vec_hex(&r, f[3]) ||
		    out.ok != (vec_dec(&r, f[4]) == 1))
			ck_abort_msg("line %zu: %016jx %d", r.line_number,
				     (uintmax_t)bits_of(out.value), out.ok);
		nsteps++;
		noverflows += !out.ok;
	}
	vec_close(&r);
	ck_assert_uint_gt(nsteps, 2000);
	ck_assert_uint_gt(noverflows, 0);
}
END_TEST

static struct pi_controller scavenger(void)
{
	return (struct pi_controller){.kp = 0.3375,
				      .ti = 3.2e6,
				      .tt = 1e9,
				      .min = 0.001,
				      .max = 1000};
}

START_TEST(overflow_forgets_the_past)
{
	static const double wild[] = {INFINITY, -INFINITY, NAN, 1e308};

	for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++) {
		struct pi_controller c = scavenger();
		struct pi_output out;

		(void)ph__pi_controller_next(&c, 0.001, 0.01, 1e8);
		ck_assert(c.integral != 0);
		out = ph__pi_controller_next(&c, wild[i], 0.01, 1e300);
		ck_assert(!out.ok);
		ck_assert_double_eq(out.value, c.min);
		ck_assert_double_eq(c.integral, 0);
	}
}
END_TEST

/*
 * The thing it is for: work/(work + sleep) settles at the setpoint.  Not with
 * the scavenger's ti on one processor: there one period of 100 ms moves the
 * integral by ten times the error, and the share swings about the setpoint.
 */
START_TEST(the_share_settles_at_the_setpoint)
{
	struct pi_controller c = scavenger();
	double ratio = c.min;
	double share = 0;

	c.ti = 1e9;
	for (unsigned i = 0; i < 2000; i++) {
		double work = 1e6;
		double sleep = work / ratio;
		struct pi_output out;

		share = work / (work + sleep);
		out = ph__pi_controller_next(&c, share, 0.01, work + sleep);
		ck_assert(out.ok);
		ck_assert_double_ge(out.value, c.min);
		ck_assert_double_le(out.value, c.max);
		ratio = out.value;
	}
	ck_assert_double_eq_tol(share, 0.01, 0.001);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "pi_controller");

	tcase_add_test(tcase, every_step_is_the_references);
	tcase_add_test(tcase, overflow_forgets_the_past);
	tcase_add_test(tcase, the_share_settles_at_the_setpoint);
	return suite_run(suite);
}
