/* tree.c - the orders of ranges: one treap for each; see range.h. */
#include "big/range.h"

#include "core/meta.h"

static struct hkm_big_range *roots[HKM_BIG_ORDERS];
uint64_t hkm_ranges_steps;

static void step(void)
{
	if (HAKMEM_DEBUG)
		hkm_ranges_steps++;
}

/* Well-mixed bits of a number that differs between calls (the finalizer of splitmix64). */
static uint32_t next_priority(void)
{
	static _Atomic uint64_t counter;
	uint64_t bits = __atomic_add_fetch((uint64_t *)&counter, 0x9E3779B97F4A7C15u, __ATOMIC_RELAXED);
	bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9u;
	bits = (bits ^ bits >> 27) * 0x94D049BB133111EBu;
	return (uint32_t)(bits ^ bits >> 31);
}

struct hkm_big_range *hkm_range_new(void)
{
	struct hkm_big_range *range = hkm_meta_alloc(sizeof *range);
	if (range != NULL)
		range->priority = next_priority();
	return range;
}

void hkm_range_delete(struct hkm_big_range *range)
{
	hkm_meta_free(range, sizeof *range);
}

static uint64_t value_of(enum hkm_big_order order, const struct hkm_big_range *range)
{
	return order == HKM_BY_START ? (uintptr_t)range->start : order == HKM_BY_SIZE ? range->size : range->age;
}

/* Whether the range stands before the place of `value` and `start`. */
static bool is_before(enum hkm_big_order order, const struct hkm_big_range *range, uint64_t value, uintptr_t start)
{
	uint64_t own = value_of(order, range);
	return own < value || (own == value && (uintptr_t)range->start < start);
}

void hkm_ranges_insert(enum hkm_big_order order, struct hkm_big_range *range)
{
	uint64_t value = value_of(order, range);
	uintptr_t start = (uintptr_t)range->start;
	struct hkm_big_range **link = &roots[order], *rest;
	for (; (rest = *link) != NULL && rest->priority >= range->priority; step())
		link = is_before(order, rest, value, start) ? &rest->links[order].right : &rest->links[order].left;
	*link = range;
	/* What was there is split into what stands before the range and what behind. */
	struct hkm_big_range **before = &range->links[order].left, **behind = &range->links[order].right;
	for (; rest != NULL; step()) {
		if (is_before(order, rest, value, start)) {
			*before = rest;
			before = &rest->links[order].right;
			rest = *before;
		} else {
			*behind = rest;
			behind = &rest->links[order].left;
			rest = *behind;
		}
	}
	*before = *behind = NULL;
}

void hkm_ranges_remove(enum hkm_big_order order, struct hkm_big_range *range)
{
	uint64_t value = value_of(order, range);
	struct hkm_big_range **link = &roots[order];
	for (; *link != range; step()) {
		HKM_ASSERT(*link != NULL);
		bool before = is_before(order, *link, value, (uintptr_t)range->start);
		link = before ? &(*link)->links[order].right : &(*link)->links[order].left;
	}
	struct hkm_big_range *left = range->links[order].left, *right = range->links[order].right;
	for (; left != NULL && right != NULL; step()) {
		if (left->priority >= right->priority) {
			*link = left;
			link = &left->links[order].right;
			left = *link;
		} else {
			*link = right;
			link = &right->links[order].left;
			right = *link;
		}
	}
	*link = left != NULL ? left : right;
}

struct hkm_big_range *hkm_ranges_below(enum hkm_big_order order, uint64_t value, uintptr_t start)
{
	struct hkm_big_range *found = NULL, *range = roots[order];
	for (; range != NULL; step()) {
		bool before = is_before(order, range, value, start);
		found = before ? range : found;
		range = before ? range->links[order].right : range->links[order].left;
	}
	return found;
}

struct hkm_big_range *hkm_ranges_from(enum hkm_big_order order, uint64_t value, uintptr_t start)
{
	struct hkm_big_range *found = NULL, *range = roots[order];
	for (; range != NULL; step()) {
		bool before = is_before(order, range, value, start);
		found = before ? found : range;
		range = before ? range->links[order].right : range->links[order].left;
	}
	return found;
}

/* Of the part of a tree below `range`, all of which stands between `low` and `high` (NULL: no bound). */
static size_t check_part(enum hkm_big_order order, const struct hkm_big_range *range, const struct hkm_big_range *low,
			 const struct hkm_big_range *high)
{
	if (range == NULL)
		return 0;
	const struct hkm_big_links *links = &range->links[order];
	HKM_ASSERT(links->left == NULL || links->left->priority <= range->priority);
	HKM_ASSERT(links->right == NULL || links->right->priority <= range->priority);
	HKM_ASSERT(low == NULL || is_before(order, low, value_of(order, range), (uintptr_t)range->start));
	HKM_ASSERT(high == NULL || is_before(order, range, value_of(order, high), (uintptr_t)high->start));
	return 1 + check_part(order, links->left, low, range) + check_part(order, links->right, range, high);
}

size_t hkm_ranges_check(enum hkm_big_order order)
{
	return check_part(order, roots[order], NULL, NULL);
}
