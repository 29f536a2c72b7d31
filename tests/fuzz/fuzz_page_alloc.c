/* SPDX-License-Identifier: MIT */
/*
 * The operations of support/page_ops.h from a fuzzer's bytes.
 */
#include "support/page_ops.h"

/* Enough for any state; more would only slow the fuzzer down. */
#define MAX_STEPS 80

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
	(void)page_ops_run(data, nbytes, MAX_STEPS);
	return 0;
}
