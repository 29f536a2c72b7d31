/* SPDX-License-Identifier: MIT */
/*
 * Patterns of two threads, and proof that the two really ran at once.
 *
 * Each thread works through batches of SLICES slices and counts its slices
 * where the other can see them:
 *
 *	thread 0   |--------batch--------|--------batch--------|
 *	thread 1       |--------batch--------|--------batch--------|
 *
 * A batch is kept when the other thread did between half and twice as many
 * slices meanwhile: it was not waiting for a processor, nor was this one.
 * Independent threads go on until they have kept enough.
 * Time is wall time, so that waiting inside an allocator counts.
 *
 * Threads of a lockstep pattern wait for each other and so advance equally
 * whatever happens.  There a batch is dropped when either thread once waited
 * longer than STALL_NS: no allocator takes that long, the other thread had
 * lost its processor.
 *
 * Independent threads go on, unmeasured, until the slower one is done.
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "bench.h"

#define SLICES 16
#define WARMUP_BATCHES 4
#define STALL_NS 1000000

/* On a busy machine most batches are dropped; this many times what is asked. */
#define MOST_TRIES 10

struct worker {
	alignas(128) atomic_uint_fast64_t slices; /* done so far */
	atomic_uint_fast64_t stalls;		  /* waits beyond STALL_NS */
	atomic_bool done;
	alignas(128) const struct pattern *pattern;
	unsigned id;
	uint64_t rng;
	pthread_t thread;
	double samples[MAX_BATCHES];
	unsigned nsamples;
	unsigned nbatches;
};

static struct worker workers[2];
static pthread_barrier_t start;

/* ---- measuring ---- */

/* Pins the calling thread to the nth processor it may use, if there is one. */
static void pin(unsigned n)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return;
	for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || n-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		(void)sched_setaffinity(0, sizeof(one), &one);
		return;
	}
}

static void run_batch(struct worker *w)
{
	for (unsigned i = 0; i < SLICES; i++) {
		w->pattern->slice(w->id, w->pattern->ops / SLICES);
		atomic_fetch_add_explicit(&w->slices, 1, memory_order_relaxed);
	}
}

static uint64_t all_stalls(void)
{
	return atomic_load(&workers[0].stalls) +
	       atomic_load(&workers[1].stalls);
}

static void measure_batch(struct worker *w, struct worker *other)
{
	uint64_t stalls = all_stalls();
	uint64_t slices = atomic_load(&other->slices);
	uint64_t t = bench_wall_ns();

	run_batch(w);
	t = bench_wall_ns() - t;
	w->nbatches++;
	slices = atomic_load(&other->slices) - slices;
	if (slices >= SLICES / 2 && slices <= 2 * SLICES &&
	    all_stalls() == stalls)
		w->samples[w->nsamples++] = (double)t / (double)w->pattern->ops;
}

static void *work(void *arg)
{
	struct worker *w = arg;
	struct worker *other = &workers[1 - w->id];
	bool lockstep = w->pattern->lockstep;
	unsigned wanted = w->pattern->batches;
	unsigned most = lockstep ? wanted : MOST_TRIES * wanted;

	pin(w->id);
	pthread_barrier_wait(&start);
	for (unsigned i = 0; i < WARMUP_BATCHES; i++)
		run_batch(w);
	while (w->nbatches < most && (lockstep || w->nsamples < wanted))
		measure_batch(w, other);
	atomic_store(&w->done, true);
	while (!lockstep && !atomic_load(&other->done))
		run_batch(w);
	return NULL;
}

void bench_run_two_threads(const struct pattern *p, struct result *r)
{
	if (p->setup)
		p->setup();
	if (pthread_barrier_init(&start, NULL, 2))
		bench_die("pthread_barrier_init failed");
	for (unsigned i = 0; i < 2; i++) {
		workers[i].pattern = p;
		workers[i].id = i;
		workers[i].rng = UINT64_C(0x9e3779b97f4a7c15) * (i + 1);
		if (pthread_create(&workers[i].thread, NULL, work, &workers[i]))
			bench_die("pthread_create failed");
	}
	for (unsigned i = 0; i < 2; i++) {
		if (pthread_join(workers[i].thread, NULL))
			bench_die("pthread_join failed");
		for (unsigned k = 0; k < workers[i].nsamples; k++)
			r->samples[r->nsamples++] = workers[i].samples[k];
		r->nbatches += workers[i].nbatches;
	}
}

/* ---- independent work: replacement in a set of one's own ---- */

#define SET 4096

static void *sets[2][SET + 64]; /* + 64: no line of one beside the other */

static void slice_replace(unsigned thread, size_t nops)
{
	uint64_t *rng = &workers[thread].rng;
	void **set = sets[thread];

	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(rng, 0, SET - 1);

		free(set[k]);
		set[k] = use(malloc(rng_range(rng, 8, 512)));
	}
}

static char backing[2][SET][512];

static void setup_control(void)
{
	for (size_t i = 0; i < SET; i++) {
		sets[0][i] = backing[0][i];
		sets[1][i] = backing[1][i];
	}
}

/* The loop above without its allocations. */
static void slice_control(unsigned thread, size_t nops)
{
	uint64_t *rng = &workers[thread].rng;
	void **set = sets[thread];

	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(rng, 0, SET - 1);
		char *p = set[k];

		set[k] = use(p + (rng_range(rng, 8, 512) & 1));
		set[k] = p;
	}
}

/* ---- larson: sets that change hands ---- */

#define LARSON_SET 1000

static void *larson_sets[3][LARSON_SET];
static void **larson_mine[2] = {larson_sets[0], larson_sets[1]};
static _Atomic(void **) larson_spare = larson_sets[2];

/* Now and then a thread takes over the set that was last laid down. */
#define LARSON_SLICES 4

static void slice_larson(unsigned thread, size_t nops)
{
	uint64_t *rng = &workers[thread].rng;
	void **set = larson_mine[thread];

	for (size_t i = 0; i < nops; i++) {
		size_t k = rng_range(rng, 0, LARSON_SET - 1);

		free(set[k]);
		set[k] = use(malloc(rng_range(rng, 8, 512)));
	}
	if (atomic_load(&workers[thread].slices) % LARSON_SLICES == 0)
		larson_mine[thread] = atomic_exchange(&larson_spare, set);
}

/* ---- hand-over: one thread allocates, the other frees ---- */

#define BATCH 256 /* objects that change hands together */
#define RING 16	  /* batches under way at most */

static void *ring[RING][BATCH];
static alignas(128) atomic_size_t produced; /* batches */
static alignas(128) atomic_size_t consumed;

/* Waits until *counter is at least n. */
static void wait_for(struct worker *w, atomic_size_t *counter, size_t n)
{
	uint64_t began = 0;

	for (unsigned spins = 0;
	     atomic_load_explicit(counter, memory_order_acquire) < n; spins++) {
		/* Long enough to be rare when both threads run. */
		if (spins % 65536 != 65535)
			continue;
		if (!began)
			began = bench_wall_ns();
		sched_yield();
	}
	if (began && bench_wall_ns() - began > STALL_NS)
		atomic_fetch_add(&w->stalls, 1);
}

static void produce(struct worker *w, size_t batch)
{
	void **objects = ring[batch % RING];

	if (batch >= RING)
		wait_for(w, &consumed, batch - RING + 1);
	for (size_t i = 0; i < BATCH; i++)
		objects[i] = use(malloc(rng_range(&w->rng, 16, 256)));
	atomic_store_explicit(&produced, batch + 1, memory_order_release);
}

static void consume(struct worker *w, size_t batch)
{
	void **objects = ring[batch % RING];

	wait_for(w, &produced, batch + 1);
	for (size_t i = 0; i < BATCH; i++)
		free(objects[i]);
	atomic_store_explicit(&consumed, batch + 1, memory_order_release);
}

static void slice_handover(unsigned thread, size_t nops)
{
	struct worker *w = &workers[thread];
	atomic_size_t *counter = thread == 0 ? &produced : &consumed;
	size_t batch = atomic_load(counter);

	for (size_t done = 0; done < nops; done += BATCH, batch++) {
		if (thread == 0)
			produce(w, batch);
		else
			consume(w, batch);
	}
}

const struct pattern bench_two_threads[] = {
	{.name = "replace-2t",
	 .what = "two threads, each replaces one of its own 4,096 objects",
	 .ops = 24000,
	 .batches = 101,
	 .nthreads = 2,
	 .slice = slice_replace},
	{.name = "larson-2t",
	 .what = "two threads replace objects in sets that change hands",
	 .ops = 24000,
	 .batches = 101,
	 .nthreads = 2,
	 .slice = slice_larson},
	{.name = "handover-2t",
	 .what = "one thread allocates, another frees, batches of 256 objects",
	 .ops = (size_t)SLICES * BATCH,
	 .batches = 601,
	 .nthreads = 2,
	 .slice = slice_handover,
	 .lockstep = true},
	{.name = "control-2t",
	 .what = "the loop of replace-2t without allocation",
	 .ops = 48000,
	 .batches = 101,
	 .nthreads = 2,
	 .control = true,
	 .setup = setup_control,
	 .slice = slice_control},
	{.name = NULL}};
