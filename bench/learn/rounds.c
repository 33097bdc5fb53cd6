/* rounds.c - big buffers, allocated and freed in rounds.
 *
 * Purpose: the cache of freed mappings, and huge pages. Access: one thread, rounds of 8 buffers
 * of 3 to 64 MiB, all live at once, then all freed. A word of every page is written. Punishes:
 * a map and unmap with all page faults in every round, pages of 4 KiB where larger ones can be
 * had, and keeping more than the next round asks for. */
#include "learn.h"

enum {
	LIVE = 8,
	ROUNDS = 3000,
	LOW = 3 << 20,
	HIGH = 64 << 20
};

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct dice dice = course_dice(&course, 0);
	struct table table = table_of(course_live(&course, LIVE));
	course_phase(&course, "steady");
	table_rounds(&course, &table, &dice, course_steps(&course, ROUNDS), LOW, HIGH);
	table_end(&course, &table);
	course_end(&course);
}
