/* SPDX-License-Identifier: MIT */
/*
 * pageheap run: a program on the drop-in malloc, and what its heap did.
 *
 * The tool makes a report file, names it to the program through the
 * environment, and waits.  The processes of the program keep their gauges in
 * the file (pageheap_report.h), so that nothing depends on how they end; the
 * tool adds what a process cannot write at a sudden end, its resident memory,
 * by looking at /proc:
 *
 *	every 20 ms while processes come and go, then ever more rarely up to
 *	every 200 ms, and never for more than a twentieth of the time.
 *
 * The run ends when the program that was started ends, as with time(1).  Its
 * descendants may live on; those that are just ending get a moment, the rest
 * is reported as still running.  The tool does not adopt orphans
 * (PR_SET_CHILD_SUBREAPER): a daemon would see another parent than usual.
 *
 * Nothing is printed before the program ends, except notes about what the
 * report will lack.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "launch.h"
#include "output.h"
#include "print.h"
#include "process.h"
#include "report_file.h"
#include "target.h"
#include "tool.h"
#include "tracker.h"

#define LIBRARY_NAME "libpageheap-malloc.so"

/* Where the drop-in is, seen from the tool's directory. */
static const char *const library_places[] = {
	"../lib/" LIBRARY_NAME,
	"../lib64/" LIBRARY_NAME,
#if defined(__x86_64__)
	"../lib/x86_64-linux-gnu/" LIBRARY_NAME,
#elif defined(__aarch64__)
	"../lib/aarch64-linux-gnu/" LIBRARY_NAME,
#endif
	LIBRARY_NAME,
};

#define INTERVAL_MIN_NS 20000000u
#define INTERVAL_MAX_NS 200000000u

/* After so long without a change the interval grows. */
#define QUIET_NS 1000000000u

/* What descendants get that are ending as the program ends. */
#define GRACE_NS 100000000u

/* A descendant that just starts has no slot yet; it gets this long for one. */
#define START_GRACE_NS 10000000u

struct run_options {
	bool full;
	bool quiet;
	const char *json;
	const char *library;
	char **argv; /* of the program */
};

static int usage_error(const char *what, const char *argument)
{
	tool_say("run: %s%s%s; see pageheap run --help", what,
		 argument[0] != '\0' ? " " : "", argument);
	return EXIT_TOOL;
}

static int help_print(void)
{
	fputs("usage: pageheap run [OPTION ...] [--] PROGRAM [ARGUMENT ...]\n"
	      "\n"
	      "Runs PROGRAM with malloc from libpageheap-malloc.so and, at "
	      "its end, tells\n"
	      "on standard error what its heap did, and the heaps of the "
	      "processes it started.\n"
	      "\n"
	      "  --report        every process in full, with its size "
	      "classes\n"
	      "  --json FILE     write the report to FILE as JSON, too\n"
	      "  --quiet         no report on standard error\n"
	      "  --library FILE  the library to load (default: the one "
	      "beside this tool,\n"
	      "                  or $PAGEHEAP_LIBRARY)\n"
	      "  --help          print this and exit\n"
	      "\n"
	      "The exit status is PROGRAM's; 128 + N when signal N killed "
	      "it; 127 when it is\n"
	      "not found, 126 when it cannot be run, 125 when pageheap "
	      "itself fails.\n",
	      stdout);
	return fflush(stdout) == 0 ? 0 : EXIT_TOOL;
}

/* Returns -1 to go on, or an exit status. */
static int options_parse(int argc, char **argv, struct run_options *options)
{
	static const struct option known[] = {
		{"report", no_argument, NULL, 'r'},
		{"json", required_argument, NULL, 'j'},
		{"quiet", no_argument, NULL, 'q'},
		{"library", required_argument, NULL, 'l'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};

	opterr = 0;
	optind = 1;
	for (;;) {
		const char *argument = argv[optind];
		int c = getopt_long(argc, argv, "+:h", known, NULL);
		if (c == -1)
			break;
		switch (c) {
		case 'r':
			options->full = true;
			break;
		case 'j':
			options->json = optarg;
			break;
		case 'q':
			options->quiet = true;
			break;
		case 'l':
			options->library = optarg;
			break;
		case 'h':
			return help_print();
		case ':':
			return usage_error("an argument is missing after",
					   argument);
		default:
			return usage_error("unknown or ambiguous option",
					   argument);
		}
	}
	if (optind >= argc)
		return usage_error("a program is missing", "");
	options->argv = argv + optind;
	return -1;
}

/* Takes path as the library when it is a readable file. */
static bool library_try(const char *path, char *found)
{
	struct stat st;

	return realpath(path, found) != NULL && stat(found, &st) == 0 &&
	       S_ISREG(st.st_mode) && access(found, R_OK) == 0;
}

/* Finds the drop-in; found has PATH_MAX bytes.  Returns 0 or EXIT_TOOL. */
static int library_find(const struct run_options *options, char *found)
{
	const char *named = options->library;
	char self[PATH_MAX];
	char path[PATH_MAX + 64];

	if (named == NULL)
		named = getenv("PAGEHEAP_LIBRARY");
	if (named != NULL && named[0] != '\0') {
		if (library_try(named, found))
			return 0;
		tool_say("run: cannot read the library %s: %s", named,
			 errno != 0 ? strerror(errno) : "no regular file");
		return EXIT_TOOL;
	}
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (n > 0) {
		self[n] = '\0';
		*strrchr(self, '/') = '\0';
		for (size_t i = 0;
		     i < sizeof(library_places) / sizeof(*library_places);
		     i++) {
			snprintf(path, sizeof(path), "%s/%s", self,
				 library_places[i]);
			if (library_try(path, found))
				return 0;
		}
	}
	tool_say("run: cannot find " LIBRARY_NAME
		 " beside %s; name it with --library",
		 n > 0 ? self : "this tool");
	return EXIT_TOOL;
}

/* Waits for the program and watches its processes; returns at its end. */
static void run_watch(struct launch *launch, struct tracker *tracker)
{
	uint64_t interval = INTERVAL_MIN_NS;
	uint64_t changed_ns = clock_monotonic_ns();
	uint64_t next = changed_ns;

	while (!launch->ended) {
		uint64_t before = clock_monotonic_ns();
		/* A signal may end a wait early; that is no reason to look. */
		if (before < next) {
			launch_wait(launch, next - before);
			continue;
		}
		if (tracker_update(tracker))
			changed_ns = before;
		uint64_t after = clock_monotonic_ns();
		if (after - changed_ns < QUIET_NS)
			interval = INTERVAL_MIN_NS;
		else if (interval < INTERVAL_MAX_NS)
			interval += interval / 4;
		if (interval > INTERVAL_MAX_NS)
			interval = INTERVAL_MAX_NS;
		next = after + interval;
		if (next < after + 20 * (after - before))
			next = after + 20 * (after - before);
	}
}

/* Lets descendants end that are about to, and appear that just started. */
static void run_grace(struct tracker *tracker)
{
	uint64_t start = clock_monotonic_ns();
	uint64_t waited = 0;

	while (waited < START_GRACE_NS ||
	       (tracker->nlive > 0 && waited < GRACE_NS)) {
		usleep(5000);
		tracker_update(tracker);
		waited = clock_monotonic_ns() - start;
	}
}

static int run_exit_status(const struct launch *launch)
{
	return WIFSIGNALED(launch->status)
		       ? EXIT_SIGNAL + WTERMSIG(launch->status)
		       : WEXITSTATUS(launch->status);
}

/* Everything between the report file's creation and its removal. */
static int run_program(const struct run_options *options,
		       const struct target *target, const char *library,
		       struct report_file *file, struct output *json,
		       struct launch *launch)
{
	struct tracker tracker;
	struct launch_program program = {.path = target->path,
					 .argv = options->argv,
					 .library = library,
					 .report = file->path};
	uint64_t start = clock_monotonic_ns();

	int error = launch_start(launch, &program);
	if (error != 0) {
		report_file_remove(file);
		tool_say("cannot run '%s': %s", target->name, strerror(error));
		return error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE;
	}
	tracker_init(&tracker, file, (uint32_t)launch->pid);
	run_watch(launch, &tracker);
	uint64_t elapsed = clock_monotonic_ns() - start;
	tracker_main_ended(&tracker, launch->status, &launch->usage);
	run_grace(&tracker);
	tracker_finish(&tracker);
	report_file_remove(file);

	struct run_result result = {.target = target,
				    .argv = options->argv,
				    .library = library,
				    .tracker = &tracker,
				    .launch = launch,
				    .elapsed_ns = elapsed,
				    .lost = report_file_lost(file)};
	if (!options->quiet)
		print_text(stderr, &result, options->full ? PRINT_FULL : 0);
	if (json->stream != NULL) {
		print_json(json->stream, &result);
		if (output_commit(json) != 0)
			return EXIT_TOOL;
	}
	return run_exit_status(launch);
}

int run_command(int argc, char **argv)
{
	struct run_options options = {0};
	struct target target;
	struct report_file file;
	struct output json = {0};
	struct launch launch;
	char library[PATH_MAX];

	int status = options_parse(argc, argv, &options);
	if (status >= 0)
		return status;
	status = library_find(&options, library);
	if (status != 0)
		return status;
	/* Both separate entries of LD_PRELOAD, which has no quoting. */
	if (strpbrk(library, ": \t\n") != NULL) {
		tool_say("run: the library's path %s contains a blank or a "
			 "colon, which LD_PRELOAD cannot express",
			 library);
		return EXIT_TOOL;
	}
	status = target_find(&target, options.argv[0]);
	if (status == 0)
		status = target_check(&target);
	if (status != 0)
		return status;
	if (!options.quiet)
		target_note(&target);
	/* From here on there are files that a signal must not leave behind. */
	launch_prepare(&launch);
	if (options.json != NULL)
		status = output_open(&json, options.json);
	if (status == 0)
		status = report_file_create(&file);
	if (status == 0)
		status = run_program(&options, &target, library, &file, &json,
				     &launch);
	output_abandon(&json);
	return status;
}
