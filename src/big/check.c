/* check.c - L2's validator, for the debug build and the unit tests; see big.h. */
#include "big/cache.h"

void hkm_big_check(void)
{
	size_t kept = 0, bytes = 0;
	const struct hkm_big_range *last = NULL;
	hkm_lock_acquire(&hkm_big_lock);
	uint64_t steps = hkm_ranges_steps;
	size_t known = hkm_ranges_check(HKM_BY_START);
	for (struct hkm_big_range *range = hkm_ranges_from(HKM_BY_START, 0, 0); range != NULL;
	     range = hkm_ranges_from(HKM_BY_START, (uintptr_t)range->start + 1, 0)) {
		HKM_ASSERT(range->size > 0 && range->state != HKM_RANGE_OUT);
		if (last != NULL) {
			HKM_ASSERT(last->start + last->size <= range->start);
			HKM_ASSERT(last->state != HKM_RANGE_KEPT || range->state != HKM_RANGE_KEPT ||
				   last->start + last->size < range->start);
		}
		kept += range->state == HKM_RANGE_KEPT;
		bytes += range->state == HKM_RANGE_KEPT && range->kept_since_ms != HKM_EMPTY ? range->size : 0;
		HKM_ASSERT(range->state != HKM_RANGE_KEPT || (range->age == HKM_EMPTY) == (range->kept_since_ms == HKM_EMPTY));
		known--;
		last = range;
	}
	HKM_ASSERT(known == 0);
	HKM_ASSERT(hkm_ranges_check(HKM_BY_SIZE) == kept && hkm_ranges_check(HKM_BY_AGE) == kept);
	HKM_ASSERT(hkm_counted(&hkm_cache_ranges) == kept && hkm_counted(&hkm_cache_bytes) == bytes);
	hkm_ranges_steps = steps;
	hkm_lock_release(&hkm_big_lock);
}
