/* SPDX-License-Identifier: MIT */
/*
 * A proportional-integral controller with anti-windup.
 *
 * It drives an input (the scavenger's share of a processor) to a setpoint by
 * choosing an output (how long to sleep) within bounds.
 */
#ifndef PH_HEAP_PI_CONTROLLER_H
#define PH_HEAP_PI_CONTROLLER_H

#include <stdbool.h>

struct pi_controller {
	double kp;  /* proportional gain */
	double ti;  /* integral time; 0: no integral part */
	double tt;  /* time in which saturation is forgotten; 0: likewise */
	double min; /* bounds of the output */
	double max;
	double integral; /* what past errors have added up to */
};

/* What a step gives. */
struct pi_output {
	double value; /* the output; min when ok is false */
	bool ok;      /* false: something overflowed, and integral is 0 again */
};

/*
 * One step: input was measured over the last period, in the unit of ti and tt.
 * Constant time; not thread-safe.
 */
struct pi_output ph__pi_controller_next(struct pi_controller *c, double input,
					double setpoint, double period);

#endif
