/* api.h - what the files of the API share: the allocation functions behind all names. */
#ifndef HKM_API_H
#define HKM_API_H

#include "heap/heap.h"

/* A block of any size and alignment (a power of two); NULL and ENOMEM. Here and below, `site` is the call site in the
 * program (HKM_CALL_SITE). */
void *hkm_allocate_aligned(size_t size, size_t alignment, const void *site);

/* The functions of the C library by the same names. */
void *hkm_calloc_at(size_t count, size_t size, const void *site);
void *hkm_realloc_at(void *pointer, size_t size, const void *site);
void *hkm_reallocarray_at(void *pointer, size_t count, size_t size, const void *site);
void *hkm_aligned_alloc_at(size_t alignment, size_t size, const void *site);
void *hkm_memalign_at(size_t alignment, size_t size, const void *site);
int hkm_posix_memalign_at(void **out, size_t alignment, size_t size, const void *site);
void *hkm_pvalloc_at(size_t size, const void *site);

/* ---- The reserve (reserve.c): for a signal handler that interrupted a slow path, and for a thread that
 * cannot have a heap. Lock-free; a mapping per block. ---- */

void *hkm_reserve_alloc(size_t size, size_t alignment);

/* Whether `pointer` was the reserve's, and is free now. */
bool hkm_reserve_free(void *pointer);

/* Whether so many of its blocks are out that there should be another way: it is slow, and the slower the more. */
bool hkm_reserve_is_crowded(void);

/* Usable bytes; 0 if it is not the reserve's. */
size_t hkm_reserve_usable(const void *pointer);

/* Puts a block aside until the slow path that was interrupted is over, then frees it. */
void hkm_defer_free(struct hkm_heap *heap, void *pointer);
void hkm_free_deferred(struct hkm_heap *heap);

/* Prints the statistics that HAKMEM_STATS asks for; at exit. */
void hkm_stats_at_exit(void);

#endif
