/* SPDX-License-Identifier: MIT */
/*
 * The tables of size classes.
 *
 * The classes are those of Go's runtime, unchanged since 1.19.  How they come
 * about: sizes rise in steps of 8; from 32 in steps of 16; from 128, at each
 * power of two, in steps of an eighth of it; from 2,048 in multiples of 256.
 * Each takes the fewest pages whose rest is at most an eighth.  A size whose
 * pages and number of objects equal its predecessor's replaces it.  At last
 * each size is raised as far as its number of objects allows, in multiples of
 * 128.  So neither rounding a size up to its class nor the rest of a span
 * wastes more than 12.5 %, apart from the smallest sizes.
 *
 * The tables are data, not computed at start: they cost no time, need no
 * relocation, and are shared between processes.  The unit test recomputes
 * every entry of the lookup tables and of the magic numbers, and compares the
 * classes with the reference's.
 *
 * div_magic is ceil(2^32 / size).  With e = div_magic * size - 2^32 < size, the
 * quotient of an offset is exact while offset * e < 2^32, and an offset is
 * below 80 KiB and a size below 32 KiB + 1: 2^17 * 2^15 = 2^32 bounds it.
 *
 * Rejected: a lookup by leading zeros and shifts (two more instructions, and
 * the classes are not regular enough); one table by 8 for all sizes (4 KiB of
 * cache instead of 378 bytes).
 */
#include "object/size_class.h"

#include "base/bits.h"

#define CLASS(size, npages)                                                    \
	{                                                                      \
		(size), (uint32_t)(((UINT64_C(1) << 32) + (size)-1) / (size)), \
			(npages) << PH_PAGE_SHIFT,                             \
			((npages) << PH_PAGE_SHIFT) / (size), (npages)         \
	}

/* Every class with its pages, for the two tables by class. */
/* clang-format off */
#define ALL_CLASSES(X) \
	X(8, 1) X(16, 1) X(24, 1) X(32, 1) \
	X(48, 1) X(64, 1) X(80, 1) X(96, 1) \
	X(112, 1) X(128, 1) X(144, 1) X(160, 1) \
	X(176, 1) X(192, 1) X(208, 1) X(224, 1) \
	X(240, 1) X(256, 1) X(288, 1) X(320, 1) \
	X(352, 1) X(384, 1) X(416, 1) X(448, 1) \
	X(480, 1) X(512, 1) X(576, 1) X(640, 1) \
	X(704, 1) X(768, 1) X(896, 1) X(1024, 1) \
	X(1152, 1) X(1280, 1) X(1408, 2) X(1536, 1) \
	X(1792, 2) X(2048, 1) X(2304, 2) X(2688, 1) \
	X(3072, 3) X(3200, 2) X(3456, 3) X(4096, 1) \
	X(4864, 3) X(5376, 2) X(6144, 3) X(6528, 4) \
	X(6784, 5) X(6912, 6) X(8192, 1) X(9472, 7) \
	X(9728, 6) X(10240, 5) X(10880, 4) X(12288, 3) \
	X(13568, 5) X(14336, 7) X(16384, 2) X(18432, 9) \
	X(19072, 7) X(20480, 5) X(21760, 8) X(24576, 3) \
	X(27264, 10) X(28672, 7) X(32768, 4)
/* clang-format on */

#define CLASS_ENTRY(size, npages) CLASS(size, npages),

const struct size_class ph__size_classes[PH_NUM_CLASSES] = {
	{0, 0, 0, 0, 0}, ALL_CLASSES(CLASS_ENTRY)};

#define STARTS_ENTRY(size, npages)                                             \
	{1 + UINT64_MAX / (size),                                              \
	 (size) * (((npages) << PH_PAGE_SHIFT) / (size)), 0},

const struct object_starts ph__object_starts[OBJECT_STARTS_LEN] = {
	{0, 0, 0}, ALL_CLASSES(STARTS_ENTRY)};

/* Indexed by (size + 7) / 8; the first entry makes 0 count as 1. */
const uint8_t ph__size_fine[SIZE_FINE_SLOTS] = {
	1,  1,	2,  3,	4,  5,	5,  6,	6,  7,	7,  8,	8,  9,	9,  10, 10,
	11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19,
	19, 19, 19, 20, 20, 20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 23, 23,
	23, 23, 24, 24, 24, 24, 25, 25, 25, 25, 26, 26, 26, 26, 27, 27, 27,
	27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29,
	29, 29, 29, 29, 30, 30, 30, 30, 30, 30, 30, 30, 31, 31, 31, 31, 31,
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 32, 32, 32, 32, 32, 32,
	32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
};

/* The same without class 3, of 24 bytes: the only one above 16 not 16-fold. */
const uint8_t ph__size_fine_align16[SIZE_FINE_SLOTS] = {
	1,  1,	2,  4,	4,  5,	5,  6,	6,  7,	7,  8,	8,  9,	9,  10, 10,
	11, 11, 12, 12, 13, 13, 14, 14, 15, 15, 16, 16, 17, 17, 18, 18, 19,
	19, 19, 19, 20, 20, 20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 23, 23,
	23, 23, 24, 24, 24, 24, 25, 25, 25, 25, 26, 26, 26, 26, 27, 27, 27,
	27, 27, 27, 27, 27, 28, 28, 28, 28, 28, 28, 28, 28, 29, 29, 29, 29,
	29, 29, 29, 29, 30, 30, 30, 30, 30, 30, 30, 30, 31, 31, 31, 31, 31,
	31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 32, 32, 32, 32, 32, 32,
	32, 32, 32, 32, 32, 32, 32, 32, 32, 32,
};

/* Indexed by (size - 1024 + 127) / 128. */
const uint8_t ph__size_coarse[SIZE_COARSE_SLOTS] = {
	32, 33, 34, 35, 36, 37, 37, 38, 38, 39, 39, 40, 40, 40, 41, 41, 41, 42,
	43, 43, 44, 44, 44, 44, 44, 45, 45, 45, 45, 45, 45, 46, 46, 46, 46, 47,
	47, 47, 47, 47, 47, 48, 48, 48, 49, 49, 50, 51, 51, 51, 51, 51, 51, 51,
	51, 51, 51, 52, 52, 52, 52, 52, 52, 52, 52, 52, 52, 53, 53, 54, 54, 54,
	54, 55, 55, 55, 55, 55, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 56, 57,
	57, 57, 57, 57, 57, 57, 57, 57, 57, 58, 58, 58, 58, 58, 58, 59, 59, 59,
	59, 59, 59, 59, 59, 59, 59, 59, 59, 59, 59, 59, 59, 60, 60, 60, 60, 60,
	60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 60, 61, 61, 61, 61, 61, 62, 62,
	62, 62, 62, 62, 62, 62, 62, 62, 62, 63, 63, 63, 63, 63, 63, 63, 63, 63,
	63, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64, 64,
	64, 64, 64, 64, 64, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65, 65,
	65, 65, 65, 65, 65, 65, 65, 65, 66, 66, 66, 66, 66, 66, 66, 66, 66, 66,
	66, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67,
	67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67, 67,
};

unsigned ph__size_class_for_aligned(size_t size, size_t align)
{
	if (size > PH_SMALL_MAX || align > PH_PAGE_SIZE || !is_pow2(align))
		return 0;
	for (unsigned c = size_class_of(size); c < PH_NUM_CLASSES; c++) {
		if ((ph__size_classes[c].size & (align - 1)) == 0)
			return c;
	}
	return 0;
}
