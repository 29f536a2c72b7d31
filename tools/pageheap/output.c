/* SPDX-License-Identifier: MIT */
/*
 * A file that appears complete or not at all.
 *
 * The temporary file lies beside its destination, so that one rename puts it
 * in place; a symbolic link is followed first, so that it stays one.  What
 * cannot be renamed over (a pipe, a terminal, anything below /dev or /proc) is
 * written directly.  The temporary file is made before the program runs:
 * a report that cannot be written should not cost an hour of running first.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output.h"
#include "tool.h"

static int output_fail(struct output *output, const char *path)
{
	tool_say("cannot write %s: %s", path, strerror(errno));
	output_abandon(output);
	return EXIT_TOOL;
}

static bool path_is_special(const char *path)
{
	struct stat st;

	return strncmp(path, "/dev/", 5) == 0 ||
	       strncmp(path, "/proc/", 6) == 0 ||
	       (stat(path, &st) == 0 && !S_ISREG(st.st_mode));
}

/* A new file beside output->path, with the usual permissions. */
static int temporary_make(struct output *output)
{
	int n = snprintf(output->temporary, PATH_MAX, "%s.XXXXXX",
			 output->path);
	if (n >= PATH_MAX) {
		output->temporary[0] = '\0';
		errno = ENAMETOOLONG;
		return -1;
	}
	int fd = mkostemp(output->temporary, O_CLOEXEC);
	if (fd < 0) {
		output->temporary[0] = '\0';
		return -1;
	}
	mode_t mask = umask(0);
	umask(mask);
	fchmod(fd, 0666 & ~mask);
	return fd;
}

int output_open(struct output *output, const char *path)
{
	int fd;

	*output = (struct output){0};
	if (path_is_special(path)) {
		snprintf(output->path, PATH_MAX, "%s", path);
		fd = open(path, O_WRONLY | O_CLOEXEC | O_APPEND);
	} else {
		if (realpath(path, output->path) == NULL) {
			int n = snprintf(output->path, PATH_MAX, "%s", path);
			if (n >= PATH_MAX) {
				errno = ENAMETOOLONG;
				return output_fail(output, path);
			}
		}
		fd = temporary_make(output);
	}
	if (fd < 0)
		return output_fail(output, path);
	output->stream = fdopen(fd, "w");
	if (output->stream == NULL) {
		close(fd);
		return output_fail(output, path);
	}
	return 0;
}

int output_commit(struct output *output)
{
	FILE *stream = output->stream;
	int failed = ferror(stream);

	output->stream = NULL;
	failed |= fclose(stream);
	if (failed == 0 && output->temporary[0] != '\0')
		failed = rename(output->temporary, output->path);
	if (failed != 0)
		return output_fail(output, output->path);
	output->temporary[0] = '\0';
	return 0;
}

void output_abandon(struct output *output)
{
	if (output->stream != NULL)
		fclose(output->stream);
	if (output->temporary[0] != '\0')
		unlink(output->temporary);
	*output = (struct output){0};
}
