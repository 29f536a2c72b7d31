/* SPDX-License-Identifier: MIT */
/*
 * Starting the program, and being a good parent to it.
 */
#ifndef LAUNCH_H
#define LAUNCH_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

struct launch {
	pid_t pid;
	bool ended;
	int status; /* of wait(2), once ended */
	struct rusage usage;

	sigset_t signals;	      /* those that launch_wait() takes */
	sigset_t saved_mask;	      /* the program's */
	struct sigaction saved_child; /* SIGCHLD and SIGXFSZ as we got them */
	struct sigaction saved_fsize;
};

/* What the program gets. */
struct launch_program {
	const char *path;
	char **argv;
	const char *library; /* for LD_PRELOAD */
	const char *report;  /* for PAGEHEAP */
};

/*
 * Takes over the signals that would end the tool; from here on it ends only
 * by its own decision.
 */
void launch_prepare(struct launch *launch);

/* Returns 0 or the errno value of what failed. */
int launch_start(struct launch *launch, const struct launch_program *program);

/* Waits up to ns for the program's end, and passes signals on. */
void launch_wait(struct launch *launch, uint64_t ns);

#endif
