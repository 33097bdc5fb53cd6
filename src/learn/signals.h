/* signals.h - what the learner looks at: totals of the process, the difference of two as a window, its objective.
 *
 *   heaps, pools, L2, spans  --collect, some heaps at a time-->  hkm_totals  --difference-->  hkm_period
 *
 * Collecting takes no lock and stops nobody; each figure is right for some moment of it. It costs at most
 * HKM_HEAPS_A_SLICE heaps a call, so that a call is some tens of microseconds with any number of threads.
 *
 * The objective J of a window, lower is better:
 *   J = nanoseconds in slow paths and page faults per allocation + lambda * MiB held beyond what is live
 * Page faults are counted by the system and cost what the first ones of the learner's own have cost: most are taken by
 * the program when it first touches a block, where nobody could time them. Those within slow paths count twice.
 */
#ifndef HKM_SIGNALS_H
#define HKM_SIGNALS_H

#include "heap/heap.h"

#define HKM_HEAPS_A_SLICE 4u
#define HKM_SAMPLES 64u

/* Everything since the process started, but for the levels. */
struct hkm_totals {
	uint64_t now_ms, now_ns, cycles; /* the same moment by three clocks */
	uint64_t hits[HKM_ACE_CLASSES], misses[HKM_ACE_CLASSES], ghost_hits[HKM_ACE_CLASSES];
	uint64_t pool_hits[HKM_ACE_CLASSES], pool_ghosts[HKM_ACE_CLASSES]; /* spans, as in ace/ace.h */
	uint64_t tiny_allocations, tiny_refills, remote_messages;
	uint64_t remote_sent, remote_full, remote_full_blocks, remote_spared; /* as in heap/heap.h */
	uint64_t spans_timed, span_cycles, messages_timed, message_cycles;    /* as in heap/meter.h */
	uint64_t big_hits, big_misses, big_remaps;
	uint64_t slow_entries, slow_cycles, exact_entries, exact_ns; /* as in heap/meter.h */
	uint64_t page_faults, processor_ns;      /* of the process, as the system counts them */
	uint64_t span_purged, big_purged;        /* bytes */
	uint64_t aged, again, late;              /* bytes, of slices and big ranges, as in base/regret.h */
	uint64_t dirty_again, big_again, dirty_reused, big_reused, fresh;
	uint64_t huge, probed, probe_ns; /* of L2, as in big/big.h */
	uint64_t class_allocations[HKM_TINY_CLASSES], class_refills[HKM_TINY_CLASSES];
	uint32_t demand[HKM_DEMAND_BUCKETS];     /* Mid requests that missed, as in heap/meter.h */
	uint16_t largest[HKM_DEMAND_BUCKETS];

	uint32_t dynamic_size[2];                /* bytes; of DYN1 and DYN2 now, 0: none */

	/* Levels, in bytes, but for the first two. */
	uint64_t heaps, threads;
	uint64_t held, live;
	uint64_t dirty, big_cached, big_live, mid_out, large_out, cached, empty_slabs;
	uint64_t pool_surplus[HKM_ACE_CLASSES]; /* as in ace/ace.h */
	uint64_t outboxed, outboxed_beyond;   /* in outboxes; of that, beyond a quarter of a message */
};

/* Collecting in progress. `heap` is the next one to look at; NULL: all have been. */
struct hkm_collection {
	struct hkm_totals totals;
	const struct hkm_heap *heap;
	int64_t tiny_live;              /* bytes; may be below 0 for a moment, as owners go on */
	uint32_t samples[HKM_SAMPLES];  /* cycles of slow paths that ended since the last collection */
	uint32_t sample_count;
};

/* Begins a collection; then hkm_collect until it says that it is complete. */
void hkm_collect_begin(struct hkm_collection *collection);
bool hkm_collect(struct hkm_collection *collection, uint64_t now_ms);

/* What happened between two totals, as rates that controllers understand. All from length_ms up to class_refills are
 * double: see hkm_period_mean. */
struct hkm_period {
	uint64_t now_ms;    /* its end */
	double length_ms;
	double operations;  /* allocations */
	double slow_ns;     /* in slow paths, page faults included */
	double entry_ns;    /* mean time of a slow path, page faults and those that are rare and long not included */
	double fault_ns;    /* of one page fault */
	double processor_ns; /* of all that the process did */
	double faults;
	double objective;   /* J */
	double held, live;  /* bytes, at its end; of live Mid blocks what was asked for, as far as the histogram tells */
	double lambda;      /* nanoseconds per allocation and MiB */
	double hits[HKM_ACE_CLASSES], misses[HKM_ACE_CLASSES], ghost_hits[HKM_ACE_CLASSES];
	/* By class: spans that would have been made, had pools kept half as many empty ones; bytes in spans that would not be
	 * there then, at its end; spans made that would not have been, had they kept more. */
	double pool_hits[HKM_ACE_CLASSES], pool_surplus[HKM_ACE_CLASSES], pool_ghosts[HKM_ACE_CLASSES];
	double spans_timed, span_ns; /* spans made that could have been kept, of those that were timed; the time it took */
	double mid_requests, large_requests, tiny_requests, big_requests; /* allocations, by layer */
	double refills, remote_messages, big_misses, purged; /* purged: bytes */
	/* Blocks sent to other threads; messages that were full, the blocks in them, and those of them that messages of four
	 * times the size would have spared; full messages that were timed, and the time it took. */
	double remote_sent, remote_full, remote_full_blocks, remote_spared, messages_timed, message_ns;
	double outboxed, outboxed_beyond; /* bytes in outboxes, at its end; of that, beyond a quarter of a message */
	/* Bytes of free memory, as in base/regret.h: given back because of their age and of those asked for again soon; given
	 * back because dirty_bytes or big_cache_bytes was reached, and asked for again; handed out again, and of that, what a
	 * quarter of the delay would have given back. */
	double aged, again, dirty_again, big_again, dirty_reused, big_reused, late;
	double fresh; /* bytes of slices handed out that were not resident */
	double dirty, big_cached, cached, empty_slabs; /* bytes, at its end */
	double class_allocations[HKM_TINY_CLASSES], class_refills[HKM_TINY_CLASSES];
	struct hkm_totals totals; /* at its end, for levels and the histogram */
};

/* Makes *mean, of `count` windows, the mean of one more; its objective is that of them all. Of the totals it has the
 * last window's number of threads, largest[], and bytes out of Mid's pools and in L2. */
void hkm_period_mean(struct hkm_period *mean, unsigned count, const struct hkm_period *window);

/* The share of the bytes handed out for a histogram of Mid requests that is beyond what was asked for, with dynamic
 * classes of these sizes. */
double hkm_demand_waste(const uint32_t *demand, const uint16_t *largest, const uint32_t dynamic_size[2]);

/* What it would cost per allocation if L1's caches, or L2's, had not been there: what is at risk where they shrink. */
double hkm_period_l1_risk(const struct hkm_period *window);
double hkm_period_l2_risk(const struct hkm_period *window);

/* How long things take on this machine. */
struct hkm_scale {
	double ns_per_cycle;
	double fault_ns;
};

/* Times the page faults of a fresh mapping; once, at the start. */
double hkm_measure_fault_ns(void);

/* The weight of idle memory for a goal (the index of HAKMEM_GOAL's choice). */
double hkm_lambda(unsigned goal);

/* Fills *window with what happened from *before to *after. */
void hkm_period_between(const struct hkm_totals *before, const struct hkm_totals *after, const struct hkm_scale *scale,
			double lambda, struct hkm_period *window);

#endif
