/* test_big.c - L2: the registry of blocks, the cache of freed ranges (best fit, surplus, joining, budget,
 * age), growth that moves pages and copies nothing.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "big/big.h"
#include "big/range.h"
#include "os/os.h"
#include "sites/samples.h"

#define PAGE ((size_t)4096)
#define SPACER (64 * KIB) /* the least that is cut off a range */

static struct hkm_policy policy;
static struct hkm_big_stats before, after;

/* ---- Other systems ------------------------------------------------------------------ */

static bool moves_to_no_fixed_place; /* Linux before 6.17, where what is moved is several mappings: the target goes */
static bool knows_no_wipe;	     /* Linux before 4.14 */
static bool unmaps_nothing;	     /* the process has as many mappings as it may */

void *__real_mremap(void *start, size_t old_size, size_t size, int flags, ...);
void *__wrap_mremap(void *start, size_t old_size, size_t size, int flags, ...);
void *__wrap_mremap(void *start, size_t old_size, size_t size, int flags, ...)
{
	va_list arguments;
	void *target = NULL;

	va_start(arguments, flags);
	if ((flags & MREMAP_FIXED) != 0)
		target = va_arg(arguments, void *);
	va_end(arguments);
	if (target != NULL && moves_to_no_fixed_place) {
		munmap(target, size);
		errno = EFAULT;
		return MAP_FAILED;
	}
	return __real_mremap(start, old_size, size, flags, target);
}

int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice)
{
	if (knows_no_wipe && (advice == MADV_WIPEONFORK || advice == MADV_KEEPONFORK)) {
		errno = EINVAL;
		return -1;
	}
	return __real_madvise(start, size, advice);
}

int __real_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size)
{
	if (unmaps_nothing) {
		errno = ENOMEM;
		return -1;
	}
	return __real_munmap(start, size);
}

/* The functions take any policy that the caller holds. */
static void start(void)
{
	quiet_heap();
	hkm_policy_copy(&policy);
	policy.big_surplus = 1250;
	policy.big_cache_bytes = 1 * GIB;
	policy.thp_threshold = 0;
}

static size_t usable(const void *block)
{
	return hkm_big_usable(block);
}

static unsigned char *take(size_t size)
{
	bool zeroed;
	unsigned char *block = hkm_big_alloc(&policy, size, PAGE, &zeroed);

	require(block != NULL, "no memory");
	require(usable(block) >= size, "%zu bytes of %zu", usable(block), size);
	if (zeroed)
		require(all_bytes_are(block, size, 0), "zeroed, but it is not");
	return block;
}

static void give(void *block)
{
	require(hkm_big_free(&policy, block), "%p is not a block", block);
	if (hkm_big_cached() < 200 * MIB)
		hkm_big_check();
}

/* Takes a block between two that stay, so that no neighbour joins it when it is free: cuts all three out
 * of one, while nothing is kept. */
static unsigned char *take_apart(size_t size)
{
	uint32_t surplus = policy.big_surplus;
	unsigned char *whole = take(size + 2 * SPACER), *block;

	require(hkm_big_cached() == 0, "something is kept");
	give(whole);
	policy.big_surplus = 1000;
	require(take(SPACER) == whole, "not cut from the start");
	block = take(size);
	require(take(SPACER) == block + size && block == whole + SPACER, "not cut side by side");
	policy.big_surplus = surplus;
	return block;
}

ISOLATED(blocks_are_known_while_they_live)
{
	unsigned char *block, *other;

	start();
	hkm_big_stats(&before);
	block = take(3 * MIB + 1);
	other = take(5 * MIB);
	require(usable(block) == 3 * MIB + PAGE, "%zu bytes", usable(block));
	require(usable(block + PAGE) == 0 && usable(block + 16) == 0, "an inner pointer is a block");
	require(!hkm_big_free(&policy, block + PAGE) && !hkm_big_free(&policy, &policy), "freed what is none");
	require(!hkm_big_was_freed(block), "freed before its time");
	hkm_big_stats(&after);
	require(after.mappings == before.mappings + 2 &&
		after.live_bytes == before.live_bytes + 8 * MIB + PAGE, "%zu bytes live", after.live_bytes);
	give(block);
	require(hkm_big_was_freed(block) && usable(block) == 0, "not freed");
	require(!hkm_big_free(&policy, block), "freed twice");
	require(usable(other) == 5 * MIB, "another block is gone");
	require(hkm_big_usable_at_once(other) == 5 * MIB, "not told at once");
	hkm_lock_acquire(&hkm_big_lock);
	require(hkm_big_usable_at_once(other) == 0, "waited for a lock that is held");
	hkm_lock_release(&hkm_big_lock);
	give(other);
	hkm_big_stats(&after);
	require(after.mappings == before.mappings && after.live_bytes == before.live_bytes, "%zu blocks live",
		after.mappings);
	require(after.cached_bytes == 8 * MIB + PAGE && hkm_big_cached() == after.cached_bytes, "%zu bytes cached",
		after.cached_bytes);
}

ISOLATED(many_blocks_are_told_apart)
{
	static unsigned char *blocks[3000];
	const size_t count = sizeof blocks / sizeof blocks[0];

	start();
	policy.big_cache_bytes = 0;
	for (size_t i = 0; i < count; i++) {
		blocks[i] = take(PAGE + i % 7 * PAGE);
		blocks[i][0] = (unsigned char)i;
	}
	/* In another order. */
	for (size_t i = 0; i < count; i++) {
		size_t at = i * 1009 % count;

		require(blocks[at][0] == (unsigned char)at && usable(blocks[at]) == PAGE + at % 7 * PAGE,
			"block %zu", at);
		give(blocks[at]);
	}
	hkm_big_stats(&after);
	require(after.mappings == 0 && after.cached_mappings == 0, "%zu blocks live", after.mappings);
}

/* Keeps a range of `kept` bytes, requests `size`; result: the size of the block, which the range must
 * serve. */
static size_t served_with(uint32_t surplus, size_t kept, size_t size)
{
	unsigned char *first, *second;
	size_t got;

	policy.big_surplus = surplus;
	hkm_big_purge(UINT64_MAX, 0);
	first = take_apart(kept);
	give(first);
	hkm_big_stats(&before);
	second = take(size);
	hkm_big_stats(&after);
	require(second == first && after.hits == before.hits + 1 && after.misses == before.misses, "no hit");
	got = usable(second);
	require(hkm_big_cached() == kept - got, "%zu bytes are cached", hkm_big_cached());
	give(second);
	require(hkm_big_cached() == kept, "%zu bytes are cached in the end", hkm_big_cached());
	hkm_big_stats(&after);
	require(after.cached_mappings == 1, "the parts are not joined");
	return got;
}

ISOLATED(a_kept_range_serves_with_the_surplus_or_cut)
{
	start();
	require(served_with(1000, 4 * MIB, 4 * MIB) == 4 * MIB, "the same size");
	require(served_with(1000, 5 * MIB, 4 * MIB) == 4 * MIB, "a surplus, though none is allowed");
	require(served_with(1250, 5 * MIB, 4 * MIB + PAGE) == 5 * MIB, "cut, though within a quarter");
	require(served_with(1250, 5 * MIB, 4 * MIB - 2 * PAGE) == 4 * MIB - 2 * PAGE, "beyond a quarter");
	require(served_with(4000, 16 * MIB, 4 * MIB + PAGE) == 16 * MIB, "cut, though within four times");
	require(served_with(4000, 17 * MIB, 4 * MIB) == 4 * MIB, "beyond four times");
	/* A rest of less than 64 KiB is not worth a range of its own. */
	require(served_with(1000, 4 * MIB + 60 * KIB, 4 * MIB) == 4 * MIB + 60 * KIB, "cut for a small rest");
}

ISOLATED(the_smallest_kept_range_that_fits_serves)
{
	unsigned char *blocks[6];
	static const size_t sizes[6] = { 9 * MIB, 5 * MIB, 6 * MIB, 5 * MIB + 2 * PAGE, 4 * MIB, 5 * MIB + PAGE };

	start();
	policy.big_surplus = 4000;
	for (size_t i = 0; i < 6; i++)
		blocks[i] = take_apart(sizes[i]);
	for (size_t i = 0; i < 6; i++)
		give(blocks[i]);
	require(take(4 * MIB + PAGE) == blocks[1], "not 5 MiB");
	require(take(5 * MIB) == blocks[5], "not 5 MiB + 4 KiB");
	require(take(5 * MIB) == blocks[3], "not 5 MiB + 8 KiB");
	require(take(5 * MIB) == blocks[2], "not 6 MiB");
	require(take(5 * MIB) == blocks[0], "not 9 MiB");
}

ISOLATED(neighbours_are_joined_in_any_order)
{
	static const unsigned orders[6][3] = {
		{ 0, 1, 2 }, { 0, 2, 1 }, { 1, 0, 2 }, { 1, 2, 0 }, { 2, 0, 1 }, { 2, 1, 0 },
	};

	start();
	policy.big_surplus = 1000;
	for (size_t i = 0; i < 6; i++) {
		/* One range cut into three blocks. */
		unsigned char *whole = take_apart(9 * MIB), *parts[3];

		fill_pattern(whole, 9 * MIB, i);
		give(whole);
		for (size_t part = 0; part < 3; part++) {
			parts[part] = take(3 * MIB);
			require(parts[part] == whole + part * 3 * MIB, "the range is not cut from its start");
		}
		require(hkm_big_cached() == 0, "%zu bytes are cached", hkm_big_cached());
		require(pattern_holds(whole, 9 * MIB, 9 * MIB, i), "cutting touched the contents");
		for (size_t part = 0; part < 3; part++)
			give(parts[orders[i][part]]);
		hkm_big_stats(&after);
		require(after.cached_mappings == 1 && after.cached_bytes == 9 * MIB, "%zu ranges of %zu bytes",
			after.cached_mappings, after.cached_bytes);
		require(take(9 * MIB) == whole, "not the whole");
		give(whole);
		hkm_big_purge(UINT64_MAX, 0);
	}
}

ISOLATED(reused_memory_is_not_said_to_be_zero)
{
	unsigned char *block;
	bool zeroed = false;

	start();
	take(PAGE);
	block = hkm_big_alloc(&policy, 3 * MIB, PAGE, &zeroed);
	take(PAGE);
	require(zeroed && all_bytes_are(block, 3 * MIB, 0), "fresh memory is not said to be zero");
	memset(block, 1, 3 * MIB);
	give(block);
	require(hkm_big_alloc(&policy, 3 * MIB, PAGE, &zeroed) == block && !zeroed, "not reused as it was");
	give(block);
	/* And through the interface. */
	block = hkm_calloc(3, MIB);
	require(all_bytes_are(block, 3 * MIB, 0), "cleared memory is not zero");
	hkm_free(block);
}

ISOLATED(a_kept_range_that_is_too_small_grows)
{
	unsigned char *block;
	bool zeroed = true;

	start();
	block = take_apart(3 * MIB);
	memset(block, 1, 3 * MIB);
	give(block);
	hkm_big_stats(&before);
	block = hkm_big_alloc(&policy, 20 * MIB, PAGE, &zeroed);
	hkm_big_stats(&after);
	require(after.remaps == before.remaps + 1 && after.cached_bytes == 0, "%zu bytes are cached",
		after.cached_bytes);
	require(usable(block) == 20 * MIB, "%zu bytes", usable(block));
	require(!zeroed, "used memory is said to be zero");
	memset(block, 2, 20 * MIB);
	give(block);
}

ISOLATED(resizing_keeps_contents_and_copies_nothing)
{
	unsigned char *block, *obstacle;
	static const size_t sizes[] = { 20 * MIB, 21 * MIB, 100 * MIB, 50 * MIB, 5 * MIB + 1, 2 * MIB, 64 * MIB };
	size_t size = 3 * MIB;

	start();
	block = take(size);
	fill_pattern(block, size, 1);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		size_t kept = hkm_min(size, sizes[i]);
		unsigned char *moved;

		obstacle = take(4 * MIB);
		hkm_big_stats(&before);
		moved = hkm_big_resize(&policy, block, sizes[i]);
		require(moved != NULL, "no memory");
		require(pattern_holds(moved, size, kept, 1), "contents lost at %zu bytes", sizes[i]);
		require(usable(moved) == hkm_align_up(sizes[i], PAGE), "%zu bytes", usable(moved));
		require(moved == block || usable(block) == 0, "the old address is still a block");
		hkm_big_stats(&after);
		require(after.mappings == before.mappings && after.live_bytes ==
			before.live_bytes - hkm_align_up(size, PAGE) + hkm_align_up(sizes[i], PAGE), "%zu bytes live",
			after.live_bytes);
		block = moved;
		size = hkm_align_up(sizes[i], PAGE);
		fill_pattern(block, size, 1);
		give(obstacle);
	}
	give(block);
	require(hkm_big_resize(&policy, block, 2 * MIB) == NULL, "a freed block was resized");
}

ISOLATED(a_block_grows_into_what_is_kept_behind_it)
{
	unsigned char *block;

	start();
	policy.big_surplus = 1000;
	give(take_apart(9 * MIB));
	block = take(3 * MIB);
	fill_pattern(block, 3 * MIB, 1);
	hkm_big_stats(&before);
	require(hkm_big_resize(&policy, block, 7 * MIB) == block, "moved without need");
	hkm_big_stats(&after);
	require(usable(block) == 7 * MIB && after.cached_bytes == 2 * MIB, "%zu bytes, %zu cached", usable(block),
		after.cached_bytes);
	require(hkm_big_resize(&policy, block, 2 * MIB) == block && hkm_big_cached() == 7 * MIB, "%zu bytes cached",
		hkm_big_cached());
	require(pattern_holds(block, 3 * MIB, 2 * MIB, 1), "contents lost");
	require(hkm_big_was_freed(block + 2 * MIB) && !hkm_big_was_freed(block), "the wrong part is free");
	give(block);
	hkm_big_stats(&after);
	require(after.cached_mappings == 1 && after.cached_bytes == 9 * MIB, "not joined");
}

ISOLATED(a_block_is_moved_if_what_is_kept_behind_it_is_too_little)
{
	unsigned char *block;

	start();
	policy.big_surplus = 1000;
	give(take_apart(9 * MIB));
	block = take(3 * MIB);
	fill_pattern(block, 3 * MIB, 1);
	block = hkm_big_resize(&policy, block, 20 * MIB);
	require(block != NULL && usable(block) == 20 * MIB && pattern_holds(block, 3 * MIB, 3 * MIB, 1), "%zu bytes", usable(block));
}

ISOLATED(realloc_moves_pages)
{
	unsigned char *block, *moved;

	start();
	block = hkm_malloc(4 * MIB);
	fill_pattern(block, 4 * MIB, 3);
	moved = hkm_realloc(block, 40 * MIB);
	require(pattern_holds(moved, 4 * MIB, 4 * MIB, 3) && hkm_malloc_usable_size(moved) == 40 * MIB, "grown");
	moved = hkm_realloc(moved, 3 * MIB);
	require(pattern_holds(moved, 4 * MIB, 3 * MIB, 3) && hkm_malloc_usable_size(moved) == 3 * MIB, "shrunk");
	/* Out of L2, and back. */
	fill_pattern(moved, 3 * MIB, 4);
	moved = hkm_realloc(moved, 200);
	require(pattern_holds(moved, 3 * MIB, 200, 4) && hkm_malloc_usable_size(moved) < 300, "made tiny");
	moved = hkm_realloc(moved, 3 * MIB);
	require(pattern_holds(moved, 3 * MIB, 200, 4), "made big");
	hkm_free(moved);
}

ISOLATED(the_cache_keeps_to_its_budget)
{
	unsigned char *blocks[6], *page, *last;

	start();
	page = take_apart(PAGE);
	last = take_apart(2 * MIB);
	for (size_t i = 0; i < 6; i++)
		blocks[i] = take_apart(4 * MIB);
	policy.big_cache_bytes = 12 * MIB;
	for (size_t i = 0; i < 6; i++) {
		give(blocks[i]);
		require(hkm_big_cached() == hkm_min(i + 1, 3) * 4 * MIB, "%zu bytes are cached", hkm_big_cached());
	}
	for (size_t i = 0; i < 6; i++)
		require(hkm_big_was_freed(blocks[i]) == (i >= 3), "block %zu: not the oldest went", i);
	/* Of a range that is too much, only as much goes. */
	policy.big_cache_bytes = 11 * MIB;
	give(page);
	require(hkm_big_cached() <= 11 * MIB && hkm_big_cached() >= 11 * MIB - 64 * KIB, "%zu bytes are cached",
		hkm_big_cached());
	policy.big_cache_bytes = 0;
	give(last);
	require(hkm_big_cached() == 0, "%zu bytes are cached", hkm_big_cached());
}

ISOLATED(fresh_mappings_displace_kept_ones)
{
	unsigned char *blocks[4], *fresh;
	bool zeroed;

	start();
	for (size_t i = 0; i < 4; i++)
		blocks[i] = take_apart(16 * MIB);
	for (size_t i = 0; i < 4; i++)
		give(blocks[i]);
	/* None fits, and an aligned one cannot be grown: as much of the oldest goes as is mapped. */
	fresh = hkm_big_alloc(&policy, 20 * MIB, 2 * MIB, &zeroed);
	require(zeroed && all_bytes_are(fresh, 20 * MIB, 0), "not fresh");
	require(hkm_big_cached() == 44 * MIB, "%zu bytes are cached", hkm_big_cached());
	require(!hkm_big_was_freed(blocks[0]) && hkm_big_was_freed(blocks[2]) && hkm_big_was_freed(blocks[3]),
		"not the oldest went");
}

/* So that blocks of changing sizes find a fit. */
ISOLATED(fresh_mappings_leave_a_quarter_of_what_is_live)
{
	unsigned char *kept;
	bool zeroed;

	start();
	take(40 * MIB);
	kept = take(8 * MIB);
	take(PAGE);
	give(kept);
	/* What is aligned is not grown out of what is kept. */
	require(hkm_big_alloc(&policy, 64 * MIB, 2 * MIB, &zeroed) != NULL && zeroed, "not a fresh mapping");
	require(hkm_big_cached() >= 8 * MIB, "%zu bytes are kept", hkm_big_cached());
}

#ifndef HAKMEM_TEST_SANITIZED /* which needs addresses without limit */
static void leave_addresses(size_t bytes)
{
	const struct rlimit limit = { virtual_bytes() + bytes, RLIM_INFINITY };

	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

ISOLATED(all_that_is_kept_goes_before_a_request_fails)
{
	unsigned char *kept;
	bool zeroed;

	start();
	leave_addresses(200 * MIB);
	kept = take(100 * MIB);
	give(kept);
	require(hkm_big_cached() >= 100 * MIB, "%zu bytes are kept", hkm_big_cached());
	/* What is aligned is not grown out of what is kept. */
	require(hkm_big_alloc(&policy, 150 * MIB, 2 * MIB, &zeroed) != NULL, "refused, and %zu bytes are kept", hkm_big_cached());
}

ISOLATED(half_of_what_there_was_at_a_refusal_is_left_to_others)
{
	unsigned char *blocks[32];
	size_t count = 0;
	bool zeroed;

	start();
	leave_addresses(200 * MIB);
	while (count < 32 && (blocks[count] = hkm_big_alloc(&policy, 16 * MIB, PAGE, &zeroed)) != NULL)
		count++;
	require(count >= 4 && count < 32, "%zu blocks", count);
	for (size_t i = 0; i < count; i++)
		hkm_big_free(&policy, blocks[i]);
	require(hkm_big_cached() > 0 && hkm_big_cached() <= count * 8 * MIB, "%zu bytes of %zu blocks are kept", hkm_big_cached(), count);
}
#endif

ISOLATED(purging_takes_the_old_by_age)
{
	unsigned char *old, *young;
	uint64_t between;
	size_t purged;

	start();
	old = take_apart(6 * MIB);
	young = take_apart(3 * MIB);
	give(old);
	between = next_tick_of_clock(hkm_os_now_ms);
	give(young);
	require(hkm_big_purge(0, SIZE_MAX) == 0, "purged before its time");
	hkm_big_stats(&before);
	purged = hkm_big_purge(between, SIZE_MAX);
	hkm_big_stats(&after);
	require(purged == 6 * MIB && after.purged_bytes == before.purged_bytes + 6 * MIB, "%zu bytes", purged);
	require(!hkm_big_was_freed(old) && hkm_big_was_freed(young), "not the old one went");
	require(hkm_big_purge(between, SIZE_MAX) == 0, "the young one went");
	require(hkm_big_purge(UINT64_MAX, SIZE_MAX) == 3 * MIB && hkm_big_cached() == 0, "something stays");
}

/* Others of their age wait for the next. */
ISOLATED(a_tick_gives_back_so_many_ranges_only)
{
	static unsigned char *blocks[800];

	start();
	policy.big_surplus = 1000;
	for (size_t i = 0; i < 800; i++)
		blocks[i] = take(SPACER);
	for (size_t i = 0; i < 800; i += 2)
		hkm_big_free(&policy, blocks[i]);
	hkm_big_stats(&before);
	require(before.cached_mappings > 300, "%zu ranges", (size_t)before.cached_mappings);
	hkm_big_purge(next_tick_of_clock(hkm_os_now_ms), SIZE_MAX);
	hkm_big_stats(&after);
	require(after.cached_mappings < before.cached_mappings && after.cached_mappings >= before.cached_mappings - 200,
		"of %zu ranges %zu are left", (size_t)before.cached_mappings, (size_t)after.cached_mappings);
}

/* Though a block that comes and goes beside it makes all of it young again. */
ISOLATED(what_nobody_has_needed_for_long_goes)
{
	unsigned char *block;

	start();
	hkm_regret_set_delay(1);
	give(take_apart(20 * MIB));
	for (unsigned period = 0; period < 4; period++) {
		uint64_t since = hkm_os_now_ms();

		do {
			block = take(1 * MIB);
			give(block);
		} while (hkm_os_now_ms() - since < 300);
		hkm_big_purge(1, SIZE_MAX);
	}
	require(hkm_big_cached() <= 4 * MIB, "%zu bytes are kept", hkm_big_cached());
}

ISOLATED(purging_by_amount_takes_the_oldest)
{
	static unsigned char *blocks[100];

	start();
	for (size_t i = 0; i < 100; i++)
		blocks[i] = take_apart(MIB);
	for (size_t i = 0; i < 100; i++)
		give(blocks[i]);
	require(hkm_big_purge(0, 100 * MIB) == 0, "purged without need");
	require(hkm_big_purge(0, 30 * MIB) == 70 * MIB && hkm_big_cached() == 30 * MIB, "%zu bytes are cached",
		hkm_big_cached());
	require(!hkm_big_was_freed(blocks[69]) && hkm_big_was_freed(blocks[70]), "not the oldest went");
	require(hkm_big_purge(0, 0) == 30 * MIB, "something stays");
}

ISOLATED(a_range_purged_in_part_stays_the_oldest)
{
	unsigned char *old, *young;
	uint64_t between;

	start();
	old = take_apart(8 * MIB);
	young = take_apart(8 * MIB);
	give(old);
	between = next_tick_of_clock(hkm_os_now_ms);
	give(young);
	require(hkm_big_purge(0, 13 * MIB) == 3 * MIB, "not as much as asked for");
	require(!hkm_big_was_freed(old) && hkm_big_was_freed(young), "not from the oldest");
	/* The rest is as old as the whole was. */
	require(hkm_big_purge(between, SIZE_MAX) == 5 * MIB, "the rest has become young");
	require(hkm_big_was_freed(young) && hkm_big_cached() == 8 * MIB, "the young one went");
}

ISOLATED(blocks_are_aligned_fresh_and_reused)
{
	start();
	for (size_t alignment = PAGE; alignment <= GIB; alignment *= 8) {
		unsigned char *blocks[3];
		bool zeroed;

		for (size_t round = 0; round < 3; round++) {
			for (size_t i = 0; i < 3; i++) {
				blocks[i] = hkm_big_alloc(&policy, 2 * MIB + PAGE, alignment, &zeroed);
				require(is_aligned(blocks[i], alignment), "%p", (void *)blocks[i]);
				blocks[i][2 * MIB] = 1;
			}
			for (size_t i = 0; i < 3; i++)
				give(blocks[i]);
		}
	}
	hkm_big_stats(&after);
	require(after.hits > 0, "nothing was reused");
}

ISOLATED(huge_pages_are_asked_for_at_their_boundaries)
{
	unsigned char *block;

	start();
	policy.thp_threshold = 4 * MIB;
	for (size_t i = 0; i < 4; i++) {
		block = take(4 * MIB + i * PAGE);
		require(is_aligned(block, 2 * MIB), "%p", (void *)block);
		memset(block, 1, 4 * MIB);
		give(block);
		hkm_big_purge(UINT64_MAX, 0);
		take(2 * MIB + PAGE); /* shifts what comes next */
	}
}

/* ---- Walks ------------------------------------------------------------------------ */

/* With so many ranges no call may look at more than a few of them; counted in the debug build. */
#ifdef HAKMEM_TEST_SANITIZED /* ThreadSanitizer has a mapping of its own for each */
#define MANY 6000
#else
#define MANY 30000
#endif
#define MOST_STEPS 1000 /* the trees are about 40 deep, and a call goes down some of them: 640 were seen */

static uint64_t most_steps;

static void note_steps(void)
{
	static uint64_t last;

	most_steps = hkm_max(most_steps, hkm_ranges_steps - last);
	last = hkm_ranges_steps;
}

ISOLATED(no_call_walks_over_the_ranges)
{
	static unsigned char *blocks[2 * MANY];
	size_t dirty;

	start();
	policy.big_surplus = 1000;
	policy.big_cache_bytes = 16 * GIB;
	for (size_t i = 0; i < 2 * MANY; i++)
		blocks[i] = hkm_big_alloc_hinted(&policy, 64 * KIB + i % 16 * PAGE, PAGE, 0, &dirty);
	hkm_big_check();
	hkm_ranges_steps = 0;
	note_steps();
	most_steps = 0;
	/* Every other one, so that none is joined, and in an order that is not theirs. */
	for (size_t i = 0; i < MANY; i++) {
		hkm_big_free(&policy, blocks[i * 7919 % MANY * 2]);
		note_steps();
	}
	hkm_big_stats(&after);
	require(after.cached_mappings > MANY * 9 / 10, "only %zu are kept", after.cached_mappings);
	for (size_t i = 0; i < 1000; i++) {
		unsigned char *block = hkm_big_alloc_hinted(&policy, PAGE + i % 30 * PAGE, i % 3 == 0 ? 256 * KIB : PAGE,
							     0, &dirty);

		note_steps();
		hkm_big_was_freed(blocks[i * 8 + 2048] + PAGE);
		note_steps();
		require(block != NULL && hkm_big_resize(&policy, block, PAGE + i % 7 * 20 * PAGE) != NULL, "no memory");
		note_steps();
	}
	hkm_big_purge(0, hkm_big_cached() - 64 * KIB);
	note_steps();
	hkm_big_check();
	require(most_steps <= MOST_STEPS, "%llu steps", (unsigned long long)most_steps);
	if (HAKMEM_DEBUG)
		require(most_steps > 10, "steps are not counted");
}

/* Random calls, the validator after every one. */
ISOLATED(the_structures_hold_after_every_call)
{
	struct random_source random = { 11 };
	unsigned char *blocks[40] = { 0 };
	size_t dirty;

	start();
	policy.big_surplus = 1000;
	policy.big_cache_bytes = 20 * MIB;
	for (size_t i = 0; i < 4000; i++) {
		size_t at = random_between(&random, 0, 39), size = random_between(&random, 1, 2 * MIB);
		size_t alignment = i % 5 == 0 ? PAGE << random_between(&random, 0, 8) : PAGE;

		if (blocks[at] != NULL && i % 3 == 0) {
			unsigned char *moved = hkm_big_resize(&policy, blocks[at], size);

			blocks[at] = moved != NULL ? moved : blocks[at];
		} else if (blocks[at] != NULL) {
			require(hkm_big_free(&policy, blocks[at]), "lost");
			blocks[at] = NULL;
		} else {
			blocks[at] = hkm_big_alloc_hinted(&policy, size, alignment, 0, &dirty);
			require(is_aligned(blocks[at], alignment) && usable(blocks[at]) >= size, "%p", (void *)blocks[at]);
			require(hkm_os_reads_as_zero(blocks[at] + dirty, usable(blocks[at]) - dirty), "not zero");
			memset(blocks[at], 1, size);
		}
		if (i % 100 == 99)
			hkm_big_purge(0, random_between(&random, 0, 20) * MIB);
		hkm_big_check();
		require(hkm_big_cached() <= policy.big_cache_bytes, "%zu bytes are kept", hkm_big_cached());
	}
}

ISOLATED(a_request_that_must_fail_leaves_the_cache_alone)
{
	size_t dirty;

	start();
	give(take_apart(16 * MIB));
	for (size_t size = (size_t)1 << 46; size != 0; size *= 2) /* from 64 TiB on */
		for (size_t alignment = PAGE; alignment <= 2 * MIB; alignment *= 512) {
			require(hkm_big_alloc_hinted(&policy, size, alignment, 0, &dirty) == NULL, "%zu bytes", size);
			require(hkm_big_cached() == 16 * MIB, "%zu bytes are cached", hkm_big_cached());
		}
}

/* ---- What is zero ------------------------------------------------------------------ */

static size_t resident_growth(size_t from)
{
	size_t now = resident_bytes();

	return now > from ? now - from : 0;
}

ISOLATED(only_what_was_used_is_dirty)
{
	unsigned char *block;
	size_t dirty, resident;

	start();
	block = take_apart(2 * MIB);
	memset(block, 1, 2 * MIB);
	give(block);
	block = hkm_big_alloc_hinted(&policy, 300 * MIB, PAGE, 0, &dirty);
	require(dirty == 2 * MIB, "%zu bytes are said to be dirty", dirty);
	require(hkm_os_reads_as_zero(block + dirty, 300 * MIB - dirty), "not zero");
	give(block);
	hkm_big_purge(UINT64_MAX, 0);

	/* And through the interface: nothing is made resident for being cleared. */
	block = hkm_malloc(2 * MIB);
	memset(block, 1, 2 * MIB);
	hkm_free(block);
	resident = resident_bytes();
	block = hkm_calloc(1, 300 * MIB);
	require(resident_growth(resident) < 16 * MIB, "%zu bytes have become resident", resident_growth(resident));
	require(hkm_os_reads_as_zero(block, 300 * MIB), "not zero");
	/* The same range again, hardly any of which is there. */
	memset(block + 50 * MIB, 1, 5 * MIB);
	hkm_free(block);
	block = hkm_calloc(1, 300 * MIB - 5);
	require(resident_growth(resident) < 32 * MIB, "%zu bytes have become resident", resident_growth(resident));
	require(hkm_os_reads_as_zero(block, 300 * MIB - 5), "not zero");
}

ISOLATED(clearing_keeps_what_is_resident)
{
	unsigned char *pages = map_pages(8 * MIB);

	memset(pages, 1, 6 * MIB);
	hkm_os_clear(pages, 8 * MIB - 100);
	require(hkm_os_resident(pages, 8 * MIB) >= 6 * MIB && all_bytes_are(pages, 8 * MIB - 100, 0), "whole pieces");
	memset(pages, 1, 8 * MIB);
	hkm_os_clear(pages, 100);
	require(all_bytes_are(pages, 100, 0) && pages[100] == 1, "less than a page");
	hkm_os_clear(pages, 3 * MIB + 100);
	require(all_bytes_are(pages, 3 * MIB + 100, 0) && pages[3 * MIB + 100] == 1, "an odd number");
	require(mlock(pages, PAGE) != 0 || (hkm_os_clear(pages, 8 * MIB), all_bytes_are(pages, 8 * MIB, 0)), "locked");
	pages = map_pages(40 * MIB);
	pages[39 * MIB] = 1;
	hkm_os_clear(pages + 100, 40 * MIB - 200);
	require(hkm_os_resident(pages, 16 * MIB) <= 64 * KIB && pages[39 * MIB] == 0, "what nobody has touched is not made resident");
}

/* ---- What a program asks the system for in its blocks -------------------------------- */

static void move_blocks_of_several_mappings(void)
{
	static const size_t parts[] = { 8 * MIB, 3 * MIB, PAGE, 5 * MIB + PAGE };

	start();
	for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
		unsigned char *block = take(16 * MIB), *moved;

		fill_pattern(block, 16 * MIB, i);
		for (size_t at = 0; at < 16 * MIB; at += 2 * parts[i])
			madvise(block + at, hkm_min(parts[i], 16 * MIB - at), MADV_DONTDUMP);
		moved = hkm_big_resize(&policy, block, 40 * MIB);
		require(moved != NULL, "refused: %zu", parts[i]);
		require(pattern_holds(moved, 16 * MIB, 16 * MIB, i), "contents lost");
		memset(moved, 1, 40 * MIB);
		give(moved);
		/* One that is kept grows just so. */
		moved = take(60 * MIB);
		memset(moved, 2, 60 * MIB);
		give(moved);
		hkm_big_purge(UINT64_MAX, 0);
	}
}

ISOLATED(a_block_of_several_mappings_is_moved)
{
	move_blocks_of_several_mappings();
}

ISOLATED(a_block_of_several_mappings_is_moved_by_old_systems)
{
	moves_to_no_fixed_place = true;
	move_blocks_of_several_mappings();
}

/* ---- What the system does not unmap ------------------------------------------------------------------ */

/* All that is kept is empty, `ranges` of them, and takes no part in what is bounded; a block is found in it again. */
static void find_again(size_t ranges, size_t size, const void *start, size_t length)
{
	unsigned char *block;

	hkm_big_check();
	hkm_big_stats(&after);
	require(after.cached_bytes == 0, "%zu bytes are kept", after.cached_bytes);
	require(after.cached_mappings == ranges, "%zu ranges are kept", after.cached_mappings);
	require(hkm_big_purge(UINT64_MAX, 0) == 0, "given back twice");
	block = take(size);
	require((uintptr_t)block - (uintptr_t)start < length, "a range is forgotten");
	give(block);
	hkm_big_check();
}

ISOLATED(what_is_not_unmapped_is_kept_empty)
{
	unsigned char *blocks[40];

	start();
	for (size_t i = 0; i < 40; i++) {
		blocks[i] = take_apart(4 * MIB);
		memset(blocks[i], 1, 4 * MIB);
	}
	for (size_t i = 0; i < 40; i++)
		give(blocks[i]);
	unmaps_nothing = true;
	require(hkm_big_purge(UINT64_MAX, 0) == 160 * MIB, "not given back");
	for (size_t i = 0; i < 40; i++)
		require(hkm_os_resident(blocks[i], 4 * MIB) == 0, "range %zu stays resident", i);
	find_again(40, 4 * MIB, blocks[39], (uintptr_t)blocks[0] + 4 * MIB - (uintptr_t)blocks[39]);
	/* By age and by amount, too; one that is used counts again. */
	hkm_big_stats(&after);
	require(after.cached_bytes == 4 * MIB, "%zu bytes are kept", after.cached_bytes);
	require(hkm_big_purge(hkm_os_now_ms() + 1000, SIZE_MAX) == 4 * MIB, "not given back by age");
	unmaps_nothing = false;
	hkm_big_purge(UINT64_MAX, 0);
	hkm_big_stats(&after);
	require(after.cached_mappings == 0, "%zu ranges are left", after.cached_mappings);
	hkm_big_check();
}

ISOLATED(an_empty_range_is_one_with_its_neighbours)
{
	unsigned char *block, *again;

	start();
	block = take_apart(12 * MIB);
	memset(block, 1, 12 * MIB);
	require(hkm_big_resize(&policy, block, 8 * MIB) == block, "not shrunk");
	unmaps_nothing = true;
	hkm_big_purge(UINT64_MAX, 0);
	find_again(1, 4 * MIB, block + 8 * MIB, 4 * MIB);
	hkm_big_purge(UINT64_MAX, 0);
	give(block);
	hkm_big_stats(&after);
	require(after.cached_bytes == 12 * MIB && after.cached_mappings == 1, "%zu bytes are kept", after.cached_bytes);
	again = take(12 * MIB);
	require(again == block, "not joined");
	give(again);
	require(hkm_big_purge(0, 0) == 12 * MIB, "not given back");
	hkm_big_check();
}

/* It is the older one that is emptied, and it lies before or behind the one that stays. */
ISOLATED(what_is_emptied_beside_a_kept_range_counts_with_it)
{
	start();
	for (size_t i = 0; i < 2; i++) {
		unsigned char *first = take_apart(12 * MIB), *second;

		memset(first, 1, 12 * MIB);
		require(hkm_big_resize(&policy, first, 8 * MIB) == first, "not shrunk");
		second = take(4 * MIB);
		require(second == first + 8 * MIB, "not cut from what was left");
		give(i == 0 ? first : second);
		unmaps_nothing = true;
		hkm_big_purge(UINT64_MAX, 0);
		hkm_big_check();
		give(i == 0 ? second : first);
		/* Emptied in part, it counts as a whole still. */
		require(hkm_big_purge(0, 4 * MIB) == 8 * MIB, "not given back by amount");
		hkm_big_check();
		hkm_big_stats(&after);
		require(after.cached_bytes == 12 * MIB && after.cached_mappings == 1, "%zu bytes in %zu ranges are kept",
			after.cached_bytes, after.cached_mappings);
		unmaps_nothing = false;
		hkm_big_purge(UINT64_MAX, 0);
	}
}

ISOLATED(what_is_left_of_an_aligned_mapping_is_kept)
{
	bool zeroed;
	unsigned char *block;

	start();
	unmaps_nothing = true;
	block = hkm_big_alloc(&policy, 2 * MIB, 64 * MIB, &zeroed);
	require((uintptr_t)block % (64 * MIB) == 0 && zeroed, "no such block");
	hkm_big_stats(&after);
	find_again(after.cached_mappings, 30 * MIB, block - 64 * MIB, 130 * MIB);
}

ISOLATED(what_is_left_of_a_block_that_was_copied_is_kept)
{
	unsigned char *block, *moved;

	start();
	block = take_apart(16 * MIB);
	fill_pattern(block, 16 * MIB, 5);
	madvise(block + 4 * MIB, 4 * MIB, MADV_DONTDUMP);
	unmaps_nothing = true;
	moved = hkm_big_resize(&policy, block, 40 * MIB);
	require(moved != NULL && moved != block, "not moved");
	require(pattern_holds(moved, 16 * MIB, 16 * MIB, 5), "contents lost");
	require(hkm_os_resident(block, 16 * MIB) == 0, "resident twice");
	find_again(1, 16 * MIB, block, PAGE);
}

ISOLATED(what_the_program_changed_and_the_system_does_not_unmap_is_ordinary_again)
{
	FILE *file = tmpfile();
	unsigned char *block;

	start();
	block = take_apart(4 * MIB);
	require(file != NULL && ftruncate(fileno(file), (off_t)MIB) == 0, "no file");
	require(mmap(block + MIB, MIB, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fileno(file), 0) != MAP_FAILED, "mmap");
	unmaps_nothing = true;
	give(block);
	find_again(1, 4 * MIB, block, PAGE);
	memset(block, 1, 4 * MIB);
	require(fgetc(file) == 0, "the next owner writes into the file");
}

static void in_child_of(unsigned char *block, size_t size)
{
	int status = 0;
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0)
		_exit(all_bytes_are(block, size, 7) ? 0 : 1);
	require(waitpid(child, &status, 0) == child && status == 0, "a child finds status %x", (unsigned)status);
}

ISOLATED(the_next_owner_finds_ordinary_memory)
{
	unsigned char *block, *again;

	start();
	block = take_apart(8 * MIB);
	require(mprotect(block + MIB, MIB, PROT_NONE) == 0 && mprotect(block + 3 * MIB, PAGE, PROT_READ) == 0, "mprotect");
	require(madvise(block + 4 * MIB, MIB, MADV_DONTFORK) == 0, "DONTFORK");
	require(madvise(block + 6 * MIB, PAGE, MADV_WIPEONFORK) == 0, "WIPEONFORK");
	give(block);
	again = take(8 * MIB);
	require(again == block, "not kept");
	memset(again, 7, 8 * MIB);
	in_child_of(again, 8 * MIB);
	/* The same of what a block is shortened by. */
	require(mprotect(again + 3 * MIB, MIB, PROT_NONE) == 0, "mprotect");
	require(hkm_big_resize(&policy, again, 2 * MIB) == again, "not shrunk");
	again = take(6 * MIB);
	require(again == block + 2 * MIB, "not kept");
	memset(again, 7, 6 * MIB);
	/* What is not there any more is not kept. */
	require(munmap(again + MIB, PAGE) == 0, "munmap");
	give(again);
	require(hkm_big_cached() == 0, "kept with a hole in it");
}

/* Next owners would write into the file, and find its bytes where they are promised zeros. */
ISOLATED(what_a_program_maps_onto_its_block_ends_with_it)
{
	static const int kinds[] = { MAP_PRIVATE, MAP_SHARED, MAP_SHARED | MAP_ANONYMOUS };
	int file = memfd_create("file", MFD_CLOEXEC);
	unsigned char bytes[16 * PAGE];

	start();
	memset(bytes, 'F', sizeof bytes);
	for (size_t i = 0; i < 3 * 3; i++) {
		unsigned char *block = take(8 * MIB), *place = block + i % 3 * (4 * MIB - sizeof bytes / 2);

		require(pwrite(file, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes, "write");
		memset(block, 1, 8 * MIB);
		require(mmap(place, sizeof bytes, PROT_READ | PROT_WRITE, kinds[i / 3] | MAP_FIXED,
			     i / 3 < 2 ? file : -1, 0) == place, "mmap");
		give(block);
		require(hkm_big_cached() == 0, "%zu: kept with a mapping of the program's in it", i);
		/* What realloc cuts off, and what stays. */
		block = take(8 * MIB);
		require(mmap(block + 6 * MIB, sizeof bytes, PROT_READ | PROT_WRITE, kinds[i / 3] | MAP_FIXED,
			     i / 3 < 2 ? file : -1, 0) == block + 6 * MIB, "mmap");
		require(hkm_big_resize(&policy, block, 4 * MIB) == block && hkm_big_cached() == 0, "%zu: the rest is kept", i);
		give(block);
		require(hkm_big_cached() == 4 * MIB, "%zu: ordinary memory is not kept", i);
		hkm_big_purge(UINT64_MAX, 0);
	}
}

ISOLATED(old_systems_keep_what_is_freed)
{
	unsigned char *block;

	start();
	knows_no_wipe = true;
	block = take_apart(8 * MIB);
	for (size_t i = 0; i < 2; i++) {
		give(block);
		require(hkm_big_cached() == 8 * MIB && take(8 * MIB) == block, "not kept");
	}
}

/* What resizing gives up is bounded like anything else that is freed. */
ISOLATED(a_shrinking_resize_keeps_to_the_budget)
{
	unsigned char *block;

	start();
	policy.big_cache_bytes = 8 * MIB;
	block = take(64 * MIB);
	require(hkm_big_resize(&policy, block, 3 * MIB) == block, "not shrunk in place");
	require(hkm_big_cached() <= 8 * MIB, "%zu bytes are kept", hkm_big_cached());
}

/* ---- Wrong frees ----------------------------------------------------------------- */

static void free_twice(void *block)
{
	hkm_free(block);
	hkm_free(block);
}

static void free_it(void *block)
{
	hkm_free(block);
}

ISOLATED(wrong_frees_end_the_process)
{
	char *block;

	start();
	block = hkm_malloc(3 * MIB);
	expect_abort(free_twice, block, "free(): double free of 0x");
	expect_abort(free_it, block + PAGE, "free(): invalid pointer 0x");
	expect_abort(free_it, block + 1, "free(): misaligned pointer 0x");
	hkm_free(block);
}

/* ---- Many threads ---------------------------------------------------------------- */

static void *churn(void *argument)
{
	uint64_t number = (uint64_t)(uintptr_t)argument;
	struct random_source random = { number };
	struct hkm_policy own = policy;
	struct {
		unsigned char *start;
		size_t size;
	} blocks[12] = { 0 };

	own.big_cache_bytes = number * 4 * MIB;
	for (size_t i = 0; i < 1500; i++) {
		size_t at = random_between(&random, 0, 11);
		bool zeroed;

		if (blocks[at].start != NULL) {
			require(pattern_holds(blocks[at].start, blocks[at].size, blocks[at].size, number), "overwritten");
			require(hkm_big_free(&own, blocks[at].start), "a block is gone");
		}
		blocks[at].size = random_between(&random, 1, 600 * KIB);
		blocks[at].start = hkm_big_alloc(&own, blocks[at].size, PAGE, &zeroed);
		require(blocks[at].start != NULL, "no memory");
		if (zeroed)
			require(all_bytes_are(blocks[at].start, blocks[at].size, 0), "zeroed, but it is not");
		fill_pattern(blocks[at].start, blocks[at].size, number);
		if (i % 64 == 0)
			hkm_big_purge(0, i % 128 == 0 ? 0 : MIB);
	}
	for (size_t at = 0; at < 12; at++)
		hkm_big_free(&own, blocks[at].start);
	return NULL;
}

ISOLATED(threads_share_the_cache)
{
	pthread_t threads[3];

	start();
	for (uintptr_t i = 0; i < 3; i++)
		pthread_create(&threads[i], NULL, churn, (void *)i);
	for (size_t i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	hkm_big_purge(UINT64_MAX, 0);
	hkm_big_stats(&after);
	require(after.mappings == 0 && after.live_bytes == 0 && after.cached_bytes == 0, "%zu blocks live",
		after.mappings);
}

static unsigned char *take_hinted(size_t size, hkm_hints hints)
{
	size_t fresh;
	unsigned char *block = hkm_big_alloc_hinted(&policy, size, PAGE, hints, &fresh);

	require(block != NULL && usable(block) >= size, "no memory");
	return block;
}

ISOLATED(hints_of_the_call_site_are_followed)
{
	unsigned char *block;

	start();
	/* Kept like any other, and given out like any other; what is not to be kept is not. */
	block = take_hinted(20 * KIB, HKM_HINT_BIG);
	give(block);
	require(hkm_big_cached() == 20 * KIB, "not kept");
	require(take_hinted(20 * KIB, HKM_HINT_NO_CACHE) == block, "not reused");
	give(block);
	require(hkm_big_cached() == 0, "kept");
	require(take_hinted(20 * KIB, HKM_HINT_NO_CACHE) != NULL && take(20 * KIB) != NULL, "no memory");

	block = take_hinted(1 * MIB, HKM_HINT_POPULATE);
	size_t resident = hkm_os_resident(block, 1 * MIB);
	require(resident == 1 * MIB || hkm_os_resident(take(1 * MIB), 1 * MIB) == resident, "not populated");
	give(block);

	hkm_big_purge(UINT64_MAX, 0);
	for (size_t i = 0; i < 4; i++)
		require(is_aligned(take_hinted(2 * MIB, HKM_HINT_HUGE), 2 * MIB), "no huge page fits");
}

/* A sampled block is on fresh pages, is not kept, and its sample ends with it, or where it is resized. */
ISOLATED(sampled_blocks_report_their_end)
{
	struct hkm_sampler sampler = { 0 };
	hkm_hints hints = 0;
	unsigned char *block;

	start();
	require(hkm_samples_start(), "no memory");
	block = take(64 * KIB);
	block[0] = 1;
	give(block);
	for (unsigned round = 0; round < 2; round++) {
		while (!hkm_samples_due(&sampler, 4096) || (hints = hkm_samples_take(&sampler, &policy, 64 * KIB)) == 0)
			;
		block = take_hinted(64 * KIB, hints);
		require(hkm_os_resident(block, 64 * KIB) == 0, "not fresh");
		hkm_samples_born(hints, block);
		for (size_t at = 0; at < 32 * KIB; at += PAGE)
			block[at] = 1;
		if (round == 0)
			give(block);
		else
			require(hkm_big_resize(&policy, block, 128 * KIB) != NULL, "no memory");
		require(hkm_big_cached() == 0, "a sampled block is kept");
	}
	struct hkm_sample sample;
	for (unsigned i = 0; i < 2; i++) {
		require(hkm_samples_copy(i, &sample), "no sample");
		require(sample.died != 0 && sample.block == NULL && sample.touched == 32 * KIB, "%u: touched %zu", i,
			(size_t)sample.touched);
	}
	require(!hkm_samples_copy(2, &sample), "one too many");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_known_while_they_live),
		cmocka_unit_test(many_blocks_are_told_apart),
		cmocka_unit_test(a_kept_range_serves_with_the_surplus_or_cut),
		cmocka_unit_test(the_smallest_kept_range_that_fits_serves),
		cmocka_unit_test(neighbours_are_joined_in_any_order),
		cmocka_unit_test(reused_memory_is_not_said_to_be_zero),
		cmocka_unit_test(a_kept_range_that_is_too_small_grows),
		cmocka_unit_test(resizing_keeps_contents_and_copies_nothing),
		cmocka_unit_test(a_block_grows_into_what_is_kept_behind_it),
		cmocka_unit_test(a_block_is_moved_if_what_is_kept_behind_it_is_too_little),
		cmocka_unit_test(realloc_moves_pages),
		cmocka_unit_test(the_cache_keeps_to_its_budget),
		cmocka_unit_test(fresh_mappings_displace_kept_ones),
		cmocka_unit_test(fresh_mappings_leave_a_quarter_of_what_is_live),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(all_that_is_kept_goes_before_a_request_fails),
		cmocka_unit_test(half_of_what_there_was_at_a_refusal_is_left_to_others),
#endif
		cmocka_unit_test(purging_takes_the_old_by_age),
		cmocka_unit_test(a_tick_gives_back_so_many_ranges_only),
		cmocka_unit_test(what_nobody_has_needed_for_long_goes),
		cmocka_unit_test(purging_by_amount_takes_the_oldest),
		cmocka_unit_test(a_range_purged_in_part_stays_the_oldest),
		cmocka_unit_test(blocks_are_aligned_fresh_and_reused),
		cmocka_unit_test(huge_pages_are_asked_for_at_their_boundaries),
		cmocka_unit_test(hints_of_the_call_site_are_followed),
		cmocka_unit_test(sampled_blocks_report_their_end),
		cmocka_unit_test(no_call_walks_over_the_ranges),
		cmocka_unit_test(the_structures_hold_after_every_call),
		cmocka_unit_test(a_request_that_must_fail_leaves_the_cache_alone),
		cmocka_unit_test(only_what_was_used_is_dirty),
		cmocka_unit_test(clearing_keeps_what_is_resident),
		cmocka_unit_test(a_block_of_several_mappings_is_moved),
		cmocka_unit_test(a_block_of_several_mappings_is_moved_by_old_systems),
		cmocka_unit_test(what_is_not_unmapped_is_kept_empty),
		cmocka_unit_test(an_empty_range_is_one_with_its_neighbours),
		cmocka_unit_test(what_is_emptied_beside_a_kept_range_counts_with_it),
		cmocka_unit_test(what_is_left_of_an_aligned_mapping_is_kept),
		cmocka_unit_test(what_is_left_of_a_block_that_was_copied_is_kept),
		cmocka_unit_test(what_the_program_changed_and_the_system_does_not_unmap_is_ordinary_again),
		cmocka_unit_test(the_next_owner_finds_ordinary_memory),
		cmocka_unit_test(what_a_program_maps_onto_its_block_ends_with_it),
		cmocka_unit_test(old_systems_keep_what_is_freed),
		cmocka_unit_test(a_shrinking_resize_keeps_to_the_budget),
		cmocka_unit_test(wrong_frees_end_the_process),
		cmocka_unit_test(threads_share_the_cache),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
