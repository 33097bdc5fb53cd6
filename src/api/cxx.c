/* cxx.c - operator new and delete, in libhakmem.so and libhakmem.a only.
 *
 * Written in C under their mangled names (Itanium C++ ABI, 64-bit), so that the library needs no C++ runtime.
 * On failure the new-handler is called until it gives up; then the C++ runtime, if there is one in the process,
 * throws std::bad_alloc through these frames (compiled with -fexceptions). The nothrow forms are the runtime's
 * own: they call these and catch what a new-handler throws, which C cannot.
 */
#include <stdlib.h>

#include "api/api.h"
#include "api/fast.h"
#include "core/report.h"
#include "hakmem.h"

#define EXPORT __attribute__((visibility("default")))

typedef void (*new_handler)(void);
/* std::get_new_handler() and std::__throw_bad_alloc(), where a C++ runtime is loaded. */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));

/* alignment 0: the default one. */
static void *try_once(size_t size, size_t alignment, const void *site)
{
	if (alignment == 0)
		return hkm_fast_malloc_at(size, site);
	return hkm_is_power_of_two(alignment) ? hkm_allocate_aligned(size, alignment, site) : NULL;
}

HKM_SLOW static void *no_memory(size_t size, size_t alignment, const void *site)
{
	for (;;) {
		new_handler handler = _ZSt15get_new_handlerv != NULL ? _ZSt15get_new_handlerv() : NULL;
		if (handler == NULL)
			break;
		handler();
		void *block = try_once(size, alignment, site);
		if (block != NULL)
			return block;
	}
	if (_ZSt17__throw_bad_allocv != NULL)
		_ZSt17__throw_bad_allocv();
	hkm_warn("operator new: no memory for %zu bytes, and no C++ runtime to throw bad_alloc", size);
	abort();
}

static __attribute__((noinline)) void *new_slow(size_t size, size_t alignment, const void *site)
{
	void *block = try_once(size, alignment, site);
	return HKM_LIKELY(block != NULL) ? block : no_memory(size, alignment, site);
}

/* The call site is read on the slow path only. */
HKM_HOT void *new_block(size_t size, size_t alignment)
{
	void *block = alignment == 0 ? hkm_fast_pop(size) : NULL;
	return HKM_LIKELY(block != NULL) ? block : new_slow(size, alignment, HKM_CALL_SITE);
}

#define NEW(name, parameters, size, alignment) \
	EXPORT void *name parameters; \
	EXPORT void *name parameters \
	{ \
		return new_block(size, alignment); \
	}

#define DELETE(name, ...) \
	EXPORT void name(void *pointer, ##__VA_ARGS__); \
	EXPORT void name(void *pointer, ##__VA_ARGS__) \
	{ \
		hkm_fast_free(pointer); \
	}

/* clang-format off */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
NEW(_Znwm, (size_t size), size, 0)                                                          /* new */
NEW(_Znam, (size_t size), size, 0)                                                          /* new[] */
NEW(_ZnwmSt11align_val_t, (size_t size, size_t alignment), size, alignment)                 /* aligned */
NEW(_ZnamSt11align_val_t, (size_t size, size_t alignment), size, alignment)

DELETE(_ZdlPv)                                                                              /* delete */
DELETE(_ZdaPv)                                                                              /* delete[] */
DELETE(_ZdlPvRKSt9nothrow_t, const void *tag)
DELETE(_ZdaPvRKSt9nothrow_t, const void *tag)
DELETE(_ZdlPvm, size_t size)                                                                /* sized */
DELETE(_ZdaPvm, size_t size)
DELETE(_ZdlPvSt11align_val_t, size_t alignment)                                             /* aligned */
DELETE(_ZdaPvSt11align_val_t, size_t alignment)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, size_t alignment, const void *tag)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, size_t alignment, const void *tag)
DELETE(_ZdlPvmSt11align_val_t, size_t size, size_t alignment)                               /* both */
DELETE(_ZdaPvmSt11align_val_t, size_t size, size_t alignment)
#pragma GCC diagnostic pop
/* clang-format on */
