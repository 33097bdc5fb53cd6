/* ace.c - L1's thread caches; see ace.h. */
#include "ace/ace.h"

#include "core/report.h"

#define CACHE_LEAST ((size_t)16 << 10) /* a thread's caches may hold so much, however many threads there are */

static unsigned class_of(const struct hkm_heap *heap, const struct hkm_cache *cache)
{
	return (unsigned)(cache - heap->caches);
}

/* The class that wastes least on `size`: the static one, or a DYN class between the request and it. */
static inline unsigned class_for(const struct hkm_heap *heap, size_t size)
{
	unsigned class = hkm_ace_class(size);
	if (HKM_LIKELY(size > heap->largest_dynamic))
		return class;
	uint32_t best = heap->caches[class].block_size;
	for (unsigned dynamic = HKM_DYN1; dynamic <= HKM_DYN2; dynamic++) {
		uint32_t block_size = heap->caches[dynamic].block_size;
		if (block_size >= size && block_size < best) {
			best = block_size;
			class = dynamic;
		}
	}
	return class;
}

/* Hands a block to the program that was asked for with `size`. */
static inline void *hand_out(void *block, size_t size, bool *zeroed)
{
	*hkm_state_of(block) = hkm_state(HKM_STATE_LIVE, block);
	*zeroed = false;
	if (size > HKM_MID_MAX) {
		struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(block)];
		*zeroed = slab->zeroed;
		slab->zeroed = 0;
	}
	return block;
}

static inline void *cache_pop(struct hkm_heap *heap, struct hkm_cache *cache)
{
	void *block = cache->slots[--cache->count];
	heap->cached_bytes -= cache->block_size;
	if (cache->count < cache->lowest)
		cache->lowest = cache->count;
	return block;
}

/* W_MAX: a cached block of a larger class of the same layer, no larger than the policy allows. */
static void *take_larger(struct hkm_heap *heap, const struct hkm_policy *policy, size_t size)
{
	bool mid = size <= HKM_MID_MAX;
	size_t most = size * (mid ? policy->wmax_mid : policy->wmax_large) / 1000;
	unsigned last = mid ? HKM_MID_CLASSES : HKM_ACE_STATIC_CLASSES;
	for (unsigned class = hkm_ace_class(size); class < last; class++) {
		struct hkm_cache *cache = &heap->caches[class];
		if (cache->block_size > most)
			break;
		if (cache->count > 0)
			return cache_pop(heap, cache);
	}
	return NULL;
}

static void *refill(struct hkm_heap *heap, const struct hkm_policy *policy, struct hkm_cache *cache)
{
	void *blocks[HKM_MID_SLOTS / 2 + 1];
	HKM_ASSERT(cache->count == 0);
	/* Half the capacity at once, so that as many frees find room afterwards. */
	size_t room = heap->cache_limit > heap->cached_bytes ? heap->cache_limit - heap->cached_bytes : 0;
	size_t wanted = 1 + hkm_min(cache->capacity / 2, room / cache->block_size);
	size_t count = hkm_pool_take(heap, policy, class_of(heap, cache), cache->block_size, blocks, wanted);
	if (count == 0)
		return NULL;
	heap->cached_bytes += (count - 1) * cache->block_size;
	/* The lowest address goes out first. */
	while (count > 1)
		cache->slots[cache->count++] = blocks[--count];
	return blocks[0];
}

HKM_SLOW static void *miss(struct hkm_heap *heap, size_t size, bool *zeroed)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	/* Entering may have changed the DYN sizes, and with them the cache. */
	struct hkm_cache *cache = &heap->caches[class_for(heap, size)];
	void *block = cache->count > 0 ? cache_pop(heap, cache) : take_larger(heap, policy, size);
	hkm_count(block != NULL ? &cache->hits : &cache->misses, 1);
	if (block == NULL) {
		if (HKM_UNLIKELY(heap->metered))
			hkm_meter_miss(&heap->meter, class_of(heap, cache), size);
		block = refill(heap, policy, cache);
	}
	hkm_heap_leave(heap);
	return block != NULL ? hand_out(block, size, zeroed) : NULL;
}

void *hkm_ace_alloc(struct hkm_heap *heap, size_t size, bool *zeroed)
{
	struct hkm_cache *cache = &heap->caches[class_for(heap, size)];
	if (HKM_UNLIKELY(cache->count == 0))
		return miss(heap, size, zeroed);
	hkm_count(&cache->hits, 1);
	return hand_out(cache_pop(heap, cache), size, zeroed);
}

void *hkm_ace_alloc_aligned(struct hkm_heap *heap, size_t size, size_t alignment, bool *zeroed)
{
	/* Blocks start at multiples of their size in a span that is aligned to 32 KiB; Large ones at its start. */
	unsigned class = hkm_ace_class(hkm_max(size, HKM_TINY_MAX + 1));
	while (!hkm_ace_is_large(class) && (hkm_ace_static_size(class) & (alignment - 1)) != 0)
		class++;
	struct hkm_cache *cache = &heap->caches[class];
	void *block;
	if (cache->count > 0) {
		hkm_count(&cache->hits, 1);
		block = cache_pop(heap, cache);
	} else {
		const struct hkm_policy *policy = hkm_heap_enter(heap);
		hkm_heap_poll_entered(heap, policy);
		hkm_count(&cache->misses, 1);
		block = refill(heap, policy, cache);
		hkm_heap_leave(heap);
	}
	/* The alignment may have made a Mid request Large. */
	return block != NULL ? hand_out(block, cache->block_size, zeroed) : NULL;
}

/* Sends the `count` blocks that were cached longest ago to the pool. */
static void cache_give(struct hkm_heap *heap, const struct hkm_policy *policy, struct hkm_cache *cache,
		       uint32_t count)
{
	if (count == 0)
		return;
	hkm_pool_give(policy, class_of(heap, cache), cache->slots, count);
	cache->count -= count;
	heap->cached_bytes -= (size_t)count * cache->block_size;
	for (uint32_t i = 0; i < cache->count; i++)
		cache->slots[i] = cache->slots[i + count];
	cache->lowest = (uint32_t)hkm_min(cache->lowest, cache->count);
	hkm_heap_expect_tick(heap);
}

void hkm_ace_set_limit(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	struct hkm_span_stats spans;
	hkm_span_stats(&spans);
	size_t held = spans.mapped - hkm_min(spans.mapped, spans.free_slices * HKM_SLICE_SIZE);
	size_t share = held / 1000 * policy->cache_share;
	heap->cache_limit = hkm_max(CACHE_LEAST, hkm_max(share, policy->cache_bytes) / hkm_max(1, hkm_heap_active()));
}

/* The cache is full, the size is not its own, or it is time to look at the clock. */
HKM_SLOW static void free_slow(struct hkm_heap *heap, struct hkm_cache *cache, unsigned class, void *block)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	heap->ace_grant = heap->grant;
	struct hkm_slab *slab = hkm_span_head(&hkm_window.slabs[hkm_slice_of(block)]);
	hkm_ace_set_limit(heap, policy);
	bool fits = slab->block_size == cache->block_size && cache->capacity > 0;
	if (fits && cache->count >= cache->capacity) {
		uint32_t given = cache->count - cache->capacity / 2;
		cache_give(heap, policy, cache, given);
		if (HKM_UNLIKELY(heap->metered))
			hkm_meter_overflow(&heap->meter, class, given, cache->capacity);
	}
	if (fits && heap->cached_bytes + cache->block_size <= heap->cache_limit) {
		cache->slots[cache->count++] = block;
		heap->cached_bytes += cache->block_size;
	} else {
		hkm_pool_give(policy, class, &block, 1);
		hkm_heap_expect_tick(heap);
	}
	hkm_heap_leave(heap);
}

void hkm_ace_free(struct hkm_heap *heap, struct hkm_slab *slab, void *pointer, const char *call)
{
	uint8_t *state = hkm_state_of(pointer);
	if (HKM_UNLIKELY(*state != hkm_state(HKM_STATE_LIVE, pointer) || ((uintptr_t)pointer & 15) != 0)) {
		bool freed = *state == hkm_state(HKM_STATE_CACHED, pointer);
		hkm_misuse(call, freed ? "double free of" : "invalid pointer", pointer);
		return;
	}
	slab = hkm_span_head(slab);
	*state = hkm_state(HKM_STATE_CACHED, pointer);
	unsigned class = slab->class;
	if (HKM_UNLIKELY(heap == NULL)) {
		hkm_lock_acquire(&hkm_guest.lock);
		hkm_pool_give(hkm_policy_read(&hkm_guest), class, &pointer, 1);
		hkm_lock_release(&hkm_guest.lock);
		return;
	}
	struct hkm_cache *cache = &heap->caches[class];
	size_t cached_bytes = heap->cached_bytes + cache->block_size;
	if (HKM_LIKELY(cache->count < cache->capacity && slab->block_size == cache->block_size &&
		       cached_bytes <= heap->cache_limit && heap->ace_grant > 0)) {
		heap->ace_grant--;
		heap->cached_bytes = cached_bytes;
		cache->slots[cache->count] = pointer;
		/* A child of fork that finds the count finds the slot; no instruction. */
		atomic_signal_fence(memory_order_release);
		cache->count++;
	} else {
		free_slow(heap, cache, class, pointer);
	}
}

size_t hkm_ace_usable(struct hkm_slab *slab, const void *pointer)
{
	if (*hkm_state_of(pointer) != hkm_state(HKM_STATE_LIVE, pointer) || ((uintptr_t)pointer & 15) != 0)
		return 0;
	return hkm_span_head(slab)->block_size;
}

bool hkm_ace_resize(struct hkm_slab *slab, void *pointer, size_t size)
{
	if (slab->kind != HKM_KIND_LARGE || size <= HKM_MID_MAX || size >= HKM_LARGE_MAX)
		return false;
	unsigned class = hkm_ace_class(size);
	uint32_t block_size = hkm_ace_static_size(class);
	size_t slices = (block_size + HKM_SLICE_SIZE - 1) >> HKM_SLICE_SHIFT;
	bool zeroed;
	if (slices > slab->slices && !hkm_span_extend(slab, slices, &zeroed))
		return false;
	if (slices < slab->slices)
		hkm_span_shrink(slab, slices);
	HKM_ASSERT(*hkm_state_of(pointer) == hkm_state(HKM_STATE_LIVE, pointer));
	hkm_pool_note_resize(slab->block_size, block_size);
	slab->class = (uint8_t)class;
	slab->block_size = block_size;
	slab->reciprocal = (uint32_t)((((uint64_t)1 << 32) + block_size - 1) / block_size);
	return true;
}

void hkm_ace_apply(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	hkm_ace_set_limit(heap, policy);
	heap->largest_dynamic = (uint32_t)hkm_max(policy->dynamic_size[0], policy->dynamic_size[1]);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		struct hkm_cache *cache = &heap->caches[class];
		bool large = hkm_ace_is_large(class), dynamic = class >= HKM_ACE_STATIC_CLASSES;
		if (large)
			cache->slots = heap->large_slots[class - HKM_MID_CLASSES];
		else
			cache->slots = heap->mid_slots[dynamic ? class - HKM_DYN1 + HKM_MID_CLASSES : class];
		uint32_t block_size = dynamic ? policy->dynamic_size[class - HKM_DYN1] : hkm_ace_static_size(class);
		if (cache->block_size != block_size)
			cache_give(heap, policy, cache, cache->count);
		cache->block_size = block_size;
		cache->capacity = policy->cache_blocks[class];
		if (cache->count > cache->capacity)
			cache_give(heap, policy, cache, cache->count - cache->capacity);
	}
}

bool hkm_ace_decay(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	bool holds = false;
	hkm_ace_set_limit(heap, policy);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		struct hkm_cache *cache = &heap->caches[class];
		/* The blocks that were there all the time were not needed. */
		cache_give(heap, policy, cache, cache->lowest);
		cache->lowest = cache->count;
		holds |= cache->count > 0;
	}
	return holds;
}

void hkm_ace_flush(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		cache_give(heap, policy, &heap->caches[class], heap->caches[class].count);
}
