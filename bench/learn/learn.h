/* learn.h - what every workload of the learning bench shares, on top of workload.h: its three
 * arguments, a table of live blocks, and the lines it prints.
 *
 * Arguments: [SIZE [SECONDS [SEED]]]. SIZE multiplies what lives at once (1), SECONDS says how
 * long the run is to take (5), SEED chooses the random numbers (1). The work is fixed by the
 * three, not by the clock: each workload has a constant number of operations for a second, set
 * to fit the static default on the machine it was written on. So a faster setting ends sooner,
 * and the checksum is the same for every setting. An operation is a block allocated and freed.
 *
 * Output, one a line: `start MS` (monotonic clock), `phase NAME MS` (since the start, whenever
 * the kind of work changes), at the end `operations N`, `seconds S` and `checksum HEX`. */
#ifndef LEARN_H
#define LEARN_H

#include "workload.h"

#include <time.h>

struct course {
	double size, seconds;
	uint64_t seed;
	double start_ms;
	uint64_t operations;
	uint64_t sum; /* of the marks and sizes of all blocks freed: the checksum */
};

/* Milliseconds of the monotonic clock. */
static inline double clock_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

/* The positive number given as argument `index`, or `otherwise`. */
static inline double number(int argc, char **argv, int index, double otherwise)
{
	double value = argc > index ? strtod(argv[index], NULL) : otherwise;
	require(value > 0, "usage: [SIZE [SECONDS [SEED]]], each a positive number");
	return value;
}

static inline struct course course_start(int argc, char **argv)
{
	struct course course = {
		.size = number(argc, argv, 1, 1),
		.seconds = number(argc, argv, 2, 5),
		.seed = (uint64_t)number(argc, argv, 3, 1),
		.start_ms = clock_ms(),
	};
	printf("start %.3f\n", course.start_ms);
	return course;
}

/* Random numbers for the part or thread number `part` of the course. */
static inline struct dice course_dice(const struct course *course, uint64_t part)
{
	struct dice dice = { (course->seed * 1000 + part) * UINT64_C(0x9e3779b97f4a7c15) | 1 };
	dice_roll(&dice);
	return dice;
}

/* The steps that take the whole run when a second takes `per_second`; at least 1. */
static inline size_t course_steps(const struct course *course, double per_second)
{
	double steps = course->seconds * per_second;
	return steps < 1 ? 1 : (size_t)steps;
}

/* How many blocks live at once where size 1 has `count`; at least 1. */
static inline size_t course_live(const struct course *course, size_t count)
{
	double live = course->size * (double)count;
	return live < 1 ? 1 : (size_t)live;
}

/* From here on the program does another kind of work. */
static inline void course_phase(const struct course *course, const char *name)
{
	printf("phase %s %.3f\n", name, clock_ms() - course->start_ms);
}

static inline void course_end(const struct course *course)
{
	printf("operations %" PRIu64 "\nseconds %.6f\nchecksum ", course->operations,
		(clock_ms() - course->start_ms) / 1e3);
	finish(course->sum);
}

/* ---- A table of live blocks -------------------------------------------------------- */

struct slot {
	void *block;
	size_t size;
};

struct table {
	struct slot *slots;
	size_t count;
};

static inline struct table table_of(size_t count)
{
	struct table table = { calloc(count, sizeof *table.slots), count };
	require(table.slots != NULL, "out of memory");
	return table;
}

static inline void slot_free(struct course *course, struct slot *slot)
{
	if (slot->block != NULL) {
		course->sum += block_check(slot->block, slot->size) * 31 + slot->size;
		course->operations++;
		free(slot->block);
		slot->block = NULL;
	}
}

/* Fills an empty slot; a word of every page is written. */
static inline void slot_fill(struct slot *slot, size_t size, uint64_t mark)
{
	slot->size = size;
	slot->block = malloc(size);
	require(slot->block != NULL, "out of memory");
	block_touch(slot->block, size);
	block_mark(slot->block, size, mark);
}

static inline void slot_replace(struct course *course, struct slot *slot, size_t size, uint64_t mark)
{
	slot_free(course, slot);
	slot_fill(slot, size, mark);
}

/* `steps` times: a random block of the table makes place for one of `low` to `high` bytes. */
static inline void table_churn(
	struct course *course, struct table *table, struct dice *dice, size_t steps, size_t low, size_t high)
{
	for (size_t step = 0; step < steps; step++) {
		struct slot *slot = &table->slots[dice_below(dice, table->count)];
		slot_replace(course, slot, dice_size(dice, low, high), step);
	}
}

/* Frees what lives in the table; it can be filled again. */
static inline void table_empty(struct course *course, struct table *table)
{
	for (size_t i = 0; i < table->count; i++)
		slot_free(course, &table->slots[i]);
}

static inline void table_end(struct course *course, struct table *table)
{
	table_empty(course, table);
	free(table->slots);
}

/* `rounds` times: the whole table is filled with blocks of `low` to `high` bytes, all live at
 * once, and emptied again. */
static inline void table_rounds(
	struct course *course, struct table *table, struct dice *dice, size_t rounds, size_t low, size_t high)
{
	for (size_t round = 0; round < rounds; round++) {
		for (size_t i = 0; i < table->count; i++)
			slot_fill(&table->slots[i], dice_size(dice, low, high), round + i);
		table_empty(course, table);
	}
}

#endif
