/* plateau.c - a peak, then a long life at a low level.
 *
 * Purpose: does memory go back? Access: 150 MiB of blocks of 16 bytes to 4 KiB are allocated,
 * all but a random 1 in 20 freed, then a small heap is churned for the rest of the run with a
 * second, lower peak of larger blocks in the middle. The program ends at the plateau, without
 * tearing down, so that the resident memory at its end shows what was given back. Punishes:
 * survivors that pin pages, memory of one size class that no other may use, and purging that
 * only happens at the peak, or never. */
#include "workload.h"

enum {
	PEAK = 180000,
	SECOND_PEAK = 900,
	SLOTS = 5000
};

static void *peak[PEAK];
static size_t peak_sizes[PEAK];
static void *slots[SLOTS];
static size_t slot_sizes[SLOTS];

static uint64_t churn(struct dice *dice, size_t steps)
{
	uint64_t sum = 0;
	for (size_t step = 0; step < steps; step++) {
		size_t i = dice_below(dice, SLOTS);
		if (slots[i] != NULL)
			sum += block_check(slots[i], slot_sizes[i]);
		free(slots[i]);
		slot_sizes[i] = dice_size(dice, 16, 1024);
		slots[i] = malloc(slot_sizes[i]);
		block_mark(slots[i], slot_sizes[i], step);
	}
	return sum;
}

int main(int argc, char **argv)
{
	size_t steps = scaled(argc, argv, 1, 8000000);
	struct dice dice = { 17 };
	void *large[SECOND_PEAK];
	uint64_t sum = 0;

	for (size_t i = 0; i < PEAK; i++) {
		peak_sizes[i] = dice_size(&dice, 128, 4096);
		peak[i] = malloc(peak_sizes[i]);
		require(peak[i] != NULL, "out of memory");
		memset(peak[i], (int)(i & 0xff), peak_sizes[i]);
		block_mark(peak[i], peak_sizes[i], i);
	}
	for (size_t i = 0; i < PEAK; i++) {
		if (dice_below(&dice, 20) != 0) {
			sum += block_check(peak[i], peak_sizes[i]);
			free(peak[i]);
			peak[i] = NULL;
		}
	}
	sum += churn(&dice, steps / 2);
	for (size_t i = 0; i < SECOND_PEAK; i++) {
		large[i] = malloc(65536);
		require(large[i] != NULL, "out of memory");
		block_touch(large[i], 65536);
	}
	for (size_t i = 0; i < SECOND_PEAK; i++)
		free(large[i]);
	sum += churn(&dice, steps / 2);
	for (size_t i = 0; i < PEAK; i++)
		if (peak[i] != NULL)
			sum = sum * 31 + block_check(peak[i], peak_sizes[i]);
	finish(sum);
}
