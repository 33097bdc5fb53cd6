/* blocks.c - more blocks than strangers leave room for in one place: all must be had, kept whole, freed and had again. Run by
 * test_world.py. */
#include "cmocka_tests.h"
#include "support.h"

#include <stdlib.h>
#include <string.h>

#define SMALL ((size_t)2500000) /* blocks of 64 bytes: 160 MB */
#define LARGE ((size_t)4000)    /* of 60,000 bytes: 240 MB */

static size_t *blocks[SMALL];

static void fill(size_t first, size_t step, size_t count, size_t size)
{
	for (size_t i = first; i < count; i += step) {
		blocks[i] = malloc(size);
		require(blocks[i] != NULL, "block %zu of %zu bytes is refused", i, size);
		*blocks[i] = i;
	}
}

static void drain(size_t first, size_t step, size_t count)
{
	for (size_t i = first; i < count; i += step) {
		require(*blocks[i] == i, "block %zu was overwritten", i);
		free(blocks[i]);
	}
}

int main(void)
{
	fill(0, 1, SMALL, 64);
	drain(0, 2, SMALL);
	fill(0, 2, SMALL, 64);
	drain(0, 1, SMALL);
	fill(0, 1, LARGE, 60000);
	drain(0, 1, LARGE);
	return 0;
}
