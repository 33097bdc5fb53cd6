/* modules.h - the executable files that are mapped into the process: which one an address belongs to, and where the
 * functions of a name lie in it.
 *
 * Read from /proc/self/maps, and from the files themselves: the loader's own functions (dl_iterate_phdr, dladdr) take its
 * lock and may allocate. Nothing here allocates; a list is the caller's alone.
 */
#ifndef HKM_MODULES_H
#define HKM_MODULES_H

#include "core/lines.h"

#define HKM_MODULES_MOST 1024u

struct hkm_module {
	uintptr_t start, end; /* of its code */
	uintptr_t base;       /* where the file's beginning is mapped */
	uint64_t file_offset; /* of `start` */
	struct hkm_word path;
};

struct hkm_modules {
	struct hkm_module list[HKM_MODULES_MOST];
	unsigned count;
	char *text; /* the file, in which the paths lie; each path ends with a NUL */
};

/* Reads what is mapped now. Result: NULL if that cannot be had. */
struct hkm_modules *hkm_modules_read(void);
void hkm_modules_free(struct hkm_modules *modules);

/* The module whose code an address lies in; NULL: none. */
const struct hkm_module *hkm_modules_find(const struct hkm_modules *modules, uintptr_t address);

/* The last part of a path. */
struct hkm_word hkm_module_name(const struct hkm_module *module);

/* Calls found(context, name, start, end) for each function that the module's symbol table names. Strings and numbers of
 * the file are checked against its size: a strange file has fewer functions, and does no harm. */
void hkm_module_functions(const struct hkm_module *module,
			  void (*found)(void *context, const char *name, uintptr_t start, uintptr_t end), void *context);

#endif
