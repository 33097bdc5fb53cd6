/* explain.c - see explain.h. */
#include "learn/explain.h"

#include "core/options.h"
#include "os/os.h"

static const char *state_name(const struct hkm_report *report)
{
	static const char *const names[] = { [HKM_LEARN] = "LEARN", [HKM_CANARY] = "CANARY", [HKM_FROZEN] = "FROZEN" };
	return report->on ? names[report->learner->state] : "OFF";
}

/* ,"name":1.234 */
static void put_member(struct hkm_text *text, const char *name, double value)
{
	hkm_text_put(text, ",\"%s\":", name);
	hkm_text_put_real(text, value);
}

/* ---- The log --------------------------------------------------------------------------------------------- */

static void put_head(struct hkm_text *text, const struct hkm_report *report, const char *what)
{
	hkm_text_put(text, "{\"t_ms\":%lu,\"window\":%lu,\"state\":\"%s\",\"what\":\"%s\"", report->window->now_ms,
		     report->windows, state_name(report), what);
}

static double sum(const double classes[HKM_ACE_CLASSES])
{
	double all = 0;
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		all += classes[class];
	return all;
}

void hkm_explain_window(struct hkm_text *text, const struct hkm_report *report)
{
	const struct hkm_period *window = report->window;
	put_head(text, report, "window");
	put_member(text, "objective", window->objective);
	put_member(text, "slow_ns", window->slow_ns);
	put_member(text, "operations", window->operations);
	put_member(text, "held_bytes", window->held);
	put_member(text, "live_bytes", window->live);
	put_member(text, "page_faults", window->faults);
	put_member(text, "fault_ns", window->fault_ns);
	put_member(text, "entry_ns", window->entry_ns);
	put_member(text, "purged_for_age", window->aged);
	put_member(text, "asked_again", window->again);
	put_member(text, "reused", window->dirty_reused + window->big_reused);
	put_member(text, "reused_late", window->late);
	put_member(text, "surplus_asked_again", window->dirty_again + window->big_again);
	put_member(text, "pool_hits", sum(window->pool_hits));
	put_member(text, "pool_ghost_hits", sum(window->pool_ghosts));
	put_member(text, "pool_surplus_bytes", sum(window->pool_surplus));
	put_member(text, "span_ns", window->spans_timed > 0 ? window->span_ns / window->spans_timed : 0);
	put_member(text, "messages", window->remote_messages);
	put_member(text, "messages_full", window->remote_full);
	put_member(text, "messages_spared", window->remote_spared);
	put_member(text, "message_ns", window->messages_timed > 0 ? window->message_ns / window->messages_timed : 0);
	put_member(text, "outbox_bytes", window->outboxed);
	hkm_text_put(text, "}\n");
}

static const char *event_name(enum hkm_event event)
{
	static const char *const names[] = {
		[HKM_EVENT_NONE] = "none",	   [HKM_EVENT_TRY] = "try",	  [HKM_EVENT_KEEP] = "keep",
		[HKM_EVENT_ROLLBACK] = "rollback", [HKM_EVENT_FREEZE] = "freeze", [HKM_EVENT_THAW] = "learn again",
		[HKM_EVENT_RECALL] = "recall",
	};
	return names[event];
}

void hkm_explain_decision(struct hkm_text *text, const struct hkm_report *report, const struct hkm_decision *decision)
{
	put_head(text, report, decision->what);
	hkm_text_put(text, ",\"event\":\"%s\"", event_name(decision->event));
	put_member(text, "from", decision->from);
	put_member(text, "to", decision->to);
	hkm_text_put(text, ",\"why\":\"%s\"", decision->why);
	put_member(text, "objective_before", decision->objective_before);
	if (decision->objective_after >= 0)
		put_member(text, "objective_after", decision->objective_after);
	else
		hkm_text_put(text, ",\"objective_after\":null");
	hkm_text_put(text, "}\n");
}

/* ---- The statistics ------------------------------------------------------------------------------------------ */

static void put_classes(struct hkm_text *text, const char *name, const uint16_t classes[HKM_ACE_CLASSES])
{
	hkm_text_put(text, ",\"%s\":[", name);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		hkm_text_put(text, "%s%u", class == 0 ? "" : ",", (unsigned)classes[class]);
	hkm_text_put(text, "]");
}

static void put_policy(struct hkm_text *text, const struct hkm_policy *policy)
{
	hkm_text_put(text, ",\"policy\":{\"generation\":%lu", policy->generation);
#define HKM_POLICY_FIELD(option, member) hkm_text_put(text, ",\"" #option "\":%lu", (uint64_t)policy->member);
#include "policy/fields.def"
	put_classes(text, "cache_blocks", policy->cache_blocks);
	put_classes(text, "pool_spans", policy->pool_spans);
	hkm_text_put(text, "}");
}

void hkm_explain_json(struct hkm_text *text, const struct hkm_report *report)
{
	const struct hkm_learner *learner = report->learner;
	hkm_text_put(text, ",\"learning\":{\"state\":\"%s\",\"windows\":%lu,\"steps\":%lu,\"step_ns_max\":%lu,"
		     "\"step_ns_total\":%lu,\"decisions\":%lu,\"rollbacks\":%lu", state_name(report), report->windows,
		     report->steps, report->step_ns_max, report->step_ns_total, learner->decisions, learner->rollbacks);
	put_member(text, "objective", report->window->objective);
	put_member(text, "noise", learner->noise);
	put_member(text, "slow_p50_ns", report->slow_p50_ns);
	put_member(text, "slow_p95_ns", report->slow_p95_ns);
	put_member(text, "slow_p99_ns", report->slow_p99_ns);
	put_policy(text, &report->policy);
	hkm_text_put(text, "}");
}

void hkm_explain_table(struct hkm_text *text, const struct hkm_report *report)
{
	if (!report->on)
		return;
	hkm_text_put(text, "  learning %s after %lu windows: %lu decisions, %lu rolled back, objective ", state_name(report),
		     report->windows, report->learner->decisions, report->learner->rollbacks);
	hkm_text_put_real(text, report->window->objective);
	hkm_text_put(text, "\n");
}

/* ---- For people --------------------------------------------------------------------------------------------------- */

static void put_percent(struct hkm_text *text, double before, double after)
{
	double change = before > 0 ? (after - before) / before * 100 : 0;
	hkm_text_put(text, "%s", change > 0 ? "+" : "");
	hkm_text_put_real(text, change);
	hkm_text_put(text, " %%");
}

static void put_kept(struct hkm_text *text, const struct hkm_learner *learner)
{
	unsigned count = learner->kept_count, first = count > HKM_KEPT_CHANGES ? count - HKM_KEPT_CHANGES : 0;
	if (count == 0)
		hkm_text_put(text, "  nothing was changed: no trial has been better than what the options say\n");
	for (unsigned i = first; i < count; i++) {
		const struct hkm_decision *kept = &learner->kept[i % HKM_KEPT_CHANGES];
		hkm_text_put(text, "  %-16s ", kept->what);
		hkm_text_put_real(text, kept->from);
		hkm_text_put(text, " -> ");
		hkm_text_put_real(text, kept->to);
		hkm_text_put(text, ": %s; objective ", kept->why);
		put_percent(text, kept->objective_before, kept->objective_after);
		hkm_text_put(text, "\n");
	}
}

void hkm_explain_people(struct hkm_text *text, const struct hkm_report *report)
{
	const struct hkm_learner *learner = report->learner;
	if (!report->on)
		return;
	hkm_text_put(text, "hakmem: what was learned in %lu windows of %lu ms (goal: %s)\n", report->windows,
		     hkm_options.learn_window_ms, hkm_service_goal());
	hkm_text_put(text, "  state %s for %lu ms; %lu decisions, %lu rolled back; noise between windows ",
		     state_name(report), report->now_ms - hkm_min(report->now_ms, learner->state_since_ms),
		     learner->decisions, learner->rollbacks);
	hkm_text_put_real(text, learner->noise * 100);
	hkm_text_put(text, " %%\n  objective (ns per allocation and idle memory's weight) ");
	hkm_text_put_real(text, learner->objective_first);
	hkm_text_put(text, " at first, ");
	hkm_text_put_real(text, learner->objective);
	hkm_text_put(text, " at last: ");
	put_percent(text, learner->objective_first, learner->objective);
	hkm_text_put(text, "\n");
	put_kept(text, learner);
	hkm_text_put(text, "  the learner itself took %lu ns in %lu steps, %lu ns at most\n", report->step_ns_total,
		     report->steps, report->step_ns_max);
}
