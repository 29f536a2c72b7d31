/* SPDX-License-Identifier: MIT */
/*
 * The report file of pageheap_report.h, from the reader's side.
 *
 * The file is sparse: its length covers every slot, its memory only those that
 * are claimed, one page each.  It lies in a memory file system when there is
 * one, because the processes write to it all the time and a disk would be
 * written every few seconds.
 *
 *     head          slots 0..255     slots 256..511
 *     +--------+----------------+----------------+---
 *     | mapped | mapped at once | when claimed   |
 *     +--------+----------------+----------------+---
 *
 * A writer whose page cannot be had (a full file system) would be killed by
 * SIGBUS; the number of slots is therefore chosen to fit half of what is free.
 *
 * Writers change gauges by relaxed stores at any time, so a copy is a mixture
 * of moments; each number is whole.  The runner is the only reader.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "report_file.h"
#include "tool.h"

#define SLOT_BYTES ((uint64_t)PH_REPORT_SLOT_BYTES)

/* With less room than this another directory is better. */
#define ROOM_WANTED (UINT64_C(4096) * SLOT_BYTES)
#define ROOM_NEEDED (UINT64_C(16) * SLOT_BYTES)

const uint16_t class_bytes[PH_REPORT_CLASSES] = {
	0,     8,     16,    24,    32,	   48,	  64,	 80,	96,    112,
	128,   144,   160,   176,   192,   208,	  224,	 240,	256,   288,
	320,   352,   384,   416,   448,   480,	  512,	 576,	640,   704,
	768,   896,   1024,  1152,  1280,  1408,  1536,	 1792,	2048,  2304,
	2688,  3072,  3200,  3456,  4096,  4864,  5376,	 6144,	6528,  6784,
	6912,  8192,  9472,  9728,  10240, 10880, 12288, 13568, 14336, 16384,
	18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768};

/* Bytes of dir's file system that we may take; 0 when dir is of no use. */
static uint64_t directory_room(const char *dir)
{
	struct statvfs fs;

	/* The name becomes a value of PAGEHEAP, where commas separate. */
	if (dir == NULL || dir[0] != '/' || strchr(dir, ',') != NULL)
		return 0;
	if (access(dir, W_OK | X_OK) != 0 || statvfs(dir, &fs) != 0)
		return 0;
	return (uint64_t)fs.f_bavail * fs.f_frsize / 2;
}

/* Makes the file in dir with as many slots as may be; returns 0 or errno. */
static int file_make(struct report_file *file, const char *dir, uint64_t room)
{
	uint64_t random;
	uint64_t slots = room / SLOT_BYTES;

	if (getrandom(&random, sizeof(random), 0) != sizeof(random))
		return errno;
	int n = snprintf(file->path, sizeof(file->path),
			 "%s/pageheap-run.%d.%016llx", dir, (int)getpid(),
			 (unsigned long long)random);
	if (n >= (int)sizeof(file->path))
		return ENAMETOOLONG;
	file->fd =
		open(file->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file->fd < 0)
		return errno;
	if (slots > PH_REPORT_MAX_SLOTS)
		slots = PH_REPORT_MAX_SLOTS;
	/* RLIMIT_FSIZE may forbid the length; SIGXFSZ is ignored here. */
	while (ftruncate(file->fd, (off_t)((slots + 1) * SLOT_BYTES)) != 0) {
		slots /= 2;
		if (slots == 0)
			return errno;
	}
	int error = posix_fallocate(file->fd, 0, PH_REPORT_SLOT_BYTES);
	if (error != 0)
		return error;
	file->head = mmap(NULL, sizeof(*file->head), PROT_READ | PROT_WRITE,
			  MAP_SHARED, file->fd, 0);
	if (file->head == MAP_FAILED)
		return errno;
	*file->head = (struct ph_report_head){
		.magic = PH_REPORT_MAGIC,
		.version = PH_REPORT_VERSION,
		.slot_bytes = PH_REPORT_SLOT_BYTES,
		.max_slots = (uint32_t)slots,
		.runner_pid = (uint32_t)getpid(),
	};
	return 0;
}

int report_file_create(struct report_file *file)
{
	const char *const dirs[] = {getenv("XDG_RUNTIME_DIR"), "/dev/shm",
				    getenv("TMPDIR"), "/tmp"};
	const uint64_t enough[] = {ROOM_WANTED, ROOM_NEEDED};
	int error = ENOSPC;

	memset(file, 0, sizeof(*file));
	file->fd = -1;
	/* First a directory with plenty of room, then one with any. */
	for (size_t pass = 0; pass < 2; pass++) {
		for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
			uint64_t room = directory_room(dirs[i]);
			if (room < enough[pass])
				continue;
			error = file_make(file, dirs[i], room);
			if (error == 0)
				return 0;
			report_file_remove(file);
		}
	}
	tool_say("cannot make a report file in $XDG_RUNTIME_DIR, /dev/shm, "
		 "$TMPDIR or /tmp: %s",
		 strerror(error));
	return EXIT_TOOL;
}

void report_file_remove(struct report_file *file)
{
	if (file->fd >= 0 && file->path[0] != '\0')
		unlink(file->path);
	file->path[0] = '\0';
}

uint32_t report_file_count(const struct report_file *file)
{
	uint32_t claimed =
		__atomic_load_n(&file->head->next_slot, __ATOMIC_RELAXED);

	return claimed < file->head->max_slots ? claimed
					       : file->head->max_slots;
}

uint32_t report_file_lost(const struct report_file *file)
{
	return __atomic_load_n(&file->head->lost, __ATOMIC_RELAXED);
}

const struct ph_report_slot *report_file_slot(struct report_file *file,
					      uint32_t i)
{
	uint32_t w = i / REPORT_WINDOW_SLOTS;

	if (file->windows[w] == NULL) {
		uint64_t offset =
			SLOT_BYTES * (1 + (uint64_t)w * REPORT_WINDOW_SLOTS);
		void *p = mmap(NULL, REPORT_WINDOW_SLOTS * SLOT_BYTES,
			       PROT_READ, MAP_SHARED, file->fd, (off_t)offset);
		if (p == MAP_FAILED)
			return NULL;
		file->windows[w] = p;
	}
	return (const void *)(file->windows[w] +
			      i % REPORT_WINDOW_SLOTS * SLOT_BYTES);
}

uint32_t slot_state(const struct ph_report_slot *slot)
{
	return __atomic_load_n(&slot->state, __ATOMIC_ACQUIRE);
}

struct ph_gauges slot_gauges(const struct ph_report_slot *slot)
{
	union {
		struct ph_gauges gauges;
		uint64_t words[sizeof(struct ph_gauges) / sizeof(uint64_t)];
	} copy;
	const uint64_t *from = (const uint64_t *)&slot->gauges;

	_Static_assert(sizeof(copy.words) == sizeof(copy.gauges),
		       "gauges are words");
	for (size_t i = 0; i < sizeof(copy.words) / sizeof(copy.words[0]); i++)
		copy.words[i] = __atomic_load_n(&from[i], __ATOMIC_RELAXED);
	return copy.gauges;
}

struct slot_live gauges_live(const struct ph_gauges *gauges)
{
	struct slot_live live = {gauges->large_objects, gauges->large_bytes};

	for (size_t i = 0; i < PH_REPORT_CLASSES; i++) {
		live.objects += gauges->class_objects[i];
		live.nbytes += gauges->class_objects[i] * class_bytes[i];
	}
	return live;
}
