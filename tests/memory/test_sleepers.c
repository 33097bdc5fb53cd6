/* test_sleepers.c - threads that have allocated, freed and now sleep hold next to nothing: they cannot keep house any
 * more, so what they hold when they fall asleep is what they hold for ever. What others free for them is taken in by others.
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
#define PATIENCE 150                  /* rounds of 20 ms at least within which the memory must be back */

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
	int rounds = 0;
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
	} while (now >= MOST_BYTES && ++rounds < PATIENCE);
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

#define OWNERS 16
#define OWNED_BYTES (4 * MIB) /* that each allocates, and others free */

/* What a sleeper leaves to others. */
struct owner {
	size_t size, count, own; /* of its blocks it frees `own` of 50 itself */
	void **blocks;
};

static void *allocate_and_sleep(void *argument)
{
	struct owner *owner = argument;

	for (size_t i = 0; i < owner->count; i++) {
		owner->blocks[i] = malloc(owner->size);
		fill_pattern(owner->blocks[i], owner->size, owner->size);
	}
	for (size_t i = 0; i < owner->count; i++) {
		if (i % 50 < owner->own) {
			free(owner->blocks[i]);
			owner->blocks[i] = NULL;
		}
	}
	pthread_barrier_wait(&asleep);
	pause();
	return NULL;
}

/* Works a little until `done` bytes are left at most, or nothing goes for as long as patience lasts; result: what is left. */
static size_t work_until(size_t before, size_t done)
{
	size_t now, least = SIZE_MAX;
	int rounds = 0;

	do {
		for (int i = 0; i < 20; i++) {
			free(opaque_pointer(malloc(100)));
			usleep(1000);
		}
		now = resident_bytes();
		now -= now < before ? now : before;
		rounds = now < least ? 0 : rounds + 1;
		least = now < least ? now : least;
	} while (now >= done && rounds < PATIENCE);
	return now;
}

static void run_owners(const void *argument)
{
	struct owner owners[OWNERS];
	const struct owner *form = argument;
	size_t before = resident_bytes(), most = OWNERS * OWNED_BYTES / 16, left; /* hot lists stay */

	pthread_barrier_init(&asleep, NULL, OWNERS + 1);
	for (size_t i = 0; i < OWNERS; i++) {
		pthread_t thread;

		owners[i] = *form;
		owners[i].count = OWNED_BYTES / form->size;
		owners[i].blocks = map_pages(owners[i].count * sizeof(void *));
		require(pthread_create(&thread, NULL, allocate_and_sleep, &owners[i]) == 0, "no thread");
	}
	pthread_barrier_wait(&asleep);
	for (size_t i = 0; i < OWNERS; i++) {
		for (size_t k = 0; k < owners[i].count; k++)
			free(owners[i].blocks[k]);
		release_pages(owners[i].blocks, owners[i].count * sizeof(void *));
	}
	left = work_until(before, most);
	require(left < most, "blocks of %zu bytes: %zu KiB are left of what was freed for sleepers", form->size, left / KIB);
}

static void what_others_free_for_a_sleeper_goes_back(void **state)
{
	static const struct owner forms[] = { { 8, 0, 0, NULL }, { 100, 0, 0, NULL }, { 100, 0, 49, NULL },
					      { 1000, 0, 0, NULL }, { 3000, 0, 0, NULL } };

	(void)state;
	run_in_children(run_owners, forms, sizeof forms[0], sizeof forms / sizeof forms[0], 2, 60);
}

/* Half of each page's blocks stay: nothing goes but what malloc_trim finds free within slabs. */
static void run_trim(const void *argument)
{
	struct owner owner = *(const struct owner *)argument;
	size_t before, after;
	pthread_t thread;

	owner.count = 64 * MIB / owner.size;
	owner.blocks = map_pages(owner.count * sizeof(void *));
	pthread_barrier_init(&asleep, NULL, 2);
	require(pthread_create(&thread, NULL, allocate_and_sleep, &owner) == 0, "no thread");
	pthread_barrier_wait(&asleep);
	before = resident_bytes();
	for (size_t i = 0; i < owner.count; i++) /* one live block in four slabs: the pages of the others are free */
		if (i % (4 * 32768 / owner.size) != 0)
			free(owner.blocks[i]);
	usleep(200000); /* the owner counts as asleep */
	malloc_trim(0);
	after = resident_bytes();
	require(after + 48 * MIB < before, "%zu MiB are left of %zu", after / MIB, before / MIB);
}

static void a_trim_reaches_what_a_sleeper_owns(void **state)
{
	static const struct owner forms[] = { { 100, 0, 0, NULL } };

	(void)state;
	run_in_children(run_trim, forms, sizeof forms[0], 1, 1, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sleeping_threads_hold_little),
		cmocka_unit_test(what_others_free_for_a_sleeper_goes_back),
		cmocka_unit_test(a_trim_reaches_what_a_sleeper_owns),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
