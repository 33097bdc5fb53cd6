/* steer.c - the public way to the policy: hkm_policy_get and hkm_policy_publish (hakmem.h). */
#include <errno.h>
#include <string.h>

#include "api/api.h"
#include "hakmem.h"

HKM_STATIC_ASSERT(HKM_POLICY_CLASSES_COUNT == HKM_ACE_CLASSES, "the public number of classes is the library's");

/* Of the first version; later ones are longer. */
#define LEAST_SIZE sizeof(struct hkm_policy_values)

/* The members that are called the same on both sides. */
#define SAME(use) \
	use(refill_blocks) use(refill_bytes) use(hot_blocks) use(hot_bytes) use(remote_blocks) use(remote_bytes) \
	use(empty_slabs) use(budget_mid) use(budget_large) use(wmax_mid) use(wmax_large) use(big_surplus) \
	use(purge_delay_ms) use(cache_share) use(cache_bytes) use(big_cache_bytes) use(thp_threshold) \
	use(dirty_bytes)

static bool is_known(size_t size)
{
	return size >= LEAST_SIZE && size <= sizeof(struct hkm_policy_values);
}

static void to_values(const struct hkm_policy *policy, struct hkm_policy_values *values)
{
	values->generation = policy->generation;
#define COPY(member) values->member = policy->member;
	SAME(COPY)
#undef COPY
	values->mid_dyn1 = policy->dynamic_size[0];
	values->mid_dyn2 = policy->dynamic_size[1];
	memcpy(values->cache_blocks, policy->cache_blocks, sizeof values->cache_blocks);
	memcpy(values->pool_spans, policy->pool_spans, sizeof values->pool_spans);
}

static void from_values(const struct hkm_policy_values *values, struct hkm_policy *policy)
{
#define COPY(member) policy->member = values->member;
	SAME(COPY)
#undef COPY
	policy->dynamic_size[0] = values->mid_dyn1;
	policy->dynamic_size[1] = values->mid_dyn2;
	memcpy(policy->cache_blocks, values->cache_blocks, sizeof values->cache_blocks);
	memcpy(policy->pool_spans, values->pool_spans, sizeof values->pool_spans);
}

/* Whoever interrupts this thread meanwhile must not enter its heap: the policy's lock is held. */
static struct hkm_heap *guard(void)
{
	struct hkm_heap *heap = hkm_heap_get(); /* also starts the process */
	if (heap == NULL || !heap->enterable)
		return NULL;
	hkm_heap_guard(heap, true);
	return heap;
}

int hkm_policy_get(struct hkm_policy_values *values)
{
	struct hkm_policy policy;
	if (!is_known(values->size))
		return EINVAL;
	struct hkm_heap *heap = guard();
	hkm_policy_copy(&policy);
	if (heap != NULL)
		hkm_heap_guard(heap, false);
	to_values(&policy, values);
	return 0;
}

int hkm_policy_publish(const struct hkm_policy_values *values)
{
	struct hkm_policy policy;
	if (!is_known(values->size))
		return EINVAL;
	struct hkm_heap *heap = guard();
	hkm_policy_copy(&policy);
	from_values(values, &policy);
	uint64_t generation = hkm_policy_replace(&policy);
	if (heap != NULL)
		hkm_heap_guard(heap, false);
	return generation != 0 ? 0 : ENOMEM;
}
