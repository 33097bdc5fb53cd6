/* lock.h - a mutex of one word that never allocates and survives fork.
 *
 * State: 0 free, 1 held, 2 held and somebody sleeps (Drepper, "Futexes Are Tricky", mutex 2).
 * Locks are taken in the order of this list; fork takes all of them in it, but for the heaps (heap/fork.c):
 *
 *   fork (heap/fork.c)  ->  registry (heap/heap.c)  ->  a heap's lock, or the guest's  ->  pool of an L1 class  ->  big cache
 *     ->  purging  ->  spans  ->  policy  ->  sites  ->  metadata
 *
 * The reverse direction uses hkm_lock_try only. Fork does not take the heaps' locks but waits for them: struct hkm_gate.
 */
#ifndef HKM_LOCK_H
#define HKM_LOCK_H

#include <stdatomic.h>

#include "base/base.h"

struct hkm_lock {
	_Atomic uint32_t state;
};

/* The special build of `bench/walks --holds` notes how long each lock is held, and who releases it. */
#ifdef HKM_HOLDS
void hkm_hold_begins(const struct hkm_lock *lock);
void hkm_hold_ends(const struct hkm_lock *lock);
#else
static inline void hkm_hold_begins(const struct hkm_lock *lock)
{
	(void)lock;
}

static inline void hkm_hold_ends(const struct hkm_lock *lock)
{
	(void)lock;
}
#endif

/* Sleeps until the lock is taken, `looking` again every millisecond or not; or wakes one sleeper; lock.c. */
void hkm_lock_wait(struct hkm_lock *lock, bool looking);
void hkm_lock_wake(struct hkm_lock *lock);

static inline bool hkm_lock_try(struct hkm_lock *lock)
{
	uint32_t expected = 0;
	/* acquire: pairs with the release in hkm_lock_release, so that what the last holder wrote
	 * is visible. seq_cst on top of it is what policy.c's grace period relies on; and, of a try that fails, what
	 * tiny/remote.c does: who leaves a message and finds the lock held leaves it to the holder. */
	bool taken = atomic_compare_exchange_strong_explicit(&lock->state, &expected, 1, memory_order_seq_cst,
							     memory_order_seq_cst);
	if (taken)
		hkm_hold_begins(lock);
	return taken;
}

static inline void hkm_lock_acquire(struct hkm_lock *lock)
{
	if (HKM_UNLIKELY(!hkm_lock_try(lock)))
		hkm_lock_wait(lock, false);
}

/* As hkm_lock_acquire, for a lock that may be released quietly. */
static inline void hkm_lock_acquire_quiet(struct hkm_lock *lock)
{
	if (HKM_UNLIKELY(!hkm_lock_try(lock)))
		hkm_lock_wait(lock, true);
}

static inline void hkm_lock_release(struct hkm_lock *lock)
{
	hkm_hold_ends(lock);
	/* seq_cst includes release, which pairs with the acquire in hkm_lock_try and hkm_lock_wait; beyond that, whoever
	 * looks at something after it sees what was left there by those whose try failed (tiny/remote.c). */
	if (HKM_UNLIKELY(atomic_exchange_explicit(&lock->state, 0, memory_order_seq_cst) == 2))
		hkm_lock_wake(lock);
}

/* As hkm_lock_release, for a lock that hardly anybody ever waits for: a plain store, without looking for sleepers, who
 * have to look again themselves: hkm_lock_acquire_quiet. */
static inline void hkm_lock_release_quietly(struct hkm_lock *lock)
{
	hkm_hold_ends(lock);
	atomic_store_explicit(&lock->state, 0, memory_order_release); /* pairs as in hkm_lock_release */
}

static inline bool hkm_lock_is_held(const struct hkm_lock *lock)
{
	return atomic_load_explicit(&lock->state, memory_order_seq_cst) != 0;
}

/* Closed while a thread forks: nobody enters a slow path meanwhile, but who is in one goes on. Who takes the lock of a heap looks
 * at the gate afterwards (seq_cst both), and steps back if it is closed; who forks closes it and then waits until each such
 * lock is free (seq_cst both). One of the two sees the other, and fork writes to no heap that is idle. */
struct hkm_gate {
	_Atomic uint32_t closed; /* written under the registry lock */
};
extern struct hkm_gate hkm_fork_gate __attribute__((visibility("hidden")));

static inline bool hkm_gate_is_closed(const struct hkm_gate *gate)
{
	return atomic_load_explicit(&gate->closed, memory_order_seq_cst) != 0;
}

void hkm_gate_close(struct hkm_gate *gate);
void hkm_gate_open(struct hkm_gate *gate); /* wakes all who wait */
void hkm_gate_wait(struct hkm_gate *gate); /* until it is open */

/* In the child of fork: nobody else exists who could hold it or sleep on it. */
static inline void hkm_lock_reset(struct hkm_lock *lock)
{
	atomic_store_explicit(&lock->state, 0, memory_order_relaxed);
}

#endif
