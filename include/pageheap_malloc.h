/* SPDX-License-Identifier: MIT */
/**
 * @file pageheap_malloc.h
 * @brief The heap behind malloc, in programs that run on libpageheap-malloc.
 *
 * The drop-in exports the functions of pageheap.h too, so a program that is
 * linked to it (or finds the symbol by dlsym) may ask for the statistics of
 * its own malloc:
 *
 *     struct ph_stats stats = {sizeof(stats)};
 *
 *     ph_heap_stats(ph_process_heap(), &stats);
 */
#ifndef PAGEHEAP_MALLOC_H
#define PAGEHEAP_MALLOC_H

#include "pageheap.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * @brief The heap that malloc, free and their kin work on.
 *
 * Objects of malloc may be passed to the functions of pageheap.h together with
 * this heap, and the other way round.  It lives as long as the process:
 * ph_heap_destroy() aborts on it.
 *
 * @return The heap; NULL with errno ENOMEM when it does not exist yet and the
 *         system refuses the memory for it.  Thread-safe, constant time.
 */
PH_API struct ph_heap *ph_process_heap(void);

#ifdef __cplusplus
}
#endif

#endif
