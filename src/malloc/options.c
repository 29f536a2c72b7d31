/* SPDX-License-Identifier: MIT */
/*
 * Options.
 *
 *	PAGEHEAP=report=/dev/shm/x,max=512M,print=1
 *		 '----item----'   '--item--'
 *
 * Commas separate items, the first '=' of an item ends its key.  Nothing is
 * quoted, nothing is trimmed: a blank belongs to the key or value it stands
 * in.  Empty items are skipped, so that scripts may append ",key=value" to
 * whatever there is.  Of items with the same key the last one counts.
 *
 * Parsing is a function of a text alone: it neither knows where the text is
 * from nor prints, and its results point into the text.  The text is a copy
 * of the environment's, because programs change that (setenv, or by writing
 * over it to change their title); the copy is static, since this runs before
 * there is a heap to ask.
 *
 * A mistake must not keep a program from running: it is reported by one line,
 * and the option keeps its value.  Who wants certainty says strict=1, anywhere
 * in the text.
 *
 * Rejected: one variable an option (nobody finds a misspelt one); a file (it
 * would be read by every process, and it is unclear whose it is).
 */
#include "malloc/options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "base/check.h"
#include "os/os.h"
#include "pageheap.h"

#define VARIABLE "PAGEHEAP"

/* Of a key or value in a complaint: enough to recognise it. */
#define QUOTED_MAX 64

const struct option ph__option_table[OPTIONS_COUNT] = {
	{"report", OPTION_PATH, "", "a path without commas",
	 "keep the heap's numbers in a slot of this file of `pageheap run`",
	 offsetof(struct options, report)},
	{"max", OPTION_SIZE, "0",
	 "a size of at least 4MiB, as in 512M, 1GiB; or 0 for no bound",
	 "address space that the heap may take; requests beyond it fail",
	 offsetof(struct options, max_bytes)},
	{"scavenge", OPTION_FLAG, "1", "0 or 1",
	 "give free memory back in the background",
	 offsetof(struct options, scavenge)},
	{"random", OPTION_FLAG, "1", "0 or 1",
	 "place the heap at addresses that nobody can predict",
	 offsetof(struct options, random)},
	{"stats", OPTION_FLAG, "0", "0 or 1",
	 "print malloc_stats() to standard error at exit",
	 offsetof(struct options, stats)},
	{"print", OPTION_FLAG, "0", "0 or 1",
	 "print each option's value and origin to standard error",
	 offsetof(struct options, print)},
	{"strict", OPTION_FLAG, "0", "0 or 1",
	 "abort on an unknown option or a bad value",
	 offsetof(struct options, strict)},
};

/* ---- values ---- */

static bool text_is(struct option_text t, const char *s)
{
	return t.nbytes == strlen(s) && memcmp(t.bytes, s, t.nbytes) == 0;
}

static void *option_value(struct options *o, const struct option *option)
{
	return (char *)o + option->offset;
}

static bool parse_flag(struct option_text t, bool *value)
{
	if (!text_is(t, "0") && !text_is(t, "1"))
		return false;
	*value = t.bytes[0] == '1';
	return true;
}

/* Powers of 1,024 that a unit stands for: "", K, KiB, ..., T, TiB, or B. */
static bool parse_unit(struct option_text t, unsigned *shift)
{
	static const char letters[] = "KMGT";
	const char *letter;

	*shift = 0;
	if (t.nbytes == 0 || text_is(t, "B"))
		return true;
	letter = memchr(letters, t.bytes[0], sizeof(letters) - 1);
	if (!letter)
		return false;
	*shift = 10 * (unsigned)(letter - letters + 1);
	t.bytes++;
	t.nbytes--;
	return t.nbytes == 0 || text_is(t, "iB");
}

/* Not 0 and less than a chunk would be a heap that can hold nothing. */
static bool parse_size(struct option_text t, size_t *value)
{
	size_t n = 0, i = 0;
	unsigned shift;

	for (; i < t.nbytes && t.bytes[i] >= '0' && t.bytes[i] <= '9'; i++)
		if (mul_overflows(n, 10, &n) ||
		    add_overflows(n, (size_t)(t.bytes[i] - '0'), &n))
			return false;
	if (i == 0)
		return false;
	t.bytes += i;
	t.nbytes -= i;
	if (!parse_unit(t, &shift) ||
	    mul_overflows(n, (size_t)1 << shift, &n) ||
	    (n != 0 && n < PH_CHUNK_SIZE))
		return false;
	*value = n;
	return true;
}

/* Sets the option if t is a value for it. */
static bool parse_value(struct options *o, const struct option *option,
			struct option_text t)
{
	struct option_text *path = option_value(o, option);

	if (!t.bytes)
		return false;
	switch (option->kind) {
	case OPTION_FLAG:
		return parse_flag(t, option_value(o, option));
	case OPTION_SIZE:
		return parse_size(t, option_value(o, option));
	case OPTION_PATH:
		*path = t;
		return true;
	}
	return false;
}

/* ---- items ---- */

void ph__options_init(struct options *o)
{
	memset(o, 0, sizeof(*o));
	for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
		const struct option *option = &ph__option_table[i];
		struct option_text t = {option->initial,
					strlen(option->initial)};
		bool ok = parse_value(o, option, t);

		ph_require(ok);
	}
}

static struct option_item split_item(const char *start, size_t nbytes)
{
	const char *equals = memchr(start, '=', nbytes);
	struct option_item item = {.key = {start, nbytes}};

	if (equals) {
		item.key.nbytes = (size_t)(equals - start);
		item.value.bytes = equals + 1;
		item.value.nbytes = nbytes - item.key.nbytes - 1;
	}
	return item;
}

static void apply_item(struct options *o, struct option_item *item)
{
	item->fault = OPTION_UNKNOWN;
	for (unsigned i = 0; i < OPTIONS_COUNT; i++) {
		const struct option *option = &ph__option_table[i];

		if (!text_is(item->key, option->key))
			continue;
		item->option = option;
		item->fault = OPTION_BAD_VALUE;
		if (parse_value(o, option, item->value)) {
			item->fault = OPTION_OK;
			o->given |= UINT32_C(1) << i;
		}
		return;
	}
}

bool ph__options_next(struct options *o, const char **text,
		      struct option_item *item)
{
	const char *start = *text + strspn(*text, ",");
	size_t nbytes = strcspn(start, ",");

	*text = start + nbytes;
	if (nbytes == 0)
		return false;
	*item = split_item(start, nbytes);
	apply_item(o, item);
	return true;
}

/* ---- lines ---- */

/* A stranger's text: what would break the line or the terminal becomes '?'. */
static void text_visible(struct text *t, struct option_text s)
{
	for (size_t i = 0; i < s.nbytes; i++) {
		unsigned char c = (unsigned char)s.bytes[i];
		bool control = c < 0x20 || c == 0x7f;

		ph__text_bytes(t, control ? "?" : s.bytes + i, 1);
	}
}

/* As above, between quotes, with an end put to long texts. */
static void text_quoted(struct text *t, struct option_text s)
{
	bool is_long = s.nbytes > QUOTED_MAX;

	if (is_long)
		s.nbytes = QUOTED_MAX;
	ph__text_str(t, "'");
	text_visible(t, s);
	ph__text_str(t, is_long ? "...'" : "'");
}

void ph__options_complain(struct text *t, const struct option_item *item)
{
	ph__text_str(t, "pageheap: ");
	if (item->fault == OPTION_UNKNOWN) {
		ph__text_str(t, "unknown option ");
		text_quoted(t, item->key);
		ph__text_str(t, " in " VARIABLE "\n");
		return;
	}
	ph__text_str(t, "option ");
	text_quoted(t, item->key);
	ph__text_str(t, " in " VARIABLE " is ");
	if (item->value.bytes)
		text_quoted(t, item->value);
	else
		ph__text_str(t, "without a value");
	ph__text_str(t, ", expected ");
	ph__text_str(t, item->option->expected);
	ph__text_str(t, "\n");
}

/* As parse_size() reads it, in the largest unit that needs no fraction. */
static void text_size(struct text *t, size_t n)
{
	static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
	unsigned u = 0;

	while (n != 0 && n % 1024 == 0 && u + 1 < PH_ARRAY_SIZE(units)) {
		n /= 1024;
		u++;
	}
	ph__text_dec(t, n);
	ph__text_str(t, units[u]);
}

void ph__options_describe(struct text *t, const struct options *o, unsigned i)
{
	const struct option *option = &ph__option_table[i];
	const void *value = (const char *)o + option->offset;
	const struct option_text *path = value;

	ph__text_str(t, "pageheap: ");
	ph__text_str(t, option->key);
	ph__text_str(t, "=");
	switch (option->kind) {
	case OPTION_FLAG:
		ph__text_str(t, *(const bool *)value ? "1" : "0");
		break;
	case OPTION_SIZE:
		text_size(t, *(const size_t *)value);
		break;
	case OPTION_PATH:
		text_visible(t, *path);
		break;
	}
	ph__text_str(t,
		     o->given >> i & 1 ? " (" VARIABLE ")\n" : " (default)\n");
}

/* ---- this process's ---- */

/* The line that t holds, to standard error. */
static void write_line(const struct text *t)
{
	(void)ph__text_write(t, STDERR_FILENO);
}

/* Finds the variable without getenv(), which programs interpose. */
static const char *find_variable(void)
{
	for (char **e = environ; e && *e; e++)
		if (strncmp(*e, VARIABLE "=", sizeof(VARIABLE)) == 0)
			return *e + sizeof(VARIABLE);
	return NULL;
}

/* Complains about what is wrong in the text.  The number of faults. */
static size_t read_text(struct options *o, const char *text)
{
	struct option_item item;
	size_t nfaults = 0;

	while (ph__options_next(o, &text, &item)) {
		char space[512];
		struct text t = text_over(space, sizeof(space));

		if (item.fault == OPTION_OK)
			continue;
		ph__options_complain(&t, &item);
		write_line(&t);
		nfaults++;
	}
	return nfaults;
}

void ph__options_read(struct options *o)
{
	static char copy[OPTIONS_TEXT_MAX + 1];
	const char *value;

	ph__options_init(o);
	if (ph__os_is_secure())
		return;
	value = find_variable();
	if (!value)
		return;
	if (strlen(value) > OPTIONS_TEXT_MAX) {
		char space[128];
		struct text t = text_over(space, sizeof(space));

		ph__text_str(&t, "pageheap: " VARIABLE " is ignored, for it is "
				 "longer than ");
		ph__text_dec(&t, OPTIONS_TEXT_MAX);
		ph__text_str(&t, " bytes\n");
		write_line(&t);
		return;
	}
	memcpy(copy, value, strlen(value) + 1);
	if (read_text(o, copy) != 0 && o->strict)
		abort();
}

void ph__options_print(const struct options *o)
{
	for (unsigned i = 0; o->print && i < OPTIONS_COUNT; i++) {
		char space[OPTIONS_TEXT_MAX + 64];
		struct text t = text_over(space, sizeof(space));

		ph__options_describe(&t, o, i);
		write_line(&t);
	}
}
