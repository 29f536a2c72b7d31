/* SPDX-License-Identifier: MIT */
/*
 * Which pages of a chunk to give back next.
 *
 * Pages are given back from the top of the heap down while allocation works
 * from the bottom up, so that the two seldom meet.  Candidates are free and
 * dirty; where the system's pages are larger than ours, only whole groups of
 * `min` of ours count, which filling the rest expresses:
 *
 *	in use | scavenged   uu..s......u....   (low addresses at the left)
 *	filled, min = 4      uuuuuuuu....uuuu.. and so on
 *
 * The highest run of zeros that remains is the candidate; its top max pages
 * are taken.  When the cut falls inside a huge page that lies wholly in the
 *run, it moves down to that page's edge: releasing a part would make the kernel
 * break the huge page, which costs more time than releasing all of it and
 * leaves the rest slower to reach.
 */
#include "page/page_chunk.h"

/* One past the highest zero at or below word *w, which is lowered to it. */
static unsigned highest_run_end(const uint64_t *busy, unsigned *w)
{
	for (;; (*w)--) {
		if (~busy[*w] != 0)
			return 64 * *w + 64 - clz64(~busy[*w]);
		if (*w == 0)
			return 0;
	}
}

/* The length of the run of zeros that ends at `end`, inside word w. */
static unsigned run_length_below(const uint64_t *busy, unsigned w, unsigned end)
{
	unsigned top = end - 64 * w; /* 1 to 64 */
	uint64_t below = busy[w] & ones64(top);
	unsigned length;

	if (below != 0)
		return top - (64 - clz64(below));
	for (length = top; w != 0; length += 64) {
		w--;
		if (busy[w] != 0)
			return length + clz64(busy[w]);
	}
	return length;
}

struct scav_candidate ph__page_chunk_candidate(const struct page_chunk *c,
					       unsigned from, unsigned min,
					       unsigned max, unsigned huge)
{
	struct scav_candidate none = {0, 0}, cand;
	uint64_t busy[PAGE_BITS_WORDS];
	unsigned w = from / 64, end, run, first;

	ph_assert(is_pow2(min) && min <= 64);
	ph_assert(huge == 0 || (is_pow2(huge) && huge <= PAGE_BITS));
	for (unsigned i = 0; i <= w; i++)
		busy[i] = ph__fill_aligned64(
			c->in_use.word[i] | c->scavenged.word[i], min);
	end = highest_run_end(busy, &w);
	if (end == 0)
		return none;
	run = run_length_below(busy, w, end);

	max = max == 0 ? min : (unsigned)align_up(max, min);
	cand.npages = run < max ? run : max;
	cand.first = end - cand.npages;
	if (huge > min) {
		first = (unsigned)align_down(cand.first, huge);
		if (align_up(cand.first, huge) <= end && first >= end - run) {
			cand.npages += cand.first - first;
			cand.first = first;
		}
	}
	return cand;
}
