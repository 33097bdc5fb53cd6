/* bursts.c - large blocks, some of them in bursts.
 *
 * Purpose: how much of the Large classes to keep. Access: one thread replaces blocks of 64 KiB to
 * 1 MiB at random in a table of 32; every 256 steps it allocates a burst of 160 blocks of 64 to
 * 256 KiB (about 20 MiB), all live at once, and frees them. A word of every page is written.
 * Punishes: caches that hold the steady part only, so that every burst faults its pages in anew,
 * and caches sized for the burst in classes that never see it. */
#include "learn.h"

enum {
	LIVE = 32,
	BURST = 160,
	BETWEEN = 256,
	ROUNDS = 4000
};

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(LIVE);
	struct table burst = table_of(course_live(&course, BURST));
	course_phase(&course, "steady");
	for (size_t rounds = course_steps(&course, ROUNDS); rounds > 0; rounds--) {
		table_churn(&course, &table, &dice, BETWEEN, 65536, 1048576);
		table_rounds(&course, &burst, &dice, 1, 65536, 262144);
	}
	table_end(&course, &burst);
	table_end(&course, &table);
	course_end(&course);
}
