/* SPDX-License-Identifier: MIT */
/*
 * A stand-in for libpageheap-malloc.so that fills in report slots and leaves
 * malloc alone.
 *
 * It lets the tests of `pageheap run` know every number beforehand, and do
 * what the drop-in never does: a slot that is claimed and not filled, a file
 * that is full, gauges at the limits.  Like the drop-in it claims a slot in a
 * constructor and in a fork's child, and writes its end in a destructor.
 *
 *	FAKE_PEAK=N    peak_resident_bytes
 *	FAKE_EMPTY=1   claims the slot, fills in nothing
 *	FAKE_HUGE=1    every gauge at its largest
 */
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "pageheap_report.h"

static struct ph_report_slot *slot;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t status_bytes(const char *name)
{
	char line[256];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/self/status", "re");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, name, strlen(name)) == 0)
			kib = strtoull(line + strlen(name), NULL, 10);
	if (f != NULL)
		fclose(f);
	return kib * 1024;
}

static void slot_describe(void)
{
	char command[sizeof(slot->command)];
	ssize_t n =
		readlink("/proc/self/exe", slot->exe, sizeof(slot->exe) - 1);
	int fd = open("/proc/self/cmdline", O_RDONLY | O_CLOEXEC);

	slot->exe[n > 0 ? n : 0] = '\0';
	n = read(fd, command, sizeof(command) - 1);
	close(fd);
	for (ssize_t i = 0; i < n; i++)
		slot->command[i] = command[i] != '\0' ? command[i] : ' ';
	if (n > 0)
		slot->command[n - 1] = '\0';
}

static void slot_fill(uint32_t forked)
{
	const char *peak = getenv("FAKE_PEAK");

	slot->pid = (uint32_t)getpid();
	slot->parent_pid = (uint32_t)getppid();
	slot->forked = forked;
	slot->start_ns = now_ns();
	slot->start_resident_bytes = status_bytes("VmRSS:");
	slot_describe();
	struct ph_gauges *g = &slot->gauges;
	if (getenv("FAKE_HUGE") != NULL) {
		memset(g, 0xff, sizeof(*g));
	} else {
		g->mapped_bytes = 4 << 20;
		g->in_use_bytes = 1 << 20;
		g->free_bytes = 1 << 19;
		g->returned_bytes =
			g->mapped_bytes - g->in_use_bytes - g->free_bytes;
		g->peak_resident_bytes = 2 << 20;
		if (peak != NULL)
			g->peak_resident_bytes = strtoull(peak, NULL, 10);
		g->page_allocs = 1234;
		g->page_frees = 1000;
		g->growths = 1;
		g->spans = 7;
		g->class_objects[2] = 100;
		g->class_spans[2] = 1;
		g->large_objects = 2;
		g->large_bytes = 100000;
	}
	__atomic_store_n(&slot->state, PH_SLOT_RUNNING, __ATOMIC_RELEASE);
}

static void slot_claim(uint32_t forked)
{
	const char *options = getenv("PAGEHEAP");
	const char *path = options != NULL ? strstr(options, "report=") : NULL;

	slot = NULL;
	if (path == NULL)
		return;
	int fd = open(path + 7, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return;
	struct ph_report_head *head = mmap(
		NULL, sizeof(*head), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	uint32_t i = __atomic_fetch_add(&head->next_slot, 1, __ATOMIC_RELAXED);
	if (i < head->max_slots)
		slot = mmap(NULL, PH_REPORT_SLOT_BYTES, PROT_READ | PROT_WRITE,
			    MAP_SHARED, fd,
			    (off_t)(i + 1) * PH_REPORT_SLOT_BYTES);
	else
		__atomic_fetch_add(&head->lost, 1, __ATOMIC_RELAXED);
	close(fd);
	if (slot != NULL && getenv("FAKE_EMPTY") == NULL)
		slot_fill(forked);
}

static void fork_child(void)
{
	slot_claim(1);
}

__attribute__((constructor)) static void fake_start(void)
{
	slot_claim(0);
	pthread_atfork(NULL, NULL, fork_child);
}

__attribute__((destructor)) static void fake_end(void)
{
	if (slot == NULL || slot->state == PH_SLOT_EMPTY)
		return;
	slot->gauges.cached_objects = 10;
	slot->gauges.cached_bytes = 160;
	slot->final_resident_bytes = status_bytes("VmRSS:");
	slot->peak_resident_bytes = status_bytes("VmHWM:");
	slot->end_ns = now_ns();
	__atomic_store_n(&slot->state, PH_SLOT_ENDED, __ATOMIC_RELEASE);
}
