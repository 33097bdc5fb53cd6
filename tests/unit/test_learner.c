/* test_learner.c - the learner against simulated plants: what it is told is computed from the policy that it has published,
 * so the best policy is known. Time is injected; nothing is measured, and no thread runs.
 */
#include "unit.h"

#include <math.h>

#include "core/options.h"
#include "learn/capacity.h"
#include "learn/ladders.h"
#include "learn/learner.h"

#define WINDOW_MS 100
#define ENOUGH 60 /* windows after which every plant here has been learned */

struct plant {
	struct random_source random;
	struct hkm_learner learner;
	struct hkm_policy policy; /* in force */
	struct hkm_period window;
	uint64_t now_ms;
	double noise;             /* share by which the objective of a window may be off */
	unsigned keeps, rollbacks, tries, freezes, thaws, publications;
	double worst_kept;        /* objective_after / objective_before of a change that was kept, the highest */
	/* The workload: computes the window that the policy in force gives. */
	void (*work)(struct plant *plant);
};

static const struct hkm_learn_settings settings = {
	.cap_rule = 2,
	.target_hit_mid = 0.65,
	.target_hit_large = 0.55,
	.cap_step_mid = 4,
	.cap_step_large = 1,
	.ucb_c = 0.2,
	.water_filling = true,
	.wmax = true,
	.dynamic = true,
	.huge_pages = true,
	.wmax_mid = { 1400, 1600, 1800, 2000 },
	.wmax_mid_count = 4,
	.wmax_large = { 1250, 1500, 1750, 2000 },
	.wmax_large_count = 4,
	.window_ms = WINDOW_MS,
	.most_slowdown = 0.01,
	.mid_cache_bytes = 65536,
};

/* A window with 100,000 Tiny allocations, in which nothing is the matter. */
static void blank_window(struct plant *plant)
{
	struct hkm_period *window = &plant->window;

	memset(window, 0, sizeof *window);
	window->length_ms = WINDOW_MS;
	window->operations = window->tiny_requests = 100000;
	window->entry_ns = 100;
	window->fault_ns = 250;
	window->lambda = 0.2;
	window->live = window->held = 10 * (double)MIB;
}

/* The objective is what signals.c makes of the rest, and noise. */
static void finish_window(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	double noise = plant->noise * ((double)random_between(&plant->random, 0, 2000) / 1000 - 1);

	window->slow_ns += window->faults * window->fault_ns;
	window->objective = window->slow_ns / window->operations +
		window->lambda * (window->held - window->live) / (double)MIB;
	window->objective *= 1 + noise;
}

static void count_event(struct plant *plant, const struct hkm_decision *decision)
{
	plant->tries += decision->event == HKM_EVENT_TRY;
	plant->keeps += decision->event == HKM_EVENT_KEEP;
	plant->rollbacks += decision->event == HKM_EVENT_ROLLBACK;
	plant->freezes += decision->event == HKM_EVENT_FREEZE;
	plant->thaws += decision->event == HKM_EVENT_THAW;
	if (decision->event == HKM_EVENT_KEEP) {
		double share = decision->objective_after / decision->objective_before;

		if (share > plant->worst_kept)
			plant->worst_kept = share;
	}
}

/* As hkm_policy_replace does. */
static void publish(struct plant *plant, const struct hkm_policy *policy)
{
	hkm_policy_replace(policy);
	hkm_policy_copy(&plant->policy);
	plant->publications++;
}

static void run_windows(struct plant *plant, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct hkm_decision decision;
		struct hkm_policy published;

		blank_window(plant);
		plant->work(plant);
		finish_window(plant);
		plant->now_ms += WINDOW_MS;
		plant->window.now_ms = plant->now_ms;
		if (hkm_learner_step(&plant->learner, &plant->window, &published, &decision))
			publish(plant, &published);
		count_event(plant, &decision);
		while (plant->learner.looking) {
			if (hkm_learner_look(&plant->learner, plant->now_ms, &published, &decision))
				publish(plant, &published);
			count_event(plant, &decision);
		}
	}
}

static void start_plant(struct plant *plant, void (*work)(struct plant *), double noise)
{
	memset(plant, 0, sizeof *plant);
	plant->random.state = 1;
	plant->work = work;
	plant->noise = noise;
	hkm_policy_start();
	hkm_policy_copy(&plant->policy);
	plant->policy.purge_delay_ms = 200; /* a rung of its ladder below what delay_plant needs */
	hkm_learner_start(&plant->learner, &settings, &plant->policy, false, plant->now_ms);
}

static void check_converged(const struct plant *plant)
{
	require(plant->learner.state == HKM_FROZEN, "state %d after %u tries", plant->learner.state, plant->tries);
	require(plant->worst_kept < 1, "a change was kept that made things worse: %f", plant->worst_kept);
	require(memcmp(&plant->learner.base.refill_blocks, &plant->policy.refill_blocks,
		sizeof plant->policy - offsetof(struct hkm_policy, refill_blocks)) == 0,
		"frozen, but another policy than the base is in force");
}

/* ---- Plants -------------------------------------------------------------------------- */

/* Memory that was given back is touched again, unless the delay is 800 ms or more; above, it lies idle. */
static void delay_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	double delay = plant->policy.purge_delay_ms;

	window->slow_ns = 100000;
	if (delay < 800) {
		window->faults = 2000;
		window->purged = window->aged = 2000 * 4096;
		window->again = 4 * delay >= 800 ? window->aged : 0;
	}
	window->dirty_reused = delay < 800 ? 0 : 2000 * 4096;
	window->dirty = delay < 800 ? 0 : delay / 800 * (double)MIB;
	window->late = delay >= 800 && delay / 4 < 800 ? 2000 * 4096 : 0;
	window->held += window->dirty;
}

ISOLATED(a_delay_is_found_and_not_overshot)
{
	struct plant plant;

	start_plant(&plant, delay_plant, 0.01);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	require(plant.policy.purge_delay_ms >= 800 && plant.policy.purge_delay_ms <= 5000, "delay %u",
		plant.policy.purge_delay_ms);
	require(plant.keeps >= 1, "nothing was kept");
}

/* 25,000 allocations of the Mid class of 8 KiB; a burst of `burst` blocks is freed and allocated over and over. */
static void burst_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	unsigned class = hkm_ace_class(8192);
	double burst = 24, capacity = plant->policy.cache_blocks[class], missed = capacity < burst ? burst - capacity : 0;

	window->operations += 25000;
	window->mid_requests = 25000;
	window->misses[class] = 25000 * missed / burst;
	window->hits[class] = 25000 - window->misses[class];
	window->ghost_hits[class] = missed > capacity ? 25000 * capacity / burst : window->misses[class];
	window->slow_ns = window->misses[class] * 200;
	window->entry_ns = 200;
	window->totals.threads = 1;
	window->cached = (capacity < burst ? capacity : burst) * 8192;
	window->held += window->cached;
}

ISOLATED(a_cache_grows_to_the_burst_and_stays_within_the_budget)
{
	struct plant plant;
	unsigned class = hkm_ace_class(8192);

	start_plant(&plant, burst_plant, 0.01);
	uint32_t idle = plant.policy.cache_blocks[hkm_ace_class(5000)];
	require(plant.policy.cache_blocks[class] < 24, "the plant is no task: %u", plant.policy.cache_blocks[class]);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	require(plant.policy.cache_blocks[class] >= 20, "capacity %u", plant.policy.cache_blocks[class]);
	require(plant.policy.cache_blocks[hkm_ace_class(5000)] <= idle, "a class without demand has grown to %u",
		plant.policy.cache_blocks[hkm_ace_class(5000)]);
}

ISOLATED(a_cache_does_not_grow_beyond_the_budget)
{
	struct plant plant;
	unsigned class = hkm_ace_class(8192);

	hkm_options.budget_mid = 2; /* pages of 64 KiB: 16 blocks; the burst asks for more */
	hkm_options.mid_cache_bytes = 65536;
	start_plant(&plant, burst_plant, 0.01);
	require(plant.policy.cache_blocks[class] == 8, "the plant is no task: %u", plant.policy.cache_blocks[class]);
	for (unsigned i = 0; i < ENOUGH; i++) {
		run_windows(&plant, 1);
		require(plant.policy.cache_blocks[class] <= 16, "capacity %u in window %u",
			plant.policy.cache_blocks[class], i);
	}
	require(plant.policy.cache_blocks[class] == 16, "capacity %u", plant.policy.cache_blocks[class]);
}

/* The seed's rule, without evidence: a hit rate below the target is enough, and one window changes it by one step. */
ISOLATED(the_seeds_step_goes_by_the_hit_rate_alone)
{
	static struct hkm_actuators actuators;
	struct hkm_learn_settings step = settings;
	struct hkm_policy policy;
	struct hkm_period window = { .length_ms = WINDOW_MS };
	unsigned low = hkm_ace_class(8192), high = hkm_ace_class(4096);
	int before_low, before_high;

	step.cap_rule = 1;
	hkm_policy_start();
	hkm_policy_copy(&policy);
	before_low = policy.cache_blocks[low];
	before_high = policy.cache_blocks[high];
	hkm_actuators_start(&actuators, &step, &policy);
	window.hits[low] = 500; /* of 1000: below 0.65 */
	window.misses[low] = 500;
	window.hits[high] = 900; /* above */
	window.misses[high] = 100;
	hkm_capacity_change(&actuators, &window, 1, &policy);
	require(policy.cache_blocks[low] == before_low + step.cap_step_mid, "%u", policy.cache_blocks[low]);
	require(policy.cache_blocks[high] == before_high, "%u", policy.cache_blocks[high]);
	hkm_capacity_change(&actuators, &window, -1, &policy);
	require(policy.cache_blocks[high] == before_high - step.cap_step_mid, "%u", policy.cache_blocks[high]);
}

/* ---- Pools ---- */

/* Rounds of so many blocks of 112 KiB, beyond what caches hold: freed all, then allocated all. A span that is made and
 * given back costs 150 ns; those that are kept lie empty half of the time. The pool that it is compared with keeps half. */
static double round_blocks, rounds;

static void round_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	unsigned class = hkm_ace_class(130000);
	double kept = plant->policy.pool_spans[class], bytes = 4 * (double)HKM_SLICE_SIZE, more = kept > 4 ? kept : 4;
	double served = kept < round_blocks ? kept : round_blocks, made = round_blocks - served;
	double half = __builtin_floor(kept / 2), half_served = half < round_blocks ? half : round_blocks;

	window->large_requests = window->misses[class] = rounds * round_blocks;
	window->operations += window->large_requests;
	window->pool_hits[class] = rounds * (served - half_served);
	window->pool_ghosts[class] = rounds * (made < more ? made : more);
	window->spans_timed = made > 0 ? 10 : 0;
	window->span_ns = made > 0 ? 10 * 100 : 0;
	window->slow_ns = 100000 + rounds * made * 150;
	window->pool_surplus[class] = (served - half_served) / 2 * bytes;
	window->held += served / 2 * bytes;
}

ISOLATED(a_pool_keeps_the_spans_of_a_round)
{
	struct plant plant;
	unsigned class = hkm_ace_class(130000), idle = hkm_ace_class(200000);
	uint16_t before;

	round_blocks = 14;
	rounds = 2000;
	start_plant(&plant, round_plant, 0.01);
	before = plant.policy.pool_spans[idle];
	require(plant.policy.pool_spans[class] < 4, "the plant is no task: %u", plant.policy.pool_spans[class]);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	require(plant.policy.pool_spans[class] >= 14 && plant.policy.pool_spans[class] <= 28, "%u spans",
		plant.policy.pool_spans[class]);
	require(plant.policy.pool_spans[idle] == before, "a pool without demand keeps %u", plant.policy.pool_spans[idle]);
}

/* Once in a window it is not worth the rent. */
ISOLATED(a_pool_does_not_keep_what_is_seldom_asked_for)
{
	struct plant plant;
	unsigned class = hkm_ace_class(130000);
	uint16_t before;

	round_blocks = 20;
	rounds = 1;
	start_plant(&plant, round_plant, 0);
	before = plant.policy.pool_spans[class];
	for (unsigned i = 0; i < ENOUGH; i++) {
		run_windows(&plant, 1);
		require(plant.policy.pool_spans[class] <= before, "%u spans in window %u", plant.policy.pool_spans[class], i);
	}
}

ISOLATED(pools_do_not_keep_more_than_the_budget)
{
	struct plant plant;
	unsigned class = hkm_ace_class(130000);

	hkm_options.budget_large = 5; /* bundles of 256 KiB: ten of these spans; but five spans */
	round_blocks = 20;
	rounds = 2000;
	start_plant(&plant, round_plant, 0.01);
	require(plant.policy.pool_spans[class] < 4, "the plant is no task: %u", plant.policy.pool_spans[class]);
	for (unsigned i = 0; i < ENOUGH; i++) {
		run_windows(&plant, 1);
		require(plant.policy.pool_spans[class] <= 5, "%u spans in window %u", plant.policy.pool_spans[class], i);
	}
	require(plant.policy.pool_spans[class] == 5, "%u spans", plant.policy.pool_spans[class]);
}

/* Spans of 2 MiB lie empty in a pool; so many of them are asked for, ten thousand times. */
static double asked_for;

static void hoard_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	unsigned class = hkm_ace_class(2000000);
	double kept = plant->policy.pool_spans[class], half = __builtin_floor(kept / 2);
	double served = kept < asked_for ? kept : asked_for, half_served = half < asked_for ? half : asked_for;

	window->large_requests = window->misses[class] = 10000;
	window->operations += 10000;
	window->pool_hits[class] = 10000 * (served - half_served);
	window->pool_surplus[class] = (kept - half) * 2 * (double)MIB;
	window->slow_ns = 100000 + 10000 * (asked_for - served) * 150;
	window->held += kept * 2 * (double)MIB;
}

static unsigned spans_kept_of_a_hoard(double asked)
{
	struct plant plant;
	unsigned class = hkm_ace_class(2000000);

	asked_for = asked;
	start_plant(&plant, hoard_plant, 0.01);
	plant.policy.pool_spans[class] = 6;
	hkm_policy_replace(&plant.policy);
	hkm_learner_start(&plant.learner, &settings, &plant.policy, false, plant.now_ms);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	return plant.policy.pool_spans[class];
}

ISOLATED(spans_that_lie_empty_and_serve_nothing_go)
{
	unsigned kept = spans_kept_of_a_hoard(0);

	require(kept == 0, "%u spans are kept", kept);
}

ISOLATED(spans_that_serve_stay)
{
	unsigned kept = spans_kept_of_a_hoard(6);

	require(kept == 6, "%u spans are kept", kept);
	/* However often the others serve: the fourth to sixth never do. */
	kept = spans_kept_of_a_hoard(3);
	require(kept == 3, "%u spans are kept of which three serve", kept);
}

/* Among classes that all are worth it, those with the most ghost hits per byte come first. */
ISOLATED(pools_share_the_budget_by_ghost_hits_per_byte)
{
	static struct hkm_actuators actuators;
	static struct hkm_period window;
	struct hkm_policy policy;
	unsigned best = hkm_ace_class(130000), same = hkm_ace_class(200000), dear = hkm_ace_class(1000000);
	double promise;

	hkm_policy_start();
	hkm_policy_copy(&policy);
	hkm_actuators_start(&actuators, &settings, &policy);
	memset(policy.pool_spans, 0, sizeof policy.pool_spans);
	policy.budget_large = 4; /* 1 MiB, four spans */
	window.operations = 10000;
	window.lambda = 0.2;
	window.spans_timed = 1;
	window.span_ns = 100;
	window.misses[best] = window.misses[same] = window.misses[dear] = 5000;
	window.pool_ghosts[best] = window.pool_ghosts[dear] = 4000;
	window.pool_ghosts[same] = 8000;
	promise = hkm_capacity_change_pools(&actuators, &window, 1, &policy);
	/* Ghost hits per KiB: 31, 16, 10 for the first to third of 128 KiB; 36, 18, 12 for those of 224; 4 for one of 1 MiB. */
	require(policy.pool_spans[best] == 2 && policy.pool_spans[same] == 2 && policy.pool_spans[dear] == 0,
		"%u, %u and %u spans", policy.pool_spans[best], policy.pool_spans[same], policy.pool_spans[dear]);
	/* Ghost hits are of pools that keep four more. 150 ns for each, and rent. */
	require(fabs(promise - ((2000 + 4000) * 150 / 10000.0 - 0.2 * (2 * 128 + 2 * 224) / 1024)) < 1e-6, "promise %f", promise);
}

/* Half of the spans: what they would cost if they were made as they are asked for is less than their rent, or is not. */
ISOLATED(pools_give_up_what_costs_more_than_it_spares)
{
	static struct hkm_actuators actuators;
	static struct hkm_period window;
	struct hkm_policy policy;
	unsigned class = hkm_ace_class(2000000), other = hkm_ace_class(1000000);
	double promise;

	hkm_policy_start();
	hkm_policy_copy(&policy);
	hkm_actuators_start(&actuators, &settings, &policy);
	policy.pool_spans[class] = policy.pool_spans[other] = 7;
	window.operations = 10000;
	window.lambda = 0.2;
	window.entry_ns = 100; /* nothing was timed */
	window.misses[class] = window.misses[other] = 5000;
	window.pool_surplus[class] = window.pool_surplus[other] = 10 * (double)MIB;
	window.pool_hits[class] = 150;
	window.pool_hits[other] = 250;
	promise = hkm_capacity_change_pools(&actuators, &window, -1, &policy);
	require(policy.pool_spans[class] == 3 && policy.pool_spans[other] == 7, "%u and %u spans", policy.pool_spans[class],
		policy.pool_spans[other]);
	require(fabs(promise - 0.5) < 1e-6, "promise %f", promise); /* 2.0 of rent, 1.5 for spans */
}

ISOLATED(pools_stay_as_they_are_where_capacities_are_fixed_or_nothing_is_counted)
{
	static struct hkm_actuators actuators;
	static struct hkm_period window;
	struct hkm_learn_settings fixed = settings;
	struct hkm_policy policy, before;

	hkm_policy_start();
	hkm_policy_copy(&policy);
	before = policy;
	window.operations = window.misses[hkm_ace_class(130000)] = 10000;
	window.lambda = 0.2;
	window.entry_ns = 100;
	hkm_actuators_start(&actuators, &settings, &policy);
	for (int direction = -1; direction <= 1; direction += 2) {
		double promise = hkm_capacity_change_pools(&actuators, &window, direction, &policy);

		require(promise >= 0 && promise <= 0 && memcmp(&policy, &before, sizeof policy) == 0, "changed without a count");
	}
	fixed.cap_rule = 0;
	window.pool_ghosts[hkm_ace_class(130000)] = 10000;
	hkm_actuators_start(&actuators, &fixed, &policy);
	hkm_capacity_change_pools(&actuators, &window, 1, &policy);
	require(memcmp(&policy, &before, sizeof policy) == 0, "changed though capacities are fixed");
}

/* ---- Messages ---- */

/* Blocks of 64 bytes are freed for other threads, `row` one after the other for each, of which a message takes as many as
 * the policy says. A message costs 100 ns; `outboxes` of them are half full. */
static double row, frees, outboxes;

static void message_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	double blocks = plant->policy.remote_blocks, bytes = plant->policy.remote_bytes;

	if (bytes / 64 < blocks)
		blocks = bytes / 64;
	double full = __builtin_floor(row / blocks), spared = full - __builtin_ceil(full / 4), rows = frees / row;
	double waits = (row < blocks ? row : blocks) / 2;

	window->remote_sent = frees;
	window->remote_full = rows * full;
	window->remote_full_blocks = rows * full * blocks;
	window->remote_spared = rows * spared;
	window->messages_timed = full > 0 ? 10 : 0;
	window->message_ns = full > 0 ? 10 * 100 : 0;
	window->slow_ns = 50000 + rows * __builtin_ceil(row / blocks) * 100;
	window->outboxed = outboxes * waits * 64;
	window->outboxed_beyond = outboxes * (waits > blocks / 4 ? waits - blocks / 4 : 0) * 64;
	window->held += window->outboxed;
}

static void check_messages(const struct plant *plant)
{
	require(plant->policy.remote_blocks >= 1 && plant->policy.remote_blocks <= 4096 &&
			plant->policy.remote_bytes >= 1024 && plant->policy.remote_bytes <= 262144, "%u blocks, %u bytes",
		plant->policy.remote_blocks, plant->policy.remote_bytes);
}

ISOLATED(messages_grow_with_the_rows_that_follow_each_other)
{
	struct plant plant;

	row = 600;
	frees = 60000;
	outboxes = 2;
	start_plant(&plant, message_plant, 0.01);
	require(plant.policy.remote_blocks == 64, "the plant is another one");
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	check_messages(&plant);
	/* Messages of 256 blocks are sent twice in a row, of which a larger one would spare one. */
	require(plant.policy.remote_blocks >= 256 && plant.policy.remote_blocks <= 1024, "%u blocks",
		plant.policy.remote_blocks);
	require(plant.policy.remote_bytes == 256 * plant.policy.remote_blocks, "%u bytes in %u blocks",
		plant.policy.remote_bytes, plant.policy.remote_blocks);
}

/* Rows that end before the second message: a larger one would be sent as often. */
ISOLATED(messages_do_not_grow_where_none_would_be_spared)
{
	struct plant plant;

	row = 100;
	frees = 60000;
	outboxes = 2;
	start_plant(&plant, message_plant, 0.01);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	require(plant.policy.remote_blocks <= 64 && plant.policy.remote_bytes <= 16384, "%u blocks, %u bytes",
		plant.policy.remote_blocks, plant.policy.remote_bytes);
}

/* Thousands of outboxes, in which little is sent. */
ISOLATED(messages_shrink_where_what_waits_is_dear)
{
	struct plant plant;

	row = 1000;
	frees = 10000;
	outboxes = 16000;
	start_plant(&plant, message_plant, 0.01);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	check_messages(&plant);
	require(plant.policy.remote_blocks <= 16 && plant.policy.remote_bytes <= 4096, "%u blocks, %u bytes",
		plant.policy.remote_blocks, plant.policy.remote_bytes);
}

static bool propose_messages(const struct hkm_period *window, const struct hkm_policy *policy, int direction,
	struct hkm_proposal *proposal)
{
	static struct hkm_actuators actuators;

	hkm_actuators_start(&actuators, &settings, policy);
	for (unsigned i = 0; i < HKM_LADDERS; i++)
		if (hkm_ladder_propose(&actuators, window, policy, i, direction, proposal) &&
			strcmp(proposal->what, "remote_bytes") == 0)
			return true;
	return false;
}

ISOLATED(messages_promise_what_is_counted)
{
	static struct hkm_period window;
	struct hkm_policy policy;
	struct hkm_proposal proposal;

	hkm_policy_start();
	hkm_policy_copy(&policy);
	window.operations = 10000;
	window.lambda = 0.2;
	window.entry_ns = 1000;
	require(propose_messages(&window, &policy, 1, &proposal) && fabs(proposal.gain) < 1e-9, "promise %f of nothing",
		proposal.gain);
	require(propose_messages(&window, &policy, -1, &proposal) && fabs(proposal.gain) < 1e-9, "promise %f of nothing",
		proposal.gain);
	window.messages_timed = 3;
	window.message_ns = 3 * 50;
	window.remote_full = 400;
	window.remote_spared = 300;
	window.remote_full_blocks = 400 * 64;
	window.remote_sent = 400 * 64 + 160; /* ten messages of a quarter */
	window.outboxed = (double)MIB;
	window.outboxed_beyond = 0.75 * (double)MIB;
	require(propose_messages(&window, &policy, 1, &proposal) && proposal.counted, "no step up");
	require(fabs(proposal.gain - (300 * 50 / 10000.0 - 0.2 * 3)) < 1e-6, "promise %f", proposal.gain);
	require(proposal.policy.remote_blocks == 256 && proposal.policy.remote_bytes == 65536, "%u blocks, %u bytes",
		proposal.policy.remote_blocks, proposal.policy.remote_bytes);
	require(propose_messages(&window, &policy, -1, &proposal) && proposal.counted, "no step down");
	require(fabs(proposal.gain - (0.2 * 0.75 - (1200 + 10) * 50 / 10000.0)) < 1e-6, "promise %f", proposal.gain);
	require(proposal.policy.remote_blocks == 16 && proposal.policy.remote_bytes == 4096, "%u blocks, %u bytes",
		proposal.policy.remote_blocks, proposal.policy.remote_bytes);
	policy.remote_blocks = 4000;
	require(propose_messages(&window, &policy, 1, &proposal) && proposal.policy.remote_blocks == 4096, "%u blocks",
		proposal.policy.remote_blocks);
	policy.remote_blocks = 1;
	require(propose_messages(&window, &policy, -1, &proposal) && proposal.policy.remote_blocks == 1, "%u blocks",
		proposal.policy.remote_blocks);
	policy.remote_bytes = 1 << 20; /* by the options: beyond what is learned */
	require(!propose_messages(&window, &policy, 1, &proposal), "a step to %f", proposal.to);
}

/* Whatever the first values are, and however much it pays. */
ISOLATED(messages_stay_within_their_bounds)
{
	for (unsigned i = 0; i < 4; i++) {
		struct plant plant;

		row = i % 2 == 0 ? 1e6 : 10000;
		frees = i % 2 == 0 ? 1e6 : 10000;
		outboxes = i % 2 == 0 ? 1 : 1e6;
		hkm_options.remote_blocks = i < 2 ? 3000 : 2;
		start_plant(&plant, message_plant, 0.01);
		for (unsigned k = 0; k < ENOUGH; k++) {
			run_windows(&plant, 1);
			check_messages(&plant);
		}
		require(plant.keeps > 0 || i == 3, "nothing was learned in plant %u", i);
	}
}

/* Half of the Mid requests are of 4,112 bytes, for which the static class wastes 1,008. */
static void odd_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	bool fits = plant->policy.dynamic_size[0] == 4112 || plant->policy.dynamic_size[1] == 4112;
	double live = 50 * (double)MIB;
	unsigned bucket = (4112 - HKM_TINY_MAX - 1) / HKM_DEMAND_WIDTH;

	window->mid_requests = 1000;
	window->slow_ns = 200000;
	window->totals.demand[bucket] = (uint32_t)(plant->now_ms);
	window->totals.largest[bucket] = 4112;
	window->totals.mid_out = (uint64_t)(fits ? live : live * 5120 / 4112);
	window->live = live;
	window->held = fits ? live : live * 5120 / 4112;
}

ISOLATED(an_odd_size_gets_a_class_of_its_own)
{
	struct plant plant;

	start_plant(&plant, odd_plant, 0.01);
	run_windows(&plant, 15);
	require(plant.policy.dynamic_size[0] == 4112 || plant.policy.dynamic_size[1] == 4112, "%u and %u",
		plant.policy.dynamic_size[0], plant.policy.dynamic_size[1]);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
}

/* The same, but until the blocks are where they fit, a window costs more: 64 times as much at first, each time half of that. */
static double moving_cost;

static void moving_plant(struct plant *plant)
{
	bool fits = plant->policy.dynamic_size[0] != 0 || plant->policy.dynamic_size[1] != 0;

	odd_plant(plant);
	moving_cost = fits ? moving_cost / 2 : 128;
	plant->window.processor_ns = plant->window.operations * 100;
	if (fits)
		plant->window.slow_ns *= 1 + moving_cost;
}

ISOLATED(a_class_is_not_judged_before_the_blocks_have_moved)
{
	struct plant plant;

	start_plant(&plant, moving_plant, 0.01);
	for (unsigned i = 0; i < ENOUGH && plant.keeps + plant.rollbacks == 0; i++)
		run_windows(&plant, 1);
	require(plant.keeps == 1 && plant.policy.dynamic_size[0] + plant.policy.dynamic_size[1] == 4112, "%u rollbacks",
		plant.rollbacks);
}

/* 100 MiB lie idle for as long as the delay; giving them back sooner saves 16 ns an allocation by the objective, and costs
 * 5 ns of the program's time. */
static double work_ns; /* the program's processor time per allocation */

static void dear_memory_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	bool early = plant->policy.purge_delay_ms < 200;

	window->slow_ns = window->operations * (early ? 6 : 1);
	window->processor_ns = window->operations * (work_ns + (early ? 5 : 0));
	window->dirty = (early ? 20 : 100) * (double)MIB;
	window->held += window->dirty;
}

ISOLATED(memory_is_saved_where_it_costs_the_program_little)
{
	struct plant plant;

	work_ns = 2000;
	start_plant(&plant, dear_memory_plant, 0.005);
	run_windows(&plant, ENOUGH);
	require(plant.policy.purge_delay_ms < 200, "the delay is still %u", plant.policy.purge_delay_ms);
	require(plant.window.objective < 15, "objective %f", plant.window.objective);
}

ISOLATED(memory_is_not_saved_where_it_slows_the_program_down)
{
	struct plant plant;

	work_ns = 100;
	start_plant(&plant, dear_memory_plant, 0.005);
	run_windows(&plant, 2 * ENOUGH);
	check_converged(&plant);
	require(plant.tries > 0 && plant.keeps == 0, "%u tries, %u kept", plant.tries, plant.keeps);
	require(plant.policy.purge_delay_ms == 200, "delay %u", plant.policy.purge_delay_ms);
}

/* A tenth of the objective, which is 0.05 ns an allocation and 250 KiB. */
static void trifle_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	bool early = plant->policy.purge_delay_ms < 200;

	window->slow_ns = window->operations * 0.1;
	window->processor_ns = window->operations * work_ns;
	window->dirty = (early ? 0 : 300) * 1024.0;
	window->held += (double)MIB + window->dirty;
}

ISOLATED(what_nobody_would_notice_is_not_tried)
{
	struct plant plant;

	work_ns = 0; /* not known */
	start_plant(&plant, trifle_plant, 0.001);
	run_windows(&plant, ENOUGH);
	require(plant.tries > 0, "the plant is no task");
	work_ns = 50;
	start_plant(&plant, trifle_plant, 0.001);
	run_windows(&plant, ENOUGH);
	require(plant.tries == 0, "%u tries", plant.tries);
}

/* A learner that starts in a running process, a child of fork say: counters of the whole life are not one window's. */
ISOLATED(what_was_before_the_first_window_is_no_demand)
{
	static struct hkm_actuators actuators;
	static struct hkm_period window;
	struct hkm_learn_settings plain = { .ucb_c = 0.2 };
	struct hkm_policy policy = { .generation = 1 };

	hkm_actuators_start(&actuators, &plain, &policy);
	window.totals.demand[10] = 3000000;
	window.totals.largest[10] = 3800;
	window.hits[hkm_ace_class(3800)] = 2000000;
	window.misses[hkm_ace_class(3800)] = 100;
	hkm_actuators_see(&actuators, &window);
	require(actuators.demand[10] == 0, "demand %u", actuators.demand[10]);
	window.totals.demand[10] += 100;
	hkm_actuators_see(&actuators, &window);
	require(actuators.demand[10] == 2000100, "demand %u", actuators.demand[10]);
	window.totals.demand[10] += 2000000000; /* more than the number holds */
	for (unsigned i = 0; i < 20; i++) {
		uint32_t before = actuators.demand[10];

		hkm_actuators_see(&actuators, &window);
		window.totals.demand[10] += 2000000000;
		require(actuators.demand[10] > before / 2, "demand %u, %u before", actuators.demand[10], before);
	}
}

/* Whatever is changed makes everything 30 % slower. */
static void trap_plant(struct plant *plant)
{
	struct hkm_policy standard = plant->learner.actuators.standard;
	bool changed = memcmp(&standard.refill_blocks, &plant->policy.refill_blocks,
		sizeof standard - offsetof(struct hkm_policy, refill_blocks)) != 0;

	delay_plant(plant);
	plant->window.refills = 5000;
	plant->window.misses[5] = 1000;
	plant->window.class_refills[10] = 5000;
	plant->window.class_allocations[10] = 5000000;
	plant->window.dirty = 10 * MIB;
	plant->window.slow_ns = changed ? 1300000 : 1000000;
}

ISOLATED(what_does_not_help_is_rolled_back_and_no_longer_tried)
{
	struct plant plant;
	unsigned tries;

	start_plant(&plant, trap_plant, 0.005);
	plant.work = trap_plant;
	run_windows(&plant, 200);
	require(plant.rollbacks == plant.tries - plant.keeps, "%u tries, %u rollbacks", plant.tries, plant.rollbacks);
	require(plant.learner.state == HKM_FROZEN, "state %d", plant.learner.state);
	tries = plant.tries;
	run_windows(&plant, 200);
	require(plant.tries == tries, "tried again without a reason");
}

static void calm_plant(struct plant *plant)
{
	plant->window.slow_ns = 100000;
}

ISOLATED(where_nothing_is_the_matter_nothing_is_changed)
{
	struct plant plant;

	start_plant(&plant, calm_plant, 0.05);
	run_windows(&plant, 300);
	require(plant.tries <= 4 && plant.keeps == 0, "%u tries, %u kept", plant.tries, plant.keeps);
	require(plant.learner.state == HKM_FROZEN && plant.thaws == 0, "state %d, %u thaws", plant.learner.state,
		plant.thaws);
}

static void dead_plant(struct plant *plant)
{
	plant->window.operations = plant->window.tiny_requests = 0;
	plant->window.objective = NAN;
}

ISOLATED(a_dead_signal_changes_nothing)
{
	struct plant plant;

	start_plant(&plant, dead_plant, 0);
	run_windows(&plant, 100);
	require(plant.publications == 0 && plant.learner.decisions == 0, "%u publications", plant.publications);
	/* A trial under way waits, too. */
	plant.work = delay_plant;
	while (plant.learner.state != HKM_CANARY)
		run_windows(&plant, 1);
	plant.work = dead_plant;
	plant.publications = 0;
	run_windows(&plant, 100);
	require(plant.learner.state == HKM_CANARY && plant.publications == 0, "it was decided without evidence");
}

/* Pure noise, as much as the objective itself. */
ISOLATED(noise_is_not_learned_from)
{
	unsigned keeps = 0;

	for (uint64_t seed = 1; seed <= 20; seed++) {
		struct plant plant;

		start_plant(&plant, delay_plant, 0);
		plant.random.state = seed;
		plant.work = calm_plant;
		plant.noise = 0.5;
		run_windows(&plant, 100);
		keeps += plant.keeps;
	}
	require(keeps <= 4, "%u changes were kept in 20 runs of noise", keeps);
}

/* Asks for large blocks instead of small ones, and wants another delay for them. */
static void large_plant(struct plant *plant)
{
	delay_plant(plant);
	plant->window.tiny_requests = 0;
	plant->window.large_requests = 100000;
	plant->window.slow_ns += 500000;
}

ISOLATED(a_shift_starts_learning_again_and_a_known_workload_gets_its_policy_back)
{
	struct plant plant;
	uint32_t delay;

	start_plant(&plant, delay_plant, 0.01);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	delay = plant.policy.purge_delay_ms;
	plant.work = large_plant;
	run_windows(&plant, 5);
	require(plant.thaws == 1, "%u thaws", plant.thaws);
	run_windows(&plant, ENOUGH);
	require(plant.learner.state == HKM_FROZEN, "state %d", plant.learner.state);
	/* Somebody spoils the policy of the second workload; the first one's is remembered. */
	plant.learner.base.purge_delay_ms = 10;
	plant.work = delay_plant;
	run_windows(&plant, 3);
	require(plant.policy.purge_delay_ms == delay, "delay %u, was %u", plant.policy.purge_delay_ms, delay);
}

/* Another workload every five windows: nothing that is learned lasts. */
ISOLATED(a_restless_workload_gets_what_the_options_say)
{
	struct plant plant;
	unsigned publications;

	start_plant(&plant, delay_plant, 0.01);
	for (unsigned i = 0; i < 20; i++) {
		plant.work = i % 2 == 0 ? large_plant : delay_plant;
		run_windows(&plant, 5);
	}
	publications = plant.publications;
	require(memcmp(&plant.policy.refill_blocks, &plant.learner.actuators.standard.refill_blocks,
		sizeof plant.policy - offsetof(struct hkm_policy, refill_blocks)) == 0, "another policy is in force");
	for (unsigned i = 0; i < 100; i++) {
		plant.work = i % 2 == 0 ? large_plant : delay_plant;
		run_windows(&plant, 5);
	}
	require(plant.publications - publications <= 30, "%u publications", plant.publications - publications);
	/* Once it is at rest, it is learned. */
	plant.work = delay_plant;
	run_windows(&plant, 32 * 64 + ENOUGH);
	check_converged(&plant);
	require(plant.policy.purge_delay_ms >= 800, "delay %u", plant.policy.purge_delay_ms);
}

/* The window in which the rest ends may be one in which nothing happens. */
ISOLATED(a_rest_ends_in_an_idle_window_too)
{
	struct plant plant;
	bool ended = false;

	start_plant(&plant, delay_plant, 0.01);
	for (unsigned i = 0; i < 200 && plant.learner.rest_until_window == 0; i++) {
		plant.work = i % 2 == 0 ? large_plant : delay_plant;
		run_windows(&plant, 5);
	}
	require(plant.learner.rest_until_window != 0, "no rest");
	plant.work = delay_plant;
	while (plant.learner.windows + 1 < plant.learner.rest_until_window)
		run_windows(&plant, 1);
	plant.work = dead_plant;
	run_windows(&plant, 1);
	plant.work = delay_plant;
	for (unsigned i = 0; i < 4 && !ended; i++) {
		run_windows(&plant, 1);
		ended = plant.learner.state == HKM_LEARN;
	}
	require(ended, "it rests for ever");
}

/* The same requests cost more from some moment on. */
static void slower_plant(struct plant *plant)
{
	delay_plant(plant);
	plant->window.slow_ns *= 3;
}

ISOLATED(a_rise_of_the_objective_starts_learning_again)
{
	struct plant plant;

	start_plant(&plant, delay_plant, 0.01);
	run_windows(&plant, ENOUGH);
	check_converged(&plant);
	plant.work = slower_plant;
	run_windows(&plant, 10);
	require(plant.thaws == 1, "%u thaws", plant.thaws);
}

ISOLATED(a_profile_starts_frozen)
{
	struct plant plant;

	start_plant(&plant, delay_plant, 0.01);
	plant.policy.purge_delay_ms = 800;
	hkm_learner_start(&plant.learner, &settings, &plant.policy, true, plant.now_ms);
	run_windows(&plant, ENOUGH);
	require(plant.tries == 0 && plant.learner.state == HKM_FROZEN, "%u tries", plant.tries);
}

/* The clock is the machine's: it does not begin with the process. */
ISOLATED(a_state_lasts_since_the_start)
{
	static struct hkm_learner learner;
	struct hkm_policy policy;

	hkm_policy_start();
	hkm_policy_copy(&policy);
	for (int frozen = 0; frozen < 2; frozen++) {
		hkm_learner_start(&learner, &settings, &policy, frozen, 1459059);
		require(learner.state_since_ms == 1459059, "since %lu ms", learner.state_since_ms);
	}
}

/* One that was learned from another workload: what is counted shows it. */
ISOLATED(a_wrong_profile_is_left)
{
	struct plant plant;

	start_plant(&plant, delay_plant, 0.01);
	plant.policy.purge_delay_ms = 200;
	hkm_learner_start(&plant.learner, &settings, &plant.policy, true, plant.now_ms);
	run_windows(&plant, 2);
	require(plant.learner.state == HKM_FROZEN, "state %d", plant.learner.state);
	run_windows(&plant, ENOUGH);
	require(plant.policy.purge_delay_ms >= 800, "delay %u", plant.policy.purge_delay_ms);
}

/* Every 30 windows the heap shrinks, which takes a window 20 times as long, and in the next one grows again: what had been
 * too much is asked for again then, unless dirty_bytes lets 256 MiB lie. */
static void breathing_plant(struct plant *plant)
{
	struct hkm_period *window = &plant->window;
	uint64_t phase = plant->learner.windows % 30;
	bool kept = plant->policy.dirty_bytes >= 256 * MIB;

	window->slow_ns = phase == 20 ? 10000000 : 500000;
	if (phase == 21) {
		window->faults = kept ? 0 : 50000;
		window->dirty_again = kept ? 0 : 200 * (double)MIB;
	}
}

ISOLATED(what_happens_in_the_window_after_a_thaw_is_evidence)
{
	struct plant plant;

	start_plant(&plant, breathing_plant, 0.01);
	run_windows(&plant, 21 + 30);
	require(plant.thaws >= 1, "the plant is no task");
	require(plant.policy.dirty_bytes >= 256 * MIB, "dirty_bytes %lu after %u thaws", plant.policy.dirty_bytes, plant.thaws);
}

/* A delay that is too short; and in so many windows of the first trial, something costs a thousand times as much. */
static unsigned strikes;

static void struck_plant(struct plant *plant)
{
	delay_plant(plant);
	if (plant->tries == 1 && plant->rollbacks == 0 && plant->keeps == 0 && strikes > 0) {
		plant->window.slow_ns *= 1000;
		strikes--;
	}
}

ISOLATED(a_trial_of_what_is_counted_outlives_an_incident)
{
	struct plant plant;

	strikes = 2;
	start_plant(&plant, struck_plant, 0.01);
	for (unsigned i = 0; i < ENOUGH && plant.keeps + plant.rollbacks == 0; i++)
		run_windows(&plant, 1);
	require(strikes == 0, "the plant is no task");
	require(plant.keeps == 1, "%u rollbacks", plant.rollbacks);
}

ISOLATED(a_trial_does_not_pay_for_what_happens_meanwhile)
{
	struct plant plant;

	strikes = 100;
	start_plant(&plant, struck_plant, 0.01);
	run_windows(&plant, 20);
	require(plant.rollbacks == 1, "the plant is no task: %u rollbacks", plant.rollbacks);
	plant.work = burst_plant;
	run_windows(&plant, 2 * ENOUGH);
	require(plant.policy.cache_blocks[hkm_ace_class(8192)] >= 20, "nothing is tried any more: credit %f",
		plant.learner.credit);
}

/* Whatever is tried makes everything twice as dear, and promises ever more. */
static void dear_plant(struct plant *plant)
{
	struct hkm_policy standard = plant->learner.actuators.standard;
	bool changed = memcmp(&standard.refill_blocks, &plant->policy.refill_blocks,
		sizeof standard - offsetof(struct hkm_policy, refill_blocks)) != 0;

	plant->window.slow_ns = changed ? 2000000 : 1000000;
	plant->window.class_refills[10] = plant->window.refills = 5000;
	plant->window.class_allocations[10] = 5000000;
	plant->window.misses[5] = 5000;
	plant->window.remote_messages = 5000;
	plant->window.dirty = 10 * MIB;
	plant->window.dirty_reused = 100000.0 * (double)MIB;
	hkm_actuators_forget(&plant->learner.actuators);
}

ISOLATED(trials_cost_no_more_than_their_share)
{
	struct plant plant;
	double cost = 0;

	start_plant(&plant, dear_plant, 0);
	for (unsigned i = 1; i <= 600; i++) {
		run_windows(&plant, 1);
		cost += plant.window.objective / 10 - 1; /* without a change: 10 ns */
		require(cost <= 3.0 + 0.01 * i, "%f windows lost after %u", cost, i);
	}
	require(plant.tries > 2, "the plant is no task");
}

ISOLATED(a_policy_published_by_hand_is_the_new_base)
{
	struct plant plant;

	start_plant(&plant, calm_plant, 0.01);
	run_windows(&plant, ENOUGH);
	plant.policy.empty_slabs = 7;
	hkm_learner_adopt(&plant.learner, &plant.policy, plant.now_ms);
	run_windows(&plant, ENOUGH);
	require(plant.learner.base.empty_slabs == 7, "%u", plant.learner.base.empty_slabs);
}

/* ---- Windows --------------------------------------------------------------------------- */

static bool is_close(double a, double b)
{
	return a - b < 1e-9 && b - a < 1e-9;
}

ISOLATED(a_window_is_the_difference_of_two_totals)
{
	static struct hkm_totals before, after;
	struct hkm_period window;
	struct hkm_scale scale = { .ns_per_cycle = 0.5, .fault_ns = 200 };

	after.now_ns = 100000000;
	after.tiny_allocations = 900;
	after.hits[3] = 60;
	after.misses[3] = 40;
	after.slow_entries = 50;
	after.slow_cycles = 10000;
	after.page_faults = 10;
	after.held = 30 * MIB;
	after.live = 20 * MIB;
	after.pool_hits[3] = 4;
	after.pool_ghosts[3] = 5;
	before.pool_surplus[3] = 500; /* a level */
	after.pool_surplus[3] = 600;
	after.spans_timed = 2;
	after.span_cycles = 100;
	after.messages_timed = 3;
	after.message_cycles = 120;
	after.remote_sent = 90;
	after.remote_full = 8;
	after.remote_full_blocks = 80;
	after.remote_spared = 6;
	after.outboxed = 700;
	after.outboxed_beyond = 70;
	hkm_period_between(&before, &after, &scale, 0.2, &window);
	require(is_close(window.operations, 1000), "%f operations", window.operations);
	require(is_close(window.slow_ns, 7000), "%f ns", window.slow_ns);
	require(is_close(window.entry_ns, 100), "%f ns an entry", window.entry_ns);
	require(is_close(window.objective, (7 + 0.2 * 10)), "objective %f", window.objective);
	require(is_close(window.length_ms, 100), "%f ms", window.length_ms);
	require(is_close(window.pool_hits[3], 4) && is_close(window.pool_ghosts[3], 5) && is_close(window.pool_surplus[3], 600),
		"%f hits, %f ghost hits, %f bytes", window.pool_hits[3], window.pool_ghosts[3], window.pool_surplus[3]);
	require(is_close(window.spans_timed, 2) && is_close(window.span_ns, 50), "%f ns for %f spans", window.span_ns,
		window.spans_timed);
	require(is_close(window.messages_timed, 3) && is_close(window.message_ns, 60), "%f ns for %f messages", window.message_ns,
		window.messages_timed);
	require(is_close(window.remote_sent, 90) && is_close(window.remote_full, 8) && is_close(window.remote_full_blocks, 80) &&
			is_close(window.remote_spared, 6) && is_close(window.outboxed, 700) && is_close(window.outboxed_beyond, 70),
		"messages are not those of the totals");
	/* A counter that went back (a child of fork) counts nothing. */
	hkm_period_between(&after, &before, &scale, 0.2, &window);
	require(is_close(window.operations, 0) && is_close(window.slow_ns, 0), "%f, %f", window.operations,
		window.slow_ns);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_window_is_the_difference_of_two_totals),
		cmocka_unit_test(a_delay_is_found_and_not_overshot),
		cmocka_unit_test(a_cache_grows_to_the_burst_and_stays_within_the_budget),
		cmocka_unit_test(a_cache_does_not_grow_beyond_the_budget),
		cmocka_unit_test(the_seeds_step_goes_by_the_hit_rate_alone),
		cmocka_unit_test(a_pool_keeps_the_spans_of_a_round),
		cmocka_unit_test(a_pool_does_not_keep_what_is_seldom_asked_for),
		cmocka_unit_test(pools_do_not_keep_more_than_the_budget),
		cmocka_unit_test(spans_that_lie_empty_and_serve_nothing_go),
		cmocka_unit_test(spans_that_serve_stay),
		cmocka_unit_test(pools_share_the_budget_by_ghost_hits_per_byte),
		cmocka_unit_test(pools_give_up_what_costs_more_than_it_spares),
		cmocka_unit_test(pools_stay_as_they_are_where_capacities_are_fixed_or_nothing_is_counted),
		cmocka_unit_test(messages_grow_with_the_rows_that_follow_each_other),
		cmocka_unit_test(messages_do_not_grow_where_none_would_be_spared),
		cmocka_unit_test(messages_shrink_where_what_waits_is_dear),
		cmocka_unit_test(messages_promise_what_is_counted),
		cmocka_unit_test(messages_stay_within_their_bounds),
		cmocka_unit_test(an_odd_size_gets_a_class_of_its_own),
		cmocka_unit_test(a_class_is_not_judged_before_the_blocks_have_moved),
		cmocka_unit_test(memory_is_saved_where_it_costs_the_program_little),
		cmocka_unit_test(memory_is_not_saved_where_it_slows_the_program_down),
		cmocka_unit_test(what_nobody_would_notice_is_not_tried),
		cmocka_unit_test(what_was_before_the_first_window_is_no_demand),
		cmocka_unit_test(what_does_not_help_is_rolled_back_and_no_longer_tried),
		cmocka_unit_test(where_nothing_is_the_matter_nothing_is_changed),
		cmocka_unit_test(a_dead_signal_changes_nothing),
		cmocka_unit_test(noise_is_not_learned_from),
		cmocka_unit_test(a_shift_starts_learning_again_and_a_known_workload_gets_its_policy_back),
		cmocka_unit_test(a_restless_workload_gets_what_the_options_say),
		cmocka_unit_test(a_rest_ends_in_an_idle_window_too),
		cmocka_unit_test(a_rise_of_the_objective_starts_learning_again),
		cmocka_unit_test(a_profile_starts_frozen),
		cmocka_unit_test(a_state_lasts_since_the_start),
		cmocka_unit_test(a_wrong_profile_is_left),
		cmocka_unit_test(what_happens_in_the_window_after_a_thaw_is_evidence),
		cmocka_unit_test(a_trial_of_what_is_counted_outlives_an_incident),
		cmocka_unit_test(a_trial_does_not_pay_for_what_happens_meanwhile),
		cmocka_unit_test(trials_cost_no_more_than_their_share),
		cmocka_unit_test(a_policy_published_by_hand_is_the_new_base),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
