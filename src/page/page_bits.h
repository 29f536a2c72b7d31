/* SPDX-License-Identifier: MIT */
/*
 * A bitmap of one chunk: 512 bits, one cache line.  Bit i of word w is page
 * 64w + i.  What a set bit means is the owner's affair; the searches below
 * take it as "in use".
 */
#ifndef PH_PAGE_PAGE_BITS_H
#define PH_PAGE_PAGE_BITS_H

#include <stdbool.h>

#include "base/bits.h"
#include "base/check.h"
#include "page/page_sum.h"

#define PAGE_BITS 512u
#define PAGE_BITS_WORDS 8u

struct page_bits {
	uint64_t word[PAGE_BITS_WORDS];
};

/* Bits [i, i + n) of one word; 1 <= n, i + n <= 64. */
static inline uint64_t word_mask(unsigned i, unsigned n)
{
	return (~UINT64_C(0) >> (64 - n)) << i;
}

static inline bool page_bits_get(const struct page_bits *b, unsigned i)
{
	return (b->word[i / 64] >> (i % 64)) & 1;
}

/*
 * Walks the words that overlap [i, i + n): w is the word's number, mask the
 * part of the range inside it.  n must be at least 1.
 */
#define page_bits_for_range(w, mask, i, n)                                     \
	for (unsigned w = (i) / 64, left_ = (n), at_ = (i) % 64,               \
		      take_ = left_ < 64 - at_ ? left_ : 64 - at_;             \
	     left_ != 0;                                                       \
	     left_ -= take_, take_ = left_ < 64 ? left_ : 64, at_ = 0, w++)    \
		for (uint64_t mask = word_mask(at_, take_), once_ = 1; once_;  \
		     once_ = 0)

static inline void page_bits_set_range(struct page_bits *b, unsigned i,
				       unsigned n)
{
	ph_assert(n >= 1 && i + n <= PAGE_BITS);
	page_bits_for_range(w, mask, i, n) b->word[w] |= mask;
}

static inline void page_bits_clear_range(struct page_bits *b, unsigned i,
					 unsigned n)
{
	ph_assert(n >= 1 && i + n <= PAGE_BITS);
	page_bits_for_range(w, mask, i, n) b->word[w] &= ~mask;
}

/* Number of set bits in [i, i + n). */
static inline unsigned page_bits_popcount(const struct page_bits *b, unsigned i,
					  unsigned n)
{
	unsigned count = 0;

	ph_assert(n >= 1 && i + n <= PAGE_BITS);
	page_bits_for_range(w, mask, i, n) count +=
		popcount64(b->word[w] & mask);
	return count;
}

/* Is every bit of [i, i + n) set? */
static inline bool page_bits_all_set(const struct page_bits *b, unsigned i,
				     unsigned n)
{
	uint64_t missing = 0;

	page_bits_for_range(w, mask, i, n) missing |= ~b->word[w] & mask;
	return missing == 0;
}

/* Is every bit of [i, i + n) clear? */
static inline bool page_bits_all_clear(const struct page_bits *b, unsigned i,
				       unsigned n)
{
	uint64_t found = 0;

	page_bits_for_range(w, mask, i, n) found |= b->word[w] & mask;
	return found == 0;
}

/* The answer of ph__page_bits_find() when nothing fits. */
#define PAGE_BITS_NONE (~0u)

struct page_find {
	unsigned index; /* of the first page of the run; PAGE_BITS_NONE */
	unsigned first; /* lowest clear bit from the word of `from` up */
};

/*
 * The lowest run of n clear bits (1 <= n <= 512).  No bit below `from` may be
 * clear; the search starts with the word that contains it.
 */
struct page_find ph__page_bits_find(const struct page_bits *b, unsigned n,
				    unsigned from);

/* Clear bits at the low end, longest run of them, at the high end. */
struct page_sum ph__page_bits_summarize(const struct page_bits *b);

/* The whole run of clear bits around [i, i + n), which is clear. */
struct bit_run {
	unsigned first;
	unsigned limit; /* one past the last */
};
struct bit_run ph__page_bits_run_around(const struct page_bits *b, unsigned i,
					unsigned n);

/* Index of the lowest run of n ones (1 <= n <= 64) in x; 64 for none. */
static inline unsigned find_ones64(uint64_t x, unsigned n)
{
	unsigned left = n - 1, step = 1;

	/*
	 * Each step removes `step` ones from the top of every run, doubling
	 * as long as a run that survives is sure to be long enough for it.
	 */
	while (left > step) {
		x &= x >> step;
		left -= step;
		step *= 2;
	}
	if (left != 0)
		x &= x >> left;
	return ctz64(x);
}

/*
 * Fills every aligned group of m bits (a power of two of at most 64) in which
 * a bit is set.
 */
uint64_t ph__fill_aligned64(uint64_t x, unsigned m);

#endif
