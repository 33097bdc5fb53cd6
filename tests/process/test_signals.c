/* test_signals.c - a handler that allocates, or forks, interrupts a thread that is allocating.
 * Not promised by POSIX (but fork was, up to 2017), yet it works on the C library, so programs do
 * it: it must neither deadlock nor damage the heap, and free must leave errno alone.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "names.h"

#define MARK 4321
#define INTERRUPTIONS 2000 /* by handlers that allocate */
#define FORKS 300          /* by handlers that fork */
#define JUMPS 2000         /* by handlers that do not return */

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

/* Has `handler` run every so many nanoseconds; SIGALRM stays with run_in_child, which ends a
 * deadlock by it. */
static timer_t interrupt(void (*handler)(int), long nanoseconds)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = SA_RESTART };
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	struct itimerspec often = { { 0, nanoseconds }, { 0, nanoseconds } };
	timer_t timer;

	sigaction(SIGUSR1, &action, NULL);
	require(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
	timer_settime(timer, 0, &often, NULL);
	return timer;
}

static void be_interrupted(const void *argument)
{
	struct random_source random = { 11 };
	struct {
		void *start;
		size_t size;
	} blocks[8] = { 0 };

	(void)argument;
	timer_t timer = interrupt(allocate_in_handler, 300000);

	while (handler_runs < INTERRUPTIONS) {
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
	for (size_t at = 0; at < 8; at++)
		free(blocks[at].start);
}

static void handlers_allocate_big_blocks(void **state)
{
	(void)state;
	run_in_child(be_interrupted, NULL, 15);
}

/* ---- Locks that are taken outside of a slow path of the thread's own heap ---------------------- */

#define ENOUGH_SPANS 24

/* More blocks than are cached, so that some come from the spans. */
static void allocate_spans_in_handler(int signal_number)
{
	void *blocks[ENOUGH_SPANS];

	(void)signal_number;
	for (size_t i = 0; i < ENOUGH_SPANS; i++)
		blocks[i] = malloc(100000 + i * 40000);
	for (size_t i = 0; i < ENOUGH_SPANS; i++)
		free(blocks[i]);
	handler_runs++;
}

static void resize_in_place(const void *argument)
{
	char *block = malloc(100000);
	timer_t timer = interrupt(allocate_spans_in_handler, 200000);

	(void)argument;
	while (handler_runs < INTERRUPTIONS)
		for (size_t i = 0; i < 2000; i++)
			block = realloc(block, i % 2 == 0 ? 1000000 : 100000);
	timer_delete(timer);
	free(block);
}

static void handlers_allocate_during_realloc(void **state)
{
	(void)state;
	run_in_child(resize_in_place, NULL, 15);
}

static void fork_in_handler(int signal_number)
{
	(void)signal_number;
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
	handler_runs++;
}

static void be_forked(const void *argument)
{
	static void *blocks[4096];
	struct random_source random = { 5 };
	timer_t timer = interrupt(fork_in_handler, 1000000);

	(void)argument;
	while (handler_runs < FORKS)
		for (size_t i = 0; i < 4096; i++) {
			size_t at = random_between(&random, 0, 4095);

			free(blocks[at]);
			blocks[at] = malloc(random_between(&random, 16, 3000));
		}
	timer_delete(timer);
	for (size_t i = 0; i < 4096; i++)
		free(blocks[i]);
}

static void handlers_fork(void **state)
{
	(void)state;
	run_in_child(be_forked, NULL, 20);
}

/* ---- Handlers that do not return --------------------------------------------------------------- */

static sigjmp_buf way_out;
static volatile sig_atomic_t may_jump;

#define FAST_PATH_BYTES 256u /* code of malloc, or of free, without the slow paths that it calls */

static bool is_within(void *(*function)(size_t), void (*other)(void *), const ucontext_t *context)
{
#ifdef __x86_64__
	uintptr_t at = (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#else
	uintptr_t at = (uintptr_t)context->uc_mcontext.pc;
#endif

	return at - (uintptr_t)function < FAST_PATH_BYTES || at - (uintptr_t)other < FAST_PATH_BYTES;
}

/* Not out of a fast path: a list may then be one block off, which the debug build would find. */
static void jump_out(int signal_number, siginfo_t *info, void *context)
{
	(void)info;
	if (!may_jump || is_within(malloc, free, context))
		return;
	may_jump = 0;
	handler_runs++;
	siglongjmp(way_out, signal_number);
}

/* Whatever a call was doing when it was left: the next one has memory. What was left behind may be lost. */
static void be_jumped_out_of(const void *argument)
{
	static void *blocks[2000];
	static struct random_source random = { 3 };
	struct sigaction action = { .sa_sigaction = jump_out, .sa_flags = SA_RESTART | SA_SIGINFO };
	timer_t timer = interrupt(SIG_IGN, 500000);

	(void)argument;
	sigaction(SIGUSR1, &action, NULL);
	sigsetjmp(way_out, 1);
	while (handler_runs < JUMPS) {
		size_t at = random_between(&random, 0, 1999);
		void *block = blocks[at];

		may_jump = 1;
		blocks[at] = NULL;
		free(block);
		block = malloc(random_between(&random, 1, at % 2 == 0 ? 1000 : 12000));
		blocks[at] = block;
		may_jump = 0;
		require(block != NULL, "no memory after %d jumps", (int)handler_runs);
		*(char *)block = 1;
	}
	timer_delete(timer);
}

static void handlers_jump_out_of_calls(void **state)
{
	(void)state;
	run_in_child(be_jumped_out_of, NULL, 15);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handlers_allocate_big_blocks),
		cmocka_unit_test(handlers_allocate_during_realloc),
		cmocka_unit_test(handlers_fork),
		cmocka_unit_test(handlers_jump_out_of_calls),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
