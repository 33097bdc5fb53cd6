/* names.h - the names that a program or another library may define as well: the C library's and C++'s (override.c, cxx.c,
 * shared.c). The linkers decide to whom each leads. */
#ifndef HKM_NAMES_H
#define HKM_NAMES_H

#include "api/fast.h"

/* Ours, whoever has the name. */
void *hkm_own_malloc(size_t size) __attribute__((visibility("hidden")));
void hkm_own_free(void *pointer) __attribute__((visibility("hidden")));
void *hkm_own_realloc(void *pointer, size_t size) __attribute__((visibility("hidden")));
void *hkm_own_aligned_alloc(size_t alignment, size_t size) __attribute__((visibility("hidden")));

/* Whether `name` leads to `own`, ours. The compiler thinks that both are one, but the linkers decide. */
static inline bool hkm_is_own(const void *name, const void *own)
{
	__asm__("" : "+r"(name), "+r"(own));
	return name == own;
}
#define HKM_IS_OWN(name, own) hkm_is_own((const void *)(uintptr_t)(name), (const void *)(uintptr_t)(own))

/* What the fast paths of operator new and delete go by: as long as it is not known that all names that operators stand on are
 * ours, and for good if one is not, no size and no block is for them. Written at the first call, and read plainly: every
 * thread that finds it unset writes the same values, and who sees only one of them takes a slow path. */
struct hkm_operators {
	uintptr_t window; /* hkm_window.base, or HKM_NO_WINDOW */
	size_t sizes;     /* number of sizes, from 0 on: HKM_TINY_MAX + 1, or 0 */
};
extern struct hkm_operators hkm_operators __attribute__((visibility("hidden")));

/* Whether all names that operators stand on are ours. */
bool hkm_operators_start(void) __attribute__((visibility("hidden")));
static inline bool hkm_operators_are_own(void)
{
	return HKM_LIKELY(hkm_operators.sizes != 0) || hkm_operators_start();
}

/* NULL: the operator takes its slow path. */
HKM_HOT void *hkm_operator_pop(size_t size)
{
	if (HKM_UNLIKELY(size >= hkm_operators.sizes))
		return NULL;
	if (size > HKM_TINY_MAX)
		__builtin_unreachable();
	return hkm_fast_pop(size);
}

#endif
