/* SPDX-License-Identifier: MIT */
/*
 * Address space for heaps, in chunks.
 *
 * Heaps do not reserve address space themselves: they take runs of chunks from
 * a struct arenas, which reserves in larger pieces.  All ordinary heaps of the
 * process share one, so that ten thousand small heaps need a few mappings, not
 * ten thousand.  A heap over a source of its own has a struct arenas of its
 * own.
 *
 *	set		state of its chunks		taken by
 *	fresh		reserved			commit first
 *	recycled	prepared (a heap that was	use at once
 *			destroyed had them)
 *	(a heap's)	prepared, ready
 */
#ifndef PH_HEAP_ARENA_H
#define PH_HEAP_ARENA_H

#include "meta/meta.h"
#include "os/lock.h"
#include "page/addr_ranges.h"
#include "pageheap.h"

/* The first reservation; each later one doubles, up to the largest. */
#define ARENA_FIRST_BYTES ((size_t)16 << 20)
#define ARENA_LARGEST_BYTES ((size_t)64 << 20)

struct arenas {
	struct ph_lock lock;
	const struct ph_os_ops *os;
	void *os_ctx;
	struct meta *meta;
	struct addr_ranges fresh PH_GUARDED_BY(lock);
	struct addr_ranges recycled PH_GUARDED_BY(lock);
	struct addr_ranges all PH_GUARDED_BY(lock);
	unsigned flags;
	uintptr_t next_hint PH_GUARDED_BY(lock); /* 0: none yet */
	size_t next_nbytes PH_GUARDED_BY(lock);
};

/* Chunks for a heap. */
struct arena_run {
	uintptr_t base; /* 0: none */
	size_t nbytes;
};

/* Reservations that cannot follow another start at random places. */
#define ARENAS_RANDOM 1u

/* The first reservation is tried at ARENA_FIXED_BASE, for debugging. */
#define ARENAS_FIXED 2u
#define ARENA_FIXED_BASE ((uintptr_t)1 << 40)

/* Prepares an empty struct arenas.  Makes no system call; cannot fail. */
void ph__arenas_init(struct arenas *a, const struct ph_os_ops *os, void *os_ctx,
		     struct meta *meta, unsigned flags);

/* Unmaps every reservation, whoever has its chunks. */
void ph__arenas_destroy(struct arenas *a);

/*
 * Takes nbytes (a multiple of the chunk) of prepared memory, wherever the
 * lowest run lies.  A base of 0 and ENOMEM when the system refuses; nothing
 * has changed then.
 */
PH_MUST_USE struct arena_run ph__arenas_take(struct arenas *a, size_t nbytes);

/* As above, but exactly at base; a base of 0 when that is not to be had. */
PH_MUST_USE struct arena_run ph__arenas_take_at(struct arenas *a, size_t nbytes,
						uintptr_t base);

/*
 * Takes chunks back.  They must be prepared: their memory released.  Without
 * metadata to remember them their address space is lost until the end.
 */
void ph__arenas_give_back(struct arenas *a, struct arena_run run);

/* Unmaps chunks that cannot be recycled: their memory was not released. */
void ph__arenas_drop(struct arenas *a, struct arena_run run);

#endif
