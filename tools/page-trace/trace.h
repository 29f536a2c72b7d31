/* SPDX-License-Identifier: MIT */
/*
 * page-trace: replays a list of page operations and prints the answers.
 *
 *	main.c    options, and how it ends
 *	input.c   lines of a plain or compressed file
 *	replay.c  one operation a line
 *	dump.c    pictures of the whole allocator, in full or as a digest
 *
 * A trace counts pages and chunks from a base, at which no memory need be: the
 * page allocator never touches a page.
 */
#ifndef TOOLS_PAGE_TRACE_TRACE_H
#define TOOLS_PAGE_TRACE_TRACE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "meta/meta.h"
#include "page/page_alloc.h"
#include "page/page_cache.h"

/* Exit statuses. */
enum { EXIT_OK = 0, EXIT_SYSTEM = 1, EXIT_MALFORMED = 2 };

/* ------------------------------------------------------------------------ */

/* The longest line of a trace, its newline included. */
#define LINE_BYTES 4096

struct input {
	const char *name;      /* as the user wrote it */
	void *file;	       /* gzFile */
	unsigned long line_no; /* of the line last returned; from 1 */
	size_t begin, end;     /* unread bytes of block */
	bool at_end;
	bool unreadable; /* the system failed, not the file */
	char block[1 << 16];
	char line[LINE_BYTES];
};

/* Opens the file, standard input for "-"; false and errno on failure. */
bool input_open(struct input *in, const char *name);
void input_close(struct input *in);

/*
 * The next line without its newline, NULL at the end; a line that breaks a rule
 * sets *why, and so does a failure to read.
 */
char *input_line(struct input *in, const char **why);

/* ------------------------------------------------------------------------ */

#define CACHE_SLOTS 64

/* Chunk 0 of a trace; the first chunk of a root entry. */
#define TRACE_BASE ((uintptr_t)1 << PAGE_REGION_SHIFT)

/* Chunks that fit above the base. */
#define TRACE_CHUNKS                                                           \
	((UINT64_C(1) << (PAGE_ADDR_BITS - PH_CHUNK_SHIFT)) -                  \
	 PAGE_REGION_CHUNKS)
#define TRACE_PAGES (TRACE_CHUNKS * PH_CHUNK_PAGES)

struct replay {
	struct page_alloc pa;
	struct meta meta;
	struct page_cache slot[CACHE_SLOTS];
	uint64_t full_slots; /* bit k: slot k has pages */
	unsigned huge_pages;
	bool started; /* "v1" was read */
	FILE *out;
};

void replay_init(struct replay *r, FILE *out);
void replay_destroy(struct replay *r);

/*
 * Carries one line out and prints its answer.  Returns EXIT_OK, or why not in
 * *why.
 */
int replay_line(struct replay *r, char *line, const char **why);

/* Number of a page from the base. */
static inline uint64_t trace_page(uintptr_t addr)
{
	return (addr - TRACE_BASE) >> PH_PAGE_SHIFT;
}

static inline uintptr_t trace_addr(uint64_t page)
{
	return TRACE_BASE + ((uintptr_t)page << PH_PAGE_SHIFT);
}

/* The allocator's state; both settle its summaries first. */
void dump_full(struct page_alloc *pa, FILE *out);
void dump_digest(struct page_alloc *pa, FILE *out);

#endif
