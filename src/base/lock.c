/* lock.c - the sleeping half of lock.h. */
#include "base/lock.h"

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Spins before sleeping: critical sections are a few hundred instructions. */
#define SPINS 100

static inline void cpu_relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

HKM_SLOW void hkm_lock_wait(struct hkm_lock *lock, bool looking)
{
	int saved = errno;
	for (int i = 0; i < SPINS; i++) {
		if (atomic_load_explicit(&lock->state, memory_order_relaxed) == 0 && hkm_lock_try(lock))
			return;
		cpu_relax();
	}
	/* seq_cst: as in hkm_lock_try. Taking the lock as 2 may cause one needless wake-up, never a
	 * lost one. */
	const struct timespec nap = { .tv_nsec = 1000000 };
	while (atomic_exchange_explicit(&lock->state, 2, memory_order_seq_cst) != 0)
		syscall(SYS_futex, &lock->state, FUTEX_WAIT_PRIVATE, 2, looking ? &nap : NULL, NULL, 0);
	hkm_hold_begins(lock);
	errno = saved;
}

HKM_SLOW void hkm_lock_wake(struct hkm_lock *lock)
{
	int saved = errno;
	syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}

/* A line of its own: nearly never written, and read at the beginning of each slow path. */
_Alignas(64) struct hkm_gate hkm_fork_gate;

void hkm_gate_close(struct hkm_gate *gate)
{
	atomic_store_explicit(&gate->closed, 1, memory_order_seq_cst); /* before the look at the heaps' locks */
}

void hkm_gate_open(struct hkm_gate *gate)
{
	int saved = errno;
	/* seq_cst: before the look at what was left to whoever forks, see hkm_heap_fork_parent. */
	atomic_store_explicit(&gate->closed, 0, memory_order_seq_cst);
	syscall(SYS_futex, &gate->closed, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0);
	errno = saved;
}

HKM_SLOW void hkm_gate_wait(struct hkm_gate *gate)
{
	int saved = errno;
	while (hkm_gate_is_closed(gate))
		syscall(SYS_futex, &gate->closed, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}
