/* mid.c - steady middle-sized blocks.
 *
 * Purpose: thread caches that are too small or too large. Access: one thread replaces blocks of
 * 1 to 32 KiB at random in a table of 4,000 (about 20 MiB), and every 64 steps allocates and
 * frees 24 blocks of 16 to 32 KiB at once, which overflow a small cache. Punishes: caches of
 * 64 KiB for classes that come in bursts of more, and caches that are large for classes that do
 * not need it. */
#include "learn.h"

enum {
	LIVE = 4000,
	BURST = 24,
	BETWEEN = 64,
	ROUNDS = 105000
};

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(course_live(&course, LIVE));
	struct table burst = table_of(BURST);
	course_phase(&course, "steady");
	for (size_t rounds = course_steps(&course, ROUNDS); rounds > 0; rounds--) {
		table_churn(&course, &table, &dice, BETWEEN, 1024, 32768);
		table_rounds(&course, &burst, &dice, 1, 16384, 32768);
	}
	table_end(&course, &burst);
	table_end(&course, &table);
	course_end(&course);
}
