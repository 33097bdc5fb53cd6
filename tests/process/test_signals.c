/* test_signals.c - a handler that allocates big blocks interrupts a thread that is allocating
 * big blocks. Not promised by POSIX, but it works on the C library, so programs do it: it must
 * neither deadlock nor damage the heap, and free must leave errno alone.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <time.h>

#include "names.h"

#define MARK 4321
#define SECONDS_INTERRUPTED 1.5

static volatile sig_atomic_t handler_runs;

static void allocate_in_handler(int signal_number)
{
	int saved = errno;
	size_t size = (size_t)(2 + handler_runs % 7) * MIB + 12345;
	char *block = malloc(size);

	(void)signal_number;
	require(block != NULL, "no memory in the handler");
	memset(block, 'h', 100);
	block[size - 1] = 'h';
	errno = MARK + 1;
	free(block);
	require(errno == MARK + 1, "free in the handler changed errno to %d", errno);
	handler_runs++;
	errno = saved;
}

static void be_interrupted(const void *argument)
{
	struct sigaction action = { .sa_handler = allocate_in_handler };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec often = { { 0, 300000 }, { 0, 300000 } };
	timer_t timer;
	struct random_source random = { 11 };
	double end = seconds_now() + SECONDS_INTERRUPTED;
	struct {
		void *start;
		size_t size;
	} blocks[8] = { 0 };

	(void)argument;
	/* SIGALRM stays with run_in_child, which ends a deadlock by it. */
	sigaction(SIGUSR1, &action, NULL);
	require(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
	timer_settime(timer, 0, &often, NULL);
	while (seconds_now() < end) {
		size_t at = random_between(&random, 0, 7);

		if (blocks[at].start != NULL) {
			require(pattern_holds(blocks[at].start, blocks[at].size, blocks[at].size, at),
				"block was overwritten");
			errno = MARK;
			free(blocks[at].start);
			require(errno == MARK, "free changed errno to %d", errno);
		}
		blocks[at].size = random_size_of_kind(&random, KIND_BIG);
		blocks[at].start = malloc(blocks[at].size);
		require(blocks[at].start != NULL, "no memory");
		blocks[at].start = realloc(blocks[at].start, blocks[at].size += 3 * MIB);
		require(blocks[at].start != NULL, "no memory");
		fill_pattern(blocks[at].start, blocks[at].size, at);
	}
	timer_delete(timer);
	require(handler_runs > 20, "the handler ran only %d times", (int)handler_runs);
	for (size_t at = 0; at < 8; at++)
		free(blocks[at].start);
}

static void handlers_allocate_big_blocks(void **state)
{
	(void)state;
	run_in_child(be_interrupted, NULL, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(handlers_allocate_big_blocks) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
