/* big.c - see big.h. */
#include "big/big.h"

#include "core/meta.h"
#include "os/os.h"

#define HASH_BUCKETS 4096u
#define SMALLEST_LOG 12u                             /* alignment alone can make a small block Big */
#define SIZE_BUCKETS ((48u - SMALLEST_LOG) * 8u)
#define HUGE_PAGE ((size_t)2 << 20)
#define RELEASES 32u                                 /* mappings unmapped in one go */

struct mapping {
	char *start;
	size_t size;                    /* bytes */
	struct mapping *hash_next;      /* registry, while live */
	struct mapping *next, *prev;    /* size bucket, while kept */
	struct mapping *newer, *older;  /* queue by age, while kept */
	uint64_t kept_since_ms;
};

struct hkm_lock hkm_big_lock;

/* All guarded by hkm_big_lock; the counters are read by anyone. */
static struct mapping *registry[HASH_BUCKETS];
static struct mapping *kept[SIZE_BUCKETS];
static uint64_t kept_bits[(SIZE_BUCKETS + 63) / 64]; /* bit per bucket that is not empty */
static struct mapping *oldest, *newest;
static hkm_counter live_bytes, live_count, kept_bytes, kept_count, hits, misses, remaps, purged_bytes;

/* ---- Registry ----------------------------------------------------------------------------------- */

static struct mapping **registry_slot(const void *start)
{
	return &registry[((uintptr_t)start >> 12) * 0x9E3779B97F4A7C15u >> 52];
}

static void registry_insert(struct mapping *mapping)
{
	struct mapping **slot = registry_slot(mapping->start);
	mapping->hash_next = *slot;
	*slot = mapping;
	hkm_count(&live_bytes, mapping->size);
	hkm_count(&live_count, 1);
}

static struct mapping *registry_find(const void *start)
{
	struct mapping *mapping = *registry_slot(start);
	while (mapping != NULL && mapping->start != start)
		mapping = mapping->hash_next;
	return mapping;
}

static void registry_remove(struct mapping *mapping)
{
	struct mapping **link = registry_slot(mapping->start);
	while (*link != mapping)
		link = &(*link)->hash_next;
	*link = mapping->hash_next;
	hkm_count(&live_bytes, 0 - (uint64_t)mapping->size);
	hkm_count(&live_count, (uint64_t)-1);
}

/* ---- Cache ---------------------------------------------------------------------------------------- */

static unsigned size_bucket(size_t size)
{
	unsigned log = hkm_log2(size);
	return (log - SMALLEST_LOG) * 8 + (unsigned)(size >> (log - 3) & 7);
}

static void kept_insert(struct mapping *mapping)
{
	unsigned bucket = size_bucket(mapping->size);
	mapping->prev = NULL;
	mapping->next = kept[bucket];
	if (mapping->next != NULL)
		mapping->next->prev = mapping;
	kept[bucket] = mapping;
	kept_bits[bucket / 64] |= (uint64_t)1 << bucket % 64;
	mapping->kept_since_ms = hkm_os_now_ms();
	mapping->newer = NULL;
	mapping->older = newest;
	if (newest != NULL)
		newest->newer = mapping;
	else
		oldest = mapping;
	newest = mapping;
	hkm_count(&kept_bytes, mapping->size);
	hkm_count(&kept_count, 1);
}

static void kept_remove(struct mapping *mapping)
{
	unsigned bucket = size_bucket(mapping->size);
	if (mapping->prev != NULL)
		mapping->prev->next = mapping->next;
	else
		kept[bucket] = mapping->next;
	if (mapping->next != NULL)
		mapping->next->prev = mapping->prev;
	if (kept[bucket] == NULL)
		kept_bits[bucket / 64] &= ~((uint64_t)1 << bucket % 64);
	if (mapping->newer != NULL)
		mapping->newer->older = mapping->older;
	else
		newest = mapping->older;
	if (mapping->older != NULL)
		mapping->older->newer = mapping->newer;
	else
		oldest = mapping->newer;
	hkm_count(&kept_bytes, 0 - (uint64_t)mapping->size);
	hkm_count(&kept_count, (uint64_t)-1);
}

/* The smallest kept mapping of `size` to `most` bytes at a multiple of `alignment`. */
static struct mapping *find_fitting(size_t size, size_t most, size_t alignment)
{
	for (unsigned bucket = size_bucket(size); bucket <= size_bucket(most); bucket++) {
		struct mapping *best = NULL;
		if ((kept_bits[bucket / 64] >> bucket % 64 & 1) == 0)
			continue;
		for (struct mapping *mapping = kept[bucket]; mapping != NULL; mapping = mapping->next)
			if (mapping->size >= size && mapping->size <= most &&
			    ((uintptr_t)mapping->start & (alignment - 1)) == 0 &&
			    (best == NULL || mapping->size < best->size))
				best = mapping;
		if (best != NULL)
			return best;
	}
	return NULL;
}

/* A kept mapping of the highest bucket below `size`. */
static struct mapping *find_smaller(size_t size)
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

size_t hkm_big_purge(uint64_t before_ms, size_t keep_bytes)
{
	size_t bytes = 0;
	for (;;) {
		struct mapping *released[RELEASES];
		unsigned count = 0;
		if (hkm_counted(&kept_count) == 0)
			break;
		hkm_lock_acquire(&hkm_big_lock);
		while (count < RELEASES && oldest != NULL &&
		       (oldest->kept_since_ms < before_ms || hkm_counted(&kept_bytes) > keep_bytes)) {
			released[count] = oldest;
			kept_remove(released[count]);
			hkm_count(&purged_bytes, released[count++]->size);
		}
		hkm_lock_release(&hkm_big_lock);
		for (unsigned i = 0; i < count; i++) {
			bytes += released[i]->size;
			hkm_os_unmap(released[i]->start, released[i]->size, false);
			hkm_meta_free(released[i], sizeof *released[i]);
		}
		if (count < RELEASES)
			break;
	}
	return bytes;
}

/* ---- Allocation ---------------------------------------------------------------------------------------- */

/* A new mapping, and as much of the cache's oldest given back; NULL if the system refuses. */
static char *map_new(const struct hkm_policy *policy, size_t size, size_t alignment)
{
	size_t cached = hkm_counted(&kept_bytes);
	hkm_big_purge(0, cached > size ? cached - size : 0);
	bool huge = policy->thp_threshold != 0 && size >= policy->thp_threshold;
	if (huge)
		alignment = hkm_max(alignment, HUGE_PAGE);
	char *start = hkm_os_map_aligned(size, alignment);
	if (start != NULL && huge)
		hkm_os_huge_pages(start, size, true);
	return start;
}

/* Takes a kept mapping of at most `most` bytes that fits off the cache; NULL: none. */
static struct mapping *take_fitting(size_t size, size_t most, size_t alignment)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct mapping *mapping = find_fitting(size, most, alignment);
	if (mapping != NULL)
		kept_remove(mapping);
	hkm_count(mapping != NULL ? &hits : &misses, 1);
	hkm_lock_release(&hkm_big_lock);
	return mapping;
}

/* Takes a kept mapping that is too small and grows it; NULL: none, or the system refuses. */
static struct mapping *take_grown(size_t size)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct mapping *mapping = find_smaller(size);
	if (mapping != NULL)
		kept_remove(mapping);
	hkm_lock_release(&hkm_big_lock);
	if (mapping == NULL)
		return NULL;
	char *start = hkm_os_remap(mapping->start, mapping->size, size, true);
	hkm_lock_acquire(&hkm_big_lock);
	if (start != NULL) {
		mapping->start = start;
		mapping->size = size;
		hkm_count(&remaps, 1);
	} else {
		kept_insert(mapping);
	}
	hkm_lock_release(&hkm_big_lock);
	return start != NULL ? mapping : NULL;
}

/* A mapping of its own for the request, its structure included; NULL: no memory. */
static struct mapping *take_new(const struct hkm_policy *policy, size_t size, size_t alignment)
{
	struct mapping *mapping = hkm_meta_alloc(sizeof *mapping);
	if (mapping == NULL)
		return NULL;
	mapping->size = size;
	mapping->start = map_new(policy, size, alignment);
	if (mapping->start == NULL) {
		hkm_meta_free(mapping, sizeof *mapping);
		return NULL;
	}
	return mapping;
}

void *hkm_big_alloc(const struct hkm_policy *policy, size_t size, size_t alignment, bool *zeroed)
{
	size = hkm_align_up(hkm_max(size, (size_t)1 << SMALLEST_LOG), hkm_os_page_size());
	struct mapping *mapping = take_fitting(size, size + size / 1000 * (policy->big_surplus - 1000), alignment);
	if (mapping == NULL && alignment <= hkm_os_page_size())
		mapping = take_grown(size);
	*zeroed = mapping == NULL;
	if (mapping == NULL)
		mapping = take_new(policy, size, alignment);
	if (mapping == NULL) {
		/* Before the program is told that there is no memory: a kept mapping of any size, and then all that is
		 * kept goes for another try. */
		mapping = take_fitting(size, SIZE_MAX >> 17, alignment);
		*zeroed = mapping == NULL;
		if (mapping == NULL && hkm_big_purge(UINT64_MAX, 0) > 0)
			mapping = take_new(policy, size, alignment);
		if (mapping == NULL)
			return NULL;
	}
	/* Once the lock is let go, the block may be freed by nobody but the caller. */
	hkm_lock_acquire(&hkm_big_lock);
	registry_insert(mapping);
	hkm_lock_release(&hkm_big_lock);
	return mapping->start;
}

bool hkm_big_free(const struct hkm_policy *policy, void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	struct mapping *mapping = registry_find(pointer);
	if (mapping != NULL) {
		registry_remove(mapping);
		kept_insert(mapping);
	}
	hkm_lock_release(&hkm_big_lock);
	if (mapping != NULL)
		hkm_big_purge(0, policy->big_cache_bytes);
	return mapping != NULL;
}

bool hkm_big_was_freed(const void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	const struct mapping *mapping = oldest;
	while (mapping != NULL && mapping->start != pointer)
		mapping = mapping->newer;
	hkm_lock_release(&hkm_big_lock);
	return mapping != NULL;
}

size_t hkm_big_usable(const void *pointer)
{
	hkm_lock_acquire(&hkm_big_lock);
	const struct mapping *mapping = registry_find(pointer);
	size_t size = mapping != NULL ? mapping->size : 0;
	hkm_lock_release(&hkm_big_lock);
	return size;
}

void *hkm_big_resize(const struct hkm_policy *policy, void *pointer, size_t size)
{
	size = hkm_align_up(size, hkm_os_page_size());
	hkm_lock_acquire(&hkm_big_lock);
	struct mapping *mapping = registry_find(pointer);
	if (mapping != NULL)
		registry_remove(mapping);
	hkm_lock_release(&hkm_big_lock);
	if (mapping == NULL)
		return NULL;
	char *start = mapping->start;
	if (size != mapping->size) {
		if (size > mapping->size) {
			/* Growing takes fresh memory: idle mappings go for it. */
			size_t cached = hkm_counted(&kept_bytes), growth = size - mapping->size;
			hkm_big_purge(0, cached > growth ? cached - growth : 0);
		}
		start = hkm_os_remap(mapping->start, mapping->size, size, true);
		if (start != NULL) {
			mapping->start = start;
			mapping->size = size;
			if (policy->thp_threshold != 0 && size >= policy->thp_threshold)
				hkm_os_huge_pages(start, size, true);
		}
	}
	hkm_lock_acquire(&hkm_big_lock);
	registry_insert(mapping);
	hkm_lock_release(&hkm_big_lock);
	return start;
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
}

size_t hkm_big_cached(void)
{
	return hkm_counted(&kept_bytes);
}
