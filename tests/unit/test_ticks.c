/* test_ticks.c - what a heap does from time to time: each duty of a tick by itself, and what bounds it. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>

#include "big/big.h"
#include "heap/registry.h"

#define MANY_HEAPS 1200u
#define LOOKED_AFTER 512u /* as in heap.c */
#define MOST_BETWEEN_LOOKS_MS 300u

static pthread_barrier_t turn;

static void take_turns(void)
{
	pthread_barrier_wait(&turn);
}

/* As long as this holds, whoever sends to the heap leaves the message to its thread. */
static void call_awake(struct hkm_heap *heap)
{
	hkm_set_count(&heap->last_poll_ms, UINT64_MAX);
}

static void call_asleep(struct hkm_heap *heap)
{
	hkm_set_count(&heap->last_poll_ms, 0);
}

static size_t outbox_blocks(const struct hkm_heap *heap)
{
	size_t count = 0;

	for (size_t i = 0; i < HKM_OUTBOXES; i++)
		count += heap->outboxes[i].blocks;
	return count;
}

static void run_thread(void *(*work)(void *), void *argument)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, work, argument) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

/* ---- Messages ---------------------------------------------------------------------- */

static void *free_block(void *block)
{
	hkm_free(block);
	return NULL;
}

ISOLATED(a_tick_takes_in_what_others_have_sent)
{
	struct hkm_heap *own = quiet_heap();
	void *block = hkm_malloc(100);

	call_awake(own);
	run_thread(free_block, block);
	require(atomic_load(&own->inbox) != NULL, "nothing was sent");
	tick(own);
	require(atomic_load(&own->inbox) == NULL, "the message still waits");
}

static void *leave_block(void *block)
{
	*(void **)block = hkm_malloc(100);
	return NULL;
}

ISOLATED(a_tick_sends_what_waits_for_others)
{
	struct hkm_heap *own = quiet_heap();
	void *block;

	run_thread(leave_block, &block);
	hkm_free(block);
	require(outbox_blocks(own) == 1, "%zu blocks wait", outbox_blocks(own));
	tick(own);
	require(outbox_blocks(own) == 0, "the block still waits");
}

static _Atomic(struct hkm_heap *) other;

static void *stay(void *block)
{
	struct hkm_heap *own = quiet_heap();

	for (unsigned i = 0; i < 50; i++) /* so that the hot list may take frees */
		*(void **)block = hkm_malloc(100);
	atomic_store(&other, own);
	take_turns();
	take_turns();
	return NULL;
}

static pthread_t start_other(void *block)
{
	pthread_t thread;

	pthread_barrier_init(&turn, NULL, 2);
	require(pthread_create(&thread, NULL, stay, block) == 0, "pthread_create");
	take_turns();
	return thread;
}

static void end_other(pthread_t thread)
{
	take_turns();
	pthread_join(thread, NULL);
}

/* The next look at others is due, whoever was the last to look. */
static void wait_until_due(void)
{
	uint64_t started = hkm_os_now_ms();

	while (hkm_os_now_ms() - started < MOST_BETWEEN_LOOKS_MS)
		sleep_milliseconds(4);
}

ISOLATED(a_tick_looks_after_threads_that_sleep)
{
	struct hkm_heap *own = quiet_heap();
	void *block;
	pthread_t thread = start_other(&block);
	struct hkm_heap *sleeper = atomic_load(&other);

	call_awake(sleeper);
	hkm_free(block);
	hkm_remote_send_all(own);
	require(atomic_load(&sleeper->inbox) != NULL, "nothing was sent");
	call_asleep(sleeper);
	wait_until_due();
	tick(own);
	require(atomic_load(&sleeper->inbox) == NULL, "the message still waits");
	end_other(thread);
}

/* ---- More than may be done in one tick ---------------------------------------------------- */

#define MANY_BLOCKS 3000000u

static void *many[MANY_BLOCKS];

static void *own_many(void *unused)
{
	atomic_store(&other, quiet_heap());
	for (size_t i = 0; i < MANY_BLOCKS; i++)
		many[i] = hkm_malloc(8);
	take_turns();
	take_turns();
	return unused;
}

/* Millions of blocks take milliseconds at least, wherever they lie. */
ISOLATED(ticks_share_what_has_been_sent_to_a_sleeper)
{
	struct hkm_heap *own = quiet_heap(), *sleeper;
	pthread_t thread;
	uint64_t before = 0, received;
	unsigned ticks = 0;

	pthread_barrier_init(&turn, NULL, 2);
	require(pthread_create(&thread, NULL, own_many, NULL) == 0, "pthread_create");
	take_turns();
	sleeper = atomic_load(&other);
	call_awake(sleeper);
	for (size_t i = 0; i < MANY_BLOCKS; i++)
		hkm_free(many[i]);
	hkm_remote_send_all(own);
	call_asleep(sleeper);
	wait_until_due();
	do {
		tick(own);
		ticks++;
		received = hkm_counted(&sleeper->counters.remote_received);
		require(received > before, "tick %u has taken in nothing", ticks);
		before = received;
	} while (hkm_heap_has_mail(sleeper));
	require(received == MANY_BLOCKS, "%lu blocks came", (unsigned long)received);
	require(ticks > 2, "%u ticks did it all", ticks);
	end_other(thread);
}

ISOLATED(who_sends_to_a_thread_that_sleeps_takes_it_in)
{
	struct hkm_heap *own = quiet_heap();
	void *block;
	pthread_t thread = start_other(&block);
	struct hkm_heap *sleeper = atomic_load(&other);
	struct hkm_bin bin = sleeper->bins[hkm_tiny_class(100)];

	require(bin.room > 0, "nothing may be freed to the hot list");
	hkm_set_count(&own->last_poll_ms, hkm_os_now_ms());
	call_asleep(sleeper);
	hkm_free(block);
	hkm_remote_send_all(own);
	require(hkm_counted(&sleeper->counters.remote_received) == 1 && atomic_load(&sleeper->inbox) == NULL,
		"the message waits until the thread wakes up");
	/* Which it may do at any moment: its fast paths work on the hot list. */
	require(memcmp(&bin, &sleeper->bins[hkm_tiny_class(100)], sizeof bin) == 0, "the hot list was changed");
	end_other(thread);
}

/* ---- What lies idle ------------------------------------------------------------------ */

ISOLATED(a_tick_shortens_hot_lists)
{
	struct hkm_heap *own = quiet_heap();
	unsigned class = hkm_tiny_class(64);
	void *blocks[60];
	size_t before;

	for (size_t i = 0; i < 60; i++)
		blocks[i] = hkm_malloc(64);
	for (size_t i = 1; i < 60; i++)
		hkm_free(blocks[i]);
	before = hkm_tiny_hot_length(own, class);
	require(before >= 2, "a hot list of %zu", before);
	tick(own);
	require(hkm_tiny_hot_length(own, class) <= before / 2, "%zu blocks are hot, before %zu",
		hkm_tiny_hot_length(own, class), before);
	tick(own);
	require(hkm_tiny_hot_length(own, class) == 0, "%zu blocks are hot that nobody uses",
		hkm_tiny_hot_length(own, class));
}

/* Who has freed memory is to give it back when its time has come, so the next look at the clock must not be far. */
ISOLATED(who_expects_a_tick_is_granted_few_frees)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_bin *bin = &own->bins[hkm_tiny_class(64)];

	for (unsigned i = 0; i < 100000 && bin->room <= HKM_GRANT_MIN; i++)
		require(hkm_malloc(64) != NULL, "no memory");
	require(bin->room > HKM_GRANT_MIN, "%d frees are granted", bin->room);
	own->expecting = false;
	hkm_heap_expect_tick(own);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		require(own->bins[class].room <= HKM_GRANT_MIN, "class %u: %d frees are granted", class,
			own->bins[class].room);
	settle(own);
}

/* Idle memory beyond the bound goes at once; but the bound is at least a quarter of all that is mapped. */
ISOLATED(a_part_of_a_large_heap_lies_idle_until_its_time)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_policy policy;
	void *blocks[200];

	hkm_policy_copy(&policy);
	policy.purge_delay_ms = 600000;
	policy.dirty_bytes = 2 * MIB;
	impose(own, &policy);
	for (size_t i = 0; i < 200; i++)
		blocks[i] = hkm_malloc(MIB);
	for (size_t i = 0; i < 40; i++)
		hkm_free(blocks[i]);
	hkm_ace_flush(own, hkm_heap_enter(own));
	hkm_heap_leave(own);
	hkm_pool_release_idle(true);
	settle(own);
	require(hkm_span_dirty() >= 30 * MIB, "%zu bytes lie idle", hkm_span_dirty());
}

/* The process does not grow while it holds memory that nobody uses. */
ISOLATED(where_spans_grow_idle_big_memory_goes)
{
	struct hkm_policy policy;
	struct hkm_heap *own = quiet_heap();

	hkm_policy_copy(&policy);
	policy.purge_delay_ms = 600000;
	impose(own, &policy);
	hkm_free(hkm_malloc(40 * MIB));
	require(hkm_big_cached() == 40 * MIB, "%zu bytes are kept", hkm_big_cached());
	for (size_t i = 0; i < 30; i++)
		require(hkm_malloc(MIB) != NULL, "no memory");
	require(hkm_big_cached() <= 20 * MIB, "%zu bytes are kept", hkm_big_cached());
}

/* ---- What bounds a tick --------------------------------------------------------------- */

void __real_hkm_pool_release_idle(bool all);
void __wrap_hkm_pool_release_idle(bool all);
bool __real_hkm_heap_bury(struct hkm_heap *heap);
bool __wrap_hkm_heap_bury(struct hkm_heap *heap);

static unsigned idle_looks, heap_looks;

void __wrap_hkm_pool_release_idle(bool all)
{
	idle_looks++;
	__real_hkm_pool_release_idle(all);
}

bool __wrap_hkm_heap_bury(struct hkm_heap *heap)
{
	heap_looks++;
	return __real_hkm_heap_bury(heap);
}

ISOLATED(one_thread_of_many_looks_through_idle_pools)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_policy policy;
	void *block;
	pthread_t thread = start_other(&block);
	uint64_t started;

	hkm_policy_copy(&policy);
	policy.purge_delay_ms = 600000;
	impose(own, &policy);
	/* The next look is due a quarter of a second later; a machine that needs longer for these few lines tries again. */
	do {
		started = hkm_os_now_ms();
		while (idle_looks = 0, tick(own), idle_looks == 0)
			sleep_milliseconds(4);
		for (size_t i = 0; i < 10; i++)
			tick(own);
	} while (hkm_os_now_ms() - started > 200 && idle_looks > 1 && (sleep_milliseconds(300), true));
	require(idle_looks == 1, "%u ticks of 11 have looked", idle_looks);
	end_other(thread);
}

static void make_heaps(struct hkm_heap *own)
{
	for (unsigned i = 0; i < MANY_HEAPS; i++) {
		hkm_tls_heap = &hkm_no_heap;
		require(hkm_heap_acquire(NULL) != NULL, "no memory");
	}
	hkm_tls_heap = own;
}

ISOLATED(a_tick_looks_at_so_many_heaps_only)
{
	struct hkm_heap *own = quiet_heap();
	unsigned sum = 0, looks = 0;

	make_heaps(own);
	while (sum < MANY_HEAPS) {
		heap_looks = 0;
		tick(own);
		require(heap_looks <= LOOKED_AFTER, "a tick has looked at %u heaps", heap_looks);
		sum += heap_looks;
		looks += heap_looks > 0;
		sleep_milliseconds(4);
	}
	require(looks >= MANY_HEAPS / LOOKED_AFTER, "%u heaps in %u looks", sum, looks);
}

/* ---- Long-lived blocks ------------------------------------------------------------------ */

/* Nobody's hot list is to hold a long-lived block that was freed: nobody may ever ask for it. */
ISOLATED(a_long_lived_block_that_is_freed_lies_on_its_slab)
{
	struct hkm_heap *own = quiet_heap(), *left;
	void *block;

	run_thread(leave_block, &block);
	left = hkm_heap_first();
	require(left != own && atomic_load(&left->abandoned), "no heap was left");
	hkm_long_lived_heap = left; /* of which no thread begins any more */
	for (unsigned i = 0; i < 100; i++)
		block = hkm_heap_alloc_long_lived(own, 100);
	hkm_free(block);
	hkm_remote_send_all(own);
	require(slab_of_block(block)->freed == block, "the block is elsewhere");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_tick_takes_in_what_others_have_sent),
		cmocka_unit_test(a_tick_sends_what_waits_for_others),
		cmocka_unit_test(a_tick_looks_after_threads_that_sleep),
		cmocka_unit_test(ticks_share_what_has_been_sent_to_a_sleeper),
		cmocka_unit_test(who_sends_to_a_thread_that_sleeps_takes_it_in),
		cmocka_unit_test(a_tick_shortens_hot_lists),
		cmocka_unit_test(who_expects_a_tick_is_granted_few_frees),
		cmocka_unit_test(a_part_of_a_large_heap_lies_idle_until_its_time),
		cmocka_unit_test(where_spans_grow_idle_big_memory_goes),
		cmocka_unit_test(one_thread_of_many_looks_through_idle_pools),
		cmocka_unit_test(a_tick_looks_at_so_many_heaps_only),
		cmocka_unit_test(a_long_lived_block_that_is_freed_lies_on_its_slab),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
