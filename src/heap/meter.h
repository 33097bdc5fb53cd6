/* meter.h - what the learner wants to know of a heap, beyond what is counted anyway.
 *
 *   entries, cycles   slow paths, and an estimate of the time spent in them: one of sixteen is timed, and counts
 *                     sixteenfold
 *   exact, exact_ns   of the entries, those that are rare and long (ticks, purges, L2), and their time: all are timed, by
 *                     the thread's own clock, so that what other processes take does not count
 *   recent[]          the last times of sampled slow paths, a ring; for quantiles
 *   ghosts[]          per L1 class: blocks that a cache of twice the size would still hold, and the misses that
 *                     they would have turned into hits. Growth pays only where an overflow is followed by an
 *                     underflow, and that is what is counted here
 *   demand[]          histogram of the Mid requests that missed, for DYN1 and DYN2
 *   spans, messages   what it takes to make a span that a pool could have kept, and to send a message that is full: prices
 *                     of what the learner may spare
 *
 * Written by the heap's owner on slow paths, and only if heap->metered: without learning it is one branch where a slow
 * path begins and one where it ends. Read by the learner without
 * synchronisation; every value is advice.
 */
#ifndef HKM_METER_H
#define HKM_METER_H

#include "base/cycles.h"
#include "core/sizeclass.h"
#include "os/os.h"

#define HKM_METER_PERIOD 16u  /* slow paths per timed one */
#define HKM_METER_RECENT 16u
#define HKM_METER_PARTS 8u    /* timed slow paths per one in which a part is timed */
#define HKM_DEMAND_WIDTH 256u /* bytes of a bucket */
#define HKM_DEMAND_BUCKETS ((HKM_MID_MAX - HKM_TINY_MAX) / HKM_DEMAND_WIDTH)

/* A sampled slow path that took longer was interrupted: some 10 microseconds. Counted sixteenfold, a few time slices of
 * another process would be all that a window shows. */
#define HKM_METER_LONGEST ((uint64_t)1 << 15)

/* How often something was timed, and how long it took. */
struct hkm_price {
	hkm_counter count, cycles;
};

struct hkm_meter {
	uint64_t started;       /* when the present slow path began, in cycles; 0: it is not timed */
	uint64_t started_ns;    /* when what is rare and long in it began, in the thread's time; 0: nothing has */
	hkm_counter entries, cycles;
	hkm_counter exact, exact_ns;
	hkm_counter timed;                  /* entries of recent[] ever written */
	uint32_t recent[HKM_METER_RECENT];  /* cycles */
	struct hkm_price spans, messages;
	hkm_counter ghost_hits[HKM_ACE_CLASSES]; /* misses that the ghosts of a cache would have served */
	uint32_t demand[HKM_DEMAND_BUCKETS];         /* requests */
	uint16_t largest[HKM_DEMAND_BUCKETS];        /* bytes; the largest request of a bucket */
};

/* A slow path begins. */
static inline void hkm_meter_begin(struct hkm_meter *meter)
{
	uint64_t entries = hkm_counted(&meter->entries);
	hkm_count(&meter->entries, 1);
	meter->started_ns = 0;
	meter->started = entries % HKM_METER_PERIOD == 0 ? hkm_cycles() : 0;
}

/* What follows in this slow path is rare and may be long: it is timed, whether it would have been sampled or not. */
static inline void hkm_meter_exact(struct hkm_meter *meter)
{
	if (meter->started_ns != 0)
		return;
	meter->started = hkm_cycles();
	meter->started_ns = hkm_os_thread_ns();
	hkm_count(&meter->exact, 1);
}

/* The slow path ends. Result: its cycles, if it was timed; else 0. */
static inline uint64_t hkm_meter_end(struct hkm_meter *meter)
{
	if (meter->started == 0)
		return 0;
	uint64_t cycles = hkm_cycles() - meter->started;
	meter->started = 0;
	if (meter->started_ns != 0)
		hkm_count(&meter->exact_ns, hkm_os_thread_ns() - meter->started_ns);
	else
		hkm_count(&meter->cycles, hkm_min(cycles, HKM_METER_LONGEST) * HKM_METER_PERIOD);
	meter->recent[hkm_counted(&meter->timed) % HKM_METER_RECENT] = (uint32_t)hkm_min(cycles, UINT32_MAX);
	hkm_count(&meter->timed, 1);
	return cycles;
}

/* What begins here is a part of the present slow path. Result: the time, if it is to be timed; else 0. Seldom, as the two
 * looks at the counter are a part of the slow path, too, and count as often as it does. */
static inline uint64_t hkm_meter_begin_part(const struct hkm_meter *meter)
{
	return meter->started != 0 && hkm_counted(&meter->timed) % HKM_METER_PARTS == 0 ? hkm_cycles() : 0;
}

static inline void hkm_price_add(struct hkm_price *price, uint64_t cycles)
{
	hkm_count(&price->count, 1);
	hkm_count(&price->cycles, hkm_min(cycles, HKM_METER_LONGEST));
}

/* A full cache of `capacity` has sent `blocks` to the pool: they join its ghosts. */
static inline void hkm_meter_overflow(uint32_t *ghosts, uint32_t blocks, uint32_t capacity)
{
	*ghosts = (uint32_t)hkm_min(*ghosts + blocks, capacity);
}

/* A request of `size` bytes has missed the cache of `class`. */
static inline void hkm_meter_miss(struct hkm_meter *meter, uint32_t *ghosts, unsigned class, size_t size)
{
	if (*ghosts > 0) {
		--*ghosts;
		hkm_count(&meter->ghost_hits[class], 1);
	}
	if (size > HKM_TINY_MAX && size <= HKM_MID_MAX) {
		size_t bucket = (size - HKM_TINY_MAX - 1) / HKM_DEMAND_WIDTH;
		meter->demand[bucket]++;
		if (size > meter->largest[bucket])
			meter->largest[bucket] = (uint16_t)size;
	}
}

#endif
