/* SPDX-License-Identifier: MIT */
/*
 * The contended half of os/lock.h, and the checks of debug builds.
 *
 * The word follows the usual futex protocol:
 *
 *	0  free
 *	1  held, nobody sleeps
 *	2  held, somebody may sleep
 *
 *	acquire: 0 -> 1 by compare-and-swap; a thread that has slept or is about
 *		 to sleep exchanges in 2, since it cannot know whether others
 *		 sleep too
 *	release: exchange in 0; whoever takes out a 2 wakes one sleeper
 *
 * A waiter first spins, with growing pauses, for some hundred instructions'
 * time: critical sections are shorter than a system call.  It reads before it
 * tries, so that spinning does not steal the cache line from the holder.
 *
 * Fork.  The forking thread is named by pthread_self(), which is the same in
 * parent and child, unlike the kernel's thread number: handlers of other
 * libraries also run in the child before ours does.
 *
 * Ranks.  Each thread counts its holds by rank and remembers the highest
 * address held of each rank:
 *
 *	rank	  count  highest
 *	CENTRAL	      2  0x..80		taken by ascending address
 *	HEAP	      1  0x..40
 *
 * A lock may be taken when nothing of a higher rank is held, and nothing of its
 * own rank, or (lock_acquire_same_rank) nothing of its own rank at its address
 * or above.  Counts, not a stack of locks: the prepare handler of fork holds
 * every lock of every heap at once, which no fixed array would hold.  The cost
 * is that the release of a lock that another thread holds goes unnoticed when
 * this thread holds one of the same rank.
 *
 * Rejected: pthread mutexes (40 bytes each, and undefined in the child);
 * ticket locks (a preempted waiter stops all behind it).
 */
#include "os/lock.h"

#include <pthread.h>

#include "os/os.h"

/* Pauses before sleeping: 1 + 2 + 4 + 8 + 16 and then 16 at a time. */
#define LOCK_MAX_PAUSE 16
#define LOCK_SPIN_PAUSES 111

/*
 * The thread between ph__fork_enter() and ph__fork_leave(), or 0.  Relaxed
 * accesses suffice: only that thread finds its own name here, and it reads
 * what it wrote itself.
 */
static uintptr_t fork_thread;

static bool in_fork_window(void)
{
	uintptr_t thread = ph_load_relaxed(&fork_thread);

	return ph_unlikely(thread != 0) && thread == (uintptr_t)pthread_self();
}

void ph__fork_enter(void)
{
	ph_assert(ph_load_relaxed(&fork_thread) == 0);
	ph_store_relaxed(&fork_thread, (uintptr_t)pthread_self());
}

void ph__fork_leave(void)
{
	ph_assert(in_fork_window());
	ph_store_relaxed(&fork_thread, (uintptr_t)0);
}

/* Takes the lock if it becomes free within a short while. */
static bool lock_spin(struct ph_lock *l)
{
	unsigned pause = 1;

	for (unsigned done = 0; done < LOCK_SPIN_PAUSES; done += pause) {
		uint32_t free_word = 0;

		if (ph_load_relaxed(&l->word) == 0 &&
		    ph_cas_acquire(&l->word, &free_word, 1))
			return true;
		for (unsigned i = 0; i < pause; i++)
			cpu_relax();
		if (pause < LOCK_MAX_PAUSE)
			pause *= 2;
	}
	return false;
}

void ph__lock_slow(struct ph_lock *l)
{
	if (in_fork_window()) {
		/* This thread is the holder: the prepare handler took it. */
		ph_require(l->nested != UINT16_MAX);
		l->nested++;
		return;
	}
	if (lock_spin(l))
		return;
	/* Acquire, as in the fast path. */
	while (ph_exchange_acquire(&l->word, 2) != 0)
		ph__os_futex_wait(&l->word, 2);
}

void ph__lock_wake(struct ph_lock *l)
{
	/*
	 * The memory may belong to somebody else by now; then a stranger wakes
	 * for nothing or the kernel finds no such address.  Both are harmless.
	 */
	ph__os_futex_wake(&l->word, 1);
}

#if defined(PH_DEBUG)

struct rank_holds {
	uint32_t count;
	uintptr_t highest; /* no lock of this rank is held above it */
};

static __thread struct rank_holds
	held_ranks[LOCK_RANK_COUNT] PH_TLS_INITIAL_EXEC;

void ph__lock_rank_push(const struct ph_lock *l, bool same_rank_allowed)
{
	uintptr_t address = (uintptr_t)l;
	struct rank_holds *own;

	ph_require(l->rank < LOCK_RANK_COUNT);
	if (l->rank == LOCK_RANK_NONE)
		return;
	own = &held_ranks[l->rank];
	/* The forking thread holds everything; nothing can deadlock. */
	if (!in_fork_window()) {
		for (unsigned r = l->rank + 1u; r < LOCK_RANK_COUNT; r++)
			ph_require(held_ranks[r].count == 0 &&
				   "locks taken in descending order of rank");
		ph_require((own->count == 0 || same_rank_allowed) &&
			   "two locks of the same rank");
		ph_require((own->count == 0 || address > own->highest) &&
			   "locks of one rank not by ascending address");
	}
	own->count++;
	if (address > own->highest)
		own->highest = address;
}

static void rank_pop(const struct ph_lock *l)
{
	struct rank_holds *own = &held_ranks[l->rank];

	own->count--;
	if (own->count == 0)
		own->highest = 0;
	else if ((uintptr_t)l == own->highest && l->nested == 0)
		own->highest--; /* others are lower; l may be taken again */
}

void ph__lock_rank_pop(const struct ph_lock *l)
{
	ph_require(lock_is_held(l) && "released a lock that nobody holds");
	if (l->rank == LOCK_RANK_NONE)
		return;
	ph_require(held_ranks[l->rank].count != 0 &&
		   "released a lock that this thread does not hold");
	rank_pop(l);
}

/* The child's only thread gives up every hold that it had on l. */
static void rank_forget(struct ph_lock *l)
{
	uint32_t holds = lock_is_held(l) ? 1u + l->nested : 0u;

	l->nested = 0;
	if (l->rank == LOCK_RANK_NONE)
		return;
	for (; holds != 0 && held_ranks[l->rank].count != 0; holds--)
		rank_pop(l);
}

#else

static void rank_forget(struct ph_lock *l)
{
	l->nested = 0;
}

#endif

void ph__lock_reset(struct ph_lock *l)
{
	rank_forget(l);
	/* Relaxed: the child has one thread. */
	ph_store_relaxed(&l->word, 0);
}
