/* SPDX-License-Identifier: MIT */
/*
 * Atomic operations, by memory order.
 *
 * They work on plain objects, because much of the heap's state is plain for
 * its owner and atomic for everybody else (a magazine's count, a heap's
 * gauges).  The caller states beside each use why its order suffices; the
 * names carry the order so that a reader sees it.
 */
#ifndef PH_BASE_ATOMIC_H
#define PH_BASE_ATOMIC_H

#include "base/compiler.h"

#define ph_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
#define ph_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define ph_load_seq(p) __atomic_load_n((p), __ATOMIC_SEQ_CST)
#define ph_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define ph_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define ph_store_seq(p, v) __atomic_store_n((p), (v), __ATOMIC_SEQ_CST)

#define ph_fetch_add_relaxed(p, v)                                             \
	__atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define ph_fetch_sub_relaxed(p, v)                                             \
	__atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define ph_fetch_or_relaxed(p, v) __atomic_fetch_or((p), (v), __ATOMIC_RELAXED)
#define ph_fetch_and_relaxed(p, v)                                             \
	__atomic_fetch_and((p), (v), __ATOMIC_RELAXED)
#define ph_exchange_acquire(p, v)                                              \
	__atomic_exchange_n((p), (v), __ATOMIC_ACQUIRE)
#define ph_exchange_release(p, v)                                              \
	__atomic_exchange_n((p), (v), __ATOMIC_RELEASE)

/*
 * Compare and exchange: if *p equals *old, store new and return true; else
 * load *p into *old and return false.  Strong, so no loop is needed for
 * spurious failures.
 */
#define ph_cas_acquire(p, old, new)                                            \
	__atomic_compare_exchange_n((p), (old), (new), 0, __ATOMIC_ACQUIRE,    \
				    __ATOMIC_RELAXED)
#define ph_cas_acq_rel(p, old, new)                                            \
	__atomic_compare_exchange_n((p), (old), (new), 0, __ATOMIC_ACQ_REL,    \
				    __ATOMIC_ACQUIRE)
#define ph_cas_relaxed(p, old, new)                                            \
	__atomic_compare_exchange_n((p), (old), (new), 0, __ATOMIC_RELAXED,    \
				    __ATOMIC_RELAXED)

/*
 * Fences order what readers outside the process see (sequence counters);
 * threads of the process rely on locks and on the operations above.  TSan has
 * no model of fences and warns of each, so its builds do without.
 */
#if PH_TSAN
#define ph_fence_release() ph_compiler_barrier()
#else
#define ph_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
#endif

/* A hint to the processor that this is a spin loop. */
static inline void cpu_relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__asm__ volatile("pause" ::: "memory");
#elif defined(__aarch64__)
	__asm__ volatile("yield" ::: "memory");
#else
	ph_compiler_barrier();
#endif
}

#endif
