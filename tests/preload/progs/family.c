/* SPDX-License-Identifier: MIT */
/*
 * The malloc family against the C standard, POSIX and the manual pages of
 * glibc, which programs for Linux are written to.
 */
#include <errno.h>
#include <malloc.h>

#include "check.h"

#define TOO_LARGE ((size_t)PTRDIFF_MAX + 1)

static void test_sizes(void)
{
	/* Every size up to a few pages, then powers of two and around. */
	for (size_t n = 0; n <= 40000; n += n < 2100 ? 1 : 977) {
		void *p = malloc(opaque(n));
		check(p != NULL);
		check(is_aligned(p, n > 8 ? 16 : 8));
		check(malloc_usable_size(p) >= n);
		fill(p, n, (unsigned)n);
		check(is_filled(p, n, (unsigned)n));
		free(p);
	}
	for (unsigned shift = 12; shift < 28; shift++) {
		for (int d = -1; d <= 1; d++) {
			size_t n = ((size_t)1 << shift) + (size_t)d;
			char *p = malloc(n);
			check(p != NULL && is_aligned(p, 16));
			check(malloc_usable_size(p) >= n);
			p[0] = 1;
			p[n - 1] = 1;
			free(p);
		}
	}
}

static void test_zero(void)
{
	void *p = malloc(opaque(0));
	void *q = malloc(opaque(0));
	void *r = calloc(opaque(0), 8);

	check(p != NULL && q != NULL && r != NULL);
	check(p != q && q != r && p != r);
	free(p);
	free(q);
	free(r);
	free(NULL);
	check(malloc_usable_size(NULL) == 0);
}

static void expect_nomem(void *p)
{
	check(p == NULL);
	check(errno == ENOMEM);
	errno = 0;
}

static void test_too_large(void)
{
	const size_t sizes[] = {TOO_LARGE, SIZE_MAX, SIZE_MAX - 4096,
				SIZE_MAX / 2 + 4096};
	char *kept = malloc(100);

	fill(kept, 100, 1);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = opaque(sizes[i]);
		void *p = kept;
		errno = 0;
		expect_nomem(malloc(n));
		expect_nomem(calloc(n, 1));
		expect_nomem(calloc(1, n));
		expect_nomem(realloc(NULL, n));
		expect_nomem(realloc(same(kept), n));
		expect_nomem(reallocarray(same(kept), n, 1));
		expect_nomem(memalign(64, n));
		expect_nomem(aligned_alloc(64, n));
		expect_nomem(valloc(n));
		expect_nomem(pvalloc(n));
		check(posix_memalign(&p, 64, n) == ENOMEM);
		check(p == kept);
	}
	/* More than there is, but a possible size. */
	errno = 0;
	expect_nomem(malloc(opaque((size_t)PTRDIFF_MAX - 65536)));
	check(is_filled(kept, 100, 1));
	free(kept);
}

static void test_overflow(void)
{
	char *kept = malloc(100);
	size_t half = opaque(SIZE_MAX / 2 + 2);

	fill(kept, 100, 2);
	errno = 0;
	expect_nomem(calloc(half, 2));
	expect_nomem(calloc(2, half));
	expect_nomem(calloc(opaque((size_t)1 << 33), (size_t)1 << 33));
	expect_nomem(reallocarray(same(kept), half, 2));
	expect_nomem(reallocarray(NULL, 2, half));
	expect_nomem(reallocarray(same(kept), opaque((size_t)1 << 32),
				  (size_t)1 << 33));
	check(is_filled(kept, 100, 2));
	free(kept);
}

static void test_calloc(void)
{
	/* Memory that was dirty before must read as zero. */
	for (size_t n = 1; n < 3000000; n = n * 3 + 1) {
		void *dirty[8];
		for (int i = 0; i < 8; i++) {
			dirty[i] = malloc(n);
			check(dirty[i] != NULL);
			memset(dirty[i], 0xa5, n);
		}
		for (int i = 0; i < 8; i++)
			free(dirty[i]);
		for (int i = 0; i < 8; i++) {
			dirty[i] = calloc(n, 1);
			check(dirty[i] != NULL && is_zero(dirty[i], n));
			memset(dirty[i], 0x5a, n);
		}
		for (int i = 0; i < 8; i++)
			free(dirty[i]);
	}
}

static void test_realloc(void)
{
	void *p = realloc(NULL, 10);

	check(p != NULL);
	fill(p, 10, 3);
	size_t held = 10;
	/* Up and down through small, large and very large. */
	const size_t sizes[] = {16,    17,    100,     1000,	5000,	 32768,
				32769, 40000, 1000000, 9000000, 4000000, 70000,
				33000, 300,   20,      1};
	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		size_t n = sizes[i];
		p = realloc(p, n);
		check(p != NULL && malloc_usable_size(p) >= n);
		check(is_filled(p, held < n ? held : n, 3));
		fill(p, n, 3);
		held = n;
	}
	free(p);
	/* glibc frees; another allocator may give an object of no size. */
	p = malloc(50);
	errno = 0;
	p = realloc(p, opaque(0));
	check(p != NULL || errno == 0);
	free(p);
	p = reallocarray(NULL, 10, 20);
	check(p != NULL);
	fill(p, 200, 4);
	p = reallocarray(p, 100, 20);
	check(p != NULL && is_filled(p, 200, 4));
	free(p);
}

static void test_alignment(void)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	for (size_t align = 1; align <= (size_t)1 << 24; align *= 2) {
		const size_t sizes[] = {0, 1, 24, align, 3 * align, 40000};
		for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
			void *p = memalign(align, sizes[i]);
			check(p != NULL && is_aligned(p, align));
			check(malloc_usable_size(p) >= sizes[i]);
			memset(p, 1, sizes[i]);
			/* The alignment may go, the contents may not. */
			p = realloc(p, sizes[i] + 1000);
			check(p != NULL);
			for (size_t k = 0; k < sizes[i]; k++)
				check(((char *)p)[k] == 1);
			free(p);
			p = aligned_alloc(align, sizes[i]);
			check(p != NULL && is_aligned(p, align));
			free(p);
			if (align < sizeof(void *))
				continue;
			check(posix_memalign(&p, align, sizes[i]) == 0);
			check(p != NULL && is_aligned(p, align));
			free(p);
		}
	}
	for (size_t n = 0; n < 20000; n += 1999) {
		void *p = valloc(n);
		check(p != NULL && is_aligned(p, page));
		free(p);
		p = pvalloc(n);
		check(p != NULL && is_aligned(p, page));
		check(malloc_usable_size(p) >= (n + page - 1) / page * page);
		free(p);
	}
}

static void test_bad_alignment(void)
{
	void *kept = &kept;
	void *p = kept;

	check(posix_memalign(&p, 3, 10) == EINVAL && p == kept);
	check(posix_memalign(&p, 0, 10) == EINVAL && p == kept);
	check(posix_memalign(&p, opaque(2), 10) == EINVAL && p == kept);
	check(posix_memalign(&p, 24, 10) == EINVAL && p == kept);
	/* More than any address is a multiple of. */
	check(posix_memalign(&p, TOO_LARGE, 10) != 0 && p == kept);
	/* posix_memalign tells by its result alone. */
	errno = 77;
	check(posix_memalign(&p, 64, 10) == 0 && errno == 77);
	free(p);
}

static void test_errno(void)
{
	static const size_t sizes[] = {1, 100, 5000, 40000, 5000000};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
		void *p = malloc(sizes[i]);
		memset(p, 1, sizes[i]);
		errno = 4711;
		free(p);
		check(errno == 4711);
		p = malloc(sizes[i]);
		check(errno == 4711);
		p = realloc(p, sizes[i] * 2);
		check(p != NULL && errno == 4711);
		free(p);
	}
	free(NULL);
	check(errno == 4711);
}

static void test_statistics(void)
{
	void *p[100];
	char *text = NULL;
	size_t size = 0;
	struct mallinfo2 before = mallinfo2();

	for (int i = 0; i < 100; i++)
		p[i] = malloc(10000);
	struct mallinfo2 during = mallinfo2();
	check(during.uordblks >= before.uordblks + 100 * 10000);
	for (int i = 0; i < 100; i++)
		free(p[i]);
	struct mallinfo2 after = mallinfo2();
	check(after.uordblks < during.uordblks);

	FILE *f = open_memstream(&text, &size);
	check(f != NULL);
	check(malloc_info(0, f) == 0);
	fclose(f);
	check(size > 0 && strncmp(text, "<malloc", 7) == 0);
	check(strstr(text, "</malloc>") != NULL);
	free(text);
	/* Options must be 0. */
	f = fopen("/dev/null", "w");
	check(malloc_info(1, f) != 0);
	fclose(f);

	malloc_stats();
	check(malloc_trim(0) == 0 || malloc_trim(0) >= 0);
	/* 1: taken, also when it means nothing here. */
	check(mallopt(M_MMAP_THRESHOLD, 1 << 20) == 1);
	check(mallopt(M_TRIM_THRESHOLD, 1 << 20) == 1);
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"
	p[0] = same(malloc(10000));
	struct mallinfo old = mallinfo();
#pragma GCC diagnostic pop
	check(old.uordblks >= 10000);
	free(p[0]);
}

int main(void)
{
	test_sizes();
	test_zero();
	test_too_large();
	test_overflow();
	test_calloc();
	test_realloc();
	test_alignment();
	test_bad_alignment();
	test_errno();
	test_statistics();
	puts("family: ok");
	return 0;
}
