/* SPDX-License-Identifier: MIT */
/*
 * Threads' caches: emptied at a thread's end and by others, with the kernel's
 * help and without it, and forgotten with their heap.
 */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "object/objects.h"
#include "os/os.h"
#include "support/heap_util.h"
#include "support/suite.h"

static struct ph_heap *heap;
static pthread_barrier_t barrier;

static void set_up(void)
{
	heap = heap_over(NULL, NULL, 0);
	must(pthread_barrier_init(&barrier, NULL, 2) == 0);
}

static void tear_down(void)
{
	heap_must_check(heap);
	ph_heap_destroy(heap);
	pthread_barrier_destroy(&barrier);
}

/* Fills the magazines of several classes, and frees everything. */
static void fill_caches(struct ph_heap *h)
{
	void *p[300];

	for (size_t i = 0; i < 300; i++) {
		p[i] = ph_malloc(h, i * 7 % 2000);
		must(p[i] != NULL);
	}
	for (size_t i = 0; i < 300; i++)
		ph_free(h, p[i]);
}

static void run(void *(*f)(void *), void *arg)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, f, arg) == 0);
	must(pthread_join(thread, NULL) == 0);
}

static size_t count_caches(void)
{
	size_t n = 0;

	ph_list_for_each (it, &heap->objects->caches)
		n++;
	return n;
}

/* ---- the end of a thread ---- */

static void *fill_and_end(void *arg)
{
	fill_caches(arg);
	must(heap_stats(arg).cached_objects > 0);
	return NULL;
}

START_TEST(test_end_empties)
{
	struct ph_stats s;

	run(fill_and_end, heap);
	ck_assert_uint_eq(count_caches(), 0);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.cached_objects, 0);
	ck_assert_uint_eq(s.live_objects, 0);
	/* All but the spare spans, one a class. */
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).in_use_bytes, 0);
}
END_TEST

/* Metadata, too: a thousand threads leave nothing behind. */
START_TEST(test_ends_leave_nothing)
{
	size_t used;

	run(fill_and_end, heap);
	run(fill_and_end, heap);
	used = meta_used_bytes(&ph__registry.meta);
	for (int i = 0; i < 300; i++)
		run(fill_and_end, heap);
	ck_assert_uint_eq(meta_used_bytes(&ph__registry.meta), used);
}
END_TEST

/* Destructors that run after ours still allocate and free. */
static pthread_key_t late_key;

static void late(void *arg)
{
	static __thread int rounds;
	char *p = ph_malloc(heap, 100);

	must(p != NULL);
	memset(p, 1, 100);
	ph_free(heap, arg);
	fill_caches(heap);
	ph_free(heap, ph_realloc(heap, ph_malloc(heap, 10), 100000));
	ph_free(heap, p);
	/* As often as the system lets us. */
	if (rounds++ < 3)
		must(pthread_setspecific(late_key, ph_malloc(heap, 50)) == 0);
}

static void *end_with_destructors(void *arg)
{
	fill_caches(heap);
	must(pthread_setspecific(late_key, ph_malloc(heap, 64)) == 0);
	return arg;
}

START_TEST(test_late_destructors)
{
	struct ph_stats s;

	/* Its destructor runs after ours: ours was made first. */
	fill_caches(heap);
	must(pthread_key_create(&late_key, late) == 0);
	run(end_with_destructors, NULL);
	ph_heap_flush(heap);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.live_objects, 0);
	ck_assert_uint_eq(s.cached_objects, 0);
	ck_assert_uint_eq(count_caches(), 1);
	pthread_key_delete(late_key);
}
END_TEST

/* ---- emptying others ---- */

static void *fill_and_wait(void *arg)
{
	fill_caches(arg);
	pthread_barrier_wait(&barrier);
	/* The other flushes. */
	pthread_barrier_wait(&barrier);
	fill_caches(arg);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	return NULL;
}

START_TEST(test_flush_idle)
{
	pthread_t thread;

	if (!ph__os_membarrier_register()) {
		printf("skipped: membarrier is denied here\n");
		return;
	}
	must(pthread_create(&thread, NULL, fill_and_wait, heap) == 0);
	pthread_barrier_wait(&barrier);
	fill_caches(heap);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, 300);
	errno = 99;
	ph_heap_flush(heap);
	ck_assert_int_eq(errno, 99);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, 0);
	ck_assert_uint_eq(heap_stats(heap).in_use_bytes, 0);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	/* It goes on with the cache that it had. */
	ck_assert_uint_eq(count_caches(), 2);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, 0);
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, 0);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
}
END_TEST

static atomic_bool stop;

static void *work(void *arg)
{
	struct ph_heap *h = arg;
	void *p[64] = {NULL};

	for (size_t i = 0; !atomic_load(&stop); i++) {
		size_t k = i * 31 % 64;

		if (p[k])
			must(*(void **)p[k] == &p[k]);
		ph_free(h, p[k]);
		p[k] = ph_malloc(h, 8 + i % 500);
		must(p[k] != NULL);
		*(void **)p[k] = &p[k];
	}
	for (size_t k = 0; k < 64; k++)
		ph_free(h, p[k]);
	return NULL;
}

static void flush_while_others_work(int rounds)
{
	pthread_t threads[3];
	struct ph_stats s;

	for (size_t i = 0; i < 3; i++)
		must(pthread_create(&threads[i], NULL, work, heap) == 0);
	for (int i = 0; i < rounds; i++) {
		fill_caches(heap);
		ph_heap_flush(heap);
		(void)heap_stats(heap);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	atomic_store(&stop, false);
	ph_heap_flush(heap);
	s = heap_stats(heap);
	ck_assert_uint_eq(s.live_objects, 0);
	ck_assert_uint_eq(s.cached_objects, 0);
}

START_TEST(test_flush_busy)
{
	flush_while_others_work(300);
}
END_TEST

/* ---- where membarrier is denied ---- */

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#endif

/* As a container's policy does.  False when that cannot be had here. */
static bool deny_membarrier(void)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {PH_ARRAY_SIZE(filter), filter};

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) != 0)
		return false;
	return !ph__os_membarrier();
}

/* The caller's magazines at once, those of others at their next refill. */
START_TEST(test_flush_denied)
{
	pthread_t thread;
	uint64_t cached;

	if (!deny_membarrier()) {
		printf("skipped: cannot deny membarrier here\n");
		return;
	}
	must(pthread_create(&thread, NULL, fill_and_wait, heap) == 0);
	pthread_barrier_wait(&barrier);
	cached = heap_stats(heap).cached_objects;
	fill_caches(heap);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, cached);
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, cached);
	ck_assert(ph_list_entry(heap->objects->caches.next, struct tcache, link)
			  ->flush_wanted ||
		  ph_list_entry(heap->objects->caches.prev, struct tcache, link)
			  ->flush_wanted);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	ph_heap_flush(heap);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, 0);
	ck_assert_uint_eq(heap_stats(heap).live_objects, 0);
	flush_while_others_work(100);
}
END_TEST

/* A sweep needs no kernel: nobody else is at work. */
START_TEST(test_sweep_denied)
{
	pthread_t thread;

	if (!deny_membarrier()) {
		printf("skipped: cannot deny membarrier here\n");
		return;
	}
	must(pthread_create(&thread, NULL, fill_and_wait, heap) == 0);
	pthread_barrier_wait(&barrier);
	ck_assert_uint_gt(heap_stats(heap).cached_objects, 0);
	ck_assert_uint_eq(ph_heap_sweep(heap).freed_objects, 0);
	ck_assert_uint_eq(heap_stats(heap).cached_objects, 0);
	heap_must_check(heap);
	/* The thread's magazines are empty, as it finds. */
	pthread_barrier_wait(&barrier);
	pthread_barrier_wait(&barrier);
	heap_must_check(heap);
	pthread_barrier_wait(&barrier);
	pthread_join(thread, NULL);
	ck_assert_uint_eq(heap_stats(heap).live_objects, 0);
}
END_TEST

/* ---- heaps come and go ---- */

/* The new heap lies where the old one was, and is not mistaken for it. */
START_TEST(test_new_heap_at_old_place)
{
	struct ph_heap *first = heap_over(NULL, NULL, 0), *next;
	char *p = ph_malloc(first, 100), *q;

	ph_free(first, ph_malloc(first, 100));
	ph_heap_destroy(first);
	next = heap_over(NULL, NULL, 0);
	ck_assert_ptr_eq(next, first);
	q = ph_malloc(next, 100);
	ck_assert_ptr_eq(q, p);
	ck_assert_uint_eq(heap_stats(next).live_objects, 1);
	heap_must_check(next);
	ph_heap_destroy(next);
}
END_TEST

static struct ph_heap *given;

static void *keep_caches(void *arg)
{
	(void)arg;
	for (int i = 0; i < 40; i++) {
		pthread_barrier_wait(&barrier);
		fill_caches(given);
		fill_caches(heap);
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

/* Heaps are destroyed under the feet of threads that cached their objects. */
START_TEST(test_destroy_with_others_caches)
{
	pthread_t thread;

	must(pthread_create(&thread, NULL, keep_caches, NULL) == 0);
	for (int i = 0; i < 40; i++) {
		given = heap_over(NULL, NULL, 0);
		pthread_barrier_wait(&barrier);
		pthread_barrier_wait(&barrier);
		/* In the last round the thread may have ended by now. */
		ck_assert(heap_stats(given).cached_objects > 0 || i == 39);
		/* With objects that are live, and in a magazine not ours. */
		must(ph_malloc(given, 10) != NULL);
		ph_heap_destroy(given);
	}
	pthread_join(thread, NULL);
	ck_assert_uint_eq(heap_stats(heap).live_objects, 0);
}
END_TEST

/* One thread with hundreds of heaps, used in turn and at random. */
START_TEST(test_many_heaps_one_thread)
{
	static struct ph_heap *heaps[300];
	static void *p[300];

	for (size_t i = 0; i < 300; i++)
		heaps[i] = heap_over(NULL, NULL, 0);
	for (size_t round = 0; round < 20; round++) {
		for (size_t i = 0; i < 300; i++) {
			size_t k = (i * 7919 + round) % 300;

			ph_free(heaps[k], p[k]);
			p[k] = ph_malloc(heaps[k], 40);
			must(ph_span_of(heaps[k], p[k]) != NULL);
		}
	}
	for (size_t i = 0; i < 300; i++) {
		must(heap_stats(heaps[i]).live_objects == 1);
		ph_heap_destroy(heaps[i]);
	}
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "thread");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_end_empties);
	tcase_add_test(tc, test_ends_leave_nothing);
	tcase_add_test(tc, test_late_destructors);
	tcase_add_test(tc, test_flush_idle);
	tcase_add_test(tc, test_flush_busy);
	tcase_add_test(tc, test_flush_denied);
	tcase_add_test(tc, test_sweep_denied);
	tcase_add_test(tc, test_new_heap_at_old_place);
	tcase_add_test(tc, test_destroy_with_others_caches);
	tcase_add_test(tc, test_many_heaps_one_thread);
	return suite_run(suite);
}
