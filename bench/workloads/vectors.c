/* vectors.c - arrays that grow by realloc while others grow beside them, and shrink again.
 *
 * Purpose: realloc. Access: 512 vectors; each step appends a run of numbers to a random one,
 * which grows by half its capacity when full; a vector that reaches its own limit (4 KiB for
 * most, 1 MiB for some, 16 MiB for a few) is checked, shrunk to an eighth by realloc and grows
 * on. Punishes: copying where the block could grow where it is, classes so coarse that each
 * growth moves, classes so fine that each growth moves, large blocks copied instead of remapped,
 * and a shrink that keeps the memory. */
#include "workload.h"

enum {
	VECTORS = 512
};

struct vector {
	uint32_t *items;
	size_t count, capacity, limit;
};

static void vector_resize(struct vector *vector, size_t capacity)
{
	vector->items = realloc(vector->items, capacity * sizeof *vector->items);
	require(vector->items != NULL, "out of memory");
	vector->capacity = capacity;
}

static uint64_t vector_sum(const struct vector *vector)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < vector->count; i++)
		sum += vector->items[i] ^ i;
	return sum;
}

int main(int argc, char **argv)
{
	static struct vector vectors[VECTORS];
	size_t steps = scaled(argc, argv, 1, 2000000);
	struct dice dice = { 5 };
	uint64_t sum = 0;

	for (size_t i = 0; i < VECTORS; i++)
		vectors[i].limit = i % 128 == 0 ? 4194304 : i % 16 == 0 ? 262144 : 1024;
	for (size_t step = 0; step < steps; step++) {
		struct vector *vector = &vectors[dice_below(&dice, VECTORS)];
		/* Longer runs for longer vectors, so that all of them reach their limits. */
		size_t run = 16 + vector->limit / 512;
		for (size_t i = 0; i < run; i++) {
			if (vector->count == vector->capacity)
				vector_resize(vector, vector->capacity + vector->capacity / 2 + 4);
			vector->items[vector->count++] = (uint32_t)step;
		}
		if (vector->count >= vector->limit) {
			sum = sum * 31 + vector_sum(vector);
			vector->count /= 8;
			vector_resize(vector, vector->count);
		}
	}
	for (size_t i = 0; i < VECTORS; i++) {
		sum = sum * 31 + vector_sum(&vectors[i]);
		free(vectors[i].items);
	}
	finish(sum);
}
