/* steer.c - the public way to the policy: hkm_policy_get and hkm_policy_publish (hakmem.h). */
#include <errno.h>
#include <string.h>

#include "api/api.h"
#include "hakmem.h"

HKM_STATIC_ASSERT(HKM_POLICY_CLASSES_COUNT == HKM_ACE_CLASSES, "the public number of classes is the library's");

/* Of the first version; later ones are longer. */
#define LEAST_SIZE sizeof(struct hkm_policy_values)

static bool is_known(size_t size)
{
	return size >= LEAST_SIZE && size <= sizeof(struct hkm_policy_values);
}

static void to_values(const struct hkm_policy *policy, struct hkm_policy_values *values)
{
	values->generation = policy->generation;
#define HKM_POLICY_FIELD(option, member) values->option = policy->member;
#define HKM_POLICY_CLASSES(member, ...) memcpy(values->member, policy->member, sizeof values->member);
#include "policy/fields.def"
}

static void from_values(const struct hkm_policy_values *values, struct hkm_policy *policy)
{
#define HKM_POLICY_FIELD(option, member) policy->member = values->option;
#define HKM_POLICY_CLASSES(member, ...) memcpy(policy->member, values->member, sizeof values->member);
#include "policy/fields.def"
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
