/* budget.h - sharing out a budget by marginal gain (water-filling).
 *
 * Units are given one by one to whoever gains most from its next one per cost; gains diminish: the k-th unit of one brings
 * a k-th of its gain. For concave gains the greedy choice is the best one (Fox, "Discrete optimization via marginal
 * analysis", 1966). Pure.
 */
#ifndef HKM_BUDGET_H
#define HKM_BUDGET_H

#include <stdint.h>

#define HKM_BUDGET_MOST 64u

#define HKM_BUDGET_UNITS UINT32_MAX

/* `capacities` holds the most units of each of the n (up to HKM_BUDGET_MOST) and receives what is granted.
 *   gains   of the first unit, any unit of measure; 0 or less: none
 *   costs   of each unit, > 0, in the budget's unit
 *   units   most of them in all; HKM_BUDGET_UNITS: no bound
 * The costs of what is granted are never more than the budget. */
void hkm_budget_fill(const double *gains, const double *costs, unsigned n, double budget, uint32_t units,
		     uint32_t *capacities);

#endif
