/* SPDX-License-Identifier: MIT */
/*
 * malloc() and its family, on the primary heap.
 *
 *	malloc	size -> class (a byte table) -> pop the thread's magazine
 *	free	page -> class, place in the span (a table of two bytes a page)
 *		-> does an object start there? -> push onto the magazine
 *
 * Neither touches a span or an object, takes a lock, or tests whether anything
 * was initialised: until a thread has a cache it sees an empty one, and every
 * entry of the page map is zero until a span is entered.  free(NULL) needs no
 * test either: page 0 has no entry.  Whatever is not plain goes one slow way,
 * which begins anew from the argument, so that the fast path keeps nothing for
 * it.
 *
 * What the standard and glibc leave open, this malloc answers as glibc does:
 * malloc(0) is a unique object; realloc(p, 0) frees p and returns NULL;
 * memalign rounds an odd alignment up.  aligned_alloc wants a power of two, as
 * the standard does.
 */
#include "malloc/malloc_core.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "base/bits.h"
#include "heap/registry.h"
#include "malloc/process.h"
#include "object/objects.h"

void *malloc(size_t nbytes);
void free(void *p);
void *calloc(size_t count, size_t size);
void *realloc(void *p, size_t nbytes);
void *reallocarray(void *p, size_t count, size_t size);
void free_sized(void *p, size_t nbytes);
void free_aligned_sized(void *p, size_t align, size_t nbytes);
void cfree(void *p);
void *aligned_alloc(size_t align, size_t nbytes);
void *memalign(size_t align, size_t nbytes);
int posix_memalign(void **out, size_t align, size_t nbytes);
void *valloc(size_t nbytes);
void *pvalloc(size_t nbytes);
size_t malloc_usable_size(void *p);

/* ---- slow paths ---- */

/* What the fast path has no object for, of any size. */
static PH_NOINLINE void *alloc_slow(size_t nbytes)
{
	struct ph_heap *heap = ph__process_heap();
	bool zeroed;

	if (ph_unlikely(!heap))
		return NULL;
	if (nbytes > PH_SMALL_MAX)
		return ph__large_alloc(heap, nbytes, PH_PAGE_SIZE, &zeroed);
	return ph__object_alloc_slow(heap, size_class_of_align16(nbytes));
}

/* NULL, large objects, objects of other heaps, and mistakes. */
static void free_other(struct ph_heap *heap, void *p)
{
	if (ph_unlikely(!heap))
		ph__object_bad(NULL, "invalid free of", p);
	if (heap->flags & HEAP_PRIMARY)
		ph__object_free_other(heap, p);
	else
		ph_free(heap, p);
}

/* What the fast path's magazine does not take, for whatever reason. */
static PH_NOINLINE void dealloc_slow(void *p, const void *caller)
{
	unsigned size_class = primary_class_at((uintptr_t)p);
	struct ph_heap *heap;

	if (!p)
		return;
	heap = size_class ? ph__registry.primary : ph__heap_of_object(p);
	if (size_class)
		ph__object_free_slow(heap, p, size_class);
	else
		free_other(heap, p);
	ph__process_background(heap, caller);
}

/* ---- fast paths ---- */

static PH_ALWAYS_INLINE void *alloc(size_t nbytes)
{
	struct thread_state *t = &ph__thread_state;
	unsigned size_class;
	void *p;

	if (ph_likely(nbytes <= SIZE_FINE_MAX))
		size_class = ph__size_fine_align16[(nbytes + 7) / 8];
	else if (ph_likely(nbytes <= PH_SMALL_MAX))
		size_class = size_class_coarse(nbytes);
	else
		return alloc_slow(nbytes);
	thread_enter(t);
	p = magazine_pop(&ph_load_relaxed(&t->main)->magazines[size_class]);
	thread_leave(t);
	return ph_likely(p) ? p : alloc_slow(nbytes);
}

/* Inlined: the return address is that of the exported function. */
static PH_ALWAYS_INLINE void dealloc(void *p)
{
	struct thread_state *t = &ph__thread_state;
	unsigned entry = pagemap_entry(ph__process_root, (uintptr_t)p);
	uint32_t offset = page_entry_offset(entry, (uintptr_t)p);
	struct magazine *m;

	thread_enter(t);
	m = &ph_load_relaxed(&t->main)
		     ->magazines[entry & PAGE_ENTRY_CLASS_MASK];
	if (ph_likely(magazine_object_starts_at(m, offset) &&
		      magazine_has_room(m) && !magazine_has_recent(m, p))) {
		magazine_push(m, p);
		thread_leave(t);
		return;
	}
	thread_leave(t);
	dealloc_slow(p, ph_return_address());
}

PH_EXPORT void *malloc(size_t nbytes)
{
	return alloc(nbytes);
}

PH_EXPORT void free(void *p)
{
	dealloc(p);
}

void *ph__malloc(size_t nbytes)
{
	return alloc(nbytes);
}

void ph__free(void *p)
{
	dealloc(p);
}

/* ---- the rest of the family ---- */

PH_EXPORT void *calloc(size_t count, size_t size)
{
	struct ph_heap *heap;
	size_t nbytes;
	void *p;

	if (ph_unlikely(mul_overflows(count, size, &nbytes))) {
		errno = ENOMEM;
		return NULL;
	}
	if (ph_likely(nbytes <= PH_SMALL_MAX)) {
		p = alloc(nbytes);
		return ph_likely(p) ? memset(p, 0, nbytes) : NULL;
	}
	heap = ph__process_heap();
	return heap ? ph__object_calloc(heap, nbytes) : NULL;
}

PH_EXPORT void *realloc(void *p, size_t nbytes)
{
	struct ph_heap *heap;

	if (!p)
		return alloc(nbytes);
	if (nbytes == 0) {
		dealloc(p);
		return NULL;
	}
	heap = ph__heap_of_object(p);
	if (ph_unlikely(!heap))
		ph__object_bad(NULL, "invalid realloc of", p);
	p = ph_realloc(heap, p, nbytes);
	ph__process_background(heap, ph_return_address());
	return p;
}

PH_EXPORT void *reallocarray(void *p, size_t count, size_t size)
{
	size_t nbytes;

	if (mul_overflows(count, size, &nbytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return realloc(p, nbytes);
}

PH_EXPORT size_t malloc_usable_size(void *p)
{
	return p ? ph_usable_size(ph__heap_of_object(p), p) : 0;
}

void ph__free_sized(void *p, size_t nbytes)
{
	if (!p)
		return;
	/* Smaller is fine: realloc may have shrunk the object in place. */
	if (ph_unlikely(nbytes > malloc_usable_size(p)))
		ph__object_bad(ph__heap_of_object(p),
			       "sized free with too large a size of", p);
	dealloc(p);
}

PH_EXPORT void free_sized(void *p, size_t nbytes)
{
	ph__free_sized(p, nbytes);
}

PH_EXPORT void free_aligned_sized(void *p, size_t align, size_t nbytes)
{
	if (p && is_pow2(align) && ((uintptr_t)p & (align - 1)) != 0)
		ph__object_bad(ph__heap_of_object(p),
			       "aligned free of a misaligned", p);
	ph__free_sized(p, nbytes);
}

/* Long gone from glibc's headers, but old binaries still ask for it. */
PH_EXPORT void cfree(void *p)
{
	dealloc(p);
}

void *ph__aligned_alloc(size_t align, size_t nbytes)
{
	struct ph_heap *heap = ph__process_heap();

	return heap ? ph_aligned_alloc(heap, align, nbytes) : NULL;
}

PH_EXPORT void *aligned_alloc(size_t align, size_t nbytes)
{
	return ph__aligned_alloc(align, nbytes);
}

PH_EXPORT void *memalign(size_t align, size_t nbytes)
{
	if (align > SIZE_MAX / 2 + 1) {
		errno = EINVAL;
		return NULL;
	}
	if (!is_pow2(align))
		align = align ? (size_t)1 << log2_ceil(align) : 1;
	return ph__aligned_alloc(align, nbytes);
}

PH_EXPORT int posix_memalign(void **out, size_t align, size_t nbytes)
{
	int saved = errno;
	void *p;

	if (!is_pow2(align) || align % sizeof(void *) != 0)
		return EINVAL;
	p = ph__aligned_alloc(align, nbytes);
	errno = saved;
	if (!p)
		return ENOMEM;
	*out = p;
	return 0;
}

static size_t os_page_size(void)
{
	return ph_os_default()->page_size;
}

PH_EXPORT void *valloc(size_t nbytes)
{
	return ph__aligned_alloc(os_page_size(), nbytes);
}

PH_EXPORT void *pvalloc(size_t nbytes)
{
	size_t page = os_page_size();

	if (nbytes > SIZE_MAX - page) {
		errno = ENOMEM;
		return NULL;
	}
	return ph__aligned_alloc(page, align_up(nbytes ? nbytes : 1, page));
}
