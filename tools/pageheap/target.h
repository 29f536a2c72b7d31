/* SPDX-License-Identifier: MIT */
/*
 * The program that `pageheap run` is asked to run: where it is, and whether
 * the drop-in can be preloaded into it.
 */
#ifndef TARGET_H
#define TARGET_H

#include <limits.h>

#include "elf_file.h"

struct target {
	const char *name;      /* as the user wrote it */
	char path[PATH_MAX];   /* what is executed */
	char binary[PATH_MAX]; /* the ELF file that this comes down to */
	struct elf_file elf;   /* what target_check() read there */
};

/*
 * Finds name as execvp(3) does.  Returns 0, or EXIT_NOT_FOUND or
 * EXIT_NOT_EXECUTABLE after saying why.
 */
int target_find(struct target *target, const char *name);

/*
 * Whether the drop-in can be preloaded.  Follows scripts to their interpreter.
 * Returns 0, or an exit status after saying why not.
 */
int target_check(struct target *target);

/* Says which calls will not reach the drop-in; after target_check(). */
void target_note(const struct target *target);

/* Last component of a path. */
const char *path_base(const char *path);

#endif
