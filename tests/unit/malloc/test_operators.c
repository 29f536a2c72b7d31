/* SPDX-License-Identifier: MIT */
/*
 * C++'s operators, called by their mangled names, with this file in the part
 * of the C++ runtime: it defines the two functions that operators.c refers to
 * weakly, the one that throws by longjmp.  What a real runtime does is tested
 * by tests/preload.
 */
#include <check.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "malloc/process.h"
#include "support/death.h"
#include "support/suite.h"

typedef void *new_function(size_t n);
typedef void *new_aligned_function(size_t n, size_t align);
typedef void *nothrow_function(size_t n, const void *tag);
typedef void *nothrow_aligned_function(size_t n, size_t align, const void *tag);
typedef void delete_function(void *p);
typedef void delete_tagged_function(void *p, const void *tag);
typedef void delete_number_function(void *p, size_t n);
typedef void delete_numbers_function(void *p, size_t n, size_t align);
typedef void delete_aligned_tagged_function(void *p, size_t align,
					    const void *tag);
typedef void handler_function(void);

extern new_function _Znwm, _Znam;
extern new_aligned_function _ZnwmSt11align_val_t, _ZnamSt11align_val_t;
extern nothrow_function _ZnwmRKSt9nothrow_t, _ZnamRKSt9nothrow_t;
extern nothrow_aligned_function _ZnwmSt11align_val_tRKSt9nothrow_t,
	_ZnamSt11align_val_tRKSt9nothrow_t;
extern delete_function _ZdlPv, _ZdaPv;
extern delete_tagged_function _ZdlPvRKSt9nothrow_t, _ZdaPvRKSt9nothrow_t;
extern delete_number_function _ZdlPvm, _ZdaPvm, _ZdlPvSt11align_val_t,
	_ZdaPvSt11align_val_t;
extern delete_numbers_function _ZdlPvmSt11align_val_t, _ZdaPvmSt11align_val_t;
extern delete_aligned_tagged_function _ZdlPvSt11align_val_tRKSt9nothrow_t,
	_ZdaPvSt11align_val_tRKSt9nothrow_t;

handler_function *_ZSt15get_new_handlerv(void);
void _ZSt17__throw_bad_allocv(void);

#define TOO_LARGE ((size_t)PTRDIFF_MAX + 1)

static const char tag; /* stands for std::nothrow */
static handler_function *handler;
static unsigned ncalls; /* of the handler */
static jmp_buf caught;

handler_function *_ZSt15get_new_handlerv(void)
{
	return handler;
}

void _ZSt17__throw_bad_allocv(void)
{
	longjmp(caught, 1);
}

static uint64_t live_objects(void)
{
	struct ph_stats s = {.struct_size = sizeof(s)};

	ck_assert_int_eq(ph_heap_stats(ph__process_heap(), &s), 0);
	return s.live_objects;
}

/* Every way to give an object back that came without an alignment. */
static void free_plain(void *p, size_t n, unsigned way)
{
	switch (way) {
	case 0:
		_ZdlPv(p);
		break;
	case 1:
		_ZdaPv(p);
		break;
	case 2:
		_ZdlPvm(p, n);
		break;
	case 3:
		_ZdaPvm(p, n);
		break;
	case 4:
		_ZdlPvRKSt9nothrow_t(p, &tag);
		break;
	default:
		_ZdaPvRKSt9nothrow_t(p, &tag);
	}
}

static void free_aligned(void *p, size_t n, size_t align, unsigned way)
{
	switch (way) {
	case 0:
		_ZdlPvSt11align_val_t(p, align);
		break;
	case 1:
		_ZdaPvSt11align_val_t(p, align);
		break;
	case 2:
		_ZdlPvmSt11align_val_t(p, n, align);
		break;
	case 3:
		_ZdaPvmSt11align_val_t(p, n, align);
		break;
	case 4:
		_ZdlPvSt11align_val_tRKSt9nothrow_t(p, align, &tag);
		break;
	default:
		_ZdaPvSt11align_val_tRKSt9nothrow_t(p, align, &tag);
	}
}

static void *alloc_plain(size_t n, unsigned way)
{
	switch (way) {
	case 0:
		return _Znwm(n);
	case 1:
		return _Znam(n);
	case 2:
		return _ZnwmRKSt9nothrow_t(n, &tag);
	default:
		return _ZnamRKSt9nothrow_t(n, &tag);
	}
}

static void *alloc_aligned(size_t n, size_t align, unsigned way)
{
	switch (way) {
	case 0:
		return _ZnwmSt11align_val_t(n, align);
	case 1:
		return _ZnamSt11align_val_t(n, align);
	case 2:
		return _ZnwmSt11align_val_tRKSt9nothrow_t(n, align, &tag);
	default:
		return _ZnamSt11align_val_tRKSt9nothrow_t(n, align, &tag);
	}
}

#define ALLOC_WAYS 4
#define FREE_WAYS 6

START_TEST(all_operators_work_on_the_heap)
{
	static const size_t sizes[] = {0, 1, 8, 24, 1000, 40000};
	uint64_t before = live_objects();

	for (unsigned a = 0; a < ALLOC_WAYS; a++) {
		for (unsigned f = 0; f < FREE_WAYS; f++) {
			size_t n = sizes[f];
			unsigned char *p = alloc_plain(n, a);

			ck_assert_ptr_nonnull(p);
			memset(p, 7, n);
			ck_assert_uint_eq((uintptr_t)p % (n > 8 ? 16 : 8), 0);
			ck_assert_uint_eq(live_objects(), before + 1);
			free_plain(p, n, f);
			ck_assert_uint_eq(live_objects(), before);
		}
	}
}
END_TEST

START_TEST(aligned_operators_align)
{
	uint64_t before = live_objects();

	for (size_t align = 1; align <= (size_t)1 << 20; align *= 4) {
		for (unsigned i = 0; i < ALLOC_WAYS * FREE_WAYS; i++) {
			size_t n = align + i;
			char *p = alloc_aligned(n, align, i % ALLOC_WAYS);

			ck_assert_ptr_nonnull(p);
			memset(p, 7, n);
			ck_assert_uint_eq((uintptr_t)p % align, 0);
			free_aligned(p, n, align, i / ALLOC_WAYS);
		}
	}
	ck_assert_uint_eq(live_objects(), before);
}
END_TEST

START_TEST(null_is_nothing)
{
	for (unsigned f = 0; f < FREE_WAYS; f++) {
		free_plain(NULL, 100, f);
		free_aligned(NULL, 100, 64, f);
	}
}
END_TEST

/* ---- failure ---- */

static void give_up_at_third_call(void)
{
	if (++ncalls == 3)
		handler = NULL;
}

/* Did it throw?  The handler is installed first. */
static bool throws(size_t n, size_t align, unsigned way)
{
	static void *volatile keep;

	handler = give_up_at_third_call;
	ncalls = 0;
	if (setjmp(caught) != 0)
		return true;
	keep = align ? alloc_aligned(n, align, way) : alloc_plain(n, way);
	ck_assert_ptr_null(keep);
	return false;
}

START_TEST(failure_asks_the_handler_then_throws)
{
	for (unsigned way = 0; way < 2; way++) {
		ck_assert(throws(TOO_LARGE, 0, way));
		ck_assert_uint_eq(ncalls, 3);
		ck_assert(throws(TOO_LARGE, 64, way));
		ck_assert_uint_eq(ncalls, 3);
		handler = NULL;
		ck_assert(throws(SIZE_MAX, 0, way));
	}
}
END_TEST

START_TEST(nothrow_returns_null)
{
	/* No runtime is loaded that could catch: the handler is not asked. */
	for (unsigned way = 2; way < 4; way++) {
		ck_assert(!throws(TOO_LARGE, 0, way));
		ck_assert_uint_eq(ncalls, 0);
		ck_assert(!throws(TOO_LARGE, 64, way));
		ck_assert(!throws(64, 48, way));
		ck_assert_uint_eq(ncalls, 0);
	}
}
END_TEST

START_TEST(odd_alignments_throw_at_once)
{
	static const size_t odd[] = {3, 48, 65, (size_t)1 << 63 | 1};

	for (size_t i = 0; i < PH_ARRAY_SIZE(odd); i++)
		for (unsigned way = 0; way < 2; way++) {
			ck_assert(throws(64, odd[i], way));
			ck_assert_uint_eq(ncalls, 0);
		}
}
END_TEST

/* What a handler frees is found. */
static void *hoard;

static void free_hoard(void)
{
	ncalls++;
	_ZdlPv(hoard);
	hoard = NULL;
	handler = NULL;
}

START_TEST(a_handler_that_frees_helps)
{
	struct ph_heap *heap = ph__process_heap();
	size_t saved = heap->max_bytes, nbytes = 64 << 20;
	void *p;

	hoard = _Znwm(nbytes);
	ck_assert_ptr_nonnull(hoard);
	heap->max_bytes = heap->gauges->mapped_bytes;
	handler = free_hoard;
	ncalls = 0;
	p = _Znwm(nbytes);
	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq(ncalls, 1);
	ck_assert_ptr_null(hoard);
	heap->max_bytes = saved;
	_ZdlPv(p);
}
END_TEST

/* ---- mistakes ---- */

static void delete_too_much(void *arg)
{
	unsigned way = *(const unsigned *)arg;
	void *p = _Znwm(48);

	if (way < 2)
		free_plain(p, 49, 2 + way);
	else
		free_aligned(p, 49, 16, way);
}

START_TEST(a_size_that_is_too_large_aborts)
{
	unsigned way = (unsigned)_i;
	struct death d = death_of(delete_too_much, &way);

	ck_assert_int_eq(d.signal, SIGABRT);
	ck_assert_ptr_eq(strstr(d.message, "pageheap: sized free with"),
			 d.message);
	ck_assert_ptr_nonnull(strstr(d.message, "48 bytes"));
	ck_assert_ptr_eq(strchr(d.message, '\n'), d.message + d.nbytes - 1);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "operators");

	tcase_add_test(tc, all_operators_work_on_the_heap);
	tcase_add_test(tc, aligned_operators_align);
	tcase_add_test(tc, null_is_nothing);
	tcase_add_test(tc, failure_asks_the_handler_then_throws);
	tcase_add_test(tc, nothrow_returns_null);
	tcase_add_test(tc, odd_alignments_throw_at_once);
	tcase_add_test(tc, a_handler_that_frees_helps);
	tcase_add_loop_test(tc, a_size_that_is_too_large_aborts, 0, 4);
	return suite_run(suite);
}
