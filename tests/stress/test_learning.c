/* test_learning.c - learning in a working process, with windows of a millisecond: threads that come and go, blocks of all
 * layers that change hands, policies published from outside and children of fork, all at once. Blocks keep their
 * contents and their usable size whatever is learned meanwhile; in children learning goes on.
 *
 * Run with HAKMEM_LEARN=1 HAKMEM_LEARN_WINDOW_MS=1, with and without HAKMEM_LEARN_THREAD=1.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#define WORKERS 4
#define LIVE 64
#define GENERATIONS 6 /* of workers, one after the other */
#define STEPS 4000    /* of a worker */
#define CHILDREN 6

struct held {
	void *start;
	size_t size, usable;
};

/* Where threads leave blocks for each other. */
static _Atomic(void *) exchange[16];
static atomic_bool done;
static atomic_uint at_work; /* workers of this generation that have begun */

static void give_up(struct held *held, size_t tag)
{
	if (held->start == NULL)
		return;
	require(pattern_holds(held->start, held->size, held->size, tag), "a block of %zu bytes was overwritten",
		held->size);
	require(malloc_usable_size(held->start) == held->usable, "a live block of %zu bytes has changed its usable size",
		held->size);
	free(held->start);
	held->start = NULL;
}

static void take(struct held *held, struct random_source *random, size_t tag)
{
	held->size = random_between(random, 0, 9) == 0 ? 4112 : random_size(random);
	held->start = malloc(held->size);
	require(held->start != NULL, "no memory");
	held->usable = malloc_usable_size(held->start);
	fill_pattern(held->start, held->size, tag);
}

static void churn(uint64_t seed, size_t steps)
{
	struct random_source random = { seed };
	struct held held[LIVE] = { 0 };

	for (size_t step = 0; step < steps; step++) {
		size_t at = random_between(&random, 0, LIVE - 1);

		give_up(&held[at], at);
		take(&held[at], &random, at);
		if (step % 8 == 0)
			free(atomic_exchange(&exchange[step / 8 % 16], malloc(random_size(&random) % 100000)));
	}
	for (size_t at = 0; at < LIVE; at++)
		give_up(&held[at], at);
}

static void *worker(void *argument)
{
	atomic_fetch_add(&at_work, 1);
	churn((uint64_t)(uintptr_t)argument, STEPS);
	return NULL;
}

/* Publishes by hand what a learner might, and reads what is in force. */
static void *publisher(void *unused)
{
	struct hkm_policy_values values = { .size = sizeof values };
	uint64_t generation = 0;

	for (uint32_t i = 0; !atomic_load(&done); i++) {
		require(hkm_policy_get(&values) == 0, "no policy");
		require(values.generation >= generation, "an older policy is in force");
		generation = values.generation;
		values.empty_slabs = i % 8;
		values.mid_dyn1 = i % 3 == 0 ? 4112 : 0;
		values.cache_blocks[i % HKM_POLICY_CLASSES_COUNT] = (uint16_t)i;
		require(hkm_policy_publish(&values) == 0, "not published");
		sleep_milliseconds(7);
	}
	return unused;
}

static void statistics_are_read(void)
{
	static char text[65536];

	require(hkm_stats_json(text, sizeof text) < sizeof text, "the statistics do not fit");
	require(strstr(text, "\"learning\":{\"state\":\"") != NULL, "no learning in: %s", text);
}

/* The number behind the member's name in the statistics. */
static unsigned long counted(const char *name)
{
	static char text[65536];
	char member[64];
	const char *found;

	hkm_stats_json(text, sizeof text);
	snprintf(member, sizeof member, "\"%s\":", name);
	found = strstr(strstr(text, "\"learning\""), member);
	require(found != NULL, "no %s", name);
	return strtoul(found + strlen(member), NULL, 10);
}

static void fork_child(uint64_t seed)
{
	int status = 0;
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		unsigned long windows = counted("windows");
		double end = seconds_now() + hang_seconds(20);

		/* Learning goes on here, or begins anew. */
		while (counted("windows") == windows && seconds_now() < end)
			churn(seed, 200);
		_exit(counted("windows") != windows ? 0 : 1);
	}
	require(waitpid(child, &status, 0) == child, "waitpid");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "a child ended with status %x", (unsigned)status);
}

static void everything_at_once(void **state)
{
	pthread_t workers[WORKERS], steering;

	(void)state;
	/* The process's first allocation installs the fork handlers; no thread may fork before. */
	free(malloc(1));
	require(pthread_create(&steering, NULL, publisher, NULL) == 0, "no thread");
	for (uintptr_t generation = 0; generation < GENERATIONS; generation++) {
		atomic_store(&at_work, 0);
		for (uintptr_t i = 0; i < WORKERS; i++)
			require(pthread_create(&workers[i], NULL, worker, (void *)(generation * WORKERS + i + 1)) == 0,
				"no thread");
		/* A thread that begins holds a lock of AddressSanitizer's, which a child would then wait for. */
		while (atomic_load(&at_work) < WORKERS)
			sleep_milliseconds(1);
		if (generation < CHILDREN)
			fork_child(1000 + generation);
		statistics_are_read();
		for (size_t i = 0; i < WORKERS; i++)
			pthread_join(workers[i], NULL);
	}
	atomic_store(&done, true);
	pthread_join(steering, NULL);
	require(counted("windows") > 10, "%lu windows", counted("windows"));
	require(counted("steps") >= counted("windows"), "%lu steps", counted("steps"));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(everything_at_once) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
