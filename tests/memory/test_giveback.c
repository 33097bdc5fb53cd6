/* test_giveback.c - memory goes back: after a peak, a program that runs on at a low level is
 * soon small again, whoever freed the blocks.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <pthread.h>
#include <semaphore.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "names.h"

#define PEAK_BYTES (200 * MIB)
#define POINTERS (PEAK_BYTES / 64)
#define PATIENCE 150     /* rounds of 20 ms at least within which the memory must be back */
#define KEPT_PERCENT 15  /* of the peak */

enum who {
	OWNER_FREES,         /* the thread that allocated */
	OTHER_FREES_AND_ENDS,
	OTHER_FREES_AND_IDLES,
	OWNER_ENDS_FIRST,    /* the allocating thread ends, the main thread frees */
	WHO_COUNT
};

static const char *const who_names[WHO_COUNT] = {
	"the owner frees", "another thread frees and ends", "another thread frees and idles",
	"the owner ends, the main thread frees"
};

struct scenario {
	enum block_kind kind;
	enum who who;
	size_t working; /* bytes of the blocks that the main thread goes on with */
};

static enum block_kind kind;
static void **blocks;
static size_t block_count;
static sem_t all_freed;

static void *fill_up(void *argument)
{
	struct random_source random = { 3 };
	size_t bytes = 0;

	while (bytes < PEAK_BYTES && block_count < POINTERS) {
		size_t size = random_size_of_kind(&random, kind);
		char *block = malloc(size);

		require(block != NULL, "no memory");
		for (size_t at = 0; at < size; at += 4096)
			block[at] = 1;
		block[size - 1] = 1;
		blocks[block_count++] = block;
		bytes += size;
	}
	return argument;
}

static void *free_all(void *argument)
{
	struct random_source random = { 4 };

	/* In random order, as programs do. */
	for (size_t left = block_count; left > 0; left--) {
		size_t at = random_between(&random, 0, left - 1);

		free(blocks[at]);
		blocks[at] = blocks[left - 1];
	}
	sem_post(&all_freed);
	return argument;
}

static void *free_all_and_idle(void *argument)
{
	free_all(argument);
	pause();
	return argument;
}

static void run_scenario(const void *argument)
{
	const struct scenario *scenario = argument;
	pthread_t thread;
	size_t peak;
	size_t now;
	int rounds = 0;

	kind = scenario->kind;
	blocks = map_pages(POINTERS * sizeof *blocks);
	sem_init(&all_freed, 0, 0);
	if (scenario->who == OWNER_ENDS_FIRST) {
		pthread_create(&thread, NULL, fill_up, NULL);
		pthread_join(thread, NULL);
	} else {
		fill_up(NULL);
	}
	peak = resident_bytes();
	require(peak > PEAK_BYTES * 9 / 10, "the peak is only %zu KiB", peak / KIB);

	if (scenario->who == OTHER_FREES_AND_ENDS) {
		pthread_create(&thread, NULL, free_all, NULL);
		pthread_join(thread, NULL);
	} else if (scenario->who == OTHER_FREES_AND_IDLES) {
		pthread_create(&thread, NULL, free_all_and_idle, NULL);
		sem_wait(&all_freed);
	} else {
		free_all(NULL);
	}
	release_pages(blocks, POINTERS * sizeof *blocks);

	do {
		for (int i = 0; i < 20; i++) {
			free(opaque_pointer(malloc(scenario->working)));
			usleep(1000);
		}
		now = resident_bytes();
	} while (now >= peak / 100 * KEPT_PERCENT && ++rounds < PATIENCE);
	require(now < peak / 100 * KEPT_PERCENT,
		"%s blocks, %s: %zu of %zu KiB are still resident after %d rounds",
		kind_name(scenario->kind), who_names[scenario->who], now / KIB, peak / KIB, PATIENCE);
}

static void memory_of(enum block_kind of_kind, size_t working)
{
	struct scenario scenarios[WHO_COUNT];

	for (size_t i = 0; i < WHO_COUNT; i++)
		scenarios[i] = (struct scenario){ of_kind, (enum who)i, working };
	run_in_children(run_scenario, scenarios, sizeof scenarios[0], WHO_COUNT, WHO_COUNT, 60);
}

static void tiny_blocks_go_back(void **state)
{
	(void)state;
	memory_of(KIND_TINY, 100);
}

static void mid_blocks_go_back(void **state)
{
	(void)state;
	memory_of(KIND_MID, 100);
}

static void large_blocks_go_back(void **state)
{
	(void)state;
	memory_of(KIND_LARGE, 100);
}

static void big_blocks_go_back(void **state)
{
	(void)state;
	memory_of(KIND_BIG, 100);
}

/* Each of them joins what lies beside it, and makes it young. */
static void big_blocks_go_back_while_others_come_and_go(void **state)
{
	(void)state;
	memory_of(KIND_BIG, 3 * MIB);
}

/* What one layer has freed makes room for what another asks for at once, with no time for it to grow old. */
static void run_turns(const void *size)
{
	size_t small = *(const size_t *)size, count = 60 * MIB / small, before = resident_bytes(), peak;
	struct rusage usage;

	blocks = map_pages(count * sizeof *blocks);
	for (int turn = 0; turn < 4; turn++) {
		char *large = malloc(90 * MIB);

		memset(large, turn, 90 * MIB);
		free(opaque_pointer(large));
		for (size_t i = 0; i < count; i++)
			memset(blocks[i] = malloc(small), turn, small);
		for (size_t i = 0; i < count; i++)
			free(blocks[i]);
	}
	getrusage(RUSAGE_SELF, &usage);
	peak = (size_t)usage.ru_maxrss * KIB - before;
	require(peak < 115 * MIB, "blocks of %zu bytes and one of 90 MiB in turn: the peak is %zu MiB", small, peak / MIB);
}

static void what_one_layer_frees_makes_room_for_another(void **state)
{
	static const size_t sizes[] = { 112, 20000, MIB };

	(void)state;
	run_in_children(run_turns, sizes, sizeof sizes[0], sizeof sizes / sizeof sizes[0], 1, 60);
}

/* ---- Each way of freeing alone: a process that calls nothing else becomes small, too ---- */

enum way {
	REALLOC_BIG_SHRINKS,   /* a big block, then only reallocs of it */
	REALLOC_BIG_TO_LARGE,  /* out of L2 */
	REALLOC_LARGE_SHRINKS, /* in place, spans of L1 */
	REALLOC_LARGE_TO_TINY,
	REALLOC_TO_NOTHING,
	ALIGNED_BLOCKS,
	CALLOC_BLOCKS,
	WAY_COUNT
};

static const char *const way_names[WAY_COUNT] = {
	"realloc of a big block", "realloc from big to large", "realloc of large blocks", "realloc from large to tiny",
	"realloc to 0 bytes", "aligned blocks", "calloc and free"
};

static void *filled(void *block, size_t size)
{
	require(block != NULL, "no memory");
	memset(block, 1, size);
	return block;
}

static size_t large_size(enum way way)
{
	return way == REALLOC_BIG_SHRINKS ? PEAK_BYTES : way == REALLOC_BIG_TO_LARGE ? 20 * MIB : MIB;
}

/* The last calls of a block of the peak; result: what is left of it. */
static void *give_up(enum way way, void *block)
{
	switch (way) {
	case REALLOC_BIG_SHRINKS:
		return realloc(block, 3 * MIB);
	case REALLOC_BIG_TO_LARGE:
		return realloc(block, 100 * KIB);
	case REALLOC_LARGE_SHRINKS:
		return realloc(block, 40 * KIB);
	case REALLOC_LARGE_TO_TINY:
		return realloc(block, 100);
	case REALLOC_TO_NOTHING:
		return realloc(block, 0);
	default:
		free(block);
		return NULL;
	}
}

/* What the process goes on with: the same kind of call on one block. */
static void *go_on(enum way way, void *block, unsigned round)
{
	switch (way) {
	case REALLOC_BIG_SHRINKS:
		return realloc(block, (3 + round % 2) * MIB);
	case REALLOC_BIG_TO_LARGE:
	case REALLOC_LARGE_SHRINKS:
		return realloc(block, (40 + round % 2 * 100) * KIB);
	case REALLOC_LARGE_TO_TINY:
	case REALLOC_TO_NOTHING:
		return realloc(block, round % 2 == 0 ? 100 : 300);
	case ALIGNED_BLOCKS:
		free(block);
		return aligned_alloc(4096, 40 * KIB);
	default:
		free(block);
		return calloc(round % 2 == 0 ? 100 : 3, KIB);
	}
}

static void run_way(const void *argument)
{
	enum way way = *(const enum way *)argument;
	size_t size = large_size(way), count = PEAK_BYTES / size, before, peak, now;
	unsigned round = 0;
	void *block;

	blocks = map_pages(count * sizeof *blocks);
	before = resident_bytes();
	for (size_t i = 0; i < count; i++)
		blocks[i] = filled(way == ALIGNED_BLOCKS ? aligned_alloc(4096, size) :
				   way == CALLOC_BLOCKS ? calloc(1, size) : malloc(size), size);
	block = filled(malloc(10 * KIB), 10 * KIB);
	peak = resident_bytes() - before;
	require(peak > PEAK_BYTES * 9 / 10, "the peak is only %zu KiB", peak / KIB);
	for (size_t i = 0; i < count; i++)
		blocks[i] = give_up(way, blocks[i]);
	do {
		void **one = way == REALLOC_BIG_SHRINKS ? &blocks[0] : &block;

		*one = go_on(way, *one, round);
		usleep(1000);
		now = resident_bytes();
		now -= now < before ? now : before;
	} while (now >= peak / 100 * KEPT_PERCENT && ++round < 20 * PATIENCE);
	require(now < peak / 100 * KEPT_PERCENT, "%s: %zu of %zu KiB are still resident after %u rounds", way_names[way],
		now / KIB, peak / KIB, round);
}

static void every_way_of_freeing_gives_back(void **state)
{
	enum way ways[WAY_COUNT];

	(void)state;
	for (unsigned i = 0; i < WAY_COUNT; i++)
		ways[i] = (enum way)i;
	run_in_children(run_way, ways, sizeof ways[0], WAY_COUNT, WAY_COUNT, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tiny_blocks_go_back),
		cmocka_unit_test(mid_blocks_go_back),
		cmocka_unit_test(large_blocks_go_back),
		cmocka_unit_test(big_blocks_go_back),
		cmocka_unit_test(big_blocks_go_back_while_others_come_and_go),
		cmocka_unit_test(what_one_layer_frees_makes_room_for_another),
		cmocka_unit_test(every_way_of_freeing_gives_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
