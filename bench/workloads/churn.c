/* churn.c - one thread replaces blocks at random.
 *
 * Purpose: the plain speed of malloc and free on a settled heap, by band of sizes. Access: a
 * table of live blocks; each step frees a random one and allocates another of a random size of
 * the band in its place, marks it and checks the freed one. Punishes: long paths on a hit, size
 * classes that do not share memory, and searching for a fit in the larger bands. */
#include "workload.h"

struct slot {
	void *block;
	size_t size;
};

struct band {
	size_t low, high, slots, steps;
};

int main(int argc, char **argv)
{
	static const char *const names[] = { "tiny", "mid", "large", "mixed", NULL };
	static const struct band bands[] = {
		{ 16, 512, 20000, 20000000 },
		{ 1024, 32768, 4000, 5000000 },
		{ 32768, 262144, 400, 2400000 },
		{ 16, 65536, 20000, 10000000 },
	};
	const struct band *band = &bands[variant(argc, argv, names)];
	size_t steps = scaled(argc, argv, 2, band->steps);
	struct dice dice = { 42 };
	uint64_t sum = 0;

	struct slot *slots = calloc(band->slots, sizeof *slots);
	require(slots != NULL, "out of memory");
	for (size_t step = 0; step < steps; step++) {
		struct slot *slot = &slots[dice_below(&dice, band->slots)];
		if (slot->block != NULL)
			sum += block_check(slot->block, slot->size);
		free(slot->block);
		slot->size = dice_size(&dice, band->low, band->high);
		slot->block = malloc(slot->size);
		block_mark(slot->block, slot->size, step);
	}
	for (size_t i = 0; i < band->slots; i++) {
		if (slots[i].block != NULL)
			sum += block_check(slots[i].block, slots[i].size);
		free(slots[i].block);
	}
	free(slots);
	finish(sum);
}
