/* SPDX-License-Identifier: MIT */
/*
 * A mutual-exclusion lock of eight bytes that survives fork.
 *
 * word is 0 (free), 1 (held), 2 (held, and threads may sleep).  The owner
 * takes it with one compare-and-swap and gives it back with one exchange; a
 * contender spins for a short while, since critical sections are short, then
 * sleeps in the kernel (futex).  A lock whose bytes are all zero is valid and
 * free.
 *
 * Fork.  Between the prepare handler, which holds every lock, and the parent's
 * and child's handlers the forking thread may run other libraries' handlers,
 * which may allocate.  ph__fork_enter() names that thread; while it is named,
 * an attempt of its own to take a lock that is held counts as a nested hold
 * (it holds them all), and `nested` remembers it for the matching unlock.
 * ph__lock_reset() frees a lock whose holder does not exist in the child.
 *
 * Ranks.  Debug builds (PH_DEBUG) assert that a thread takes locks in
 * ascending order of rank; equal ranks may be taken together only with
 * ph__lock_same_rank(), by ascending address.  The order is documented in
 * ARCHITECTURE.md.
 */
#ifndef PH_OS_LOCK_H
#define PH_OS_LOCK_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/check.h"
#include "base/compiler.h"

/* Outermost first. */
enum lock_rank {
	LOCK_RANK_NONE = 0, /* not checked */
	LOCK_RANK_REGISTRY, /* heaps and threads of the process */
	LOCK_RANK_CACHES,   /* one heap's list of thread caches */
	LOCK_RANK_CENTRAL,  /* one size class of one heap */
	LOCK_RANK_HEAP,	    /* page allocator, spans, growth of one heap */
	LOCK_RANK_ARENA,    /* address space shared by heaps */
	LOCK_RANK_PAGEMAP,  /* new leaves of the page map */
	LOCK_RANK_META,	    /* metadata blocks */
	LOCK_RANK_COUNT
};

struct PH_CAPABILITY("mutex") ph_lock {
	uint32_t word;
	uint16_t nested; /* holds by the forking thread beyond the first */
	uint16_t rank;
};

/* Contended cases; kept out of line. */
PH_COLD void ph__lock_slow(struct ph_lock *l);
PH_COLD void ph__lock_wake(struct ph_lock *l);

#if defined(PH_DEBUG)
void ph__lock_rank_push(const struct ph_lock *l, bool same_rank_allowed);
void ph__lock_rank_pop(const struct ph_lock *l);
#else
#define ph__lock_rank_push(l, same) ((void)0)
#define ph__lock_rank_pop(l) ((void)0)
#endif

static inline void lock_init(struct ph_lock *l, enum lock_rank rank)
{
	l->word = 0;
	l->nested = 0;
	l->rank = (uint16_t)rank;
}

static inline void lock_acquire_word(struct ph_lock *l)
{
	uint32_t free_word = 0;

	/* Acquire: what the last holder wrote is visible to this one. */
	if (ph_unlikely(!ph_cas_acquire(&l->word, &free_word, 1)))
		ph__lock_slow(l);
}

static inline void lock_acquire(struct ph_lock *l)
	PH_ACQUIRE(l) PH_NO_THREAD_SAFETY
{
	lock_acquire_word(l);
	ph__lock_rank_push(l, false);
}

/* For a second lock of the same rank at a higher address. */
static inline void lock_acquire_same_rank(struct ph_lock *l)
	PH_ACQUIRE(l) PH_NO_THREAD_SAFETY
{
	lock_acquire_word(l);
	ph__lock_rank_push(l, true);
}

/* Takes the lock if nobody holds it. */
static inline bool lock_try_acquire(struct ph_lock *l)
	PH_TRY_ACQUIRE(l) PH_NO_THREAD_SAFETY
{
	uint32_t free_word = 0;

	if (!ph_cas_acquire(&l->word, &free_word, 1))
		return false;
	ph__lock_rank_push(l, true);
	return true;
}

/*
 * For fork's handlers, which hold every lock of the process at once: as
 * acquire and release, outside the order of ranks.  Only one thread at a time
 * may be doing so (it holds the registry's lock first).
 */
static inline void lock_hold_for_fork(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	lock_acquire_word(l);
}

static inline void lock_release_word(struct ph_lock *l)
{
	if (ph_unlikely(l->nested != 0)) {
		l->nested--;
		return;
	}
	/* Release: publishes what was written under the lock. */
	if (ph_unlikely(ph_exchange_release(&l->word, 0) == 2))
		ph__lock_wake(l);
}

static inline void lock_release(struct ph_lock *l)
	PH_RELEASE(l) PH_NO_THREAD_SAFETY
{
	ph__lock_rank_pop(l);
	lock_release_word(l);
}

static inline void lock_unhold_after_fork(struct ph_lock *l) PH_NO_THREAD_SAFETY
{
	lock_release_word(l);
}

/* Is the lock held by anybody?  For assertions only. */
static inline bool lock_is_held(const struct ph_lock *l)
{
	return ph_load_relaxed(&l->word) != 0;
}

/* In the child of fork: frees a lock that the prepare handler took. */
void ph__lock_reset(struct ph_lock *l);

/* The calling thread holds all locks from now on / no longer. */
void ph__fork_enter(void);
void ph__fork_leave(void);

#endif
