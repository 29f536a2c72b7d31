/* SPDX-License-Identifier: MIT */
/**
 * @file pageheap_report.h
 * @brief The report file: what the heaps of a tree of processes did, kept by
 *        the processes, read by `pageheap run`.
 *
 * `pageheap run` makes a sparse file and names it to every process of the
 * tree (PAGEHEAP=report=PATH).  Each process that loads libpageheap-malloc
 * claims a slot of its own, maps it shared, and keeps its gauges *in* the
 * slot.  Nothing is written at the end, so nothing is lost when a process ends
 * by _exit, by exec or by a signal: the reader finds the last values.  Only
 * the process's resident memory is written at exit (PH_SLOT_ENDED); for others
 * the reader samples it.
 *
 *     offset 0                4096             8192
 *     +-----------------------+----------------+----------------+---
 *     | struct ph_report_head | slot 0         | slot 1         | ...
 *     +-----------------------+----------------+----------------+---
 *
 * All numbers are in the machine's byte order; fields marked atomic are
 * changed by relaxed atomic stores and may be read at any time.
 */
#ifndef PAGEHEAP_REPORT_H
#define PAGEHEAP_REPORT_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define PH_REPORT_MAGIC UINT64_C(0x5452504552485031) /* "1PHREPRT" */
#define PH_REPORT_VERSION 1
#define PH_REPORT_SLOT_BYTES 4096
#define PH_REPORT_MAX_SLOTS 65536

/** Same as PH_NUM_CLASSES of pageheap.h, fixed in version 1. */
#define PH_REPORT_CLASSES 68

/** Gauges and counts of one heap; meanings as in struct ph_stats. */
struct ph_gauges {
	uint64_t reserved_bytes;
	uint64_t mapped_bytes;
	uint64_t in_use_bytes;
	uint64_t free_bytes;
	uint64_t returned_bytes;
	uint64_t small_span_bytes;
	uint64_t large_span_bytes;
	uint64_t raw_bytes;
	uint64_t large_objects;
	uint64_t large_bytes;
	uint64_t meta_bytes;
	uint64_t peak_in_use_bytes;
	uint64_t peak_resident_bytes;
	uint64_t page_allocs;
	uint64_t page_frees;
	uint64_t growths;
	uint64_t scavenges;
	uint64_t scavenged_bytes;
	uint64_t spans;

	/**
	 * Objects out of their spans, by size class: live, or cached in a
	 * thread's magazine.
	 */
	uint64_t class_objects[PH_REPORT_CLASSES];
	/** Spans in use, by size class. */
	uint64_t class_spans[PH_REPORT_CLASSES];

	/**
	 * Of class_objects those in magazines, as of the last look (a call of
	 * the statistics, the end of the process).
	 */
	uint64_t cached_objects;
	uint64_t cached_bytes;
};

/** First page of the file. */
struct ph_report_head {
	uint64_t magic;	     /**< PH_REPORT_MAGIC */
	uint32_t version;    /**< PH_REPORT_VERSION */
	uint32_t slot_bytes; /**< PH_REPORT_SLOT_BYTES */
	uint32_t max_slots;  /**< slots the file may hold */
	uint32_t next_slot;  /**< atomic: slots claimed, may exceed max */
	uint32_t lost;	     /**< atomic: processes that got no slot */
	uint32_t runner_pid; /**< who made the file */
};

/** What ended, or did not end, the writer of a slot. */
enum ph_slot_state {
	PH_SLOT_EMPTY = 0,   /**< claimed, not filled in yet */
	PH_SLOT_RUNNING = 1, /**< gauges are current; also after a sudden end */
	PH_SLOT_ENDED = 2    /**< ended by exit(): final_* are valid */
};

/** One process image: a process that execs claims a second slot. */
struct ph_report_slot {
	uint32_t state; /**< atomic: enum ph_slot_state, stored with release */
	uint32_t pid;
	uint32_t parent_pid;
	uint32_t forked;   /**< 1: a fork's child that has not called exec */
	uint64_t start_ns; /**< CLOCK_MONOTONIC */
	uint64_t end_ns;   /**< CLOCK_MONOTONIC, with PH_SLOT_ENDED */
	uint64_t start_resident_bytes; /**< the process's RSS at the start */
	uint64_t final_resident_bytes; /**< its RSS at exit */
	uint64_t peak_resident_bytes;  /**< its VmHWM at exit */
	char exe[256];	   /**< path of the program, terminated by NUL */
	char command[512]; /**< arguments joined by blanks, cut to fit, NUL */
	struct ph_gauges gauges; /**< atomic fields, live */
};

#ifdef __cplusplus
}
#endif

#endif
