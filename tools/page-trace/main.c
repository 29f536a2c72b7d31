/* SPDX-License-Identifier: MIT */
/*
 * page-trace FILE: replays a trace of page operations, plain or compressed, and
 * prints the answers.
 *
 * Exit status: 0; 1 when the system fails (reading, writing, memory); 2 when
 * the command line or the trace is wrong.  What was answered before a wrong
 * line is printed.
 */
#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>

#include "trace.h"

static const char usage_text[] =
	"usage: page-trace FILE\n"
	"Replays a trace of page allocator operations (plain or gzip; - for\n"
	"standard input) and prints the answers.\n"
	"\n"
	"  --help     print this text\n"
	"  --version  print the version\n"
	"\n"
	"Exit status: 0; 1 if reading, writing or memory failed; 2 if the\n"
	"command line or the trace is wrong, which one line on standard error\n"
	"explains.\n";

/* Flushes the answers; says why and returns false when that fails. */
static bool flush_answers(FILE *out)
{
	if (!ferror(out) && fflush(out) == 0)
		return true;
	fprintf(stderr, "page-trace: standard output: %s\n", strerror(errno));
	return false;
}

static int replay_file(struct input *in, FILE *out)
{
	static struct replay r;
	const char *why = NULL;
	int status = EXIT_OK;
	char *line;

	replay_init(&r, out);
	while (status == EXIT_OK && !ferror(out) &&
	       (line = input_line(in, &why)) != NULL)
		status = replay_line(&r, line, &why);
	if (status == EXIT_OK && why != NULL)
		status = in->unreadable ? EXIT_SYSTEM : EXIT_MALFORMED;
	if (status == EXIT_OK && !r.started && !ferror(out)) {
		status = EXIT_MALFORMED;
		why = "first line is not v1";
	}
	if (!flush_answers(out))
		status = EXIT_SYSTEM;
	else if (status != EXIT_OK)
		fprintf(stderr, "page-trace: %s:%lu: %s\n", in->name,
			in->line_no, why);
	replay_destroy(&r);
	return status;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'v'},
		{NULL, 0, NULL, 0},
	};
	static struct input in;
	int option, status;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'h')
			fputs(usage_text, stdout);
		else if (option == 'v')
			printf("page-trace %s\n", PH_VERSION_STRING);
		else
			return EXIT_MALFORMED;
		return flush_answers(stdout) ? EXIT_OK : EXIT_SYSTEM;
	}
	if (argc - optind != 1) {
		fputs("page-trace: expected one FILE; try --help\n", stderr);
		return EXIT_MALFORMED;
	}
	if (!input_open(&in, argv[optind])) {
		fprintf(stderr, "page-trace: %s: %s\n", argv[optind],
			strerror(errno));
		return EXIT_SYSTEM;
	}
	status = replay_file(&in, stdout);
	input_close(&in);
	return status;
}
