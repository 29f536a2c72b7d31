/* SPDX-License-Identifier: MIT */
/*
 * A program as a user would write it: the public header, a heap of its own,
 * one allocation of each kind.  Exit status 0 when all of it worked.
 */
#include <pageheap.h>
#include <stdio.h>
#include <string.h>

#define STRING2(x) #x
#define STRING(x) STRING2(x)

int main(void)
{
	const char *built = STRING(PH_VERSION_MAJOR) "." STRING(
		PH_VERSION_MINOR) "." STRING(PH_VERSION_PATCH);
	struct ph_heap *heap;
	struct ph_stats stats;
	void *object;
	void *pages;
	int ok;

	if (strcmp(ph_version(), built) != 0) {
		printf("header %s, library %s\n", built, ph_version());
		return 1;
	}
	heap = ph_heap_create(NULL);
	if (heap == NULL)
		return 1;
	object = ph_malloc(heap, 100);
	pages = ph_pages_alloc(heap, 3, NULL);
	ok = object != NULL && pages != NULL;
	if (ok) {
		memset(object, 1, 100);
		memset(pages, 2, 3 * PH_PAGE_SIZE);
	}
	stats.struct_size = sizeof(stats);
	ok = ok && ph_heap_stats(heap, &stats) == 0 && stats.live_objects == 1;
	ok = ok && ph_heap_check(heap, NULL, 0) == 0;
	ph_pages_free(heap, pages, 3);
	ph_free(heap, object);
	ph_heap_destroy(heap);
	printf("consumer: %s\n", ok ? "ok" : "FAILED");
	return ok ? 0 : 1;
}
