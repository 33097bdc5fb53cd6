/* escape.c - another heap for a thread whose own is in a slow path that does not come to its end.
 *
 * A signal handler that interrupts a slow path finds its heap not enterable, and is served by the reserve (api/reserve.c).
 * That is right for a few calls, but a handler may need very many blocks, and it may never return: siglongjmp out of
 * it leaves the slow path for good. Neither malloc nor longjmp is then promised to work by anybody (signal-safety(7)); the C
 * library's own waits for its lock for ever, or finds its lists broken. Here the thread gets another heap, and leaves
 * the one in the slow path behind:
 *
 *   when      the call's frame lies above the one that entered the slow path, so that this frame is gone, or the call
 *             is on another stack; or the reserve is crowded
 *   and only  if nobody holds any lock that slow paths of several heaps take. The slow path that was interrupted stands
 *             still, so it holds none, and the other heap can wait for any lock without waiting for itself.
 *
 * So a wrong guess does no harm: a handler that is on a stack of its own, or one of very many calls, returns, the slow path
 * goes on in its own heap and ends there. That heap is enterable then, and is the next that the thread escapes to;
 * so whoever guesses wrong again and again has two heaps. A heap whose slow path never ends is lost: nobody can tell what it was
 * changing. If the slow path held a lock of all, everything else waits for it, as it does with the C library's.
 *
 * A heap that was left behind is not abandoned. Its thread, when it ends, gives up those that have come to the
 * end of their slow path, and loses the others.
 */
#include "ace/ace.h"
#include "big/big.h"
#include "core/meta.h"
#include "heap/registry.h"
#include "sites/sites.h"

bool hkm_locks_are_free(void)
{
	const struct hkm_lock *locks[] = { &hkm_registry_lock, &hkm_guest.lock, &hkm_big_lock, &hkm_purge_lock,
					   &hkm_span_lock, &hkm_policy_lock, &hkm_sites_lock, &hkm_meta_lock };
	for (size_t i = 0; i < sizeof locks / sizeof locks[0]; i++)
		if (hkm_lock_is_held(locks[i]))
			return false;
	return !hkm_pool_is_locked() && (hkm_long_lived_heap == NULL || !hkm_lock_is_held(&hkm_long_lived_heap->reader.lock));
}

/* Takes a heap out of those that were left before `heap` whose slow path has come to its end; NULL: there is none. */
static struct hkm_heap *take_ended(struct hkm_heap *heap)
{
	for (struct hkm_heap **link = &heap->left; *link != NULL; link = &(*link)->left) {
		struct hkm_heap *ended = *link;
		if (ended->enterable) {
			*link = ended->left;
			return ended;
		}
	}
	return NULL;
}

HKM_SLOW struct hkm_heap *hkm_heap_escape(struct hkm_heap *heap, bool pressing)
{
	char here;
	bool has_none = heap == &hkm_starting_heap || heap == &hkm_no_heap || heap == &hkm_ended_heap;
	bool gone = (uintptr_t)&here > heap->entered_at; /* stacks grow downwards */
	if (has_none || (!gone && !pressing))
		return NULL;
	if (gone)
		atomic_store_explicit(&heap->forsaken, true, memory_order_relaxed);
	if (!hkm_locks_are_free())
		return NULL;
	/* A handler that interrupts this finds no heap, and leaves the list alone. */
	hkm_heap_set(&hkm_starting_heap);
	struct hkm_heap *other = take_ended(heap);
	if (other != NULL) {
		hkm_lock_acquire(&hkm_registry_lock);
		other->left_behind = false;
		heap->left_behind = true;
		hkm_lock_release(&hkm_registry_lock);
		atomic_store_explicit(&other->forsaken, false, memory_order_relaxed);
		other->left = heap;
		hkm_heap_set(other);
	} else {
		hkm_heap_set(heap);
		other = hkm_heap_acquire(heap);
	}
	if (other != NULL)
		hkm_heap_inherit_deferred(other, heap);
	return other;
}
