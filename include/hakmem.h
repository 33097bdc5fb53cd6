/* hakmem.h - the public interface of HAKMEM, a general-purpose memory allocator.
 *
 * Every function of the C library's malloc family exists here under the prefix hkm_,
 * so that a program can use HAKMEM beside another malloc. libhakmem.so and libhakmem.a
 * define the unprefixed names as well (malloc, free, operator new, ...): preloading or
 * linking one of them replaces the C library's allocator. libhakmem_api.a defines the
 * hkm_ names only.
 *
 * All functions are safe to call from any thread at any time, and around fork() in
 * parent and child. None is async-signal-safe (as in the C library). A block may be freed
 * by any thread, and by any function of either name: hkm_free(malloc(n)) and
 * free(hkm_malloc(n)) are the same when HAKMEM is the process's malloc.
 *
 * Failure: functions that allocate return NULL and set errno to ENOMEM, unless said
 * otherwise. A pointer that HAKMEM did not hand out, or has already taken back, is reported
 * in one line on standard error and the process is aborted (HAKMEM_ON_ERROR=warn: the call
 * is ignored instead).
 */
#ifndef HAKMEM_H
#define HAKMEM_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define HKM_VERSION_MAJOR 0
#define HKM_VERSION_MINOR 1
#define HKM_VERSION_PATCH 0
#define HKM_VERSION_STRING "0.1.0"

#if defined(__GNUC__)
#define HKM_ATTR_MALLOC __attribute__((malloc))
#define HKM_ATTR_SIZE(...) __attribute__((alloc_size(__VA_ARGS__)))
#define HKM_ATTR_ALIGN(n) __attribute__((alloc_align(n)))
#define HKM_PUBLIC __attribute__((visibility("default")))
#else
#define HKM_ATTR_MALLOC
#define HKM_ATTR_SIZE(...)
#define HKM_ATTR_ALIGN(n)
#define HKM_PUBLIC
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ---- Allocation ------------------------------------------------------------------- */

/* Allocates `size` bytes, uninitialised. size 0 gives a unique pointer that can be freed.
 * Result: a pointer aligned to 16 bytes (8 if size <= 8), or NULL with errno = ENOMEM (size
 * above PTRDIFF_MAX, or no memory). */
HKM_PUBLIC void *hkm_malloc(size_t size) HKM_ATTR_MALLOC HKM_ATTR_SIZE(1);

/* Allocates `count` * `size` bytes, all zero. Overflow of the product: NULL, ENOMEM. */
HKM_PUBLIC void *hkm_calloc(size_t count, size_t size) HKM_ATTR_MALLOC HKM_ATTR_SIZE(1, 2);

/* Resizes the block `ptr` to `size` bytes, keeping the smaller of both sizes' bytes.
 * ptr NULL: hkm_malloc(size). size 0 with ptr not NULL: frees ptr and returns NULL, as glibc
 * does. On failure NULL with ENOMEM, and ptr stays valid. */
HKM_PUBLIC void *hkm_realloc(void *ptr, size_t size) HKM_ATTR_SIZE(2);

/* hkm_realloc(ptr, count * size); overflow of the product: NULL, ENOMEM, ptr stays valid. */
HKM_PUBLIC void *hkm_reallocarray(void *ptr, size_t count, size_t size) HKM_ATTR_SIZE(2, 3);

/* Gives `ptr` back. NULL is ignored. errno is left as it was. */
HKM_PUBLIC void hkm_free(void *ptr);

/* C23: frees ptr, which was allocated with `size` bytes by malloc, calloc or realloc. The debug
 * build checks the size. */
HKM_PUBLIC void hkm_free_sized(void *ptr, size_t size);

/* C23: frees ptr, which aligned_alloc(alignment, size) returned. The debug build checks both. */
HKM_PUBLIC void hkm_free_aligned_sized(void *ptr, size_t alignment, size_t size);

/* Allocates `size` bytes at a multiple of `alignment`, a power of two up to 1 GiB.
 * Not a power of two: NULL with errno = EINVAL. */
HKM_PUBLIC void *hkm_aligned_alloc(size_t alignment, size_t size)
	HKM_ATTR_MALLOC HKM_ATTR_SIZE(2) HKM_ATTR_ALIGN(1);

/* As hkm_aligned_alloc; an alignment that is not a power of two is rounded up to one, as glibc
 * does. */
HKM_PUBLIC void *hkm_memalign(size_t alignment, size_t size) HKM_ATTR_MALLOC HKM_ATTR_SIZE(2);

/* Stores in *out a block of `size` bytes at a multiple of `alignment`.
 * Result: 0; EINVAL (alignment not a power of two multiple of sizeof(void *)); ENOMEM, which
 * errno is set to as well, as with glibc; otherwise errno is left as it was. On failure *out is, too. */
HKM_PUBLIC int hkm_posix_memalign(void **out, size_t alignment, size_t size);

/* A block aligned to the system's page size; hkm_pvalloc also rounds `size` up to whole pages. */
HKM_PUBLIC void *hkm_valloc(size_t size) HKM_ATTR_MALLOC HKM_ATTR_SIZE(1);
HKM_PUBLIC void *hkm_pvalloc(size_t size) HKM_ATTR_MALLOC;

/* The number of bytes that may be read and written at `ptr` (at least what was asked for); 0 for
 * NULL. It does not change while the block lives, except by realloc. */
HKM_PUBLIC size_t hkm_malloc_usable_size(void *ptr);

/* ---- Memory held --------------------------------------------------------------------- */

/* Gives back to the system all memory that holds no live block and that this thread may touch:
 * its caches, the shared pools, the free pages within partly used slabs, the heaps of finished
 * threads, cached mappings. Other running threads do the same for their own slabs when they next
 * keep house, a fraction of a second of activity later. `pad` is accepted for glibc's sake and ignored.
 * Result: 1 if there was memory to give back (some of it may have gone back before), 0 if not. */
HKM_PUBLIC int hkm_malloc_trim(size_t pad);

/* glibc's mallopt. M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, M_TOP_PAD, M_ARENA_MAX and the like are
 * accepted and have no effect. Result: 1 for a parameter that is known, 0 otherwise. */
HKM_PUBLIC int hkm_mallopt(int parameter, int value);

/* ---- Statistics ---------------------------------------------------------------------- */

/* glibc's struct mallinfo2, field by field; see hkm_mallinfo2. */
struct hkm_mallinfo2 {
	size_t arena;    /* bytes held without hblkhd: uordblks + fordblks */
	size_t ordblks;  /* number of free blocks, free 32 KiB slices and kept mappings, without smblks */
	size_t smblks;   /* number of free blocks in threads' caches; of other threads, those above 1 KiB only */
	size_t hblks;    /* number of live blocks of 2 MiB and more */
	size_t hblkhd;   /* bytes in them */
	size_t usmblks;  /* 0 */
	size_t fsmblks;  /* bytes in the blocks of smblks */
	size_t uordblks; /* bytes in live blocks below 2 MiB; other threads' hot lists included */
	size_t fordblks; /* bytes held and not live */
	size_t keepcost; /* of them, bytes that malloc_trim releases at once: no block is in their slices */
};

/* The figures above, read without stopping other threads: each is right for some moment of the
 * call, their sums only when no thread allocates meanwhile. */
HKM_PUBLIC struct hkm_mallinfo2 hkm_mallinfo2(void);

/* glibc's struct mallinfo: the same in int, each field cut at INT_MAX. */
struct hkm_mallinfo {
	int arena, ordblks, smblks, hblks, hblkhd, usmblks, fsmblks, uordblks, fordblks, keepcost;
};
HKM_PUBLIC struct hkm_mallinfo hkm_mallinfo(void);

/* Writes the same as XML to `stream`, in the form of glibc's malloc_info, with the free blocks by size; one heap stands for all. `options` must be 0.
 * Result: 0, or EINVAL. */
HKM_PUBLIC int hkm_malloc_info(int options, FILE *stream);

/* Prints a table a person can read on standard error: per layer and class the bytes live and
 * held, slabs or spans, hits and misses, remote frees, purges. */
HKM_PUBLIC void hkm_malloc_stats(void);

/* Writes the statistics as one JSON object (schema: docs/statistics.md), NUL-terminated, into
 * buf of n bytes; like snprintf, cuts what does not fit.
 * Result: the length of the whole text without the NUL. buf may be NULL if n is 0. */
HKM_PUBLIC size_t hkm_stats_json(char *buf, size_t n);

/* ---- Policy -------------------------------------------------------------------------- */

/* Classes of blocks from 1 KiB to 2 MiB: 20 up to 32 KiB, 24 above, and DYN1 and DYN2. */
#define HKM_POLICY_CLASSES_COUNT 46

/* The numbers that slow paths go by. Each is the value of the option of its name, whose meaning, unit and range
 * `hakmem options` lists; ratios are in thousandths. Later versions add members at the end. */
struct hkm_policy_values {
	size_t size;          /* set by the caller: sizeof(struct hkm_policy_values), which tells the version */
	uint64_t generation;  /* grows by one with every policy; ignored by hkm_policy_publish */
	uint32_t refill_blocks, refill_bytes;
	uint32_t hot_blocks, hot_bytes;
	uint32_t remote_blocks, remote_bytes;
	uint32_t empty_slabs;
	uint32_t budget_mid, budget_large;
	uint32_t wmax_mid, wmax_large;
	uint32_t mid_dyn1, mid_dyn2;
	uint32_t big_surplus;
	uint32_t purge_delay_ms;
	uint32_t cache_share, cache_start;
	uint32_t fault_ahead;
	uint64_t cache_bytes, big_cache_bytes, thp_threshold, dirty_bytes;
	uint16_t cache_blocks[HKM_POLICY_CLASSES_COUNT]; /* blocks of a class that a thread caches */
	uint16_t pool_spans[HKM_POLICY_CLASSES_COUNT];   /* empty spans of a class that are kept for all threads */
};

/* Fills *values with the policy in force. Result: 0; EINVAL if values->size is no size of this struct in any version
 * up to the library's. */
HKM_PUBLIC int hkm_policy_get(struct hkm_policy_values *values);

/* Puts a policy in force: values out of range are moved into it, members beyond values->size stay what they are, blocks
 * that are live stay as they are. Threads follow at their next slow path. A learner (HAKMEM_LEARN=1) goes on from it.
 * Result: 0; EINVAL as above; ENOMEM. */
HKM_PUBLIC int hkm_policy_publish(const struct hkm_policy_values *values);

/* ---- Version -------------------------------------------------------------------------- */

/* The version of the library that runs, "MAJOR.MINOR.PATCH". */
HKM_PUBLIC const char *hkm_version(void);

#ifdef __cplusplus
}
#endif

#endif /* HAKMEM_H */
