/* test_late_loading.c - a running program opens libhakmem.so and uses its hkm_ functions beside
 * the C library's malloc; its thread-local storage fits, and threads outlive dlclose.
 *
 *   test_late_loading LIBRARY
 */
#include "cmocka_tests.h"
#include "support.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *library_path;
static void *(*late_malloc)(size_t);
static void (*late_free)(void *);
static pthread_barrier_t work_done;
static pthread_barrier_t library_closed;

static void *work(void *argument)
{
	struct random_source random = { 8 };
	void *mine = malloc(100);
	void *blocks[100];
	size_t sizes[100];

	for (size_t i = 0; i < 100; i++) {
		sizes[i] = random_size(&random);
		blocks[i] = late_malloc(sizes[i]);
		require(blocks[i] != NULL, "no memory");
		fill_pattern(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < 100; i++) {
		require(pattern_holds(blocks[i], sizes[i], sizes[i], i), "block was overwritten");
		late_free(blocks[i]);
	}
	free(mine);
	pthread_barrier_wait(&work_done);
	pthread_barrier_wait(&library_closed);
	return argument;
}

static void library_is_opened_late(void **state)
{
	void *before = malloc(1000);
	pthread_t threads[4];
	void *library = dlopen(library_path, RTLD_NOW | RTLD_LOCAL);

	(void)state;
	if (library == NULL)
		fail_msg("%s", dlerror());
	late_malloc = (void *(*)(size_t))(uintptr_t)dlsym(library, "hkm_malloc");
	late_free = (void (*)(void *))(uintptr_t)dlsym(library, "hkm_free");
	assert_true(late_malloc != NULL && late_free != NULL);
	pthread_barrier_init(&work_done, NULL, 5);
	pthread_barrier_init(&library_closed, NULL, 5);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, work, NULL), 0);
	free(before);
	free(malloc(100000));
	pthread_barrier_wait(&work_done);
	assert_int_equal(dlclose(library), 0);
	pthread_barrier_wait(&library_closed);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(library_is_opened_late) };

	if (argument_count != 2) {
		fprintf(stderr, "usage: test_late_loading LIBRARY\n");
		return 2;
	}
	library_path = arguments[1];
	return cmocka_run_group_tests(tests, NULL, NULL);
}
