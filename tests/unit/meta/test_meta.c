/* SPDX-License-Identifier: MIT */
#include "meta/meta.h"

#include <check.h>
#include <errno.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "os/os.h"
#include "support/fake_os.h"
#include "support/rng.h"
#include "support/suite.h"

#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

static const struct fake_os_config configs[] = {
	{.flags = PH_OS_ZEROES},
	{.flags = PH_OS_ZEROES, .page_size = 16 << 10},
	{.flags = PH_OS_ZEROES, .page_size = 64 << 10},
	{.flags = PH_OS_ZEROES, .has_use = true},
	{.flags = PH_OS_ZEROES, .has_use = true, .page_size = 64 << 10},
	{.flags = 0},
	{.flags = 0, .has_use = true},
};

static struct fake_os os;
static struct meta meta;

static void start(const struct fake_os_config *config)
{
	fake_os_init(&os, config);
	ph__meta_init(&meta, &os.ops, &os);
}

static void finish(void)
{
	ph__meta_destroy(&meta);
	ck_assert_uint_eq(meta_reserved_bytes(&meta), 0);
	fake_os_destroy(&os);
}

static void check_meta(void)
{
	const char *why = ph__meta_check(&meta);

	if (why != NULL)
		ck_abort_msg("%s", why);
}

static bool is_zero(const unsigned char *p, size_t nbytes)
{
	return p[0] == 0 && memcmp(p, p + 1, nbytes - 1) == 0;
}

static void *must_alloc(size_t nbytes, size_t align)
{
	void *p = ph__meta_alloc(&meta, nbytes, align);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % align, 0);
	if (nbytes >= META_PAGE_BYTES)
		ck_assert_uint_eq((uintptr_t)p % META_PAGE_BYTES, 0);
	ck_assert(is_zero(p, nbytes));
	return p;
}

/* As above, without touching the block. */
static void *must_take(size_t nbytes)
{
	void *p = ph__meta_alloc(&meta, nbytes, 16);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* ------------------------------------------------------------------------ */
/* Sizes                                                                    */
/* ------------------------------------------------------------------------ */

START_TEST(rounding_is_tight_and_stable)
{
	size_t last = 0;
	size_t nclasses = 0;

	for (size_t n = 1; n <= 256 * KIB; n++) {
		size_t r = ph__meta_round(n);
		size_t slack = n / 4 > 15 ? n / 4 : 15;

		if (n > META_PAGE_BYTES && slack < META_PAGE_BYTES - 1)
			slack = META_PAGE_BYTES - 1;
		if (r < n || r - n > slack || r < last || r % 16 != 0 ||
		    ph__meta_round(r) != r ||
		    (n > META_PAGE_BYTES && r % META_PAGE_BYTES != 0))
			ck_abort_msg("%zu is rounded to %zu", n, r);
		nclasses += r != last;
		last = r;
	}
	ck_assert_uint_lt(nclasses, META_NUM_BINS);
	ck_assert_uint_eq(ph__meta_round(0), 0);
	ck_assert_uint_eq(ph__meta_round((size_t)1 << 37), (size_t)1 << 37);
	ck_assert_uint_eq(ph__meta_round(((size_t)1 << 37) + 1), 0);
	ck_assert_uint_eq(ph__meta_round(SIZE_MAX), 0);
}
END_TEST

START_TEST(a_beginning_is_cheap)
{
	start(NULL);
	ck_assert_uint_eq(fake_os_nchanges(&os), 0);
	(void)must_alloc(64, 64);
	check_meta();
	ck_assert_uint_eq(meta_used_bytes(&meta), 64);
	ck_assert_uint_eq(meta_reserved_bytes(&meta), 1 * MIB);
	ck_assert_uint_le(meta_committed_bytes(&meta), 64 * KIB);
	ck_assert_uint_eq(fake_os_bytes(&os, FAKE_READY),
			  meta_committed_bytes(&meta));
	finish();
}
END_TEST

START_TEST(reservations_are_few)
{
	start(NULL);
	for (unsigned i = 0; i < 16 * 1024; i++)
		(void)must_take(2048);
	/* 1 + 2 + 4 + 8 + 16 MiB, and two tries for each but the first. */
	ck_assert_uint_le(meta_reserved_bytes(&meta), 64 * MIB);
	ck_assert_uint_le(fake_os_ncalls(&os, FAKE_RESERVE), 13);
	check_meta();
	finish();
}
END_TEST

START_TEST(sizes_beyond_all_bins_are_refused)
{
	start(NULL);
	errno = 0;
	ck_assert_ptr_null(ph__meta_alloc(&meta, SIZE_MAX, 16));
	ck_assert_int_eq(errno, ENOMEM);
	ck_assert_uint_eq(fake_os_nchanges(&os), 0);
	finish();
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Reuse                                                                    */
/* ------------------------------------------------------------------------ */

START_TEST(a_block_is_reused_for_its_class)
{
	start(&configs[_i]);
	for (size_t n = 1; n <= 512 * KIB; n = n * 2 + 13) {
		size_t rounded = ph__meta_round(n);
		void *p = must_alloc(n, 16);
		void *q;

		memset(p, 0xee, n);
		ph__meta_free(&meta, p, n);
		check_meta();
		q = must_alloc(rounded, 16);
		ck_assert_ptr_eq(p, q);
		memset(q, 0xee, rounded);
		ph__meta_free(&meta, q, rounded);
		ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	}
	finish();
}
END_TEST

START_TEST(reuse_respects_alignment)
{
	void *odd, *even;

	start(NULL);
	(void)must_alloc(16, 16);
	odd = must_alloc(64, 16);
	ck_assert_uint_ne((uintptr_t)odd % 64, 0);
	ph__meta_free(&meta, odd, 64);
	even = must_alloc(64, 64);
	ck_assert_ptr_ne(odd, even);
	ph__meta_free(&meta, even, 64);
	ck_assert_ptr_eq(must_alloc(64, 16), even);
	ck_assert_ptr_eq(must_alloc(64, 16), odd);
	finish();
}
END_TEST

START_TEST(gaps_of_alignment_are_used)
{
	uintptr_t large;

	start(NULL);
	(void)must_alloc(16, 16);
	large = (uintptr_t)must_alloc(META_PAGE_BYTES, 16);
	check_meta();
	/* Between the first record and the page: 3584 + 448 + 16. */
	ck_assert_uint_lt((uintptr_t)must_alloc(3584, 16), large);
	ck_assert_uint_lt((uintptr_t)must_alloc(448, 16), large);
	ck_assert_uint_lt((uintptr_t)must_alloc(16, 16), large);
	ck_assert_uint_gt((uintptr_t)must_alloc(448, 16), large);
	check_meta();
	finish();
}
END_TEST

START_TEST(large_free_blocks_cost_no_memory)
{
	size_t nbytes = 8 * MIB;
	size_t page = configs[_i].page_size ? configs[_i].page_size : 4096;
	void *p;

	start(&configs[_i]);
	p = must_alloc(nbytes, 16);
	memset(p, 1, nbytes);
	errno = 1234;
	ph__meta_free(&meta, p, nbytes);
	ck_assert_int_eq(errno, 1234);
	/* All but the first page, and the last if it is shared. */
	ck_assert_uint_ge(fake_os_call_bytes(&os, FAKE_RELEASE),
			  nbytes - 2 * page);
	check_meta();
	finish();
}
END_TEST

START_TEST(a_failed_release_is_no_matter)
{
	void *p;

	start(&configs[_i]);
	p = must_alloc(64 * KIB, 16);
	memset(p, 1, 64 * KIB);
	fake_os_fail(&os, FAKE_BIT(FAKE_RELEASE), 1, FAKE_ONCE);
	errno = 1234;
	ph__meta_free(&meta, p, 64 * KIB);
	ck_assert_int_eq(errno, 1234);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	check_meta();
	ck_assert_ptr_eq(must_alloc(64 * KIB, 16), p);
	finish();
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Against a model                                                          */
/* ------------------------------------------------------------------------ */

#define NBLOCKS 128
#define NSTEPS 2000

struct block {
	unsigned char *p;
	size_t nbytes;
	unsigned char fill;
};

static size_t random_size(struct rng *rng)
{
	if (rng_one_in(rng, 20))
		return rng_between(rng, 1, 600 * KIB);
	if (rng_one_in(rng, 3))
		return 4096u << rng_below(rng, 4);
	return rng_skewed(rng, 8192);
}

/* A block keeps its contents, so no two overlap and none was released. */
static void verify_block(const struct block *b)
{
	if (b->p[0] != b->fill || memcmp(b->p, b->p + 1, b->nbytes - 1) != 0)
		ck_abort_msg("a block of %zu was overwritten", b->nbytes);
}

static void fill_block(struct block *b, struct rng *rng)
{
	size_t align = (size_t)1 << rng_below(rng, 13);

	b->nbytes = random_size(rng);
	b->fill = (unsigned char)rng_between(rng, 1, 255);
	b->p = must_alloc(b->nbytes, align);
	memset(b->p, b->fill, b->nbytes);
}

START_TEST(random_blocks)
{
	struct rng rng = rng_start("meta: random blocks");
	static struct block blocks[NBLOCKS];
	size_t used = 0;

	start(&configs[_i]);
	for (unsigned step = 0; step < NSTEPS; step++) {
		struct block *b = &blocks[rng_below(&rng, NBLOCKS)];

		if (b->p == NULL) {
			fill_block(b, &rng);
			used += ph__meta_round(b->nbytes);
		} else {
			verify_block(b);
			ph__meta_free(&meta, b->p, b->nbytes);
			used -= ph__meta_round(b->nbytes);
			b->p = NULL;
		}
		ck_assert_uint_eq(meta_used_bytes(&meta), used);
		if (step % 4 == 0)
			check_meta();
	}
	for (unsigned i = 0; i < NBLOCKS; i++) {
		if (blocks[i].p == NULL)
			continue;
		verify_block(&blocks[i]);
		ph__meta_free(&meta, blocks[i].p, blocks[i].nbytes);
	}
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	check_meta();
	ck_assert_uint_eq(fake_os_bytes(&os, FAKE_RESERVED) +
				  fake_os_bytes(&os, FAKE_PREPARED) +
				  fake_os_bytes(&os, FAKE_READY),
			  meta_reserved_bytes(&meta));
	finish();
}
END_TEST

START_TEST(random_blocks_of_the_real_system)
{
	struct rng rng = rng_start("meta: random blocks of the real system");
	static struct block blocks[NBLOCKS];

	ph__meta_init(&meta, ph_os_default(), NULL);
	for (unsigned step = 0; step < NSTEPS; step++) {
		struct block *b = &blocks[rng_below(&rng, NBLOCKS)];

		if (b->p == NULL) {
			fill_block(b, &rng);
		} else {
			verify_block(b);
			ph__meta_free(&meta, b->p, b->nbytes);
			b->p = NULL;
		}
		if (step % 4 == 0)
			check_meta();
	}
	ph__meta_destroy(&meta);
	check_meta();
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Out of memory                                                            */
/* ------------------------------------------------------------------------ */

/* States before an allocation, and what is then asked for. */
static void before_nothing(void)
{
}

static void before_commit(void)
{
	(void)must_take(60 * KIB);
}

static void before_reservation(void)
{
	while (meta_committed_bytes(&meta) + 64 * KIB <= MIB)
		(void)must_take(60 * KIB);
}

static void before_reuse(void)
{
	void *p = must_take(128 * KIB);

	(void)must_alloc(16, 16);
	memset(p, 1, 128 * KIB);
	ph__meta_free(&meta, p, 128 * KIB);
}

static const struct {
	void (*before)(void);
	size_t nbytes;
} failures[] = {
	{before_nothing, 16},
	{before_nothing, 600 * KIB},
	{before_commit, 120 * KIB},
	{before_reservation, 100 * KIB},
	{before_reservation, 700 * KIB},
	{before_commit, 2 * MIB},
	{before_reuse, 128 * KIB},
};

struct numbers {
	size_t reserved, committed, used, free;
	uint64_t digest;
};

static struct numbers numbers_now(void)
{
	return (struct numbers){
		meta_reserved_bytes(&meta), meta_committed_bytes(&meta),
		meta_used_bytes(&meta), meta.free_bytes, fake_os_digest(&os)};
}

/* With the nth call failing; false when there is no nth call. */
static bool fails_cleanly(const struct fake_os_config *config, size_t failure,
			  uint64_t nth, enum fake_failing failing)
{
	size_t nbytes = failures[failure].nbytes;
	struct numbers was, is;
	uint64_t ncommitted;
	void *p;

	start(config);
	failures[failure].before();
	was = numbers_now();
	ncommitted = fake_os_call_bytes(&os, FAKE_COMMIT);
	fake_os_fail(&os, FAKE_GROWING, nth, failing);
	errno = 0;
	p = ph__meta_alloc(&meta, nbytes, 16);
	if (fake_os_nfailed(&os) == 0) {
		ck_assert_ptr_nonnull(p);
		finish();
		return false;
	}
	/* A refused place or size may be made up for by another. */
	if (p == NULL) {
		ck_assert_int_eq(errno, ENOMEM);
		is = numbers_now();
		ck_assert_uint_eq(is.reserved, was.reserved);
		ck_assert_uint_eq(is.committed, was.committed);
		ck_assert_uint_eq(is.used, was.used);
		ck_assert_uint_eq(is.free, was.free);
		/* What was prepared stays so: there is no way back. */
		if (fake_os_call_bytes(&os, FAKE_COMMIT) == ncommitted)
			ck_assert_uint_eq(is.digest, was.digest);
		check_meta();
	} else {
		ck_assert_int_eq(failing, FAKE_ONCE);
		ck_assert(is_zero(p, nbytes));
	}
	fake_os_fail(&os, 0, 0, FAKE_ONCE);
	(void)must_alloc(nbytes, 16);
	check_meta();
	finish();
	return true;
}

START_TEST(every_failure_is_undone)
{
	const struct fake_os_config *config = &configs[_i];

	for (size_t f = 0; f < PH_ARRAY_SIZE(failures); f++) {
		uint64_t nth = 1;

		while (fails_cleanly(config, f, nth, FAKE_ONCE) &&
		       fails_cleanly(config, f, nth, FAKE_FOREVER))
			nth++;
		/* Reusing needs a call only where there is `use`. */
		if (failures[f].before != before_reuse || config->has_use)
			ck_assert_uint_gt(nth, 1);
	}
}
END_TEST

START_TEST(short_address_space_is_shared_out)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES,
					.max_bytes = 3 * MIB};

	start(&config);
	(void)must_alloc(900 * KIB, 16);
	/* The next reservation would be 2 MiB, but there is less. */
	(void)must_alloc(200 * KIB, 16);
	(void)must_alloc(900 * KIB, 16);
	check_meta();
	errno = 0;
	ck_assert_ptr_null(ph__meta_alloc(&meta, 2 * MIB, 16));
	ck_assert_int_eq(errno, ENOMEM);
	check_meta();
	finish();
}
END_TEST

/* ------------------------------------------------------------------------ */
/* Threads                                                                  */
/* ------------------------------------------------------------------------ */

static void *random_thread(void *arg)
{
	struct rng rng = {(uintptr_t)arg};
	struct block blocks[16] = {{NULL, 0, 0}};

	for (unsigned step = 0; step < 1000; step++) {
		struct block *b = &blocks[rng_below(&rng, 16)];

		if (b->p != NULL) {
			if (b->p[0] != b->fill ||
			    b->p[b->nbytes - 1] != b->fill)
				return "a block was overwritten";
			ph__meta_free(&meta, b->p, b->nbytes);
			b->p = NULL;
			continue;
		}
		b->nbytes = rng_skewed(&rng, 40 * KIB);
		b->fill = (unsigned char)(uintptr_t)arg;
		b->p = ph__meta_alloc(&meta, b->nbytes, 16);
		if (b->p == NULL || !is_zero(b->p, b->nbytes))
			return "a block is not zero";
		memset(b->p, b->fill, b->nbytes);
		if (step % 100 == 0 && ph__meta_check(&meta) != NULL)
			return "the check fails";
	}
	for (unsigned i = 0; i < 16; i++) {
		if (blocks[i].p != NULL)
			ph__meta_free(&meta, blocks[i].p, blocks[i].nbytes);
	}
	return NULL;
}

START_TEST(threads_share_a_meta)
{
	pthread_t threads[4];

	start(NULL);
	for (uintptr_t i = 0; i < 4; i++)
		ck_assert_int_eq(pthread_create(&threads[i], NULL,
						random_thread, (void *)(i + 1)),
				 0);
	for (unsigned i = 0; i < 4; i++) {
		void *complaint;

		ck_assert_int_eq(pthread_join(threads[i], &complaint), 0);
		if (complaint != NULL)
			ck_abort_msg("%s", (const char *)complaint);
	}
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	check_meta();
	finish();
}
END_TEST

int main(void)
{
	const int nconfigs = (int)PH_ARRAY_SIZE(configs);
	Suite *suite;
	TCase *tcase = suite_start(&suite, "meta");

	tcase_add_test(tcase, rounding_is_tight_and_stable);
	tcase_add_test(tcase, a_beginning_is_cheap);
	tcase_add_test(tcase, reservations_are_few);
	tcase_add_test(tcase, sizes_beyond_all_bins_are_refused);
	tcase_add_loop_test(tcase, a_block_is_reused_for_its_class, 0,
			    nconfigs);
	tcase_add_test(tcase, reuse_respects_alignment);
	tcase_add_test(tcase, gaps_of_alignment_are_used);
	tcase_add_loop_test(tcase, large_free_blocks_cost_no_memory, 0,
			    nconfigs);
	tcase_add_loop_test(tcase, a_failed_release_is_no_matter, 0, nconfigs);
	tcase_add_loop_test(tcase, random_blocks, 0, nconfigs);
	tcase_add_test(tcase, random_blocks_of_the_real_system);
	tcase_add_loop_test(tcase, every_failure_is_undone, 0, nconfigs);
	tcase_add_test(tcase, short_address_space_is_shared_out);
	tcase_add_test(tcase, threads_share_a_meta);
	return suite_run(suite);
}
