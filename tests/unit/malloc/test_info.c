/* SPDX-License-Identifier: MIT */
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "malloc/info.h"
#include "malloc/process.h"
#include "object/objects.h"
#include "pageheap_malloc.h"
#include "support/death.h"
#include "support/suite.h"

#define LARGE ((size_t)1 << 20)

/* The compiler may leave out a pair of malloc and free, but not of this. */
static void *object(size_t nbytes)
{
	static void *volatile keep;

	keep = malloc(nbytes);
	return keep;
}

static struct ph_stats stats_now(void)
{
	struct ph_stats s = {.struct_size = sizeof(s)};

	ck_assert_int_eq(ph_heap_stats(ph_process_heap(), &s), 0);
	return s;
}

START_TEST(the_process_has_a_heap)
{
	void *p = object(1000);

	ck_assert_ptr_nonnull(ph_process_heap());
	ck_assert_ptr_eq(ph_process_heap(), ph__process_heap());
	ck_assert_uint_eq(ph_usable_size(ph_process_heap(), p),
			  malloc_usable_size(p));
	ph_free(ph_process_heap(), p);
}
END_TEST

START_TEST(classes_add_up_to_the_statistics)
{
	static struct class_stats classes[PH_NUM_CLASSES];
	uint64_t live = 0, cached = 0, spans = 0, span_bytes = 0;
	struct ph_stats s;
	void *p[100];

	for (unsigned i = 0; i < 100; i++)
		p[i] = object(i * i * 4);
	for (unsigned i = 0; i < 100; i += 3)
		free(p[i]);
	ph__heap_stats_by_class(ph_process_heap(), &s, classes);
	for (unsigned c = 0; c < PH_NUM_CLASSES; c++) {
		const struct size_class *sc = &ph__size_classes[c];

		live += classes[c].live * sc->size;
		cached += classes[c].cached * sc->size;
		spans += classes[c].nspans;
		span_bytes += classes[c].nspans * sc->span_bytes;
		ck_assert_uint_eq(classes[c].nspans * sc->nelems,
				  classes[c].live + classes[c].cached +
					  classes[c].free);
	}
	ck_assert_uint_eq(live, s.live_bytes - s.large_bytes);
	ck_assert_uint_eq(cached, s.cached_bytes);
	ck_assert_uint_eq(span_bytes, s.small_span_bytes);
	ck_assert_uint_le(spans, s.spans);
	ck_assert_uint_gt(cached, 0);
}
END_TEST

START_TEST(gauges_keep_their_values_when_moved)
{
	static struct ph_gauges other;
	struct ph_heap *heap = ph_process_heap();
	struct ph_stats before, after;
	char why[128] = "";
	void *p;

	before = stats_now();
	ph__heap_move_gauges(heap, &other);
	after = stats_now();
	ck_assert_mem_eq(&before, &after, sizeof(before));
	p = object(LARGE);
	ck_assert_uint_eq(other.large_bytes, before.large_bytes + LARGE);
	ck_assert_uint_eq(heap->own_gauges.large_bytes, before.large_bytes);
	ck_assert_msg(ph_heap_check(heap, why, sizeof(why)) == 0, "%s", why);
	ph__heap_move_gauges(heap, &heap->own_gauges);
	ck_assert_uint_eq(heap->own_gauges.large_bytes,
			  before.large_bytes + LARGE);
	free(p);
	ck_assert_msg(ph_heap_check(heap, why, sizeof(why)) == 0, "%s", why);
}
END_TEST

START_TEST(mallinfo_adds_up)
{
	struct mallinfo2 before = mallinfo2(), after;
	void *small = object(1024), *large = object(LARGE);

	after = mallinfo2();
	ck_assert_uint_eq(after.arena, after.uordblks + after.fordblks);
	ck_assert_uint_eq(after.uordblks, before.uordblks + 1024);
	ck_assert_uint_eq(after.hblks, before.hblks + 1);
	ck_assert_uint_eq(after.hblkhd, before.hblkhd + LARGE);
	ck_assert_uint_ge(after.usmblks, after.uordblks + after.hblkhd);
	free(small);
	free(large);
	after = mallinfo2();
	ck_assert_uint_eq(after.arena, after.uordblks + after.fordblks);
	ck_assert_uint_eq(after.uordblks, before.uordblks);
	ck_assert_uint_eq(after.hblkhd, before.hblkhd);
	ck_assert_uint_ge(after.smblks, 1);
	ck_assert_uint_ge(after.fsmblks, 1024);
	ck_assert_uint_ge(after.ordblks, after.smblks);
	ck_assert_uint_ge(after.keepcost, LARGE);
	ck_assert_uint_ge(after.fordblks, after.fsmblks + after.keepcost);
}
END_TEST

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
static struct mallinfo narrow(void)
{
	return mallinfo();
}
#pragma GCC diagnostic pop

START_TEST(the_narrow_mallinfo_saturates)
{
	struct mallinfo2 wide = mallinfo2();
	struct mallinfo m = narrow();
	void *huge;

	ck_assert_int_eq(m.uordblks, (int)wide.uordblks);
	ck_assert_int_eq(m.arena, (int)wide.arena);
	ck_assert_int_eq(m.fordblks, (int)wide.fordblks);
	/* Never touched, so it costs address space only. */
	huge = object((size_t)3 << 30);
	if (!huge) {
		puts("SKIPPED: no address space for 3 GiB");
		return;
	}
	ck_assert_int_eq(narrow().hblkhd, INT_MAX);
	ck_assert_uint_ge(mallinfo2().hblkhd, (size_t)3 << 30);
	free(huge);
}
END_TEST

/* ---- malloc_info ---- */

/* The number in attribute `name` of the element that begins with `element`. */
static uint64_t attribute(const char *xml, const char *element,
			  const char *name)
{
	const char *start = strstr(xml, element), *end, *at;
	char key[32];

	ck_assert_msg(start != NULL, "no %s", element);
	end = strstr(start, "/>");
	snprintf(key, sizeof(key), " %s=\"", name);
	at = strstr(start, key);
	ck_assert_msg(at != NULL && at < end, "%s has no %s", element, name);
	return strtoull(at + strlen(key), NULL, 10);
}

/* Elements opened and not closed; below 0, or not 0 at the end, is wrong. */
static int depth_of(const char *xml)
{
	int depth = 0;

	for (const char *p = strchr(xml, '<'); p; p = strchr(p + 1, '<')) {
		const char *end = strchr(p, '>');

		ck_assert_ptr_nonnull(end);
		if (p[1] == '/')
			depth--;
		else if (end[-1] != '/')
			depth++;
		ck_assert_int_ge(depth, 0);
	}
	return depth;
}

START_TEST(malloc_info_tells_what_mallinfo_does)
{
	static char xml[65536];
	FILE *f = fmemopen(xml, sizeof(xml), "w");
	void *large = object(LARGE), *small = object(300);
	const char *process;
	uint64_t live = 0, free_bytes = 0;
	struct mallinfo2 m;
	struct ph_stats s;

	free(small);
	m = mallinfo2();
	s = stats_now();
	ck_assert_int_eq(malloc_info(0, f), 0);
	fclose(f);
	free(large);
	ck_assert_mem_eq(xml, "<malloc version=\"1\">\n", 21);
	ck_assert_int_eq(depth_of(xml), 0);
	process = strstr(xml, "</heap>");
	ck_assert_ptr_nonnull(process);
	ck_assert_uint_eq(attribute(process, "<total type=\"mmap\"", "size"),
			  m.hblkhd);
	ck_assert_uint_eq(attribute(process, "<total type=\"mmap\"", "count"),
			  m.hblks);
	ck_assert_uint_eq(attribute(process, "<total type=\"fast\"", "count"),
			  m.smblks);
	ck_assert_uint_eq(
		attribute(process, "<total type=\"fast\"", "size") +
			attribute(process, "<total type=\"rest\"", "size"),
		m.fordblks);
	ck_assert_uint_eq(attribute(xml, "<system type=\"current\"", "size"),
			  s.in_use_bytes + s.free_bytes);
	ck_assert_uint_eq(attribute(xml, "<aspace type=\"total\"", "size"),
			  s.mapped_bytes);

	for (const char *p = strstr(xml, "<class "); p;
	     p = strstr(p + 1, "<class ")) {
		uint64_t size = attribute(p, "<class ", "size");

		live += size * attribute(p, "<class ", "live");
		free_bytes += size * (attribute(p, "<class ", "free") +
				      attribute(p, "<class ", "cached"));
	}
	ck_assert_uint_eq(live, m.uordblks);
	for (const char *p = strstr(xml, "<size "); p;
	     p = strstr(p + 1, "<size ")) {
		ck_assert_uint_lt(attribute(p, "<size ", "from"),
				  attribute(p, "<size ", "to"));
		free_bytes -= attribute(p, "<size ", "total");
	}
	ck_assert_uint_eq(free_bytes, 0);
}
END_TEST

START_TEST(malloc_info_refuses_and_fails)
{
	FILE *full = fopen("/dev/full", "w");

	ck_assert_int_eq(malloc_info(1, stdout), EINVAL);
	ck_assert_int_eq(malloc_info(-1, NULL), EINVAL);
	ck_assert_ptr_nonnull(full);
	setvbuf(full, NULL, _IONBF, 0);
	ck_assert_int_eq(malloc_info(0, full), -1);
	fclose(full);
}
END_TEST

/* ---- malloc_stats ---- */

static void print_stats(void *arg)
{
	(void)arg;
	malloc_stats();
}

START_TEST(malloc_stats_writes_to_standard_error)
{
	struct death d = death_of(print_stats, NULL);
	size_t nlines = 0;

	ck_assert_int_eq(d.status, 0);
	ck_assert_uint_gt(d.nbytes, 200);
	for (const char *p = d.message; *p; p = strchr(p, '\n') + 1) {
		ck_assert_int_eq(strncmp(p, "pageheap: ", 10), 0);
		ck_assert_ptr_nonnull(strchr(p, '\n'));
		nlines++;
	}
	ck_assert_uint_ge(nlines, 7);
	ck_assert_ptr_nonnull(strstr(d.message, "pageheap: mapped "));
}
END_TEST

static void close_then_print(void *arg)
{
	struct options o;

	ph__options_init(&o);
	o.stats = arg != NULL;
	ph__stats_prepare(&o);
	/* As coreutils do; then the number stands for another file. */
	close(STDERR_FILENO);
	if (open("/dev/null", O_RDWR) != STDERR_FILENO)
		_exit(1);
	ph__stats_print(ph_process_heap());
}

static void close_all_then_print(void *arg)
{
	struct options o;

	(void)arg;
	ph__options_init(&o);
	o.stats = true;
	ph__stats_prepare(&o);
	if (dup2(STDERR_FILENO, 60) != 60)
		_exit(1);
	for (int fd = 100; fd < 1024; fd++)
		close(fd);
	ph__stats_print(ph_process_heap());
	/* Another file under the copy's number: nothing is written there. */
	for (int fd = 100; fd < 105; fd++)
		if (dup2(open("/dev/null", O_RDWR), fd) != fd)
			_exit(1);
	close(STDERR_FILENO);
	ph__stats_print(ph_process_heap());
}

START_TEST(statistics_at_exit_outlive_standard_error)
{
	struct death d = death_of(close_then_print, &d);

	ck_assert_int_eq(d.status, 0);
	ck_assert_ptr_nonnull(strstr(d.message, "pageheap: mapped "));
	d = death_of(close_then_print, NULL);
	ck_assert_int_eq(d.status, 0);
	ck_assert_str_eq(d.message, "");
	d = death_of(close_all_then_print, NULL);
	ck_assert_int_eq(d.status, 0);
	ck_assert_ptr_nonnull(strstr(d.message, "pageheap: mapped "));
	ck_assert_ptr_null(strstr(strstr(d.message, "mapped ") + 1, "mapped "));
}
END_TEST

/* ---- knobs ---- */

START_TEST(trim_gives_back_what_is_free)
{
	void *p = object(8 * LARGE), *small[1000];

	memset(p, 1, 8 * LARGE);
	for (unsigned i = 0; i < 1000; i++)
		small[i] = object(1000);
	for (unsigned i = 0; i < 1000; i++)
		free(small[i]);
	free(p);
	ck_assert_uint_ge(stats_now().free_bytes, 8 * LARGE);
	errno = 1234;
	ck_assert_int_eq(malloc_trim(SIZE_MAX), 0);
	ck_assert_int_eq(malloc_trim(4 * LARGE), 1);
	ck_assert_uint_le(stats_now().free_bytes, 4 * LARGE + LARGE);
	ck_assert_uint_ge(stats_now().free_bytes, 2 * LARGE);
	ck_assert_int_eq(malloc_trim(0), 1);
	ck_assert_uint_eq(stats_now().free_bytes, 0);
	ck_assert_int_eq(malloc_trim(0), 0);
	ck_assert_int_eq(errno, 1234);
}
END_TEST

START_TEST(mallopt_takes_hints)
{
	static const int hints[] = {2,
				    3,
				    4,
				    M_TRIM_THRESHOLD,
				    M_TOP_PAD,
				    M_MMAP_THRESHOLD,
				    M_MMAP_MAX,
				    M_CHECK_ACTION,
				    M_ARENA_TEST,
				    M_ARENA_MAX};

	for (size_t i = 0; i < PH_ARRAY_SIZE(hints); i++)
		ck_assert_int_eq(mallopt(hints[i], 1), 1);
	ck_assert_int_eq(mallopt(M_MXFAST, 64), 1);
	ck_assert_int_eq(mallopt(M_MXFAST, 161), 0);
	ck_assert_int_eq(mallopt(M_MXFAST, -1), 0);
	ck_assert_int_eq(mallopt(M_PERTURB, 0), 1);
	ck_assert_int_eq(mallopt(M_PERTURB, 1), 0);
	ck_assert_int_eq(mallopt(0, 1), 0);
	ck_assert_int_eq(mallopt(-9, 1), 0);
	ck_assert_int_eq(mallopt(1000, 1), 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "info");

	/* Nothing shall be given back that the tests did not ask for. */
	ph_process_heap()->background.enabled = false;
	tcase_add_test(tc, the_process_has_a_heap);
	tcase_add_test(tc, classes_add_up_to_the_statistics);
	tcase_add_test(tc, gauges_keep_their_values_when_moved);
	tcase_add_test(tc, mallinfo_adds_up);
	tcase_add_test(tc, the_narrow_mallinfo_saturates);
	tcase_add_test(tc, malloc_info_tells_what_mallinfo_does);
	tcase_add_test(tc, malloc_info_refuses_and_fails);
	tcase_add_test(tc, malloc_stats_writes_to_standard_error);
	tcase_add_test(tc, statistics_at_exit_outlive_standard_error);
	tcase_add_test(tc, trim_gives_back_what_is_free);
	tcase_add_test(tc, mallopt_takes_hints);
	return suite_run(suite);
}
