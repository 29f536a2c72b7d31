/* SPDX-License-Identifier: MIT */
/*
 * Patterns of one thread.  An operation is one malloc with its free, one
 * replacement (free, then malloc), one realloc, or one thread's whole life,
 * as `what` says.
 */
#include <pthread.h>
#include <stdlib.h>

#include "bench.h"

static uint64_t rng = UINT64_C(0x9e3779b97f4a7c15);

/* ---- one object at a time ---- */

static void run_pairs(size_t nops, size_t nbytes)
{
	for (size_t i = 0; i < nops; i++)
		free(use(malloc(nbytes)));
}

static void run_pair_16(size_t nops)
{
	run_pairs(nops, 16);
}

static void run_pair_64(size_t nops)
{
	run_pairs(nops, 64);
}

static void run_pair_256(size_t nops)
{
	run_pairs(nops, 256);
}

static void run_pair_1024(size_t nops)
{
	run_pairs(nops, 1024);
}

static void run_pair_8192(size_t nops)
{
	run_pairs(nops, 8192);
}

/* ---- a thousand in, a thousand out ---- */

#define MANY 1000

static void *many[MANY];

static void fill_many(void)
{
	for (size_t i = 0; i < MANY; i++)
		many[i] = use(malloc(rng_range(&rng, 8, 512)));
}

static void run_lifo(size_t nops)
{
	for (size_t done = 0; done < nops; done += MANY) {
		fill_many();
		for (size_t i = MANY; i-- > 0;)
			free(many[i]);
	}
}

static void run_fifo(size_t nops)
{
	for (size_t done = 0; done < nops; done += MANY) {
		fill_many();
		for (size_t i = 0; i < MANY; i++)
			free(many[i]);
	}
}

/* ---- random replacement in a live set ---- */

#define SMALL_SET 4096
#define HUGE_SET (1 << 20)

static void *slots[HUGE_SET];

static void replace(size_t nops, size_t nslots, size_t low, size_t high)
{
	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(&rng, 0, nslots - 1);

		free(slots[k]);
		slots[k] = use(malloc(rng_range(&rng, low, high)));
	}
}

static void fill_slots(size_t nslots, size_t low, size_t high)
{
	for (size_t i = 0; i < nslots; i++)
		slots[i] = use(malloc(rng_range(&rng, low, high)));
}

static void setup_small_set(void)
{
	fill_slots(SMALL_SET, 8, 512);
}

static void run_small_set(size_t nops)
{
	replace(nops, SMALL_SET, 8, 512);
}

static void setup_huge_set(void)
{
	fill_slots(HUGE_SET, 8, 128);
}

static void run_huge_set(size_t nops)
{
	replace(nops, HUGE_SET, 8, 128);
}

/* ---- large objects ---- */

/* Two buffers that grow in turn, so that each finds the other behind it. */
static void run_realloc(size_t nops)
{
	size_t done = 0;

	while (done < nops) {
		size_t nbytes = 16;
		char *buffers[2] = {use(malloc(nbytes)), use(malloc(nbytes))};

		for (; nbytes < (1 << 20); nbytes += nbytes / 2) {
			for (int i = 0; i < 2; i++, done++) {
				char *p = not_null(realloc(
					buffers[i], nbytes + nbytes / 2));

				use_pages(p + nbytes, nbytes / 2);
				buffers[i] = p;
			}
		}
		free(buffers[0]);
		free(buffers[1]);
	}
}

static void run_large(size_t nops)
{
	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(&rng, 0, 31);
		size_t nbytes = rng_range(&rng, 64 << 10, 1 << 20);

		free(slots[k]);
		slots[k] = use_pages(malloc(nbytes), nbytes);
	}
}

static void run_calloc(size_t nops)
{
	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(&rng, 0, 63);
		size_t nbytes = rng_range(&rng, 4 << 10, 256 << 10);
		char *p;

		free(slots[k]);
		p = not_null(calloc(1, nbytes));
		if (p[nbytes - 1] || p[nbytes / 2])
			bench_die("calloc gave memory that is not zero");
		slots[k] = use_pages(p, nbytes);
	}
}

/* ---- threads ---- */

#define THREAD_OBJECTS 64

/* Half of a thread's objects die with it, half outlive it. */
static void *short_thread(void *arg)
{
	void **left = arg;

	for (size_t i = 0; i < THREAD_OBJECTS; i++)
		left[i] = use(malloc(16 + 8 * i));
	for (size_t i = 0; i < THREAD_OBJECTS; i += 2) {
		free(left[i]);
		left[i] = NULL;
	}
	return NULL;
}

static void run_threads(size_t nops)
{
	for (size_t i = 0; i < nops; i++) {
		void *left[THREAD_OBJECTS];
		pthread_t thread;

		if (pthread_create(&thread, NULL, short_thread, left))
			bench_die("pthread_create failed");
		if (pthread_join(thread, NULL))
			bench_die("pthread_join failed");
		for (size_t k = 1; k < THREAD_OBJECTS; k += 2)
			free(left[k]);
	}
}

/* ---- the loop of replace-4096 without its allocations ---- */

static char backing[SMALL_SET][512];

static void setup_control(void)
{
	for (size_t i = 0; i < SMALL_SET; i++)
		slots[i] = backing[i];
}

static void run_control(size_t nops)
{
	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(&rng, 0, SMALL_SET - 1);
		char *p = slots[k];

		slots[k] = use(p + (rng_range(&rng, 8, 512) & 1));
		slots[k] = p;
	}
}

#define PAIR(n)                                                                \
	{                                                                      \
		.name = "pair-" #n, .what = "malloc(" #n ") and free",         \
		.ops = 100000, .batches = 61, .nthreads = 1,                   \
		.run = run_pair_##n                                            \
	}

const struct pattern bench_one_thread[] = {
	PAIR(16),
	PAIR(64),
	PAIR(256),
	PAIR(1024),
	PAIR(8192),
	{.name = "lifo-1000",
	 .what = "1,000 objects of 8 to 512 bytes in, last in first out",
	 .ops = 100000,
	 .batches = 61,
	 .nthreads = 1,
	 .run = run_lifo},
	{.name = "fifo-1000",
	 .what = "1,000 objects of 8 to 512 bytes in, first in first out",
	 .ops = 100000,
	 .batches = 61,
	 .nthreads = 1,
	 .run = run_fifo},
	{.name = "replace-4096",
	 .what = "replace one of 4,096 objects of 8 to 512 bytes",
	 .ops = 50000,
	 .batches = 61,
	 .nthreads = 1,
	 .setup = setup_small_set,
	 .run = run_small_set},
	{.name = "replace-1m",
	 .what = "replace one of 1,048,576 objects of 8 to 128 bytes",
	 .ops = 20000,
	 .batches = 61,
	 .nthreads = 1,
	 .setup = setup_huge_set,
	 .run = run_huge_set},
	{.name = "realloc-grow",
	 .what = "a realloc of one of two buffers, 16 bytes to 1 MiB by halves",
	 .ops = 112,
	 .batches = 31,
	 .nthreads = 1,
	 .run = run_realloc},
	{.name = "large-churn",
	 .what = "replace one of 32 objects of 64 KiB to 1 MiB, pages touched",
	 .ops = 200,
	 .batches = 31,
	 .nthreads = 1,
	 .run = run_large},
	{.name = "calloc-churn",
	 .what = "replace one of 64 zeroed objects of 4 to 256 KiB",
	 .ops = 200,
	 .batches = 31,
	 .nthreads = 1,
	 .run = run_calloc},
	{.name = "thread-churn",
	 .what = "a thread that allocates 64 objects and frees half of them",
	 .ops = 50,
	 .batches = 31,
	 .nthreads = 1,
	 .run = run_threads},
	{.name = "control-1t",
	 .what = "the loop of replace-4096 without allocation",
	 .ops = 100000,
	 .batches = 61,
	 .nthreads = 1,
	 .control = true,
	 .setup = setup_control,
	 .run = run_control},
	{.name = NULL}};
