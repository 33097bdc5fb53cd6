/* cxx.c - operator new and delete, in libhakmem.so and libhakmem.a only.
 *
 * Written in C under their mangled names (Itanium C++ ABI, 64-bit), so that the library needs no C++ runtime.
 * On failure the new-handler is called until it gives up; then the C++ runtime, if there is one in the process,
 * throws std::bad_alloc through these frames (compiled with -fexceptions). The nothrow forms are the runtime's
 * own: they call these and catch what a new-handler throws, which C cannot.
 *
 * A program may replace some forms only, and by [new.delete] the others then call its own: arrays the single forms, sized
 * and nothrow ones those without. The plain forms stand on malloc and free as the runtime's do, which a program or a
 * library before ours may replace, too. So every name is weak, for the static linker, and stands on another name, its
 * base. While all bases are ours, nobody asks: the fast paths go by `hkm_operators`, which until then leads them to the slow
 * ones, and there each form calls its base.
 */
#include <stdlib.h>

#include "api/api.h"
#include "api/names.h"
#include "api/runtime.h"
#include "core/report.h"

#define EXPORT __attribute__((visibility("default"), weak))
#define OWN(name) __attribute__((alias(#name), visibility("hidden")))

struct hkm_operators hkm_operators = { .window = HKM_NO_WINDOW, .sizes = 0 };

/* ---- The names, and what they stand on ------------------------------------------------------------------ */

EXPORT void *_Znwm(size_t size);                                       /* new */
EXPORT void *_Znam(size_t size);                                       /* new[] */
EXPORT void *_ZnwmSt11align_val_t(size_t size, size_t alignment);      /* aligned */
EXPORT void *_ZnamSt11align_val_t(size_t size, size_t alignment);
EXPORT void _ZdlPv(void *pointer);                                     /* delete */
EXPORT void _ZdaPv(void *pointer);                                     /* delete[] */
EXPORT void _ZdlPvSt11align_val_t(void *pointer, size_t alignment);    /* aligned */
EXPORT void _ZdaPvSt11align_val_t(void *pointer, size_t alignment);

void *own_new(size_t size) OWN(_Znwm);
void *own_new_array(size_t size) OWN(_Znam);
void *own_new_aligned(size_t size, size_t alignment) OWN(_ZnwmSt11align_val_t);
void *own_new_array_aligned(size_t size, size_t alignment) OWN(_ZnamSt11align_val_t);
void own_delete(void *pointer) OWN(_ZdlPv);
void own_delete_array(void *pointer) OWN(_ZdaPv);
void own_delete_aligned(void *pointer, size_t alignment) OWN(_ZdlPvSt11align_val_t);
void own_delete_array_aligned(void *pointer, size_t alignment) OWN(_ZdaPvSt11align_val_t);

#define IS_OURS(name, own) \
	(HKM_IS_OWN(name, own) || hkm_runtime_is_jump((const void *)(uintptr_t)(name), (const void *)(uintptr_t)(own)))

static bool all_are_own(void)
{
	return IS_OURS(malloc, hkm_own_malloc) && IS_OURS(free, hkm_own_free) && IS_OURS(aligned_alloc, hkm_own_aligned_alloc) &&
	       IS_OURS(_Znwm, own_new) && IS_OURS(_Znam, own_new_array) && IS_OURS(_ZnwmSt11align_val_t, own_new_aligned) &&
	       IS_OURS(_ZnamSt11align_val_t, own_new_array_aligned) && IS_OURS(_ZdlPv, own_delete) &&
	       IS_OURS(_ZdaPv, own_delete_array) && IS_OURS(_ZdlPvSt11align_val_t, own_delete_aligned) &&
	       IS_OURS(_ZdaPvSt11align_val_t, own_delete_array_aligned);
}

/* The names were bound before any code of ours ran, and what was found stays so; relaxed: every writer stores the same. */
HKM_SLOW bool hkm_operators_start(void)
{
	static _Atomic bool replaced;
	if (atomic_load_explicit(&replaced, memory_order_relaxed))
		return false;
	if (!all_are_own()) {
		atomic_store_explicit(&replaced, true, memory_order_relaxed);
		return false;
	}
	hkm_heap_get(); /* the window is chosen */
	if (hkm_window.base != HKM_NO_WINDOW) {
		hkm_operators.window = hkm_window.base;
		hkm_operators.sizes = HKM_TINY_MAX + 1;
	}
	return true;
}

/* ---- operator new --------------------------------------------------------------------------------------- */

/* As the runtime's forms do it, by malloc and aligned_alloc, one of which may be the program's. */
HKM_SLOW static void *try_by_name(size_t size, size_t alignment, const void *site)
{
	size = hkm_max(size, 1);
	if (alignment == 0)
		return HKM_IS_OWN(malloc, hkm_own_malloc) ? hkm_fast_malloc_at(size, site) : malloc(size);
	if (HKM_IS_OWN(aligned_alloc, hkm_own_aligned_alloc) || size > PTRDIFF_MAX - alignment)
		return hkm_allocate_aligned(size, alignment, site);
	return aligned_alloc(alignment, hkm_align_up(size, alignment));
}

/* alignment 0: the default one. */
static void *try_once(size_t size, size_t alignment, const void *site)
{
	if (HKM_UNLIKELY(alignment != 0 && !hkm_is_power_of_two(alignment)))
		return NULL;
	if (HKM_UNLIKELY(!hkm_operators_are_own()))
		return try_by_name(size, alignment, site);
	return alignment == 0 ? hkm_fast_malloc_at(size, site) : hkm_allocate_aligned(size, alignment, site);
}

HKM_SLOW static void *no_memory(size_t size, size_t alignment, const void *site)
{
	for (;;) {
		hkm_new_handler handler = hkm_runtime_new_handler(site);
		if (handler == NULL)
			break;
		handler();
		void *block = try_once(size, alignment, site);
		if (block != NULL)
			return block;
	}
	hkm_runtime_throw_bad_alloc(site);
	hkm_accuse("operator new(): no memory for %zu bytes, and no C++ runtime that throws bad_alloc", size);
	abort();
}

static __attribute__((noinline)) void *new_slow(size_t size, size_t alignment, const void *site)
{
	void *block = try_once(size, alignment, site);
	return HKM_LIKELY(block != NULL) ? block : no_memory(size, alignment, site);
}

static __attribute__((noinline)) void *new_array_slow(size_t size, const void *site)
{
	bool direct = hkm_operators_are_own() || HKM_IS_OWN(_Znwm, own_new);
	return HKM_LIKELY(direct) ? new_slow(size, 0, site) : _Znwm(size);
}

/* The call site is read on the slow path only. */
void *_Znwm(size_t size)
{
	void *block = hkm_operator_pop(size);
	return HKM_LIKELY(block != NULL) ? block : new_slow(size, 0, HKM_CALL_SITE);
}

void *_Znam(size_t size)
{
	void *block = hkm_operator_pop(size);
	return HKM_LIKELY(block != NULL) ? block : new_array_slow(size, HKM_CALL_SITE);
}

void *_ZnwmSt11align_val_t(size_t size, size_t alignment)
{
	return new_slow(size, alignment, HKM_CALL_SITE);
}

void *_ZnamSt11align_val_t(size_t size, size_t alignment)
{
	bool direct = hkm_operators_are_own() || HKM_IS_OWN(_ZnwmSt11align_val_t, own_new_aligned);
	return HKM_LIKELY(direct) ? new_slow(size, alignment, HKM_CALL_SITE) : _ZnwmSt11align_val_t(size, alignment);
}

/* ---- operator delete ------------------------------------------------------------------------------------ */

/* As the runtime's does. */
static void free_aligned(void *pointer, size_t alignment)
{
	(void)alignment;
	free(pointer);
}

/* via_BASE: what is not freed on the fast path, by BASE unless all is ours. */
#define VIA(base, parameters, ...) \
	static __attribute__((noinline)) void via_##base parameters \
	{ \
		if (HKM_LIKELY(hkm_operators_are_own())) \
			hkm_fast_free(pointer); \
		else \
			base(__VA_ARGS__); \
	}

VIA(free, (void *pointer), pointer)
VIA(_ZdlPv, (void *pointer), pointer)
VIA(_ZdaPv, (void *pointer), pointer)
VIA(free_aligned, (void *pointer, size_t alignment), pointer, alignment)
VIA(_ZdlPvSt11align_val_t, (void *pointer, size_t alignment), pointer, alignment)
VIA(_ZdaPvSt11align_val_t, (void *pointer, size_t alignment), pointer, alignment)

#define DELETE(name, parameters, base, ...) \
	EXPORT void name parameters; \
	void name parameters \
	{ \
		if (HKM_UNLIKELY(!hkm_fast_free_from(pointer, hkm_operators.window))) \
			via_##base(__VA_ARGS__); \
	}

/* clang-format off */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define TAG const void *tag
DELETE(_ZdlPv, (void *pointer), free, pointer)                                                   /* delete */
DELETE(_ZdaPv, (void *pointer), _ZdlPv, pointer)                                                 /* delete[] */
DELETE(_ZdlPvRKSt9nothrow_t, (void *pointer, TAG), _ZdlPv, pointer)
DELETE(_ZdaPvRKSt9nothrow_t, (void *pointer, TAG), _ZdaPv, pointer)
DELETE(_ZdlPvm, (void *pointer, size_t size), _ZdlPv, pointer)                                   /* sized */
DELETE(_ZdaPvm, (void *pointer, size_t size), _ZdaPv, pointer)
DELETE(_ZdlPvSt11align_val_t, (void *pointer, size_t alignment), free_aligned, pointer, alignment) /* aligned */
DELETE(_ZdaPvSt11align_val_t, (void *pointer, size_t alignment), _ZdlPvSt11align_val_t, pointer, alignment)
DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, (void *pointer, size_t alignment, TAG), _ZdlPvSt11align_val_t, pointer, alignment)
DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, (void *pointer, size_t alignment, TAG), _ZdaPvSt11align_val_t, pointer, alignment)
DELETE(_ZdlPvmSt11align_val_t, (void *pointer, size_t size, size_t alignment), _ZdlPvSt11align_val_t, pointer, alignment) /* both */
DELETE(_ZdaPvmSt11align_val_t, (void *pointer, size_t size, size_t alignment), _ZdaPvSt11align_val_t, pointer, alignment)
#pragma GCC diagnostic pop
/* clang-format on */
