/* fork.c - every lock is taken, or known to be free, before a fork, and the child has no thread but one; see heap.h. */
#include "ace/ace.h"
#include "big/big.h"
#include "core/meta.h"
#include "heap/registry.h"
#include "os/os.h"
#include "sites/sites.h"
#include "tiny/tiny.h"

#define TRIES 500 /* before a fork sleeps: a slow path is over by then, as a rule */

/* The forking thread's heap, guarded while all locks are held: handlers of other libraries that run then, and
 * signal handlers, use the reserve. */
static struct hkm_heap *forking_heap;

/* Whether this fork is a signal handler's that has interrupted a slow path of its thread, which may hold any of the
 * locks: none is taken then, and the child may call async-signal-safe functions only, as anywhere (POSIX.1-2017, fork). */
static bool fork_is_interrupting(void)
{
	struct hkm_heap *own = hkm_tls_heap;
	return own == &hkm_starting_heap || own->fork_interrupts;
}

static bool fork_goes_without_locks(struct hkm_heap *own)
{
	if (own != NULL && !own->enterable)
		own->fork_interrupts = true;
	return fork_is_interrupting();
}

static bool fork_went_without_locks(void)
{
	bool interrupting = fork_is_interrupting();
	if (interrupting && hkm_tls_heap != &hkm_starting_heap)
		hkm_tls_heap->fork_interrupts = false;
	return interrupting;
}

/* The C library's lock on its list of open files, which fork takes after these handlers and before its own malloc's locks:
 * whoever holds it may wait for a file whose holder allocates. So it comes before the locks here; it is recursive. Weak:
 * they are no part of the API. */
extern void _IO_list_lock(void) __attribute__((weak));
extern void _IO_list_unlock(void) __attribute__((weak));
extern void _IO_list_resetlock(void) __attribute__((weak));

/* Held by whoever forks, and by whoever keeps others from it. */
static struct hkm_lock fork_lock;
/* Whether the calling thread has it or is taking it: a handler of fork may register others, and a signal handler may fork. */
static _Thread_local bool has_fork_lock __attribute__((tls_model("initial-exec")));
static bool fork_took_lock; /* guarded by it, as is forking_heap */

bool hkm_fork_hold_off(void)
{
	if (has_fork_lock)
		return false;
	has_fork_lock = true;
	atomic_signal_fence(memory_order_seq_cst);
	hkm_lock_acquire(&fork_lock);
	return true;
}

void hkm_fork_hold_off_no_more(void)
{
	hkm_lock_release(&fork_lock);
	atomic_signal_fence(memory_order_seq_cst);
	has_fork_lock = false;
}

/* Waits until nobody is in a slow path of the heap, unless it may be that somebody is for ever: in the child such a heap stays
 * locked, and is nobody's. An idle heap is not written to: that would be a page to copy for each, here and in the child. */
static void wait_for(struct hkm_heap *heap)
{
	bool skips = false;
	for (unsigned tries = 0; !skips && hkm_lock_is_held(&heap->reader.lock); tries++) {
		skips = heap->left_behind || atomic_load_explicit(&heap->forsaken, memory_order_relaxed) ||
			hkm_heap_life_is_over(heap);
		if (!skips && tries >= TRIES)
			hkm_os_sleep_ms(1);
	}
	if (heap->fork_skips != skips)
		heap->fork_skips = skips;
}

/* Nobody is in a slow path any more. Those who are there go on at the same time, and none comes after them. */
static void empty_slow_paths(void)
{
	hkm_gate_close(&hkm_fork_gate);
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		wait_for(heap);
}

/* Who sent something to an ended heap meanwhile found the gate closed, and left. */
static void look_at_inboxes(void)
{
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		if (atomic_load_explicit(&heap->abandoned, memory_order_relaxed) &&
		    atomic_load_explicit(&heap->inbox, memory_order_seq_cst) != NULL)
			hkm_heap_drain(heap);
}

void hkm_heap_fork_prepare(void)
{
	struct hkm_heap *own = hkm_heap_get();
	if (own != NULL && !own->enterable) {
		struct hkm_heap *other = hkm_heap_escape(own, false);
		own = other != NULL ? other : own;
	}
	if (fork_goes_without_locks(own))
		return;
	if (own != NULL)
		hkm_heap_guard(own, true);
	bool took_lock = hkm_fork_hold_off();
	if (_IO_list_lock != NULL)
		_IO_list_lock();
	hkm_lock_acquire(&hkm_registry_lock);
	forking_heap = own;
	fork_took_lock = took_lock;
	empty_slow_paths();
	hkm_lock_acquire(&hkm_guest.lock);
	hkm_pool_lock_all();
	hkm_lock_acquire(&hkm_big_lock);
	hkm_lock_acquire(&hkm_purge_lock);
	hkm_lock_acquire(&hkm_span_lock);
	hkm_lock_acquire(&hkm_policy_lock);
	hkm_lock_acquire(&hkm_sites_lock);
	hkm_lock_acquire(&hkm_meta_lock);
}

void hkm_heap_fork_parent(void)
{
	if (fork_went_without_locks())
		return;
	struct hkm_heap *own = forking_heap;
	hkm_lock_release(&hkm_meta_lock);
	hkm_lock_release(&hkm_sites_lock);
	hkm_lock_release(&hkm_policy_lock);
	hkm_lock_release(&hkm_span_lock);
	hkm_lock_release(&hkm_purge_lock);
	hkm_lock_release(&hkm_big_lock);
	hkm_pool_unlock_all();
	hkm_lock_release(&hkm_guest.lock);
	hkm_gate_open(&hkm_fork_gate);
	hkm_lock_release(&hkm_registry_lock);
	if (_IO_list_unlock != NULL)
		_IO_list_unlock();
	if (fork_took_lock)
		hkm_fork_hold_off_no_more();
	if (own != NULL)
		hkm_heap_guard(own, false);
	look_at_inboxes();
}

/* Whether the heap is the calling thread's, or one that it has left behind and may come back to. */
static bool is_of(const struct hkm_heap *own, const struct hkm_heap *heap)
{
	while (own != NULL && own != heap)
		own = own->left;
	return own != NULL;
}

void hkm_heap_fork_child(void)
{
	if (fork_went_without_locks())
		return;
	struct hkm_heap *own = forking_heap;
	hkm_lock_reset(&hkm_meta_lock);
	hkm_lock_reset(&hkm_sites_lock);
	hkm_lock_reset(&hkm_policy_lock);
	hkm_lock_reset(&hkm_span_lock);
	hkm_lock_reset(&hkm_purge_lock);
	hkm_lock_reset(&hkm_big_lock);
	hkm_pool_reset_locks();
	hkm_lock_reset(&hkm_guest.lock);
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap) {
		bool is_own = is_of(own, heap);
		hkm_heap_forget_life(heap);
		if (heap->fork_skips && !is_own)
			hkm_heap_lose(heap);
		if (heap->fork_skips)
			continue;
		if (hkm_lock_is_held(&heap->reader.lock)) /* by somebody who was about to step back from the gate */
			hkm_lock_reset(&heap->reader.lock);
		if (is_own || atomic_load_explicit(&heap->abandoned, memory_order_relaxed))
			continue;
		hkm_heap_repair(heap);
		hkm_heap_abandon(heap);
	}
	hkm_gate_open(&hkm_fork_gate);
	hkm_lock_reset(&hkm_registry_lock);
	hkm_learning.forked();
	/* In a process with threads the C library has done so already; a count that it has set back is not to be counted down. */
	if (_IO_list_resetlock != NULL)
		_IO_list_resetlock();
	if (fork_took_lock) {
		hkm_lock_reset(&fork_lock);
		has_fork_lock = false;
	}
	if (own != NULL) {
		hkm_heap_begin_life(own);
		hkm_heap_guard(own, false);
	}
}
