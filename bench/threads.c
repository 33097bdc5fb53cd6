/* threads.c - what threads cost an allocator, for bench/threads:
 *
 *   threads start COUNT            creates and joins COUNT threads, one after the other, each of which allocates once
 *                                  and frees it; prints nanoseconds of processor time for each
 *   threads loop THREADS COUNT     each thread COUNT times frees one of 256 blocks, chosen at random, and allocates
 *                                  another of 16 to 512 bytes in its place; prints millions of such pairs a second of all
 *                                  threads, and what one thread makes in a second of its own processor time
 */
#include <stdbool.h>
#include <time.h>

#include "workloads/workload.h"

enum {
	SLOTS = 256
};

static double seconds_now(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void *allocate_once(void *argument)
{
	void *volatile block = malloc(64);
	require(block != NULL, "out of memory");
	free(block);
	return argument;
}

static void start(size_t count)
{
	double begun = seconds_now(CLOCK_PROCESS_CPUTIME_ID);
	for (size_t i = 0; i < count; i++)
		threads_run(allocate_once, NULL, 0, 1);
	printf("%.0f\n", (seconds_now(CLOCK_PROCESS_CPUTIME_ID) - begun) / (double)count * 1e9);
}

struct worker {
	_Alignas(128) struct dice dice; /* lines of its own */
	size_t count;
	double processor; /* seconds that the thread has run */
};

static void *loop(void *argument)
{
	struct worker *worker = argument;
	struct dice dice = worker->dice;
	void *blocks[SLOTS] = { 0 };
	for (size_t i = 0; i < worker->count; i++) {
		size_t slot = dice_below(&dice, SLOTS), size = 16 + dice_below(&dice, 497);
		free(blocks[slot]);
		blocks[slot] = malloc(size);
		block_mark(blocks[slot], size, i);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(blocks[i]);
	worker->dice = dice;
	worker->processor = seconds_now(CLOCK_THREAD_CPUTIME_ID);
	return NULL;
}

static void run_loops(size_t threads, size_t count)
{
	struct worker workers[256];
	double processor = 0;
	for (size_t i = 0; i < threads; i++)
		workers[i] = (struct worker){ .dice = { 50 + i }, .count = count };
	double begun = seconds_now(CLOCK_MONOTONIC);
	threads_run(loop, workers, sizeof workers[0], threads);
	double elapsed = seconds_now(CLOCK_MONOTONIC) - begun, pairs = (double)(threads * count) / 1e6;
	for (size_t i = 0; i < threads; i++)
		processor += workers[i].processor;
	printf("%.2f %.2f\n", pairs / elapsed, pairs / processor);
}

int main(int argc, char **argv)
{
	static const char *const variants[] = { "start", "loop", NULL };
	size_t first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1,
		   count = argc > 3 ? strtoul(argv[3], NULL, 10) : 1000000;
	bool loops = variant(argc, argv, variants) == 1;
	require(first > 0 && (!loops || first <= 256), "a number of threads, from 1 to 256");
	if (loops)
		run_loops(first, count);
	else
		start(first);
	return 0;
}
