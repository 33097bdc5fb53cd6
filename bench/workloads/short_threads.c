/* short_threads.c - many threads that live for a moment.
 *
 * Purpose: the price of a thread's first and last call. Access: thousands of threads, 4 at a
 * time; each allocates 50 blocks of 16 bytes to 4 KiB, frees them and ends. Punishes: heavy heaps
 * made for each thread, memory not handed on from the dead to the living, and global locks at
 * both ends. */
#include "workload.h"

enum {
	BLOCKS = 50
};

static void *live(void *argument)
{
	struct dice *dice = argument;
	void *blocks[BLOCKS];
	size_t sizes[BLOCKS];
	for (size_t i = 0; i < BLOCKS; i++) {
		sizes[i] = dice_size(dice, 16, 4096);
		blocks[i] = malloc(sizes[i]);
		block_mark(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < BLOCKS; i++) {
		dice->state += block_check(blocks[i], sizes[i]);
		free(blocks[i]);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	size_t rounds = scaled(argc, argv, 1, 4000);
	struct dice dice[THREADS];
	uint64_t sum = 0;

	for (size_t i = 0; i < THREADS; i++)
		dice[i].state = 50 + i;
	for (size_t round = 0; round < rounds; round++)
		threads_run(live, dice, sizeof *dice, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		sum += dice[i].state;
	finish(sum);
}
