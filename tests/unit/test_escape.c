/* test_escape.c - slow paths that a signal handler interrupts for long, or for good: the thread goes on allocating.
 */
#include "unit.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>

#include "api/api.h"
#include "big/big.h"
#include "core/meta.h"

#define MANY 3000u

bool __real_hkm_tiny_refill(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class);
bool __wrap_hkm_tiny_refill(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class);

static bool interrupted;              /* the next refill is */
static struct hkm_lock *lock_at_hand; /* that the refill holds meanwhile; NULL: none but the heap's */

/* The linker puts this between malloc and its refill of a hot list, in which the heap's lock is held. */
bool __wrap_hkm_tiny_refill(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class)
{
	if (interrupted) {
		interrupted = false;
		if (lock_at_hand != NULL)
			hkm_lock_acquire(lock_at_hand);
		raise(SIGUSR1);
		if (lock_at_hand != NULL)
			hkm_lock_release(lock_at_hand);
	}
	return __real_hkm_tiny_refill(heap, policy, class);
}

static void handle_with(void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	require(sigaction(SIGUSR1, &action, NULL) == 0, "sigaction");
}

static size_t heaps(void)
{
	size_t count = 0;

	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		count++;
	return count;
}

/* A malloc that is interrupted: of a size whose hot list is empty. */
static void *interrupted_malloc(void)
{
	void *block = NULL;

	interrupted = true;
	for (size_t i = 0; i < 2000 && interrupted; i++) {
		block = hkm_malloc(200); /* which stays */
		require(block != NULL, "no memory");
	}
	require(!interrupted, "no refill");
	return block;
}

/* MANY blocks of all layers at the same time. Result: how many came from the reserve. */
static size_t allocate_many(void)
{
	struct hkm_heap *own;
	static const size_t sizes[] = { 20, 200, 1000, 3000, 50000, 3 * MIB };
	static void *blocks[MANY];
	size_t reserved = 0;

	for (size_t i = 0; i < MANY; i++) {
		size_t size = i % 100 == 0 ? sizes[5] : sizes[i % 5];

		blocks[i] = hkm_malloc(size);
		require(blocks[i] != NULL, "no memory for block %zu", i);
		fill_pattern(blocks[i], 20, i);
		reserved += hkm_reserve_usable(blocks[i]) != 0;
	}
	for (size_t i = 0; i < MANY; i++) {
		require(pattern_holds(blocks[i], 20, 20, i), "a block was overwritten");
		hkm_free(blocks[i]);
	}
	own = hkm_heap_get();
	if (own != NULL && own->enterable)
		check_heaps(own);
	return reserved;
}

/* ---- For good ------------------------------------------------------------------- */

static sigjmp_buf way_out;

static void jump_out(int signal_number)
{
	siglongjmp(way_out, signal_number);
}

static void malloc_and_jump_out(void)
{
	handle_with(jump_out, 0);
	if (sigsetjmp(way_out, 1) == 0)
		interrupted_malloc();
	require(!interrupted, "no signal");
}

static void fork_and_allocate(void)
{
	int status = 0;
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		alarm(CHILD_SECONDS);
		allocate_many();
		_exit(0);
	}
	require(waitpid(child, &status, 0) == child && status == 0, "the child's status is %x", (unsigned)status);
}

static void *live_and_fork(void *unused)
{
	allocate_many();
	fork_and_allocate();
	return unused;
}

static void run_thread(void *(*work)(void *))
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, work, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

ISOLATED(a_jump_out_of_a_slow_path_does_not_end_allocation)
{
	struct hkm_heap *own = quiet_heap(), *now;

	malloc_and_jump_out();
	require(!own->enterable, "the slow path came to its end");
	size_t reserved = allocate_many();

	now = hkm_heap_get();
	require(now != own && now->enterable && reserved < 300, "%zu of %u from the reserve", reserved, MANY);
	require(hkm_heap_active() == 1 && heaps() == 2, "%u active heaps of %zu", hkm_heap_active(), heaps());
	fork_and_allocate();
	run_thread(live_and_fork);
	hkm_malloc_trim(0);
	require(hkm_heap_active() == 1 && hkm_heap_get() == now, "%u active heaps", hkm_heap_active());
}

static void *jump_and_end(void *unused)
{
	malloc_and_jump_out();
	allocate_many();
	return unused;
}

static void *jump_and_end_at_once(void *unused)
{
	malloc_and_jump_out();
	return unused;
}

static void end_thread(int signal_number)
{
	(void)signal_number;
	pthread_exit(NULL);
}

static void *end_in_handler(void *unused)
{
	handle_with(end_thread, 0);
	interrupted_malloc();
	return unused;
}

ISOLATED(threads_end_after_a_jump_or_within_a_handler)
{
	static void *(*const lives[])(void *) = { jump_and_end, jump_and_end_at_once, end_in_handler };
	struct hkm_policy policy;

	quiet_heap();
	for (unsigned i = 0; i < 3; i++) {
		run_thread(lives[i]);
		require(hkm_heap_active() == 1, "life %u: %u active heaps", i, hkm_heap_active());
		fork_and_allocate();
		allocate_many();
	}
	/* What the lost heaps have read is nobody's. */
	hkm_policy_copy(&policy);
	for (unsigned i = 0; i < 10; i++)
		impose(hkm_heap_get(), &policy);
	require(hkm_policy_retired_count() <= 1, "%zu policies are kept", hkm_policy_retired_count());
}

/* ---- For long ------------------------------------------------------------------- */

static size_t from_reserve;

static void allocate_in_handler(int signal_number)
{
	(void)signal_number;
	from_reserve += allocate_many();
}

ISOLATED(a_handler_may_allocate_very_many_blocks)
{
	quiet_heap();
	handle_with(allocate_in_handler, 0);
	for (unsigned i = 0; i < 20; i++) {
		unsigned char *block = interrupted_malloc();

		memset(block, 1, 200);
		hkm_free(block);
		allocate_many();
	}
	require(from_reserve > 0 && from_reserve < 20 * 300, "%zu from the reserve", from_reserve);
	require(heaps() <= 2 && hkm_heap_active() == 1, "%zu heaps, %u active", heaps(), hkm_heap_active());
}

/* What the handler would wait for is held by the slow path that it interrupts. */
ISOLATED(a_handler_does_not_wait_for_locks_of_the_slow_path)
{
	struct hkm_lock *locks[] = { &hkm_span_lock, &hkm_big_lock, &hkm_purge_lock, &hkm_guest.lock, &hkm_policy_lock,
				     &hkm_meta_lock };
	struct hkm_heap *own = quiet_heap();

	handle_with(allocate_in_handler, 0);
	for (unsigned i = 0; i < sizeof locks / sizeof locks[0]; i++) {
		lock_at_hand = locks[i];
		from_reserve = 0;
		require(interrupted_malloc() != NULL, "no memory");
		require(from_reserve > MANY / 2 && hkm_heap_get() == own, "lock %u: %zu from the reserve", i, from_reserve);
	}
}

/* Its frames lie above those of the slow path, as if that were gone. */
ISOLATED(a_handler_on_a_stack_of_its_own_is_not_mistaken)
{
	char stack[256 * 1024]; /* above what follows */
	stack_t above = { .ss_sp = stack, .ss_size = sizeof stack };
	unsigned char *block;

	quiet_heap();
	require(sigaltstack(&above, NULL) == 0, "sigaltstack");
	handle_with(allocate_in_handler, SA_ONSTACK);
	for (unsigned i = 0; i < 20; i++) {
		block = interrupted_malloc();
		memset(block, 1, 200);
		hkm_free(block);
		allocate_many();
	}
	require(heaps() <= 2 && hkm_heap_active() == 1, "%zu heaps, %u active", heaps(), hkm_heap_active());
}

int main(void)
{
#ifdef HAKMEM_TEST_THREAD_SANITIZED /* which allows no handler to allocate */
	return 0;
#endif
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_jump_out_of_a_slow_path_does_not_end_allocation),
		cmocka_unit_test(threads_end_after_a_jump_or_within_a_handler),
		cmocka_unit_test(a_handler_may_allocate_very_many_blocks),
		cmocka_unit_test(a_handler_does_not_wait_for_locks_of_the_slow_path),
		cmocka_unit_test(a_handler_on_a_stack_of_its_own_is_not_mistaken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
