/* SPDX-License-Identifier: MIT */
/*
 * bench-pages: what runs of pages and spans cost.
 *
 *	bench-pages [--gib N] [--rounds N]
 *
 * The heap's operating system does nothing: addresses come from a counter and
 * are never touched, so that only the library's own work is timed.  Two
 * states of the heap:
 *
 *	fresh	empty, large enough for what follows
 *	half	N GiB of runs of 1 to 16 pages, of which a random half was freed
 *
 * and three orders.  Each works on `count` runs of one length:
 *
 *	lifo	all allocated, then all freed, last in first out
 *	fifo	likewise, first in first out
 *	random	one of them, at random, freed and allocated anew
 *
 * Times are of the process on a processor, medians over the rounds; for lifo
 * and fifo of allocating and freeing separately, for random of the pair.
 * Every line is an object of JSON.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "pageheap.h"

#define MAX_ROUNDS 101
#define FIRST_ADDRESS UINT64_C(0x100000000000)

/* Pages that the runs of one measurement hold together. */
#define WORK_PAGES 65536
#define MAX_RUNS 4096

enum order { LIFO, FIFO, RANDOM };

static const char *const order_names[] = {"lifo", "fifo", "random"};

static uint64_t rng = UINT64_C(0x9e3779b97f4a7c15);

static void die(const char *what)
{
	fprintf(stderr, "bench-pages: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* xorshift64* */
static uint64_t rng_next(void)
{
	rng ^= rng >> 12;
	rng ^= rng << 25;
	rng ^= rng >> 27;
	return rng * UINT64_C(0x2545f4914f6cdd1d);
}

static size_t rng_below(size_t n)
{
	return (size_t)((rng_next() >> 32) * n >> 32);
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;

	if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts) != 0)
		die("clock_gettime");
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

/* ---- an operating system that does nothing ---- */

static void *os_reserve(void *ctx, void *hint, size_t nbytes, size_t align)
{
	uint64_t *next = ctx;
	uint64_t at = (*next + align - 1) & ~((uint64_t)align - 1);

	if (hint && (uintptr_t)hint != at) {
		errno = ENOMEM;
		return NULL;
	}
	*next = at + nbytes;
	return (void *)(uintptr_t)at;
}

static int os_nothing(void *ctx, void *addr, size_t nbytes)
{
	(void)ctx;
	(void)addr;
	(void)nbytes;
	return 0;
}

static uint64_t os_clock(void *ctx)
{
	(void)ctx;
	return 0;
}

static const struct ph_os_ops nothing = {
	.struct_size = sizeof(struct ph_os_ops),
	.page_size = 4096,
	.flags = PH_OS_UNTOUCHABLE,
	.reserve = os_reserve,
	.commit = os_nothing,
	.use = NULL,
	.release = os_nothing,
	.unmap = os_nothing,
	.clock_ns = os_clock,
};

static struct ph_heap *new_heap(uint64_t *next)
{
	struct ph_heap_options options = {
		.struct_size = sizeof(options), .os = &nothing, .os_ctx = next};
	struct ph_heap *heap;

	*next = FIRST_ADDRESS;
	heap = ph_heap_create(&options);
	if (!heap)
		die("ph_heap_create");
	return heap;
}

/* ---- what is measured: runs or spans ---- */

struct unit {
	const char *name;
	void *(*alloc)(struct ph_heap *heap, size_t npages);
	void (*free)(struct ph_heap *heap, void *unit, size_t npages);
};

static void *alloc_pages(struct ph_heap *heap, size_t npages)
{
	void *p = ph_pages_alloc(heap, npages, NULL);

	if (!p)
		die("ph_pages_alloc");
	return p;
}

static void *alloc_span(struct ph_heap *heap, size_t npages)
{
	struct ph_span *s = ph_span_alloc(heap, npages, 0);

	if (!s)
		die("ph_span_alloc");
	return s;
}

static void free_span(struct ph_heap *heap, void *unit, size_t npages)
{
	(void)npages;
	ph_span_free(heap, unit);
}

static const struct unit units[] = {
	{"pages", alloc_pages, ph_pages_free},
	{"span", alloc_span, free_span},
};

/* ---- measuring ---- */

struct timing {
	double alloc_ns; /* for random: the pair */
	double free_ns;
};

static void *held[MAX_RUNS];

static void fill(struct ph_heap *heap, const struct unit *u, size_t npages,
		 size_t count)
{
	for (size_t i = 0; i < count; i++)
		held[i] = u->alloc(heap, npages);
}

static void drain(struct ph_heap *heap, const struct unit *u, size_t npages,
		  size_t count, enum order order)
{
	for (size_t i = 0; i < count; i++)
		u->free(heap, held[order == FIFO ? i : count - 1 - i], npages);
}

static struct timing time_order(struct ph_heap *heap, const struct unit *u,
				size_t npages, size_t count, enum order order)
{
	uint64_t t0, t1, t2;

	t0 = cpu_ns();
	fill(heap, u, npages, count);
	t1 = cpu_ns();
	if (order == RANDOM) {
		t0 = cpu_ns();
		for (size_t i = 0; i < count; i++) {
			size_t k = rng_below(count);

			u->free(heap, held[k], npages);
			held[k] = u->alloc(heap, npages);
		}
		t1 = cpu_ns();
	}
	t2 = t1;
	drain(heap, u, npages, count, order);
	if (order != RANDOM)
		t2 = cpu_ns();
	return (struct timing){(double)(t1 - t0) / (double)count,
			       (double)(t2 - t1) / (double)count};
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *values, size_t n)
{
	qsort(values, n, sizeof(*values), compare_doubles);
	return values[n / 2];
}

static void measure(struct ph_heap *heap, const char *state,
		    const struct unit *u, size_t npages, size_t nrounds)
{
	size_t count = WORK_PAGES / npages;

	if (count > MAX_RUNS)
		count = MAX_RUNS;
	for (enum order order = LIFO; order <= RANDOM; order++) {
		double alloc_ns[MAX_ROUNDS], free_ns[MAX_ROUNDS];

		for (size_t i = 0; i < nrounds; i++) {
			struct timing t =
				time_order(heap, u, npages, count, order);

			alloc_ns[i] = t.alloc_ns;
			free_ns[i] = t.free_ns;
		}
		printf("{\"unit\": \"%s\", \"npages\": %zu, \"state\": \"%s\", "
		       "\"order\": \"%s\", ",
		       u->name, npages, state, order_names[order]);
		if (order == RANDOM)
			printf("\"pair_ns\": %.1f}\n",
			       median(alloc_ns, nrounds));
		else
			printf("\"alloc_ns\": %.1f, \"free_ns\": %.1f}\n",
			       median(alloc_ns, nrounds),
			       median(free_ns, nrounds));
		fflush(stdout);
	}
}

/* Fills npages with runs of 1 to 16 pages and frees every other by chance. */
static void fragment(struct ph_heap *heap, size_t npages)
{
	struct {
		void *base;
		size_t npages;
	} *runs = malloc(npages * sizeof(*runs));
	size_t n = 0, total = 0;

	if (!runs)
		die("malloc");
	for (; total < npages; n++) {
		runs[n].npages = 1 + rng_below(16);
		runs[n].base = alloc_pages(heap, runs[n].npages);
		total += runs[n].npages;
	}
	for (size_t i = 0; i < n; i++)
		if (rng_next() >> 63)
			ph_pages_free(heap, runs[i].base, runs[i].npages);
	free(runs);
}

static void measure_all(struct ph_heap *heap, const char *state, size_t nrounds)
{
	static const size_t lengths[] = {1, 8, 64, 512};

	for (size_t u = 0; u < sizeof(units) / sizeof(*units); u++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(*lengths); i++)
			measure(heap, state, &units[u], lengths[i], nrounds);
}

static size_t parse(const char *text, size_t most)
{
	char *end;
	unsigned long n = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || n < 1 || n > most) {
		fprintf(stderr, "bench-pages: a number from 1 to %zu, not %s\n",
			most, text);
		exit(2);
	}
	return n;
}

int main(int argc, char **argv)
{
	size_t gib = 1, nrounds = 15;
	uint64_t next;
	struct ph_heap *heap;
	char state[32];

	for (int i = 1; i < argc; i++) {
		if (i + 1 < argc && strcmp(argv[i], "--gib") == 0) {
			gib = parse(argv[++i], 256);
		} else if (i + 1 < argc && strcmp(argv[i], "--rounds") == 0) {
			nrounds = parse(argv[++i], MAX_ROUNDS);
		} else {
			fprintf(stderr, "usage: bench-pages [--gib N] "
					"[--rounds N]\n");
			return 2;
		}
	}
	heap = new_heap(&next);
	measure_all(heap, "fresh", nrounds);
	ph_heap_destroy(heap);

	heap = new_heap(&next);
	fragment(heap, gib << (30 - PH_PAGE_SHIFT));
	snprintf(state, sizeof(state), "half of %zu GiB", gib);
	measure_all(heap, state, nrounds);
	ph_heap_destroy(heap);
	return 0;
}
