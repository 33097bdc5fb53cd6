/* batch.c - many blocks allocated in a row, then all freed.
 *
 * Purpose: the order of frees. Access: 100,000 blocks of 16 to 512 bytes are allocated, then
 * freed last first (lifo), first first (fifo) or in a shuffled order (random); again and again.
 * Punishes: caches of fixed depth that overflow and refill block by block, free lists whose order
 * scatters the next batch over memory, and giving memory back only to fault it in again. */
#include "workload.h"

enum {
	BLOCKS = 100000
};

static void *blocks[BLOCKS];
static size_t sizes[BLOCKS];
static size_t order[BLOCKS];

static void choose_order(size_t kind, struct dice *dice)
{
	for (size_t i = 0; i < BLOCKS; i++)
		order[i] = kind == 0 ? BLOCKS - 1 - i : i;
	for (size_t i = BLOCKS - 1; kind == 2 && i > 0; i--) {
		size_t other = dice_below(dice, i + 1);
		size_t kept = order[i];
		order[i] = order[other];
		order[other] = kept;
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "lifo", "fifo", "random", NULL };
	static const size_t rounds_of[] = { 120, 120, 100 };
	size_t kind = variant(argc, argv, names);
	size_t rounds = scaled(argc, argv, 2, rounds_of[kind]);
	struct dice dice = { 7 };
	uint64_t sum = 0;

	choose_order(kind, &dice);
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < BLOCKS; i++) {
			sizes[i] = dice_size(&dice, 16, 512);
			blocks[i] = malloc(sizes[i]);
			block_mark(blocks[i], sizes[i], round + i);
		}
		for (size_t i = 0; i < BLOCKS; i++) {
			sum = sum * 31 + block_check(blocks[order[i]], sizes[order[i]]);
			free(blocks[order[i]]);
		}
	}
	finish(sum);
}
