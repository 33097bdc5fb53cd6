/* ace.h - L1, requests above 1 KiB and below 2 MiB: thread caches over shared pools over spans.
 *
 *   thread cache  per heap and class an array of block addresses (heap.h); a hit takes no lock, and a
 *                 free touches no byte of the block
 *   pool          per class, under a lock: the spans with free blocks, a bit per block in the descriptor
 *   span          Mid (up to 32 KiB): several blocks; Large: one block
 *
 * A block at a multiple of more than 32 KiB (to 1 MiB) has a span of its own, whatever its size, and comes from no pool.
 *
 * Blocks of this size share no cache line, so any thread may cache any of them: there is no owner and no
 * remote free. A byte per KiB of address space (hkm_state_of) says whether a live block starts there, so
 * every wrong free is caught by one comparison.
 *
 * A miss may be served by a cached block of a larger class (W_MAX). DYN1 and DYN2 are classes whose size the
 * policy sets; blocks of a size it has left go straight back to their spans.
 *
 * `heap` is the calling thread's, not entered, or NULL where it says so.
 */
#ifndef HKM_ACE_H
#define HKM_ACE_H

#include "heap/heap.h"

/* A block of at least `size` bytes (1025 to 2 MiB), NULL if there is no memory. *zeroed: it reads as zero. */
void *hkm_ace_alloc(struct hkm_heap *heap, size_t size, bool *zeroed);

/* The same after hkm_ace_alloc_cached had none, or had to look at the clock. */
void *hkm_ace_alloc_uncached(struct hkm_heap *heap, size_t size, bool *zeroed);

/* The same at a multiple of `alignment`, 32 B to 32 KiB. */
void *hkm_ace_alloc_aligned(struct hkm_heap *heap, size_t size, size_t alignment, bool *zeroed);

/* The same at a multiple of `alignment`, 64 KiB to HKM_APART_MAX, of any size below 2 MiB: a span of its own, so that a program
 * which has many such blocks has no more mappings than superslabs. NULL also where the window has no room at such an address. */
#define HKM_APART_MAX (HKM_ALIGNED_SLICES * HKM_SLICE_SIZE)
void *hkm_ace_alloc_apart(struct hkm_heap *heap, size_t size, size_t alignment, bool *zeroed);

/* Frees a block of the span that `slab` is the first or a later slice of. heap NULL: straight to the pool. */
void hkm_ace_free(struct hkm_heap *heap, struct hkm_slab *slab, void *pointer);

/* Frees a live block for which its cache, or all together, had no room, or that the cache does not take; `mark`: the block's. */
void hkm_ace_free_uncached(struct hkm_heap *heap, struct hkm_cache *cache, const struct hkm_bin *mark, void *block);

/* Usable bytes of a live block; 0 if `pointer` is not one (any pointer into a slice of L1). */
size_t hkm_ace_usable(struct hkm_slab *slab, const void *pointer);

/* Resizes a Large block without moving it, if possible; heap entered. */
bool hkm_ace_resize(struct hkm_slab *slab, void *pointer, size_t size);

/* Takes over the policy's numbers; heap entered. */
void hkm_ace_apply(struct hkm_heap *heap, const struct hkm_policy *policy);

/* Sets how much all caches of a heap together may hold: its equal part of what the policy allows them in all. */
void hkm_ace_set_limit(struct hkm_heap *heap, const struct hkm_policy *policy);

/* Sends what the caches have not needed since the last call to the pools; heap entered.
 * Result: whether they still hold anything. */
bool hkm_ace_decay(struct hkm_heap *heap, const struct hkm_policy *policy);

/* Sends all cached blocks to the pools; heap entered. */
void hkm_ace_flush(struct hkm_heap *heap, const struct hkm_policy *policy);

/* fork, in the child: makes the sum of what the caches hold true again in a heap whose thread was copied at any moment. */
void hkm_ace_repair(struct hkm_heap *heap);

/* Gives the pools' empty spans back that have been idle since the last call, or all. */
void hkm_pool_release_idle(bool all);

/* Gives the free pages within partly used spans back; result: bytes. */
size_t hkm_pool_trim(void);

/* Block size of a class for statistics; 0 for a DYN class without a size. */
uint32_t hkm_pool_block_size(unsigned class);

/* Bytes in blocks that are not in the pools: with the program or in thread caches; by layer. Any thread; advice. */
struct hkm_pool_bytes {
	uint64_t mid, large;
};
struct hkm_pool_bytes hkm_pool_out(void);

/* What the empty spans are good for that the pool of a class keeps. Any thread; advice. */
struct hkm_pool_kept {
	uint64_t hits;       /* spans that would have been made, had half as many been kept */
	uint64_t ghost_hits; /* spans that were made, and would not have been, had hkm_pool_more been kept */
	uint64_t surplus;    /* bytes in spans that would not be there then */
};
struct hkm_pool_kept hkm_pool_kept(unsigned class);

/* Pools count that from now on. Called by the learner's start, before the first block of L1. */
void hkm_pool_meter_all(void);

/* So many more than `spans`, the policy's, would the pool keep that ghost hits are of: as many again, but enough to
 * tell what the first ones are worth. */
static inline uint32_t hkm_pool_more(uint32_t spans)
{
	return (uint32_t)hkm_max(spans, 4);
}

/* Slices of a span of a class with blocks of `size` bytes. */
size_t hkm_pool_span_slices(unsigned class, uint32_t size);

/* A Large block that is out has another size now, or an aligned one, which comes from no pool, has come (0 before) or gone
 * (0 now). */
void hkm_pool_note_resize(uint32_t old_size, uint32_t new_size);

/* Debug: asserts the invariants of a heap's caches (heap entered), of one pool, and of all of them and of what they share. */
void hkm_ace_check(const struct hkm_heap *heap);
void hkm_pool_check(unsigned class);
void hkm_pool_check_all(void);

/* The pools' locks, for fork only. */
void hkm_pool_lock_all(void);
void hkm_pool_unlock_all(void);
void hkm_pool_reset_locks(void);

/* Whether anybody holds one of them at this moment. */
bool hkm_pool_is_locked(void);

/* ---- Between ace.c and pool.c ---- */

/* Takes up to `count` blocks of a class out of its pool, growing it if need be; result: how many. */
size_t hkm_pool_take(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class, uint32_t block_size,
		     void **blocks, size_t count);

/* Tells free of the span's class, unless it is a block that nobody has had yet. */
void hkm_pool_mark(struct hkm_slab *slab);

/* Puts `count` blocks back, of one class. */
void hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count);

/* First slice of the span of L1 that `slab` is part of. Which slice of a span a block lies in, no processor can predict;
 * hence no branch. */
static inline struct hkm_slab *hkm_span_head(struct hkm_slab *slab)
{
	return slab - slab->distance;
}

/* A cached block becomes live, or a live one cached. */
static inline void hkm_state_turn(uint8_t *state)
{
	*state ^= HKM_STATE_LIVE ^ HKM_STATE_CACHED;
}

/* What bins[] says of the slices that the blocks of a class start in, but for Large blocks that nobody has had yet: which
 * cache of a heap takes them, and of which size they are. */
static inline struct hkm_bin *hkm_ace_mark(unsigned class, uint32_t block_size)
{
	return (struct hkm_bin *)((uintptr_t)1 << 63 | (uintptr_t)block_size << 16 |
				  (offsetof(struct hkm_heap, caches) + class * sizeof(struct hkm_cache)));
}
HKM_STATIC_ASSERT(sizeof(struct hkm_heap) <= 1 << 16, "a cache's offset has 16 bits");

static inline bool hkm_ace_is_large(unsigned class)
{
	return class >= HKM_MID_CLASSES && class < HKM_ACE_STATIC_CLASSES;
}

/* ---- Hits ---- */

/* The cache of the class that wastes least on `size`: the static one, or a DYN class between the request and it. */
static inline struct hkm_cache *hkm_ace_cache_for(struct hkm_heap *heap, size_t size)
{
	struct hkm_cache *cache = &heap->caches[hkm_ace_class(size)];
	if (HKM_LIKELY(size > heap->largest_dynamic))
		return cache;
	for (unsigned class = HKM_DYN1; class <= HKM_DYN2; class++) {
		struct hkm_cache *dynamic = &heap->caches[class];
		if (dynamic->block_size >= size && dynamic->block_size < cache->block_size)
			cache = dynamic;
	}
	return cache;
}

/* The size whose static class serves `size` bytes (more than 1 KiB when rounded up) at a multiple of `alignment` (up to
 * 32 KiB). Blocks above HKM_SHARED_MAX start a span. Others start at a multiple of their size in a span aligned to 32 KiB: if
 * the alignment is a multiple of the step between the classes there, its own multiples are classes; else it divides the
 * step, which divides every class. */
#define HKM_SHARED_MAX (4 * HKM_SLICE_SIZE) /* bytes: larger blocks have spans of their own */
static inline size_t hkm_ace_aligned_size(size_t size, size_t alignment)
{
	return size > HKM_SHARED_MAX ? size : hkm_align_up(hkm_max(size, 1), alignment);
}

/* Slices that `size` bytes take. */
static inline size_t hkm_slices_for(size_t size)
{
	return (size + HKM_SLICE_SIZE - 1) >> HKM_SLICE_SHIFT;
}

/* Takes the newest block out of a cache that has one. */
static inline void *hkm_ace_pop(struct hkm_heap *heap, struct hkm_cache *cache)
{
	uint32_t count = cache->count - 1;
	cache->count = count;
	atomic_signal_fence(memory_order_release); /* as in hkm_ace_free_cached: before the state changes */
	heap->cache_room += cache->block_size;
	if (count < cache->lowest)
		cache->lowest = count;
	void *block = cache->slots[count];
	if (block == NULL)
		__builtin_unreachable(); /* so that the caller need not look */
	return block;
}

/* A block of at least `size` bytes (1025 to 2 MiB) from the thread cache; NULL: there is none, or it is time to look at
 * the clock. */
static inline void *hkm_ace_alloc_cached(struct hkm_heap *heap, size_t size)
{
	struct hkm_cache *cache = hkm_ace_cache_for(heap, size);
	uint64_t hits = hkm_counted(&cache->hits) + 1;
	if (HKM_UNLIKELY(cache->count == 0) || HKM_UNLIKELY((hits & heap->grant_mask) == 0))
		return NULL;
	void *block = hkm_ace_pop(heap, cache);
	hkm_set_count(&cache->hits, hits); /* what is not served here is counted by whoever serves it */
	uint8_t *state = hkm_state_of(block);
	HKM_ASSERT(*state == hkm_state(HKM_STATE_CACHED, block));
	hkm_state_turn(state);
	return block;
}

/* Whether a block that the program has starts at `pointer`, a multiple of 8 in the window. */
static inline bool hkm_ace_is_live(const void *pointer)
{
	return *hkm_state_of(pointer) == hkm_state(HKM_STATE_LIVE, pointer);
}

/* The cache that a mark tells of. It takes the mark's blocks if it has the same mark. */
static inline struct hkm_cache *hkm_ace_marked_cache(struct hkm_heap *heap, const struct hkm_bin *mark)
{
	return (struct hkm_cache *)((char *)heap + ((uintptr_t)mark & 0xffff));
}

/* Frees a live block into the cache that takes it. false: there is no room, and nothing has been done. */
static inline bool hkm_ace_free_cached(struct hkm_heap *heap, struct hkm_cache *cache, void *pointer)
{
	uint32_t count = cache->count;
	ptrdiff_t cache_room = heap->cache_room - (ptrdiff_t)cache->block_size;
	if (HKM_UNLIKELY(count >= cache->capacity) || HKM_UNLIKELY(cache_room < 0))
		return false;
	HKM_ASSERT(hkm_span_head(&hkm_window.slabs[hkm_slice_of(pointer)])->block_size == cache->block_size);
	cache->slots[count] = pointer;
	heap->cache_room = cache_room;
	hkm_state_turn(hkm_state_of(pointer));
	/* A child of fork that finds the count finds slot and state; no instruction. */
	atomic_signal_fence(memory_order_release);
	cache->count = count + 1;
	return true;
}

#endif
