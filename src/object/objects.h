/* SPDX-License-Identifier: MIT */
/*
 * A heap's objects: a central list for each size class, and the list of the
 * threads' caches.  Made at the heap's first object, so that a heap of pages
 * never pays for it.
 */
#ifndef PH_OBJECT_OBJECTS_H
#define PH_OBJECT_OBJECTS_H

#include "heap/registry.h"
#include "object/central.h"
#include "object/size_class.h"
#include "object/thread.h"

struct objects {
	struct ph_heap *heap;
	struct ph_lock caches_lock;
	struct list caches PH_GUARDED_BY(caches_lock); /* tcache.link */
	struct central centrals[PH_NUM_CLASSES];
};

/* The heap's objects, made if need be.  NULL and ENOMEM. */
struct objects *ph__objects_make(struct ph_heap *heap);

static inline struct objects *objects_of(struct ph_heap *heap)
{
	/* Acquire: the centrals were prepared before the pointer was set. */
	struct objects *o = ph_load_acquire(&heap->objects);

	return ph_likely(o) ? o : ph__objects_make(heap);
}

/* Smallest class for nbytes (at most PH_SMALL_MAX) in this heap. */
static inline unsigned heap_size_class(const struct ph_heap *heap,
				       size_t nbytes)
{
	return heap->flags & PH_HEAP_ALIGN16 ? size_class_of_align16(nbytes)
					     : size_class_of(nbytes);
}

/*
 * The calling thread's cache of the heap as its fast path sees it; the empty
 * one when it has none.  Inside thread_enter() and thread_leave().
 */
static inline struct tcache *thread_current(struct thread_state *t,
					    const struct ph_heap *heap)
{
	/* Relaxed: thread.h tells why no order is needed. */
	if (heap->flags & HEAP_PRIMARY)
		return ph_load_relaxed(&t->main);
	return ph_load_relaxed(&t->recent_id) == heap->id ? t->recent
							  : &ph__empty_cache;
}

/*
 * What lies at the address of a would-be object.  The class of a small object
 * that starts exactly there; 0 otherwise.
 */
static PH_ALWAYS_INLINE unsigned primary_class_at(uintptr_t addr)
{
	unsigned entry = pagemap_entry(ph__process_root, addr);
	unsigned class = entry & PAGE_ENTRY_CLASS_MASK;
	size_t offset = page_entry_offset(entry, addr);

	/* In class 0, as in PAGE_ENTRY_OTHER, no object starts. */
	return ph_likely(object_starts_at(class, offset)) ? class : 0;
}

/* As above, through the span: for heaps other than the primary one. */
static inline unsigned small_class_at(const struct ph_heap *heap,
				      uintptr_t addr)
{
	const struct ph_span *s;
	unsigned index;

	if (heap->flags & HEAP_PRIMARY)
		return primary_class_at(addr);
	s = pagemap_span_at(heap->pagemap, addr);
	if (!s || s->heap != heap || span_state(s) != SPAN_SMALL ||
	    !size_class_object_at(&ph__size_classes[s->size_class],
				  addr - s->base, &index))
		return 0;
	return s->size_class;
}

/* ---- object.c ---- */

/* An object of the class, by way of the cache's refill.  NULL and ENOMEM. */
PH_MUST_USE PH_NOINLINE void *ph__object_alloc_slow(struct ph_heap *heap,
						    unsigned size_class);

/* Frees an object of the class when the magazine cannot take it as it is. */
PH_NOINLINE void ph__object_free_slow(struct ph_heap *heap, void *p,
				      unsigned size_class);

/* Frees what is not a small object, or reports it. */
PH_NOINLINE void ph__object_free_other(struct ph_heap *heap, void *p);

/* A zeroed object.  NULL and ENOMEM. */
PH_MUST_USE void *ph__object_calloc(struct ph_heap *heap, size_t nbytes);

/* Aborts: p was to be `what` but is no object of the heap. */
PH_COLD PH_NORETURN void ph__object_bad(const struct ph_heap *heap,
					const char *what, const void *p);

/*
 * The fast paths, for the public functions and the drop-in's alike.  A class
 * that has no object at hand, a magazine that is full: the slow way.
 */
static PH_ALWAYS_INLINE void *object_alloc(struct ph_heap *heap,
					   struct thread_state *t,
					   unsigned size_class)
{
	void *p;

	thread_enter(t);
	p = magazine_pop(&thread_current(t, heap)->magazines[size_class]);
	thread_leave(t);
	return ph_likely(p) ? p : ph__object_alloc_slow(heap, size_class);
}

static PH_ALWAYS_INLINE void object_free(struct ph_heap *heap,
					 struct thread_state *t, void *p,
					 unsigned size_class)
{
	struct magazine *m;

	thread_enter(t);
	m = &thread_current(t, heap)->magazines[size_class];
	if (ph_likely(magazine_has_room(m) && !magazine_has_recent(m, p))) {
		magazine_push(m, p);
		thread_leave(t);
		return;
	}
	thread_leave(t);
	ph__object_free_slow(heap, p, size_class);
}

/* ---- large.c ---- */

PH_MUST_USE void *ph__large_alloc(struct ph_heap *heap, size_t nbytes,
				  size_t align, bool *zeroed);

/* Resizes in place to hold nbytes.  False: not possible. */
PH_MUST_USE bool ph__large_resize(struct ph_heap *heap, struct ph_span *s,
				  size_t nbytes);

/* ---- gauges.c ---- */

/*
 * Takes the locks of every central and of the heap, so that spans and gauges
 * stand still.  Returns the heap's objects, NULL when it has none.
 */
struct objects *ph__snapshot_begin(struct ph_heap *heap) PH_ACQUIRE(heap->lock);
void ph__snapshot_end(struct ph_heap *heap, struct objects *o)
	PH_RELEASE(heap->lock);

/* What there is of one size class. */
struct class_stats {
	uint64_t nspans;
	uint64_t live;	 /* objects in use */
	uint64_t cached; /* objects in magazines */
	uint64_t free;	 /* objects in spans */
};

/* As ph_heap_stats(), and by size class, of the same moment. */
void ph__heap_stats_by_class(struct ph_heap *heap, struct ph_stats *stats,
			     struct class_stats classes[PH_NUM_CLASSES]);

/* The heap's gauges live at *to from now on, with the values they have. */
void ph__heap_move_gauges(struct ph_heap *heap, struct ph_gauges *to);

/* As above, for the one thread of a forked child.  Takes no lock. */
void ph__heap_move_gauges_alone(struct ph_heap *heap, struct ph_gauges *to);

/* ---- fork.c ---- */

/* Registers the handlers; called once, early. */
void ph__fork_init(void);

#endif
