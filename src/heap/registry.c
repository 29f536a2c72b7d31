/* SPDX-License-Identifier: MIT */
/*
 * The registry: heaps by slot, and the resources that ordinary heaps share.
 *
 *	id of a heap	| count of heaps ever made (44 bits) | slot (20) |
 *
 * An id is never used twice, so that a thread's table may keep ids of heaps
 * that are gone: they match nothing.  Finding a heap by id is one load and one
 * compare.
 *
 * The slots grow by doubling; the old array goes back to the metadata.  All of
 * it happens under the registry's lock, the outermost of all.
 */
#include "heap/registry.h"

#include <errno.h>
#include <string.h>

#include "os/os.h"

struct registry ph__registry;
struct pagemap_leaf *ph__process_root[PAGEMAP_ROOT_LEN];

#define REGISTRY_FIRST_SLOTS 8

/* All ordinary heaps of the process start at random places, but not here. */
static unsigned arenas_flags(void)
{
	/* TSan maps its shadow where random hints would fall, and dies. */
	return PH_TSAN ? 0 : ARENAS_RANDOM;
}

static void registry_prepare(struct registry *r)
{
	int error;

	ph__meta_init(&r->meta, ph_os_default(), NULL);
	ph__arenas_init(&r->arenas, ph_os_default(), NULL, &r->meta,
			arenas_flags());
	/* With a root of ours this cannot fail. */
	error = ph__pagemap_init(&r->pagemap, &r->meta, ph__process_root);
	ph_require(error == 0);
	r->next_id = 1;
}

void ph__registry_init(void)
{
	struct registry *r = &ph__registry;

	/* Acquire: pairs with the release below. */
	if (ph_likely(ph_load_acquire(&r->ready)))
		return;
	/* A lock of all zeroes is free; the rank makes debug builds check. */
	lock_acquire(&r->lock);
	if (!r->ready) {
		registry_prepare(r);
		ph_store_release(&r->ready, 1);
	}
	lock_release(&r->lock);
}

/* Makes room for one more heap. */
static int grow_slots(struct registry *r) PH_REQUIRES(r->lock)
{
	size_t n = r->nslots ? 2 * r->nslots : REGISTRY_FIRST_SLOTS;
	struct ph_heap **slots;

	if (n > (size_t)1 << HEAP_SLOT_BITS)
		return ENOMEM;
	slots = ph__meta_alloc(&r->meta, n * sizeof(*slots), sizeof(*slots));
	if (!slots)
		return ENOMEM;
	if (r->slots) {
		memcpy(slots, r->slots, r->nslots * sizeof(*slots));
		ph__meta_free(&r->meta, r->slots, r->nslots * sizeof(*slots));
	}
	r->slots = slots;
	r->nslots = n;
	return 0;
}

int ph__registry_add(struct ph_heap *heap)
{
	struct registry *r = &ph__registry;
	int error = 0;

	lock_acquire(&r->lock);
	if (r->nheaps == r->nslots)
		error = grow_slots(r);
	if (!error) {
		size_t i = r->first_free;

		while (r->slots[i])
			i++;
		r->slots[i] = heap;
		r->first_free = i + 1;
		r->nheaps++;
		heap->id = r->next_id++ << HEAP_SLOT_BITS | i;
	}
	lock_release(&r->lock);
	return error;
}

void ph__registry_remove(struct ph_heap *heap)
{
	struct registry *r = &ph__registry;
	size_t i = heap->id & (((uint64_t)1 << HEAP_SLOT_BITS) - 1);

	lock_acquire(&r->lock);
	ph_require(i < r->nslots && r->slots[i] == heap);
	r->slots[i] = NULL;
	r->nheaps--;
	if (i < r->first_free)
		r->first_free = i;
	lock_release(&r->lock);
}

struct ph_heap *ph__registry_find(uint64_t id)
{
	struct registry *r = &ph__registry;
	size_t i = id & (((uint64_t)1 << HEAP_SLOT_BITS) - 1);

	if (i >= r->nslots || !r->slots[i] || r->slots[i]->id != id)
		return NULL;
	return r->slots[i];
}
