/* SPDX-License-Identifier: MIT */
#include "os/lock.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/death.h"
#include "support/suite.h"

#define NTHREADS 4
#define NROUNDS 20000

/* By ascending address, as the order within a rank demands. */
static struct ph_lock locks[3];
#define first (locks[0])
#define second (locks[1])

/*
 * The same operations, unknown to clang's analysis: it has no idea of fork,
 * and the tests break its rules on purpose.
 */
static void take(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	lock_acquire(l);
}

static void take_same_rank(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	lock_acquire_same_rank(l);
}

static bool try_take(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	return lock_try_acquire(l);
}

static void give(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	lock_release(l);
}

static void setup(void)
{
	memset(locks, 0, sizeof(locks));
}

/* ------------------------------------------------------------------------ */
/* Mutual exclusion                                                         */
/* ------------------------------------------------------------------------ */

START_TEST(zero_bytes_are_a_free_lock)
{
	ck_assert_uint_eq(sizeof(struct ph_lock), 8);
	ck_assert(!lock_is_held(&first));
	take(&first);
	ck_assert(lock_is_held(&first));
	give(&first);
	ck_assert(!lock_is_held(&first));
}
END_TEST

static uint64_t plain_counter;

static void *count(void *arg)
{
	(void)arg;
	for (unsigned i = 0; i < NROUNDS; i++) {
		errno = 1234;
		take(&first);
		plain_counter++;
		/* Now and then the holder is off the processor. */
		if (i % 1000 == 0)
			sched_yield();
		give(&first);
		if (errno != 1234)
			return "errno changed";
	}
	return NULL;
}

START_TEST(threads_exclude_each_other)
{
	pthread_t threads[NTHREADS];

	for (unsigned i = 0; i < NTHREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL, count, NULL),
				 0);
	for (unsigned i = 0; i < NTHREADS; i++) {
		void *complaint;

		ck_assert_int_eq(pthread_join(threads[i], &complaint), 0);
		ck_assert_ptr_null(complaint);
	}
	ck_assert_uint_eq(plain_counter, NTHREADS * NROUNDS);
	ck_assert_uint_eq(first.word, 0);
}
END_TEST

static void *take_and_give(void *arg)
{
	take(arg);
	plain_counter++;
	give(arg);
	return NULL;
}

/* Waits until somebody is about to sleep on the lock. */
static void await_sleeper(struct ph_lock *l)
{
	while (ph_load_relaxed(&l->word) != 2)
		usleep(1000);
}

START_TEST(sleepers_are_woken)
{
	pthread_t threads[NTHREADS];

	take(&first);
	for (unsigned i = 0; i < NTHREADS; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						take_and_give, &first),
				 0);
	await_sleeper(&first);
	ck_assert_uint_eq(plain_counter, 0);
	give(&first);
	for (unsigned i = 0; i < NTHREADS; i++)
		ck_assert_int_eq(pthread_join(threads[i], NULL), 0);
	ck_assert_uint_eq(plain_counter, NTHREADS);
	ck_assert_uint_eq(first.word, 0);
}
END_TEST

static void *try_once(void *arg)
{
	bool got = try_take(arg);

	if (got)
		give(arg);
	return got ? arg : NULL;
}

static bool other_thread_gets(struct ph_lock *l)
{
	pthread_t t;
	void *got;

	ck_assert_int_eq(pthread_create(&t, NULL, try_once, l), 0);
	ck_assert_int_eq(pthread_join(t, &got), 0);
	return got != NULL;
}

START_TEST(trying_never_waits)
{
	ck_assert(try_take(&first));
	ck_assert(!try_take(&first));
	ck_assert(!other_thread_gets(&first));
	give(&first);
	ck_assert(other_thread_gets(&first));
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Fork                                                                     */
/* ------------------------------------------------------------------------ */

static void prepare(void)
{
	lock_init(&first, LOCK_RANK_CENTRAL);
	lock_init(&second, LOCK_RANK_HEAP);
	take(&first);
	take(&second);
	ph__fork_enter();
}

/* What another library's handler does in the window: allocate, in any order. */
static void allocate_in_window(void)
{
	for (unsigned i = 0; i < 3; i++) {
		take(&second);
		take(&first);
		take(&first);
		give(&first);
		give(&first);
		give(&second);
	}
}

static bool everything_works(void)
{
	for (unsigned i = 0; i < 3; i++) {
		take(&first);
		take(&second);
		if (!lock_is_held(&first) || first.nested || second.nested)
			return false;
		give(&second);
		give(&first);
	}
	return !lock_is_held(&first) && !lock_is_held(&second);
}

static void parent_handler(void)
{
	ph__fork_leave();
	give(&second);
	give(&first);
}

START_TEST(the_forking_thread_holds_everything)
{
	prepare();
	allocate_in_window();
	ck_assert(lock_is_held(&first) && lock_is_held(&second));
	ck_assert(!other_thread_gets(&first));
	parent_handler();
	ck_assert(everything_works());
	ck_assert(other_thread_gets(&first));
}
END_TEST

START_TEST(other_threads_wait_for_the_parent)
{
	pthread_t t;

	prepare();
	ck_assert_int_eq(pthread_create(&t, NULL, take_and_give, &second), 0);
	await_sleeper(&second);
	allocate_in_window();
	ck_assert_uint_eq(plain_counter, 0);
	parent_handler();
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	ck_assert_uint_eq(plain_counter, 1);
}
END_TEST

static void child_resets(void)
{
	allocate_in_window();
	ph__lock_reset(&second);
	ph__lock_reset(&first);
	ph__fork_leave();
}

static void child_resets_while_nested(void)
{
	/* The handler itself runs inside an allocation's lock. */
	take(&first);
	ph__lock_reset(&first);
	ph__lock_reset(&second);
	ph__fork_leave();
}

static void child_leaves_then_resets(void)
{
	ph__fork_leave();
	ph__lock_reset(&first);
	ph__lock_reset(&second);
	/* A lock that nobody held. */
	ph__lock_reset(&locks[2]);
}

static void child_releases(void)
{
	allocate_in_window();
	ph__fork_leave();
	give(&second);
	give(&first);
}

static void (*const child_handlers[])(void) = {
	child_resets, child_resets_while_nested, child_leaves_then_resets,
	child_releases};

START_TEST(the_child_frees_the_locks)
{
	pthread_t sleeper;
	pid_t child;
	int status;

	prepare();
	/* The child inherits a word that says somebody sleeps. */
	ck_assert_int_eq(pthread_create(&sleeper, NULL, take_and_give, &first),
			 0);
	await_sleeper(&first);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		child_handlers[_i]();
		_exit(everything_works() ? 0 : 1);
	}
	parent_handler();
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert_int_eq(pthread_join(sleeper, NULL), 0);
	ck_assert(everything_works());
}
END_TEST

/* As fork's handlers do: any order of ranks, many of each. */
static void prepare_out_of_order(void)
{
	lock_init(&first, LOCK_RANK_CENTRAL);
	lock_init(&second, LOCK_RANK_HEAP);
	lock_init(&locks[2], LOCK_RANK_CENTRAL);
	lock_hold_for_fork(&locks[2]);
	lock_hold_for_fork(&second);
	lock_hold_for_fork(&first);
	ph__fork_enter();
}

START_TEST(holding_for_fork_knows_no_order)
{
	pid_t child;
	int status;

	prepare_out_of_order();
	ck_assert(!other_thread_gets(&locks[2]));
	allocate_in_window();
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		alarm(20);
		allocate_in_window();
		for (unsigned i = 0; i < 3; i++)
			ph__lock_reset(&locks[i]);
		ph__fork_leave();
		_exit(everything_works() ? 0 : 1);
	}
	ph__fork_leave();
	for (unsigned i = 0; i < 3; i++)
		lock_unhold_after_fork(&locks[i]);
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
	ck_assert(everything_works());
	ck_assert(other_thread_gets(&locks[2]));
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Ranks                                                                    */
/* ------------------------------------------------------------------------ */

START_TEST(legal_orders_are_silent)
{
	lock_init(&locks[0], LOCK_RANK_CENTRAL);
	lock_init(&locks[1], LOCK_RANK_CENTRAL);
	lock_init(&locks[2], LOCK_RANK_META);
	take(&locks[0]);
	take_same_rank(&locks[1]);
	take(&locks[2]);
	/* Released in any order; the highest may be taken again. */
	give(&locks[1]);
	give(&locks[2]);
	take_same_rank(&locks[1]);
	give(&locks[0]);
	give(&locks[1]);
	take(&locks[0]);
	give(&locks[0]);
	/* Without a rank there is no order. */
	lock_init(&locks[1], LOCK_RANK_NONE);
	take(&locks[2]);
	take(&locks[1]);
	give(&locks[1]);
	give(&locks[2]);
}
END_TEST

#if defined(PH_DEBUG)

static void descend(void *arg)
{
	(void)arg;
	lock_init(&locks[0], LOCK_RANK_META);
	lock_init(&locks[1], LOCK_RANK_HEAP);
	take(&locks[0]);
	take(&locks[1]);
}

static void same_rank(void *arg)
{
	(void)arg;
	lock_init(&locks[0], LOCK_RANK_HEAP);
	lock_init(&locks[1], LOCK_RANK_HEAP);
	take(&locks[0]);
	take(&locks[1]);
}

static void descending_address(void *arg)
{
	(void)arg;
	lock_init(&locks[0], LOCK_RANK_HEAP);
	lock_init(&locks[1], LOCK_RANK_HEAP);
	take(&locks[1]);
	take_same_rank(&locks[0]);
}

static void release_free(void *arg)
{
	(void)arg;
	lock_init(&locks[0], LOCK_RANK_HEAP);
	give(&locks[0]);
}

static void *acquire_only(void *arg)
{
	take(arg);
	return NULL;
}

static void release_others(void *arg)
{
	pthread_t t;

	(void)arg;
	lock_init(&locks[0], LOCK_RANK_HEAP);
	if (pthread_create(&t, NULL, acquire_only, &locks[0]) == 0)
		pthread_join(t, NULL);
	give(&locks[0]);
}

static void bad_rank(void *arg)
{
	(void)arg;
	locks[0].rank = LOCK_RANK_COUNT;
	take(&locks[0]);
}

static const struct {
	void (*crime)(void *arg);
	const char *message;
} crimes[] = {
	{descend, "locks taken in descending order of rank"},
	{same_rank, "two locks of the same rank"},
	{descending_address, "locks of one rank not by ascending address"},
	{release_free, "released a lock that nobody holds"},
	{release_others, "released a lock that this thread does not hold"},
	{bad_rank, "l->rank < LOCK_RANK_COUNT"},
};

START_TEST(violations_die)
{
	struct death d = death_of(crimes[_i].crime, NULL);

	ck_assert_int_eq(d.signal, SIGABRT);
	ck_assert_ptr_nonnull(strstr(d.message, "pageheap: "));
	ck_assert_ptr_nonnull(strstr(d.message, crimes[_i].message));
}
END_TEST

static void reset_then_descend(void *arg)
{
	child_resets();
	/* Legal only if the holds of both locks were forgotten. */
	take(&first);
	give(&first);
	descend(arg); /* still watched */
}

START_TEST(ranks_are_right_in_the_child)
{
	struct death d;

	prepare();
	d = death_of(reset_then_descend, NULL);
	parent_handler();
	ck_assert_int_eq(d.signal, SIGABRT);
	ck_assert_ptr_nonnull(strstr(d.message, crimes[0].message));
}
END_TEST

#endif

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "lock");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, zero_bytes_are_a_free_lock);
	tcase_add_test(tcase, threads_exclude_each_other);
	tcase_add_test(tcase, sleepers_are_woken);
	tcase_add_test(tcase, trying_never_waits);
	tcase_add_test(tcase, the_forking_thread_holds_everything);
	tcase_add_test(tcase, other_threads_wait_for_the_parent);
	tcase_add_loop_test(tcase, the_child_frees_the_locks, 0,
			    PH_ARRAY_SIZE(child_handlers));
	tcase_add_test(tcase, holding_for_fork_knows_no_order);
	tcase_add_test(tcase, legal_orders_are_silent);
#if defined(PH_DEBUG)
	tcase_add_loop_test(tcase, violations_die, 0, PH_ARRAY_SIZE(crimes));
	tcase_add_test(tcase, ranks_are_right_in_the_child);
#else
	puts("SKIPPED: lock ranks, which only debug builds check");
#endif
	return suite_run(suite);
}
