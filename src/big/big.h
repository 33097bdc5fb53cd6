/* big.h - L2, requests of 2 MiB and more (and alignments above 1 MiB): whole pages, mapped.
 *
 *   registry   (tree.c)  every range in the order of addresses: finds blocks, neighbours, and what a pointer lies in
 *   cache      (cache.c) freed ranges, still resident: neighbours joined; found by size, given back by age; bounded in bytes
 *
 * A request takes the best fit of the cache, cut to size (a surplus within the policy's bound stays with the
 * block); failing that, the largest kept range that is too small, grown by mremap, so that its pages are used
 * again and the process does not hold both; failing that, a new mapping. Whatever fresh memory is mapped, as
 * much of the cache's oldest goes. Nothing under the lock takes more steps than the logarithm of the number of ranges, but
 * for the release of what is too old or too much, which lets go of the lock after every 32.
 *
 * Mappings made one after the other lie side by side, and the kernel joins them: a range may be part of one
 * mapping or span several, and is unmapped or moved as it is.
 *
 * All functions are for any thread. `policy` is a snapshot that the caller holds.
 */
#ifndef HKM_BIG_H
#define HKM_BIG_H

#include "base/regret.h"
#include "policy/policy.h"
#include "sites/rules.h"

/* A block of at least `size` bytes at a multiple of `alignment` (a power of two); NULL if there is no memory.
 * *zeroed: it reads as zero. */
void *hkm_big_alloc(const struct hkm_policy *policy, size_t size, size_t alignment, bool *zeroed);

/* The same with hints of the call site. A sampled block comes from a mapping of its own. *dirty: so many bytes at its start
 * may have been used before; all others have just been mapped, and read as zero. */
void *hkm_big_alloc_hinted(const struct hkm_policy *policy, size_t size, size_t alignment, hkm_hints hints,
			   size_t *dirty);

/* Frees a block; result: false if none starts at `pointer`. What the program asked the system for in its pages (protection,
 * MADV_DONTFORK, MADV_WIPEONFORK, MADV_DONTDUMP) ends with it, and so does what it mapped onto them. Not taken back: mlock, advice
 * on huge pages, mbind; they end when the range is unmapped. */
bool hkm_big_free(const struct hkm_policy *policy, void *pointer);

/* Whether `pointer` lies in memory that was freed and is still kept: tells a double free from a wild pointer. */
bool hkm_big_was_freed(const void *pointer);

/* Usable bytes of the block at `pointer`; 0 if none starts there, or, for the second, if somebody holds the lock. */
size_t hkm_big_usable(const void *pointer);
size_t hkm_big_usable_at_once(const void *pointer);

/* Resizes a block that exists, moving its pages if need be, and copying next to nothing; NULL if the system refuses. */
void *hkm_big_resize(const struct hkm_policy *policy, void *pointer, size_t size);

/* Gives kept mappings back, oldest first: those kept since before `before_ms`, and then until no more than
 * `keep_bytes` are left. Result: bytes given back. */
size_t hkm_big_purge(uint64_t before_ms, size_t keep_bytes);

struct hkm_big_stats {
	size_t live_bytes, cached_bytes, mappings, cached_mappings;
	uint64_t hits, misses, remaps, purged_bytes;
	uint64_t huge_bytes; /* of fresh memory, for which huge pages were asked, so far */
	uint64_t probed_bytes, probe_ns; /* of that, made resident at once, to see what it costs */
};

/* Each figure is right for some moment of the call. */
void hkm_big_stats(struct hkm_big_stats *stats);

/* What became of ranges that were given back because of their age, and because there were too many of them. Reuse is
 * counted under the first. Constant addresses. */
extern struct hkm_regret hkm_big_aged, hkm_big_surplus;

/* Asserts every invariant of registry and cache; takes the lock. Called by every 32nd call of the debug build. */
void hkm_big_check(void);

/* Bytes kept (advice). */
size_t hkm_big_cached(void);

/* Guards registry and cache; for fork only. */
extern struct hkm_lock hkm_big_lock;

#endif
