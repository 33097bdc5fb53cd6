/* runtime.h - the C++ runtime of the process, as operator new needs it when there is no memory. `site` is the call site of
 * operator new: it says whose runtime is meant. All of it may take the dynamic linker's lock. Any thread. */
#ifndef HKM_RUNTIME_H
#define HKM_RUNTIME_H

#include <stdbool.h>

typedef void (*hkm_new_handler)(void);

/* Whether `name` is the jump of a program that is not position-independent, as it takes the address of the function, and it
 * leads to `own`: nothing is between the program and HAKMEM. false where that is not known. */
bool hkm_runtime_is_jump(const void *name, const void *own) __attribute__((visibility("hidden")));

/* std::get_new_handler(); NULL: no handler is set, or there is no runtime. */
hkm_new_handler hkm_runtime_new_handler(const void *site) __attribute__((visibility("hidden")));

/* Throws std::bad_alloc; returns if there is no runtime. */
void hkm_runtime_throw_bad_alloc(const void *site) __attribute__((visibility("hidden")));

/* The runtime's own operator `name`, which stands behind `own` of ours; NULL: there is none. For the shared library. */
void *hkm_runtime_form(const char *name, const void *own, const void *site) __attribute__((visibility("hidden")));

#endif
