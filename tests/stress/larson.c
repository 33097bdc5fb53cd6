/* larson.c - threads that inherit each other's blocks and die.
 *
 *   larson --runs COUNT [SEED]     COUNT processes, one after the other; exit status 0 if none fails
 *   larson --once SEED             one run
 *
 * A run has four lanes. The thread of a lane replaces random blocks of the lane's table, hands
 * the table to a thread that it starts, and ends; after some generations the lane is done. Now
 * and then two lanes swap a block, so that a block's owner may be alive, dead, or elsewhere.
 * Every block carries a pattern that is checked when it is freed.
 */
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#define LANES 4
#define GENERATIONS 10
#define TABLE 400        /* blocks of a lane */
#define REPLACEMENTS 1000 /* per generation */
#define MEETINGS 64      /* places where lanes swap blocks */

struct entry {
	void *start;
	size_t size;
};

struct lane {
	struct random_source random;
	int generation;
	struct entry table[TABLE];
};

static struct lane lanes[LANES];
static struct entry meetings[MEETINGS];
static pthread_mutex_t meeting_lock = PTHREAD_MUTEX_INITIALIZER;
static sem_t lanes_done;

static void release(struct entry *entry)
{
	if (entry->start == NULL)
		return;
	require(pattern_holds(entry->start, entry->size, entry->size,
			block_seed(entry->start, entry->size)),
		"block %p of %zu bytes was overwritten", entry->start, entry->size);
	free(entry->start);
	entry->start = NULL;
}

static void replace(struct lane *lane, struct entry *entry)
{
	size_t size = random_between(&lane->random, 0, 99) < 97 ?
		random_between(&lane->random, 8, 1000) : random_between(&lane->random, 1001, 60000);

	release(entry);
	entry->start = malloc(size);
	entry->size = size;
	require(entry->start != NULL, "no memory for %zu bytes", size);
	fill_pattern(entry->start, size, block_seed(entry->start, size));
}

static void swap(struct lane *lane, struct entry *entry)
{
	struct entry *meeting = &meetings[random_between(&lane->random, 0, MEETINGS - 1)];
	struct entry mine = *entry;

	pthread_mutex_lock(&meeting_lock);
	*entry = *meeting;
	*meeting = mine;
	pthread_mutex_unlock(&meeting_lock);
}

static void *generation(void *argument)
{
	struct lane *lane = argument;
	pthread_t heir;

	for (int i = 0; i < REPLACEMENTS; i++) {
		struct entry *entry = &lane->table[random_between(&lane->random, 0, TABLE - 1)];

		if (i % 16 == 0)
			swap(lane, entry);
		else
			replace(lane, entry);
	}
	if (++lane->generation < GENERATIONS) {
		int error = pthread_create(&heir, NULL, generation, lane);

		require(error == 0, "pthread_create: %s", strerror(error));
		pthread_detach(heir);
	} else {
		sem_post(&lanes_done);
	}
	return NULL;
}

static int run_once(uint64_t seed)
{
	alarm(hang_seconds(30)); /* a run that hangs is a failure */
	sem_init(&lanes_done, 0, 0);
	for (size_t i = 0; i < LANES; i++) {
		pthread_t first;

		lanes[i].random.state = mix_bits(seed * LANES + i);
		require(pthread_create(&first, NULL, generation, &lanes[i]) == 0, "pthread_create");
		pthread_detach(first);
	}
	for (size_t i = 0; i < LANES; i++)
		while (sem_wait(&lanes_done) != 0)
			require(errno == EINTR, "sem_wait");
	for (size_t i = 0; i < LANES; i++)
		for (size_t k = 0; k < TABLE; k++)
			release(&lanes[i].table[k]);
	for (size_t i = 0; i < MEETINGS; i++)
		release(&meetings[i]);
	return 0;
}

static int run_many(char *program, unsigned long runs, uint64_t seed)
{
	unsigned long failures = 0;

	for (unsigned long i = 0; i < runs; i++) {
		char text[32];
		char *arguments[] = { program, (char[]){ "--once" }, text, NULL };
		pid_t child;
		int status = 0;

		snprintf(text, sizeof text, "%llu", (unsigned long long)(seed + i));
		require(posix_spawn(&child, "/proc/self/exe", NULL, NULL, arguments, environ) == 0,
			"posix_spawn");
		require(waitpid(child, &status, 0) == child, "waitpid");
		if (status != 0) {
			failures++;
			printf("run with seed %s failed: %s %d\n", text,
				WIFSIGNALED(status) ? "signal" : "exit status",
				WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
		}
	}
	printf("%lu of %lu runs failed\n", failures, runs);
	return failures > 0;
}

int main(int argument_count, char **arguments)
{
	if (argument_count == 3 && strcmp(arguments[1], "--once") == 0)
		return run_once(strtoull(arguments[2], NULL, 10));
	if (argument_count >= 3 && strcmp(arguments[1], "--runs") == 0)
		return run_many(arguments[0], strtoul(arguments[2], NULL, 10),
			argument_count > 3 ? strtoull(arguments[3], NULL, 10) : 1);
	fprintf(stderr, "usage: larson --runs COUNT [SEED] | --once SEED\n");
	return 2;
}
