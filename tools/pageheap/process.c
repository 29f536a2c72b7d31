/* SPDX-License-Identifier: MIT */
/*
 * What /proc and pidfds tell about a process that is not our child.
 *
 * A process number alone names nobody: it is used again after its process is
 * reaped.  The number and the start time together do, and so does a pidfd for
 * as long as it is open.
 *
 * The status of somebody else's child is not ours to wait for.  Two places
 * show it all the same: the last field of /proc/PID/stat while the process is
 * a zombie, and since Linux 6.15 the pidfd after the process was reaped.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "process.h"

/*
 * PIDFD_GET_INFO of <linux/pidfd.h>, which Debian 12's headers lack.  The
 * first 64 bytes are the structure's first version; an older kernel answers
 * ENOTTY, or leaves PIDFD_INFO_EXIT out of mask.
 */
struct pidfd_info_v0 {
	uint64_t mask;
	uint64_t cgroupid;
	uint32_t ids[11]; /* pid, tgid, ppid, four uids, four gids */
	int32_t exit_code;
};
#define PIDFD_GET_INFO_V0 _IOWR(0xff, 11, struct pidfd_info_v0)
#define PIDFD_INFO_EXIT_BIT (UINT64_C(1) << 3)

/* A small file of /proc into buffer, NUL behind it; false when empty. */
static bool proc_read(uint32_t pid, const char *name, char *buffer, size_t size)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t n = read(fd, buffer, size - 1);
	close(fd);
	if (n <= 0)
		return false;
	buffer[n] = '\0';
	return true;
}

/* The start of field `want` (3 is the first after the name) of stat. */
static const char *stat_field(const char *after_name, int want)
{
	const char *p = after_name;

	for (int field = 3; field < want && p != NULL; field++) {
		p = strchr(p, ' ');
		if (p != NULL)
			p++;
	}
	return p;
}

bool process_stat_read(uint32_t pid, struct process_stat *stat)
{
	char text[1024];

	if (!proc_read(pid, "stat", text, sizeof(text)))
		return false;
	/* The name may contain blanks and parentheses; the rest cannot. */
	const char *p = strrchr(text, ')');
	if (p == NULL || p[1] != ' ')
		return false;
	p += 2;
	const char *parent = stat_field(p, 4);
	const char *nthreads = stat_field(p, 20);
	const char *start = stat_field(p, 22);
	const char *status = stat_field(p, 52);
	if (parent == NULL || nthreads == NULL || start == NULL ||
	    status == NULL)
		return false;
	stat->state = *p;
	stat->parent_pid = (uint32_t)strtoul(parent, NULL, 10);
	stat->nthreads = (uint32_t)strtoul(nthreads, NULL, 10);
	stat->start_ticks = strtoull(start, NULL, 10);
	stat->status = *p == 'Z' ? atoi(status) : -1;
	return true;
}

/* The value of "Name:   123 kB" in bytes. */
static bool status_bytes(const char *text, const char *name, uint64_t *nbytes)
{
	const char *line = strstr(text, name);

	if (line == NULL)
		return false;
	*nbytes = strtoull(line + strlen(name), NULL, 10) * 1024;
	return true;
}

bool process_memory_read(uint32_t pid, struct process_memory *memory)
{
	char text[4096];

	return proc_read(pid, "status", text, sizeof(text)) &&
	       status_bytes(text, "\nVmHWM:", &memory->peak_bytes) &&
	       status_bytes(text, "\nVmRSS:", &memory->resident_bytes);
}

bool process_exe_read(uint32_t pid, char *exe, size_t size)
{
	static const char deleted[] = " (deleted)";
	char path[64];

	snprintf(path, sizeof(path), "/proc/%u/exe", pid);
	ssize_t n = readlink(path, exe, size - 1);
	if (n <= 0)
		return false;
	exe[n] = '\0';
	/* A program that was replaced while it runs is still the same. */
	size_t tail = sizeof(deleted) - 1;
	if ((size_t)n > tail && strcmp(exe + n - tail, deleted) == 0)
		exe[(size_t)n - tail] = '\0';
	return true;
}

int process_open(uint32_t pid)
{
	return (int)syscall(SYS_pidfd_open, (pid_t)pid, 0);
}

int process_status(int pidfd)
{
	struct pidfd_info_v0 info = {.mask = PIDFD_INFO_EXIT_BIT};

	if (ioctl(pidfd, PIDFD_GET_INFO_V0, &info) != 0 ||
	    (info.mask & PIDFD_INFO_EXIT_BIT) == 0)
		return -1;
	return info.exit_code;
}

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t ticks_to_monotonic_ns(uint64_t ticks)
{
	/* Ticks count since boot, also while the machine was suspended. */
	uint64_t suspended = clock_ns(CLOCK_BOOTTIME) - clock_monotonic_ns();
	uint64_t tick_ns = 1000000000u / (uint64_t)sysconf(_SC_CLK_TCK);

	return (ticks + 1) * tick_ns - suspended;
}
