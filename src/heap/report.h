/* SPDX-License-Identifier: MIT */
/*
 * The caller's mistakes: one line to standard error, then abort.
 *
 *	pageheap: double free of 0x7f2a00002040 (span 0x7f2a00002000, 1 page,
 *	class 6, 64 bytes, object 1)
 *
 * (on one line).  The words before "of" say what was done, the parentheses
 * what lies at the address.
 */
#ifndef PH_HEAP_REPORT_H
#define PH_HEAP_REPORT_H

#include "base/compiler.h"
#include "pageheap.h"

/*
 * "pageheap: WHAT 0xADDR (what lies there)".  The heap may be NULL when it is
 * not known.
 */
PH_COLD PH_NORETURN void ph__report_pointer(const struct ph_heap *heap,
					    const char *what, const void *addr);

/* "pageheap: WHAT 0xADDR + N pages (what lies there)". */
PH_COLD PH_NORETURN void ph__report_pages(const struct ph_heap *heap,
					  const char *what, const void *addr,
					  size_t npages);

#endif
