/* idle_threads.c - 200 threads sleep beside a busy one.
 *
 * Purpose: what a thread holds when it does nothing. Access: each of 200 threads allocates 256
 * KiB in blocks of 16 bytes to 1 KiB, frees them and waits; then one thread replaces blocks of a
 * table of 50,000 until the end. Punishes: caches kept by idle threads (peak memory), and work
 * for each thread on the busy thread's slow paths. */
#include "workload.h"

enum {
	IDLE = 200,
	BLOCKS = 1000,
	SLOTS = 50000
};

static pthread_barrier_t asleep, end;

static void *idle(void *argument)
{
	static _Thread_local void *blocks[BLOCKS];
	struct dice dice = { *(size_t *)argument + 1 };
	size_t count = 0;
	for (size_t held = 0; count < BLOCKS && held < 262144; count++) {
		size_t size = dice_size(&dice, 128, 1024);
		blocks[count] = malloc(size);
		block_mark(blocks[count], size, size);
		held += size;
	}
	while (count > 0)
		free(blocks[--count]);
	pthread_barrier_wait(&asleep);
	pthread_barrier_wait(&end);
	return NULL;
}

int main(int argc, char **argv)
{
	static void *blocks[SLOTS];
	static size_t sizes[SLOTS];
	pthread_t threads[IDLE];
	size_t numbers[IDLE];
	size_t steps = scaled(argc, argv, 1, 8000000);
	struct dice dice = { 9 };
	uint64_t sum = 0;

	pthread_barrier_init(&asleep, NULL, IDLE + 1);
	pthread_barrier_init(&end, NULL, IDLE + 1);
	for (size_t i = 0; i < IDLE; i++) {
		numbers[i] = i;
		thread_start(&threads[i], idle, &numbers[i]);
	}
	pthread_barrier_wait(&asleep);
	for (size_t step = 0; step < steps; step++) {
		size_t i = dice_below(&dice, SLOTS);
		if (blocks[i] != NULL)
			sum += block_check(blocks[i], sizes[i]);
		free(blocks[i]);
		sizes[i] = dice_size(&dice, 16, 1024);
		blocks[i] = malloc(sizes[i]);
		block_mark(blocks[i], sizes[i], step);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(blocks[i]);
	pthread_barrier_wait(&end);
	for (size_t i = 0; i < IDLE; i++)
		thread_join(threads[i]);
	finish(sum);
}
