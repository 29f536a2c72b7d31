/* SPDX-License-Identifier: MIT */
/*
 * The summary of a region: three counts of free pages, packed into a word.
 *
 *	 63  62      42 41      21 20       0
 *	+---+----------+----------+----------+
 *	|all|   end    |   max    |  start   |
 *	+---+----------+----------+----------+
 *
 * start: free pages at the low end; max: longest free run anywhere inside;
 * end: free pages at the high end.  21 bits hold 0 to 2^21 - 1.  The one value
 * beyond that, a root entry of 2^21 pages entirely free, is bit 63 alone.
 * Zero is a region without a free page, so one compare skips it.
 */
#ifndef PH_PAGE_PAGE_SUM_H
#define PH_PAGE_PAGE_SUM_H

#include "base/compiler.h"

#define PAGE_SUM_BITS 21
#define PAGE_SUM_LIMIT (1u << PAGE_SUM_BITS)
#define PAGE_SUM_ALL (UINT64_C(1) << 63)

struct page_sum {
	uint64_t packed;
};

static inline struct page_sum page_sum_of(unsigned start, unsigned max,
					  unsigned end)
{
	struct page_sum s;

	s.packed = max == PAGE_SUM_LIMIT
			   ? PAGE_SUM_ALL
			   : (uint64_t)start | (uint64_t)max << PAGE_SUM_BITS |
				     (uint64_t)end << 2 * PAGE_SUM_BITS;
	return s;
}

static inline unsigned page_sum_field(struct page_sum s, unsigned shift)
{
	if (ph_unlikely(s.packed == PAGE_SUM_ALL))
		return PAGE_SUM_LIMIT;
	return (unsigned)(s.packed >> shift) & (PAGE_SUM_LIMIT - 1);
}

static inline unsigned page_sum_start(struct page_sum s)
{
	return page_sum_field(s, 0);
}

static inline unsigned page_sum_max(struct page_sum s)
{
	return page_sum_field(s, PAGE_SUM_BITS);
}

static inline unsigned page_sum_end(struct page_sum s)
{
	return page_sum_field(s, 2 * PAGE_SUM_BITS);
}

/*
 * The summary of count adjacent regions of 2^log2_pages pages each, lowest
 * first.
 */
struct page_sum ph__page_sum_merge(const struct page_sum *child, unsigned count,
				   unsigned log2_pages);

#endif
