/* SPDX-License-Identifier: MIT */
/*
 * The drop-in's options: PAGEHEAP=key=value,key=value,...
 *
 * One table (options.c) says which there are; parsing, print=1 and the test
 * that docs/tuning.md names each option go by it.
 */
#ifndef PH_MALLOC_OPTIONS_H
#define PH_MALLOC_OPTIONS_H

#include <stdbool.h>

#include "base/print.h"

/* PAGEHEAP up to this length is read: the longest path, and some more. */
#define OPTIONS_TEXT_MAX 8192

/* Bytes that are not terminated. */
struct option_text {
	const char *bytes;
	size_t nbytes;
};

/* The effective values. */
struct options {
	struct option_text report; /* path; empty: no report */
	size_t max_bytes;	   /* 0: no bound */
	bool print;
	bool random;
	bool scavenge;
	bool stats;
	bool strict;
	uint32_t given; /* bit i: the i-th option was in PAGEHEAP */
};

enum option_kind {
	OPTION_FLAG, /* bool: 0 or 1 */
	OPTION_SIZE, /* size_t: bytes, with a unit */
	OPTION_PATH  /* struct option_text: anything without a comma */
};

/* A row of the table. */
struct option {
	const char *key;
	enum option_kind kind;
	const char *initial;  /* the default, as one would write it */
	const char *expected; /* what a value looks like, for complaints */
	const char *help;
	size_t offset; /* of the value in struct options */
};

#define OPTIONS_COUNT 7

extern const struct option ph__option_table[OPTIONS_COUNT] PH_HIDDEN;

/* What is wrong with one key=value. */
enum option_fault {
	OPTION_OK,
	OPTION_UNKNOWN,	 /* no such key */
	OPTION_BAD_VALUE /* the value, or that there is none */
};

/* One key=value as it was read. */
struct option_item {
	struct option_text key;
	struct option_text value;    /* bytes NULL: there was no '=' */
	const struct option *option; /* NULL: unknown */
	enum option_fault fault;
};

/* Sets every option to its default. */
void ph__options_init(struct options *o);

/*
 * Applies the first item of *text that is not empty and moves *text behind it.
 * A faulty item changes nothing; of items with the same key the last one
 * counts.  False at the end of the text, which must outlive o.
 */
PH_MUST_USE bool ph__options_next(struct options *o, const char **text,
				  struct option_item *item);

/* Says what is wrong with an item, as one line. */
void ph__options_complain(struct text *t, const struct option_item *item);

/* "pageheap: key=value (origin)": option i of o, as one line. */
void ph__options_describe(struct text *t, const struct options *o, unsigned i);

/*
 * The options of this process, from its environment.  Complaints go to
 * standard error; with strict=1 one aborts.  A process with more rights than
 * its caller (set-uid) gets the defaults.  Called once, by one thread, when
 * the C library has set environ.
 */
void ph__options_read(struct options *o);

/* With print=1: the effective values, to standard error. */
void ph__options_print(const struct options *o);

#endif
