/* SPDX-License-Identifier: MIT */
/*
 * A child whose standard error is a pipe; the parent reads it to its end, then
 * waits.  The child leaves by _exit(), so that what the test program registered
 * for its own exit does not run twice.
 */
#include "death.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void death_die(const char *what)
{
	perror(what);
	exit(EXIT_FAILURE);
}

static void run_child(void (*f)(void *arg), void *arg, int fd)
{
	struct rlimit none = {0, 0};

	setrlimit(RLIMIT_CORE, &none);
	if (dup2(fd, STDERR_FILENO) < 0)
		_exit(125);
	close(fd);
	alarm(20);
	f(arg);
	_exit(0);
}

/* qemu-user adds a line of its own when a signal ends the program. */
static void drop_emulators_line(struct death *d)
{
	char *line = strstr(d->message, "qemu: uncaught target signal");

	if (line != NULL && (line == d->message || line[-1] == '\n')) {
		*line = '\0';
		d->nbytes = (size_t)(line - d->message);
	}
}

struct death death_of(void (*f)(void *arg), void *arg)
{
	struct death d;
	int fds[2];
	int status;
	pid_t child;

	memset(&d, 0, sizeof(d));
	fflush(NULL);
	if (pipe(fds) != 0)
		death_die("pipe");
	child = fork();
	if (child < 0)
		death_die("fork");
	if (child == 0) {
		close(fds[0]);
		run_child(f, arg, fds[1]);
	}
	close(fds[1]);
	for (;;) {
		char rest[256];
		size_t room = sizeof(d.message) - 1 - d.nbytes;
		ssize_t n;

		if (room != 0)
			n = read(fds[0], d.message + d.nbytes, room);
		else
			n = read(fds[0], rest, sizeof(rest));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		if (room != 0)
			d.nbytes += (size_t)n;
	}
	drop_emulators_line(&d);
	close(fds[0]);
	while (waitpid(child, &status, 0) < 0) {
		if (errno != EINTR)
			death_die("waitpid");
	}
	d.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	d.status = WIFEXITED(status) ? WEXITSTATUS(status) : -1;
	return d;
}
