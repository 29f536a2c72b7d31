/* SPDX-License-Identifier: MIT */
/*
 * Fork: the child gets a heap that works, whatever other threads were doing.
 *
 * The prepare handler takes every lock of every heap, in the order of ranks,
 * so that the image that the child gets is between two changes.  The parent
 * gives them back.  In the child the locks are freed, and the magazines of
 * threads that do not exist there are given back to their spans.
 *
 * Other libraries' handlers may run between ours and the fork itself, and may
 * allocate in the forking thread: ph__fork_enter() makes its attempts on locks
 * that it holds succeed (os/lock.h).
 *
 * A thread that was in the middle of an operation on its magazine loses at
 * most the objects in its hands; see tcache.c.
 */
#include <pthread.h>

#include "object/background.h"
#include "object/objects.h"
#include "os/os.h"

static uint32_t fork_state; /* atomic; 1 once the handlers are registered */

/*
 * What is done to each lock, in the order of ranks.  The registry's lock is
 * taken before them and given back after them: while it is held no heap comes
 * or goes and none gets its objects, so that those unlocked are those locked.
 */
typedef void lock_action(struct ph_lock *l);

static void each_heap(lock_action *act, enum lock_rank rank)
{
	for (size_t i = 0; i < ph__registry.nslots; i++) {
		struct ph_heap *heap = ph__registry.slots[i];
		struct objects *o = heap ? heap->objects : NULL;

		if (!heap)
			continue;
		if (rank == LOCK_RANK_CACHES && o)
			act(&o->caches_lock);
		for (unsigned c = 0;
		     rank == LOCK_RANK_CENTRAL && o && c < PH_NUM_CLASSES; c++)
			act(&o->centrals[c].lock);
		if (rank == LOCK_RANK_HEAP)
			act(&heap->lock);
		if (rank == LOCK_RANK_ARENA && (heap->flags & HEAP_OWN_SPACE))
			act(&heap->own_arenas.lock);
		if (rank == LOCK_RANK_PAGEMAP &&
		    heap->pagemap == &heap->own_pagemap)
			act(&heap->own_pagemap.lock);
		if (rank == LOCK_RANK_META && (heap->flags & HEAP_OWN_META))
			act(&heap->own_meta.lock);
	}
}

static void each_lock_but_registry(lock_action *act)
{
	struct registry *r = &ph__registry;

	each_heap(act, LOCK_RANK_CACHES);
	each_heap(act, LOCK_RANK_CENTRAL);
	each_heap(act, LOCK_RANK_HEAP);
	act(&r->arenas.lock);
	each_heap(act, LOCK_RANK_ARENA);
	act(&r->pagemap.lock);
	each_heap(act, LOCK_RANK_PAGEMAP);
	act(&r->meta.lock);
	each_heap(act, LOCK_RANK_META);
}

static void fork_prepare(void)
{
	lock_hold_for_fork(&ph__registry.lock);
	each_lock_but_registry(lock_hold_for_fork);
	ph__fork_enter();
}

static void fork_parent(void)
{
	ph__fork_leave();
	each_lock_but_registry(lock_unhold_after_fork);
	lock_unhold_after_fork(&ph__registry.lock);
}

/* What threads that do not exist here were doing for each heap. */
static void each_heap_alone(void)
{
	for (size_t i = 0; i < ph__registry.nslots; i++) {
		struct ph_heap *heap = ph__registry.slots[i];

		if (!heap)
			continue;
		heap_lock(heap);
		ph__heap_land_flights(heap);
		heap_unlock(heap);
		if (heap->background.enabled)
			ph__background_after_fork_child(heap);
	}
}

static void fork_child(void)
{
	ph__fork_leave();
	each_lock_but_registry(ph__lock_reset);
	ph__lock_reset(&ph__registry.lock);
	ph__os_fork_child();
	(void)ph__os_membarrier_register();
	ph__thread_after_fork_child();
	each_heap_alone();
}

void ph__fork_init(void)
{
	uint32_t none = 0;

	/* Relaxed: pthread_atfork has a lock of its own. */
	if (ph_load_relaxed(&fork_state) != 0 ||
	    !ph_cas_relaxed(&fork_state, &none, 1))
		return;
	(void)pthread_atfork(fork_prepare, fork_parent, fork_child);
}
