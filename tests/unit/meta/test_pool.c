/* SPDX-License-Identifier: MIT */
#include "meta/pool.h"

#include <check.h>
#include <errno.h>
#include <string.h>

#include "support/fake_os.h"
#include "support/rng.h"
#include "support/suite.h"

struct thing {
	uint64_t state;
	uint64_t number;
	char rest[40];
};

static struct fake_os os;
static struct meta meta;
static struct meta_pool pool;

static void setup(void)
{
	fake_os_init(&os, NULL);
	ph__meta_init(&meta, &os.ops, &os);
	ph__pool_init(&pool, &meta, sizeof(struct thing), 4096);
}

static void teardown(void)
{
	ph__pool_destroy(&pool);
	ck_assert_ptr_null(ph__pool_check(&pool));
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ck_assert_ptr_null(ph__meta_check(&meta));
	ph__meta_destroy(&meta);
	fake_os_destroy(&os);
}

static void check_pool(void)
{
	const char *why = ph__pool_check(&pool);

	if (why != NULL)
		ck_abort_msg("%s", why);
}

static bool is_zero(const void *p, size_t nbytes)
{
	static const char zeroes[256];

	return memcmp(p, zeroes, nbytes) == 0;
}

START_TEST(nothing_costs_nothing)
{
	check_pool();
	ck_assert_uint_eq(fake_os_nchanges(&os), 0);
}
END_TEST

START_TEST(an_object_keeps_its_front)
{
	struct thing *a = ph__pool_alloc(&pool);
	struct thing *b;

	ck_assert(is_zero(a, sizeof(*a)));
	a->state = 1;
	a->number = 2;
	ph__pool_free(&pool, a);
	ck_assert_uint_eq(a->state, 1);
	b = ph__pool_alloc(&pool);
	ck_assert_ptr_eq(a, b);
	ck_assert_uint_eq(b->state, 1);
	ck_assert_uint_eq(b->number, 2);
	memset(b, 0xff, sizeof(*b));
	ph__pool_free(&pool, b);
	b = ph__pool_alloc_zeroed(&pool);
	ck_assert_ptr_eq(a, b);
	ck_assert(is_zero(b, sizeof(*b)));
}
END_TEST

START_TEST(objects_are_aligned)
{
	static const size_t sizes[] = {1, 16, 24, 64, 100, 128, 192};

	for (size_t i = 0; i < PH_ARRAY_SIZE(sizes); i++) {
		struct meta_pool p;

		ph__pool_init(&p, &meta, sizes[i], 2048);
		for (unsigned n = 0; n < 100; n++) {
			uintptr_t at = (uintptr_t)ph__pool_alloc(&p);

			ck_assert_uint_ne(at, 0);
			ck_assert_uint_eq(at % (sizes[i] % 64 ? 16 : 64), 0);
			ck_assert(is_zero((void *)at, sizes[i]));
		}
		ck_assert_ptr_null(ph__pool_check(&p));
		ph__pool_destroy(&p);
	}
}
END_TEST

struct visit {
	size_t nlive;
	size_t nall;
};

static void count_thing(void *ctx, void *object)
{
	struct visit *v = ctx;

	v->nall++;
	v->nlive += ((struct thing *)object)->state == 1;
}

START_TEST(random_objects)
{
	struct rng rng = rng_start("pool: random objects");
	static struct thing *live[300];
	struct visit v = {0, 0};
	size_t nlive = 0, peak = 0;

	for (unsigned step = 0; step < 5000; step++) {
		size_t i = rng_below(&rng, PH_ARRAY_SIZE(live));

		if (live[i] == NULL) {
			live[i] = ph__pool_alloc(&pool);
			ck_assert_ptr_nonnull(live[i]);
			ck_assert_uint_eq(live[i]->state, 0);
			live[i]->state = 1;
			live[i]->number = i;
			nlive++;
		} else {
			ck_assert_uint_eq(live[i]->number, i);
			live[i]->state = 0;
			ph__pool_free(&pool, live[i]);
			live[i] = NULL;
			nlive--;
		}
		peak = nlive > peak ? nlive : peak;
		ck_assert_uint_eq(pool.nlive, nlive);
		if (step % 16 == 0)
			check_pool();
	}
	ck_assert_uint_eq(pool.ncreated, peak);
	ph__pool_for_each(&pool, count_thing, &v);
	ck_assert_uint_eq(v.nall, peak);
	ck_assert_uint_eq(v.nlive, nlive);
}
END_TEST

START_TEST(a_refused_slab_changes_nothing)
{
	fake_os_fail(&os, FAKE_GROWING, 1, FAKE_FOREVER);
	for (unsigned i = 0; i < 3; i++) {
		errno = 0;
		ck_assert_ptr_null(ph__pool_alloc(&pool));
		ck_assert_int_eq(errno, ENOMEM);
		ck_assert_ptr_null(ph__pool_alloc_zeroed(&pool));
		check_pool();
		ck_assert_uint_eq(pool.nslabs, 0);
	}
	fake_os_fail(&os, 0, 0, FAKE_ONCE);
	ck_assert_ptr_nonnull(ph__pool_alloc(&pool));
	check_pool();
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "pool");

	tcase_add_checked_fixture(tcase, setup, teardown);
	tcase_add_test(tcase, nothing_costs_nothing);
	tcase_add_test(tcase, an_object_keeps_its_front);
	tcase_add_test(tcase, objects_are_aligned);
	tcase_add_test(tcase, random_objects);
	tcase_add_test(tcase, a_refused_slab_changes_nothing);
	return suite_run(suite);
}
