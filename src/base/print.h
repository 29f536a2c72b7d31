/* SPDX-License-Identifier: MIT */
/*
 * Text without stdio and without the heap.
 *
 * A malloc that reports its own failure may use neither.  A struct text is a
 * bounded buffer supplied by the caller; what does not fit is cut, and the
 * last byte that fits is then a '~' so that a reader sees the cut.
 */
#ifndef PH_BASE_PRINT_H
#define PH_BASE_PRINT_H

#include <stdbool.h>

#include "base/compiler.h"

struct text {
	char *bytes;	 /* not terminated by NUL while it grows */
	size_t capacity; /* bytes, at least 2 */
	size_t length;	 /* bytes used, at most capacity - 1 */
	bool cut;	 /* something did not fit */
};

static inline struct text text_over(char *bytes, size_t capacity)
{
	struct text t = {bytes, capacity, 0, false};

	return t;
}

void ph__text_str(struct text *t, const char *s);
void ph__text_bytes(struct text *t, const char *s, size_t n);

/* Decimal, and hexadecimal with a leading 0x. */
void ph__text_dec(struct text *t, uint64_t n);
void ph__text_hex(struct text *t, uint64_t n);

/* A byte count for people: exact below 10 KiB, else "12.3 MiB". */
void ph__text_size(struct text *t, uint64_t nbytes);

/* Terminates the text and returns it. */
const char *ph__text_end(struct text *t);

/*
 * Writes the text to a file descriptor, retrying short writes and EINTR;
 * errno is kept.  Returns false when the descriptor refuses.
 */
bool ph__text_write(const struct text *t, int fd);

#endif
