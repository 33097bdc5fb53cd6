/* test_heap.c - heaps: left by a thread and adopted by the next, drained by whoever frees into them, trimmed,
 * copied by fork; what happens to calls that interrupt a slow path.
 */
#include "unit.h"

#include <pthread.h>
#include <sys/resource.h>
#include <sched.h>
#include <stdatomic.h>

#include "api/api.h"
#include "big/big.h"
#include "core/meta.h"
#include "core/options.h"
#include "os/os.h"

#define PAGE ((size_t)4096)
#define BLOCKS 500

static size_t heaps(void)
{
	size_t count = 0;

	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		count++;
	return count;
}

static void run_thread(void *(*work)(void *), void *argument)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, work, argument) == 0, "pthread_create");
	pthread_join(thread, NULL);
}

/* ---- Adoption -------------------------------------------------------------------- */

static void *blocks[BLOCKS];

static size_t size_of_block(size_t i)
{
	return i % 3 == 0 ? 48 : i % 3 == 1 ? 700 : 5000;
}

static void *leave_blocks(void *heap)
{
	*(struct hkm_heap **)heap = quiet_heap();
	for (size_t i = 0; i < BLOCKS; i++) {
		blocks[i] = hkm_malloc(size_of_block(i));
		fill_pattern(blocks[i], size_of_block(i), i);
	}
	return NULL;
}

static size_t outbox_blocks(const struct hkm_heap *heap)
{
	size_t count = 0;

	for (size_t i = 0; i < HKM_OUTBOXES; i++)
		count += heap->outboxes[i].blocks;
	return count;
}

static void *free_blocks_as_own(void *heap)
{
	struct hkm_heap *own = quiet_heap();
	size_t waiting = outbox_blocks(own);

	*(struct hkm_heap **)heap = own;
	for (size_t i = 0; i < BLOCKS; i++) {
		require(pattern_holds(blocks[i], size_of_block(i), size_of_block(i), i), "a block was overwritten");
		hkm_free(blocks[i]);
	}
	require(outbox_blocks(own) == waiting, "a block of the adopted heap is not its own");
	hkm_heap_enter(own);
	hkm_tiny_flush(own);
	hkm_tiny_release_empty(own, 0);
	hkm_tiny_check(own);
	hkm_heap_leave(own);
	require(hkm_counted(&own->tiny_counters[hkm_tiny_class(48)].slabs) == 0 &&
		hkm_counted(&own->tiny_counters[hkm_tiny_class(700)].slabs) == 0, "slabs are left");
	return NULL;
}

ISOLATED(the_next_thread_adopts_the_heap_with_its_blocks)
{
	struct hkm_heap *own = quiet_heap(), *first = NULL, *second = NULL;

	run_thread(leave_blocks, &first);
	require(first != NULL && first != own && heaps() == 2, "%zu heaps", heaps());
	require(atomic_load(&first->abandoned), "the heap is not abandoned");
	require(first->empty_slabs == 0, "%u empty slabs are kept for nobody", first->empty_slabs);
	run_thread(free_blocks_as_own, &second);
	require(second == first && heaps() == 2, "the heap was not adopted");
	require(((uintptr_t)first & (HKM_HEAP_ALIGNMENT - 1)) == 0, "the heap is not aligned");
	require(hkm_heap_of_bin(&first->bins[HKM_TINY_CLASSES - 1]) == first, "a bin does not lead to its heap");
}

static void *note_heap(void *heap)
{
	*(struct hkm_heap **)heap = quiet_heap();
	return NULL;
}

ISOLATED(a_hundred_threads_in_turn_need_one_heap)
{
	struct hkm_heap *first = NULL, *heap = NULL;

	run_thread(note_heap, &first);
	for (size_t i = 0; i < 100; i++) {
		run_thread(note_heap, &heap);
		require(heap == first, "another heap");
		hkm_heap_check();
	}
	require(heaps() == 1, "%zu heaps", heaps());
}

static void *use_policy(void *expected)
{
	struct hkm_heap *own = quiet_heap();

	require(own->remote_blocks == *(uint32_t *)expected, "%u", own->remote_blocks);
	require(own->empty_slabs_kept == hkm_options.empty_slabs, "%u empty slabs may be kept",
		own->empty_slabs_kept);
	return NULL;
}

ISOLATED(an_adopted_heap_takes_the_policy_of_its_day)
{
	struct hkm_policy policy;
	uint32_t expected;
	struct hkm_heap *heap;

	run_thread(note_heap, &heap);
	hkm_policy_copy(&policy);
	expected = policy.remote_blocks;
	run_thread(use_policy, &expected);
	policy.remote_blocks = expected = 33;
	hkm_policy_replace(&policy);
	run_thread(use_policy, &expected);
}

/* ---- Frees into an abandoned heap ------------------------------------------------ */

ISOLATED(frees_into_an_abandoned_heap_arrive_at_once)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL;

	run_thread(leave_blocks, &left);
	for (size_t i = 0; i < BLOCKS; i++) {
		hkm_free(blocks[i]);
		check_heaps(own);
	}
	hkm_remote_send_all(own);
	require(atomic_load(&left->inbox) == NULL, "blocks lie in the inbox of a heap that nobody has");
	require(hkm_counted(&left->counters.remote_received) == hkm_counted(&own->counters.remote_sent),
		"%zu sent, %zu received", (size_t)hkm_counted(&own->counters.remote_sent),
		(size_t)hkm_counted(&left->counters.remote_received));
	/* What its hot lists still hold goes with a trim, whoever asks. */
	hkm_malloc_trim(0);
	require(sum_spans(HKM_KIND_TINY, 48).spans == 0 && sum_spans(HKM_KIND_TINY, 704).spans == 0,
		"slabs are left");
}

/* ---- Messages that arrive while somebody is at an ended heap ---------------------- */

bool __real_hkm_remote_receive(struct hkm_heap *heap);
bool __wrap_hkm_remote_receive(struct hkm_heap *heap);

static void *sent_late; /* a block of 48 bytes, freed just after an ended heap's inbox has been emptied */

/* The linker puts this between the allocator and its hkm_remote_receive. */
bool __wrap_hkm_remote_receive(struct hkm_heap *heap)
{
	bool received = __real_hkm_remote_receive(heap);
	void *block = sent_late;

	if (block != NULL && atomic_load(&heap->abandoned)) {
		sent_late = NULL;
		hkm_remote_free(NULL, heap, 48, block); /* as a thread without a heap does at this moment */
	}
	return received;
}

static void *leave_blocks_and_be_sent_one(void *heap)
{
	leave_blocks(heap);
	sent_late = blocks[0];
	return NULL;
}

ISOLATED(no_message_stays_in_a_heap_that_ends_meanwhile)
{
	struct hkm_heap *left = NULL;

	quiet_heap();
	run_thread(leave_blocks_and_be_sent_one, &left);
	require(sent_late == NULL && atomic_load(&left->abandoned), "the message was not sent");
	require(atomic_load(&left->inbox) == NULL, "the message waits for ever");
}

ISOLATED(no_message_stays_in_a_heap_that_is_trimmed_meanwhile)
{
	struct hkm_heap *left = NULL;

	quiet_heap();
	run_thread(leave_blocks, &left);
	left->bare = false; /* a trim passes over heaps of which it knows that nothing is free beside their slabs */
	sent_late = blocks[0];
	hkm_malloc_trim(0);
	require(sent_late == NULL, "the message was not sent");
	require(atomic_load(&left->inbox) == NULL, "the message waits for ever");
}

ISOLATED(no_message_stays_in_a_heap_that_is_drained_meanwhile)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL;

	run_thread(leave_blocks, &left);
	hkm_free(blocks[3]);
	sent_late = blocks[0];
	hkm_remote_send_all(own); /* which finds that nobody else will look at the message */
	require(sent_late == NULL, "the message was not sent");
	require(atomic_load(&left->inbox) == NULL, "the message waits for ever");
}

/* Whoever sends while another is at an ended heap leaves; who was at it looks again when it lets go. */
ISOLATED(fork_takes_in_what_was_sent_meanwhile)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL;

	run_thread(leave_blocks, &left);
	hkm_heap_fork_prepare();
	/* As a thread without a heap does, which may go on. */
	for (size_t i = 0; i < BLOCKS; i++)
		if (size_of_block(i) == 48)
			hkm_remote_free(NULL, left, 48, blocks[i]);
	require(atomic_load(&left->inbox) != NULL, "the message did not wait");
	hkm_heap_fork_parent();
	require(atomic_load(&left->inbox) == NULL && own->enterable, "the message still waits");
}

/* ---- Trimming -------------------------------------------------------------------- */

static void use_and_free(size_t bytes)
{
	static void *taken[60000];
	struct random_source random = { 3 };
	size_t count = 0;

	for (size_t used = 0; used < bytes; count++) {
		size_t size = random_between(&random, 1, count % 8 == 0 ? 60000 : 1000);

		require(count < sizeof taken / sizeof taken[0], "too many");
		taken[count] = hkm_malloc(size);
		memset(taken[count], 1, size);
		used += size;
	}
	while (count > 0)
		hkm_free(taken[--count]);
}

/* ---- Sleepers -------------------------------------------------------------------- */

#define PASSED 256u         /* places between the two threads */
#define OWNER_ROUNDS 20000u

static _Atomic(void *) passed[PASSED];
static _Atomic(struct hkm_heap *) owning; /* the owner's heap; NULL: it has ended its work */
static atomic_bool draining, drained;

/* Allocates, frees some itself and leaves others to be freed. */
static void *own_blocks(void *unused)
{
	struct random_source random = { 7 };

	hkm_free(hkm_malloc(100));
	atomic_store(&owning, hkm_tls_heap);
	while (!atomic_load(&draining))
		sched_yield();
	for (unsigned i = 0; i < OWNER_ROUNDS; i++) {
		size_t size = random_between(&random, 1, 1024);
		void *block = hkm_malloc(size);

		fill_pattern(block, size, size);
		block = atomic_exchange(&passed[random_between(&random, 0, PASSED - 1)], block);
		hkm_free(block);
	}
	atomic_store(&owning, NULL);
	while (!atomic_load(&drained))
		sched_yield();
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		require(hkm_tls_heap->tiny[class].in_use >= 0, "class %u", class);
	return unused;
}

/* Whoever takes in what was freed for a heap need not know whether its thread sleeps: here it does not. */
ISOLATED(an_inbox_is_emptied_by_others_while_its_owner_goes_on)
{
	pthread_t thread;
	struct hkm_heap *heap = NULL, *now;
	unsigned drains = 0;

	require(pthread_create(&thread, NULL, own_blocks, NULL) == 0, "pthread_create");
	while (heap == NULL)
		heap = atomic_load(&owning);
	while ((now = atomic_load(&owning)) != NULL) {
		for (unsigned i = 0; i < PASSED; i++)
			hkm_free(atomic_exchange(&passed[i], NULL));
		hkm_remote_send_all(hkm_tls_heap);
		hkm_heap_drain(heap);
		drains++;
		atomic_store(&draining, true);
	}
	for (unsigned i = 0; i < PASSED; i++)
		hkm_free(atomic_exchange(&passed[i], NULL));
	hkm_remote_send_all(hkm_tls_heap);
	hkm_heap_drain(heap);
	require(atomic_load(&heap->inbox) == NULL && drains > 0, "the inbox is not empty after %u", drains);
	atomic_store(&drained, true);
	pthread_join(thread, NULL);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		require(heap->tiny[class].in_use == 0 && hkm_counted(&heap->tiny_counters[class].slabs) == 0,
			"class %u: %d blocks in use, %lu slabs", class, heap->tiny[class].in_use,
			(unsigned long)hkm_counted(&heap->tiny_counters[class].slabs));
}

/* ---- More than is received at once -------------------------------------------------- */

#define MANY 50000u
#define AT_ONCE 4096u

static void *many[MANY];

static void allocate_many(void)
{
	for (size_t i = 0; i < MANY; i++)
		many[i] = hkm_malloc(48);
}

static void *free_many(void *unused)
{
	for (size_t i = 0; i < MANY; i++)
		hkm_free(many[i]);
	return unused;
}

/* Result: blocks received since `before`. */
static size_t received_since(const struct hkm_heap *heap, size_t before)
{
	return (size_t)hkm_counted(&heap->counters.remote_received) - before;
}

ISOLATED(an_inbox_is_received_piece_by_piece)
{
	struct hkm_heap *own = quiet_heap();
	size_t before = 0;

	allocate_many();
	run_thread(free_many, NULL);
	while (before < MANY) {
		require(hkm_heap_has_mail(own), "%u blocks are lost", MANY - (unsigned)before);
		hkm_heap_enter(own);
		hkm_remote_receive(own);
		hkm_heap_leave(own);
		hkm_remote_check(own);
		require(received_since(own, before) <= AT_ONCE && received_since(own, before) > 0, "%zu at once",
			received_since(own, before));
		before += received_since(own, before);
	}
	require(before == MANY && !hkm_heap_has_mail(own), "%zu of %u blocks came", before, MANY);
}

ISOLATED(a_trim_takes_in_all_of_its_own_inbox)
{
	struct hkm_heap *own = quiet_heap();

	allocate_many();
	run_thread(free_many, NULL);
	hkm_malloc_trim(0);
	require(received_since(own, 0) == MANY && !hkm_heap_has_mail(own), "%zu blocks came", received_since(own, 0));
	require(sum_spans(HKM_KIND_TINY, 48).spans == 0, "slabs are left");
}

static struct hkm_heap *many_owner;
static _Atomic int phase;

static void wait_for_phase(int which)
{
	while (atomic_load(&phase) != which)
		sched_yield();
}

static void *own_many(void *unused)
{
	many_owner = quiet_heap();
	allocate_many();
	atomic_store(&phase, 1);
	wait_for_phase(2);
	return unused;
}

/* Blocks of another thread, which are still in its inbox. */
static pthread_t fill_inbox_of_another(void)
{
	pthread_t thread;

	quiet_heap();
	require(pthread_create(&thread, NULL, own_many, NULL) == 0, "pthread_create");
	wait_for_phase(1);
	hkm_set_count(&many_owner->last_poll_ms, hkm_os_now_ms() + 1000 * 1000); /* awake */
	free_many(NULL);
	hkm_remote_send_all(hkm_tls_heap);
	require(hkm_heap_has_mail(many_owner) && received_since(many_owner, 0) == 0, "taken in too early");
	return thread;
}

ISOLATED(a_thread_that_ends_takes_in_all_of_its_inbox)
{
	pthread_t thread = fill_inbox_of_another();

	atomic_store(&phase, 2);
	pthread_join(thread, NULL);
	require(received_since(many_owner, 0) == MANY && !hkm_heap_has_mail(many_owner), "%zu blocks came",
		received_since(many_owner, 0));
}

ISOLATED(a_sleepers_inbox_is_drained_piece_by_piece_or_trimmed_at_once)
{
	pthread_t thread = fill_inbox_of_another();

	hkm_heap_drain(many_owner);
	require(received_since(many_owner, 0) == AT_ONCE, "%zu blocks came", received_since(many_owner, 0));
	hkm_set_count(&many_owner->last_poll_ms, 1);
	hkm_malloc_trim(0);
	require(received_since(many_owner, 0) == MANY, "%zu blocks came", received_since(many_owner, 0));
	atomic_store(&phase, 2);
	pthread_join(thread, NULL);
}

ISOLATED(an_abandoned_inbox_is_drained_piece_by_piece)
{
	pthread_t thread = fill_inbox_of_another();
	struct hkm_block *waiting = atomic_exchange(&many_owner->inbox, NULL);

	atomic_store(&phase, 2);
	pthread_join(thread, NULL);
	require(atomic_load(&many_owner->abandoned), "it has a thread");
	atomic_store(&many_owner->inbox, waiting);
	for (size_t all = 0; all < MANY; all += AT_ONCE) {
		require(received_since(many_owner, 0) == all, "%zu blocks came", received_since(many_owner, 0));
		hkm_heap_drain(many_owner);
	}
	require(received_since(many_owner, 0) == MANY && !hkm_heap_has_mail(many_owner), "%zu blocks came",
		received_since(many_owner, 0));
}

ISOLATED(trimming_gives_everything_back)
{
	struct hkm_span_stats stats;
	struct hkm_heap *own = quiet_heap();

	use_and_free(40 * MIB);
	hkm_free(hkm_malloc(8 * MIB));
	require(hkm_heap_trim_all() > 4 * MIB, "hardly anything was given back");
	hkm_span_stats(&stats);
	require(stats.mapped <= HKM_SUPERSLAB_SIZE && stats.dirty_slices == 0, "%zu bytes mapped, %zu slices dirty",
		stats.mapped, stats.dirty_slices);
	require(stats.free_slices * HKM_SLICE_SIZE == stats.mapped, "slices are in use");
	require(hkm_big_cached() == 0, "%zu bytes are cached", hkm_big_cached());
	require(own->empty_slabs == 0, "%u empty slabs", own->empty_slabs);
	require(hkm_malloc_trim(0) == 0, "nothing was left, but something is said to be given back");
	require(hkm_malloc(100) != NULL, "no memory afterwards");
}

ISOLATED(a_trim_sends_what_waits_for_others)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL;

	run_thread(leave_blocks, &left);
	hkm_free(blocks[0]);
	require(outbox_blocks(own) == 1, "%zu blocks wait", outbox_blocks(own));
	hkm_malloc_trim(0);
	require(outbox_blocks(own) == 0, "a block waits for another heap");
}

/* Of a thousand that have ended each would be a page to fetch. */
ISOLATED(a_trim_leaves_heaps_alone_that_have_nothing)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL;
	struct hkm_policy policy;
	uint64_t seen;

	run_thread(leave_blocks, &left);
	require(left->bare, "something lies in the heap of a thread that has ended");
	hkm_policy_copy(&policy);
	policy.remote_blocks = 33;
	impose(own, &policy);
	seen = atomic_load(&left->reader.seen);
	hkm_malloc_trim(0);
	require(atomic_load(&left->reader.seen) == seen, "somebody was in the heap");
}

static pthread_barrier_t turn;

static void take_turns(void)
{
	pthread_barrier_wait(&turn);
}

static void *follow_trim(void *argument)
{
	struct hkm_heap *own = quiet_heap();

	use_and_free(4 * MIB);
	take_turns();
	/* The main thread trims. */
	take_turns();
	tick(own);
	require(own->trim_generation > 0, "the request was not followed");
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		require(hkm_counted(&own->tiny_counters[class].slabs) == 0 && own->bins[class].head == NULL,
			"class %u holds memory", class);
	require(hkm_span_dirty() == 0, "%zu bytes are dirty", hkm_span_dirty());
	return argument;
}

ISOLATED(other_threads_follow_a_trim_at_their_next_look)
{
	pthread_t thread;

	quiet_heap();
	pthread_barrier_init(&turn, NULL, 2);
	pthread_create(&thread, NULL, follow_trim, NULL);
	take_turns();
	hkm_heap_trim_all();
	take_turns();
	pthread_join(thread, NULL);
}

/* ---- The clock ------------------------------------------------------------------- */

ISOLATED(idle_memory_goes_after_its_delay)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_policy policy;

	hkm_policy_copy(&policy);
	policy.purge_delay_ms = 600000;
	impose(own, &policy);
	use_and_free(8 * MIB);
	hkm_free(hkm_malloc(4 * MIB));
	require(own->expecting, "no tick is expected");
	for (size_t i = 0; i < 20; i++)
		tick(own);
	require(hkm_span_dirty() > 4 * MIB && hkm_big_cached() == 4 * MIB, "purged before its time");
	policy.purge_delay_ms = 0;
	impose(own, &policy);
	next_tick_of_clock(hkm_os_now_ms);
	tick(own);
	require(hkm_span_dirty() == 0 && hkm_big_cached() == 0, "%zu and %zu bytes are held", hkm_span_dirty(),
		hkm_big_cached());
	require(!own->expecting, "a tick is expected for nothing");
	require(own->empty_slabs == 0, "%u empty slabs", own->empty_slabs);
}

ISOLATED(a_mass_of_idle_memory_does_not_wait)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_policy policy;
	struct hkm_span_stats stats;
	static void *taken[40];

	hkm_policy_copy(&policy);
	policy.purge_delay_ms = 600000;
	policy.dirty_bytes = 8 * MIB;
	impose(own, &policy);
	for (size_t i = 0; i < 40; i++)
		taken[i] = hkm_malloc(MIB);
	for (size_t i = 0; i < 40; i++) {
		hkm_free(taken[i]);
		settle(own);
		hkm_span_stats(&stats);
		require(hkm_span_dirty() <= hkm_max(8 * MIB, stats.mapped / 4), "%zu bytes of %zu are dirty",
			hkm_span_dirty(), stats.mapped);
	}
	require(hkm_span_dirty() > 0, "nothing waits for its delay");
}

/* ---- fork ------------------------------------------------------------------------ */

static bool all_locks_are(bool held)
{
	bool as_wanted = hkm_lock_is_held(&hkm_policy_lock) == held && hkm_lock_is_held(&hkm_meta_lock) == held &&
		hkm_lock_is_held(&hkm_span_lock) == held && hkm_lock_is_held(&hkm_big_lock) == held &&
		hkm_lock_is_held(&hkm_purge_lock) == held &&
		hkm_lock_is_held(&hkm_guest.lock) == held && hkm_gate_is_closed(&hkm_fork_gate) == held;

	/* Those of heaps are known to be free, and are not taken. */
	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		as_wanted &= !hkm_lock_is_held(&heap->reader.lock);
	return as_wanted;
}

static void work_a_little(void)
{
	use_and_free(1 * MIB);
	hkm_free(hkm_malloc(3 * MIB));
}

ISOLATED(fork_hooks_take_all_locks_and_give_them_back)
{
	struct hkm_heap *own = quiet_heap(), *left;

	run_thread(note_heap, &left);
	for (size_t i = 0; i < 3; i++) {
		hkm_heap_fork_prepare();
		require(all_locks_are(true), "a lock is not taken");
		require(!own->enterable, "a signal handler may enter the heap");
		hkm_heap_fork_parent();
		require(own->enterable, "the heap stays closed");
		require(all_locks_are(false), "a lock is not given back");
		work_a_little();
	}
	hkm_heap_fork_prepare();
	hkm_heap_fork_child();
	require(all_locks_are(false) && own->enterable, "a lock is not given back in the child");
	work_a_little();
}

/* As in a signal handler: the slow path, which stands still, may hold any of the locks. */
ISOLATED(a_fork_that_interrupts_a_slow_path_takes_no_lock)
{
	struct hkm_heap *own = quiet_heap();

	hkm_heap_guard(own, true);
	hkm_heap_fork_prepare();
	require(all_locks_are(false), "a lock is taken");
	hkm_heap_fork_parent();
	require(all_locks_are(false) && !own->enterable, "the slow path is said to have ended");
	hkm_heap_guard(own, false);
	hkm_heap_fork_prepare();
	require(all_locks_are(true), "a lock is not taken");
	hkm_heap_fork_parent();
	work_a_little();
}

static atomic_bool has_left;

static void *stay_in_slow_path(void *entered)
{
	struct hkm_heap *own = quiet_heap();

	hkm_heap_enter(own);
	atomic_store((atomic_bool *)entered, true);
	/* A fork that does not wait is through within a millisecond of closing the gate; one that does cannot say that it is here. */
	while (!hkm_gate_is_closed(&hkm_fork_gate))
		sched_yield();
	sleep_milliseconds(50);
	atomic_store(&has_left, true);
	hkm_heap_leave(own);
	return NULL;
}

ISOLATED(fork_waits_for_who_is_in_a_slow_path)
{
	static atomic_bool entered;
	pthread_t thread;

	quiet_heap();
	require(pthread_create(&thread, NULL, stay_in_slow_path, &entered) == 0, "pthread_create");
	while (!atomic_load(&entered))
		sched_yield();
	hkm_heap_fork_prepare();
	require(atomic_load(&has_left), "a thread is still in its slow path");
	hkm_heap_fork_parent();
	pthread_join(thread, NULL);
}

static atomic_int parked;

/* Holds memory in every place that a heap has, and never runs again. */
static void *hold_and_park(void *heap)
{
	struct hkm_heap *own = quiet_heap();

	for (size_t i = 0; i < BLOCKS; i++) {
		hkm_free(blocks[i]); /* into the outbox for the main thread's heap */
		blocks[i] = hkm_malloc(size_of_block(i));
		fill_pattern(blocks[i], size_of_block(i), i);
	}
	for (size_t i = 0; i < 20; i++)
		hkm_free(hkm_malloc(300));
	*(struct hkm_heap **)heap = own;
	atomic_store(&parked, 1);
	for (;;)
		pause();
	return NULL;
}

ISOLATED(the_child_of_a_fork_adopts_the_heaps_of_lost_threads)
{
	struct hkm_heap *own = quiet_heap(), *lost = NULL, *adopted = NULL;
	pthread_t thread;

	for (size_t i = 0; i < BLOCKS; i++)
		blocks[i] = hkm_malloc(size_of_block(i));
	pthread_create(&thread, NULL, hold_and_park, &lost);
	while (atomic_load(&parked) == 0)
		sched_yield();
	/* The thread was interrupted while it counted a block that it had just put into its outbox. */
	for (size_t i = 0; i < HKM_OUTBOXES; i++) {
		lost->outboxes[i].last = NULL;
		lost->outboxes[i].blocks = lost->outboxes[i].bytes = 0;
	}
	/* Called directly: this process stands for the child, and the parked thread for a lost one. */
	hkm_heap_fork_prepare();
	hkm_heap_fork_child();
	require(atomic_load(&lost->abandoned) && !atomic_load(&own->abandoned), "the wrong heap is abandoned");
	require(lost->enterable, "the heap is said to be in a slow path");
	for (size_t i = 0; i < HKM_OUTBOXES; i++) {
		const struct hkm_outbox *outbox = &lost->outboxes[i];
		const struct hkm_block *last = NULL;
		uint32_t count = 0;

		for (const struct hkm_block *block = outbox->first; block != NULL; block = hkm_next(block), count++)
			last = block;
		require(outbox->blocks == count && outbox->last == last && (outbox->bytes > 0) == (count > 0), "outbox %zu is not whole", i);
	}
	run_thread(free_blocks_as_own, &adopted);
	require(adopted == lost, "the heap was not adopted");
	work_a_little();
}

static void *cache_and_park(void *heap)
{
	void *mine[20];

	*(struct hkm_heap **)heap = quiet_heap();
	for (size_t i = 0; i < 100; i++)
		blocks[i] = hkm_malloc(100);
	for (size_t i = 0; i < 100; i += 2)
		hkm_free(blocks[i]);
	for (size_t i = 0; i < 20; i++)
		mine[i] = hkm_malloc(5000);
	for (size_t i = 0; i < 20; i++)
		hkm_free(mine[i]);
	atomic_store(&parked, 1);
	for (;;)
		pause();
	return NULL;
}

static uint32_t cached_blocks(const struct hkm_heap *heap)
{
	uint32_t count = 0;

	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		count += heap->caches[class].count;
	return count;
}

/* The heap had nothing to give when the thread before the lost one ended. */
ISOLATED(a_trim_in_the_child_of_a_fork_finds_what_a_lost_thread_has_cached)
{
	struct hkm_heap *own = quiet_heap(), *left = NULL, *lost = NULL;
	pthread_t thread;

	run_thread(note_heap, &left);
	require(left->bare, "something lies in the heap of a thread that has ended");
	pthread_create(&thread, NULL, cache_and_park, &lost);
	while (atomic_load(&parked) == 0)
		sched_yield();
	require(lost == left && cached_blocks(lost) > 0, "nothing is cached");
	hkm_heap_fork_prepare();
	hkm_heap_fork_child();
	hkm_malloc_trim(0);
	require(cached_blocks(lost) == 0, "%u blocks stay in the cache of a lost thread", cached_blocks(lost));
	/* Nobody would ever take from its hot lists what comes later. */
	hkm_free(blocks[1]);
	hkm_remote_send_all(own);
	require(slab_of_block(blocks[1])->freed == blocks[1], "the block is elsewhere");
}

/* ---- Calls that interrupt a slow path -------------------------------------------- */

ISOLATED(frees_that_interrupt_a_slow_path_wait_for_its_end)
{
	static const size_t sizes[] = { 3000, 100000, 3 * MIB };
	struct hkm_heap *own = quiet_heap();
	void *waiting[3];

	for (size_t i = 0; i < 3; i++) {
		waiting[i] = hkm_malloc(sizes[i]);
		memset(waiting[i], 1, sizes[i]);
	}
	hkm_heap_guard(own, true);
	for (size_t i = 0; i < 3; i++) {
		hkm_free(waiting[i]);
		require(atomic_load(&own->deferred) == waiting[i], "the free was not put aside");
		require(hkm_malloc_usable_size(waiting[i]) >= sizes[i], "the block was freed at once");
	}
	hkm_heap_guard(own, false);
	hkm_free(hkm_malloc(500000)); /* any slow path */
	require(atomic_load(&own->deferred) == NULL, "the frees still wait");
	require(hkm_malloc(3000) == waiting[0] && hkm_malloc(100000) == waiting[1], "the blocks were not freed");
	require(hkm_big_was_freed(waiting[2]), "the big block was not freed");
}

/* The last call for long may be any. */
/* Leaves some 60 MiB of free slices, which are resident as far as anybody knows. */
static void leave_idle_spans(struct hkm_heap *own)
{
	static void *idle[500];
	struct hkm_policy policy;

	hkm_policy_copy(&policy);
	policy.dirty_bytes = 1 * GIB;
	impose(own, &policy);
	for (size_t i = 0; i < 500; i++)
		idle[i] = hkm_malloc(120000);
	for (size_t i = 0; i < 500; i++)
		hkm_free(idle[i]);
	hkm_ace_flush(own, hkm_heap_enter(own));
	hkm_heap_leave(own);
	hkm_pool_release_idle(true);
	require(hkm_span_dirty() > 50 * MIB, "%zu bytes lie idle", hkm_span_dirty());
}

ISOLATED(fresh_big_memory_makes_idle_spans_go)
{
	struct hkm_heap *own = quiet_heap();
	size_t before;

	leave_idle_spans(own);
	before = hkm_span_dirty();
	require(hkm_malloc(30 * MIB) != NULL && hkm_span_dirty() <= before - 30 * MIB, "%zu bytes lie idle, before %zu",
		hkm_span_dirty(), before);
}

#ifndef HAKMEM_TEST_SANITIZED /* which needs addresses without limit */
ISOLATED(idle_spans_go_before_a_request_fails)
{
	struct rlimit limit = { 0, RLIM_INFINITY };

	leave_idle_spans(quiet_heap());
	limit.rlim_cur = virtual_bytes() + 10 * MIB;
	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	require(hkm_malloc(40 * MIB) != NULL, "refused, and %zu bytes lie idle", hkm_span_dirty());
}

/* Blocks of two slices until the limit is reached: there is room for 48 KiB more, which is not a superslab's piece, and not a
 * span's. */
ISOLATED(a_few_pages_do_where_no_span_fits)
{
	struct rlimit limit = { 0, RLIM_INFINITY };
	const void *block, *last = NULL;

	quiet_heap();
	hkm_free(hkm_malloc(3 * MIB)); /* so that L2 has its metadata */
	hkm_malloc_trim(0);
	limit.rlim_cur = virtual_bytes() + 48 * KIB;
	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	for (unsigned i = 0; i < 200 && (block = hkm_malloc(40000)) != NULL; i++)
		last = block;
	require(last != NULL && block == NULL, "there is no limit");
	require(!hkm_slice_is_ours(hkm_slice_of(last)), "room for a few pages is left");
}
#endif

/* So that it goes when its time has come. */
ISOLATED(who_keeps_big_memory_expects_a_tick)
{
	struct hkm_heap *own = quiet_heap();
	void *block = hkm_malloc(4 * MIB);

	own->expecting = false;
	hkm_free(block);
	require(own->expecting, "nobody will look at the clock");
}

ISOLATED(frees_that_were_put_aside_go_with_whatever_call_ends_next)
{
	struct hkm_heap *own = quiet_heap();
	char *large = hkm_malloc(100000), *big = hkm_malloc(4 * MIB), *other = NULL;

	for (unsigned i = 0; i < 5; i++) {
		void *waiting = hkm_malloc(3000);

		hkm_heap_guard(own, true);
		hkm_free(waiting);
		hkm_heap_guard(own, false);
		if (i == 0)
			require(hkm_malloc_usable_size(big) >= 4 * MIB, "not that large");
		else if (i == 1)
			big = hkm_realloc(big, 8 * MIB);
		else if (i == 2)
			large = hkm_realloc(large, 200000);
		else if (i == 3)
			hkm_malloc_trim(0);
		else
			other = hkm_malloc(3 * MIB);
		require(atomic_load(&own->deferred) == NULL, "call %u: the free still waits", i);
	}
	hkm_free(other);
	hkm_free(large);
	hkm_free(big);
}

static void free_with_broken_link(void *unused)
{
	struct hkm_heap *own = quiet_heap();
	struct hkm_block *first = hkm_malloc(3000), *second = hkm_malloc(3000);

	(void)unused;
	hkm_heap_guard(own, true);
	hkm_free(first);
	hkm_free(second);
	hkm_heap_guard(own, false);
	second->link ^= 1; /* by the program */
	hkm_free_deferred(own);
}

ISOLATED(a_link_between_frees_that_were_put_aside_is_looked_at)
{
	expect_abort(free_with_broken_link, NULL, "written");
}

static void *free_as_handlers_do(void *block)
{
	struct hkm_heap *own = quiet_heap();

	hkm_heap_guard(own, true);
	hkm_free(block);
	hkm_heap_guard(own, false);
	require(atomic_load(&own->deferred) == block, "the free was not put aside");
	return NULL;
}

ISOLATED(frees_that_were_put_aside_go_with_the_end_of_the_thread)
{
	void *block = hkm_malloc(4 * MIB);

	run_thread(free_as_handlers_do, block);
	require(hkm_big_was_freed(block), "nobody frees the block any more");
}

ISOLATED(tiny_frees_wait_when_the_hot_list_is_full)
{
	struct hkm_heap *own = quiet_heap();
	static void *taken[1000];
	size_t waited = 0;

	for (size_t i = 0; i < 1000; i++)
		taken[i] = hkm_malloc(64);
	hkm_heap_guard(own, true);
	for (size_t i = 0; i < 1000; i++) {
		hkm_free(taken[i]);
		waited += atomic_load(&own->deferred) == taken[i];
	}
	require(waited > 500, "only %zu frees waited", waited);
	hkm_heap_guard(own, false);
	hkm_free_deferred(own);
	require(atomic_load(&own->deferred) == NULL, "the frees still wait");
	hkm_heap_enter(own);
	hkm_tiny_check(own);
	hkm_tiny_flush(own);
	hkm_tiny_release_empty(own, 0);
	hkm_heap_leave(own);
	require(sum_spans(HKM_KIND_TINY, 64).spans == 0, "blocks were lost");
}

ISOLATED(allocations_that_interrupt_a_slow_path_come_from_the_reserve)
{
	struct hkm_heap *own = quiet_heap();
	static const size_t sizes[] = { 20, 100, 200, 5000, 100000, 3 * MIB };
	unsigned char *reserved[6];

	hkm_heap_guard(own, true);
	for (size_t i = 0; i < 6; i++) {
		reserved[i] = hkm_malloc(sizes[i]);
		require(reserved[i] != NULL && hkm_reserve_usable(reserved[i]) >= sizes[i],
			"%zu bytes do not come from the reserve", sizes[i]);
		require(hkm_malloc_usable_size(reserved[i]) == hkm_reserve_usable(reserved[i]), "two sizes");
		memset(reserved[i], 1, hkm_reserve_usable(reserved[i]));
	}
	require(is_aligned(hkm_aligned_alloc(64 * KIB, 100), 64 * KIB), "not aligned");
	/* Some go within the slow path, one grows out of the reserve, the others go later. */
	hkm_free(reserved[0]);
	hkm_free(reserved[5]);
	require(atomic_load(&own->deferred) == NULL, "blocks of the reserve wait");
	hkm_heap_guard(own, false);
	reserved[2] = hkm_realloc(reserved[2], 20000);
	require(all_bytes_are(reserved[2], 200, 1), "contents lost");
	require(hkm_reserve_usable(reserved[2]) == 0, "the reserve was used without need");
	for (size_t i = 1; i < 5; i++) {
		hkm_free(reserved[i]);
		require(hkm_reserve_usable(reserved[i]) == 0, "still in the reserve");
	}
}

ISOLATED(the_reserve_grows)
{
	static void *reserved[3000];

	require(!hkm_reserve_free(reserved) && !hkm_reserve_free(NULL), "freed what is not its own");
	for (size_t i = 0; i < 3000; i++) {
		reserved[i] = hkm_reserve_alloc(1 + i, PAGE << i % 6);
		require(reserved[i] != NULL && is_aligned(reserved[i], PAGE << i % 6), "block %zu", i);
		require(hkm_reserve_usable(reserved[i]) >= 1 + i, "too small");
		require(all_bytes_are(reserved[i], 1 + i, 0), "not zero");
		memset(reserved[i], 1, 1 + i);
		require(hkm_reserve_is_crowded() == (i >= 127), "crowded, or not, with %zu blocks", i + 1);
	}
	require(!hkm_reserve_free((char *)reserved[0] + 16), "an inner pointer was freed");
	require(hkm_reserve_free(reserved[1000]) && !hkm_reserve_free(reserved[1000]), "not freed once");
	for (size_t i = 0; i < 3000; i++)
		require(hkm_reserve_free(reserved[i]) || i == 1000, "block %zu", i);
	require(!hkm_reserve_is_crowded(), "crowded by nothing");
	require(hkm_reserve_alloc((size_t)1 << 50, PAGE) == NULL, "a petabyte");
	require(hkm_reserve_alloc(SIZE_MAX, PAGE) == NULL, "everything");
}

static void *share_reserve(void *argument)
{
	unsigned char mark = (unsigned char)(uintptr_t)argument;

	for (size_t i = 0; i < 500; i++) {
		unsigned char *own[8];

		for (size_t block = 0; block < 8; block++) {
			own[block] = hkm_reserve_alloc(100 + block * 5000, PAGE);
			require(own[block] != NULL, "no place");
			memset(own[block], mark, 100 + block * 5000);
		}
		for (size_t block = 0; block < 8; block++) {
			require(all_bytes_are(own[block], 100 + block * 5000, mark), "overwritten");
			require(hkm_reserve_free(own[block]), "not the reserve's");
		}
	}
	return NULL;
}

ISOLATED(any_thread_may_use_the_reserve)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, share_reserve, (void *)(i + 1));
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_next_thread_adopts_the_heap_with_its_blocks),
		cmocka_unit_test(a_hundred_threads_in_turn_need_one_heap),
		cmocka_unit_test(an_adopted_heap_takes_the_policy_of_its_day),
		cmocka_unit_test(frees_into_an_abandoned_heap_arrive_at_once),
		cmocka_unit_test(no_message_stays_in_a_heap_that_ends_meanwhile),
		cmocka_unit_test(no_message_stays_in_a_heap_that_is_trimmed_meanwhile),
		cmocka_unit_test(no_message_stays_in_a_heap_that_is_drained_meanwhile),
		cmocka_unit_test(fork_takes_in_what_was_sent_meanwhile),
		cmocka_unit_test(an_inbox_is_emptied_by_others_while_its_owner_goes_on),
		cmocka_unit_test(an_inbox_is_received_piece_by_piece),
		cmocka_unit_test(a_trim_takes_in_all_of_its_own_inbox),
		cmocka_unit_test(a_thread_that_ends_takes_in_all_of_its_inbox),
		cmocka_unit_test(a_sleepers_inbox_is_drained_piece_by_piece_or_trimmed_at_once),
		cmocka_unit_test(an_abandoned_inbox_is_drained_piece_by_piece),
		cmocka_unit_test(trimming_gives_everything_back),
		cmocka_unit_test(a_trim_sends_what_waits_for_others),
		cmocka_unit_test(a_trim_leaves_heaps_alone_that_have_nothing),
		cmocka_unit_test(other_threads_follow_a_trim_at_their_next_look),
		cmocka_unit_test(a_fork_that_interrupts_a_slow_path_takes_no_lock),
		cmocka_unit_test(fork_waits_for_who_is_in_a_slow_path),
		cmocka_unit_test(idle_memory_goes_after_its_delay),
		cmocka_unit_test(a_mass_of_idle_memory_does_not_wait),
		cmocka_unit_test(fork_hooks_take_all_locks_and_give_them_back),
		cmocka_unit_test(the_child_of_a_fork_adopts_the_heaps_of_lost_threads),
		cmocka_unit_test(a_trim_in_the_child_of_a_fork_finds_what_a_lost_thread_has_cached),
		cmocka_unit_test(frees_that_interrupt_a_slow_path_wait_for_its_end),
		cmocka_unit_test(frees_that_were_put_aside_go_with_the_end_of_the_thread),
		cmocka_unit_test(a_link_between_frees_that_were_put_aside_is_looked_at),
		cmocka_unit_test(fresh_big_memory_makes_idle_spans_go),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(idle_spans_go_before_a_request_fails),
		cmocka_unit_test(a_few_pages_do_where_no_span_fits),
#endif
		cmocka_unit_test(who_keeps_big_memory_expects_a_tick),
		cmocka_unit_test(frees_that_were_put_aside_go_with_whatever_call_ends_next),
		cmocka_unit_test(tiny_frees_wait_when_the_hot_list_is_full),
		cmocka_unit_test(allocations_that_interrupt_a_slow_path_come_from_the_reserve),
		cmocka_unit_test(the_reserve_grows),
		cmocka_unit_test(any_thread_may_use_the_reserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
