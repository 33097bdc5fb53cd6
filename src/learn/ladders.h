/* ladders.h - the actuators that are one number of the policy each, moved in steps of a factor.
 */
#ifndef HKM_LADDERS_H
#define HKM_LADDERS_H

#include "learn/actuators.h"

/* Ladder `index` (below HKM_LADDERS) proposes a step up (+1) or down (-1). Result: whether there is one. */
bool hkm_ladder_propose(const struct hkm_actuators *actuators, const struct hkm_period *window,
			const struct hkm_policy *base, unsigned index, int direction, struct hkm_proposal *proposal);

#endif
