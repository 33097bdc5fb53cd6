/* test_sleepers.c - threads that have allocated, freed and now sleep hold next to nothing: they cannot keep house any
 * more, so what they hold when they fall asleep is what they hold for ever.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "names.h"

#define SLEEPERS 400
#define WORK_BYTES MIB                /* that each has allocated and freed */
#define MOST_BYTES (64 * KIB)         /* that each may hold, its stack included */
#define PATIENCE 3.0                  /* seconds until the memory must be back */

struct band {
	size_t low, high; /* sizes of blocks */
};

static struct band band;
static pthread_barrier_t asleep;

static void *work_and_sleep(void *number)
{
	struct random_source random = { (uintptr_t)number };
	size_t most = WORK_BYTES / band.low + 1, count = 0;
	void **blocks = map_pages(most * sizeof *blocks);

	for (size_t bytes = 0; bytes < WORK_BYTES; count++) {
		size_t size = random_between(&random, band.low, band.high);

		blocks[count] = malloc(size);
		fill_pattern(blocks[count], size, size);
		bytes += size;
	}
	for (size_t i = 0; i < count; i++)
		free(blocks[i]);
	release_pages(blocks, most * sizeof *blocks);
	pthread_barrier_wait(&asleep);
	pause();
	return NULL;
}

static void run_band(const void *argument)
{
	size_t before = resident_bytes(), now;
	double end = seconds_now() + PATIENCE;
	pthread_attr_t attributes;

	band = *(const struct band *)argument;
	pthread_barrier_init(&asleep, NULL, SLEEPERS + 1);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * KIB);
	for (uintptr_t i = 0; i < SLEEPERS; i++) {
		pthread_t thread;

		require(pthread_create(&thread, &attributes, work_and_sleep, (void *)i) == 0, "no thread");
	}
	pthread_barrier_wait(&asleep);
	do { /* the one that is awake */
		for (int i = 0; i < 20; i++) {
			free(opaque_pointer(malloc(100)));
			usleep(1000);
		}
		now = (resident_bytes() - before) / SLEEPERS;
	} while (now >= MOST_BYTES && seconds_now() < end);
	fprintf(stderr, "blocks of %zu to %zu bytes: %zu KiB a thread\n", band.low, band.high, now / KIB);
	require(now < MOST_BYTES, "blocks of %zu to %zu bytes: a sleeping thread holds %zu KiB", band.low, band.high,
		now / KIB);
}

static void sleeping_threads_hold_little(void **state)
{
	static const struct band bands[] = {
		{ 64, 64 }, { 16, 1024 }, { 1100, 30000 }, { 40000, 400000 }, { 16, 100000 }, { 1048576, 1048576 },
	};

	(void)state;
	run_in_children(run_band, bands, sizeof bands[0], sizeof bands / sizeof bands[0], 2, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleeping_threads_hold_little),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
