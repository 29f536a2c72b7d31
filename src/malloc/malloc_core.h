/* SPDX-License-Identifier: MIT */
/*
 * The drop-in's own malloc and free, for the other files of this directory:
 * the same code as the exported functions, without the way through the
 * procedure linkage table.
 */
#ifndef PH_MALLOC_MALLOC_CORE_H
#define PH_MALLOC_MALLOC_CORE_H

#include "base/compiler.h"

/* As malloc(), free() and aligned_alloc() of the C standard. */
PH_MUST_USE void *ph__malloc(size_t nbytes);
void ph__free(void *p);
PH_MUST_USE void *ph__aligned_alloc(size_t align, size_t nbytes);

/* Frees p after checking that it has room for nbytes; aborts if not. */
void ph__free_sized(void *p, size_t nbytes);

#endif
