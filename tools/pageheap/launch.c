/* SPDX-License-Identifier: MIT */
/*
 * Starting the program, and being a good parent to it.
 *
 * The program stays in the tool's process group, so that a terminal's signals
 * (Ctrl-C, Ctrl-Z, hang-up) and job control reach it as if the tool were not
 * there.  The tool must outlive it to report, and must not leave the report
 * file behind; so it blocks the signals that would end it and takes them one
 * at a time while it waits:
 *
 *	sent by the kernel (a terminal)   the program got it too: nothing to do
 *	sent to the tool by a process     passed on to the program
 *
 * Nothing is caught by a handler, hence nothing is interrupted.  A signal sent
 * to the whole group by kill(2) arrives at the program twice; there is no way
 * to tell.
 *
 * The child sets its environment between fork and exec, which is safe as the
 * tool has one thread.  A failed exec is told through a pipe that a successful
 * one closes.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "launch.h"
#include "tool.h"

static const int forwarded[] = {SIGINT,	 SIGQUIT, SIGTERM, SIGHUP,
				SIGUSR1, SIGUSR2, SIGALRM};

void launch_prepare(struct launch *launch)
{
	struct sigaction standard = {.sa_handler = SIG_DFL};
	struct sigaction ignore = {.sa_handler = SIG_IGN};

	*launch = (struct launch){.pid = -1};
	sigemptyset(&launch->signals);
	sigaddset(&launch->signals, SIGCHLD);
	for (size_t i = 0; i < sizeof(forwarded) / sizeof(int); i++)
		sigaddset(&launch->signals, forwarded[i]);
	sigprocmask(SIG_BLOCK, &launch->signals, &launch->saved_mask);
	/* With SIGCHLD ignored, the kernel throws the status away. */
	sigaction(SIGCHLD, &standard, &launch->saved_child);
	/* ulimit -f must not end the tool. */
	sigaction(SIGXFSZ, &ignore, &launch->saved_fsize);
}

/* PAGEHEAP with our report in place of any other. */
static void environment_set_report(const char *path)
{
	const char *old = getenv("PAGEHEAP");
	size_t size = strlen(path) + sizeof("report=") + 1;
	char *value;

	size += old != NULL ? strlen(old) : 0;
	value = tool_alloc(size);
	while (old != NULL && *old != '\0') {
		size_t length = strcspn(old, ",");
		if (strncmp(old, "report=", 7) != 0 && length > 0) {
			strncat(value, old, length);
			strcat(value, ",");
		}
		old += length + (old[length] == ',');
	}
	strcat(value, "report=");
	strcat(value, path);
	setenv("PAGEHEAP", value, 1);
	free(value);
}

static void environment_set_preload(const char *library)
{
	const char *old = getenv("LD_PRELOAD");

	if (old == NULL || *old == '\0') {
		setenv("LD_PRELOAD", library, 1);
		return;
	}
	size_t size = strlen(library) + strlen(old) + 2;
	char *value = tool_alloc(size);
	snprintf(value, size, "%s:%s", library, old);
	setenv("LD_PRELOAD", value, 1);
	free(value);
}

/* A file that is neither a program nor a script belongs to the shell. */
static void execute_by_shell(const struct launch_program *program)
{
	size_t argc = 0;

	while (program->argv[argc] != NULL)
		argc++;
	char **argv = tool_alloc((argc + 3) * sizeof(char *));
	argv[0] = tool_strdup("sh");
	argv[1] = tool_strdup(program->path);
	for (size_t i = 1; i < argc; i++)
		argv[i + 1] = program->argv[i];
	execv("/bin/sh", argv);
}

static void child_run(const struct launch *launch,
		      const struct launch_program *program, int error_fd)
{
	sigaction(SIGCHLD, &launch->saved_child, NULL);
	sigaction(SIGXFSZ, &launch->saved_fsize, NULL);
	environment_set_preload(program->library);
	environment_set_report(program->report);
	sigprocmask(SIG_SETMASK, &launch->saved_mask, NULL);
	execv(program->path, program->argv);
	if (errno == ENOEXEC)
		execute_by_shell(program);
	int error = errno;
	while (write(error_fd, &error, sizeof(error)) < 0 && errno == EINTR)
		;
	_exit(EXIT_TOOL);
}

int launch_start(struct launch *launch, const struct launch_program *program)
{
	int fds[2];
	int error = 0;

	if (pipe2(fds, O_CLOEXEC) != 0)
		return errno;
	launch->pid = fork();
	if (launch->pid == 0)
		child_run(launch, program, fds[1]);
	if (launch->pid < 0)
		error = errno;
	close(fds[1]);
	if (launch->pid > 0) {
		ssize_t n;
		do
			n = read(fds[0], &error, sizeof(error));
		while (n < 0 && errno == EINTR);
		if (n == (ssize_t)sizeof(error))
			waitpid(launch->pid, NULL, 0);
		else
			error = 0;
	}
	close(fds[0]);
	return error;
}

static void child_reap(struct launch *launch)
{
	pid_t pid;

	do
		pid = wait4(launch->pid, &launch->status, WNOHANG,
			    &launch->usage);
	while (pid < 0 && errno == EINTR);
	launch->ended = pid == launch->pid;
}

void launch_wait(struct launch *launch, uint64_t ns)
{
	struct timespec timeout = {.tv_sec = (time_t)(ns / 1000000000u),
				   .tv_nsec = (long)(ns % 1000000000u)};
	siginfo_t info;
	int sig = sigtimedwait(&launch->signals, &info, &timeout);

	if (sig > 0 && sig != SIGCHLD && info.si_code <= 0 &&
	    info.si_pid != launch->pid)
		kill(launch->pid, sig);
	child_reap(launch);
}
