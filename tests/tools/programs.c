/* SPDX-License-Identifier: MIT */
/*
 * What the tests of `pageheap run` run: one program, many ways to behave.
 *
 *	exit N        exit(N)
 *	_exit N       _exit(N)
 *	signal N      dies by signal N
 *	rss MIB       touches MIB, frees it, then _exit after 300 ms
 *	forks N       N children, one at a time, each ends by _exit(0)
 *	signals       prints each signal of TERM, HUP, INT, USR1 that arrives;
 *	              exit 0 after USR2
 *	pid           prints its process number and its parent's
 *	leader N      the first thread ends; another calls _exit(N) 200 ms later
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int number;

static int run_rss(void)
{
	size_t nbytes = (size_t)number << 20;
	char *p = mmap(NULL, nbytes, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (p == MAP_FAILED)
		return 1;
	memset(p, 1, nbytes);
	munmap(p, nbytes);
	usleep(300000);
	_exit(0);
}

static int run_forks(void)
{
	for (int i = 0; i < number; i++) {
		pid_t pid = fork();
		if (pid == 0)
			_exit(0);
		if (pid < 0 || waitpid(pid, NULL, 0) != pid)
			return 1;
	}
	return 0;
}

static int run_signals(void)
{
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigprocmask(SIG_BLOCK, &set, NULL);
	puts("ready");
	fflush(stdout);
	while (sigwait(&set, &sig) == 0 && sig != SIGUSR2) {
		printf("%d\n", sig);
		fflush(stdout);
	}
	return 0;
}

static void *thread_exit(void *arg)
{
	(void)arg;
	usleep(200000);
	_exit(number);
}

static int run_leader(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, thread_exit, NULL) != 0)
		return 1;
	pthread_exit(NULL);
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";

	number = argc > 2 ? atoi(argv[2]) : 0;
	if (strcmp(what, "exit") == 0)
		return number;
	if (strcmp(what, "_exit") == 0)
		_exit(number);
	if (strcmp(what, "signal") == 0)
		return raise(number);
	if (strcmp(what, "rss") == 0)
		return run_rss();
	if (strcmp(what, "forks") == 0)
		return run_forks();
	if (strcmp(what, "signals") == 0)
		return run_signals();
	if (strcmp(what, "leader") == 0)
		return run_leader();
	if (strcmp(what, "pid") == 0) {
		printf("%d %d\n", (int)getpid(), (int)getppid());
		return 0;
	}
	fprintf(stderr, "programs: unknown behaviour '%s'\n", what);
	return 99;
}
