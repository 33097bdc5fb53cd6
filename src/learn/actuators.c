/* actuators.c - see actuators.h. */
#include "learn/actuators.h"

#include <string.h>

#include "ace/ace.h"
#include "learn/capacity.h"
#include "learn/ladders.h"
#include "learn/peaks.h"
#include "learn/prices.h"

#define DEMAND_MOST (UINT32_MAX / 8) /* that a window adds to a bucket, which keeps three quarters of the last: no overflow */
#define SETTLE_WINDOWS 4u     /* nobody waits longer for a change to settle */
#define DYNAMIC_LEAST 0.02   /* share of the Mid bytes that a dynamic class must save */
#define EVIDENCE_WINDOWS 16u /* the mean forgets windows before the last so many */
#define ACTUATORS_A_SLICE 4u /* looked at in a slice of a search */
#define TEMPERATURE 100.0    /* of the softmax over ratings, in Elo points */

uint64_t hkm_settle_ms(const struct hkm_actuators *actuators, const struct hkm_policy *base)
{
	uint64_t delay = base->purge_delay_ms;
	return hkm_min(delay + delay / 4, SETTLE_WINDOWS * actuators->settings.window_ms);
}

/* ---- Proposals ---------------------------------------------------------------------------------------------------- */

static bool propose_capacity(struct hkm_actuators *actuators, const struct hkm_period *window,
			     const struct hkm_policy *base, int direction, struct hkm_proposal *proposal)
{
	*proposal = (struct hkm_proposal){
		.direction = direction,
		.what = "cache_blocks",
		.why = direction > 0 ? "misses that larger caches would have served" : "hit rates above the target",
		.policy = *base,
	};
	double bytes = hkm_capacity_change(actuators, window, direction, &proposal->policy), ghosts = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		proposal->from += base->cache_blocks[class];
		proposal->to += proposal->policy.cache_blocks[class];
		/* All ghost hits are of a cache twice as large; the budget may have allowed less. */
		double old = base->cache_blocks[class], share = (proposal->policy.cache_blocks[class] - old) / (old > 1 ? old : 1);
		ghosts += window->ghost_hits[class] * (share < 0 ? 0 : share > 1 ? 1 : share);
	}
	double cached = window->cached, share = cached < -bytes ? 1 : -bytes / (cached + 1);
	proposal->counted = direction > 0;
	proposal->gain = direction > 0 ? hkm_per_operation(window, ghosts * window->entry_ns) :
					 hkm_rent(window, cached * share) - HKM_RISK * share * hkm_period_l1_risk(window);
	return bytes != 0;
}

static bool propose_pools(const struct hkm_actuators *actuators, const struct hkm_period *window,
			  const struct hkm_policy *base, int direction, struct hkm_proposal *proposal)
{
	*proposal = (struct hkm_proposal){
		.direction = direction,
		.what = "pool_spans",
		.why = direction > 0 ? "spans that are given back and made anew" : "spans that are kept empty",
		.settle_ms = hkm_settle_ms(actuators, base),
		.counted = true,
		.policy = *base,
	};
	proposal->gain = hkm_capacity_change_pools(actuators, window, direction, &proposal->policy);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		proposal->from += base->pool_spans[class];
		proposal->to += proposal->policy.pool_spans[class];
	}
	return proposal->to != proposal->from;
}

/* The settings that bandits choose from. Arm 0 is the value that the policy started with. */
static uint64_t arm_value(const struct hkm_actuators *actuators, unsigned actuator, unsigned arm)
{
	static const uint64_t huge_pages[] = { 2u << 20, 4u << 20, 16u << 20 };
	const struct hkm_learn_settings *settings = &actuators->settings;
	switch (actuator) {
	case HKM_ACTUATOR_WMAX_MID:
		return arm == 0 ? actuators->standard.wmax_mid : settings->wmax_mid[arm - 1];
	case HKM_ACTUATOR_WMAX_LARGE:
		return arm == 0 ? actuators->standard.wmax_large : settings->wmax_large[arm - 1];
	default:
		return arm == 0 ? actuators->standard.thp_threshold : huge_pages[arm - 1];
	}
}

#define HUGE_PAGE_ARMS 4u

static struct hkm_bandit *bandit_of(struct hkm_actuators *actuators, unsigned actuator)
{
	return actuator == HKM_ACTUATOR_WMAX_MID   ? &actuators->wmax_mid :
	       actuator == HKM_ACTUATOR_WMAX_LARGE ? &actuators->wmax_large :
						     &actuators->huge_pages;
}

static bool propose_wmax(struct hkm_actuators *actuators, const struct hkm_period *window,
			 const struct hkm_policy *base, unsigned actuator, struct hkm_proposal *proposal)
{
	bool large = actuator == HKM_ACTUATOR_WMAX_LARGE;
	unsigned arm = hkm_bandit_choose(bandit_of(actuators, actuator));
	uint32_t value = (uint32_t)arm_value(actuators, actuator, arm);
	uint32_t now = large ? base->wmax_large : base->wmax_mid;
	double misses = 0;
	for (unsigned class = 0; class < HKM_ACE_STATIC_CLASSES; class++)
		misses += hkm_ace_is_large(class) == large ? window->misses[class] : 0;
	*proposal = (struct hkm_proposal){
		.choice = arm,
		.what = large ? "wmax_large" : "wmax_mid",
		.why = "misses that a larger cached block might have served",
		.from = now / 1e3,
		.to = value / 1e3,
		.gain = hkm_per_operation(window, misses * window->entry_ns) / 4,
		.dwell_ms = actuators->settings.wmax_dwell_ms,
		.policy = *base,
	};
	*(large ? &proposal->policy.wmax_large : &proposal->policy.wmax_mid) = value;
	return actuators->settings.wmax && value != now;
}

static bool propose_huge_pages(struct hkm_actuators *actuators, const struct hkm_period *window,
			       const struct hkm_policy *base, struct hkm_proposal *proposal)
{
	unsigned arm = hkm_bandit_choose(&actuators->huge_pages);
	uint64_t value = arm_value(actuators, HKM_ACTUATOR_HUGE_PAGES, arm);
	double big = (double)(window->totals.big_live + window->totals.big_cached);
	*proposal = (struct hkm_proposal){
		.choice = arm,
		.what = "thp_threshold",
		.why = "faults on pages of large mappings",
		.from = (double)base->thp_threshold,
		.to = (double)value,
		.gain = hkm_per_operation(window, window->faults * window->fault_ns) / 2 * big / (window->held + 1),
		.policy = *base,
	};
	proposal->policy.thp_threshold = value;
	return actuators->settings.huge_pages && value != base->thp_threshold && window->big_misses > 0;
}

static bool propose_dynamic(struct hkm_actuators *actuators, const struct hkm_period *window,
			    const struct hkm_policy *base, struct hkm_proposal *proposal)
{
	uint32_t chosen[2] = { base->dynamic_size[0], base->dynamic_size[1] };
	if (!actuators->settings.dynamic)
		return false;
	hkm_peaks_choose(actuators->demand, window->totals.largest, base->dynamic_size, DYNAMIC_LEAST, chosen);
	if (chosen[0] == base->dynamic_size[0] && chosen[1] == base->dynamic_size[1])
		return false;
	unsigned changed = chosen[0] != base->dynamic_size[0] ? 0 : 1;
	/* One after the other: while blocks move, the spans of the old and of the new class are both there. */
	chosen[1 - changed] = base->dynamic_size[1 - changed];
	const uint16_t *largest = window->totals.largest;
	double more = hkm_demand_waste(actuators->demand, largest, base->dynamic_size) -
		      hkm_demand_waste(actuators->demand, largest, chosen);
	*proposal = (struct hkm_proposal){
		.what = changed == 0 ? "mid_dyn1" : "mid_dyn2",
		.why = "requests that no class fits well",
		.from = base->dynamic_size[changed],
		.to = chosen[changed],
		.gain = hkm_rent(window, more * (double)window->totals.mid_out) +
			hkm_per_operation(window, more * window->faults * window->fault_ns),
		.settle_ms = 2 * hkm_settle_ms(actuators, base), /* blocks move, then what they leave is given back */
		.counted = true,
		.moves = true,
		.policy = *base,
	};
	for (unsigned i = 0; i < 2; i++) {
		uint64_t blocks = chosen[i] != 0 ? actuators->settings.mid_cache_bytes / chosen[i] : 0;
		if (chosen[i] != base->dynamic_size[i])
			proposal->policy.cache_blocks[HKM_DYN1 + i] = (uint16_t)hkm_min(blocks, HKM_MID_SLOTS);
		proposal->policy.dynamic_size[i] = chosen[i];
	}
	return true;
}

static bool propose_strategy(struct hkm_actuators *actuators, const struct hkm_period *window,
			     const struct hkm_policy *base, struct hkm_proposal *proposal)
{
	enum hkm_strategy choice = hkm_elo_choose(&actuators->ratings, TEMPERATURE, &actuators->random_state);
	if (choice == actuators->strategy)
		return false;
	*proposal = (struct hkm_proposal){
		.choice = choice,
		.what = "strategy",
		.why = hkm_strategy_name(choice),
		.from = actuators->strategy,
		.to = choice,
		.gain = hkm_strategy_promise(choice, window),
		.settle_ms = hkm_settle_ms(actuators, base),
		.policy = actuators->standard,
	};
	/* The sizes that the program asks for are the same in every strategy, and moving to other classes is dear. */
	for (unsigned i = 0; i < 2; i++) {
		proposal->policy.dynamic_size[i] = base->dynamic_size[i];
		proposal->policy.cache_blocks[HKM_DYN1 + i] = base->cache_blocks[HKM_DYN1 + i];
	}
	hkm_strategy_apply(choice, &proposal->policy);
	return true;
}

/* ---- All of them ----------------------------------------------------------------------------------------------------- */

/* A whole error moves a cache by four of the seed's steps; what stays for seconds adds up. */
static struct hkm_pid pid_for(const struct hkm_learn_settings *settings, unsigned class)
{
	double step = hkm_ace_is_large(class) ? settings->cap_step_large : settings->cap_step_mid;
	return (struct hkm_pid){ .kp = 8 * step, .ki = 2 * step, .kd = step, .deadband = 0.02,
				 .out_min = -2 * step, .out_max = 2 * step };
}

void hkm_actuators_start(struct hkm_actuators *actuators, const struct hkm_learn_settings *settings,
			 const struct hkm_policy *policy)
{
	memset(actuators, 0, sizeof *actuators);
	actuators->settings = *settings;
	actuators->standard = *policy;
	actuators->random_state = 1;
	actuators->strategy = HKM_STRATEGY_STEADY;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		actuators->pids[class] = pid_for(settings, class);
	hkm_bandit_start(&actuators->wmax_mid, settings->wmax_mid_count + 1, settings->ucb_c);
	hkm_bandit_start(&actuators->wmax_large, settings->wmax_large_count + 1, settings->ucb_c);
	hkm_bandit_start(&actuators->huge_pages, HUGE_PAGE_ARMS, settings->ucb_c);
	hkm_elo_start(&actuators->ratings, HKM_STRATEGIES_COUNT);
}

/* Requests for each that missed, in the class that serves `size`: the histogram counts misses only. */
static double requests_a_miss(const struct hkm_period *window, uint32_t size)
{
	if (size <= HKM_TINY_MAX)
		return 1;
	unsigned class = hkm_ace_class(size);
	uint32_t block = hkm_ace_static_size(class);
	for (unsigned i = 0; i < 2; i++) {
		if (window->totals.dynamic_size[i] >= size && window->totals.dynamic_size[i] < block) {
			block = window->totals.dynamic_size[i];
			class = HKM_DYN1 + i;
		}
	}
	double misses = window->misses[class];
	return misses < 1 ? 1 : (window->hits[class] + misses) / misses;
}

void hkm_actuators_see(struct hkm_actuators *actuators, const struct hkm_period *window)
{
	for (unsigned bucket = 0; bucket < HKM_DEMAND_BUCKETS; bucket++) {
		uint32_t seen = window->totals.demand[bucket], more = seen - actuators->demand_seen[bucket];
		actuators->demand_seen[bucket] = seen;
		if (!actuators->demand_known)
			continue; /* misses since the process began, not since the last window */
		actuators->demand[bucket] -= actuators->demand[bucket] / 4;
		if (more > 0) {
			double requests = more * requests_a_miss(window, window->totals.largest[bucket]);
			actuators->demand[bucket] += requests < DEMAND_MOST ? (uint32_t)requests : DEMAND_MOST;
		}
	}
	actuators->demand_known = true;
}

void hkm_actuators_gather(struct hkm_actuators *actuators, const struct hkm_period *window)
{
	hkm_period_mean(&actuators->evidence, actuators->evidence_count, window);
	if (actuators->evidence_count < EVIDENCE_WINDOWS)
		actuators->evidence_count++;
}

void hkm_actuators_start_evidence(struct hkm_actuators *actuators)
{
	actuators->evidence_count = 0;
}

/* Failures are remembered by direction where there is one, else by choice. */
static unsigned *failures_of(struct hkm_actuators *actuators, const struct hkm_proposal *proposal)
{
	unsigned place = proposal->direction != 0 ? (unsigned)(proposal->direction + 1) : proposal->choice;
	return &actuators->failures[proposal->actuator][place];
}

/* One actuator's proposal in one direction; those without directions answer to +1 only. */
static bool propose(struct hkm_actuators *actuators, const struct hkm_period *window, const struct hkm_policy *base,
		    unsigned actuator, int direction, struct hkm_proposal *proposal)
{
	if (actuator >= HKM_ACTUATOR_LADDERS)
		return hkm_ladder_propose(actuators, window, base, actuator - HKM_ACTUATOR_LADDERS, direction, proposal);
	if (actuator == HKM_ACTUATOR_CAP)
		return propose_capacity(actuators, window, base, direction, proposal);
	if (actuator == HKM_ACTUATOR_POOLS)
		return propose_pools(actuators, window, base, direction, proposal);
	if (direction < 0)
		return false;
	switch (actuator) {
	case HKM_ACTUATOR_STRATEGY:
		return propose_strategy(actuators, window, base, proposal);
	case HKM_ACTUATOR_DYNAMIC:
		return propose_dynamic(actuators, window, base, proposal);
	case HKM_ACTUATOR_HUGE_PAGES:
		return propose_huge_pages(actuators, window, base, proposal);
	default:
		return propose_wmax(actuators, window, base, actuator, proposal);
	}
}

/* What only a trial can tell. */
static bool never_counted(unsigned actuator)
{
	return actuator == HKM_ACTUATOR_STRATEGY || actuator == HKM_ACTUATOR_WMAX_MID ||
	       actuator == HKM_ACTUATOR_WMAX_LARGE || actuator == HKM_ACTUATOR_HUGE_PAGES;
}

/* What the next actuator of a search proposes in one direction is taken if it promises more than all before. */
static void look_at(struct hkm_actuators *actuators, const struct hkm_policy *base, int direction,
		    struct hkm_search *search, struct hkm_proposal *proposal)
{
	struct hkm_proposal candidate;
	if (!propose(actuators, &actuators->evidence, base, search->actuator, direction, &candidate))
		return;
	candidate.actuator = search->actuator;
	unsigned failures = *failures_of(actuators, &candidate);
	/* Each failure quarters what it promises. */
	candidate.gain /= (double)(1u << 2 * (failures < 8 ? failures : 8));
	if (candidate.gain <= search->least || (search->counted && !candidate.counted))
		return;
	search->least = candidate.gain;
	search->found = true;
	*proposal = candidate;
}

bool hkm_actuators_search(struct hkm_actuators *actuators, const struct hkm_policy *base, struct hkm_search *search,
			  struct hkm_proposal *proposal)
{
	for (unsigned i = 0; i < ACTUATORS_A_SLICE && search->actuator < HKM_ACTUATORS; i++, search->actuator++) {
		if (search->counted && never_counted(search->actuator))
			continue;
		look_at(actuators, base, -1, search, proposal);
		look_at(actuators, base, +1, search, proposal);
	}
	return search->actuator == HKM_ACTUATORS;
}

static void reward_bandit(struct hkm_actuators *actuators, const struct hkm_proposal *proposal, double improvement)
{
	double reward = 0.5 + improvement;
	hkm_bandit_reward(bandit_of(actuators, proposal->actuator), proposal->choice,
			  reward < 0 ? 0 : reward > 1 ? 1 : reward);
}

void hkm_actuators_learn(struct hkm_actuators *actuators, const struct hkm_proposal *proposal, bool kept,
			 double improvement)
{
	unsigned *failures = failures_of(actuators, proposal);
	*failures = kept ? 0 : *failures + (improvement < -0.1 ? 2 : 1);
	switch (proposal->actuator) {
	case HKM_ACTUATOR_STRATEGY: {
		double score = 0.5 + 5 * improvement; /* 10 % better is a full win */
		hkm_elo_match(&actuators->ratings, proposal->choice, actuators->strategy,
			      score < 0 ? 0 : score > 1 ? 1 : score);
		if (kept)
			actuators->strategy = proposal->choice;
		break;
	}
	case HKM_ACTUATOR_WMAX_MID:
	case HKM_ACTUATOR_WMAX_LARGE:
	case HKM_ACTUATOR_HUGE_PAGES:
		reward_bandit(actuators, proposal, improvement);
		break;
	default:
		break;
	}
}

void hkm_actuators_forget(struct hkm_actuators *actuators)
{
	memset(actuators->failures, 0, sizeof actuators->failures);
}
