/* learner.h - the learner: windows in, policies out. No clock, no lock, no system call: time comes with the window.
 *
 *   LEARN   the base policy is in force; its windows are the control. With enough of them, the actuator that promises
 *           most (learn/actuators.h) proposes one change
 *   CANARY  the changed policy is in force. Its first window is let pass; the next ones are judged against the control:
 *           better by more than the noise: it becomes the base; worse, or not better: the base comes back
 *   FROZEN  nothing promises enough any more. Only the change detectors run (Page-Hinkley on the objective and on the
 *           mix of requests), and lead back to LEARN
 *
 *            control complete,                 no proposal left
 *            something is proposed    +-------------------------------+
 *                 +---------+         |                               v
 *   start ---> LEARN      CANARY ---> LEARN                        FROZEN ---> LEARN
 *                             kept or rolled back                      a change
 *
 * Invariants: one change is under trial at a time; outside of CANARY the policy in force is the base; a window without
 * work changes nothing; what is kept has been better than its control by more than the noise of the control.
 */
#ifndef HKM_LEARNER_H
#define HKM_LEARNER_H

#include "learn/actuators.h"
#include "learn/change.h"
#include "learn/signals.h"

enum hkm_learner_state {
	HKM_LEARN,
	HKM_CANARY,
	HKM_FROZEN,
};

/* The objective over some windows: per allocation, so a window counts by its allocations. */
struct hkm_level {
	double mean;
	double slow;    /* of it, nanoseconds in slow paths and page faults */
	double work;    /* nanoseconds of the program's processor time per allocation; 0: not known */
	double weight;  /* allocations */
	double last;    /* window's */
	unsigned count; /* windows */
};

enum hkm_event {
	HKM_EVENT_NONE,
	HKM_EVENT_TRY,      /* a change goes on trial */
	HKM_EVENT_KEEP,     /* it has proved right */
	HKM_EVENT_ROLLBACK, /* it has not */
	HKM_EVENT_FREEZE,
	HKM_EVENT_THAW,     /* the workload has changed */
	HKM_EVENT_RECALL,   /* it is one that was learned before */
};

/* What a step has done. Texts are constants. */
struct hkm_decision {
	enum hkm_event event;
	const char *what;              /* the setting, or "state" */
	const char *why;
	double from, to;               /* of the setting */
	double objective_before, objective_after; /* after: below 0 while it is not known */
};

#define HKM_KEPT_CHANGES 16u
#define HKM_MIX 4u
#define HKM_CONTEXTS 4u

/* A workload seen before, by its mix, and the policy that was best for it. */
struct hkm_context {
	double mix[HKM_MIX];
	struct hkm_policy policy;
	bool known;
};

struct hkm_learner {
	enum hkm_learner_state state;
	struct hkm_actuators actuators;
	struct hkm_policy base;        /* the best known */
	struct hkm_proposal trial;     /* in CANARY; while it is looked for, the best so far */
	struct hkm_search search;      /* for it */
	bool looking;                  /* the search is on: hkm_learner_look is to be called */
	struct hkm_level control, tried;
	double credit;                 /* what trials may cost, in windows of J: see "Credit" in learner.c */
	double debit;                  /* what the one under way has cost */
	unsigned debit_windows;
	unsigned incidents;            /* windows of it that were passed over */
	unsigned arriving;             /* windows of it in which blocks still moved; as many as may be: they have arrived */
	double noise;                  /* of J from window to window under one policy, as a share of it */
	double unrest;                 /* the same over a longer time, and what happened now and then included */
	unsigned settle;               /* windows to let pass at least before counting */
	bool settle_tells;             /* they are evidence all the same: the policy has not changed */
	uint64_t settle_until_ms;      /* and until when */
	unsigned trials;               /* since LEARN began */
	unsigned quiet;                /* windows in a row in which nothing was worth a trial */
	uint64_t trial_began_ms, state_since_ms;

	struct hkm_change cost_change, mix_change;
	struct hkm_level frozen;       /* J since the learner froze, the first windows: reference of cost_change */
	double mix[HKM_MIX];           /* reference of mix_change */
	bool mix_known;                /* if not, the next window tells it */
	unsigned restless;             /* changes of the mix that followed each other quickly */
	uint64_t shifted_window, rest_until_window;
	struct hkm_context contexts[HKM_CONTEXTS];
	unsigned next_context;

	/* For people. */
	uint64_t windows, decisions, rollbacks;
	double objective, objective_first; /* last window; first full control */
	struct hkm_decision kept[HKM_KEPT_CHANGES]; /* the last ones, a ring */
	unsigned kept_count;
};

/* Starts from a policy. `frozen`: it came from a profile, and is used as it is until the workload proves different. */
void hkm_learner_start(struct hkm_learner *learner, const struct hkm_learn_settings *settings,
		       const struct hkm_policy *policy, bool frozen, uint64_t now_ms);

/* What was learned, as one policy: the base, and where it says what learning began with, what is remembered for other
 * workloads. */
void hkm_learner_learned(const struct hkm_learner *learner, struct hkm_policy *policy);

/* Somebody else has published a policy: it is the new base, and learning begins again. */
void hkm_learner_adopt(struct hkm_learner *learner, const struct hkm_policy *policy, uint64_t now_ms);

/* A window has ended. Result: whether *policy is to be published; *decision says why (event NONE: nothing was
 * decided). If the learner is `looking` then, hkm_learner_look is to be called until it is not, before the next window
 * ends. */
bool hkm_learner_step(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_policy *policy,
		      struct hkm_decision *decision);

/* A part of the search for something to try. Result and *decision as above; `now_ms`: of the window. */
bool hkm_learner_look(struct hkm_learner *learner, uint64_t now_ms, struct hkm_policy *policy,
		      struct hkm_decision *decision);

#endif
