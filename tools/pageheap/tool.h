/* SPDX-License-Identifier: MIT */
/*
 * What the commands of `pageheap` share.
 *
 * A program has no callers who could define the same name, so nothing here
 * carries a prefix; the noun of a function is its file.
 */
#ifndef TOOL_H
#define TOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Exit statuses beside the program's own, as env(1), timeout(1) and nohup(1)
 * have them.
 */
enum {
	EXIT_TOOL = 125,	   /* the tool itself failed, or refused */
	EXIT_NOT_EXECUTABLE = 126, /* found, cannot be run */
	EXIT_NOT_FOUND = 127,
	EXIT_SIGNAL = 128 /* plus the signal's number */
};

/*
 * Writes "pageheap: " and the message as one line to standard error.  Bytes
 * that a terminal would obey appear as '?'.
 */
void tool_say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Ends the tool with EXIT_TOOL and one line when memory runs out. */
void *tool_alloc(size_t nbytes);
void *tool_realloc(void *p, size_t nbytes);
char *tool_strdup(const char *s);

/* Each gets its own name as argv[0] and returns the exit status. */
int run_command(int argc, char **argv);

#endif
