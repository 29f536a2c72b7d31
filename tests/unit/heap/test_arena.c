/* SPDX-License-Identifier: MIT */
/*
 * Arenas, over systems that place reservations as each test needs: upwards,
 * downwards, nowhere.
 */
#include "heap/arena.h"

#include <errno.h>

#include "base/bits.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define MIB ((size_t)1 << 20)

static struct fake_os os;
static struct meta meta;
static struct arenas arenas;

static void set_up(void)
{
	struct fake_os_config config = {.flags = PH_OS_UNTOUCHABLE};

	fake_os_init(&os, &config);
	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__arenas_init(&arenas, &os.ops, &os, &meta, 0);
}

static void tear_down(void)
{
	ph__arenas_destroy(&arenas);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ph__meta_destroy(&meta);
	/* Everything was unmapped, or this dies. */
	fake_os_destroy(&os);
}

/* Where every byte of the reservations is. */
static void must_add_up(size_t taken)
{
	ck_assert(ph__addr_ranges_check(&arenas.fresh));
	ck_assert(ph__addr_ranges_check(&arenas.recycled));
	ck_assert(ph__addr_ranges_check(&arenas.all));
	ck_assert_uint_eq(arenas.all.total_bytes,
			  arenas.fresh.total_bytes +
				  arenas.recycled.total_bytes + taken);
	ck_assert_uint_eq(fake_os_bytes(&os, FAKE_RESERVED),
			  arenas.fresh.total_bytes);
	ck_assert_uint_eq(fake_os_bytes(&os, FAKE_READY),
			  arenas.recycled.total_bytes + taken);
}

START_TEST(test_contiguous)
{
	struct arena_run first = ph__arenas_take(&arenas, 4 * MIB), next;
	size_t taken = 4 * MIB;

	ck_assert_uint_ne(first.base, 0);
	ck_assert_uint_eq(first.base % PH_CHUNK_SIZE, 0);
	ck_assert_uint_eq(arenas.all.total_bytes, ARENA_FIRST_BYTES);
	/* 1 GiB, chunk by chunk, across reservations of 16, 32, 64 MiB ... */
	for (; taken < 1024 * MIB; taken += 4 * MIB) {
		next = ph__arenas_take_at(&arenas, 4 * MIB, first.base + taken);
		ck_assert_uint_eq(next.base, first.base + taken);
	}
	must_add_up(taken);
	ck_assert_uint_eq(arenas.all.count, 1);
	/* 16 + 32 + 64 n >= 1024 */
	ck_assert_uint_le(fake_os_ncalls(&os, FAKE_RESERVE), 18);
	ck_assert_uint_lt(arenas.all.total_bytes, 1024 * MIB + 64 * MIB);
}
END_TEST

START_TEST(test_straddles_reservations)
{
	struct arena_run a = ph__arenas_take(&arenas, 12 * MIB);
	struct arena_run b =
		ph__arenas_take_at(&arenas, 40 * MIB, a.base + 12 * MIB);

	ck_assert_uint_eq(b.base, a.base + 12 * MIB);
	must_add_up(52 * MIB);
}
END_TEST

START_TEST(test_large)
{
	struct arena_run a = ph__arenas_take(&arenas, 1000 * MIB);

	ck_assert_uint_ne(a.base, 0);
	must_add_up(1000 * MIB);
	ck_assert_uint_eq(fake_os_ncalls(&os, FAKE_RESERVE), 1);
}
END_TEST

START_TEST(test_recycles)
{
	struct arena_run a = ph__arenas_take(&arenas, 8 * MIB), b, c;

	ph__arenas_give_back(&arenas, a);
	must_add_up(0);
	/* Recycled memory first, without asking the system. */
	b = ph__arenas_take(&arenas, 4 * MIB);
	ck_assert_uint_eq(b.base, a.base);
	ck_assert_uint_eq(fake_os_ncalls(&os, FAKE_COMMIT), 1);
	c = ph__arenas_take_at(&arenas, 4 * MIB, a.base + 4 * MIB);
	ck_assert_uint_eq(c.base, a.base + 4 * MIB);
	ck_assert_uint_eq(fake_os_ncalls(&os, FAKE_COMMIT), 1);
	must_add_up(8 * MIB);
	/* Given back in pieces, taken as a whole. */
	ph__arenas_give_back(&arenas, c);
	ph__arenas_give_back(&arenas, b);
	ck_assert_uint_eq(arenas.recycled.count, 1);
	a = ph__arenas_take(&arenas, 8 * MIB);
	ck_assert_uint_eq(a.base, b.base);
	must_add_up(8 * MIB);
}
END_TEST

START_TEST(test_take_at_fails)
{
	struct arena_run a = ph__arenas_take(&arenas, 4 * MIB);
	uint64_t digest = fake_os_digest(&os);
	uintptr_t nowhere[] = {a.base, a.base - 4 * MIB, a.base + 1024 * MIB,
			       UINTPTR_MAX - MIB};

	for (size_t i = 0; i < PH_ARRAY_SIZE(nowhere); i++) {
		struct arena_run b =
			ph__arenas_take_at(&arenas, 4 * MIB, nowhere[i]);

		ck_assert_uint_eq(b.base, 0);
		ck_assert_uint_eq(fake_os_digest(&os), digest);
	}
	must_add_up(4 * MIB);
}
END_TEST

START_TEST(test_drop)
{
	struct arena_run a = ph__arenas_take(&arenas, 16 * MIB), b = a;

	b.base += 4 * MIB;
	b.nbytes = 4 * MIB;
	ph__arenas_drop(&arenas, b);
	ck_assert_int_eq(fake_os_state(&os, (void *)b.base), FAKE_NONE);
	ck_assert_int_eq(fake_os_state(&os, (void *)a.base), FAKE_READY);
	must_add_up(12 * MIB);
	ck_assert_uint_eq(arenas.all.count, 2);
}
END_TEST

/* When 16 MiB are refused, 8 and 4 are tried. */
START_TEST(test_smaller)
{
	struct arena_run a;

	os.config.max_bytes = 5 * MIB;
	a = ph__arenas_take(&arenas, 4 * MIB);
	ck_assert_uint_ne(a.base, 0);
	ck_assert_uint_eq(arenas.all.total_bytes, 4 * MIB);
	errno = 0;
	a = ph__arenas_take(&arenas, 4 * MIB);
	ck_assert_uint_eq(a.base, 0);
	ck_assert_int_eq(errno, ENOMEM);
	must_add_up(4 * MIB);
}
END_TEST

/* Each call of a take fails in turn: nothing is lost, nothing half done. */
START_TEST(test_failures)
{
	for (uint64_t nth = 1; nth < 20; nth++) {
		uint64_t digest = fake_os_digest(&os);
		size_t fresh = arenas.fresh.total_bytes;
		struct arena_run a;

		fake_os_fail(&os, FAKE_ALL, nth, FAKE_FOREVER);
		a = ph__arenas_take(&arenas, 20 * MIB);
		if (a.base) {
			must_add_up(20 * MIB);
			fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
			return;
		}
		must_add_up(0);
		/* A reservation may stay, for the next to use. */
		if (arenas.fresh.total_bytes == fresh)
			ck_assert_uint_eq(fake_os_digest(&os), digest);
	}
	ck_abort_msg("never succeeded");
}
END_TEST

/* ---- a system that takes no hints and places things downwards ---- */

struct downwards {
	uintptr_t next;
	size_t largest; /* request */
	bool hints;	/* are honoured */
};

static void *down_reserve(void *ctx, void *hint, size_t nbytes, size_t align)
{
	struct downwards *d = ctx;

	if (nbytes > d->largest)
		d->largest = nbytes;
	if (hint && d->hints)
		return hint;
	if (hint) {
		errno = EEXIST;
		return NULL;
	}
	d->next = align_down(d->next - nbytes, align);
	return (void *)d->next;
}

static int down_nothing(void *ctx, void *addr, size_t nbytes)
{
	(void)ctx;
	(void)addr;
	(void)nbytes;
	return 0;
}

static const struct ph_os_ops down_ops = {
	.struct_size = sizeof(struct ph_os_ops),
	.page_size = 4096,
	.flags = PH_OS_UNTOUCHABLE,
	.reserve = down_reserve,
	.commit = down_nothing,
	.release = down_nothing,
	.unmap = down_nothing,
};

/*
 * A heap's end lies above the last reservation: what is missing up to there is
 * none of the arenas' business, however near or far.
 */
START_TEST(test_end_above_reservation)
{
	struct downwards d = {.next = (uintptr_t)1 << 45};
	struct arenas down;
	struct arena_run a, b, c;

	ph__arenas_init(&down, &down_ops, &d, &meta, 0);
	a = ph__arenas_take(&down, 16 * MIB);
	d.next -= (uintptr_t)1 << 42;
	b = ph__arenas_take(&down, 4 * MIB);
	ck_assert_uint_lt(b.base, a.base);
	c = ph__arenas_take_at(&down, 4 * MIB, a.base + 16 * MIB);
	ck_assert_uint_eq(c.base, 0);
	ck_assert_uint_le(d.largest, ARENA_LARGEST_BYTES);
	/* The rest of the lower one can be had, and what follows if hints do.
	 */
	c = ph__arenas_take_at(&down, 4 * MIB, b.base + 4 * MIB);
	ck_assert_uint_eq(c.base, b.base + 4 * MIB);
	d.hints = true;
	c = ph__arenas_take_at(&down, 48 * MIB, b.base + 8 * MIB);
	ck_assert_uint_eq(c.base, b.base + 8 * MIB);
	ck_assert_uint_le(d.largest, ARENA_LARGEST_BYTES);
	ph__arenas_destroy(&down);
}
END_TEST

/* With hints refused the run comes from wherever the system says. */
START_TEST(test_hints_refused)
{
	struct downwards d = {.next = (uintptr_t)1 << 45};
	struct arenas down;
	struct arena_run last = {0, 0};

	ph__arenas_init(&down, &down_ops, &d, &meta, 0);
	for (int i = 0; i < 100; i++) {
		struct arena_run a = ph__arenas_take(&down, 12 * MIB);

		ck_assert_uint_ne(a.base, 0);
		ck_assert_uint_ne(a.base, last.base);
		last = a;
	}
	/* At most a quarter is lost to reservations' ends. */
	ck_assert_uint_le(down.all.total_bytes, 1600 * MIB);
	ph__arenas_destroy(&down);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "arena");

	tcase_add_checked_fixture(tc, set_up, tear_down);
	tcase_add_test(tc, test_contiguous);
	tcase_add_test(tc, test_straddles_reservations);
	tcase_add_test(tc, test_large);
	tcase_add_test(tc, test_recycles);
	tcase_add_test(tc, test_take_at_fails);
	tcase_add_test(tc, test_drop);
	tcase_add_test(tc, test_smaller);
	tcase_add_test(tc, test_failures);
	tcase_add_test(tc, test_end_above_reservation);
	tcase_add_test(tc, test_hints_refused);
	return suite_run(suite);
}
