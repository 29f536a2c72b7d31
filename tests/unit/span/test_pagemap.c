/* SPDX-License-Identifier: MIT */
/*
 * The page map: on addresses that need not exist, with descriptors of our own.
 */
#include <errno.h>
#include <string.h>

#include "span/pagemap.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define GIB ((uintptr_t)1 << 30)
#define TIB ((uintptr_t)1 << 40)

static struct meta meta;
static struct pagemap map;

static void set_up(void)
{
	ph__meta_init(&meta, ph_os_default(), NULL);
	must(ph__pagemap_init(&map, &meta, NULL) == 0);
}

static void tear_down(void)
{
	ph__pagemap_destroy(&map);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ph__meta_destroy(&meta);
}

static void make(struct ph_span *s, uintptr_t base, size_t npages)
{
	memset(s, 0, sizeof(*s));
	s->base = base;
	s->npages = npages;
	ph__pagemap_set_span(&map, s);
	span_publish(s, SPAN_USER);
}

static struct ph_span *at(uintptr_t addr)
{
	return pagemap_span_at(&map, addr);
}

/* Every page of the span leads to it, its neighbours do not. */
static void must_lead(struct ph_span *s)
{
	uintptr_t end = s->base + span_nbytes(s);

	for (uintptr_t a = s->base; a < end; a += PH_PAGE_SIZE) {
		must(at(a) == s);
		must(at(a + PH_PAGE_SIZE - 1) == s);
	}
	ck_assert_ptr_ne(at(s->base - 1), s);
	ck_assert_ptr_ne(at(end), s);
}

START_TEST(test_nothing)
{
	static const uintptr_t addrs[] = {
		0,
		1,
		PH_PAGE_SIZE,
		GIB - 1,
		TIB,
		((uintptr_t)1 << 47) - 1,
		((uintptr_t)1 << 48) - 1,
		(uintptr_t)1 << 48,
		(uintptr_t)0x42 << 56 | TIB,
		(uintptr_t)0xffff800000000000,
		UINTPTR_MAX,
	};

	for (size_t i = 0; i < PH_ARRAY_SIZE(addrs); i++) {
		ck_assert_ptr_null(at(addrs[i]));
		ck_assert_uint_eq(pagemap_entry(map.root, addrs[i]), 0);
	}
}
END_TEST

START_TEST(test_cover)
{
	size_t used = meta_used_bytes(&meta);
	size_t leaf = ph__meta_round(sizeof(struct pagemap_leaf));

	ck_assert_int_eq(ph__pagemap_cover(&map, TIB, 0), ENOMEM);
	ck_assert_int_eq(ph__pagemap_cover(&map, TIB, PH_CHUNK_SIZE), 0);
	ck_assert_uint_eq(meta_used_bytes(&meta), used + leaf);
	/* The same leaf again, up to its last byte. */
	ck_assert_int_eq(ph__pagemap_cover(&map, TIB + PH_CHUNK_SIZE,
					   GIB - PH_CHUNK_SIZE),
			 0);
	ck_assert_uint_eq(meta_used_bytes(&meta), used + leaf);
	/* One byte more is the next leaf. */
	ck_assert_int_eq(ph__pagemap_cover(&map, TIB, GIB + 1), 0);
	ck_assert_uint_eq(meta_used_bytes(&meta), used + 2 * leaf);
	/* The last leaf there is, and beyond. */
	ck_assert_int_eq(ph__pagemap_cover(&map, 256 * TIB - GIB, GIB), 0);
	ck_assert_int_eq(ph__pagemap_cover(&map, 256 * TIB - GIB, GIB + 1),
			 ENOMEM);
	ck_assert_int_eq(ph__pagemap_cover(&map, 256 * TIB, PH_CHUNK_SIZE),
			 ENOMEM);
	ck_assert_int_eq(
		ph__pagemap_cover(&map, UINTPTR_MAX - PH_CHUNK_SIZE, TIB),
		ENOMEM);
	ck_assert_uint_eq(meta_used_bytes(&meta), used + 3 * leaf);
}
END_TEST

/* Where spans begin and end: inside, at, and across chunks and leaves. */
START_TEST(test_shapes)
{
	static const struct {
		uintptr_t base;
		size_t npages;
	} shapes[] = {
		{TIB, 1},
		{TIB, 512},
		{TIB, 511},
		{TIB, 513},
		{TIB + PH_CHUNK_SIZE - PH_PAGE_SIZE, 1},
		{TIB + PH_CHUNK_SIZE - PH_PAGE_SIZE, 2},
		{TIB + PH_CHUNK_SIZE - PH_PAGE_SIZE, 514},
		{TIB + PH_PAGE_SIZE, 511},
		{TIB + PH_PAGE_SIZE, 512},
		{TIB + GIB - PH_PAGE_SIZE, 1},
		{TIB + GIB - PH_PAGE_SIZE, 2},
		{TIB + GIB - PH_CHUNK_SIZE, 1024},
		{TIB + GIB - PH_CHUNK_SIZE - PH_PAGE_SIZE, 1026},
		{TIB, 2 * 131072},
		{TIB + 3 * PH_PAGE_SIZE, 131072},
	};
	struct ph_span s;

	must(ph__pagemap_cover(&map, TIB, 3 * GIB) == 0);
	for (size_t i = 0; i < PH_ARRAY_SIZE(shapes); i++) {
		make(&s, shapes[i].base, shapes[i].npages);
		must_lead(&s);
		/* What is dead is not found, though its entries stay. */
		span_publish(&s, SPAN_DEAD);
		ck_assert_ptr_null(at(s.base));
		ck_assert_ptr_null(at(s.base + span_nbytes(&s) - 1));
	}
}
END_TEST

/* Stale entries of either table hide no live span. */
START_TEST(test_stale)
{
	struct ph_span large, small, other;

	must(ph__pagemap_cover(&map, TIB, GIB) == 0);
	make(&large, TIB, 3 * 512);
	span_publish(&large, SPAN_DEAD);
	/* In the middle of the chunk that chunk[] says is the large one's. */
	make(&small, TIB + PH_CHUNK_SIZE + 5 * PH_PAGE_SIZE, 2);
	must_lead(&small);
	ck_assert_ptr_null(at(TIB + PH_CHUNK_SIZE));
	span_publish(&small, SPAN_DEAD);
	/* The other way round: page entries under a whole chunk. */
	make(&large, TIB, 3 * 512);
	must_lead(&large);
	/* The stale descriptor lives again, somewhere else. */
	make(&small, TIB + 8 * PH_CHUNK_SIZE, 1);
	must_lead(&large);
	must_lead(&small);
	/* A shorter life of the same descriptor: the rest is nobody's. */
	span_publish(&large, SPAN_DEAD);
	make(&large, TIB, 513);
	must_lead(&large);
	ck_assert_ptr_null(at(TIB + 2 * PH_CHUNK_SIZE));
	make(&other, TIB + PH_CHUNK_SIZE + PH_PAGE_SIZE, 511);
	must_lead(&large);
	must_lead(&other);
}
END_TEST

START_TEST(test_extend)
{
	static const size_t lengths[] = {1,    2,    511,  512, 513,
					 1023, 1024, 1500, 3000};
	struct ph_span s;

	must(ph__pagemap_cover(&map, TIB, GIB) == 0);
	for (unsigned first = 0; first < 3; first++) {
		make(&s, TIB + first * PH_PAGE_SIZE, lengths[0]);
		for (size_t i = 1; i < PH_ARRAY_SIZE(lengths); i++) {
			ph__pagemap_extend_span(&map, &s, lengths[i]);
			/* Not before it says so. */
			ck_assert_ptr_null(at(s.base + span_nbytes(&s)));
			s.npages = lengths[i];
			must_lead(&s);
		}
		/* And back: whole chunks become parts. */
		for (size_t i = PH_ARRAY_SIZE(lengths); i-- > 0;) {
			s.npages = lengths[i];
			must_lead(&s);
		}
		span_publish(&s, SPAN_DEAD);
	}
}
END_TEST

START_TEST(test_entries)
{
	struct ph_span s;

	must(ph__pagemap_cover(&map, TIB, 2 * GIB) == 0);
	make(&s, TIB + GIB - 2 * PH_PAGE_SIZE, 5);
	ph__pagemap_set_entries(&map, &s, 42);
	for (size_t i = 0; i < 5; i++) {
		uintptr_t a = s.base + i * PH_PAGE_SIZE + 77;

		ck_assert_uint_eq(pagemap_entry(map.root, a),
				  42 | i << PAGE_ENTRY_CLASS_BITS);
	}
	ck_assert_uint_eq(pagemap_entry(map.root, s.base - 1), 0);
	ck_assert_uint_eq(pagemap_entry(map.root, s.base + 5 * PH_PAGE_SIZE),
			  0);
	ph__pagemap_set_entries(&map, &s, PAGE_ENTRY_OTHER);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(
			pagemap_entry(map.root, s.base + i * PH_PAGE_SIZE),
			PAGE_ENTRY_OTHER);
	ph__pagemap_set_entries(&map, &s, 0);
	for (size_t i = 0; i < 5; i++)
		ck_assert_uint_eq(
			pagemap_entry(map.root, s.base + i * PH_PAGE_SIZE), 0);
}
END_TEST

/* Random disjoint spans, made and unmade, against a table of pages. */
START_TEST(test_random)
{
	enum { NPAGES = 4096, NSPANS = 64 };
	static struct ph_span spans[NSPANS];
	static struct ph_span *owner[NPAGES];
	struct rng rng = rng_start("pagemap");
	/* Half in one leaf, half in the next. */
	uintptr_t base = TIB + GIB - NPAGES / 2 * PH_PAGE_SIZE;

	must(ph__pagemap_cover(&map, TIB, 2 * GIB) == 0);
	for (int round = 0; round < 3000; round++) {
		struct ph_span *s = &spans[rng_below(&rng, NSPANS)];
		size_t first = rng_below(&rng, NPAGES), n;

		for (size_t i = 0; i < NPAGES; i++)
			if (owner[i] == s)
				owner[i] = NULL;
		span_publish(s, SPAN_DEAD);
		n = rng_skewed(&rng, 2000);
		for (size_t i = first; i < first + n; i++)
			if (i >= NPAGES || owner[i])
				n = i - first;
		if (n == 0)
			continue;
		make(s, base + first * PH_PAGE_SIZE, n);
		for (size_t i = first; i < first + n; i++)
			owner[i] = s;
		for (size_t i = 0; i < NPAGES; i += round % 8 ? 61 : 1)
			must(at(base + i * PH_PAGE_SIZE + 5) == owner[i]);
	}
}
END_TEST

/* No leaf: nothing is covered, and what was made stays and is given back. */
START_TEST(test_no_memory)
{
	struct meta failing;
	struct pagemap own;
	struct fake_os os;

	fake_os_init(&os, NULL);
	ph__meta_init(&failing, &os.ops, &os);
	for (uint64_t nth = 1;; nth++) {
		int error;

		must(ph__pagemap_init(&own, &failing, NULL) == 0);
		fake_os_fail(&os, FAKE_GROWING, nth, FAKE_FOREVER);
		error = ph__pagemap_cover(&own, TIB, 20 * GIB);
		must(error == 0 || error == ENOMEM);
		fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
		if (error)
			must(ph__pagemap_cover(&own, TIB, 20 * GIB) == 0);
		ph__pagemap_destroy(&own);
		ck_assert_ptr_null(ph__meta_check(&failing));
		ck_assert_uint_eq(meta_used_bytes(&failing), 0);
		ph__meta_destroy(&failing);
		if (!error)
			break;
	}
	fake_os_destroy(&os);
}
END_TEST

START_TEST(test_span_index)
{
	/* Sizes that the classes do not have, too. */
	for (uint32_t size = 8; size <= 4096; size += 8) {
		struct ph_span s = {.elem_size = size};

		s.div_magic =
			(uint32_t)(((UINT64_C(1) << 32) + size - 1) / size);
		for (size_t offset = 0; offset < 1 << 17;
		     offset += size % 64 ? 1021 : 127)
			must(span_object_index(&s, offset) == offset / size);
		for (size_t i = 1; i * size < 1 << 17; i++) {
			must(span_object_index(&s, i * size) == i);
			must(span_object_index(&s, i * size - 1) == i - 1);
		}
	}
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "pagemap");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_nothing);
	tcase_add_test(tc, test_cover);
	tcase_add_test(tc, test_shapes);
	tcase_add_test(tc, test_stale);
	tcase_add_test(tc, test_extend);
	tcase_add_test(tc, test_entries);
	tcase_add_test(tc, test_random);
	tcase_add_test(tc, test_no_memory);
	tcase_add_test(tc, test_span_index);
	return suite_run(suite);
}
