/* spikes.c - a quiet program with a spike every quarter of a second.
 *
 * Purpose: how long to keep what a spike leaves. Access: one thread replaces blocks of 16 bytes
 * to 4 KiB at random in a table of 5,000; twenty times in five seconds it allocates 3,000 blocks
 * of 512 bytes to 64 KiB (about 20 MiB), all live at once, and frees them. The distance of the
 * spikes is a little more than the default purge delay. Punishes: giving back just before the
 * next spike, so that both the giving back and the faults are paid each time, and keeping for ever. */
#include "learn.h"

enum {
	LIVE = 5000,
	SPIKE = 3000,
	STEPS = 13000000 /* between two spikes */
};

static const double SPIKES = 4; /* a second */

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(LIVE);
	struct table spike = table_of(course_live(&course, SPIKE));
	double spikes = course.seconds * SPIKES;
	course_phase(&course, "steady");
	for (; spikes > 0; spikes -= 1) {
		double part = spikes < 1 ? spikes : 1;
		table_churn(&course, &table, &dice, (size_t)(part * STEPS) + 1, 16, 4096);
		table_rounds(&course, &spike, &dice, 1, 512, 65536);
	}
	table_end(&course, &spike);
	table_end(&course, &table);
	course_end(&course);
}
