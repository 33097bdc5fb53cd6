/* strategies.c - see strategies.h. */
#include "learn/strategies.h"

#include "ace/ace.h"
#include "learn/prices.h"

#define KIB ((uint32_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

const char *hkm_strategy_name(enum hkm_strategy strategy)
{
	static const char *const names[HKM_STRATEGIES_COUNT] = { "steady", "lean", "burst", "pipeline", "bulk" };
	return names[strategy];
}

/* Multiplies the capacities of the caches of a layer. */
static void scale_caches(struct hkm_policy *policy, bool large, double factor)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		unsigned most = hkm_ace_is_large(class) ? HKM_LARGE_SLOTS : HKM_MID_SLOTS;
		if (hkm_ace_is_large(class) == large)
			policy->cache_blocks[class] = (uint16_t)hkm_min((size_t)(policy->cache_blocks[class] * factor), most);
	}
}

static void lean(struct hkm_policy *policy)
{
	scale_caches(policy, false, 0.25);
	scale_caches(policy, true, 0);
	policy->cache_bytes = MIB / 4;
	policy->cache_share = 0;
	policy->empty_slabs = 0;
	policy->purge_delay_ms = 20;
	policy->big_cache_bytes = 32 * MIB;
	policy->dirty_bytes = 16 * MIB;
}

static void burst(struct hkm_policy *policy)
{
	scale_caches(policy, false, 4);
	policy->empty_slabs = 16;
	policy->purge_delay_ms = 5000;
	policy->big_cache_bytes = GIB;
	policy->dirty_bytes = GIB;
}

static void pipeline(struct hkm_policy *policy)
{
	policy->remote_blocks = 256;
	policy->remote_bytes = 64 * KIB;
	policy->hot_blocks = 1024;
	policy->hot_bytes = 128 * KIB;
	policy->refill_blocks = 256;
	policy->refill_bytes = 16 * KIB;
}

static void bulk(struct hkm_policy *policy)
{
	scale_caches(policy, true, 4);
	policy->cache_bytes = 64 * MIB;
	for (unsigned class = HKM_MID_CLASSES; class < HKM_ACE_STATIC_CLASSES; class++)
		policy->cache_blocks[class] = (uint16_t)hkm_max(policy->cache_blocks[class], 2);
	policy->budget_large = 500;
	policy->big_cache_bytes = GIB;
	policy->dirty_bytes = GIB;
	policy->purge_delay_ms = 2000;
}

void hkm_strategy_apply(enum hkm_strategy strategy, struct hkm_policy *policy)
{
	static void (*const apply[HKM_STRATEGIES_COUNT])(struct hkm_policy *) = {
		[HKM_STRATEGY_LEAN] = lean,
		[HKM_STRATEGY_BURST] = burst,
		[HKM_STRATEGY_PIPELINE] = pipeline,
		[HKM_STRATEGY_BULK] = bulk,
	};
	if (apply[strategy] != NULL)
		apply[strategy](policy);
}

/* Misses of Large classes that larger caches would have served. */
static double large_ghosts(const struct hkm_period *window)
{
	double ghosts = 0;
	for (unsigned class = HKM_MID_CLASSES; class < HKM_ACE_STATIC_CLASSES; class++)
		ghosts += window->ghost_hits[class];
	return ghosts;
}

/* What is counted of what the strategy is about; half of it is hoped for. */
double hkm_strategy_promise(enum hkm_strategy strategy, const struct hkm_period *window)
{
	double free_memory = window->dirty + window->big_cached;
	double reused = window->dirty_reused + window->big_reused;
	double again = hkm_fault_price(window, window->again + window->dirty_again + window->big_again);
	switch (strategy) {
	case HKM_STRATEGY_LEAN:
		return hkm_rent(window, free_memory + window->cached + window->empty_slabs) / 2 -
		       hkm_fault_price(window, reused) - hkm_period_l1_risk(window) / 2;
	case HKM_STRATEGY_BURST:
		return again / 2 - hkm_rent(window, free_memory);
	case HKM_STRATEGY_PIPELINE:
		return hkm_message_price(window, window->remote_messages) / 2;
	case HKM_STRATEGY_BULK:
		return hkm_per_operation(window, large_ghosts(window) * window->entry_ns) / 2 +
		       hkm_fault_price(window, window->big_again + window->dirty_again) / 2 - hkm_rent(window, free_memory);
	case HKM_STRATEGY_STEADY:
	case HKM_STRATEGIES_COUNT:
		break;
	}
	return 0;
}
