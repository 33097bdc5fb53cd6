/* policy.h - the FrozenPolicy: every number that a slow path consults, in one immutable snapshot.
 *
 * A slow path calls hkm_policy_read once, under its reader (a heap, or the guest), and uses that
 * snapshot throughout. hkm_policy_replace replaces it. Any snapshot whose values lie in the ranges
 * of options.def is safe: a policy is advice, and correctness never hangs on it.
 *
 * Grace period. A reader is "inside" while its lock is held. The publisher swaps the pointer and then
 * looks at each reader: whoever is outside will load the new pointer when it next enters (both sides
 * use seq_cst: reader lock -> load pointer, publisher store pointer -> load lock), and whoever is
 * inside says in `seen` which generation it has loaded. A retired snapshot is reused once no reader
 * inside can hold it. Nobody waits. (Quiescent-state reclamation, McKenney and Slingwine 1998; here
 * "outside" is an extended quiescent state.)
 *
 * Included by the layers' slow paths; never by api/fast.h.
 */
#ifndef HKM_POLICY_H
#define HKM_POLICY_H

#include "base/lock.h"
#include "core/sizeclass.h"

/* Slots of a thread cache, the bound of the two capacities below. */
#define HKM_MID_SLOTS 32
#define HKM_LARGE_SLOTS 8

struct hkm_policy {
	uint64_t generation;        /* 1, 2, ...: set by hkm_policy_replace */
	struct hkm_policy *retired; /* list of retired snapshots; publisher only */

	/* L0 */
	uint32_t refill_blocks;     /* most blocks carved at once */
	uint32_t refill_bytes;      /* most bytes carved at once */
	uint32_t hot_blocks;        /* hot list: most blocks of a class */
	uint32_t hot_bytes;         /* hot list: most bytes of a class */
	uint32_t remote_blocks;     /* blocks in a message to another thread */
	uint32_t remote_bytes;      /* bytes in it */
	uint32_t empty_slabs;       /* empty slabs a heap keeps */

	/* L1 */
	uint16_t cache_blocks[HKM_ACE_CLASSES]; /* thread cache capacity per class */
	uint64_t cache_bytes;       /* all thread caches together, if cache_share is less */
	uint32_t cache_share;       /* all thread caches together, thousandths of the memory held */
	uint32_t cache_start;       /* bytes of an L1 class in a thread's cache at first */
	uint16_t pool_spans[HKM_ACE_CLASSES];   /* empty spans a shared pool keeps per class */
	uint32_t budget_mid;        /* empty Mid spans in all pools together */
	uint32_t budget_large;      /* free Large spans in all pools together */
	uint32_t wmax_mid;          /* thousandths */
	uint32_t wmax_large;        /* thousandths */
	uint32_t dynamic_size[2];   /* block size of DYN1 and DYN2, multiples of 16; 0: none */

	/* L2 */
	uint64_t big_cache_bytes;   /* freed mappings kept */
	uint32_t big_surplus;       /* thousandths: size of a kept mapping / size of a request */
	uint64_t thp_threshold;     /* bytes from which mappings ask for huge pages; 0: none does */
	uint32_t fault_ahead;       /* bytes of a fresh superslab that are made resident at once; 0: none */

	/* Purging */
	uint32_t purge_delay_ms;
	uint64_t dirty_bytes;       /* free resident memory that is purged at once beyond this */
};

/* One who may hold a snapshot. */
struct hkm_reader {
	struct hkm_lock lock;     /* held while inside a slow path */
	bool registered;
	_Atomic uint64_t seen;    /* generation loaded by whoever is inside; written by it */
	struct hkm_reader *next;  /* all readers ever; constant once linked */
};

/* The current snapshot. The caller holds reader->lock, and may use the result until it lets go. */
const struct hkm_policy *hkm_policy_read(struct hkm_reader *reader);

/* Makes a copy of *policy the current snapshot, with the next generation number; values outside their
 * range in options.def are clamped. Any thread; takes the policy lock.
 * Result: the new generation, or 0 if there was no memory for a copy (nothing changes then). */
uint64_t hkm_policy_replace(const struct hkm_policy *policy);

/* The same, if the policy in force is of generation `expected`; otherwise 0, and nothing is done. */
uint64_t hkm_policy_replace_if(const struct hkm_policy *policy, uint64_t expected);

/* Copies the current snapshot, to change and publish it. */
void hkm_policy_copy(struct hkm_policy *copy);

/* The policy that the options describe; called once, before any reader exists. */
void hkm_policy_start(void);

/* Makes a reader known to publishers; once in a reader's life, before it first enters. Waits for nobody. */
void hkm_policy_register(struct hkm_reader *reader);

/* The reader for threads without a heap (a free at the very end of a thread). */
extern struct hkm_reader hkm_guest;

/* Snapshots that wait for their grace period, and snapshots allocated; for tests. */
size_t hkm_policy_retired_count(void);

/* Debug: asserts that the policy in force is a legal one, and that no snapshot is in two places. Takes the policy lock. */
void hkm_policy_check(void);

/* Guards publishing, the retired and the spare snapshots. */
extern struct hkm_lock hkm_policy_lock;

#endif
