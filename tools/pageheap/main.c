/* SPDX-License-Identifier: MIT */
/*
 * pageheap: see what a program's heap does.
 *
 * The first argument names a command of the table below; everything after it
 * is the command's own.  A new command is one line of the table and one file.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pageheap.h"
#include "tool.h"

struct command {
	const char *name;
	int (*run)(int argc, char **argv);
	const char *summary;
};

static const struct command commands[] = {
	{"run", run_command, "run a program on pageheap and report its heap"},
};

#define NUM_COMMANDS (sizeof(commands) / sizeof(commands[0]))

void tool_say(const char *format, ...)
{
	char line[2048];
	va_list args;

	va_start(args, format);
	int length = vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	if (length < 0)
		return;
	for (char *p = line; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';
	fprintf(stderr, "pageheap: %s\n", line);
}

static void *alloc_checked(void *p)
{
	if (p == NULL) {
		tool_say("out of memory");
		exit(EXIT_TOOL);
	}
	return p;
}

void *tool_alloc(size_t nbytes)
{
	return alloc_checked(calloc(1, nbytes));
}

void *tool_realloc(void *p, size_t nbytes)
{
	return alloc_checked(realloc(p, nbytes));
}

char *tool_strdup(const char *s)
{
	return alloc_checked(strdup(s));
}

static int help_print(void)
{
	printf("usage: pageheap COMMAND [ARGUMENT ...]\n\n");
	for (size_t i = 0; i < NUM_COMMANDS; i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	printf("\n"
	       "  --help     print this and exit\n"
	       "  --version  print the version and exit\n"
	       "\n"
	       "pageheap COMMAND --help describes a command.\n");
	return fflush(stdout) == 0 ? 0 : EXIT_TOOL;
}

static int version_print(void)
{
	printf("pageheap %s\n", PH_VERSION_STRING);
	return fflush(stdout) == 0 ? 0 : EXIT_TOOL;
}

int main(int argc, char **argv)
{
	if (argc < 2) {
		tool_say("a command is missing; see pageheap --help");
		return EXIT_TOOL;
	}
	const char *name = argv[1];
	if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
		return help_print();
	if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0)
		return version_print();
	for (size_t i = 0; i < NUM_COMMANDS; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(argc - 1, argv + 1);
	tool_say("%s '%s'; see pageheap --help",
		 name[0] == '-' ? "unknown option" : "unknown command", name);
	return EXIT_TOOL;
}
