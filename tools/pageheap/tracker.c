/* SPDX-License-Identifier: MIT */
/*
 * The process images of a run: one for each slot of the report file.
 *
 * A process that loads the drop-in claims a slot, a fork's child claims one
 * more, and so does every program that a process becomes by exec.  Slots say
 * how the heap stands; they do not say when their process is gone.  That is
 * found out here, by looking at /proc from time to time:
 *
 *	the slot says ENDED                          IMAGE_EXITED
 *	a newer slot of the same process             IMAGE_EXEC
 *	the process is gone                          IMAGE_SUDDEN
 *	its program is another, and no newer slot    IMAGE_EXEC_UNSEEN
 *
 * Identity.  A slot's process number counts only while /proc/PID shows a
 * process that started before the slot was claimed and runs the slot's
 * program.  Anything else is a number used again, or a number of another PID
 * namespace; such an image is not sampled, and its end is told by its slot
 * alone.  Once identified, a pidfd or the start time keeps the identity.
 *
 * Two slots of one number are the same process after an exec, unless the newer
 * one is a fork's child (a fork gives a fresh number), the older one ended, or
 * their processes started at different times.
 *
 * Cost.  Only live images are looked at; two small files each.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "process.h"
#include "tool.h"
#include "tracker.h"

/* More would use up the descriptors of a run with many processes. */
#define MAX_PIDFDS 256

/* Start times in /proc are whole ticks; two of the usual length. */
#define START_SLACK_NS 20000000

void tracker_init(struct tracker *tracker, struct report_file *file,
		  uint32_t main_pid)
{
	*tracker = (struct tracker){.file = file, .main_pid = main_pid};
}

static bool slot_ended(const struct image *image)
{
	return slot_state(image->slot) == PH_SLOT_ENDED;
}

static void image_end(struct tracker *tracker, struct image *image,
		      enum image_end end)
{
	image->end = end;
	if (image->pidfd >= 0) {
		close(image->pidfd);
		image->pidfd = -1;
		tracker->npidfds--;
	}
	for (uint32_t i = 0; i < tracker->nlive; i++) {
		if (tracker->live[i] != image->number)
			continue;
		/* Keeps the order, which is by age. */
		memmove(&tracker->live[i], &tracker->live[i + 1],
			(tracker->nlive - i - 1) * sizeof(uint32_t));
		tracker->nlive--;
		break;
	}
}

/* The process of an image is gone; status may be unknown (-1). */
static void image_gone(struct tracker *tracker, struct image *image, int status)
{
	image->status = status;
	if (slot_ended(image))
		image_end(tracker, image, IMAGE_EXITED);
	else if (image->became != NULL)
		image_end(tracker, image, IMAGE_EXEC_UNSEEN);
	else
		image_end(tracker, image, IMAGE_SUDDEN);
}

static void became_forget(struct image *image)
{
	free(image->became);
	image->became = NULL;
}

/*
 * Sees whether the process has become another program.  Between the exec and
 * the new program's slot there is a moment in which it looks as if there would
 * be no slot; hence nothing ends here, and a newer slot wins.
 */
static void image_check_exec(struct image *image)
{
	char exe[PATH_MAX];

	if (image->exe[0] == '\0' ||
	    !process_exe_read(image->pid, exe, sizeof(exe)))
		return;
	became_forget(image);
	/* exe of the slot may be cut. */
	if (strncmp(exe, image->exe, sizeof(image->slot->exe) - 1) != 0)
		image->became = tool_strdup(exe);
}

/*
 * Takes the process's resident memory, unless the process became another
 * program meanwhile: then it is that program's.  Memory and link are exchanged
 * together, so the link is read second.  A program that became itself shows by
 * a peak that falls.
 */
static void image_sample(struct image *image)
{
	struct process_memory memory;
	bool read = process_memory_read(image->pid, &memory);

	image_check_exec(image);
	/* At its end the process writes its own, exact numbers. */
	if (!read || slot_ended(image) || image->became != NULL ||
	    memory.peak_bytes < image->rss_peak / 2 ||
	    memory.peak_bytes < image->slot->start_resident_bytes / 2)
		return;
	image->rss_source = RSS_SAMPLED;
	image->rss_final = memory.resident_bytes;
	if (memory.peak_bytes > image->rss_peak)
		image->rss_peak = memory.peak_bytes;
}

/*
 * Finds out whether /proc/PID is the image's process.  A process that runs
 * another program by now is accepted only with the parent that the slot names,
 * because in another PID namespace the number may be anybody's.
 */
static void image_identify(struct tracker *tracker, struct image *image)
{
	struct process_stat stat;
	int pidfd = -1;

	if (tracker->npidfds < MAX_PIDFDS)
		pidfd = process_open(image->pid);
	image->identified = process_stat_read(image->pid, &stat) &&
			    ticks_to_monotonic_ns(stat.start_ticks) <=
				    image->slot->start_ns + START_SLACK_NS;
	if (image->identified) {
		if (stat.state != 'Z')
			image_check_exec(image);
		if (stat.state == 'Z' || image->became != NULL)
			image->identified =
				stat.parent_pid == image->parent_pid;
		if (!image->identified)
			became_forget(image);
	}
	if (!image->identified) {
		if (pidfd >= 0)
			close(pidfd);
		return;
	}
	image->start_ticks = stat.start_ticks;
	image->pidfd = pidfd;
	if (pidfd >= 0)
		tracker->npidfds++;
}

/*
 * Whether a newer image with the same process number is what this one became
 * by exec.
 */
static bool image_is_successor(const struct image *older,
			       const struct image *newer)
{
	if (newer->forked || slot_ended(older))
		return false;
	return !older->identified || !newer->identified ||
	       older->start_ticks == newer->start_ticks;
}

/* Takes in slot number tracker->nimages; false when it is not filled yet. */
static bool image_add(struct tracker *tracker)
{
	uint32_t number = tracker->nimages;
	const struct ph_report_slot *slot =
		report_file_slot(tracker->file, number);

	if (slot == NULL)
		return false;
	if (number == tracker->capacity) {
		tracker->capacity = number < 64 ? 64 : number * 2;
		tracker->images =
			tool_realloc(tracker->images,
				     tracker->capacity * sizeof(struct image));
		tracker->live = tool_realloc(
			tracker->live, tracker->capacity * sizeof(uint32_t));
	}
	struct image *image = &tracker->images[tracker->nimages++];
	*image = (struct image){.slot = slot,
				.number = number,
				.exe = tool_strdup(""),
				.command = tool_strdup(""),
				.status = -1,
				.pidfd = -1,
				.end = IMAGE_LIVE};
	tracker->live[tracker->nlive++] = number;
	return true;
}

/* Replaces *to by text of a slot, which need not end if its writer is mad. */
static void text_copy(char **to, const char *from, size_t size)
{
	size_t length = strnlen(from, size);
	char *copy = tool_alloc(length + 1);

	memcpy(copy, from, length);
	free(*to);
	*to = copy;
}

/* The writer has filled in who it is. */
static void image_fill(struct tracker *tracker, struct image *image)
{
	image->pid = image->slot->pid;
	image->parent_pid = image->slot->parent_pid;
	image->forked = image->slot->forked != 0;
	text_copy(&image->exe, image->slot->exe, sizeof(image->slot->exe));
	text_copy(&image->command, image->slot->command,
		  sizeof(image->slot->command));
	image_identify(tracker, image);
	for (uint32_t i = 0; i < tracker->nlive; i++) {
		struct image *other = &tracker->images[tracker->live[i]];
		if (other->pid != image->pid || other->number >= image->number)
			continue;
		if (image_is_successor(other, image)) {
			other->successor = image->number;
			image_end(tracker, other, IMAGE_EXEC);
		} else {
			image_gone(tracker, other, -1);
		}
		break;
	}
}

/*
 * Takes in slots that were claimed and fills in those that were filled in.
 * Every image's end is decided after this, for the slot of the program that a
 * process became must not be missed.
 */
static bool tracker_absorb(struct tracker *tracker)
{
	uint32_t before = tracker->nimages;
	uint32_t claimed = report_file_count(tracker->file);

	while (tracker->nimages < claimed && image_add(tracker))
		;
	for (uint32_t i = 0; i < tracker->nlive;) {
		struct image *image = &tracker->images[tracker->live[i]];
		uint32_t nlive = tracker->nlive;
		if (image->pid == 0 && slot_state(image->slot) != PH_SLOT_EMPTY)
			image_fill(tracker, image);
		/* Filling in may end an earlier image; the rest moves up. */
		if (tracker->nlive == nlive)
			i++;
	}
	return tracker->nimages != before;
}

/*
 * Whether the process of a live image is gone; then *status is its status as
 * wait(2) gives it, or -1.  wait4(2) tells the main program's end, so that one
 * is never gone here.
 */
static bool image_is_gone(struct tracker *tracker, struct image *image,
			  int *status)
{
	struct process_stat stat;

	*status = -1;
	if (image->pid == 0 || image->pid == tracker->main_pid)
		return false;
	bool same = process_stat_read(image->pid, &stat);
	if (!image->identified)
		return !same;
	same = same && stat.start_ticks == image->start_ticks;
	/* A leader that ended before its threads looks like a zombie. */
	bool zombie = same && stat.state == 'Z' && stat.nthreads <= 1;
	if (same && !zombie)
		return false;
	if (zombie)
		*status = stat.status;
	else if (image->pidfd >= 0)
		*status = process_status(image->pidfd);
	return true;
}

/* Looks at one live image; returns true when it ended. */
static bool image_update(struct tracker *tracker, uint32_t number)
{
	struct image *image = &tracker->images[number];
	int status;

	if (image->pid != 0 && !image->identified)
		image_identify(tracker, image);
	if (image->identified)
		image_sample(image);
	if (!image_is_gone(tracker, image, &status))
		return false;
	/* It may have become another program since the last look. */
	tracker_absorb(tracker);
	image = &tracker->images[number];
	if (image->end == IMAGE_LIVE)
		image_gone(tracker, image, status);
	return true;
}

bool tracker_update(struct tracker *tracker)
{
	bool changed = tracker_absorb(tracker);

	for (uint32_t i = 0; i < tracker->nlive;) {
		if (image_update(tracker, tracker->live[i]))
			changed = true;
		else
			i++;
	}
	return changed;
}

const struct image *tracker_main_image(const struct tracker *tracker)
{
	for (uint32_t i = tracker->nimages; i-- > 0;)
		if (tracker->images[i].pid == tracker->main_pid)
			return &tracker->images[i];
	return NULL;
}

void tracker_main_ended(struct tracker *tracker, int status,
			const struct rusage *usage)
{
	tracker_update(tracker);
	for (uint32_t i = 0; i < tracker->nlive; i++) {
		struct image *image = &tracker->images[tracker->live[i]];
		if (image->pid != tracker->main_pid)
			continue;
		image_gone(tracker, image, status);
		/*
		 * wait4(2) gives the largest of a process, of the programs it
		 * was before and of the children it waited for.
		 */
		if (tracker->nimages == 1) {
			uint64_t peak = (uint64_t)usage->ru_maxrss * 1024;
			image->rss_source = RSS_WAITED;
			if (peak > image->rss_peak)
				image->rss_peak = peak;
		}
		break;
	}
}

void tracker_finish(struct tracker *tracker)
{
	while (tracker->nlive > 0) {
		uint32_t number = tracker->live[tracker->nlive - 1];
		struct image *image = &tracker->images[number];
		image_end(tracker, image,
			  slot_ended(image)    ? IMAGE_EXITED
			  : !image->identified ? IMAGE_UNKNOWN
					       : IMAGE_RUNNING);
	}
	for (uint32_t i = 0; i < tracker->nimages; i++) {
		struct image *image = &tracker->images[i];
		if (slot_ended(image)) {
			image->rss_source = RSS_EXACT;
			image->rss_final = image->slot->final_resident_bytes;
			image->rss_peak = image->slot->peak_resident_bytes;
		}
		/* The kernel's counts of pages are a few pages apart. */
		if (image->rss_peak < image->rss_final)
			image->rss_peak = image->rss_final;
	}
}
