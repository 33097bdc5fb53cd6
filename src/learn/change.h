/* change.h - has a signal left its level? The Page-Hinkley test, in both directions.
 *
 * Sums the departures from the mean so far, each less a tolerance; a sum that would fall below 0 stays there. An alarm above
 * the threshold. (Page, "Continuous inspection schemes", Biometrika 41, 1954; Hinkley 1971.) The tolerance is the
 * departure that does not matter, threshold / departure the number of values after which a lasting one is noticed. One
 * thread at a time.
 */
#ifndef HKM_CHANGE_H
#define HKM_CHANGE_H

#include <stdbool.h>
#include <stdint.h>

struct hkm_change {
	double tolerance, threshold;
	uint64_t count;
	double mean;     /* of the values since the start or the last alarm */
	double up, down; /* sums of departures */
};

/* Begins; both in the unit of the values. */
void hkm_change_start(struct hkm_change *change, double tolerance, double threshold);

/* Takes a value. Result: the level has changed; the detector has begun anew then. */
bool hkm_change_add(struct hkm_change *change, double value);

#endif
