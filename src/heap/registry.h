/* SPDX-License-Identifier: MIT */
/*
 * The one registry of the process: its heaps, and what ordinary heaps share.
 *
 * This and the thread-local state of object/thread.h are all the global state
 * there is outside malloc/.
 */
#ifndef PH_HEAP_REGISTRY_H
#define PH_HEAP_REGISTRY_H

#include "heap/arena.h"
#include "heap/heap.h"
#include "meta/meta.h"
#include "os/lock.h"
#include "span/pagemap.h"

/* The low bits of a heap's id are its slot: 2^20 heaps at a time. */
#define HEAP_SLOT_BITS 20

struct registry {
	struct ph_lock lock;
	uint32_t ready; /* atomic; 1 once the fields below are prepared */
	struct meta meta;
	struct arenas arenas;
	struct pagemap pagemap;
	struct ph_heap **slots PH_GUARDED_BY(lock); /* NULL: free */
	size_t nslots PH_GUARDED_BY(lock);	    /* length of slots */
	size_t first_free PH_GUARDED_BY(lock);	    /* no free slot below */
	size_t nheaps PH_GUARDED_BY(lock);
	uint64_t next_id PH_GUARDED_BY(lock);
	struct ph_heap *primary; /* atomic; the drop-in's heap, or NULL */
};

extern struct registry ph__registry PH_HIDDEN;

/* The root of the shared page map, here so that free() needs no pointer. */
extern struct pagemap_leaf *ph__process_root[PAGEMAP_ROOT_LEN] PH_HIDDEN;

/* Prepares the registry on the first call. */
void ph__registry_init(void);

/* Enters a heap: sets its id.  Returns 0 or ENOMEM. */
PH_MUST_USE int ph__registry_add(struct ph_heap *heap);
void ph__registry_remove(struct ph_heap *heap);

/* The heap with this id, or NULL when it was destroyed. */
struct ph_heap *ph__registry_find(uint64_t id) PH_REQUIRES(ph__registry.lock);

/*
 * The root record: where a reader outside the process starts (a debugger, a
 * core dump).  Found by the symbol ph_root_record, recognised by its magic and
 * version; it tells the sizes and offsets by which everything else is read.
 */
#define PH_ROOT_MAGIC "pageheap root\n\0"
#define PH_ROOT_VERSION 1

struct ph_root_record {
	char magic[16];
	uint32_t version;
	uint32_t nbytes;  /* of this record */
	char library[16]; /* PH_VERSION_STRING */

	const struct registry *registry;
	struct pagemap_leaf *const *pagemap_root;

	/* Page map. */
	uint32_t page_shift, chunk_shift, leaf_shift, addr_bits;
	uint32_t leaf_entry_offset, leaf_span_offset, leaf_chunk_offset;

	/* struct registry */
	uint32_t registry_slots_offset, registry_nslots_offset;

	/* struct ph_heap */
	uint32_t heap_nbytes, heap_id_offset, heap_flags_offset,
		heap_seq_offset, heap_pages_offset, heap_gauges_offset,
		heap_objects_offset;

	/* struct page_alloc, struct page_region */
	uint32_t pages_lowest_region_offset, pages_grown_offset;
	uint32_t region_next_offset, region_index_offset, region_sums_offset,
		region_chunks_offset;

	/* struct ph_span */
	uint32_t span_nbytes, span_base_offset, span_npages_offset,
		span_heap_offset, span_elem_size_offset, span_nelems_offset,
		span_class_offset, span_state_offset, span_nalloc_offset,
		span_alloc_bits_offset;

	/* struct ph_gauges is described by pageheap_report.h. */
	uint32_t gauges_version;
};

#endif
