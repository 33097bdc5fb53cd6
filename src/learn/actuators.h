/* actuators.h - what the learner can move, and what each move promises.
 *
 * An actuator looks at a window and the policy in force, and proposes one change of the policy with the evidence for it:
 * how much of the objective is at stake, counted rather than guessed where it can be counted (misses that a larger cache
 * would have served, bytes that lie idle, faults on memory that had been given back). The promise decides the order of
 * trials only; whether a change stays is decided by the objective (learn/learner.c).
 *
 * No state but what trials have taught: how often a move has failed, bandits, ratings.
 */
#ifndef HKM_ACTUATORS_H
#define HKM_ACTUATORS_H

#include "learn/bandit.h"
#include "learn/elo.h"
#include "learn/pid.h"
#include "learn/signals.h"
#include "learn/strategies.h"

#define HKM_CANDIDATES 8u

enum hkm_actuator {
	HKM_ACTUATOR_STRATEGY,
	HKM_ACTUATOR_CAP,
	HKM_ACTUATOR_POOLS, /* CAP of the pools */
	HKM_ACTUATOR_WMAX_MID,
	HKM_ACTUATOR_WMAX_LARGE,
	HKM_ACTUATOR_DYNAMIC,
	HKM_ACTUATOR_HUGE_PAGES,
	HKM_ACTUATOR_LADDERS, /* single numbers, one after the other: see ladders.h */
};
#define HKM_LADDERS 9u
#define HKM_ACTUATORS (HKM_ACTUATOR_LADDERS + HKM_LADDERS)

/* The user's part, from the options; constant. */
struct hkm_learn_settings {
	unsigned cap_rule;           /* 0: fixed, 1: proportional step, 2: PID */
	double target_hit_mid, target_hit_large;
	int cap_step_mid, cap_step_large;
	bool water_filling, wmax, dynamic, huge_pages;
	uint32_t wmax_mid[HKM_CANDIDATES], wmax_large[HKM_CANDIDATES]; /* thousandths */
	unsigned wmax_mid_count, wmax_large_count;
	double ucb_c;                /* of the bandits */
	uint64_t wmax_dwell_ms;
	double most_slowdown;        /* share of the program's processor time that a change may cost, whatever it saves of memory */
	uint64_t mid_cache_bytes;    /* of a Mid class: what a new dynamic class starts with */
	uint64_t window_ms;
};

/* A change of the policy, not yet made. */
struct hkm_proposal {
	unsigned actuator;
	int direction;         /* +1: more, -1: less, 0: neither */
	unsigned choice;       /* of a bandit's arm or a strategy */
	const char *what, *why;
	double from, to;
	double gain;           /* of the objective, expected */
	bool counted;          /* `gain` counts what would have happened; else it is a hope */
	bool moves;            /* blocks move to other spans: the first windows cost, whatever comes after */
	uint64_t dwell_ms;     /* shortest trial */
	uint64_t settle_ms;    /* until its effect on memory shows */
	struct hkm_policy policy; /* the whole new policy */
};

struct hkm_actuators {
	struct hkm_learn_settings settings;
	unsigned failures[HKM_ACTUATORS][HKM_CANDIDATES]; /* trials in a row that did not help, by direction or choice */
	struct hkm_pid pids[HKM_ACE_CLASSES];
	struct hkm_bandit wmax_mid, wmax_large, huge_pages;
	struct hkm_elo ratings;
	unsigned strategy;                   /* that the base came from */
	uint64_t random_state;
	uint32_t demand[HKM_DEMAND_BUCKETS]; /* decaying sum of the windows' histograms */
	uint32_t demand_seen[HKM_DEMAND_BUCKETS];
	bool demand_known; /* demand_seen is of the last window */
	struct hkm_policy standard;          /* what strategies are made from */
	struct hkm_period evidence;          /* mean of windows under the base */
	unsigned evidence_count;
};

void hkm_actuators_start(struct hkm_actuators *actuators, const struct hkm_learn_settings *settings,
			 const struct hkm_policy *policy);

/* A window's histogram of requests, which fades. Once per window. */
void hkm_actuators_see(struct hkm_actuators *actuators, const struct hkm_period *window);

/* A window under the base, or, in the second case, another base or workload: what was gathered no longer holds. */
void hkm_actuators_gather(struct hkm_actuators *actuators, const struct hkm_period *window);
void hkm_actuators_start_evidence(struct hkm_actuators *actuators);

/* The search for the change that promises most, by what was gathered. It takes longer than all else that the learner
 * does, so it is cut into slices. */
struct hkm_search {
	unsigned actuator; /* the next one to look at; HKM_ACTUATORS: all have been */
	double least;      /* share of the objective that must be promised: at first what the caller says */
	bool counted;      /* only promises that are counted */
	bool found;
};

/* Looks at some more actuators. Result: whether all have been looked at, and *proposal, if anything was found, is the
 * change of `base` that promises most. */
bool hkm_actuators_search(struct hkm_actuators *actuators, const struct hkm_policy *base, struct hkm_search *search,
			  struct hkm_proposal *proposal);

/* A trial is over. `improvement`: share of the objective that it saved, below 0 if it cost. */
void hkm_actuators_learn(struct hkm_actuators *actuators, const struct hkm_proposal *proposal, bool kept,
			 double improvement);

/* How long a change of what is kept needs to show: memory that is free now goes when the delay is over, at a tick. */
uint64_t hkm_settle_ms(const struct hkm_actuators *actuators, const struct hkm_policy *base);

/* The workload has changed: what has failed may be tried again. */
void hkm_actuators_forget(struct hkm_actuators *actuators);

#endif
