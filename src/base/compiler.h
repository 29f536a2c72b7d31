/* SPDX-License-Identifier: MIT */
/*
 * The GNU C builtins and attributes pageheap uses, wrapped once.
 *
 * Nothing else in the tree spells __builtin_ or __attribute__, so that a port
 * to another compiler reads one file.
 */
#ifndef PH_BASE_COMPILER_H
#define PH_BASE_COMPILER_H

#include <stddef.h>
#include <stdint.h>

#define ph_likely(x) __builtin_expect(!!(x), 1)
#define ph_unlikely(x) __builtin_expect(!!(x), 0)

#define PH_ALWAYS_INLINE inline __attribute__((always_inline))
#define PH_NOINLINE __attribute__((noinline))
#define PH_COLD __attribute__((cold, noinline))
#define PH_UNUSED __attribute__((unused))
#define PH_USED __attribute__((used))
#define PH_NORETURN __attribute__((noreturn))
#define PH_MUST_USE __attribute__((warn_unused_result))
#define PH_ALIGNED(n) __attribute__((aligned(n)))
#define PH_HIDDEN __attribute__((visibility("hidden")))
#define PH_EXPORT __attribute__((visibility("default")))
#define PH_WEAK __attribute__((weak))
#define PH_ALIAS(name) __attribute__((alias(name)))
#define PH_CONSTRUCTOR(prio) __attribute__((constructor(prio)))
#define PH_DESTRUCTOR(prio) __attribute__((destructor(prio)))
#define PH_NO_SANITIZE_THREAD __attribute__((no_sanitize("thread")))

/*
 * Initial-exec TLS: one load from the thread pointer, no call to
 * __tls_get_addr, at the price of a few bytes of static TLS, of which the C
 * library keeps a surplus for libraries that are opened late.
 */
#define PH_TLS_INITIAL_EXEC __attribute__((tls_model("initial-exec")))

/* The unit in which caches move memory between cores. */
#define PH_CACHE_LINE 64

#define ph_container_of(ptr, type, member)                                     \
	((type *)(void *)((char *)(ptr)-offsetof(type, member)))

#define PH_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* Where the function, or the one it is inlined into, returns to. */
#define ph_return_address() __builtin_return_address(0)

/* Keeps the compiler, not the processor, from moving memory accesses. */
#define ph_compiler_barrier() __asm__ volatile("" ::: "memory")

#define ph_prefetch(p) __builtin_prefetch((p), 0, 3)
#define ph_prefetch_write(p) __builtin_prefetch((p), 1, 3)

#if defined(__SANITIZE_THREAD__)
#define PH_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define PH_TSAN 1
#endif
#endif
#ifndef PH_TSAN
#define PH_TSAN 0
#endif

/*
 * Clang's thread-safety analysis (-Wthread-safety).  GCC has none, and the
 * macros vanish there.
 */
#if defined(__clang__)
#define PH_TSA(x) __attribute__((x))
#else
#define PH_TSA(x)
#endif
#define PH_CAPABILITY(name) PH_TSA(capability(name))
/*
 * Says which lock protects a field.  For the reader only: in C, clang parses
 * the attribute before it knows the struct's other members, so the name of a
 * lock beside the field would be an error.  Functions carry what is checked.
 */
#define PH_GUARDED_BY(l)
#define PH_REQUIRES(l) PH_TSA(requires_capability(l))
#define PH_ACQUIRE(l) PH_TSA(acquire_capability(l))
#define PH_RELEASE(l) PH_TSA(release_capability(l))
#define PH_TRY_ACQUIRE(l) PH_TSA(try_acquire_capability(1, l))
#define PH_EXCLUDES(l) PH_TSA(locks_excluded(l))
#define PH_NO_THREAD_SAFETY PH_TSA(no_thread_safety_analysis)

#endif
