/* SPDX-License-Identifier: MIT */
/*
 * Lines of a trace.
 *
 * zlib reads compressed and plain files alike, by content.  A file that ends
 * inside its compressed stream, a NUL byte and a line that is too long are
 * reported, for silently reading a part would give answers to another question.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#include "trace.h"

bool input_open(struct input *in, const char *name)
{
	memset(in, 0, offsetof(struct input, block));
	in->name = name;
	errno = ENOMEM; /* what zlib fails with when the system does not */
	in->file = strcmp(name, "-") == 0 ? gzdopen(dup(STDIN_FILENO), "rb")
					  : gzopen(name, "rb");
	if (in->file == NULL)
		return false;
	gzbuffer(in->file, sizeof(in->block));
	return true;
}

void input_close(struct input *in)
{
	gzclose_r(in->file);
}

/* Reads the next block; false at the end or after an error. */
static bool fill(struct input *in, const char **why)
{
	int n, error = Z_OK;

	if (in->at_end)
		return false;
	errno = 0;
	n = gzread(in->file, in->block, sizeof(in->block));
	in->begin = 0;
	in->end = n > 0 ? (size_t)n : 0;
	if (n > 0)
		return true;
	in->at_end = true;
	(void)gzerror(in->file, &error);
	if (error == Z_BUF_ERROR) {
		*why = "compressed data ends early";
	} else if (error == Z_ERRNO) {
		*why = strerror(errno);
		in->unreadable = true;
	} else if (n < 0 || (error != Z_OK && error != Z_STREAM_END)) {
		*why = "compressed data is damaged";
	}
	return false;
}

char *input_line(struct input *in, const char **why)
{
	size_t length = 0;

	*why = NULL;
	in->line_no++;
	for (;;) {
		char *from, *newline;
		size_t n;

		if (in->begin == in->end && !fill(in, why))
			break;
		from = in->block + in->begin;
		newline = memchr(from, '\n', in->end - in->begin);
		n = newline != NULL ? (size_t)(newline - from)
				    : in->end - in->begin;
		if (length + n >= LINE_BYTES) {
			*why = "line too long";
			return NULL;
		}
		memcpy(in->line + length, from, n);
		length += n;
		in->begin += n;
		if (newline != NULL) {
			in->begin++;
			break;
		}
	}
	if (*why != NULL || (length == 0 && in->at_end))
		return NULL;
	if (memchr(in->line, '\0', length) != NULL) {
		*why = "NUL byte";
		return NULL;
	}
	in->line[length] = '\0';
	return in->line;
}
