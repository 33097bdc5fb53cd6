/* budget.c - see budget.h. */
#include "learn/budget.h"

#include "base/base.h"

/* Who gains most per cost from one unit more, and can pay for it; n: nobody. */
static unsigned next_in_line(const double *gains, const double *costs, unsigned n, double budget, const uint32_t *most,
			     const uint32_t *granted)
{
	unsigned best = n;
	double highest = 0;
	for (unsigned i = 0; i < n; i++) {
		double gain = gains[i] / (granted[i] + 1) / costs[i];
		if (granted[i] < most[i] && costs[i] <= budget && gain > highest) {
			highest = gain;
			best = i;
		}
	}
	return best;
}

void hkm_budget_fill(const double *gains, const double *costs, unsigned n, double budget, uint32_t units,
		     uint32_t *capacities)
{
	uint32_t most[HKM_BUDGET_MOST];
	HKM_ASSERT(n <= HKM_BUDGET_MOST);
	for (unsigned i = 0; i < n; i++) {
		most[i] = capacities[i];
		capacities[i] = 0;
	}
	unsigned next;
	for (; units > 0 && (next = next_in_line(gains, costs, n, budget, most, capacities)) < n; units--) {
		capacities[next]++;
		budget -= costs[next];
	}
}
