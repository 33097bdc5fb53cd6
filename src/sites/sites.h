/* sites.h - what the user's rules (HAKMEM_SITES) say of a call site: the address that a call of malloc returns to.
 *
 *   table    hash from call site to hints: a word per site that was ever seen, with a rule or without, so that the
 *            answer is one probe. Fixed size; a word is written once and never changes.
 *   places   ranges of addresses that a rule means, found in the modules that are mapped. Consulted when a site is
 *            seen for the first time.
 *
 * The modules are read at start, and again when a new site lies in none of them (dlopen), a bounded number of times.
 * Hints are advice: whatever goes wrong here (no memory, a full table, another thread at it) means none.
 */
#ifndef HKM_SITES_H
#define HKM_SITES_H

#include "base/lock.h"
#include "core/sizeclass.h"
#include "sites/rules.h"

#define HKM_SITES_SLOTS 32768u
#define HKM_SITES_PROBES 16u
#define HKM_SITE_UNKNOWN (1u << HKM_HINT_BITS) /* no hints: the site is seen for the first time */

/* Written while the process starts, read by threads that have a heap; a line of cache that nobody writes afterwards. */
struct hkm_sites {
	_Alignas(64) bool in_use;   /* somebody wants to know the call site: rules are loaded, or blocks are sampled */
	bool sampling;
	size_t direct_sizes;        /* so many sizes above Tiny go to L1 unasked: all of L1's, or none while in use */
	_Atomic(uint64_t) *table;   /* NULL: no rules. site << HKM_HINT_BITS | hints; 0: free. Written under the lock;
	                             * relaxed suffices, as nothing is published but the word itself */
};
extern struct hkm_sites hkm_sites __attribute__((visibility("hidden")));

/* Guards places and modules, writing the table, and the samples. Nothing is taken under it. */
extern struct hkm_lock hkm_sites_lock;

/* Reads the rules and starts sampling, as the options say; a bad file gets one line on standard error, and is not used.
 * Once, while the process starts. Result: whether anything is in use. */
bool hkm_sites_start(void);

/* The hints for a site, which are kept in the table. The caller has made sure that no signal handler gets here. */
unsigned hkm_sites_resolve(const void *site);

/* The hints that the table has for a site, or HKM_SITE_UNKNOWN. Any thread. There are rules. */
static inline unsigned hkm_sites_find(const void *site)
{
	uintptr_t address = (uintptr_t)site;
	size_t slot = address * 0x9E3779B97F4A7C15u >> 49; /* 15 bits: Fibonacci hashing */
	HKM_STATIC_ASSERT(HKM_SITES_SLOTS == 1u << 15, "as many as the hash has values");
	for (unsigned i = 0; i < HKM_SITES_PROBES; i++) {
		uint64_t word = atomic_load_explicit(&hkm_sites.table[(slot + i) % HKM_SITES_SLOTS], memory_order_relaxed);
		if (word >> HKM_HINT_BITS == address)
			return (unsigned)(word & ((1u << HKM_HINT_BITS) - 1));
		if (word == 0)
			return HKM_SITE_UNKNOWN;
	}
	return 0; /* no room to note it */
}

#endif
