/* SPDX-License-Identifier: MIT */
/*
 * Objects of one size, cut from slabs of metadata.
 *
 * A pool serves descriptors that are made and dropped often.  It is
 * type-stable: what was once an object of the pool stays one until the pool is
 * destroyed, so a lock-free reader with a stale pointer still finds an object
 * of this type, if a wrong one.  A free object keeps its contents but for the
 * last eight bytes of its slot, which link the free list; a fresh object is
 * zero.
 *
 * Not thread-safe: the lock of the pool's owner guards it.
 */
#ifndef PH_META_POOL_H
#define PH_META_POOL_H

#include "meta/meta.h"

struct pool_slab; /* at the start of each slab */

struct meta_pool {
	struct meta *m;
	size_t slot_bytes; /* bytes from one object to the next */
	size_t slab_bytes;
	struct pool_slab *slabs; /* every slab, newest first */
	void *free;		 /* objects given back, newest first */
	uintptr_t next;		 /* first object never handed out */
	uintptr_t limit;	 /* end of the newest slab */
	size_t nslabs;
	size_t nlive;	 /* objects handed out now */
	size_t ncreated; /* objects ever cut from slabs */
};

/*
 * Prepares an empty pool of objects of object_bytes, in slabs of slab_bytes
 * (room for at least one object and 64 bytes).  Objects are aligned to 16
 * bytes, and to 64 when object_bytes is a multiple of 64.  Cannot fail.
 */
void ph__pool_init(struct meta_pool *pool, struct meta *m, size_t object_bytes,
		   size_t slab_bytes);

/* Gives all slabs back, whatever is in use; the pool is empty afterwards. */
void ph__pool_destroy(struct meta_pool *pool);

/*
 * An object with the contents it was freed with, or zero when it is fresh.
 * NULL with ENOMEM when a slab is needed and cannot be had.  Constant time.
 */
PH_MUST_USE void *ph__pool_alloc(struct meta_pool *pool);

/* As above, always zero. */
PH_MUST_USE void *ph__pool_alloc_zeroed(struct meta_pool *pool);

/* Takes an object back.  Constant time. */
void ph__pool_free(struct meta_pool *pool, void *object);

/* Verifies the counts and the free list; NULL or what is wrong. */
const char *ph__pool_check(const struct meta_pool *pool);

/*
 * Calls visit for every object ever handed out, in use or free; the caller
 * tells them apart by a field of its own.
 */
void ph__pool_for_each(const struct meta_pool *pool,
		       void (*visit)(void *ctx, void *object), void *ctx);

#endif
