/* profiles.h - what the tests of profiles share: legal profiles, and comparing them. */
#ifndef HAKMEM_TESTS_PROFILES_H
#define HAKMEM_TESTS_PROFILES_H

#include "unit.h"

#include "learn/profile.h"

#define HEADER "hakmem-profile 1\n"

static inline struct hkm_profile_key describe(unsigned key)
{
	struct hkm_profile_key description;

	hkm_profile_describe(key, &description);
	return description;
}

static inline bool same_value(const struct hkm_profile_value *one, const struct hkm_profile_value *other)
{
	return one->present == other->present && one->value == other->value && one->weight == other->weight;
}

static inline bool same(const struct hkm_profile *one, const struct hkm_profile *other)
{
	bool equal = one->windows == other->windows && strcmp(one->goal, other->goal) == 0;

	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		equal = equal && same_value(&one->values[key], &other->values[key]);
	return equal;
}

static inline bool is_legal(const struct hkm_profile *profile)
{
	bool legal = profile->windows <= HKM_PROFILE_MOST &&
		memchr(profile->goal, '\0', sizeof profile->goal) != NULL;

	for (const char *letter = profile->goal; legal && *letter != '\0'; letter++)
		legal = *letter >= 'a' && *letter <= 'z';
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		const struct hkm_profile_value *value = &profile->values[key];
		struct hkm_profile_key description = describe(key);

		if (value->present)
			legal = legal && value->value >= description.low && value->value <= description.high &&
				value->weight <= HKM_PROFILE_MOST;
		else
			legal = legal && value->value == 0 && value->weight == 0;
	}
	return legal;
}

#endif /* HAKMEM_TESTS_PROFILES_H */
