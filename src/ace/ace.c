/* ace.c - L1's thread caches; see ace.h. */
#include "ace/ace.h"

#include "core/report.h"

#define CACHE_LEAST ((size_t)16 << 10) /* a thread's caches may hold so much, however many threads there are */

static unsigned class_of(const struct hkm_heap *heap, const struct hkm_cache *cache)
{
	return (unsigned)(cache - heap->caches);
}

static size_t cached_bytes(const struct hkm_heap *heap)
{
	return (size_t)((ptrdiff_t)heap->cache_limit - heap->cache_room);
}

/* Hands a block to the program that was asked for with `size`. One that has a span of its own may read as zero, until it is
 * freed for the first time: the span's head says so. What the descriptor of a later slice says is of spans that were there
 * before. */
static void *hand_out(void *block, size_t size, bool *zeroed)
{
	*hkm_state_of(block) = hkm_state(HKM_STATE_LIVE, block);
	*zeroed = size > HKM_MID_MAX && hkm_span_head(&hkm_window.slabs[hkm_slice_of(block)])->zeroed;
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
			return hkm_ace_pop(heap, cache);
	}
	return NULL;
}

static void *refill(struct hkm_heap *heap, const struct hkm_policy *policy, struct hkm_cache *cache)
{
	void *blocks[HKM_MID_SLOTS / 2 + 1];
	HKM_ASSERT(cache->count == 0);
	if (cache->given > 0) { /* a larger cache would have had it */
		cache->capacity = (uint32_t)hkm_min(cache->most, cache->capacity + hkm_max(1, hkm_min(cache->given, cache->capacity)));
		cache->given = 0;
	}
	/* Half the capacity at once, so that as many frees find room afterwards. */
	size_t room = heap->cache_room > 0 ? (size_t)heap->cache_room : 0;
	size_t wanted = 1 + hkm_min(cache->capacity / 2, room / cache->block_size);
	size_t count = hkm_pool_take(heap, policy, class_of(heap, cache), cache->block_size, blocks, wanted);
	if (count == 0)
		return NULL;
	heap->cache_room -= (ptrdiff_t)((count - 1) * cache->block_size);
	/* The lowest address goes out first. */
	while (count > 1) {
		void *block = blocks[--count];
		*hkm_state_of(block) = hkm_state(HKM_STATE_CACHED, block); /* something else may have been there before */
		cache->slots[cache->count++] = block;
	}
	return blocks[0];
}

void *hkm_ace_alloc_uncached(struct hkm_heap *heap, size_t size, bool *zeroed)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	/* Entering may have changed the DYN sizes, and with them the cache. */
	struct hkm_cache *cache = hkm_ace_cache_for(heap, size);
	/* A DYN class takes nothing from others: their blocks would stay in use, and their spans would never drain. */
	bool dynamic = class_of(heap, cache) >= HKM_ACE_STATIC_CLASSES;
	void *block = cache->count > 0 ? hkm_ace_pop(heap, cache) : dynamic ? NULL : take_larger(heap, policy, size);
	hkm_count(block != NULL ? &cache->hits : &cache->misses, 1);
	if (block == NULL) {
		if (HKM_UNLIKELY(heap->metered))
			hkm_meter_miss(&heap->meter, &cache->ghosts, class_of(heap, cache), size);
		block = refill(heap, policy, cache);
	}
	hkm_heap_leave(heap);
	return block != NULL ? hand_out(block, size, zeroed) : NULL;
}

void *hkm_ace_alloc(struct hkm_heap *heap, size_t size, bool *zeroed)
{
	void *block = hkm_ace_alloc_cached(heap, size);
	return block != NULL ? hand_out(block, size, zeroed) : hkm_ace_alloc_uncached(heap, size, zeroed);
}

void *hkm_ace_alloc_aligned(struct hkm_heap *heap, size_t size, size_t alignment, bool *zeroed)
{
	unsigned class = hkm_ace_class(hkm_ace_aligned_size(size, alignment));
	struct hkm_cache *cache = &heap->caches[class];
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	bool cached = cache->count > 0;
	hkm_count(cached ? &cache->hits : &cache->misses, 1);
	void *block = cached ? hkm_ace_pop(heap, cache) : refill(heap, policy, cache);
	hkm_heap_leave(heap);
	return block != NULL ? hand_out(block, cache->block_size, zeroed) : NULL;
}

void *hkm_ace_alloc_apart(struct hkm_heap *heap, size_t size, size_t alignment, bool *zeroed)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	bool fresh;
	unsigned class = hkm_ace_class(hkm_max(size, HKM_TINY_MAX + 1));
	struct hkm_slab *slab = hkm_span_alloc_aligned(hkm_slices_for(hkm_ace_static_size(class)),
						       alignment >> HKM_SLICE_SHIFT, false, zeroed, &fresh);
	if (slab != NULL) {
		if (fresh)
			hkm_heap_make_room(heap, policy, HKM_SUPERSLAB_SIZE);
		slab->class = (uint8_t)class;
		slab->listed = 0;
		slab->distance = 0;
		slab->zeroed = 0; /* nobody will have it a second time */
		slab->deep = 1;
		slab->block_size = hkm_ace_static_size(class);
		slab->reciprocal = 0;
		slab->in_use = slab->capacity = 1;
		slab->free_map = NULL;
		slab->free_bits = 0;
		slab->kind = HKM_KIND_ALIGNED;
		hkm_pool_note_resize(0, slab->block_size);
		*hkm_state_of(hkm_slab_start(slab)) = hkm_state(HKM_STATE_LIVE, hkm_slab_start(slab));
	}
	hkm_heap_leave(heap);
	return slab != NULL ? hkm_slab_start(slab) : NULL;
}

/* Frees the block of a span that no pool has: straight to the span source, where its pages are as warm as in a cache. */
static void free_apart(struct hkm_heap *heap, struct hkm_slab *slab, void *block)
{
	if (heap != NULL)
		hkm_heap_poll_entered(heap, hkm_heap_enter(heap));
	else
		hkm_guest_enter(); /* keeps the thread's signal handlers out, and makes fork wait */
	*hkm_state_of(block) = hkm_state(HKM_STATE_CACHED, block);
	hkm_pool_note_resize(slab->block_size, 0);
	hkm_span_free(slab);
	if (heap != NULL) {
		hkm_heap_expect_tick(heap);
		hkm_heap_leave(heap);
	} else {
		hkm_guest_leave();
	}
}

/* Sends the `count` blocks that were cached longest ago to the pool. */
static void cache_give(struct hkm_heap *heap, const struct hkm_policy *policy, struct hkm_cache *cache,
		       uint32_t count)
{
	if (count == 0)
		return;
	hkm_pool_give(policy, class_of(heap, cache), cache->slots, count);
	cache->count -= count;
	heap->cache_room += (ptrdiff_t)((size_t)count * cache->block_size);
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
	size_t cached = cached_bytes(heap);
	heap->cache_limit = hkm_max(CACHE_LEAST, hkm_max(share, policy->cache_bytes) / hkm_max(1, hkm_heap_active()));
	heap->cache_room = (ptrdiff_t)heap->cache_limit - (ptrdiff_t)cached;
}

void hkm_ace_free_uncached(struct hkm_heap *heap, struct hkm_cache *cache, const struct hkm_bin *mark, void *block)
{
	*hkm_state_of(block) = hkm_state(HKM_STATE_CACHED, block);
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	if (heap->cache_room < (ptrdiff_t)cache->block_size)
		hkm_ace_set_limit(heap, policy); /* the heap may have grown since the last tick */
	/* Asked only now: entering may have changed the DYN sizes. */
	bool fits = cache->mark == mark && cache->most > 0;
	if (fits && cache->count >= cache->capacity) {
		uint32_t given = cache->count - cache->capacity / 2;
		cache_give(heap, policy, cache, given);
		cache->given += given;
		/* Below what the policy allows, a larger capacity there would change nothing. */
		if (HKM_UNLIKELY(heap->metered) && cache->capacity == cache->most)
			hkm_meter_overflow(&cache->ghosts, given, cache->capacity);
	}
	if (fits && cache->capacity > 0 && heap->cache_room >= (ptrdiff_t)cache->block_size) {
		cache->slots[cache->count++] = block;
		heap->cache_room -= (ptrdiff_t)cache->block_size;
	} else {
		cache->given += fits;
		hkm_pool_give(policy, class_of(heap, cache), &block, 1);
		hkm_heap_expect_tick(heap);
	}
	hkm_heap_leave(heap);
}

void hkm_ace_free(struct hkm_heap *heap, struct hkm_slab *slab, void *pointer)
{
	uint8_t *state = hkm_state_of(pointer);
	if (HKM_UNLIKELY(*state != hkm_state(HKM_STATE_LIVE, pointer) || ((uintptr_t)pointer & 15) != 0)) {
		hkm_misuse("free", hkm_wrong_in_window(pointer), pointer);
		return;
	}
	slab = hkm_span_head(slab);
	if (slab->kind == HKM_KIND_ALIGNED) {
		free_apart(heap, slab, pointer);
		return;
	}
	if (slab->zeroed != 0) {
		slab->zeroed = 0;
		hkm_pool_mark(slab);
	}
	if (heap != NULL) {
		hkm_ace_free_uncached(heap, &heap->caches[slab->class], hkm_ace_mark(slab->class, slab->block_size), pointer);
		return;
	}
	*state = hkm_state(HKM_STATE_CACHED, pointer);
	hkm_pool_give(hkm_guest_enter(), slab->class, &pointer, 1);
	hkm_guest_leave();
}

size_t hkm_ace_usable(struct hkm_slab *slab, const void *pointer)
{
	if (!hkm_ace_is_live(pointer) || ((uintptr_t)pointer & 15) != 0)
		return 0;
	return hkm_span_head(slab)->block_size;
}

bool hkm_ace_resize(struct hkm_slab *slab, void *pointer, size_t size)
{
	bool apart = slab->kind == HKM_KIND_ALIGNED;
	if ((slab->kind != HKM_KIND_LARGE && !apart) || size <= HKM_MID_MAX || size >= HKM_LARGE_MAX)
		return false;
	unsigned class = hkm_ace_class(size);
	uint32_t block_size = hkm_ace_static_size(class);
	size_t slices = hkm_slices_for(block_size);
	bool zeroed;
	if (slices > slab->slices && !hkm_span_extend(slab, slices, &zeroed))
		return false;
	if (slices < slab->slices)
		hkm_span_shrink(slab, slices);
	HKM_ASSERT(hkm_ace_is_live(pointer));
	hkm_pool_note_resize(slab->block_size, block_size);
	slab->class = (uint8_t)class;
	slab->block_size = block_size;
	slab->zeroed = 0; /* the block is out, and what it has gained need not be zero */
	if (!apart)
		hkm_pool_mark(slab);
	return true;
}

void hkm_ace_apply(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	hkm_ace_set_limit(heap, policy);
	heap->largest_dynamic = 0;
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
		cache->mark = block_size != 0 ? hkm_ace_mark(class, block_size) : NULL;
		cache->most = policy->cache_blocks[class];
		cache->least = block_size == 0 ? 0 : (uint32_t)hkm_min(cache->most, policy->cache_start / block_size);
		cache->capacity = (uint32_t)hkm_min(cache->most, hkm_max(cache->capacity, cache->least));
		if (cache->count > cache->capacity)
			cache_give(heap, policy, cache, cache->count - cache->capacity);
			/* A DYN class of a size that a static one has is not worth looking at. */
		if (dynamic && block_size > HKM_TINY_MAX && hkm_ace_static_size(hkm_ace_class(block_size)) != block_size)
			heap->largest_dynamic = (uint32_t)hkm_max(heap->largest_dynamic, block_size);
	}
}

bool hkm_ace_decay(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	bool holds = false;
	hkm_ace_set_limit(heap, policy);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		struct hkm_cache *cache = &heap->caches[class];
		/* The blocks that were there all the time were not needed. */
		if (cache->lowest > 0) {
			size_t rest = cache->capacity - hkm_min(cache->capacity, cache->lowest);
			cache->capacity = (uint32_t)hkm_min(cache->most, hkm_max(rest, cache->least));
			cache_give(heap, policy, cache, cache->lowest);
		}
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

void hkm_ace_repair(struct hkm_heap *heap)
{
	size_t cached = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		cached += (size_t)heap->caches[class].count * heap->caches[class].block_size;
	heap->cache_room = (ptrdiff_t)heap->cache_limit - (ptrdiff_t)cached;
}

/* ---- Invariants ------------------------------------------------------------------------------------------ */

/* A block in a cache is not its pool's, and not the program's. That word of a span changes meanwhile, but not the block's bit. */
HKM_RACY static void check_block(const struct hkm_cache *cache, unsigned class, const void *block)
{
	const struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(block)];
	HKM_ASSERT(*hkm_state_of(block) == hkm_state(HKM_STATE_CACHED, block));
	HKM_ASSERT(slab->kind >= HKM_KIND_MID && slab->kind <= HKM_KIND_LARGE);
	slab -= slab->distance;
	uint64_t offset = (uint64_t)((const char *)block - hkm_slab_start(slab));
	HKM_ASSERT(slab->class == class && slab->block_size == cache->block_size && offset % slab->block_size == 0);
	HKM_ASSERT((slab->free_bits >> offset / slab->block_size & 1) == 0);
}

void hkm_ace_check(const struct hkm_heap *heap)
{
	size_t cached = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		const struct hkm_cache *cache = &heap->caches[class];
		HKM_ASSERT(cache->count <= (hkm_ace_is_large(class) ? HKM_LARGE_SLOTS : HKM_MID_SLOTS));
		HKM_ASSERT(cache->lowest <= cache->count && cache->capacity <= cache->most);
		HKM_ASSERT(cache->count == 0 || cache->mark == hkm_ace_mark(class, cache->block_size));
		for (uint32_t i = 0; i < cache->count; i++) {
			check_block(cache, class, cache->slots[i]);
			for (uint32_t j = 0; j < i; j++)
				HKM_ASSERT(cache->slots[i] != cache->slots[j]);
		}
		cached += (size_t)cache->count * cache->block_size;
	}
	HKM_ASSERT(cached == cached_bytes(heap));
}
