/* big.c - see big.h. */
#include "big/big.h"

#include "core/meta.h"
#include "os/os.h"
#include "sites/samples.h"

#define HASH_BUCKETS 4096u
#define SMALLEST_LOG 12u                             /* alignment alone can make a small block Big */
#define LARGEST ((size_t)1 << 47)                    /* more than there are addresses */
#define DOUBTFUL ((size_t)16 << 20)                  /* the system is asked whether it has so much, before room is made for it */
#define SIZE_BUCKETS ((48u - SMALLEST_LOG) * 8u)
#define HUGE_PAGE ((size_t)2 << 20)
#define SMALLEST_REST ((size_t)64 << 10)             /* shorter remainders are not worth keeping apart */
#define RELEASES 32u                                 /* ranges unmapped in one go */
#define UNNEEDED_DELAYS 10u                          /* what nobody has needed for so many delays is given back, */
#define UNNEEDED_LEAST_MS 250u                       /* or for so long, if that is longer */
#define ROOM_SHARE 4u                                /* fresh memory leaves a quarter of what is live in the cache */

/* A range of whole pages: a live block, or free memory that is kept. */
struct range {
	char *start;
	size_t size;                 /* bytes */
	struct range *start_next;    /* hash by start: registry or kept_starts */
	struct range *end_next;      /* hash by end: kept_ends, while kept */
	struct range *next, *prev;   /* size bucket, while kept */
	struct range *newer, *older; /* queue by age, while kept */
	uint64_t kept_since_ms;
	hkm_hints hints;             /* of the call that allocated it, while live */
};

struct hkm_lock hkm_big_lock;

/* All guarded by hkm_big_lock; the counters are read by anyone. */
static struct range *registry[HASH_BUCKETS];    /* live blocks by start */
static struct range *kept_starts[HASH_BUCKETS]; /* kept ranges by start */
static struct range *kept_ends[HASH_BUCKETS];   /* kept ranges by end */
static struct range *kept[SIZE_BUCKETS];
static uint64_t kept_bits[(SIZE_BUCKETS + 63) / 64]; /* bit per bucket that is not empty */
static struct range *oldest, *newest;
static hkm_counter live_bytes, live_count, kept_bytes, kept_count, hits, misses, remaps, purged_bytes, huge_bytes,
	probed_bytes, probe_ns;
struct hkm_regret hkm_big_aged, hkm_big_surplus;
static _Atomic size_t refused_at; /* bytes live and kept when the system refused a mapping; 0: it did not refuse the last one. Relaxed: a value
				   * of its own */
static size_t lowest_kept; /* fewest bytes kept since then: so many were not needed */
static uint64_t lowest_since_ms;

/* ---- Hash tables ---------------------------------------------------------------------------------- */

static size_t hash(const void *address)
{
	return ((uintptr_t)address >> 12) * 0x9E3779B97F4A7C15u >> 52;
}

static void starts_insert(struct range **table, struct range *range)
{
	struct range **slot = &table[hash(range->start)];
	range->start_next = *slot;
	*slot = range;
}

static void starts_remove(struct range **table, struct range *range)
{
	struct range **link = &table[hash(range->start)];
	while (*link != range)
		link = &(*link)->start_next;
	*link = range->start_next;
}

static struct range *starts_find(struct range **table, const void *start)
{
	struct range *range = table[hash(start)];
	while (range != NULL && range->start != start)
		range = range->start_next;
	return range;
}

static void ends_insert(struct range *range)
{
	struct range **slot = &kept_ends[hash(range->start + range->size)];
	range->end_next = *slot;
	*slot = range;
}

static void ends_remove(struct range *range)
{
	struct range **link = &kept_ends[hash(range->start + range->size)];
	while (*link != range)
		link = &(*link)->end_next;
	*link = range->end_next;
}

static struct range *ends_find(const char *end)
{
	struct range *range = kept_ends[hash(end)];
	while (range != NULL && range->start + range->size != end)
		range = range->end_next;
	return range;
}

static void live_insert(struct range *range)
{
	starts_insert(registry, range);
	hkm_count(&live_bytes, range->size);
	hkm_count(&live_count, 1);
}

static void live_remove(struct range *range)
{
	starts_remove(registry, range);
	hkm_count(&live_bytes, 0 - (uint64_t)range->size);
	hkm_count(&live_count, (uint64_t)-1);
}

/* ---- Cache ---------------------------------------------------------------------------------------- */

static unsigned size_bucket(size_t size)
{
	unsigned log = hkm_log2(size);
	return (log - SMALLEST_LOG) * 8 + (unsigned)(size >> (log - 3) & 7);
}

static void kept_insert(struct range *range)
{
	unsigned bucket = size_bucket(range->size);
	range->prev = NULL;
	range->next = kept[bucket];
	if (range->next != NULL)
		range->next->prev = range;
	kept[bucket] = range;
	kept_bits[bucket / 64] |= (uint64_t)1 << bucket % 64;
	/* A range that was cut off another is as old as that was. */
	struct range *newer = NULL, *older = newest;
	while (older != NULL && older->kept_since_ms > range->kept_since_ms) {
		newer = older;
		older = older->older;
	}
	range->newer = newer;
	range->older = older;
	*(newer != NULL ? &newer->older : &newest) = range;
	*(older != NULL ? &older->newer : &oldest) = range;
	starts_insert(kept_starts, range);
	ends_insert(range);
	hkm_count(&kept_bytes, range->size);
	hkm_count(&kept_count, 1);
}

static void kept_remove(struct range *range)
{
	unsigned bucket = size_bucket(range->size);
	if (range->prev != NULL)
		range->prev->next = range->next;
	else
		kept[bucket] = range->next;
	if (range->next != NULL)
		range->next->prev = range->prev;
	if (kept[bucket] == NULL)
		kept_bits[bucket / 64] &= ~((uint64_t)1 << bucket % 64);
	if (range->newer != NULL)
		range->newer->older = range->older;
	else
		newest = range->older;
	if (range->older != NULL)
		range->older->newer = range->newer;
	else
		oldest = range->newer;
	starts_remove(kept_starts, range);
	ends_remove(range);
	hkm_count(&kept_bytes, 0 - (uint64_t)range->size);
	hkm_count(&kept_count, (uint64_t)-1);
}

/* Keeps a free range, together with the kept ones that it touches; its age counts for all. */
static void keep(struct range *range)
{
	struct range *before = ends_find(range->start);
	struct range *behind = starts_find(kept_starts, range->start + range->size);
	if (before != NULL) {
		kept_remove(before);
		range->start = before->start;
		range->size += before->size;
		hkm_meta_free(before, sizeof *before);
	}
	if (behind != NULL) {
		kept_remove(behind);
		range->size += behind->size;
		hkm_meta_free(behind, sizeof *behind);
	}
	kept_insert(range);
}

/* Cuts a range that is on no list down to `size` bytes and keeps the rest; a rest that is too short, or for which
 * there is no structure, stays with it. */
static void cut(struct range *range, size_t size)
{
	if (range->size < size + SMALLEST_REST)
		return;
	struct range *rest = hkm_meta_alloc(sizeof *rest);
	if (rest == NULL)
		return;
	rest->start = range->start + size;
	rest->size = range->size - size;
	rest->kept_since_ms = range->kept_since_ms;
	range->size = size;
	keep(rest);
}

/* The lowest bucket from `bucket` on that is not empty; SIZE_BUCKETS: none. */
static unsigned next_bucket(unsigned bucket)
{
	for (unsigned word = bucket / 64; word < sizeof kept_bits / sizeof kept_bits[0]; word++) {
		uint64_t bits = kept_bits[word];
		if (word == bucket / 64)
			bits &= UINT64_MAX << bucket % 64;
		if (bits != 0)
			return word * 64 + (unsigned)__builtin_ctzl(bits);
	}
	return SIZE_BUCKETS;
}

/* The best fit among the kept ranges that start at a multiple of `alignment`. */
static struct range *find_fitting(size_t size, size_t alignment)
{
	for (unsigned bucket = next_bucket(size_bucket(size)); bucket < SIZE_BUCKETS; bucket = next_bucket(bucket + 1)) {
		struct range *best = NULL;
		for (struct range *range = kept[bucket]; range != NULL; range = range->next)
			if (range->size >= size && ((uintptr_t)range->start & (alignment - 1)) == 0 &&
			    (best == NULL || range->size < best->size))
				best = range;
		if (best != NULL)
			return best;
	}
	return NULL;
}

/* A kept range of the highest bucket below that of `size`. */
static struct range *find_smaller(size_t size)
{
	for (unsigned bucket = size_bucket(size); bucket-- > 0;) {
		if (bucket % 64 == 63 && kept_bits[bucket / 64] == 0)
			bucket -= 63;
		else if ((kept_bits[bucket / 64] >> bucket % 64 & 1) != 0)
			return kept[bucket];
	}
	return NULL;
}

/* ---- Purging ----------------------------------------------------------------------------------------- */

/* Takes the next range to be given back off the cache: all of one that is due, of one that is only too much no more
 * than that; NULL: none. */
static struct range *take_for_purge(uint64_t before_ms, size_t keep_bytes, bool *is_due)
{
	struct range *range = oldest;
	size_t cached = hkm_counted(&kept_bytes);
	if (range == NULL)
		return NULL;
	bool due = range->kept_since_ms < before_ms;
	*is_due = due;
	if (!due && cached <= keep_bytes)
		return NULL;
	kept_remove(range);
	if (!due && range->size > cached - keep_bytes)
		cut(range, hkm_align_up(cached - keep_bytes, SMALLEST_REST));
	return range;
}

/* The cache has become smaller. */
static void note_lowest(void)
{
	lowest_kept = hkm_min(lowest_kept, hkm_counted(&kept_bytes));
}

/* A block that comes and goes joins what is kept beside it, and makes all of it young again. So the least that was kept for
 * some delays' time, which nobody has needed, goes as well. Result: the bytes to be kept; SIZE_MAX: that time is not over. */
static size_t needed_bytes(uint64_t now_ms)
{
	if (now_ms - lowest_since_ms < hkm_max(UNNEEDED_DELAYS * hkm_regret_delay_ms(), UNNEEDED_LEAST_MS))
		return SIZE_MAX;
	size_t unneeded = lowest_kept;
	lowest_since_ms = now_ms;
	lowest_kept = hkm_counted(&kept_bytes);
	return lowest_kept - unneeded;
}

/* `size` bytes are given back: because of their age, or because there are more than `limited` says there may be. */
static void note_purge(size_t size, bool aged, bool limited, uint64_t now_ms)
{
	if (aged)
		hkm_regret_give(&hkm_big_aged, size, now_ms, now_ms + 3 * hkm_regret_delay_ms());
	else if (limited)
		hkm_regret_give(&hkm_big_surplus, size, now_ms, now_ms + hkm_regret_delay_ms());
}

/* `limited`: keep_bytes is the policy's limit, and not what room must be made for. */
static size_t purge(uint64_t before_ms, size_t keep_bytes, bool limited)
{
	size_t bytes = 0;
	bool aged;
	if (hkm_counted(&kept_count) == 0)
		return 0;
	uint64_t now_ms = hkm_os_now_ms();
	for (;;) {
		struct range *released[RELEASES];
		unsigned count = 0;
		hkm_lock_acquire(&hkm_big_lock);
		if (before_ms != 0 && before_ms <= now_ms)
			keep_bytes = hkm_min(keep_bytes, needed_bytes(now_ms));
		while (count < RELEASES && (released[count] = take_for_purge(before_ms, keep_bytes, &aged)) != NULL) {
			if (before_ms <= now_ms)
				note_purge(released[count]->size, aged || before_ms != 0, limited, now_ms);
			hkm_count(&purged_bytes, released[count++]->size);
		}
		note_lowest();
		hkm_lock_release(&hkm_big_lock);
		for (unsigned i = 0; i < count; i++) {
			bytes += released[i]->size;
			hkm_os_unmap(released[i]->start, released[i]->size, false);
			hkm_meta_free(released[i], sizeof *released[i]);
		}
		if (count < RELEASES)
			return bytes;
	}
}

size_t hkm_big_purge(uint64_t before_ms, size_t keep_bytes)
{
	return purge(before_ms, keep_bytes, false);
}

/* `growth` bytes of fresh memory are about to be used: as much of the cache's oldest goes, but for what blocks of
 * changing sizes need in order to find a fit. */
static void make_room(size_t growth)
{
	size_t cached = hkm_counted(&kept_bytes), left = hkm_counted(&live_bytes) / ROOM_SHARE;
	if (cached > left)
		hkm_big_purge(0, hkm_max(cached > growth ? cached - growth : 0, left));
}

/* ---- Allocation ---------------------------------------------------------------------------------------- */

static bool wants_huge_pages(const struct hkm_policy *policy, size_t size, hkm_hints hints)
{
	return (policy->thp_threshold != 0 && size >= policy->thp_threshold) ||
	       ((hints & HKM_HINT_HUGE) != 0 && size >= HUGE_PAGE);
}

static void advise(const struct hkm_policy *policy, const struct range *range, hkm_hints hints)
{
	if (wants_huge_pages(policy, range->size, hints))
		hkm_os_huge_pages(range->start, range->size, true);
}

/* The first `size` bytes of a kept range are handed out; called before the range is changed. */
static void note_reuse(const struct range *range, size_t size)
{
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
static void probe(const struct hkm_policy *policy, const struct range *range)
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
static struct range *take_fitting(const struct hkm_policy *policy, size_t size, size_t alignment)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct range *range = find_fitting(size, alignment);
	if (range != NULL) {
		kept_remove(range);
		note_reuse(range, size);
		if (range->size > size + size / 1000 * (policy->big_surplus - 1000))
			cut(range, size);
		note_lowest();
	}
	hkm_count(range != NULL ? &hits : &misses, 1);
	hkm_lock_release(&hkm_big_lock);
	return range;
}

/* Takes a kept range that is too small and grows it; NULL: none, or the system refuses. */
static struct range *take_grown(const struct hkm_policy *policy, size_t size, hkm_hints hints, size_t *fresh)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct range *range = find_smaller(size);
	if (range != NULL) {
		kept_remove(range);
		note_lowest();
		note_reuse(range, size);
	}
	hkm_lock_release(&hkm_big_lock);
	if (range == NULL)
		return NULL;
	*fresh = size - range->size;
	note_fresh(policy, *fresh, size);
	make_room(*fresh);
	char *start = hkm_os_remap(range->start, range->size, size, true);
	hkm_lock_acquire(&hkm_big_lock);
	if (start != NULL) {
		range->start = start;
		range->size = size;
		hkm_count(&remaps, 1);
	} else {
		keep(range);
	}
	hkm_lock_release(&hkm_big_lock);
	if (start == NULL)
		return NULL;
	advise(policy, range, hints);
	return range;
}

static void note_refusal(bool refused)
{
	size_t bytes = refused ? hkm_counted(&live_bytes) + hkm_counted(&kept_bytes) : 0;
	if (refused || HKM_UNLIKELY(atomic_load_explicit(&refused_at, memory_order_relaxed) != 0))
		atomic_store_explicit(&refused_at, bytes, memory_order_relaxed);
}

/* Where the system has refused memory, half of what there was then is left to others: the program's own mappings, the
 * stack of a new thread. */
static size_t most_kept(const struct hkm_policy *policy)
{
	size_t refused = atomic_load_explicit(&refused_at, memory_order_relaxed);
	return hkm_min(policy->big_cache_bytes, refused != 0 ? refused / 2 : SIZE_MAX);
}

/* A fresh mapping; NULL: no memory. */
static struct range *take_new(const struct hkm_policy *policy, size_t size, size_t alignment, hkm_hints hints)
{
	struct range *range = hkm_meta_alloc(sizeof *range);
	if (range == NULL)
		return NULL;
	note_fresh(policy, size, size);
	make_room(size);
	if (wants_huge_pages(policy, size, hints))
		alignment = hkm_max(alignment, HUGE_PAGE);
	range->size = size;
	range->start = hkm_os_map_aligned(size, alignment);
	note_refusal(range->start == NULL);
	if (range->start == NULL) {
		hkm_meta_free(range, sizeof *range);
		return NULL;
	}
	advise(policy, range, hints);
	if ((hints & HKM_HINT_POPULATE) != 0)
		hkm_os_populate(range->start, range->size);
	else
		probe(policy, range);
	return range;
}

void *hkm_big_alloc_hinted(const struct hkm_policy *policy, size_t size, size_t alignment, hkm_hints hints,
			   size_t *fresh)
{
	*fresh = 0;
	if (size >= LARGEST || alignment >= LARGEST)
		return NULL;
	size = hkm_align_up(hkm_max(size, (size_t)1 << SMALLEST_LOG), hkm_os_page_size());
	struct range *range = NULL;
	if ((hints & HKM_HINT_SAMPLED) == 0)
		range = take_fitting(policy, size, alignment);
	if (range == NULL && size >= DOUBTFUL && !hkm_os_is_possible(size))
		return NULL;
	if (range == NULL && (hints & HKM_HINT_SAMPLED) == 0 && alignment <= hkm_os_page_size())
		range = take_grown(policy, size, hints, fresh);
	if (range == NULL) {
		*fresh = size;
		range = take_new(policy, size, alignment, hints);
	}
	/* Before the program is told that there is no memory, all that is kept goes. */
	if (range == NULL && hkm_big_purge(UINT64_MAX, 0) > 0)
		range = take_new(policy, size, alignment, hints);
	if (range == NULL)
		return NULL;
	range->hints = hints;
	/* Once the lock is let go, the block may be freed by nobody but the caller. */
	hkm_lock_acquire(&hkm_big_lock);
	live_insert(range);
	hkm_lock_release(&hkm_big_lock);
	return range->start;
}

void *hkm_big_alloc(const struct hkm_policy *policy, size_t size, size_t alignment, bool *zeroed)
{
	size_t fresh;
	void *block = hkm_big_alloc_hinted(policy, size, alignment, 0, &fresh);
	*zeroed = block != NULL && fresh >= size;
	return block;
}

/* The call site of a block that is not live any more asked that it is not kept. */
HKM_SLOW static void release_at_once(struct range *range)
{
	if ((range->hints & HKM_HINT_SAMPLED) != 0)
		hkm_samples_died(range->hints, range->start, range->size);
	hkm_os_unmap(range->start, range->size, false);
	hkm_meta_free(range, sizeof *range);
}

bool hkm_big_free(const struct hkm_policy *policy, void *pointer)
{
	bool keeps = true;
	hkm_lock_acquire(&hkm_big_lock);
	struct range *range = starts_find(registry, pointer);
	if (range != NULL) {
		live_remove(range);
		range->kept_since_ms = hkm_os_now_ms();
		keeps = HKM_LIKELY((range->hints & (HKM_HINT_NO_CACHE | HKM_HINT_SAMPLED)) == 0);
		if (keeps)
			keep(range);
	}
	hkm_lock_release(&hkm_big_lock);
	if (range != NULL && keeps)
		purge(0, most_kept(policy), true);
	else if (range != NULL)
		release_at_once(range);
	return range != NULL;
}

bool hkm_big_was_freed(const void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	const struct range *range = oldest;
	while (range != NULL && (size_t)((const char *)pointer - range->start) >= range->size)
		range = range->newer;
	hkm_lock_release(&hkm_big_lock);
	return range != NULL;
}

static size_t usable(const void *pointer)
{
	const struct range *range = starts_find(registry, pointer);
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

/* Grows a range that is on no list by what is kept behind it; result: whether it is now `size` bytes long. */
static bool grow_into_kept(struct range *range, size_t size)
{
	struct range *behind = starts_find(kept_starts, range->start + range->size);
	if (behind == NULL || range->size + behind->size < size)
		return false;
	kept_remove(behind);
	range->size += behind->size;
	range->kept_since_ms = behind->kept_since_ms;
	hkm_meta_free(behind, sizeof *behind);
	cut(range, size);
	note_lowest();
	return true;
}

void *hkm_big_resize(const struct hkm_policy *policy, void *pointer, size_t size)
{
	if (size >= LARGEST)
		return NULL;
	size = hkm_align_up(size, hkm_os_page_size());
	hkm_lock_acquire(&hkm_big_lock);
	struct range *range = starts_find(registry, pointer);
	bool done = false;
	if (range != NULL) {
		live_remove(range);
		if (HKM_UNLIKELY((range->hints & HKM_HINT_SAMPLED) != 0)) { /* what is resized is another block */
			hkm_samples_died(range->hints, range->start, range->size);
			range->hints = 0;
		}
		if (size < range->size) {
			range->kept_since_ms = hkm_os_now_ms();
			cut(range, size);
		}
		done = size <= range->size || grow_into_kept(range, size);
	}
	hkm_lock_release(&hkm_big_lock);
	if (range == NULL)
		return NULL;
	if (!done) {
		make_room(size - range->size);
		char *start = hkm_os_remap(range->start, range->size, size, true);
		if (start != NULL) {
			range->start = start;
			range->size = size;
			advise(policy, range, range->hints);
			done = true;
		}
	}
	hkm_lock_acquire(&hkm_big_lock);
	live_insert(range);
	hkm_lock_release(&hkm_big_lock);
	return done ? range->start : NULL;
}

/* ---- Looking --------------------------------------------------------------------------------------------- */

void hkm_big_stats(struct hkm_big_stats *stats)
{
	stats->live_bytes = hkm_counted(&live_bytes);
	stats->mappings = hkm_counted(&live_count);
	stats->cached_bytes = hkm_counted(&kept_bytes);
	stats->cached_mappings = hkm_counted(&kept_count);
	stats->hits = hkm_counted(&hits);
	stats->misses = hkm_counted(&misses);
	stats->remaps = hkm_counted(&remaps);
	stats->purged_bytes = hkm_counted(&purged_bytes);
	stats->huge_bytes = hkm_counted(&huge_bytes);
	stats->probed_bytes = hkm_counted(&probed_bytes);
	stats->probe_ns = hkm_counted(&probe_ns);
}

size_t hkm_big_cached(void)
{
	return hkm_counted(&kept_bytes);
}
