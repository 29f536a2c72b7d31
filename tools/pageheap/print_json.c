/* SPDX-License-Identifier: MIT */
/*
 * A finished run as JSON, schema version 1.
 *
 * One object; docs/running.md describes its members.  A member that is not
 * known is null, never left out, and a new member may be added without a new
 * version: the version changes when an old reader would read something wrong.
 * Numbers are whole; those above 2^53 do not occur in practice, as that many
 * bytes are no process's.
 */
#include <inttypes.h>
#include <stdio.h>
#include <sys/wait.h>

#include "format.h"
#include "pageheap.h"
#include "print.h"

static const char *const end_names[] = {
	[IMAGE_LIVE] = "unknown",     [IMAGE_EXITED] = "exit",
	[IMAGE_SUDDEN] = "sudden",    [IMAGE_EXEC] = "exec",
	[IMAGE_EXEC_UNSEEN] = "exec", [IMAGE_RUNNING] = "running",
	[IMAGE_UNKNOWN] = "unknown",
};

static const char *const rss_names[] = {
	[RSS_NONE] = "none",
	[RSS_SAMPLED] = "sampled",
	[RSS_WAITED] = "waited",
	[RSS_EXACT] = "exact",
};

struct gauge_field {
	const char *name;
	size_t offset;
};

#define FIELD(name)                                                            \
	{                                                                      \
#name, offsetof(struct ph_gauges, name)                        \
	}

static const struct gauge_field gauge_fields[] = {
	FIELD(reserved_bytes),
	FIELD(mapped_bytes),
	FIELD(in_use_bytes),
	FIELD(free_bytes),
	FIELD(returned_bytes),
	FIELD(small_span_bytes),
	FIELD(large_span_bytes),
	FIELD(raw_bytes),
	FIELD(large_objects),
	FIELD(large_bytes),
	FIELD(meta_bytes),
	FIELD(peak_in_use_bytes),
	FIELD(peak_resident_bytes),
	FIELD(page_allocs),
	FIELD(page_frees),
	FIELD(growths),
	FIELD(scavenges),
	FIELD(scavenged_bytes),
	FIELD(spans),
	FIELD(cached_objects),
	FIELD(cached_bytes),
};

static void member_u64(FILE *out, const char *name, uint64_t value)
{
	fprintf(out, "\"%s\": %" PRIu64, name, value);
}

static void member_string(FILE *out, const char *name, const char *value)
{
	fprintf(out, "\"%s\": ", name);
	format_json_string(out, value);
}

/* "exit_status" and "signal" of a wait status; -1: neither is known. */
static void member_status(FILE *out, int status)
{
	if (status >= 0 && WIFEXITED(status))
		fprintf(out, "\"exit_status\": %d, \"signal\": null",
			WEXITSTATUS(status));
	else if (status >= 0 && WIFSIGNALED(status))
		fprintf(out, "\"exit_status\": null, \"signal\": %d",
			WTERMSIG(status));
	else
		fprintf(out, "\"exit_status\": null, \"signal\": null");
}

static void member_array(FILE *out, const char *name, const uint64_t *values)
{
	fprintf(out, "\"%s\": [", name);
	for (size_t i = 0; i < PH_REPORT_CLASSES; i++)
		fprintf(out, "%s%" PRIu64, i > 0 ? ", " : "", values[i]);
	fputc(']', out);
}

static void print_gauges(FILE *out, const struct ph_gauges *gauges)
{
	struct slot_live live = gauges_live(gauges);

	fputs("      \"gauges\": {\n", out);
	for (size_t i = 0; i < sizeof(gauge_fields) / sizeof(gauge_fields[0]);
	     i++) {
		const char *at = (const char *)gauges + gauge_fields[i].offset;
		fputs("        ", out);
		member_u64(out, gauge_fields[i].name,
			   *(const uint64_t *)(const void *)at);
		fputs(",\n", out);
	}
	fputs("        ", out);
	member_u64(out, "objects", live.objects);
	fputs(",\n        ", out);
	member_u64(out, "object_bytes", live.nbytes);
	fputs(",\n        ", out);
	member_array(out, "class_objects", gauges->class_objects);
	fputs(",\n        ", out);
	member_array(out, "class_spans", gauges->class_spans);
	fputs("\n      }\n", out);
}

static void print_rss(FILE *out, const struct image *image)
{
	fprintf(out, "      \"rss\": {\"source\": \"%s\", ",
		rss_names[image->rss_source]);
	member_u64(out, "start_bytes", image->slot->start_resident_bytes);
	if (image->rss_source == RSS_NONE)
		fputs(", \"peak_bytes\": null", out);
	else
		fprintf(out, ", \"peak_bytes\": %" PRIu64, image->rss_peak);
	if (image->rss_source == RSS_NONE || image->rss_final == 0)
		fputs(", \"final_bytes\": null},\n", out);
	else
		fprintf(out, ", \"final_bytes\": %" PRIu64 "},\n",
			image->rss_final);
}

static void print_image(FILE *out, const struct image *image)
{
	const struct ph_report_slot *slot = image->slot;
	struct ph_gauges gauges = slot_gauges(slot);

	fprintf(out,
		"    {\n      \"number\": %u, \"pid\": %u, "
		"\"parent_pid\": %u, \"forked\": %s,\n      ",
		image->number, image->pid, image->parent_pid,
		image->forked ? "true" : "false");
	member_string(out, "exe", image->exe);
	fputs(",\n      ", out);
	member_string(out, "command", image->command);
	fprintf(out, ",\n      \"end\": \"%s\", ", end_names[image->end]);
	member_status(out, image->status);
	fputs(", \"successor\": ", out);
	if (image->end == IMAGE_EXEC)
		fprintf(out, "%u", image->successor);
	else
		fputs("null", out);
	fputs(", \"became\": ", out);
	if (image->end == IMAGE_EXEC_UNSEEN)
		format_json_string(out, image->became);
	else
		fputs("null", out);
	fputs(",\n      ", out);
	member_u64(out, "start_ns", slot->start_ns);
	fputs(", \"end_ns\": ", out);
	if (slot_state(slot) == PH_SLOT_ENDED)
		fprintf(out, "%" PRIu64 ",\n", slot->end_ns);
	else
		fputs("null,\n", out);
	print_rss(out, image);
	print_gauges(out, &gauges);
	fputs("    }", out);
}

static void print_program(FILE *out, const struct run_result *result)
{
	fputs("  \"program\": {\n    \"arguments\": [", out);
	for (size_t i = 0; result->argv[i] != NULL; i++) {
		if (i > 0)
			fputs(", ", out);
		format_json_string(out, result->argv[i]);
	}
	fputs("],\n    ", out);
	member_string(out, "path", result->target->path);
	fputs(", ", out);
	member_string(out, "binary", result->target->binary);
	fprintf(out, ",\n    \"pid\": %d, ", (int)result->launch->pid);
	member_status(out, result->launch->status);
	fputs(", ", out);
	member_u64(out, "elapsed_ns", result->elapsed_ns);
	fputs(", ", out);
	member_u64(out, "max_rss_bytes",
		   (uint64_t)result->launch->usage.ru_maxrss * 1024);
	fprintf(out, ",\n    \"seen\": %s\n  },\n",
		tracker_main_image(result->tracker) != NULL ? "true" : "false");
}

void print_json(FILE *out, const struct run_result *result)
{
	const struct tracker *tracker = result->tracker;
	uint64_t sizes[PH_REPORT_CLASSES];
	bool first = true;

	fputs("{\n  \"schema_version\": 1,\n  ", out);
	member_string(out, "generator", "pageheap " PH_VERSION_STRING);
	fputs(",\n  ", out);
	member_string(out, "library", result->library);
	fputs(",\n", out);
	print_program(out, result);
	fputs("  ", out);
	member_u64(out, "lost_processes", result->lost);
	fputs(", ", out);
	member_u64(out, "page_bytes", PH_PAGE_SIZE);
	fputs(",\n  ", out);
	for (size_t i = 0; i < PH_REPORT_CLASSES; i++)
		sizes[i] = class_bytes[i];
	member_array(out, "class_bytes", sizes);
	fputs(",\n  \"processes\": [", out);
	for (uint32_t i = 0; i < tracker->nimages; i++) {
		if (tracker->images[i].pid == 0)
			continue;
		fputs(first ? "\n" : ",\n", out);
		print_image(out, &tracker->images[i]);
		first = false;
	}
	fputs("\n  ]\n}\n", out);
}
