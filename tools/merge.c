/* merge.c - see merge.h. */
#include "merge.h"

#include <stdlib.h>
#include <string.h>

#include "command.h"

/* What the profiles say of one key. */
struct votes {
	struct hkm_profile_value *values;
	size_t count;
};

static void add_vote(struct votes *votes, struct hkm_profile_value value)
{
	if (value.present)
		votes->values[votes->count++] = value;
}

static int by_value(const void *one, const void *other)
{
	uint64_t a = ((const struct hkm_profile_value *)one)->value, b = ((const struct hkm_profile_value *)other)->value;
	return (a > b) - (a < b);
}

/* No overflow: weights are at most HKM_PROFILE_MOST, and there are fewer than 2^23 files. */
static uint64_t total_weight(const struct votes *votes)
{
	uint64_t total = 0;
	for (size_t i = 0; i < votes->count; i++)
		total += votes->values[i].weight;
	return total;
}

/* Sorts the votes; result: the weight of each if they have none, else 0. */
static uint64_t settle(struct votes *votes, uint64_t *total)
{
	qsort(votes->values, votes->count, sizeof votes->values[0], by_value);
	*total = total_weight(votes);
	uint64_t equal = *total == 0;
	*total += equal * votes->count;
	return equal;
}

static uint64_t median(struct votes *votes)
{
	uint64_t total, sum = 0, equal = settle(votes, &total);
	size_t at = 0;
	while (sum += votes->values[at].weight + equal, sum < total - total / 2)
		at++;
	return votes->values[at].value;
}

/* The value that has the most weight, 0 and `except` apart; 0: there is none. */
static uint64_t elect(struct votes *votes, uint64_t except)
{
	uint64_t total, most = 0, elected = 0, equal = settle(votes, &total);
	for (size_t at = 0; at < votes->count;) {
		uint64_t value = votes->values[at].value, sum = 0;
		for (; at < votes->count && votes->values[at].value == value; at++)
			sum += votes->values[at].weight + equal;
		if (value != 0 && value != except && sum > most) {
			most = sum;
			elected = value;
		}
	}
	return elected;
}

static void set_if_any(struct hkm_profile *merged, unsigned key, struct votes *votes)
{
	if (votes->count > 0)
		hkm_profile_set(merged, key, median(votes), total_weight(votes));
}

/* ---- Dynamic classes ----------------------------------------------------------------------------------- */

static const unsigned size_keys[2] = { HKM_PROFILE_mid_dyn1, HKM_PROFILE_mid_dyn2 };

static bool is_dynamic(unsigned key)
{
	return key == size_keys[0] || key == size_keys[1] ||
	       (key >= HKM_PROFILE_FIELDS && (key - HKM_PROFILE_FIELDS) % HKM_ACE_CLASSES >= HKM_DYN1);
}

/* Adds what a profile's slots of that size say of a capacity; "none", size 0, is said once. Result: whether there is
 * such a slot; *weight: the weights of their sizes are added to it. */
static bool add_slots(const struct hkm_profile *profile, unsigned slot, uint64_t size, unsigned array,
	struct votes *votes, uint64_t *weight)
{
	bool held = false;
	for (unsigned i = 0; i < 2 && !(held && size == 0); i++) {
		unsigned from = slot ^ i;
		const struct hkm_profile_value *of_slot = &profile->values[size_keys[from]];
		if (!of_slot->present || of_slot->value != size)
			continue;
		held = true;
		*weight += of_slot->weight;
		add_vote(votes, profile->values[hkm_profile_class_key(array, HKM_DYN1 + from)]);
	}
	return held;
}

/* Sets slot `slot` to `size`, with the capacities of the slots that have this size; if none has it, nothing. */
static void merge_slot(const struct hkm_profile *profiles, size_t count, unsigned slot, uint64_t size,
	struct votes *votes, struct hkm_profile *merged)
{
	uint64_t weight = 0;
	bool held = false;
	for (unsigned array = 0; array < HKM_PROFILE_ARRAYS; array++) {
		votes->count = 0;
		weight = 0;
		for (size_t i = 0; i < count; i++)
			held |= add_slots(&profiles[i], slot, size, array, votes, &weight);
		set_if_any(merged, hkm_profile_class_key(array, HKM_DYN1 + slot), votes);
	}
	if (held)
		hkm_profile_set(merged, size_keys[slot], size, weight);
}

static void merge_dynamic(const struct hkm_profile *profiles, size_t count, struct votes *votes,
	struct hkm_profile *merged)
{
	uint64_t elected = 0;
	for (unsigned slot = 0; slot < 2; slot++) {
		votes->count = 0;
		for (size_t i = 0; i < 2 * count; i++)
			add_vote(votes, profiles[i / 2].values[size_keys[i % 2]]);
		if (votes->count == 0)
			return;
		elected = elect(votes, elected);
		merge_slot(profiles, count, slot, elected, votes, merged);
	}
}

/* ---- All keys -------------------------------------------------------------------------------------------- */

void merge_profiles(const struct hkm_profile *profiles, size_t count, struct hkm_profile *merged)
{
	struct votes votes = { calloc(2 * count, sizeof(struct hkm_profile_value)), 0 };
	if (votes.values == NULL)
		fail(EXIT_WRONG_USE, "out of memory");
	*merged = (struct hkm_profile){ 0 };
	for (size_t i = 0; i < count; i++) {
		merged->windows = hkm_min(merged->windows + profiles[i].windows, HKM_PROFILE_MOST);
		if (profiles[i].goal[0] != '\0')
			memcpy(merged->goal, profiles[i].goal, sizeof merged->goal);
	}
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		votes.count = 0;
		for (size_t i = 0; i < count && !is_dynamic(key); i++)
			add_vote(&votes, profiles[i].values[key]);
		set_if_any(merged, key, &votes);
	}
	merge_dynamic(profiles, count, &votes, merged);
	free(votes.values);
}
