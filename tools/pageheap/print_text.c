/* SPDX-License-Identifier: MIT */
/*
 * A finished run, for people.
 *
 * One block for each process image, in the order in which they started:
 *
 *	pageheap: sqlite3 (pid 4711): exit 0 after 1.23 s
 *	  peak     heap 34.2 MiB = 81 % of the process's peak RSS of 42.1 MiB
 *	  at end   heap 12.0 MiB of RSS 20.0 MiB: in use 10.0 MiB, ...
 *	  live     12,345 objects of 9.1 MiB in 210 spans; ...
 *	  pages    1,234 allocations, 1,100 frees, 5 growths, ...
 *
 * A tree of many processes would fill the screen, so beyond BLOCKS_MAX images
 * only the largest get a block, and each other one line.  A fork's child that
 * only called exec always gets a line: its heap is its parent's.  No image is
 * left out, and what is known not to be counted is said at the end.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "format.h"
#include "print.h"
#include "tool.h"

#define BLOCKS_MAX 20

/* Where the names of programs are cut. */
#define NAME_MAX_BYTES 40
#define COMMAND_MAX_BYTES 300

/*
 * The last component of the first argument, which for links (redis-server,
 * sh) says more than the file behind them.
 */
static void print_image_name(FILE *out, const struct image *image)
{
	char name[256];
	size_t length = strcspn(image->command, " ");

	if (length == 0 || length >= sizeof(name)) {
		format_plain(out, path_base(image->exe), NAME_MAX_BYTES);
		return;
	}
	memcpy(name, image->command, length);
	name[length] = '\0';
	format_plain(out, path_base(name), NAME_MAX_BYTES);
}

static void print_name(FILE *out, const struct image *image)
{
	print_image_name(out, image);
	fprintf(out, " (pid %u)", image->pid);
}

/* "1 growth", "2 growths". */
static void print_count(FILE *out, uint64_t n, const char *noun)
{
	fprintf(out, "%s %s%s", format_count(n).s, noun, n == 1 ? "" : "s");
}

static void print_status(FILE *out, int status)
{
	if (WIFSIGNALED(status))
		fprintf(out, "killed by signal %d (%s)", WTERMSIG(status),
			strsignal(WTERMSIG(status)));
	else
		fprintf(out, "exit %d", WEXITSTATUS(status));
}

static void print_end(FILE *out, const struct run_result *result,
		      const struct image *image)
{
	const struct tracker *tracker = result->tracker;

	switch (image->end) {
	case IMAGE_EXITED:
		if (image->status >= 0)
			print_status(out, image->status);
		else
			fputs("exit", out);
		break;
	case IMAGE_SUDDEN:
		if (image->status < 0) {
			fputs("ended by _exit or a signal", out);
			break;
		}
		print_status(out, image->status);
		if (WIFEXITED(image->status))
			fputs(" by _exit or an unseen exec", out);
		break;
	case IMAGE_EXEC:
		fputs("became ", out);
		print_image_name(out, &tracker->images[image->successor]);
		fputs(" by exec", out);
		break;
	case IMAGE_EXEC_UNSEEN:
		fputs("became ", out);
		format_plain(out, path_base(image->became), NAME_MAX_BYTES);
		fputs(" by exec, which did not load the library", out);
		break;
	case IMAGE_RUNNING:
		fputs("still running", out);
		break;
	case IMAGE_LIVE:
	case IMAGE_UNKNOWN:
		fputs("its end was not seen", out);
		break;
	}
	if (image == tracker_main_image(tracker))
		fprintf(out, " after %s",
			format_duration(result->elapsed_ns).s);
	else if (slot_state(image->slot) == PH_SLOT_ENDED &&
		 image->slot->end_ns >= image->slot->start_ns)
		fprintf(out, " after %s",
			format_duration(image->slot->end_ns -
					image->slot->start_ns)
				.s);
}

/* The heap's peak against the process's. */
static void print_share(FILE *out, const struct image *image,
			const struct ph_gauges *gauges)
{
	uint64_t heap = gauges->peak_resident_bytes;

	fprintf(out, "  peak     heap %s", format_bytes(heap).s);
	if (image->rss_source == RSS_NONE) {
		fprintf(out,
			"; the process's RSS was %s at its start and was not "
			"seen later",
			format_bytes(image->slot->start_resident_bytes).s);
	} else if (heap > image->rss_peak) {
		fprintf(out,
			", above the process's peak RSS of %s: not all of it "
			"was touched",
			format_bytes(image->rss_peak).s);
	} else {
		fprintf(out, " = %s of the process's peak RSS of %s%s",
			format_percent(heap, image->rss_peak).s,
			format_bytes(image->rss_peak).s,
			image->rss_source == RSS_SAMPLED ? " (sampled)" : "");
	}
	fputc('\n', out);
}

static void print_memory(FILE *out, const struct image *image,
			 const struct ph_gauges *gauges)
{
	fprintf(out, "  at end   heap %s",
		format_bytes(gauges->in_use_bytes + gauges->free_bytes).s);
	if (image->rss_source != RSS_NONE && image->rss_final != 0)
		fprintf(out, " of RSS %s", format_bytes(image->rss_final).s);
	fprintf(out, ": in use %s, free %s; returned %s",
		format_bytes(gauges->in_use_bytes).s,
		format_bytes(gauges->free_bytes).s,
		format_bytes(gauges->returned_bytes).s);
	/* Kept up to date at the end only. */
	if (slot_state(image->slot) == PH_SLOT_ENDED)
		fprintf(out, ", metadata %s",
			format_bytes(gauges->meta_bytes).s);
	fputc('\n', out);
}

static void print_objects(FILE *out, const struct image *image,
			  const struct ph_gauges *gauges)
{
	struct slot_live live = gauges_live(gauges);
	bool known = slot_state(image->slot) == PH_SLOT_ENDED &&
		     gauges->cached_objects <= live.objects &&
		     gauges->cached_bytes <= live.nbytes;

	/* The count of cached objects is of the process's end, or stale. */
	if (known) {
		live.objects -= gauges->cached_objects;
		live.nbytes -= gauges->cached_bytes;
	}
	fputs("  live     ", out);
	print_count(out, live.objects, "object");
	fprintf(out, " of %s in ", format_bytes(live.nbytes).s);
	print_count(out, gauges->spans, "span");
	if (known)
		fprintf(out, "; %s more of %s cached by threads\n",
			format_count(gauges->cached_objects).s,
			format_bytes(gauges->cached_bytes).s);
	else
		fputs(", those cached by threads included\n", out);
}

static void print_pages(FILE *out, const struct ph_gauges *gauges)
{
	fputs("  pages    ", out);
	print_count(out, gauges->page_allocs, "allocation");
	fputs(", ", out);
	print_count(out, gauges->page_frees, "free");
	fputs(", ", out);
	print_count(out, gauges->growths, "growth");
	fprintf(out, "; %s scavenged in ",
		format_bytes(gauges->scavenged_bytes).s);
	print_count(out, gauges->scavenges, "range");
	fputc('\n', out);
}

static void print_classes(FILE *out, const struct ph_gauges *gauges)
{
	for (size_t i = 0; i < PH_REPORT_CLASSES; i++) {
		if (gauges->class_objects[i] == 0 &&
		    gauges->class_spans[i] == 0)
			continue;
		fprintf(out, "  class %2zu %6u B: %s objects in %s spans\n", i,
			class_bytes[i],
			format_count(gauges->class_objects[i]).s,
			format_count(gauges->class_spans[i]).s);
	}
	if (gauges->large_objects > 0)
		fprintf(out, "  large          : %s objects of %s\n",
			format_count(gauges->large_objects).s,
			format_bytes(gauges->large_bytes).s);
}

static void print_block(FILE *out, const struct run_result *result,
			const struct image *image, unsigned flags)
{
	struct ph_gauges gauges = slot_gauges(image->slot);

	fputs("pageheap: ", out);
	print_name(out, image);
	if (image->forked)
		fprintf(out, ", forked by %u", image->parent_pid);
	fputs(": ", out);
	print_end(out, result, image);
	fputc('\n', out);
	if (flags & PRINT_FULL) {
		fputs("  command  ", out);
		format_plain(out, image->command, COMMAND_MAX_BYTES);
		fputc('\n', out);
	}
	print_share(out, image, &gauges);
	print_memory(out, image, &gauges);
	print_objects(out, image, &gauges);
	print_pages(out, &gauges);
	if (flags & PRINT_FULL)
		print_classes(out, &gauges);
}

static void print_line(FILE *out, const struct run_result *result,
		       const struct image *image)
{
	struct ph_gauges gauges = slot_gauges(image->slot);

	fputs("pageheap: ", out);
	print_name(out, image);
	if (image->forked)
		fprintf(out, ", forked by %u", image->parent_pid);
	fputs(": ", out);
	print_end(out, result, image);
	fprintf(out, "; heap peak %s",
		format_bytes(gauges.peak_resident_bytes).s);
	if (image->rss_source != RSS_NONE)
		fprintf(out, " of RSS %s", format_bytes(image->rss_peak).s);
	fputc('\n', out);
}

/* A fork's child that went on to exec has nothing of its own to say. */
static bool image_is_step(const struct image *image)
{
	return image->forked &&
	       (image->end == IMAGE_EXEC || image->end == IMAGE_EXEC_UNSEEN);
}

static int compare_peak(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a;
	uint64_t y = *(const uint64_t *)b;

	return x < y ? 1 : x > y ? -1 : 0;
}

/*
 * The heap peak from which on an image gets a block.  Of equal ones at this
 * bound all get one: a few blocks more do no harm.
 */
static uint64_t block_bound(const struct tracker *tracker)
{
	uint64_t *peaks = tool_alloc((tracker->nimages + 1) * sizeof(*peaks));
	uint32_t count = 0;

	for (uint32_t i = 0; i < tracker->nimages; i++) {
		const struct image *image = &tracker->images[i];
		if (image->pid == 0 || image_is_step(image))
			continue;
		peaks[count++] = slot_gauges(image->slot).peak_resident_bytes;
	}
	qsort(peaks, count, sizeof(*peaks), compare_peak);
	uint64_t bound = count > BLOCKS_MAX ? peaks[BLOCKS_MAX - 1] : 0;
	free(peaks);
	return bound;
}

static void print_total(FILE *out, const struct tracker *tracker)
{
	uint64_t largest = 0;
	uint64_t page_allocs = 0;
	uint64_t growths = 0;
	uint32_t images = 0;
	uint32_t forks = 0;
	uint32_t steps = 0;

	for (uint32_t i = 0; i < tracker->nimages; i++) {
		const struct image *image = &tracker->images[i];
		if (image->pid == 0)
			continue;
		struct ph_gauges gauges = slot_gauges(image->slot);
		images++;
		forks += image->forked;
		steps += image_is_step(image);
		/* A fork's child starts with its parent's numbers. */
		if (!image->forked) {
			page_allocs += gauges.page_allocs;
			growths += gauges.growths;
		}
		if (gauges.peak_resident_bytes > largest)
			largest = gauges.peak_resident_bytes;
	}
	if (images < 2)
		return;
	fputs("pageheap: in all ", out);
	print_count(out, images - forks, "program");
	fputs(" and ", out);
	print_count(out, forks, "fork");
	if (steps > 0)
		fprintf(out, ", %s of which only called exec",
			format_count(steps).s);
	fprintf(out, "; largest heap peak %s; the programs made ",
		format_bytes(largest).s);
	print_count(out, page_allocs, "page allocation");
	fputs(" and ", out);
	print_count(out, growths, "growth");
	fputc('\n', out);
}

static bool pid_is_known(const struct run_result *result, uint32_t pid)
{
	const struct tracker *tracker = result->tracker;

	/* Process 1 is where orphans go, 0 is outside our PID namespace. */
	if (pid <= 1 || pid == result->tracker->file->head->runner_pid ||
	    pid == (uint32_t)result->launch->pid)
		return true;
	for (uint32_t i = 0; i < tracker->nimages; i++)
		if (tracker->images[i].pid == pid)
			return true;
	return false;
}

/* What happened beside the images in the report. */
static void print_unseen(FILE *out, const struct run_result *result)
{
	const struct tracker *tracker = result->tracker;
	uint32_t unfilled = 0;
	uint32_t last = 0;

	for (uint32_t i = 0; i < tracker->nimages; i++) {
		const struct image *image = &tracker->images[i];
		unfilled += image->pid == 0;
		if (pid_is_known(result, image->parent_pid) ||
		    image->parent_pid == last)
			continue;
		last = image->parent_pid;
		fprintf(out, "pageheap: not counted: process %u, parent of ",
			last);
		print_name(out, image);
		fputs(", which did not load the library\n", out);
	}
	if (unfilled > 0)
		fprintf(out,
			"pageheap: not counted: %s processes that ended "
			"while the library started\n",
			format_count(unfilled).s);
	if (result->lost > 0)
		fprintf(out,
			"pageheap: not counted: %s processes for which "
			"the report file had no room\n",
			format_count(result->lost).s);
}

/* Why the program we started may be missing from the report. */
static void print_main_missing(FILE *out, const struct run_result *result)
{
	const struct tracker *tracker = result->tracker;
	int status = result->launch->status;

	fputs("pageheap: ", out);
	format_plain(out, result->target->name, NAME_MAX_BYTES);
	if (tracker->nimages == 0 && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 127)
		fputs(" did not load libpageheap-malloc.so: the dynamic "
		      "linker failed (see above)\n",
		      out);
	else
		fprintf(out,
			" did not load libpageheap-malloc.so, or could "
			"not open the report file; see whether the "
			"dynamic linker says why:\n"
			"  LD_PRELOAD=%s %s\n",
			result->library, result->target->path);
}

void print_text(FILE *out, const struct run_result *result, unsigned flags)
{
	const struct tracker *tracker = result->tracker;
	uint64_t bound = block_bound(tracker);
	const struct image *program = tracker_main_image(tracker);

	for (uint32_t i = 0; i < tracker->nimages; i++) {
		const struct image *image = &tracker->images[i];
		if (image->pid == 0)
			continue;
		uint64_t peak = slot_gauges(image->slot).peak_resident_bytes;
		if ((flags & PRINT_FULL) ||
		    (!image_is_step(image) && peak >= bound))
			print_block(out, result, image, flags);
		else
			print_line(out, result, image);
	}
	print_total(out, tracker);
	if (program == NULL)
		print_main_missing(out, result);
	else if (slot_gauges(program->slot).page_allocs == 0)
		fputs("pageheap: the program allocated nothing on the heap; "
		      "it may carry its own malloc\n",
		      out);
	print_unseen(out, result);
	/* The only block says so already. */
	if (WIFSIGNALED(result->launch->status) &&
	    (program == NULL || tracker->nimages > 1)) {
		fputs("pageheap: ", out);
		format_plain(out, result->target->name, NAME_MAX_BYTES);
		fputs(" was ", out);
		print_status(out, result->launch->status);
		fputc('\n', out);
	}
}
