/* SPDX-License-Identifier: MIT */
/*
 * What the patterns of bench-malloc share: how a pattern is described, random
 * sizes, and memory use that a compiler cannot remove.
 */
#ifndef BENCH_MALLOC_BENCH_H
#define BENCH_MALLOC_BENCH_H

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More inner batches than any pattern asks for. */
#define MAX_BATCHES 1024

/*
 * A pattern runs in one process of its own: a few batches unmeasured, then
 * `batches` of `ops` operations each.  The result is the median batch.
 */
struct pattern {
	const char *name;
	const char *what; /* one line for people */
	size_t ops;	  /* operations of a batch */
	unsigned batches;
	unsigned nthreads; /* 1: run() is timed; 2: slice() in two threads */
	bool control;	   /* allocates nothing: no part of any mean */

	/* nthreads 1.  All state is in variables of the pattern's file. */
	void (*setup)(void); /* may be NULL */
	void (*run)(size_t nops);

	/* nthreads 2; see two_threads.c. */
	void (*slice)(unsigned thread, size_t nops);
	bool lockstep; /* the threads wait for each other */
};

/* What one process measured. */
struct result {
	double samples[2 * MAX_BATCHES]; /* ns per operation */
	unsigned nsamples;
	unsigned nbatches; /* measured, whether kept or not */
};

extern const struct pattern bench_one_thread[];	 /* ends with a NULL name */
extern const struct pattern bench_two_threads[]; /* likewise */

/* Runs a pattern of two threads, pinned to two processors where there are. */
void bench_run_two_threads(const struct pattern *p, struct result *r);

/* Ends the process with a message on stderr. */
_Noreturn void bench_die(const char *format, ...);

uint64_t bench_wall_ns(void);

/* Time that all threads of the process have spent on a processor. */
uint64_t bench_cpu_ns(void);

/* Marsaglia's xorshift with a multiplied output ("xorshift64*"). */
static inline uint64_t rng_next(uint64_t *state)
{
	uint64_t x = *state;

	x ^= x >> 12;
	x ^= x << 25;
	x ^= x >> 27;
	*state = x;
	return x * UINT64_C(0x2545f4914f6cdd1d);
}

/* Uniform in [low, high], without a division. */
static inline size_t rng_range(uint64_t *state, size_t low, size_t high)
{
	return low + (size_t)((rng_next(state) >> 32) * (high - low + 1) >> 32);
}

/* p itself; the benchmark ends when there was no memory. */
static inline void *not_null(void *p)
{
	if (!p)
		bench_die("out of memory");
	return p;
}

/* Uses an object as a program would at least: one store into it. */
static inline void *use(void *p)
{
	volatile char *first = not_null(p);

	*first = 1;
	return p;
}

/* One store into each page of the system. */
static inline void *use_pages(void *p, size_t nbytes)
{
	volatile char *first = not_null(p);

	for (size_t i = 0; i < nbytes; i += 4096)
		first[i] = 1;
	return p;
}

#endif
