/* SPDX-License-Identifier: MIT */
/*
 * What /proc and pidfds tell about a process that is not our child.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct process_stat {
	char state; /* 'Z' for a process that waits to be reaped */
	uint32_t parent_pid;
	uint32_t nthreads;
	uint64_t start_ticks; /* since the machine's start */
	int status;	      /* as wait(2) gives it, of a 'Z'; -1: unknown */
};

struct process_memory {
	uint64_t peak_bytes;	 /* VmHWM: since the last exec */
	uint64_t resident_bytes; /* VmRSS */
};

/* Each returns false when there is no such process, or no answer. */
bool process_stat_read(uint32_t pid, struct process_stat *stat);
bool process_memory_read(uint32_t pid, struct process_memory *memory);
bool process_exe_read(uint32_t pid, char *exe, size_t size);

/* A pidfd, or -1. */
int process_open(uint32_t pid);

/* Its status as wait(2) gives it, after it was reaped; -1: unknown. */
int process_status(int pidfd);

uint64_t clock_monotonic_ns(void);

/* CLOCK_MONOTONIC of a start_ticks value, at the end of its tick. */
uint64_t ticks_to_monotonic_ns(uint64_t ticks);

#endif
