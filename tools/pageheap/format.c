/* SPDX-License-Identifier: MIT */
/*
 * Numbers for people, and strings for terminals and JSON.
 *
 * Names of programs and their arguments come from strangers: they may hold
 * escape sequences and bytes that are no UTF-8.  Both writers copy what is
 * harmless and replace the rest, byte by byte, so that neither a terminal nor
 * a parser sees what it cannot take.
 */
#include <stdbool.h>
#include <string.h>

#include "format.h"

struct format_text format_bytes(uint64_t nbytes)
{
	static const char units[] = "KMGTPE";
	struct format_text text;

	if (nbytes < 1024) {
		snprintf(text.s, sizeof(text.s), "%u B", (unsigned)nbytes);
		return text;
	}
	double value = (double)nbytes / 1024;
	unsigned unit = 0;
	/* 1023.95 would print as 1024.0. */
	while (value >= 1023.95 && unit + 2 < sizeof(units)) {
		value /= 1024;
		unit++;
	}
	snprintf(text.s, sizeof(text.s), "%.1f %ciB", value, units[unit]);
	return text;
}

struct format_text format_count(uint64_t n)
{
	char digits[24];
	struct format_text text;
	int length =
		snprintf(digits, sizeof(digits), "%llu", (unsigned long long)n);
	char *out = text.s;

	for (int i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			*out++ = ',';
		*out++ = digits[i];
	}
	*out = '\0';
	return text;
}

struct format_text format_duration(uint64_t ns)
{
	struct format_text text;
	double ms = (double)ns / 1e6;

	if (ms < 10)
		snprintf(text.s, sizeof(text.s), "%.1f ms", ms);
	else if (ms < 1000)
		snprintf(text.s, sizeof(text.s), "%.0f ms", ms);
	else if (ms < 60e3)
		snprintf(text.s, sizeof(text.s), "%.2f s", ms / 1e3);
	else
		snprintf(text.s, sizeof(text.s), "%llu min %llu s",
			 (unsigned long long)(ns / 60000000000),
			 (unsigned long long)(ns / 1000000000 % 60));
	return text;
}

struct format_text format_percent(uint64_t part, uint64_t whole)
{
	struct format_text text = {"-"};

	if (whole != 0)
		snprintf(text.s, sizeof(text.s), "%.0f %%",
			 100.0 * (double)part / (double)whole);
	return text;
}

void format_plain(FILE *out, const char *s, size_t max)
{
	size_t length = strlen(s);
	bool cut = length > max;

	for (size_t i = 0; i < (cut ? max - 3 : length); i++)
		fputc((unsigned char)s[i] < 0x20 || s[i] == 0x7f ? '?' : s[i],
		      out);
	if (cut)
		fputs("...", out);
}

/*
 * Length of the well-formed UTF-8 sequence at s, or 0.  The second byte's
 * bounds keep out overlong forms, surrogates and values above U+10FFFF
 * (Unicode 15, table 3-7).
 */
static size_t utf8_length(const unsigned char *s)
{
	size_t length;
	unsigned char low = 0x80;
	unsigned char high = 0xbf;

	if (s[0] < 0x80)
		return 1;
	if (s[0] >= 0xc2 && s[0] <= 0xdf) {
		length = 2;
	} else if (s[0] >= 0xe0 && s[0] <= 0xef) {
		length = 3;
		low = s[0] == 0xe0 ? 0xa0 : low;
		high = s[0] == 0xed ? 0x9f : high;
	} else if (s[0] >= 0xf0 && s[0] <= 0xf4) {
		length = 4;
		low = s[0] == 0xf0 ? 0x90 : low;
		high = s[0] == 0xf4 ? 0x8f : high;
	} else {
		return 0;
	}
	if (s[1] < low || s[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((s[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

void format_json_string(FILE *out, const char *s)
{
	const unsigned char *p = (const unsigned char *)s;

	fputc('"', out);
	while (*p != '\0') {
		size_t length = utf8_length(p);

		if (length == 0) {
			fputs("\\ufffd", out);
			p++;
		} else if (*p == '"' || *p == '\\') {
			fprintf(out, "\\%c", *p++);
		} else if (*p < 0x20 || *p == 0x7f) {
			fprintf(out, "\\u%04x", *p++);
		} else {
			fwrite(p, 1, length, out);
			p += length;
		}
	}
	fputc('"', out);
}
