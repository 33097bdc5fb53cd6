/* lock.c - the sleeping half of lock.h. */
#include "base/lock.h"

#include <errno.h>
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
	errno = saved;
}

HKM_SLOW void hkm_lock_wake(struct hkm_lock *lock)
{
	int saved = errno;
	syscall(SYS_futex, &lock->state, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	errno = saved;
}
