/* test_loading.c - allocation before main, after main, and around dlopen and dlclose.
 *
 *   test_loading PLUGIN     path of the shared object made from plugin.cpp
 */
#include "cmocka_tests.h"
#include "support.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define ROUNDS 200

static const char *plugin_path;
static char *from_preinit;
static char *from_constructor;

/* Runs before the constructors of all shared libraries. */
static void allocate_first(void)
{
	from_preinit = malloc(100);
	require(from_preinit != NULL, "no memory before all constructors");
	memset(from_preinit, 'p', 100);
	free(malloc(3 * MIB));
}

__attribute__((section(".preinit_array"), used))
static void (*const preinit_entry)(void) = allocate_first;

__attribute__((constructor(101))) static void allocate_before_main(void)
{
	from_constructor = malloc(5000);
	require(from_constructor != NULL, "no memory in a constructor");
	memset(from_constructor, 'c', 5000);
}

__attribute__((destructor(101))) static void allocate_after_main(void)
{
	char *block = malloc(50000);

	require(block != NULL, "no memory in a destructor");
	memset(block, 'd', 50000);
	free(block);
	free(from_constructor);
}

static void blocks_from_before_main_are_good(void **state)
{
	(void)state;
	assert_true(all_bytes_are(from_preinit, 100, 'p'));
	from_preinit = realloc(from_preinit, 10000);
	assert_non_null(from_preinit);
	assert_true(all_bytes_are(from_preinit, 100, 'p'));
	free(from_preinit);
	assert_true(all_bytes_are(from_constructor, 5000, 'c'));
}

static void *use_plugin(void *argument)
{
	void *(*work)(size_t) = (void *(*)(size_t))(uintptr_t)argument;

	return work(700);
}

static void opening_and_closing(void **state)
{
	size_t warm = 0;

	(void)state;
	for (int round = 0; round < ROUNDS; round++) {
		void *plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL);
		void *(*work)(size_t);
		pthread_t thread;
		void *block = NULL;

		if (plugin == NULL)
			fail_msg("%s", dlerror());
		work = (void *(*)(size_t))(uintptr_t)dlsym(plugin, "plugin_work");
		assert_true(work != NULL);
		assert_int_equal(pthread_create(&thread, NULL, use_plugin, (void *)(uintptr_t)work), 0);
		pthread_join(thread, &block);
		assert_non_null(block);
		assert_int_equal(dlclose(plugin), 0);
		memset(block, 4, malloc_usable_size(block));
		free(block);
		if (round == ROUNDS / 4)
			warm = resident_bytes();
	}
	if (resident_bytes() > warm + 4 * MIB)
		fail_msg("resident memory grew from %zu to %zu KiB", warm / KIB, resident_bytes() / KIB);
}

/* Bound to itself and its libraries first, the plugin would free by the C library's free. In a static link dlopen is the C
 * library's, and the flag does what it says. */
static void opening_with_deepbind(void **state)
{
	const char *preload = getenv("LD_PRELOAD");

	(void)state;
	if (preload == NULL || strstr(preload, "libhakmem") == NULL)
		skip();
	void *plugin = dlopen(plugin_path, RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND);

	if (plugin == NULL)
		fail_msg("%s", dlerror());
	void (*take_back)(void *) = (void (*)(void *))(uintptr_t)dlsym(plugin, "plugin_free");
	assert_true(take_back != NULL);
	take_back(malloc(100));
	take_back(strdup("allocated by the C library"));
	assert_int_equal(dlclose(plugin), 0);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_from_before_main_are_good),
		cmocka_unit_test(opening_with_deepbind), /* before the plugin has been opened otherwise: it may stay */
		cmocka_unit_test(opening_and_closing),
	};

	if (argument_count != 2) {
		fprintf(stderr, "usage: test_loading PLUGIN\n");
		return 2;
	}
	plugin_path = arguments[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
