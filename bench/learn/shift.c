/* shift.c - the kind of work changes every few seconds.
 *
 * Purpose: the workload on which no constant can be right. Access: one thread goes through
 * phases of equal work, two seconds each in a run of twelve (always six or more): small (blocks of
 * 16 to 512 bytes replaced in a table of 40,000), mid (rounds of 96 blocks of 4 to 32 KiB, all
 * live, then all freed), big (rounds of 6 buffers of 3 to 48 MiB), and again from the start. What
 * a phase leaves behind is of no use to the next. Punishes: any one setting of how much to keep
 * and for how long, and a learner that forgets, or that does not notice the shift. */
#include "learn.h"

enum {
	SMALL_LIVE = 40000,
	SMALL_STEPS = 60000000,
	MID_LIVE = 96,
	MID_ROUNDS = 160000,
	BIG_LIVE = 6,
	BIG_ROUNDS = 2000,
	LEAST_PHASES = 6
};

static const double PHASE_SECONDS = 2;

static void small(struct course *course, struct dice *dice, double seconds)
{
	struct table table = table_of(course_live(course, SMALL_LIVE));
	table_churn(course, &table, dice, (size_t)(seconds * SMALL_STEPS) + 1, 16, 512);
	table_end(course, &table);
}

static void mid(struct course *course, struct dice *dice, double seconds)
{
	struct table table = table_of(course_live(course, MID_LIVE));
	table_rounds(course, &table, dice, (size_t)(seconds * MID_ROUNDS) + 1, 4096, 32768);
	table_end(course, &table);
}

static void big(struct course *course, struct dice *dice, double seconds)
{
	struct table table = table_of(course_live(course, BIG_LIVE));
	table_rounds(course, &table, dice, (size_t)(seconds * BIG_ROUNDS) + 1, (size_t)3 << 20, (size_t)48 << 20);
	table_end(course, &table);
}

int main(int argc, char **argv)
{
	static const struct {
		const char *name;
		void (*work)(struct course *, struct dice *, double);
	} kinds[] = { { "small", small }, { "mid", mid }, { "big", big } };
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	size_t phases = (size_t)(course.seconds / PHASE_SECONDS);
	if (phases < LEAST_PHASES)
		phases = LEAST_PHASES;

	for (size_t i = 0; i < phases; i++) {
		course_phase(&course, kinds[i % 3].name);
		kinds[i % 3].work(&course, &dice, course.seconds / (double)phases);
	}
	course_end(&course);
}
