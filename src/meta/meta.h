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

#include "base/compiler.h"
#include "os/lock.h"
#include "pageheap.h"

/* Blocks at least this large lose their physical memory when given back. */
#define META_RELEASE_BYTES ((size_t)16 << 10)

/* Size classes: four steps for each power of two from 16 bytes up. */
#define META_NUM_BINS 128

struct meta_free; /* a block that was given back */

struct meta {
	struct ph_lock lock; /* guards everything below */
	const struct ph_os_ops *os;
	void *os_ctx;
	uintptr_t next;		     /* first byte not handed out */
	uintptr_t committed;	     /* first byte not committed */
	uintptr_t limit;	     /* end of the current reservation */
	struct meta_region *regions; /* every reservation, newest first */
	struct meta_free *bins[META_NUM_BINS];
	size_t reserved_bytes;
	size_t committed_bytes;
	size_t used_bytes; /* handed out now; atomic for readers */
};

/* Prepares an empty struct meta.  Makes no system call; cannot fail. */
void ph__meta_init(struct meta *m, const struct ph_os_ops *os, void *os_ctx);

/* Unmaps everything.  The struct meta is as after ph__meta_init(). */
void ph__meta_destroy(struct meta *m);

/*
 * nbytes of zeroed memory at a multiple of align (a power of two of at most
 * 4 KiB; blocks of 4 KiB and more are always aligned to 4 KiB).  Memory of
 * blocks above META_RELEASE_BYTES is physically backed when first touched.
 * NULL and ENOMEM when the system refuses; nothing has changed then.
 */
PH_MUST_USE void *ph__meta_alloc(struct meta *m, size_t nbytes, size_t align);

/* Takes back a block of exactly nbytes from ph__meta_alloc(). */
void ph__meta_free(struct meta *m, void *block, size_t nbytes);

#endif
