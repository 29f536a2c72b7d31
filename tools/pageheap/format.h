/* SPDX-License-Identifier: MIT */
/*
 * Numbers for people, and strings for terminals and JSON.
 */
#ifndef FORMAT_H
#define FORMAT_H

#include <stdint.h>
#include <stdio.h>

/* A formatted number, returned by value so that several fit one printf. */
struct format_text {
	char s[32];
};

/* "512 B", "34.2 MiB". */
struct format_text format_bytes(uint64_t nbytes);

/* "1,234,567". */
struct format_text format_count(uint64_t n);

/* "0.4 ms", "45 ms", "1.23 s", "2 min 5 s". */
struct format_text format_duration(uint64_t ns);

/* "81 %"; "-" when whole is 0. */
struct format_text format_percent(uint64_t part, uint64_t whole);

/* s without bytes that a terminal would obey, at most max bytes of it. */
void format_plain(FILE *out, const char *s, size_t max);

/* s as a JSON string with its quotes; bytes that are no UTF-8 as U+FFFD. */
void format_json_string(FILE *out, const char *s);

#endif
