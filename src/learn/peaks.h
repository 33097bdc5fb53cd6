/* peaks.h - provisional: the best single size; helper `controllers` has the real one. */
#ifndef HKM_PEAKS_H
#define HKM_PEAKS_H
#include "core/sizeclass.h"
#define HKM_PEAK_BUCKETS 124u
static inline void hkm_peaks_choose(const uint32_t *count, const uint16_t *largest, const uint32_t current[2],
				    double least_share, uint32_t chosen[2])
{
	double total = 0, best[2] = { 0 };
	uint32_t size[2] = { 0 };
	for (unsigned i = 0; i < HKM_PEAK_BUCKETS; i++) {
		if (count[i] == 0 || largest[i] <= HKM_TINY_MAX)
			continue;
		uint32_t block = (uint32_t)hkm_align_up(largest[i], 16), fits = hkm_ace_static_size(hkm_ace_class(block));
		double saved = (double)count[i] * (fits - block);
		total += (double)count[i] * fits;
		unsigned place = saved > best[0] ? 0 : saved > best[1] ? 1 : 2;
		if (place == 0) {
			best[1] = best[0];
			size[1] = size[0];
		}
		if (place < 2) {
			best[place] = saved;
			size[place] = block;
		}
	}
	for (unsigned i = 0; i < 2; i++)
		chosen[i] = best[i] > least_share * total ? size[i] : current[i];
}
#endif
