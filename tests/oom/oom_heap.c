/* SPDX-License-Identifier: MIT */
/*
 * Out of memory: every function of a heap while the 1st, 2nd, 3rd ... call to
 * the source of its pages, or of its metadata, fails, once or from then on.
 *
 * Whatever the function answers, the heap checks, what was allocated before
 * still holds what was written, and in use is what was in use.  When the
 * function says that it failed it says so as documented, and succeeds as soon
 * as the source does.  At the end the sources assert that all was unmapped.
 */
#include <errno.h>
#include <string.h>

#include "base/compiler.h"
#include "heap/heap.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define NOBJECTS 40
#define MIB ((size_t)1 << 20)

struct fixture {
	struct fake_os pages;
	struct fake_os meta;
	struct ph_heap *heap;
	char *objects[NOBJECTS]; /* live throughout */
	size_t sizes[NOBJECTS];
	char *run;   /* of 20 pages, the 10 behind it free */
	char *large; /* an object of 100,000 bytes, free pages behind */
	void *got;   /* by the function under test */
	struct ph_span *span;
};

/* ---- a heap with a few of everything ---- */

static struct ph_heap *make_heap(struct fixture *f)
{
	struct ph_heap_options options = {.struct_size = sizeof(options),
					  .os = &f->pages.ops,
					  .os_ctx = &f->pages,
					  .meta_os = &f->meta.ops,
					  .meta_os_ctx = &f->meta};

	return ph_heap_create(&options);
}

static void set_up(struct fixture *f, bool has_use)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES,
					.has_use = has_use};
	char *dirty;

	memset(f, 0, sizeof(*f));
	fake_os_init(&f->pages, &config);
	fake_os_init(&f->meta, &config);
	f->heap = make_heap(f);
	must(f->heap != NULL);
	for (size_t i = 0; i < NOBJECTS; i++) {
		f->sizes[i] = (i + 1) * 50;
		f->objects[i] = ph_malloc(f->heap, f->sizes[i]);
		must(f->objects[i] != NULL);
		memset(f->objects[i], (int)i, f->sizes[i]);
	}
	f->run = ph_pages_alloc(f->heap, 30, NULL);
	f->large = ph_malloc(f->heap, 400000);
	dirty = ph_pages_alloc(f->heap, 60, NULL);
	must(f->run && f->large && dirty);
	memset(f->large, 7, 400000);
	memset(dirty, 9, 60 * PH_PAGE_SIZE);
	ph_pages_free(f->heap, f->run + 20 * PH_PAGE_SIZE, 10);
	must(ph_realloc(f->heap, f->large, 100000) == f->large);
	ph_pages_free(f->heap, dirty, 30);
	/* Free pages of both kinds: some returned, some dirty. */
	ph_pages_free(f->heap, dirty + 30 * PH_PAGE_SIZE, 30);
	ph_scavenge(f->heap, 20 * PH_PAGE_SIZE);
}

static void check_contents(const struct fixture *f)
{
	for (size_t i = 0; i < NOBJECTS; i++)
		for (size_t k = 0; k < f->sizes[i]; k++)
			must(f->objects[i][k] == (char)i);
	for (size_t k = 0; k < 100000; k++)
		must(f->large[k] == 7);
}

static void tear_down(struct fixture *f)
{
	struct ph_stats s;

	for (size_t i = 0; i < NOBJECTS; i++)
		ph_free(f->heap, f->objects[i]);
	ph_free(f->heap, f->large);
	ph_pages_free(f->heap, f->run, 20);
	ph_heap_flush(f->heap);
	heap_must_check(f->heap);
	s = heap_stats(f->heap);
	must(s.in_use_bytes == 0 && s.live_objects == 0 && s.spans == 0);
	ph_heap_destroy(f->heap);
	fake_os_destroy(&f->pages);
	fake_os_destroy(&f->meta);
}

/* ---- the functions ---- */

/* Each does its work and returns 0, or says that it failed: its errno. */
typedef int function(struct fixture *f);

static int keep(struct fixture *f, void *p)
{
	f->got = p;
	return p ? 0 : errno;
}

static int object_of(struct fixture *f, void *p, size_t nbytes)
{
	if (p)
		memset(p, 1, nbytes);
	return keep(f, p);
}

static int run_one(struct fixture *f)
{
	return keep(f, ph_pages_alloc(f->heap, 1, NULL));
}

static int run_many(struct fixture *f)
{
	return keep(f, ph_pages_alloc(f->heap, 3000, NULL));
}

static int run_aligned(struct fixture *f)
{
	return keep(f, ph_pages_alloc_aligned(f->heap, 3, 64 * MIB, NULL));
}

static int run_at(struct fixture *f)
{
	char *p = f->run + 20 * PH_PAGE_SIZE;
	int error = ph_pages_alloc_at(f->heap, p, 3, NULL);

	f->got = error ? NULL : p;
	return error;
}

static int run_extend(struct fixture *f)
{
	int error = ph_pages_extend(f->heap, f->run, 20, 28);

	f->got = error ? NULL : f->run + 20 * PH_PAGE_SIZE;
	return error;
}

static int span_small(struct fixture *f)
{
	f->span = ph_span_alloc(f->heap, 2, 0);
	return f->span ? 0 : errno;
}

static int span_large(struct fixture *f)
{
	f->span = ph_span_alloc(f->heap, 5000, 32 * MIB);
	return f->span ? 0 : errno;
}

/* A class that the fixture has no span of, with a bitmap out of line. */
static int malloc_tiny(struct fixture *f)
{
	return object_of(f, ph_malloc(f->heap, 8), 8);
}

static int malloc_small(struct fixture *f)
{
	return object_of(f, ph_malloc(f->heap, 32768), 32768);
}

static int malloc_large(struct fixture *f)
{
	return object_of(f, ph_malloc(f->heap, 50000), 50000);
}

static int malloc_huge(struct fixture *f)
{
	return object_of(f, ph_malloc(f->heap, 20 * MIB), 100);
}

static int calloc_small(struct fixture *f)
{
	char *p = ph_calloc(f->heap, 3, 4000);

	for (size_t i = 0; p && i < 12000; i++)
		must(p[i] == 0);
	return object_of(f, p, 12000);
}

static int calloc_large(struct fixture *f)
{
	char *p = ph_calloc(f->heap, 40, PH_PAGE_SIZE);

	for (size_t i = 0; p && i < 40 * PH_PAGE_SIZE; i++)
		must(p[i] == 0);
	return object_of(f, p, 40 * PH_PAGE_SIZE);
}

static int aligned(struct fixture *f)
{
	return object_of(f, ph_aligned_alloc(f->heap, 16 * MIB, 100), 100);
}

/* The object stays what it was when the new one cannot be had. */
static int realloc_to(struct fixture *f, size_t i, size_t nbytes)
{
	char *p = ph_realloc(f->heap, f->objects[i], nbytes);
	int error = errno;

	if (!p)
		return error;
	for (size_t k = 0; k < f->sizes[i]; k++)
		must(p[k] == (char)i);
	p = ph_realloc(f->heap, p, f->sizes[i]);
	must(p != NULL);
	f->objects[i] = p;
	return 0;
}

static int realloc_small(struct fixture *f)
{
	return realloc_to(f, 20, 20000);
}

static int realloc_large(struct fixture *f)
{
	return realloc_to(f, 21, 9 * MIB);
}

/* Large objects that grow where they are, and that must move. */
static int realloc_larger(struct fixture *f, size_t nbytes)
{
	char *p = ph_realloc(f->heap, f->large, nbytes);

	if (!p)
		return errno;
	f->large = p;
	check_contents(f);
	p = ph_realloc(f->heap, p, 100000);
	must(p == f->large);
	return 0;
}

static int realloc_in_place(struct fixture *f)
{
	return realloc_larger(f, 300000);
}

static int realloc_moving(struct fixture *f)
{
	return realloc_larger(f, 12 * MIB);
}

static int mark(struct fixture *f)
{
	int marked = ph_object_mark(f->heap, f->objects[0]);

	must(marked == 1 || marked == -2);
	if (marked == 1)
		must(ph_object_mark(f->heap, f->objects[0]) == 0);
	return marked == 1 ? 0 : ENOMEM;
}

/* What cannot fail. */
static int giving(struct fixture *f)
{
	void *p[300];
	size_t n = 0;

	ph_free(f->heap, f->objects[0]);
	f->objects[0] = ph_malloc(f->heap, f->sizes[0]);
	if (!f->objects[0])
		return errno;
	memset(f->objects[0], 0, f->sizes[0]);
	while (n < PH_ARRAY_SIZE(p) && (p[n] = ph_malloc(f->heap, 3000)))
		n++;
	for (size_t i = 0; i < n; i++)
		ph_free(f->heap, p[i]);
	ph_heap_flush(f->heap);
	(void)ph_scavenge(f->heap, SIZE_MAX);
	return 0;
}

static const struct {
	const char *name;
	function *f;
} functions[] = {
	{"run_one", run_one},
	{"run_many", run_many},
	{"run_aligned", run_aligned},
	{"run_at", run_at},
	{"run_extend", run_extend},
	{"span_small", span_small},
	{"span_large", span_large},
	{"malloc_tiny", malloc_tiny},
	{"malloc_small", malloc_small},
	{"malloc_large", malloc_large},
	{"malloc_huge", malloc_huge},
	{"calloc_small", calloc_small},
	{"calloc_large", calloc_large},
	{"aligned", aligned},
	{"realloc_small", realloc_small},
	{"realloc_large", realloc_large},
	{"realloc_in_place", realloc_in_place},
	{"realloc_moving", realloc_moving},
	{"mark", mark},
	{"giving", giving},
};

/* Frees what the function got, whose size in pages tells what it is. */
static void give_back(struct fixture *f, function *fn)
{
	size_t npages = fn == run_one	   ? 1
			: fn == run_many   ? 3000
			: fn == run_extend ? 8
					   : 3;

	ph_span_free(f->heap, f->span);
	f->span = NULL;
	if (fn == run_one || fn == run_many || fn == run_aligned ||
	    fn == run_at || fn == run_extend)
		ph_pages_free(f->heap, f->got, npages);
	else
		ph_free(f->heap, f->got);
	f->got = NULL;
}

/* ---- metadata that runs out ---- */

/*
 * Metadata comes from the system in large pieces, so that failing calls meet
 * few of the steps that need some.  To meet them all, everything that is ready
 * is taken away, then some of it put back by chance.
 */
#define NHOARD 8192

struct hoard {
	size_t n;
	void *block[NHOARD];
	size_t nbytes[NHOARD];
	struct ph_span *spans[64]; /* so that no descriptor is at hand */
	size_t nspans;
};

static void hoard_all(struct fixture *f, struct hoard *h)
{
	/* Slabs, objects, caches, slots, and what is left over. */
	static const size_t sizes[] = {4096, 5120, 1280, 4096, 128,
				       64,   4096, 32,	 16};
	struct meta_pool *pool = &f->heap->span_pool;
	size_t misses = 0;

	h->n = h->nspans = 0;
	while (pool->free || pool->next != pool->limit) {
		must(h->nspans < PH_ARRAY_SIZE(h->spans));
		/* Not among the pages that the functions are to get. */
		h->spans[h->nspans] = ph_span_alloc(f->heap, 1, 4 * MIB);
		must(h->spans[h->nspans++] != NULL);
	}
	fake_os_fail(&f->meta, FAKE_ALL, 1, FAKE_FOREVER);
	for (size_t i = 0; misses < PH_ARRAY_SIZE(sizes); i++) {
		size_t nbytes = sizes[i % PH_ARRAY_SIZE(sizes)];
		void *block = ph__meta_alloc(f->heap->meta, nbytes, 16);

		misses = block ? 0 : misses + 1;
		if (!block)
			continue;
		must(h->n < NHOARD);
		h->block[h->n] = block;
		h->nbytes[h->n++] = nbytes;
	}
}

static void hoard_put_back(struct fixture *f, struct hoard *h, size_t i)
{
	ph__meta_free(f->heap->meta, h->block[i], h->nbytes[i]);
	h->n--;
	h->block[i] = h->block[h->n];
	h->nbytes[i] = h->nbytes[h->n];
}

static void hoard_end(struct fixture *f, struct hoard *h)
{
	fake_os_fail(&f->meta, FAKE_ALL, 0, FAKE_ONCE);
	while (h->n)
		hoard_put_back(f, h, 0);
	while (h->nspans)
		ph_span_free(f->heap, h->spans[--h->nspans]);
}

/* One function with next to no metadata.  Did it fail? */
static bool starve(size_t i, size_t nspare, struct rng *rng)
{
	static struct hoard hoard;
	static struct fixture f;
	struct ph_stats before, after;
	int error;

	set_up(&f, rng_one_in(rng, 2));
	hoard_all(&f, &hoard);
	for (; nspare && hoard.n; nspare--)
		hoard_put_back(&f, &hoard, rng_below(rng, hoard.n));
	before = heap_stats(f.heap);
	errno = 0;
	error = functions[i].f(&f);
	must(error == 0 || error == ENOMEM);
	heap_must_check(f.heap);
	check_contents(&f);
	after = heap_stats(f.heap);
	if (error)
		must(heap_stats_same_use(&before, &after) ||
		     functions[i].f == giving);
	hoard_end(&f, &hoard);
	if (error)
		must(functions[i].f(&f) == 0);
	heap_must_check(f.heap);
	give_back(&f, functions[i].f);
	tear_down(&f);
	return error != 0;
}

START_TEST(test_starved)
{
	struct rng rng = rng_start("oom_heap: starved");
	unsigned nfailed = 0;

	for (size_t round = 0; round < 12; round++)
		nfailed += starve((size_t)_i, round / 2, &rng);
	printf("%-18s starved: %u of 12 failed\n", functions[_i].name, nfailed);
}
END_TEST

/* ---- sources that fail ---- */

/* One function, one failing call.  False when it makes fewer calls. */
static bool fail_nth(size_t i, bool meta, uint64_t nth,
		     enum fake_failing failing, bool has_use)
{
	static struct fixture f;
	struct ph_stats before, after;
	struct fake_os *os;
	bool failed;
	int error;

	set_up(&f, has_use);
	os = meta ? &f.meta : &f.pages;
	before = heap_stats(f.heap);
	fake_os_fail(os, FAKE_ALL, nth, failing);
	errno = 0;
	error = functions[i].f(&f);
	failed = fake_os_nfailed(os) != 0;
	must(error == 0 || (failed && error == ENOMEM));
	heap_must_check(f.heap);
	check_contents(&f);
	after = heap_stats(f.heap);
	if (error) {
		must(f.got == NULL && f.span == NULL);
		must(heap_stats_same_use(&before, &after) ||
		     functions[i].f == giving);
		fake_os_fail(os, FAKE_ALL, 0, failing);
		must(functions[i].f(&f) == 0);
		heap_must_check(f.heap);
		check_contents(&f);
	}
	fake_os_fail(os, FAKE_ALL, 0, failing);
	give_back(&f, functions[i].f);
	tear_down(&f);
	return failed;
}

/* Every call of one source, until the function makes no more. */
static void fail_each(size_t i, bool meta, enum fake_failing failing,
		      bool has_use)
{
	uint64_t nth = 1;

	while (fail_nth(i, meta, nth, failing, has_use))
		nth++;
	printf("%-18s %-8s %-8s %-4s %2u calls failed\n", functions[i].name,
	       meta ? "metadata" : "pages",
	       failing == FAKE_ONCE ? "once" : "for good", has_use ? "use" : "",
	       (unsigned)(nth - 1));
}

START_TEST(test_function)
{
	for (unsigned k = 0; k < 8; k++)
		fail_each((size_t)_i, k & 1, k & 2 ? FAKE_FOREVER : FAKE_ONCE,
			  k & 4);
}
END_TEST

START_TEST(test_create)
{
	struct fixture f;
	uint64_t nth = 0;

	do {
		nth++;
		must(nth < 100);
		memset(&f, 0, sizeof(f));
		fake_os_init(&f.pages, NULL);
		fake_os_init(&f.meta, NULL);
		/* Not unmapping: what cannot be unmapped is lost. */
		fake_os_fail(&f.meta, FAKE_GROWING, nth,
			     _i ? FAKE_ONCE : FAKE_FOREVER);
		errno = 0;
		f.heap = make_heap(&f);
		must(f.heap || errno == ENOMEM);
		ph_heap_destroy(f.heap);
		fake_os_destroy(&f.meta);
		fake_os_destroy(&f.pages);
	} while (!f.heap);
	must(nth > 2 || _i == 1);
}
END_TEST

/* A source with a bound: what does not fit fails, what fits does not. */
START_TEST(test_bounded_source)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES,
					.max_bytes = 24 * MIB};
	struct fake_os os;
	struct ph_heap *heap;
	size_t n = 0;

	fake_os_init(&os, &config);
	heap = heap_over(&os.ops, &os, 0);
	while (ph_pages_alloc(heap, 512, NULL))
		n++;
	must(errno == ENOMEM);
	/* All 24 MiB, though the first reservation wished for 16. */
	must(n == 6);
	must(ph_malloc(heap, 10) == NULL && errno == ENOMEM);
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "oom_heap");

	tcase_add_loop_test(tc, test_function, 0, PH_ARRAY_SIZE(functions));
	tcase_add_loop_test(tc, test_starved, 0, PH_ARRAY_SIZE(functions));
	tcase_add_loop_test(tc, test_create, 0, 2);
	tcase_add_test(tc, test_bounded_source);
	return suite_run(suite);
}
