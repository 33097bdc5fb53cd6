/* inheritance.c - threads die and others inherit their blocks (the pattern of Larson's server).
 *
 * Purpose: the heap of a dead thread. Access: 4 lanes; in each a thread replaces random blocks
 * of a table of 2,000 (10 to 500 bytes) for a while, then dies; a new thread goes on with the
 * same table and so frees the blocks of all its ancestors. Punishes: memory stranded in heaps
 * without a thread, slow thread starts and ends, and remote frees to a dead owner. */
#include "workload.h"

enum {
	SLOTS = 2000,
	STEPS = 20000
};

struct lane {
	struct dice dice;
	uint64_t sum;
	size_t generations;
	void *blocks[SLOTS];
	size_t sizes[SLOTS];
};

static void *live(void *argument)
{
	struct lane *lane = argument;
	for (size_t step = 0; step < STEPS; step++) {
		size_t i = dice_below(&lane->dice, SLOTS);
		if (lane->blocks[i] != NULL)
			lane->sum += block_check(lane->blocks[i], lane->sizes[i]);
		free(lane->blocks[i]);
		lane->sizes[i] = 10 + dice_below(&lane->dice, 491);
		lane->blocks[i] = malloc(lane->sizes[i]);
		block_mark(lane->blocks[i], lane->sizes[i], step);
	}
	return NULL;
}

/* Starts one generation after the other, each in a thread of its own. */
static void *descend(void *argument)
{
	struct lane *lane = argument;
	for (size_t i = 0; i < lane->generations; i++)
		threads_run(live, lane, sizeof *lane, 1);
	for (size_t i = 0; i < SLOTS; i++)
		free(lane->blocks[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct lane lanes[THREADS];
	size_t generations = scaled(argc, argv, 1, 400);
	uint64_t sum = 0;

	for (size_t i = 0; i < THREADS; i++) {
		lanes[i].dice.state = 1000 + i;
		lanes[i].generations = generations;
	}
	threads_run(descend, lanes, sizeof *lanes, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		sum += lanes[i].sum;
	finish(sum);
}
