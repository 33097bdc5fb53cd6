/* replaced_c.c - one function of the C library's interface, as a program or a preloaded library defines it.
 *
 * Compiled once per function, with REPLACE_<name>; it counts its calls.
 *   by default    calls the C library's second name for the same (__libc_malloc), as old programs do
 *   -DNEXT        finds the next one by dlsym(RTLD_NEXT), as libraries do that are preloaded
 *   -DARENA       has memory of its own, and takes other blocks for nothing
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "replaced.h"

#define COUNT(name) __atomic_fetch_add(&replaced_calls[replaced_##name], 1, __ATOMIC_RELAXED)

void *__libc_malloc(size_t size);
void __libc_free(void *pointer);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);

#ifdef ARENA
/* Blocks lie one behind the other and are never used again; the word before a block is its size. */
__attribute__((weak, visibility("hidden"))) char arena[100 << 20];
__attribute__((weak, visibility("hidden"))) size_t arena_used;

static inline void *arena_take(size_t alignment, size_t size)
{
	alignment = alignment < 16 ? 16 : alignment;
	if (size > sizeof arena / 2 || alignment > sizeof arena / 2)
		return NULL;
	size_t room = size + alignment + 16, at = __atomic_fetch_add(&arena_used, (room + 15) & ~(size_t)15, __ATOMIC_RELAXED);
	if (at + room > sizeof arena)
		return NULL;
	uintptr_t start = ((uintptr_t)arena + at + 16 + alignment - 1) & ~(uintptr_t)(alignment - 1);
	((size_t *)start)[-1] = size;
	return (void *)start;
}

static inline int arena_has(const void *pointer)
{
	return (uintptr_t)pointer - (uintptr_t)arena < sizeof arena;
}
#define CALL(name, libc, own, ...) own
#elif defined NEXT
#define CALL(name, libc, own, ...) \
	({ \
		static __typeof__(&name) next; \
		if (next == NULL) \
			*(void **)&next = dlsym(RTLD_NEXT, #name); \
		next(__VA_ARGS__); \
	})
#else
#define CALL(name, libc, own, ...) libc(__VA_ARGS__)
#endif

#ifdef REPLACE_malloc
void *malloc(size_t size)
{
	COUNT(malloc);
	return CALL(malloc, __libc_malloc, arena_take(16, size), size);
}
#endif

#ifdef REPLACE_free
void free(void *pointer)
{
	COUNT(free);
	CALL(free, __libc_free, (void)pointer, pointer);
}
#endif

#ifdef REPLACE_calloc
void *calloc(size_t count, size_t size)
{
	COUNT(calloc);
	return CALL(calloc, __libc_calloc, arena_take(16, count * size), count, size);
}
#endif

#ifdef REPLACE_realloc
#ifdef ARENA
static void *arena_realloc(void *pointer, size_t size)
{
	void *block = arena_take(16, size);
	if (block != NULL && arena_has(pointer))
		memcpy(block, pointer, ((size_t *)pointer)[-1] < size ? ((size_t *)pointer)[-1] : size);
	return block;
}
#endif
void *realloc(void *pointer, size_t size)
{
	COUNT(realloc);
	return CALL(realloc, __libc_realloc, arena_realloc(pointer, size), pointer, size);
}
#endif

#ifdef REPLACE_aligned_alloc
void *aligned_alloc(size_t alignment, size_t size)
{
	COUNT(aligned_alloc);
	return CALL(aligned_alloc, __libc_memalign, arena_take(alignment, size), alignment, size);
}
#endif

#ifdef REPLACE_memalign
void *memalign(size_t alignment, size_t size)
{
	COUNT(memalign);
	return CALL(memalign, __libc_memalign, arena_take(alignment, size), alignment, size);
}
#endif

#ifdef REPLACE_posix_memalign
int posix_memalign(void **out, size_t alignment, size_t size)
{
	COUNT(posix_memalign);
#ifdef NEXT
	return CALL(posix_memalign, , , out, alignment, size);
#else
	*out = CALL(memalign, __libc_memalign, arena_take(alignment, size), alignment, size);
	return *out != NULL ? 0 : ENOMEM;
#endif
}
#endif

#ifdef REPLACE_valloc
void *valloc(size_t size)
{
	COUNT(valloc);
	return CALL(valloc, __libc_valloc, arena_take(4096, size), size);
}
#endif

#ifdef REPLACE_malloc_usable_size
size_t malloc_usable_size(void *pointer)
{
	COUNT(malloc_usable_size);
#ifdef ARENA
	return arena_has(pointer) ? ((size_t *)pointer)[-1] : 0;
#else
	return CALL(malloc_usable_size, 64 + 0 * (size_t), , pointer);
#endif
}
#endif
