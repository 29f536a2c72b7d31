/* SPDX-License-Identifier: MIT */
/*
 * Threads that really overlap: objects that change hands, heaps that come and
 * go, and somebody who looks at everything all the while.  Each test runs for a
 * fixed number of operations; PH_STRESS multiplies it.
 *
 * Every object begins with its own address and a number, which its freer
 * checks: an object that two threads were given, or that was given out twice,
 * shows.
 */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "support/fake_os.h"
#include "support/heap_util.h"
#include "support/rng.h"
#include "support/suite.h"

#define NTHREADS 4
#define NSHARED 256

struct object {
	struct object *self;
	uint64_t number;
	size_t nbytes;
	/* The last byte repeats the number's lowest. */
};

struct stage {
	struct ph_heap *heap;
	_Atomic(struct object *) shared[NSHARED];
	atomic_bool stop;
	uint64_t seed;
	unsigned rounds;
};

struct actor {
	pthread_t thread;
	struct stage *stage;
	struct rng rng;
};

static unsigned scale(void)
{
	const char *s = getenv("PH_STRESS");
	int n = s ? atoi(s) : 1;

	return n > 0 ? (unsigned)n : 1;
}

/* ---- objects ---- */

static struct object *object_new(struct ph_heap *heap, struct rng *rng)
{
	size_t nbytes = sizeof(struct object) + 1 +
			rng_skewed(rng, rng_one_in(rng, 200) ? 200000 : 3000);
	struct object *o;

	if (rng_one_in(rng, 16)) {
		o = ph_calloc(heap, 1, nbytes);
		must(o && o->self == NULL && ((char *)o)[nbytes - 1] == 0);
	} else {
		o = ph_malloc(heap, nbytes);
	}
	must(o != NULL);
	o->self = o;
	o->number = rng_next(rng);
	o->nbytes = nbytes;
	((char *)o)[nbytes - 1] = (char)o->number;
	return o;
}

static void object_end(struct ph_heap *heap, struct object *o)
{
	if (!o)
		return;
	must(o->self == o);
	must(((char *)o)[o->nbytes - 1] == (char)o->number);
	must(ph_usable_size(heap, o) >= o->nbytes);
	o->self = NULL;
	ph_free(heap, o);
}

static struct object *object_resize(struct ph_heap *heap, struct object *o,
				    struct rng *rng)
{
	uint64_t number = o->number;
	size_t nbytes = sizeof(*o) + 1 + rng_skewed(rng, 100000);

	o = ph_realloc(heap, o, nbytes);
	must(o && o->number == number);
	o->self = o;
	o->nbytes = nbytes;
	((char *)o)[nbytes - 1] = (char)number;
	return o;
}

/* ---- threads ---- */

static void start(struct actor *a, struct stage *stage, uint64_t salt,
		  void *(*f)(void *))
{
	a->stage = stage;
	a->rng.state = stage->seed + salt * UINT64_C(0x1234567);
	must(pthread_create(&a->thread, NULL, f, a) == 0);
}

static void stage_open(struct stage *s, const char *name, unsigned rounds)
{
	memset(s, 0, sizeof(*s));
	s->seed = rng_start(name).state;
	s->rounds = rounds * scale();
}

/* The heap is empty once nobody holds anything. */
static void stage_close(struct stage *s)
{
	struct ph_stats st;

	for (size_t i = 0; i < NSHARED; i++)
		object_end(s->heap, atomic_exchange(&s->shared[i], NULL));
	ph_heap_flush(s->heap);
	heap_must_check(s->heap);
	st = heap_stats(s->heap);
	must(st.live_objects == 0 && st.cached_objects == 0);
	must(st.in_use_bytes == 0 && st.spans == 0);
	ph_heap_destroy(s->heap);
}

static int visit(void *ctx, const struct ph_walk_item *item)
{
	uint64_t *n = ctx;

	*n += item->kind == PH_WALK_OBJECT;
	return 0;
}

/*
 * Asks for addresses whose objects others may be freeing: any answer will do,
 * as long as one comes.
 */
static void look_up(struct actor *a)
{
	struct stage *s = a->stage;
	size_t nbytes = 0;

	for (int i = 0; i < 200; i++) {
		char *p = (char *)atomic_load(
			&s->shared[rng_below(&a->rng, NSHARED)]);

		p += rng_below(&a->rng, 30000);
		(void)ph_span_of(s->heap, p);
		(void)ph_object_base(s->heap, p, &nbytes);
		(void)ph_span_of(s->heap, (void *)rng_next(&a->rng));
	}
}

/* Looks, empties, gives back: everything a thread may do beside others. */
static void *observe(void *arg)
{
	struct actor *a = arg;
	struct ph_heap *heap = a->stage->heap;

	while (!atomic_load(&a->stage->stop)) {
		uint64_t n = 0;

		(void)heap_stats(heap);
		switch (rng_below(&a->rng, 5)) {
		case 0:
			heap_must_check(heap);
			break;
		case 1:
			ph_heap_walk(heap, PH_WALK_OBJECTS, visit, &n);
			break;
		case 2:
			ph_heap_flush(heap);
			break;
		case 3:
			ph_scavenge(heap, rng_skewed(&a->rng, 1 << 24));
			break;
		default:
			look_up(a);
		}
	}
	return NULL;
}

/* Exchanges objects with everybody through the shared places. */
static void *exchange(void *arg)
{
	struct actor *a = arg;
	struct stage *s = a->stage;

	for (unsigned i = 0; i < s->rounds; i++) {
		_Atomic(struct object *) *at =
			&s->shared[rng_below(&a->rng, NSHARED)];
		struct object *o = NULL;

		if (!rng_one_in(&a->rng, 3))
			o = object_new(s->heap, &a->rng);
		if (o && rng_one_in(&a->rng, 8))
			o = object_resize(s->heap, o, &a->rng);
		object_end(s->heap, atomic_exchange(at, o));
	}
	return NULL;
}

static void run_exchange(struct stage *s)
{
	struct actor actors[NTHREADS], observer;

	start(&observer, s, 99, observe);
	for (unsigned i = 0; i < NTHREADS; i++)
		start(&actors[i], s, i, exchange);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(actors[i].thread, NULL);
	atomic_store(&s->stop, true);
	pthread_join(observer.thread, NULL);
}

START_TEST(test_exchange)
{
	static struct stage s;

	stage_open(&s, "stress_heap: exchange", 20000);
	s.heap = heap_over(NULL, NULL, 0);
	run_exchange(&s);
	stage_close(&s);
}
END_TEST

/* Memory that must be made ready, and is rubbish at first. */
START_TEST(test_exchange_fake)
{
	struct fake_os_config config = {.has_use = true, .page_size = 16384};
	static struct stage s;
	struct fake_os os;

	stage_open(&s, "stress_heap: exchange, fake", 3000);
	fake_os_init(&os, &config);
	s.heap = heap_over(&os.ops, &os, PH_HEAP_ALIGN16);
	run_exchange(&s);
	stage_close(&s);
	fake_os_destroy(&os);
}
END_TEST

/* ---- one makes, another frees ---- */

static void *produce(void *arg)
{
	struct actor *a = arg;
	struct stage *s = a->stage;

	for (unsigned i = 0; i < s->rounds; i++) {
		struct object *o = object_new(s->heap, &a->rng), *none = NULL;

		while (!atomic_compare_exchange_weak(&s->shared[i % NSHARED],
						     &none, o)) {
			none = NULL;
			sched_yield();
		}
	}
	return NULL;
}

static void *consume(void *arg)
{
	struct actor *a = arg;
	struct stage *s = a->stage;

	for (unsigned i = 0; i < s->rounds; i++) {
		struct object *o;

		while (!(o = atomic_exchange(&s->shared[i % NSHARED], NULL)))
			sched_yield();
		object_end(s->heap, o);
	}
	return NULL;
}

START_TEST(test_producer_consumer)
{
	static struct stage s;
	struct actor producer, consumer;

	stage_open(&s, "stress_heap: producer, consumer", 40000);
	s.heap = heap_over(NULL, NULL, 0);
	start(&producer, &s, 1, produce);
	start(&consumer, &s, 2, consume);
	pthread_join(producer.thread, NULL);
	pthread_join(consumer.thread, NULL);
	/* Nothing grows without bound: what is free is used again. */
	must(heap_stats(s.heap).mapped_bytes <= (size_t)256 << 20);
	stage_close(&s);
}
END_TEST

/* ---- threads that come and go ---- */

static void *live_briefly(void *arg)
{
	struct actor *a = arg;
	struct stage *s = a->stage;

	for (unsigned i = 0; i < 50; i++) {
		struct object *o = object_new(s->heap, &a->rng);

		object_end(s->heap,
			   atomic_exchange(
				   &s->shared[rng_below(&a->rng, NSHARED)], o));
	}
	return NULL;
}

START_TEST(test_short_lives)
{
	static struct stage s;
	struct actor actors[NTHREADS], observer;

	stage_open(&s, "stress_heap: short lives", 100);
	s.heap = heap_over(NULL, NULL, 0);
	start(&observer, &s, 99, observe);
	for (unsigned i = 0; i < s.rounds; i++) {
		for (unsigned k = 0; k < NTHREADS; k++)
			start(&actors[k], &s, i * NTHREADS + k, live_briefly);
		for (unsigned k = 0; k < NTHREADS; k++)
			pthread_join(actors[k].thread, NULL);
	}
	atomic_store(&s.stop, true);
	pthread_join(observer.thread, NULL);
	stage_close(&s);
}
END_TEST

/* ---- heaps that come and go ---- */

/*
 * Each heap is used by a thread that then ends, at the very time at which
 * another destroys the heap, with all its objects.
 */
struct doomed {
	struct ph_heap *heap;
	struct rng rng;
	atomic_int used; /* threads done with the heap */
};

static void *use_doomed(void *arg)
{
	struct doomed *d = arg;
	struct rng rng = d->rng;

	for (unsigned i = 0; i < 30; i++) {
		struct object *o = object_new(d->heap, &rng);

		if (i % 2)
			object_end(d->heap, o);
	}
	atomic_fetch_add(&d->used, 1);
	return NULL;
}

static void *storm(void *arg)
{
	struct actor *a = arg;

	for (unsigned i = 0; i < a->stage->rounds; i++) {
		struct doomed d = {.heap = heap_over(NULL, NULL, 0)};
		pthread_t threads[2];

		for (unsigned k = 0; k < 2; k++) {
			d.rng.state = rng_next(&a->rng);
			must(pthread_create(&threads[k], NULL, use_doomed,
					    &d) == 0);
			while (k == 0 && atomic_load(&d.used) == 0)
				sched_yield();
		}
		use_doomed(&d);
		while (atomic_load(&d.used) < 3)
			sched_yield();
		/* Their destructors may be running now. */
		ph_heap_destroy(d.heap);
		pthread_join(threads[0], NULL);
		pthread_join(threads[1], NULL);
	}
	return NULL;
}

START_TEST(test_storm)
{
	static struct stage s;
	struct actor actors[NTHREADS];

	stage_open(&s, "stress_heap: storm", 60);
	for (unsigned i = 0; i < NTHREADS; i++)
		start(&actors[i], &s, i, storm);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(actors[i].thread, NULL);
}
END_TEST

/* One thread, many heaps, so that its table of caches is rebuilt often. */
static void *juggle(void *arg)
{
	struct actor *a = arg;
	struct ph_heap *heaps[24] = {NULL};
	struct object *objects[24] = {NULL};

	for (unsigned i = 0; i < a->stage->rounds * 20; i++) {
		size_t k = rng_below(&a->rng, 24);

		if (!heaps[k])
			heaps[k] = heap_over(NULL, NULL, 0);
		object_end(heaps[k], objects[k]);
		objects[k] = NULL;
		if (rng_one_in(&a->rng, 10)) {
			ph_heap_destroy(heaps[k]);
			heaps[k] = NULL;
		} else if (!rng_one_in(&a->rng, 4)) {
			objects[k] = object_new(heaps[k], &a->rng);
		}
	}
	for (size_t k = 0; k < 24; k++)
		ph_heap_destroy(heaps[k]);
	return NULL;
}

START_TEST(test_juggle)
{
	static struct stage s;
	struct actor actors[NTHREADS];

	stage_open(&s, "stress_heap: juggle", 100);
	for (unsigned i = 0; i < NTHREADS; i++)
		start(&actors[i], &s, i, juggle);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(actors[i].thread, NULL);
}
END_TEST

/* ---- pages and spans ---- */

static void *page_work(void *arg)
{
	struct actor *a = arg;
	struct stage *s = a->stage;
	struct ph_span *spans[8] = {NULL};
	char *runs[8] = {NULL};
	size_t npages[8] = {0};

	for (unsigned i = 0; i < s->rounds; i++) {
		size_t k = rng_below(&a->rng, 8);

		if (spans[k])
			must(ph_span_of(s->heap, ph_span_base(spans[k])) ==
			     spans[k]);
		ph_span_free(s->heap, spans[k]);
		spans[k] = ph_span_alloc(s->heap, rng_skewed(&a->rng, 600), 0);
		must(spans[k] != NULL);
		if (runs[k])
			must(*runs[k] == (char)(uintptr_t)&runs[k]);
		ph_pages_free(s->heap, runs[k], npages[k]);
		npages[k] = rng_skewed(&a->rng, 100);
		runs[k] = ph_pages_alloc(s->heap, npages[k], NULL);
		must(runs[k] != NULL);
		*runs[k] = (char)(uintptr_t)&runs[k];
	}
	for (size_t k = 0; k < 8; k++) {
		ph_span_free(s->heap, spans[k]);
		ph_pages_free(s->heap, runs[k], npages[k]);
	}
	return NULL;
}

START_TEST(test_pages)
{
	static struct stage s;
	struct actor actors[NTHREADS], observers[2];

	stage_open(&s, "stress_heap: pages", 1500);
	s.heap = heap_over(NULL, NULL, 0);
	for (unsigned i = 0; i < 2; i++)
		start(&observers[i], &s, 90 + i, observe);
	for (unsigned i = 0; i < NTHREADS; i++)
		start(&actors[i], &s, i, page_work);
	for (unsigned i = 0; i < NTHREADS; i++)
		pthread_join(actors[i].thread, NULL);
	atomic_store(&s.stop, true);
	for (unsigned i = 0; i < 2; i++)
		pthread_join(observers[i].thread, NULL);
	stage_close(&s);
}
END_TEST

int main(void)
{
	Suite *suite;
	TCase *tc = suite_start(&suite, "stress_heap");

	tcase_add_test(tc, test_exchange);
	tcase_add_test(tc, test_exchange_fake);
	tcase_add_test(tc, test_producer_consumer);
	tcase_add_test(tc, test_short_lives);
	tcase_add_test(tc, test_storm);
	tcase_add_test(tc, test_juggle);
	tcase_add_test(tc, test_pages);
	return suite_run(suite);
}
