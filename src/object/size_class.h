/* SPDX-License-Identifier: MIT */
/*
 * Size classes: which sizes small objects come in, and how spans hold them.
 *
 * A span of class c has npages pages, cut into nelems objects of size bytes
 * from its start; what is left at its end is at most an eighth of the span.
 * Class 0 is no class: it has no size, and marks spans that are not divided.
 */
#ifndef PH_OBJECT_SIZE_CLASS_H
#define PH_OBJECT_SIZE_CLASS_H

#include <stdbool.h>

#include "base/check.h"
#include "base/compiler.h"
#include "pageheap.h"

/* Everything about a class in a quarter of a cache line. */
struct size_class {
	uint32_t size;	     /* bytes of an object */
	uint32_t div_magic;  /* 2^32 / size, rounded up */
	uint32_t span_bytes; /* npages pages */
	uint16_t nelems;     /* objects in a span */
	uint16_t npages;
};

PH_STATIC_ASSERT(sizeof(struct size_class) == 16, "four a cache line");

extern const struct size_class ph__size_classes[PH_NUM_CLASSES] PH_HIDDEN;

/*
 * Size to class: up to SIZE_FINE_MAX in steps of 8, above in steps of 128.
 * The second table of the lower half serves heaps whose objects above 8 bytes
 * are aligned to 16; above 1,024 every class is a multiple of 16 anyway.
 */
#define SIZE_FINE_MAX 1024
#define SIZE_FINE_SLOTS (SIZE_FINE_MAX / 8 + 1)
#define SIZE_COARSE_SLOTS ((PH_SMALL_MAX - SIZE_FINE_MAX) / 128 + 1)

extern const uint8_t ph__size_fine[SIZE_FINE_SLOTS] PH_HIDDEN;
extern const uint8_t ph__size_fine_align16[SIZE_FINE_SLOTS] PH_HIDDEN;
extern const uint8_t ph__size_coarse[SIZE_COARSE_SLOTS] PH_HIDDEN;

static inline unsigned size_class_coarse(size_t size)
{
	return ph__size_coarse[(size - SIZE_FINE_MAX + 127) / 128];
}

/* Smallest class that holds size bytes, at most PH_SMALL_MAX; 0 counts as 1. */
static inline unsigned size_class_of(size_t size)
{
	ph_assert(size <= PH_SMALL_MAX);
	if (ph_likely(size <= SIZE_FINE_MAX))
		return ph__size_fine[(size + 7) / 8];
	return size_class_coarse(size);
}

/* As above, among the classes of 8 bytes and of multiples of 16. */
static inline unsigned size_class_of_align16(size_t size)
{
	ph_assert(size <= PH_SMALL_MAX);
	if (ph_likely(size <= SIZE_FINE_MAX))
		return ph__size_fine_align16[(size + 7) / 8];
	return size_class_coarse(size);
}

/*
 * Index of the object that contains the byte at offset into a span: offset
 * divided by the size, by one multiplication.  Exact for every offset in a
 * span of the class (proven by trying them all in the unit test).
 */
static inline unsigned size_class_index(const struct size_class *c,
					size_t offset)
{
	return (unsigned)((uint64_t)offset * c->div_magic >> 32);
}

/*
 * Does an object start exactly at offset into a span?  If so its index is
 * stored.  False for interior bytes and for the rest at the span's end.
 */
static inline bool size_class_object_at(const struct size_class *c,
					size_t offset, unsigned *index)
{
	unsigned i = size_class_index(c, offset);

	if (i >= c->nelems || (size_t)i * c->size != offset)
		return false;
	*index = i;
	return true;
}

/*
 * The same question for free(), which needs no index, by one multiplication:
 * offset is a multiple of size exactly if offset * inverse, modulo 2^64, is
 * below inverse = floor(2^64 / size), rounded up (Lemire, Kaser and Kurz,
 * "Faster remainder by direct computation", 2019).  There is an entry for every
 * value that the class bits of a page's entry may have; where there is no class
 * no offset passes.
 */
struct object_starts {
	uint64_t inverse;
	uint32_t limit; /* nelems * size */
	uint32_t spare;
};

#define OBJECT_STARTS_LEN 128

extern const struct object_starts
	ph__object_starts[OBJECT_STARTS_LEN] PH_HIDDEN;

static inline bool object_starts_at(unsigned class_bits, size_t offset)
{
	const struct object_starts *o = &ph__object_starts[class_bits];

	return offset < o->limit && offset * o->inverse < o->inverse;
}

/*
 * Smallest class that holds size bytes and whose objects all lie at multiples
 * of align, a power of two: spans start on pages, so the class's size must be
 * a multiple.  0 when there is none, or size or align are too large.  A heap
 * of 16-byte alignment passes at least 16 for sizes above 8.
 */
unsigned ph__size_class_for_aligned(size_t size, size_t align);

#endif
