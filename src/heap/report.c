/* SPDX-License-Identifier: MIT */
#include "heap/report.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/print.h"
#include "heap/heap.h"
#include "heap/registry.h"

/* Describes an address inside a span of small objects. */
static void describe_small(struct text *t, const struct ph_span *s,
			   uintptr_t addr)
{
	size_t offset = addr - s->base;
	size_t i = span_object_index(s, offset);

	ph__text_str(t, ", class ");
	ph__text_dec(t, s->size_class);
	ph__text_str(t, ", ");
	ph__text_dec(t, s->elem_size);
	ph__text_str(t, " bytes, ");
	if (i >= s->nelems) {
		ph__text_str(t, "behind the last object");
		return;
	}
	if (i * s->elem_size != offset) {
		ph__text_dec(t, offset - i * s->elem_size);
		ph__text_str(t, " bytes into ");
	}
	ph__text_str(t, "object ");
	ph__text_dec(t, i);
}

static void describe(struct text *t, const struct ph_heap *heap,
		     const struct ph_span *s, uintptr_t addr)
{
	ph__text_str(t, " (");
	if (!s) {
		ph__text_str(t, "not in a span in use)\n");
		return;
	}
	ph__text_str(t, "span ");
	ph__text_hex(t, s->base);
	ph__text_str(t, ", ");
	ph__text_dec(t, s->npages);
	ph__text_str(t, s->npages == 1 ? " page" : " pages");
	if (s->size_class != 0)
		describe_small(t, s, addr);
	else
		ph__text_str(t, span_state(s) == SPAN_LARGE ? ", large object"
							    : ", undivided");
	if (heap && s->heap != heap)
		ph__text_str(t, ", another heap");
	ph__text_str(t, ")\n");
}

static PH_NORETURN void finish(struct text *t)
{
	ph__text_write(t, STDERR_FILENO);
	abort();
}

static struct ph_span *span_at(const struct ph_heap *heap, uintptr_t addr)
{
	const struct pagemap *map =
		heap ? heap->pagemap : &ph__registry.pagemap;

	return map->root ? pagemap_span_at(map, addr) : NULL;
}

void ph__report_pointer(const struct ph_heap *heap, const char *what,
			const void *addr)
{
	char space[256];
	struct text t = text_over(space, sizeof(space));
	uintptr_t a = (uintptr_t)addr;

	ph__text_str(&t, "pageheap: ");
	ph__text_str(&t, what);
	ph__text_str(&t, " ");
	ph__text_hex(&t, a);
	describe(&t, heap, span_at(heap, a), a);
	finish(&t);
}

void ph__report_pages(const struct ph_heap *heap, const char *what,
		      const void *addr, size_t npages)
{
	char space[256];
	struct text t = text_over(space, sizeof(space));
	uintptr_t a = (uintptr_t)addr;

	ph__text_str(&t, "pageheap: ");
	ph__text_str(&t, what);
	ph__text_str(&t, " ");
	ph__text_hex(&t, a);
	ph__text_str(&t, " + ");
	ph__text_dec(&t, npages);
	ph__text_str(&t, npages == 1 ? " page" : " pages");
	describe(&t, heap, span_at(heap, a), a);
	finish(&t);
}
