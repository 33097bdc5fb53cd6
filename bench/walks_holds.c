/* walks_holds.c - how long each lock is held, in processor time of the thread that holds it, so that what else the machine does is
 * not counted: the half of src/base/lock.h that is there with HKM_HOLDS. For `bench/walks --holds`.
 *
 * A hold is told by where it ends: the address behind the call in hkm_lock_release, which is inlined into the allocator.
 */
#include "walks_holds.h"

#include <stdio.h>
#include <time.h>

#include "base/lock.h"

#define HELD 256 /* fork holds all pools' */
#define PLACES 512

struct hold {
	const struct hkm_lock *lock;
	uint64_t since_ns;
};

struct place {
	_Atomic(void *) released_at;
	_Atomic uint64_t longest_ns, holds, over_1_ms;
};

static _Thread_local struct hold held[HELD];
static _Thread_local unsigned held_count;
static struct place places[PLACES];

static uint64_t thread_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

__attribute__((noinline)) void hkm_hold_begins(const struct hkm_lock *lock)
{
	if (held_count < HELD)
		held[held_count++] = (struct hold){ lock, thread_ns() };
}

static void note(void *at, uint64_t ns)
{
	for (unsigned i = 0; i < PLACES; i++) {
		struct place *place = &places[((uintptr_t)at / 4 + i) % PLACES];
		void *there = NULL;
		if (!atomic_compare_exchange_strong(&place->released_at, &there, at) && there != at)
			continue;
		uint64_t longest = atomic_load(&place->longest_ns);
		while (ns > longest && !atomic_compare_exchange_weak(&place->longest_ns, &longest, ns))
			;
		atomic_fetch_add(&place->holds, 1);
		atomic_fetch_add(&place->over_1_ms, ns > 1000000);
		return;
	}
}

__attribute__((noinline)) void hkm_hold_ends(const struct hkm_lock *lock)
{
	for (unsigned i = held_count; i-- > 0;) {
		if (held[i].lock != lock)
			continue;
		note(__builtin_return_address(0), thread_ns() - held[i].since_ns);
		held[i] = held[--held_count];
		return;
	}
}

void holds_forget(void)
{
	for (unsigned i = 0; i < PLACES; i++) {
		atomic_store(&places[i].longest_ns, 0);
		atomic_store(&places[i].holds, 0);
		atomic_store(&places[i].over_1_ms, 0);
	}
}

void holds_print(void)
{
	for (unsigned printed = 0; printed < 8; printed++) {
		struct place *worst = &places[0];
		for (unsigned i = 0; i < PLACES; i++)
			if (atomic_load(&places[i].longest_ns) > atomic_load(&worst->longest_ns))
				worst = &places[i];
		if (atomic_load(&worst->longest_ns) == 0)
			return;
		printf("  held %8.1f us at most, %lu of %lu over 1 ms, to @%p\n", (double)atomic_load(&worst->longest_ns) / 1e3,
		       (unsigned long)atomic_load(&worst->over_1_ms), (unsigned long)atomic_load(&worst->holds),
		       atomic_load(&worst->released_at));
		atomic_store(&worst->longest_ns, 0);
	}
}
