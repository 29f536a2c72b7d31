/* SPDX-License-Identifier: MIT */
/*
 * The fake operating system: an ascending array of ranges with their states.
 *
 *	0x10000  0x14000  0x18000  0x40000
 *	   |ready   |prepared|reserved|		neighbours of one state merge
 *
 * A transition first asserts that all of its range is in a state it may start
 * from, then acts on real memory, then repaints the range.  Costs are linear
 * in the number of ranges, which is small.
 */
#include "fake_os.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define FAKE_DEFAULT_BASE ((uintptr_t)1 << 40)

static const char *const call_names[FAKE_NCALLS] = {
	"reserve", "commit", "use", "release", "unmap", "clock"};
static const char *const state_names[FAKE_NSTATES] = {"none", "reserved",
						      "prepared", "ready"};

static void die(enum fake_call call, uintptr_t at, size_t nbytes,
		const char *why)
{
	fprintf(stderr, "fake os: %s(0x%jx, 0x%zx): %s\n", call_names[call],
		(uintmax_t)at, nbytes, why);
	abort();
}

/* ------------------------------------------------------------------------ */
/* Ranges                                                                   */
/* ------------------------------------------------------------------------ */

/* Index of the first range that ends above at. */
static size_t range_find(const struct fake_os *os, uintptr_t at)
{
	size_t lo = 0;
	size_t hi = os->nranges;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (os->ranges[mid].end > at)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

static void range_insert(struct fake_os *os, size_t i, struct fake_range r)
{
	if (os->nranges == os->capacity) {
		os->capacity = os->capacity ? 2 * os->capacity : 64;
		os->ranges =
			realloc(os->ranges, os->capacity * sizeof(*os->ranges));
		if (os->ranges == NULL)
			abort();
	}
	memmove(os->ranges + i + 1, os->ranges + i,
		(os->nranges - i) * sizeof(*os->ranges));
	os->ranges[i] = r;
	os->nranges++;
}

static void range_remove(struct fake_os *os, size_t i)
{
	os->nranges--;
	memmove(os->ranges + i, os->ranges + i + 1,
		(os->nranges - i) * sizeof(*os->ranges));
}

/* Makes at the border of two ranges if it lies inside one. */
static void range_split(struct fake_os *os, uintptr_t at)
{
	size_t i = range_find(os, at);

	if (i < os->nranges && os->ranges[i].start < at) {
		struct fake_range high = os->ranges[i];

		high.start = at;
		os->ranges[i].end = at;
		range_insert(os, i + 1, high);
	}
}

/* Joins range i with the one before it when they touch and agree. */
static void range_merge(struct fake_os *os, size_t i)
{
	if (i == 0 || i >= os->nranges ||
	    os->ranges[i - 1].end != os->ranges[i].start ||
	    os->ranges[i - 1].state != os->ranges[i].state)
		return;
	os->ranges[i - 1].end = os->ranges[i].end;
	range_remove(os, i);
}

/* Sets the state of [start, end), whatever it was. */
static void range_paint(struct fake_os *os, uintptr_t start, uintptr_t end,
			enum fake_state state)
{
	size_t i;

	range_split(os, start);
	range_split(os, end);
	i = range_find(os, start);
	while (i < os->nranges && os->ranges[i].start < end) {
		os->bytes[os->ranges[i].state] -=
			os->ranges[i].end - os->ranges[i].start;
		range_remove(os, i);
	}
	if (state == FAKE_NONE)
		return;
	range_insert(os, i, (struct fake_range){start, end, state});
	os->bytes[state] += end - start;
	range_merge(os, i + 1);
	range_merge(os, i);
}

/* Dies unless all of [start, end) is in one of a set of states. */
static void range_expect(const struct fake_os *os, enum fake_call call,
			 uintptr_t start, size_t nbytes, unsigned states)
{
	uintptr_t end = start + nbytes;
	uintptr_t at = start;
	char why[64];

	if (nbytes == 0 || start % os->config.page_size != 0 ||
	    nbytes % os->config.page_size != 0 || end < start)
		die(call, start, nbytes, "not whole pages");
	for (size_t i = range_find(os, start); at < end; i++) {
		const struct fake_range *r = &os->ranges[i];
		enum fake_state state = FAKE_NONE;
		uintptr_t next = end;

		if (i < os->nranges && r->start <= at) {
			state = r->state;
			next = r->end;
		}
		if ((states >> state & 1u) == 0) {
			snprintf(why, sizeof(why), "0x%jx is %s", (uintmax_t)at,
				 state_names[state]);
			die(call, start, nbytes, why);
		}
		at = next;
	}
}

static bool range_is_none(const struct fake_os *os, uintptr_t start,
			  uintptr_t end)
{
	size_t i = range_find(os, start);

	return i == os->nranges || os->ranges[i].start >= end;
}

/* ------------------------------------------------------------------------ */
/* Memory                                                                   */
/* ------------------------------------------------------------------------ */

static bool untouchable(const struct fake_os *os)
{
	return (os->config.flags & PH_OS_UNTOUCHABLE) != 0;
}

static void protect(const struct fake_os *os, void *addr, size_t nbytes,
		    int prot)
{
	if (!untouchable(os) && mprotect(addr, nbytes, prot) != 0)
		abort();
}

/* Accessible from now on; rubbish unless zeroes are promised. */
static void make_ready(const struct fake_os *os, void *addr, size_t nbytes)
{
	protect(os, addr, nbytes, PROT_READ | PROT_WRITE);
	if (!untouchable(os) && (os->config.flags & PH_OS_ZEROES) == 0)
		memset(addr, 0xa5, nbytes);
}

static void *reserve_fake(struct fake_os *os, uintptr_t hint, size_t nbytes,
			  size_t align)
{
	uintptr_t at = hint;

	if (at == 0) {
		at = (os->next_fake + align - 1) & ~(uintptr_t)(align - 1);
		while (!range_is_none(os, at, at + nbytes))
			at += align;
		os->next_fake = at + nbytes;
	}
	return (void *)at;
}

static void *reserve_real(uintptr_t hint, size_t nbytes, size_t align)
{
	size_t total = hint ? nbytes : nbytes + align;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *p, *aligned;

	if (total < nbytes) {
		errno = ENOMEM;
		return NULL;
	}
	if (hint)
		flags |= MAP_FIXED_NOREPLACE;
	p = mmap((void *)hint, total, PROT_NONE, flags, -1, 0);
	if (p == MAP_FAILED)
		return NULL;
	if (hint) {
		if (p == (char *)hint)
			return p;
		munmap(p, total);
		errno = EEXIST;
		return NULL;
	}
	aligned =
		(char *)(((uintptr_t)p + align - 1) & ~(uintptr_t)(align - 1));
	if (aligned != p)
		munmap(p, (size_t)(aligned - p));
	if (aligned + nbytes != p + total)
		munmap(aligned + nbytes,
		       (size_t)(p + total - (aligned + nbytes)));
	return aligned;
}

/* ------------------------------------------------------------------------ */
/* Calls                                                                    */
/* ------------------------------------------------------------------------ */

/* Counts a call; returns 0 or the errno value it is to fail with. */
static int begin(struct fake_os *os, enum fake_call call)
{
	pthread_mutex_lock(&os->mutex);
	os->calls[call]++;
	if (os->fail_nth == 0 || (os->fail_set & FAKE_BIT(call)) == 0)
		return 0;
	if (os->fail_nth > 1) {
		os->fail_nth--;
		return 0;
	}
	if (os->failing == FAKE_ONCE)
		os->fail_nth = 0;
	os->nfailed++;
	return os->fail_errno;
}

static int end(struct fake_os *os, int error)
{
	pthread_mutex_unlock(&os->mutex);
	return error;
}

static void *fake_reserve(void *ctx, void *hint, size_t nbytes, size_t align)
{
	struct fake_os *os = ctx;
	uintptr_t at = (uintptr_t)hint;
	int error = begin(os, FAKE_RESERVE);
	size_t page = os->config.page_size;
	void *p = NULL;

	if (nbytes == 0 || nbytes % page != 0)
		die(FAKE_RESERVE, at, nbytes, "not whole pages");
	if (align < page || (align & (align - 1)) != 0 || at % align != 0)
		die(FAKE_RESERVE, at, nbytes, "bad alignment");
	if (error == 0 && os->config.max_bytes != 0 &&
	    nbytes > os->config.max_bytes - os->bytes[FAKE_RESERVED] -
			     os->bytes[FAKE_PREPARED] - os->bytes[FAKE_READY])
		error = ENOMEM;
	if (error == 0 && at != 0 &&
	    (at + nbytes < at || !range_is_none(os, at, at + nbytes)))
		error = EEXIST;
	if (error == 0) {
		p = untouchable(os) ? reserve_fake(os, at, nbytes, align)
				    : reserve_real(at, nbytes, align);
		error = p == NULL ? errno : 0;
	}
	if (p != NULL) {
		range_paint(os, (uintptr_t)p, (uintptr_t)p + nbytes,
			    FAKE_RESERVED);
		os->call_bytes[FAKE_RESERVE] += nbytes;
	}
	end(os, 0);
	if (error != 0)
		errno = error;
	return p;
}

static int fake_commit(void *ctx, void *addr, size_t nbytes)
{
	struct fake_os *os = ctx;
	uintptr_t at = (uintptr_t)addr;
	int error = begin(os, FAKE_COMMIT);

	range_expect(os, FAKE_COMMIT, at, nbytes, 1u << FAKE_RESERVED);
	if (error != 0)
		return end(os, error);
	if (!os->config.has_use)
		make_ready(os, addr, nbytes);
	range_paint(os, at, at + nbytes,
		    os->config.has_use ? FAKE_PREPARED : FAKE_READY);
	os->call_bytes[FAKE_COMMIT] += nbytes;
	return end(os, 0);
}

/* What is ready already keeps its contents. */
static void use_prepared(struct fake_os *os, uintptr_t start, uintptr_t limit)
{
	for (size_t i = range_find(os, start); i < os->nranges; i++) {
		struct fake_range r = os->ranges[i];

		if (r.start >= limit)
			break;
		if (r.state != FAKE_PREPARED)
			continue;
		if (r.start < start)
			r.start = start;
		if (r.end > limit)
			r.end = limit;
		make_ready(os, (void *)r.start, r.end - r.start);
	}
	range_paint(os, start, limit, FAKE_READY);
}

static int fake_use(void *ctx, void *addr, size_t nbytes)
{
	struct fake_os *os = ctx;
	uintptr_t at = (uintptr_t)addr;
	int error = begin(os, FAKE_USE);

	range_expect(os, FAKE_USE, at, nbytes,
		     1u << FAKE_PREPARED | 1u << FAKE_READY);
	if (error != 0)
		return end(os, error);
	use_prepared(os, at, at + nbytes);
	os->call_bytes[FAKE_USE] += nbytes;
	return end(os, 0);
}

/*
 * Without a `use` call prepared is ready, and so the range stays ready here;
 * only its contents are lost.
 */
static int fake_release(void *ctx, void *addr, size_t nbytes)
{
	struct fake_os *os = ctx;
	uintptr_t at = (uintptr_t)addr;
	int error = begin(os, FAKE_RELEASE);

	range_expect(os, FAKE_RELEASE, at, nbytes,
		     1u << FAKE_PREPARED | 1u << FAKE_READY);
	if (error != 0)
		return end(os, error);
	if (!untouchable(os)) {
		if (madvise(addr, nbytes, MADV_DONTNEED) != 0)
			abort();
		if (!os->config.has_use)
			make_ready(os, addr, nbytes);
	}
	if (os->config.has_use) {
		protect(os, addr, nbytes, PROT_NONE);
		range_paint(os, at, at + nbytes, FAKE_PREPARED);
	}
	os->call_bytes[FAKE_RELEASE] += nbytes;
	return end(os, 0);
}

static int fake_unmap(void *ctx, void *addr, size_t nbytes)
{
	struct fake_os *os = ctx;
	uintptr_t at = (uintptr_t)addr;
	int error = begin(os, FAKE_UNMAP);

	range_expect(os, FAKE_UNMAP, at, nbytes,
		     1u << FAKE_RESERVED | 1u << FAKE_PREPARED |
			     1u << FAKE_READY);
	if (error != 0)
		return end(os, error);
	if (!untouchable(os) && munmap(addr, nbytes) != 0)
		abort();
	range_paint(os, at, at + nbytes, FAKE_NONE);
	os->call_bytes[FAKE_UNMAP] += nbytes;
	return end(os, 0);
}

static uint64_t fake_clock_ns(void *ctx)
{
	struct fake_os *os = ctx;
	uint64_t now;

	pthread_mutex_lock(&os->mutex);
	os->calls[FAKE_CLOCK]++;
	now = os->now_ns;
	pthread_mutex_unlock(&os->mutex);
	return now;
}

/* ------------------------------------------------------------------------ */
/* Control                                                                  */
/* ------------------------------------------------------------------------ */

void fake_os_init(struct fake_os *os, const struct fake_os_config *config)
{
	memset(os, 0, sizeof(*os));
	if (config != NULL)
		os->config = *config;
	else
		os->config.flags = PH_OS_ZEROES;
	if (os->config.page_size == 0)
		os->config.page_size = 4096;
	if (os->config.base == 0)
		os->config.base = FAKE_DEFAULT_BASE;
	os->next_fake = os->config.base;
	os->fail_errno = ENOMEM;
	pthread_mutex_init(&os->mutex, NULL);
	os->ops = (struct ph_os_ops){
		.struct_size = sizeof(struct ph_os_ops),
		.page_size = os->config.page_size,
		.flags = os->config.flags,
		.reserve = fake_reserve,
		.commit = fake_commit,
		.use = os->config.has_use ? fake_use : NULL,
		.release = fake_release,
		.unmap = fake_unmap,
		.clock_ns = fake_clock_ns,
	};
}

void fake_os_destroy(struct fake_os *os)
{
	for (size_t i = 0; i < os->nranges; i++)
		fprintf(stderr, "fake os: never unmapped: [0x%jx, 0x%jx) %s\n",
			(uintmax_t)os->ranges[i].start,
			(uintmax_t)os->ranges[i].end,
			state_names[os->ranges[i].state]);
	if (os->nranges != 0)
		abort();
	free(os->ranges);
	pthread_mutex_destroy(&os->mutex);
}

void fake_os_fail(struct fake_os *os, unsigned set, uint64_t nth,
		  enum fake_failing failing)
{
	pthread_mutex_lock(&os->mutex);
	os->fail_set = set;
	os->fail_nth = nth;
	os->failing = failing;
	os->nfailed = 0;
	pthread_mutex_unlock(&os->mutex);
}

void fake_os_set_errno(struct fake_os *os, int error)
{
	pthread_mutex_lock(&os->mutex);
	os->fail_errno = error;
	pthread_mutex_unlock(&os->mutex);
}

uint64_t fake_os_nfailed(struct fake_os *os)
{
	uint64_t n;

	pthread_mutex_lock(&os->mutex);
	n = os->nfailed;
	pthread_mutex_unlock(&os->mutex);
	return n;
}

uint64_t fake_os_ncalls(struct fake_os *os, enum fake_call call)
{
	uint64_t n;

	pthread_mutex_lock(&os->mutex);
	n = os->calls[call];
	pthread_mutex_unlock(&os->mutex);
	return n;
}

uint64_t fake_os_call_bytes(struct fake_os *os, enum fake_call call)
{
	uint64_t n;

	pthread_mutex_lock(&os->mutex);
	n = os->call_bytes[call];
	pthread_mutex_unlock(&os->mutex);
	return n;
}

uint64_t fake_os_nchanges(struct fake_os *os)
{
	uint64_t n = 0;

	for (int call = 0; call < FAKE_CLOCK; call++)
		n += fake_os_ncalls(os, (enum fake_call)call);
	return n;
}

size_t fake_os_bytes(struct fake_os *os, enum fake_state state)
{
	size_t n;

	pthread_mutex_lock(&os->mutex);
	n = os->bytes[state];
	pthread_mutex_unlock(&os->mutex);
	return n;
}

enum fake_state fake_os_state(struct fake_os *os, const void *addr)
{
	enum fake_state state = FAKE_NONE;
	size_t i;

	pthread_mutex_lock(&os->mutex);
	i = range_find(os, (uintptr_t)addr);
	if (i < os->nranges && os->ranges[i].start <= (uintptr_t)addr)
		state = os->ranges[i].state;
	pthread_mutex_unlock(&os->mutex);
	return state;
}

uint64_t fake_os_digest(struct fake_os *os)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325);

	pthread_mutex_lock(&os->mutex);
	for (size_t i = 0; i < os->nranges; i++) {
		h = (h ^ os->ranges[i].start) * UINT64_C(0x100000001b3);
		h = (h ^ os->ranges[i].end) * UINT64_C(0x100000001b3);
		h = (h ^ os->ranges[i].state) * UINT64_C(0x100000001b3);
	}
	pthread_mutex_unlock(&os->mutex);
	return h;
}

void fake_os_set_clock(struct fake_os *os, uint64_t now_ns)
{
	pthread_mutex_lock(&os->mutex);
	os->now_ns = now_ns;
	pthread_mutex_unlock(&os->mutex);
}

void fake_os_advance_clock(struct fake_os *os, uint64_t ns)
{
	pthread_mutex_lock(&os->mutex);
	os->now_ns += ns;
	pthread_mutex_unlock(&os->mutex);
}
