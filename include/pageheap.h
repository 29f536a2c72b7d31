/* SPDX-License-Identifier: MIT */
/**
 * @file pageheap.h
 * @brief A page heap as a C library: pages, spans, objects, and the truth
 *        about them.
 *
 * A heap asks the operating system for memory in chunks of 4 MiB, keeps one
 * bit for each 8 KiB page, and hands out runs of pages (ph_pages_alloc), spans
 * (runs with a descriptor that any interior address leads back to,
 * ph_span_alloc) and objects (ph_malloc).  All metadata lies outside the pages
 * it describes.
 *
 * Any number of heaps may exist; functions of one heap and of different heaps
 * may be called by any thread at any time unless their text says otherwise.
 *
 * Errors.  Functions that return a pointer return NULL and set errno;
 * functions that return int return 0 or a positive errno value.  A failed call
 * changes nothing, and outputs are written on success only.  Mistakes that no
 * caller can mean (a double free, a pointer that this heap never gave out)
 * write one line to standard error, saying what, which address, span and size
 * class, and abort the process.
 *
 * Units.  Names end in the unit: npages are pages of PH_PAGE_SIZE bytes,
 * nbytes are bytes, _ns nanoseconds.
 */
#ifndef PAGEHEAP_H
#define PAGEHEAP_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define PH_API __attribute__((visibility("default")))
#else
#define PH_API
#endif

/** Version of this header; ph_version() tells the library's. */
#define PH_VERSION_MAJOR 0
#define PH_VERSION_MINOR 1
#define PH_VERSION_PATCH 0
#define PH_VERSION_STRING "0.1.0"

/** The heap's page, independent of the processor's: 8 KiB. */
#define PH_PAGE_SHIFT 13
#define PH_PAGE_SIZE ((size_t)1 << PH_PAGE_SHIFT)

/** The unit of growth: 512 pages, 4 MiB. */
#define PH_CHUNK_SHIFT 22
#define PH_CHUNK_SIZE ((size_t)1 << PH_CHUNK_SHIFT)
#define PH_CHUNK_PAGES 512

/** Objects above this many bytes are spans of their own. */
#define PH_SMALL_MAX 32768

/** Size classes, numbered 0 (no class) to PH_NUM_CLASSES - 1. */
#define PH_NUM_CLASSES 68

struct ph_heap;
struct ph_span;

/**
 * @brief Version of the library as "major.minor.patch".
 * @return A static string.  Thread-safe, constant time.
 */
PH_API const char *ph_version(void);

/* ------------------------------------------------------------------------ */
/* The operating system                                                     */
/* ------------------------------------------------------------------------ */

/**
 * @brief Where a heap's pages come from: one table of calls.
 *
 * A range of addresses is in one of four states:
 *
 *     none      not ours
 *     reserved  ours, not accessible, costs no memory
 *     prepared  may be made ready at once; contents undefined, costs no memory
 *     ready     readable and writable, contents kept
 *
 *     call      from                 to
 *     reserve   none                 reserved
 *     commit    reserved             prepared
 *     use       prepared             ready     (NULL: prepared is ready)
 *     release   ready                prepared
 *     unmap     reserved, prepared,  none
 *               ready
 *
 * A heap whose calls do nothing manages addresses that the processor cannot
 * touch (device memory, file extents): no metadata lies in the pages.
 *
 * Every call gets ctx, the pointer given to ph_heap_create() beside the table.
 * Addresses and sizes are multiples of page_size.  Calls come from any thread,
 * several at a time, on different ranges; no call may use the heap that makes
 * it.
 */
struct ph_os_ops {
	/** sizeof(struct ph_os_ops) as the caller was compiled. */
	size_t struct_size;

	/** Bytes of a physical page: a power of two, 4 KiB to 512 KiB. */
	size_t page_size;

	/** PH_OS_* flags. */
	uint32_t flags;

	/**
	 * Reserves nbytes at a multiple of align (a power of two of at least
	 * page_size).  With a hint that is not NULL the range starts exactly
	 * there or the call fails.  Returns NULL and sets errno on failure.
	 */
	void *(*reserve)(void *ctx, void *hint, size_t nbytes, size_t align);

	/** Reserved to prepared.  Returns 0 or an errno value. */
	int (*commit)(void *ctx, void *addr, size_t nbytes);

	/**
	 * Prepared to ready; may be NULL.  Parts of the range may be ready
	 * already and keep their contents; where physical pages are larger
	 * than PH_PAGE_SIZE, ranges of two calls may share one.  Returns 0 or
	 * an errno value.
	 */
	int (*use)(void *ctx, void *addr, size_t nbytes);

	/**
	 * Ready to prepared: gives memory back.  Parts of the range may be
	 * prepared already.  Returns 0 or an errno value.
	 */
	int (*release)(void *ctx, void *addr, size_t nbytes);

	/** Anything to none.  Returns 0 or an errno value. */
	int (*unmap)(void *ctx, void *addr, size_t nbytes);

	/** Monotonic time in nanoseconds from an arbitrary start. */
	uint64_t (*clock_ns)(void *ctx);
};

/** Memory that is committed, or used after a release, reads as zero. */
#define PH_OS_ZEROES UINT32_C(1)

/** The addresses are never touched: objects cannot be allocated. */
#define PH_OS_UNTOUCHABLE UINT32_C(2)

/**
 * @brief The calls for this operating system.
 * @return A static table.  Thread-safe, constant time.
 */
PH_API const struct ph_os_ops *ph_os_default(void);

/* ------------------------------------------------------------------------ */
/* Heaps                                                                    */
/* ------------------------------------------------------------------------ */

/** How ph_heap_create() makes a heap; fields left zero mean the default. */
struct ph_heap_options {
	/** sizeof(struct ph_heap_options) as the caller was compiled. */
	size_t struct_size;

	/** Source of pages; NULL: this operating system, shared chunks. */
	const struct ph_os_ops *os;

	/** First argument of the calls of os. */
	void *os_ctx;

	/** PH_HEAP_* flags. */
	uint32_t flags;

	/**
	 * Bytes of address space that the heap may grow to, rounded down to
	 * chunks; 0: no bound.  A request beyond it fails with ENOMEM.
	 */
	size_t max_bytes;

	/**
	 * Source of metadata, which is always touched; NULL: this operating
	 * system.  Its memory must read as zero (PH_OS_ZEROES).
	 */
	const struct ph_os_ops *meta_os;

	/** First argument of the calls of meta_os. */
	void *meta_os_ctx;
};

/** Place the heap at predictable addresses (for debugging and tests). */
#define PH_HEAP_NO_RANDOM UINT32_C(1)

/**
 * Every object is aligned to 16 bytes when its size is above 8, as C expects
 * of malloc.  Without it, sizes of 17 to 24 bytes use the class of 24 bytes.
 */
#define PH_HEAP_ALIGN16 UINT32_C(2)

/**
 * @brief Creates an empty heap.
 *
 * @param options  NULL for the defaults.
 * @return The heap, or NULL with errno EINVAL (an option makes no sense) or
 *         ENOMEM.
 *
 * Thread-safe.  Reserves no pages; costs at most 16 KiB of memory.
 */
PH_API struct ph_heap *ph_heap_create(const struct ph_heap_options *options);

/**
 * @brief Returns all of a heap's memory at once, whatever is in use.
 *
 * No thread may be using the heap or its memory, now or later.  Other threads
 * may exist that have used it.  NULL is ignored.  Cost: linear in the heap's
 * chunks and descriptors, not in its objects.
 */
PH_API void ph_heap_destroy(struct ph_heap *heap);

/* ------------------------------------------------------------------------ */
/* Runs of pages                                                            */
/* ------------------------------------------------------------------------ */

/**
 * @brief Allocates npages contiguous pages at the lowest address that fits.
 *
 * The heap keeps no record beyond one bit a page: the caller knows the length.
 *
 * @param npages  at least 1.
 * @param zeroed  NULL, or set to 1 when the pages are known to read as zero
 *                and to 0 otherwise.
 * @return Address of the first page, or NULL with errno EINVAL (npages is 0)
 *         or ENOMEM.
 *
 * Thread-safe.  Logarithmic in the heap's size; grows the heap when no run
 * fits.  Algorithm: address-ordered first fit over the summaries of Go's page
 * allocator (Knyszek and Clements, "Scaling the Go page allocator", 2019).
 */
PH_API void *ph_pages_alloc(struct ph_heap *heap, size_t npages, int *zeroed);

/**
 * @brief As ph_pages_alloc(), at a multiple of align bytes.
 * @param align  a power of two; up to PH_PAGE_SIZE it has no effect.
 * @return As ph_pages_alloc(); EINVAL too when align is no power of two.
 */
PH_API void *ph_pages_alloc_aligned(struct ph_heap *heap, size_t npages,
				    size_t align, int *zeroed);

/**
 * @brief Allocates exactly the pages [addr, addr + npages pages).
 * @param addr  a multiple of PH_PAGE_SIZE.
 * @return 0; EINVAL (addr or npages make no sense), ENOMEM (a page is in use
 *         or not part of the heap).  Thread-safe, logarithmic.
 */
PH_API int ph_pages_alloc_at(struct ph_heap *heap, void *addr, size_t npages,
			     int *zeroed);

/**
 * @brief Grows a run in place.
 * @return 0 when [addr + old_npages, addr + new_npages) was free and now
 *         belongs to the run; ENOMEM when it was not; EINVAL when new_npages
 *         is below old_npages.  Thread-safe, logarithmic.
 */
PH_API int ph_pages_extend(struct ph_heap *heap, void *addr, size_t old_npages,
			   size_t new_npages);

/**
 * @brief Frees pages: a whole run, a part of one, or several adjacent ones.
 *
 * Aborts when a page of the range is free already, is not the heap's, or
 * belongs to a span.  NULL is ignored.  errno is kept.  Thread-safe, linear in
 * npages, one load each.
 */
PH_API void ph_pages_free(struct ph_heap *heap, void *addr, size_t npages);

/* ------------------------------------------------------------------------ */
/* Spans                                                                    */
/* ------------------------------------------------------------------------ */

/**
 * @brief Allocates a run of pages with a descriptor.
 *
 * @param npages  at least 1.
 * @param align   0, or a power of two in bytes.
 * @return The span, or NULL with errno EINVAL or ENOMEM.
 * Thread-safe; cost as ph_pages_alloc() plus one store for each page at the
 * edges and one for each whole chunk inside.
 */
PH_API struct ph_span *ph_span_alloc(struct ph_heap *heap, size_t npages,
				     size_t align);

/**
 * @brief Frees a span of ph_span_alloc() and its pages.  NULL is ignored.
 *
 * Aborts on a span of small objects, of another heap, or freed already.
 */
PH_API void ph_span_free(struct ph_heap *heap, struct ph_span *span);

/**
 * @brief The span that contains an address.
 *
 * @param addr  any value: interior, free, foreign, tagged, kernel.
 * @return The span in use that contains it, or NULL.  Spans of small objects
 *         count; runs of ph_pages_alloc() have none.
 *
 * Thread-safe, takes no lock, two dependent loads on the common path.  The
 * answer is only as stable as the caller's hold on the memory.
 */
PH_API struct ph_span *ph_span_of(struct ph_heap *heap, const void *addr);

/** Address of the span's first page.  Constant time, no lock. */
PH_API void *ph_span_base(const struct ph_span *span);

/** Length of the span in pages. */
PH_API size_t ph_span_npages(const struct ph_span *span);

/** Bytes of one object; 0 for a span that is not divided. */
PH_API size_t ph_span_elem_size(const struct ph_span *span);

/** Objects that fit into the span; 1 for a large object's, 0 if undivided. */
PH_API size_t ph_span_nelems(const struct ph_span *span);

/** 1 when the memory was known zero as the span was allocated, else 0. */
PH_API int ph_span_zeroed(const struct ph_span *span);

/** A word for the span's owner, 0 at first.  Not synchronised. */
PH_API uintptr_t ph_span_user(const struct ph_span *span);
PH_API void ph_span_set_user(struct ph_span *span, uintptr_t value);

/* ------------------------------------------------------------------------ */
/* Objects                                                                  */
/* ------------------------------------------------------------------------ */

/**
 * @brief Allocates nbytes; 0 counts as 1.
 *
 * Alignment: the largest power of two that divides the size class, at least 8;
 * with PH_HEAP_ALIGN16 at least 16 for sizes above 8; PH_PAGE_SIZE above
 * PH_SMALL_MAX.  The contents are undefined.
 *
 * @return The object, or NULL with errno ENOMEM (also for sizes above
 *         PTRDIFF_MAX).  Thread-safe; a few nanoseconds from the thread's
 *         magazine.
 */
PH_API void *ph_malloc(struct ph_heap *heap, size_t nbytes);

/** As ph_malloc() of count * size bytes, zeroed; ENOMEM on overflow. */
PH_API void *ph_calloc(struct ph_heap *heap, size_t count, size_t size);

/**
 * @brief Resizes an object, in place where its class or the pages behind it
 *        allow.
 *
 * p may be NULL (as ph_malloc()).  nbytes of 0 counts as 1.  On failure NULL
 * is returned, errno is ENOMEM and the object is as it was.
 */
PH_API void *ph_realloc(struct ph_heap *heap, void *p, size_t nbytes);

/**
 * @brief Allocates at a multiple of align, any power of two.
 * @return As ph_malloc(); EINVAL when align is no power of two.
 */
PH_API void *ph_aligned_alloc(struct ph_heap *heap, size_t align,
			      size_t nbytes);

/**
 * @brief Frees an object of this heap; NULL is ignored; errno is kept.
 *
 * Aborts with one line when p is not the address of a live object of the heap:
 * foreign and interior addresses at once, a second free of the same object at
 * once when the first is recent, at the latest when the thread's magazine is
 * emptied.
 */
PH_API void ph_free(struct ph_heap *heap, void *p);

/** Bytes that p may use; 0 for NULL.  Aborts as ph_free() does. */
PH_API size_t ph_usable_size(struct ph_heap *heap, const void *p);

/** Bytes that ph_malloc(heap, nbytes) would make usable; 0 when it cannot. */
PH_API size_t ph_good_size(struct ph_heap *heap, size_t nbytes);

/**
 * @brief Empties every thread's magazines of this heap into their spans.
 *
 * A thread in the middle of an operation is waited for.  Where the kernel
 * denies membarrier(2), only the caller's magazines are emptied.
 * Thread-safe.  Linear in the number of cached objects.
 */
PH_API void ph_heap_flush(struct ph_heap *heap);

/* ------------------------------------------------------------------------ */
/* For garbage collectors                                                   */
/* ------------------------------------------------------------------------ */

/**
 * @brief The object that contains an address.
 *
 * @param addr   any value.
 * @param nbytes NULL, or set to the object's usable size.
 * @return The object's first byte, or NULL when addr is not inside an
 *         allocated object of the heap.  Objects in magazines count as
 *         allocated: call ph_heap_flush() first.  Takes no lock.
 */
PH_API void *ph_object_base(struct ph_heap *heap, const void *addr,
			    size_t *nbytes);

/**
 * @brief Marks the object that starts at p.
 * @return 1 when this call marked it, 0 when it was marked already, -1 when p
 *         is not the start of an allocated object.
 * Thread-safe: of several markers one gets 1.  Mark bits are made on demand;
 * when there is no memory for them, -2 is returned and nothing is marked.
 */
PH_API int ph_object_mark(struct ph_heap *heap, void *p);

/** What ph_heap_sweep() did. */
struct ph_sweep {
	size_t nspans;	      /**< spans looked at */
	size_t live_objects;  /**< marked objects, which stay */
	size_t freed_objects; /**< allocated but unmarked objects, now free */
	size_t freed_bytes;   /**< usable bytes of those */
};

/**
 * @brief Frees every object that is not marked, then clears all marks.
 *
 * Starts a new sweep generation, empties all magazines, and sweeps every span
 * of objects by making its mark bits its allocation bits.  Undivided spans of
 * ph_span_alloc() are not touched.  No other thread may use the heap
 * meanwhile.
 */
PH_API struct ph_sweep ph_heap_sweep(struct ph_heap *heap);

/* ------------------------------------------------------------------------ */
/* Giving memory back                                                       */
/* ------------------------------------------------------------------------ */

/**
 * @brief Gives physical memory of free pages back, highest addresses first.
 *
 * @param nbytes  at least this much if there is as much; SIZE_MAX: all.
 * @return Bytes given back, possibly more than asked for because a free huge
 *         page is not broken.
 *
 * Thread-safe; the system calls are made without holding the heap's lock, and
 * the pages in flight are not available meanwhile.  Objects in magazines keep
 * their pages: ph_heap_flush() first gives those back too.
 */
PH_API size_t ph_scavenge(struct ph_heap *heap, size_t nbytes);

/* ------------------------------------------------------------------------ */
/* Seeing the heap                                                          */
/* ------------------------------------------------------------------------ */

/**
 * Statistics of one heap.  Never negative; the identities between the fields
 * are listed in docs/statistics.md and hold in every snapshot.
 */
struct ph_stats {
	/** sizeof(struct ph_stats) as the caller was compiled. */
	size_t struct_size;

	/* Bytes of address space; mapped = in_use + free + returned. */
	uint64_t reserved_bytes; /**< chunks owned by the heap, mapped or not */
	uint64_t mapped_bytes;	 /**< grown into the page allocator */
	uint64_t in_use_bytes;	 /**< pages handed out, in spans or runs */
	uint64_t free_bytes;	 /**< pages free and still resident */
	uint64_t returned_bytes; /**< pages free and given back or untouched */

	/* in_use = small_span + large_span + raw. */
	uint64_t small_span_bytes; /**< pages in spans of small objects */
	uint64_t large_span_bytes; /**< pages in large objects, user spans */
	uint64_t raw_bytes;	   /**< pages of ph_pages_alloc() */

	/* Objects; small_span >= live + cached (the rest: free in spans). */
	uint64_t live_bytes;	 /**< usable bytes of objects in use */
	uint64_t live_objects;	 /**< their number */
	uint64_t cached_bytes;	 /**< usable bytes of objects in magazines */
	uint64_t cached_objects; /**< their number */
	uint64_t large_objects;	 /**< live objects above PH_SMALL_MAX */
	uint64_t large_bytes;	 /**< their usable bytes; part of live_bytes */

	uint64_t meta_bytes; /**< metadata handed out for this heap */

	/* Counts since the heap was created. */
	uint64_t peak_in_use_bytes;
	uint64_t peak_resident_bytes; /**< peak of in_use + free */
	uint64_t page_allocs;	      /**< runs taken from the page allocator */
	uint64_t page_frees;	      /**< runs given back to it */
	uint64_t growths;	      /**< times the heap grew */
	uint64_t scavenges;	      /**< ranges given back */
	uint64_t scavenged_bytes;     /**< bytes given back, in total */
	uint64_t spans;		      /**< spans in use now */
};

/**
 * @brief Fills in the statistics.
 * @param stats  struct_size set by the caller; fields beyond it are left out.
 * @return 0, or EINVAL.  Thread-safe; takes each lock of the heap once.
 */
PH_API int ph_heap_stats(struct ph_heap *heap, struct ph_stats *stats);

/** What ph_heap_walk() reports. */
struct ph_walk_item {
	enum {
		PH_WALK_SPAN,  /**< a span in use */
		PH_WALK_OBJECT /**< an allocated object */
	} kind;
	struct ph_span *span;
	void *addr;	     /**< of the span or object */
	size_t nbytes;	     /**< of the span or object */
	unsigned size_class; /**< 0 for undivided spans and large objects */
};

/** Report objects too, after their span. */
#define PH_WALK_OBJECTS UINT32_C(1)

/**
 * @brief Calls visit for every span in use, lowest address first.
 *
 * @param visit  returns 0 to go on, anything else to stop; may not allocate
 *               from or free to the heap.
 * @return What the last visit returned, or 0.
 *
 * Objects in magazines count as allocated.  Thread-safe; other threads wait
 * for pages and refills meanwhile.
 */
PH_API int ph_heap_walk(struct ph_heap *heap, uint32_t flags,
			int (*visit)(void *ctx,
				     const struct ph_walk_item *item),
			void *ctx);

/**
 * @brief Verifies every invariant of the heap.
 *
 * @param why   NULL, or where the first broken invariant is described.
 * @param size  bytes at why.
 * @return 0, or EFAULT when an invariant does not hold.
 *
 * Thread-safe; other threads wait.  Linear in the heap's size.
 */
PH_API int ph_heap_check(struct ph_heap *heap, char *why, size_t size);

#ifdef __cplusplus
}
#endif

#endif
