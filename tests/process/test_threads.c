/* test_threads.c - threads come and go by the ten thousand without growth; they leave blocks
 * to others, and allocate in the destructors of their keys.
 *
 *   test_threads [THREADS]      default 1,500
 */
#include "cmocka_tests.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "names.h"

#ifdef HAKMEM_TEST_SANITIZED
#define GROWTH_LIMIT (64 * MIB) /* the sanitizers' own bookkeeping grows a little */
#else
#define GROWTH_LIMIT (16 * MIB) /* free memory that is not yet purged comes and goes */
#endif

static size_t many_threads = 1500;

#define AT_ONCE 8
#define LEFT_BLOCKS 1000

static void start(pthread_t *thread, void *(*work)(void *), void *argument)
{
	pthread_attr_t attributes;
	int error;

	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, 256 * KIB);
	error = pthread_create(thread, &attributes, work, argument);
	require(error == 0, "pthread_create: %s", strerror(error));
	pthread_attr_destroy(&attributes);
}

/* ---- Many threads, few at a time -------------------------------------------------- */

static _Atomic(void *) inherited[64];

/* Allocates blocks of all kinds, frees them, and leaves one to a later thread. */
static void *short_life(void *argument)
{
	struct random_source random = { (uint64_t)(uintptr_t)argument };
	void *blocks[60];
	size_t sizes[60];

	for (size_t i = 0; i < 60; i++) {
		sizes[i] = i == 0 ? 100000 : random_size_of_kind(&random, i < 50 ? KIND_TINY : KIND_MID);
		blocks[i] = malloc(sizes[i]);
		require(blocks[i] != NULL, "no memory");
		fill_pattern(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < 60; i++) {
		require(pattern_holds(blocks[i], sizes[i], sizes[i], i), "block was overwritten");
		free(blocks[i]);
	}
	free(atomic_exchange(&inherited[random_between(&random, 0, 63)], malloc(500)));
	return NULL;
}

static void run_short_lives(size_t count)
{
	pthread_t threads[AT_ONCE];
	static uintptr_t seed;

	for (size_t done = 0; done < count; done += AT_ONCE) {
		for (size_t i = 0; i < AT_ONCE; i++)
			start(&threads[i], short_life, (void *)++seed);
		for (size_t i = 0; i < AT_ONCE; i++)
			pthread_join(threads[i], NULL);
	}
}

static void ten_thousand_threads_do_not_grow(void **state)
{
	size_t warm;

	(void)state;
	run_short_lives(many_threads / 10);
	warm = resident_bytes();
	run_short_lives(many_threads);
	if (resident_bytes() > warm + GROWTH_LIMIT)
		fail_msg("resident memory grew from %zu to %zu KiB", warm / KIB, resident_bytes() / KIB);
}

/* ---- Blocks left behind ----------------------------------------------------------- */

struct legacy {
	void *blocks[LEFT_BLOCKS];
	size_t size;
};

static void *leave_blocks(void *argument)
{
	struct legacy *legacy = argument;

	for (size_t i = 0; i < LEFT_BLOCKS; i++) {
		legacy->blocks[i] = malloc(legacy->size);
		require(legacy->blocks[i] != NULL, "no memory");
		fill_pattern(legacy->blocks[i], legacy->size, i);
	}
	return NULL;
}

static void *take_blocks(void *argument)
{
	struct legacy *legacy = argument;

	for (size_t i = 0; i < LEFT_BLOCKS; i++) {
		require(pattern_holds(legacy->blocks[i], legacy->size, legacy->size, i),
			"block was overwritten");
		free(legacy->blocks[i]);
	}
	return NULL;
}

static void blocks_outlive_their_thread(void **state)
{
	static struct legacy legacy;
	static const size_t sizes[] = { 16, 100, 1000, 5000, 20000 };
	size_t warm = 0;
	size_t growth_limit = GROWTH_LIMIT + 10 * MIB; /* caches of the main thread fill up */

	(void)state;
	for (int round = 0; round < 120; round++) {
		pthread_t thread;

		legacy.size = sizes[round % 5];
		start(&thread, leave_blocks, &legacy);
		pthread_join(thread, NULL);
		if (round % 2 == 0) {
			take_blocks(&legacy);
		} else {
			start(&thread, take_blocks, &legacy);
			pthread_join(thread, NULL);
		}
		if (round == 39)
			warm = resident_bytes();
	}
	if (resident_bytes() > warm + growth_limit)
		fail_msg("resident memory grew from %zu to %zu KiB", warm / KIB, resident_bytes() / KIB);
}

/* ---- Producer and consumer that never free their own ------------------------------ */

enum { RING = 1024, PASSED = 400000 };
static _Atomic(void *) ring[RING];

static void *produce(void *argument)
{
	(void)argument;
	for (size_t i = 0; i < PASSED; i++) {
		void *block = malloc(64 + i % 200);

		require(block != NULL, "no memory");
		memset(block, 1, 64);
		while (atomic_load(&ring[i % RING]) != NULL)
			sched_yield();
		atomic_store(&ring[i % RING], block);
	}
	return NULL;
}

static void *consume(void *argument)
{
	(void)argument;
	for (size_t i = 0; i < PASSED; i++) {
		void *block;

		while ((block = atomic_exchange(&ring[i % RING], NULL)) == NULL)
			sched_yield();
		free(block);
	}
	return NULL;
}

static void memory_passed_on_returns_to_its_owner(void **state)
{
	pthread_t threads[2];
	size_t before = resident_bytes();

	(void)state;
	start(&threads[0], produce, NULL);
	start(&threads[1], consume, NULL);
	pthread_join(threads[0], NULL);
	pthread_join(threads[1], NULL);
	/* 65 MB passed; at most 1,024 blocks of 300 bytes were ever live. */
	if (resident_bytes() > before + GROWTH_LIMIT + 6 * MIB)
		fail_msg("resident memory grew from %zu to %zu KiB", before / KIB, resident_bytes() / KIB);
}

/* ---- Keys ------------------------------------------------------------------------- */

static pthread_key_t keys[3];
static atomic_size_t destructor_runs;

/* Frees its block; the first two times leaves a new one, so that the system calls it again. */
static void destroy(void *value)
{
	size_t *block = value;
	size_t lives = *block;
	size_t key = block[1];
	void *others[20];

	atomic_fetch_add(&destructor_runs, 1);
	for (size_t i = 0; i < 20; i++)
		require((others[i] = malloc(50 + i * 700)) != NULL, "no memory");
	for (size_t i = 0; i < 20; i++)
		free(others[i]);
	free(block);
	if (lives > 1) {
		block = malloc(200);
		require(block != NULL, "no memory");
		block[0] = lives - 1;
		block[1] = key;
		pthread_setspecific(keys[key], block);
	}
}

static void *use_keys(void *argument)
{
	(void)argument;
	for (size_t i = 0; i < 3; i++) {
		size_t *block = malloc(100 + 3000 * i);

		require(block != NULL, "no memory");
		block[0] = 3;
		block[1] = i;
		pthread_setspecific(keys[i], block);
	}
	return NULL;
}

static void destructors_of_keys_allocate(void **state)
{
	size_t rounds = many_threads / 10;
	size_t warm = 0;

	(void)state;
#ifdef HAKMEM_TEST_THREAD_SANITIZED /* whose own check fails in a thread that has ended as far as it knows */
	skip();
#endif
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(pthread_key_create(&keys[i], destroy), 0);
	for (size_t round = 0; round < rounds; round++) {
		pthread_t thread;

		start(&thread, use_keys, NULL);
		pthread_join(thread, NULL);
		if (round == rounds / 4)
			warm = resident_bytes();
	}
	assert_int_equal(atomic_load(&destructor_runs), rounds * 9);
	if (resident_bytes() > warm + GROWTH_LIMIT)
		fail_msg("resident memory grew from %zu to %zu KiB", warm / KIB, resident_bytes() / KIB);
}

/* ---- Many alive at the same time -------------------------------------------------- */

enum { CROWD = 200 };
static pthread_barrier_t crowd_barrier;

static void *be_in_crowd(void *argument)
{
	void *blocks[50];

	for (size_t i = 0; i < 50; i++)
		require((blocks[i] = malloc(20 + i * 30)) != NULL, "no memory");
	memset(blocks[7], 7, 20);
	pthread_barrier_wait(&crowd_barrier);
	for (size_t i = 0; i < 50; i++)
		free(blocks[i]);
	return argument;
}

static void two_hundred_threads_at_once(void **state)
{
	static pthread_t threads[CROWD];
	size_t warm = 0;

	(void)state;
	pthread_barrier_init(&crowd_barrier, NULL, CROWD);
	for (int round = 0; round < 6; round++) {
		for (size_t i = 0; i < CROWD; i++)
			start(&threads[i], be_in_crowd, NULL);
		for (size_t i = 0; i < CROWD; i++)
			pthread_join(threads[i], NULL);
		if (round == 1)
			warm = resident_bytes();
	}
	if (resident_bytes() > warm + GROWTH_LIMIT)
		fail_msg("resident memory grew from %zu to %zu KiB", warm / KIB, resident_bytes() / KIB);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ten_thousand_threads_do_not_grow),
		cmocka_unit_test(blocks_outlive_their_thread),
		cmocka_unit_test(memory_passed_on_returns_to_its_owner),
		cmocka_unit_test(destructors_of_keys_allocate),
		cmocka_unit_test(two_hundred_threads_at_once),
	};

	if (argument_count > 1)
		many_threads = strtoul(arguments[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
