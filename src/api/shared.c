/* shared.c - what only the shared library does, which stands before libraries that it was not linked with.
 *
 *   operator new (nothrow)  A program may be linked with another allocator that has forms of its own: what they allocated
 *                           would come to our operator delete. Where no such library is, the C++ runtime's forms do, as they
 *                           call ours; so the static library has none. See cxx.c for what is done where a name is not ours.
 *   dlopen                  without RTLD_DEEPBIND, which binds the loaded library to the C library's free, while the C
 *                           library itself allocates here.
 *   __register_atfork       no fork begins while the C library's list of handlers grows.
 *   the constructor         starts the process before main: a program may forbid itself system calls (seccomp) before it
 *                           allocates for the first time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <gnu/libc-version.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "api/api.h"
#include "api/names.h"
#include "api/runtime.h"
#include "core/options.h"

#define EXPORT __attribute__((visibility("default")))

/* ---- operator new, nothrow --------------------------------------------------------------------------- */

typedef void *new_form(size_t size, const void *tag);
typedef void *new_aligned_form(size_t size, size_t alignment, const void *tag);

/* There is no memory: the runtime's own form, which calls the new-handler and catches what it throws, as C cannot. NULL:
 * no handler is set, and the operator returns NULL. */
HKM_SLOW static void *handled_form(const char *name, const void *own, const void *site)
{
	return hkm_runtime_new_handler(site) != NULL ? hkm_runtime_form(name, own, site) : NULL;
}

/* Not every name is ours: the runtime's own form, which calls the form without nothrow by its name and catches what that
 * throws. NULL: there is none. `kept`: where it is remembered; idempotent, relaxed. */
HKM_SLOW static void *forwarding_form(const char *name, const void *own, _Atomic(void *) *kept)
{
	void *form = atomic_load_explicit(kept, memory_order_relaxed);
	if (form == NULL) {
		form = hkm_runtime_form(name, own, NULL);
		atomic_store_explicit(kept, form, memory_order_relaxed);
	}
	return form;
}

/* `base`: the form without nothrow, whose exception, if there is no runtime's form, nobody can catch here. */
static __attribute__((noinline)) void *new_slow(const char *name, new_form *own, void *(*base)(size_t),
						_Atomic(void *) *kept, size_t size, const void *tag, const void *site)
{
	bool direct = hkm_operators_are_own();
	void *block = HKM_LIKELY(direct) ? hkm_fast_malloc_at(size, site) : NULL;
	if (HKM_LIKELY(block != NULL))
		return block;
	const void *mine = (const void *)(uintptr_t)own;
	new_form *form;
	*(void **)&form = direct ? handled_form(name, mine, site) : forwarding_form(name, mine, kept);
	if (form != NULL)
		return form(size, tag);
	return direct ? NULL : base(size);
}

static __attribute__((noinline)) void *new_aligned_slow(const char *name, new_aligned_form *own, void *(*base)(size_t, size_t),
							_Atomic(void *) *kept, size_t size, size_t alignment, const void *tag,
							const void *site)
{
	bool direct = hkm_operators_are_own();
	bool ours = direct && hkm_is_power_of_two(alignment);
	void *block = HKM_LIKELY(ours) ? hkm_allocate_aligned(size, alignment, site) : NULL;
	if (HKM_LIKELY(block != NULL))
		return block;
	const void *mine = (const void *)(uintptr_t)own;
	new_aligned_form *form;
	*(void **)&form = direct ? handled_form(name, mine, site) : forwarding_form(name, mine, kept);
	if (form != NULL)
		return form(size, alignment, tag);
	return direct ? NULL : base(size, alignment);
}

#define NEW(name, base) \
	void *base(size_t size); \
	EXPORT new_form name; \
	void *name(size_t size, const void *tag) \
	{ \
		static _Atomic(void *) kept; \
		void *block = hkm_operator_pop(size); \
		return HKM_LIKELY(block != NULL) ? block : new_slow(#name, name, base, &kept, size, tag, HKM_CALL_SITE); \
	}

#define NEW_ALIGNED(name, base) \
	void *base(size_t size, size_t alignment); \
	EXPORT new_aligned_form name; \
	void *name(size_t size, size_t alignment, const void *tag) \
	{ \
		static _Atomic(void *) kept; \
		return new_aligned_slow(#name, name, base, &kept, size, alignment, tag, HKM_CALL_SITE); \
	}

NEW(_ZnwmRKSt9nothrow_t, _Znwm)
NEW(_ZnamRKSt9nothrow_t, _Znam)
NEW_ALIGNED(_ZnwmSt11align_val_tRKSt9nothrow_t, _ZnwmSt11align_val_t)
NEW_ALIGNED(_ZnamSt11align_val_tRKSt9nothrow_t, _ZnamSt11align_val_t)

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

/* ---- pthread_atfork ------------------------------------------------------------------------------------ */

typedef int register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object);

/* Since 2.36 the C library lets go of its lock on the list of handlers while one runs: it then takes it when all slow paths
 * are stopped already. Before, whoever forks has it all the time, and is not to be waited for by its next holder. */
static bool lock_is_let_go(void)
{
	const char *version = gnu_get_libc_version();
	return version[0] != '2' || version[1] != '.' || strtoul(version + 2, NULL, 10) >= 36;
}

/* What pthread_atfork calls, which is a part of each object that uses it. Now and then the list is full: the C library then
 * allocates with its lock held. */
EXPORT register_atfork __register_atfork;
int __register_atfork(void (*prepare)(void), void (*parent)(void), void (*child)(void), void *object)
{
	static _Atomic(void *) next_register; /* idempotent: every writer stores the same address, relaxed */
	void *address = atomic_load_explicit(&next_register, memory_order_relaxed);
	if (HKM_UNLIKELY(address == NULL)) {
		address = dlsym(RTLD_NEXT, "__register_atfork");
		atomic_store_explicit(&next_register, address, memory_order_relaxed);
	}
	if (address == NULL)
		return ENOMEM;
	register_atfork *next;
	*(void **)&next = address;
	bool held = lock_is_let_go() && hkm_fork_hold_off();
	int error = next(prepare, parent, child, object);
	if (held)
		hkm_fork_hold_off_no_more();
	return error;
}

/* ---- The start ------------------------------------------------------------------------------------------ */

__attribute__((constructor)) static void start(void)
{
	hkm_heap_get();
	hkm_operators_are_own();
}
