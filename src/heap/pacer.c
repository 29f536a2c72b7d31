/* SPDX-License-Identifier: MIT */
/*
 * Pacing.
 *
 * Demand.  Go sizes what it retains by its collector's goal.  A heap without
 * a collector has only history: memory that was used a moment ago is likely to
 * be wanted again, memory that was used a while ago is not.  So the pacer
 * remembers a peak of use that decays towards the present use,
 *
 *	demand(t + dt) = max(use, use + (demand(t) - use) * 2^(-dt / half-life))
 *
 * (or a peak between two looks, if that is higher) and lets demand, a tenth of
 *it and two MiB stay resident.  With a half-life of 1.5 s a drop from 1 GiB to
 *nothing leaves 5 % after six and a half seconds, and 4 MiB after twelve. Whole
 *halvings are shifts, the rest is five terms of the exponential's series,
 *within 0.04 % of it.  A line between the halvings will not do: each look at
 *the clock starts a new one, and a hundred short lines have another slope than
 *one long one (looks every 100 ms made the half-life 2.1 s).
 *
 * Work.  The controller of the reference (section 13) steers sleep so that
 * work takes one hundredth of one processor, measured in wall time: a
 * preempted scavenger believes it worked longer and so takes less.
 */
#include "heap/pacer.h"

/* Constants of the reference's controller. */
#define PACER_KP 0.3375
#define PACER_TI 3.2e6
#define PACER_TT 1e9
#define PACER_RATIO_MIN 0.001
#define PACER_RATIO_MAX 1000.0

#define PACER_LN2 0.69314718055994531

/* Work is never taken to be less: clocks are coarse. */
#define PACER_WORK_MIN_NS 1000000u

/* No sleep is longer, so that a change of demand is seen in time. */
#define PACER_SLEEP_MAX_NS UINT64_C(1000000000)

void ph__pacer_init(struct pacer *p, uint64_t now_ns)
{
	*p = (struct pacer){
		.controller = {.kp = PACER_KP,
			       .ti = PACER_TI,
			       .tt = PACER_TT,
			       .min = PACER_RATIO_MIN,
			       .max = PACER_RATIO_MAX},
		.demand_ns = now_ns,
		.sleep_ratio = PACER_CPU_SHARE,
	};
}

/*
 * excess * 2^(-dt / half-life), less one byte so that the last ones go too.
 * What is lost is computed, not what stays: no time loses exactly nothing.
 */
static uint64_t decay(uint64_t excess, uint64_t dt)
{
	uint64_t halvings = dt / PACER_HALF_LIFE_NS;
	double x = PACER_LN2 * (double)(dt % PACER_HALF_LIFE_NS) /
		   (double)PACER_HALF_LIFE_NS;
	/* 1 - e^-x, by its series. */
	double lost = x * (1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5))));

	if (dt == 0)
		return excess;
	if (halvings >= 63)
		return 0;
	excess >>= halvings;
	if (excess == 0)
		return 0;
	return excess - (uint64_t)((double)excess * lost) - 1;
}

uint64_t ph__pacer_goal(struct pacer *p, uint64_t in_use, uint64_t peak,
			uint64_t now_ns)
{
	uint64_t dt = now_ns > p->demand_ns ? now_ns - p->demand_ns : 0;

	if (p->demand_bytes <= in_use)
		p->demand_bytes = in_use;
	else
		p->demand_bytes = in_use + decay(p->demand_bytes - in_use, dt);
	/* When in the meantime it was is not known: now, then. */
	if (p->demand_bytes < peak)
		p->demand_bytes = peak;
	p->demand_ns = now_ns;
	return p->demand_bytes + p->demand_bytes / PACER_MARGIN_SHARE +
	       PACER_MARGIN_BYTES;
}

uint64_t ph__pacer_sleep_ns(struct pacer *p, uint64_t work_ns,
			    uint64_t slept_ns)
{
	double work = (double)(work_ns > PACER_WORK_MIN_NS ? work_ns
							   : PACER_WORK_MIN_NS);
	double period = work + (double)slept_ns;
	struct pi_output out = ph__pi_controller_next(
		&p->controller, work / period, PACER_CPU_SHARE, period);
	double sleep;

	p->sleep_ratio = out.ok ? out.value : PACER_RATIO_MIN;
	sleep = work / p->sleep_ratio;
	return sleep < (double)PACER_SLEEP_MAX_NS ? (uint64_t)sleep
						  : PACER_SLEEP_MAX_NS;
}
