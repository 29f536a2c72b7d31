/* SPDX-License-Identifier: MIT */
/*
 * The program that `pageheap run` is asked to run: where it is, and whether
 * the drop-in can be preloaded into it.
 */
#ifndef TARGET_H
#define TARGET_H

#include <limits.h>
#include <stdbool.h>

struct target {
	const char *name;      /* as the user wrote it */
	char path[PATH_MAX];   /* what is executed */
	char binary[PATH_MAX]; /* the ELF file that this comes down to */
};

/*
 * Finds name as execvp(3) does.  Returns 0, or EXIT_NOT_FOUND or
 * EXIT_NOT_EXECUTABLE after saying why.
 */
int target_find(struct target *target, const char *name);

/*
 * Whether the drop-in can be preloaded.  Follows scripts to their interpreter.
 * Returns 0, or EXIT_TOOL after saying why not.  Says, too, when
 * the program carries an allocator of its own.
 */
int target_check(struct target *target);

/* Last component of a path. */
const char *path_base(const char *path);

#endif
