/* SPDX-License-Identifier: MIT */
/*
 * The state of a page allocator in full, for people and diff, and as hashes.
 */
#include <inttypes.h>

#include "trace.h"

/* FNV-1a over 64-bit words. */
#define FNV_START UINT64_C(0xcbf29ce484222325)
#define FNV_PRIME UINT64_C(0x100000001b3)

static uint64_t hash_word(uint64_t h, uint64_t word)
{
	return (h ^ word) * FNV_PRIME;
}

/* Index of the first entry of a level at or above the base. */
static size_t base_entry(unsigned level)
{
	return TRACE_BASE >> page_level_shift(level);
}

static void print_search(const struct page_alloc *pa, FILE *out)
{
	if (pa->search == PAGE_SEARCH_NONE)
		fputs("search max", out);
	else
		fprintf(out, "search %" PRIu64, trace_page(pa->search));
}

/* Calls visit for every chunk ever grown, lowest first. */
static void each_chunk(const struct page_alloc *pa,
		       void (*visit)(void *ctx, size_t ci,
				     const struct page_chunk *chunk),
		       void *ctx)
{
	for (size_t i = 0; i < pa->grown.count; i++) {
		size_t ci = pa->grown.range[i].base >> PH_CHUNK_SHIFT;
		size_t end = pa->grown.range[i].limit >> PH_CHUNK_SHIFT;

		for (; ci < end; ci++)
			visit(ctx, ci - base_entry(PAGE_LEAF),
			      ph__page_alloc_chunk(pa, ci));
	}
}

/*
 * Calls visit for every summary that is not zero, level by level, lowest first.
 * Only entries that a grown range touches can be.
 */
static void each_summary(const struct page_alloc *pa,
			 void (*visit)(void *ctx, unsigned level, size_t i,
				       struct page_sum s),
			 void *ctx)
{
	for (unsigned level = 0; level < PAGE_LEVELS; level++) {
		unsigned shift = page_level_shift(level);
		size_t next = 0;

		for (size_t k = 0; k < pa->grown.count; k++) {
			size_t i = pa->grown.range[k].base >> shift;
			size_t last = (pa->grown.range[k].limit - 1) >> shift;

			for (i = i < next ? next : i; i <= last; i++) {
				struct page_sum s =
					ph__page_alloc_summary(pa, level, i);

				if (s.packed != 0)
					visit(ctx, level, i - base_entry(level),
					      s);
			}
			next = last + 1;
		}
	}
}

/* ------------------------------------------------------------------------ */
/* The full dump; equal neighbours share a line                             */
/* ------------------------------------------------------------------------ */

struct lines {
	FILE *out;
	bool open; /* a line is waiting to be printed */
	size_t first, last;
	unsigned level;
	struct page_sum sum;
	const struct page_chunk *chunk;
};

static void print_runs(FILE *out, const struct page_bits *b)
{
	const char *separator = "";

	for (unsigned i = 0, first; i < PAGE_BITS; i++) {
		if (!page_bits_get(b, i))
			continue;
		for (first = i; i < PAGE_BITS && page_bits_get(b, i); i++)
			;
		fprintf(out, "%s%u+%u", separator, first, i - first);
		separator = ",";
	}
	if (separator[0] == '\0')
		fputs("-", out);
}

static void close_chunks(struct lines *l)
{
	if (!l->open)
		return;
	fprintf(l->out, "chunk %zu..%zu a ", l->first, l->last);
	print_runs(l->out, &l->chunk->in_use);
	fputs(" s ", l->out);
	print_runs(l->out, &l->chunk->scavenged);
	fputs("\n", l->out);
	l->open = false;
}

static bool bits_equal(const struct page_bits *a, const struct page_bits *b)
{
	uint64_t differ = 0;

	for (unsigned w = 0; w < PAGE_BITS_WORDS; w++)
		differ |= a->word[w] ^ b->word[w];
	return differ == 0;
}

static void line_chunk(void *ctx, size_t ci, const struct page_chunk *chunk)
{
	struct lines *l = ctx;

	if (l->open && ci == l->last + 1 &&
	    bits_equal(&chunk->in_use, &l->chunk->in_use) &&
	    bits_equal(&chunk->scavenged, &l->chunk->scavenged)) {
		l->last = ci;
		return;
	}
	close_chunks(l);
	l->open = true;
	l->first = l->last = ci;
	l->chunk = chunk;
}

static void close_summaries(struct lines *l)
{
	if (l->open)
		fprintf(l->out, "L%u %zu..%zu %u %u %u\n", l->level, l->first,
			l->last, page_sum_start(l->sum), page_sum_max(l->sum),
			page_sum_end(l->sum));
	l->open = false;
}

static void line_summary(void *ctx, unsigned level, size_t i, struct page_sum s)
{
	struct lines *l = ctx;

	if (l->open && level == l->level && i == l->last + 1 &&
	    s.packed == l->sum.packed) {
		l->last = i;
		return;
	}
	close_summaries(l);
	l->open = true;
	l->level = level;
	l->first = l->last = i;
	l->sum = s;
}

void dump_full(struct page_alloc *pa, FILE *out)
{
	struct lines l = {.out = out};
	size_t count = pa->grown.count, base = base_entry(PAGE_LEAF);
	const struct addr_range *range = pa->grown.range;

	ph__page_alloc_settle(pa);
	fputs("= dump\n", out);
	print_search(pa, out);
	if (count == 0)
		fputs("\nbounds 0 0\n", out);
	else
		fprintf(out, "\nbounds %zu %zu\n",
			(range[0].base >> PH_CHUNK_SHIFT) - base,
			(range[count - 1].limit >> PH_CHUNK_SHIFT) - base);
	for (size_t i = 0; i < count; i++)
		fprintf(out, "inuse %zu %zu\n",
			(range[i].base >> PH_CHUNK_SHIFT) - base,
			(range[i].limit - range[i].base) >> PH_CHUNK_SHIFT);
	each_chunk(pa, line_chunk, &l);
	close_chunks(&l);
	each_summary(pa, line_summary, &l);
	close_summaries(&l);
	fputs("= end\n", out);
}

/* ------------------------------------------------------------------------ */
/* The digest                                                               */
/* ------------------------------------------------------------------------ */

struct digest {
	uint64_t pages, scavenged;
	uint64_t in_use_hash, scavenged_hash, sum_hash;
};

static void digest_chunk(void *ctx, size_t ci, const struct page_chunk *chunk)
{
	struct digest *d = ctx;

	d->in_use_hash = hash_word(d->in_use_hash, ci);
	d->scavenged_hash = hash_word(d->scavenged_hash, ci);
	for (unsigned w = 0; w < PAGE_BITS_WORDS; w++) {
		d->pages += popcount64(chunk->in_use.word[w]);
		d->scavenged += popcount64(chunk->scavenged.word[w]);
		d->in_use_hash =
			hash_word(d->in_use_hash, chunk->in_use.word[w]);
		d->scavenged_hash =
			hash_word(d->scavenged_hash, chunk->scavenged.word[w]);
	}
}

static void digest_summary(void *ctx, unsigned level, size_t i,
			   struct page_sum s)
{
	struct digest *d = ctx;

	d->sum_hash = hash_word(d->sum_hash, level);
	d->sum_hash = hash_word(d->sum_hash, i);
	d->sum_hash = hash_word(d->sum_hash, page_sum_start(s));
	d->sum_hash = hash_word(d->sum_hash, page_sum_max(s));
	d->sum_hash = hash_word(d->sum_hash, page_sum_end(s));
}

void dump_digest(struct page_alloc *pa, FILE *out)
{
	struct digest d = {0, 0, FNV_START, FNV_START, FNV_START};

	ph__page_alloc_settle(pa);
	each_chunk(pa, digest_chunk, &d);
	each_summary(pa, digest_summary, &d);
	fputs("= digest ", out);
	print_search(pa, out);
	fprintf(out,
		" pages %" PRIu64 " scav %" PRIu64 " a %016" PRIx64
		" s %016" PRIx64 " sum %016" PRIx64 "\n",
		d.pages, d.scavenged, d.in_use_hash, d.scavenged_hash,
		d.sum_hash);
}
