/* SPDX-License-Identifier: MIT */
/*
 * Forks of a process whose threads are in the middle of malloc and free.
 *
 * The child has one thread and everybody's locks as they were; it must be able
 * to allocate and free all it inherits, start threads, and fork again.
 */
#include <pthread.h>
#include <sys/wait.h>

#include "check.h"

#define NTHREADS 2
#define NFORKS 300
#define NKEPT 200

static volatile int stop;

static void *load(void *arg)
{
	unsigned seed = (unsigned)(uintptr_t)arg;
	void *kept[NKEPT] = {NULL};

	while (!stop) {
		unsigned i = (unsigned)rand_r(&seed) % NKEPT;
		size_t n = (size_t)rand_r(&seed) % 1000;
		if (n > 990)
			n *= 100;
		free(kept[i]);
		kept[i] = malloc(n);
		check(kept[i] != NULL);
		memset(kept[i], 1, n);
	}
	for (unsigned i = 0; i < NKEPT; i++)
		free(kept[i]);
	return NULL;
}

static void *small_thread(void *arg)
{
	free(arg);
	return malloc(100);
}

static void child(void **inherited, int round)
{
	pthread_t thread;
	void *result;

	for (int i = 0; i < NKEPT; i++) {
		check(is_filled(inherited[i], (size_t)i * 10, (unsigned)i));
		free(inherited[i]);
	}
	for (int i = 0; i < NKEPT; i++)
		inherited[i] = malloc((size_t)i * 20);
	check(pthread_create(&thread, NULL, small_thread, malloc(50)) == 0);
	check(pthread_join(thread, &result) == 0);
	free(result);
	if (round % 10 == 0) {
		pid_t pid = fork();
		if (pid == 0) {
			for (int i = 0; i < NKEPT; i++)
				free(inherited[i]);
			_exit(0);
		}
		int status;
		check(waitpid(pid, &status, 0) == pid && status == 0);
	}
	/* Both ways out. */
	if (round % 2 == 0)
		_exit(0);
	exit(0);
}

int main(void)
{
	pthread_t threads[NTHREADS];
	void *inherited[NKEPT];

	for (int i = 0; i < NKEPT; i++) {
		inherited[i] = malloc((size_t)i * 10);
		fill(inherited[i], (size_t)i * 10, (unsigned)i);
	}
	for (uintptr_t i = 0; i < NTHREADS; i++)
		check(pthread_create(&threads[i], NULL, load,
				     (void *)(i + 1)) == 0);
	for (int round = 0; round < NFORKS; round++) {
		int status;
		pid_t pid = fork();
		if (pid == 0)
			child(inherited, round);
		check(pid > 0);
		check(waitpid(pid, &status, 0) == pid);
		check(status == 0);
	}
	stop = 1;
	for (int i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	puts("fork_threads: ok");
	return 0;
}
