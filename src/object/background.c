/* SPDX-License-Identifier: MIT */
/*
 * The background scavenger.
 *
 * It must work while the program is idle, so it needs a thread; a thread that
 * is always there breaks programs (unshare and setns want one thread only),
 * costs wake-ups, and must not be made in a constructor.  So the thread exists
 * only while there is something to give back:
 *
 *	page freed, much is free -> wanted = 1		(under the heap lock)
 *	a free that took the	 -> thread made, running = 1
 *	slow path (malloc/)
 *	thread: rounds of work, paced sleeps, 100 ms naps while demand decays
 *	nothing left		 -> running = 0, thread ends
 *
 * "Much" (BACKGROUND_START_BYTES) is four MiB and an eighth of what is in use.
 * The thread ends at two MiB and a tenth (heap/pacer.h), or when the system
 * refuses to take anything (locked pages, parts of physical ones); what it
 * refused counts no more when a thread is asked for.  The distance between the
 *two bounds keeps threads from being made and ended in turn.
 *
 * A round releases up to 1 MiB at a time until a millisecond has passed, then
 * sleeps as the controller says.  Once a second it ends a generation of the
 * scavenger and empties the magazines of threads that had no slow path since
 * the second before: idle ones, or such as live from their magazines, whom it
 * costs one refill a second.
 *
 * Where no thread can be made (limits, seccomp), the next attempt is made a
 * second later.  A child of vfork shares the memory but is another process: no
 * thread is made there.
 */
#include "object/background.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "heap/pacer.h"
#include "os/os.h"

#define ROUND_NS UINT64_C(1000000)
#define ROUND_QUANTUM_BYTES ((size_t)1 << 20)
#define NAP_NS UINT64_C(100000000)
#define SECOND_NS UINT64_C(1000000000)
#define PATIENCE_NS UINT64_C(2000000000)
#define REFUSED_NS UINT64_C(10000000000)
#define STACK_BYTES ((size_t)128 << 10)

static uint64_t now_ns(const struct ph_heap *heap)
{
	return heap->os->clock_ns(heap->os_ctx);
}

void ph__background_enable(struct ph_heap *heap)
{
	heap_lock(heap);
	if (!heap->background.enabled) {
		ph__pacer_init(&heap->background.pacer, now_ns(heap));
		heap->background.process = (uint32_t)getpid();
		heap->background.enabled = true;
		ph__pages_update_gauges(heap);
	}
	heap_unlock(heap);
}

void ph__background_after_fork_child(struct ph_heap *heap)
{
	struct heap_background *b = &heap->background;

	b->process = (uint32_t)getpid();
	ph_store_relaxed(&b->running, 0);
	ph_store_relaxed(&b->wanted, 0);
	heap_lock(heap);
	ph__pages_update_gauges(heap);
	heap_unlock(heap);
}

/* ---- a round of work ---- */

/*
 * Bytes that the heap holds beyond its goal; notes in the round how many are
 * free.
 */
static uint64_t bytes_over_goal(struct ph_heap *heap,
				struct background_round *r, uint64_t now)
{
	struct heap_background *b = &heap->background;
	const struct ph_gauges *g;
	uint64_t goal, resident;

	heap_lock(heap);
	g = heap->gauges;
	r->left_bytes = g->free_bytes;
	resident = g->in_use_bytes + g->free_bytes;
	goal = ph__pacer_goal(&b->pacer, g->in_use_bytes, b->peak_bytes, now);
	b->peak_bytes = g->in_use_bytes;
	heap_unlock(heap);
	return resident > goal ? resident - goal : 0;
}

/* Has demand come down to use, so that waiting brings nothing? */
static bool demand_has_settled(struct ph_heap *heap)
{
	bool settled;

	heap_lock(heap);
	settled = heap->background.pacer.demand_bytes <=
		  heap->gauges->in_use_bytes + PACER_MARGIN_BYTES / 2;
	heap_unlock(heap);
	return settled;
}

/* What is due once a second. */
static void each_second(struct ph_heap *heap, uint64_t now)
{
	if (now - heap->background.second_ns < SECOND_NS)
		return;
	heap->background.second_ns = now;
	heap_lock(heap);
	ph__page_alloc_next_generation(&heap->pages);
	heap->generation_pages = 0;
	heap_unlock(heap);
	ph__thread_flush_idle(heap);
}

/*
 * Which chunks to take from.  When nothing came of sparing dense ones for two
 * seconds after demand settled, none is spared: what is over the goal then is
 * more than dense chunks can hide, or lies where the patient search does not
 * look again (page/scav_index.h).
 */
static enum scav_mode choose_mode(const struct heap_background *b, uint64_t now)
{
	return now - b->fruit_ns > PATIENCE_NS ? SCAV_FORCED : SCAV_BACKGROUND;
}

/*
 * The system refuses.  What it refused asks for no other thread, to which it
 * would be refused too; pages freed since do, after a while.
 */
static void give_up(struct ph_heap *heap, uint64_t now, uint64_t left_bytes)
{
	ph_store_relaxed(&heap->background.retry_ns, now + REFUSED_NS);
	heap_lock(heap);
	heap->background.left_bytes = left_bytes;
	heap_unlock(heap);
}

/* Releases up to a quantum.  Bytes released. */
static size_t release_some(struct ph_heap *heap, uint64_t over, uint64_t now,
			   struct background_round *r)
{
	struct heap_background *b = &heap->background;
	enum scav_mode mode = choose_mode(b, now);
	size_t most =
		over < ROUND_QUANTUM_BYTES ? (size_t)over : ROUND_QUANTUM_BYTES;
	size_t n = ph__heap_scavenge(heap, most, mode);

	if (n == 0 && mode == SCAV_FORCED) {
		give_up(heap, now, r->left_bytes);
		r->finished = true;
	}
	if (n != 0 || !demand_has_settled(heap))
		b->fruit_ns = now;
	r->released_bytes += n;
	return n;
}

struct background_round ph__background_round(struct ph_heap *heap,
					     uint64_t budget_ns)
{
	struct background_round r = {0};
	uint64_t start = now_ns(heap), now = start;

	each_second(heap, start);
	for (;;) {
		uint64_t over = bytes_over_goal(heap, &r, now);
		size_t n;

		if (over == 0) {
			heap->background.fruit_ns = now;
			r.finished = demand_has_settled(heap);
			break;
		}
		n = release_some(heap, over, now, &r);
		now = now_ns(heap);
		if (n == 0 || now - start >= budget_ns)
			break;
	}
	r.worked_ns = now_ns(heap) - start;
	return r;
}

/* ---- the thread ---- */

/* Rounds until nothing is left to do. */
static void work_until_finished(struct ph_heap *heap)
{
	uint64_t slept = NAP_NS;

	heap->background.fruit_ns = now_ns(heap);
	for (;;) {
		struct background_round r =
			ph__background_round(heap, ROUND_NS);

		if (r.finished)
			break;
		slept = r.released_bytes
				? ph__pacer_sleep_ns(&heap->background.pacer,
						     r.worked_ns, slept)
				: NAP_NS;
		ph__os_sleep_ns(slept);
	}
	/* The last word: what threads keep that have long been idle. */
	ph__thread_flush_idle(heap);
}

static void *background_main(void *arg)
{
	struct ph_heap *heap = arg;
	struct heap_background *b = &heap->background;

	do {
		work_until_finished(heap);
		ph_store_seq(&b->running, 0);
		/*
		 * A page freed just before that store did not ask, seeing a
		 * thread; the gauges tell whether it would have.
		 */
		heap_lock(heap);
		ph__pages_update_gauges(heap);
		heap_unlock(heap);
	} while (ph__background_claim(heap));
	return NULL;
}

/* A small detached thread that no signal is delivered to. */
static int make_thread(struct ph_heap *heap)
{
	sigset_t all, saved;
	pthread_attr_t attr;
	pthread_t thread;
	size_t usual_nbytes = STACK_BYTES;
	int error;

	error = pthread_attr_init(&attr);
	if (error)
		return error;
	(void)pthread_attr_getstacksize(&attr, &usual_nbytes);
	(void)pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attr, STACK_BYTES);
	(void)sigfillset(&all);
	(void)pthread_sigmask(SIG_SETMASK, &all, &saved);
	error = pthread_create(&thread, &attr, background_main, heap);
	if (error == EINVAL) {
		/* The program's thread-local variables lie there too. */
		(void)pthread_attr_setstacksize(&attr, usual_nbytes);
		error = pthread_create(&thread, &attr, background_main, heap);
	}
	(void)pthread_sigmask(SIG_SETMASK, &saved, NULL);
	(void)pthread_attr_destroy(&attr);
	return error;
}

bool ph__background_claim(struct ph_heap *heap)
{
	struct heap_background *b = &heap->background;
	uint32_t none = 0;

	if (!ph_exchange_acquire(&b->wanted, 0))
		return false;
	return ph_cas_acq_rel(&b->running, &none, 1);
}

void ph__background_start(struct ph_heap *heap)
{
	struct heap_background *b = &heap->background;
	int saved = errno;

	if ((uint32_t)getpid() == b->process &&
	    now_ns(heap) >= ph_load_relaxed(&b->retry_ns) &&
	    ph__background_claim(heap) && make_thread(heap) != 0) {
		ph_store_relaxed(&b->retry_ns, now_ns(heap) + SECOND_NS);
		ph_store_release(&b->running, 0);
	}
	errno = saved;
}
