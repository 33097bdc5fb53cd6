/* shared.c - what only the shared library does, which stands before libraries that it was not linked with.
 *
 *   operator new (nothrow)  A program may be linked with another allocator that has forms of its own: what they allocated
 *                           would come to our operator delete. Where no such library is, the C++ runtime's forms do, as they
 *                           call ours; so the static library has none.
 *   dlopen                  without RTLD_DEEPBIND, which binds the loaded library to the C library's free, while the C
 *                           library itself allocates here.
 *   the constructor         starts the process before main: a program may forbid itself system calls (seccomp) before it
 *                           allocates for the first time.
 */
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/api.h"
#include "api/fast.h"
#include "core/options.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- operator new, nothrow --------------------------------------------------------------------------- */

typedef void (*new_handler)(void);
/* std::get_new_handler(), where a C++ runtime is loaded. */
extern new_handler _ZSt15get_new_handlerv(void) __attribute__((weak));

/* There is no memory: the runtime's own form, which calls the new-handler and catches what it throws, as C cannot; NULL:
 * no handler is set, and the operator returns NULL. */
HKM_SLOW static void *next_form(const char *name)
{
	bool handled = _ZSt15get_new_handlerv != NULL && _ZSt15get_new_handlerv() != NULL;
	return handled ? dlsym(RTLD_NEXT, name) : NULL;
}

#define NEW(name) \
	EXPORT void *name(size_t size, const void *tag); \
	EXPORT void *name(size_t size, const void *tag) \
	{ \
		void *block = hkm_fast_malloc(size); \
		if (HKM_LIKELY(block != NULL)) \
			return block; \
		void *(*next)(size_t, const void *); \
		*(void **)&next = next_form(#name); \
		return next != NULL ? next(size, tag) : NULL; \
	}

#define NEW_ALIGNED(name) \
	EXPORT void *name(size_t size, size_t alignment, const void *tag); \
	EXPORT void *name(size_t size, size_t alignment, const void *tag) \
	{ \
		bool legal = hkm_is_power_of_two(alignment); \
		void *block = legal ? hkm_allocate_aligned(size, alignment, HKM_CALL_SITE) : NULL; \
		if (HKM_LIKELY(block != NULL)) \
			return block; \
		void *(*next)(size_t, size_t, const void *); \
		*(void **)&next = next_form(#name); \
		return next != NULL ? next(size, alignment, tag) : NULL; \
	}

NEW(_ZnwmRKSt9nothrow_t)
NEW(_ZnamRKSt9nothrow_t)
NEW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t)
NEW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t)

/* ---- dlopen -------------------------------------------------------------------------------------------- */

/* The C library's dlopen looks at its return address for whose library path counts: with optimisation, the last line is
 * a jump, and it finds the program's. */
EXPORT void *dlopen(const char *file, int mode)
{
	static _Atomic(void *) next_dlopen; /* idempotent: every writer stores the same address, relaxed */
	void *address = atomic_load_explicit(&next_dlopen, memory_order_relaxed);
	if (HKM_UNLIKELY(address == NULL)) {
		address = dlsym(RTLD_NEXT, "dlopen");
		atomic_store_explicit(&next_dlopen, address, memory_order_relaxed);
	}
	void *(*next)(const char *, int);
	*(void **)&next = address;
	if (hkm_options.deepbind == 0)
		mode &= ~RTLD_DEEPBIND;
	return next(file, mode);
}

/* ---- The start ------------------------------------------------------------------------------------------ */

__attribute__((constructor)) static void start(void)
{
	hkm_heap_get();
}
