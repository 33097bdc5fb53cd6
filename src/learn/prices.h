/* prices.h - what things of a window cost, in the unit of the objective: what promises of actuators are made of.
 */
#ifndef HKM_PRICES_H
#define HKM_PRICES_H

#include "learn/signals.h"

/* What shrinks was there for something: so much of what it may have been good for is reckoned with. */
#define HKM_RISK 0.1

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

#endif
