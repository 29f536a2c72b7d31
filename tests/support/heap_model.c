/* SPDX-License-Identifier: MIT */
/*
 * The machine of heap_model.h: a table of slots, each empty or one thing that
 * the heap gave out.
 *
 *	byte 0		operation
 *	then		operands, as many bytes as the operation wants; behind
 *			the program's end they read as 0
 *
 * What is looked up in the table is looked up by a scan: it is short, and a
 * scan is obviously right.
 */
#include "heap_model.h"

#include <errno.h>
#include <string.h>

#include "heap_util.h"

#define NSLOTS 192

enum kind { EMPTY, OBJECT, RUN, SPAN };

struct slot {
	enum kind kind;
	char *addr;
	size_t nbytes; /* what the heap promised */
	uint64_t seed; /* of the contents */
	struct ph_span *span;
	bool marked;
};

struct machine {
	struct ph_heap *heap;
	const struct heap_model_config *config;
	const uint8_t *at;
	const uint8_t *end;
	uint64_t next_seed;
	struct slot slots[NSLOTS];
};

/* ---- operands ---- */

static unsigned get(struct machine *m)
{
	return m->at < m->end ? *m->at++ : 0;
}

/* Up to 2^nbits - 1, small numbers as often as large ones. */
static size_t get_size(struct machine *m, unsigned nbits)
{
	unsigned bits = get(m) % (nbits + 1);
	size_t fraction = get(m) << 8 | get(m);

	if (bits == 0)
		return 0;
	return ((size_t)1 << (bits - 1)) +
	       (fraction * ((size_t)1 << (bits - 1)) >> 16);
}

static struct slot *get_slot(struct machine *m)
{
	return &m->slots[get(m) % NSLOTS];
}

static unsigned object_bits(const struct machine *m)
{
	return m->config->what & MODEL_HUGE ? 25 : 18;
}

static unsigned page_bits(const struct machine *m)
{
	return m->config->what & MODEL_HUGE ? 14 : 9;
}

/* ---- contents ---- */

static uint64_t mix(uint64_t x)
{
	x = (x ^ x >> 31) * UINT64_C(0x9e3779b97f4a7c15);
	return x ^ x >> 29;
}

static size_t stride_of(const struct slot *s)
{
	if (s->kind != OBJECT)
		return PH_PAGE_SIZE;
	return s->nbytes / 61 + 1;
}

static char byte_at(const struct slot *s, const char *p)
{
	/* Objects move, with their contents; parts of runs are freed. */
	uint64_t where = s->kind == OBJECT ? (uint64_t)(p - s->addr)
					   : (uint64_t)(uintptr_t)p;

	return (char)mix(s->seed + where);
}

static void fill(struct machine *m, struct slot *s)
{
	s->seed = m->next_seed++;
	if (m->config->untouchable)
		return;
	for (size_t i = 0; i < s->nbytes; i += stride_of(s))
		s->addr[i] = byte_at(s, s->addr + i);
	if (s->kind == OBJECT)
		s->addr[s->nbytes - 1] = byte_at(s, s->addr + s->nbytes - 1);
}

/* What was written to `was` is at addr, as far as nbytes reach. */
static void verify(const struct machine *m, const struct slot *was,
		   const char *addr, size_t nbytes)
{
	if (m->config->untouchable)
		return;
	if (nbytes > was->nbytes)
		nbytes = was->nbytes;
	for (size_t i = 0; i < nbytes; i += stride_of(was))
		must(addr[i] == byte_at(was, was->addr + i));
	if (was->kind == OBJECT && nbytes == was->nbytes)
		must(addr[nbytes - 1] == byte_at(was, was->addr + nbytes - 1));
}

static void must_be_zero(const struct machine *m, const char *p, size_t nbytes)
{
	if (m->config->untouchable)
		return;
	/* Every byte of the small, the edges of every 4 KiB of others. */
	for (size_t i = 0; i < nbytes;
	     i += i % 4096 || nbytes < 4096 ? 1 : 4095)
		must(p[i] == 0);
	must(nbytes == 0 || p[nbytes - 1] == 0);
}

/* ---- the table ---- */

static void must_be_apart(const struct machine *m, const struct slot *s)
{
	for (size_t i = 0; i < NSLOTS; i++) {
		const struct slot *o = &m->slots[i];

		if (o == s || o->kind == EMPTY)
			continue;
		must(o->addr + o->nbytes <= s->addr ||
		     s->addr + s->nbytes <= o->addr);
	}
}

static void enter(struct machine *m, struct slot *s, enum kind kind, void *addr,
		  size_t nbytes)
{
	s->kind = kind;
	s->addr = addr;
	s->nbytes = nbytes;
	s->span = NULL;
	must_be_apart(m, s);
	fill(m, s);
}

static void leave(struct machine *m, struct slot *s)
{
	if (s->kind == EMPTY)
		return;
	verify(m, s, s->addr, s->nbytes);
	if (s->kind == OBJECT)
		ph_free(m->heap, s->addr);
	else if (s->kind == RUN)
		ph_pages_free(m->heap, s->addr, s->nbytes / PH_PAGE_SIZE);
	else
		ph_span_free(m->heap, s->span);
	s->kind = EMPTY;
}

/* ---- objects ---- */

static void enter_object(struct machine *m, struct slot *s, void *p,
			 size_t asked)
{
	size_t usable = ph_usable_size(m->heap, p);

	must(p != NULL && usable >= asked && usable > 0);
	if ((m->config->heap_flags & PH_HEAP_ALIGN16) && asked > 8)
		must((uintptr_t)p % 16 == 0);
	must((uintptr_t)p % 8 == 0);
	enter(m, s, OBJECT, p, usable);
}

static void op_malloc(struct machine *m)
{
	struct slot *s = get_slot(m);
	size_t nbytes = get_size(m, object_bits(m));
	void *p;

	leave(m, s);
	p = ph_malloc(m->heap, nbytes);
	enter_object(m, s, p, nbytes);
	must(s->nbytes == ph_good_size(m->heap, nbytes));
}

static void op_calloc(struct machine *m)
{
	struct slot *s = get_slot(m);
	size_t count = get(m) % 8 + 1, size = get_size(m, object_bits(m) - 3);
	void *p;

	leave(m, s);
	p = ph_calloc(m->heap, count, size);
	must(p != NULL);
	must_be_zero(m, p, count * size);
	enter_object(m, s, p, count * size);
}

static void op_aligned(struct machine *m)
{
	struct slot *s = get_slot(m);
	unsigned shift = get(m) % (m->config->what & MODEL_HUGE ? 24 : 18);
	size_t nbytes = get_size(m, object_bits(m));
	void *p;

	leave(m, s);
	p = ph_aligned_alloc(m->heap, (size_t)1 << shift, nbytes);
	must((uintptr_t)p % ((size_t)1 << shift) == 0);
	enter_object(m, s, p, nbytes);
}

static void op_realloc(struct machine *m)
{
	struct slot *s = get_slot(m), was = *s;
	size_t nbytes = get_size(m, object_bits(m));
	void *p;

	if (s->kind != OBJECT)
		return;
	p = ph_realloc(m->heap, s->addr, nbytes);
	must(p != NULL);
	verify(m, &was, p, nbytes);
	enter_object(m, s, p, nbytes);
}

static void op_free(struct machine *m)
{
	/* Several at a time, or tables would always be full. */
	for (unsigned n = get(m) % 8 + 1; n > 0; n--)
		leave(m, get_slot(m));
}

/* ---- pages and spans ---- */

static void op_run(struct machine *m)
{
	struct slot *s = get_slot(m);
	size_t npages = get_size(m, page_bits(m)) + 1;
	unsigned shift = get(m) % 25;
	int zeroed = -1;
	void *p;

	leave(m, s);
	if (shift <= PH_PAGE_SHIFT)
		p = ph_pages_alloc(m->heap, npages, &zeroed);
	else
		p = ph_pages_alloc_aligned(m->heap, npages, (size_t)1 << shift,
					   &zeroed);
	must(p != NULL && (zeroed == 0 || zeroed == 1));
	must((uintptr_t)p % PH_PAGE_SIZE == 0);
	must((uintptr_t)p % ((size_t)1 << shift) == 0);
	if (zeroed)
		must_be_zero(m, p, npages * PH_PAGE_SIZE);
	enter(m, s, RUN, p, npages * PH_PAGE_SIZE);
}

/* Frees some pages at either end of a run, or splits it. */
static void op_run_part(struct machine *m)
{
	struct slot *s = get_slot(m), *rest = get_slot(m);
	size_t npages = s->nbytes / PH_PAGE_SIZE, first, n;
	struct slot was = *s;

	if (s->kind != RUN || npages < 2)
		return;
	first = get(m) * npages / 256;
	n = get(m) * (npages - first) / 256 + 1;
	if (first == 0 && n == npages)
		n--;
	verify(m, s, s->addr, s->nbytes);
	ph_pages_free(m->heap, s->addr + first * PH_PAGE_SIZE, n);
	s->nbytes = first * PH_PAGE_SIZE;
	was.addr += (first + n) * PH_PAGE_SIZE;
	was.nbytes = (npages - first - n) * PH_PAGE_SIZE;
	if (s->nbytes == 0)
		*s = was;
	else if (was.nbytes != 0 && rest != s && rest->kind == EMPTY)
		*rest = was;
	else if (was.nbytes != 0)
		ph_pages_free(m->heap, was.addr, was.nbytes / PH_PAGE_SIZE);
}

static void op_extend(struct machine *m)
{
	struct slot *s = get_slot(m);
	size_t more = get_size(m, 6), npages = s->nbytes / PH_PAGE_SIZE;
	int error;

	if (s->kind != RUN)
		return;
	error = ph_pages_extend(m->heap, s->addr, npages, npages + more);
	must(error == 0 || (error == ENOMEM && more > 0));
	if (error)
		return;
	verify(m, s, s->addr, s->nbytes);
	enter(m, s, RUN, s->addr, (npages + more) * PH_PAGE_SIZE);
}

static bool is_free_in_model(const struct machine *m, const char *p,
			     size_t nbytes)
{
	for (size_t i = 0; i < NSLOTS; i++) {
		const struct slot *o = &m->slots[i];

		if (o->kind != EMPTY && o->addr < p + nbytes &&
		    p < o->addr + o->nbytes)
			return false;
	}
	return true;
}

/* Takes pages at a place near those of another slot. */
static void op_run_at(struct machine *m)
{
	const struct slot *near = get_slot(m);
	struct slot *s = get_slot(m);
	size_t npages = get_size(m, 7) + 1;
	ptrdiff_t away = (ptrdiff_t)get(m) - 64;
	char *p;
	int zeroed = -1, error;

	if (near->kind == EMPTY || s->kind != EMPTY)
		return;
	p = (char *)((uintptr_t)near->addr & ~(PH_PAGE_SIZE - 1)) +
	    away * (ptrdiff_t)PH_PAGE_SIZE;
	error = ph_pages_alloc_at(m->heap, p, npages, &zeroed);
	if (!is_free_in_model(m, p, npages * PH_PAGE_SIZE))
		must(error == ENOMEM);
	must((error == 0) == (zeroed != -1));
	if (error)
		return;
	if (zeroed)
		must_be_zero(m, p, npages * PH_PAGE_SIZE);
	enter(m, s, RUN, p, npages * PH_PAGE_SIZE);
}

static void op_span(struct machine *m)
{
	struct slot *s = get_slot(m);
	size_t npages = get_size(m, page_bits(m)) + 1;
	unsigned shift = get(m) % 25;
	struct ph_span *span;

	leave(m, s);
	span = ph_span_alloc(m->heap, npages, shift ? (size_t)1 << shift : 0);
	must(span != NULL && ph_span_npages(span) == npages);
	must((uintptr_t)ph_span_base(span) % ((size_t)1 << shift) == 0);
	must(ph_span_nelems(span) == 0 && ph_span_elem_size(span) == 0);
	must(ph_span_user(span) == 0);
	if (ph_span_zeroed(span))
		must_be_zero(m, ph_span_base(span), npages * PH_PAGE_SIZE);
	enter(m, s, SPAN, ph_span_base(span), npages * PH_PAGE_SIZE);
	s->span = span;
	ph_span_set_user(span, s->seed);
}

/* ---- looking ---- */

static void op_look_up(struct machine *m)
{
	const struct slot *s = get_slot(m);
	size_t offset = get(m) << 8 | get(m), nbytes = 0;
	const struct ph_span *span;
	const char *p;

	if (s->kind == EMPTY)
		return;
	p = s->addr + offset * (s->nbytes - 1) / 65535;
	span = ph_span_of(m->heap, p);
	if (s->kind == OBJECT) {
		must(ph_object_base(m->heap, p, &nbytes) == s->addr);
		must(nbytes == s->nbytes);
		must(span != NULL && ph_span_elem_size(span) == nbytes);
		return;
	}
	must(ph_object_base(m->heap, p, NULL) == NULL);
	must(span == s->span);
	must(!span || ph_span_user(span) == s->seed);
}

static void op_stats(struct machine *m)
{
	struct ph_stats st = heap_stats(m->heap);
	uint64_t raw = 0, user = 0, live = 0, nlive = 0;

	for (size_t i = 0; i < NSLOTS; i++) {
		const struct slot *s = &m->slots[i];

		raw += s->kind == RUN ? s->nbytes : 0;
		user += s->kind == SPAN ? s->nbytes : 0;
		live += s->kind == OBJECT ? s->nbytes : 0;
		nlive += s->kind == OBJECT;
	}
	must(st.raw_bytes == raw);
	must(st.large_span_bytes == user + st.large_bytes);
	must(st.live_bytes == live && st.live_objects == nlive);
}

struct seen {
	const struct machine *m;
	size_t nobjects, nspans;
	char *last;
};

static int see(void *ctx, const struct ph_walk_item *item)
{
	struct seen *seen = ctx;
	enum kind kind = item->kind == PH_WALK_OBJECT ? OBJECT : SPAN;

	must((char *)item->addr >= seen->last);
	seen->last = item->addr;
	/* Spans of objects are met too: those the model does not know. */
	for (size_t i = 0; i < NSLOTS; i++) {
		const struct slot *s = &seen->m->slots[i];

		if (s->kind != kind || s->addr != item->addr)
			continue;
		must(s->nbytes == item->nbytes);
		seen->nobjects += kind == OBJECT;
		seen->nspans += kind == SPAN;
		return 0;
	}
	must(kind == SPAN);
	return 0;
}

static void op_walk(struct machine *m)
{
	struct seen seen = {.m = m};
	size_t nobjects = 0, nspans = 0;

	ph_heap_flush(m->heap);
	must(ph_heap_walk(m->heap, PH_WALK_OBJECTS, see, &seen) == 0);
	for (size_t i = 0; i < NSLOTS; i++) {
		nobjects += m->slots[i].kind == OBJECT;
		nspans += m->slots[i].kind == SPAN;
	}
	must(seen.nobjects == nobjects && seen.nspans == nspans);
}

/* ---- giving back, sweeping ---- */

static void op_scavenge(struct machine *m)
{
	size_t want = get_size(m, 26), done;
	uint64_t before = heap_stats(m->heap).free_bytes;

	done = ph_scavenge(m->heap, get(m) % 4 == 0 ? SIZE_MAX : want);
	must(heap_stats(m->heap).free_bytes == before - done);
}

static void op_sweep(struct machine *m)
{
	unsigned share = get(m);
	struct ph_sweep out;
	size_t live = 0, dead = 0, dead_bytes = 0;

	if (!(m->config->what & MODEL_SWEEP))
		return;
	for (size_t i = 0; i < NSLOTS; i++) {
		struct slot *s = &m->slots[i];

		s->marked = mix(share + i) % 256 < share;
		if (s->kind == OBJECT && s->marked) {
			must(ph_object_mark(m->heap, s->addr + 1) == -1);
			must(ph_object_mark(m->heap, s->addr) == 1);
			must(ph_object_mark(m->heap, s->addr) == 0);
			live++;
		} else if (s->kind == OBJECT) {
			verify(m, s, s->addr, s->nbytes);
			dead++;
			dead_bytes += s->nbytes;
		}
	}
	out = ph_heap_sweep(m->heap);
	must(out.live_objects == live && out.freed_objects == dead);
	must(out.freed_bytes == dead_bytes);
	for (size_t i = 0; i < NSLOTS; i++) {
		struct slot *s = &m->slots[i];

		if (s->kind != OBJECT || s->marked)
			continue;
		must(ph_object_base(m->heap, s->addr, NULL) == NULL);
		s->kind = EMPTY;
	}
}

/* ---- the machine ---- */

static void step_any(struct machine *m, unsigned op)
{
	switch (op % 16) {
	case 0:
		heap_must_check(m->heap);
		break;
	case 1:
		op_stats(m);
		break;
	case 2:
		op_scavenge(m);
		break;
	case 3:
		ph_heap_flush(m->heap);
		break;
	case 4:
		op_walk(m);
		break;
	case 5:
		op_sweep(m);
		break;
	default:
		op_look_up(m);
	}
}

static void step_object(struct machine *m, unsigned op)
{
	switch (op % 8) {
	case 0:
		op_calloc(m);
		break;
	case 1:
		op_aligned(m);
		break;
	case 2:
	case 3:
		op_realloc(m);
		break;
	case 4:
		op_free(m);
		break;
	default:
		op_malloc(m);
	}
}

static void step_pages(struct machine *m, unsigned op)
{
	switch (op % 8) {
	case 0:
		op_run_part(m);
		break;
	case 1:
		op_extend(m);
		break;
	case 2:
		op_run_at(m);
		break;
	case 3:
		op_free(m);
		break;
	case 4:
	case 5:
		op_span(m);
		break;
	default:
		op_run(m);
	}
}

static void step(struct machine *m)
{
	unsigned op = get(m), kind = op % 8;

	op /= 8;
	if (kind == 0)
		step_any(m, op);
	else if (kind < 6 && (m->config->what & MODEL_OBJECTS))
		step_object(m, op);
	else if (m->config->what & MODEL_PAGES)
		step_pages(m, op);
}

void heap_model_run(struct ph_heap *heap,
		    const struct heap_model_config *config,
		    const uint8_t *program, size_t nbytes)
{
	static struct machine machine;
	struct machine *m = &machine;
	struct ph_stats s;

	memset(m, 0, sizeof(*m));
	m->heap = heap;
	m->config = config;
	m->at = program;
	m->end = program + nbytes;
	for (unsigned n = 1; m->at < m->end; n++) {
		step(m);
		if (config->check_every && n % config->check_every == 0)
			heap_must_check(heap);
	}
	op_stats(m);
	for (size_t i = 0; i < NSLOTS; i++)
		leave(m, &m->slots[i]);
	ph_heap_flush(heap);
	heap_must_check(heap);
	s = heap_stats(heap);
	must(s.live_objects == 0 && s.cached_objects == 0);
	must(s.in_use_bytes == 0 && s.spans == 0);
}
