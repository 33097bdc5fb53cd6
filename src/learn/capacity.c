/* capacity.c - see capacity.h. */
#include "learn/capacity.h"

#include "ace/ace.h"
#include "learn/budget.h"

/* HAKMEM_CAP_LEARN */
enum {
	RULE_NONE,
	RULE_STEP,
};

#define EPSILON 0.02        /* around the target; a hit rate within it is right */
#define LEAST_REQUESTS 16.0 /* of a class in a window; fewer say nothing */
#define GHOST_SHARE 0.02    /* of the requests: so many ghost hits are worth growing for */
#define MANY_GHOSTS 0.1
#define CACHE_BYTES_MOST (256.0 * 1048576)
#define BUNDLE_BYTES (256.0 * 1024)

static unsigned most_blocks(unsigned class)
{
	return hkm_ace_is_large(class) ? HKM_LARGE_SLOTS : HKM_MID_SLOTS;
}

static double block_size(const struct hkm_policy *policy, unsigned class)
{
	return class < HKM_ACE_STATIC_CLASSES ? hkm_ace_static_size(class) : policy->dynamic_size[class - HKM_DYN1];
}

/* The capacity that the rule wants for a class. */
static int wanted(struct hkm_actuators *actuators, unsigned class, int capacity, double rate, double seconds)
{
	const struct hkm_learn_settings *settings = &actuators->settings;
	bool large = hkm_ace_is_large(class);
	double target = large ? settings->target_hit_large : settings->target_hit_mid;
	int step = large ? settings->cap_step_large : settings->cap_step_mid, most = (int)most_blocks(class);
	if (settings->cap_rule == RULE_STEP)
		return hkm_cap_step(capacity, rate, target, EPSILON, step, 0, most);
	double change = hkm_pid_step(&actuators->pids[class], target, rate, seconds);
	int next = capacity + (int)(change < 0 ? change - 0.5 : change + 0.5);
	return next < 0 ? 0 : next > most ? most : next;
}

/* What a class asks for in this direction; its capacity if it asks for nothing. */
static int asked(struct hkm_actuators *actuators, const struct hkm_period *window, unsigned class, int capacity,
		 int direction)
{
	double requests = window->hits[class] + window->misses[class];
	if (requests < LEAST_REQUESTS)
		return capacity;
	bool ghosts = window->ghost_hits[class] > GHOST_SHARE * requests;
	if (actuators->settings.cap_rule != RULE_STEP && ghosts != (direction > 0))
		return capacity;
	int next = wanted(actuators, class, capacity, window->hits[class] / requests, window->length_ms / 1e3);
	if (actuators->settings.cap_rule == RULE_STEP) /* the seed's: hit rates alone */
		return (next > capacity) == (direction > 0) ? next : capacity;
	/* A hit rate may be right and the misses still avoidable: then the evidence decides, and the size of the step. */
	if (direction > 0 && next <= capacity)
		next = capacity + (hkm_ace_is_large(class) ? actuators->settings.cap_step_large :
							     actuators->settings.cap_step_mid);
	/* A ghost hit is one that a cache of twice the size would have had. */
	if (direction > 0 && window->ghost_hits[class] > MANY_GHOSTS * requests && next < 2 * capacity)
		next = 2 * capacity;
	if (direction < 0 && next >= capacity)
		return capacity;
	return next > (int)most_blocks(class) ? (int)most_blocks(class) : next;
}

/* Cuts what the classes of a layer ask for to its budget, the ones that gain most per byte first. */
static void fill_budget(const struct hkm_period *window, struct hkm_policy *policy, bool large, double budget,
			const int target[HKM_ACE_CLASSES])
{
	double gains[HKM_ACE_CLASSES], costs[HKM_ACE_CLASSES];
	unsigned classes[HKM_ACE_CLASSES], count = 0;
	uint32_t capacities[HKM_ACE_CLASSES];
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		double size = block_size(policy, class);
		if (hkm_ace_is_large(class) != large || target[class] <= policy->cache_blocks[class] || size <= 0)
			continue;
		classes[count] = class;
		costs[count] = size;
		/* Among classes without ghost hits, the one with most requests. */
		gains[count] = window->ghost_hits[class] + 1e-6 * (window->hits[class] + window->misses[class]);
		capacities[count++] = (uint32_t)target[class] - policy->cache_blocks[class];
	}
	hkm_budget_fill(gains, costs, count, budget, capacities);
	for (unsigned i = 0; i < count; i++)
		policy->cache_blocks[classes[i]] = (uint16_t)(policy->cache_blocks[classes[i]] + capacities[i]);
}

/* Bytes that the caches of a layer may hold if all classes that are used are full. */
static double held_by_capacity(const struct hkm_period *window, const struct hkm_policy *policy, bool large)
{
	double bytes = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		if (hkm_ace_is_large(class) == large && window->hits[class] + window->misses[class] > 0)
			bytes += policy->cache_blocks[class] * block_size(policy, class);
	return bytes;
}

static void grow(struct hkm_actuators *actuators, const struct hkm_period *window, struct hkm_policy *policy,
		 const int target[HKM_ACE_CLASSES], bool large)
{
	double threads = window->totals.threads > 0 ? (double)window->totals.threads : 1;
	double budget = large ? policy->budget_large * BUNDLE_BYTES : policy->budget_mid * (double)HKM_SLICE_SIZE;
	budget = budget / threads - held_by_capacity(window, policy, large);
	if (actuators->settings.water_filling) {
		fill_budget(window, policy, large, budget > 0 ? budget : 0, target);
		return;
	}
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		double cost = (target[class] - policy->cache_blocks[class]) * block_size(policy, class);
		if (hkm_ace_is_large(class) != large || cost <= 0 || cost > budget)
			continue;
		policy->cache_blocks[class] = (uint16_t)target[class];
		budget -= cost;
	}
}

/* Capacities beyond what all caches together may hold make things worse: the first classes fill up, and for the others
 * every free is a slow one. */
static void raise_limit(const struct hkm_period *window, struct hkm_policy *policy)
{
	double threads = window->totals.threads > 0 ? (double)window->totals.threads : 1;
	double needed = (held_by_capacity(window, policy, false) + held_by_capacity(window, policy, true)) * threads;
	if (needed > CACHE_BYTES_MOST)
		needed = CACHE_BYTES_MOST;
	if ((double)policy->cache_bytes < needed)
		policy->cache_bytes = (uint64_t)needed;
}

static double total_bytes(const struct hkm_policy *policy)
{
	double bytes = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		bytes += policy->cache_blocks[class] * block_size(policy, class);
	return bytes;
}

double hkm_capacity_change(struct hkm_actuators *actuators, const struct hkm_period *window, int direction,
			   struct hkm_policy *policy)
{
	double before = total_bytes(policy);
	int target[HKM_ACE_CLASSES];
	if (actuators->settings.cap_rule == RULE_NONE)
		return 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		target[class] = asked(actuators, window, class, policy->cache_blocks[class], direction);
	if (direction > 0) {
		grow(actuators, window, policy, target, false);
		grow(actuators, window, policy, target, true);
		if (total_bytes(policy) > before)
			raise_limit(window, policy);
	} else {
		for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
			policy->cache_blocks[class] = (uint16_t)target[class];
	}
	return total_bytes(policy) - before;
}
