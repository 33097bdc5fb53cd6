/* odd.c - a few sizes that lie just above a size class.
 *
 * Purpose: the dynamic classes. Access: one thread replaces blocks at random in a table of
 * 12,000 (about 80 MiB): by count, 737 of 1,000 are of 4,112 bytes, 246 of 12,304 and 17 of
 * 40,976 (40 KiB + 16), so that the first two have 45 % of the bytes each. A word of every page is
 * written. Punishes: static classes, which round the three up to 5,120, 14,336 and 49,152 bytes,
 * and dynamic ones that are placed late, wrongly, or moved back and forth. */
#include "learn.h"

enum {
	LIVE = 12000,
	STEPS = 12000000
};

static size_t odd_size(struct dice *dice)
{
	size_t roll = dice_below(dice, 1000);
	if (roll < 737)
		return 4112;
	return roll < 983 ? 12304 : 40976;
}

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(course_live(&course, LIVE));
	course_phase(&course, "steady");
	for (size_t step = course_steps(&course, STEPS); step > 0; step--) {
		struct slot *slot = &table.slots[dice_below(&dice, table.count)];
		slot_replace(&course, slot, odd_size(&dice), step);
	}
	table_end(&course, &table);
	course_end(&course);
}
