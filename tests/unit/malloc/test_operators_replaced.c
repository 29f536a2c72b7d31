/* SPDX-License-Identifier: MIT */
/*
 * A program that replaces operator new and delete for single objects, as the
 * C++ standard lets it, and leaves the rest to the library: what builds on the
 * two must end in the program's.  Its objects are no objects of the heap, so a
 * delete that goes astray aborts.
 */
#include <check.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "support/suite.h"

void *_Znwm(size_t n);
void _ZdlPv(void *p);
void *_ZnwmSt11align_val_t(size_t n, size_t align);
void _ZdlPvSt11align_val_t(void *p, size_t align);

extern void *_Znam(size_t n);
extern void *_ZnamSt11align_val_t(size_t n, size_t align);
extern void *_ZnwmRKSt9nothrow_t(size_t n, const void *tag);
extern void *_ZnamRKSt9nothrow_t(size_t n, const void *tag);
extern void *_ZnwmSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
						const void *tag);
extern void *_ZnamSt11align_val_tRKSt9nothrow_t(size_t n, size_t align,
						const void *tag);
extern void _ZdaPv(void *p);
extern void _ZdlPvm(void *p, size_t n);
extern void _ZdaPvm(void *p, size_t n);
extern void _ZdlPvRKSt9nothrow_t(void *p, const void *tag);
extern void _ZdaPvRKSt9nothrow_t(void *p, const void *tag);
extern void _ZdaPvSt11align_val_t(void *p, size_t align);
extern void _ZdlPvmSt11align_val_t(void *p, size_t n, size_t align);
extern void _ZdaPvmSt11align_val_t(void *p, size_t n, size_t align);
extern void _ZdlPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align,
						const void *tag);
extern void _ZdaPvSt11align_val_tRKSt9nothrow_t(void *p, size_t align,
						const void *tag);

static const char tag; /* stands for std::nothrow */
static _Alignas(256) char arena[4096];
static size_t used;
static unsigned ndeletes;

void *_Znwm(size_t n)
{
	char *p = arena + used;

	used += (n + 15) & ~(size_t)15;
	return used <= sizeof(arena) ? p : NULL;
}

void _ZdlPv(void *p)
{
	ck_assert_uint_ge((uintptr_t)p, (uintptr_t)arena);
	ck_assert_uint_lt((uintptr_t)p, (uintptr_t)arena + sizeof(arena));
	ndeletes++;
}

void *_ZnwmSt11align_val_t(size_t n, size_t align)
{
	used = (used + align - 1) & ~(align - 1);
	return _Znwm(n);
}

void _ZdlPvSt11align_val_t(void *p, size_t align)
{
	(void)align;
	_ZdlPv(p);
}

START_TEST(arrays_come_from_the_program)
{
	ck_assert_ptr_eq(_Znam(100), arena);
	ck_assert_ptr_eq(_ZnamSt11align_val_t(100, 256), arena + 256);
	_ZdaPv(arena);
	_ZdaPvSt11align_val_t(arena + 256, 256);
	ck_assert_uint_eq(ndeletes, 2);
}
END_TEST

START_TEST(sizes_and_tags_go_back_to_the_program)
{
	void *p = _Znwm(40);

	_ZdlPvm(p, 40);
	_ZdaPvm(p, 40);
	_ZdlPvRKSt9nothrow_t(p, &tag);
	_ZdaPvRKSt9nothrow_t(p, &tag);
	ck_assert_uint_eq(ndeletes, 4);
	_ZdlPvmSt11align_val_t(p, 40, 16);
	_ZdaPvmSt11align_val_t(p, 40, 16);
	_ZdlPvSt11align_val_tRKSt9nothrow_t(p, 16, &tag);
	_ZdaPvSt11align_val_tRKSt9nothrow_t(p, 16, &tag);
	ck_assert_uint_eq(ndeletes, 8);
}
END_TEST

START_TEST(nothrow_comes_from_the_program)
{
	ck_assert_ptr_eq(_ZnwmRKSt9nothrow_t(16, &tag), arena);
	ck_assert_ptr_eq(_ZnamRKSt9nothrow_t(16, &tag), arena + 16);
	ck_assert_ptr_eq(_ZnwmSt11align_val_tRKSt9nothrow_t(16, 64, &tag),
			 arena + 64);
	ck_assert_ptr_eq(_ZnamSt11align_val_tRKSt9nothrow_t(16, 128, &tag),
			 arena + 128);
	ck_assert_ptr_null(_ZnwmRKSt9nothrow_t(sizeof(arena), &tag));
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "operators_replaced");

	tcase_add_test(tc, arrays_come_from_the_program);
	tcase_add_test(tc, sizes_and_tags_go_back_to_the_program);
	tcase_add_test(tc, nothrow_comes_from_the_program);
	return suite_run(suite);
}
