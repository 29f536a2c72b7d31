/* SPDX-License-Identifier: MIT */
/*
 * Merging the summaries of neighbours into that of the region they make.
 *
 * Left to right, with what lies to the left already merged into (start, max,
 * end):
 *
 *	|  merged so far          |  child         |
 *	|start...        ...end   |start   max  end|
 *	                  ^^^^^^^^^^^^^ a run across the edge
 *
 * start grows only while everything so far is free; end is replaced unless the
 * child is entirely free, which lengthens it.
 */
#include "page/page_sum.h"

struct page_sum ph__page_sum_merge(const struct page_sum *child, unsigned count,
				   unsigned log2_pages)
{
	unsigned size = 1u << log2_pages, total = 0;
	unsigned start = 0, max = 0, end = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned child_start, child_max, child_end;

		if (child[i].packed == 0) {
			end = 0;
			total += size;
			continue;
		}
		child_start = page_sum_start(child[i]);
		child_max = page_sum_max(child[i]);
		child_end = page_sum_end(child[i]);
		if (start == total)
			start += child_start;
		if (end + child_start > max)
			max = end + child_start;
		if (child_max > max)
			max = child_max;
		/* Bounds may say that it starts all free but does not end so.
		 */
		end = child_start == size && child_end == size ? end + size
							       : child_end;
		total += size;
	}
	return page_sum_of(start, max, end);
}
