/* unit.h - what the unit tests share: tests in processes of their own, expected aborts, a heap
 * that does nothing by itself, the policy.
 *
 * The allocator's state belongs to the process, so a test that touches it runs in a child in
 * which the allocator has not started yet; such tests fail through require (support.h).
 */
#ifndef HAKMEM_TESTS_UNIT_H
#define HAKMEM_TESTS_UNIT_H

#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ace/ace.h"
#include "hakmem.h"
#include "heap/heap.h"
#include "os/os.h"
#include "tiny/tiny.h"

#define CHILD_SECONDS 50 /* see hang_seconds */

/* Runs a test's body in a child, and fails the test unless the child ends by itself, without an error. */
static inline void run_isolated(void (*body)(void))
{
	int status = 0;
	pid_t child = fork();

	if (child < 0)
		fail_msg("fork: %s", strerror(errno));
	if (child == 0) {
		/* cmocka's handlers would go on with the parent's tests in the child. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGILL, SIG_DFL);
		signal(SIGFPE, SIG_DFL);
		alarm(hang_seconds(CHILD_SECONDS));
		body();
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child)
		fail_msg("waitpid: %s", strerror(errno));
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d (%s)", WTERMSIG(status), strsignal(WTERMSIG(status)));
	assert_int_equal(WEXITSTATUS(status), 0);
}

/* Defines the cmocka test `name`, whose body, which follows, runs in a process of its own. */
#define ISOLATED(name) \
	static void name##_body(void); \
	static void name(void **state) \
	{ \
		(void)state; \
		run_isolated(name##_body); \
	} \
	static void name##_body(void)

/* Runs work(argument) in a child, which must end by abort() after printing a line that contains
 * `text`. */
static inline void expect_abort(void (*work)(void *), void *argument, const char *text)
{
	char output[512];
	size_t length = 0;
	ssize_t got;
	int status = 0;
	int ends[2];
	pid_t child;

	require(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	child = fork();
	require(child >= 0, "fork");
	if (child == 0) {
		alarm(hang_seconds(CHILD_SECONDS));
		dup2(ends[1], STDERR_FILENO);
		work(argument);
		_exit(0);
	}
	close(ends[1]);
	while (length < sizeof output - 1 &&
		(got = read(ends[0], output + length, sizeof output - 1 - length)) > 0)
		length += (size_t)got;
	output[length] = '\0';
	close(ends[0]);
	require(waitpid(child, &status, 0) == child, "waitpid");
	require(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT, "status %x, output: %s",
		(unsigned)status, output);
	require(strstr(output, text) != NULL, "expected \"%s\", got: %s", text, output);
}

/* The calling thread's heap, which from now on never looks at the clock by itself. */
static inline struct hkm_heap *quiet_heap(void)
{
	struct hkm_heap *heap;

	hkm_free(hkm_malloc(1));
	heap = hkm_heap_get();
	require(heap != NULL, "no heap");
	heap->next_tick_ms = UINT64_MAX;
	return heap;
}

/* Makes the heap look at the clock and do what is due, now. A busy heap does not look each time it is
 * asked. */
static inline void tick(struct hkm_heap *heap)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);

	heap->next_tick_ms = 0;
	for (size_t i = 0; i < 64 && heap->next_tick_ms == 0; i++)
		hkm_heap_poll_entered(heap, policy);
	hkm_heap_leave(heap);
	require(heap->next_tick_ms > hkm_os_now_ms() - 1000, "no next tick");
	heap->next_tick_ms = UINT64_MAX;
}

/* Makes the heap take over the current policy. */
static inline void settle(struct hkm_heap *heap)
{
	hkm_heap_enter(heap);
	hkm_heap_leave(heap);
}

/* Asserts, in the debug build, what must hold of the calling thread's heap and of all heaps whatever they have done. */
static inline void check_heaps(struct hkm_heap *heap)
{
	hkm_heap_enter(heap);
	if (!heap->miscounted)
		hkm_tiny_check(heap);
	hkm_remote_check(heap);
	hkm_heap_leave(heap);
	hkm_heap_guard(heap, true);
	hkm_heap_check();
	hkm_policy_check();
	hkm_heap_guard(heap, false);
}

/* Publishes *policy and makes the heap take it over. */
static inline void impose(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	require(hkm_policy_replace(policy) != 0, "no memory for a policy");
	settle(heap);
}

/* The descriptor of the slice that `block` lies in. */
static inline struct hkm_slab *slab_of_block(const void *block)
{
	size_t slice = hkm_slice_of(block);

	require(hkm_slice_is_ours(slice), "%p is not in the window", block);
	return &hkm_window.slabs[slice];
}

/* The spans of one kind and block size, added up. */
struct span_sum {
	uint8_t kind;
	uint32_t block_size;
	size_t spans;  /* how many there are */
	size_t in_use; /* blocks in them that their layer counts as in use */
};

static inline void add_span(struct hkm_slab *slab, void *context)
{
	struct span_sum *sum = context;

	if (slab->kind == sum->kind && slab->block_size == sum->block_size) {
		sum->spans++;
		sum->in_use += slab->in_use;
	}
}

static inline struct span_sum sum_spans(uint8_t kind, uint32_t block_size)
{
	struct span_sum sum = { .kind = kind, .block_size = block_size };

	hkm_span_visit(add_span, &sum);
	return sum;
}

/* Waits until the allocator's clock has moved on; result: its new value. */
static inline uint64_t next_tick_of_clock(uint64_t (*now_ms)(void))
{
	uint64_t before = now_ms();

	while (now_ms() <= before)
		;
	return now_ms();
}

#endif /* HAKMEM_TESTS_UNIT_H */
