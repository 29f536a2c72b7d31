/* SPDX-License-Identifier: MIT */
/*
 * A program that links the drop-in and names nothing of it.  It asks the
 * dynamic linker which object malloc comes from; linked statically it asks
 * where its own address says.
 */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	const char *expected = argc > 1 ? argv[1] : "libpageheap-malloc.so";
	void *(*function)(size_t) = malloc;
	void *address;
	Dl_info info;
	char *p = malloc(1000);

	if (p == NULL)
		return 1;
	memset(p, 1, 1000);
	free(p);
	memcpy(&address, &function, sizeof(address));
	if (dladdr(address, &info) == 0 || info.dli_fname == NULL) {
		printf("malloc is in no object\n");
		return 1;
	}
	printf("malloc is in %s\n", info.dli_fname);
	return strstr(info.dli_fname, expected) != NULL ? 0 : 1;
}
