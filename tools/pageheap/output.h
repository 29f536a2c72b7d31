/* SPDX-License-Identifier: MIT */
/*
 * A file that appears complete or not at all.
 */
#ifndef OUTPUT_H
#define OUTPUT_H

#include <limits.h>
#include <stdio.h>

struct output {
	FILE *stream; /* NULL: not open */
	char path[PATH_MAX];
	char temporary[PATH_MAX]; /* "" when written in place */
};

/* Returns 0, or EXIT_TOOL after saying why path cannot be written. */
int output_open(struct output *output, const char *path);

/* Puts the file in its place.  Returns 0, or EXIT_TOOL after saying why not. */
int output_commit(struct output *output);

/* Removes what was not committed. */
void output_abandon(struct output *output);

#endif
