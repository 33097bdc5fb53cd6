/* trim.c - malloc_trim over all heaps; see heap.h. */
#include "ace/ace.h"
#include "big/big.h"
#include "heap/registry.h"
#include "os/os.h"
#include "tiny/tiny.h"

/* Of heaps whose threads sleep, and will not follow the request: all but what their fast paths work on. */
static size_t trim_sleepers(const struct hkm_heap *own)
{
	size_t bytes = 0;
	uint64_t now = hkm_os_now_ms();
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap) {
		if (heap == own || !hkm_heap_is_asleep(heap, now) || !hkm_lock_try(&heap->reader.lock))
			continue;
		if (!atomic_load_explicit(&heap->abandoned, memory_order_relaxed)) {
			hkm_remote_receive_for(heap);
			bytes += hkm_tiny_trim_slabs(heap);
		}
		hkm_heap_let_go(heap);
	}
	return bytes;
}

/* Of a heap without a thread. */
static size_t trim_abandoned(struct hkm_heap *heap)
{
	hkm_lock_acquire_quiet(&heap->reader.lock);
	hkm_remote_receive(heap);
	hkm_ace_flush(heap, hkm_policy_read(&heap->reader)); /* a child of fork inherits full caches */
	size_t bytes = hkm_tiny_trim(heap);
	hkm_tiny_close(heap);
	hkm_heap_let_go(heap);
	return bytes;
}

size_t hkm_heap_trim_all(void)
{
	size_t bytes = 0;
	struct hkm_heap *own = hkm_heap_get();
	if (own == NULL || !own->enterable)
		return 0;
	uint64_t request = 1 + atomic_fetch_add_explicit(&hkm_trim_requests, 1, memory_order_relaxed);
	const struct hkm_policy *policy = hkm_heap_enter(own);
	own->trim_generation = request;
	hkm_remote_send_all(own);
	hkm_remote_receive(own);
	hkm_ace_flush(own, policy);
	bytes += hkm_tiny_trim(own);
	hkm_heap_leave(own);
	hkm_heap_guard(own, true);
	bytes += trim_sleepers(own);
	hkm_lock_acquire(&hkm_registry_lock);
	for (struct hkm_heap *heap = hkm_abandoned_heaps; heap != NULL; heap = heap->next_abandoned)
		bytes += trim_abandoned(heap);
	if (hkm_long_lived_heap != NULL)
		bytes += trim_abandoned(hkm_long_lived_heap);
	hkm_lock_release(&hkm_registry_lock);
	bytes += hkm_pool_trim();
	bytes += hkm_span_purge(UINT64_MAX, 0);
	hkm_heap_guard(own, false);
	/* Entered, so that fork waits for the ranges that are on no list meanwhile. */
	hkm_heap_enter(own);
	bytes += hkm_big_purge(UINT64_MAX, 0);
	hkm_heap_leave(own);
	return bytes;
}
