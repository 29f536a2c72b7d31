/* SPDX-License-Identifier: MIT */
/*
 * Arenas: where chunks come from.
 *
 * Reservations start small, since address space is limited where `ulimit -v`
 * is, and grow so that a large heap needs few.  Each is tried right behind the
 * one before, so that a heap stays contiguous: runs of pages may then straddle
 * reservations, and the kernel merges the mappings.
 *
 *	next_hint ------------------------------------.
 *	| reservation 1 | reservation 2               |v
 *	[taken][taken][ fresh ][recycled][   fresh   ]
 *
 * When the hint is taken by somebody else, the next random place is tried, and
 * after three of those the system chooses.  When a reservation of the size
 * wished for fails, smaller ones are tried down to what was asked for.
 *
 * All of it under one lock, with system calls inside: growth is rare, and a
 * heap's other threads do not wait for this lock.
 *
 * Undoing: a step that fails leaves the sets as they were.  Room for the
 * bookkeeping of a step is made before the step.
 */
#include "heap/arena.h"

#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "os/os.h"

void ph__arenas_init(struct arenas *a, const struct ph_os_ops *os, void *os_ctx,
		     struct meta *meta, unsigned flags)
{
	lock_init(&a->lock, LOCK_RANK_ARENA);
	a->os = os;
	a->os_ctx = os_ctx;
	a->meta = meta;
	ph__addr_ranges_init(&a->fresh);
	ph__addr_ranges_init(&a->recycled);
	ph__addr_ranges_init(&a->all);
	a->flags = flags;
	a->next_hint = flags & ARENAS_FIXED ? ARENA_FIXED_BASE : 0;
	a->next_nbytes = ARENA_FIRST_BYTES;
}

void ph__arenas_destroy(struct arenas *a)
{
	for (size_t i = 0; i < a->all.count; i++) {
		struct addr_range r = a->all.range[i];

		(void)a->os->unmap(a->os_ctx, (void *)r.base, r.limit - r.base);
	}
	ph__addr_ranges_destroy(&a->fresh, a->meta);
	ph__addr_ranges_destroy(&a->recycled, a->meta);
	ph__addr_ranges_destroy(&a->all, a->meta);
}

/* Removes [base, base + nbytes), which lies in one range of the set. */
static int carve(struct addr_ranges *set, struct meta *meta, uintptr_t base,
		 size_t nbytes)
{
	size_t i = ph__addr_ranges_find_succ(set, base) - 1;
	struct addr_range whole = set->range[i];
	uintptr_t limit = base + nbytes;

	/* Room for the second half of a split, before anything changes. */
	if (ph__addr_ranges_reserve(set, meta) != 0)
		return ENOMEM;
	memmove(&set->range[i], &set->range[i + 1],
		(set->count - i - 1) * sizeof(set->range[0]));
	set->count--;
	set->total_bytes -= whole.limit - whole.base;
	if (whole.base < base)
		ph__addr_ranges_add(set, (struct addr_range){whole.base, base});
	if (limit < whole.limit) {
		/* After a split of one range this is the room reserved. */
		ph__addr_ranges_add(set,
				    (struct addr_range){limit, whole.limit});
	}
	return 0;
}

/* The lowest run of nbytes in the set; 0: none. */
static uintptr_t find_run(const struct addr_ranges *set, size_t nbytes)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->range[i].limit - set->range[i].base >= nbytes)
			return set->range[i].base;
	return 0;
}

static bool has_run_at(const struct addr_ranges *set, size_t nbytes,
		       uintptr_t base)
{
	return ph__addr_ranges_covers(set,
				      (struct addr_range){base, base + nbytes});
}

/*
 * A random place for a heap: between 1 and 64 TiB, above what programs map
 * and below what sanitizers and the kernel's own choices use.  24 bits.
 */
static uintptr_t random_hint(void)
{
	uintptr_t slot = (uintptr_t)(ph__os_random() & 0xffffff) % 0xfc0000;

	return ((uintptr_t)1 << 40) + (slot << PH_CHUNK_SHIFT);
}

static void *reserve_at(struct arenas *a, uintptr_t hint, size_t nbytes)
{
	return a->os->reserve(a->os_ctx, (void *)hint, nbytes, PH_CHUNK_SIZE);
}

/* Tries the hint, other random places, then anywhere. */
static void *reserve_somewhere(struct arenas *a, size_t nbytes)
	PH_REQUIRES(a->lock)
{
	void *p = NULL;

	if (a->next_hint)
		p = reserve_at(a, a->next_hint, nbytes);
	if (a->flags & ARENAS_RANDOM) {
		for (int i = 0; !p && i < 3; i++)
			p = reserve_at(a, random_hint(), nbytes);
	}
	return p ? p : reserve_at(a, 0, nbytes);
}

/* Adds a reservation of at least nbytes to the fresh set. */
static int reserve_more(struct arenas *a, size_t nbytes,
			struct addr_range *made) PH_REQUIRES(a->lock)
{
	size_t ask = a->next_nbytes > nbytes ? a->next_nbytes : nbytes;
	struct addr_range r;
	void *p;

	if (ph__addr_ranges_reserve(&a->all, a->meta) != 0 ||
	    ph__addr_ranges_reserve(&a->fresh, a->meta) != 0)
		return ENOMEM;
	p = reserve_somewhere(a, ask);
	while (!p && ask > nbytes) {
		ask = align_down(ask / 2, PH_CHUNK_SIZE);
		if (ask < nbytes)
			ask = nbytes;
		p = reserve_somewhere(a, ask);
	}
	if (!p)
		return ENOMEM;
	r = (struct addr_range){(uintptr_t)p, (uintptr_t)p + ask};
	ph__addr_ranges_add(&a->all, r);
	ph__addr_ranges_add(&a->fresh, r);
	a->next_hint = r.limit;
	if (a->next_nbytes < ARENA_LARGEST_BYTES)
		a->next_nbytes *= 2;
	*made = r;
	return 0;
}

/*
 * Undoes a reservation whose memory the system then refused: a request for
 * more than there is must not leave its addresses taken.  When that fails it
 * stays in the sets, unused.
 */
static void unreserve(struct arenas *a, const struct addr_range *made)
	PH_REQUIRES(a->lock)
{
	size_t nbytes = made->limit - made->base;

	/* Room for splits first: after the unmap nothing may fail. */
	if (nbytes == 0 || ph__addr_ranges_reserve(&a->all, a->meta) != 0 ||
	    ph__addr_ranges_reserve(&a->fresh, a->meta) != 0 ||
	    a->os->unmap(a->os_ctx, (void *)made->base, nbytes) != 0)
		return;
	(void)carve(&a->fresh, a->meta, made->base, nbytes);
	(void)carve(&a->all, a->meta, made->base, nbytes);
	if (a->next_hint == made->limit)
		a->next_hint = made->base;
}

/* Takes a run from the fresh set and commits it. */
static int take_fresh(struct arenas *a, uintptr_t base, size_t nbytes)
	PH_REQUIRES(a->lock)
{
	/* Room for a split first: after the commit nothing may fail. */
	if (ph__addr_ranges_reserve(&a->fresh, a->meta) != 0 ||
	    a->os->commit(a->os_ctx, (void *)base, nbytes) != 0)
		return ENOMEM;
	return carve(&a->fresh, a->meta, base, nbytes);
}

struct arena_run ph__arenas_take(struct arenas *a, size_t nbytes)
{
	struct arena_run run = {0, nbytes};
	struct addr_range made = {0, 0};
	uintptr_t base;

	lock_acquire(&a->lock);
	base = find_run(&a->recycled, nbytes);
	if (base) {
		if (carve(&a->recycled, a->meta, base, nbytes) == 0)
			run.base = base;
	} else {
		base = find_run(&a->fresh, nbytes);
		if (!base && reserve_more(a, nbytes, &made) == 0)
			base = find_run(&a->fresh, nbytes);
		if (base && take_fresh(a, base, nbytes) == 0)
			run.base = base;
		else
			unreserve(a, &made);
	}
	lock_release(&a->lock);
	if (!run.base)
		errno = ENOMEM;
	return run;
}

/* Bytes by which the fresh set would have to grow to reach nbytes at base. */
static size_t missing_at(const struct arenas *a, size_t nbytes, uintptr_t base)
	PH_REQUIRES(a->lock)
{
	size_t i = ph__addr_ranges_find_succ(&a->fresh, base);

	if (base == a->next_hint)
		return nbytes;
	/* The range before base need not reach it. */
	if (i == 0 || a->fresh.range[i - 1].limit != a->next_hint ||
	    base > a->next_hint)
		return 0;
	return base + nbytes - a->next_hint;
}

struct arena_run ph__arenas_take_at(struct arenas *a, size_t nbytes,
				    uintptr_t base)
{
	struct arena_run run = {0, nbytes};
	struct addr_range made = {0, 0};

	if (base + nbytes < base)
		return run;
	lock_acquire(&a->lock);
	if (has_run_at(&a->recycled, nbytes, base)) {
		if (carve(&a->recycled, a->meta, base, nbytes) == 0)
			run.base = base;
	} else {
		size_t missing = 0;

		/* The next reservation is tried right behind the last one. */
		if (!has_run_at(&a->fresh, nbytes, base))
			missing = missing_at(a, nbytes, base);
		if (missing != 0)
			(void)reserve_more(a, missing, &made);
		if (has_run_at(&a->fresh, nbytes, base) &&
		    take_fresh(a, base, nbytes) == 0)
			run.base = base;
		else if (nbytes > ARENA_LARGEST_BYTES)
			unreserve(a, &made);
	}
	lock_release(&a->lock);
	return run;
}

void ph__arenas_give_back(struct arenas *a, struct arena_run run)
{
	struct addr_range r = {run.base, run.base + run.nbytes};

	lock_acquire(&a->lock);
	if (ph__addr_ranges_reserve(&a->recycled, a->meta) == 0)
		ph__addr_ranges_add(&a->recycled, r);
	/* Else the address space is lost, but no memory: it was released. */
	lock_release(&a->lock);
}

void ph__arenas_drop(struct arenas *a, struct arena_run run)
{
	lock_acquire(&a->lock);
	if (carve(&a->all, a->meta, run.base, run.nbytes) == 0)
		(void)a->os->unmap(a->os_ctx, (void *)run.base, run.nbytes);
	lock_release(&a->lock);
}
