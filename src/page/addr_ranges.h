/* SPDX-License-Identifier: MIT */
/*
 * A sorted set of disjoint address ranges [base, limit); adjacent ones are
 * joined.
 *
 *	range:  [a   b)   [c b')        [e  f)       a < b < c < ... < f
 *
 * A heap is nearly contiguous, so that a handful of ranges is the rule; a
 *sorted array beats any tree then.  Insertion costs O(ranges), lookup O(log
 *ranges). Not thread-safe.
 */
#ifndef PH_PAGE_ADDR_RANGES_H
#define PH_PAGE_ADDR_RANGES_H

#include <stdbool.h>

#include "base/compiler.h"

struct meta;

struct addr_range {
	uintptr_t base;
	uintptr_t limit; /* one past the last byte; above base */
};

/* Ranges that need no memory of their own: most heaps never have more. */
#define ADDR_RANGES_INLINE 2

struct addr_ranges {
	struct addr_range *range; /* ascending; few[], or a metadata block */
	size_t count;
	size_t capacity;
	size_t total_bytes; /* the sum of all lengths */
	struct addr_range few[ADDR_RANGES_INLINE];
};

void ph__addr_ranges_init(struct addr_ranges *set);

/* Gives the metadata back; the set is empty and usable afterwards. */
void ph__addr_ranges_destroy(struct addr_ranges *set, struct meta *meta);

/*
 * Makes room for one more range, so that the next ph__addr_ranges_add() cannot
 * fail.  Returns 0 or ENOMEM; nothing has changed then.
 */
PH_MUST_USE int ph__addr_ranges_reserve(struct addr_ranges *set,
					struct meta *meta);

/* Adds a range that overlaps none of the set; room has been reserved. */
void ph__addr_ranges_add(struct addr_ranges *set, struct addr_range r);

/*
 * Index of the first range whose base is above addr; count if there is none.
 * The range that contains addr, if any, is the one before it.
 */
size_t ph__addr_ranges_find_succ(const struct addr_ranges *set, uintptr_t addr);

bool ph__addr_ranges_contains(const struct addr_ranges *set, uintptr_t addr);

/* Does the set contain all of r? */
bool ph__addr_ranges_covers(const struct addr_ranges *set, struct addr_range r);

/* Does r overlap a range of the set? */
bool ph__addr_ranges_overlaps(const struct addr_ranges *set,
			      struct addr_range r);

/*
 * The lowest address of the set that is at least addr, in *found; false when
 * there is none, as in an empty set.
 */
bool ph__addr_ranges_find_ge(const struct addr_ranges *set, uintptr_t addr,
			     uintptr_t *found);

/* Removes everything at and above addr. */
void ph__addr_ranges_remove_ge(struct addr_ranges *set, uintptr_t addr);

/*
 * Removes up to nbytes (not 0) from the end of the highest range and returns
 * them; base == limit when the set is empty.
 */
struct addr_range ph__addr_ranges_remove_last(struct addr_ranges *set,
					      size_t nbytes);

/*
 * a without b: empty when b covers a, else a with one side trimmed.  b may not
 * lie strictly inside a, which would split it.
 */
struct addr_range ph__addr_range_subtract(struct addr_range a,
					  struct addr_range b);

/* Is the set sorted, disjoint, joined, and its total right? */
bool ph__addr_ranges_check(const struct addr_ranges *set);

#endif
