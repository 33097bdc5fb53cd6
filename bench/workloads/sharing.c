/* sharing.c - do two threads' small blocks lie in one cache line?
 *
 * Purpose: false sharing. Access: active: each thread allocates a block of 16 bytes, writes it
 * thousands of times, frees it, again; passive: the main thread allocates the first blocks one
 * after the other and hands one to each thread, which frees it and goes on as before. Punishes:
 * neighbouring blocks given to different threads, in the second case because of remote frees
 * taken over by the freeing thread. */
#include "workload.h"

enum {
	WRITES = 2000
};

struct writer {
	uint64_t *given;
	size_t rounds;
	uint64_t sum;
};

static void *write_often(void *argument)
{
	struct writer *writer = argument;
	free(writer->given);
	for (size_t round = 0; round < writer->rounds; round++) {
		volatile uint64_t *block = malloc(16);
		require(block != NULL, "out of memory");
		*block = round;
		for (size_t i = 0; i < WRITES; i++)
			*block += i;
		writer->sum += *block;
		free((void *)block);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "active", "passive", NULL };
	size_t kind = variant(argc, argv, names);
	size_t rounds = scaled(argc, argv, 2, 300000);
	struct writer writers[THREADS];
	uint64_t sum = 0;

	for (size_t i = 0; i < THREADS; i++)
		writers[i] = (struct writer){ .given = kind == 1 ? malloc(16) : NULL, .rounds = rounds };
	threads_run(write_often, writers, sizeof *writers, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		sum += writers[i].sum;
	finish(sum);
}
