/* SPDX-License-Identifier: MIT */
/*
 * How much free memory a heap should keep, and how hard to work on the rest.
 *
 * Pure arithmetic on numbers and times that the caller supplies.
 */
#ifndef PH_HEAP_PACER_H
#define PH_HEAP_PACER_H

#include <stdint.h>

#include "heap/pi_controller.h"

/* Half of what was used beyond the present use is forgotten in this time. */
#define PACER_HALF_LIFE_NS UINT64_C(1500000000)

/* Kept beyond what demand explains: a tenth of it, and this much. */
#define PACER_MARGIN_SHARE 10
#define PACER_MARGIN_BYTES ((uint64_t)2 << 20)

/* The share of one processor that background work may take. */
#define PACER_CPU_SHARE 0.01

struct pacer {
	struct pi_controller controller;
	uint64_t demand_bytes; /* recent peak of use, decaying towards use */
	uint64_t demand_ns;    /* when it was last brought up to date */
	double sleep_ratio;    /* work per sleep, chosen by the controller */
};

void ph__pacer_init(struct pacer *p, uint64_t now_ns);

/*
 * Notes that in_use bytes are used now, and that it were peak bytes at some
 * moment since the last call; returns how many may be resident.
 */
uint64_t ph__pacer_goal(struct pacer *p, uint64_t in_use, uint64_t peak,
			uint64_t now_ns);

/*
 * After work_ns of work that followed slept_ns of sleep: how long to sleep
 * before the next.
 */
uint64_t ph__pacer_sleep_ns(struct pacer *p, uint64_t work_ns,
			    uint64_t slept_ns);

#endif
