/* strategies.h - named bundles of policy values: whole ways of working, for the tournament that decides from which one
 * the controllers refine (Elo ratings, learn/elo.h).
 */
#ifndef HKM_STRATEGIES_H
#define HKM_STRATEGIES_H

#include "learn/signals.h"

enum hkm_strategy {
	HKM_STRATEGY_STEADY,   /* what the options say */
	HKM_STRATEGY_LEAN,     /* gives memory back soon: small caches, short delay, nothing kept empty */
	HKM_STRATEGY_BURST,    /* keeps what a burst has left for the next one */
	HKM_STRATEGY_PIPELINE, /* long messages and lists: blocks that die in another thread than their own */
	HKM_STRATEGY_BULK,     /* large blocks come and go: large caches, large budgets */
	HKM_STRATEGIES_COUNT,
};

const char *hkm_strategy_name(enum hkm_strategy strategy);

/* Turns *policy, which is what the options say, into the strategy's. */
void hkm_strategy_apply(enum hkm_strategy strategy, struct hkm_policy *policy);

/* What a strategy promises, seen from a window that another was in force in, in the unit of the objective. */
double hkm_strategy_promise(enum hkm_strategy strategy, const struct hkm_period *window);

#endif
