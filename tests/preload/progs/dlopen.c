/* SPDX-License-Identifier: MIT */
/*
 * Modules that come and go.
 *
 * Usage: dlopen MODULE
 */
#include <pthread.h>

#include "check.h"

#define ROUNDS 100

static const char *path;

static void *thread(void *arg)
{
	void (*use)(void);

	*(void **)&use = dlsym(arg, "module_thread");
	check(use != NULL);
	use();
	return malloc(300);
}

static void round_trip(void)
{
	char **(*use)(size_t);
	pthread_t threads[4];
	void *result;
	void *module = dlopen(path, RTLD_NOW | RTLD_LOCAL);

	check(module != NULL);
	*(void **)&use = dlsym(module, "module_use");
	check(use != NULL);
	char **strings = use(100);
	for (int i = 0; i < 4; i++)
		check(pthread_create(&threads[i], NULL, thread, module) == 0);
	for (int i = 0; i < 4; i++) {
		check(pthread_join(threads[i], &result) == 0);
		free(result);
	}
	check(dlclose(module) == 0);
	/* The module is gone, what it allocated is ours. */
	for (int i = 0; i < 100; i++) {
		check(strcmp(strings[i], "held") == 0);
		free(strings[i]);
	}
	free(strings);
}

int main(int argc, char **argv)
{
	check(argc == 2);
	path = argv[1];
	for (int i = 0; i < ROUNDS; i++)
		round_trip();
	check(dlopen("/nosuch/module.so", RTLD_NOW) == NULL);
	check(dlerror() != NULL);
	puts("dlopen: ok");
	return 0;
}
