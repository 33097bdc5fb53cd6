/* test_fork.c - fork from a program whose other threads are allocating, in parent and child;
 * and the other ways to start a process.
 *
 *   test_fork [FORKS]      default 40
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#define CHILD_SECONDS 20 /* see hang_seconds */
#define BUSY_THREADS 3
#define GIFTS 200        /* blocks that each busy thread allocates for the children to free */

static void churn(struct random_source *random, size_t steps)
{
	struct {
		void *start;
		size_t size;
	} blocks[64] = { 0 };

	for (size_t i = 0; i < steps; i++) {
		size_t at = random_between(random, 0, 63);

		if (blocks[at].start != NULL) {
			require(pattern_holds(blocks[at].start, blocks[at].size, blocks[at].size, at),
				"block was overwritten");
			free(blocks[at].start);
		}
		blocks[at].size = random_size(random);
		blocks[at].start = malloc(blocks[at].size);
		require(blocks[at].start != NULL, "no memory");
		fill_pattern(blocks[at].start, blocks[at].size, at);
	}
	for (size_t at = 0; at < 64; at++)
		free(blocks[at].start);
}

static void wait_for(pid_t child)
{
	int status = 0;

	while (waitpid(child, &status, 0) < 0)
		require(errno == EINTR, "waitpid: %s", strerror(errno));
	require(!WIFSIGNALED(status), "child ended by signal %d%s", WTERMSIG(status),
		WTERMSIG(status) == SIGALRM ? " (it hung)" : "");
	require(WEXITSTATUS(status) == 0, "child ended with status %d", WEXITSTATUS(status));
}

/* ---- Before the first call -------------------------------------------------------- */

#if defined HAKMEM_TEST_API && !defined HAKMEM_TEST_SANITIZED
#define FIRST_CALL /* ThreadSanitizer has a pthread_once of its own, which waits for threads that do not exist in a child */
static atomic_bool calling, called;

static void *call_first(void *argument)
{
	atomic_store(&calling, true);
	free(malloc(100));
	atomic_store(&called, true);
	return argument;
}

/* In a process that has not called the allocator yet: one thread does, and another forks after `spins`. */
static void fork_during_first_call(unsigned spins)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, call_first, NULL) == 0, "pthread_create");
	pthread_detach(thread); /* the child has no such thread to join */
	while (!atomic_load(&calling))
		;
	for (unsigned i = 0; i < spins; i++)
		atomic_load(&calling);
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		alarm(hang_seconds(CHILD_SECONDS));
		free(malloc(100));
		_exit(0);
	}
	wait_for(child);
	while (!atomic_load(&called))
		;
	_exit(0);
}

/* Has to be the first test. */
static void fork_during_the_first_call(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 200; i++) {
		pid_t child = fork();

		assert_true(child >= 0);
		if (child == 0)
			fork_during_first_call(i * 200);
		wait_for(child);
	}
}
#endif

/* ---- Under load ------------------------------------------------------------------- */

static uint64_t forks = 40;
static atomic_bool stop;
static void *gifts[BUSY_THREADS][GIFTS];
static pthread_barrier_t gifts_ready;

static void *be_busy(void *argument)
{
	size_t number = (size_t)(uintptr_t)argument;
	struct random_source random = { number };

	for (size_t i = 0; i < GIFTS; i++) {
		gifts[number][i] = malloc(16 + i * i % 3000);
		require(gifts[number][i] != NULL, "no memory");
	}
	pthread_barrier_wait(&gifts_ready);
	while (!atomic_load(&stop))
		churn(&random, 50);
	return NULL;
}

#ifndef HAKMEM_TEST_SANITIZED
static void *churn_in_thread(void *argument)
{
	churn(argument, 50);
	return NULL;
}
#endif

/* The life of a child, which ends the process. Result in a grandchild: true, and it is to live
 * this life too. */
static bool live_as_child(uint64_t seed, bool is_parent)
{
	struct random_source random = { seed };

	alarm(hang_seconds(CHILD_SECONDS));
	churn(&random, 80);
	/* These belong to threads that do not exist here. */
	for (size_t i = 0; i < GIFTS; i++)
		free(gifts[seed % BUSY_THREADS][i]);
	memset(gifts[seed % BUSY_THREADS], 0, sizeof gifts[0]);
	if (seed % 5 == 0)
		malloc_trim(0);
	churn(&random, 40);
#ifndef HAKMEM_TEST_SANITIZED
	/* The sanitizers cannot start threads in the child of a process with threads. */
	pthread_t thread;

	require(pthread_create(&thread, NULL, churn_in_thread, &random) == 0, "pthread_create");
	pthread_join(thread, NULL);
#endif
	if (is_parent) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0)
			return true;
		churn(&random, 100);
		wait_for(child);
	}
	_exit(0);
}

static void live_as_family(uint64_t seed, int generations)
{
	while (live_as_child(seed, generations > 0)) {
		seed++;
		generations--;
	}
}

static void fork_while_others_allocate(void **state)
{
	pthread_t threads[BUSY_THREADS];
	struct random_source random = { 99 };

	(void)state;
	atomic_store(&stop, false);
	pthread_barrier_init(&gifts_ready, NULL, BUSY_THREADS + 1);
	for (size_t i = 0; i < BUSY_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, be_busy, (void *)(uintptr_t)i), 0);
	pthread_barrier_wait(&gifts_ready);
	for (uint64_t i = 0; i < forks; i++) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0)
			live_as_family(i, i % 10 == 0 ? 2 : 0);
		churn(&random, 20);
		wait_for(child);
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < BUSY_THREADS; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < BUSY_THREADS; i++)
		for (size_t k = 0; k < GIFTS; k++)
			free(gifts[i][k]);
	memset(gifts, 0, sizeof gifts);
}

/* ---- Handlers of fork -------------------------------------------------------------- */

static atomic_uint forks_done;

static void *fork_again_and_again(void *argument)
{
	while (!atomic_load(&stop)) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0)
			_exit(0);
		atomic_fetch_add(&forks_done, 1);
		wait_for(child);
	}
	return argument;
}

/* The C library allocates under its lock on the list of handlers when that is full, which it is six times here. */
static void register_handlers(void)
{
	pthread_t threads[4];

	alarm(hang_seconds(CHILD_SECONDS));
	for (size_t i = 0; i < 4; i++)
		require(pthread_create(&threads[i], NULL, fork_again_and_again, NULL) == 0, "pthread_create");
	for (unsigned i = 0; i < 400; i++) {
		unsigned before = atomic_load(&forks_done);

		require(pthread_atfork(NULL, NULL, NULL) == 0, "pthread_atfork");
		while (i % 8 == 0 && atomic_load(&forks_done) == before)
			sched_yield();
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

static void handlers_are_registered_while_others_fork(void **state)
{
	const char *preloaded = getenv("LD_PRELOAD");

	(void)state;
	if (preloaded == NULL || strstr(preloaded, "libhakmem") == NULL) /* see docs/ARCHITECTURE.md, Fork */
		skip();
	for (unsigned i = 0; i < 30; i++) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0) {
			atomic_store(&stop, false);
			register_handlers();
			_exit(0);
		}
		wait_for(child);
	}
}

/* ---- Among the C library's own locks ---------------------------------------------- */

#ifndef HAKMEM_TEST_API
/* getline allocates while it holds the file; fflush(NULL) waits for the file with the list of all files held, which fork
 * wants, too. */
static void *read_lines(void *argument)
{
	while (!atomic_load(&stop)) {
		char *line = NULL;
		size_t size = 0;

		rewind(argument);
		while (getline(&line, &size, argument) > 0) {
			free(line);
			line = NULL;
			size = 0;
		}
		free(line);
	}
	return NULL;
}

static void *flush_all(void *argument)
{
	while (!atomic_load(&stop))
		fflush(NULL);
	return argument;
}

static void fork_among_open_files(void **state)
{
	pthread_t threads[2];
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	for (int i = 0; i < 2000; i++)
		fprintf(file, "%*d\n", 1 + i % 700, i);
	fflush(file);
	atomic_store(&stop, false);
	assert_int_equal(pthread_create(&threads[0], NULL, read_lines, file), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, flush_all, NULL), 0);
	alarm(hang_seconds(CHILD_SECONDS));
	for (int i = 0; i < 300; i++) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0)
			_exit(0);
		wait_for(child);
	}
	alarm(0);
	atomic_store(&stop, true);
	for (size_t i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	fclose(file);
}
#endif

static void *fork_often(void *argument)
{
	struct random_source random = { (uint64_t)(uintptr_t)argument };

	for (uint64_t i = 0; i < forks / 5; i++) {
		pid_t child = fork();

		require(child >= 0, "fork");
		if (child == 0) {
			alarm(hang_seconds(CHILD_SECONDS));
			churn(&random, 100);
			_exit(0);
		}
		churn(&random, 50);
		wait_for(child);
	}
	return NULL;
}

static void several_threads_fork(void **state)
{
	pthread_t threads[3];

	(void)state;
	for (size_t i = 0; i < 3; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, fork_often, (void *)(uintptr_t)(i + 1)), 0);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

/* ---- Other ways to start a process ------------------------------------------------ */

static void vfork_and_exec(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) {
		void *block = malloc(1000);
		pid_t child = vfork();

		assert_true(child >= 0);
		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(127);
		}
		wait_for(child);
		free(block);
	}
}

static void spawn_system_and_popen(void **state)
{
	char *const arguments[] = { (char[]){ "true" }, NULL };
	char line[64] = "";
	pid_t child;
	FILE *pipe;

	(void)state;
	for (int i = 0; i < 20; i++) {
		assert_int_equal(posix_spawn(&child, "/bin/true", NULL, NULL, arguments, environ), 0);
		wait_for(child);
	}
	assert_int_equal(system("exit 3"), 3 << 8);
	pipe = popen("printf 'from the child'", "r");
	assert_non_null(pipe);
	assert_non_null(fgets(line, sizeof line, pipe));
	assert_string_equal(line, "from the child");
	assert_int_equal(pclose(pipe), 0);
}

static void daemon_goes_on_allocating(void **state)
{
	struct random_source random = { 5 };
	int ends[2];
	char answer = 0;
	pid_t child;

	(void)state;
	assert_int_equal(pipe(ends), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		alarm(hang_seconds(CHILD_SECONDS));
		require(daemon(1, 1) == 0, "daemon");
		alarm(hang_seconds(CHILD_SECONDS));
		churn(&random, 500);
		_exit(write(ends[1], "y", 1) == 1 ? 0 : 1);
	}
	close(ends[1]);
	wait_for(child);
	assert_int_equal(read(ends[0], &answer, 1), 1);
	assert_int_equal(answer, 'y');
	close(ends[0]);
}

/* A fork that runs no handlers; allowed while there are no other threads. */
static void bare_clone(void **state)
{
	struct random_source random = { 6 };

	(void)state;
	for (int i = 0; i < 20; i++) {
		pid_t child = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

		assert_true(child >= 0);
		if (child == 0) {
			alarm(hang_seconds(CHILD_SECONDS));
			churn(&random, 300);
			_exit(0);
		}
		churn(&random, 100);
		wait_for(child);
	}
}

#ifndef HAKMEM_TEST_SANITIZED
/* The sanitizers take what a child does in shared memory for deeds of the parent. */
static int execute_true(void *argument)
{
	(void)argument;
	execl("/bin/true", "true", (char *)NULL);
	_exit(127);
}

static void clone_that_shares_memory(void **state)
{
	char *stack = map_pages(256 * KIB);
	void *block = malloc(100);

	(void)state;
	for (int i = 0; i < 20; i++) {
		pid_t child = clone(execute_true, stack + 256 * KIB, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);

		assert_true(child >= 0);
		wait_for(child);
	}
	free(block);
	release_pages(stack, 256 * KIB);
}
#endif

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
#ifdef FIRST_CALL
		cmocka_unit_test(fork_during_the_first_call),
#endif
		cmocka_unit_test(bare_clone),
		cmocka_unit_test(vfork_and_exec),
		cmocka_unit_test(spawn_system_and_popen),
		cmocka_unit_test(daemon_goes_on_allocating),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(clone_that_shares_memory),
#endif
		cmocka_unit_test(fork_while_others_allocate),
		cmocka_unit_test(several_threads_fork),
		cmocka_unit_test(handlers_are_registered_while_others_fork),
#ifndef HAKMEM_TEST_API
		cmocka_unit_test(fork_among_open_files),
#endif
	};

	if (argument_count > 1)
		forks = strtoull(arguments[1], NULL, 10);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
