/* SPDX-License-Identifier: MIT */
/*
 * The root record, filled in by the compiler: a reader finds it in the file or
 * in a core before the process has run any code.
 */
#include "heap/registry.h"

#define OFF(type, member) ((uint32_t)offsetof(struct type, member))

PH_API extern const struct ph_root_record ph_root_record;

const struct ph_root_record ph_root_record PH_USED = {
	.magic = PH_ROOT_MAGIC,
	.version = PH_ROOT_VERSION,
	.nbytes = sizeof(struct ph_root_record),
	.library = PH_VERSION_STRING,

	.registry = &ph__registry,
	.pagemap_root = ph__process_root,

	.page_shift = PH_PAGE_SHIFT,
	.chunk_shift = PH_CHUNK_SHIFT,
	.leaf_shift = PAGEMAP_LEAF_SHIFT,
	.addr_bits = PAGEMAP_ADDR_BITS,
	.leaf_entry_offset = OFF(pagemap_leaf, entry),
	.leaf_span_offset = OFF(pagemap_leaf, span),
	.leaf_chunk_offset = OFF(pagemap_leaf, chunk),

	.registry_slots_offset = OFF(registry, slots),
	.registry_nslots_offset = OFF(registry, nslots),

	.heap_nbytes = sizeof(struct ph_heap),
	.heap_id_offset = OFF(ph_heap, id),
	.heap_flags_offset = OFF(ph_heap, flags),
	.heap_seq_offset = OFF(ph_heap, seq),
	.heap_pages_offset = OFF(ph_heap, pages),
	.heap_gauges_offset = OFF(ph_heap, gauges),
	.heap_objects_offset = OFF(ph_heap, objects),

	.pages_lowest_region_offset = OFF(page_alloc, root.lowest),
	.pages_grown_offset = OFF(page_alloc, grown),
	.region_next_offset = OFF(page_region, next),
	.region_index_offset = OFF(page_region, index),
	.region_sums_offset = OFF(page_region, sum),
	.region_chunks_offset = OFF(page_region, chunk),

	.span_nbytes = sizeof(struct ph_span),
	.span_base_offset = OFF(ph_span, base),
	.span_npages_offset = OFF(ph_span, npages),
	.span_heap_offset = OFF(ph_span, heap),
	.span_elem_size_offset = OFF(ph_span, elem_size),
	.span_nelems_offset = OFF(ph_span, nelems),
	.span_class_offset = OFF(ph_span, size_class),
	.span_state_offset = OFF(ph_span, state),
	.span_nalloc_offset = OFF(ph_span, nalloc),
	.span_alloc_bits_offset = OFF(ph_span, alloc_bits),

	.gauges_version = PH_REPORT_VERSION,
};
