/* SPDX-License-Identifier: MIT */
/*
 * Reads data files of the tests line by line, compressed or not.
 *
 *	struct vec_reader r;
 *
 *	vec_open(&r, "vectors/merge.vec.gz");
 *	while (vec_next(&r))
 *		... r.line, r.line_number, vec_fields(&r, ...) ...
 *	vec_close(&r);
 *
 * Files lie below PH_DATA_DIR: an environment variable, or else the macro that
 * the build defines.  A file that cannot be opened or read ends the test with
 * a line that names it: missing data is a failure, never a pass.
 */
#ifndef TESTS_SUPPORT_VEC_READER_H
#define TESTS_SUPPORT_VEC_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct vec_reader {
	void *file; /* gzFile */
	char path[512];
	char *line;	 /* without its newline; terminated by NUL */
	size_t capacity; /* of line */
	size_t line_number;
};

/* The directory of the data files. */
const char *vec_data_dir(void);

/* Opens a file below the data directory, or exits. */
void vec_open(struct vec_reader *r, const char *name);

/*
 * Advances to the next line that is not empty and does not begin with '#'.
 * False at the end of the file.
 */
bool vec_next(struct vec_reader *r);

/* As above, every line counts. */
bool vec_next_raw(struct vec_reader *r);

void vec_close(struct vec_reader *r);

/*
 * Splits the line at spaces, in place, into at most max fields.  Returns their
 * number.
 */
size_t vec_fields(struct vec_reader *r, char **fields, size_t max);

/* Numbers, decimal (a minus sign is allowed) and hexadecimal; or exits. */
int64_t vec_dec(const struct vec_reader *r, const char *field);
uint64_t vec_hex(const struct vec_reader *r, const char *field);

/* The double whose IEEE-754 bits the field gives in hexadecimal. */
double vec_double(const struct vec_reader *r, const char *field);

#endif
