/* SPDX-License-Identifier: MIT */
/*
 * The sorted set of address ranges; addr_ranges.h draws it.
 *
 * Invariants, which ph__addr_ranges_check() verifies: base < limit in every
 * range; range[i].limit < range[i + 1].base, strictly, for equality would have
 * joined the two; total_bytes is the sum of the lengths.
 *
 * Room is made (ph__addr_ranges_reserve) apart from adding, so that a caller
 * with several things to prepare can make sure of all of them before it changes
 * any.  The array starts inside the set, moves to a metadata block when it
 * outgrows that, and doubles.
 */
#include <errno.h>
#include <string.h>

#include "base/bits.h"
#include "base/check.h"
#include "meta/meta.h"
#include "page/addr_ranges.h"

/* Below this many candidates a linear scan beats further halving. */
#define LINEAR_RANGES 8

void ph__addr_ranges_init(struct addr_ranges *set)
{
	memset(set, 0, sizeof(*set));
	set->range = set->few;
	set->capacity = ADDR_RANGES_INLINE;
}

static void give_array_back(struct addr_ranges *set, struct meta *meta)
{
	if (set->range != set->few)
		ph__meta_free(meta, set->range,
			      set->capacity * sizeof(set->range[0]));
}

void ph__addr_ranges_destroy(struct addr_ranges *set, struct meta *meta)
{
	give_array_back(set, meta);
	ph__addr_ranges_init(set);
}

int ph__addr_ranges_reserve(struct addr_ranges *set, struct meta *meta)
{
	size_t capacity = set->capacity < 8 ? 16 : 2 * set->capacity;
	struct addr_range *range;

	if (set->count < set->capacity)
		return 0;
	range = ph__meta_alloc(meta, capacity * sizeof(range[0]),
			       PH_CACHE_LINE);
	if (range == NULL)
		return ENOMEM;
	memcpy(range, set->range, set->count * sizeof(range[0]));
	give_array_back(set, meta);
	set->range = range;
	set->capacity = capacity;
	return 0;
}

size_t ph__addr_ranges_find_succ(const struct addr_ranges *set, uintptr_t addr)
{
	size_t low = 0, high = set->count;

	while (high - low > LINEAR_RANGES) {
		size_t middle = low + (high - low) / 2;

		if (set->range[middle].base <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	while (low < high && set->range[low].base <= addr)
		low++;
	return low;
}

bool ph__addr_ranges_contains(const struct addr_ranges *set, uintptr_t addr)
{
	size_t i = ph__addr_ranges_find_succ(set, addr);

	return i != 0 && addr < set->range[i - 1].limit;
}

bool ph__addr_ranges_covers(const struct addr_ranges *set, struct addr_range r)
{
	size_t i = ph__addr_ranges_find_succ(set, r.base);

	return i != 0 && r.base < r.limit && r.limit <= set->range[i - 1].limit;
}

bool ph__addr_ranges_overlaps(const struct addr_ranges *set,
			      struct addr_range r)
{
	size_t i = ph__addr_ranges_find_succ(set, r.base);

	return (i != 0 && r.base < set->range[i - 1].limit) ||
	       (i != set->count && set->range[i].base < r.limit);
}

bool ph__addr_ranges_find_ge(const struct addr_ranges *set, uintptr_t addr,
			     uintptr_t *found)
{
	size_t i = ph__addr_ranges_find_succ(set, addr);

	if (i != 0 && addr < set->range[i - 1].limit)
		*found = addr;
	else if (i != set->count)
		*found = set->range[i].base;
	else
		return false;
	return true;
}

/* Closes the gap left by range i. */
static void remove_at(struct addr_ranges *set, size_t i)
{
	set->count--;
	memmove(&set->range[i], &set->range[i + 1],
		(set->count - i) * sizeof(set->range[0]));
}

void ph__addr_ranges_add(struct addr_ranges *set, struct addr_range r)
{
	size_t i = ph__addr_ranges_find_succ(set, r.base);
	bool joins_below = i != 0 && set->range[i - 1].limit == r.base;
	bool joins_above = i != set->count && set->range[i].base == r.limit;

	ph_require(r.base < r.limit);
	ph_require(!ph__addr_ranges_overlaps(set, r));
	set->total_bytes += r.limit - r.base;
	if (joins_below) {
		set->range[i - 1].limit =
			joins_above ? set->range[i].limit : r.limit;
		if (joins_above)
			remove_at(set, i);
		return;
	}
	if (joins_above) {
		set->range[i].base = r.base;
		return;
	}
	ph_require(set->count < set->capacity);
	memmove(&set->range[i + 1], &set->range[i],
		(set->count - i) * sizeof(set->range[0]));
	set->range[i] = r;
	set->count++;
}

void ph__addr_ranges_remove_ge(struct addr_ranges *set, uintptr_t addr)
{
	size_t keep = ph__addr_ranges_find_succ(set, addr);

	for (size_t i = keep; i < set->count; i++)
		set->total_bytes -= set->range[i].limit - set->range[i].base;
	set->count = keep;
	if (keep != 0 && addr < set->range[keep - 1].limit) {
		struct addr_range *last = &set->range[keep - 1];

		set->total_bytes -= last->limit - addr;
		last->limit = addr;
		if (last->base == last->limit)
			set->count--;
	}
}

struct addr_range ph__addr_ranges_remove_last(struct addr_ranges *set,
					      size_t nbytes)
{
	struct addr_range removed = {0, 0}, *last;

	ph_require(nbytes != 0);
	if (set->count == 0)
		return removed;
	last = &set->range[set->count - 1];
	removed = *last;
	if (removed.limit - removed.base > nbytes) {
		removed.base = removed.limit - nbytes;
		last->limit = removed.base;
	} else {
		set->count--;
	}
	set->total_bytes -= removed.limit - removed.base;
	return removed;
}

struct addr_range ph__addr_range_subtract(struct addr_range a,
					  struct addr_range b)
{
	struct addr_range empty = {0, 0};

	if (b.base <= a.base && a.limit <= b.limit)
		return empty;
	ph_require(!(a.base < b.base && b.limit < a.limit));
	if (b.limit < a.limit && a.base < b.limit)
		a.base = b.limit;
	else if (a.base < b.base && b.base < a.limit)
		a.limit = b.base;
	return a;
}

bool ph__addr_ranges_check(const struct addr_ranges *set)
{
	size_t total = 0;

	if (set->count > set->capacity)
		return false;
	for (size_t i = 0; i < set->count; i++) {
		if (set->range[i].base >= set->range[i].limit)
			return false;
		if (i != 0 && set->range[i - 1].limit >= set->range[i].base)
			return false;
		total += set->range[i].limit - set->range[i].base;
	}
	return total == set->total_bytes;
}
