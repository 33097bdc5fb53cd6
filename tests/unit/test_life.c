/* test_life.c - threads that end in every way: what their heaps held goes to others, and they are counted
 * no longer; and signal handlers that interrupt a thread without a heap.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <threads.h>

#include "big/big.h"
#include "os/os.h"

#define LIVES 60u

#ifdef HAKMEM_TEST_THREAD_SANITIZED /* whose build goes without: see life.c */
#define SIGNS_OF_LIFE false
#else
#define SIGNS_OF_LIFE true
#endif

static size_t heaps(void)
{
	size_t count = 0;

	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		count++;
	return count;
}

/* A look at the other heaps, now. */
static void look(struct hkm_heap *heap)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t now = hkm_os_now_ms();

		while (hkm_os_now_ms() - now < 2 * HKM_ASLEEP_MS)
			sleep_milliseconds(4);
		heap->next_tick_ms = 0;
		for (size_t k = 0; k < 64 && heap->next_tick_ms == 0; k++)
			hkm_heap_poll(heap);
	}
}

static void use_heap(void)
{
	void *blocks[50];

	for (size_t i = 0; i < 50; i++) {
		blocks[i] = hkm_malloc(20 + i * 200);
		require(blocks[i] != NULL, "no memory");
		memset(blocks[i], 1, 20);
	}
	for (size_t i = 0; i < 50; i++)
		hkm_free(blocks[i]);
}

static pthread_key_t key;
static atomic_uint rounds;

/* The C library runs destructors four times at most: the last one comes after the allocator's own. */
static void allocate_in_every_round(void *value)
{
	atomic_fetch_add(&rounds, 1);
	use_heap();
	pthread_setspecific(key, value);
}

static void exit_in_destructor(void *value)
{
	use_heap();
	pthread_exit(value);
}

static void *set_key(void *value)
{
	use_heap();
	pthread_setspecific(key, value);
	return NULL;
}

/* The thread's own, whatever the kernel calls it; no destructor runs. */
static void *end_without_a_word(void *unused)
{
	use_heap();
	syscall(SYS_exit, 0);
	return unused;
}

static void *exit_from_deep(void *value)
{
	use_heap();
	pthread_exit(value);
}

static void *be_cancelled(void *unused)
{
	use_heap();
	for (;;)
		pause();
	return unused;
}

#ifndef HAKMEM_TEST_THREAD_SANITIZED
static int be_standard(void *unused)
{
	use_heap();
	(void)unused;
	thrd_exit(3);
}
#endif

/* LIVES threads, one after the other, that end in the same way. */
static void live(void *(*life)(void *), bool cancelled)
{
	struct hkm_heap *own = quiet_heap();

	for (unsigned i = 0; i < LIVES; i++) {
		pthread_t thread;

		require(pthread_create(&thread, NULL, life, &key) == 0, "pthread_create");
		if (cancelled)
			pthread_cancel(thread);
		pthread_join(thread, NULL);
		check_heaps(own);
	}
	look(own);
	check_heaps(own);
	require(hkm_heap_active() == 1, "%u heaps are said to have a thread", hkm_heap_active());
	require(heaps() <= 3, "%zu heaps for two threads at a time", heaps());
	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		require(heap == own || atomic_load(&heap->abandoned), "a heap has no thread, and nobody may have it");
	hkm_malloc_trim(0);
	require(sum_spans(HKM_KIND_TINY, 48).spans == 0, "a thread that has ended holds slabs");
}

ISOLATED(destructors_that_allocate_in_the_last_round_cost_no_heap)
{
	if (!SIGNS_OF_LIFE)
		return;
	quiet_heap(); /* so that the allocator's key comes first */
	pthread_key_create(&key, allocate_in_every_round);
	live(set_key, false);
	require(atomic_load(&rounds) >= 4 * LIVES, "%u rounds", atomic_load(&rounds));
}

ISOLATED(destructors_that_end_their_thread_cost_no_heap)
{
	if (!SIGNS_OF_LIFE)
		return;
	quiet_heap();
	pthread_key_create(&key, exit_in_destructor);
	live(set_key, false);
}

ISOLATED(threads_that_end_without_a_word_cost_no_heap)
{
#ifdef HAKMEM_TEST_SANITIZED /* the sanitizers wait for the thread's last word */
	return;
#endif
	live(end_without_a_word, false);
}

ISOLATED(threads_that_exit_or_are_cancelled_cost_no_heap)
{
	live(exit_from_deep, false);
	live(be_cancelled, true);
#ifndef HAKMEM_TEST_THREAD_SANITIZED /* which does not know these threads */
	for (unsigned i = 0; i < LIVES; i++) {
		thrd_t thread;

		require(thrd_create(&thread, be_standard, NULL) == thrd_success, "thrd_create");
		thrd_join(thread, NULL);
	}
#endif
	require(hkm_heap_active() == 1 && heaps() <= 3, "%u active, %zu heaps", hkm_heap_active(), heaps());
}

/* ---- Signal handlers that interrupt a thread without a heap ------------------------- */

bool __real_hkm_remote_receive(struct hkm_heap *heap);
bool __wrap_hkm_remote_receive(struct hkm_heap *heap);
void __real_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count);
void __wrap_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count);
bool __real_hkm_big_free(const struct hkm_policy *policy, void *pointer);
bool __wrap_hkm_big_free(const struct hkm_policy *policy, void *pointer);
void __real_hkm_policy_register(struct hkm_reader *reader);
void __wrap_hkm_policy_register(struct hkm_reader *reader);

static void *handled[4];  /* blocks that a signal handler frees; NULL: none comes */
static const size_t handled_sizes[4] = { 100, 5000, 200000, 3 * MIB };
static atomic_uint handlers;

/* Where the linker has put this, locks are held or about to be. */
static void handle(void)
{
	for (unsigned i = 0; i < 4; i++) {
		void *mine = handled[i];

		handled[i] = NULL;
		if (mine == NULL)
			continue;
		atomic_fetch_add(&handlers, 1);
		hkm_free(mine);
		mine = hkm_malloc(handled_sizes[i]);
		require(mine != NULL, "no memory in a handler");
		hkm_free(mine);
	}
}

static bool in_heapless_thread(void)
{
	return !hkm_tls_heap->enterable && (hkm_tls_heap == &hkm_ended_heap || hkm_tls_heap == &hkm_starting_heap);
}

bool __wrap_hkm_remote_receive(struct hkm_heap *heap)
{
	bool received = __real_hkm_remote_receive(heap);

	if (in_heapless_thread())
		handle();
	return received;
}

void __wrap_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count)
{
	__real_hkm_pool_give(policy, class, blocks, count);
	if (in_heapless_thread())
		handle();
}

bool __wrap_hkm_big_free(const struct hkm_policy *policy, void *pointer)
{
	bool found = __real_hkm_big_free(policy, pointer);

	if (in_heapless_thread())
		handle();
	return found;
}

void __wrap_hkm_policy_register(struct hkm_reader *reader)
{
	__real_hkm_policy_register(reader);
	if (in_heapless_thread())
		handle();
}

static void *handled_then[4]; /* where they were */

static void expect_handlers(void)
{
	for (unsigned i = 0; i < 4; i++)
		handled_then[i] = handled[i] = hkm_malloc(handled_sizes[i]);
}

/* Nothing of what the handlers freed is still with anybody. */
static void check_handlers(void)
{
	require(atomic_load(&handlers) == 4, "%u of 4 handlers ran", atomic_load(&handlers));
	require(atomic_load(&hkm_starting_heap.deferred) == NULL, "what a handler freed is not free yet");
	require(hkm_big_was_freed(handled_then[3]), "the big block is not free");
	require(*hkm_state_of(handled_then[1]) == hkm_state(HKM_STATE_CACHED, handled_then[1]), "the Mid block is not free");
}

static void *end_with_handlers(void *unused)
{
	use_heap();
	return unused;
}

ISOLATED(handlers_interrupt_the_end_of_a_thread)
{
	pthread_t thread;

	quiet_heap();
	expect_handlers();
	require(pthread_create(&thread, NULL, end_with_handlers, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
	check_handlers();
}

ISOLATED(handlers_interrupt_the_beginning_of_a_thread)
{
	quiet_heap();
	expect_handlers();
	hkm_tls_heap = &hkm_no_heap; /* as of a thread that has none yet */
	hkm_free(hkm_malloc(100000));
	check_handlers();
}

/* Frees, after its end, one block of a layer, and is interrupted there. */
static void free_after_the_end(void *block)
{
	struct hkm_heap *own = hkm_tls_heap;

	expect_handlers();
	hkm_tls_heap = &hkm_ended_heap;
	hkm_free(block);
	require(hkm_tls_heap == &hkm_ended_heap, "the thread has a heap");
	hkm_tls_heap = own;
	check_handlers();
}

static void *left_block;

static void *leave_block(void *unused)
{
	left_block = hkm_malloc(100);
	return unused;
}

ISOLATED(handlers_interrupt_frees_of_a_thread_that_has_ended)
{
	static const size_t sizes[] = { 5000, 200000, 3 * MIB };
	pthread_t thread;

	quiet_heap();
	for (unsigned i = 0; i < 3; i++) {
		free_after_the_end(hkm_malloc(sizes[i]));
		atomic_store(&handlers, 0);
	}
	require(pthread_create(&thread, NULL, leave_block, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
	free_after_the_end(left_block);
}

/* ---- A heap that has a thread stays with it --------------------------------------- */

static atomic_bool awake;
static _Atomic(struct hkm_heap *) sleeper;

static void *sleep_for_long(void *block)
{
	struct hkm_heap *own = quiet_heap();
	void *mine = hkm_malloc(100);

	atomic_store(&sleeper, own);
	while (!atomic_load(&awake))
		sched_yield();
	require(hkm_tls_heap == own && !atomic_load(&own->abandoned), "the heap of a live thread was taken");
	hkm_free(mine);
	use_heap();
	hkm_free(block);
	return own;
}

static void a_sleeper_keeps_its_heap(void)
{
	struct hkm_heap *own = quiet_heap();
	pthread_t thread;
	void *taken;

	atomic_store(&awake, false);
	atomic_store(&sleeper, NULL);
	require(pthread_create(&thread, NULL, sleep_for_long, hkm_malloc(50)) == 0, "pthread_create");
	while (atomic_load(&sleeper) == NULL)
		sched_yield();
	look(own);
	require(!atomic_load(&atomic_load(&sleeper)->abandoned), "the heap of a live thread is abandoned");
	require(!atomic_load(&own->abandoned), "the calling thread's heap is abandoned");
	atomic_store(&awake, true);
	pthread_join(thread, &taken);
	require(taken == atomic_load(&sleeper), "another heap");
}

ISOLATED(a_live_thread_keeps_its_heap)
{
	a_sleeper_keeps_its_heap();
}

#ifndef HAKMEM_TEST_SANITIZED
static void *look_from_another_thread(void *parents)
{
	look(quiet_heap());
	require(!atomic_load(&((struct hkm_heap *)parents)->abandoned), "the main thread's heap was taken");
	return NULL;
}

/* What the child inherits says that threads of its parent have heaps; the parent ends, and numbers of threads are
 * used again. */
static void check_child(pid_t child)
{
	int status = 0;

	if (child == 0) {
		struct hkm_heap *own = hkm_heap_get();
		pthread_t thread;

		alarm(CHILD_SECONDS);
		a_sleeper_keeps_its_heap();
		check_heaps(own);
		require(pthread_create(&thread, NULL, look_from_another_thread, own) == 0, "pthread_create");
		pthread_join(thread, NULL);
		require(hkm_heap_get() == own, "the heap is another's");
		_exit(0);
	}
	require(child > 0 && waitpid(child, &status, 0) == child, "fork");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x", (unsigned)status);
}

ISOLATED(children_keep_their_heaps)
{
	quiet_heap();
	check_child(fork());
	check_child((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

/* In the child its only thread ends, and another goes on. */
static void *outlive_the_first(void *parents)
{
	struct hkm_heap *own = quiet_heap();

	atomic_store(&sleeper, own);
	for (unsigned i = 0; i < 50 && !atomic_load(&((struct hkm_heap *)parents)->abandoned); i++)
		look(own);
	_exit(atomic_load(&((struct hkm_heap *)parents)->abandoned) ? 0 : 1);
}

ISOLATED(the_first_thread_of_a_child_may_end_without_a_word)
{
	int status = 0;
	quiet_heap();
	pid_t child = fork();

	if (child == 0) {
		pthread_t thread;

		alarm(CHILD_SECONDS);
		require(pthread_create(&thread, NULL, outlive_the_first, hkm_heap_get()) == 0, "pthread_create");
		while (atomic_load(&sleeper) == NULL)
			sched_yield();
		syscall(SYS_exit, 0);
	}
	require(child > 0 && waitpid(child, &status, 0) == child, "fork");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x", (unsigned)status);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destructors_that_allocate_in_the_last_round_cost_no_heap),
		cmocka_unit_test(destructors_that_end_their_thread_cost_no_heap),
		cmocka_unit_test(threads_that_end_without_a_word_cost_no_heap),
		cmocka_unit_test(threads_that_exit_or_are_cancelled_cost_no_heap),
		cmocka_unit_test(handlers_interrupt_the_end_of_a_thread),
		cmocka_unit_test(handlers_interrupt_the_beginning_of_a_thread),
		cmocka_unit_test(handlers_interrupt_frees_of_a_thread_that_has_ended),
		cmocka_unit_test(a_live_thread_keeps_its_heap),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(children_keep_their_heaps),
		cmocka_unit_test(the_first_thread_of_a_child_may_end_without_a_word),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
