/* SPDX-License-Identifier: MIT */
/*
 * The parser of PAGEHEAP, on any text.
 *
 * What it must do with every text: come to an end; point into the text and
 * nowhere else; leave the options as they were after a fault; describe and
 * complain in single lines; and describe flags and sizes so that it reads its
 * own words back as the same values.
 *
 * The drop-in's objects are not in the library that fuzzers link, since they
 * would replace the sanitizers' malloc; the one file is compiled in here.
 */
#include "malloc/options.c"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

/* Random bytes hit on few keys; these stand for pieces of text. */
static const char *const pieces[] = {
	"print=", "report=", "max=",	"random=",
	"stats=", "strict=", "0",	"1",
	",",	  "=",	     "4194304", "MiB",
	"K",	  "G",	     "TiB",	"18446744073709551615"};

#define TEXT_MAX 4096

/* Bytes below 32 are pieces, two times over; others are themselves. */
static void make_text(char *text, const uint8_t *data, size_t nbytes)
{
	size_t n = 0;

	for (size_t i = 0; i < nbytes; i++) {
		const char *piece = pieces[data[i] % PH_ARRAY_SIZE(pieces)];
		size_t length = data[i] < 32 ? strlen(piece) : 1;

		if (n + length >= TEXT_MAX)
			break;
		memcpy(text + n, data[i] < 32 ? piece : (const char *)data + i,
		       length);
		n += length;
	}
	text[n] = '\0';
}

static void check(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "fuzz_options: %s\n", what);
	abort();
}

static void check_inside(struct option_text t, const char *text)
{
	check(!t.bytes || (t.bytes >= text &&
			   t.bytes + t.nbytes <= text + strlen(text)),
	      "an item lies outside the text");
}

static void check_line(struct text *t)
{
	const char *line = ph__text_end(t);
	const char *newline = strchr(line, '\n');

	check(!t->cut, "a line does not fit");
	check(newline && newline[1] == '\0', "not one line");
}

static void check_complaint(const struct option_item *item)
{
	char space[512];
	struct text t = text_over(space, sizeof(space));

	ph__options_complain(&t, item);
	check_line(&t);
}

/* What describe() says of option i, read again, gives the same options. */
static void check_description(const struct options *o, unsigned i)
{
	static const char prefix[] = "pageheap: ";
	char space[TEXT_MAX + 64];
	struct text t = text_over(space, sizeof(space));
	struct options again = *o;
	struct option_item item;
	const char *text = space + sizeof(prefix) - 1;

	ph__options_describe(&t, o, i);
	check_line(&t);
	if (ph__option_table[i].kind == OPTION_PATH)
		return;
	*strrchr(space, '(') = '\0';
	*strrchr(space, ' ') = '\0';
	check(ph__options_next(&again, &text, &item), "no item described");
	check(item.fault == OPTION_OK, "own words are not understood");
	again.given = o->given;
	check(memcmp(&again, o, sizeof(again)) == 0, "own words differ");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
	static char text[TEXT_MAX];
	const char *rest = text;
	struct options o, before;
	struct option_item item;

	make_text(text, data, nbytes);
	ph__options_init(&o);
	before = o;
	while (ph__options_next(&o, &rest, &item)) {
		check(rest > text && rest <= text + strlen(text),
		      "the text does not get shorter");
		check_inside(item.key, text);
		check_inside(item.value, text);
		if (item.fault != OPTION_OK) {
			check_complaint(&item);
			check(memcmp(&o, &before, sizeof(o)) == 0,
			      "a fault changed an option");
		}
		before = o;
	}
	check(*rest == '\0', "text is left over");
	for (unsigned i = 0; i < OPTIONS_COUNT; i++)
		check_description(&o, i);
	return 0;
}
