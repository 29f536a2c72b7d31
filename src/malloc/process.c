/* SPDX-License-Identifier: MIT */
/*
 * The process's heap, from before the first constructor to after the last
 * destructor.
 *
 * The dynamic linker may call malloc before this library's constructor has
 * run, when the environment is not readable yet; the heap is then made with
 * default options, and what can still be changed is changed by the
 * constructor.  No heap is ever destroyed: other threads run on while the
 * process exits.
 *
 *	first malloc ------> heap (options, if the environment is there)
 *	constructor  ------> options, fork handlers, thread key, report file
 *	fork's child ------> report file: a slot of its own
 *	destructor   ------> report file: final numbers
 */
#include "malloc/process.h"

#include <elf.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <link.h>
#include <pthread.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "heap/registry.h"
#include "malloc/info.h"
#include "malloc/options.h"
#include "malloc/report_file.h"
#include "object/background.h"
#include "object/objects.h"
#include "os/lock.h"

/* Before other libraries' constructors, which may create threads. */
#define CONSTRUCTOR_PRIORITY 101

static struct ph_lock process_lock; /* making the heap, reading options */
static struct options process_options;
static bool options_known; /* guarded by process_lock */

/* Reads the options once the environment is there. */
static void read_options_if_possible(void)
{
	if (options_known || !environ)
		return;
	ph__options_read(&process_options);
	options_known = true;
}

static struct ph_heap *make_heap(void)
{
	struct ph_heap_options o = {.struct_size = sizeof(o),
				    .flags = PH_HEAP_ALIGN16};

	read_options_if_possible();
	if (options_known) {
		if (!process_options.random)
			o.flags |= PH_HEAP_NO_RANDOM;
		o.max_bytes = process_options.max_bytes;
	}
	return ph__heap_create(&o, HEAP_PRIMARY);
}

struct ph_heap *ph__process_heap(void)
{
	/* Acquire: pairs with the release below. */
	struct ph_heap *heap = ph_load_acquire(&ph__registry.primary);

	if (ph_likely(heap))
		return heap;
	lock_acquire(&process_lock);
	heap = ph__registry.primary;
	if (!heap) {
		heap = make_heap();
		ph_store_release(&ph__registry.primary, heap);
	}
	lock_release(&process_lock);
	return heap;
}

struct ph_heap *ph__heap_of_object(const void *p)
{
	const struct ph_span *s;

	if (!ph_load_acquire(&ph__registry.ready))
		return ph__process_heap();
	s = pagemap_span_at(&ph__registry.pagemap, (uintptr_t)p);
	return s ? s->heap : ph__process_heap();
}

/* ---- the background thread ---- */

/* Code of the C library and of the dynamic linker. */
struct code_range {
	uintptr_t base;
	uintptr_t limit;
};

#define LIBC_RANGES 2

static struct code_range libc_ranges[LIBC_RANGES]; /* set by the constructor */
static size_t nlibc_ranges;

/* Notes an object's addresses when it holds the C library or the linker. */
static int note_libc(struct dl_phdr_info *info, size_t size, void *ctx)
{
	uintptr_t libc = (uintptr_t)&gnu_get_libc_version;
	uintptr_t linker = (uintptr_t)getauxval(AT_BASE);
	struct code_range r = {UINTPTR_MAX, 0};

	(void)size;
	(void)ctx;
	for (unsigned i = 0; i < info->dlpi_phnum; i++) {
		uintptr_t base = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
		uintptr_t limit = base + info->dlpi_phdr[i].p_memsz;

		if (info->dlpi_phdr[i].p_type != PT_LOAD)
			continue;
		r.base = base < r.base ? base : r.base;
		r.limit = limit > r.limit ? limit : r.limit;
	}
	if ((libc - r.base < r.limit - r.base ||
	     linker - r.base < r.limit - r.base) &&
	    nlibc_ranges < LIBC_RANGES)
		libc_ranges[nlibc_ranges++] = r;
	return 0;
}

static bool is_in_libc(uintptr_t addr)
{
	for (size_t i = 0; i < nlibc_ranges; i++)
		if (addr - libc_ranges[i].base <
		    libc_ranges[i].limit - libc_ranges[i].base)
			return true;
	return false;
}

void ph__process_background(struct ph_heap *heap, const void *caller)
{
	if (background_is_wanted(heap) && nlibc_ranges > 0 &&
	    !is_in_libc((uintptr_t)caller))
		ph__background_start(heap);
}

static void process_fork_child(void)
{
	struct ph_heap *heap = ph__registry.primary;

	if (heap)
		ph__report_fork_child(heap);
}

PH_CONSTRUCTOR(CONSTRUCTOR_PRIORITY) static void process_start(void)
{
	struct ph_heap *heap;

	/*
	 * Before the heap's own handlers, which in the child change gauges
	 * that are still those of the parent's slot.
	 */
	(void)pthread_atfork(NULL, NULL, process_fork_child);
	ph__fork_init();
	ph__registry_init();
	ph__thread_init();
	heap = ph__process_heap();
	lock_acquire(&process_lock);
	read_options_if_possible();
	lock_release(&process_lock);
	if (!heap)
		return;
	ph__options_print(&process_options);
	ph__stats_prepare(&process_options);
	ph__report_attach(heap, &process_options);
	(void)dl_iterate_phdr(note_libc, NULL);
	if (process_options.scavenge)
		ph__background_enable(heap);
}

PH_DESTRUCTOR(CONSTRUCTOR_PRIORITY) static void process_end(void)
{
	struct ph_heap *heap = ph__registry.primary;

	if (!heap)
		return;
	ph__report_end(heap);
	ph__stats_print(heap);
}
