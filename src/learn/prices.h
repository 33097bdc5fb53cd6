/* prices.h - what things of a window cost, in the unit of the objective: what promises of actuators are made of.
 */
#ifndef HKM_PRICES_H
#define HKM_PRICES_H

#include "learn/signals.h"

/* What shrinks was there for something: so much of what it may have been good for is reckoned with. */
#define HKM_RISK 0.1

/* A span that a pool makes and gives back, against the making alone, which is what is timed: 1.0 to 2.1 times as long for
 * blocks of 3 KB to 1 MB, one and twenty at once. */
#define HKM_SPAN_BOTH_WAYS 1.5

static inline double hkm_per_operation(const struct hkm_period *window, double ns)
{
	return window->operations > 0 ? ns / window->operations : 0;
}

/* What bytes cost that lie idle. */
static inline double hkm_rent(const struct hkm_period *window, double bytes)
{
	return window->lambda * bytes / 1048576;
}

static inline double hkm_idle_bytes(const struct hkm_period *window)
{
	return window->held > window->live ? window->held - window->live : 0;
}

/* What it costs to fault `bytes` in. */
static inline double hkm_fault_price(const struct hkm_period *window, double bytes)
{
	return hkm_per_operation(window, bytes / 4096 * window->fault_ns);
}

/* What it costs that pools make spans and give them back. Where none was timed, all that is known of them is what a slow
 * path takes. */
static inline double hkm_span_price(const struct hkm_period *window, double spans)
{
	double ns = window->spans_timed > 0 ? HKM_SPAN_BOTH_WAYS * window->span_ns / window->spans_timed : window->entry_ns;
	return hkm_per_operation(window, spans * ns);
}

/* What messages to other threads cost their senders: a compare-and-swap on a line that the receiver writes, too. */
static inline double hkm_message_price(const struct hkm_period *window, double messages)
{
	double ns = window->messages_timed > 0 ? window->message_ns / window->messages_timed : window->entry_ns;
	return hkm_per_operation(window, messages * ns);
}

#endif
