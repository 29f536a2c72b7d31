/* SPDX-License-Identifier: MIT */
#include "base/print.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void ph__text_bytes(struct text *t, const char *s, size_t n)
{
	size_t room = t->capacity - 1 - t->length;
	size_t take = n < room ? n : room;

	memcpy(t->bytes + t->length, s, take);
	t->length += take;
	if (take < n) {
		t->cut = true;
		t->bytes[t->length - 1] = '~';
	}
}

void ph__text_str(struct text *t, const char *s)
{
	ph__text_bytes(t, s, strlen(s));
}

/* Digits are produced backwards into the end of a buffer of 64 bytes. */
static void text_number(struct text *t, uint64_t n, unsigned base)
{
	static const char digits[] = "0123456789abcdef";
	char buf[64];
	size_t i = sizeof(buf);

	do {
		buf[--i] = digits[n % base];
		n /= base;
	} while (n != 0);
	ph__text_bytes(t, buf + i, sizeof(buf) - i);
}

void ph__text_dec(struct text *t, uint64_t n)
{
	text_number(t, n, 10);
}

void ph__text_hex(struct text *t, uint64_t n)
{
	ph__text_str(t, "0x");
	text_number(t, n, 16);
}

void ph__text_size(struct text *t, uint64_t nbytes)
{
	static const char *const units[] = {"B",   "KiB", "MiB",
					    "GiB", "TiB", "PiB"};
	unsigned u = 1;

	if (nbytes < 10240) {
		ph__text_dec(t, nbytes);
		ph__text_str(t, " B");
		return;
	}
	while (u + 1 < PH_ARRAY_SIZE(units) && nbytes >> (10 * u) >= 1024)
		u++;
	ph__text_dec(t, nbytes >> (10 * u));
	ph__text_str(t, ".");
	ph__text_dec(t, (nbytes >> (10 * (u - 1)) & 1023) * 10 / 1024);
	ph__text_str(t, " ");
	ph__text_str(t, units[u]);
}

const char *ph__text_end(struct text *t)
{
	t->bytes[t->length] = '\0';
	return t->bytes;
}

bool ph__text_write(const struct text *t, int fd)
{
	int saved = errno;
	size_t done = 0;

	while (done < t->length) {
		ssize_t n = write(fd, t->bytes + done, t->length - done);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
	errno = saved;
	return done == t->length;
}
