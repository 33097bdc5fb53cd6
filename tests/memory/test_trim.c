/* test_trim.c - malloc_trim(0) gives back the free pages within partly used slabs and spans:
 * afterwards the heap's resident memory is at most 1.25 times the pages that hold a live block,
 * plus 8 MiB; the survivors' content is intact and allocation works.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <pthread.h>

#include "names.h"

#define HEAP_BYTES (48 * MIB)
#define PAGE_BYTES ((size_t)4096)
#define PAGE_MAP_BYTES (((size_t)1 << 47) / PAGE_BYTES / 8) /* a bit for each page a process may have */
#define SLACK (8 * MIB)

enum pattern { ONE_OF_64, ONE_OF_1000, CLUSTERED, PATTERN_COUNT };

static const char *const pattern_names[PATTERN_COUNT] = {
	"1 of 64 at random", "1 of 1000 at random", "clusters of 500 in 50,000"
};

enum owner { MAIN_THREAD, FINISHED_THREAD, FREED_BY_FINISHED_THREAD };

struct scenario {
	size_t size;
	enum pattern pattern;
	enum owner owner;
};

static const struct scenario *current;
static void **blocks;
static size_t block_count;

static bool survives(size_t index)
{
	uint64_t chance = mix_bits(index + 1);

	switch (current->pattern) {
	case ONE_OF_64:
		return chance % 64 == 0;
	case ONE_OF_1000:
		return chance % 1000 == 0;
	default:
		return index % 50000 < 500;
	}
}

static size_t live_pages(void)
{
	unsigned char *seen = map_pages(PAGE_MAP_BYTES);
	size_t pages = 0;

	for (size_t i = 0; i < block_count; i++) {
		uintptr_t first = (uintptr_t)blocks[i] / PAGE_BYTES;
		uintptr_t last = ((uintptr_t)blocks[i] + current->size - 1) / PAGE_BYTES;

		if (!survives(i))
			continue;
		for (uintptr_t page = first; page <= last; page++) {
			pages += !(seen[page / 8] >> (page % 8) & 1);
			seen[page / 8] = (unsigned char)(seen[page / 8] | 1 << (page % 8));
		}
	}
	release_pages(seen, PAGE_MAP_BYTES);
	return pages;
}

static void *allocate_all(void *argument)
{
	for (size_t i = 0; i < block_count; i++) {
		blocks[i] = malloc(current->size);
		require(blocks[i] != NULL, "no memory");
		fill_pattern(blocks[i], current->size, i);
	}
	return argument;
}

static void *free_most(void *argument)
{
	for (size_t i = 0; i < block_count; i++)
		if (!survives(i))
			free(blocks[i]);
	return argument;
}

static void run(void *(*work)(void *), bool in_thread)
{
	pthread_t thread;

	if (!in_thread) {
		work(NULL);
		return;
	}
	require(pthread_create(&thread, NULL, work, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

static void check_survivors(const char *when)
{
	for (size_t i = 0; i < block_count; i++)
		if (survives(i))
			require(pattern_holds(blocks[i], current->size, current->size, i),
				"block %zu was overwritten %s", i, when);
}

static void run_scenario(const void *argument)
{
	size_t before;
	size_t full;
	size_t pages;
	size_t limit;
	size_t now;

	current = argument;
	block_count = HEAP_BYTES / current->size;
	blocks = map_pages(block_count * sizeof *blocks);
	for (size_t i = 0; i < block_count; i++)
		blocks[i] = NULL;

	before = resident_bytes();
	run(allocate_all, current->owner == FINISHED_THREAD);
	full = resident_bytes() - before;
	require(full > HEAP_BYTES * 9 / 10, "only %zu KiB became resident", full / KIB);
	pages = live_pages();
	run(free_most, current->owner == FREED_BY_FINISHED_THREAD);
	malloc_trim(0);
	now = resident_bytes();
	now = now > before ? now - before : 0;
	limit = pages * PAGE_BYTES / 4 * 5 + SLACK;
	require(now <= limit,
		"size %zu, survivors %s, owner %d: %zu KiB resident, allowed %zu (live pages %zu KiB, "
		"full heap %zu KiB)",
		current->size, pattern_names[current->pattern], (int)current->owner, now / KIB,
		limit / KIB, pages * 4, full / KIB);

	check_survivors("by malloc_trim");
	for (size_t i = 0; i < block_count; i++) {
		if (survives(i))
			continue;
		blocks[i] = i % 2 == 0 ? malloc(current->size) : calloc(1, current->size);
		require(blocks[i] != NULL, "no memory");
		require(i % 2 == 0 || all_bytes_are(blocks[i], current->size, 0),
			"calloc's block is not zero after malloc_trim");
		fill_pattern(blocks[i], current->size, i);
	}
	for (size_t i = 0; i < block_count; i++) {
		require(pattern_holds(blocks[i], current->size, current->size, i),
			"block %zu was overwritten after malloc_trim", i);
		free(blocks[i]);
	}
	malloc_trim(0);
	now = resident_bytes();
	require(now <= before + SLACK, "%zu KiB stay resident with no block live", (now - before) / KIB);
}

static void free_pages_go_back(void **state)
{
	static const size_t sizes[] = { 16, 24, 48, 100, 128, 256, 500, 1000, 1024, 1500, 2000 };
	enum { COUNT = sizeof sizes / sizeof sizes[0] * PATTERN_COUNT };
	static struct scenario scenarios[COUNT];

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		scenarios[i] = (struct scenario){ sizes[i / PATTERN_COUNT],
			(enum pattern)(i % PATTERN_COUNT), MAIN_THREAD };
	run_in_children(run_scenario, scenarios, sizeof scenarios[0], COUNT, 2, 60);
}

static void pages_of_finished_threads_go_back(void **state)
{
	static const struct scenario scenarios[] = {
		{ 64, ONE_OF_1000, FINISHED_THREAD }, { 400, ONE_OF_64, FINISHED_THREAD },
		{ 1500, CLUSTERED, FINISHED_THREAD }, { 64, ONE_OF_1000, FREED_BY_FINISHED_THREAD },
		{ 400, ONE_OF_64, FREED_BY_FINISHED_THREAD }, { 1500, CLUSTERED, FREED_BY_FINISHED_THREAD }
	};

	(void)state;
	run_in_children(run_scenario, scenarios, sizeof scenarios[0],
		sizeof scenarios / sizeof scenarios[0], 2, 60);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(free_pages_go_back),
		cmocka_unit_test(pages_of_finished_threads_go_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
