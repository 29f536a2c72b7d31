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
 *	slots	[-4..-1] NULL	0 1 2 3 4 5 6 7
 *				a b c d e f	  count 6, capacity 8
 *				^ oldest  ^ newest, popped next
 *
 * A refill stores its objects highest address first, so that they are handed
 * out in ascending order.
 *
 * Another process image of these bytes (a forked child) may be taken at any
 * instant.  Objects that leave a magazine for the central leave it first:
 * count goes to 0, the rest is moved, count is set again.  A child may thus
 * lose a few objects of a thread that does not exist there; it never finds one
 * twice.
 */
#include <errno.h>
#include <string.h>

#include "object/objects.h"

/* What the magazines of one thread and heap may hold together. */
#define TCACHE_MAX_BYTES ((size_t)2 << 20)

/* Bounds of one magazine, in objects and bytes. */
#define MAGAZINE_FIRST 8
#define MAGAZINE_MOST 256
#define MAGAZINE_LEAST 2
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

/* Grows the magazine if it may.  Returns whether it has any capacity. */
static bool grow(struct tcache *tc, unsigned size_class)
{
	struct magazine *m = &tc->magazines[size_class];
	uint32_t capacity = next_capacity(tc, size_class);
	struct meta *meta = tc->heap->meta;
	int saved = errno;
	void **block, **old = m->slots;

	if (capacity == m->capacity)
		return true;
	block = ph__meta_alloc(meta, slots_nbytes(capacity), sizeof(void *));
	if (!block) {
		errno = saved;
		return m->capacity != 0;
	}
	block += MAGAZINE_GUARD_SLOTS;
	if (m->count)
		memcpy(block, old, m->count * sizeof(void *));
	/* Release: the slots are filled before they are found. */
	ph_store_release(&m->slots, block);
	if (old)
		ph__meta_free(meta, old - MAGAZINE_GUARD_SLOTS,
			      slots_nbytes(m->capacity));
	tc->capacity_bytes += (size_t)(capacity - m->capacity) *
			      ph__size_classes[size_class].size;
	m->capacity = capacity;
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
	size_t n;

	ph_assert(m->count == 0);
	if (!grow(tc, size_class)) {
		errno = ENOMEM;
		return 0;
	}
	n = ph__central_take(tc->heap, &tc->objects->centrals[size_class],
			     m->slots, (m->capacity + 1) / 2);
	reverse(m->slots, n);
	/* Release: slots before count. */
	ph_store_release(&m->count, (uint32_t)n);
	return n;
}

/* Gives the n oldest objects to the central. */
static void give_oldest(struct tcache *tc, unsigned size_class, uint32_t n)
{
	struct magazine *m = &tc->magazines[size_class];
	uint32_t rest = m->count - n;
	void *batch[MAGAZINE_MOST];

	memcpy(batch, m->slots, n * sizeof(void *));
	/* Release: see the theory above; here and below. */
	ph_store_release(&m->count, 0);
	memmove(m->slots, m->slots + n, rest * sizeof(void *));
	ph_store_release(&m->count, rest);
	ph__central_give(tc->heap, &tc->objects->centrals[size_class], batch,
			 n);
}

bool ph__tcache_make_room(struct tcache *tc, unsigned size_class)
{
	struct magazine *m = &tc->magazines[size_class];

	if (!grow(tc, size_class))
		return false;
	if (m->count == m->capacity)
		give_oldest(tc, size_class, m->capacity - m->capacity / 2);
	return true;
}

void ph__tcache_flush(struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
		if (tc->magazines[c].count)
			give_oldest(tc, c, tc->magazines[c].count);
}

bool ph__tcache_holds_objects(const struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
		if (ph_load_relaxed(&tc->magazines[c].count))
			return true;
	return false;
}

void ph__tcache_free_slots(struct tcache *tc)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		struct magazine *m = &tc->magazines[c];

		if (m->slots)
			ph__meta_free(tc->heap->meta,
				      m->slots - MAGAZINE_GUARD_SLOTS,
				      slots_nbytes(m->capacity));
		*m = (struct magazine){0};
	}
}
