/* SPDX-License-Identifier: MIT */
/*
 * Magazines: how many objects a thread keeps at hand.
 *
 * A magazine starts small and doubles each time it runs empty or full, until
 * it reaches the bound of its class or the thread's magazines together could
 * hold TCACHE_MAX_BYTES.  A refill fills half of it, a flush empties the older
 * half, so that a thread that alternates between allocating and freeing one
 * object more than fits does not go to the central each time.
 *
 * Frees alone grow a magazine up to MAGAZINE_MOST_BY_FREES only: a thread that
 * frees what others allocated never takes its objects out again.
 *
 * A refill stores its objects highest address first, so that they are handed
 * out in ascending order.
 *
 * Another process image of these bytes (a forked child) may be taken at any
 * instant.  Objects that leave a magazine for the central leave it first: top
 * goes to the first slot, the rest is moved, top is set again; while a block is
 * replaced the capacity is 0 (object/magazine.h).  A child may thus
 * lose a few objects of a thread that does not exist there; it never finds one
 * twice.
 */
#include <errno.h>
#include <string.h>

#include "object/objects.h"

void *ph__magazine_guards[MAGAZINE_GUARD_SLOTS];

/* What the magazines of one thread and heap may hold together. */
#define TCACHE_MAX_BYTES ((size_t)2 << 20)

/* Bounds of one magazine, in objects and bytes. */
#define MAGAZINE_FIRST 8
#define MAGAZINE_MOST 256
#define MAGAZINE_LEAST 2
#define MAGAZINE_MOST_BY_FREES 32
#define MAGAZINE_MAX_BYTES ((size_t)128 << 10)

static size_t slots_nbytes(uint32_t capacity)
{
	return (MAGAZINE_GUARD_SLOTS + (size_t)capacity) * sizeof(void *);
}

/* The most objects of a class that a magazine may hold. */
static uint32_t most_objects(unsigned size_class)
{
	size_t n = MAGAZINE_MAX_BYTES / ph__size_classes[size_class].size;

	if (n > MAGAZINE_MOST)
		n = MAGAZINE_MOST;
	return n < MAGAZINE_LEAST ? MAGAZINE_LEAST : (uint32_t)n;
}

/* The capacity to grow to; the present one when it may not grow. */
static uint32_t next_capacity(const struct tcache *tc, unsigned size_class)
{
	const struct magazine *m = &tc->magazines[size_class];
	uint32_t most = most_objects(size_class);
	uint32_t next = m->capacity ? 2 * m->capacity : MAGAZINE_FIRST;
	size_t more;

	if (next > most)
		next = most;
	more = (size_t)(next - m->capacity) * ph__size_classes[size_class].size;
	if (m->capacity && tc->capacity_bytes + more > TCACHE_MAX_BYTES)
		return m->capacity;
	return next;
}

void ph__tcache_init(struct tcache *tc)
{
	for (unsigned c = 0; c < PH_NUM_CLASSES; c++)
		tc->magazines[c] = (struct magazine){
			.top = MAGAZINE_NO_BLOCK,
			.end = MAGAZINE_NO_BLOCK,
			.inverse = ph__object_starts[c].inverse,
			.limit = ph__object_starts[c].limit};
}

/* Puts a magazine's objects into another block, or none with capacity 0. */
static void set_block(struct magazine *m, void **slots, uint32_t capacity,
		      uint32_t count)
{
	/* Release, each: whoever sees a step sees the ones before it. */
	ph_store_release(&m->capacity, 0);
	ph_store_release(&m->end, slots + capacity);
	ph_store_release(&m->top, slots + count);
	ph_store_release(&m->capacity, capacity);
}

/* Grows the magazine if it may.  Returns whether it has any capacity. */
static bool grow(struct tcache *tc, unsigned size_class)
{
	struct magazine *m = &tc->magazines[size_class];
	uint32_t capacity = next_capacity(tc, size_class);
	uint32_t old_capacity = m->capacity, count = magazine_count(m);
	struct meta *meta = tc->heap->meta;
	void **old = magazine_slots(m), **block;
	int saved = errno;

	if (capacity == old_capacity)
		return true;
	block = ph__meta_alloc(meta, slots_nbytes(capacity), sizeof(void *));
	if (!block) {
		errno = saved;
		return old_capacity != 0;
	}
	block += MAGAZINE_GUARD_SLOTS;
	memcpy(block, old, count * sizeof(void *));
	set_block(m, block, capacity, count);
	if (old_capacity)
		ph__meta_free(meta, old - MAGAZINE_GUARD_SLOTS,
			      slots_nbytes(old_capacity));
	tc->capacity_bytes += (size_t)(capacity - old_capacity) *
			      ph__size_classes[size_class].size;
	return true;
}

/* Turns ascending addresses round, so that the lowest is popped first. */
static void reverse(void **objects, size_t n)
{
	for (size_t i = 0, k = n; i + 1 < k; i++) {
		void *p = objects[i];

		k--;
		objects[i] = objects[k];
		objects[k] = p;
	}
}

size_t ph__tcache_refill(struct tcache *tc, unsigned size_class)
{
	struct magazine *m = &tc->magazines[size_class];
	void **slots;
	size_t n;

	ph_assert(magazine_count(m) == 0);
	if (!grow(tc, size_class)) {
		errno = ENOMEM;
		return 0;
	}
	slots = magazine_slots(m);
	n = ph__central_take(tc->heap, &tc->objects->centrals[size_class],
			     slots, (m->capacity + 1) / 2);
	reverse(slots, n);
	/* Release: slots before top. */
	ph_store_release(&m->top, slots + n);
	return n;
}

/* Gives the n oldest objects to the central. */
static void give_oldest(struct tcache *tc, unsigned size_class, uint32_t n)
{
	struct magazine *m = &tc->magazines[size_class];
	uint32_t rest = magazine_count(m) - n;
	void **slots = magazine_slots(m);
	void *batch[MAGAZINE_MOST];

	memcpy(batch, slots, n * sizeof(void *));
	/* Release: see the theory above; here and below. */
	ph_store_release(&m->top, slots);
	memmove(slots, slots + n, rest * sizeof(void *));
	ph_store_release(&m->top, slots + rest);
	ph__central_give(tc->heap, &tc->objects->centrals[size_class], batch,
			 n);
}

bool ph__tcache_make_room(struct tcache *tc, unsigned size_class)
{
	struct magazine *m = &tc->magazines[size_class];

	/* Beyond this only misses of allocations grow it: see above. */
	if (m->capacity < MAGAZINE_MOST_BY_FREES && !grow(tc, size_class))
		return false;
	if (!magazine_has_room(m))
		give_oldest(tc, size_class, m->capacity - m->capacity / 2);
	return true;
}

void ph__tcache_flush(struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		uint32_t n = magazine_count(&tc->magazines[c]);

		if (n)
			give_oldest(tc, c, n);
	}
}

bool ph__tcache_holds_objects(const struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
		if (magazine_count(&tc->magazines[c]))
			return true;
	return false;
}

void ph__tcache_free_slots(struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		struct magazine *m = &tc->magazines[c];
		uint32_t capacity = m->capacity;
		void **slots = magazine_slots(m);

		if (!capacity)
			continue;
		set_block(m, MAGAZINE_NO_BLOCK, 0, 0);
		ph__meta_free(tc->heap->meta, slots - MAGAZINE_GUARD_SLOTS,
			      slots_nbytes(capacity));
	}
}
