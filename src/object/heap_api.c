/* SPDX-License-Identifier: MIT */
/*
 * Public functions that need both a heap's pages and its objects: its life,
 * walking and checking it.  Walks and checks work on a snapshot (gauges.c).
 */
#include <errno.h>
#include <string.h>

#include "heap/registry.h"
#include "heap/report.h"
#include "object/objects.h"

const char *ph_version(void)
{
	return PH_VERSION_STRING;
}

struct ph_heap *ph_heap_create(const struct ph_heap_options *options)
{
	ph__fork_init();
	return ph__heap_create(options, 0);
}

void ph_heap_destroy(struct ph_heap *heap)
{
	struct objects *o;

	if (!heap)
		return;
	ph_require(!(heap->flags & HEAP_PRIMARY));
	/*
	 * First: a thread that ends from here on does not find the heap, and
	 * leaves its cache, which is about to be freed, alone.
	 */
	ph__registry_remove(heap);
	ph__thread_forget_heap(heap);
	o = ph_load_acquire(&heap->objects);
	if (o)
		ph__meta_free(heap->meta, o, sizeof(*o));
	heap->objects = NULL;
	ph__heap_destroy(heap);
}

static struct objects *new_objects(struct ph_heap *heap)
{
	struct objects *o =
		ph__meta_alloc(heap->meta, sizeof(*o), PH_CACHE_LINE);

	if (!o)
		return NULL;
	o->heap = heap;
	lock_init(&o->caches_lock, LOCK_RANK_CACHES);
	list_init(&o->caches);
	for (unsigned c = 0; c < PH_NUM_CLASSES; c++)
		ph__central_init(&o->centrals[c], c);
	return o;
}

struct objects *ph__objects_make(struct ph_heap *heap)
{
	struct objects *o;

	if (heap->os_flags & PH_OS_UNTOUCHABLE) {
		errno = ENOMEM;
		return NULL;
	}
	/* Fork's handlers rely on this lock: none are made while it is held. */
	lock_acquire(&ph__registry.lock);
	o = heap->objects;
	if (!o) {
		o = new_objects(heap);
		/* Release: pairs with objects_of(). */
		ph_store_release(&heap->objects, o);
	}
	lock_release(&ph__registry.lock);
	if (!o)
		errno = ENOMEM;
	return o;
}

/* ---- emptying ---- */

void ph_heap_flush(struct ph_heap *heap)
{
	int saved = errno;

	ph__thread_flush_all(heap);
	errno = saved;
}

/* ---- walking ---- */

struct walk {
	int (*visit)(void *ctx, const struct ph_walk_item *item);
	void *ctx;
	uint32_t flags;
};

static int walk_objects(const struct walk *w, struct ph_span *s)
{
	struct ph_walk_item item = {.kind = PH_WALK_OBJECT,
				    .span = s,
				    .nbytes = ph_span_elem_size(s),
				    .size_class = s->size_class};
	int stop = 0;

	for (size_t i = 0; i < s->nelems && !stop; i++) {
		if (s->size_class && !span_bit_get(s->alloc_bits, i))
			continue;
		item.addr = (void *)(s->base + i * s->elem_size);
		stop = w->visit(w->ctx, &item);
	}
	return stop;
}

static int walk_span(void *ctx, struct ph_span *s)
{
	const struct walk *w = ctx;
	struct ph_walk_item item = {.kind = PH_WALK_SPAN,
				    .span = s,
				    .addr = (void *)s->base,
				    .nbytes = span_nbytes(s),
				    .size_class = s->size_class};
	int stop = w->visit(w->ctx, &item);

	if (!stop && (w->flags & PH_WALK_OBJECTS))
		stop = walk_objects(w, s);
	return stop;
}

int ph_heap_walk(struct ph_heap *heap, uint32_t flags,
		 int (*visit)(void *ctx, const struct ph_walk_item *item),
		 void *ctx)
{
	struct walk w = {visit, ctx, flags};
	struct objects *o = ph__snapshot_begin(heap);
	int stop;

	stop = ph__spans_visit(heap, walk_span, &w);
	ph__snapshot_end(heap, o);
	return stop;
}

/* ---- checking ---- */

struct objects_check {
	uint64_t objects[PH_NUM_CLASSES];
	uint64_t spans[PH_NUM_CLASSES];
	uint64_t partial[PH_NUM_CLASSES]; /* spans that say they are listed */
	uint64_t empty[PH_NUM_CLASSES];
	const char *wrong;
};

static int check_span_list(void *ctx, struct ph_span *s)
{
	struct objects_check *c = ctx;

	/* In transit: between the heap's lock and a central's. */
	if (span_state(s) != SPAN_SMALL || s->on_list == SPAN_IN_TRANSIT)
		return 0;
	c->objects[s->size_class] += s->nalloc;
	c->spans[s->size_class]++;
	c->partial[s->size_class] += s->on_list == SPAN_ON_PARTIAL;
	c->empty[s->size_class] += s->on_list == SPAN_ON_EMPTY;
	if (s->nalloc == 0 && s->on_list != SPAN_ON_EMPTY)
		c->wrong = "an empty span is kept in vain";
	else if (s->nalloc == s->nelems && s->on_list != SPAN_ON_NONE)
		c->wrong = "a full span is on a list";
	else if (s->nalloc > 0 && s->nalloc < s->nelems &&
		 s->on_list != SPAN_ON_PARTIAL)
		c->wrong = "a span with room is not on its list";
	return c->wrong != NULL;
}

/* Are on the central's lists those spans that say so, and no others? */
static bool central_is_right(const struct central *c, uint64_t npartial,
			     uint64_t nempty) PH_NO_THREAD_SAFETY
{
	uint64_t n = 0;

	ph_list_for_each (it, &c->partial) {
		const struct ph_span *s =
			ph_list_entry(it, struct ph_span, link);

		if (s->size_class != c->size_class ||
		    s->on_list != SPAN_ON_PARTIAL || ++n > npartial)
			return false;
	}
	if (c->empty && c->empty->on_list != SPAN_ON_EMPTY)
		return false;
	return n == npartial && nempty == (c->empty != NULL);
}

/* Compares lists and gauges of each class with the spans there are. */
static const char *check_objects(struct ph_heap *heap, const struct objects *o)
	PH_REQUIRES(heap->lock)
{
	struct objects_check c = {.wrong = NULL};
	const struct ph_gauges *g = heap->gauges;

	(void)ph__spans_visit(heap, check_span_list, &c);
	for (unsigned i = 1; i < PH_NUM_CLASSES && !c.wrong; i++)
		if (c.objects[i] != g->class_objects[i] ||
		    c.spans[i] != g->class_spans[i])
			c.wrong = "gauges of a size class differ";
	for (unsigned i = 1; i < PH_NUM_CLASSES && o && !c.wrong; i++)
		if (!central_is_right(&o->centrals[i], c.partial[i],
				      c.empty[i]))
			c.wrong = "a central's lists differ from the spans";
	return c.wrong;
}

int ph_heap_check(struct ph_heap *heap, char *why, size_t size)
{
	struct objects *o = ph__snapshot_begin(heap);
	const char *wrong = NULL;
	bool ok;

	ok = ph__heap_check(heap, why, size);
	if (ok) {
		wrong = check_objects(heap, o);
		ok = !wrong;
	}
	ph__snapshot_end(heap, o);
	if (wrong && why && size) {
		strncpy(why, wrong, size - 1);
		why[size - 1] = '\0';
	}
	return ok ? 0 : EFAULT;
}
