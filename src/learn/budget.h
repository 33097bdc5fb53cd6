/* budget.h - provisional; helper `controllers` has the real one. `capacities` in: most, out: granted. */
#ifndef HKM_BUDGET_H
#define HKM_BUDGET_H
#include <stdint.h>
static inline void hkm_budget_fill(const double *gains, const double *costs, unsigned n, double budget,
				   uint32_t *capacities)
{
	uint32_t most[64];
	for (unsigned i = 0; i < n; i++) {
		most[i] = capacities[i];
		capacities[i] = 0;
	}
	for (;;) {
		unsigned best = n;
		double most_gain = 0;
		for (unsigned i = 0; i < n; i++) {
			double gain = gains[i] / (1 + capacities[i]) / costs[i];
			if (capacities[i] < most[i] && costs[i] <= budget && gain > most_gain) {
				most_gain = gain;
				best = i;
			}
		}
		if (best == n)
			return;
		capacities[best]++;
		budget -= costs[best];
	}
}
#endif
