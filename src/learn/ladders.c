/* ladders.c - see ladders.h. */
#include "learn/ladders.h"

#include "learn/prices.h"

#define MIB 1048576.0

static double refill_up(const struct hkm_period *window)
{
	return hkm_per_operation(window, window->refills * window->entry_ns) / 2;
}

static double refill_down(const struct hkm_period *window)
{
	return hkm_rent(window, hkm_idle_bytes(window)) * window->tiny_requests / (window->operations + 1) / 50;
}

static double hot_up(const struct hkm_period *window)
{
	return hkm_per_operation(window, window->refills * window->entry_ns) / 4;
}

static double hot_down(const struct hkm_period *window)
{
	return hkm_rent(window, hkm_idle_bytes(window)) * window->tiny_requests / (window->operations + 1) / 20 -
	       HKM_RISK * window->tiny_requests / (window->operations + 1);
}

static double empty_up(const struct hkm_period *window)
{
	return hkm_per_operation(window, window->refills * window->entry_ns) / 10;
}

static double empty_down(const struct hkm_period *window)
{
	return hkm_rent(window, (double)window->totals.empty_slabs);
}

static double delay_down(const struct hkm_period *window)
{
	return hkm_rent(window, (double)(window->totals.dirty + window->totals.big_cached)) / 2 -
	       HKM_RISK * hkm_period_l2_risk(window);
}

static double dirty_up(const struct hkm_period *window)
{
	return hkm_fault_again(window) / 2;
}

static double dirty_down(const struct hkm_period *window)
{
	return hkm_rent(window, (double)window->totals.dirty) / 2;
}

static double big_up(const struct hkm_period *window)
{
	return window->big_misses > 0 ? hkm_fault_again(window) / 2 : 0;
}

static double big_down(const struct hkm_period *window)
{
	return hkm_rent(window, (double)window->totals.big_cached) / 2 - HKM_RISK * hkm_period_l2_risk(window);
}

/* What caches hold in vain while they are full: misses that larger ones would have served. */
static double cache_up(const struct hkm_period *window)
{
	double ghosts = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		ghosts += window->ghost_hits[class];
	return hkm_per_operation(window, ghosts * window->entry_ns) / 2;
}

static double cache_down(const struct hkm_period *window)
{
	return hkm_rent(window, (double)window->totals.cached) / 2 - HKM_RISK * hkm_period_l1_risk(window);
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
	{ FIELD(purge_delay_ms), 10, 20000, 10, 4, hkm_fault_again, delay_down, NULL,
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

bool hkm_ladder_propose(const struct hkm_actuators *actuators, const struct hkm_period *window,
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
		.settle_ms = ladder->level != NULL ? hkm_settle_ms(actuators, base) : 0,
		.policy = *base,
	};
	set(ladder, &proposal->policy, next);
	set_companions(ladder, &proposal->policy);
	return true;
}
