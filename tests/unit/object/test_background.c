/* SPDX-License-Identifier: MIT */
/*
 * The background scavenger: its rounds in simulated time, how a thread is asked
 * for, made and ended, and what fork has to do with it.
 *
 * Sources are fake operating systems whose release can be watched, slowed down
 * or stopped half way; pthread_create is ours, to fail when told to.
 */
#include "object/background.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"
#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/suite.h"

#define PAGE PH_PAGE_SIZE
#define MIB ((size_t)1 << 20)
#define PAGES(nbytes) ((nbytes) / PH_PAGE_SIZE)
#define CHUNK_PAGES PAGES(PH_CHUNK_SIZE)
#define MS UINT64_C(1000000)
#define SECOND UINT64_C(1000000000)

/* ---- threads ---- */

static size_t stack_least; /* smaller ones are refused with EINVAL */
static int create_error;   /* what pthread_create answers; 0: it works */
static unsigned ncreates;  /* calls */

int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
		   void *(*start)(void *), void *arg)
{
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *),
		    void *);

	ncreates++;
	if (create_error)
		return create_error;
	if (attr && stack_least) {
		size_t nbytes = 0;

		must(pthread_attr_getstacksize(attr, &nbytes) == 0);
		if (nbytes < stack_least)
			return EINVAL;
	}
	*(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
	return real(thread, attr, start, arg);
}

static unsigned count_threads(void)
{
	DIR *tasks = opendir("/proc/self/task");
	unsigned n = 0;

	must(tasks != NULL);
	for (struct dirent *e; (e = readdir(tasks)) != NULL;)
		n += e->d_name[0] != '.';
	closedir(tasks);
	return n;
}

/*
 * Threads at a test's start: a sanitizer has one of its own, which it makes
 * with the first of the program's.
 */
static unsigned nthreads_before;

static void *do_nothing(void *arg)
{
	return arg;
}

static void note_threads(void)
{
	pthread_t thread;

	/* Without CK_FORK the tests before this one left their marks. */
	create_error = 0;
	stack_least = 0;
	must(pthread_create(&thread, NULL, do_nothing, NULL) == 0);
	must(pthread_join(thread, NULL) == 0);
	nthreads_before = count_threads();
	ncreates = 0;
}

/* ---- a source with a gate ---- */

enum gate { GATE_OPEN, GATE_BEFORE, GATE_AFTER };

struct source {
	struct fake_os os; /* first: it is the context */
	struct ph_os_ops ops;
	int (*release)(void *ctx, void *addr, size_t nbytes);
	uint64_t release_ns; /* what a release takes */
	uintptr_t spared;    /* no release at or above */
	uint32_t gate;	     /* atomic: where releases stop */
	uint32_t nwaiting;   /* atomic: releases at the gate */
};

static void wait_at_gate(struct source *s, enum gate gate)
{
	if (ph_load_acquire(&s->gate) != (uint32_t)gate)
		return;
	(void)ph_fetch_add_relaxed(&s->nwaiting, 1);
	while (ph_load_acquire(&s->gate) != GATE_OPEN)
		sched_yield();
}

static int source_release(void *ctx, void *addr, size_t nbytes)
{
	struct source *s = ctx;
	int error;

	must((uintptr_t)addr + nbytes <= s->spared);
	wait_at_gate(s, GATE_BEFORE);
	error = s->release(ctx, addr, nbytes);
	fake_os_advance_clock(&s->os, s->release_ns);
	wait_at_gate(s, GATE_AFTER);
	return error;
}

static void source_init(struct source *s, const struct fake_os_config *config)
{
	note_threads();
	memset(s, 0, sizeof(*s));
	fake_os_init(&s->os, config);
	s->ops = s->os.ops;
	s->release = s->ops.release;
	s->ops.release = source_release;
	s->spared = UINTPTR_MAX;
	/* Not at the beginning of time, where all is long ago. */
	fake_os_set_clock(&s->os, 1000 * SECOND);
}

/* A heap that may want a thread, over addresses without memory. */
static struct ph_heap *watched_heap(struct source *s)
{
	static const struct fake_os_config config = {
		.flags = PH_OS_ZEROES | PH_OS_UNTOUCHABLE};
	struct ph_heap *heap;

	source_init(s, &config);
	heap = heap_over(&s->ops, &s->os, 0);
	ph__background_enable(heap);
	return heap;
}

static void end_heap(struct source *s, struct ph_heap *heap)
{
	heap_must_check(heap);
	ph_heap_destroy(heap);
	fake_os_destroy(&s->os);
}

static char *take(struct ph_heap *heap, size_t nbytes)
{
	char *p = ph_pages_alloc(heap, PAGES(nbytes), NULL);

	must(p != NULL);
	return p;
}

static void give(struct ph_heap *heap, char *p, size_t nbytes)
{
	ph_pages_free(heap, p, PAGES(nbytes));
}

static struct background_round round_after(struct source *s,
					   struct ph_heap *heap, uint64_t ns)
{
	fake_os_advance_clock(&s->os, ns);
	return ph__background_round(heap, MS);
}

/* ---- rounds ---- */

START_TEST(what_was_used_lately_stays)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 256 * MIB);
	struct background_round r = ph__background_round(heap, MS);

	ck_assert_uint_eq(r.released_bytes, 0);
	ck_assert(r.finished);
	give(heap, p, 256 * MIB);
	r = round_after(&s, heap, 0);
	ck_assert_uint_eq(r.released_bytes, 0);
	ck_assert(!r.finished);
	/* A working set that comes back within half a second is there. */
	for (int i = 0; i < 20; i++) {
		r = round_after(&s, heap, 200 * MS);
		ck_assert_uint_eq(r.released_bytes, 0);
		p = take(heap, 256 * MIB);
		r = round_after(&s, heap, 200 * MS);
		ck_assert_uint_eq(r.released_bytes, 0);
		give(heap, p, 256 * MIB);
	}
	/* Nor do the looks have to see it. */
	for (int i = 0; i < 20; i++) {
		give(heap, take(heap, 256 * MIB), 256 * MIB);
		r = round_after(&s, heap, 100 * MS);
		ck_assert_uint_eq(r.released_bytes, 0);
	}
	ck_assert_uint_eq(fake_os_ncalls(&s.os, FAKE_RELEASE), 0);
	end_heap(&s, heap);
}
END_TEST

START_TEST(what_was_left_behind_goes)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 256 * MIB), *kept = take(heap, MIB);
	struct background_round r = ph__background_round(heap, MS);
	uint64_t last = 256 * MIB, elapsed = 0;
	unsigned nrounds = 0;

	s.release_ns = MS / 4;
	give(heap, p, 256 * MIB);
	for (; !r.finished || nrounds == 0; elapsed += 100 * MS) {
		uint64_t free_bytes;

		r = round_after(&s, heap, 100 * MS);
		free_bytes = heap_stats(heap).free_bytes;
		ck_assert_uint_eq(free_bytes, last - r.released_bytes);
		last = free_bytes;
		/* Not before its time. */
		ck_assert_uint_ge(free_bytes,
				  (uint64_t)(256 * MIB) >>
					  (1 + elapsed / PACER_HALF_LIFE_NS));
		ck_assert_uint_lt(++nrounds, 1000);
	}
	ck_assert_uint_lt(elapsed, 20 * SECOND);
	ck_assert_uint_le(last, 4 * MIB);
	ck_assert_uint_ge(last, MIB);
	/* Finished means finished, but for the rest of a MiB of demand. */
	for (int i = 0; i < 100; i++)
		(void)round_after(&s, heap, 100 * MS);
	ck_assert_uint_ge(heap_stats(heap).free_bytes, last - 2 * MIB);
	r = round_after(&s, heap, 100 * MS);
	ck_assert(r.finished && r.released_bytes == 0);
	give(heap, kept, MIB);
	end_heap(&s, heap);
}
END_TEST

START_TEST(a_round_keeps_to_its_budget)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 256 * MIB);
	struct background_round r;
	uint64_t ncalls;

	give(heap, p, 256 * MIB);
	(void)ph__background_round(heap, MS);
	ck_assert_uint_eq(fake_os_ncalls(&s.os, FAKE_RELEASE), 0);
	fake_os_advance_clock(&s.os, 100 * SECOND);
	/* Slow releases: until the budget is used up. */
	s.release_ns = 300000;
	r = ph__background_round(heap, MS);
	ncalls = fake_os_ncalls(&s.os, FAKE_RELEASE);
	ck_assert_uint_ge(ncalls, 3);
	ck_assert_uint_le(ncalls, 5);
	ck_assert_uint_eq(r.worked_ns, ncalls * 300000);
	ck_assert_uint_eq(r.released_bytes,
			  fake_os_call_bytes(&s.os, FAKE_RELEASE));
	ck_assert(!r.finished);
	/* Slower than the budget, or none: one range. */
	s.release_ns = 10 * MS;
	r = ph__background_round(heap, MS);
	ck_assert_uint_ge(r.released_bytes, PAGE);
	ck_assert_uint_le(r.released_bytes, PH_CHUNK_SIZE);
	s.release_ns = 1;
	r = ph__background_round(heap, 0);
	ck_assert_uint_ge(r.released_bytes, PAGE);
	ck_assert_uint_le(r.released_bytes, PH_CHUNK_SIZE);
	/* A clock that stands still: all there is, and an end. */
	s.release_ns = 0;
	r = ph__background_round(heap, MS);
	ck_assert(r.finished);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 2 * MIB);
	end_heap(&s, heap);
}
END_TEST

/* At the top of the heap, where releases begin, chunks that are nearly full. */
START_TEST(dense_chunks_are_spared)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	size_t ndense = 64, nfree = 16;
	char *p = take(heap, (ndense + nfree) * PH_CHUNK_SIZE);
	char *dense = p + nfree * PH_CHUNK_SIZE;
	uint64_t over;

	ck_assert_uint_eq((uintptr_t)p % PH_CHUNK_SIZE, 0);
	for (size_t i = 0; i < ndense; i++)
		ph_pages_free(heap, dense + i * PH_CHUNK_SIZE + 100 * PAGE, 16);
	give(heap, p, nfree * PH_CHUNK_SIZE);
	s.spared = (uintptr_t)dense;
	for (int i = 0; i < 300; i++)
		(void)round_after(&s, heap, 100 * MS);
	over = heap_stats(heap).in_use_bytes / PACER_MARGIN_SHARE +
	       PACER_MARGIN_BYTES;
	ck_assert_uint_gt(heap_stats(heap).returned_bytes, 40 * MIB);
	ck_assert_uint_le(heap_stats(heap).free_bytes, over);
	/* Once they are dense no longer, they go like all others. */
	s.spared = UINTPTR_MAX;
	for (size_t i = 0; i < ndense; i++)
		ph_pages_free(heap, dense + i * PH_CHUNK_SIZE + 200 * PAGE,
			      100);
	for (int i = 0; i < 300; i++)
		(void)round_after(&s, heap, 100 * MS);
	over = heap_stats(heap).in_use_bytes / PACER_MARGIN_SHARE +
	       PACER_MARGIN_BYTES;
	ck_assert_uint_le(heap_stats(heap).free_bytes, over);
	end_heap(&s, heap);
}
END_TEST

/* Single free pages, as many kept: nothing is whole, all of it goes. */
START_TEST(combs_go_too)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 64 * MIB);

	for (size_t i = 0; i < PAGES(64 * MIB); i += 2)
		ph_pages_free(heap, p + i * PAGE, 1);
	for (int i = 0; i < 300; i++)
		(void)round_after(&s, heap, 100 * MS);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 6 * MIB);
	end_heap(&s, heap);
}
END_TEST

START_TEST(a_release_that_fails_loses_nothing)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 64 * MIB);
	struct background_round r;
	unsigned nrounds = 0;

	give(heap, p, 64 * MIB);
	fake_os_fail(&s.os, FAKE_BIT(FAKE_RELEASE), 1, FAKE_FOREVER);
	do {
		ck_assert_uint_lt(++nrounds, 300);
		r = round_after(&s, heap, 100 * MS);
		ck_assert_uint_eq(r.released_bytes, 0);
		/* One attempt, for the next would fail likewise. */
		ck_assert_uint_le(fake_os_ncalls(&s.os, FAKE_RELEASE), nrounds);
		ck_assert_uint_eq(heap_stats(heap).free_bytes, 64 * MIB);
	} while (!r.finished);
	ck_assert_uint_gt(fake_os_nfailed(&s.os), 0);
	heap_must_check(heap);
	fake_os_fail(&s.os, FAKE_ALL, 0, FAKE_ONCE);
	r = round_after(&s, heap, 100 * MS);
	ck_assert(r.finished);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 4 * MIB);
	ck_assert_ptr_eq(take(heap, 64 * MIB), p);
	end_heap(&s, heap);
}
END_TEST

/* ---- asking for a thread ---- */

START_TEST(much_free_memory_asks_once)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	struct heap_background *b = &heap->background;
	char *p = take(heap, 128 * MIB);
	size_t unit = MIB / 2, threshold = 0;

	ck_assert(!background_is_wanted(heap));
	ck_assert(!ph__background_claim(heap));
	/* From the low end, so that nothing else is free. */
	for (size_t done = unit; !background_is_wanted(heap); done += unit) {
		ck_assert_uint_le(done, 128 * MIB);
		give(heap, p + done - unit, unit);
		threshold = done;
	}
	/* 4 MiB and an eighth of the rest. */
	ck_assert_uint_gt(threshold, 4 * MIB + (128 * MIB - threshold) / 8);
	ck_assert_uint_le(threshold - unit,
			  4 * MIB + (128 * MIB - threshold + unit) / 8);
	ck_assert(ph__background_claim(heap));
	ck_assert(!background_is_wanted(heap));
	ck_assert(!ph__background_claim(heap));
	/* Who claimed is the thread: nobody asks for another. */
	give(heap, p + threshold, 64 * MIB);
	ck_assert(!background_is_wanted(heap));
	/* Two who saw the same request: one claims it. */
	ph_store_relaxed(&b->wanted, 1);
	ck_assert(!ph__background_claim(heap));
	ck_assert(!background_is_wanted(heap));
	/* It ended; there is still much. */
	ph_store_seq(&b->running, 0);
	give(heap, p + threshold + 64 * MIB, unit);
	ck_assert(ph__background_claim(heap));
	ck_assert_uint_eq(ncreates, 0);
	end_heap(&s, heap);
}
END_TEST

START_TEST(nobody_asks_unless_enabled)
{
	struct source s;
	struct ph_heap *heap;
	char *p;

	source_init(&s, NULL);
	heap = heap_over(&s.ops, &s.os, 0);
	p = take(heap, 64 * MIB);
	give(heap, p, 64 * MIB);
	ck_assert(!background_is_wanted(heap));
	/* What is free already counts as soon as it is. */
	ph__background_enable(heap);
	ck_assert(background_is_wanted(heap));
	end_heap(&s, heap);
}
END_TEST

START_TEST(no_thread_is_tried_again)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 64 * MIB);

	give(heap, p, 32 * MIB);
	create_error = EAGAIN;
	errno = 77;
	ph__background_start(heap);
	ck_assert_int_eq(errno, 77);
	ck_assert_uint_eq(ncreates, 1);
	ck_assert_uint_eq(count_threads(), nthreads_before);
	/* Within a second nothing is tried, however much asks. */
	for (int i = 0; i < 9; i++) {
		fake_os_advance_clock(&s.os, 100 * MS);
		give(heap, p + (32 + (size_t)i) * MIB, MIB);
		ck_assert(background_is_wanted(heap));
		ph__background_start(heap);
	}
	ck_assert_uint_eq(ncreates, 1);
	fake_os_advance_clock(&s.os, 101 * MS);
	ph__background_start(heap);
	ck_assert_uint_eq(ncreates, 2);
	/* A child of vfork shares all this but must make none. */
	fake_os_advance_clock(&s.os, 2 * SECOND);
	give(heap, p + 60 * MIB, MIB);
	heap->background.process++;
	ph__background_start(heap);
	ck_assert_uint_eq(ncreates, 2);
	ck_assert(background_is_wanted(heap));
	end_heap(&s, heap);
}
END_TEST

/* ---- the thread ---- */

/* Lets simulated time fly until the thread is gone; how many seconds. */
static uint64_t wait_for_end(struct source *s)
{
	uint64_t seconds = 0;

	while (count_threads() > nthreads_before) {
		fake_os_advance_clock(&s->os, SECOND);
		seconds++;
		ph__os_sleep_ns(10 * MS);
		/* Generous: a machine under load, an emulator. */
		must(seconds < 4500);
	}
	return seconds;
}

START_TEST(the_thread_ends_when_done)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 64 * MIB);

	for (unsigned i = 1; i <= 3; i++) {
		give(heap, p, 64 * MIB);
		ck_assert(background_is_wanted(heap));
		ph__background_start(heap);
		ck_assert_uint_eq(ncreates, i);
		ck_assert(!background_is_wanted(heap));
		wait_for_end(&s);
		ck_assert(!background_is_wanted(heap));
		ck_assert_uint_eq(ph_load_seq(&heap->background.running), 0);
		ck_assert_uint_le(heap_stats(heap).free_bytes, 4 * MIB);
		ck_assert_ptr_eq(take(heap, 64 * MIB), p);
	}
	end_heap(&s, heap);
}
END_TEST

/* A program with much in thread-local storage needs large stacks. */
START_TEST(the_thread_gets_the_stack_that_it_must_have)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 64 * MIB);

	give(heap, p, 64 * MIB);
	stack_least = MIB;
	ph__background_start(heap);
	ck_assert_uint_eq(ncreates, 2);
	ck_assert_uint_eq(ph_load_seq(&heap->background.running), 1);
	wait_for_end(&s);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 4 * MIB);
	end_heap(&s, heap);
}
END_TEST

/* Locked memory, say: it gives up, and does not come back for the same. */
START_TEST(the_thread_ends_when_it_cannot_help)
{
	struct source s;
	struct ph_heap *heap = watched_heap(&s);
	char *p = take(heap, 128 * MIB);

	fake_os_fail(&s.os, FAKE_BIT(FAKE_RELEASE), 1, FAKE_FOREVER);
	give(heap, p, 64 * MIB);
	ph__background_start(heap);
	wait_for_end(&s);
	ck_assert_uint_eq(ncreates, 1);
	ck_assert_uint_eq(heap_stats(heap).free_bytes, 64 * MIB);
	ck_assert(!background_is_wanted(heap));
	give(heap, p + 64 * MIB, MIB);
	ck_assert(!background_is_wanted(heap));
	/* More than it left behind asks again. */
	give(heap, p + 65 * MIB, 32 * MIB);
	ck_assert(background_is_wanted(heap));
	/* Though not at once. */
	ph__background_start(heap);
	ck_assert_uint_eq(ncreates, 1);
	fake_os_advance_clock(&s.os, 10 * SECOND);
	fake_os_fail(&s.os, FAKE_ALL, 0, FAKE_ONCE);
	ph__background_start(heap);
	ck_assert_uint_eq(ncreates, 2);
	wait_for_end(&s);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 8 * MIB);
	end_heap(&s, heap);
}
END_TEST

/* Pages come and go while it works. */
START_TEST(the_thread_works_beside_others)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES, .has_use = true};
	struct source s;
	struct ph_heap *heap;
	char *p[32];

	source_init(&s, &config);
	heap = heap_over(&s.ops, &s.os, 0);
	ph__background_enable(heap);
	for (int i = 0; i < 100; i++) {
		for (size_t k = 0; k < PH_ARRAY_SIZE(p); k++) {
			p[k] = take(heap, MIB);
			p[k][k * 4096] = 1;
		}
		fake_os_advance_clock(&s.os, 100 * MS);
		for (size_t k = 0; k < PH_ARRAY_SIZE(p); k++)
			give(heap, p[k], MIB);
		if (background_is_wanted(heap))
			ph__background_start(heap);
		ph__os_sleep_ns(3 * MS);
	}
	ck_assert_uint_ge(ncreates, 1);
	wait_for_end(&s);
	ck_assert_uint_le(heap_stats(heap).free_bytes, 4 * MIB);
	end_heap(&s, heap);
}
END_TEST

/* ---- fork ---- */

static void *scavenge_all(void *heap)
{
	return (void *)ph_scavenge(heap, SIZE_MAX);
}

/* In the child: everything is there, can be had, and holds what is written. */
static void child_has_all(struct ph_heap *heap, char *p, size_t nbytes)
{
	int zeroed = -1;
	char *q;

	heap_must_check(heap);
	must(heap->pages_in_flight == 0);
	must(heap_stats(heap).in_use_bytes == 0);
	must(ph_load_relaxed(&heap->background.running) == 0);
	must(heap->background.process == (uint32_t)getpid());
	q = ph_pages_alloc(heap, PAGES(nbytes), &zeroed);
	must(q == p);
	for (size_t i = 0; zeroed && i < nbytes; i += 512)
		must(q[i] == 0);
	memset(q, 2, nbytes);
	heap_must_check(heap);
	ph_pages_free(heap, q, PAGES(nbytes));
	must(ph_scavenge(heap, SIZE_MAX) == nbytes);
	heap_must_check(heap);
}

/* _i: the source tells ready from prepared memory; before or after it acts. */
START_TEST(a_child_takes_back_what_is_in_flight)
{
	struct fake_os_config config = {.flags = PH_OS_ZEROES,
					.has_use = _i % 2 != 0};
	enum gate gate = _i / 2 ? GATE_AFTER : GATE_BEFORE;
	pthread_t threads[HEAP_FLIGHTS];
	size_t nbytes = 32 * MIB, sum = 0;
	struct source s;
	struct ph_heap *heap;
	int status;
	pid_t pid;
	char *p;

	source_init(&s, &config);
	heap = heap_over(&s.ops, &s.os, 0);
	ph__background_enable(heap);
	p = take(heap, nbytes);
	memset(p, 1, nbytes);
	give(heap, p, nbytes);
	ck_assert(ph__background_claim(heap));
	ph_store_release(&s.gate, gate);
	for (size_t i = 0; i < HEAP_FLIGHTS; i++)
		must(pthread_create(&threads[i], NULL, scavenge_all, heap) ==
		     0);
	while (ph_load_acquire(&s.nwaiting) < HEAP_FLIGHTS)
		sched_yield();
	/* All slots are taken: one more does nothing. */
	ck_assert_uint_eq(ph_scavenge(heap, SIZE_MAX), 0);
	ck_assert_uint_ge(heap->pages_in_flight, HEAP_FLIGHTS);
	heap_must_check(heap);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		s.gate = GATE_OPEN;
		child_has_all(heap, p, nbytes);
		_exit(0);
	}
	ck_assert_int_gt(pid, 0);
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	/* The parent goes on as if nothing had been. */
	ph_store_release(&s.gate, GATE_OPEN);
	for (size_t i = 0; i < HEAP_FLIGHTS; i++) {
		void *done;

		must(pthread_join(threads[i], &done) == 0);
		sum += (size_t)done;
	}
	ck_assert_uint_eq(sum, nbytes);
	ck_assert_uint_eq(heap->pages_in_flight, 0);
	ck_assert_ptr_eq(take(heap, nbytes), p);
	memset(p, 3, nbytes);
	end_heap(&s, heap);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "background");

	tcase_add_test(tc, what_was_used_lately_stays);
	tcase_add_test(tc, what_was_left_behind_goes);
	tcase_add_test(tc, a_round_keeps_to_its_budget);
	tcase_add_test(tc, dense_chunks_are_spared);
	tcase_add_test(tc, combs_go_too);
	tcase_add_test(tc, a_release_that_fails_loses_nothing);
	tcase_add_test(tc, much_free_memory_asks_once);
	tcase_add_test(tc, nobody_asks_unless_enabled);
	tcase_add_test(tc, no_thread_is_tried_again);
	tcase_add_test(tc, the_thread_ends_when_done);
	tcase_add_test(tc, the_thread_gets_the_stack_that_it_must_have);
	tcase_add_test(tc, the_thread_ends_when_it_cannot_help);
	tcase_add_test(tc, the_thread_works_beside_others);
	tcase_add_loop_test(tc, a_child_takes_back_what_is_in_flight, 0, 4);
	return suite_run(suite);
}
