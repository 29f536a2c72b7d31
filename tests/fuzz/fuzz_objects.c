/* SPDX-License-Identifier: MIT */
/*
 * A fuzzer over one heap: the first byte chooses the heap, the rest is a
 * program of tests/support/heap_model.h.
 */
#include "support/fake_os.h"
#include "support/heap_model.h"
#include "support/heap_util.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
	struct heap_model_config config = {.check_every = 16};
	struct fake_os_config fake = {.flags = PH_OS_ZEROES};
	struct fake_os os;
	struct ph_heap *heap;

	if (nbytes == 0)
		return 0;
	config.what = data[0] & (MODEL_OBJECTS | MODEL_PAGES | MODEL_SWEEP);
	config.heap_flags = data[0] & 8 ? PH_HEAP_ALIGN16 : 0;
	fake.has_use = data[0] & 32;
	fake.page_size = data[0] & 64 ? 16384 : 4096;
	fake_os_init(&os, &fake);
	if (data[0] & 16)
		heap = heap_over(&os.ops, &os, config.heap_flags);
	else
		heap = heap_over(NULL, NULL, config.heap_flags);
	heap_model_run(heap, &config, data + 1, nbytes - 1);
	ph_heap_destroy(heap);
	fake_os_destroy(&os);
	return 0;
}
