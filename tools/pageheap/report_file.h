/* SPDX-License-Identifier: MIT */
/*
 * The report file of pageheap_report.h, from the reader's side.
 */
#ifndef REPORT_FILE_H
#define REPORT_FILE_H

#include <limits.h>
#include <stdint.h>

#include "pageheap_report.h"

/* Slots are mapped 256 at a time, since most runs need one window. */
#define REPORT_WINDOW_SLOTS 256
#define REPORT_WINDOWS (PH_REPORT_MAX_SLOTS / REPORT_WINDOW_SLOTS)

struct report_file {
	int fd;
	char path[PATH_MAX]; /* "" once it is removed */
	struct ph_report_head *head;
	const char *windows[REPORT_WINDOWS];
};

/* Returns 0, or EXIT_TOOL after saying why. */
int report_file_create(struct report_file *file);

/* Removes the name; what is mapped stays readable. */
void report_file_remove(struct report_file *file);

/* Slots claimed so far, of those that the file has. */
uint32_t report_file_count(const struct report_file *file);

/* Processes that wanted a slot when none was left. */
uint32_t report_file_lost(const struct report_file *file);

/* Slot number i, below the count; NULL when it cannot be mapped. */
const struct ph_report_slot *report_file_slot(struct report_file *file,
					      uint32_t i);

/* The slot's state, with acquire: what the writer stored before is seen. */
uint32_t slot_state(const struct ph_report_slot *slot);

/* A copy of gauges that may be changing, each value whole. */
struct ph_gauges slot_gauges(const struct ph_report_slot *slot);

/* What can be told from gauges, beside the gauges. */
struct slot_live {
	uint64_t objects; /* out of their spans, large ones included */
	uint64_t nbytes;
};
struct slot_live gauges_live(const struct ph_gauges *gauges);

/* Usable bytes of an object of a size class. */
extern const uint16_t class_bytes[PH_REPORT_CLASSES];

#endif
