/* change.c - see change.h. */
#include "learn/change.h"

void hkm_change_start(struct hkm_change *change, double tolerance, double threshold)
{
	*change = (struct hkm_change){ .tolerance = tolerance, .threshold = threshold };
}

static double accumulate(double sum, double departure)
{
	sum += departure;
	return sum > 0 ? sum : 0;
}

bool hkm_change_add(struct hkm_change *change, double value)
{
	change->count++;
	change->mean += (value - change->mean) / (double)change->count;
	double departure = value - change->mean;
	change->up = accumulate(change->up, departure - change->tolerance);
	change->down = accumulate(change->down, -departure - change->tolerance);
	if (change->up <= change->threshold && change->down <= change->threshold)
		return false;
	hkm_change_start(change, change->tolerance, change->threshold);
	return true;
}
