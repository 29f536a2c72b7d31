/* SPDX-License-Identifier: MIT */
/*
 * A line reader over zlib, which reads plain files as well as compressed ones.
 * Lines may have any length: the buffer grows.
 */
#include "vec_reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static void vec_die(const struct vec_reader *r, const char *why)
{
	fprintf(stderr, "%s:%zu: %s\n", r->path, r->line_number, why);
	exit(EXIT_FAILURE);
}

const char *vec_data_dir(void)
{
	const char *dir = getenv("PH_DATA_DIR");

#if defined(PH_DATA_DIR)
	if (dir == NULL)
		dir = PH_DATA_DIR;
#endif
	return dir != NULL ? dir : ".";
}

void vec_open(struct vec_reader *r, const char *name)
{
	memset(r, 0, sizeof(*r));
	snprintf(r->path, sizeof(r->path), "%s/%s", vec_data_dir(), name);
	r->file = gzopen(r->path, "rb");
	if (r->file == NULL)
		vec_die(r, "cannot be opened");
	r->capacity = 256;
	r->line = malloc(r->capacity);
	if (r->line == NULL)
		vec_die(r, "no memory");
}

bool vec_next_raw(struct vec_reader *r)
{
	size_t length = 0;
	int error = 0;

	r->line_number++;
	while (gzgets(r->file, r->line + length, (int)(r->capacity - length)) !=
	       NULL) {
		length += strlen(r->line + length);
		if (length != 0 && r->line[length - 1] == '\n') {
			r->line[length - 1] = '\0';
			return true;
		}
		if (length + 1 < r->capacity)
			continue;
		r->capacity *= 2;
		r->line = realloc(r->line, r->capacity);
		if (r->line == NULL)
			vec_die(r, "no memory");
	}
	(void)gzerror(r->file, &error);
	if (error != Z_OK && error != Z_STREAM_END)
		vec_die(r, "cannot be read");
	return length != 0;
}

bool vec_next(struct vec_reader *r)
{
	while (vec_next_raw(r)) {
		if (r->line[0] != '\0' && r->line[0] != '#')
			return true;
	}
	return false;
}

void vec_close(struct vec_reader *r)
{
	if (gzclose(r->file) != Z_OK)
		vec_die(r, "cannot be closed");
	free(r->line);
	memset(r, 0, sizeof(*r));
}

size_t vec_fields(struct vec_reader *r, char **fields, size_t max)
{
	size_t n = 0;
	char *rest = r->line;
	char *field;

	while (n < max && (field = strtok_r(rest, " ", &rest)) != NULL)
		fields[n++] = field;
	return n;
}

int64_t vec_dec(const struct vec_reader *r, const char *field)
{
	char *stop;
	long long value;

	errno = 0;
	value = strtoll(field, &stop, 10);
	if (stop == field || *stop != '\0' || errno != 0)
		vec_die(r, "not a decimal number");
	return value;
}

uint64_t vec_hex(const struct vec_reader *r, const char *field)
{
	char *stop;
	unsigned long long value;

	errno = 0;
	value = strtoull(field, &stop, 16);
	if (stop == field || *stop != '\0' || errno != 0)
		vec_die(r, "not a hexadecimal number");
	return value;
}

double vec_double(const struct vec_reader *r, const char *field)
{
	uint64_t bits = vec_hex(r, field);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}
