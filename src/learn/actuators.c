/* actuators.c - see actuators.h. */
#include "learn/actuators.h"

#include <string.h>

#include "ace/ace.h"
#include "learn/capacity.h"
#include "learn/peaks.h"

#define MIB 1048576.0
#define PAGE 4096.0
/* What shrinks was there for something: so much of what it may have been good for is reckoned with. */
#define RISK 0.1
#define SETTLE_WINDOWS 4u     /* nobody waits longer for a change to settle */
#define UCB_C 1.5            /* the seed's */
#define DYNAMIC_LEAST 0.02   /* share of the Mid bytes that a dynamic class must save */
#define TEMPERATURE 100.0    /* of the softmax over ratings, in Elo points */

static double per_operation(const struct hkm_period *window, double ns)
{
	return window->operations > 0 ? ns / window->operations : 0;
}

/* What bytes cost that lie idle. */
static double rent(const struct hkm_period *window, double bytes)
{
	return window->lambda * bytes / MIB;
}

/* How long a change of what is kept needs to show: memory that is free now goes when the delay is over, at a tick. */
static uint64_t settle_ms(const struct hkm_actuators *actuators, const struct hkm_policy *base)
{
	uint64_t delay = base->purge_delay_ms;
	return hkm_min(delay + delay / 4, SETTLE_WINDOWS * actuators->settings.window_ms);
}

static double idle_bytes(const struct hkm_period *window)
{
	return window->held > window->live ? window->held - window->live : 0;
}

/* Faults on memory that was given back and touched again: no more than pages were given back. */
static double fault_again(const struct hkm_period *window)
{
	double pages = window->purged / PAGE;
	return per_operation(window, (pages < window->faults ? pages : window->faults) * window->fault_ns);
}

/* ---- Ladders: single numbers, in steps of a factor -------------------------------------------------------------- */

static double refill_up(const struct hkm_period *window)
{
	return per_operation(window, window->refills * window->entry_ns) / 2;
}

static double refill_down(const struct hkm_period *window)
{
	return rent(window, idle_bytes(window)) * window->tiny_requests / (window->operations + 1) / 50;
}

static double hot_up(const struct hkm_period *window)
{
	return per_operation(window, window->refills * window->entry_ns) / 4;
}

static double hot_down(const struct hkm_period *window)
{
	return rent(window, idle_bytes(window)) * window->tiny_requests / (window->operations + 1) / 20 -
	       RISK * window->tiny_requests / (window->operations + 1);
}

static double empty_up(const struct hkm_period *window)
{
	return per_operation(window, window->refills * window->entry_ns) / 10;
}

static double empty_down(const struct hkm_period *window)
{
	return rent(window, (double)window->totals.empty_slabs);
}

static double delay_down(const struct hkm_period *window)
{
	return rent(window, (double)(window->totals.dirty + window->totals.big_cached)) / 2 -
	       RISK * hkm_period_l2_risk(window);
}

static double dirty_up(const struct hkm_period *window)
{
	return fault_again(window) / 2;
}

static double dirty_down(const struct hkm_period *window)
{
	return rent(window, (double)window->totals.dirty) / 2;
}

static double big_up(const struct hkm_period *window)
{
	return window->big_misses > 0 ? fault_again(window) / 2 : 0;
}

static double big_down(const struct hkm_period *window)
{
	return rent(window, (double)window->totals.big_cached) / 2 - RISK * hkm_period_l2_risk(window);
}

/* What caches hold in vain while they are full: misses that larger ones would have served. */
static double cache_up(const struct hkm_period *window)
{
	double ghosts = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		ghosts += window->ghost_hits[class];
	return per_operation(window, ghosts * window->entry_ns) / 2;
}

static double cache_down(const struct hkm_period *window)
{
	return rent(window, (double)window->totals.cached) / 2 - RISK * hkm_period_l1_risk(window);
}

static double cache_level(const struct hkm_period *window)
{
	return (double)window->totals.cached;
}

static double dirty_level(const struct hkm_period *window)
{
	return (double)window->totals.dirty;
}

static double big_level(const struct hkm_period *window)
{
	return (double)window->totals.big_cached;
}

struct ladder {
	const char *what;
	size_t offset;        /* in struct hkm_policy */
	bool wide;            /* 64 bits */
	double least, most;   /* where learning stops; 0 may be the least */
	double first;         /* the step above 0 */
	double factor;
	double (*up)(const struct hkm_period *), (*down)(const struct hkm_period *); /* what a move promises */
	double (*level)(const struct hkm_period *); /* what is used of it: going down starts there; NULL: all */
	const char *why_up, *why_down;
};

#define FIELD(name) #name, offsetof(struct hkm_policy, name), sizeof(((struct hkm_policy *)0)->name) == 8

static const struct ladder ladders[HKM_LADDERS] = {
	{ FIELD(purge_delay_ms), 10, 20000, 10, 4, fault_again, delay_down, NULL,
	  "memory that was given back is touched again", "free memory lies resident" },
	{ FIELD(big_cache_bytes), 0, 4096 * MIB, 16 * MIB, 4, big_up, big_down, big_level,
	  "mappings that were given back are asked for again", "freed mappings lie unused" },
	{ FIELD(dirty_bytes), 4 * MIB, 4096 * MIB, 4 * MIB, 4, dirty_up, dirty_down, dirty_level,
	  "memory that was given back is touched again", "free memory lies resident" },
	{ FIELD(cache_bytes), 65536, 256 * MIB, 65536, 4, cache_up, cache_down, cache_level,
	  "misses that larger caches would have served", "blocks lie in caches" },
	{ FIELD(refill_bytes), 1024, 65536, 1024, 4, refill_up, refill_down, NULL,
	  "hot lists run empty", "blocks are carved that nobody asks for" },
	{ FIELD(hot_bytes), 4096, 1048576, 4096, 4, hot_up, hot_down, NULL,
	  "hot lists run empty", "hot lists hold on to slabs" },
	{ FIELD(empty_slabs), 0, 64, 1, 4, empty_up, empty_down, NULL,
	  "slabs come and go", "slabs are kept empty" },
};

static double get(const struct ladder *ladder, const struct hkm_policy *policy)
{
	const char *field = (const char *)policy + ladder->offset;
	return ladder->wide ? (double)*(const uint64_t *)field : (double)*(const uint32_t *)field;
}

static void set(const struct ladder *ladder, struct hkm_policy *policy, double value)
{
	char *field = (char *)policy + ladder->offset;
	if (ladder->wide)
		*(uint64_t *)field = (uint64_t)value;
	else
		*(uint32_t *)field = (uint32_t)value;
}

/* The next step of a ladder. */
static double next_step(const struct ladder *ladder, const struct hkm_period *window, double value, int direction)
{
	double next;
	if (direction > 0) {
		next = value * ladder->factor;
		if (next < ladder->first)
			next = ladder->first;
	} else {
		double used = ladder->level != NULL ? ladder->level(window) : value;
		next = (used < value ? used : value) / ladder->factor;
		if (next < ladder->first)
			next = ladder->least;
	}
	return next > ladder->most ? ladder->most : next < ladder->least ? ladder->least : next;
}

/* The refill's bytes do nothing if its blocks are the bound. */
static void set_companions(const struct ladder *ladder, struct hkm_policy *policy)
{
	if (ladder->offset == offsetof(struct hkm_policy, refill_bytes))
		policy->refill_blocks = (uint32_t)hkm_max(64, policy->refill_bytes / 256);
	if (ladder->offset == offsetof(struct hkm_policy, hot_bytes))
		policy->hot_blocks = (uint32_t)hkm_max(512, policy->hot_bytes / 128);
}

/* What a move promises. A bound that is far from being reached promises little. */
static double promise(const struct ladder *ladder, const struct hkm_period *window, double value, int direction)
{
	if (direction < 0)
		return ladder->down(window);
	double used = ladder->level != NULL && value > 0 ? 2 * ladder->level(window) / value : 1;
	return ladder->up(window) * (used > 1 ? 1 : used < 0.25 ? 0.25 : used);
}

static bool propose_ladder(const struct hkm_actuators *actuators, const struct hkm_period *window,
			   const struct hkm_policy *base, unsigned index, int direction, struct hkm_proposal *proposal)
{
	const struct ladder *ladder = &ladders[index];
	double value = get(ladder, base), next = next_step(ladder, window, value, direction);
	if (direction > 0 ? next <= value : next >= value)
		return false;
	*proposal = (struct hkm_proposal){
		.direction = direction,
		.what = ladder->what,
		.why = direction > 0 ? ladder->why_up : ladder->why_down,
		.from = value,
		.to = next,
		.gain = promise(ladder, window, value, direction),
		.settle_ms = ladder->level != NULL ? settle_ms(actuators, base) : 0,
		.policy = *base,
	};
	set(ladder, &proposal->policy, next);
	set_companions(ladder, &proposal->policy);
	return true;
}

/* ---- The others ---------------------------------------------------------------------------------------------------- */

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
		ghosts += window->ghost_hits[class];
	}
	double cached = (double)window->totals.cached, share = cached < -bytes ? 1 : -bytes / (cached + 1);
	proposal->gain = direction > 0 ? per_operation(window, ghosts * window->entry_ns) :
					 rent(window, cached * share) - RISK * share * hkm_period_l1_risk(window);
	return bytes != 0;
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
		.gain = per_operation(window, misses * window->entry_ns) / 4,
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
		.gain = per_operation(window, window->faults * window->fault_ns) / 2 * big / (window->held + 1),
		.policy = *base,
	};
	proposal->policy.thp_threshold = value;
	return actuators->settings.huge_pages && value != base->thp_threshold && window->big_misses > 0;
}

/* The share of the bytes asked for from Mid that the dynamic classes save; the histogram is of requests. */
static double saved_share(const struct hkm_actuators *actuators, const uint16_t *largest, const uint32_t dynamic[2])
{
	double bytes = 0, saved = 0;
	for (unsigned bucket = 0; bucket < HKM_DEMAND_BUCKETS; bucket++) {
		size_t size = largest[bucket];
		if (actuators->demand[bucket] == 0 || size <= HKM_TINY_MAX)
			continue;
		uint32_t block = hkm_ace_static_size(hkm_ace_class(size)), best = block;
		for (unsigned i = 0; i < 2; i++)
			if (dynamic[i] >= size && dynamic[i] < best)
				best = dynamic[i];
		bytes += (double)actuators->demand[bucket] * block;
		saved += (double)actuators->demand[bucket] * (block - best);
	}
	return bytes > 0 ? saved / bytes : 0;
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
	double more = saved_share(actuators, window->totals.largest, chosen) -
		      saved_share(actuators, window->totals.largest, base->dynamic_size);
	*proposal = (struct hkm_proposal){
		.what = changed == 0 ? "mid_dyn1" : "mid_dyn2",
		.why = "requests that no class fits well",
		.from = base->dynamic_size[changed],
		.to = chosen[changed],
		.gain = rent(window, more * (double)window->totals.mid_out) +
			per_operation(window, more * window->faults * window->fault_ns),
		.settle_ms = settle_ms(actuators, base),
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
		.gain = hkm_strategy_promise(choice, window) * window->objective,
		.settle_ms = settle_ms(actuators, base),
		.policy = actuators->standard,
	};
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
	hkm_bandit_start(&actuators->wmax_mid, settings->wmax_mid_count + 1, UCB_C);
	hkm_bandit_start(&actuators->wmax_large, settings->wmax_large_count + 1, UCB_C);
	hkm_bandit_start(&actuators->huge_pages, HUGE_PAGE_ARMS, UCB_C);
	hkm_elo_start(&actuators->ratings, HKM_STRATEGIES_COUNT);
}

void hkm_actuators_see(struct hkm_actuators *actuators, const struct hkm_period *window)
{
	for (unsigned bucket = 0; bucket < HKM_DEMAND_BUCKETS; bucket++) {
		uint32_t seen = window->totals.demand[bucket];
		actuators->demand[bucket] -= actuators->demand[bucket] / 4;
		actuators->demand[bucket] += seen - actuators->demand_seen[bucket];
		actuators->demand_seen[bucket] = seen;
	}
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
		return propose_ladder(actuators, window, base, actuator - HKM_ACTUATOR_LADDERS, direction, proposal);
	if (actuator == HKM_ACTUATOR_CAP)
		return propose_capacity(actuators, window, base, direction, proposal);
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

bool hkm_actuators_propose(struct hkm_actuators *actuators, const struct hkm_period *window,
			   const struct hkm_policy *base, double least, struct hkm_proposal *proposal)
{
	bool found = false;
	for (unsigned actuator = 0; actuator < HKM_ACTUATORS; actuator++) {
		for (int direction = -1; direction <= 1; direction += 2) {
			struct hkm_proposal candidate;
			if (!propose(actuators, window, base, actuator, direction, &candidate))
				continue;
			candidate.actuator = actuator;
			unsigned failures = *failures_of(actuators, &candidate);
			/* Each failure quarters what it promises. */
			candidate.gain /= (double)(1u << 2 * (failures < 8 ? failures : 8));
			if (candidate.gain <= least)
				continue;
			least = candidate.gain;
			*proposal = candidate;
			found = true;
		}
	}
	return found;
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
