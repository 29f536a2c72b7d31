/* SPDX-License-Identifier: MIT */
/*
 * Emptying the magazines of threads that are idle, by hand and by the rounds of
 * the background scavenger, in simulated time.
 */
#include <pthread.h>

#include "object/background.h"
#include "os/os.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

struct holder {
	struct ph_heap *heap;
	pthread_barrier_t barrier;
	bool busy;
	bool ends;
};

/* Fills its magazines; between two barriers does something or nothing. */
static void *hold(void *arg)
{
	struct holder *h = arg;
	void *objects[1000];

	for (;;) {
		for (size_t i = 0; i < PH_ARRAY_SIZE(objects); i++)
			must((objects[i] = ph_malloc(h->heap, 1000)) != NULL);
		for (size_t i = 0; i < PH_ARRAY_SIZE(objects); i++)
			ph_free(h->heap, objects[i]);
		pthread_barrier_wait(&h->barrier);
		do
			pthread_barrier_wait(&h->barrier);
		while (!h->busy && !h->ends);
		if (h->ends)
			return NULL;
	}
}

static uint64_t cached_bytes(struct ph_heap *heap)
{
	return heap_stats(heap).cached_bytes;
}

START_TEST(idle_threads_are_emptied)
{
	struct holder h = {.heap = heap_over(NULL, NULL, 0)};
	pthread_t thread;

	if (!ph__os_membarrier_register()) {
		printf("SKIPPED: no membarrier, nothing can be taken\n");
		ph_heap_destroy(h.heap);
		return;
	}
	pthread_barrier_init(&h.barrier, NULL, 2);
	must(pthread_create(&thread, NULL, hold, &h) == 0);
	pthread_barrier_wait(&h.barrier);
	ck_assert_uint_gt(cached_bytes(h.heap), 0);
	/* Busy between any two looks. */
	h.busy = true;
	for (int i = 0; i < 5; i++) {
		ph__thread_flush_idle(h.heap);
		ck_assert_uint_gt(cached_bytes(h.heap), 0);
		pthread_barrier_wait(&h.barrier);
		pthread_barrier_wait(&h.barrier);
	}
	h.busy = false;
	/* The last work was after the last look; now it is idle. */
	ph__thread_flush_idle(h.heap);
	ck_assert_uint_gt(cached_bytes(h.heap), 0);
	ph__thread_flush_idle(h.heap);
	ck_assert_uint_eq(cached_bytes(h.heap), 0);
	ck_assert_uint_eq(heap_stats(h.heap).in_use_bytes, 0);
	heap_must_check(h.heap);
	/* It notices nothing. */
	h.busy = true;
	pthread_barrier_wait(&h.barrier);
	pthread_barrier_wait(&h.barrier);
	ck_assert_uint_gt(cached_bytes(h.heap), 0);
	h.ends = true;
	pthread_barrier_wait(&h.barrier);
	must(pthread_join(thread, NULL) == 0);
	ck_assert_uint_eq(cached_bytes(h.heap), 0);
	pthread_barrier_destroy(&h.barrier);
	heap_must_check(h.heap);
	ph_heap_destroy(h.heap);
}
END_TEST

/* Rounds do so once a second. */
START_TEST(rounds_empty_idle_threads)
{
	struct fake_os os;
	struct holder h = {0};
	pthread_t thread;

	if (!ph__os_membarrier_register()) {
		printf("SKIPPED: no membarrier, nothing can be taken\n");
		return;
	}
	fake_os_init(&os, NULL);
	fake_os_set_clock(&os, 1000 * SECOND);
	h.heap = heap_over(&os.ops, &os, 0);
	ph__background_enable(h.heap);
	pthread_barrier_init(&h.barrier, NULL, 2);
	must(pthread_create(&thread, NULL, hold, &h) == 0);
	pthread_barrier_wait(&h.barrier);
	/* The first look sees what it did. */
	(void)ph__background_round(h.heap, MS);
	fake_os_advance_clock(&os, SECOND - 1);
	(void)ph__background_round(h.heap, MS);
	ck_assert_uint_gt(cached_bytes(h.heap), 0);
	fake_os_advance_clock(&os, 1);
	(void)ph__background_round(h.heap, MS);
	ck_assert_uint_eq(cached_bytes(h.heap), 0);
	h.ends = true;
	pthread_barrier_wait(&h.barrier);
	must(pthread_join(thread, NULL) == 0);
	pthread_barrier_destroy(&h.barrier);
	heap_must_check(h.heap);
	ph_heap_destroy(h.heap);
	fake_os_destroy(&os);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "flush_idle");

	tcase_add_test(tc, idle_threads_are_emptied);
	tcase_add_test(tc, rounds_empty_idle_threads);
	return suite_run(suite);
}
