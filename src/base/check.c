/* SPDX-License-Identifier: MIT */
#include "base/check.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/print.h"

void ph__check_failed(const char *what, const char *file, int line)
{
	char space[512];
	struct text t = text_over(space, sizeof(space));

	ph__text_str(&t, "pageheap: ");
	ph__text_str(&t, file);
	ph__text_str(&t, ":");
	ph__text_dec(&t, (uint64_t)line);
	ph__text_str(&t, ": ");
	ph__text_str(&t, what);
	ph__text_str(&t, "\n");
	ph__text_write(&t, STDERR_FILENO);
	abort();
}
