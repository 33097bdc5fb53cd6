/* threads.c - many threads that live for a moment.
 *
 * Purpose: what a thread's caches are worth when it has no time to fill them. Access: 4 threads
 * at a time, thousands in all; each allocates 120 blocks of 16 bytes to 16 KiB, frees them and
 * ends. Punishes: caches that are filled for a thread that will not come back for them, memory
 * not handed on from the dead to the living, and a learner that counts on long-lived threads. */
#include "learn.h"

enum {
	LIVE = 120,
	ROUNDS = 6500
};

struct life {
	struct course course;
	struct dice dice;
	size_t blocks;
};

static void *live(void *argument)
{
	struct life *life = argument;
	struct table table = table_of(life->blocks);
	table_rounds(&life->course, &table, &life->dice, 1, 16, 16384);
	table_end(&life->course, &table);
	return NULL;
}

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	struct life lives[THREADS];
	for (size_t i = 0; i < THREADS; i++)
		lives[i] = (struct life){ { 0 }, course_dice(&course, i), course_live(&course, LIVE) };
	course_phase(&course, "steady");
	for (size_t rounds = course_steps(&course, ROUNDS); rounds > 0; rounds--)
		threads_run(live, lives, sizeof *lives, THREADS);
	for (size_t i = 0; i < THREADS; i++) {
		course.operations += lives[i].course.operations;
		course.sum += lives[i].course.sum;
	}
	course_end(&course);
}
