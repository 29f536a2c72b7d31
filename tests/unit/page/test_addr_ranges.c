/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "meta/meta.h"
#include "page/addr_ranges.h"
#include "support/fake_os.h"
#include "support/suite.h"
#include "support/vec_reader.h"

/* The set as the vectors print it: "count total lo-hi lo-hi ...". */
static void print_set(const struct addr_ranges *set, char *out, size_t size)
{
	int n = snprintf(out, size, "%zu %zu", set->count, set->total_bytes);

	for (size_t i = 0; i < set->count; i++)
		n += snprintf(out + n, size - (size_t)n, " %zu-%zu",
			      (size_t)set->range[i].base,
			      (size_t)set->range[i].limit);
}

/* One line of the vectors: the operation is carried out, the answer printed. */
static void answer(struct addr_ranges *set, struct meta *meta, const char *op,
		   size_t a, size_t b, char *out, size_t size)
{
	uintptr_t found;

	out[0] = '\0';
	if (strcmp(op, "reset") == 0) {
		ph__addr_ranges_destroy(set, meta);
	} else if (strcmp(op, "add") == 0) {
		ck_assert_int_eq(ph__addr_ranges_reserve(set, meta), 0);
		ph__addr_ranges_add(set, (struct addr_range){a, b});
		print_set(set, out, size);
	} else if (strcmp(op, "succ") == 0) {
		snprintf(out, size, "%zu", ph__addr_ranges_find_succ(set, a));
	} else if (strcmp(op, "ge") == 0) {
		if (ph__addr_ranges_find_ge(set, a, &found))
			snprintf(out, size, "%zu", (size_t)found);
		else
			snprintf(out, size, "-");
	} else if (strcmp(op, "has") == 0) {
		snprintf(out, size, "%d", ph__addr_ranges_contains(set, a));
	} else if (strcmp(op, "rmge") == 0) {
		ph__addr_ranges_remove_ge(set, a);
		print_set(set, out, size);
	} else {
		struct addr_range r;
		int n;

		ck_assert_str_eq(op, "rmlast");
		r = ph__addr_ranges_remove_last(set, a);
		n = snprintf(out, size, "%zu %zu -> ", (size_t)r.base,
			     (size_t)r.limit);
		print_set(set, out + n, size - (size_t)n);
	}
	ck_assert(ph__addr_ranges_check(set));
}

START_TEST(vectors)
{
	struct vec_reader r;
	struct meta meta;
	struct addr_ranges set;
	static char out[1 << 16];
	size_t count = 0;

	ph__meta_init(&meta, ph_os_default(), NULL);
	ph__addr_ranges_init(&set);
	vec_open(&r, "vectors/addrranges.vec.gz");
	while (vec_next(&r)) {
		char op[16] = "";
		size_t a = 0, b = 0;
		const char *arrow = strstr(r.line, " -> ");

		ck_assert_int_ge(sscanf(r.line, "%15s %zu %zu", op, &a, &b), 1);
		answer(&set, &meta, op, a, b, out, sizeof(out));
		ck_assert_str_eq(out, arrow != NULL ? arrow + 4 : "");
		count++;
	}
	vec_close(&r);
	ck_assert_uint_eq(count, 1758);
	ph__addr_ranges_destroy(&set, &meta);
	ck_assert_uint_eq(meta_used_bytes(&meta), 0);
	ph__meta_destroy(&meta);
}
END_TEST

START_TEST(empty_set_answers)
{
	struct addr_ranges set;
	uintptr_t found = 77;
	struct addr_range r;

	ph__addr_ranges_init(&set);
	ck_assert_uint_eq(ph__addr_ranges_find_succ(&set, 5), 0);
	ck_assert(!ph__addr_ranges_contains(&set, 5));
	ck_assert(!ph__addr_ranges_contains(&set, UINTPTR_MAX));
	ck_assert(!ph__addr_ranges_find_ge(&set, 0, &found));
	ck_assert_uint_eq(found, 77);
	ck_assert(!ph__addr_ranges_covers(&set, (struct addr_range){1, 2}));
	ck_assert(!ph__addr_ranges_overlaps(&set, (struct addr_range){1, 2}));
	ph__addr_ranges_remove_ge(&set, 0);
	r = ph__addr_ranges_remove_last(&set, 10);
	ck_assert_uint_eq(r.base, r.limit);
	ck_assert(ph__addr_ranges_check(&set));
	ck_assert_uint_eq(set.count, 0);
}
END_TEST

static struct addr_range minus(uintptr_t a, uintptr_t b, uintptr_t c,
			       uintptr_t d)
{
	return ph__addr_range_subtract((struct addr_range){a, b},
				       (struct addr_range){c, d});
}

#define assert_range(r, b, l)                                                  \
	do {                                                                   \
		struct addr_range r_ = (r);                                    \
		ck_assert_uint_eq(r_.base, (b));                               \
		ck_assert_uint_eq(r_.limit, (l));                              \
	} while (0)

START_TEST(subtract_trims)
{
	assert_range(minus(10, 20, 0, 5), 10, 20);   /* apart */
	assert_range(minus(10, 20, 25, 30), 10, 20); /* apart */
	assert_range(minus(10, 20, 5, 10), 10, 20);  /* touching */
	assert_range(minus(10, 20, 20, 25), 10, 20); /* touching */
	assert_range(minus(10, 20, 5, 12), 12, 20);
	assert_range(minus(10, 20, 10, 12), 12, 20);
	assert_range(minus(10, 20, 15, 25), 10, 15);
	assert_range(minus(10, 20, 15, 20), 10, 15);
	assert_range(minus(10, 20, 10, 20), 0, 0);
	assert_range(minus(10, 20, 5, 25), 0, 0);
}
END_TEST

START_TEST(subtract_may_not_split)
{
	(void)minus(10, 20, 12, 15);
}
END_TEST

START_TEST(add_may_not_overlap)
{
	struct addr_ranges set;

	ph__addr_ranges_init(&set);
	ph__addr_ranges_add(&set, (struct addr_range){10, 20});
	ph__addr_ranges_add(&set, (struct addr_range){19, 30});
}
END_TEST

START_TEST(add_may_not_be_empty)
{
	struct addr_ranges set;

	ph__addr_ranges_init(&set);
	ph__addr_ranges_add(&set, (struct addr_range){10, 10});
}
END_TEST

START_TEST(covers_and_overlaps)
{
	struct addr_ranges set;

	ph__addr_ranges_init(&set);
	ph__addr_ranges_add(&set, (struct addr_range){10, 20});
	ph__addr_ranges_add(&set, (struct addr_range){30, 40});
	for (uintptr_t a = 0; a < 45; a++) {
		for (uintptr_t b = a + 1; b < 50; b++) {
			struct addr_range r = {a, b};
			bool covers =
				(a >= 10 && b <= 20) || (a >= 30 && b <= 40);
			bool overlaps =
				(a < 20 && b > 10) || (a < 40 && b > 30);

			ck_assert(ph__addr_ranges_covers(&set, r) == covers);
			ck_assert(ph__addr_ranges_overlaps(&set, r) ==
				  overlaps);
		}
	}
}
END_TEST

/* When no memory can be had for a larger array, the set is what it was. */
START_TEST(reserve_fails_without_change)
{
	struct fake_os os;
	struct meta meta;
	struct addr_ranges set;
	size_t n;

	fake_os_init(&os, NULL);
	ph__meta_init(&meta, &os.ops, &os);
	ph__addr_ranges_init(&set);
	fake_os_fail(&os, FAKE_ALL, 1, FAKE_FOREVER);
	for (n = 0; ph__addr_ranges_reserve(&set, &meta) == 0; n++) {
		ck_assert_uint_lt(n, 100);
		ph__addr_ranges_add(
			&set, (struct addr_range){10 * n + 1, 10 * n + 2});
	}
	ck_assert_uint_eq(n, ADDR_RANGES_INLINE);
	ck_assert_uint_eq(set.count, n);
	ck_assert(ph__addr_ranges_check(&set));
	ck_assert_int_eq(ph__addr_ranges_reserve(&set, &meta), ENOMEM);
	fake_os_fail(&os, FAKE_ALL, 0, FAKE_ONCE);
	for (; n < 1000; n++) {
		ck_assert_int_eq(ph__addr_ranges_reserve(&set, &meta), 0);
		ph__addr_ranges_add(
			&set, (struct addr_range){10 * n + 1, 10 * n + 2});
	}
	ck_assert(ph__addr_ranges_check(&set));
	ck_assert_uint_eq(set.count, 1000);
	ph__addr_ranges_destroy(&set, &meta);
	ph__meta_destroy(&meta);
	fake_os_destroy(&os);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "addr_ranges");

	tcase_add_test(tcase, vectors);
	tcase_add_test(tcase, empty_set_answers);
	tcase_add_test(tcase, subtract_trims);
	tcase_add_test_raise_signal(tcase, subtract_may_not_split, SIGABRT);
	tcase_add_test_raise_signal(tcase, add_may_not_overlap, SIGABRT);
	tcase_add_test_raise_signal(tcase, add_may_not_be_empty, SIGABRT);
	tcase_add_test(tcase, covers_and_overlaps);
	tcase_add_test(tcase, reserve_fails_without_change);
	return suite_run(suite);
}
