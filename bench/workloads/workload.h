/* workload.h - what every workload of the bench shares: its arguments, random numbers from a
 * fixed seed, blocks that are marked and checked, and threads. A workload prints one checksum,
 * which must be the same on every allocator, and aborts at the first wrong byte. */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include <inttypes.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Ends the program when `condition` does not hold. */
static inline void require(int condition, const char *what)
{
	if (!condition) {
		fprintf(stderr, "workload failed: %s\n", what);
		abort();
	}
}

/* `count` times the scale given as argument number `index` (1 if absent), at least 1. */
static inline size_t scaled(int argc, char **argv, int index, size_t count)
{
	double scale = argc > index ? strtod(argv[index], NULL) : 1.0;
	require(scale > 0, "the scale must be a positive number");
	double result = (double)count * scale;
	return result < 1 ? 1 : (size_t)result;
}

/* The place of the variant named by the first argument in the list `names`, which NULL ends. */
static inline size_t variant(int argc, char **argv, const char *const *names)
{
	for (size_t i = 0; argc > 1 && names[i] != NULL; i++)
		if (strcmp(argv[1], names[i]) == 0)
			return i;
	fprintf(stderr, "usage: %s VARIANT [SCALE]; VARIANT is one of:", argv[0]);
	for (size_t i = 0; names[i] != NULL; i++)
		fprintf(stderr, " %s", names[i]);
	fprintf(stderr, "\n");
	exit(2);
}

static inline void finish(uint64_t checksum)
{
	printf("%016" PRIx64 "\n", checksum);
}

/* ---- Random numbers ---------------------------------------------------------------- */

struct dice {
	uint64_t state; /* never 0 */
};

/* The next of a fixed sequence of 64-bit numbers (xorshift64*). */
static inline uint64_t dice_roll(struct dice *dice)
{
	dice->state ^= dice->state >> 12;
	dice->state ^= dice->state << 25;
	dice->state ^= dice->state >> 27;
	return dice->state * UINT64_C(2685821657736338717);
}

/* A number from 0 to limit - 1, each equally likely; limit below 2^32. */
static inline size_t dice_below(struct dice *dice, size_t limit)
{
	return (size_t)(((dice_roll(dice) >> 32) * limit) >> 32);
}

/* A size from low to high. Small ones are the most frequent, as in real programs: the sizes up
 * to each doubling of `low` are three quarters as likely as those before them. */
static inline size_t dice_size(struct dice *dice, size_t low, size_t high)
{
	uint64_t roll = dice_roll(dice);
	uint64_t span = (uint64_t)low << __builtin_ctzll((roll & roll >> 16) | UINT64_C(1) << 16);
	if (span > high - low + 1)
		span = high - low + 1;
	return low + (size_t)(((roll >> 32) * span) >> 32);
}

/* ---- Blocks ------------------------------------------------------------------------ */

/* Marks the first word and the last byte of a block of at least 9 bytes. */
static inline void block_mark(void *block, size_t size, uint64_t mark)
{
	require(block != NULL, "out of memory");
	memcpy(block, &mark, sizeof mark);
	((unsigned char *)block)[size - 1] = (unsigned char)size;
}

/* The mark of a block, whose last byte must still be as block_mark() left it. */
static inline uint64_t block_check(const void *block, size_t size)
{
	uint64_t mark;
	memcpy(&mark, block, sizeof mark);
	require(
		((const unsigned char *)block)[size - 1] == (unsigned char)size, "a block's last byte has changed");
	return mark;
}

/* Writes one word into every page of a block, as a program that fills its buffer would fault
 * them, without the time of filling drowning the allocator's. */
static inline void block_touch(void *block, size_t size)
{
	for (size_t offset = 0; offset + sizeof(size_t) <= size; offset += 4096)
		memcpy((char *)block + offset, &offset, sizeof offset);
}

/* ---- Threads ----------------------------------------------------------------------- */

enum {
	THREADS = 4
};

static inline void thread_start(pthread_t *thread, void *(*function)(void *), void *argument)
{
	require(pthread_create(thread, NULL, function, argument) == 0, "no thread");
}

static inline void thread_join(pthread_t thread)
{
	require(pthread_join(thread, NULL) == 0, "no join");
}

/* Runs `function` in `count` threads, each with its own element of `arguments`. */
static inline void threads_run(void *(*function)(void *), void *arguments, size_t size, size_t count)
{
	pthread_t threads[256];
	require(count <= 256, "at most 256 threads");
	for (size_t i = 0; i < count; i++)
		thread_start(&threads[i], function, (char *)arguments + i * size);
	for (size_t i = 0; i < count; i++)
		thread_join(threads[i]);
}

#endif
