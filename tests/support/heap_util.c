/* SPDX-License-Identifier: MIT */
#include "heap_util.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

void heap_must_failed(const char *what, const char *file, int line)
{
	fflush(stdout);
	fprintf(stderr, "%s:%d: failed: %s\n", file, line, what);
	abort();
}

void heap_must_check_at(struct ph_heap *heap, const char *file, int line)
{
	char why[200] = "";

	if (ph_heap_check(heap, why, sizeof(why)) == 0)
		return;
	fprintf(stderr, "%s:%d: ph_heap_check: %s\n", file, line, why);
	abort();
}

struct ph_stats heap_stats(struct ph_heap *heap)
{
	struct ph_stats s = {.struct_size = sizeof(s)};

	must(ph_heap_stats(heap, &s) == 0);
	must(s.mapped_bytes ==
	     s.in_use_bytes + s.free_bytes + s.returned_bytes);
	must(s.in_use_bytes ==
	     s.small_span_bytes + s.large_span_bytes + s.raw_bytes);
	must(s.reserved_bytes >= s.mapped_bytes);
	must(s.live_objects >= s.large_objects);
	must(s.live_bytes >= s.large_bytes);
	must(s.small_span_bytes >=
	     s.live_bytes - s.large_bytes + s.cached_bytes);
	must(s.large_span_bytes >= s.large_bytes);
	must(s.peak_in_use_bytes >= s.in_use_bytes);
	must(s.peak_resident_bytes >= s.in_use_bytes + s.free_bytes);
	must(s.peak_resident_bytes >= s.peak_in_use_bytes);
	must(s.in_use_bytes == 0 || s.page_allocs > 0);
	must(s.scavenges <= s.scavenged_bytes / PH_PAGE_SIZE);
	must((s.mapped_bytes == 0) == (s.growths == 0));
	must(s.spans * PH_PAGE_SIZE <= s.small_span_bytes + s.large_span_bytes);
	must(s.large_objects <= s.spans);
	must(s.large_objects * PH_PAGE_SIZE <= s.large_bytes);
	/* No page is counted twice, none is a fraction. */
	must(s.mapped_bytes % PH_CHUNK_SIZE == 0);
	must(s.free_bytes % PH_PAGE_SIZE == 0);
	must(s.returned_bytes % PH_PAGE_SIZE == 0);
	must(s.free_bytes <= s.mapped_bytes);
	must(s.returned_bytes <= s.mapped_bytes);
	return s;
}

struct ph_heap *heap_over(const struct ph_os_ops *os, void *ctx, uint32_t flags)
{
	struct ph_heap_options options = {.struct_size = sizeof(options),
					  .os = os,
					  .os_ctx = ctx,
					  .flags = flags};
	struct ph_heap *heap = ph_heap_create(&options);

	must(heap != NULL);
	return heap;
}

bool heap_stats_same_use(const struct ph_stats *a, const struct ph_stats *b)
{
	return a->in_use_bytes == b->in_use_bytes &&
	       a->small_span_bytes == b->small_span_bytes &&
	       a->large_span_bytes == b->large_span_bytes &&
	       a->raw_bytes == b->raw_bytes && a->live_bytes == b->live_bytes &&
	       a->live_objects == b->live_objects &&
	       a->large_objects == b->large_objects &&
	       a->large_bytes == b->large_bytes && a->spans == b->spans;
}

size_t process_resident_bytes(void)
{
	unsigned long total = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	must(f != NULL);
	must(fscanf(f, "%lu %lu", &total, &resident) == 2);
	fclose(f);
	return resident * (size_t)sysconf(_SC_PAGESIZE);
}

size_t process_mappings(void)
{
	FILE *f = fopen("/proc/self/maps", "r");
	size_t n = 0;
	int c;

	must(f != NULL);
	while ((c = getc(f)) != EOF)
		n += c == '\n';
	fclose(f);
	return n;
}

size_t range_resident_bytes(const void *addr, size_t nbytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t npages = nbytes / page, n = 0;
	unsigned char *in = malloc(npages ? npages : 1);

	must(in != NULL && (uintptr_t)addr % page == 0);
	must(mincore((void *)(uintptr_t)addr, nbytes, in) == 0);
	for (size_t i = 0; i < npages; i++)
		n += in[i] & 1;
	free(in);
	return n * page;
}
