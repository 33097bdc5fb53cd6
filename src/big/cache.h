/* cache.h - L2's kept ranges: joined, cut, found by size, given back by age or amount. Internal to big/.
 *
 * "Caller locks" means hkm_big_lock.
 */
#ifndef HKM_BIG_CACHE_H
#define HKM_BIG_CACHE_H

#include "big/big.h"
#include "big/range.h"
#include "os/os.h"

/* Keeps a range whose age is set and which stands in the order by address, together with the kept ones that it touches.
 * Caller locks. */
void hkm_cache_keep(struct hkm_big_range *range);

/* Now is the time from which the range counts as kept. Caller locks. */
void hkm_cache_stamp(struct hkm_big_range *range);

/* Keeps a range that is in no order: the system has not unmapped it, but emptied it, or left it as it is. Takes the lock. */
void hkm_cache_keep_left(struct hkm_big_range *range, enum hkm_unmapped left);

/* Takes a range out of the cache; it stands in the order by address still. Caller locks. */
void hkm_cache_remove(struct hkm_big_range *range);

/* Makes `behind`, which is kept and follows on `range`, a part of it. Caller locks. */
void hkm_cache_absorb(struct hkm_big_range *range, struct hkm_big_range *behind);

/* Cuts a range that is not kept down to `size` bytes; result: the rest, as old and in the same state. NULL: a rest that is too
 * short, or for which there is no structure, stays with the range. The second function keeps the rest. Caller locks. */
struct hkm_big_range *hkm_cache_split(struct hkm_big_range *range, size_t size);
void hkm_cache_cut(struct hkm_big_range *range, size_t size);

/* Takes the best fit for a block at a multiple of `alignment`, which starts there; NULL: none. Caller locks. */
struct hkm_big_range *hkm_cache_take_fitting(size_t size, size_t alignment);

/* Takes the largest range that is smaller than `size`; NULL: none. Caller locks. */
struct hkm_big_range *hkm_cache_take_smaller(size_t size);

/* The kept range that starts at `start`; NULL: none. Caller locks. */
struct hkm_big_range *hkm_cache_at(const char *start);

/* The cache has become smaller. Caller locks. */
void hkm_cache_note_lowest(void);

/* Gives back what there is beyond `most` bytes, oldest first: the policy's limit. */
void hkm_cache_settle(size_t most);

/* Bytes kept (advice), and ranges. */
extern hkm_counter hkm_cache_bytes, hkm_cache_ranges, hkm_cache_purged;

#endif
