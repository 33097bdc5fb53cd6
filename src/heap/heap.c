/* heap.c - what a heap does while its thread lives: slow paths, housekeeping; see heap.h. */
#include "heap/heap.h"

#include "ace/ace.h"
#include "big/big.h"
#include "heap/registry.h"
#include "os/os.h"
#include "tiny/tiny.h"

#define GRANT_MAX 64
#define CLOCK_TICK_MS 4       /* resolution of hkm_os_now_ms */
#define LOOKED_AFTER 512      /* other heaps that a tick looks at, at most each 100 ms: some 20 us */
#define BURIED 8              /* of them, those that it empties as their threads have ended: some 70 us each */
#define DRAINED_NS 500000     /* for so long it takes in what lies in their inboxes, and ends what it has begun (remote.c: 4,096 blocks) */
#define SLOW_POLL_MS 50       /* polls further apart than this: the thread is almost idle */

_Atomic uint64_t hkm_window_end_ms = UINT64_MAX;

/* When idle pools are looked for next. */
static _Atomic uint64_t next_idle_ms;

_Atomic uint64_t hkm_trim_requests;

/* ---- Slow paths -------------------------------------------------------------------------------- */

static void apply(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	heap->policy_generation = policy->generation;
	heap->dirty_bytes = policy->dirty_bytes;
	hkm_span_set_fault_ahead(policy->fault_ahead);
	hkm_tiny_apply(heap, policy);
	hkm_ace_apply(heap, policy);
}

HKM_SLOW void hkm_heap_lock_after_fork(struct hkm_heap *heap)
{
	do {
		hkm_lock_release(&heap->reader.lock);
		hkm_gate_wait(&hkm_fork_gate);
		hkm_lock_acquire_quiet(&heap->reader.lock);
	} while (hkm_gate_is_closed(&hkm_fork_gate));
}

const struct hkm_policy *hkm_heap_enter(struct hkm_heap *heap)
{
	HKM_ASSERT(heap->enterable);
	char here;
	heap->entered_at = (uintptr_t)&here;
	heap->enterable = false;
	atomic_signal_fence(memory_order_seq_cst); /* before anything that a signal handler could find half done */
	if (HKM_UNLIKELY(heap->metered))
		hkm_meter_begin(&heap->meter);
	hkm_heap_lock(heap);
	const struct hkm_policy *policy = hkm_policy_read(&heap->reader);
	if (HKM_UNLIKELY(heap->policy_generation != policy->generation))
		apply(heap, policy);
	return policy;
}

/* The window is over, and this thread has noticed: it calls the learner, outside of its heap. */
HKM_SLOW static void call_learner(struct hkm_heap *heap)
{
	heap->window_over = false;
	hkm_heap_guard(heap, true);
	hkm_learning.window_over(hkm_counted(&heap->last_poll_ms));
	hkm_heap_guard(heap, false);
}

void hkm_heap_leave(struct hkm_heap *heap)
{
	/* A mass of freed memory does not wait for its time. The bound grows with the heap, as a program that
	 * gives up a fraction of it is likely to want it again. */
	size_t dirty = hkm_span_dirty();
	if (HKM_UNLIKELY(dirty > heap->dirty_bytes)) {
		struct hkm_span_stats stats;
		hkm_span_stats(&stats);
		size_t bound = hkm_max(heap->dirty_bytes, stats.mapped / 4);
		if (dirty > bound) {
			if (HKM_UNLIKELY(heap->metered))
				hkm_meter_exact(&heap->meter);
			hkm_span_purge(0, bound / 2);
		}
	}
	if (HAKMEM_DEBUG && !heap->miscounted && ++heap->debug_leaves % 32 == 0) {
		hkm_tiny_check(heap);
		hkm_remote_check(heap);
		hkm_ace_check(heap);
		hkm_pool_check(heap->debug_leaves / 32 % HKM_ACE_CLASSES); /* one after the other */
	}
	hkm_lock_release_quietly(&heap->reader.lock);
	if (HKM_UNLIKELY(heap->metered))
		hkm_meter_end(&heap->meter);
	atomic_signal_fence(memory_order_seq_cst);
	heap->enterable = true;
	if (HKM_UNLIKELY(heap->window_over))
		call_learner(heap);
}

/* ---- Housekeeping --------------------------------------------------------------------------------- */

void hkm_heap_expect_tick(struct hkm_heap *heap)
{
	if (heap->expecting)
		return;
	heap->expecting = true;
	heap->grant_mask = HKM_GRANT_MIN - 1;
	hkm_tiny_hasten(heap, HKM_GRANT_MIN);
}

/* Whether no other thread has ticked for as long as a tick: an idle pool is one from which nobody has taken for that long,
 * and to look through all of them is not for each of hundreds of threads. */
static bool is_first_of_threads(const struct hkm_heap *heap, uint64_t now)
{
	/* relaxed: nothing else is read by it. */
	uint64_t due = atomic_load_explicit(&next_idle_ms, memory_order_relaxed);
	return hkm_heap_active() <= 1 ||
	       (now >= due && atomic_compare_exchange_strong_explicit(&next_idle_ms, &due, heap->next_tick_ms,
								      memory_order_relaxed, memory_order_relaxed));
}

/* What was freed for a thread before it fell asleep waits in its inbox, and nobody may send to it any more. The same holds of
 * a thread that is not there: a child of fork finds messages whose senders it does not have. And threads may have ended
 * without a word. So many heaps are looked at each time, from where the last look ended, and so many threads at most are
 * buried, which empties their heaps, and inboxes are taken in for so long; the next tick, which then comes soon, goes on
 * from there. Called by one thread at a time, but for races that do no harm. Result: whether there is more to do. */
static bool look_after_others(const struct hkm_heap *own, uint64_t now)
{
	static hkm_counter next_ms;
	static _Atomic(struct hkm_heap *) next; /* where the next look begins; NULL: at the first */
	unsigned buried = 0;
	uint64_t start_ns = 0;
	bool late = false;
	if (now < hkm_counted(&next_ms))
		return false;
	hkm_set_count(&next_ms, now + HKM_ASLEEP_MS);
	/* acquire: pairs with the release below, as hkm_heap_first does with heap_new. */
	struct hkm_heap *heap = atomic_load_explicit(&next, memory_order_acquire);
	if (heap == NULL)
		heap = hkm_heap_first();
	for (unsigned i = 0; heap != NULL && i < LOOKED_AFTER && buried < BURIED; i++, heap = heap->next_heap) {
		if (heap == own)
			continue;
		buried += hkm_heap_bury(heap);
		while (!late && hkm_heap_has_mail(heap) && hkm_heap_is_asleep(heap, now) && hkm_heap_drain(heap)) {
			uint64_t now_ns = hkm_os_now_ns();
			start_ns = start_ns != 0 ? start_ns : now_ns;
			late = now_ns - start_ns >= DRAINED_NS;
		}
		if (late)
			break;
	}
	bool more = buried == BURIED || late;
	if (more)
		hkm_set_count(&next_ms, now);
	atomic_store_explicit(&next, heap, memory_order_release);
	return more;
}

static void tick(struct hkm_heap *heap, const struct hkm_policy *policy, uint64_t now)
{
	uint64_t delay = policy->purge_delay_ms, before = now > delay ? now - delay : 0;
	heap->next_tick_ms = now + hkm_max(CLOCK_TICK_MS, hkm_min(delay / 4, 250));
	hkm_regret_set_delay(delay);
	if (HKM_UNLIKELY(heap->metered))
		hkm_meter_exact(&heap->meter);
	uint64_t requests = atomic_load_explicit(&hkm_trim_requests, memory_order_relaxed);
	hkm_remote_receive(heap);
	hkm_remote_send_all(heap);
	hkm_tiny_decay(heap);
	bool holds = hkm_ace_decay(heap, policy);
	if (is_first_of_threads(heap, now)) {
		hkm_pool_release_idle(false);
		if (HKM_UNLIKELY(look_after_others(heap, now))) {
			heap->next_tick_ms = now + CLOCK_TICK_MS;
			atomic_store_explicit(&next_idle_ms, now, memory_order_relaxed); /* as in is_first_of_threads */
		}
	}
	if (heap->trim_generation != requests) {
		heap->trim_generation = requests;
		hkm_tiny_flush(heap);
		before = now + 1;
	}
	hkm_tiny_release_empty(heap, 0);
	if (hkm_span_purge_is_due(before))
		hkm_span_purge(before, SIZE_MAX);
	hkm_big_purge(before, SIZE_MAX);
	heap->expecting = holds || hkm_span_dirty() != 0 || hkm_big_cached() != 0;
}

/* Looks at the clock; adapts the grant so that looks are neither dense nor rare. Result: tick now? */
static bool poll(struct hkm_heap *heap, uint64_t *now)
{
	*now = hkm_os_now_ms();
	uint64_t elapsed = *now - hkm_counted(&heap->last_poll_ms);
	hkm_set_count(&heap->last_poll_ms, *now);
	hkm_span_note_time(*now);
	if (HKM_UNLIKELY(*now >= atomic_load_explicit(&hkm_window_end_ms, memory_order_relaxed)))
		heap->window_over = true;
	if (elapsed <= CLOCK_TICK_MS)
		heap->grant_mask = (heap->grant_mask << 1 | 1) & (GRANT_MAX - 1);
	else if (elapsed > SLOW_POLL_MS)
		heap->grant_mask = HKM_GRANT_MIN - 1;
	return *now >= heap->next_tick_ms;
}

void hkm_heap_poll(struct hkm_heap *heap)
{
	uint64_t now;
	if (!heap->enterable)
		return;
	if (poll(heap, &now)) {
		tick(heap, hkm_heap_enter(heap), now);
		hkm_heap_leave(heap);
	} else if (HKM_UNLIKELY(heap->window_over)) {
		call_learner(heap);
	}
}

void hkm_heap_poll_entered(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	uint64_t now;
	/* In a busy thread slow paths follow each other closely, and the clock is not free. */
	if (heap->grant_mask == GRANT_MAX - 1 && ++heap->polls_skipped % 8 != 0)
		return;
	if (poll(heap, &now))
		tick(heap, policy, now);
}

void hkm_heap_make_room(struct hkm_heap *heap, const struct hkm_policy *policy, size_t bytes)
{
	(void)heap;
	(void)policy;
	size_t cached = hkm_big_cached();
	if (cached > 0)
		hkm_big_purge(0, cached > bytes ? cached - bytes : 0);
}

/* ---- Heaps without a thread, and those of sleepers ------------------------------------------------------ */

void hkm_heap_let_go(struct hkm_heap *heap)
{
	/* seq_cst, and then the look at the inbox: see tiny/remote.c. */
	hkm_lock_release(&heap->reader.lock);
	if (atomic_load_explicit(&heap->inbox, memory_order_seq_cst) != NULL)
		hkm_heap_drain(heap);
}

bool hkm_heap_drain(struct hkm_heap *heap)
{
	struct hkm_heap *own = hkm_tls_heap;
	bool outside = own->enterable; /* of its slow paths: never true of a heap that nobody may enter */
	bool abandoned = true, much = false;
	if (outside)
		hkm_heap_guard(own, true);
	bool heapless = own == &hkm_no_heap || own == &hkm_ended_heap;
	if (heapless)
		hkm_heap_set(&hkm_starting_heap); /* as hkm_heap_guard, for a thread that has none */
	/* Nobody but its drainers looks at the inbox of an abandoned heap: what comes in meanwhile is taken, too. The rest of what is
	 * too much at once is left to those who look after others. */
	while (abandoned && !much && hkm_heap_has_mail(heap) && hkm_heap_try_lock(heap)) {
		abandoned = atomic_load_explicit(&heap->abandoned, memory_order_relaxed);
		if (abandoned)
			hkm_remote_receive(heap);
		else
			hkm_remote_receive_for(heap);
		much = hkm_heap_has_backlog(heap);
		hkm_lock_release(&heap->reader.lock);
	}
	if (outside)
		hkm_heap_guard(own, false);
	if (heapless)
		hkm_heap_set(own);
	return much;
}

/* ---- Long-lived blocks ------------------------------------------------------------------------------------ */

/* The caller holds the heap's lock; nothing is to stay on the hot list that need not. */
static void *pop_long_lived(struct hkm_heap *heap, unsigned class)
{
	struct hkm_bin *bin = &heap->bins[class];
	struct hkm_block *block = hkm_tiny_pop(bin);
	if (block == NULL) {
		const struct hkm_policy *policy = hkm_policy_read(&heap->reader);
		if (heap->policy_generation != policy->generation)
			apply(heap, policy);
		heap->empty_slabs_kept = 0;
		if (!hkm_tiny_refill(heap, policy, class))
			return NULL;
		hkm_tiny_close(heap);
		block = hkm_tiny_take_head(bin, bin->head);
	}
	return block;
}

void *hkm_heap_alloc_long_lived(struct hkm_heap *caller, size_t size)
{
	struct hkm_heap *heap = hkm_long_lived_heap;
	if (heap == NULL)
		return NULL;
	hkm_heap_guard(caller, true);
	hkm_heap_lock(heap);
	void *block = pop_long_lived(heap, hkm_tiny_class(size));
	hkm_heap_let_go(heap);
	hkm_heap_guard(caller, false);
	return block;
}
