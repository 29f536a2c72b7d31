/* SPDX-License-Identifier: MIT */
/*
 * Random numbers that can be had again.
 *
 *	struct rng rng = rng_start("meta: random blocks");
 *
 * prints the seed, which PH_SEED in the environment overrides (decimal, or
 * hexadecimal with 0x), so that a failure is repeated by
 *
 *	PH_SEED=0x1234 ./test_meta
 *
 * The generator is splitmix64 (Steele, Lea and Flood, "Fast splittable
 * pseudorandom number generators", 2014).
 */
#ifndef TESTS_SUPPORT_RNG_H
#define TESTS_SUPPORT_RNG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

struct rng {
	uint64_t state;
};

/* The next 64 random bits. */
static inline uint64_t rng_next(struct rng *rng)
{
	uint64_t z = rng->state += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

/* Evenly from 0 to n - 1; n is at least 1. */
static inline uint64_t rng_below(struct rng *rng, uint64_t n)
{
	return rng_next(rng) % n;
}

/* Evenly from lo to hi, both included. */
static inline uint64_t rng_between(struct rng *rng, uint64_t lo, uint64_t hi)
{
	return lo + rng_below(rng, hi - lo + 1);
}

/* True once in n times. */
static inline bool rng_one_in(struct rng *rng, uint64_t n)
{
	return rng_below(rng, n) == 0;
}

/*
 * From 1 to max, each number of bits equally likely: small numbers often,
 * large ones sometimes.
 */
static inline uint64_t rng_skewed(struct rng *rng, uint64_t max)
{
	unsigned bits = 64u - (unsigned)__builtin_clzll(max);
	uint64_t top = UINT64_C(1) << rng_below(rng, bits);
	uint64_t n = top + rng_below(rng, top);

	return n > max ? max : n;
}

/* A generator from PH_SEED or the clock; says which on standard output. */
static inline struct rng rng_start(const char *what)
{
	const char *given = getenv("PH_SEED");
	struct timespec now = {0, 0};
	struct rng rng;

	clock_gettime(CLOCK_REALTIME, &now);
	rng.state = (uint64_t)now.tv_sec << 20 ^ (uint64_t)now.tv_nsec;
	if (given != NULL)
		rng.state = strtoull(given, NULL, 0);
	printf("%s: PH_SEED=0x%jx\n", what, (uintmax_t)rng.state);
	fflush(stdout);
	return rng;
}

#endif
