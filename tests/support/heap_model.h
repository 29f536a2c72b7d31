/* SPDX-License-Identifier: MIT */
/*
 * A machine whose program is bytes and whose operations are those of one heap,
 * next to a slow model that always tells the truth: a table of everything the
 * heap gave out, with address, length and contents.
 *
 * After each operation the model has asserted that what was given out overlaps
 * nothing else, is aligned, zero where promised, and findable from inside, and
 * that what was taken back still held what was written.  The property tests
 * and the fuzzer run the same machine, so a fuzzer's crash is a property
 * test's input.
 */
#ifndef TESTS_SUPPORT_HEAP_MODEL_H
#define TESTS_SUPPORT_HEAP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pageheap.h"

/* What a program may do. */
#define MODEL_OBJECTS 1u /* ph_malloc() and its kin */
#define MODEL_PAGES 2u	 /* runs and spans */
#define MODEL_SWEEP 4u	 /* marking and sweeping */
#define MODEL_HUGE 8u	 /* sizes of many chunks */

struct heap_model_config {
	uint32_t what;	      /* MODEL_* */
	uint32_t heap_flags;  /* PH_HEAP_* of the heap */
	bool untouchable;     /* memory may not be touched */
	unsigned check_every; /* operations; 0: only at the end */
};

/*
 * Runs the program on a heap that is empty and used by nobody else; at its end
 * everything is freed again and the heap is asserted to be empty.
 */
void heap_model_run(struct ph_heap *heap,
		    const struct heap_model_config *config,
		    const uint8_t *program, size_t nbytes);

#endif
