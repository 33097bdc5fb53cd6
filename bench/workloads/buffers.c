/* buffers.c - buffers large enough for the allocator to go to the system.
 *
 * Purpose: large blocks. Access: medium: 2 threads, each replaces buffers of 64 KiB to 1 MiB in
 * a table of 32; huge: rounds of 8 buffers of 2 to 64 MiB, all live at once, then all freed. One
 * word of every page is written. Punishes: a map and unmap for every buffer with all its page
 * faults, keeping every size ever used (peak memory), and searching. */
#include "workload.h"

enum {
	SLOTS = 32,
	HUGE_BUFFERS = 8,
	MEDIUM_THREADS = 2
};

struct worker {
	struct dice dice;
	size_t steps;
	uint64_t sum;
};

static void *replace_medium(void *argument)
{
	struct worker *worker = argument;
	void *blocks[SLOTS] = { NULL };
	size_t sizes[SLOTS] = { 0 };
	for (size_t step = 0; step < worker->steps; step++) {
		size_t i = dice_below(&worker->dice, SLOTS);
		if (blocks[i] != NULL)
			worker->sum += block_check(blocks[i], sizes[i]);
		free(blocks[i]);
		sizes[i] = dice_size(&worker->dice, 65536, 1048576);
		blocks[i] = malloc(sizes[i]);
		require(blocks[i] != NULL, "out of memory");
		block_touch(blocks[i], sizes[i]);
		block_mark(blocks[i], sizes[i], step);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(blocks[i]);
	return NULL;
}

static void *round_of_huge(void *argument)
{
	struct worker *worker = argument;
	void *blocks[HUGE_BUFFERS];
	size_t sizes[HUGE_BUFFERS];
	for (size_t i = 0; i < HUGE_BUFFERS; i++) {
		sizes[i] = dice_size(&worker->dice, (size_t)2 << 20, (size_t)64 << 20);
		blocks[i] = malloc(sizes[i]);
		require(blocks[i] != NULL, "out of memory");
		block_touch(blocks[i], sizes[i]);
		block_mark(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < HUGE_BUFFERS; i++) {
		worker->sum = worker->sum * 31 + block_check(blocks[i], sizes[i]) + sizes[i];
		free(blocks[i]);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "medium", "huge", NULL };
	struct worker workers[MEDIUM_THREADS] = { 0 };
	uint64_t sum = 0;

	if (variant(argc, argv, names) == 0) {
		for (size_t i = 0; i < MEDIUM_THREADS; i++)
			workers[i] = (struct worker){ .dice = { 60 + i }, .steps = scaled(argc, argv, 2, 80000) };
		threads_run(replace_medium, workers, sizeof *workers, MEDIUM_THREADS);
	} else {
		workers[0].dice.state = 60;
		for (size_t rounds = scaled(argc, argv, 2, 25); rounds > 0; rounds--)
			round_of_huge(&workers[0]);
	}
	for (size_t i = 0; i < MEDIUM_THREADS; i++)
		sum += workers[i].sum;
	finish(sum);
}
