/* capacity.h - CAP: the capacities of L1's thread caches, and how many empty spans its pools keep, from hit rates, ghost
 * hits and the budgets.
 *
 *   hit rate below the target, and misses that a cache of twice the size would have served   -> it grows
 *   hit rate above the target, and no such misses                                            -> it shrinks
 *
 * The seed's proportional step is the simplest rule, the PID controller (learn/pid.h) the other. What all caches of a
 * layer may hold together is bounded by its budget; where growth does not fit, water-filling (learn/budget.h) hands
 * capacity to the classes with the most ghost hits per byte.
 *
 * A pool keeps more spans where those that it makes anew, and would not have to, cost more than the rent of what it would
 * keep; half as many, where the rent of the others is more than what it would cost to make those of them that are asked for.
 * Pools have budgets of the same size as caches, of their own, and share them out in the same way.
 */
#ifndef HKM_CAPACITY_H
#define HKM_CAPACITY_H

#include "learn/actuators.h"

/* Changes policy->cache_blocks in one direction: +1 lets caches grow, -1 lets them shrink.
 * Result: by how many bytes per thread the capacities have changed, all together. */
double hkm_capacity_change(struct hkm_actuators *actuators, const struct hkm_period *window, int direction,
			   struct hkm_policy *policy);

/* Changes policy->pool_spans in one direction. Result: what that promises, by what is counted; 0 if nothing has
 * changed. */
double hkm_capacity_change_pools(const struct hkm_actuators *actuators, const struct hkm_period *window, int direction,
				 struct hkm_policy *policy);

#endif
