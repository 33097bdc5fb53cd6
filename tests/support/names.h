/* names.h - the names under which a test calls the allocator.
 *
 * Each test program is compiled twice from one source: with HAKMEM_TEST_API it calls the
 * hkm_ functions of libhakmem_api.a, without it the C library's names, which a preloaded
 * libhakmem.so or a linked libhakmem.a provides. Include this header last: it turns names
 * of the C library into macros.
 */
#ifndef HAKMEM_TESTS_NAMES_H
#define HAKMEM_TESTS_NAMES_H

#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

#ifdef HAKMEM_TEST_API

#include <hakmem.h>

#define malloc hkm_malloc
#define calloc hkm_calloc
#define realloc hkm_realloc
#define reallocarray hkm_reallocarray
#define free hkm_free
#define free_sized hkm_free_sized
#define free_aligned_sized hkm_free_aligned_sized
#define aligned_alloc hkm_aligned_alloc
#define memalign hkm_memalign
#define posix_memalign hkm_posix_memalign
#define valloc hkm_valloc
#define pvalloc hkm_pvalloc
#define malloc_usable_size hkm_malloc_usable_size
#define malloc_trim hkm_malloc_trim
#define malloc_stats hkm_malloc_stats
#define mallopt hkm_mallopt
#define mallinfo2 hkm_mallinfo2

#else

/* C23's functions, which the C library of Debian 12 lacks. Weak, so that a program that is
 * linked without HAKMEM finds them in the preloaded library. */
__attribute__((weak)) void free_sized(void *block, size_t size);
__attribute__((weak)) void free_aligned_sized(void *block, size_t alignment, size_t size);

#endif

#endif /* HAKMEM_TESTS_NAMES_H */
