/* SPDX-License-Identifier: MIT */
/*
 * Words of bits and powers of two.
 */
#ifndef PH_BASE_BITS_H
#define PH_BASE_BITS_H

#include <stdbool.h>

#include "base/compiler.h"

/* Number of zero bits below the lowest one; 64 for zero. */
static inline unsigned ctz64(uint64_t x)
{
	return x ? (unsigned)__builtin_ctzll(x) : 64u;
}

/* Number of zero bits above the highest one; 64 for zero. */
static inline unsigned clz64(uint64_t x)
{
	return x ? (unsigned)__builtin_clzll(x) : 64u;
}

/*
 * Number of ones.  Where the processor's instruction may not be assumed the
 * builtin is a call into libgcc; adding up pairs, nibbles and bytes in place
 * takes a dozen instructions and no call.
 */
static inline unsigned popcount64(uint64_t x)
{
#if defined(__POPCNT__) || !defined(__x86_64__)
	return (unsigned)__builtin_popcountll(x);
#else
	x -= x >> 1 & UINT64_C(0x5555555555555555);
	x = (x & UINT64_C(0x3333333333333333)) +
	    (x >> 2 & UINT64_C(0x3333333333333333));
	x = (x + (x >> 4)) & UINT64_C(0x0f0f0f0f0f0f0f0f);
	return (unsigned)(x * UINT64_C(0x0101010101010101) >> 56);
#endif
}

static inline bool is_pow2(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/* Base-2 logarithm, rounded down; x must not be zero. */
static inline unsigned log2_floor(uint64_t x)
{
	return 63u - clz64(x);
}

/* Base-2 logarithm, rounded up; x must not be zero. */
static inline unsigned log2_ceil(uint64_t x)
{
	return x <= 1 ? 0 : 64u - clz64(x - 1);
}

/* Rounds to a multiple of align, a power of two.  Up may wrap: see below. */
static inline uint64_t align_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1);
}

static inline uint64_t align_up(uint64_t x, uint64_t align)
{
	return (x + align - 1) & ~(align - 1);
}

static inline uint64_t div_ceil(uint64_t x, uint64_t y)
{
	return x / y + (x % y != 0);
}

/* n ones at the low end, 0 <= n <= 64. */
static inline uint64_t ones64(unsigned n)
{
	return n >= 64 ? ~UINT64_C(0) : (UINT64_C(1) << n) - 1;
}

/* Products and sums that do not fit return true and leave *out undefined. */
static inline bool mul_overflows(size_t a, size_t b, size_t *out)
{
	return __builtin_mul_overflow(a, b, out);
}

static inline bool add_overflows(size_t a, size_t b, size_t *out)
{
	return __builtin_add_overflow(a, b, out);
}

#endif
