/* cycles.h - the processor's own clock: some nanoseconds a read, no system call, unit unknown.
 *
 * Differences count; learn/signals.c finds out how long a cycle is by holding the counter against the system's
 * clock. Not serialising: a read may be off by some tens of cycles, which a mean over thousands does not show.
 */
#ifndef HKM_CYCLES_H
#define HKM_CYCLES_H

#include <stdint.h>

static inline uint64_t hkm_cycles(void)
{
#if defined(__x86_64__)
	return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	uint64_t value;
	__asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
	return value;
#else
#error "no cycle counter is known for this processor"
#endif
}

#endif
