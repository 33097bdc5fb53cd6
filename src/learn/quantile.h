/* quantile.h - the P2 estimator: a quantile of a stream in constant memory.
 *
 * Five markers: the smallest value, the quantile, the largest, and one halfway to either side. With each value their wanted
 * places move on; a marker that lags by one or more is moved, its height along a parabola through its neighbours, or along
 * a line where the parabola would leave their order. (Jain and Chlamtac, "The P2 algorithm for dynamic calculation of
 * quantiles and histograms without storing observations", CACM 28(10), 1985.)
 *
 * Invariant: heights and places are in order. Up to five values the estimate is exact. Beyond, it is a value between the
 * smallest and the largest seen; over 10,000 values and more of a smooth distribution within 2 % of the rank asked for,
 * whatever the order (tests/unit/test_quantile.c holds it against exact ones).
 *
 * One thread at a time.
 */
#ifndef HKM_QUANTILE_H
#define HKM_QUANTILE_H

#include <stdint.h>

#define HKM_MARKERS 5

struct hkm_quantile {
	double p;                   /* of the quantile, 0 to 1 */
	uint64_t count;             /* values seen */
	double height[HKM_MARKERS]; /* the values themselves, sorted, while there are fewer than five */
	double place[HKM_MARKERS];  /* ranks, from 1 */
	double wanted[HKM_MARKERS]; /* places where the markers should be */
};

/* Begins the estimate of the p-quantile, 0 < p < 1. */
void hkm_quantile_start(struct hkm_quantile *quantile, double p);

/* Takes the next value of the stream. */
void hkm_quantile_add(struct hkm_quantile *quantile, double value);

/* The estimate; 0 before the first value. */
double hkm_quantile_value(const struct hkm_quantile *quantile);

#endif
