/* SPDX-License-Identifier: MIT */
/*
 * What pageheap asks of the operating system besides pages.
 *
 * Pages come through the table of calls in pageheap.h, which a user may
 * replace; the functions here serve the library itself and are the same for
 * every heap.  None of them allocates, takes a lock, or changes errno.
 */
#ifndef PH_OS_OS_H
#define PH_OS_OS_H

#include <stdbool.h>

#include "base/compiler.h"
#include "pageheap.h"

/* 64 bits that an attacker outside the process cannot know; never blocks. */
uint64_t ph__os_random(void);

/* The kernel's number for the calling thread. */
uint32_t ph__os_thread_id(void);

/*
 * Makes every thread of the process pass a full memory barrier before the call
 * returns (membarrier, PRIVATE_EXPEDITED).  False when the kernel denies it;
 * then no barrier was made and the caller takes its stated fallback.
 */
bool ph__os_membarrier(void);

/*
 * Announces that ph__os_membarrier() will be used and tells whether it will
 * work.  The answer is remembered: only the first call costs a system call.
 */
bool ph__os_membarrier_register(void);

/* In the child of fork: forgets what was remembered about the parent. */
void ph__os_fork_child(void);

/*
 * Bytes of a transparent huge page; 0 when there are none, when the size cannot
 * be read, or when it is above 4 MiB and so of no use to a chunk.
 */
size_t ph__os_huge_page_bytes(void);

/* Resident memory of this process; 0 when /proc cannot be read. */
size_t ph__os_resident_bytes(void);

/* Its peak since the program was loaded; 0 when /proc cannot tell. */
size_t ph__os_peak_resident_bytes(void);

/* The kernel's numbers for this process and for its parent. */
uint32_t ph__os_process_id(void);
uint32_t ph__os_parent_id(void);

/* Does the process run with more rights than its caller (set-uid)? */
bool ph__os_is_secure(void);

/* Sleeps for about that long; may return early. */
void ph__os_sleep_ns(uint64_t duration_ns);

/* Sleeps while *word is expected; returns early for any reason. */
void ph__os_futex_wait(uint32_t *word, uint32_t expected);

/* Wakes at most nthreads threads that sleep on word. */
void ph__os_futex_wake(uint32_t *word, uint32_t nthreads);

#endif
