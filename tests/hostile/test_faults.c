/* test_faults.c - every system call that the allocator makes fails once, and from some use on, at every use that a
 * scenario makes of it: no crash, no block lost or overwritten, ENOMEM where a block is refused, and afterwards
 * everything works again.
 *
 * The program is linked with --wrap for each call, so that only the allocator's own calls go through here: those of
 * the C library are bound inside it. The scenario (blocks of all layers, alignments, resizing, threads, a fork, trim,
 * statistics) runs once without faults to count the calls; then a child process for each call and each use of it.
 *
 *   test_faults [STEP]    every STEP-th use only; default: a step at which each call has at most 16 uses tried
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#define MOST_USES 16 /* of a call, that fail in turn unless a step is given */
#define CHILD_SECONDS 300
#define PAGE ((size_t)4096)

/* ---- The calls that fail ------------------------------------------------------------------------------------- */

enum call { CALL_MMAP, CALL_MUNMAP, CALL_MREMAP, CALL_MADVISE, CALL_MINCORE, CALL_KEY_CREATE, CALL_SET_SPECIFIC,
	CALL_CREATE_THREAD, CALL_SYSCALL, CALLS };

static const char *const call_names[CALLS] = { "mmap", "munmap", "mremap", "madvise", "mincore", "pthread_key_create",
	"pthread_setspecific", "pthread_create", "syscall" };

/* Shared with the child that counts. */
static struct {
	size_t uses[CALLS];
	size_t live_bytes; /* at the end of the scenario */
} *counted;

/* Written before the scenario starts, by the only thread. */
static enum call failing_call;
static size_t failing_use;    /* 0: none */
static bool failing_for_good; /* that use and all after it */
static int failing_error;
static _Atomic size_t uses[CALLS];
static _Atomic bool faults_are_over;

/* Whether this use of the call is to fail. */
static bool fails(enum call call)
{
	size_t use = ++uses[call];

	if (failing_use == 0 || call != failing_call || faults_are_over)
		return false;
	if (failing_for_good ? use < failing_use : use != failing_use)
		return false;
	errno = failing_error;
	return true;
}

void *__real_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset);
void *__wrap_mmap(void *start, size_t size, int protection, int flags, int file, off_t offset)
{
	return fails(CALL_MMAP) ? MAP_FAILED : __real_mmap(start, size, protection, flags, file, offset);
}

int __real_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size)
{
	return fails(CALL_MUNMAP) ? -1 : __real_munmap(start, size);
}

void *__real_mremap(void *start, size_t old_size, size_t size, int flags, ...);
void *__wrap_mremap(void *start, size_t old_size, size_t size, int flags, ...);
void *__wrap_mremap(void *start, size_t old_size, size_t size, int flags, ...)
{
	va_list arguments;
	void *target;

	va_start(arguments, flags);
	target = (flags & MREMAP_FIXED) != 0 ? va_arg(arguments, void *) : NULL;
	va_end(arguments);
	return fails(CALL_MREMAP) ? MAP_FAILED : __real_mremap(start, old_size, size, flags, target);
}

int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice)
{
	return fails(CALL_MADVISE) ? -1 : __real_madvise(start, size, advice);
}

int __real_mincore(void *start, size_t size, unsigned char *pages);
int __wrap_mincore(void *start, size_t size, unsigned char *pages);
int __wrap_mincore(void *start, size_t size, unsigned char *pages)
{
	return fails(CALL_MINCORE) ? -1 : __real_mincore(start, size, pages);
}

int __real_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *));
int __wrap_pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	return fails(CALL_KEY_CREATE) ? EAGAIN : __real_pthread_key_create(key, destructor);
}

int __real_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
	return fails(CALL_SET_SPECIFIC) ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* The allocator's own thread: the test starts its threads by a pointer. */
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*work)(void *), void *argument)
{
	return fails(CALL_CREATE_THREAD) ? EAGAIN : __real_pthread_create(thread, attributes, work, argument);
}

/* A futex is not among those that fail: it says EAGAIN or EINTR by itself, and test_lock.c is about that. */
long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
long __wrap_syscall(long number, ...)
{
	va_list arguments;
	long values[6];

	va_start(arguments, number);
	for (size_t i = 0; i < 6; i++)
		values[i] = va_arg(arguments, long);
	va_end(arguments);
	if (number != SYS_futex && fails(CALL_SYSCALL))
		return -1;
	return __real_syscall(number, values[0], values[1], values[2], values[3], values[4], values[5]);
}

/* ---- The scenario --------------------------------------------------------------------------------------------- */

#define SLOTS 400

struct block {
	unsigned char *start;
	size_t size;
};

static struct block blocks[SLOTS];
static size_t block_count;

/* Checks what a call that allocates has returned. Result: whether it is a block. */
static bool is_given(const void *start, const char *what, size_t size)
{
	if (start != NULL)
		return true;
	require(errno == ENOMEM, "%s of %zu bytes: errno %d", what, size, errno);
	require(failing_use != 0 && !faults_are_over, "%s of %zu bytes is refused without a fault", what, size);
	return false;
}

static void keep(void *start, size_t size)
{
	require(block_count < SLOTS, "too many blocks");
	blocks[block_count++] = (struct block){ start, size };
	fill_pattern(start, size, (uintptr_t)start);
}

static void check(const struct block *block)
{
	require(pattern_holds(block->start, block->size, block->size, (uintptr_t)block->start),
		"block of %zu bytes was overwritten", block->size);
}

static void release(struct block *block)
{
	if (block->start == NULL)
		return;
	check(block);
	memset(block->start, 0xa5, block->size < PAGE ? block->size : PAGE);
	errno = 55;
	free(block->start);
	require(errno == 55, "free changed errno to %d", errno);
	block->start = NULL;
}

static const size_t sizes[] = { 1, 24, 100, 500, 1024, 1500, 9000, 30000, 40000, 100000, 200000, 700000, 1500000,
	2 * MIB, 5 * MIB + 1 };

static void allocate_sizes(void)
{
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
		for (int round = 0; round < (sizes[i] < MIB ? 3 : 2); round++) {
			unsigned char *start;

			errno = 0;
			start = round == 1 ? calloc(1, sizes[i]) : malloc(sizes[i]);
			if (!is_given(start, round == 1 ? "calloc" : "malloc", sizes[i]))
				continue;
			require(round != 1 || all_bytes_are(start, sizes[i], 0), "calloc's %zu bytes are not zero", sizes[i]);
			keep(start, sizes[i]);
		}
}

static void allocate_aligned(void)
{
	static const size_t aligned_sizes[] = { 100, 5000, 70000, 3 * MIB };

	for (size_t alignment = 64; alignment <= 4 * MIB; alignment *= 16)
		for (size_t i = 0; i < sizeof aligned_sizes / sizeof aligned_sizes[0]; i++) {
			void *start;

			errno = 0;
			start = aligned_alloc(alignment, aligned_sizes[i]);
			if (!is_given(start, "aligned_alloc", aligned_sizes[i]))
				continue;
			require(is_aligned(start, alignment), "%p is not aligned to %zu", start, alignment);
			keep(start, aligned_sizes[i]);
		}
}

/* Result: whether the block has the new size. */
static bool resize(struct block *block, size_t size)
{
	size_t kept = size < block->size ? size : block->size;
	uint64_t seed = (uintptr_t)block->start;
	unsigned char *start;

	errno = 0;
	start = realloc(block->start, size);
	if (!is_given(start, "realloc", size)) {
		check(block);
		return false;
	}
	require(pattern_holds(start, block->size, kept > PAGE ? kept - PAGE : kept / 8 * 8, seed),
		"realloc from %zu to %zu bytes lost the contents", block->size, size);
	*block = (struct block){ start, size };
	fill_pattern(start, size, (uintptr_t)start);
	return true;
}

static void resize_up_and_down(void)
{
	static const size_t targets[] = { 3 * MIB, 5 * MIB, 300000, 60000, 20000, 10 };
	struct block *block = &blocks[block_count];

	errno = 0;
	void *start = malloc(16);
	if (!is_given(start, "malloc", 16))
		return;
	keep(start, 16);
	for (size_t size = 24; size < 12 * MIB; size += size / 2 + 8)
		if (!resize(block, size))
			break;
	for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
		resize(block, targets[i]);
}

/* Frees every third block of the main thread, and leaves some of its own. */
static void *work_in_thread(void *argument)
{
	(void)argument;
	for (size_t i = 0; i < block_count; i += 3)
		release(&blocks[i]);
	allocate_sizes();
	return NULL;
}

static void use_thread(void)
{
	pthread_t thread;
	int (*create)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) = __real_pthread_create;

	require(create(&thread, NULL, work_in_thread, NULL) == 0, "pthread_create");
	require(pthread_join(thread, NULL) == 0, "pthread_join");
}

static void use_fork(void)
{
	int status = 0;
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		for (size_t i = 1; i < block_count; i += 2)
			release(&blocks[i]);
		allocate_sizes();
		_exit(0);
	}
	require(waitpid(child, &status, 0) == child && status == 0, "the child of fork ended with %x", (unsigned)status);
}

static size_t live_bytes(void)
{
	char text[16384];
	const char *found;

	hkm_stats_json(text, sizeof text);
	found = strstr(text, "\"live_bytes\":");
	require(found != NULL, "no live_bytes in the statistics: %.200s", text);
	return strtoul(strchr(found, ':') + 1, NULL, 10);
}

static void live(void)
{
	allocate_sizes();
	allocate_aligned();
	resize_up_and_down();
	use_thread();
	malloc_trim(0);
	use_fork();
	for (size_t i = 0; i < block_count; i += 2)
		release(&blocks[i]);
	allocate_sizes();
	live_bytes();
	for (size_t i = 0; i < block_count; i++)
		if (blocks[i].start != NULL)
			check(&blocks[i]);
	for (size_t i = 0; i < block_count; i++)
		release(&blocks[i]);
	malloc_trim(0);
}

/* The faults are over: everything can be had again, and nothing is left of before. */
static void live_on(void)
{
	faults_are_over = true;
	block_count = 0;
	allocate_sizes();
	allocate_aligned();
	for (size_t i = 0; i < block_count; i++)
		release(&blocks[i]);
	malloc_trim(0);
}

/* ---- Counting, and failing ------------------------------------------------------------------------------------ */

static void count_uses(const void *argument)
{
	(void)argument;
	live();
	for (size_t call = 0; call < CALLS; call++)
		counted->uses[call] = uses[call];
	live_on();
	counted->live_bytes = live_bytes();
}

struct fault {
	enum call call;
	size_t use;
	bool for_good;
	int error;
};

static void live_with_fault(const void *argument)
{
	const struct fault *fault = argument;

	failing_call = fault->call;
	failing_use = fault->use;
	failing_for_good = fault->for_good;
	failing_error = fault->error;
	live();
	live_on();
	require(live_bytes() == counted->live_bytes, "%s fails at use %zu%s: %zu bytes are live at the end, without faults %zu",
		call_names[fault->call], fault->use, fault->for_good ? " and after" : "", live_bytes(),
		counted->live_bytes);
}

static size_t step; /* 0: as many as MOST_USES allows */

static void fail_each_use(enum call call, int error)
{
	size_t most = counted->uses[call];
	size_t stride = step != 0 ? step : (most + MOST_USES - 1) / MOST_USES;

	for (size_t use = 1; use <= most; use += stride)
		for (int for_good = 0; for_good < 2; for_good++) {
			struct fault fault = { call, use, for_good != 0, error };

			run_in_child(live_with_fault, &fault, CHILD_SECONDS);
		}
}

static int setup(void **state)
{
	(void)state;
	counted = map_pages(sizeof *counted);
	require(mmap(counted, sizeof *counted, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
		counted, "mmap");
	run_in_child(count_uses, NULL, CHILD_SECONDS);
	for (size_t call = 0; call < CALLS; call++)
		print_message("%s: %zu uses\n", call_names[call], counted->uses[call]);
	require(counted->uses[CALL_MMAP] > 20 && counted->uses[CALL_MUNMAP] > 5 && counted->uses[CALL_MADVISE] > 2,
		"the scenario's calls do not come by here");
	return 0;
}

static void mmap_is_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_MMAP, ENOMEM);
}

/* As a kernel says it whose place for the mapping is taken. */
static void mmap_finds_its_place_taken(void **state)
{
	(void)state;
	fail_each_use(CALL_MMAP, EEXIST);
}

static void munmap_is_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_MUNMAP, ENOMEM);
}

static void mremap_is_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_MREMAP, ENOMEM);
}

static void madvise_is_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_MADVISE, EINVAL);
}

static void mincore_is_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_MINCORE, EAGAIN);
}

static void threads_have_no_keys(void **state)
{
	(void)state;
	fail_each_use(CALL_KEY_CREATE, EAGAIN);
	fail_each_use(CALL_SET_SPECIFIC, ENOMEM);
}

static void other_calls_are_refused(void **state)
{
	(void)state;
	fail_each_use(CALL_SYSCALL, EPERM);
	fail_each_use(CALL_CREATE_THREAD, EAGAIN);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mmap_is_refused),
		cmocka_unit_test(mmap_finds_its_place_taken),
		cmocka_unit_test(munmap_is_refused),
		cmocka_unit_test(mremap_is_refused),
		cmocka_unit_test(madvise_is_refused),
		cmocka_unit_test(mincore_is_refused),
		cmocka_unit_test(threads_have_no_keys),
		cmocka_unit_test(other_calls_are_refused),
	};

	step = argument_count > 1 ? strtoul(arguments[1], NULL, 10) : 0;
	return cmocka_run_group_tests(tests, setup, NULL);
}
