/* test_ace.c - L1: which class serves a request (W_MAX, DYN1, DYN2), what caches and pools keep, resizing in
 * place, wrong frees, accounting.
 */
#include "unit.h"

#include <pthread.h>

#include "core/report.h"
#include "span/span.h"

static struct hkm_heap *heap;
static struct hkm_policy policy;

static void start(void)
{
	heap = quiet_heap();
	hkm_pool_meter_all();
	hkm_policy_copy(&policy);
	policy.dynamic_size[0] = policy.dynamic_size[1] = 0;
	policy.cache_start = UINT32_MAX; /* caches may be full at once */
	impose(heap, &policy);
}

static uint32_t class_size(size_t size)
{
	return hkm_ace_static_size(hkm_ace_class(size));
}

static struct span_sum spans_of(uint32_t block_size)
{
	struct span_sum sum = sum_spans(HKM_KIND_MID, block_size), single = sum_spans(HKM_KIND_LARGE, block_size);

	sum.spans += single.spans;
	sum.in_use += single.in_use;
	return sum;
}

/* What the debug build checks now and then, at once. */
static void check_caches_and_pools(void)
{
	hkm_heap_enter(heap);
	hkm_ace_check(heap);
	hkm_pool_check_all();
	hkm_heap_leave(heap);
}

static void flush(void)
{
	check_caches_and_pools();
	hkm_ace_flush(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
	check_caches_and_pools();
}

/* Allocates, and requires that the block is as large as expected. */
static unsigned char *take(size_t size, uint32_t expected)
{
	unsigned char *block = hkm_malloc(size);

	require(block != NULL, "no memory");
	require(hkm_malloc_usable_size(block) == expected, "%zu bytes get a block of %zu, expected %u", size,
		hkm_malloc_usable_size(block), expected);
	return block;
}

ISOLATED(every_static_class_serves_its_sizes)
{
	start();
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++) {
		uint32_t size = hkm_ace_static_size(class), below = class > 0 ? hkm_ace_static_size(class - 1) : 1024;
		unsigned char *blocks[3] = { take(below + 1, size), take(below + 1, size),
			take(size < HKM_LARGE_MAX ? size : size - 1, size) };

		for (size_t i = 0; i < 3; i++) {
			memset(blocks[i], (int)i + 1, size);
			require(is_aligned(blocks[i], 16), "misaligned");
		}
		for (size_t i = 0; i < 3; i++) {
			require(all_bytes_are(blocks[i], size, (unsigned char)(i + 1)), "blocks overlap");
			hkm_free(blocks[i]);
		}
	}
}

ISOLATED(aligned_blocks_are_aligned)
{
	start();
	for (size_t alignment = 32; alignment <= HKM_SLICE_SIZE; alignment *= 2) {
		for (size_t size = 1; size < 5 * HKM_SLICE_SIZE; size = size * 5 / 4 + 1) {
			void *blocks[3];

			for (size_t i = 0; i < 3; i++) {
				blocks[i] = hkm_aligned_alloc(alignment, size);
				require(is_aligned(blocks[i], alignment), "%zu bytes at %p", size, blocks[i]);
				require(hkm_malloc_usable_size(blocks[i]) >= size, "too small");
				memset(blocks[i], 1, size);
			}
			for (size_t i = 0; i < 3; i++)
				hkm_free(blocks[i]);
		}
	}
}

/* Above 32 KiB: spans of their own, whatever the size. */
ISOLATED(blocks_of_high_alignment_come_from_the_window)
{
	uint64_t out;

	start();
	out = hkm_pool_out().large + hkm_pool_out().mid;
	for (size_t alignment = 2 * HKM_SLICE_SIZE; alignment <= HKM_APART_MAX; alignment *= 2) {
		for (size_t size = 1; size < HKM_LARGE_MAX; size = size * 4 + 100) {
			unsigned char *blocks[3];
			size_t usable = class_size(hkm_max(size, 1025)), spans = sum_spans(HKM_KIND_ALIGNED, (uint32_t)usable).spans;

			for (size_t i = 0; i < 3; i++) {
				blocks[i] = hkm_aligned_alloc(alignment, size);
				require(is_aligned(blocks[i], alignment), "%zu bytes at %p", size, (void *)blocks[i]);
				require(slab_of_block(blocks[i])->kind == HKM_KIND_ALIGNED, "kind %u", slab_of_block(blocks[i])->kind);
				require(hkm_malloc_usable_size(blocks[i]) == usable, "%zu usable", hkm_malloc_usable_size(blocks[i]));
				memset(blocks[i], (int)i + 1, usable);
			}
			require(sum_spans(HKM_KIND_ALIGNED, (uint32_t)usable).spans == spans + 3, "not three spans");
			require(hkm_pool_out().large + hkm_pool_out().mid == out + 3 * usable, "%zu bytes are not counted", usable);
			for (size_t i = 0; i < 3; i++) {
				require(all_bytes_are(blocks[i], usable, (unsigned char)(i + 1)), "blocks overlap");
				hkm_free(blocks[i]);
			}
			require(sum_spans(HKM_KIND_ALIGNED, (uint32_t)usable).spans == spans, "spans are left");
		}
	}
	require(hkm_pool_out().large + hkm_pool_out().mid == out, "counted wrong");
	require(hkm_aligned_alloc(2 * HKM_APART_MAX, 100) != NULL, "no memory");
}

ISOLATED(a_block_of_high_alignment_is_resized_where_it_lies)
{
	unsigned char *block, *moved;

	start();
	block = hkm_aligned_alloc(HKM_APART_MAX, 300000);
	fill_pattern(block, 60000, 1);
	require(hkm_realloc(block, 700000) == block, "not grown in place");
	require(hkm_malloc_usable_size(block) == class_size(700000), "%zu usable", hkm_malloc_usable_size(block));
	memset(block + 60000, 2, 640000);
	require(hkm_realloc(block, 60000) == block, "not shrunk in place");
	require(slab_of_block(block)->slices == 2, "%u slices", slab_of_block(block)->slices);
	require(pattern_holds(block, 60000, 60000, 1), "contents lost");
	moved = hkm_realloc(block, 3000);
	require(moved != block && pattern_holds(moved, 60000, 3000, 1), "not moved, or contents lost");
	require(sum_spans(HKM_KIND_ALIGNED, class_size(60000)).spans == 0, "the span is left");
	hkm_free(moved);
}

/* ---- W_MAX ----------------------------------------------------------------------- */

/* With a cached block of `cached` bytes, requests `size` under a W_MAX; result: the block's size. */
static size_t served_by(uint32_t wmax, size_t cached, size_t size)
{
	void *larger, *block;
	size_t usable;

	policy.wmax_mid = size <= HKM_MID_MAX ? wmax : 1000;
	policy.wmax_large = cached <= HKM_MID_MAX ? 1000 : wmax;
	impose(heap, &policy);
	flush();
	/* Of the block itself there is none in the cache. */
	larger = hkm_malloc(cached);
	flush();
	hkm_free(larger);
	block = hkm_malloc(size);
	usable = hkm_malloc_usable_size(block);
	require((block == larger) == (usable == class_size(cached)), "not the cached block");
	hkm_free(block);
	return usable;
}

ISOLATED(a_cached_larger_block_serves_within_wmax)
{
	start();
	require(served_by(1000, 3000, 2000) == 2048, "served beyond W_MAX = 1");
	require(served_by(1500, 3000, 2000) == 2048, "3072 is more than 1.5 * 2000");
	require(served_by(1536, 3000, 2000) == 3072, "3072 is 1.536 * 2000");
	require(served_by(2000, 3000, 2000) == 3072, "not served within W_MAX = 2");
	require(served_by(1000, 200000, 150000) == 163840, "served beyond W_MAX = 1");
	require(served_by(1500, 200000, 150000) == 163840, "229376 is more than 1.5 * 150000");
	require(served_by(1600, 200000, 150000) == 229376, "not served within W_MAX = 1.6");
	/* Layers do not mix. */
	require(served_by(4000, 40000, 30000) == 32768, "a Mid request was served by a Large block");
}

ISOLATED(the_smallest_cached_block_serves)
{
	void *large, *small;

	start();
	policy.wmax_mid = 4000;
	impose(heap, &policy);
	large = hkm_malloc(6000);
	small = hkm_malloc(3000);
	flush();
	hkm_free(large);
	hkm_free(small);
	require(hkm_malloc(2000) == small, "the larger one was taken");
	require(hkm_malloc(2000) == large, "the larger one was not taken next");
	require(hkm_malloc_usable_size(hkm_malloc(2000)) == 2048, "not an own block");
}

/* ---- DYN1 and DYN2 --------------------------------------------------------------- */

static void set_dynamic(uint32_t first, uint32_t second)
{
	policy.dynamic_size[0] = first;
	policy.dynamic_size[1] = second;
	policy.cache_blocks[HKM_DYN1] = policy.cache_blocks[HKM_DYN2] = 8;
	impose(heap, &policy);
}

ISOLATED(dynamic_classes_serve_their_sizes_exactly)
{
	start();
	hkm_free(take(5200, 6144));
	hkm_free(take(26000, 28672));
	set_dynamic(5200, 26000);
	/* A cached block of the static class does not stand in the way. */
	for (size_t round = 0; round < 2; round++) {
		hkm_free(take(5120, 5120));
		hkm_free(take(5121, 5200));
		hkm_free(take(5200, 5200));
		hkm_free(take(5201, 6144));
		hkm_free(take(24577, 26000));
		hkm_free(take(26000, 26000));
		hkm_free(take(26001, 28672));
	}
	/* Two within one gap: the tighter one serves. */
	set_dynamic(5600, 5200);
	hkm_free(take(5150, 5200));
	hkm_free(take(5300, 5600));
	hkm_free(take(5700, 6144));
	set_dynamic(0, 0);
	hkm_free(take(5200, 6144));
}

/* Else their spans would never drain. */
ISOLATED(a_dynamic_class_takes_no_block_of_another)
{
	start();
	hkm_free(take(5200, 6144));
	policy.wmax_mid = 2000;
	set_dynamic(5200, 0);
	hkm_free(take(5200, 5200));
	flush();
	hkm_free(take(6000, 6144));
	take(5200, 5200);
}

/* A span of 64 KiB would leave 3,856 bytes behind 15 blocks; one of 256 KiB leaves 3,088 behind 63. */
ISOLATED(spans_of_a_dynamic_class_waste_least)
{
	unsigned char *block;

	start();
	set_dynamic(4112, 12304);
	block = take(4112, 4112);
	require(hkm_window.slabs[hkm_slice_of(block)].slices * HKM_SLICE_SIZE == 256 * KIB, "%u slices",
		hkm_window.slabs[hkm_slice_of(block)].slices);
	block = take(12304, 12304);
	require(hkm_window.slabs[hkm_slice_of(block)].slices * HKM_SLICE_SIZE == 256 * KIB, "%u slices",
		hkm_window.slabs[hkm_slice_of(block)].slices);
	set_dynamic(1040, 0); /* at most 64 blocks */
	block = take(1040, 1040);
	require(hkm_window.slabs[hkm_slice_of(block)].slices * HKM_SLICE_SIZE == 64 * KIB, "more than 64 blocks");
}

#define OLD_BLOCKS 100

ISOLATED(blocks_of_a_retired_size_live_on)
{
	unsigned char *old[OLD_BLOCKS], *young[OLD_BLOCKS];

	start();
	set_dynamic(5200, 0);
	for (size_t i = 0; i < OLD_BLOCKS; i++) {
		old[i] = take(5200, 5200);
		fill_pattern(old[i], 5200, i);
	}
	hkm_free(hkm_malloc(5200));
	for (uint32_t size = 7008; size <= 7104; size += 48) {
		set_dynamic(size, 0);
		require(heap->caches[HKM_DYN1].count == 0, "blocks of the old size are cached");
		for (size_t i = 0; i < OLD_BLOCKS; i++) {
			young[i] = take(size, size);
			fill_pattern(young[i], size, i);
			require(hkm_malloc_usable_size(old[i]) == 5200, "the size of a live block has changed");
		}
		for (size_t i = 0; i < OLD_BLOCKS; i++) {
			require(pattern_holds(young[i], size, size, i), "a block was overwritten");
			hkm_free(young[i]);
		}
	}
	/* Half of them comes back to a class of another size, half when the size is current again. */
	for (size_t i = 0; i < OLD_BLOCKS; i += 2) {
		require(pattern_holds(old[i], 5200, 5200, i), "an old block was overwritten");
		hkm_free(old[i]);
	}
	for (size_t i = 0; i < OLD_BLOCKS; i++)
		young[i] = take(7104, 7104);
	for (size_t i = 0; i < OLD_BLOCKS; i++)
		hkm_free(young[i]);
	set_dynamic(5200, 0);
	for (size_t i = 1; i < OLD_BLOCKS; i += 2) {
		require(pattern_holds(old[i], 5200, 5200, i), "an old block was overwritten");
		hkm_free(old[i]);
	}
	hkm_malloc_trim(0);
	for (uint32_t size = 5200; size < 7200; size += 16)
		require(spans_of(size).spans == 0, "%zu spans of %u bytes are left", spans_of(size).spans, size);
}

/* ---- Caches and pools ------------------------------------------------------------ */

static void *many[400];

static void take_many(size_t size, size_t count)
{
	for (size_t i = 0; i < count; i++)
		many[i] = hkm_malloc(size);
}

static void free_many(size_t count)
{
	for (size_t i = 0; i < count; i++)
		hkm_free(many[i]);
}

ISOLATED(caches_hold_no_more_than_their_capacity)
{
	start();
	policy.cache_bytes = (uint64_t)1 << 30;
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class += 5) {
		const struct hkm_cache *cache = &heap->caches[class];
		size_t size = hkm_ace_static_size(class) - 1;

		for (uint32_t capacity = 0; capacity <= 8; capacity += 2) {
			policy.cache_blocks[class] = (uint16_t)capacity;
			impose(heap, &policy);
			require(cache->count <= capacity, "%u blocks were kept over", cache->count);
			take_many(size, 20);
			for (size_t i = 0; i < 20; i++) {
				hkm_free(many[i]);
				require(cache->count <= capacity, "%u blocks are cached, %u allowed", cache->count, capacity);
			}
			require(cache->count >= capacity / 2, "%u blocks are cached", cache->count);
		}
	}
}

static size_t cached_bytes(void)
{
	size_t bytes = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		bytes += (size_t)heap->caches[class].count * heap->caches[class].block_size;
	return bytes;
}

ISOLATED(all_caches_together_hold_no_more_than_the_policy_says)
{
	start();
	for (uint64_t limit = 128 << 10; limit <= 2 << 20; limit *= 2) {
		policy.cache_bytes = limit;
		policy.cache_share = 0;
		impose(heap, &policy);
		require(cached_bytes() <= limit, "%zu bytes were kept over, %zu allowed", cached_bytes(), (size_t)limit);
		for (size_t round = 0; round < 40; round++) {
			take_many(2000 + round * round * 100, 8);
			free_many(8);
			require(cached_bytes() == (size_t)((ptrdiff_t)heap->cache_limit - heap->cache_room), "%zu bytes are cached, counted %zu", cached_bytes(),
				(size_t)((ptrdiff_t)heap->cache_limit - heap->cache_room));
			require(cached_bytes() <= limit, "%zu bytes are cached, %zu allowed", cached_bytes(), (size_t)limit);
		}
		require(cached_bytes() > limit / 2, "only %zu bytes are cached", cached_bytes());
	}
}

ISOLATED(hits_and_misses_are_counted)
{
	struct hkm_cache *cache;

	start();
	cache = &heap->caches[hkm_ace_class(3000)];
	flush();
	hkm_free(hkm_malloc(3000));
	require(hkm_counted(&cache->misses) == 1 && hkm_counted(&cache->hits) == 0, "the first is not a miss");
	for (size_t i = 0; i < 10; i++)
		hkm_free(hkm_malloc(3000));
	require(hkm_counted(&cache->misses) == 1 && hkm_counted(&cache->hits) == 10, "%zu hits",
		(size_t)hkm_counted(&cache->hits));
	/* The newest block goes out first. */
	take_many(3000, 2);
	free_many(2);
	require(hkm_malloc(3000) == many[1] && hkm_malloc(3000) == many[0], "not the newest first");
}

/* Makes empty spans of a class; result: how many the pool has kept. */
static size_t spans_kept(size_t size, uint16_t pool_spans, uint32_t budget)
{
	unsigned class = hkm_ace_class(size);
	size_t kept;

	policy.cache_blocks[class] = 0;
	policy.pool_spans[class] = pool_spans;
	policy.budget_mid = policy.budget_large = budget;
	impose(heap, &policy);
	take_many(size, 200);
	require(spans_of(class_size(size)).in_use == 200, "%zu in use", spans_of(class_size(size)).in_use);
	free_many(200);
	kept = spans_of(class_size(size)).spans;
	require(spans_of(class_size(size)).in_use == 0, "%zu in use", spans_of(class_size(size)).in_use);
	hkm_pool_release_idle(true);
	require(spans_of(class_size(size)).spans == 0, "empty spans stay");
	return kept;
}

ISOLATED(pools_keep_as_many_empty_spans_as_the_policy_says)
{
	start();
	require(spans_kept(3000, 0, 100) == 0, "kept without being asked");
	require(spans_kept(3000, 4, 100) == 4, "not four spans are kept");
	require(spans_kept(3000, 4, 3) == 3, "the budget is not kept");
	require(spans_kept(3000, 4, 0) == 0, "the budget is not kept");
	require(spans_kept(130000, 0, 100) == 0, "kept without being asked");
	require(spans_kept(130000, 5, 100) == 5, "not five spans are kept");
	require(spans_kept(130000, 5, 2) == 2, "the budget is not kept");
}

ISOLATED(the_budget_is_for_all_classes_together)
{
	size_t kept = 0;

	start();
	policy.budget_mid = 5;
	for (size_t size = 2000; size <= 16000; size *= 2) {
		policy.cache_blocks[hkm_ace_class(size)] = 0;
		policy.pool_spans[hkm_ace_class(size)] = 4;
	}
	impose(heap, &policy);
	for (size_t size = 2000; size <= 16000; size *= 2) {
		take_many(size, 200);
		free_many(200);
	}
	for (size_t size = 2000; size <= 16000; size *= 2)
		kept += spans_of(class_size(size)).spans;
	require(kept == 5, "%zu spans are kept", kept);
}

ISOLATED(idle_spans_go_and_used_ones_stay)
{
	start();
	policy.cache_blocks[hkm_ace_class(3000)] = policy.cache_blocks[hkm_ace_class(6000)] = 0;
	policy.pool_spans[hkm_ace_class(3000)] = policy.pool_spans[hkm_ace_class(6000)] = 2;
	impose(heap, &policy);
	hkm_free(hkm_malloc(3000));
	hkm_free(hkm_malloc(6000));
	hkm_pool_release_idle(false);
	require(spans_of(class_size(3000)).spans == 1, "a span went that had just been used");
	hkm_free(hkm_malloc(6000));
	hkm_pool_release_idle(false);
	require(spans_of(class_size(3000)).spans == 0, "an idle span stays");
	require(spans_of(class_size(6000)).spans == 1, "a span went that had just been used");
}

/* ---- What empty spans are worth --------------------------------------------------- */

/* The pool of a class as the policy says, without a cache before it. */
static void keep_spans(size_t size, uint16_t pool_spans, uint32_t budget)
{
	policy.cache_blocks[hkm_ace_class(size)] = 0;
	policy.pool_spans[hkm_ace_class(size)] = pool_spans;
	policy.budget_mid = policy.budget_large = budget;
	impose(heap, &policy);
}

static void check_kept(size_t size, uint64_t hits, uint64_t ghost_hits)
{
	struct hkm_pool_kept kept = hkm_pool_kept(hkm_ace_class(size));

	require(kept.hits == hits && kept.ghost_hits == ghost_hits, "%zu: %zu hits and %zu ghost hits, not %zu and %zu", size,
		(size_t)kept.hits, (size_t)kept.ghost_hits, (size_t)hits, (size_t)ghost_hits);
}

ISOLATED(a_span_that_went_and_is_made_again_is_a_ghost_hit)
{
	size_t size = 130000;

	start();
	keep_spans(size, 8, 100);
	take_many(size, 30);
	check_kept(size, 0, 0);
	free_many(30);
	require(hkm_pool_kept(hkm_ace_class(size)).surplus == 4 * 4 * HKM_SLICE_SIZE, "%zu bytes are surplus",
		(size_t)hkm_pool_kept(hkm_ace_class(size)).surplus);
	take_many(size, 30);
	check_kept(size, 4, 8); /* of 22, those that a pool of twice the size would have kept */
	require(hkm_pool_kept(hkm_ace_class(size)).surplus == 0, "something is surplus that is in use");
	keep_spans(size, 0, 100);
	free_many(30);
	take_many(size, 30);
	check_kept(size, 4, 12); /* as if four more were kept where there is none */
}

ISOLATED(ghosts_of_an_idle_pool_are_forgotten)
{
	size_t size = 130000;

	start();
	keep_spans(size, 2, 100);
	take_many(size, 20);
	free_many(20);
	hkm_pool_release_idle(false);
	take_many(size, 3);
	check_kept(size, 1, 1); /* not idle: it has been taken from */
	free_many(3);
	hkm_pool_release_idle(false);
	hkm_pool_release_idle(false);
	take_many(size, 20);
	check_kept(size, 1, 1);
}

/* More of them would not be kept either. */
ISOLATED(what_the_budget_does_not_allow_is_no_ghost)
{
	size_t size = 130000;

	start();
	keep_spans(size, 4, 2);
	take_many(size, 20);
	free_many(20);
	take_many(size, 20);
	check_kept(size, 0, 0);
}

/* Large blocks are spans of their own: what pools that keep more, or fewer, would have made can be counted here. */
ISOLATED(hits_and_ghost_hits_are_what_other_pools_would_have_made)
{
	struct random_source random = { 11 };
	unsigned class = hkm_ace_class(130000);
	uint32_t kept = 0, kept_by_more = 0, kept_by_half = 0;
	uint64_t made = 0, made_by_more = 0, made_by_half = 0;
	size_t out = 0;

	start();
	keep_spans(130000, 5, 1000);
	for (size_t step = 0; step < 20000; step++) {
		const struct hkm_policy *current = hkm_heap_enter(heap);

		if (out < 40 && (out == 0 || random_between(&random, 0, 1) == 0)) {
			require(hkm_pool_take(heap, current, class, hkm_ace_static_size(class), &many[out], 1) == 1, "no memory");
			*hkm_state_of(many[out]) = hkm_state(HKM_STATE_CACHED, many[out]);
			out++;
			made += kept == 0;
			made_by_more += kept_by_more == 0;
			made_by_half += kept_by_half == 0;
			kept -= kept > 0;
			kept_by_more -= kept_by_more > 0;
			kept_by_half -= kept_by_half > 0;
		} else {
			hkm_pool_give(current, class, &many[--out], 1);
			kept += kept < 5;
			kept_by_more += kept_by_more < 5 + hkm_pool_more(5);
			kept_by_half += kept_by_half < 5 / 2;
		}
		hkm_heap_leave(heap);
	}
	require(made_by_more < made && made < made_by_half, "the test tests nothing");
	check_kept(130000, made_by_half - made, made - made_by_more);
}

/* A kept span of several blocks serves when the others have no room left, in whatever order they are used. */
ISOLATED(an_empty_span_among_others_with_room_serves_nothing)
{
	size_t size = 3000, blocks;

	start();
	keep_spans(size, 1, 100);
	take_many(size, 1);
	blocks = slab_of_block(many[0])->capacity;
	for (size_t i = 1; i < 2 * blocks; i++)
		many[i] = hkm_malloc(size);
	/* The first span has had room for longer, but it is empty then, and goes behind the other. */
	hkm_free(many[0]);
	hkm_free(many[blocks]);
	for (size_t i = 1; i < blocks; i++)
		hkm_free(many[i]);
	require(hkm_pool_kept(hkm_ace_class(size)).surplus > 0, "no span is kept");
	for (size_t i = 0; i < 10; i++) {
		void *block = hkm_malloc(size);

		require(slab_of_block(block) == slab_of_block(many[blocks]), "an empty span serves before another with room");
		hkm_free(block);
	}
	check_kept(size, 0, 0);
	take_many(size, 1);
	check_kept(size, 0, 0);
	take_many(size, blocks);
	check_kept(size, 1, 0);
}

ISOLATED(making_a_span_that_could_have_been_kept_is_timed)
{
	start();
	keep_spans(130000, 0, 100);
	heap->metered = true;
	take_many(130000, 100);
	require(hkm_counted(&heap->meter.spans.count) == 0, "spans were timed that nobody could have kept");
	for (size_t i = 0; i < 1000; i++) {
		free_many(4);
		take_many(130000, 4);
	}
	/* A free is a slow path, too. */
	require(hkm_counted(&heap->meter.spans.count) >= 15 && hkm_counted(&heap->meter.spans.count) <= 65 &&
			hkm_counted(&heap->meter.spans.cycles) > 0, "%zu of 4000 were timed",
		(size_t)hkm_counted(&heap->meter.spans.count));
}

ISOLATED(decay_returns_what_was_not_needed)
{
	struct hkm_cache *cache;

	start();
	policy.cache_blocks[hkm_ace_class(3000)] = 16;
	impose(heap, &policy);
	cache = &heap->caches[hkm_ace_class(3000)];
	take_many(3000, 16);
	free_many(16);
	require(cache->count >= 8, "%u cached", cache->count);
	for (size_t round = 0; round < 2; round++) {
		/* Three blocks are in use at times. */
		take_many(3000, 3);
		free_many(3);
		hkm_ace_decay(heap, hkm_heap_enter(heap));
		hkm_heap_leave(heap);
	}
	require(cache->count == 3, "%u cached, though three were needed", cache->count);
	require(!hkm_ace_decay(heap, hkm_heap_enter(heap)), "says that something is cached");
	hkm_heap_leave(heap);
	require(cache->count == 0, "%u cached, though none was needed", cache->count);
}

/* A tail is address space that a limit on it counts, and, in slices that are used again, memory. */
ISOLATED(spans_waste_little)
{
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++) {
		size_t size = hkm_ace_static_size(class), bytes = hkm_pool_span_slices(class, (uint32_t)size) * HKM_SLICE_SIZE;

		if (size <= HKM_SHARED_MAX)
			require(bytes % size <= bytes / 32, "%zu bytes: %zu of a span of %zu are wasted", size, bytes % size, bytes);
		else
			require(bytes / size == 1 && bytes - size < HKM_SLICE_SIZE, "%zu bytes: a span of %zu", size, bytes);
	}
}

/* ---- Accounting ------------------------------------------------------------------ */

#define LIVE 300

static struct {
	unsigned char *start;
	size_t size;
	uint32_t block_size;
} blocks[LIVE];

static void check_accounts(void)
{
	check_caches_and_pools();
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++) {
		uint32_t size = hkm_ace_static_size(class);
		size_t expected = heap->caches[class].count;

		for (size_t i = 0; i < LIVE; i++)
			expected += blocks[i].start != NULL && blocks[i].block_size == size;
		require(spans_of(size).in_use == expected, "%u bytes: %zu in use, expected %zu", size,
			spans_of(size).in_use, expected);
	}
}

ISOLATED(every_span_counts_exactly)
{
	struct random_source random = { 9 };

	start();
	policy.wmax_mid = policy.wmax_large = 1500;
	impose(heap, &policy);
	for (size_t step = 0; step < 20000; step++) {
		size_t i = random_between(&random, 0, LIVE - 1);

		if (blocks[i].start != NULL) {
			require(pattern_holds(blocks[i].start, blocks[i].size, blocks[i].size, i), "overwritten");
			if (random_between(&random, 0, 3) == 0) {
				size_t size = random_between(&random, 1025, 300000);
				unsigned char *moved = hkm_realloc(blocks[i].start, size);

				require(pattern_holds(moved, blocks[i].size, hkm_min(size, blocks[i].size), i),
					"realloc lost something");
				blocks[i].start = moved;
				blocks[i].size = size;
				blocks[i].block_size = (uint32_t)hkm_malloc_usable_size(moved);
				fill_pattern(moved, size, i);
			} else {
				hkm_free(blocks[i].start);
				blocks[i].start = NULL;
			}
		} else {
			size_t size = random_between(&random, 1025, random_between(&random, 0, 5) ? 33000 : 300000);

			blocks[i].start = hkm_malloc(size);
			blocks[i].size = size;
			blocks[i].block_size = (uint32_t)hkm_malloc_usable_size(blocks[i].start);
			fill_pattern(blocks[i].start, size, i);
		}
		if (step % 400 == 0)
			check_accounts();
		if (step % 4000 == 0)
			hkm_malloc_trim(0);
	}
	for (size_t i = 0; i < LIVE; i++)
		hkm_free(blocks[i].start);
	memset(blocks, 0, sizeof blocks);
	check_accounts();
	hkm_malloc_trim(0);
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++)
		require(spans_of(hkm_ace_static_size(class)).spans == 0, "class %u: spans are left", class);
}

/* ---- Resizing, zeroing ----------------------------------------------------------- */

ISOLATED(large_blocks_are_resized_in_place)
{
	unsigned char *block, *neighbour;
	struct hkm_slab *slab;
	uint64_t others;
	bool grown;

	start();
	block = take(300000, class_size(300000));
	slab = slab_of_block(block);
	others = hkm_pool_out().large - class_size(300000);
	fill_pattern(block, 60000, 1);
	require(hkm_ace_resize(slab, block, 70000), "cannot shrink");
	require(hkm_malloc_usable_size(block) == class_size(70000) &&
			slab->slices == hkm_align_up(class_size(70000), HKM_SLICE_SIZE) / HKM_SLICE_SIZE, "%u slices",
		slab->slices);
	require(hkm_ace_resize(slab, block, 1500000), "cannot grow into a free superslab");
	require(hkm_malloc_usable_size(block) == class_size(1500000), "%zu bytes", hkm_malloc_usable_size(block));
	require(hkm_pool_out().large == others + class_size(1500000), "what it has gained is not counted");
	memset(block + 60000, 2, class_size(1500000) - 60000);
	require(pattern_holds(block, 60000, 60000, 1), "contents lost");
	require(hkm_ace_resize(slab, block, 100000), "cannot shrink");
	neighbour = take(1900000, class_size(1900000));
	memset(neighbour, 3, 1900000);
	grown = hkm_ace_resize(slab, block, 2000000);
	require(!grown || neighbour > block + 2000000 || neighbour < block, "grown over a neighbour");
	require(all_bytes_are(neighbour, 1900000, 3) && pattern_holds(block, 60000, 60000, 1), "contents lost");
	require(!hkm_ace_resize(slab, block, HKM_MID_MAX) && !hkm_ace_resize(slab, block, HKM_LARGE_MAX),
		"resized into another layer");
	hkm_free(block);
	hkm_free(neighbour);
	/* A Mid block never is. */
	block = hkm_malloc(3000);
	require(!hkm_ace_resize(slab_of_block(block), block, 3050), "a Mid block was resized");
	hkm_free(block);
}

ISOLATED(cleared_blocks_are_zero_whatever_was_there)
{
	start();
	for (size_t round = 0; round < 3; round++) {
		for (size_t size = 1025; size < HKM_LARGE_MAX; size = size * 3 / 2) {
			unsigned char *block = hkm_calloc(1, size);

			require(all_bytes_are(block, size, 0), "%zu bytes are not zero", size);
			memset(block, 0xff, hkm_malloc_usable_size(block));
			hkm_free(block);
		}
		if (round == 1)
			hkm_malloc_trim(0);
	}
}

ISOLATED(fresh_large_blocks_are_known_to_be_zero)
{
	unsigned char *block;
	bool zeroed = false;

	start();
	block = hkm_ace_alloc(heap, 130000, &zeroed);
	require(zeroed && all_bytes_are(block, 130000, 0), "fresh memory is not known to be zero");
	block[50000] = 1;
	hkm_free(block);
	require(hkm_ace_alloc(heap, 130000, &zeroed) == block, "not the same block");
	require(!zeroed, "a used block is said to be zero");
}

/* A slab of Tiny blocks, each linked to the one before. */
static void **take_slab(void **list)
{
	for (size_t i = 0; i < HKM_SLICE_SIZE / 1024; i++) {
		void **block = hkm_malloc(1000);

		memset(block, 0xa5, 1000);
		*block = list;
		list = block;
	}
	return list;
}

/* Large blocks with spans of their own are made in bundles, of which only one is handed out here; the others' spans go home as
 * fresh as they came, from another place in each round, and Tiny blocks lie there afterwards. */
ISOLATED(a_block_in_a_shared_span_is_not_taken_for_a_fresh_one)
{
	void **list = NULL;

	start();
	for (size_t round = 0; round < 100; round++) {
		hkm_free(hkm_malloc(60000));
		flush();
		hkm_pool_release_idle(true);
		hkm_span_purge(UINT64_MAX, 0);
		for (size_t i = 0; i < 3; i++)
			list = take_slab(list);
	}
	while (list != NULL) {
		void **next = *list;

		hkm_free(list);
		list = next;
	}
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	for (size_t size = HKM_MID_MAX + 1; size < HKM_SHARED_MAX; size += 8000) {
		for (size_t i = 0; i < 40; i++) {
			many[i] = hkm_calloc(1, size);
			require(all_bytes_are(many[i], size, 0), "%zu bytes are not zero", size);
		}
		for (size_t i = 0; i < 40; i++) {
			memset(many[i], 0xa5, size);
			hkm_free(many[i]);
		}
		flush();
		hkm_pool_release_idle(true);
	}
}

/* Whatever the descriptor of a later slice says: it is of spans that were there before. */
ISOLATED(only_the_head_of_a_span_says_whether_it_is_fresh)
{
	bool zeroed = false;
	size_t size = 100000;

	start();
	take_many(size, 16);
	for (size_t i = 0; i < 16; i++) {
		memset(many[i], 0xa5, size);
		hkm_free(many[i]);
	}
	for (size_t i = 0; i < 16; i++) {
		struct hkm_slab *slab = slab_of_block(many[i]);

		slab->zeroed = slab->distance != 0;
	}
	for (size_t i = 0; i < 16; i++) {
		require(hkm_ace_alloc(heap, size, &zeroed) != NULL && !zeroed, "a used block is said to be zero");
		slab_of_block(many[i])->zeroed = 0;
	}
}

/* Each way in which a block that was said to be zero, or its memory, gets dirty and comes back. */
ISOLATED(a_fresh_block_is_fresh_once)
{
	unsigned char *block, *other;
	size_t size = 200000;
	bool zeroed = false;

	start();
	policy.pool_spans[hkm_ace_class(size)] = 8;
	policy.budget_large = 8;
	impose(heap, &policy);
	/* Freed by a signal handler: the link lies in the block, which goes home with the next slow path. */
	block = hkm_ace_alloc(heap, size, &zeroed);
	require(zeroed, "fresh memory is not known to be zero");
	hkm_heap_guard(heap, true);
	hkm_free(block);
	hkm_heap_guard(heap, false);
	other = hkm_malloc(5000);
	flush();
	require(hkm_ace_alloc(heap, size, &zeroed) == block && !zeroed, "a deferred free left it fresh");
	hkm_free(other);
	hkm_free(block);
	flush();
	hkm_pool_release_idle(true);
	hkm_span_purge(UINT64_MAX, 0);
	/* Grown over what somebody else had. */
	block = hkm_ace_alloc(heap, size, &zeroed);
	require(zeroed, "purged memory is not known to be zero");
	require(hkm_ace_resize(slab_of_block(block), block, 900000), "cannot grow");
	memset(block, 0xa5, 900000);
	require(hkm_ace_resize(slab_of_block(block), block, size), "cannot shrink");
	require(hkm_ace_resize(slab_of_block(block), block, 900000), "cannot grow");
	require(block[899999] == 0xa5, "purged meanwhile");
	hkm_free(block);
	require(hkm_ace_alloc(heap, 900000, &zeroed) == block && !zeroed, "a grown block is said to be zero");
	hkm_free(block);
	flush();
	hkm_pool_release_idle(true);
	hkm_span_purge(UINT64_MAX, 0);
	/* Freed by a thread that has no heap. */
	block = hkm_ace_alloc(heap, size, &zeroed);
	require(zeroed, "purged memory is not known to be zero");
	memset(block, 0xa5, size);
	hkm_ace_free(NULL, slab_of_block(block), block);
	require(hkm_ace_alloc(heap, size, &zeroed) == block && !zeroed, "a free without a heap left it fresh");
}

/* ---- Wrong frees ----------------------------------------------------------------- */

static void free_twice(void *block)
{
	hkm_free(block);
	hkm_free(block);
}

static void free_twice_through_the_pool(void *block)
{
	hkm_free(block);
	hkm_malloc_trim(0);
	hkm_free(block);
}

static void free_it(void *block)
{
	hkm_free(block);
}

ISOLATED(wrong_frees_end_the_process)
{
	start();
	for (size_t size = 1500; size < HKM_LARGE_MAX; size *= 6) {
		/* A neighbour keeps the span alive. */
		char *neighbour = hkm_malloc(size), *block = hkm_malloc(size);

		expect_abort(free_twice, block, "free(): double free of 0x");
		if (size <= 10000)
			expect_abort(free_twice_through_the_pool, block, "free(): double free of 0x");
		expect_abort(free_it, block + 16, "free(): invalid pointer 0x");
		expect_abort(free_it, block + 1024, "free(): invalid pointer 0x");
		expect_abort(free_it, block + size - size % 16 - 16, "free(): invalid pointer 0x");
		expect_abort(free_it, block + 8, "free(): ");
		expect_abort(free_it, block + 1, "free(): ");
		hkm_free(block);
		hkm_free(neighbour);
	}
}

ISOLATED(wrong_frees_of_blocks_of_high_alignment_end_the_process)
{
	start();
	for (size_t size = 100; size < HKM_LARGE_MAX; size *= 20) {
		char *block = hkm_aligned_alloc(2 * HKM_SLICE_SIZE, size);

		expect_abort(free_twice, block, "free(): double free of 0x");
		expect_abort(free_twice_through_the_pool, block, "free(): double free of 0x");
		expect_abort(free_it, block + 16, "free(): invalid pointer 0x");
		expect_abort(free_it, block + 1024, "free(): invalid pointer 0x");
		expect_abort(free_it, block + 8, "free(): ");
		hkm_free(block);
	}
}

ISOLATED(ignored_wrong_frees_change_nothing)
{
	unsigned char *block, *other;
	size_t in_use;

	start();
	hkm_misuse_goes_on(true);
	block = hkm_malloc(9000);
	other = hkm_malloc(9000);
	memset(other, 1, 9000);
	in_use = spans_of(class_size(9000)).in_use;
	hkm_free(other + 1024);
	hkm_free(other + 4096);
	hkm_free(block);
	hkm_free(block);
	require(spans_of(class_size(9000)).in_use == in_use, "%zu in use", spans_of(class_size(9000)).in_use);
	require(hkm_malloc(9000) == block && hkm_malloc(9000) != block, "one block for two");
	require(all_bytes_are(other, 9000, 1), "contents changed");
	require(hkm_malloc_usable_size(other + 1024) == 0, "an inner pointer has a size");
}

/* A block that two threads have freed at the same instant lies in two caches. Only one of them brings it home. */
static void flush_twice(void *block)
{
	struct hkm_slab *slab = slab_of_block(block);
	struct hkm_cache *cache = &heap->caches[hkm_span_head(slab)->class];

	hkm_free(block);
	require(cache->count > 0 && cache->slots[cache->count - 1] == block, "not cached");
	cache->slots[cache->count++] = block;
	heap->cache_room -= cache->block_size;
	hkm_ace_flush(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
}

ISOLATED(a_block_in_two_caches_is_told_and_comes_home_once)
{
	start();
	for (size_t size = 3000; size < HKM_LARGE_MAX; size *= 9) {
		struct span_sum before = spans_of(class_size(size));
		unsigned char *other = hkm_malloc(size), *block = hkm_malloc(size);

		memset(other, 7, size);
		expect_abort(flush_twice, block, "free(): double free of 0x");
		hkm_misuse_goes_on(true);
		flush_twice(block);
		hkm_misuse_goes_on(false);
		check_caches_and_pools();
		require(spans_of(class_size(size)).in_use == before.in_use + 1, "%zu in use", spans_of(class_size(size)).in_use);
		require(all_bytes_are(other, size, 7), "another block was lost");
		block = hkm_malloc(size);
		require(block != other && hkm_malloc(size) != block, "one block for two");
		hkm_free(other);
		check_caches_and_pools();
	}
}

/* ---- Many threads ---------------------------------------------------------------- */

static _Atomic(unsigned char *) market[32];

static void *trade(void *argument)
{
	struct random_source random = { (uint64_t)(uintptr_t)argument };

	for (size_t i = 0; i < 5000; i++) {
		size_t size = random_between(&random, 1100, i % 16 == 0 ? 200000 : 33000);
		unsigned char *block = hkm_malloc(size);

		memcpy(block, &size, sizeof size);
		fill_pattern(block + 8, size - 8, size);
		block = atomic_exchange(&market[random_between(&random, 0, 31)], block);
		if (block != NULL) {
			memcpy(&size, block, sizeof size);
			require(pattern_holds(block + 8, size - 8, size - 8, size), "a block was overwritten");
			hkm_free(block);
		}
	}
	return NULL;
}

ISOLATED(any_thread_frees_any_block)
{
	pthread_t threads[4];

	start();
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, trade, (void *)(i + 1));
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (size_t i = 0; i < 32; i++)
		hkm_free(market[i]);
	check_caches_and_pools();
	hkm_malloc_trim(0);
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++)
		require(spans_of(hkm_ace_static_size(class)).spans == 0, "class %u: spans are left", class);
}

ISOLATED(caches_grow_where_they_are_missed_and_shrink_where_they_are_not_used)
{
	size_t size = 130000;
	struct hkm_cache *cache;

	start();
	cache = &heap->caches[hkm_ace_class(size)];
	cache->capacity = 0;
	policy.cache_start = 0;
	policy.cache_blocks[hkm_ace_class(size)] = 4;
	impose(heap, &policy);
	take_many(size, 12);
	hkm_free(many[0]);
	require(cache->count == 0 && cache->capacity == 0, "%u blocks are cached unasked", cache->count);
	many[0] = hkm_malloc(size); /* a miss of what found no room */
	require(cache->capacity == 1, "capacity %u", cache->capacity);
	for (uint32_t expected = 2; expected <= 4; expected *= 2) {
		for (size_t i = 0; i < 12; i++)
			hkm_free(many[i]);
		take_many(size, 12);
		require(cache->capacity == expected, "capacity %u, not %u", cache->capacity, expected);
	}
	for (size_t i = 0; i < 12; i++)
		hkm_free(many[i]);
	require(cache->count > 0 && cache->count <= 4, "%u blocks are cached", cache->count);
	hkm_heap_enter(heap);
	hkm_ace_decay(heap, &policy);
	hkm_ace_decay(heap, &policy);
	hkm_heap_leave(heap);
	require(cache->count == 0 && cache->capacity <= 2, "%u blocks, capacity %u after a rest", cache->count,
		cache->capacity);
}

/* Each is a span of its own, so what is not needed is much. */
ISOLATED(fresh_large_blocks_come_in_small_bundles)
{
	const size_t size = 65536, most = (256 << 10) / size;
	struct hkm_cache *cache;

	start();
	policy.cache_bytes = 64 << 20;
	policy.cache_blocks[hkm_ace_class(size)] = HKM_LARGE_SLOTS;
	impose(heap, &policy);
	cache = &heap->caches[hkm_ace_class(size)];
	require(1 + cache->capacity / 2 > most, "capacity %u", cache->capacity);
	take(size, (uint32_t)size);
	require(cache->count > 0 && cache->count + 1 <= most, "%u fresh blocks in a bundle", cache->count + 1);
}

/* The mark of a span that has gone must not lead a block that lies there later into a cache. */
ISOLATED(a_span_that_has_gone_leaves_no_mark)
{
	const size_t size = 20480;
	void *aligned[8];

	start();
	take_many(size, 64);
	free_many(64);
	flush();
	hkm_pool_release_idle(true);
	require(spans_of((uint32_t)size).spans == 0, "spans are left");
	for (size_t i = 0; i < 8; i++)
		aligned[i] = hkm_aligned_alloc(2 * HKM_SLICE_SIZE, 100000);
	for (size_t i = 0; i < 8; i++)
		hkm_free(aligned[i]);
	require(sum_spans(HKM_KIND_ALIGNED, class_size(100000)).spans == 0, "an aligned block went into a cache");
}

/* In debug builds the checks of flush see it, too. */
ISOLATED(what_a_cache_has_given_was_not_there_all_the_time)
{
	struct hkm_cache *cache;

	start();
	hkm_free(hkm_malloc(130000));
	cache = &heap->caches[hkm_ace_class(130000)];
	hkm_ace_decay(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
	require(cache->count > 0 && cache->lowest == cache->count, "%u of %u", cache->lowest, cache->count);
	hkm_ace_flush(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
	require(cache->lowest == 0, "%u blocks were there all the time, and none is", cache->lowest);
}

static void *share_the_limit(void *argument)
{
	struct hkm_heap *own = quiet_heap();

	hkm_ace_set_limit(own, hkm_heap_enter(own));
	hkm_heap_leave(own);
	*(size_t *)argument = own->cache_limit;
	return NULL;
}

ISOLATED(threads_share_the_limit_of_what_is_cached)
{
	pthread_t thread;
	size_t limit = 0;

	start();
	policy.cache_bytes = 8 << 20;
	policy.cache_share = 0;
	impose(heap, &policy);
	hkm_ace_set_limit(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
	require(heap->cache_limit == 8 << 20, "the only thread may cache %zu bytes", heap->cache_limit);
	require(pthread_create(&thread, NULL, share_the_limit, &limit) == 0, "no thread");
	pthread_join(thread, NULL);
	require(limit == 4 << 20, "the second of two threads may cache %zu bytes", limit);
}

ISOLATED(a_heap_copied_in_between_counts_right_again)
{
	ptrdiff_t room;

	start();
	hkm_free(hkm_malloc(130000));
	hkm_free(hkm_malloc(5000));
	room = heap->cache_room;
	heap->cache_room -= 5120; /* as if the copy had been made between the two changes of a free */
	hkm_ace_repair(heap);
	require(heap->cache_room == room, "room %td instead of %td", heap->cache_room, room);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_static_class_serves_its_sizes),
		cmocka_unit_test(aligned_blocks_are_aligned),
		cmocka_unit_test(blocks_of_high_alignment_come_from_the_window),
		cmocka_unit_test(a_block_of_high_alignment_is_resized_where_it_lies),
		cmocka_unit_test(a_cached_larger_block_serves_within_wmax),
		cmocka_unit_test(the_smallest_cached_block_serves),
		cmocka_unit_test(dynamic_classes_serve_their_sizes_exactly),
		cmocka_unit_test(a_dynamic_class_takes_no_block_of_another),
		cmocka_unit_test(spans_of_a_dynamic_class_waste_least),
		cmocka_unit_test(blocks_of_a_retired_size_live_on),
		cmocka_unit_test(caches_hold_no_more_than_their_capacity),
		cmocka_unit_test(all_caches_together_hold_no_more_than_the_policy_says),
		cmocka_unit_test(hits_and_misses_are_counted),
		cmocka_unit_test(pools_keep_as_many_empty_spans_as_the_policy_says),
		cmocka_unit_test(the_budget_is_for_all_classes_together),
		cmocka_unit_test(idle_spans_go_and_used_ones_stay),
		cmocka_unit_test(a_span_that_went_and_is_made_again_is_a_ghost_hit),
		cmocka_unit_test(ghosts_of_an_idle_pool_are_forgotten),
		cmocka_unit_test(what_the_budget_does_not_allow_is_no_ghost),
		cmocka_unit_test(hits_and_ghost_hits_are_what_other_pools_would_have_made),
		cmocka_unit_test(an_empty_span_among_others_with_room_serves_nothing),
		cmocka_unit_test(making_a_span_that_could_have_been_kept_is_timed),
		cmocka_unit_test(decay_returns_what_was_not_needed),
		cmocka_unit_test(spans_waste_little),
		cmocka_unit_test(every_span_counts_exactly),
		cmocka_unit_test(large_blocks_are_resized_in_place),
		cmocka_unit_test(cleared_blocks_are_zero_whatever_was_there),
		cmocka_unit_test(fresh_large_blocks_are_known_to_be_zero),
		cmocka_unit_test(a_block_in_a_shared_span_is_not_taken_for_a_fresh_one),
		cmocka_unit_test(only_the_head_of_a_span_says_whether_it_is_fresh),
		cmocka_unit_test(a_fresh_block_is_fresh_once),
		cmocka_unit_test(wrong_frees_end_the_process),
		cmocka_unit_test(wrong_frees_of_blocks_of_high_alignment_end_the_process),
		cmocka_unit_test(ignored_wrong_frees_change_nothing),
		cmocka_unit_test(a_block_in_two_caches_is_told_and_comes_home_once),
		cmocka_unit_test(any_thread_frees_any_block),
		cmocka_unit_test(caches_grow_where_they_are_missed_and_shrink_where_they_are_not_used),
		cmocka_unit_test(fresh_large_blocks_come_in_small_bundles),
		cmocka_unit_test(a_span_that_has_gone_leaves_no_mark),
		cmocka_unit_test(what_a_cache_has_given_was_not_there_all_the_time),
		cmocka_unit_test(threads_share_the_limit_of_what_is_cached),
		cmocka_unit_test(a_heap_copied_in_between_counts_right_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
