/* regret.h - was it right to give memory back? Counts what was given back, and how much as had been given back shortly before
 * was asked for again: evidence for the learner, in bytes.
 *
 *   given    given back
 *   again    of that, asked for again before the horizon: it would have been there, had it been kept so much longer
 *   reused   handed out again instead of being given back
 *   late     of that, what a quarter of the delay would have given back before
 *
 * The caller's lock guards it; counters are read by anyone. Memory is not followed page by page: what is asked for counts as
 * what was given back, oldest horizon first, which is what a cache of either would have served.
 */
#ifndef HKM_REGRET_H
#define HKM_REGRET_H

#include <stdatomic.h>

#include "base/base.h"

struct hkm_regret {
	uint64_t outstanding; /* bytes given back whose horizon has not passed */
	uint64_t horizon_ms;  /* of the last that were */
	hkm_counter given, again, reused, late;
};

/* After so many milliseconds free memory goes: the policy's purge delay, as the last tick of any heap had it; horizons are made
 * of it. Relaxed: a value of its own. */
extern _Atomic uint64_t hkm_regret_delay;

static inline void hkm_regret_set_delay(uint64_t delay_ms)
{
	if (atomic_load_explicit(&hkm_regret_delay, memory_order_relaxed) != delay_ms)
		atomic_store_explicit(&hkm_regret_delay, delay_ms, memory_order_relaxed);
}

static inline uint64_t hkm_regret_delay_ms(void)
{
	return atomic_load_explicit(&hkm_regret_delay, memory_order_relaxed);
}

/* `bytes` are given back at `now_ms`; they count as regretted if they are asked for before `horizon_ms`. */
static inline void hkm_regret_give(struct hkm_regret *regret, uint64_t bytes, uint64_t now_ms, uint64_t horizon_ms)
{
	hkm_count(&regret->given, bytes);
	if (now_ms > regret->horizon_ms)
		regret->outstanding = 0;
	regret->outstanding += bytes;
	regret->horizon_ms = hkm_max(regret->horizon_ms, horizon_ms);
}

/* `bytes` are asked for that are not there. Result: how many of them are not regretted. */
static inline uint64_t hkm_regret_ask(struct hkm_regret *regret, uint64_t bytes, uint64_t now_ms)
{
	if (regret->outstanding == 0)
		return bytes;
	if (now_ms > regret->horizon_ms)
		regret->outstanding = 0;
	uint64_t again = hkm_min(bytes, regret->outstanding);
	regret->outstanding -= again;
	hkm_count(&regret->again, again);
	return bytes - again;
}

/* `bytes` that have lain there since `since_ms` are handed out again. */
static inline void hkm_regret_reuse(struct hkm_regret *regret, uint64_t bytes, uint64_t since_ms, uint64_t now_ms,
				    uint64_t delay_ms)
{
	hkm_count(&regret->reused, bytes);
	if (since_ms + delay_ms / 4 < now_ms)
		hkm_count(&regret->late, bytes);
}

#endif
