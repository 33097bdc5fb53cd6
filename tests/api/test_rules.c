/* test_rules.c - rules that other allocators' tests hold their malloc to, and that no other test here checks.
 * tests/README.md says whose rule each is.
 *
 * usage: test_rules (the first call of a process: test_rules --first NAME)
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#define MARK 1234 /* an errno that no function sets */

/* Blocks of every layer, written and given back. */
static void use_every_layer(void)
{
	static const size_t sizes[] = { 1, 100, 1000, 5000, 30000, 300000, 3000000 };
	char *blocks[sizeof sizes / sizeof sizes[0]];

	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		blocks[i] = i % 2 == 0 ? malloc(sizes[i]) : calloc(1, sizes[i]);
		require(blocks[i] != NULL, "no block of %zu bytes", sizes[i]);
		fill_pattern(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		blocks[i] = realloc(blocks[i], sizes[i] * 2);
		require(blocks[i] != NULL, "no block of %zu bytes", sizes[i] * 2);
		require(pattern_holds(blocks[i], sizes[i], sizes[i], i), "block of %zu bytes was overwritten", sizes[i]);
		free(blocks[i]);
	}
}

/* ---- errno ------------------------------------------------------------------------ */

static void success_leaves_errno_alone(void **state)
{
	(void)state;
	errno = MARK;
	free(reallocarray(NULL, opaque_size(0), 16));
	for (size_t size = 0; size <= 600 * MIB; size = size * 2 + 1) {
		void *blocks[5] = { malloc(size), calloc(1, size / 2), aligned_alloc(64, size), memalign(65536, size / 4 + 1),
			realloc(malloc(size / 8), size / 4 + 1) };

		for (int i = 0; i < 5; i++)
			require(blocks[i] != NULL, "no block of %zu bytes", size);
		require(posix_memalign(&blocks[4], 4096, opaque_size(10)) == 0 && malloc_usable_size(blocks[4]) >= 10, "size");
		require(errno == MARK, "errno is %d after blocks of %zu bytes", errno, size);
		for (int i = 0; i < 5; i++)
			free(blocks[i]);
	}
}

/* ---- The first call ----------------------------------------------------------------- */

static void first_malloc(char *block) { free(block); free(malloc(100)); }
static void first_calloc(char *block) { free(block); free(calloc(10, 10)); }
static void first_realloc(char *block) { free(realloc(block, 1000)); }
static void first_shrink(char *block) { free(realloc(block, 10)); }
static void first_reallocarray(char *block) { free(reallocarray(block, 10, 100)); }
static void first_aligned_alloc(char *block) { free(block); free(aligned_alloc(64, 64)); }
static void first_posix_memalign(char *block)
{
	void *out = NULL;

	require(posix_memalign(&out, 4096, 100) == 0, "posix_memalign");
	free(out);
	free(block);
}
static void first_memalign(char *block) { free(memalign(MIB, 100)); free(block); }
static void first_valloc(char *block) { free(valloc(100)); free(block); }
static void first_big(char *block) { free(malloc(5 * MIB)); free(block); }
static void first_free(char *block) { free(block); }
static void first_free_of_nothing(char *block) { free(NULL); free(block); }
static void first_usable_size(char *block)
{
	require(malloc_usable_size(NULL) == 0, "usable size of nothing");
	require(block == NULL || malloc_usable_size(block) >= 100, "usable size");
	free(block);
}
static void first_trim(char *block) { malloc_trim(0); free(block); }
static void first_mallinfo2(char *block) { (void)mallinfo2(); free(block); }
static void first_mallopt(char *block) { mallopt(M_MXFAST, 0); free(block); }
static void first_refusal(char *block)
{
	require(malloc(opaque_size(SIZE_MAX / 2)) == NULL, "malloc(SIZE_MAX / 2)");
	free(block);
}

static const struct {
	const char *name;
	void (*call)(char *block); /* frees the block; NULL where there is none */
} first_calls[] = {
	{ "malloc", first_malloc }, { "calloc", first_calloc }, { "realloc", first_realloc }, { "shrink", first_shrink },
	{ "reallocarray", first_reallocarray }, { "aligned_alloc", first_aligned_alloc },
	{ "posix_memalign", first_posix_memalign }, { "memalign", first_memalign }, { "valloc", first_valloc },
	{ "big", first_big }, { "free", first_free }, { "free_of_nothing", first_free_of_nothing },
	{ "usable_size", first_usable_size }, { "trim", first_trim }, { "mallinfo2", first_mallinfo2 },
	{ "mallopt", first_mallopt }, { "refusal", first_refusal },
};
#define FIRST_CALLS (sizeof first_calls / sizeof first_calls[0])

struct first {
	size_t call;
	char *block; /* another thread's */
};

static void *make_first_call(void *argument)
{
	struct first *first = argument;

	first_calls[first->call].call(first->block);
	use_every_layer();
	return NULL;
}

static void a_thread_may_begin_with_any_call(void **state)
{
	static const size_t sizes[] = { 100, 5000, 300000, 3000000 };

	(void)state;
	for (size_t call = 0; call < FIRST_CALLS; call++) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			struct first first = { call, malloc(sizes[i]) };
			pthread_t thread;

			require(first.block != NULL, "no memory");
			require(pthread_create(&thread, NULL, make_first_call, &first) == 0, "no thread");
			require(pthread_join(thread, NULL) == 0, "no end");
		}
	}
}

static int make_first_call_of_process(const char *name)
{
	for (size_t call = 0; call < FIRST_CALLS; call++) {
		if (strcmp(first_calls[call].name, name) == 0) {
			first_calls[call].call(NULL);
			use_every_layer();
			return 0;
		}
	}
	return 2;
}

static void begin_process(const void *call)
{
	execl("/proc/self/exe", "test_rules", "--first", first_calls[*(const size_t *)call].name, (char *)NULL);
	require(false, "no exec: %s", strerror(errno));
}

static void a_process_may_begin_with_any_call(void **state)
{
	(void)state;
	for (size_t call = 0; call < FIRST_CALLS; call++)
		run_in_child(begin_process, &call, 10);
}

/* ---- Callbacks of the system -------------------------------------------------------- */

int __cxa_thread_atexit_impl(void (*destroy)(void *), void *object, void *library);

static unsigned destroyed; /* by the one thread at a time that ends */

/* As the destructor of a C++ thread_local object that uses another one for the first time. */
static void destroy_thread_local(void *depth)
{
	destroyed++;
	use_every_layer();
	if (depth != NULL)
		require(__cxa_thread_atexit_impl(destroy_thread_local, (void *)((uintptr_t)depth - 1), &destroyed) == 0, "thread_atexit");
}

/* The C library allocates the destructors' records: that may be the thread's first call. */
static void *register_thread_locals(void *unused)
{
	for (uintptr_t depth = 0; depth < 20; depth++)
		require(__cxa_thread_atexit_impl(destroy_thread_local, (void *)depth, &destroyed) == 0, "thread_atexit");
	return unused;
}

static void thread_locals_are_destroyed(void **state)
{
	pthread_t thread;

	(void)state;
	destroyed = 0;
	for (int i = 0; i < 3; i++) {
		require(pthread_create(&thread, NULL, register_thread_locals, NULL) == 0, "no thread");
		require(pthread_join(thread, NULL) == 0, "no end");
	}
	assert_int_equal(destroyed, 3 * (20 + 19 * 20 / 2));
}

static void *exit_block;

static void allocate_at_exit(void)
{
	free(exit_block);
	exit_block = malloc(100);
	require(exit_block != NULL, "no memory at exit");
}

static void register_exit_handlers(const void *unused)
{
	(void)unused;
	for (int i = 0; i < 8192; i++)
		require(atexit(allocate_at_exit) == 0, "atexit");
	exit(0);
}

static void handlers_allocate_at_exit(void **state)
{
	(void)state;
	run_in_child(register_exit_handlers, NULL, 10);
}

static unsigned fork_calls;

static void allocate_at_fork(void)
{
	fork_calls++;
	use_every_layer();
}

static void *allocate_until(void *stop)
{
	while (!__atomic_load_n((const bool *)stop, __ATOMIC_RELAXED))
		use_every_layer();
	return NULL;
}

/* In a process of its own: handlers stay. */
static void fork_with_handlers(const void *unused)
{
	bool stop = false;
	pthread_t threads[3];

	(void)unused;
	for (int i = 0; i < 10; i++)
		require(pthread_atfork(allocate_at_fork, allocate_at_fork, allocate_at_fork) == 0, "pthread_atfork");
	for (int i = 0; i < 3; i++)
		require(pthread_create(&threads[i], NULL, allocate_until, &stop) == 0, "no thread");
	for (int i = 0; i < 20; i++) {
		int status;
		pid_t child = fork();

		require(child >= 0, "no child");
		if (child == 0) {
			use_every_layer();
			_exit(fork_calls == 20 * (unsigned)(i + 1) ? 0 : 1);
		}
		require(waitpid(child, &status, 0) == child && status == 0, "child ended with %#x", (unsigned)status);
	}
	__atomic_store_n(&stop, true, __ATOMIC_RELAXED);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
}

static void handlers_allocate_at_fork(void **state)
{
	(void)state;
	fork_calls = 0;
	run_in_child(fork_with_handlers, NULL, 60);
}

/* ---- What is printed ------------------------------------------------------------------ */

static void *print_stats(void *unused)
{
	malloc_stats();
	return unused;
}

/* Standard error is a pipe that is full: whoever prints waits, and holds nobody up, cancelled or not. */
static void print_into_full_pipe(const void *unused)
{
	int ends[2];
	char bytes[4096] = { 0 };
	pthread_t thread;

	(void)unused;
	signal(SIGPIPE, SIG_IGN);
	require(pipe2(ends, O_NONBLOCK) == 0 && dup2(ends[1], STDERR_FILENO) == STDERR_FILENO, "pipe");
	while (write(ends[1], bytes, sizeof bytes) > 0)
		;
	while (write(ends[1], bytes, 1) > 0)
		;
	if (fcntl(ends[1], F_SETFL, 0) != 0 || pthread_create(&thread, NULL, print_stats, NULL) != 0)
		_exit(1);
	sleep_milliseconds(100); /* by now it most likely waits; nothing depends on it */
	use_every_layer();
	malloc_trim(0);
	pthread_cancel(thread);
	use_every_layer();
	close(ends[0]); /* its write fails */
	if (pthread_join(thread, NULL) != 0)
		_exit(2);
	use_every_layer();
	_exit(0);
}

static void whoever_prints_statistics_holds_nobody_up(void **state)
{
	(void)state;
	run_in_child(print_into_full_pipe, NULL, 10);
}

/* ---- After a wrong call ----------------------------------------------------------------- */

static void allocate_and_leave(int signal)
{
	(void)signal;
	use_every_layer();
	_exit(77);
}

static void wrong_free(size_t size)
{
	void *block = size == 0 ? opaque_pointer(&size) : malloc(size);

	if (size != 0)
		free(block);
	free(opaque_pointer(block));
}

/* What is told is told outside of all locks: a crash handler allocates as it likes. */
static void the_abort_handler_may_allocate(void **state)
{
	static const size_t sizes[] = { 0, 8, 100, 1000, 5000, 300000, 5 * MIB };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		int status;
		pid_t child = fork();

		require(child >= 0, "no child");
		if (child == 0) {
			signal(SIGABRT, allocate_and_leave);
			alarm(hang_seconds(10));
			dup2(open("/dev/null", O_WRONLY), STDERR_FILENO);
			wrong_free(sizes[i]);
			_exit(1);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		require(WIFEXITED(status) && WEXITSTATUS(status) == 77, "%zu bytes: child ended with %#x", sizes[i],
			(unsigned)status);
	}
}

/* ---- Places and numbers ------------------------------------------------------------------ */

/* Each block needs a little more than the last one left. */
static void blocks_that_grow_reuse_their_place(void **state)
{
	size_t before;

	(void)state;
	free(malloc(600 * MIB));
	before = virtual_bytes();
	for (int pass = 0; pass < 3; pass++)
		for (size_t size = 100 * MIB; size < 500 * MIB; size += 50000) {
			void *block = malloc(opaque_size(size));

			assert_non_null(block);
			free(block);
		}
	assert_true(virtual_bytes() < before + GIB);
}

/* A block of high alignment that comes back serves the next one. */
static void aligned_blocks_are_reused(void **state)
{
	size_t before = 0;

	(void)state;
	for (int round = 0; round < 400; round++) {
		if (round == 20)
			before = virtual_bytes();
		for (size_t alignment = 32; alignment <= 4 * MIB; alignment *= 2) {
			void *block = aligned_alloc(alignment, opaque_size(alignment + (size_t)round));

			assert_non_null(block);
			free(block);
		}
	}
	assert_true(virtual_bytes() < before + 64 * MIB);
}

static void mallinfo2_counts_beyond_4_gib(void **state)
{
	void *blocks[5];
	struct mallinfo2 before = mallinfo2(), during;

	(void)state;
	for (int i = 0; i < 5; i++) /* not touched */
		assert_non_null(blocks[i] = malloc(opaque_size(GIB)));
	during = mallinfo2();
	for (int i = 0; i < 5; i++)
		free(blocks[i]);
	assert_true(during.hblkhd >= before.hblkhd + 5 * GIB);
	assert_true(during.hblkhd < before.hblkhd + 6 * GIB);
}

int main(int argument_count, char **arguments)
{
	if (argument_count == 3 && strcmp(arguments[1], "--first") == 0)
		return make_first_call_of_process(arguments[2]);

	const struct CMUnitTest tests[] = {
		cmocka_unit_test(success_leaves_errno_alone),
		cmocka_unit_test(a_thread_may_begin_with_any_call),
		cmocka_unit_test(a_process_may_begin_with_any_call),
		cmocka_unit_test(thread_locals_are_destroyed),
		cmocka_unit_test(handlers_allocate_at_exit),
		cmocka_unit_test(handlers_allocate_at_fork),
		cmocka_unit_test(whoever_prints_statistics_holds_nobody_up),
		cmocka_unit_test(the_abort_handler_may_allocate),
		cmocka_unit_test(blocks_that_grow_reuse_their_place),
		cmocka_unit_test(aligned_blocks_are_reused),
		cmocka_unit_test(mallinfo2_counts_beyond_4_gib),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
