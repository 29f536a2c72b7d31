/* SPDX-License-Identifier: MIT */
/*
 * An operating system for tests.
 *
 * It knows the state of every range of addresses and dies, with one line that
 * says why, when a call is not a legal transition (see struct ph_os_ops).  It
 * counts calls, fails the ones it is told to fail, has a clock that stands
 * still until it is set, and at its end asserts that everything was unmapped.
 *
 *	struct fake_os os;
 *
 *	fake_os_init(&os, NULL);
 *	heap = ph_heap_create(&(struct ph_heap_options){
 *		.struct_size = sizeof(struct ph_heap_options),
 *		.os = &os.ops, .os_ctx = &os});
 *	fake_os_fail(&os, FAKE_ALL, 3, FAKE_ONCE);
 *	...
 *	ph_heap_destroy(heap);
 *	fake_os_destroy(&os);
 *
 * Reserved and prepared memory is inaccessible, so a touch too early is a
 * fault.  All functions are thread-safe but init and destroy.
 */
#ifndef TESTS_SUPPORT_FAKE_OS_H
#define TESTS_SUPPORT_FAKE_OS_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pageheap.h"

enum fake_state { FAKE_NONE, FAKE_RESERVED, FAKE_PREPARED, FAKE_READY };

#define FAKE_NSTATES 4

enum fake_call {
	FAKE_RESERVE,
	FAKE_COMMIT,
	FAKE_USE,
	FAKE_RELEASE,
	FAKE_UNMAP,
	FAKE_CLOCK,
	FAKE_NCALLS
};

/* Sets of calls that can fail, for fake_os_fail(). */
#define FAKE_BIT(call) (1u << (call))
#define FAKE_ALL                                                               \
	(FAKE_BIT(FAKE_RESERVE) | FAKE_BIT(FAKE_COMMIT) | FAKE_BIT(FAKE_USE) | \
	 FAKE_BIT(FAKE_RELEASE) | FAKE_BIT(FAKE_UNMAP))
#define FAKE_GROWING                                                           \
	(FAKE_BIT(FAKE_RESERVE) | FAKE_BIT(FAKE_COMMIT) | FAKE_BIT(FAKE_USE))

enum fake_failing {
	FAKE_ONCE,   /* the call fails, later ones succeed */
	FAKE_FOREVER /* the call and all later ones of the set fail */
};

/* Fields left zero mean the default. */
struct fake_os_config {
	size_t page_size; /* 4096; a power of two, at least the machine's */

	/* PH_OS_* flags; without PH_OS_ZEROES memory starts as rubbish. */
	uint32_t flags;

	bool has_use; /* prepared and ready are two states, with a call */

	/*
	 * PH_OS_UNTOUCHABLE heaps: addresses come from base up and have no
	 * memory behind them.
	 */
	uintptr_t base;

	size_t max_bytes; /* reservations in total; 0: unbounded */
};

struct fake_range {
	uintptr_t start;
	uintptr_t end;
	enum fake_state state; /* never FAKE_NONE */
};

struct fake_os {
	struct ph_os_ops ops; /* give this to a heap, with the fake as ctx */
	struct fake_os_config config;
	pthread_mutex_t mutex;	   /* guards everything below */
	struct fake_range *ranges; /* ascending, neighbours differ */
	size_t nranges;
	size_t capacity;
	size_t bytes[FAKE_NSTATES];
	uint64_t calls[FAKE_NCALLS];
	uint64_t call_bytes[FAKE_NCALLS]; /* of successful calls */
	uint64_t now_ns;
	uintptr_t next_fake; /* untouchable: next address to hand out */
	unsigned fail_set;
	uint64_t fail_nth; /* the call of the set that fails; 0: none */
	enum fake_failing failing;
	int fail_errno;
	uint64_t nfailed;
};

/* The default configuration: 4 KiB pages, PH_OS_ZEROES, real memory. */
void fake_os_init(struct fake_os *os, const struct fake_os_config *config);

/* Dies unless everything was unmapped. */
void fake_os_destroy(struct fake_os *os);

/*
 * From now on the nth call (1: the next) out of the set of kinds fails with
 * ENOMEM, changing nothing.  An nth of 0 switches failing off.
 */
void fake_os_fail(struct fake_os *os, unsigned set, uint64_t nth,
		  enum fake_failing failing);

/* The errno value of failing calls from now on. */
void fake_os_set_errno(struct fake_os *os, int error);

/* Calls that were made to fail since fake_os_fail(). */
uint64_t fake_os_nfailed(struct fake_os *os);

/* Calls made, failed ones included; of all kinds but the clock. */
uint64_t fake_os_ncalls(struct fake_os *os, enum fake_call call);
uint64_t fake_os_nchanges(struct fake_os *os);

/* Bytes that successful calls of a kind were made for, in total. */
uint64_t fake_os_call_bytes(struct fake_os *os, enum fake_call call);

/* Bytes in a state, and the state of one address. */
size_t fake_os_bytes(struct fake_os *os, enum fake_state state);
enum fake_state fake_os_state(struct fake_os *os, const void *addr);

/* A hash over all ranges and states: equal before and after means unchanged. */
uint64_t fake_os_digest(struct fake_os *os);

void fake_os_set_clock(struct fake_os *os, uint64_t now_ns);
void fake_os_advance_clock(struct fake_os *os, uint64_t ns);

#endif
