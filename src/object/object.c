/* SPDX-License-Identifier: MIT */
/*
 * Objects: what malloc and free mean on a heap.
 *
 *	request			served by
 *	up to 32 KiB		size class: magazine, else central, else a span
 *	above, or aligned	large.c: a span of its own
 *	beyond a page
 *
 * The fast paths are inline (objects.h); here is what they fall back to, and
 * the public functions.  A slow path attaches the thread's cache to its fast
 * path (a taker may have detached it), refills or empties the magazine, and
 * tries again; a thread that cannot have a cache works on the central with
 * single objects.
 */
#include <errno.h>
#include <stdint.h>
#include <string.h>

#include "base/bits.h"
#include "heap/report.h"
#include "object/objects.h"

/* Objects at least this much smaller after realloc are moved: 1/2. */
#define SHRINK_SHARE 2

/* One object straight from the central. */
static void *alloc_from_central(struct ph_heap *heap, unsigned size_class)
{
	struct objects *o = objects_of(heap);
	void *p = NULL;

	if (!o ||
	    ph__central_take(heap, &o->centrals[size_class], &p, 1) == 0) {
		errno = ENOMEM;
		return NULL;
	}
	return p;
}

/*
 * What every slow path of a cache begins with: the owner is not idle; and a
 * taker that could not take may have asked it to empty itself.
 */
static void note_slow_path(struct tcache *tc)
{
	ph_store_relaxed(&tc->activity, tc->activity + 1);
	if (ph_likely(!ph_load_relaxed(&tc->flush_wanted)))
		return;
	ph_store_relaxed(&tc->flush_wanted, 0);
	ph__tcache_flush(tc);
}

void *ph__object_alloc_slow(struct ph_heap *heap, unsigned size_class)
{
	struct thread_state *t = &ph__thread_state;

	for (;;) {
		struct tcache *tc;
		void *p = NULL;

		thread_enter(t);
		tc = thread_current(t, heap);
		if (tc != &ph__empty_cache) {
			struct magazine *m = &tc->magazines[size_class];

			note_slow_path(tc);
			p = magazine_pop(m);
			if (!p && ph__tcache_refill(tc, size_class))
				p = magazine_pop(m);
			thread_leave(t);
			return p;
		}
		thread_leave(t);
		if (!ph__thread_attach(heap))
			return alloc_from_central(heap, size_class);
	}
}

void ph__object_free_slow(struct ph_heap *heap, void *p, unsigned size_class)
{
	struct thread_state *t = &ph__thread_state;
	int saved = errno;
	bool attached = true;

	while (attached) {
		struct tcache *tc;

		thread_enter(t);
		tc = thread_current(t, heap);
		if (tc != &ph__empty_cache) {
			struct magazine *m = &tc->magazines[size_class];

			note_slow_path(tc);
			if (magazine_has_recent(m, p)) {
				thread_leave(t);
				ph__object_bad(heap, "double free of", p);
			}
			attached = magazine_has_room(m) ||
				   ph__tcache_make_room(tc, size_class);
			if (attached)
				magazine_push(m, p);
			thread_leave(t);
			if (attached) {
				errno = saved;
				return;
			}
		} else {
			thread_leave(t);
			attached = ph__thread_attach(heap);
		}
	}
	ph__central_give(heap, &objects_of(heap)->centrals[size_class], &p, 1);
	errno = saved;
}

void ph__object_bad(const struct ph_heap *heap, const char *what, const void *p)
{
	ph__report_pointer(heap, what, p);
}

void ph__object_free_other(struct ph_heap *heap, void *p)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, (uintptr_t)p);
	int saved = errno;

	if (!s || s->heap != heap)
		ph__object_bad(heap, "invalid free of", p);
	if (span_state(s) != SPAN_LARGE || s->base != (uintptr_t)p)
		ph__object_bad(heap, "invalid free inside", p);
	if (!ph__span_free(heap, s, SPAN_LARGE, (uintptr_t)p))
		ph__object_bad(heap, "double free of", p);
	errno = saved;
}

void *ph__object_calloc(struct ph_heap *heap, size_t nbytes)
{
	bool zeroed;
	void *p;

	if (nbytes > PH_SMALL_MAX) {
		p = ph__large_alloc(heap, nbytes, PH_PAGE_SIZE, &zeroed);
		if (p && !zeroed)
			memset(p, 0, nbytes);
		return p;
	}
	p = ph_malloc(heap, nbytes);
	return p ? memset(p, 0, nbytes) : NULL;
}

/* ---- public ---- */

void *ph_malloc(struct ph_heap *heap, size_t nbytes)
{
	bool zeroed;

	if (ph_unlikely(nbytes > PH_SMALL_MAX))
		return ph__large_alloc(heap, nbytes, PH_PAGE_SIZE, &zeroed);
	return object_alloc(heap, &ph__thread_state,
			    heap_size_class(heap, nbytes));
}

void ph_free(struct ph_heap *heap, void *p)
{
	unsigned class;

	if (ph_unlikely(!p))
		return;
	class = small_class_at(heap, (uintptr_t)p);
	if (ph_likely(class))
		object_free(heap, &ph__thread_state, p, class);
	else
		ph__object_free_other(heap, p);
}

void *ph_calloc(struct ph_heap *heap, size_t count, size_t size)
{
	size_t nbytes;

	if (mul_overflows(count, size, &nbytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return ph__object_calloc(heap, nbytes);
}

void *ph_aligned_alloc(struct ph_heap *heap, size_t align, size_t nbytes)
{
	unsigned class;
	bool zeroed;

	if (!is_pow2(align)) {
		errno = EINVAL;
		return NULL;
	}
	if ((heap->flags & PH_HEAP_ALIGN16) && nbytes > 8 && align < 16)
		align = 16;
	class = ph__size_class_for_aligned(nbytes, align);
	if (class)
		return object_alloc(heap, &ph__thread_state, class);
	return ph__large_alloc(heap, nbytes, align, &zeroed);
}

/* The span of a live object that starts at p; aborts when there is none. */
static struct ph_span *span_of_object(const struct ph_heap *heap,
				      const char *what, const void *p)
{
	struct ph_span *s = pagemap_span_at(heap->pagemap, (uintptr_t)p);
	uintptr_t offset = (uintptr_t)p - (s ? s->base : 0);
	unsigned i;

	if (!s || s->heap != heap || span_state(s) == SPAN_USER)
		ph__object_bad(heap, what, p);
	if (span_state(s) == SPAN_LARGE) {
		if (offset != 0)
			ph__object_bad(heap, what, p);
		return s;
	}
	if (!size_class_object_at(&ph__size_classes[s->size_class], offset,
				  &i) ||
	    !span_bit_get(s->alloc_bits, i))
		ph__object_bad(heap, what, p);
	return s;
}

size_t ph_usable_size(struct ph_heap *heap, const void *p)
{
	if (!p)
		return 0;
	return ph_span_elem_size(
		span_of_object(heap, "invalid usable size of", p));
}

size_t ph_good_size(struct ph_heap *heap, size_t nbytes)
{
	if (nbytes <= PH_SMALL_MAX)
		return ph__size_classes[heap_size_class(heap, nbytes)].size;
	if (nbytes > PTRDIFF_MAX)
		return 0;
	return align_up(nbytes, PH_PAGE_SIZE);
}

/* Can the object stay where it is and hold nbytes? */
static bool resize_in_place(struct ph_heap *heap, struct ph_span *s,
			    size_t nbytes)
{
	size_t usable;

	if (span_state(s) == SPAN_LARGE)
		return nbytes > PH_SMALL_MAX &&
		       ph__large_resize(heap, s, nbytes);
	usable = s->elem_size;
	if (nbytes > usable)
		return false;
	/* Small steps down stay; so do sizes of the same class. */
	return nbytes >= usable / SHRINK_SHARE ||
	       heap_size_class(heap, nbytes) == s->size_class;
}

void *ph_realloc(struct ph_heap *heap, void *p, size_t nbytes)
{
	struct ph_span *s;
	size_t usable;
	void *q;

	if (!p)
		return ph_malloc(heap, nbytes);
	s = span_of_object(heap, "invalid realloc of", p);
	usable = ph_span_elem_size(s);
	if (nbytes <= PTRDIFF_MAX && resize_in_place(heap, s, nbytes))
		return p;
	q = ph_malloc(heap, nbytes);
	if (!q)
		return NULL;
	memcpy(q, p, usable < nbytes ? usable : nbytes);
	ph_free(heap, p);
	return q;
}
