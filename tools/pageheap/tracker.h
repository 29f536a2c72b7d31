/* SPDX-License-Identifier: MIT */
/*
 * The process images of a run: one for each slot of the report file.
 */
#ifndef TRACKER_H
#define TRACKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include "report_file.h"

/* How an image ended. */
enum image_end {
	IMAGE_LIVE,	   /* it has not */
	IMAGE_EXITED,	   /* by exit(), or by returning from main() */
	IMAGE_SUDDEN,	   /* by _exit() or a signal */
	IMAGE_EXEC,	   /* it became image `successor` */
	IMAGE_EXEC_UNSEEN, /* it became a program without the drop-in */
	IMAGE_RUNNING,	   /* it outlived the run */
	IMAGE_UNKNOWN	   /* its process was never found */
};

/* Where the numbers of resident memory come from. */
enum rss_source {
	RSS_NONE,    /* nobody looked while it lived */
	RSS_SAMPLED, /* by looking from time to time */
	RSS_WAITED,  /* the peak by wait4(2), the end by looking */
	RSS_EXACT    /* by the process itself at its end */
};

struct image {
	const struct ph_report_slot *slot;
	uint32_t number; /* of the slot */
	uint32_t pid;
	uint32_t parent_pid;
	bool forked;
	char *exe;     /* path of the program; "" until the slot is filled */
	char *command; /* its arguments */

	enum image_end end;
	int status;	    /* as wait(2) gives it; -1: unknown */
	uint32_t successor; /* slot number, with IMAGE_EXEC */
	char *became;	    /* path of a program without the drop-in, or NULL */

	/* While it lives. */
	int pidfd;	      /* -1: none */
	bool identified;      /* /proc/PID is this process */
	uint64_t start_ticks; /* once identified */

	enum rss_source rss_source;
	uint64_t rss_peak;
	uint64_t rss_final;
};

struct tracker {
	struct report_file *file;
	uint32_t main_pid;
	struct image *images; /* by slot number */
	uint32_t nimages;
	uint32_t capacity;
	uint32_t *live; /* numbers of images that have not ended */
	uint32_t nlive;
	uint32_t npidfds;
};

void tracker_init(struct tracker *tracker, struct report_file *file,
		  uint32_t main_pid);

/*
 * Looks at new slots and at the processes that live.  Returns true when a
 * process appeared or ended.  Cost: a few system calls for each live process.
 */
bool tracker_update(struct tracker *tracker);

/* The main program ended. */
void tracker_main_ended(struct tracker *tracker, int status,
			const struct rusage *usage);

/* Takes whatever still lives as outliving the run. */
void tracker_finish(struct tracker *tracker);

/* The main program's last image, or NULL when it never claimed a slot. */
const struct image *tracker_main_image(const struct tracker *tracker);

#endif
