/* SPDX-License-Identifier: MIT */
/*
 * A finished run, for people and for programs.
 */
#ifndef PRINT_H
#define PRINT_H

#include <stdio.h>

#include "launch.h"
#include "target.h"
#include "tracker.h"

struct run_result {
	const struct target *target;
	char **argv;
	const char *library;
	const struct tracker *tracker;
	const struct launch *launch;
	uint64_t elapsed_ns;
	uint32_t lost; /* processes that found no slot */
};

/* Every image in full, whatever their number, with its size classes. */
#define PRINT_FULL 1u

void print_text(FILE *out, const struct run_result *result, unsigned flags);

void print_json(FILE *out, const struct run_result *result);

#endif
