/* zeroed.c - calloc for everything.
 *
 * Purpose: zeroed memory. Access: a table of blocks from calloc, 16 bytes to 256 KiB, replaced
 * at random; each must be zero at its start, middle and end, and is then written. Punishes:
 * clearing what the system has just cleared, and clearing page by page what could be dropped. */
#include "workload.h"

enum {
	SLOTS = 3000
};

int main(int argc, char **argv)
{
	static unsigned char *blocks[SLOTS];
	static size_t sizes[SLOTS];
	size_t steps = scaled(argc, argv, 1, 5000000);
	struct dice dice = { 31 };
	uint64_t sum = 0;

	for (size_t step = 0; step < steps; step++) {
		size_t i = dice_below(&dice, SLOTS);
		if (blocks[i] != NULL)
			sum += block_check(blocks[i], sizes[i]);
		free(blocks[i]);
		sizes[i] = dice_size(&dice, 16, 262144);
		blocks[i] = calloc(1, sizes[i]);
		require(blocks[i] != NULL, "out of memory");
		require((blocks[i][0] | blocks[i][sizes[i] / 2] | blocks[i][sizes[i] - 1]) == 0, "not zero");
		memset(blocks[i], 0x5a, sizes[i] / 4);
		blocks[i][sizes[i] / 2] = 0x5a;
		block_mark(blocks[i], sizes[i], step);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(blocks[i]);
	finish(sum);
}
