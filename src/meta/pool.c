/* SPDX-License-Identifier: MIT */
/*
 * Pools: slabs, and a free list through the objects' last words.
 *
 *	slab	| header | object | object | ... | object | rest |
 *		 64 bytes                    next ^        limit ^
 *
 * Only the newest slab has objects that were never handed out; they are taken
 * when the free list is empty, so a pool touches no more memory than its peak
 * of live objects needs.
 *
 * The link is the last word of a slot, not the first, because stale readers
 * look at the state and address fields, which come first in a descriptor.
 *
 * Rejected: giving empty slabs back (readers rely on type stability, and the
 * peak number of descriptors recurs); a bitmap per slab (the list is smaller
 * and faster; double frees of descriptors are caught by their state field).
 */
#include "meta/pool.h"

#include <string.h>

#include "base/bits.h"

/* Bytes before the first object: a cache line, which keeps them aligned. */
#define POOL_HEADER_BYTES ((size_t)PH_CACHE_LINE)

struct pool_slab {
	struct pool_slab *next;
};

/* Where the link of a free object lies. */
static void **pool_link(const struct meta_pool *pool, void *object)
{
	return (void **)(void *)((char *)object + pool->slot_bytes -
				 sizeof(void *));
}

static size_t slots_per_slab(const struct meta_pool *pool)
{
	return (pool->slab_bytes - POOL_HEADER_BYTES) / pool->slot_bytes;
}

static void pool_set_empty(struct meta_pool *pool)
{
	pool->slabs = NULL;
	pool->free = NULL;
	pool->next = 0;
	pool->limit = 0;
	pool->nslabs = 0;
	pool->nlive = 0;
	pool->ncreated = 0;
}

void ph__pool_init(struct meta_pool *pool, struct meta *m, size_t object_bytes,
		   size_t slab_bytes)
{
	ph_assert(object_bytes != 0);
	pool->m = m;
	pool->slot_bytes = (size_t)align_up(object_bytes, 16);
	pool->slab_bytes = slab_bytes;
	pool_set_empty(pool);
	ph_assert(slab_bytes > POOL_HEADER_BYTES && slots_per_slab(pool) != 0);
}

void ph__pool_destroy(struct meta_pool *pool)
{
	struct pool_slab *slab = pool->slabs;

	while (slab != NULL) {
		struct pool_slab *next = slab->next;

		ph__meta_free(pool->m, slab, pool->slab_bytes);
		slab = next;
	}
	pool_set_empty(pool);
}

/* Adds a slab; false when there is no memory. */
static bool pool_grow(struct meta_pool *pool)
{
	struct pool_slab *slab =
		ph__meta_alloc(pool->m, pool->slab_bytes, POOL_HEADER_BYTES);

	if (slab == NULL)
		return false;
	slab->next = pool->slabs;
	pool->slabs = slab;
	pool->nslabs++;
	pool->next = (uintptr_t)slab + POOL_HEADER_BYTES;
	pool->limit = pool->next + slots_per_slab(pool) * pool->slot_bytes;
	return true;
}

void *ph__pool_alloc(struct meta_pool *pool)
{
	void *object = pool->free;

	if (object != NULL) {
		pool->free = *pool_link(pool, object);
	} else {
		if (pool->next == pool->limit && !pool_grow(pool))
			return NULL;
		object = (void *)pool->next;
		pool->next += pool->slot_bytes;
		pool->ncreated++;
	}
	pool->nlive++;
	return object;
}

void *ph__pool_alloc_zeroed(struct meta_pool *pool)
{
	void *object = ph__pool_alloc(pool);

	if (object != NULL)
		memset(object, 0, pool->slot_bytes);
	return object;
}

void ph__pool_free(struct meta_pool *pool, void *object)
{
	ph_assert(object != NULL && pool->nlive != 0);
	*pool_link(pool, object) = pool->free;
	pool->free = object;
	pool->nlive--;
}

void ph__pool_for_each(const struct meta_pool *pool,
		       void (*visit)(void *ctx, void *object), void *ctx)
{
	for (struct pool_slab *s = pool->slabs; s != NULL; s = s->next) {
		uintptr_t at = (uintptr_t)s + POOL_HEADER_BYTES;
		uintptr_t end = at + slots_per_slab(pool) * pool->slot_bytes;

		if (s == pool->slabs)
			end = pool->next;
		for (; at < end; at += pool->slot_bytes)
			visit(ctx, (void *)at);
	}
}

/* Is there a slab with an object at this address that was handed out once? */
static bool pool_has(const struct meta_pool *pool, uintptr_t at)
{
	for (const struct pool_slab *s = pool->slabs; s != NULL; s = s->next) {
		uintptr_t first = (uintptr_t)s + POOL_HEADER_BYTES;
		uintptr_t end = first + slots_per_slab(pool) * pool->slot_bytes;

		if (s == pool->slabs)
			end = pool->next;
		if (at >= first && at < end)
			return (at - first) % pool->slot_bytes == 0;
	}
	return false;
}

const char *ph__pool_check(const struct meta_pool *pool)
{
	size_t nslabs = 0;
	size_t nfree = 0;
	size_t nunused = (pool->limit - pool->next) / pool->slot_bytes;

	for (const struct pool_slab *s = pool->slabs; s != NULL; s = s->next)
		nslabs++;
	if (nslabs != pool->nslabs)
		return "the number of slabs is wrong";
	if (pool->ncreated + nunused != nslabs * slots_per_slab(pool))
		return "objects created and unused do not fill the slabs";
	for (void *f = pool->free; f != NULL; f = *pool_link(pool, f)) {
		if (++nfree > pool->ncreated)
			return "the free list is circular";
		if (!pool_has(pool, (uintptr_t)f))
			return "a free object is not the pool's";
	}
	if (pool->nlive + nfree != pool->ncreated)
		return "live and free objects are not all objects";
	return NULL;
}
