/* SPDX-License-Identifier: MIT */
/*
 * A program with an allocator of its own; OWN_MALLOC is the name it exports.
 */
#include <stddef.h>

#ifndef OWN_MALLOC
#define OWN_MALLOC malloc
void free(void *p);

/* The C library frees what it got from the malloc above. */
void free(void *p)
{
	(void)p;
}
#endif

void *OWN_MALLOC(size_t nbytes);

static char arena[1 << 16];
static size_t used;

void *OWN_MALLOC(size_t nbytes)
{
	void *p = arena + used;

	used += (nbytes + 15) / 16 * 16;
	return used <= sizeof(arena) ? p : NULL;
}

int main(void)
{
	return OWN_MALLOC(1) != NULL ? 0 : 1;
}
