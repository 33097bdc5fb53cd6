/* random_small.c - one thread allocates and frees small blocks at random, and counts.
 *
 * Purpose: the one number people quote for an allocator, malloc and free calls per second. Access:
 * a table of 256 places; each step picks one at random, frees the block there or, if it is empty,
 * allocates 16 to 1,039 bytes and writes the first and the last of them. It also prints the calls
 * per second of the loop on standard error. Punishes: instructions on a hit, and little else: all
 * fits into the nearest cache. HAKMEM's prototype was measured on a loop of this kind. */
#include <time.h>

#include "workload.h"

enum {
	SLOTS = 256
};

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	static unsigned char *slots[SLOTS];
	size_t steps = scaled(argc, argv, 1, 20000000);
	struct dice dice = { 1 };
	uint64_t sum = 0;

	double start = seconds_now();
	for (size_t step = 0; step < steps; step++) {
		uint64_t roll = dice_roll(&dice) >> 32;
		unsigned char **slot = &slots[roll % SLOTS];
		if (*slot != NULL) {
			sum += **slot;
			free(*slot);
			*slot = NULL;
		} else {
			size_t size = 16 + (roll >> 8) % 1024;
			*slot = malloc(size);
			require(*slot != NULL, "out of memory");
			(*slot)[0] = (*slot)[size - 1] = (unsigned char)step;
		}
	}
	fprintf(stderr, "calls per second: %.0f\n", (double)steps / (seconds_now() - start));
	for (size_t i = 0; i < SLOTS; i++)
		free(slots[i]);
	finish(sum);
}
