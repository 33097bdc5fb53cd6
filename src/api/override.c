/* override.c - the C library's names, in libhakmem.so and libhakmem.a only.
 *
 * malloc and free contain the fast path themselves: a jump to hkm_malloc would cost more than a tenth of it.
 */
#include <malloc.h>
#include <stdlib.h>

#include "api/api.h"
#include "api/names.h"
#include "hakmem.h"
#include "os/os.h"

/* Weak: a program that is linked with libhakmem.a may define some of them itself. */
#define EXPORT __attribute__((visibility("default"), weak))
#define STRONG __attribute__((visibility("default")))
#define LEADS_TO(name) __attribute__((visibility("default"), weak, alias(#name)))

/* C23 and glibc functions that older headers do not declare. */
void free_sized(void *pointer, size_t size);
void free_aligned_sized(void *pointer, size_t alignment, size_t size);
void cfree(void *pointer);

void *malloc(size_t size) LEADS_TO(hkm_own_malloc);
void free(void *pointer) LEADS_TO(hkm_own_free);
void *realloc(void *pointer, size_t size) LEADS_TO(hkm_own_realloc);
void *aligned_alloc(size_t alignment, size_t size) LEADS_TO(hkm_own_aligned_alloc);

void *hkm_own_malloc(size_t size)
{
	return hkm_fast_malloc(size);
}

void hkm_own_free(void *pointer)
{
	hkm_fast_free(pointer);
}

EXPORT void cfree(void *pointer)
{
	if (HKM_IS_OWN(free, hkm_own_free))
		hkm_fast_free(pointer);
	else
		free(pointer);
}

/* What C23 says that these do, for a program that has a free of its own, and no more than that. */
EXPORT void free_sized(void *pointer, size_t size)
{
	if (HKM_IS_OWN(free, hkm_own_free))
		hkm_free_sized(pointer, size);
	else
		free(pointer);
}

EXPORT void free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
	if (HKM_IS_OWN(free, hkm_own_free))
		hkm_free_aligned_sized(pointer, alignment, size);
	else
		free(pointer);
}

EXPORT void *calloc(size_t count, size_t size)
{
	return hkm_calloc_at(count, size, HKM_CALL_SITE);
}

void *hkm_own_realloc(void *pointer, size_t size)
{
	return hkm_realloc_at(pointer, size, HKM_CALL_SITE);
}

EXPORT void *reallocarray(void *pointer, size_t count, size_t size)
{
	size_t bytes;
	if (HKM_IS_OWN(realloc, hkm_own_realloc) || __builtin_mul_overflow(count, size, &bytes))
		return hkm_reallocarray_at(pointer, count, size, HKM_CALL_SITE);
	return realloc(pointer, bytes); /* as the C library's does */
}

void *hkm_own_aligned_alloc(size_t alignment, size_t size)
{
	return hkm_aligned_alloc_at(alignment, size, HKM_CALL_SITE);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	return hkm_memalign_at(alignment, size, HKM_CALL_SITE);
}

EXPORT int posix_memalign(void **out, size_t alignment, size_t size)
{
	return hkm_posix_memalign_at(out, alignment, size, HKM_CALL_SITE);
}

EXPORT void *valloc(size_t size)
{
	return hkm_allocate_aligned(size, hkm_os_page_size(), HKM_CALL_SITE);
}

EXPORT void *pvalloc(size_t size)
{
	return hkm_pvalloc_at(size, HKM_CALL_SITE);
}

EXPORT size_t malloc_usable_size(void *pointer)
{
	return hkm_malloc_usable_size(pointer);
}

EXPORT int malloc_trim(size_t pad)
{
	return hkm_malloc_trim(pad);
}

EXPORT int mallopt(int parameter, int value)
{
	return hkm_mallopt(parameter, value);
}

EXPORT void malloc_stats(void)
{
	hkm_malloc_stats();
}

EXPORT int malloc_info(int options, FILE *stream)
{
	return hkm_malloc_info(options, stream);
}

EXPORT struct mallinfo mallinfo(void)
{
	struct hkm_mallinfo info = hkm_mallinfo();
	return (struct mallinfo){
		.arena = info.arena, .ordblks = info.ordblks, .smblks = info.smblks, .hblks = info.hblks,
		.hblkhd = info.hblkhd, .usmblks = info.usmblks, .fsmblks = info.fsmblks,
		.uordblks = info.uordblks, .fordblks = info.fordblks, .keepcost = info.keepcost,
	};
}

EXPORT struct mallinfo2 mallinfo2(void)
{
	struct hkm_mallinfo2 info = hkm_mallinfo2();
	return (struct mallinfo2){
		.arena = info.arena, .ordblks = info.ordblks, .smblks = info.smblks, .hblks = info.hblks,
		.hblkhd = info.hblkhd, .usmblks = info.usmblks, .fsmblks = info.fsmblks,
		.uordblks = info.uordblks, .fordblks = info.fordblks, .keepcost = info.keepcost,
	};
}

/* The C library's own second names for the same functions, which old programs link with, and by which those that
 * define malloc themselves reach what is behind it. Not weak: should a static link take the C library's malloc, too, it must
 * not go unnoticed. */
void *__libc_malloc(size_t size);
void __libc_free(void *pointer);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *pointer, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void *__libc_valloc(size_t size);
void *__libc_pvalloc(size_t size);
int __posix_memalign(void **out, size_t alignment, size_t size);

STRONG void *__libc_malloc(size_t size)
{
	return hkm_fast_malloc(size);
}

STRONG void __libc_free(void *pointer)
{
	hkm_fast_free(pointer);
}

STRONG void *__libc_calloc(size_t count, size_t size)
{
	return hkm_calloc_at(count, size, HKM_CALL_SITE);
}

STRONG void *__libc_realloc(void *pointer, size_t size)
{
	return hkm_realloc_at(pointer, size, HKM_CALL_SITE);
}

STRONG void *__libc_memalign(size_t alignment, size_t size)
{
	return hkm_memalign_at(alignment, size, HKM_CALL_SITE);
}

STRONG void *__libc_valloc(size_t size)
{
	return hkm_allocate_aligned(size, hkm_os_page_size(), HKM_CALL_SITE);
}

STRONG void *__libc_pvalloc(size_t size)
{
	return hkm_pvalloc_at(size, HKM_CALL_SITE);
}

STRONG int __posix_memalign(void **out, size_t alignment, size_t size)
{
	return hkm_posix_memalign_at(out, alignment, size, HKM_CALL_SITE);
}
