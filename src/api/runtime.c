/* runtime.c - the C++ runtime of a program, where it has one, as operator new needs it when there is no memory.
 *
 * HAKMEM links with none. A runtime that is there when the process starts is seen through weak references. One that comes
 * later, below a plug-in of a C program, is looked for when it is needed: first in the object that called operator new
 * and in what that was linked with, as dlopen with RTLD_LOCAL shows it to nobody else; then among the names that everybody
 * sees; then by its file name. Nothing is kept: a plug-in may be closed.
 *
 * The dynamic linker's functions are weak references as well: a static program has none, and all its names are known.
 * No memory is needed where the caller's object was opened by dlopen or is the program.
 */
#include <dlfcn.h>
#include <link.h>
#include <string.h>

#include "api/api.h"
#include "api/runtime.h"

#pragma weak dladdr1
#pragma weak dlopen
#pragma weak dlsym
#pragma weak dlclose

extern hkm_new_handler _ZSt15get_new_handlerv(void) __attribute__((weak)); /* std::get_new_handler() */
extern void _ZSt17__throw_bad_allocv(void) __attribute__((weak));          /* std::__throw_bad_alloc() */

/* ---- By name ------------------------------------------------------------------------------------------- */

/* The address of `name` in the loaded object `file` (NULL: the program) or in what that was linked with. */
static void *find_in(const char *file, const char *name)
{
	void *object = dlopen(file, RTLD_LAZY | RTLD_NOLOAD);
	if (object == NULL)
		return NULL;
	void *address = dlsym(object, name);
	dlclose(object);
	return address;
}

static void *find_in_caller(const char *name, const void *site)
{
	Dl_info info;
	struct link_map *object = NULL;
	if (dladdr1 == NULL || dladdr1(site, &info, (void **)&object, RTLD_DL_LINKMAP) == 0 || object == NULL)
		return NULL;
	return find_in(object->l_name[0] != '\0' ? object->l_name : NULL, name);
}

static void *find_in_runtime(const char *name)
{
	static const char *const files[] = { "libstdc++.so.6", "libc++abi.so.1", "libc++.so.1" };
	void *address = NULL;
	for (size_t i = 0; i < sizeof files / sizeof files[0] && address == NULL; i++)
		address = find_in(files[i], name);
	return address;
}

static void *find(const char *name, const void *site)
{
	if (dlopen == NULL || dlsym == NULL || dlclose == NULL)
		return NULL;
	void *address = find_in_caller(name, site);
	if (address == NULL)
		address = dlsym(RTLD_DEFAULT, name);
	return address != NULL ? address : find_in_runtime(name);
}

void *hkm_runtime_form(const char *name, const void *own, const void *site)
{
	void *address = find_in_caller(name, site);
	if (address == NULL || address == own)
		address = find_in_runtime(name);
	if (address == NULL || address == own)
		address = dlsym(RTLD_NEXT, name); /* behind libhakmem.so */
	return address != own ? address : NULL;
}

/* ---- Whose name it is ---------------------------------------------------------------------------------------- */

static const struct link_map *object_of(const void *address)
{
	Dl_info info;
	struct link_map *object = NULL;
	return dladdr1(address, &info, (void **)&object, RTLD_DL_LINKMAP) != 0 ? object : NULL;
}

bool hkm_runtime_is_jump(const void *name, const void *own)
{
	Dl_info info;
	ElfW(Sym) *symbol = NULL;
	if (dladdr1 == NULL || dladdr1(name, &info, (void **)&symbol, RTLD_DL_SYMENT) == 0 || symbol == NULL)
		return false;
	const struct link_map *program = object_of(name), *ours = object_of(own);
	if (symbol->st_shndx != SHN_UNDEF || program == NULL || ours == NULL)
		return false;
	/* The kernel's object has a name without a path. */
	const struct link_map *next = program->l_next;
	while (next != NULL && next != ours && strchr(next->l_name, '/') == NULL)
		next = next->l_next;
	return next == ours;
}

/* ---- What operator new does without memory --------------------------------------------------------------- */

hkm_new_handler hkm_runtime_new_handler(const void *site)
{
	hkm_new_handler (*get)(void) = _ZSt15get_new_handlerv;
	if (get == NULL)
		*(void **)&get = find("_ZSt15get_new_handlerv", site);
	return get != NULL ? get() : NULL;
}

/* As the compiler does it for `throw std::bad_alloc()` by the Itanium C++ ABI, which libstdc++ and libc++ keep. The object is a
 * pointer to the table of virtual functions, whose first is its third word. */
static void throw_by_parts(const void *site)
{
	void *(*allocate)(size_t size);
	void (*throw)(void *exception, void *type, void (*destroy)(void *));
	void (*destroy)(void *);
	*(void **)&allocate = find("__cxa_allocate_exception", site);
	*(void **)&throw = find("__cxa_throw", site);
	*(void **)&destroy = find("_ZNSt9bad_allocD1Ev", site);
	void *type = find("_ZTISt9bad_alloc", site);
	void **table = find("_ZTVSt9bad_alloc", site);
	if (allocate == NULL || throw == NULL || destroy == NULL || type == NULL || table == NULL)
		return;
	void **exception = allocate(sizeof *exception);
	*exception = table + 2;
	throw(exception, type, destroy);
}

void hkm_runtime_throw_bad_alloc(const void *site)
{
	if (_ZSt17__throw_bad_allocv != NULL)
		_ZSt17__throw_bad_allocv();
	else
		throw_by_parts(site);
}
