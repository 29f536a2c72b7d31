/* SPDX-License-Identifier: MIT */
/*
 * What <malloc.h> tells about the heap, and its knobs.
 *
 * The words of these interfaces are those of a heap of chunks that grows by
 * sbrk, with some chunks mapped one by one.  They are translated so that the
 * sums which programs make come out right:
 *
 *	mallinfo	here					identity
 *	arena		resident pages that are not large	uordblks +
 *fordblks objects uordblks	bytes of small objects in use fordblks	the
 *rest: free objects, room in spans, free pages hblks, hblkhd	large objects,
 *their bytes		in use = uordblks
 *								+ hblkhd
 *	ordblks		free objects, in magazines or not
 *	smblks, fsmblks	those in magazines, their bytes
 *	usmblks		the most bytes of pages in use at a time
 *	keepcost	what malloc_trim(0) would give back at once
 *
 * docs/tuning.md has this for users.  All numbers of one call are of one
 * moment (object/gauges.c).
 *
 * malloc_stats() uses no stdio: it may be called when the heap is in use by a
 * stream's own locks, and at exit, when streams are closed.
 *
 * Standard error at exit.  Programs close it before the last destructor runs
 * (coreutils do, to see write errors), and its number may by then stand for
 * another file, into which nothing must be written.  So with stats=1 the
 * descriptor is duplicated at the start, above those that shells and programs
 * use, and at the end both are compared with the file that it was.
 */
#include "malloc/info.h"

#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "malloc/process.h"
#include "object/objects.h"
#include "os/os.h"
#include "os/os_file.h"
#include "pageheap_malloc.h"

struct ph_heap *ph_process_heap(void)
{
	return ph__process_heap();
}

/* ---- numbers ---- */

/* Everything at one moment; all zero without a heap. */
struct info {
	struct ph_stats stats;
	struct class_stats classes[PH_NUM_CLASSES];
	uint64_t free_objects; /* in spans */
};

static void info_take(struct info *info, struct ph_heap *heap)
{
	memset(info, 0, sizeof(*info));
	if (!heap)
		return;
	ph__heap_stats_by_class(heap, &info->stats, info->classes);
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
		info->free_objects += info->classes[c].free;
}

static uint64_t info_resident(const struct info *info)
{
	return info->stats.in_use_bytes + info->stats.free_bytes;
}

static uint64_t info_arena(const struct info *info)
{
	return info_resident(info) - info->stats.large_bytes;
}

static uint64_t info_small_live(const struct info *info)
{
	return info->stats.live_bytes - info->stats.large_bytes;
}

PH_EXPORT struct mallinfo2 mallinfo2(void)
{
	struct mallinfo2 m = {0};
	struct info info;

	info_take(&info, ph__process_heap());
	m.arena = info_arena(&info);
	m.ordblks = info.free_objects + info.stats.cached_objects;
	m.smblks = info.stats.cached_objects;
	m.hblks = info.stats.large_objects;
	m.hblkhd = info.stats.large_bytes;
	m.usmblks = info.stats.peak_in_use_bytes;
	m.fsmblks = info.stats.cached_bytes;
	m.uordblks = info_small_live(&info);
	m.fordblks = m.arena - m.uordblks;
	m.keepcost = info.stats.free_bytes;
	return m;
}

static int clamp_int(size_t n)
{
	return n < INT_MAX ? (int)n : INT_MAX;
}

PH_EXPORT struct mallinfo mallinfo(void)
{
	struct mallinfo2 wide = mallinfo2();
	struct mallinfo m = {
		.arena = clamp_int(wide.arena),
		.ordblks = clamp_int(wide.ordblks),
		.smblks = clamp_int(wide.smblks),
		.hblks = clamp_int(wide.hblks),
		.hblkhd = clamp_int(wide.hblkhd),
		.usmblks = clamp_int(wide.usmblks),
		.fsmblks = clamp_int(wide.fsmblks),
		.uordblks = clamp_int(wide.uordblks),
		.fordblks = clamp_int(wide.fordblks),
		.keepcost = clamp_int(wide.keepcost),
	};

	return m;
}

/* ---- malloc_info ---- */

static void text_attribute(struct text *t, const char *name, uint64_t n)
{
	ph__text_str(t, " ");
	ph__text_str(t, name);
	ph__text_str(t, "=\"");
	ph__text_dec(t, n);
	ph__text_str(t, "\"");
}

/* Ends an element, and writes it. */
static void put_element(FILE *fp, struct text *t)
{
	ph__text_str(t, "/>\n");
	(void)fputs(ph__text_end(t), fp);
}

/* <name type="type" size="size"/>, with a count in front where there is one. */
static void put_sum(FILE *fp, const char *name_and_type, const uint64_t *count,
		    uint64_t size)
{
	char space[128];
	struct text t = text_over(space, sizeof(space));

	ph__text_str(&t, "<");
	ph__text_str(&t, name_and_type);
	if (count)
		text_attribute(&t, "count", *count);
	text_attribute(&t, "size", size);
	put_element(fp, &t);
}

/* Free objects by size, as glibc lists free chunks. */
static void put_sizes(FILE *fp, const struct info *info)
{
	(void)fputs("<sizes>\n", fp);
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		const struct class_stats *s = &info->classes[c];
		uint64_t size = ph__size_classes[c].size;
		char space[128];
		struct text t = text_over(space, sizeof(space));

		if (s->free + s->cached == 0)
			continue;
		ph__text_str(&t, "  <size");
		text_attribute(&t, "from", ph__size_classes[c - 1].size + 1);
		text_attribute(&t, "to", size);
		text_attribute(&t, "total", (s->free + s->cached) * size);
		text_attribute(&t, "count", s->free + s->cached);
		put_element(fp, &t);
	}
	(void)fputs("</sizes>\n", fp);
}

/* Everything about each size class in use; readers of glibc's skip it. */
static void put_classes(FILE *fp, const struct info *info)
{
	(void)fputs("<classes>\n", fp);
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		const struct class_stats *s = &info->classes[c];
		char space[192];
		struct text t = text_over(space, sizeof(space));

		if (s->nspans == 0)
			continue;
		ph__text_str(&t, "  <class");
		text_attribute(&t, "number", c);
		text_attribute(&t, "size", ph__size_classes[c].size);
		text_attribute(&t, "spans", s->nspans);
		text_attribute(&t, "live", s->live);
		text_attribute(&t, "cached", s->cached);
		text_attribute(&t, "free", s->free);
		put_element(fp, &t);
	}
	(void)fputs("</classes>\n", fp);
}

static void put_totals(FILE *fp, const struct info *info, bool of_process)
{
	const struct ph_stats *s = &info->stats;
	uint64_t rest =
		info_arena(info) - info_small_live(info) - s->cached_bytes;

	put_sum(fp, "total type=\"fast\"", &s->cached_objects, s->cached_bytes);
	put_sum(fp, "total type=\"rest\"", &info->free_objects, rest);
	if (of_process)
		put_sum(fp, "total type=\"mmap\"", &s->large_objects,
			s->large_bytes);
	put_sum(fp, "system type=\"current\"", NULL, info_resident(info));
	put_sum(fp, "system type=\"max\"", NULL, s->peak_resident_bytes);
	put_sum(fp, "aspace type=\"total\"", NULL, s->mapped_bytes);
	put_sum(fp, "aspace type=\"mprotect\"", NULL, s->mapped_bytes);
}

PH_EXPORT int malloc_info(int options, FILE *fp)
{
	struct info info;

	if (options != 0)
		return EINVAL;
	info_take(&info, ph__process_heap());
	/* No lock is held from here on: stdio allocates. */
	(void)fputs("<malloc version=\"1\">\n<heap nr=\"0\">\n", fp);
	put_sizes(fp, &info);
	put_classes(fp, &info);
	put_totals(fp, &info, false);
	(void)fputs("</heap>\n", fp);
	put_totals(fp, &info, true);
	(void)fputs("</malloc>\n", fp);
	return ferror(fp) ? -1 : 0;
}

/* ---- malloc_stats ---- */

/* Room for all lines, so that one write keeps them together. */
#define STATS_BYTES 8192

static void text_part(struct text *t, const char *before, uint64_t nbytes)
{
	ph__text_str(t, before);
	ph__text_size(t, nbytes);
}

static void text_count(struct text *t, const char *before, uint64_t n)
{
	ph__text_str(t, before);
	ph__text_dec(t, n);
}

/* A number at the right end of a column. */
static void text_column(struct text *t, uint64_t n, size_t width)
{
	char space[24];
	struct text digits = text_over(space, sizeof(space));

	ph__text_dec(&digits, n);
	for (size_t i = digits.length; i < width; i++)
		ph__text_str(t, " ");
	ph__text_bytes(t, digits.bytes, digits.length);
}

static void text_pages(struct text *t, const struct ph_stats *s)
{
	text_count(t, "pageheap: process ", ph__os_process_id());
	text_part(t, "\npageheap: mapped ", s->mapped_bytes);
	text_part(t, " = in use ", s->in_use_bytes);
	text_part(t, " + free ", s->free_bytes);
	text_part(t, " + returned ", s->returned_bytes);
	text_part(t, "\npageheap: in use ", s->in_use_bytes);
	text_part(t, " = small spans ", s->small_span_bytes);
	text_part(t, " + large spans ", s->large_span_bytes);
	text_part(t, " + pages ", s->raw_bytes);
	text_part(t, "\npageheap: peak in use ", s->peak_in_use_bytes);
	text_part(t, ", peak in use + free ", s->peak_resident_bytes);
	text_part(t, ", metadata ", s->meta_bytes);
	text_count(t, "\npageheap: page allocations ", s->page_allocs);
	text_count(t, ", frees ", s->page_frees);
	text_count(t, ", growths ", s->growths);
	text_count(t, ", ranges returned ", s->scavenges);
	text_part(t, " with ", s->scavenged_bytes);
}

static void text_objects(struct text *t, const struct ph_stats *s)
{
	text_count(t, "\npageheap: objects ", s->live_objects);
	text_part(t, " with ", s->live_bytes);
	text_count(t, ", of them large ", s->large_objects);
	text_part(t, " with ", s->large_bytes);
	text_count(t, "; in magazines ", s->cached_objects);
	text_part(t, " with ", s->cached_bytes);
	ph__text_str(t, "\n");
}

static void text_classes(struct text *t, const struct info *info)
{
	ph__text_str(t, "pageheap:  size     spans      live  in magazines"
			"  free in spans\n");
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++) {
		const struct class_stats *s = &info->classes[c];

		if (s->nspans == 0)
			continue;
		ph__text_str(t, "pageheap: ");
		text_column(t, ph__size_classes[c].size, 5);
		text_column(t, s->nspans, 10);
		text_column(t, s->live, 10);
		text_column(t, s->cached, 14);
		text_column(t, s->free, 15);
		ph__text_str(t, "\n");
	}
}

static void write_stats(struct ph_heap *heap, int fd)
{
	char space[STATS_BYTES];
	struct text t = text_over(space, sizeof(space));
	struct info info;

	info_take(&info, heap);
	text_pages(&t, &info.stats);
	text_objects(&t, &info.stats);
	text_classes(&t, &info);
	(void)ph__text_write(&t, fd);
}

PH_EXPORT void malloc_stats(void)
{
	write_stats(ph__process_heap(), STDERR_FILENO);
}

/* ---- at exit ---- */

/* Above what shells give their scripts and programs count on. */
#define STATS_LOWEST_FD 100

static struct {
	bool wanted;
	int copy; /* of standard error; -1: none could be made */
	struct os_file_id id;
} exit_stats;

void ph__stats_prepare(const struct options *o)
{
	if (!o->stats)
		return;
	exit_stats.wanted = true;
	exit_stats.id = ph__os_file_id(STDERR_FILENO);
	exit_stats.copy = ph__os_file_dup(STDERR_FILENO, STATS_LOWEST_FD);
}

static bool is_first_stderr(int fd)
{
	struct os_file_id id = ph__os_file_id(fd);

	return (id.device != 0 || id.inode != 0) &&
	       id.device == exit_stats.id.device &&
	       id.inode == exit_stats.id.inode;
}

void ph__stats_print(struct ph_heap *heap)
{
	if (!exit_stats.wanted)
		return;
	if (exit_stats.copy >= 0 && is_first_stderr(exit_stats.copy))
		write_stats(heap, exit_stats.copy);
	else if (is_first_stderr(STDERR_FILENO))
		write_stats(heap, STDERR_FILENO);
}

/* ---- knobs ---- */

PH_EXPORT int malloc_trim(size_t pad)
{
	struct ph_heap *heap = ph__process_heap();
	struct ph_stats stats = {.struct_size = sizeof(stats)};

	if (!heap)
		return 0;
	ph_heap_flush(heap);
	if (ph_heap_stats(heap, &stats) != 0 || stats.free_bytes <= pad)
		return 0;
	/* All of it unless told otherwise: more may become free meanwhile. */
	return ph_scavenge(heap, pad ? stats.free_bytes - pad : SIZE_MAX) > 0;
}

/*
 * Nothing here has what glibc's parameters tune, so those that are hints are
 * taken and not followed, within the bounds that glibc sets.  M_PERTURB is no
 * hint: who sets it relies on the bytes.
 */
PH_EXPORT int mallopt(int parameter, int value)
{
	switch (parameter) {
	case M_MXFAST:
		return value >= 0 && (size_t)value <= 80 * sizeof(size_t) / 4;
	case M_PERTURB:
		return value == 0;
	case M_NLBLKS:
	case M_GRAIN:
	case M_KEEP:
	case M_TRIM_THRESHOLD:
	case M_TOP_PAD:
	case M_MMAP_THRESHOLD:
	case M_MMAP_MAX:
	case M_CHECK_ACTION:
	case M_ARENA_TEST:
	case M_ARENA_MAX:
		return 1;
	default:
		return 0;
	}
}
