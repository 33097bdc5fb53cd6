/* service.h - the learner in the process: when it steps, on which thread, and what comes of it.
 *
 *   poll of some thread: the window is over
 *     -> one thread is elected (compare-and-swap)
 *     -> a slice: some heaps are looked at; more are left: the next poll goes on
 *     -> all have been looked at: window -> hkm_learner_step -> hkm_policy_replace -> log
 *     -> something to try is looked for: the next polls go on with it, hkm_learner_look
 *
 * A slice takes some tens of microseconds, allocates nothing, waits for nobody, and takes no lock that an allocation
 * waits for: the policy's and, for the copy of a snapshot, the metadata's for some instructions. With
 * HAKMEM_LEARN_THREAD=1 the first slice starts a thread that does the rest; in a child of fork the same happens anew.
 *
 * Everything here belongs to whoever holds the baton: the elected thread, or one that prints what was learned.
 */
#ifndef HKM_SERVICE_H
#define HKM_SERVICE_H

#include "core/text.h"
#include "learn/learner.h"
#include "learn/quantile.h"

/* What there is to tell. */
struct hkm_report {
	bool on;                       /* HAKMEM_LEARN; if not, windows may be measured all the same */
	const struct hkm_learner *learner;
	const struct hkm_period *window; /* the last one */
	uint64_t windows, steps, step_ns_max, step_ns_total;
	double slow_p50_ns, slow_p95_ns, slow_p99_ns; /* of sampled slow paths */
	struct hkm_policy policy;      /* in force */
	uint64_t now_ms;
};

/* Calls put(text, report) while nobody steps. Any thread; waits for the end of a slice, some seconds at most, then, or in a
 * signal handler that has interrupted the slice, does without: the report may be torn. */
void hkm_service_report(void (*put)(struct hkm_text *text, const struct hkm_report *report), struct hkm_text *text);

/* Copies the best policy that is known: the learner's base, or, without learning, the one in force.
 * Result: the windows that it was learned from; 0: none. */
uint64_t hkm_service_learned(struct hkm_policy *policy);

/* The name of HAKMEM_GOAL's choice. */
const char *hkm_service_goal(void);

#endif
