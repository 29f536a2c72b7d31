/* SPDX-License-Identifier: MIT */
/*
 * A small program, for runs in a small address space: it must start, use a few
 * megabytes, get NULL with ENOMEM for more than there is, and go on.
 */
#include <errno.h>

#include "check.h"

int main(void)
{
	void *p[64];

	for (int i = 0; i < 64; i++) {
		p[i] = malloc(65536);
		check(p[i] != NULL);
		memset(p[i], 1, 65536);
	}
	errno = 0;
	check(malloc(opaque((size_t)1 << 30)) == NULL && errno == ENOMEM);
	for (int i = 0; i < 64; i++)
		free(p[i]);
	/* All there is, in steps, must end in NULL and not in a signal. */
	size_t nblocks = 0;
	void **list = NULL;
	for (;;) {
		void **block = malloc(1 << 20);
		if (block == NULL)
			break;
		*block = list;
		list = block;
		nblocks++;
		check(nblocks < 1024);
	}
	check(errno == ENOMEM && nblocks > 8);
	while (list != NULL) {
		void **next = *list;
		free(list);
		list = next;
	}
	void *again = malloc(1 << 20);
	check(again != NULL);
	free(again);
	puts("little: ok");
	return 0;
}
