/* SPDX-License-Identifier: MIT */
/*
 * Large objects: spans of one object.
 *
 * Above 32 KiB, and for alignments that no size class has, an object is a span
 * of whole pages.  It grows in place when the pages behind it are free, which
 * one look at the bitmap tells, and shrinks by giving pages back at its end.
 */
#include <errno.h>
#include <stdint.h>

#include "base/bits.h"
#include "object/objects.h"

/* Pages for nbytes, 0 counting as 1. */
static size_t pages_for(size_t nbytes)
{
	return nbytes ? (nbytes - 1) / PH_PAGE_SIZE + 1 : 1;
}

void *ph__large_alloc(struct ph_heap *heap, size_t nbytes, size_t align,
		      bool *zeroed)
{
	struct span_shape shape = {.npages = pages_for(nbytes),
				   .align = align,
				   .state = SPAN_LARGE,
				   .nelems = 1};
	struct ph_span *s;

	if (nbytes > PTRDIFF_MAX || align > PTRDIFF_MAX ||
	    (heap->os_flags & PH_OS_UNTOUCHABLE)) {
		errno = ENOMEM;
		return NULL;
	}
	s = ph__span_alloc(heap, &shape);
	if (!s)
		return NULL;
	*zeroed = s->zeroed;
	return (void *)s->base;
}

bool ph__large_resize(struct ph_heap *heap, struct ph_span *s, size_t nbytes)
{
	size_t npages = pages_for(nbytes);

	if (npages == s->npages)
		return true;
	return ph__span_resize(heap, s, npages);
}
