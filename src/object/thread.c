/* SPDX-License-Identifier: MIT */
/*
 * Threads: attaching caches, taking them away, and the thread's end.
 *
 *	thread_state (TLS)	thread			tcache
 *	main --------------------------------------->	magazines
 *	recent ----------------------------------.	heap, objects
 *	thread ------------->	entries[]	  '->	link in objects->caches
 *				 heap id -> cache
 *
 * A thread's table maps ids of heaps to caches.  Only the owner reads or writes
 * it; a heap that is destroyed frees its caches without asking the owner, whose
 * entry then names an id that no heap has any more, and is dropped when the
 * table is next rebuilt.
 *
 * Locks: the caches lock of the heap guards the list of its caches, and the
 * moment in which a cache becomes visible to its owner's fast path (main,
 * recent_id).  The registry's lock, taken first, keeps heaps from going while
 * a thread's end looks them up by id.
 *
 * Thread's end.  The key's destructor empties the thread's caches into the
 * centrals and frees them.  Destructors of other keys may run after it and
 * still allocate: they work on the centrals.
 */
#include "object/thread.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "base/bits.h"
#include "object/background.h"
#include "object/objects.h"
#include "os/os.h"

#define THREAD_FIRST_ENTRIES 4

#define NO_MAGAZINE                                                            \
	{                                                                      \
		.top = MAGAZINE_NO_BLOCK, .end = MAGAZINE_NO_BLOCK             \
	}
#define NO_MAGAZINES_4 NO_MAGAZINE, NO_MAGAZINE, NO_MAGAZINE, NO_MAGAZINE
#define NO_MAGAZINES_16                                                        \
	NO_MAGAZINES_4, NO_MAGAZINES_4, NO_MAGAZINES_4, NO_MAGAZINES_4

/* Filled in by the compiler: malloc may be called before anything has run. */
PH_STATIC_ASSERT(PH_NUM_CLASSES == 4 * 16 + 4, "as many as there are below");
struct tcache ph__empty_cache = {.magazines = {NO_MAGAZINES_16, NO_MAGAZINES_16,
					       NO_MAGAZINES_16, NO_MAGAZINES_16,
					       NO_MAGAZINES_4}};
__thread struct thread_state ph__thread_state PH_TLS_INITIAL_EXEC = {
	.main = &ph__empty_cache, .recent = &ph__empty_cache};

static pthread_key_t thread_key;
static uint32_t thread_key_state; /* atomic; 0 not made, 1 made, 2 refused */

/* ---- a thread's table ---- */

static size_t entry_hash(uint64_t heap_id, size_t capacity)
{
	/* Fibonacci hashing: the high bits of a product are well mixed. */
	return (size_t)(heap_id * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
	       (capacity - 1);
}

/* The heap's entry, or the free one where it belongs. */
static struct thread_entry *entry_of(const struct thread *th, uint64_t heap_id)
{
	size_t i = entry_hash(heap_id, th->capacity);

	while (th->entries[i].heap_id != 0 && th->entries[i].heap_id != heap_id)
		i = (i + 1) & (th->capacity - 1);
	return &th->entries[i];
}

static size_t entries_nbytes(size_t capacity)
{
	return capacity * sizeof(struct thread_entry);
}

/* Rebuilds the table, without entries of heaps that are gone. */
static bool rebuild_entries(struct thread *th)
{
	struct thread next = *th;
	size_t live = 0;

	lock_acquire(&ph__registry.lock);
	for (size_t i = 0; i < th->capacity; i++)
		if (ph__registry_find(th->entries[i].heap_id))
			live++;
		else
			th->entries[i].cache = NULL;
	lock_release(&ph__registry.lock);

	next.capacity = THREAD_FIRST_ENTRIES;
	while (next.capacity < 4 * live)
		next.capacity *= 2;
	next.nentries = 0;
	next.entries = ph__meta_alloc(&ph__registry.meta,
				      entries_nbytes(next.capacity), 16);
	if (!next.entries)
		return false;
	for (size_t i = 0; i < th->capacity; i++) {
		if (!th->entries[i].cache)
			continue;
		*entry_of(&next, th->entries[i].heap_id) = th->entries[i];
		next.nentries++;
	}
	if (th->entries)
		ph__meta_free(&ph__registry.meta, th->entries,
			      entries_nbytes(th->capacity));
	*th = next;
	return true;
}

/* ---- making threads and caches ---- */

static void thread_ended(void *arg);

void ph__thread_init(void)
{
	uint32_t made = 0;

	/* Acquire and release: the key is written before the state. */
	if (ph_load_acquire(&thread_key_state) != 0)
		return;
	lock_acquire(&ph__registry.lock);
	if (thread_key_state == 0) {
		made = pthread_key_create(&thread_key, thread_ended) ? 2 : 1;
		ph_store_release(&thread_key_state, made);
	}
	lock_release(&ph__registry.lock);
	if (made)
		(void)ph__os_membarrier_register();
}

/* The calling thread's record; NULL: no memory, or its end would go unseen. */
static struct thread *thread_record(struct thread_state *t)
{
	struct thread *th = t->thread;

	if (th)
		return th;
	ph__thread_init();
	if (ph_load_acquire(&thread_key_state) != 1)
		return NULL;
	th = ph__meta_alloc(&ph__registry.meta, sizeof(*th), PH_CACHE_LINE);
	if (!th)
		return NULL;
	th->state = t;
	th->id = ph__os_thread_id();
	/* Set first: pthread_setspecific may allocate from this very heap. */
	t->thread = th;
	if (pthread_setspecific(thread_key, th) != 0) {
		t->thread = NULL;
		ph__meta_free(&ph__registry.meta, th, sizeof(*th));
		return NULL;
	}
	return th;
}

static struct tcache *make_cache(struct ph_heap *heap, struct thread *th)
{
	struct objects *o = objects_of(heap);
	struct tcache *tc;

	if (!o)
		return NULL;
	tc = ph__meta_alloc(heap->meta, sizeof(*tc), PH_CACHE_LINE);
	if (!tc)
		return NULL;
	ph__tcache_init(tc);
	tc->heap = heap;
	tc->objects = o;
	tc->thread = th;
	list_init(&tc->link);
	return tc;
}

/* The thread's cache of the heap, made if need be. */
static struct tcache *find_or_make_cache(struct thread *th,
					 struct ph_heap *heap)
{
	struct thread_entry *e;
	struct tcache *tc;

	if (th->capacity) {
		e = entry_of(th, heap->id);
		if (e->heap_id == heap->id)
			return e->cache;
	}
	if (2 * (th->nentries + 1) > th->capacity && !rebuild_entries(th))
		return NULL;
	tc = make_cache(heap, th);
	if (!tc)
		return NULL;
	e = entry_of(th, heap->id);
	e->heap_id = heap->id;
	e->cache = tc;
	th->nentries++;
	return tc;
}

bool ph__thread_attach(struct ph_heap *heap)
{
	struct thread_state *t = &ph__thread_state;
	struct thread *th = t->dead ? NULL : thread_record(t);
	struct tcache *tc = th ? find_or_make_cache(th, heap) : NULL;

	if (!tc)
		return false;
	lock_acquire(&tc->objects->caches_lock);
	if (list_is_empty(&tc->link))
		list_push_back(&tc->objects->caches, &tc->link);
	if (heap->flags & HEAP_PRIMARY) {
		ph_store_relaxed(&t->main, tc);
	} else {
		t->recent = tc;
		/* Release: recent before its id, for a signal handler. */
		ph_store_release(&t->recent_id, heap->id);
	}
	lock_release(&tc->objects->caches_lock);
	return true;
}

/* ---- taking caches from their owners ---- */

/* Hides a cache from its owner's fast path.  The caches lock is held. */
static void detach(struct tcache *tc)
{
	struct thread_state *t = tc->thread->state;
	uint64_t id = tc->heap->id;

	if (tc->heap->flags & HEAP_PRIMARY)
		ph_store_relaxed(&t->main, &ph__empty_cache);
	else if (ph_load_relaxed(&t->recent_id) == id)
		ph_store_relaxed(&t->recent_id, 0);
}

/* Waits until the owner is not at work on any magazine. */
static void wait_until_idle(const struct tcache *tc)
{
	const struct thread_state *t = tc->thread->state;

	if (t == &ph__thread_state)
		return;
	/* Acquire: pairs with thread_leave(). */
	for (unsigned i = 0; ph_load_acquire(&t->busy); i++) {
		if (i < 100)
			cpu_relax();
		else
			sched_yield();
	}
}

/* Which caches a taker takes. */
typedef bool cache_choice(struct tcache *tc);

static bool every_cache(struct tcache *tc)
{
	(void)tc;
	return true;
}

/* Holds something, and its owner had no slow path since the last look. */
static bool idle_cache(struct tcache *tc)
{
	uint32_t activity = ph_load_relaxed(&tc->activity);
	bool idle = activity == tc->seen_activity;

	tc->seen_activity = activity;
	return idle && ph__tcache_holds_objects(tc);
}

/* Without membarrier: owners are asked, the caller empties its own. */
static void ask_to_flush(struct objects *o)
{
	ph_list_for_each (it, &o->caches) {
		struct tcache *tc = ph_list_entry(it, struct tcache, link);

		if (!tc->taken)
			continue;
		ph_store_relaxed(&tc->flush_wanted, 1);
		if (tc->thread->state == &ph__thread_state)
			ph__tcache_flush(tc);
	}
}

/* Empties the chosen caches; the caches lock keeps their owners out. */
static void take_and_flush(struct objects *o, cache_choice *choose)
	PH_REQUIRES(o->caches_lock)
{
	bool any = false;

	ph_list_for_each (it, &o->caches) {
		struct tcache *tc = ph_list_entry(it, struct tcache, link);

		tc->taken = choose(tc);
		if (tc->taken) {
			detach(tc);
			any = true;
		}
	}
	if (!any)
		return;
	/*
	 * The barrier of thread.h: owners that did not see the detach have
	 * busy set where we see it.
	 */
	if (!ph__os_membarrier()) {
		ask_to_flush(o);
		return;
	}
	ph_list_for_each (it, &o->caches) {
		struct tcache *tc = ph_list_entry(it, struct tcache, link);

		if (!tc->taken)
			continue;
		wait_until_idle(tc);
		ph__tcache_flush(tc);
	}
}

/* Gives the empty spans that the centrals keep back. */
static void trim_centrals(struct objects *o)
{
	for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
		ph__central_trim(o->heap, &o->centrals[c]);
}

static void flush_chosen(struct ph_heap *heap, cache_choice *choose)
{
	struct objects *o = ph_load_acquire(&heap->objects);

	if (!o)
		return;
	lock_acquire(&o->caches_lock);
	take_and_flush(o, choose);
	lock_release(&o->caches_lock);
	trim_centrals(o);
}

void ph__thread_flush_all(struct ph_heap *heap)
{
	flush_chosen(heap, every_cache);
}

void ph__thread_flush_idle(struct ph_heap *heap)
{
	flush_chosen(heap, idle_cache);
}

void ph__thread_flush_stopped(struct ph_heap *heap)
{
	struct objects *o = ph_load_acquire(&heap->objects);

	if (!o)
		return;
	lock_acquire(&o->caches_lock);
	ph_list_for_each (it, &o->caches)
		ph__tcache_flush(ph_list_entry(it, struct tcache, link));
	lock_release(&o->caches_lock);
	trim_centrals(o);
}

void ph__thread_count_cached(struct objects *o,
			     uint64_t nobjects[PH_NUM_CLASSES])
{
	memset(nobjects, 0, PH_NUM_CLASSES * sizeof(nobjects[0]));
	ph_list_for_each (it, &o->caches) {
		const struct tcache *tc =
			ph_list_entry(it, struct tcache, link);

		for (unsigned c = 1; c < PH_NUM_CLASSES; c++)
			nobjects[c] += magazine_count(&tc->magazines[c]);
	}
}

/* ---- the end of caches ---- */

/* Unlinks and frees an empty cache.  The caches lock is held. */
static void free_cache(struct tcache *tc)
{
	struct meta *meta = tc->heap->meta;

	list_remove(&tc->link);
	ph__tcache_free_slots(tc);
	ph__meta_free(meta, tc, sizeof(*tc));
}

void ph__thread_forget_heap(struct ph_heap *heap)
{
	struct objects *o = ph_load_acquire(&heap->objects);

	if (!o)
		return;
	lock_acquire(&o->caches_lock);
	ph_list_for_each_safe (it, next, &o->caches)
		free_cache(ph_list_entry(it, struct tcache, link));
	lock_release(&o->caches_lock);
}

/* Empties and frees one cache of a thread that ends. */
static void end_cache(struct thread_entry *e) PH_REQUIRES(ph__registry.lock)
{
	struct ph_heap *heap = ph__registry_find(e->heap_id);
	struct objects *o;

	if (!heap)
		return;
	o = e->cache->objects;
	lock_acquire(&o->caches_lock);
	detach(e->cache);
	/* A taker that holds the lock is done; none can start meanwhile. */
	ph__tcache_flush(e->cache);
	free_cache(e->cache);
	lock_release(&o->caches_lock);
}

static void free_thread(struct thread *th)
{
	if (th->entries)
		ph__meta_free(&ph__registry.meta, th->entries,
			      entries_nbytes(th->capacity));
	ph__meta_free(&ph__registry.meta, th, sizeof(*th));
}

/* The key's destructor. */
static void thread_ended(void *arg)
{
	struct thread *th = arg;
	struct thread_state *t = &ph__thread_state;

	/* First: what allocates from here on works on the centrals. */
	t->dead = 1;
	t->thread = NULL;
	lock_acquire(&ph__registry.lock);
	for (size_t i = 0; i < th->capacity; i++)
		if (th->entries[i].heap_id)
			end_cache(&th->entries[i]);
	lock_release(&ph__registry.lock);
	free_thread(th);
	/* What this thread held may be the last that is ever freed. */
	if (ph__registry.primary && background_is_wanted(ph__registry.primary))
		ph__background_start(ph__registry.primary);
}

/* Empties the caches of threads that only the parent has. */
static void reclaim_heap(struct objects *o, const struct thread *self)
{
	lock_acquire(&o->caches_lock);
	ph_list_for_each_safe (it, next, &o->caches) {
		struct tcache *tc = ph_list_entry(it, struct tcache, link);

		if (tc->thread == self)
			continue;
		ph__tcache_flush(tc);
		free_cache(tc);
	}
	lock_release(&o->caches_lock);
}

void ph__thread_after_fork_child(void)
{
	const struct thread *self = ph__thread_state.thread;

	lock_acquire(&ph__registry.lock);
	for (size_t i = 0; i < ph__registry.nslots; i++) {
		struct ph_heap *heap = ph__registry.slots[i];

		if (heap && heap->objects)
			reclaim_heap(heap->objects, self);
	}
	lock_release(&ph__registry.lock);
}
