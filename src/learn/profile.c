/* profile.c - see profile.h. Keys and files; the text is in profile_text.c. */
#include "learn/profile.h"

#include <errno.h>
#include <string.h>

#include "core/options.h"
#include "core/report.h"
#include "core/text.h"
#include "learn/service.h"
#include "os/os.h"

/* ---- Keys -------------------------------------------------------------------------------------------------- */

/* The options that are numbers; of the others nothing but their places. */
static const struct {
	const char *name, *unit;
	uint64_t low, high;
	bool thousandths;
} bounds[HKM_OPTIONS] = {
#define HKM_OPTION_UINT(name, environment, standard, low, high, unit, meaning) \
	[HKM_OPTION_##name] = { #name, unit, low, high, false },
#define HKM_OPTION_REAL(name, environment, standard, low, high, unit, meaning) \
	[HKM_OPTION_##name] = { #name, unit, low, high, true },
#include "core/options.def"
};

static const struct field {
	enum hkm_option option;
	uint16_t offset, size; /* of the member of struct hkm_policy */
} fields[HKM_PROFILE_FIELDS] = {
#define HKM_POLICY_FIELD(option, member) \
	{ HKM_OPTION_##option, offsetof(struct hkm_policy, member), sizeof(((struct hkm_policy *)0)->member) },
#include "policy/fields.def"
};

static const struct {
	const char *name, *unit;
	uint16_t offset;
	uint16_t mid, large; /* most for a class */
} arrays[HKM_PROFILE_ARRAYS] = {
#define HKM_POLICY_CLASSES(member, unit, mid, large) { #member, unit, offsetof(struct hkm_policy, member), mid, large },
#include "policy/fields.def"
};
#define HKM_POLICY_CLASSES(member, ...) \
	HKM_STATIC_ASSERT(sizeof(((struct hkm_policy *)0)->member) == HKM_ACE_CLASSES * sizeof(uint16_t), "by class");
#include "policy/fields.def"

static bool is_large(unsigned class)
{
	return class >= HKM_MID_CLASSES && class < HKM_ACE_STATIC_CLASSES;
}

void hkm_profile_describe(unsigned key, struct hkm_profile_key *description)
{
	HKM_ASSERT(key < HKM_PROFILE_KEYS);
	struct hkm_text name = { .buffer = description->name, .capacity = sizeof description->name, .descriptor = -1 };
	if (key < HKM_PROFILE_FIELDS) {
		enum hkm_option option = fields[key].option;
		hkm_text_put(&name, "%s", bounds[option].name);
		description->unit = bounds[option].unit;
		description->low = bounds[option].low;
		description->high = bounds[option].high;
		description->thousandths = bounds[option].thousandths;
	} else {
		unsigned array = (key - HKM_PROFILE_FIELDS) / HKM_ACE_CLASSES;
		unsigned class = (key - HKM_PROFILE_FIELDS) % HKM_ACE_CLASSES;
		if (class < HKM_ACE_STATIC_CLASSES)
			hkm_text_put(&name, "%s.%u", arrays[array].name, hkm_ace_static_size(class));
		else
			hkm_text_put(&name, "%s.dyn%u", arrays[array].name, class - HKM_DYN1 + 1);
		description->unit = arrays[array].unit;
		description->low = 0;
		description->high = is_large(class) ? arrays[array].large : arrays[array].mid;
		description->thousandths = false;
	}
	hkm_text_finish(&name);
	HKM_ASSERT(name.total < sizeof description->name);
}

void hkm_profile_set(struct hkm_profile *profile, unsigned key, uint64_t value, uint64_t weight)
{
	struct hkm_profile_key description;
	hkm_profile_describe(key, &description);
	profile->values[key] = (struct hkm_profile_value){
		.value = hkm_max(description.low, hkm_min(description.high, value)),
		.weight = hkm_min(weight, HKM_PROFILE_MOST),
		.present = true,
	};
}

/* ---- The policy ---------------------------------------------------------------------------------------------- */

/* Where a key's number lies in a policy, and its size in bytes. */
static size_t place_of(unsigned key, size_t *size)
{
	if (key < HKM_PROFILE_FIELDS) {
		*size = fields[key].size;
		return fields[key].offset;
	}
	*size = sizeof(uint16_t);
	return arrays[(key - HKM_PROFILE_FIELDS) / HKM_ACE_CLASSES].offset +
	       (key - HKM_PROFILE_FIELDS) % HKM_ACE_CLASSES * sizeof(uint16_t);
}

static uint64_t load_number(const void *place, size_t size)
{
	if (size == sizeof(uint16_t))
		return *(const uint16_t *)place;
	return size == sizeof(uint32_t) ? *(const uint32_t *)place : *(const uint64_t *)place;
}

static void store_number(void *place, size_t size, uint64_t value)
{
	if (size == sizeof(uint16_t))
		*(uint16_t *)place = (uint16_t)value;
	else if (size == sizeof(uint32_t))
		*(uint32_t *)place = (uint32_t)value;
	else
		*(uint64_t *)place = value;
	HKM_ASSERT(load_number(place, size) == value);
}

void hkm_profile_apply(const struct hkm_profile *profile, struct hkm_policy *policy)
{
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		size_t size, offset = place_of(key, &size);
		if (profile->values[key].present)
			store_number((char *)policy + offset, size, profile->values[key].value);
	}
}

void hkm_profile_from_policy(struct hkm_profile *profile, const struct hkm_policy *policy, uint64_t weight)
{
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		size_t size, offset = place_of(key, &size);
		hkm_profile_set(profile, key, load_number((const char *)policy + offset, size), weight);
	}
}

/* Whether an option in the environment decides the capacities of an L1 class. */
static bool class_is_given(unsigned class)
{
	return hkm_option_given[is_large(class) ? HKM_OPTION_large_cache_bytes : HKM_OPTION_mid_cache_bytes] ||
	       (class == HKM_DYN1 && hkm_option_given[HKM_OPTION_mid_dyn1]) ||
	       (class == HKM_DYN2 && hkm_option_given[HKM_OPTION_mid_dyn2]);
}

void hkm_profile_yield_to_options(struct hkm_profile *profile)
{
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		if (key < HKM_PROFILE_FIELDS ? hkm_option_given[fields[key].option] :
					       class_is_given((key - HKM_PROFILE_FIELDS) % HKM_ACE_CLASSES))
			profile->values[key] = (struct hkm_profile_value){ 0 };
}

/* ---- Files --------------------------------------------------------------------------------------------------- */

/* A buffer for a file and a byte more; whole pages. */
static size_t buffer_bytes(void)
{
	return hkm_align_up(HKM_PROFILE_FILE_BYTES + 1, hkm_os_page_size());
}

bool hkm_profile_load(const char *variable, const char *path, struct hkm_profile *profile)
{
	char error[HKM_PROFILE_ERROR_BYTES];
	bool good = false;
	*profile = (struct hkm_profile){ 0 };
	char *buffer = hkm_os_map(buffer_bytes());
	if (buffer == NULL) {
		hkm_warn("%s%s: cannot be read: %s; not used", variable, path, hkm_error_text(ENOMEM));
		return false;
	}
	int64_t length = hkm_os_read_file(path, buffer, HKM_PROFILE_FILE_BYTES + 1);
	if (length < 0)
		hkm_warn("%s%s: cannot be read: %s; not used", variable, path, hkm_error_text((int)-length));
	else if (length > (int64_t)HKM_PROFILE_FILE_BYTES)
		hkm_warn("%s%s: more than %zu bytes; not used", variable, path, HKM_PROFILE_FILE_BYTES);
	else if (hkm_profile_parse(buffer, (size_t)length, profile, error))
		good = true;
	else
		hkm_warn("%s%s:%s; not used", variable, path, error);
	hkm_os_unmap(buffer, buffer_bytes(), false);
	return good;
}

void hkm_profile_write_file(const struct hkm_profile *profile, const char *path)
{
	char *buffer = hkm_os_map(buffer_bytes());
	size_t length = buffer == NULL ? 0 : hkm_profile_write(profile, buffer, buffer_bytes());
	HKM_ASSERT(length <= HKM_PROFILE_FILE_BYTES);
	int error = length == 0 ? ENOMEM : hkm_os_write_file(path, buffer, length);
	if (error != 0 && !hkm_output_refused.profile_out)
		hkm_warn_unwritten("HAKMEM_PROFILE_OUT", path, error);
	if (buffer != NULL)
		hkm_os_unmap(buffer, buffer_bytes(), false);
}

/* ---- Start and exit of the process ----------------------------------------------------------------------------- */

static bool loaded; /* written while the process starts, read afterwards */

void hkm_profile_start(void)
{
	struct hkm_profile profile;
	struct hkm_policy policy;
	if (hkm_options.profile[0] == '\0' || !hkm_profile_load("HAKMEM_PROFILE=", hkm_options.profile, &profile))
		return;
	hkm_profile_yield_to_options(&profile);
	hkm_policy_copy(&policy);
	hkm_profile_apply(&profile, &policy);
	loaded = hkm_policy_replace(&policy) != 0;
}

bool hkm_profile_loaded(void)
{
	return loaded;
}

void hkm_profile_at_exit(void)
{
	struct hkm_profile profile = { 0 };
	struct hkm_policy policy;
	char path[HKM_OPTION_TEXT_BYTES + 32];
	if (hkm_options.profile_out[0] == '\0')
		return;
	profile.windows = hkm_service_learned(&policy);
	if (profile.windows > 0)
		memcpy(profile.goal, hkm_service_goal(), strlen(hkm_service_goal()) + 1);
	hkm_profile_from_policy(&profile, &policy, profile.windows);
	hkm_text_expand_path(hkm_options.profile_out, path, sizeof path);
	hkm_profile_write_file(&profile, path);
}
