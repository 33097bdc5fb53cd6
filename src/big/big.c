/* big.c - L2: blocks of whole pages come, go and change their size; see big.h. */
#include "big/big.h"

#include "big/cache.h"
#include "os/os.h"
#include "sites/samples.h"

#define LARGEST ((size_t)1 << 47) /* more than there are addresses */
#define HUGE_PAGE ((size_t)2 << 20)
#define ROOM_SHARE 4u             /* fresh memory leaves a quarter of what is live in the cache */
#define CHECK_EVERY 32u           /* calls, in the debug build; fewer if there are many ranges */

struct hkm_lock hkm_big_lock;

/* Written under hkm_big_lock, read by anyone. */
static hkm_counter live_bytes, live_count, hits, misses, remaps, huge_bytes, probed_bytes, probe_ns;
static _Atomic size_t refused_at; /* bytes live and kept when the system refused a mapping; 0: it did not refuse the last one. Relaxed: a value
				   * of its own */

/* ---- Live blocks (the caller holds the lock) ------------------------------------------------------------- */

/* Makes a range, which stands in the order by address, a block. */
static void live_add(struct hkm_big_range *range)
{
	range->state = HKM_RANGE_LIVE;
	hkm_count(&live_bytes, range->size);
	hkm_count(&live_count, 1);
}

static void live_remove(struct hkm_big_range *range)
{
	range->state = HKM_RANGE_BUSY;
	hkm_count(&live_bytes, 0 - (uint64_t)range->size);
	hkm_count(&live_count, (uint64_t)-1);
}

static struct hkm_big_range *live_find(const void *start)
{
	struct hkm_big_range *range = hkm_range_at(start);
	return range != NULL && range->state == HKM_RANGE_LIVE ? range : NULL;
}

/* Takes a range that is neither live nor kept out of the order by address: its addresses are about to be given up. */
static void take_out(struct hkm_big_range *range)
{
	hkm_ranges_remove(HKM_BY_START, range);
	range->state = HKM_RANGE_OUT;
}

static void put_in(struct hkm_big_range *range)
{
	hkm_ranges_insert(HKM_BY_START, range);
	range->state = HKM_RANGE_BUSY;
}

/* ---- The one way out -------------------------------------------------------------------------------------- */

/* Where the system has refused memory, half of what there was then is left to others: the program's own mappings, the
 * stack of a new thread. */
static size_t most_kept(const struct hkm_policy *policy)
{
	size_t refused = atomic_load_explicit(&refused_at, memory_order_relaxed);
	return hkm_min(policy->big_cache_bytes, refused != 0 ? refused / 2 : SIZE_MAX);
}

/* Every call that may have changed the cache ends with it: no way of freeing memory is beside the bound. */
static void settle(const struct hkm_policy *policy)
{
	static _Atomic unsigned calls;
	hkm_cache_settle(most_kept(policy));
	size_t every = hkm_max(CHECK_EVERY, hkm_counted(&live_count) + hkm_counted(&hkm_cache_ranges));
	if (HAKMEM_DEBUG && atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % every == 0)
		hkm_big_check();
}

/* ---- Allocation ---------------------------------------------------------------------------------------- */

/* `growth` bytes of fresh memory are about to be used: as much of the cache's oldest goes, but for what blocks of
 * changing sizes need in order to find a fit. */
static void make_room(size_t growth)
{
	size_t cached = hkm_big_cached(), left = hkm_counted(&live_bytes) / ROOM_SHARE;
	if (cached > left)
		hkm_big_purge(0, hkm_max(cached > growth ? cached - growth : 0, left));
}

static bool wants_huge_pages(const struct hkm_policy *policy, size_t size, hkm_hints hints)
{
	return (policy->thp_threshold != 0 && size >= policy->thp_threshold) ||
	       ((hints & HKM_HINT_HUGE) != 0 && size >= HUGE_PAGE);
}

static void advise(const struct hkm_policy *policy, const struct hkm_big_range *range, hkm_hints hints)
{
	if (wants_huge_pages(policy, range->size, hints))
		hkm_os_huge_pages(range->start, range->size, true);
}

/* The first `size` bytes of a kept range are handed out; called before the range is changed. */
static void note_reuse(const struct hkm_big_range *range, size_t size)
{
	if (HKM_UNLIKELY(range->kept_since_ms == HKM_EMPTY))
		return;
	hkm_regret_reuse(&hkm_big_aged, hkm_min(size, range->size), range->kept_since_ms, hkm_os_now_ms(),
			 hkm_regret_delay_ms());
}

/* `size` bytes are asked for that are not there, for a block of `whole` bytes. Takes the lock. */
static void note_fresh(const struct hkm_policy *policy, size_t size, size_t whole)
{
	uint64_t now = hkm_os_now_ms();
	hkm_lock_acquire(&hkm_big_lock);
	hkm_regret_ask(&hkm_big_surplus, hkm_regret_ask(&hkm_big_aged, size, now), now);
	if (policy->thp_threshold != 0 && whole >= policy->thp_threshold)
		hkm_count(&huge_bytes, size);
	hkm_lock_release(&hkm_big_lock);
}

/* Faults of huge pages are taken by the program, where nobody can time them; the system counts one. So the first huge page
 * of a fresh mapping, which is aligned to it, is made resident here. */
static void probe(const struct hkm_policy *policy, const struct hkm_big_range *range)
{
	if (policy->thp_threshold == 0 || range->size < hkm_max(policy->thp_threshold, HUGE_PAGE))
		return;
	uint64_t start = hkm_os_thread_ns();
	if (!hkm_os_populate(range->start, HUGE_PAGE))
		return;
	uint64_t ns = hkm_os_thread_ns() - start;
	hkm_lock_acquire(&hkm_big_lock);
	hkm_count(&probed_bytes, HUGE_PAGE);
	hkm_count(&probe_ns, ns);
	hkm_lock_release(&hkm_big_lock);
}

/* Takes a kept range that fits, cut to size; NULL: none. */
static struct hkm_big_range *take_fitting(const struct hkm_policy *policy, size_t size, size_t alignment)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct hkm_big_range *range = hkm_cache_take_fitting(size, alignment);
	if (range != NULL) {
		note_reuse(range, size);
		if (range->size > size + size / 1000 * (policy->big_surplus - 1000))
			hkm_cache_cut(range, size);
		hkm_cache_note_lowest();
		live_add(range);
	}
	hkm_count(range != NULL ? &hits : &misses, 1);
	hkm_lock_release(&hkm_big_lock);
	return range;
}

/* Keeps what the system has emptied, but not unmapped. Without memory for its structure it is forgotten. */
static void keep_left(struct hkm_range left)
{
	if (HKM_LIKELY(left.size == 0))
		return;
	struct hkm_big_range *range = hkm_range_new();
	if (range == NULL)
		return;
	range->start = left.start;
	range->size = left.size;
	hkm_cache_keep_left(range, HKM_EMPTIED);
}

/* Moves a range that is out to where it has `size` bytes; result: whether the system lets it. */
static bool move(struct hkm_big_range *range, size_t size)
{
	struct hkm_range left;
	char *start = hkm_os_remap(range->start, range->size, size, true, &left);
	if (start == NULL)
		return false;
	keep_left(left);
	range->start = start;
	range->size = size;
	return true;
}

/* Takes a kept range that is too small and grows it; NULL: none, or the system refuses. *dirty: its former size. */
static struct hkm_big_range *take_grown(const struct hkm_policy *policy, size_t size, hkm_hints hints, size_t *dirty)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct hkm_big_range *range = hkm_cache_take_smaller(size);
	if (range != NULL) {
		hkm_cache_note_lowest();
		note_reuse(range, size);
		take_out(range);
	}
	hkm_lock_release(&hkm_big_lock);
	if (range == NULL)
		return NULL;
	*dirty = range->size;
	bool moved = move(range, size);
	hkm_lock_acquire(&hkm_big_lock);
	put_in(range);
	if (moved) {
		live_add(range);
		hkm_count(&remaps, 1);
	} else {
		hkm_cache_keep(range);
	}
	hkm_lock_release(&hkm_big_lock);
	if (!moved)
		return NULL;
	note_fresh(policy, size - *dirty, size);
	make_room(size - *dirty);
	advise(policy, range, hints);
	return range;
}

/* A request that no process could be granted says nothing of how much memory there is. */
static void note_refusal(bool refused, size_t size)
{
	if (refused && !hkm_os_is_possible(size))
		return;
	size_t bytes = refused ? hkm_counted(&live_bytes) + hkm_big_cached() : 0;
	if (refused || HKM_UNLIKELY(atomic_load_explicit(&refused_at, memory_order_relaxed) != 0))
		atomic_store_explicit(&refused_at, bytes, memory_order_relaxed);
}

/* Fresh memory is mapped first, and room for it is made before it is touched: a request that the system refuses has not
 * emptied the cache. NULL: no memory. */
static struct hkm_big_range *take_new(const struct hkm_policy *policy, size_t size, size_t alignment, hkm_hints hints)
{
	struct hkm_big_range *range = hkm_range_new();
	if (range == NULL)
		return NULL;
	if (wants_huge_pages(policy, size, hints))
		alignment = hkm_max(alignment, HUGE_PAGE);
	range->size = size;
	struct hkm_range left[2];
	range->start = hkm_os_map_aligned(size, alignment, left);
	note_refusal(range->start == NULL, size);
	if (range->start == NULL) {
		hkm_range_delete(range);
		return NULL;
	}
	keep_left(left[0]);
	keep_left(left[1]);
	note_fresh(policy, size, size);
	make_room(size);
	advise(policy, range, hints);
	if ((hints & HKM_HINT_POPULATE) != 0)
		hkm_os_populate(range->start, range->size);
	else
		probe(policy, range);
	hkm_lock_acquire(&hkm_big_lock);
	put_in(range);
	live_add(range);
	hkm_lock_release(&hkm_big_lock);
	return range;
}

/* Whether the system, which has just refused `size` bytes, would map what they exceed the cache by: if not, emptying the
 * cache is of no use. */
static bool would_fit(size_t size)
{
	size_t cached = hkm_big_cached();
	if (cached == 0 || size <= cached)
		return cached != 0;
	void *trial = hkm_os_map(size - cached);
	if (trial != NULL)
		hkm_os_unmap(trial, size - cached, false);
	return trial != NULL;
}

void *hkm_big_alloc_hinted(const struct hkm_policy *policy, size_t size, size_t alignment, hkm_hints hints,
			   size_t *dirty)
{
	*dirty = 0;
	if (size >= LARGEST || alignment >= LARGEST)
		return NULL;
	size_t page_size = hkm_os_page_size();
	size = hkm_align_up(hkm_max(size, 1), page_size);
	struct hkm_big_range *range = NULL;
	if ((hints & HKM_HINT_SAMPLED) == 0)
		range = take_fitting(policy, size, alignment);
	if (range != NULL)
		*dirty = range->size;
	else if ((hints & HKM_HINT_SAMPLED) == 0 && alignment <= page_size)
		range = take_grown(policy, size, hints, dirty);
	if (range == NULL) {
		*dirty = 0;
		range = take_new(policy, size, alignment, hints);
	}
	/* Before the program is told that there is no memory, all that is kept goes. */
	if (range == NULL && hkm_os_is_possible(size) && would_fit(size) && hkm_big_purge(UINT64_MAX, 0) > 0)
		range = take_new(policy, size, alignment, hints);
	if (range != NULL)
		range->hints = hints; /* nobody but the caller knows of it yet */
	settle(policy);
	return range != NULL ? range->start : NULL;
}

void *hkm_big_alloc(const struct hkm_policy *policy, size_t size, size_t alignment, bool *zeroed)
{
	size_t dirty;
	void *block = hkm_big_alloc_hinted(policy, size, alignment, 0, &dirty);
	*zeroed = block != NULL && dirty == 0;
	return block;
}

/* ---- Free -------------------------------------------------------------------------------------------------- */

/* Whether the memory of a block that is not live any more may be given to another: its call site does not ask otherwise,
 * and it is the memory it was before the program had it. */
static bool may_be_kept(const struct hkm_big_range *range)
{
	return HKM_LIKELY((range->hints & (HKM_HINT_NO_CACHE | HKM_HINT_SAMPLED)) == 0) &&
	       hkm_os_make_plain(range->start, range->size);
}

HKM_SLOW static void release_at_once(struct hkm_big_range *range)
{
	if ((range->hints & HKM_HINT_SAMPLED) != 0)
		hkm_samples_died(range->hints, range->start, range->size);
	hkm_lock_acquire(&hkm_big_lock);
	take_out(range);
	hkm_lock_release(&hkm_big_lock);
	enum hkm_unmapped left = hkm_os_unmap(range->start, range->size, false);
	/* Whatever it was for the program, fresh memory takes its place. */
	if (HKM_UNLIKELY(left != HKM_UNMAPPED) && hkm_os_map_at(range->start, range->size, true) == 0)
		hkm_cache_keep_left(range, HKM_EMPTIED);
	else
		hkm_range_delete(range);
}

/* What becomes of a range that is busy: kept, or given back. */
static void dispose(struct hkm_big_range *range)
{
	if (!may_be_kept(range)) {
		release_at_once(range);
		return;
	}
	hkm_lock_acquire(&hkm_big_lock);
	hkm_cache_stamp(range);
	hkm_cache_keep(range);
	hkm_lock_release(&hkm_big_lock);
}

bool hkm_big_free(const struct hkm_policy *policy, void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct hkm_big_range *range = live_find(pointer);
	if (range != NULL)
		live_remove(range);
	hkm_lock_release(&hkm_big_lock);
	if (range == NULL)
		return false;
	dispose(range);
	settle(policy);
	return true;
}

bool hkm_big_was_freed(const void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	const struct hkm_big_range *range = hkm_range_around(pointer);
	bool freed = range != NULL && range->state != HKM_RANGE_LIVE;
	hkm_lock_release(&hkm_big_lock);
	return freed;
}

static size_t usable(const void *pointer)
{
	const struct hkm_big_range *range = live_find(pointer);
	return range != NULL ? range->size : 0;
}

size_t hkm_big_usable(const void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	size_t size = usable(pointer);
	hkm_lock_release(&hkm_big_lock);
	return size;
}

size_t hkm_big_usable_at_once(const void *pointer)
{
	size_t size = 0;
	if (hkm_lock_try(&hkm_big_lock)) {
		size = usable(pointer);
		hkm_lock_release(&hkm_big_lock);
	}
	return size;
}

/* ---- Changing the size ---------------------------------------------------------------------------------- */

/* Grows a block that is busy by what is kept behind it; result: whether it is now `size` bytes long. Caller locks. */
static bool grow_into_kept(struct hkm_big_range *range, size_t size)
{
	struct hkm_big_range *behind = hkm_cache_at(range->start + range->size);
	if (behind == NULL || range->size + behind->size < size)
		return false;
	range->age = behind->age;
	range->kept_since_ms = behind->kept_since_ms;
	hkm_cache_absorb(range, behind);
	hkm_cache_cut(range, size);
	hkm_cache_note_lowest();
	return true;
}

static struct hkm_big_range *take_block(void *pointer)
{
	struct hkm_big_range *range = live_find(pointer);
	if (range == NULL)
		return NULL;
	live_remove(range);
	if (HKM_UNLIKELY((range->hints & HKM_HINT_SAMPLED) != 0)) { /* what is resized is another block */
		hkm_samples_died(range->hints, range->start, range->size);
		range->hints = 0;
	}
	return range;
}

/* Moves a block that is out; result: whether the system lets it. */
static bool move_block(const struct hkm_policy *policy, struct hkm_big_range *range, size_t size)
{
	size_t growth = size - range->size;
	bool moved = move(range, size);
	if (moved) {
		make_room(growth);
		advise(policy, range, range->hints);
	}
	hkm_lock_acquire(&hkm_big_lock);
	put_in(range);
	live_add(range);
	hkm_lock_release(&hkm_big_lock);
	return moved;
}

void *hkm_big_resize(const struct hkm_policy *policy, void *pointer, size_t size)
{
	if (size >= LARGEST)
		return NULL;
	size = hkm_align_up(size, hkm_os_page_size());
	struct hkm_big_range *rest = NULL;
	hkm_lock_acquire(&hkm_big_lock);
	struct hkm_big_range *range = take_block(pointer);
	bool done = range != NULL && (size <= range->size || grow_into_kept(range, size));
	if (done && (rest = hkm_cache_split(range, size)) != NULL)
		rest->hints = range->hints;
	if (done)
		live_add(range);
	else if (range != NULL)
		take_out(range);
	hkm_lock_release(&hkm_big_lock);
	if (range == NULL)
		return NULL;
	if (!done)
		done = move_block(policy, range, size);
	if (rest != NULL)
		dispose(rest);
	settle(policy);
	return done ? range->start : NULL;
}

/* ---- Looking --------------------------------------------------------------------------------------------- */

void hkm_big_stats(struct hkm_big_stats *stats)
{
	stats->live_bytes = hkm_counted(&live_bytes);
	stats->mappings = hkm_counted(&live_count);
	stats->cached_bytes = hkm_counted(&hkm_cache_bytes);
	stats->cached_mappings = hkm_counted(&hkm_cache_ranges);
	stats->hits = hkm_counted(&hits);
	stats->misses = hkm_counted(&misses);
	stats->remaps = hkm_counted(&remaps);
	stats->purged_bytes = hkm_counted(&hkm_cache_purged);
	stats->huge_bytes = hkm_counted(&huge_bytes);
	stats->probed_bytes = hkm_counted(&probed_bytes);
	stats->probe_ns = hkm_counted(&probe_ns);
}
