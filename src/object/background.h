/* SPDX-License-Identifier: MIT */
/*
 * Giving memory back without being asked: the background scavenger.
 */
#ifndef PH_OBJECT_BACKGROUND_H
#define PH_OBJECT_BACKGROUND_H

#include "object/objects.h"

/*
 * From now on the heap asks for a background thread when it holds much free
 * memory.  Makes none itself.
 */
void ph__background_enable(struct ph_heap *heap);

/* In the child of fork, which has no such thread. */
void ph__background_after_fork_child(struct ph_heap *heap);

/* Takes the heap's request for a thread; false: there is none, or a thread. */
PH_MUST_USE bool ph__background_claim(struct ph_heap *heap);

/* Makes the thread that the heap asked for; see background_is_wanted(). */
PH_COLD void ph__background_start(struct ph_heap *heap);

/*
 * Does the heap ask for a background thread?  Who finds so makes it, with
 * ph__background_start(), where a thread may be made: no lock of ours or of the
 * C library's is held, and no magazine is being worked on.
 */
static inline bool background_is_wanted(const struct ph_heap *heap)
{
	/* Relaxed: a request seen late is seen by the next slow path. */
	return ph_unlikely(ph_load_relaxed(&heap->background.wanted));
}

/* What one round of background work did. */
struct background_round {
	size_t released_bytes;
	uint64_t worked_ns;
	uint64_t left_bytes; /* free before the last attempt */
	bool finished;	     /* nothing is left to do, now or after a while */
};

/*
 * One round: releases what is above the pacer's goal for at most budget_ns,
 * but at least one range; empties idle magazines when a second has passed.
 */
struct background_round ph__background_round(struct ph_heap *heap,
					     uint64_t budget_ns);

#endif
