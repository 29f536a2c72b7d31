/* SPDX-License-Identifier: MIT */
/*
 * From an address to what lies there, without a lock.
 *
 *	address  47       30 29       13 12      0
 *	        +-----------+-----------+---------+
 *	        | root      | page      | byte    |
 *	        +-----------+-----------+---------+
 *	          2^18 leaf   2^17 pages
 *	          pointers    of a leaf
 *
 * A leaf describes 1 GiB of addresses in three arrays:
 *
 *	entry[page]	two bytes: size class and page within the span, for
 *			pages of small objects of the primary heap.  This is
 *			all that free() reads.
 *	span[page]	the span's descriptor, for the pages of a span that
 *			share a chunk with its first or last page
 *	chunk[c]	the descriptor of a span that covers all of chunk c
 *
 * so that publishing a span of n pages costs at most 1,022 + n / 512 stores,
 * and a lookup two dependent loads, three inside very large spans.
 *
 * span[] and chunk[] are not cleared when a span is freed: a reader checks the
 * descriptor it finds (span_is_at).  entry[] is cleared, for free() trusts it.
 *
 * Leaves are made when a heap grows and stay until the map is destroyed.  A
 * leaf never touched costs no memory.  Addresses of 2^48 and above (tagged,
 * kernel) are answered without a look at the root.
 *
 * Locking: pagemap_cover() takes the map's own lock; readers take none; the
 * entries of a run of pages are written by whoever owns the run.
 */
#ifndef PH_SPAN_PAGEMAP_H
#define PH_SPAN_PAGEMAP_H

#include "base/atomic.h"
#include "meta/meta.h"
#include "os/lock.h"
#include "span/span.h"

#define PAGEMAP_ADDR_BITS 48
#define PAGEMAP_LEAF_SHIFT 30
#define PAGEMAP_LEAF_PAGES ((size_t)1 << (PAGEMAP_LEAF_SHIFT - PH_PAGE_SHIFT))
#define PAGEMAP_LEAF_CHUNKS ((size_t)1 << (PAGEMAP_LEAF_SHIFT - PH_CHUNK_SHIFT))
#define PAGEMAP_ROOT_LEN ((size_t)1 << (PAGEMAP_ADDR_BITS - PAGEMAP_LEAF_SHIFT))

/*
 * A page's entry: class in the low seven bits, page within the span above.
 * Zero: no small objects here.  PAGE_ENTRY_OTHER, likewise of class 0: small
 * objects of a heap that is not the primary one; the span tells the rest.
 */
#define PAGE_ENTRY_CLASS_BITS 7
#define PAGE_ENTRY_CLASS_MASK ((1u << PAGE_ENTRY_CLASS_BITS) - 1)
#define PAGE_ENTRY_OTHER (1u << PAGE_ENTRY_CLASS_BITS)
#define PAGE_ENTRY_MAX_PAGES ((size_t)1 << (16 - PAGE_ENTRY_CLASS_BITS))

struct pagemap_leaf {
	uint16_t entry[PAGEMAP_LEAF_PAGES];
	struct ph_span *span[PAGEMAP_LEAF_PAGES];
	struct ph_span *chunk[PAGEMAP_LEAF_CHUNKS];
};

struct pagemap {
	struct ph_lock lock;	    /* guards the making of leaves */
	struct meta *meta;	    /* where leaves come from */
	struct pagemap_leaf **root; /* PAGEMAP_ROOT_LEN pointers; atomic */
	size_t root_nbytes;	    /* of root, if it is from meta; else 0 */
	size_t low, high; /* leaves lie at root[low] to root[high - 1] */
};

/*
 * Prepares a map over a root table that the caller supplies (zeroed,
 * PAGEMAP_ROOT_LEN entries), or over one from meta when root is NULL.
 * Returns 0 or ENOMEM.
 */
PH_MUST_USE int ph__pagemap_init(struct pagemap *map, struct meta *meta,
				 struct pagemap_leaf **root);

/* Gives leaves, and a root from meta, back.  Nobody may be reading. */
void ph__pagemap_destroy(struct pagemap *map);

/* Makes the leaves for [base, base + nbytes).  Returns 0 or ENOMEM. */
PH_MUST_USE int ph__pagemap_cover(struct pagemap *map, uintptr_t base,
				  size_t nbytes);

/* Makes the span's pages lead to it.  The range must be covered. */
void ph__pagemap_set_span(struct pagemap *map, struct ph_span *s);

/* Makes the pages up to a new length of a span lead to it, before it grows. */
void ph__pagemap_extend_span(struct pagemap *map, struct ph_span *s,
			     size_t new_npages);

/* Sets, or clears with class 0, the entries of a span's pages. */
void ph__pagemap_set_entries(struct pagemap *map, const struct ph_span *s,
			     unsigned size_class);

static inline struct pagemap_leaf *pagemap_leaf_of(
	struct pagemap_leaf *const *root, uintptr_t addr)
{
	if (ph_unlikely(addr >> PAGEMAP_LEAF_SHIFT >= PAGEMAP_ROOT_LEN))
		return NULL;
	/*
	 * Acquire: a leaf's zeroes are visible with its pointer.  (A load that
	 * depends on the pointer would do; this costs the same on x86-64.)
	 */
	return ph_load_acquire(&root[addr >> PAGEMAP_LEAF_SHIFT]);
}

static inline size_t pagemap_page_in_leaf(uintptr_t addr)
{
	return (addr >> PH_PAGE_SHIFT) & (PAGEMAP_LEAF_PAGES - 1);
}

static inline size_t pagemap_chunk_in_leaf(uintptr_t addr)
{
	return (addr >> PH_CHUNK_SHIFT) & (PAGEMAP_LEAF_CHUNKS - 1);
}

/* The entry of the page that contains the address; 0 for foreign ones. */
static inline unsigned pagemap_entry(struct pagemap_leaf *const *root,
				     uintptr_t addr)
{
	const struct pagemap_leaf *leaf = pagemap_leaf_of(root, addr);

	if (ph_unlikely(!leaf))
		return 0;
	/* Relaxed: whoever holds an object of the page saw its entry set. */
	return ph_load_relaxed(&leaf->entry[pagemap_page_in_leaf(addr)]);
}

/* Offset of an address into the span that its page's entry tells of. */
static inline uint32_t page_entry_offset(unsigned entry, uintptr_t addr)
{
	return (uint32_t)(entry >> PAGE_ENTRY_CLASS_BITS << PH_PAGE_SHIFT |
			  (addr & (PH_PAGE_SIZE - 1)));
}

/* Does a span in use lie on any page of the run?  For runs of any length. */
bool ph__pagemap_has_span(const struct pagemap *map, uintptr_t addr,
			  size_t npages);

/* The span in use that contains the address, or NULL. */
static inline struct ph_span *pagemap_span_at(const struct pagemap *map,
					      uintptr_t addr)
{
	struct pagemap_leaf *leaf = pagemap_leaf_of(map->root, addr);
	struct ph_span *s;

	if (ph_unlikely(!leaf))
		return NULL;
	/* Acquire: the descriptor was written before it was entered here. */
	s = ph_load_acquire(&leaf->span[pagemap_page_in_leaf(addr)]);
	if (ph_likely(s && span_is_at(s, addr)))
		return s;
	s = ph_load_acquire(&leaf->chunk[pagemap_chunk_in_leaf(addr)]);
	return s && span_is_at(s, addr) ? s : NULL;
}

#endif
