/* cache.c - L2's kept ranges; see cache.h. */
#include "big/cache.h"

#define SMALLEST_REST ((size_t)64 << 10) /* shorter remainders are not worth keeping apart */
#define RELEASES 32u                     /* ranges unmapped in one go */
#define AGED_RELEASES 128u               /* at most so many at a tick: others of their age wait for the next */
#define UNNEEDED_DELAYS 10u              /* what nobody has needed for so many delays is given back, */
#define UNNEEDED_LEAST_MS 250u           /* or for so long, if that is longer */
#define ALIGNED_LOOKS 16u                /* ranges looked at for one that happens to be aligned */

struct hkm_regret hkm_big_aged, hkm_big_surplus;
hkm_counter hkm_cache_bytes, hkm_cache_ranges, hkm_cache_purged;

/* Guarded by hkm_big_lock. */
static uint64_t newest_age;
static size_t lowest_kept; /* fewest bytes kept since then: so many were not needed */
static uint64_t lowest_since_ms;

/* ---- Keeping, joining and cutting -------------------------------------------------------------------- */

static size_t resident(const struct hkm_big_range *range)
{
	return range->kept_since_ms == HKM_EMPTY ? 0 : range->size;
}

static void enter(struct hkm_big_range *range)
{
	range->state = HKM_RANGE_KEPT;
	hkm_ranges_insert(HKM_BY_SIZE, range);
	hkm_ranges_insert(HKM_BY_AGE, range);
	hkm_count(&hkm_cache_bytes, resident(range));
	hkm_count(&hkm_cache_ranges, 1);
}

void hkm_cache_remove(struct hkm_big_range *range)
{
	range->state = HKM_RANGE_BUSY;
	hkm_ranges_remove(HKM_BY_SIZE, range);
	hkm_ranges_remove(HKM_BY_AGE, range);
	hkm_count(&hkm_cache_bytes, 0 - (uint64_t)resident(range));
	hkm_count(&hkm_cache_ranges, (uint64_t)-1);
}

void hkm_cache_absorb(struct hkm_big_range *range, struct hkm_big_range *behind)
{
	hkm_cache_remove(behind);
	hkm_ranges_remove(HKM_BY_START, behind);
	range->size += behind->size;
	hkm_range_delete(behind);
}

struct hkm_big_range *hkm_cache_at(const char *start)
{
	struct hkm_big_range *range = hkm_range_at(start);
	return range != NULL && range->state == HKM_RANGE_KEPT ? range : NULL;
}

void hkm_cache_stamp(struct hkm_big_range *range)
{
	range->kept_since_ms = hkm_os_now_ms();
	range->age = ++newest_age;
}

/* `range`, which is in the cache no more, is about to be one with `other`: as young as the former, unless that is empty. */
static void take_age(struct hkm_big_range *range, const struct hkm_big_range *other)
{
	if (range->kept_since_ms != HKM_EMPTY)
		return;
	range->age = other->age;
	range->kept_since_ms = other->kept_since_ms;
}

void hkm_cache_keep(struct hkm_big_range *range)
{
	struct hkm_big_range *behind = hkm_cache_at(range->start + range->size);
	if (behind != NULL) {
		take_age(range, behind);
		hkm_cache_absorb(range, behind);
	}
	struct hkm_big_range *before = hkm_range_around(range->start - 1);
	if (before != NULL && before->state == HKM_RANGE_KEPT) {
		hkm_cache_remove(before);
		take_age(range, before);
		before->age = range->age;
		before->kept_since_ms = range->kept_since_ms;
		before->size += range->size;
		hkm_ranges_remove(HKM_BY_START, range);
		hkm_range_delete(range);
		range = before;
	}
	enter(range);
}

void hkm_cache_keep_left(struct hkm_big_range *range, enum hkm_unmapped left)
{
	hkm_lock_acquire(&hkm_big_lock);
	hkm_ranges_insert(HKM_BY_START, range);
	hkm_cache_stamp(range);
	if (left == HKM_EMPTIED)
		range->age = range->kept_since_ms = HKM_EMPTY;
	hkm_cache_keep(range);
	hkm_lock_release(&hkm_big_lock);
}

/* Cuts the range down to `size` bytes; result: the rest, as old and in the same state. NULL: no memory for its structure. */
static struct hkm_big_range *split(struct hkm_big_range *range, size_t size)
{
	struct hkm_big_range *rest = hkm_range_new();
	if (rest == NULL)
		return NULL;
	rest->start = range->start + size;
	rest->size = range->size - size;
	rest->age = range->age;
	rest->kept_since_ms = range->kept_since_ms;
	rest->state = range->state;
	range->size = size;
	hkm_ranges_insert(HKM_BY_START, rest);
	return rest;
}

struct hkm_big_range *hkm_cache_split(struct hkm_big_range *range, size_t size)
{
	return range->size >= size + SMALLEST_REST ? split(range, size) : NULL;
}

void hkm_cache_cut(struct hkm_big_range *range, size_t size)
{
	struct hkm_big_range *rest = hkm_cache_split(range, size);
	if (rest != NULL)
		hkm_cache_keep(rest);
}

/* ---- Finding ----------------------------------------------------------------------------------------- */

/* Bytes from the range's start to the next multiple of `alignment`. */
static size_t lead_of(const struct hkm_big_range *range, size_t alignment)
{
	return hkm_align_up((uintptr_t)range->start, alignment) - (uintptr_t)range->start;
}

/* Among the next larger ones one that happens to lie well, or else one that is large enough wherever it lies. */
static struct hkm_big_range *find_aligned(size_t size, size_t alignment)
{
	struct hkm_big_range *range = hkm_ranges_from(HKM_BY_SIZE, size, 0);
	for (unsigned looks = 0; range != NULL && looks < ALIGNED_LOOKS; looks++) {
		if (range->size - size >= lead_of(range, alignment))
			return range;
		range = hkm_ranges_from(HKM_BY_SIZE, range->size, (uintptr_t)range->start + 1);
	}
	return range != NULL ? hkm_ranges_from(HKM_BY_SIZE, size + alignment, 0) : NULL;
}

struct hkm_big_range *hkm_cache_take_fitting(size_t size, size_t alignment)
{
	struct hkm_big_range *range = alignment <= hkm_os_page_size() ? hkm_ranges_from(HKM_BY_SIZE, size, 0) :
									  find_aligned(size, alignment);
	if (range == NULL)
		return NULL;
	hkm_cache_remove(range);
	size_t lead = lead_of(range, alignment);
	if (lead == 0)
		return range;
	struct hkm_big_range *rest = split(range, lead);
	enter(range);
	return rest;
}

struct hkm_big_range *hkm_cache_take_smaller(size_t size)
{
	struct hkm_big_range *range = hkm_ranges_below(HKM_BY_SIZE, size, 0);
	if (range != NULL)
		hkm_cache_remove(range);
	return range;
}

/* ---- Giving back ------------------------------------------------------------------------------------- */

/* Takes the next range to be given back off the cache, and out of every order: all of one that is due, of one that is only
 * too much no more than that; NULL: none. */
static struct hkm_big_range *take_for_purge(uint64_t before_ms, size_t keep_bytes, bool *is_due)
{
	struct hkm_big_range *range = hkm_ranges_from(HKM_BY_AGE, 0, 0);
	size_t cached = hkm_counted(&hkm_cache_bytes);
	if (range == NULL)
		return NULL;
	bool due = range->kept_since_ms < before_ms || before_ms == UINT64_MAX;
	*is_due = due;
	if (!due && cached <= keep_bytes)
		return NULL;
	hkm_cache_remove(range);
	if (!due && range->size > cached - keep_bytes)
		hkm_cache_cut(range, hkm_align_up(cached - keep_bytes, SMALLEST_REST));
	hkm_ranges_remove(HKM_BY_START, range);
	range->state = HKM_RANGE_OUT;
	return range;
}

void hkm_cache_note_lowest(void)
{
	lowest_kept = hkm_min(lowest_kept, hkm_counted(&hkm_cache_bytes));
}

/* A block that comes and goes joins what is kept beside it, and makes all of it young again. So the least that was kept for
 * some delays' time, which nobody has needed, goes as well. Result: the bytes to be kept; SIZE_MAX: that time is not over. */
static size_t needed_bytes(uint64_t now_ms)
{
	if (now_ms - lowest_since_ms < hkm_max(UNNEEDED_DELAYS * hkm_regret_delay_ms(), UNNEEDED_LEAST_MS))
		return SIZE_MAX;
	size_t unneeded = lowest_kept;
	lowest_since_ms = now_ms;
	lowest_kept = hkm_counted(&hkm_cache_bytes);
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

/* Result: bytes that have gone back. */
static size_t release(struct hkm_big_range **ranges, unsigned count)
{
	size_t bytes = 0;
	for (unsigned i = 0; i < count; i++) {
		enum hkm_unmapped left = hkm_os_unmap(ranges[i]->start, ranges[i]->size, false);
		bytes += left == HKM_UNMAPPED ? ranges[i]->size : left == HKM_EMPTIED ? resident(ranges[i]) : 0;
		if (left == HKM_UNMAPPED)
			hkm_range_delete(ranges[i]);
		else
			hkm_cache_keep_left(ranges[i], left);
	}
	return bytes;
}

/* `limited`: keep_bytes is the policy's limit, and not what room must be made for. */
static size_t purge(uint64_t before_ms, size_t keep_bytes, bool limited)
{
	size_t bytes = 0;
	bool aged;
	if (hkm_counted(&hkm_cache_ranges) == 0)
		return 0;
	uint64_t now_ms = hkm_os_now_ms();
	bool by_age = before_ms != 0 && before_ms <= now_ms;
	size_t gone = 1;
	for (unsigned count = RELEASES, all = 0; gone > 0 && count == RELEASES && !(by_age && all >= AGED_RELEASES); all += count) {
		struct hkm_big_range *released[RELEASES];
		count = 0;
		hkm_lock_acquire(&hkm_big_lock);
		if (by_age)
			keep_bytes = hkm_min(keep_bytes, needed_bytes(now_ms));
		while (count < RELEASES && (released[count] = take_for_purge(before_ms, keep_bytes, &aged)) != NULL) {
			if (before_ms <= now_ms)
				note_purge(released[count]->size, aged || before_ms != 0, limited, now_ms);
			hkm_count(&hkm_cache_purged, released[count++]->size);
		}
		hkm_cache_note_lowest();
		hkm_lock_release(&hkm_big_lock);
		gone = release(released, count);
		bytes += gone;
	}
	return bytes;
}

size_t hkm_big_purge(uint64_t before_ms, size_t keep_bytes)
{
	return purge(before_ms, keep_bytes, false);
}

void hkm_cache_settle(size_t most)
{
	if (HKM_UNLIKELY(hkm_counted(&hkm_cache_bytes) > most))
		purge(0, most, true);
}

size_t hkm_big_cached(void)
{
	return hkm_counted(&hkm_cache_bytes);
}
