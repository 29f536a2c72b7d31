/* SPDX-License-Identifier: MIT */
/*
 * Collecting garbage: random graphs of objects, marked from their roots by
 * several threads, swept, and compared with a model.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "heap/heap.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define NNODES 4000
#define NEDGES 3
#define NTHREADS 3

/* A node is an object of any size whose first words point to others. */
struct node {
	size_t number;
	char *edges[NEDGES]; /* NULL, or anywhere inside another node */
};

static struct ph_heap *heap;
static struct node *nodes[NNODES]; /* NULL: free */
static bool live[NNODES];	   /* by the model */

static void set_up(void)
{
	heap = heap_over(NULL, NULL, 0);
}

static void tear_down(void)
{
	heap_must_check(heap);
	ph_heap_destroy(heap);
}

static size_t random_size(struct rng *rng)
{
	size_t max = rng_one_in(rng, 50) ? 300000 : 2000;

	return sizeof(struct node) + rng_skewed(rng, max);
}

static void grow_graph(struct rng *rng)
{
	for (size_t i = 0; i < NNODES; i++) {
		if (nodes[i])
			continue;
		nodes[i] = ph_calloc(heap, 1, random_size(rng));
		must(nodes[i] != NULL && nodes[i]->edges[0] == NULL);
		nodes[i]->number = i;
	}
	for (size_t i = 0; i < NNODES; i++) {
		for (size_t k = 0; k < NEDGES; k++) {
			struct node *to = nodes[rng_below(rng, NNODES)];

			nodes[i]->edges[k] =
				rng_one_in(rng, 2)
					? NULL
					: (char *)to +
						  rng_below(rng,
							    ph_usable_size(heap,
									   to));
		}
	}
}

/* The model follows edges by number. */
static void model_mark(size_t i)
{
	static size_t stack[NNODES * (NEDGES + 1)];
	size_t n = 0;

	stack[n++] = i;
	while (n) {
		i = stack[--n];
		if (live[i])
			continue;
		live[i] = true;
		for (size_t k = 0; k < NEDGES; k++) {
			char *p = nodes[i]->edges[k];
			struct node *to =
				p ? ph_object_base(heap, p, NULL) : NULL;

			if (to)
				stack[n++] = to->number;
		}
	}
}

struct marker {
	pthread_t thread;
	const size_t *roots;
	size_t nroots;
	size_t nmarked;
	size_t nbytes;
};

/* As a collector does: it knows nothing but addresses. */
static void mark_from(struct marker *m, char *p)
{
	char **stack = malloc(NNODES * (NEDGES + 1) * sizeof(*stack));
	size_t n = 0, nbytes;

	must(stack != NULL);
	stack[n++] = p;
	while (n) {
		struct node *node = ph_object_base(heap, stack[--n], &nbytes);
		int marked;

		must(node != NULL);
		marked = ph_object_mark(heap, node);
		must(marked == 0 || marked == 1);
		if (!marked)
			continue;
		m->nmarked++;
		m->nbytes += nbytes;
		for (size_t k = 0; k < NEDGES; k++)
			if (node->edges[k])
				stack[n++] = node->edges[k];
	}
	free(stack);
}

static void *mark_roots(void *arg)
{
	struct marker *m = arg;

	for (size_t i = 0; i < m->nroots; i++)
		mark_from(m, (char *)nodes[m->roots[i]]);
	return NULL;
}

/* All threads begin at the same roots, and share the work by chance. */
static size_t mark_all(const size_t *roots, size_t nroots)
{
	struct marker markers[NTHREADS];
	size_t nmarked = 0;

	memset(markers, 0, sizeof(markers));
	for (size_t i = 0; i < NTHREADS; i++) {
		markers[i].roots = roots;
		markers[i].nroots = nroots;
		must(pthread_create(&markers[i].thread, NULL, mark_roots,
				    &markers[i]) == 0);
	}
	for (size_t i = 0; i < NTHREADS; i++) {
		pthread_join(markers[i].thread, NULL);
		nmarked += markers[i].nmarked;
	}
	return nmarked;
}

START_TEST(test_random_graphs)
{
	struct rng rng = rng_start("gc: random graphs");

	for (int round = 0; round < 6; round++) {
		size_t roots[40], nlive = 0, dead_bytes = 0;
		struct ph_sweep out;
		struct ph_stats s;

		grow_graph(&rng);
		ph_heap_flush(heap);
		memset(live, 0, sizeof(live));
		for (size_t i = 0; i < 40; i++) {
			roots[i] = rng_below(&rng, NNODES);
			model_mark(roots[i]);
		}
		for (size_t i = 0; i < NNODES; i++) {
			nlive += live[i];
			if (!live[i])
				dead_bytes += ph_usable_size(heap, nodes[i]);
		}
		ck_assert_uint_eq(mark_all(roots, 40), nlive);
		heap_must_check(heap);
		out = ph_heap_sweep(heap);
		ck_assert_uint_eq(out.live_objects, nlive);
		ck_assert_uint_eq(out.freed_objects, NNODES - nlive);
		ck_assert_uint_eq(out.freed_bytes, dead_bytes);
		heap_must_check(heap);
		s = heap_stats(heap);
		ck_assert_uint_eq(s.live_objects, nlive);
		ck_assert_uint_eq(s.cached_objects, 0);
		for (size_t i = 0; i < NNODES; i++) {
			if (live[i]) {
				must(nodes[i]->number == i);
				must(ph_object_base(heap, nodes[i], NULL) ==
				     nodes[i]);
				continue;
			}
			must(ph_object_base(heap, nodes[i], NULL) == NULL);
			must(ph_object_mark(heap, nodes[i]) == -1);
			nodes[i] = NULL;
		}
	}
}
END_TEST

/* Marks do not outlive a sweep; spans of pages are not touched. */
START_TEST(test_generations)
{
	void *p = ph_malloc(heap, 100), *q = ph_malloc(heap, 100000);
	struct ph_span *s = ph_span_alloc(heap, 10, 0);
	uint32_t gen = heap->sweep_gen;
	struct ph_sweep out;

	for (int i = 0; i < 5; i++) {
		ck_assert_int_eq(ph_object_mark(heap, p), 1);
		ck_assert_int_eq(ph_object_mark(heap, q), 1);
		ck_assert_int_eq(ph_object_mark(heap, q), 0);
		out = ph_heap_sweep(heap);
		ck_assert_uint_eq(out.live_objects, 2);
		ck_assert_uint_eq(out.freed_objects, 0);
		ck_assert_uint_eq(out.freed_bytes, 0);
		ck_assert_uint_eq(out.nspans, 2);
	}
	ck_assert_uint_ne(heap->sweep_gen, gen);
	out = ph_heap_sweep(heap);
	ck_assert_uint_eq(out.live_objects, 0);
	ck_assert_uint_eq(out.freed_objects, 2);
	ck_assert_ptr_eq(ph_span_of(heap, ph_span_base(s)), s);
	/* An empty span is kept until the next sweep, or flush. */
	ck_assert_uint_eq(heap_stats(heap).spans, 2);
	ck_assert_uint_eq(ph_heap_sweep(heap).nspans, 0);
	ck_assert_uint_eq(heap_stats(heap).spans, 1);
	ph_span_free(heap, s);
	ck_assert_uint_eq(heap_stats(heap).in_use_bytes, 0);
}
END_TEST

/* Interior, freed, foreign: -1, and nothing is marked. */
START_TEST(test_bad_marks)
{
	char *p = ph_malloc(heap, 100), *q = ph_malloc(heap, 100000);
	char *run = ph_pages_alloc(heap, 1, NULL);
	struct ph_heap *other = heap_over(NULL, NULL, 0);
	char *r = ph_malloc(other, 100);
	char
		*bad[] =
			{
				p + 1,
				q + 1,
				q + PH_PAGE_SIZE,
				run,
				r,
				(char *)&p,
				NULL,
				(char *)UINTPTR_MAX,
				p + 112 /* never handed out, perhaps cached */};

	ph_heap_flush(heap);
	for (size_t i = 0; i < PH_ARRAY_SIZE(bad); i++)
		ck_assert_int_eq(ph_object_mark(heap, bad[i]), -1);
	ck_assert_uint_eq(ph_heap_sweep(heap).freed_objects, 2);
	ph_heap_destroy(other);
}
END_TEST

/*
 * Objects in a magazine are no garbage: the sweep empties magazines first, and
 * what it then frees is not in one.
 */
START_TEST(test_magazines)
{
	void *p[200];
	struct ph_sweep out;

	for (size_t i = 0; i < 200; i++)
		p[i] = ph_malloc(heap, 64);
	for (size_t i = 0; i < 200; i += 2)
		ph_free(heap, p[i]);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, 0);
	for (size_t i = 1; i < 200; i += 4)
		ck_assert_int_eq(ph_object_mark(heap, p[i]), 1);
	out = ph_heap_sweep(heap);
	ck_assert_uint_eq(out.live_objects, 50);
	ck_assert_uint_eq(out.freed_objects, 50);
	/* Every object that is given out now is nobody's. */
	for (size_t i = 0; i < 1000; i++) {
		void *q = ph_malloc(heap, 64);

		for (size_t k = 1; k < 200; k += 4)
			must(q != p[k]);
	}
}
END_TEST

/* Threads that sit on full magazines while another sweeps. */
static pthread_barrier_t barrier;

static void *cache_and_wait(void *arg)
{
	void *p[100];

	(void)arg;
	for (size_t i = 0; i < 100; i++)
		p[i] = ph_malloc(heap, 64);
	for (size_t i = 0; i < 100; i++)
		ph_free(heap, p[i]);
	pthread_barrier_wait(&barrier);
	/* The other sweeps. */
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < 100; i++) {
		p[i] = ph_malloc(heap, 64);
		*(void **)p[i] = p[i];
	}
	for (size_t i = 0; i < 100; i++) {
		must(*(void **)p[i] == p[i]);
		ph_free(heap, p[i]);
	}
	return NULL;
}

START_TEST(test_others_magazines)
{
	pthread_t thread;
	void *p = ph_malloc(heap, 64);

	must(pthread_barrier_init(&barrier, NULL, 2) == 0);
	must(pthread_create(&thread, NULL, cache_and_wait, NULL) == 0);
	pthread_barrier_wait(&barrier);
	ck_assert_uint_ge(heap_stats(heap).cached_objects, 50);
	ck_assert_int_eq(ph_object_mark(heap, p), 1);
	ck_assert_uint_eq(ph_heap_sweep(heap).live_objects, 1);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	pthread_barrier_destroy(&barrier);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "gc");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_random_graphs);
	tcase_add_test(tc, test_generations);
	tcase_add_test(tc, test_bad_marks);
	tcase_add_test(tc, test_magazines);
	tcase_add_test(tc, test_others_magazines);
	return suite_run(suite);
}
