/* aligned.c - aligned blocks for everything.
 *
 * Purpose: aligned_alloc and posix_memalign. Access: a table of blocks aligned to 32 bytes
 * (vectors), 64 (cache lines), 512 and 4096 (direct input and output), of 64 bytes to 64 KiB,
 * replaced at random; each alignment is checked. Punishes: allocating size + alignment for each,
 * which wastes memory and splits it. */
#include "workload.h"

enum {
	SLOTS = 5000
};

int main(int argc, char **argv)
{
	static const size_t alignments[] = { 32, 64, 64, 64, 128, 512, 4096, 4096 };
	static void *blocks[SLOTS];
	static size_t sizes[SLOTS];
	size_t steps = scaled(argc, argv, 1, 4500000);
	struct dice dice = { 13 };
	uint64_t sum = 0;

	for (size_t step = 0; step < steps; step++) {
		size_t i = dice_below(&dice, SLOTS);
		size_t alignment = alignments[step % 8];
		if (blocks[i] != NULL)
			sum += block_check(blocks[i], sizes[i]);
		free(blocks[i]);
		sizes[i] = (dice_size(&dice, 64, 65536) + alignment - 1) / alignment * alignment;
		if (step % 2 == 0)
			blocks[i] = aligned_alloc(alignment, sizes[i]);
		else
			require(posix_memalign(&blocks[i], alignment, sizes[i]) == 0, "out of memory");
		require(((uintptr_t)blocks[i] & (alignment - 1)) == 0, "not aligned");
		block_mark(blocks[i], sizes[i], step);
	}
	for (size_t i = 0; i < SLOTS; i++)
		free(blocks[i]);
	finish(sum);
}
