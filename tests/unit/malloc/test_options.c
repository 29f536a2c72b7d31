/* SPDX-License-Identifier: MIT */
#include "malloc/options.h"

#include <check.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/death.h"
#include "support/suite.h"

static struct options options;

/* Applies all of a text to the defaults.  The number of faults. */
static unsigned apply(const char *text)
{
	struct option_item item;
	unsigned nfaults = 0;

	ph__options_init(&options);
	while (ph__options_next(&options, &text, &item))
		nfaults += item.fault != OPTION_OK;
	return nfaults;
}

/* Row of the table. */
static unsigned row_of(const char *key)
{
	unsigned i = 0;

	while (i < OPTIONS_COUNT && strcmp(ph__option_table[i].key, key) != 0)
		i++;
	ck_assert_msg(i < OPTIONS_COUNT, "no option %s", key);
	return i;
}

static bool report_is(const char *path)
{
	return options.report.nbytes == strlen(path) &&
	       memcmp(options.report.bytes, path, strlen(path)) == 0;
}

START_TEST(defaults_are_those_of_the_table)
{
	ck_assert_uint_eq(apply(""), 0);
	ck_assert(report_is(""));
	ck_assert_uint_eq(options.max_bytes, 0);
	ck_assert(options.random && options.scavenge);
	ck_assert(!options.print && !options.stats && !options.strict);
	ck_assert_uint_eq(options.given, 0);
}
END_TEST

START_TEST(every_item_is_applied)
{
	ck_assert_uint_eq(apply("report=/a=b c,max=8M,random=0,stats=1,print=1,"
				"strict=1,scavenge=0"),
			  0);
	ck_assert(report_is("/a=b c"));
	ck_assert_uint_eq(options.max_bytes, 8 << 20);
	ck_assert(!options.random && !options.scavenge);
	ck_assert(options.print && options.stats && options.strict);
	ck_assert_uint_eq(options.given, (1u << OPTIONS_COUNT) - 1);
}
END_TEST

START_TEST(the_last_value_counts_and_empty_items_do_not)
{
	ck_assert_uint_eq(apply(",,print=1,,random=0,print=0,random=1,"), 0);
	ck_assert(!options.print && options.random);
	ck_assert_uint_eq(apply("print=1,print=2"), 1);
	ck_assert(options.print);
	ck_assert_uint_eq(apply(",,,"), 0);
}
END_TEST

static const struct {
	const char *text;
	size_t nbytes;
} sizes[] = {
	{"max=4194304", 4194304},
	{"max=4194304B", 4194304},
	{"max=4096K", 4194304},
	{"max=4096KiB", 4194304},
	{"max=512M", (size_t)512 << 20},
	{"max=512MiB", (size_t)512 << 20},
	{"max=1G", (size_t)1 << 30},
	{"max=2TiB", (size_t)2 << 40},
	{"max=0", 0},
	{"max=0G", 0},
	{"max=18446744073709551615", SIZE_MAX},
};

START_TEST(sizes_have_units)
{
	ck_assert_uint_eq(apply(sizes[_i].text), 0);
	ck_assert_uint_eq(options.max_bytes, sizes[_i].nbytes);
	ck_assert_uint_eq(options.given, 1u << row_of("max"));
}
END_TEST

static const char *const bad[] = {"max",
				  "max=",
				  "max=1",
				  "max=4194303",
				  "max=-8M",
				  "max=8 M",
				  "max=8m",
				  "max=8MB",
				  "max=8Mi",
				  "max=8MiBs",
				  "max=M",
				  "max=0x800000",
				  "max=16777216T",
				  "max=18446744073709551616",
				  "max=8.5G",
				  "print",
				  "print=",
				  "print=2",
				  "print=01",
				  "print=yes",
				  "random=-1",
				  "strict=on",
				  "stats= 1",
				  "report",
				  "Print=1",
				  "print =1",
				  " print=1",
				  "prin=1",
				  "prints=1",
				  "=1",
				  "=",
				  "report\t=/x"};

START_TEST(faulty_items_change_nothing)
{
	static struct options before;

	ph__options_init(&before);
	ck_assert_uint_eq(apply(bad[_i]), 1);
	ck_assert_mem_eq(&options, &before, sizeof(before));
}
END_TEST

/* The complaint about the first item of a text. */
static const char *complaint(const char *text)
{
	static char space[512];
	struct text t = text_over(space, sizeof(space));
	struct option_item item;

	ph__options_init(&options);
	ck_assert(ph__options_next(&options, &text, &item));
	ph__options_complain(&t, &item);
	return ph__text_end(&t);
}

START_TEST(complaints_name_the_key)
{
	char long_key[200], expected[256];

	ck_assert_str_eq(complaint("foo=1"),
			 "pageheap: unknown option 'foo' in PAGEHEAP\n");
	ck_assert_str_eq(complaint("a\nb\x7f\033[=1"),
			 "pageheap: unknown option 'a?b??[' in PAGEHEAP\n");
	ck_assert_str_eq(complaint("print=yes"),
			 "pageheap: option 'print' in PAGEHEAP is 'yes', "
			 "expected 0 or 1\n");
	ck_assert_str_eq(complaint("print"),
			 "pageheap: option 'print' in PAGEHEAP is without a "
			 "value, expected 0 or 1\n");
	ck_assert_str_eq(complaint("max=1K"),
			 "pageheap: option 'max' in PAGEHEAP is '1K', expected "
			 "a size of at least 4MiB, as in 512M, 1GiB; or 0 for "
			 "no bound\n");
	memset(long_key, 'x', sizeof(long_key) - 1);
	long_key[sizeof(long_key) - 1] = '\0';
	snprintf(expected, sizeof(expected),
		 "pageheap: unknown option '%.64s...' in PAGEHEAP\n", long_key);
	ck_assert_str_eq(complaint(long_key), expected);
}
END_TEST

static const char *description(const char *key)
{
	static char space[256];
	struct text t = text_over(space, sizeof(space));

	ph__options_describe(&t, &options, row_of(key));
	return ph__text_end(&t);
}

START_TEST(descriptions_tell_value_and_origin)
{
	ck_assert_uint_eq(apply("report=/tmp/x\n,max=1536M,random=0"), 0);
	ck_assert_str_eq(description("report"), "pageheap: report=/tmp/x? "
						"(PAGEHEAP)\n");
	ck_assert_str_eq(description("max"),
			 "pageheap: max=1536MiB (PAGEHEAP)\n");
	ck_assert_str_eq(description("random"),
			 "pageheap: random=0 (PAGEHEAP)\n");
	ck_assert_str_eq(description("stats"), "pageheap: stats=0 (default)\n");
	ck_assert_uint_eq(apply("max=4194305"), 0);
	ck_assert_str_eq(description("report"),
			 "pageheap: report= (default)\n");
	ck_assert_str_eq(description("max"),
			 "pageheap: max=4194305 (PAGEHEAP)\n");
}
END_TEST

/* Reads the environment; prints; fails when print=1 had no effect. */
static void read_environment(void *value)
{
	struct options o;

	clearenv();
	if (value)
		setenv("PAGEHEAP", value, 1);
	ph__options_read(&o);
	/* What becomes of the environment later does not matter. */
	if (value)
		memset(getenv("PAGEHEAP"), 'x', strlen(value));
	ph__options_print(&o);
}

static struct death read_of(const char *value)
{
	return death_of(read_environment, (void *)(uintptr_t)value);
}

START_TEST(the_environment_is_read)
{
	static const char *const lines[] = {
		"\npageheap: report= (default)\n",
		"\npageheap: max=64MiB (PAGEHEAP)\n",
		"\npageheap: scavenge=1 (default)\n",
		"\npageheap: random=1 (default)\n",
		"\npageheap: stats=0 (default)\n",
		"\npageheap: print=1 (PAGEHEAP)\n",
		"\npageheap: strict=0 (default)\n"};
	struct death d = read_of("print=1,foo=1,max=64M,stats=x");
	size_t nlines = 0;

	ck_assert_int_eq(d.status, 0);
	ck_assert_ptr_eq(strstr(d.message,
				"pageheap: unknown option 'foo' in PAGEHEAP\n"
				"pageheap: option 'stats' in PAGEHEAP is 'x',"
				" expected 0 or 1\n"),
			 d.message);
	for (const char *p = d.message; *p; p = strchr(p, '\n') + 1)
		nlines++;
	ck_assert_uint_eq(nlines, 2 + OPTIONS_COUNT);
	for (size_t i = 0; i < PH_ARRAY_SIZE(lines); i++)
		ck_assert_ptr_nonnull(strstr(d.message, lines[i]));
	d = read_of(NULL);
	ck_assert_int_eq(d.status, 0);
	ck_assert_str_eq(d.message, "");
}
END_TEST

START_TEST(strict_aborts)
{
	struct death d = read_of("foo=1,strict=1,bar=2");

	ck_assert_int_eq(d.signal, SIGABRT);
	ck_assert_str_eq(d.message,
			 "pageheap: unknown option 'foo' in PAGEHEAP\n"
			 "pageheap: unknown option 'bar' in PAGEHEAP\n");
	d = read_of("strict=1,random=0");
	ck_assert_int_eq(d.status, 0);
	ck_assert_str_eq(d.message, "");
}
END_TEST

START_TEST(an_endless_value_is_ignored)
{
	static char value[OPTIONS_TEXT_MAX + 2];
	struct death d;

	memset(value, ',', sizeof(value) - 1);
	memcpy(value, "print=1", 7);
	d = read_of(value);
	ck_assert_int_eq(d.status, 0);
	ck_assert_str_eq(d.message, "pageheap: PAGEHEAP is ignored, for it is "
				    "longer than 8192 bytes\n");
	value[OPTIONS_TEXT_MAX] = '\0';
	d = read_of(value);
	ck_assert_int_eq(d.status, 0);
	ck_assert_ptr_nonnull(strstr(d.message, "print=1 (PAGEHEAP)"));
}
END_TEST

/* The file docs/tuning.md, found from where this file is. */
static char *read_tuning(void)
{
	static const char doc[] = "docs/tuning.md",
			  here[] = "tests/unit/malloc/";
	static char text[32768];
	char path[4096] = __FILE__;
	char *end = strstr(path, here);
	size_t n;
	FILE *f;

	ck_assert_ptr_nonnull(end);
	memcpy(end, doc, sizeof(doc));
	f = fopen(path, "r");
	ck_assert_msg(f != NULL, "cannot open %s", path);
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	ck_assert_uint_gt(n, 1000);
	text[n] = '\0';
	return text;
}

START_TEST(the_documentation_knows_every_option)
{
	const char *text = read_tuning();

	for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
		const struct option *o = &ph__option_table[i];
		char row[128];

		if (o->initial[0] == '\0')
			snprintf(row, sizeof(row), "\n| `%s` | none |", o->key);
		else
			snprintf(row, sizeof(row), "\n| `%s` | `%s` |", o->key,
				 o->initial);
		ck_assert_msg(strstr(text, row) != NULL,
			      "docs/tuning.md has no row%s", row);
		ck_assert(strlen(o->help) > 10 && strlen(o->expected) > 5);
	}
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "options");
	int nsizes = (int)PH_ARRAY_SIZE(sizes), nbad = (int)PH_ARRAY_SIZE(bad);

	tcase_add_test(tc, defaults_are_those_of_the_table);
	tcase_add_test(tc, every_item_is_applied);
	tcase_add_test(tc, the_last_value_counts_and_empty_items_do_not);
	tcase_add_loop_test(tc, sizes_have_units, 0, nsizes);
	tcase_add_loop_test(tc, faulty_items_change_nothing, 0, nbad);
	tcase_add_test(tc, complaints_name_the_key);
	tcase_add_test(tc, descriptions_tell_value_and_origin);
	tcase_add_test(tc, the_environment_is_read);
	tcase_add_test(tc, strict_aborts);
	tcase_add_test(tc, an_endless_value_is_ignored);
	tcase_add_test(tc, the_documentation_knows_every_option);
	return suite_run(suite);
}
