/* SPDX-License-Identifier: MIT */
/*
 * Heaps are made and destroyed: options, many at a time, one after another,
 * and what they cost.
 */
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>

#include "heap/registry.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

START_TEST(test_options)
{
	struct ph_heap_options o = {.struct_size = sizeof(o)};
	struct fake_os os;
	struct ph_os_ops ops;

	fake_os_init(&os, NULL);
	ops = os.ops;
	o.os_ctx = o.meta_os_ctx = &os;

#define must_refuse(broken)                                                    \
	do {                                                                   \
		broken;                                                        \
		errno = 0;                                                     \
		ck_assert_ptr_null(ph_heap_create(&o));                        \
		ck_assert_int_eq(errno, EINVAL);                               \
		ops = os.ops;                                                  \
	} while (0)

	must_refuse(o.struct_size = sizeof(o) - 1);
	o.struct_size = sizeof(o);
	must_refuse(o.flags = 1u << 31);
	must_refuse(o.flags = HEAP_PRIMARY);
	o.flags = 0;
	o.os = &ops;
	must_refuse(ops.struct_size = 8);
	must_refuse(ops.page_size = 0);
	must_refuse(ops.page_size = 2048);
	must_refuse(ops.page_size = 12288);
	must_refuse(ops.page_size = 1 << 20);
	must_refuse(ops.reserve = NULL);
	must_refuse(ops.commit = NULL);
	must_refuse(ops.release = NULL);
	must_refuse(ops.unmap = NULL);
	must_refuse(ops.clock_ns = NULL);
	o.os = NULL;
	o.meta_os = &ops;
	/* Metadata must be zero at first, and is always touched. */
	must_refuse(ops.flags = 0);
	must_refuse(ops.flags = PH_OS_ZEROES | PH_OS_UNTOUCHABLE);
	ck_assert_uint_eq(fake_os_nchanges(&os), 0);
	fake_os_destroy(&os);
}
END_TEST

/* A struct larger than ours, of a later version, is taken as far as known. */
START_TEST(test_larger_structs)
{
	struct {
		struct ph_heap_options o;
		char more[64];
	} options = {.o = {.struct_size = sizeof(options)}};
	struct {
		struct ph_stats s;
		char more[64];
	} stats = {.s = {.struct_size = sizeof(stats)}};
	struct ph_heap *heap = ph_heap_create(&options.o);
	struct ph_stats small;

	ck_assert_ptr_nonnull(heap);
	memset(stats.more, 7, sizeof(stats.more));
	ck_assert_int_eq(ph_heap_stats(heap, &stats.s), 0);
	ck_assert_uint_eq(stats.s.struct_size, sizeof(stats));
	ck_assert_int_eq(stats.more[0], 7);
	/* And a smaller one is filled in as far as it goes. */
	memset(&small, 9, sizeof(small));
	small.struct_size = offsetof(struct ph_stats, free_bytes);
	ck_assert_int_eq(ph_heap_stats(heap, &small), 0);
	ck_assert_uint_eq(small.in_use_bytes, 0);
	ck_assert_uint_eq(small.free_bytes, UINT64_C(0x0909090909090909));
	small.struct_size = 8;
	ck_assert_int_eq(ph_heap_stats(heap, &small), EINVAL);
	ph_heap_destroy(heap);
}
END_TEST

/* Everything a heap over sources of its own takes, it gives back. */
START_TEST(test_own_sources)
{
	struct fake_os pages, meta;
	struct ph_heap_options o = {.struct_size = sizeof(o),
				    .os = &pages.ops,
				    .os_ctx = &pages,
				    .meta_os = &meta.ops,
				    .meta_os_ctx = &meta};

	fake_os_init(&pages, NULL);
	fake_os_init(&meta, NULL);
	for (int round = 0; round < 3; round++) {
		struct ph_heap *heap = ph_heap_create(&o);

		ck_assert_ptr_nonnull(heap);
		for (size_t i = 0; i < 2000; i++)
			ck_assert_ptr_nonnull(ph_malloc(heap, i * 20));
		ck_assert_ptr_nonnull(ph_span_alloc(heap, 3000, 0));
		ck_assert_uint_gt(heap_stats(heap).meta_bytes, 0);
		heap_must_check(heap);
		/* With everything in use. */
		ph_heap_destroy(heap);
		ck_assert_uint_eq(fake_os_bytes(&pages, FAKE_READY), 0);
		ck_assert_uint_eq(fake_os_bytes(&meta, FAKE_READY), 0);
	}
	fake_os_destroy(&pages);
	fake_os_destroy(&meta);
}
END_TEST

START_TEST(test_no_random)
{
	struct ph_heap *a = heap_over(NULL, NULL, PH_HEAP_NO_RANDOM);
	char *p = ph_pages_alloc(a, 1, NULL);
	struct ph_heap *b;

	ph_heap_destroy(a);
	a = heap_over(NULL, NULL, PH_HEAP_NO_RANDOM);
	/* Unless a sanitizer has something of its own there. */
	if ((uintptr_t)p == ARENA_FIXED_BASE)
		ck_assert_ptr_eq(ph_pages_alloc(a, 1, NULL), p);
	else
		printf("skipped in part: the fixed place is taken\n");
	/* A second one finds the place taken. */
	b = heap_over(NULL, NULL, PH_HEAP_NO_RANDOM);
	ck_assert_ptr_nonnull(ph_pages_alloc(b, 1, NULL));
	ck_assert_ptr_nonnull(ph_malloc(b, 1));
	ph_heap_destroy(a);
	ph_heap_destroy(b);
}
END_TEST

/* Ordinary heaps lie at places that differ from process to process. */
START_TEST(test_destroyed_memory_is_gone)
{
	struct ph_heap *heap = heap_over(NULL, NULL, 0);
	char *p = ph_pages_alloc(heap, 1024, NULL);
	struct ph_span *s = ph_span_alloc(heap, 600, 0);
	char *q = ph_span_base(s);
	struct ph_heap *next;

	memset(p, 1, 8 * MIB);
	ck_assert_uint_eq(range_resident_bytes(p, 8 * MIB), 8 * MIB);
	ph_heap_destroy(heap);
	ck_assert_uint_eq(range_resident_bytes(p, 8 * MIB), 0);
	/* Its chunks serve the next heap, which sees nothing of the old. */
	next = heap_over(NULL, NULL, 0);
	ck_assert_ptr_eq(ph_pages_alloc(next, 512, NULL), p);
	ck_assert_ptr_null(ph_span_of(next, q));
	ck_assert_int_eq(p[0], 0);
	heap_must_check(next);
	ph_heap_destroy(next);
}
END_TEST

/* ---- many ---- */

#define NEMPTY 10000

/* Neighbours may also have merged meanwhile. */
static size_t more_mappings(size_t before)
{
	size_t now = process_mappings();

	return now > before ? now - before : 0;
}

START_TEST(test_many_empty)
{
	static struct ph_heap *heaps[NEMPTY];
	size_t resident, mappings;

	ph_heap_destroy(heap_over(NULL, NULL, 0));
	resident = process_resident_bytes();
	mappings = process_mappings();
	for (size_t i = 0; i < NEMPTY; i++) {
		heaps[i] = ph_heap_create(NULL);
		must(heaps[i] != NULL);
	}
	resident = process_resident_bytes() - resident;
	mappings = more_mappings(mappings);
	printf("an empty heap: %zu bytes resident; %d heaps: %zu mappings\n",
	       resident / NEMPTY, NEMPTY, mappings);
	ck_assert_uint_le(resident / NEMPTY, 16 * KIB);
	ck_assert_uint_lt(mappings, 20000);
	for (size_t i = 0; i < NEMPTY; i++)
		ph_heap_destroy(heaps[i]);
}
END_TEST

/* All of them with a page and an object in use. */
START_TEST(test_many_used)
{
	enum { N = 500 };
	static struct ph_heap *heaps[N];
	size_t mappings = process_mappings();

	for (size_t i = 0; i < N; i++) {
		heaps[i] = ph_heap_create(NULL);
		must(heaps[i] != NULL);
		must(ph_pages_alloc(heaps[i], 1, NULL) != NULL);
		*(size_t **)ph_malloc(heaps[i], 16) = &mappings;
	}
	mappings = more_mappings(mappings);
	printf("%d used heaps: %zu mappings\n", N, mappings);
	ck_assert_uint_lt(mappings, 2 * N);
	for (size_t i = 0; i < N; i += 100)
		heap_must_check(heaps[i]);
	for (size_t i = 0; i < N; i++)
		ph_heap_destroy(heaps[i]);
}
END_TEST

static void use_and_destroy(void)
{
	struct ph_heap *heap = ph_heap_create(NULL);

	must(heap != NULL);
	for (size_t i = 0; i < 200; i++)
		memset(ph_malloc(heap, i * 200), 1, i * 200);
	ph_heap_destroy(heap);
}

START_TEST(test_one_after_another)
{
	size_t resident, mappings, used;

	for (int i = 0; i < 50; i++)
		use_and_destroy();
	resident = process_resident_bytes();
	mappings = process_mappings();
	used = meta_used_bytes(&ph__registry.meta);
	for (int i = 0; i < 300; i++)
		use_and_destroy();
	/* Not one byte of metadata more, in a table that may be rebuilt. */
	ck_assert_uint_le(meta_used_bytes(&ph__registry.meta), used + KIB);
	ck_assert_uint_le(process_mappings(), mappings + 2);
	/* TSan's shadow grows by itself. */
	ck_assert(PH_TSAN || process_resident_bytes() <= resident + 512 * KIB);
}
END_TEST

/* ---- the registry ---- */

START_TEST(test_ids)
{
	struct ph_heap *heaps[40];
	uint64_t ids[40], slot_mask = ((uint64_t)1 << HEAP_SLOT_BITS) - 1;

	for (size_t i = 0; i < 40; i++) {
		heaps[i] = ph_heap_create(NULL);
		ids[i] = heaps[i]->id;
		for (size_t k = 0; k < i; k++)
			ck_assert_uint_ne(ids[i] & slot_mask,
					  ids[k] & slot_mask);
	}
	lock_acquire(&ph__registry.lock);
	for (size_t i = 0; i < 40; i++)
		ck_assert_ptr_eq(ph__registry_find(ids[i]), heaps[i]);
	ck_assert_ptr_null(ph__registry_find(0));
	ck_assert_ptr_null(ph__registry_find(UINT64_MAX));
	ck_assert_ptr_null(
		ph__registry_find(ids[3] + ((uint64_t)1 << HEAP_SLOT_BITS)));
	lock_release(&ph__registry.lock);

	/* The lowest free slot is used again, under another id. */
	ph_heap_destroy(heaps[30]);
	ph_heap_destroy(heaps[5]);
	heaps[5] = ph_heap_create(NULL);
	ck_assert_uint_eq(heaps[5]->id & slot_mask, ids[5] & slot_mask);
	ck_assert_uint_ne(heaps[5]->id, ids[5]);
	lock_acquire(&ph__registry.lock);
	ck_assert_ptr_null(ph__registry_find(ids[5]));
	ck_assert_ptr_null(ph__registry_find(ids[30]));
	ck_assert_ptr_eq(ph__registry_find(heaps[5]->id), heaps[5]);
	lock_release(&ph__registry.lock);
	heaps[30] = ph_heap_create(NULL);
	ck_assert_uint_eq(heaps[30]->id & slot_mask, ids[30] & slot_mask);
	for (size_t i = 0; i < 40; i++)
		ph_heap_destroy(heaps[i]);
	ck_assert_uint_eq(ph__registry.nheaps, 0);
}
END_TEST

extern const struct ph_root_record ph_root_record;

/* A reader that knows nothing but the record finds a heap's pages. */
START_TEST(test_root_record)
{
	const struct ph_root_record *r = &ph_root_record;
	struct ph_heap *heap = ph_heap_create(NULL);
	struct ph_span *s = ph_span_of(heap, ph_malloc(heap, 100));
	const char *registry = (const char *)r->registry;
	char *const *slots;
	const char *leaf;
	uintptr_t base = (uintptr_t)ph_span_base(s);

	ck_assert_int_eq(memcmp(r->magic, PH_ROOT_MAGIC, sizeof(r->magic)), 0);
	ck_assert_uint_eq(r->nbytes, sizeof(*r));
	ck_assert_str_eq(r->library, ph_version());
	slots = *(char *const *const *)(const void *)(registry +
						      r->registry_slots_offset);
	ck_assert_ptr_eq(slots[0], (char *)heap);
	ck_assert_uint_eq(*(uint64_t *)(void *)(slots[0] + r->heap_id_offset),
			  heap->id);
	leaf = (const char *)r->pagemap_root[base >> r->leaf_shift];
	base &= ((uintptr_t)1 << r->leaf_shift) - 1;
	leaf += r->leaf_span_offset + (base >> r->page_shift) * sizeof(void *);
	ck_assert_ptr_eq(*(struct ph_span *const *)(const void *)leaf, s);
	ck_assert_uint_eq(
		*(uintptr_t *)(void *)((char *)s + r->span_base_offset),
		(uintptr_t)ph_span_base(s));
	ck_assert_uint_eq(
		*(uint16_t *)(void *)((char *)s + r->span_nelems_offset),
		ph_span_nelems(s));
	ph_heap_destroy(heap);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "heap");

	tcase_add_test(tc, test_options);
	tcase_add_test(tc, test_larger_structs);
	tcase_add_test(tc, test_own_sources);
	tcase_add_test(tc, test_no_random);
	tcase_add_test(tc, test_destroyed_memory_is_gone);
	tcase_add_test(tc, test_many_empty);
	tcase_add_test(tc, test_many_used);
	tcase_add_test(tc, test_one_after_another);
	tcase_add_test(tc, test_ids);
	tcase_add_test(tc, test_root_record);
	return suite_run(suite);
}
