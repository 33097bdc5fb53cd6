/* noise.c - work that changes faster than anyone can learn it.
 *
 * Purpose: the adversary of a learner. Access: one thread; pieces of some 30 ms follow each other,
 * each of a kind drawn at random: small blocks, rounds of middle-sized ones, odd sizes drawn anew
 * each time, a burst of large ones, a round of big buffers, or a heap that grows and goes. No
 * piece says anything of the next, and a window of 100 ms sees three or four of them. Punishes:
 * a learner that follows the last window, that takes chance for evidence, or that pays for trials
 * without end. */
#include "learn.h"

enum {
	PIECES = 33, /* a second */
	KINDS = 6
};

static size_t live_count(struct course *course, struct dice *dice, size_t most)
{
	return 1 + dice_below(dice, course_live(course, most));
}

/* One piece; `part` of the usual work is done. */
static void piece(struct course *course, struct table *steady, struct dice *dice, double part)
{
	/* Per kind: blocks at once, smallest, largest, and the bytes or steps that take about 30 ms. */
	static const struct {
		size_t live, low, high, rounds;
	} kinds[KINDS] = {
		{ 0, 16, 512, 2500000 },
		{ 200, 1024, 32768, 5000 },
		{ 300, 0, 0, 1800 },
		{ 100, 65536, 524288, 180 },
		{ 4, 3 << 20, 24 << 20, 80 },
		{ 60000, 16, 2048, 16 },
	};
	size_t kind = dice_below(dice, KINDS);
	size_t low = kinds[kind].low, high = kinds[kind].high;
	size_t rounds = (size_t)((double)kinds[kind].rounds * part) + 1;
	if (kinds[kind].live == 0) {
		table_churn(course, steady, dice, rounds, low, high);
		return;
	}
	if (low == 0)
		low = high = 1040 + 16 * dice_below(dice, 2500);
	struct table table = table_of(live_count(course, dice, kinds[kind].live));
	table_rounds(course, &table, dice, rounds, low, high);
	table_end(course, &table);
}

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table steady = table_of(course_live(&course, 20000));
	double pieces = course.seconds * PIECES;
	course_phase(&course, "noise");
	for (; pieces > 0; pieces -= 1)
		piece(&course, &steady, &dice, pieces < 1 ? pieces : 1);
	table_end(&course, &steady);
	course_end(&course);
}
