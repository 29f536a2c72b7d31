/* SPDX-License-Identifier: MIT */
/*
 * The controller, with error e = setpoint - input:
 *
 *	raw      = kp * e + integral
 *	output   = raw, held between min and max
 *	integral = integral + (kp * period / ti) * e
 *	                    + (period / tt) * (output - raw)
 *
 * The last term is anti-windup by back-calculation: while the output is at a
 * bound the integral is led back to where it would just reach the bound, with
 * time constant tt, so that the controller answers at once when the error
 * changes sign (Astrom and Hagglund, "Advanced PID Control", 2006, section
 * 3.5).
 *
 * Overflow: an infinite or undefined raw output or integral says that the
 * controller's assumptions broke down.  It forgets its past, gives the least
 * output and says so; the caller falls back to a fixed rate for a while.
 *
 * The results are compared bit by bit with recorded ones, so no product may be
 * fused with a sum, which compilers do on AArch64 unless told otherwise.
 */
#include "heap/pi_controller.h"

#include <math.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

static struct pi_output overflowed(struct pi_controller *c)
{
	c->integral = 0;
	return (struct pi_output){c->min, false};
}

struct pi_output ph__pi_controller_next(struct pi_controller *c, double input,
					double setpoint, double period)
{
	double error = setpoint - input;
	double raw = c->kp * error + c->integral;
	double output = raw;

	if (!isfinite(raw))
		return overflowed(c);
	if (output < c->min)
		output = c->min;
	else if (output > c->max)
		output = c->max;
	if (c->ti != 0 && c->tt != 0) {
		c->integral += (c->kp * period / c->ti) * error +
			       (period / c->tt) * (output - raw);
		if (!isfinite(c->integral))
			return overflowed(c);
	}
	return (struct pi_output){output, true};
}
