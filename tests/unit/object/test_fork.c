/* SPDX-License-Identifier: MIT */
/*
 * fork() while other threads allocate: the child's heaps check and work, and
 * the parent's go on.
 */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/compiler.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define NTHREADS 3

#if defined(__SANITIZE_ADDRESS__)
#define ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#define ADDRESS_SANITIZER __has_feature(address_sanitizer)
#else
#define ADDRESS_SANITIZER 0
#endif

static struct ph_heap *heap, *own; /* ordinary, and over its own sources */
static struct ph_heap *from_handlers;
static struct fake_os pages;
static atomic_bool stop;

static void *work(void *arg)
{
	void *p[50] = {NULL};

	(void)arg;
	for (size_t i = 0; !atomic_load(&stop); i++) {
		struct ph_heap *h = i % 2 ? heap : own;
		size_t k = i % 50;

		ph_free(h, p[k]);
		p[k] = ph_malloc(h, i % 60 ? i % 3000 : 50000);
		must(p[k] != NULL);
		if (i % 200 == 0)
			ph_scavenge(h, 100000);
		if (i % 300 == 0)
			ph_heap_flush(h);
		if (i % 400 == 0) {
			struct ph_heap *brief = heap_over(NULL, NULL, 0);

			must(ph_malloc(brief, 10) != NULL);
			ph_heap_destroy(brief);
		}
	}
	for (size_t k = 0; k < 50; k++)
		ph_free(k % 2 ? heap : own, p[k]);
	return NULL;
}

static void *use(void *arg)
{
	struct ph_heap *h = arg;

	for (size_t i = 0; i < 500; i++) {
		char *p = ph_calloc(h, 1, i * 20);

		must(p && (i == 0 || p[i * 20 - 1] == 0));
		memset(p, 1, i * 20);
		ph_free(h, p);
	}
	return NULL;
}

/* What a program may do after fork: everything. */
static void live_in_child(void)
{
	struct ph_heap *next = heap_over(NULL, NULL, 0);
	pthread_t thread;

	alarm(30);
	heap_must_check(heap);
	use(heap);
	use(next);
	ph_heap_flush(heap);
	(void)heap_stats(heap);
	(void)ph_scavenge(heap, SIZE_MAX);
	/* GCC's AddressSanitizer allocates for a thread, and is not ready. */
	if (!ADDRESS_SANITIZER) {
		must(pthread_create(&thread, NULL, use, heap) == 0);
		pthread_join(thread, NULL);
	}
	heap_must_check(heap);
	ph_heap_destroy(next);
	_exit(0);
}

/* A child of the child, too. */
static void fork_once(bool again)
{
	int status = -1;
	pid_t child = fork();

	must(child >= 0);
	if (child == 0) {
		if (again)
			fork_once(false);
		live_in_child();
	}
	must(waitpid(child, &status, 0) == child);
	if (status != 0)
		fprintf(stderr, "child: status 0x%x\n", (unsigned)status);
	must(status == 0);
}

START_TEST(test_fork_beside_threads)
{
	pthread_t threads[NTHREADS];
	struct ph_stats s;

	fake_os_init(&pages, NULL);
	heap = heap_over(NULL, NULL, 0);
	own = heap_over(&pages.ops, &pages, 0);
	for (size_t i = 0; i < NTHREADS; i++)
		must(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (int i = 0; i < 60; i++)
		fork_once(i % 10 == 0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	ph_heap_flush(heap);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.live_objects, 0);
	ck_assert_uint_eq(s.cached_objects, 0);
	heap_must_check(heap);
	heap_must_check(own);
	ph_heap_destroy(heap);
	ph_heap_destroy(own);
	fake_os_destroy(&pages);
}
END_TEST

/* Objects in the caches of threads that the child lacks are not lost there. */
static pthread_barrier_t barrier;

static void *cache_and_wait(void *arg)
{
	use(arg);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

START_TEST(test_caches_of_absent_threads)
{
	pthread_t thread;
	int status = -1;
	pid_t child;

	heap = heap_over(NULL, NULL, 0);
	must(pthread_barrier_init(&barrier, NULL, 2) == 0);
	must(pthread_create(&thread, NULL, cache_and_wait, heap) == 0);
	pthread_barrier_wait(&barrier);
	use(heap);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, 0);
	child = fork();
	if (child == 0) {
		struct ph_stats s = heap_stats(heap);

		/* The forking thread keeps what it had. */
		must(s.live_objects == 0 && s.cached_objects > 0);
		ph_heap_flush(heap);
		s = heap_stats(heap);
		must(s.cached_objects == 0 && s.in_use_bytes == 0);
		heap_must_check(heap);
		ph_heap_destroy(heap);
		_exit(0);
	}
	must(waitpid(child, &status, 0) == child && status == 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	pthread_barrier_destroy(&barrier);
}
END_TEST

/*
 * Handlers of other libraries, registered before ours: prepared after us, and
 * resumed before us, while this thread holds every lock.
 */
static void *held;

static void other_handler(void)
{
	if (!from_handlers)
		return;
	ph_free(from_handlers, held);
	held = ph_malloc(from_handlers, 5000);
	must(held != NULL);
	ph_free(from_handlers, ph_malloc(from_handlers, 100000));
	for (int i = 0; i < 100; i++)
		ph_free(from_handlers, ph_malloc(from_handlers, 64));
}

START_TEST(test_other_handlers)
{
	pthread_t threads[NTHREADS];

	/* Here, since no heap was made before in this process. */
	must(pthread_atfork(other_handler, other_handler, other_handler) == 0);
	fake_os_init(&pages, NULL);
	heap = from_handlers = heap_over(NULL, NULL, 0);
	own = heap_over(&pages.ops, &pages, 0);
	atomic_store(&stop, false);
	for (size_t i = 0; i < NTHREADS; i++)
		must(pthread_create(&threads[i], NULL, work, NULL) == 0);
	for (int i = 0; i < 40; i++)
		fork_once(false);
	atomic_store(&stop, true);
	for (size_t i = 0; i < NTHREADS; i++)
		pthread_join(threads[i], NULL);
	ph_free(heap, held);
	from_handlers = NULL;
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).live_objects, 0);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	ph_heap_destroy(own);
	fake_os_destroy(&pages);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "fork");

#if PH_TSAN
	/* It refuses threads in the child of a threaded process. */
	printf("skipped: ThreadSanitizer does not follow forks\n");
	return 77;
#endif
	tcase_add_test(tc, test_fork_beside_threads);
	tcase_add_test(tc, test_caches_of_absent_threads);
	tcase_add_test(tc, test_other_handlers);
	return suite_run(suite);
}
