/* trim.c - gives idle memory back: all of it for malloc_trim, and where the system refuses a request; see heap.h.
 *
 * The heaps are walked without the registry lock, as they are only ever added, and each is locked for itself. So nobody
 * waits for a walk; docs/design/walks.md has the bounds.
 */
#include "ace/ace.h"
#include "big/big.h"
#include "heap/registry.h"
#include "os/os.h"
#include "tiny/tiny.h"

hkm_counter hkm_heaps_looked_at;

/* When hkm_heap_reclaim looks at other heaps again. */
static _Atomic uint64_t next_look_ms;

/* What lies in the heap beside its slabs; by its thread, or of one that has none, by whoever holds its lock. */
static void flush(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	hkm_remote_receive(heap);
	hkm_ace_flush(heap, policy); /* a child of fork inherits full caches */
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
}

/* Whether a heap of another thread may have something to give. Without its lock this is advice; a heap that has nothing is not
 * written to. */
HKM_RACY static bool may_give(const struct hkm_heap *heap, uint64_t now)
{
	bool mail = hkm_heap_has_mail(heap);
	if (atomic_load_explicit(&heap->abandoned, memory_order_relaxed))
		return mail || !heap->bare;
	return hkm_heap_is_asleep(heap, now) && (mail || heap->empty_slabs > 0);
}

/* All that may be taken from a heap of another thread: if that one sleeps, and will not follow the request, what its fast
 * paths do not work on. */
static void flush_other(struct hkm_heap *heap, uint64_t now)
{
	bool more = true;
	hkm_heap_bury(heap);
	while (more && may_give(heap, now) && hkm_heap_try_lock(heap)) {
		if (atomic_load_explicit(&heap->abandoned, memory_order_relaxed)) {
			flush(heap, hkm_policy_read(&heap->reader));
			hkm_tiny_close(heap);
			heap->bare = heap != hkm_long_lived_heap;
		} else {
			hkm_remote_receive_for(heap);
			hkm_tiny_release_empty(heap, 0);
		}
		more = hkm_heap_has_backlog(heap);
		hkm_heap_let_go(heap);
	}
}

HKM_RACY static void flush_others(const struct hkm_heap *own)
{
	uint64_t now = hkm_os_now_ms(), looked_at = 0;
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap, looked_at++)
		if (heap != own)
			flush_other(heap, now);
	hkm_count(&hkm_heaps_looked_at, looked_at);
}

/* Asks the threads that are awake to follow at their next tick. */
static void ask_others(struct hkm_heap *own)
{
	own->trim_generation = 1 + atomic_fetch_add_explicit(&hkm_trim_requests, 1, memory_order_relaxed);
}

static void flush_own(struct hkm_heap *own)
{
	const struct hkm_policy *policy = hkm_heap_enter(own);
	hkm_remote_send_all(own);
	flush(own, policy);
	for (; hkm_heap_has_backlog(own); flush(own, policy)) { /* a fork may come between */
		hkm_heap_leave(own);
		policy = hkm_heap_enter(own);
	}
	hkm_heap_leave(own);
}

/* Entered, so that fork waits for the ranges that are on no list meanwhile. */
static size_t purge_big(struct hkm_heap *own)
{
	hkm_heap_enter(own);
	size_t bytes = hkm_big_purge(UINT64_MAX, 0);
	hkm_heap_leave(own);
	return bytes;
}

size_t hkm_heap_trim_all(void)
{
	size_t bytes = 0;
	struct hkm_heap *own = hkm_heap_get();
	if (own == NULL || !own->enterable)
		return 0;
	ask_others(own);
	flush_own(own);
	hkm_heap_guard(own, true);
	flush_others(own);
	bytes += hkm_tiny_trim();
	bytes += hkm_pool_trim();
	bytes += hkm_span_purge(UINT64_MAX, 0);
	hkm_heap_guard(own, false);
	return bytes + purge_big(own);
}

/* Others have little that lies idle, and it becomes idle by time: of a thread that has slept for HKM_ASLEEP_MS. So a look
 * within that time of the last finds nothing new, and is spared. */
static bool others_are_due(void)
{
	uint64_t now = hkm_os_now_ms();
	/* relaxed: nothing else is read by it. */
	uint64_t due = atomic_load_explicit(&next_look_ms, memory_order_relaxed);
	return now >= due && atomic_compare_exchange_strong_explicit(&next_look_ms, &due, now + HKM_ASLEEP_MS,
								     memory_order_relaxed, memory_order_relaxed);
}

bool hkm_heap_reclaim(size_t bytes)
{
	struct hkm_heap *own = hkm_heap_get();
	if (own == NULL || !own->enterable || !hkm_os_is_possible(bytes))
		return false;
	bool due = others_are_due();
	if (due)
		ask_others(own);
	flush_own(own);
	hkm_heap_guard(own, true);
	if (due)
		flush_others(own);
	hkm_pool_release_idle(true);
	hkm_span_purge(UINT64_MAX, 0);
	hkm_heap_guard(own, false);
	purge_big(own);
	return true;
}
