/* range.h - L2's ranges of whole pages, and the orders in which they are found.
 *
 * Every range that is known stands in the order by address: live blocks, kept ones, and those whose thread is about to keep
 * them. A kept range stands in two more: by size for the best fit, by age for what goes first. Each order is a treap, a
 * binary search tree by key that is a heap by a random number: whatever the program does, a look, an insertion and a
 * removal take a number of steps that grows with the logarithm of the number of ranges.
 *
 * The system may refuse to unmap a range, as that would leave more mappings than a process may have. Its memory goes then, and
 * it is kept as an empty one, which no bound counts and no age gives back.
 *
 * No two kept ranges touch. Everything here is guarded by hkm_big_lock, but for the counters, which anyone reads.
 */
#ifndef HKM_BIG_RANGE_H
#define HKM_BIG_RANGE_H

#include "base/base.h"
#include "sites/rules.h"

enum hkm_big_order { HKM_BY_START, HKM_BY_SIZE, HKM_BY_AGE, HKM_BIG_ORDERS };

enum hkm_big_state {
	HKM_RANGE_OUT,  /* in no order: its thread maps, moves or unmaps it */
	HKM_RANGE_LIVE, /* a block */
	HKM_RANGE_BUSY, /* freed a moment ago; its thread makes it ordinary memory again */
	HKM_RANGE_KEPT,
};

#define HKM_EMPTY UINT64_MAX

struct hkm_big_range {
	char *start;
	size_t size;            /* bytes */
	hkm_hints hints;        /* of the call that allocated it, while live */
	uint64_t age;           /* while kept: a lower one was freed earlier */
	uint64_t kept_since_ms; /* while kept; HKM_EMPTY, as the age is: nothing of it is resident */
	uint32_t priority;      /* in the trees */
	enum hkm_big_state state;
	struct hkm_big_links {
		struct hkm_big_range *left, *right;
	} links[HKM_BIG_ORDERS];
};
HKM_STATIC_ASSERT(sizeof(struct hkm_big_range) <= 128, "metadata comes in powers of two");

/* A range on no list and in no order; NULL: no memory. The second may be called under hkm_big_lock or not. */
struct hkm_big_range *hkm_range_new(void);
void hkm_range_delete(struct hkm_big_range *range);

/* ---- Orders (tree.c). By size and by age, the address decides between equals. ---- */

void hkm_ranges_insert(enum hkm_big_order order, struct hkm_big_range *range);
void hkm_ranges_remove(enum hkm_big_order order, struct hkm_big_range *range);

/* The last range below, or the first one not below, the place where one with this size, or age, and address would stand; by
 * start, `value` is the address, too. NULL: none. */
struct hkm_big_range *hkm_ranges_below(enum hkm_big_order order, uint64_t value, uintptr_t start);
struct hkm_big_range *hkm_ranges_from(enum hkm_big_order order, uint64_t value, uintptr_t start);

/* Nodes looked at so far; counted in the debug build only. */
extern uint64_t hkm_ranges_steps;

/* The debug build's validator asserts that the trees are what they should be; result: the ranges in one. */
size_t hkm_ranges_check(enum hkm_big_order order);

/* ---- By address ---- */

/* The range that starts at `start`; NULL: none. */
static inline struct hkm_big_range *hkm_range_at(const void *start)
{
	struct hkm_big_range *range = hkm_ranges_from(HKM_BY_START, (uintptr_t)start, (uintptr_t)start);
	return range != NULL && range->start == start ? range : NULL;
}

/* The range that `address` lies in; NULL: none. */
static inline struct hkm_big_range *hkm_range_around(const void *address)
{
	struct hkm_big_range *range = hkm_ranges_below(HKM_BY_START, (uintptr_t)address + 1, 0);
	return range != NULL && (size_t)((const char *)address - range->start) < range->size ? range : NULL;
}

#endif
