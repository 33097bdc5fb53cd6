/* test_profile.c - profiles, the policy and the options fit together: every key has a range, which is that
 * of the option and that of the policy; the environment counts more than the profile; a process starts
 * from its profile. The text is test_profile_text.c's.
 */
#include "profiles.h"

#include <stdio.h>
#include <stdlib.h>

#include "core/options.h"

static unsigned key_of(const char *name)
{
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		if (strcmp(describe(key).name, name) == 0)
			return key;
	fail_msg("no key %s", name);
	return 0;
}

/* ---- Keys -------------------------------------------------------------------------- */

static void keys_have_names_of_their_own(void **state)
{
	(void)state;
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		struct hkm_profile_key description = describe(key);

		assert_true(description.low < description.high && description.unit[0] != '\0');
		assert_true(strlen(description.name) > 3);
		for (unsigned other = 0; other < key; other++)
			assert_string_not_equal(description.name, describe(other).name);
	}
	assert_int_equal(key_of("cache_blocks.1280"), hkm_profile_class_key(HKM_PROFILE_cache_blocks, 0));
	assert_int_equal(key_of("pool_spans.2097152"),
		hkm_profile_class_key(HKM_PROFILE_pool_spans, HKM_ACE_STATIC_CLASSES - 1));
	assert_int_equal(key_of("cache_blocks.dyn2"), hkm_profile_class_key(HKM_PROFILE_cache_blocks, HKM_DYN2));
	assert_int_equal(key_of("mid_dyn1"), HKM_PROFILE_mid_dyn1);
}

static void ranges_are_those_of_the_options(void **state)
{
	(void)state;
#define HKM_OPTION_UINT(option, environment, standard, minimum, maximum, ...) \
	for (unsigned key = 0; key < HKM_PROFILE_FIELDS; key++) \
		if (strcmp(describe(key).name, #option) == 0) { \
			assert_true(describe(key).low == (minimum) && describe(key).high == (maximum)); \
			assert_false(describe(key).thousandths); \
		}
#define HKM_OPTION_REAL(option, environment, standard, minimum, maximum, ...) \
	for (unsigned key = 0; key < HKM_PROFILE_FIELDS; key++) \
		if (strcmp(describe(key).name, #option) == 0) { \
			assert_true(describe(key).low == (minimum) && describe(key).high == (maximum)); \
			assert_true(describe(key).thousandths); \
		}
#include "core/options.def"
}

/* The policy's own clamps and the ranges of the keys are the same: a bound is published as it is. Sizes of
 * dynamic classes are rounded, and dropped where a static class has them. */
ISOLATED(policies_take_every_value_that_profiles_accept)
{
	hkm_policy_start();
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		for (unsigned high = 0; high < 2; high++) {
			uint64_t bound = high ? describe(key).high : describe(key).low;
			struct hkm_profile profile = { 0 }, published = { 0 };
			struct hkm_policy policy;

			if (key == HKM_PROFILE_mid_dyn1 || key == HKM_PROFILE_mid_dyn2)
				bound = high ? 30000 : 0;
			hkm_policy_copy(&policy);
			hkm_profile_set(&profile, key, bound, 1);
			hkm_profile_apply(&profile, &policy);
			require(hkm_policy_replace(&policy) != 0, "no memory");
			hkm_policy_copy(&policy);
			hkm_profile_from_policy(&published, &policy, 1);
			require(published.values[key].value == bound, "%s = %zu is published as %zu",
				describe(key).name, (size_t)bound, (size_t)published.values[key].value);
			if (key == HKM_PROFILE_mid_dyn1 && high) { /* the two must differ */
				policy.dynamic_size[0] = 0;
				hkm_policy_replace(&policy);
			}
		}
}

static void applying_changes_what_is_present_and_nothing_else(void **state)
{
	struct hkm_policy policy = { .generation = 7, .hot_blocks = 300, .hot_bytes = 5000, .wmax_mid = 1200 };
	struct hkm_profile profile = { 0 }, all = { 0 };

	(void)state;
	hkm_profile_set(&profile, HKM_PROFILE_hot_blocks, 1, 1);
	hkm_profile_set(&profile, HKM_PROFILE_dirty_bytes, (uint64_t)1 << 40, 1);
	hkm_profile_set(&profile, hkm_profile_class_key(HKM_PROFILE_cache_blocks, 1), 9, 1);
	hkm_profile_set(&profile, HKM_PROFILE_mid_dyn2, 5200, 1);
	hkm_profile_apply(&profile, &policy);
	assert_true(policy.generation == 7 && policy.hot_blocks == 1 && policy.hot_bytes == 5000);
	assert_true(policy.wmax_mid == 1200 && policy.dirty_bytes == (uint64_t)1 << 40);
	assert_true(policy.cache_blocks[0] == 0 && policy.cache_blocks[1] == 9 && policy.cache_blocks[2] == 0);
	assert_true(policy.dynamic_size[0] == 0 && policy.dynamic_size[1] == 5200);
	hkm_profile_from_policy(&all, &policy, 3);
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		assert_true(all.values[key].present && all.values[key].weight == 3);
		if (profile.values[key].present)
			assert_int_equal(all.values[key].value, profile.values[key].value);
	}
}

static void values_that_are_set_are_clamped(void **state)
{
	struct hkm_profile profile = { 0 };

	(void)state;
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		hkm_profile_set(&profile, key, UINT64_MAX, UINT64_MAX);
		assert_int_equal(profile.values[key].value, describe(key).high);
		assert_int_equal(profile.values[key].weight, HKM_PROFILE_MOST);
		hkm_profile_set(&profile, key, 0, 0);
		assert_int_equal(profile.values[key].value, describe(key).low);
	}
	assert_true(is_legal(&profile));
}

ISOLATED(options_in_the_environment_count_more)
{
	struct hkm_profile profile = { 0 };
	unsigned mid = hkm_profile_class_key(HKM_PROFILE_cache_blocks, 0);
	unsigned large = hkm_profile_class_key(HKM_PROFILE_pool_spans, HKM_MID_CLASSES);
	unsigned dyn1 = hkm_profile_class_key(HKM_PROFILE_cache_blocks, HKM_DYN1);
	unsigned dyn2 = hkm_profile_class_key(HKM_PROFILE_cache_blocks, HKM_DYN2);

	setenv("HAKMEM_HOT_BLOCKS", "7", 1);
	setenv("HAKMEM_MID_DYN1", "5200", 1);
	setenv("HAKMEM_LARGE_CACHE_BYTES", "1M", 1);
	hkm_options_read();
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		hkm_profile_set(&profile, key, 5, 1);
	hkm_profile_yield_to_options(&profile);
	require(!profile.values[HKM_PROFILE_hot_blocks].present, "HAKMEM_HOT_BLOCKS counts less");
	require(!profile.values[HKM_PROFILE_mid_dyn1].present && !profile.values[dyn1].present,
		"HAKMEM_MID_DYN1 counts less");
	require(!profile.values[large].present, "HAKMEM_LARGE_CACHE_BYTES counts less");
	require(profile.values[HKM_PROFILE_hot_bytes].present && profile.values[HKM_PROFILE_mid_dyn2].present &&
		profile.values[mid].present && profile.values[dyn2].present, "options that are not given count");
	require(is_legal(&profile), "not legal");
}

/* ---- The process -------------------------------------------------------------------- */

/* Makes the process's first allocation on a profile, and its last words; errno must not change. */
static void start_on(const char *text, const char *out)
{
	char path[] = "/tmp/hakmem-profile-XXXXXX";
	int file = mkstemp(path);

	require(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text), "temporary file");
	close(file);
	setenv("HAKMEM_PROFILE", path, 1);
	setenv("HAKMEM_PROFILE_OUT", out, 1);
	errno = 1234;
	hkm_free(hkm_malloc(100));
	require(errno == 1234, "reading a profile set errno to %d", errno);
	hkm_profile_at_exit();
	require(errno == 1234, "writing a profile set errno to %d", errno);
	unlink(path);
}

ISOLATED(a_process_starts_from_its_profile)
{
	struct hkm_policy policy;

	start_on(HEADER "hot_blocks = 100\nmid_dyn2 = 5200\n", "/dev/null");
	hkm_policy_copy(&policy);
	require(hkm_profile_loaded() && policy.hot_blocks == 100 && policy.dynamic_size[1] == 5200 &&
		policy.hot_bytes == hkm_options.hot_bytes, "the profile is not used");
}

ISOLATED(a_process_starts_without_a_bad_profile)
{
	struct hkm_policy policy;

	require(freopen("/dev/null", "w", stderr) != NULL, "/dev/null");
	start_on(HEADER "hot_blocks = 100\nmid_dyn2 = 40000\n", "/no/where");
	hkm_policy_copy(&policy);
	require(!hkm_profile_loaded() && policy.hot_blocks == hkm_options.hot_blocks && policy.generation == 1,
		"a bad profile is used");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keys_have_names_of_their_own),
		cmocka_unit_test(ranges_are_those_of_the_options),
		cmocka_unit_test(policies_take_every_value_that_profiles_accept),
		cmocka_unit_test(applying_changes_what_is_present_and_nothing_else),
		cmocka_unit_test(values_that_are_set_are_clamped),
		cmocka_unit_test(options_in_the_environment_count_more),
		cmocka_unit_test(a_process_starts_from_its_profile),
		cmocka_unit_test(a_process_starts_without_a_bad_profile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
