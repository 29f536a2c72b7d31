/* SPDX-License-Identifier: MIT */
/*
 * One chunk of 512 pages: which are in use, which free ones hold no memory.
 *
 *	in_use  scavenged
 *	  0        0       free, dirty: resident, contents undefined
 *	  0        1       free, returned to the system or never touched
 *	  1        0       handed out, or in a page cache
 *	  1        1       never
 *
 * The two lines lie side by side so that the adjacent-line prefetcher brings
 * both.  A scavenged bit belongs to whoever holds the page's in-use bit, so
 * both lines can later be changed by atomic read-modify-write without a lock.
 */
#ifndef PH_PAGE_PAGE_CHUNK_H
#define PH_PAGE_PAGE_CHUNK_H

#include "page/page_bits.h"

struct page_chunk {
	struct page_bits in_use PH_ALIGNED(PH_CACHE_LINE);
	struct page_bits scavenged;
};

/* Takes [i, i + n); returns how many of the pages had been scavenged. */
static inline unsigned page_chunk_take(struct page_chunk *c, unsigned i,
				       unsigned n)
{
	unsigned scavenged = 0;

	page_bits_for_range(w, mask, i, n)
	{
		uint64_t taken = c->scavenged.word[w] & mask;

		c->in_use.word[w] |= mask;
		if (taken == 0)
			continue;
		scavenged += popcount64(taken);
		c->scavenged.word[w] ^= taken;
	}
	return scavenged;
}

/* Pages [first, first + npages) of a chunk; npages 0: nothing to scavenge. */
struct scav_candidate {
	unsigned first;
	unsigned npages;
};

/*
 * The pages to give back next: the top of the highest run of free dirty pages
 * at or below the word of page `from`.
 *
 * min	pages that the system can only give back together, a power of two of
 *	at most 64.
 * max	pages wanted, rounded up to a multiple of min; 0 means min.
 * huge	pages of a huge page, a power of two of at most 512; 0: none.  The
 *	result is extended downward rather than split a free dirty huge page.
 */
struct scav_candidate ph__page_chunk_candidate(const struct page_chunk *c,
					       unsigned from, unsigned min,
					       unsigned max, unsigned huge);

#endif
