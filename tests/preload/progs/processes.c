/* SPDX-License-Identifier: MIT */
/*
 * vfork, posix_spawn, exec and sudden deaths, with allocations around them.
 */
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

#include "check.h"

extern char **environ;

static int wait_for(pid_t pid)
{
	int status;

	check(pid > 0);
	check(waitpid(pid, &status, 0) == pid);
	return status;
}

static void test_vfork(void)
{
	for (int i = 0; i < 50; i++) {
		char *p = malloc(1000);
		pid_t pid = vfork();
		if (pid == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		free(p);
		check(wait_for(pid) == 0);
	}
}

static void test_spawn(void)
{
	char *argv[] = {(char[]){"sh"}, (char[]){"-c"}, (char[]){"exit 3"},
			NULL};

	for (int i = 0; i < 50; i++) {
		pid_t pid;
		check(posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ) ==
		      0);
		int status = wait_for(pid);
		check(WIFEXITED(status) && WEXITSTATUS(status) == 3);
	}
	check(WEXITSTATUS(system("exit 5")) == 5);
	FILE *f = popen("echo out", "r");
	char line[16];
	check(f != NULL && fgets(line, sizeof(line), f) != NULL);
	check(strcmp(line, "out\n") == 0 && pclose(f) == 0);
}

static void test_deaths(void)
{
	const int signals[] = {SIGKILL, SIGTERM, SIGALRM, SIGUSR1};

	for (size_t i = 0; i < sizeof(signals) / sizeof(*signals); i++) {
		pid_t pid = fork();
		if (pid == 0) {
			memset(malloc(100000), 1, 100000);
			kill(getpid(), signals[i]);
			for (;;)
				pause();
		}
		int status = wait_for(pid);
		check(WIFSIGNALED(status) && WTERMSIG(status) == signals[i]);
	}
	pid_t pid = fork();
	if (pid == 0) {
		free(malloc(10));
		_exit(9);
	}
	int status = wait_for(pid);
	check(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

int main(void)
{
	test_vfork();
	test_spawn();
	test_deaths();
	puts("processes: ok");
	fflush(stdout);
	void *p = malloc(1 << 20);
	memset(p, 1, 1 << 20);
	execl("/bin/sh", "sh", "-c", "exit 6", (char *)NULL);
	return 1;
}
