/* peaks.c - see peaks.h. */
#include "learn/peaks.h"

#define CLEARLY 1.2 /* times what the present sizes save */

/* The block that serves `size`, of a static class or one of the two sizes (0: none). */
static uint32_t block_for(uint32_t size, const uint32_t dynamic[2])
{
	uint32_t block = hkm_ace_static_size(hkm_ace_class(size));
	for (unsigned i = 0; i < 2; i++)
		if (dynamic[i] >= size && dynamic[i] < block)
			block = dynamic[i];
	return block;
}

static bool counts(const uint32_t *count, const uint16_t *largest, unsigned bucket)
{
	return count[bucket] > 0 && largest[bucket] > HKM_TINY_MAX && largest[bucket] <= HKM_MID_MAX;
}

/* Bytes of blocks for all requests, each as large as the largest of its bucket. */
static double bytes_with(const uint32_t *count, const uint16_t *largest, const uint32_t dynamic[2])
{
	double bytes = 0;
	for (unsigned bucket = 0; bucket < HKM_PEAK_BUCKETS; bucket++)
		if (counts(count, largest, bucket))
			bytes += (double)count[bucket] * block_for(largest[bucket], dynamic);
	return bytes;
}

/* Bytes saved by a class of `size` in place `place`: on the requests below it, down to the next class that exists. */
static double saved_by(const uint32_t *count, const uint16_t *largest, const uint32_t dynamic[2], uint32_t size,
		       unsigned bucket)
{
	double saved = 0;
	for (unsigned below = bucket + 1; below-- > 0;) {
		if (!counts(count, largest, below))
			continue;
		uint32_t block = block_for(largest[below], dynamic);
		if (block <= size)
			break;
		saved += (double)count[below] * (block - size);
	}
	return saved;
}

/* The size that saves most beside `dynamic[1 - place]`; 0: none saves `least` bytes. */
static uint32_t best_size(const uint32_t *count, const uint16_t *largest, const uint32_t present[2], unsigned place,
			  double least)
{
	uint32_t dynamic[2], best = 0;
	dynamic[1 - place] = present[1 - place];
	dynamic[place] = 0;
	double most = least;
	for (unsigned bucket = 0; bucket < HKM_PEAK_BUCKETS; bucket++) {
		if (!counts(count, largest, bucket))
			continue;
		uint32_t size = (uint32_t)hkm_align_up(largest[bucket], 16);
		if (size == hkm_ace_static_size(hkm_ace_class(size)) || size == dynamic[1 - place])
			continue;
		double saved = saved_by(count, largest, dynamic, size, bucket);
		if (saved > most) {
			most = saved;
			best = size;
		}
	}
	return best;
}

void hkm_peaks_choose(const uint32_t *count, const uint16_t *largest, const uint32_t current[2], double least_share,
		      uint32_t chosen[2])
{
	static const uint32_t none[2];
	double all = bytes_with(count, largest, none), least = least_share * all;
	chosen[0] = chosen[1] = 0;
	chosen[0] = best_size(count, largest, chosen, 0, least);
	chosen[1] = chosen[0] != 0 ? best_size(count, largest, chosen, 1, least) : 0;
	double saved = all - bytes_with(count, largest, chosen), present = all - bytes_with(count, largest, current);
	bool worth_having = present >= least && present > 0;
	if (worth_having && saved < CLEARLY * present) {
		chosen[0] = current[0];
		chosen[1] = current[1];
	} else if ((chosen[0] != 0 && chosen[0] == current[1]) || (chosen[1] != 0 && chosen[1] == current[0])) {
		/* Who stays keeps its place. */
		uint32_t first = chosen[0];
		chosen[0] = chosen[1];
		chosen[1] = first;
	}
}
