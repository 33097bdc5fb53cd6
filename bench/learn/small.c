/* small.c - steady small blocks.
 *
 * Purpose: a settled program on which there is next to nothing to learn. Access: one thread
 * replaces blocks of 16 to 512 bytes at random in a table of 40,000 (about 4 MiB). Punishes: a
 * learner that costs time or memory where every setting is right, and one that takes the noise of
 * a good value for a reason to leave it. */
#include "learn.h"

enum {
	LIVE = 40000,
	STEPS = 55000000
};

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(course_live(&course, LIVE));
	course_phase(&course, "steady");
	table_churn(&course, &table, &dice, course_steps(&course, STEPS), 16, 512);
	table_end(&course, &table);
	course_end(&course);
}
