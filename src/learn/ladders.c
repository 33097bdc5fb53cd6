/* ladders.c - see ladders.h. */
#include "learn/ladders.h"

#include "learn/prices.h"

#define MIB 1048576.0
#define REMOTE_BLOCKS_MOST 4096 /* as in core/options.def */

/* A step multiplies by four, or divides: so much of what is kept goes then. */
#define SHRUNK 0.75

/* Refills of a class whose blocks are used up before the next: those that a larger batch would spare. A thread that ends,
 * or a class that is asked for a block now and then, leaves most of a batch behind. */
static double spared_refills(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double spared = 0;
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		double refills = window->class_refills[class];
		double batch = (double)hkm_min(policy->refill_blocks, policy->refill_bytes / hkm_tiny_size(class));
		if (refills > 0) {
			double used = window->class_allocations[class] / refills / (batch > 1 ? batch : 1);
			spared += refills * (used < 1 ? used : 1);
		}
	}
	return spared;
}

static double refill_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	return hkm_per_operation(window, spared_refills(window, policy) * window->entry_ns) / 2;
}

/* Each block that is carved in vain costs a few nanoseconds. */
static double refill_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double wasted = window->refills - spared_refills(window, policy), size = 256;
	return hkm_per_operation(window, wasted * policy->refill_bytes / size * SHRUNK * 2) -
	       hkm_per_operation(window, spared_refills(window, policy) * window->entry_ns);
}

static double hot_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	return refill_up(window, policy) / 2;
}

/* Slabs that come and go are slices that are reused. */
static double empty_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	double share = window->tiny_requests / (window->operations + 1);
	return hkm_per_operation(window, share * window->dirty_reused / HKM_SLICE_SIZE * window->entry_ns) / 2;
}

static double empty_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return hkm_rent(window, window->empty_slabs);
}

/* What was asked for again would still have been there; it, and what was not, would have lain there longer. */
static double delay_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double in_vain = window->aged > window->again ? window->aged - window->again : 0;
	double delays = window->length_ms > 0 ? policy->purge_delay_ms / window->length_ms : 0;
	return hkm_fault_price(window, window->again) - hkm_rent(window, (window->again + 3 * in_vain) * delays);
}

static double delay_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return SHRUNK * hkm_rent(window, window->dirty + window->big_cached) - hkm_fault_price(window, window->late);
}

/* Bytes that went because there were too many, and came back within the delay. */
static double surplus_price(const struct hkm_period *window, const struct hkm_policy *policy, double bytes)
{
	double delays = window->length_ms > 0 ? policy->purge_delay_ms / window->length_ms : 0;
	return hkm_fault_price(window, bytes) - hkm_rent(window, bytes * (delays < 1 ? delays : 1));
}

static double dirty_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	return surplus_price(window, policy, window->dirty_again);
}

static double dirty_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return SHRUNK * (hkm_rent(window, window->dirty) - hkm_fault_price(window, window->dirty_reused));
}

static double big_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	return surplus_price(window, policy, window->big_again);
}

static double big_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return SHRUNK * (hkm_rent(window, window->big_cached) - hkm_fault_price(window, window->big_reused));
}

/* Slices that are touched for the first time: with huge pages at least half of what their faults cost is spared. Half of a
 * superslab lies idle on the average. */
static double ahead_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return hkm_fault_price(window, window->fresh) / 2 - hkm_rent(window, HKM_SUPERSLAB_SIZE / 2.0);
}

/* Full messages that larger ones would have spared; four times as much would lie in outboxes. */
static double remote_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	(void)policy;
	return hkm_message_price(window, window->remote_spared) - hkm_rent(window, 3 * window->outboxed);
}

/* A full message would become four, and what is sent for another reason would fill some first. */
static double remote_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double size = window->remote_full > 0 ? window->remote_full_blocks / window->remote_full : policy->remote_blocks;
	double others = window->remote_sent - window->remote_full_blocks;
	double more = 3 * window->remote_full + (others > 0 ? others : 0) / (size / 4 > 1 ? size / 4 : 1);
	return hkm_rent(window, window->outboxed_beyond) - hkm_message_price(window, more);
}

/* Misses that larger caches would have served, if it is their sum that is the bound. */
static double cache_up(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double ghosts = 0, limit = (double)policy->cache_bytes, share = window->held / 1000 * policy->cache_share;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		ghosts += window->ghost_hits[class];
	return window->cached > (share > limit ? share : limit) / 2 ?
	       hkm_per_operation(window, ghosts * window->entry_ns) / 2 : 0;
}

static double cache_down(const struct hkm_period *window, const struct hkm_policy *policy)
{
	double share = window->held / 1000 * policy->cache_share;
	if (share > (double)policy->cache_bytes)
		return 0; /* it is not the bound */
	return SHRUNK * hkm_rent(window, window->cached) - hkm_period_l1_risk(window) / 2;
}

static double cache_level(const struct hkm_period *window)
{
	return window->cached;
}

static double dirty_level(const struct hkm_period *window)
{
	return window->dirty;
}

static double big_level(const struct hkm_period *window)
{
	return window->big_cached;
}

/* What a move promises. */
typedef double promise_of(const struct hkm_period *window, const struct hkm_policy *policy);

struct ladder {
	const char *what;
	size_t offset;        /* in struct hkm_policy */
	bool wide;            /* 64 bits */
	double least, most;   /* where learning stops; 0 may be the least */
	double first;         /* the step above 0 */
	double factor;
	promise_of *up, *down;   /* NULL: nothing speaks for a step in this direction */
	bool counted;            /* its promises count what would have happened */
	unsigned evidence;       /* windows that it takes at least; the first ones are often those of a start */
	double (*level)(const struct hkm_period *); /* what is used of it: going down starts there; NULL: all */
	const char *why_up, *why_down;
};

#define FIELD(name) #name, offsetof(struct hkm_policy, name), sizeof(((struct hkm_policy *)0)->name) == 8

static const struct ladder ladders[HKM_LADDERS] = {
	{ FIELD(purge_delay_ms), 10, 20000, 10, 4, delay_up, delay_down, true, 0, NULL,
	  "memory that was given back for its age is asked for again", "free memory lies resident" },
	{ FIELD(big_cache_bytes), 0, 4096 * MIB, 16 * MIB, 4, big_up, big_down, true, 0, big_level,
	  "surplus mappings that were given back are asked for again", "freed mappings lie unused" },
	{ FIELD(dirty_bytes), 4 * MIB, 4096 * MIB, 4 * MIB, 4, dirty_up, dirty_down, true, 0, dirty_level,
	  "surplus memory that was given back is asked for again", "free memory lies resident" },
	{ FIELD(fault_ahead), 0, 2 * MIB, 2 * MIB, 4, ahead_up, NULL, true, 8, NULL,
	  "slices are touched that were not resident", "" },
	{ FIELD(cache_bytes), 65536, 256 * MIB, 65536, 4, cache_up, cache_down, false, 0, cache_level,
	  "misses that larger caches would have served", "blocks lie in caches" },
	{ FIELD(refill_bytes), 1024, 65536, 1024, 4, refill_up, refill_down, false, 0, NULL,
	  "hot lists run empty", "blocks are carved that nobody asks for" },
	{ FIELD(hot_bytes), 4096, 1048576, 4096, 4, hot_up, NULL, false, 0, NULL,
	  "hot lists run empty", "" },
	{ FIELD(empty_slabs), 0, 64, 1, 4, empty_up, empty_down, false, 0, NULL,
	  "slabs come and go", "slabs are kept empty" },
	{ FIELD(remote_bytes), 1024, 262144, 64, 4, remote_up, remote_down, true, 0, NULL,
	  "messages to other threads follow each other", "blocks wait for their message to be full" },
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

/* The refill's bytes do nothing if its blocks are the bound; likewise the others. `factor`: of the step. */
static void set_companions(const struct ladder *ladder, struct hkm_policy *policy, double factor)
{
	if (ladder->offset == offsetof(struct hkm_policy, remote_bytes)) {
		double blocks = policy->remote_blocks * factor;
		policy->remote_blocks = (uint32_t)(blocks < 1 ? 1 : blocks > REMOTE_BLOCKS_MOST ? REMOTE_BLOCKS_MOST : blocks);
	}
	if (ladder->offset == offsetof(struct hkm_policy, refill_bytes))
		policy->refill_blocks = (uint32_t)hkm_max(64, policy->refill_bytes / 256);
	if (ladder->offset == offsetof(struct hkm_policy, hot_bytes))
		policy->hot_blocks = (uint32_t)hkm_max(512, policy->hot_bytes / 128);
}

bool hkm_ladder_propose(const struct hkm_actuators *actuators, const struct hkm_period *window,
			const struct hkm_policy *base, unsigned index, int direction, struct hkm_proposal *proposal)
{
	const struct ladder *ladder = &ladders[index];
	promise_of *promise = direction > 0 ? ladder->up : ladder->down;
	if (promise == NULL)
		return false;
	double value = get(ladder, base), next = next_step(ladder, window, value, direction);
	if (direction > 0 ? next <= value : next >= value)
		return false;
	if (actuators->evidence_count < ladder->evidence)
		return false;
	*proposal = (struct hkm_proposal){
		.direction = direction,
		.what = ladder->what,
		.why = direction > 0 ? ladder->why_up : ladder->why_down,
		.from = value,
		.to = next,
		.gain = promise(window, base),
		.counted = ladder->counted,
		.settle_ms = ladder->counted || ladder->level != NULL ? hkm_settle_ms(actuators, base) : 0,
		.policy = *base,
	};
	set(ladder, &proposal->policy, next);
	set_companions(ladder, &proposal->policy, value > 0 ? next / value : 1);
	return true;
}
