/* SPDX-License-Identifier: MIT */
/*
 * A module that allocates when it is loaded, unloaded, and when a thread that
 * used it ends.  Opened and closed by dlopen.c.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

char **module_use(size_t n);
void module_thread(void);

static char *held;
static pthread_key_t key;
static _Thread_local char big[2000];

static void thread_end(void *p)
{
	free(p);
	free(malloc(77));
}

__attribute__((constructor)) static void loaded(void)
{
	held = calloc(1, 5000);
	strcpy(held, "held");
	pthread_key_create(&key, thread_end);
}

__attribute__((destructor)) static void unloaded(void)
{
	char *p = strdup(held);

	pthread_key_delete(key);
	free(held);
	free(p);
}

/* The caller frees the strings and the array. */
char **module_use(size_t n)
{
	char **strings = calloc(n, sizeof(*strings));

	for (size_t i = 0; i < n; i++)
		strings[i] = strdup(held);
	return strings;
}

void module_thread(void)
{
	memset(big, 1, sizeof(big));
	pthread_setspecific(key, malloc(500));
}
