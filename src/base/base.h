/* base.h - compiler and arithmetic helpers; no state, no system calls.
 *
 * Anyone may include it. HKM_ASSERT states an invariant and is checked in the debug build
 * (HAKMEM_DEBUG=1) only; when off, its expression is still compiled, so it cannot rot.
 */
#ifndef HKM_BASE_H
#define HKM_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifndef HAKMEM_DEBUG
#define HAKMEM_DEBUG 0
#endif

/* The checked build also tests on the fast path whether a block starts where free is told (docs/design/misuse.md has
 * what that costs). The debug build is a checked one. */
#ifndef HAKMEM_CHECKED
#define HAKMEM_CHECKED HAKMEM_DEBUG
#endif

#define HKM_LIKELY(x) __builtin_expect(!!(x), 1)
#define HKM_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Temperature of a function, visible in its signature: HOT is inlined into every caller, SLOW
 * keeps its registers and its code away from the fast path. */
#define HKM_HOT static inline __attribute__((always_inline))
#define HKM_SLOW __attribute__((noinline, cold))

/* A function that reads what other threads write without synchronisation, for statistics: every value
 * is advice. Keeps ThreadSanitizer from reporting what is meant. */
#if defined(__clang__)
#define HKM_RACY __attribute__((no_sanitize("thread")))
#else
#define HKM_RACY __attribute__((no_sanitize_thread))
#endif

#define HKM_STATIC_ASSERT(condition, text) _Static_assert(condition, text)

/* Prints `file:line: condition` and aborts; never returns. Defined in core/report.c. */
_Noreturn void hkm_assert_failed(const char *condition, const char *file, int line);

#define HKM_ASSERT(condition) \
	do { \
		if (HAKMEM_DEBUG && HKM_UNLIKELY(!(condition))) \
			hkm_assert_failed(#condition, __FILE__, __LINE__); \
	} while (0)

/* Blocks change hands between the program and the allocator: a block's first word is the link of
 * whatever free list it is on, encoded (span/links.h). */
struct hkm_block {
	uintptr_t link;
};

static inline size_t hkm_align_up(size_t value, size_t alignment)
{
	return (value + alignment - 1) & ~(alignment - 1);
}

static inline bool hkm_is_power_of_two(size_t value)
{
	return value != 0 && (value & (value - 1)) == 0;
}

/* Position of the highest set bit; value must not be 0. */
static inline unsigned hkm_log2(size_t value)
{
	return 63u ^ (unsigned)__builtin_clzl(value); /* the processor's own instruction: a difference would be two */
}

static inline size_t hkm_min(size_t a, size_t b)
{
	return a < b ? a : b;
}

static inline size_t hkm_max(size_t a, size_t b)
{
	return a > b ? a : b;
}

/* A counter that one thread writes and any thread reads: a plain load, add and store, no
 * read-modify-write. Relaxed suffices: readers want a recent value, and order nothing by it. */
typedef _Atomic uint64_t hkm_counter;

static inline void hkm_count(hkm_counter *counter, uint64_t amount)
{
	uint64_t value = __atomic_load_n((uint64_t *)counter, __ATOMIC_RELAXED);
	__atomic_store_n((uint64_t *)counter, value + amount, __ATOMIC_RELAXED);
}

static inline void hkm_set_count(hkm_counter *counter, uint64_t value)
{
	__atomic_store_n((uint64_t *)counter, value, __ATOMIC_RELAXED);
}

static inline uint64_t hkm_counted(const hkm_counter *counter)
{
	return __atomic_load_n((const uint64_t *)counter, __ATOMIC_RELAXED);
}

HKM_STATIC_ASSERT(sizeof(void *) == 8, "HAKMEM is for 64-bit systems");

#endif
