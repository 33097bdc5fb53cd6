/* runtime.h - the C++ runtime of the process, as operator new needs it when there is no memory. `site` is the call site of
 * operator new: it says whose runtime is meant. All of it may take the dynamic linker's lock. Any thread. */
#ifndef HKM_RUNTIME_H
#define HKM_RUNTIME_H

typedef void (*hkm_new_handler)(void);

/* std::get_new_handler(); NULL: no handler is set, or there is no runtime. */
hkm_new_handler hkm_runtime_new_handler(const void *site) __attribute__((visibility("hidden")));

/* Throws std::bad_alloc; returns if there is no runtime. */
void hkm_runtime_throw_bad_alloc(const void *site) __attribute__((visibility("hidden")));

/* The runtime's own operator `name`, which stands behind `own` of ours; NULL: there is none. For the shared library. */
void *hkm_runtime_form(const char *name, const void *own, const void *site) __attribute__((visibility("hidden")));

#endif
