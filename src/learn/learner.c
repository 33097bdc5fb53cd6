/* learner.c - see learner.h. */
#include "learn/learner.h"

#include <string.h>

#include "learn/prices.h"

#define LEAST_OPERATIONS 8.0 /* allocations; a window with fewer says nothing */
#define CONTROL_FIRST 3u     /* windows before the first trial, which also tell the noise */
#define CONTROL_AGAIN 1u     /* before another one: the last trial's windows, or control, still stand */
#define LEVEL_MEMORY 8u      /* a level forgets windows before the last so many */
#define TRIAL_MOST 3u        /* windows of a trial that has not shown anything yet */
#define TRIAL_LONGEST 8u     /* of one that seems to help */
#define TRIALS_MOST 24u      /* then the learner freezes, whatever is left to try */
#define QUIET_ENOUGH 3u      /* windows without a proposal before it freezes */
#define SETTLE 1u            /* windows after a change of the policy that nobody counts */
#define LEAST_GAIN 0.01      /* share of the objective */
#define LEAST_HOPE 0.05      /* the same for a promise that is not counted, and where it is frozen */
#define UNNOTICED_WORK 0.002 /* of the program's processor time */
#define UNNOTICED_HELD 0.01  /* of the memory held */
#define UNNOTICED_BYTES 262144.0
#define NOISE_AT_FIRST 0.1
#define NOISE_LEAST 0.002
#define NOISE_MOST 0.5        /* a step beyond is not noise but something that happened */
#define UNREST_MOST 10.0
#define UNREST_MEMORY 16
#define CERTAINTY 2.5        /* standard deviations */
#define INCIDENT 4.0         /* times the control: no counted change costs so much; the program does something else */
#define INCIDENTS_MOST 2u    /* windows in a trial that are passed over for it */
#define ARRIVING 0.9         /* windows get cheaper by more than this while blocks move */
#define ARRIVING_MOST 6u     /* windows to wait for that */
#define COUNTED_LEAST 2u     /* windows of a trial before what was counted and what is measured decide */

/* Credit, in windows of the control's objective. */
#define CREDIT_FIRST 0.5
#define CREDIT_MOST 2.0
#define CREDIT_A_WINDOW 0.01 /* so much worse than the options' policy may all trials together make it */
#define CREDIT_OF_GAIN 0.1   /* of what was gained */
#define CREDIT_A_TRIAL 0.25  /* what a trial may be expected to cost */
#define CREDIT_LEAST -1.0    /* nothing is tried below */
#define DEBIT_MOST 0.4
#define PAID_MOST 1.0        /* what a trial costs beyond is not its doing, but something that happened meanwhile */

#define RESTLESS_WINDOWS 12u /* changes of the mix closer than this are restless */
#define RESTLESS_MOST 3u
#define REST_WINDOWS 32u
#define REST_DOUBLINGS 6u

#define FROZEN_REFERENCE 3u
#define FROZEN_LOOKS 4u      /* windows from one look at what is counted to the next */
#define COST_TOLERANCE 0.1   /* Page-Hinkley on J / its frozen level */
#define COST_THRESHOLD 0.8
#define MIX_TOLERANCE 0.1    /* on the distance of two mixes, 0 to 2 */
#define MIX_THRESHOLD 0.5
#define MIX_SAME 0.25

/* ---- Levels ------------------------------------------------------------------------------------------------ */

static double distance(double a, double b)
{
	return a > b ? a - b : b - a;
}

static void level_add(struct hkm_level *level, const struct hkm_period *window)
{
	level->last = window->objective;
	if (level->count < LEVEL_MEMORY)
		level->count++;
	else
		level->weight -= level->weight / LEVEL_MEMORY;
	level->weight += window->operations;
	double share = window->operations / level->weight;
	level->mean += (window->objective - level->mean) * share;
	level->slow += (window->slow_ns / window->operations - level->slow) * share;
	level->work += (window->processor_ns / window->operations - level->work) * share;
}

/* Adds a window to a level, and what it differs from the one before to the estimate of the noise. The mean absolute
 * difference of two draws of a normal distribution is 1.128 standard deviations. */
static void observe(struct hkm_learner *learner, struct hkm_level *level, const struct hkm_period *window)
{
	if (level->count > 0 && level->mean > 0) {
		double step = distance(window->objective, level->last) / level->mean / 1.128;
		learner->noise += ((step < NOISE_MOST ? step : NOISE_MOST) - learner->noise) / 4;
		learner->unrest += ((step < UNREST_MOST ? step : UNREST_MOST) - learner->unrest) / UNREST_MEMORY;
		if (learner->noise < NOISE_LEAST)
			learner->noise = NOISE_LEAST;
	}
	level_add(level, window);
}

/* One window is left of a level: what it says still counts, but what comes counts as much. */
static void level_fade(struct hkm_level *level)
{
	if (level->count > 1) {
		level->weight /= level->count;
		level->count = 1;
	}
}

/* ---- Credit ------------------------------------------------------------------------------------------------ */

/* Trials cost: all of them together no more than a share of what the run would have cost without (conservative
 * exploration: Wu, Shariff, Lattimore and Szepesvari, "Conservative Bandits", 2016). A window under the base earns that
 * share, and some of what the base saves over the first; a trial that fails pays for what it was worse than its control. */

static void earn(struct hkm_learner *learner)
{
	double gained = learner->objective_first > 0 ? 1 - learner->control.mean / learner->objective_first : 0;
	learner->credit += CREDIT_A_WINDOW + (gained > 0 ? CREDIT_OF_GAIN * gained : 0);
	if (learner->credit > CREDIT_MOST)
		learner->credit = CREDIT_MOST;
}

static void pay(struct hkm_learner *learner)
{
	if (learner->debit > 0)
		learner->credit -= learner->debit < PAID_MOST ? learner->debit : PAID_MOST;
}

/* A window of a trial. Result: it has cost more than noise can explain, and than is to be spent on one trial. */
static bool is_too_dear(struct hkm_learner *learner, const struct hkm_period *window)
{
	if (learner->control.mean <= 0)
		return false;
	learner->debit += window->objective / learner->control.mean - 1;
	learner->debit_windows++;
	double by_chance = CERTAINTY * learner->noise * __builtin_sqrt(learner->debit_windows);
	return learner->debit > (by_chance > DEBIT_MOST ? by_chance : DEBIT_MOST);
}

/* ---- The mix of requests --------------------------------------------------------------------------------------- */

/* Shares of the layers in the work: a request weighs about what it costs there. */
static void mix_of(const struct hkm_period *window, double mix[HKM_MIX])
{
	const double work[HKM_MIX] = {
		window->tiny_requests, 8 * window->mid_requests, 64 * window->large_requests, 512 * window->big_requests,
	};
	double sum = 0;
	for (unsigned i = 0; i < HKM_MIX; i++)
		sum += work[i];
	for (unsigned i = 0; i < HKM_MIX; i++)
		mix[i] = sum > 0 ? work[i] / sum : 0;
}

static double mix_distance(const double a[HKM_MIX], const double b[HKM_MIX])
{
	double sum = 0;
	for (unsigned i = 0; i < HKM_MIX; i++)
		sum += distance(a[i], b[i]);
	return sum;
}

static void mix_refer(struct hkm_learner *learner, const double mix[HKM_MIX])
{
	memcpy(learner->mix, mix, sizeof learner->mix);
	learner->mix_known = true;
	hkm_change_start(&learner->mix_change, MIX_TOLERANCE, MIX_THRESHOLD);
}

/* Whether the program asks for other things than it did. */
static bool mix_changed(struct hkm_learner *learner, const double mix[HKM_MIX])
{
	return hkm_change_add(&learner->mix_change, mix_distance(mix, learner->mix));
}

/* ---- Workloads seen before -------------------------------------------------------------------------------------- */

static struct hkm_context *context_find(struct hkm_learner *learner, const double mix[HKM_MIX])
{
	struct hkm_context *nearest = NULL;
	double least = MIX_SAME;
	for (unsigned i = 0; i < HKM_CONTEXTS; i++) {
		struct hkm_context *context = &learner->contexts[i];
		double apart = mix_distance(context->mix, mix);
		if (context->known && apart < least) {
			least = apart;
			nearest = context;
		}
	}
	return nearest;
}

/* Remembers the base as the policy for the present mix. */
static void context_save(struct hkm_learner *learner)
{
	struct hkm_context *context = context_find(learner, learner->mix);
	if (context == NULL)
		context = &learner->contexts[learner->next_context++ % HKM_CONTEXTS];
	memcpy(context->mix, learner->mix, sizeof context->mix);
	context->policy = learner->base;
	context->known = true;
}

/* ---- The states --------------------------------------------------------------------------------------------------- */

static void enter_state(struct hkm_learner *learner, enum hkm_learner_state state, uint64_t now_ms)
{
	learner->state = state;
	learner->state_since_ms = now_ms;
}

static const struct hkm_decision nothing_decided = { .event = HKM_EVENT_NONE, .objective_after = -1 };

static void decide(struct hkm_learner *learner, struct hkm_decision *decision, enum hkm_event event, const char *why)
{
	const struct hkm_proposal *trial = &learner->trial;
	bool of_trial = event == HKM_EVENT_TRY || event == HKM_EVENT_KEEP || event == HKM_EVENT_ROLLBACK;
	*decision = (struct hkm_decision){
		.event = event,
		.what = of_trial ? trial->what : "state",
		.why = why,
		.from = of_trial ? trial->from : 0,
		.to = of_trial ? trial->to : 0,
		.objective_before = learner->control.mean,
		.objective_after = event == HKM_EVENT_KEEP || event == HKM_EVENT_ROLLBACK ? learner->tried.mean : -1,
	};
	learner->decisions += event != HKM_EVENT_TRY;
	learner->rollbacks += event == HKM_EVENT_ROLLBACK;
	if (event == HKM_EVENT_KEEP)
		learner->kept[learner->kept_count++ % HKM_KEPT_CHANGES] = *decision;
}

/* The policy has changed by the trial's proposal, or back: what comes next is a transition. */
static void settle(struct hkm_learner *learner, uint64_t now_ms)
{
	learner->settle = SETTLE;
	learner->settle_tells = false;
	learner->settle_until_ms = now_ms + learner->trial.settle_ms;
}

static void start_learning(struct hkm_learner *learner, uint64_t now_ms)
{
	enter_state(learner, HKM_LEARN, now_ms);
	learner->control = (struct hkm_level){ 0 };
	learner->settle = SETTLE;
	learner->settle_tells = false;
	learner->trials = learner->quiet = 0;
	hkm_actuators_forget(&learner->actuators);
}

static void freeze(struct hkm_learner *learner, uint64_t now_ms)
{
	enter_state(learner, HKM_FROZEN, now_ms);
	learner->frozen = (struct hkm_level){ 0 };
	hkm_change_start(&learner->cost_change, COST_TOLERANCE + learner->noise, COST_THRESHOLD + 4 * learner->noise);
}

/* The mix changes faster than anything can be learned: the policy that the options describe is put in force for a
 * while, each time a longer one. */
static bool give_up(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_policy *policy,
		    struct hkm_decision *decision)
{
	unsigned beyond = learner->restless - RESTLESS_MOST, doublings = beyond < REST_DOUBLINGS ? beyond : REST_DOUBLINGS;
	decide(learner, decision, HKM_EVENT_FREEZE, "the requests change faster than anything can be learned");
	learner->base = learner->actuators.standard;
	*policy = learner->base;
	learner->rest_until_window = learner->shifted_window = learner->windows + (REST_WINDOWS << doublings);
	learner->mix_known = false;
	freeze(learner, window->now_ms);
	return true;
}

/* The workload is another one: a trial under way is given up without blame. In this window both workloads are mixed, so
 * the next one tells what the new one is. Result: whether *policy, the base, is to be published. */
static bool leave_mix(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_policy *policy,
		      struct hkm_decision *decision)
{
	bool publish = learner->state == HKM_CANARY, quickly = learner->windows - learner->shifted_window < RESTLESS_WINDOWS;
	learner->restless = quickly ? learner->restless + 1 : 0;
	learner->shifted_window = learner->windows;
	if (learner->restless >= RESTLESS_MOST)
		return give_up(learner, window, policy, decision);
	decide(learner, decision, HKM_EVENT_THAW, "the mix of requests has changed");
	context_save(learner);
	learner->mix_known = false;
	start_learning(learner, window->now_ms);
	hkm_actuators_start_evidence(&learner->actuators);
	*policy = learner->base;
	return publish;
}

/* The first window of a workload: if it has been seen before, what was learned then is put in force. */
static bool enter_mix(struct hkm_learner *learner, const double mix[HKM_MIX], struct hkm_policy *policy,
		      struct hkm_decision *decision)
{
	const struct hkm_context *known = context_find(learner, mix);
	mix_refer(learner, mix);
	if (known == NULL)
		return false;
	decide(learner, decision, HKM_EVENT_RECALL, "a mix of requests seen before");
	learner->base = known->policy;
	*policy = learner->base;
	return true;
}

/* What nobody would notice, in the unit of the objective: neither as time, nor as memory. */
static double unnoticed(const struct hkm_learner *learner)
{
	const struct hkm_period *evidence = &learner->actuators.evidence;
	double time = UNNOTICED_WORK * learner->control.work;
	double memory = hkm_rent(evidence, UNNOTICED_BYTES + UNNOTICED_HELD * evidence->held);
	return time < memory ? time : memory;
}

/* The objective that a proposal must promise to be worth a trial. */
static double worth_a_trial(const struct hkm_learner *learner)
{
	double share = learner->noise / 2 > LEAST_GAIN ? learner->noise / 2 : LEAST_GAIN;
	double least = share * learner->control.mean, trifle = unnoticed(learner);
	return least > trifle ? least : trifle;
}

/* From now on something to try is looked for. */
static void start_search(struct hkm_learner *learner, double least_share)
{
	double control = learner->control.mean, least = worth_a_trial(learner);
	bool may = learner->trials < TRIALS_MOST && learner->credit >= CREDIT_LEAST, rich = learner->credit >= CREDIT_A_TRIAL;
	if (least < least_share * control)
		least = least_share * control;
	/* Without credit, or where it is frozen, only what is counted, and much: it is expected to earn what it costs. */
	if (!rich && least < LEAST_HOPE * control)
		least = LEAST_HOPE * control;
	learner->search = (struct hkm_search){
		.actuator = may ? 0 : HKM_ACTUATORS,
		.least = least,
		.counted = !rich || least_share > 0,
	};
	learner->looking = true;
}

static void begin_trial(struct hkm_learner *learner, uint64_t now_ms, struct hkm_policy *policy,
			struct hkm_decision *decision)
{
	learner->quiet = 0;
	learner->trials++;
	learner->tried = (struct hkm_level){ 0 };
	learner->debit = 0;
	learner->debit_windows = learner->incidents = learner->arriving = 0;
	settle(learner, now_ms);
	learner->trial_began_ms = now_ms;
	decide(learner, decision, HKM_EVENT_TRY, learner->trial.why);
	enter_state(learner, HKM_CANARY, now_ms);
	*policy = learner->trial.policy;
}

bool hkm_learner_look(struct hkm_learner *learner, uint64_t now_ms, struct hkm_policy *policy, struct hkm_decision *decision)
{
	*decision = nothing_decided;
	if (!hkm_actuators_search(&learner->actuators, &learner->base, &learner->search, &learner->trial))
		return false;
	learner->looking = false;
	if (learner->search.found &&
	    (learner->trial.counted || learner->trial.gain > LEAST_HOPE * learner->control.mean)) {
		begin_trial(learner, now_ms, policy, decision);
		return true;
	}
	if (learner->state == HKM_LEARN && ++learner->quiet >= QUIET_ENOUGH) {
		decide(learner, decision, HKM_EVENT_FREEZE, "nothing left that is worth a trial");
		freeze(learner, now_ms);
	}
	return false;
}

static void step_learn(struct hkm_learner *learner, const struct hkm_period *window)
{
	observe(learner, &learner->control, window);
	hkm_actuators_gather(&learner->actuators, window);
	earn(learner);
	if (learner->control.count < (learner->trials == 0 ? CONTROL_FIRST : CONTROL_AGAIN))
		return;
	if (learner->objective_first <= 0)
		learner->objective_first = learner->control.mean;
	start_search(learner, 0);
}

static void keep(struct hkm_learner *learner, uint64_t now_ms, struct hkm_decision *decision)
{
	decide(learner, decision, HKM_EVENT_KEEP, learner->trial.why);
	pay(learner);
	learner->base = learner->trial.policy;
	learner->control = learner->tried;
	hkm_actuators_start_evidence(&learner->actuators);
	enter_state(learner, HKM_LEARN, now_ms);
}

static void roll_back(struct hkm_learner *learner, uint64_t now_ms, const char *why, struct hkm_decision *decision)
{
	decide(learner, decision, HKM_EVENT_ROLLBACK, why);
	pay(learner);
	settle(learner, now_ms);
	level_fade(&learner->control);
	enter_state(learner, HKM_LEARN, now_ms);
}

/* By how much two levels must differ so that it is not noise. */
static double uncertainty(const struct hkm_learner *learner)
{
	const struct hkm_level *control = &learner->control, *tried = &learner->tried;
	double variance = 1.0 / (control->count > 0 ? control->count : 1) + 1.0 / tried->count;
	return CERTAINTY * learner->noise * control->mean * __builtin_sqrt(variance);
}

/* The share of the objective that the trial is believed to save: what was counted, with an error as large as itself, and
 * what is measured, with its own, each weighing by its certainty. Without noise the measurement decides; where now and
 * then something happens that the few windows of a trial may not have seen, what was counted does. */
static double believed(const struct hkm_learner *learner)
{
	double control = learner->control.mean;
	if (control <= 0)
		return 0;
	double counted = learner->trial.gain / control, measured = 1 - learner->tried.mean / control;
	if (counted > 1)
		counted = 1;
	double error = uncertainty(learner) / CERTAINTY / control;
	if (learner->unrest > learner->noise)
		error *= learner->unrest / learner->noise;
	error *= error;
	return (counted * error + measured * counted * counted) / (error + counted * counted);
}

/* Whether the trial makes the program slower by more than the goal allows, whatever memory it saves. */
static bool is_too_slow(const struct hkm_learner *learner)
{
	const struct hkm_level *control = &learner->control, *tried = &learner->tried;
	return control->work > 0 &&
	       tried->slow - control->slow > learner->actuators.settings.most_slowdown * control->work;
}

static bool end_trial(struct hkm_learner *learner, uint64_t now_ms, bool kept, const char *why, struct hkm_policy *policy,
		      struct hkm_decision *decision)
{
	double control = learner->control.mean, better = control > 0 ? 1 - learner->tried.mean / control : 0;
	/* What is too slow has failed, whatever it has saved. */
	hkm_actuators_learn(&learner->actuators, &learner->trial, kept, !kept && is_too_slow(learner) ? -1 : better);
	if (kept) {
		keep(learner, now_ms, decision);
		return false;
	}
	roll_back(learner, now_ms, why, decision);
	*policy = learner->base;
	return true;
}

static bool step_canary(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_policy *policy,
			struct hkm_decision *decision)
{
	observe(learner, &learner->tried, window);
	double control = learner->control.mean, better = control - learner->tried.mean, sure = uncertainty(learner);
	double margin = LEAST_GAIN * control;
	unsigned count = learner->tried.count;
	bool dwelt = window->now_ms - learner->trial_began_ms >= learner->trial.dwell_ms;
	bool counted = learner->trial.counted && count >= COUNTED_LEAST && believed(learner) > LEAST_GAIN;
	bool slow = is_too_slow(learner);
	bool kept = dwelt && !slow && ((better > margin && better > sure) || counted);
	bool worse = count >= COUNTED_LEAST && better < -(sure + margin);
	bool dear = slow && count >= COUNTED_LEAST;
	bool over = dwelt && count >= (better > margin ? TRIAL_LONGEST : TRIAL_MOST);
	if (!kept && !worse && !dear && !over)
		return false;
	const char *why = worse ? "worse than before" :
			  slow  ? "it takes the program more time than the goal allows" :
				  "no better than the noise";
	return end_trial(learner, window->now_ms, kept, why, policy, decision);
}

static void step_frozen(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_decision *decision)
{
	observe(learner, &learner->control, window);
	hkm_actuators_gather(&learner->actuators, window);
	earn(learner);
	if (learner->frozen.count < FROZEN_REFERENCE) {
		level_add(&learner->frozen, window);
		return;
	}
	if (learner->frozen.mean > 0 && hkm_change_add(&learner->cost_change, window->objective / learner->frozen.mean)) {
		learner->control = learner->frozen;
		decide(learner, decision, HKM_EVENT_THAW, "the objective has changed");
		start_learning(learner, window->now_ms);
		learner->settle_tells = true; /* the policy is the same, and what happens now is what there is to learn from */
	} else if (learner->windows % FROZEN_LOOKS == 0) { /* not in every window: it takes longer than the rest */
		start_search(learner, LEAST_HOPE);
	}
}

void hkm_learner_start(struct hkm_learner *learner, const struct hkm_learn_settings *settings,
		       const struct hkm_policy *policy, bool frozen, uint64_t now_ms)
{
	memset(learner, 0, sizeof *learner);
	learner->base = *policy;
	learner->noise = NOISE_AT_FIRST;
	learner->credit = CREDIT_FIRST;
	hkm_actuators_start(&learner->actuators, settings, policy);
	hkm_change_start(&learner->mix_change, MIX_TOLERANCE, MIX_THRESHOLD);
	start_learning(learner, now_ms);
	if (frozen)
		freeze(learner, now_ms);
}

/* A heap that shrinks, or grows again, costs many times what a window does, whatever is on trial, and has a window or two.
 * A trial of what is counted does not end with it. */
static bool is_incident(struct hkm_learner *learner, const struct hkm_period *window)
{
	if (learner->state != HKM_CANARY || !learner->trial.counted || learner->incidents >= INCIDENTS_MOST)
		return false;
	if (learner->control.mean <= 0 || window->objective <= INCIDENT * learner->control.mean)
		return false;
	learner->incidents++;
	return true;
}

/* Where blocks move to other spans, windows cost until they have arrived, and get cheaper one after the other. How long that
 * takes is the program's affair. `previous`: the objective of the window before. */
static bool is_arriving(struct hkm_learner *learner, const struct hkm_period *window, double previous)
{
	if (learner->state != HKM_CANARY || !learner->trial.moves || learner->arriving >= ARRIVING_MOST)
		return false;
	learner->arriving++;
	if (window->objective < ARRIVING * previous)
		return true;
	learner->arriving = ARRIVING_MOST;
	return false;
}

/* Whether the trial under way ends here. What moves blocks costs at first, whatever comes after. */
static bool fails(struct hkm_learner *learner, const struct hkm_period *window, bool settling)
{
	if (learner->state != HKM_CANARY || (settling && learner->trial.moves))
		return false;
	if (!is_too_dear(learner, window))
		return false;
	level_add(&learner->tried, window);
	return true;
}

/* Takes over what `from` has changed and *policy has not. */
static void overlay(struct hkm_policy *policy, const struct hkm_policy *from, const struct hkm_policy *standard)
{
#define HKM_POLICY_FIELD(option, member) \
	if (policy->member == standard->member) \
		policy->member = from->member;
#define HKM_POLICY_CLASSES(member, ...) \
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) \
		if (policy->member[class] == standard->member[class]) \
			policy->member[class] = from->member[class];
#include "policy/fields.def"
}

void hkm_learner_learned(const struct hkm_learner *learner, struct hkm_policy *policy)
{
	*policy = learner->base;
	for (unsigned i = 0; i < HKM_CONTEXTS; i++)
		if (learner->contexts[i].known)
			overlay(policy, &learner->contexts[i].policy, &learner->actuators.standard);
}

void hkm_learner_adopt(struct hkm_learner *learner, const struct hkm_policy *policy, uint64_t now_ms)
{
	learner->base = *policy;
	start_learning(learner, now_ms);
	hkm_actuators_start_evidence(&learner->actuators);
}

bool hkm_learner_step(struct hkm_learner *learner, const struct hkm_period *window, struct hkm_policy *policy,
		      struct hkm_decision *decision)
{
	*decision = nothing_decided;
	HKM_ASSERT(!learner->looking);
	learner->windows++;
	/* Before anything about this window can matter: it may be an idle one. */
	if (learner->rest_until_window != 0 && learner->windows >= learner->rest_until_window) {
		learner->rest_until_window = 0;
		start_learning(learner, window->now_ms);
	}
	if (window->operations < LEAST_OPERATIONS)
		return false;
	double previous = learner->objective;
	learner->objective = window->objective;
	hkm_actuators_see(&learner->actuators, window);
	if (learner->windows < learner->rest_until_window)
		return false;
	double mix[HKM_MIX];
	mix_of(window, mix);
	if (!learner->mix_known) {
		if (enter_mix(learner, mix, policy, decision))
			return true;
	} else if (mix_changed(learner, mix)) {
		return leave_mix(learner, window, policy, decision);
	} else if (mix_distance(mix, learner->mix) > MIX_SAME) {
		return false; /* two workloads in one window, or another one since: the next windows will tell */
	}
	bool settling = learner->settle > 0 || window->now_ms < learner->settle_until_ms;
	learner->settle -= learner->settle > 0;
	if (is_incident(learner, window) || (!settling && is_arriving(learner, window, previous)))
		return false;
	if (fails(learner, window, settling))
		return end_trial(learner, window->now_ms, false, "it costs too much", policy, decision);
	if (settling) {
		if (learner->settle_tells)
			hkm_actuators_gather(&learner->actuators, window);
		return false;
	}
	switch (learner->state) {
	case HKM_LEARN:
		step_learn(learner, window);
		return false;
	case HKM_CANARY:
		return step_canary(learner, window, policy, decision);
	case HKM_FROZEN:
		step_frozen(learner, window, decision);
		return false;
	}
	return false;
}
