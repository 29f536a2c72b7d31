/* SPDX-License-Identifier: MIT */
#include "base/list.h"

#include <check.h>
#include <string.h>

#include "support/suite.h"

struct letter {
	char name;
	struct list link;
};

static struct letter a = {.name = 'a'}, b = {.name = 'b'}, c = {.name = 'c'};
static struct list head;

static void setup(void)
{
	list_init(&head);
	list_init(&a.link);
	list_init(&b.link);
	list_init(&c.link);
}

/* The names on the list, forwards, checked against the way back. */
static const char *names(void)
{
	static char forwards[8];
	size_t n = 0;

	ph_list_for_each (it, &head) {
		forwards[n++] = ph_list_entry(it, struct letter, link)->name;
		ck_assert_ptr_eq(it->next->prev, it);
		ck_assert_ptr_eq(it->prev->next, it);
	}
	forwards[n] = '\0';
	return forwards;
}

START_TEST(ends_and_middles)
{
	ck_assert(list_is_empty(&head));
	ck_assert_str_eq(names(), "");
	list_push_back(&head, &b.link);
	ck_assert(!list_is_empty(&head));
	list_push_front(&head, &a.link);
	list_push_back(&head, &c.link);
	ck_assert_str_eq(names(), "abc");
	list_remove(&b.link);
	ck_assert_str_eq(names(), "ac");
	list_insert_after(&c.link, &b.link);
	ck_assert_str_eq(names(), "acb");
}
END_TEST

START_TEST(removing_twice_is_harmless)
{
	list_push_back(&head, &a.link);
	list_push_back(&head, &b.link);
	list_remove(&a.link);
	list_remove(&a.link);
	ck_assert_str_eq(names(), "b");
	list_remove(&b.link);
	ck_assert(list_is_empty(&head));
}
END_TEST

START_TEST(the_safe_loop_may_remove)
{
	size_t nvisited = 0;

	list_push_back(&head, &a.link);
	list_push_back(&head, &b.link);
	list_push_back(&head, &c.link);
	ph_list_for_each_safe (it, tmp, &head) {
		nvisited++;
		if (it != &b.link)
			list_remove(it);
	}
	ck_assert_uint_eq(nvisited, 3);
	ck_assert_str_eq(names(), "b");
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "list");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, ends_and_middles);
	tcase_add_test(tcase, removing_twice_is_harmless);
	tcase_add_test(tcase, the_safe_loop_may_remove);
	return suite_run(suite);
}
