/* SPDX-License-Identifier: MIT */
#include "os/os.h"

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/atomic.h"
#include "base/bits.h"
#include "support/death.h"
#include "support/suite.h"

#define MIB ((size_t)1 << 20)

static const struct ph_os_ops *os;
static size_t page;

static void setup(void)
{
	os = ph_os_default();
	page = os->page_size;
}

static void *must_reserve(size_t nbytes, size_t align)
{
	void *p = os->reserve(NULL, NULL, nbytes, align);

	ck_assert_ptr_nonnull(p);
	ck_assert_uint_eq((uintptr_t)p % align, 0);
	return p;
}

/*
 * Bytes of the process's mappings that lie in [start, end).  From the list of
 * mappings, since emulators answer other questions about the wrong process.
 */
static size_t mapped_bytes(uintptr_t start, uintptr_t end)
{
	FILE *f = fopen("/proc/self/maps", "r");
	size_t total = 0;
	char line[512];

	ck_assert_ptr_nonnull(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		uintmax_t from, to;

		if (sscanf(line, "%jx-%jx ", &from, &to) != 2)
			continue;
		from = from < start ? start : from;
		to = to > end ? end : to;
		total += from < to ? (size_t)(to - from) : 0;
	}
	fclose(f);
	return total;
}

static bool is_mapped(void *p)
{
	return mapped_bytes((uintptr_t)p, (uintptr_t)p + page) != 0;
}

START_TEST(the_table_is_complete)
{
	ck_assert_uint_eq(os->struct_size, sizeof(struct ph_os_ops));
	ck_assert_uint_eq(page, (size_t)sysconf(_SC_PAGESIZE));
	ck_assert_uint_eq(os->flags, PH_OS_ZEROES);
	ck_assert(os->reserve && os->commit && os->release && os->unmap &&
		  os->clock_ns);
	ck_assert(os->use == NULL);
	ck_assert_ptr_eq(ph_os_default(), os);
}
END_TEST

static void touch(void *p)
{
	*(volatile char *)p = 1;
}

START_TEST(reserved_memory_is_inaccessible)
{
	char *p = must_reserve(MIB, page);
	struct death d = death_of(touch, p);

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	/* The sanitizer reports the fault and ends the process itself. */
	ck_assert(d.signal != 0 || d.status != 0);
#else
	ck_assert_int_eq(d.signal, SIGSEGV);
#endif
	ck_assert_int_eq(os->unmap(NULL, p, MIB), 0);
}
END_TEST

START_TEST(committed_and_released_memory_is_zero)
{
	char *p = must_reserve(MIB, page);
	char *zeroes = calloc(1, MIB);

	ck_assert_int_eq(os->commit(NULL, p, MIB), 0);
	ck_assert_mem_eq(p, zeroes, MIB);
	memset(p, 7, MIB);
	ck_assert_int_eq(os->release(NULL, p + page, MIB - page), 0);
	ck_assert_int_eq(p[0], 7);
	ck_assert_int_eq(p[page - 1], 7);
	ck_assert_mem_eq(p + page, zeroes, MIB - page);
	memset(p, 8, MIB);
	ck_assert_int_eq(os->unmap(NULL, p, MIB), 0);
	ck_assert(!is_mapped(p));
	free(zeroes);
}
END_TEST

START_TEST(alignment_leaves_nothing_behind)
{
	for (size_t align = page; align <= 64 * MIB; align *= 2) {
		char *p = must_reserve(3 * page, align);
		char *q = must_reserve(3 * page, align);

		ck_assert(is_mapped(p) && is_mapped(p + 2 * page));
		ck_assert(p + 3 * page <= q || q + 3 * page <= p);
		ck_assert_int_eq(os->unmap(NULL, p, 3 * page), 0);
		ck_assert_int_eq(os->unmap(NULL, q, 3 * page), 0);
		ck_assert(!is_mapped(p) && !is_mapped(q));
	}
}
END_TEST

START_TEST(trimming_unmaps_both_ends)
{
	size_t align = 16 * MIB;
	size_t before = 0, after = 0;

	/* The first round may load things; then the size must stay. */
	for (unsigned i = 0; i < 8; i++) {
		void *p;

		after = mapped_bytes(0, UINTPTR_MAX);
		if (i == 1)
			before = after;
		p = must_reserve(page, align);
		ck_assert_int_eq(os->unmap(NULL, p, page), 0);
	}
	ck_assert_uint_eq(before, after);
}
END_TEST

START_TEST(a_hint_is_taken_or_refused)
{
	char *p = must_reserve(4 * MIB, page);

	ck_assert_int_eq(os->unmap(NULL, p + MIB, MIB), 0);
	errno = 1234;
#if PH_TSAN
	puts("SKIPPED: hints, which the sanitizer may refuse");
#else
	ck_assert_ptr_eq(os->reserve(NULL, p + MIB, MIB, page), p + MIB);
	ck_assert_int_eq(errno, 1234);
#endif
	/* Occupied, wholly or in part. */
	errno = 0;
	ck_assert_ptr_null(os->reserve(NULL, p, MIB, page));
	ck_assert_int_ne(errno, 0);
	ck_assert_int_eq(os->unmap(NULL, p + MIB, MIB), 0);
	errno = 0;
	ck_assert_ptr_null(os->reserve(NULL, p + MIB, 2 * MIB, page));
	ck_assert_int_ne(errno, 0);
	ck_assert(!is_mapped(p + MIB));
	ck_assert_int_eq(os->unmap(NULL, p, MIB), 0);
	ck_assert_int_eq(os->unmap(NULL, p + 2 * MIB, 2 * MIB), 0);
}
END_TEST

static void expect_no_reservation(void *hint, size_t nbytes, size_t align,
				  int error)
{
	errno = 0;
	ck_assert_ptr_null(os->reserve(NULL, hint, nbytes, align));
	ck_assert_int_eq(errno, error);
}

START_TEST(nonsense_is_refused)
{
	size_t huge = align_down(SIZE_MAX, page);

	expect_no_reservation(NULL, 0, page, EINVAL);
	expect_no_reservation(NULL, page + 1, page, EINVAL);
	expect_no_reservation(NULL, page, page / 2, EINVAL);
	expect_no_reservation(NULL, page, 3 * page, EINVAL);
	expect_no_reservation((void *)(64 * MIB + page), page, MIB, EINVAL);
	expect_no_reservation(NULL, huge, page, ENOMEM);
	expect_no_reservation(NULL, huge, MIB, ENOMEM);
	expect_no_reservation(NULL, page, (size_t)1 << 63, ENOMEM);
}
END_TEST

START_TEST(refusals_are_errno_values)
{
	char *p = must_reserve(2 * page, page);

	ck_assert_int_eq(os->unmap(NULL, p, 2 * page), 0);
	errno = 1234;
	ck_assert_int_eq(os->commit(NULL, p, page), ENOMEM);
	ck_assert_int_eq(os->release(NULL, p + 1, page), EINVAL);
	ck_assert_int_eq(os->unmap(NULL, p + 1, page), EINVAL);
	ck_assert_int_eq(errno, 1234);
}
END_TEST

START_TEST(locked_pages_are_not_released)
{
	char *p = must_reserve(page, page);

	ck_assert_int_eq(os->commit(NULL, p, page), 0);
	p[0] = 7;
	/* Not mlock(), which sanitizers make do nothing. */
	if (syscall(SYS_mlock, p, page) != 0) {
		puts("SKIPPED: mlock is not permitted here");
	} else {
		ck_assert_int_eq(os->release(NULL, p, page), EINVAL);
		ck_assert_int_eq(p[0], 7);
		ck_assert_int_eq(syscall(SYS_munlock, p, page), 0);
	}
	ck_assert_int_eq(os->release(NULL, p, page), 0);
	ck_assert_int_eq(p[0], 0);
	ck_assert_int_eq(os->unmap(NULL, p, page), 0);
}
END_TEST

START_TEST(resident_memory_follows_use)
{
	size_t nbytes = 32 * MIB;
	char *p = must_reserve(nbytes, page);
	size_t bare, used, released;

	ck_assert_int_eq(os->commit(NULL, p, nbytes), 0);
	bare = ph__os_resident_bytes();
	ck_assert_uint_gt(bare, 0);
	memset(p, 1, nbytes);
	used = ph__os_resident_bytes();
	ck_assert_int_eq(os->release(NULL, p, nbytes), 0);
	released = ph__os_resident_bytes();
	/* Half, because the rest of the process moves too. */
	ck_assert_uint_ge(used, bare + nbytes / 2);
	ck_assert_uint_ge(used, released + nbytes / 2);
	ck_assert_int_eq(os->unmap(NULL, p, nbytes), 0);
}
END_TEST

START_TEST(the_clock_is_the_monotonic_one)
{
	struct timespec ts;
	uint64_t before = os->clock_ns(NULL);
	uint64_t between, after;

	ck_assert_int_eq(clock_gettime(CLOCK_MONOTONIC, &ts), 0);
	after = os->clock_ns(NULL);
	between = (uint64_t)ts.tv_sec * UINT64_C(1000000000) +
		  (uint64_t)ts.tv_nsec;
	ck_assert_uint_le(before, between);
	ck_assert_uint_le(between, after);
}
END_TEST

START_TEST(random_words_differ)
{
	uint64_t words[64];
	uint64_t any = 0, all = UINT64_MAX;

	errno = 1234;
	for (unsigned i = 0; i < 64; i++) {
		words[i] = ph__os_random();
		any |= words[i];
		all &= words[i];
		for (unsigned j = 0; j < i; j++)
			ck_assert_uint_ne(words[i], words[j]);
	}
	/* Each bit was seen in both states; fails once in 2^57 runs. */
	ck_assert_uint_eq(any, UINT64_MAX);
	ck_assert_uint_eq(all, 0);
	ck_assert_int_eq(errno, 1234);
}
END_TEST

static void *thread_id(void *arg)
{
	*(uint32_t *)arg = ph__os_thread_id();
	return NULL;
}

START_TEST(threads_have_numbers)
{
	uint32_t other = 0;
	pthread_t t;

	ck_assert_uint_eq(ph__os_thread_id(), (uint32_t)getpid());
	ck_assert_int_eq(pthread_create(&t, NULL, thread_id, &other), 0);
	ck_assert_int_eq(pthread_join(t, NULL), 0);
	ck_assert_uint_ne(other, 0);
	ck_assert_uint_ne(other, ph__os_thread_id());
}
END_TEST

START_TEST(membarrier_works_as_announced)
{
	bool works = ph__os_membarrier_register();
	pid_t child;
	int status;

	if (!works)
		puts("SKIPPED: membarrier is denied here");
	ck_assert_int_eq(ph__os_membarrier(), works);
	ck_assert_int_eq(ph__os_membarrier_register(), works);
	child = fork();
	ck_assert_int_ge(child, 0);
	if (child == 0) {
		ph__os_fork_child();
		_exit(ph__os_membarrier() == works ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(child, &status, 0), child);
	ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(the_huge_page_is_a_power_of_two)
{
	size_t nbytes = ph__os_huge_page_bytes();
	bool known = access("/sys/kernel/mm/transparent_hugepage/"
			    "hpage_pmd_size",
			    R_OK) == 0;

	ck_assert(nbytes == 0 || (is_pow2(nbytes) && nbytes > page &&
				  nbytes <= PH_CHUNK_SIZE));
	if (!known)
		ck_assert_uint_eq(nbytes, 0);
#if defined(__x86_64__)
	if (known)
		ck_assert_uint_eq(nbytes, 2 * MIB);
#endif
}
END_TEST

START_TEST(tests_are_not_secure)
{
	ck_assert_int_eq(ph__os_is_secure(),
			 getuid() != geteuid() || getgid() != getegid());
}
END_TEST

static uint32_t futex_word;

static void *futex_waiter(void *arg)
{
	(void)arg;
	while (ph_load_acquire(&futex_word) == 0)
		ph__os_futex_wait(&futex_word, 0);
	return NULL;
}

START_TEST(futexes_wake)
{
	pthread_t t[3];

	errno = 1234;
	/* The word is not what is expected: returns at once. */
	ph__os_futex_wait(&futex_word, 99);
	ck_assert_int_eq(errno, 1234);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(
			pthread_create(&t[i], NULL, futex_waiter, NULL), 0);
	ph_store_release(&futex_word, 1);
	ph__os_futex_wake(&futex_word, 3);
	for (unsigned i = 0; i < 3; i++)
		ck_assert_int_eq(pthread_join(t[i], NULL), 0);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tcase = suite_start(&suite, "os_linux");

	tcase_add_checked_fixture(tcase, setup, NULL);
	tcase_add_test(tcase, the_table_is_complete);
	tcase_add_test(tcase, reserved_memory_is_inaccessible);
	tcase_add_test(tcase, committed_and_released_memory_is_zero);
	tcase_add_test(tcase, alignment_leaves_nothing_behind);
	tcase_add_test(tcase, trimming_unmaps_both_ends);
	tcase_add_test(tcase, a_hint_is_taken_or_refused);
	tcase_add_test(tcase, nonsense_is_refused);
	tcase_add_test(tcase, refusals_are_errno_values);
	tcase_add_test(tcase, locked_pages_are_not_released);
	tcase_add_test(tcase, resident_memory_follows_use);
	tcase_add_test(tcase, the_clock_is_the_monotonic_one);
	tcase_add_test(tcase, random_words_differ);
	tcase_add_test(tcase, threads_have_numbers);
	tcase_add_test(tcase, membarrier_works_as_announced);
	tcase_add_test(tcase, the_huge_page_is_a_power_of_two);
	tcase_add_test(tcase, tests_are_not_secure);
	tcase_add_test(tcase, futexes_wake);
	return suite_run(suite);
}
