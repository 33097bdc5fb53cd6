/* growth.c - growth, then a plateau, four times over.
 *
 * Purpose: page faults while a heap grows, and what is kept after it has gone. Access: four
 * times: 32,000 blocks of 16 bytes to 16 KiB are allocated and stay (about 260 MiB), a word of
 * every page written (growth); then random blocks among them are replaced by others of their own
 * size (plateau); then all but 1 in 20 are freed. Punishes: pages faulted in one by one where a
 * huge page or many at once can be had, memory kept too short for the next growth or too long
 * beside the survivors, and huge pages on sparse memory. */
#include "learn.h"

enum {
	LIVE = 32000,
	GENERATIONS = 4,
	STEPS = 6000000,
	LOW = 16,
	HIGH = 16384
};

static void grow(struct table *table, struct dice *dice)
{
	for (size_t i = 0; i < table->count; i++) {
		struct slot *slot = &table->slots[i];
		if (slot->block == NULL)
			slot_fill(slot, LOW + dice_below(dice, HIGH - LOW), i);
	}
}

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(course_live(&course, LIVE));
	size_t steps = course_steps(&course, STEPS) / GENERATIONS;

	for (size_t generation = 0; generation < GENERATIONS; generation++) {
		course_phase(&course, "growth");
		grow(&table, &dice);
		course_phase(&course, "plateau");
		for (size_t step = 0; step < steps; step++) {
			struct slot *slot = &table.slots[dice_below(&dice, table.count)];
			slot_replace(&course, slot, slot->size, step);
		}
		for (size_t i = 0; i < table.count; i++)
			if (dice_below(&dice, 20) != 0)
				slot_free(&course, &table.slots[i]);
	}
	table_end(&course, &table);
	course_end(&course);
}
