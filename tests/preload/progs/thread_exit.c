/* SPDX-License-Identifier: MIT */
/*
 * Threads that allocate while they end, and ten thousand that only come and
 * go.
 *
 * The destructors of keys run in rounds, PTHREAD_DESTRUCTOR_ITERATIONS of them
 * as long as values are set again; the allocator's own destructor is one of
 * them, so the later rounds allocate in a thread whose cache is gone.
 */
#include <limits.h>
#include <pthread.h>

#include "check.h"

#define NKEYS 8
#define NTHREADS 10000
#define BATCH 50

static pthread_key_t keys[NKEYS];

struct last_words {
	unsigned key;
	int round;
	void *p[20];
};

static void destroy(void *arg)
{
	struct last_words *words = arg;

	for (int i = 0; i < 20; i++) {
		check(is_filled(words->p[i], 64 << (i % 12), (unsigned)i));
		free(words->p[i]);
	}
	if (++words->round == PTHREAD_DESTRUCTOR_ITERATIONS) {
		free(words);
		return;
	}
	for (int i = 0; i < 20; i++) {
		words->p[i] = malloc((size_t)64 << (i % 12));
		fill(words->p[i], (size_t)64 << (i % 12), (unsigned)i);
	}
	check(pthread_setspecific(keys[words->key], words) == 0);
}

static void *talker(void *arg)
{
	for (unsigned k = 0; k < NKEYS; k++) {
		struct last_words *words = calloc(1, sizeof(*words));
		words->key = k;
		for (int i = 0; i < 20; i++) {
			words->p[i] = malloc((size_t)64 << (i % 12));
			fill(words->p[i], (size_t)64 << (i % 12), (unsigned)i);
		}
		pthread_setspecific(keys[k], words);
	}
	return arg;
}

/* Frees what the previous thread made, makes something for the next. */
static void *passer(void *arg)
{
	char *made = malloc(200);

	check(arg == NULL || is_filled(arg, 200, 9));
	free(arg);
	fill(made, 200, 9);
	return made;
}

int main(void)
{
	pthread_t threads[BATCH];
	void *passed[BATCH] = {NULL};
	pthread_attr_t attr;

	for (unsigned k = 0; k < NKEYS; k++)
		check(pthread_key_create(&keys[k], destroy) == 0);
	for (int i = 0; i < 200; i++) {
		check(pthread_create(&threads[0], NULL, talker, NULL) == 0);
		check(pthread_join(threads[0], NULL) == 0);
	}
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, PTHREAD_STACK_MIN + 16384);
	for (int n = 0; n < NTHREADS; n += BATCH) {
		for (int i = 0; i < BATCH; i++)
			check(pthread_create(&threads[i], &attr, passer,
					     passed[i]) == 0);
		for (int i = 0; i < BATCH; i++)
			check(pthread_join(threads[i], &passed[i]) == 0);
	}
	for (int i = 0; i < BATCH; i++)
		free(passed[i]);
	puts("thread_exit: ok");
	/* The first thread's keys, too. */
	talker(NULL);
	pthread_exit(NULL);
}
