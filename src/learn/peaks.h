/* peaks.h - where DYN1 and DYN2 would save most.
 *
 * A class of the largest size in a bucket of the request histogram serves all smaller requests down to the next static class
 * below. What it saves is counted, not guessed: for each bucket that it would serve, requests times the difference of the
 * block sizes. The best size is taken, then the best beside it. Pure.
 */
#ifndef HKM_PEAKS_H
#define HKM_PEAKS_H

#include "core/sizeclass.h"

#define HKM_PEAK_BUCKETS 124u /* of 256 bytes, from 1 KiB to 32 KiB */

/* Chooses the sizes of both dynamic classes: multiples of 16 that are no static class's and differ, 0 for none.
 *
 *   count, largest   per bucket: requests, and the largest of them in bytes
 *   current          the present sizes; they stay unless others save a fifth more
 *   least_share      of the bytes of all requests that a class must save to be worth having
 */
void hkm_peaks_choose(const uint32_t *count, const uint16_t *largest, const uint32_t current[2], double least_share,
		      uint32_t chosen[2]);

#endif
