/* SPDX-License-Identifier: MIT */
/*
 * Threads and their caches.
 *
 * A thread has, for each heap it uses, a struct tcache: one magazine (an array
 * of object pointers) for each size class.  The owner works on its magazines
 * without any lock or atomic read-modify-write.
 *
 * The fast path's view of a thread is one thread-local struct thread_state:
 *
 *	main	  cache of the primary heap (the drop-in's), or an empty one
 *	recent	  cache of the heap with id recent_id, used last by ph_malloc()
 *		  and ph_free()
 *	busy	  1 while the thread works on magazines
 *
 * Taking a cache from its owner (to empty idle magazines, for malloc_trim, for
 * an exact out-of-memory) must not make the owner's fast path dearer.  It is
 * asymmetric: the owner stores busy = 1, then loads main (or recent); the
 * taker, holding the heap's caches lock, replaces main by the empty cache (or
 * clears recent_id), makes every running thread pass a full barrier
 * (membarrier), then waits until busy is 0.  Either the owner's load came
 * before the barrier, then so did its store of busy, and the taker waits; or
 * it comes after, and the owner finds the empty cache, enters its slow path
 * and waits for the caches lock.  An owner that waits for that lock has set
 * busy to 0.  Where membarrier is denied, nobody's cache is taken; instead
 * flush_wanted asks each owner to empty its own in its next slow path.
 *
 * The empty cache has no capacity and no objects, so that the fast path needs
 * no test for threads that have no cache yet, or no longer: every operation on
 * it goes the slow way.
 *
 * After the thread's destructor has run (dead = 1) it never gets a cache
 * again; its slow path works on single objects under the central's lock.
 */
#ifndef PH_OBJECT_THREAD_H
#define PH_OBJECT_THREAD_H

#include "base/atomic.h"
#include "base/list.h"
#include "object/central.h"
#include "object/magazine.h"
#include "object/size_class.h"

struct objects;
struct thread;

struct tcache {
	/* Rows by class, first, so that a row is one scaled index away. */
	struct magazine magazines[PH_NUM_CLASSES]; /* owner; taker */
	struct ph_heap *heap;
	struct objects *objects;
	struct thread *thread;
	struct list link;	/* of objects->caches; caches lock */
	size_t capacity_bytes;	/* sum of capacity * size; owner */
	uint32_t flush_wanted;	/* atomic: owner empties itself soon */
	bool taken;		/* by the taker at work; caches lock */
	uint32_t activity;	/* atomic: slow paths of the owner */
	uint32_t seen_activity; /* by the last look for idle caches */
};

struct thread_state {
	struct tcache *main;   /* atomic: owner and takers */
	uint32_t busy;	       /* atomic: owner stores, takers load */
	uint32_t dead;	       /* owner */
	uint64_t recent_id;    /* atomic; 0: none */
	struct tcache *recent; /* owner */
	struct thread *thread; /* owner; NULL until the first cache */
};

/* Which cache a thread has for which heap; stale for heaps that are gone. */
struct thread_entry {
	uint64_t heap_id; /* 0: free */
	struct tcache *cache;
};

struct thread {
	struct thread_state *state;   /* where takers find it */
	struct thread_entry *entries; /* open addressing; owner */
	size_t nentries;	      /* used, stale ones included */
	size_t capacity;	      /* a power of two */
	uint32_t id;		      /* the kernel's thread id */
};

extern __thread struct thread_state ph__thread_state PH_TLS_INITIAL_EXEC
	PH_HIDDEN;

/* The cache that holds nothing and takes nothing. */
extern struct tcache ph__empty_cache PH_HIDDEN;

/*
 * The owner's bracket round work on its magazines.  The compiler must not
 * move the loads of main or recent_id above the store; the processor may, see
 * above.
 */
static inline void thread_enter(struct thread_state *t)
{
	/* Relaxed: the taker's membarrier is the fence for both sides. */
	ph_store_relaxed(&t->busy, 1);
	ph_compiler_barrier();
}

static inline void thread_leave(struct thread_state *t)
{
	/* Release: the taker that sees 0 sees the magazines as left. */
	ph_store_release(&t->busy, 0);
}

/*
 * Makes the calling thread's fast path find its cache of the heap; makes the
 * cache if need be.  False when the thread is dead or there is no memory: the
 * caller then works on the central.  A taker may undo it at once.  Not called
 * between thread_enter() and thread_leave().
 */
PH_MUST_USE bool ph__thread_attach(struct ph_heap *heap);

/* Empties every thread's cache of the heap; see ph_heap_flush(). */
void ph__thread_flush_all(struct ph_heap *heap);

/*
 * As above, for a heap that no other thread uses meanwhile: needs no help from
 * the kernel.  The owners keep their caches, which are empty.
 */
void ph__thread_flush_stopped(struct ph_heap *heap);

/*
 * Empties the caches of threads that had no slow path since the last call, and
 * drops the centrals' spare spans.
 */
void ph__thread_flush_idle(struct ph_heap *heap);

/* Frees the heap's caches, for a heap whose objects are no more. */
void ph__thread_forget_heap(struct ph_heap *heap);

/* Objects of each class that lie in magazines.  The caches lock is held. */
void ph__thread_count_cached(struct objects *o,
			     uint64_t nobjects[PH_NUM_CLASSES]);

/* ---- tcache.c: magazines and their sizes ---- */

/*
 * Fills an empty magazine by one batch.  Returns the objects in it; 0 and
 * ENOMEM when there are none to be had.  By the owner, in its bracket.
 */
PH_MUST_USE size_t ph__tcache_refill(struct tcache *tc, unsigned size_class);

/*
 * Makes room in a full magazine: a larger capacity, or its older half goes to
 * the central.  False when there is no memory for any capacity.  Likewise.
 */
PH_MUST_USE bool ph__tcache_make_room(struct tcache *tc, unsigned size_class);

/* Empties all magazines.  By the owner in its bracket, or by a taker. */
void ph__tcache_flush(struct tcache *tc);

/* Is there an object in any magazine?  By anybody; right at some moment. */
bool ph__tcache_holds_objects(const struct tcache *tc);

/* Prepares the magazines of a new cache: no blocks, each of its class. */
void ph__tcache_init(struct tcache *tc);

/* Gives the magazines' blocks back. */
void ph__tcache_free_slots(struct tcache *tc);

/* In the forked child: gives the caches of threads that do not exist back. */
void ph__thread_after_fork_child(void);

/* Makes the key whose destructor empties a thread's caches.  Once. */
void ph__thread_init(void);

#endif
