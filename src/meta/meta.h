/* SPDX-License-Identifier: MIT */
/*
 * Memory for pageheap's own metadata, never inside user pages.
 *
 * A struct meta hands out blocks of zeroed memory from large reservations.
 * Blocks may be given back, and are then reused for blocks of the same size
 * class; a block of at least META_RELEASE_BYTES gives its physical memory back
 * to the system meanwhile.  The address space is never unmapped before
 * ph__meta_destroy(), so that a lock-free reader with a stale pointer reads
 * rubbish, never faults.
 *
 * All functions are thread-safe: a struct meta has a lock of its own, the
 * innermost of all.
 */
#ifndef PH_META_META_H
#define PH_META_META_H

#include <stdbool.h>

#include "base/atomic.h"
#include "base/compiler.h"
#include "os/lock.h"
#include "pageheap.h"

/* Blocks at least this large lose their physical memory when given back. */
#define META_RELEASE_BYTES ((size_t)16 << 10)

/* Blocks at least this large start at, and fill, pages of this size. */
#define META_PAGE_BYTES ((size_t)4 << 10)

/* Size classes: four steps for each power of two from 16 bytes up. */
#define META_NUM_BINS 128

/* The first reservation; each one is twice the last, up to the maximum. */
#define META_FIRST_RESERVE ((size_t)1 << 20)
#define META_MAX_RESERVE ((size_t)16 << 20)

/* How much is made ready at a time for small needs. */
#define META_COMMIT_BYTES ((size_t)64 << 10)

struct meta_free;   /* a block that was given back */
struct meta_region; /* a reservation */

/*
 * The reservation that blocks are cut from.
 * next <= ready <= prepared <= limit; all but next are whole physical pages.
 */
struct meta_window {
	uintptr_t next;	    /* first byte not handed out */
	uintptr_t ready;    /* first byte not ready */
	uintptr_t prepared; /* first byte still reserved */
	uintptr_t limit;    /* end of the reservation */
};

struct meta {
	struct ph_lock lock; /* guards everything below */
	const struct ph_os_ops *os;
	void *os_ctx;
	struct meta_window window;
	size_t next_reserve; /* bytes, next reservation */
	/* Every reservation, newest first. */
	uintptr_t stray_base; /* a reservation still to be unmapped ... */
	size_t stray_nbytes;  /* ... and its size; 0: none */
	struct meta_region *regions;
	struct meta_free *bins[META_NUM_BINS];

	/*
	 * Written under the lock, read by anybody through the functions below.
	 * committed = used + free + waste + ready bytes of the window.
	 */
	size_t reserved_bytes;	/* address space */
	size_t committed_bytes; /* ready, in use or not */
	size_t used_bytes;	/* handed out now, rounded to size classes */
	size_t free_bytes;	/* in bins */
	size_t waste_bytes;	/* records of reservations */
};

/* Prepares an empty struct meta.  Makes no system call; cannot fail. */
void ph__meta_init(struct meta *m, const struct ph_os_ops *os, void *os_ctx);

/* Unmaps everything.  The struct meta is as after ph__meta_init(). */
void ph__meta_destroy(struct meta *m);

/*
 * nbytes (not 0) of zeroed memory at a multiple of align (a power of two of at
 * most 4 KiB; 16 at least; blocks of 4 KiB and more are always aligned to
 * 4 KiB).  Memory of blocks above META_RELEASE_BYTES is physically backed when
 * first touched.  NULL and ENOMEM when the system refuses; nothing has changed
 * then.
 */
PH_MUST_USE void *ph__meta_alloc(struct meta *m, size_t nbytes, size_t align)
	PH_EXCLUDES(m->lock);

/* Takes back a block of exactly nbytes from ph__meta_alloc(); keeps errno. */
void ph__meta_free(struct meta *m, void *block, size_t nbytes)
	PH_EXCLUDES(m->lock);

/* What a block of nbytes really occupies; 0 when it is too large to exist. */
size_t ph__meta_round(size_t nbytes);

/*
 * Verifies counters, reservations and bins, linear in their number.  Returns
 * NULL or what is wrong.
 */
const char *ph__meta_check(struct meta *m) PH_EXCLUDES(m->lock);

/* Relaxed: each is a gauge on its own and orders nothing. */
static inline size_t meta_used_bytes(const struct meta *m)
{
	return ph_load_relaxed(&m->used_bytes);
}

static inline size_t meta_committed_bytes(const struct meta *m)
{
	return ph_load_relaxed(&m->committed_bytes);
}

static inline size_t meta_reserved_bytes(const struct meta *m)
{
	return ph_load_relaxed(&m->reserved_bytes);
}

#endif
