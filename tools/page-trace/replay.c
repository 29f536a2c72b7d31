/* SPDX-License-Identifier: MIT */
/*
 * The operations of a trace.
 *
 *	v1                  first line
 *	# text              comment
 *	hp K                pages of a huge page, 0: none; 256 at first
 *	G C N               grow by chunks [C, C + N)
 *	A N                 allocate N pages
 *	F P N               free pages [P, P + N)
 *	S BYTES, B BYTES    scavenge, forced or in the background
 *	C K, c K N, X K     page cache slot K: refill, take N pages, flush
 *	N                   next generation
 *	D, H                dump, digest
 *
 * The trace is not trusted: each operation is checked before the page allocator
 * sees it, since the allocator takes a caller's mistake for a reason to abort.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "page/page_scavenge.h"
#include "trace.h"

#define MAX_OPERANDS 2

/* The numbers of a line, and what they mean. */
struct operands {
	uint64_t n[MAX_OPERANDS];
};

struct operation {
	const char *name;
	unsigned num_operands;
	bool hex; /* operands may be hexadecimal */
	int (*run)(struct replay *r, const struct operands *o,
		   const char **why);
};

static int malformed(const char **why, const char *reason)
{
	*why = reason;
	return EXIT_MALFORMED;
}

static int answer_ok(struct replay *r)
{
	fputs("ok\n", r->out);
	return EXIT_OK;
}

/* fprintf() is too slow for a million short lines. */
static void print_two(FILE *out, uint64_t a, uint64_t b)
{
	char text[48], *p = text + sizeof(text);

	*--p = '\n';
	do {
		*--p = (char)('0' + b % 10);
	} while ((b /= 10) != 0);
	*--p = ' ';
	do {
		*--p = (char)('0' + a % 10);
	} while ((a /= 10) != 0);
	fwrite(p, 1, (size_t)(text + sizeof(text) - p), out);
}

static int answer_run(struct replay *r, struct page_run run)
{
	if (run.addr == 0)
		fputs("-\n", r->out);
	else
		print_two(r->out, trace_page(run.addr),
			  (uint64_t)run.scavenged_pages << PH_PAGE_SHIFT);
	return EXIT_OK;
}

static int run_huge(struct replay *r, const struct operands *o,
		    const char **why)
{
	if (o->n[0] > PAGE_BITS || (o->n[0] != 0 && !is_pow2(o->n[0])))
		return malformed(why, "huge page is no power of two "
				      "of at most 512 pages");
	r->huge_pages = (unsigned)o->n[0];
	return EXIT_OK;
}

static int run_grow(struct replay *r, const struct operands *o,
		    const char **why)
{
	if (o->n[1] == 0)
		return malformed(why, "number of chunks is 0");
	if (o->n[0] >= TRACE_CHUNKS || o->n[1] > TRACE_CHUNKS - o->n[0])
		return malformed(why, "chunks beyond the address space");
	switch (ph__page_alloc_grow(&r->pa,
				    trace_addr(o->n[0] * PH_CHUNK_PAGES),
				    (size_t)o->n[1] << PH_CHUNK_SHIFT)) {
	case 0:
		return answer_ok(r);
	case EINVAL:
		return malformed(why, "chunk grown twice");
	default:
		*why = "no memory for metadata";
		return EXIT_SYSTEM;
	}
}

static int run_alloc(struct replay *r, const struct operands *o,
		     const char **why)
{
	if (o->n[0] == 0)
		return malformed(why, "number of pages is 0");
	return answer_run(r, ph__page_alloc_take(&r->pa, (size_t)o->n[0]));
}

/* Does a cache slot hold a page of the range? */
static bool is_cached(const struct replay *r, uintptr_t addr, size_t npages)
{
	for (uint64_t full = r->full_slots; full != 0; full &= full - 1) {
		const struct page_cache *c = &r->slot[ctz64(full)];

		for (uint64_t left = c->free; left != 0; left &= left - 1) {
			uintptr_t page = c->base + ((uintptr_t)ctz64(left)
						    << PH_PAGE_SHIFT);

			/* Wraps, and so fails, below the range. */
			if ((page - addr) >> PH_PAGE_SHIFT < npages)
				return true;
		}
	}
	return false;
}

static int run_free(struct replay *r, const struct operands *o,
		    const char **why)
{
	uintptr_t addr;

	if (o->n[1] == 0)
		return malformed(why, "number of pages is 0");
	if (o->n[0] >= TRACE_PAGES || o->n[1] > TRACE_PAGES - o->n[0])
		return malformed(why, "pages beyond the address space");
	addr = trace_addr(o->n[0]);
	if (!ph__page_alloc_is_allocated(&r->pa, addr, (size_t)o->n[1]))
		return malformed(why, "freed page is not allocated");
	if (is_cached(r, addr, (size_t)o->n[1]))
		return malformed(why, "freed page is in a page cache");
	ph__page_alloc_free(&r->pa, addr, (size_t)o->n[1]);
	return answer_ok(r);
}

static int scavenge(struct replay *r, uint64_t nbytes, enum scav_mode mode)
{
	uint64_t want = nbytes / PH_PAGE_SIZE + (nbytes % PH_PAGE_SIZE != 0);
	uint64_t released = 0;

	while (released < want) {
		struct scav_request req = {want - released, 1, r->huge_pages,
					   mode};
		struct page_range range = ph__page_scavenge_take(&r->pa, &req);

		if (range.npages == 0)
			break;
		ph__page_scavenge_done(&r->pa, range);
		released += range.npages;
	}
	fprintf(r->out, "%" PRIu64 "\n", released << PH_PAGE_SHIFT);
	return EXIT_OK;
}

static int run_scavenge(struct replay *r, const struct operands *o,
			const char **why)
{
	(void)why;
	return scavenge(r, o->n[0], SCAV_FORCED);
}

static int run_background(struct replay *r, const struct operands *o,
			  const char **why)
{
	(void)why;
	return scavenge(r, o->n[0], SCAV_BACKGROUND);
}

static struct page_cache *slot_of(struct replay *r, const struct operands *o,
				  const char **why)
{
	if (o->n[0] < CACHE_SLOTS)
		return &r->slot[o->n[0]];
	*why = "no such cache slot";
	return NULL;
}

/* Keeps the mask of full slots right after a change of one. */
static void note_slot(struct replay *r, uint64_t k)
{
	r->full_slots &= ~(UINT64_C(1) << k);
	r->full_slots |= (uint64_t)(r->slot[k].free != 0) << k;
}

static int run_refill(struct replay *r, const struct operands *o,
		      const char **why)
{
	struct page_cache *c = slot_of(r, o, why);

	if (c == NULL)
		return EXIT_MALFORMED;
	if (c->free != 0)
		return malformed(why, "refilled slot is not empty");
	if (ph__page_cache_refill(&r->pa, c))
		fprintf(r->out, "%" PRIu64 " %" PRIx64 " %" PRIx64 "\n",
			trace_page(c->base), c->free, c->scavenged);
	else
		fputs("-\n", r->out);
	note_slot(r, o->n[0]);
	return EXIT_OK;
}

static int run_take(struct replay *r, const struct operands *o,
		    const char **why)
{
	struct page_cache *c = slot_of(r, o, why);

	if (c == NULL)
		return EXIT_MALFORMED;
	if (o->n[1] == 0)
		return malformed(why, "number of pages is 0");
	if (o->n[1] > PAGE_CACHE_PAGES)
		return malformed(why, "more pages than a slot can hold");
	answer_run(r, page_cache_take(c, (size_t)o->n[1]));
	note_slot(r, o->n[0]);
	return EXIT_OK;
}

static int run_flush(struct replay *r, const struct operands *o,
		     const char **why)
{
	struct page_cache *c = slot_of(r, o, why);

	if (c == NULL)
		return EXIT_MALFORMED;
	ph__page_cache_flush(&r->pa, c);
	note_slot(r, o->n[0]);
	return answer_ok(r);
}

static int run_generation(struct replay *r, const struct operands *o,
			  const char **why)
{
	(void)o;
	(void)why;
	ph__page_alloc_next_generation(&r->pa);
	return answer_ok(r);
}

static int run_dump(struct replay *r, const struct operands *o,
		    const char **why)
{
	(void)o;
	(void)why;
	dump_full(&r->pa, r->out);
	return EXIT_OK;
}

static int run_digest(struct replay *r, const struct operands *o,
		      const char **why)
{
	(void)o;
	(void)why;
	dump_digest(&r->pa, r->out);
	return EXIT_OK;
}

/* The frequent ones first. */
static const struct operation operations[] = {
	{"A", 1, false, run_alloc},	{"F", 2, false, run_free},
	{"c", 2, false, run_take},	{"C", 1, false, run_refill},
	{"X", 1, false, run_flush},	{"S", 1, true, run_scavenge},
	{"B", 1, true, run_background}, {"N", 0, false, run_generation},
	{"G", 2, false, run_grow},	{"D", 0, false, run_dump},
	{"H", 0, false, run_digest},	{"hp", 1, false, run_huge},
};

/* Reads one number at *p and moves *p past it; false if there is none. */
static bool read_number(char **p, bool hex_allowed, uint64_t *n,
			const char **why)
{
	unsigned base = 10, digit;
	char *s = *p, *first;

	*n = 0;
	if (hex_allowed && s[0] == '0' && (s[1] == 'x' || s[1] == 'X')) {
		base = 16;
		s += 2;
	}
	for (first = s;; s++) {
		if (*s >= '0' && *s <= '9')
			digit = (unsigned)(*s - '0');
		else if (base == 16 && *s >= 'a' && *s <= 'f')
			digit = (unsigned)(*s - 'a') + 10;
		else if (base == 16 && *s >= 'A' && *s <= 'F')
			digit = (unsigned)(*s - 'A') + 10;
		else
			break;
		if (*n > (UINT64_MAX - digit) / base) {
			*why = "number out of range";
			return false;
		}
		*n = *n * base + digit;
	}
	if (s == first) {
		*why = "not a number";
		return false;
	}
	*p = s;
	return true;
}

static bool read_operands(const struct operation *op, char *p,
			  struct operands *o, const char **why)
{
	for (unsigned i = 0; i < op->num_operands; i++) {
		if (*p == '\0') {
			*why = "number missing";
			return false;
		}
		if (*p != ' ') {
			*why = "not a number";
			return false;
		}
		p++;
		if (!read_number(&p, op->hex, &o->n[i], why))
			return false;
	}
	if (*p == '\0')
		return true;
	*why = "unexpected text at the end of the line";
	return false;
}

int replay_line(struct replay *r, char *line, const char **why)
{
	struct operands o = {{0, 0}};
	size_t length;

	if (!r->started) {
		r->started = strcmp(line, "v1") == 0;
		return r->started ? EXIT_OK
				  : malformed(why, "first line is not v1");
	}
	if (line[0] == '#')
		return EXIT_OK;
	length = strcspn(line, " ");
	for (size_t i = 0; i < PH_ARRAY_SIZE(operations); i++) {
		const struct operation *op = &operations[i];

		if (strncmp(line, op->name, length) != 0 ||
		    op->name[length] != '\0' || length == 0)
			continue;
		if (!read_operands(op, line + length, &o, why))
			return EXIT_MALFORMED;
		return op->run(r, &o, why);
	}
	return malformed(why, "unknown operation");
}

void replay_init(struct replay *r, FILE *out)
{
	memset(r, 0, sizeof(*r));
	ph__meta_init(&r->meta, ph_os_default(), NULL);
	ph__page_alloc_init(&r->pa, &r->meta);
	r->huge_pages = 256;
	r->out = out;
}

void replay_destroy(struct replay *r)
{
	ph__page_alloc_destroy(&r->pa);
	ph__meta_destroy(&r->meta);
}
