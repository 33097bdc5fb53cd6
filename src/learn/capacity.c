/* capacity.c - see capacity.h. */
#include "learn/capacity.h"

#include <string.h>

#include "ace/ace.h"
#include "learn/budget.h"
#include "learn/prices.h"

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
#define BUNDLE_BYTES (256.0 * 1024) /* unit of budget_large */
#define PAGE_BYTES (64.0 * 1024)    /* of budget_mid */

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

static bool is_used(const struct hkm_period *window, unsigned class)
{
	return window->hits[class] + window->misses[class] > 0;
}

/* What is shared out among the classes of a layer: blocks of thread caches, or empty spans of pools. */
struct stock {
	uint16_t *capacity;                /* of each class, in the policy that is being made */
	double bytes[HKM_ACE_CLASSES];     /* of one block or span; 0: the class has no size, or is not used */
	const double *ghost_hits;
	int target[HKM_ACE_CLASSES];       /* what each class asks for */
};

static void stock_caches(const struct hkm_period *window, struct hkm_policy *policy, struct stock *stock)
{
	stock->capacity = policy->cache_blocks;
	stock->ghost_hits = window->ghost_hits;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		stock->bytes[class] = block_size(policy, class);
}

static void stock_pools(const struct hkm_period *window, struct hkm_policy *policy, struct stock *stock)
{
	stock->capacity = policy->pool_spans;
	stock->ghost_hits = window->pool_ghosts;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		uint32_t size = is_used(window, class) ? (uint32_t)block_size(policy, class) : 0; /* else it would take long */
		stock->bytes[class] = size > 0 ? (double)(hkm_pool_span_slices(class, size) * HKM_SLICE_SIZE) : 0;
	}
}

/* Cuts what the classes of a layer ask for to its budget, the ones that gain most per byte first. */
static void fill_budget(const struct hkm_period *window, struct stock *stock, bool large, double budget, uint32_t units)
{
	double gains[HKM_ACE_CLASSES], costs[HKM_ACE_CLASSES];
	unsigned classes[HKM_ACE_CLASSES], count = 0;
	uint32_t capacities[HKM_ACE_CLASSES];
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		if (hkm_ace_is_large(class) != large || stock->target[class] <= stock->capacity[class] || stock->bytes[class] <= 0)
			continue;
		classes[count] = class;
		costs[count] = stock->bytes[class];
		/* Among classes without ghost hits, the one with most requests. */
		gains[count] = stock->ghost_hits[class] + 1e-6 * (window->hits[class] + window->misses[class]);
		capacities[count++] = (uint32_t)stock->target[class] - stock->capacity[class];
	}
	hkm_budget_fill(gains, costs, count, budget, units, capacities);
	for (unsigned i = 0; i < count; i++)
		stock->capacity[classes[i]] = (uint16_t)(stock->capacity[classes[i]] + capacities[i]);
}

/* Bytes that a layer may hold if all classes that are used are full. */
static double held_by_capacity(const struct hkm_period *window, const struct stock *stock, bool large)
{
	double bytes = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		if (hkm_ace_is_large(class) == large && is_used(window, class))
			bytes += stock->capacity[class] * stock->bytes[class];
	return bytes;
}

/* Grows towards the targets, up to `budget` bytes in the layer and by `units` at most. */
static void grow(struct stock *stock, const struct hkm_period *window, bool water_filling, bool large, double budget,
		 uint32_t units)
{
	budget -= held_by_capacity(window, stock, large);
	if (water_filling) {
		fill_budget(window, stock, large, budget > 0 ? budget : 0, units);
		return;
	}
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		int more = stock->target[class] - stock->capacity[class];
		double cost = more * stock->bytes[class];
		if (hkm_ace_is_large(class) != large || cost <= 0 || cost > budget || (uint32_t)more > units)
			continue;
		stock->capacity[class] = (uint16_t)stock->target[class];
		budget -= cost;
		units -= (uint32_t)more;
	}
}

static double budget_bytes(const struct hkm_policy *policy, bool large)
{
	return large ? policy->budget_large * BUNDLE_BYTES : policy->budget_mid * PAGE_BYTES;
}

static double thread_count(const struct hkm_period *window)
{
	return window->totals.threads > 0 ? (double)window->totals.threads : 1;
}

/* Capacities beyond what all caches together may hold make things worse: the first classes fill up, and for the others
 * every free is a slow one. */
static void raise_limit(const struct hkm_period *window, const struct stock *stock, struct hkm_policy *policy)
{
	double needed = held_by_capacity(window, stock, false) + held_by_capacity(window, stock, true);
	needed *= thread_count(window);
	if (needed > CACHE_BYTES_MOST)
		needed = CACHE_BYTES_MOST;
	if ((double)policy->cache_bytes < needed)
		policy->cache_bytes = (uint64_t)needed;
}

static double total_bytes(const struct stock *stock)
{
	double bytes = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		bytes += stock->capacity[class] * stock->bytes[class];
	return bytes;
}

static void shrink(struct stock *stock)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		stock->capacity[class] = (uint16_t)stock->target[class];
}

double hkm_capacity_change(struct hkm_actuators *actuators, const struct hkm_period *window, int direction,
			   struct hkm_policy *policy)
{
	struct stock stock;
	if (actuators->settings.cap_rule == RULE_NONE)
		return 0;
	stock_caches(window, policy, &stock);
	double before = total_bytes(&stock), threads = thread_count(window);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		stock.target[class] = asked(actuators, window, class, policy->cache_blocks[class], direction);
	if (direction > 0) {
		for (unsigned large = 0; large < 2; large++)
			grow(&stock, window, actuators->settings.water_filling, large, budget_bytes(policy, large) / threads,
			     HKM_BUDGET_UNITS);
		if (total_bytes(&stock) > before)
			raise_limit(window, &stock, policy);
	} else {
		shrink(&stock);
	}
	return total_bytes(&stock) - before;
}

/* ---- Pools ------------------------------------------------------------------------------------------------------- */

/* What a pool that keeps `spans` more, or, below 0, half as many, would save. Ghost hits are of hkm_pool_more. */
static double pool_promise(const struct hkm_period *window, const struct stock *stock, unsigned class, int before,
			   int spans)
{
	if (spans > 0)
		return hkm_span_price(window, window->pool_ghosts[class] * spans / hkm_pool_more((uint32_t)before)) -
		       hkm_rent(window, spans * stock->bytes[class]);
	return spans < 0 ? hkm_rent(window, window->pool_surplus[class]) - hkm_span_price(window, window->pool_hits[class]) : 0;
}

/* How many spans the pool of a class is to keep: of those that it might, all or none are worth it. */
static int spans_asked(const struct hkm_period *window, const struct stock *stock, unsigned class, int direction)
{
	int now = stock->capacity[class];
	if (window->hits[class] + window->misses[class] < LEAST_REQUESTS)
		return now;
	int next = direction > 0 ? now + (int)hkm_pool_more((uint32_t)now) : now / 2;
	if (next > UINT16_MAX)
		next = UINT16_MAX;
	return next != now && pool_promise(window, stock, class, now, next - now) > 0 ? next : now;
}

/* The pools count spans against the budgets (ace/pool.c): growth beyond would do nothing. */
static uint32_t spans_left(const struct hkm_period *window, const struct hkm_policy *policy, bool large)
{
	uint32_t kept = 0, budget = large ? policy->budget_large : policy->budget_mid;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		if (hkm_ace_is_large(class) == large && is_used(window, class))
			kept += policy->pool_spans[class];
	return kept < budget ? budget - kept : 0;
}

double hkm_capacity_change_pools(const struct hkm_actuators *actuators, const struct hkm_period *window, int direction,
				 struct hkm_policy *policy)
{
	struct stock stock;
	uint16_t before[HKM_ACE_CLASSES];
	if (actuators->settings.cap_rule == RULE_NONE)
		return 0;
	stock_pools(window, policy, &stock);
	memcpy(before, policy->pool_spans, sizeof before);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		stock.target[class] = spans_asked(window, &stock, class, direction);
	if (direction < 0)
		shrink(&stock);
	for (unsigned large = 0; large < 2 && direction > 0; large++)
		grow(&stock, window, actuators->settings.water_filling, large, budget_bytes(policy, large),
		     spans_left(window, policy, large));
	double promise = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		promise += pool_promise(window, &stock, class, before[class], policy->pool_spans[class] - before[class]);
	return promise;
}
