/* change.h - provisional; helper `controllers` has the real one. */
#ifndef HKM_CHANGE_H
#define HKM_CHANGE_H
#include <stdbool.h>
struct hkm_change {
	double tolerance, threshold, mean, up, down;
	unsigned long count;
};
static inline void hkm_change_start(struct hkm_change *d, double tolerance, double threshold)
{
	*d = (struct hkm_change){ .tolerance = tolerance, .threshold = threshold };
}
static inline bool hkm_change_add(struct hkm_change *d, double x)
{
	d->mean += (x - d->mean) / (double)++d->count;
	d->up = d->up + x - d->mean - d->tolerance > 0 ? d->up + x - d->mean - d->tolerance : 0;
	d->down = d->down - x + d->mean - d->tolerance > 0 ? d->down - x + d->mean - d->tolerance : 0;
	if (d->up <= d->threshold && d->down <= d->threshold)
		return false;
	hkm_change_start(d, d->tolerance, d->threshold);
	return true;
}
#endif
