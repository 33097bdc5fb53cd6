/* service.c - see service.h. */
#include "learn/service.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "ace/ace.h"
#include "core/options.h"
#include "core/report.h"
#include "learn/explain.h"
#include "learn/profile.h"
#include "os/os.h"

#define LINE_BYTES 1024u
#define COST_SHARE 400u /* a window lasts at least so many times as long as the learner has worked for it */
#define REPORT_YIELDS 100u
#define REPORT_WAIT_MS 3000u /* far longer than a slice takes on a machine under load */

/* Who is at it, by pthread_self; 0: nobody. Taken with acquire, given back with release, which pair: what the last one wrote is
 * seen. */
static _Atomic uintptr_t baton;

/* Guarded by the baton; `path` and `on` are constant after the start. */
static struct {
	bool on;
	bool has_thread;
	char path[HKM_OPTION_TEXT_BYTES + 32]; /* of the log; empty: none */
	struct hkm_learn_settings settings;
	double lambda;
	struct hkm_learner learner;
	struct hkm_collection collection;
	struct hkm_totals first, before; /* of the process; of the last window */
	struct hkm_period window;
	struct hkm_scale scale;
	struct hkm_quantile p50, p95, p99;
	bool collecting, collected, has_before;
	bool deciding;                   /* the window is known, and what it means is next */
	char lines[2 * LINE_BYTES];      /* of the log, not yet written */
	size_t lines_length;
	uint64_t generation;             /* of the policy that the learner knows to be in force */
	uint64_t window_cost_ns;         /* of the last or present window */
	uint64_t windows, steps, step_ns_max, step_ns_total; /* of processor time */
} service;

/* What the learner has proven, for a child of fork: the policy without the trial that may be under way, and what the
 * options say. Written by the holder of the baton, one after the other, so that a child finds one of them whole. */
static struct proven {
	struct hkm_policy base, standard;
} proven[2];
static _Atomic unsigned proven_at; /* release: comes after what it tells of; read by a child, which is alone */

static bool baton_take(void)
{
	uintptr_t expected = 0;
	return atomic_compare_exchange_strong_explicit(&baton, &expected, (uintptr_t)pthread_self(), memory_order_acquire,
						       memory_order_relaxed);
}

/* A signal handler that has interrupted its own thread's work would wait for it in vain. */
static bool baton_is_own(void)
{
	return atomic_load_explicit(&baton, memory_order_relaxed) == (uintptr_t)pthread_self();
}

static void baton_give(void)
{
	atomic_store_explicit(&baton, 0, memory_order_release);
}

/* ---- A window ----------------------------------------------------------------------------------------------- */

/* The decision's line, or, without one, the window's. */
static void log_line(const struct hkm_decision *decision)
{
	char buffer[LINE_BYTES];
	struct hkm_text text = { .buffer = buffer, .capacity = sizeof buffer, .descriptor = -1 };
	if (service.path[0] == '\0')
		return;
	struct hkm_report report = { .on = service.on, .learner = &service.learner, .window = &service.window,
				     .windows = service.windows };
	if (decision != NULL)
		hkm_explain_decision(&text, &report, decision);
	else
		hkm_explain_window(&text, &report);
	hkm_text_finish(&text);
	if (service.lines_length + text.length <= sizeof service.lines) {
		memcpy(service.lines + service.lines_length, buffer, text.length);
		service.lines_length += text.length;
	}
}

static void write_lines(void)
{
	hkm_os_append(service.path, service.lines, service.lines_length);
	service.lines_length = 0;
}

static void note_proven(void)
{
	unsigned at = 1 - atomic_load_explicit(&proven_at, memory_order_relaxed);
	proven[at].base = service.learner.base;
	proven[at].standard = service.learner.actuators.standard;
	atomic_store_explicit(&proven_at, at, memory_order_release);
}

/* Not over a policy that somebody has published by hand meanwhile: the next step follows it. */
static void publish(const struct hkm_policy *policy)
{
	uint64_t generation = hkm_policy_replace_if(policy, service.generation);
	if (generation != 0)
		service.generation = generation;
}

/* Somebody has published a policy by hand: it is what the learner goes on from. */
static void follow_publications(uint64_t now_ms)
{
	struct hkm_policy current;
	hkm_policy_copy(&current);
	if (current.generation != service.generation) {
		service.generation = current.generation;
		hkm_learner_adopt(&service.learner, &current, now_ms);
	}
}

/* What the window means, or, in the slices that follow, a part of the search for something to try. */
static void decide(uint64_t now_ms)
{
	struct hkm_policy policy;
	struct hkm_decision decision;
	struct hkm_learner *learner = &service.learner;
	if (!learner->looking)
		follow_publications(now_ms);
	if (learner->looking ? hkm_learner_look(learner, service.window.now_ms, &policy, &decision) :
			       hkm_learner_step(learner, &service.window, &policy, &decision))
		publish(&policy);
	service.deciding = learner->looking;
	note_proven();
	if (decision.event != HKM_EVENT_NONE)
		log_line(&decision);
}

static void add_samples(const struct hkm_collection *collection)
{
	for (uint32_t i = 0; i < collection->sample_count; i++) {
		double ns = collection->samples[i] * service.scale.ns_per_cycle;
		hkm_quantile_add(&service.p50, ns);
		hkm_quantile_add(&service.p95, ns);
		hkm_quantile_add(&service.p99, ns);
	}
}

/* All heaps have been looked at: the window is complete. */
static void end_window(void)
{
	const struct hkm_totals *totals = &service.collection.totals;
	uint64_t cycles = totals->cycles - service.first.cycles;
	if (cycles > 0)
		service.scale.ns_per_cycle = (double)(totals->now_ns - service.first.now_ns) / (double)cycles;
	add_samples(&service.collection);
	if (service.has_before) {
		hkm_period_between(&service.before, totals, &service.scale, service.lambda, &service.window);
		service.windows++;
		log_line(NULL);
		service.deciding = service.on;
	}
	service.before = *totals;
	service.has_before = true;
}

/* With many threads a look at all of them costs more: the windows grow, so that the share of the time stays. */
static uint64_t window_ms(void)
{
	return hkm_max(service.settings.window_ms, service.window_cost_ns * COST_SHARE / 1000000);
}

/* Looks at some heaps, or, when all have been looked at, makes a window of it, or decides. Result: when to come again. */
static uint64_t step(uint64_t now_ms)
{
	if (service.deciding) {
		decide(now_ms);
		return service.deciding ? now_ms : now_ms + window_ms();
	}
	if (service.collected) {
		end_window();
		service.collected = false;
		return service.deciding ? now_ms : now_ms + window_ms();
	}
	if (!service.collecting) {
		hkm_collect_begin(&service.collection);
		service.window_cost_ns = 0;
	}
	service.collected = hkm_collect(&service.collection, now_ms);
	service.collecting = !service.collected;
	return now_ms;
}

/* One bounded piece of work: a step, whose time is counted, or what the last one has to tell. Result: when to come
 * again. */
static uint64_t slice(uint64_t now_ms)
{
	if (service.lines_length > 0 && !service.deciding) {
		write_lines();
		return service.window.now_ms + window_ms();
	}
	uint64_t start = hkm_os_thread_ns(), next = step(now_ms), ns = hkm_os_thread_ns() - start;
	service.steps++;
	service.step_ns_total += ns;
	service.window_cost_ns += ns;
	service.step_ns_max = hkm_max(service.step_ns_max, ns);
	return service.lines_length > 0 || service.deciding ? now_ms : next;
}

/* ---- The thread that steps ------------------------------------------------------------------------------------ */

static void *work(void *unused)
{
	for (;;) {
		uint64_t now = hkm_os_now_ms(), next = now + 1;
		if (baton_take()) {
			next = slice(now);
			baton_give();
		}
		if (next > now)
			hkm_os_sleep_ms(next - now);
	}
	return unused;
}

/* Called with the baton. Result: whether a thread does the work from now on. */
static bool thread_runs(void)
{
	if (hkm_options.learn_thread == 1 && !service.has_thread)
		service.has_thread = hkm_os_start_thread(work);
	return service.has_thread;
}

static void window_over(uint64_t now_ms)
{
	if (!baton_take())
		return;
	/* Another thread may have been faster, and given the baton back since this one looked. */
	if (now_ms >= atomic_load_explicit(&hkm_window_end_ms, memory_order_relaxed)) {
		uint64_t next = thread_runs() ? UINT64_MAX : slice(now_ms);
		/* relaxed: all that it tells is when to compete for the baton. */
		atomic_store_explicit(&hkm_window_end_ms, next, memory_order_relaxed);
	}
	baton_give();
}

/* ---- Start and fork --------------------------------------------------------------------------------------------- */

static void read_settings(struct hkm_learn_settings *settings)
{
	static const double most_slowdowns[] = { 0.002, 0.01, 0.1 }; /* by goal */
	*settings = (struct hkm_learn_settings){
		.cap_rule = (unsigned)hkm_options.cap_learn,
		.target_hit_mid = (double)hkm_options.target_hit_mid / 1e3,
		.target_hit_large = (double)hkm_options.target_hit_large / 1e3,
		.cap_step_mid = (int)hkm_options.cap_step_mid,
		.cap_step_large = (int)hkm_options.cap_step_large,
		.water_filling = hkm_options.water_filling == 1,
		.wmax = hkm_options.wmax_learn == 1,
		.dynamic = hkm_options.dyn1_auto == 1,
		.huge_pages = hkm_options.thp_learn == 1,
		.most_slowdown = most_slowdowns[hkm_options.goal],
		.mid_cache_bytes = hkm_options.mid_cache_bytes,
		.ucb_c = (double)hkm_options.ucb_c / 1e3,
		.wmax_dwell_ms = hkm_options.wmax_dwell_sec * 1000,
		.window_ms = hkm_options.learn_window_ms,
	};
	HKM_STATIC_ASSERT(HKM_OPTION_RATIOS_MOST < HKM_CANDIDATES, "the first value is a candidate, too");
	/* The options hold only what can be parsed. */
	hkm_parse_ratios(hkm_options.wmax_candidates_mid, settings->wmax_mid, &settings->wmax_mid_count);
	hkm_parse_ratios(hkm_options.wmax_candidates_large, settings->wmax_large, &settings->wmax_large_count);
}

/* Learning begins with the policy that is in force. */
static void begin(void)
{
	struct hkm_policy policy;
	uint64_t now = hkm_os_now_ms();
	hkm_policy_copy(&policy);
	service.generation = policy.generation;
	service.collecting = service.collected = service.deciding = false;
	service.has_before = service.has_thread = false;
	service.first.now_ns = hkm_os_now_ns();
	service.first.cycles = hkm_cycles();
	hkm_quantile_start(&service.p50, 0.5);
	hkm_quantile_start(&service.p95, 0.95);
	hkm_quantile_start(&service.p99, 0.99);
	hkm_learner_start(&service.learner, &service.settings, &policy, hkm_profile_loaded(), now);
	note_proven();
	/* The first collection is the beginning of the first window. */
	atomic_store_explicit(&hkm_window_end_ms, now, memory_order_relaxed);
}

static void start(void)
{
	service.on = hkm_options.learn == 1;
	if (!service.on && hkm_options.learn_log[0] == '\0')
		return;
	if (hkm_options.learn_log[0] != '\0') {
		hkm_text_expand_path(hkm_options.learn_log, service.path, sizeof service.path);
		int descriptor = hkm_os_create(service.path);
		if (descriptor < 0)
			hkm_warn_unwritten("HAKMEM_LEARN_LOG", service.path, -descriptor);
		else
			hkm_os_close(descriptor);
	}
	read_settings(&service.settings);
	service.lambda = hkm_lambda((unsigned)hkm_options.goal);
	service.scale.fault_ns = hkm_measure_fault_ns();
	hkm_heap_meter_all();
	hkm_pool_meter_all();
	begin();
}

/* What was proven stays, a trial under way does not: nobody would ever judge it. */
static void begin_again(void)
{
	const struct proven last = proven[atomic_load_explicit(&proven_at, memory_order_acquire)];
	publish(&last.base);
	begin();
	service.learner.actuators.standard = last.standard;
	note_proven();
}

/* A thread that stepped while this process was copied left its work half done: learning begins anew. So it does if a
 * thread of its own did the work, which does not exist here. */
static void forked(void)
{
	bool interrupted = atomic_load_explicit(&baton, memory_order_relaxed) != 0;
	baton_give();
	if (service.settings.window_ms == 0)
		return;
	if (service.path[0] != '\0')
		hkm_text_expand_path(hkm_options.learn_log, service.path, sizeof service.path);
	if (interrupted || service.has_thread)
		begin_again();
}

const struct hkm_learning hkm_learning = { start, window_over, forked };

/* ---- Telling --------------------------------------------------------------------------------------------------------- */

/* Result: whether it was taken. A signal handler may have interrupted the step, or whoever has it may not come to run:
 * rather a torn report than none. */
static bool baton_wait(void)
{
	uint64_t end = hkm_os_now_ms() + REPORT_WAIT_MS;
	if (baton_is_own())
		return false;
	for (unsigned tries = 0; !baton_take(); tries++) {
		if (hkm_os_now_ms() >= end)
			return false;
		if (tries < REPORT_YIELDS)
			sched_yield();
		else
			hkm_os_sleep_ms(1);
	}
	return true;
}

void hkm_service_report(void (*put)(struct hkm_text *text, const struct hkm_report *report), struct hkm_text *text)
{
	bool taken = baton_wait();
	struct hkm_report report = {
		.on = service.on,
		.learner = &service.learner,
		.window = &service.window,
		.windows = service.windows,
		.steps = service.steps,
		.step_ns_max = service.step_ns_max,
		.step_ns_total = service.step_ns_total,
		.slow_p50_ns = hkm_quantile_value(&service.p50),
		.slow_p95_ns = hkm_quantile_value(&service.p95),
		.slow_p99_ns = hkm_quantile_value(&service.p99),
		.now_ms = hkm_os_now_ms(),
	};
	hkm_policy_copy(&report.policy);
	put(text, &report);
	if (taken)
		baton_give();
}

uint64_t hkm_service_learned(struct hkm_policy *policy)
{
	uint64_t windows = 0;
	bool taken = baton_wait();
	if (service.on) {
		hkm_learner_learned(&service.learner, policy);
		windows = service.learner.windows;
	} else {
		hkm_policy_copy(policy);
	}
	if (taken)
		baton_give();
	return windows;
}

const char *hkm_service_goal(void)
{
	static const char *const goals[] = { "latency", "balanced", "memory" };
	return goals[hkm_options.goal];
}
