/* test_profile.c - profiles as text: what is written is read back the same, what is accepted is in
 * range, and what is not is refused whole, in one line; keys, policy and options fit together.
 *
 * Texts are parsed from blocks of exactly their length, so that AddressSanitizer sees a byte read
 * too much. The random tests have fixed seeds.
 */
#include "unit.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/options.h"
#include "learn/profile.h"

#define HEADER "hakmem-profile 1\n"
#define TEXT_BYTES 16384

static struct hkm_profile_key describe(unsigned key)
{
	struct hkm_profile_key description;

	hkm_profile_describe(key, &description);
	return description;
}

static unsigned key_of(const char *name)
{
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		if (strcmp(describe(key).name, name) == 0)
			return key;
	fail_msg("no key %s", name);
	return 0;
}

static bool same_value(const struct hkm_profile_value *one, const struct hkm_profile_value *other)
{
	return one->present == other->present && one->value == other->value && one->weight == other->weight;
}

static bool same(const struct hkm_profile *one, const struct hkm_profile *other)
{
	bool equal = one->windows == other->windows && strcmp(one->goal, other->goal) == 0;

	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		equal = equal && same_value(&one->values[key], &other->values[key]);
	return equal;
}

static bool is_legal(const struct hkm_profile *profile)
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

/* Parses, and checks what holds for every text: the result is legal, and a refusal leaves nothing
 * but a line of print that begins with the number of a line which the text has. */
static bool parse(const char *text, size_t length, struct hkm_profile *profile, char error[HKM_PROFILE_ERROR_BYTES])
{
	static const struct hkm_profile nothing;
	char *copy = malloc(length + (length == 0)), *end;
	size_t lines = 1;
	bool good;

	require(copy != NULL, "no memory");
	memcpy(copy, text, length);
	memset(error, 'x', HKM_PROFILE_ERROR_BYTES);
	memset(profile, 0xa5, sizeof *profile);
	good = hkm_profile_parse(copy, length, profile, error);
	free(copy);
	require(is_legal(profile), "what was accepted is not legal");
	require(memchr(error, '\0', HKM_PROFILE_ERROR_BYTES) != NULL, "the error has no end");
	if (good) {
		require(error[0] == '\0', "accepted, with \"%s\"", error);
		return true;
	}
	require(same(profile, &nothing), "refused, and yet something was taken");
	for (size_t i = 0; i < length; i++)
		lines += text[i] == '\n';
	require(strtoul(error, &end, 10) >= 1 && strtoul(error, NULL, 10) <= lines && strncmp(end, ": ", 2) == 0,
		"\"%s\" names no line of %zu", error, lines);
	for (const char *letter = error; *letter != '\0'; letter++)
		require(isprint((unsigned char)*letter), "\"%s\" is not one line of print", error);
	return false;
}

static void expect_accepted(const char *text, size_t length, struct hkm_profile *profile)
{
	char error[HKM_PROFILE_ERROR_BYTES];

	if (!parse(text, length, profile, error))
		fail_msg("\"%s\" is refused: %s", text, error);
}

static void expect_refused(const char *text, size_t length, const char *expected)
{
	char error[HKM_PROFILE_ERROR_BYTES];
	struct hkm_profile profile;

	if (parse(text, length, &profile, error))
		fail_msg("\"%s\" is accepted", text);
	if (strcmp(error, expected) != 0)
		fail_msg("\"%s\" is refused by \"%s\" instead of \"%s\"", text, error, expected);
}

/* A legal profile, now full, now nearly empty; its values often lie at their bounds. */
static void random_profile(struct random_source *source, struct hkm_profile *profile)
{
	static const char *const goals[] = { "", "latency", "balanced", "memory", "abcdefghijklmno" };
	size_t share = random_between(source, 0, 4);

	*profile = (struct hkm_profile){ .windows = random_between(source, 0, 100000) };
	strcpy(profile->goal, goals[random_between(source, 0, 4)]);
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		struct hkm_profile_key description = describe(key);
		size_t kind = random_between(source, 0, 3);
		uint64_t value = kind == 0 ? description.low : kind == 1 ? description.high :
			random_between(source, description.low, description.high);

		if (random_between(source, 1, 4) <= share)
			hkm_profile_set(profile, key, value, kind == 0 ? UINT64_MAX : random_between(source, 0, 5000));
	}
}

static size_t random_text(struct random_source *source, char *text)
{
	struct hkm_profile profile;
	size_t length;

	random_profile(source, &profile);
	length = hkm_profile_write(&profile, text, TEXT_BYTES);
	require(length < TEXT_BYTES, "a text of %zu bytes", length);
	return length;
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
			require(hkm_policy_publish(&policy) != 0, "no memory");
			hkm_policy_copy(&policy);
			hkm_profile_from_policy(&published, &policy, 1);
			require(published.values[key].value == bound, "%s = %zu is published as %zu",
				describe(key).name, (size_t)bound, (size_t)published.values[key].value);
			if (key == HKM_PROFILE_mid_dyn1 && high) { /* the two must differ */
				policy.dynamic_size[0] = 0;
				hkm_policy_publish(&policy);
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

/* ---- Texts ------------------------------------------------------------------------- */

static void what_is_written_is_read_back_the_same(void **state)
{
	struct random_source source = { 1 };
	char text[TEXT_BYTES], again[TEXT_BYTES];
	struct hkm_profile written, read;

	(void)state;
	for (unsigned round = 0; round < 1000; round++) {
		size_t length;

		random_profile(&source, &written);
		length = hkm_profile_write(&written, text, sizeof text);
		assert_true(length < sizeof text && strlen(text) == length);
		expect_accepted(text, length, &read);
		assert_true(same(&written, &read));
		assert_int_equal(hkm_profile_write(&read, again, sizeof again), length);
		assert_string_equal(text, again);
	}
}

static void writing_is_cut_to_the_buffer(void **state)
{
	struct random_source source = { 2 };
	char whole[TEXT_BYTES], part[TEXT_BYTES];
	struct hkm_profile profile;
	size_t length;

	(void)state;
	random_profile(&source, &profile);
	length = hkm_profile_write(&profile, whole, sizeof whole);
	for (size_t size = 0; size <= length + 2; size++) {
		memset(part, '~', sizeof part);
		assert_int_equal(hkm_profile_write(&profile, part, size), length);
		assert_true(part[size] == '~');
		if (size > 0)
			assert_true(strlen(part) < size && strncmp(part, whole, strlen(part)) == 0);
	}
}

#define EXPECT_ACCEPTED(text, profile) expect_accepted(text, sizeof(text) - 1, profile)
#define EXPECT_REFUSED(text, error) expect_refused(text, sizeof(text) - 1, error)

static void forms_that_are_accepted(void **state)
{
	struct hkm_profile profile;
	const struct hkm_profile_value *hot_bytes = &profile.values[HKM_PROFILE_hot_bytes];
	unsigned dyn1 = hkm_profile_class_key(HKM_PROFILE_cache_blocks, HKM_DYN1);

	(void)state;
	EXPECT_ACCEPTED(HEADER, &profile);
	assert_false(hot_bytes->present);
	EXPECT_ACCEPTED("hakmem-profile 1  # from a server\nhot_bytes = 4K\n", &profile);
	assert_true(hot_bytes->present && hot_bytes->value == 4096 && hot_bytes->weight == 0);
	EXPECT_ACCEPTED(HEADER "\n \t \n# hot_bytes = 1\n\t hot_bytes=1000 12 # twelve\n#\n", &profile);
	assert_true(hot_bytes->value == 1000 && hot_bytes->weight == 12);
	EXPECT_ACCEPTED(HEADER "wmax_mid = 1.75 2\ncache_blocks.dyn1 = 3\nwindows = 9\ngoal = memory\n", &profile);
	assert_int_equal(profile.values[HKM_PROFILE_wmax_mid].value, 1750);
	assert_int_equal(profile.values[dyn1].value, 3);
	assert_int_equal(profile.windows, 9);
	assert_string_equal(profile.goal, "memory");
}

static void line_ends(void **state)
{
	struct hkm_profile profile;

	(void)state;
	EXPECT_ACCEPTED("hakmem-profile 1\r\nhot_bytes = 1000 12\r\n\r\n# end\r\n", &profile);
	assert_int_equal(profile.values[HKM_PROFILE_hot_bytes].weight, 12);
	EXPECT_REFUSED("hakmem-profile 1\rhot_bytes = 1000\r",
		"1: hakmem-profile: no newline ends the line; was the file cut?");
	EXPECT_REFUSED(HEADER "hot_bytes = 1000\r\r\n", "2: hot_bytes: a control character; is this a text?");
	EXPECT_REFUSED(HEADER "hot_bytes = 1000", "2: hot_bytes: no newline ends the line; was the file cut?");
	EXPECT_REFUSED(HEADER "\n  # end", "3: #: no newline ends the line; was the file cut?");
}

static void headers(void **state)
{
	(void)state;
	EXPECT_REFUSED("", "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED("\n", "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED("hot_bytes = 1000\n", "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED("hakmem-profile\n", "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED("hakmem-profile 2\n", "1: expected 'hakmem-profile 1', not another version");
	EXPECT_REFUSED("hakmem-profile 1 1\n", "1: expected 'hakmem-profile 1', not another version");
	EXPECT_REFUSED("\n" HEADER, "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED("\xef\xbb\xbf" HEADER, "1: expected 'hakmem-profile 1'");
	EXPECT_REFUSED(HEADER HEADER, "2: hakmem-profile: expected KEY = VALUE [WEIGHT]");
}

static void bytes_that_are_no_text(void **state)
{
	(void)state;
	EXPECT_REFUSED(HEADER "hot_bytes = 1000\0\n", "2: hot_bytes: a control character; is this a text?");
	EXPECT_REFUSED(HEADER "hot_bytes\0 = 1000\n", "2: hot_bytes?: a control character; is this a text?");
	EXPECT_REFUSED(HEADER "hot_bytes = 1\0" "000 12\n", "2: hot_bytes: a control character; is this a text?");
	EXPECT_REFUSED(HEADER "\n# \0\n", "3: #: a control character; is this a text?");
	EXPECT_REFUSED("\0\n" HEADER, "1: ?: a control character; is this a text?");
	EXPECT_REFUSED(HEADER "hot_\xff = 1\n", "2: hot_?: no such key");
	EXPECT_REFUSED(HEADER "\x1b[31m = 1\n", "2: ?[31m: a control character; is this a text?");
}

static void keys_and_forms_that_are_refused(void **state)
{
	static const char *const unknown[] = { "hot_byte", "hot_bytess", "HOT_BYTES", "cache_blocks",
		"cache_blocks.", "cache_blocks.1281", "cache_blocks.01280", "cache_blocks.1280.", "cache_blocks.dyn3",
		"cache_blocks.dyn", "generation", "on_error", "stats", "mid_cache_bytes", "profile", ".", "-" };

	(void)state;
	for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
		char text[128], expected[128];

		sprintf(text, HEADER "hot_blocks = 9\n%s = 1\n", unknown[i]);
		sprintf(expected, "3: %s: no such key", unknown[i]);
		expect_refused(text, strlen(text), expected);
	}
	EXPECT_REFUSED(HEADER "hot_bytes\n", "2: hot_bytes: expected KEY = VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes 1000\n", "2: hot_bytes: expected KEY = VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "= 1000\n", "2: expected KEY = VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes =\n", "2: hot_bytes: expected VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes = # 1000\n", "2: hot_bytes: expected VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes = = 1000\n", "2: hot_bytes: expected VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes = 1000 1 1\n", "2: hot_bytes: expected VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "hot_bytes = 1000=1\n", "2: hot_bytes: expected VALUE [WEIGHT]");
	EXPECT_REFUSED(HEADER "windows = 5 5\n", "2: windows: expected one value");
	EXPECT_REFUSED(HEADER "goal = memory 1\n", "2: goal: expected one value");
	EXPECT_REFUSED(HEADER "goal = Memory\n", "2: goal: expected a word of at most 15 small letters");
	EXPECT_REFUSED(HEADER "goal = abcdefghijklmnop\n", "2: goal: expected a word of at most 15 small letters");
}

static void keys_that_are_given_twice(void **state)
{
	(void)state;
	EXPECT_REFUSED(HEADER "hot_bytes = 1000\n# x\nhot_bytes = 1000\n", "4: hot_bytes: given twice");
	EXPECT_REFUSED(HEADER "windows = 0\nwindows = 0\n", "3: windows: given twice");
	EXPECT_REFUSED(HEADER "goal = a\ngoal = a\n", "3: goal: given twice");
	EXPECT_REFUSED(HEADER "cache_blocks.dyn1 = 0\ncache_blocks.dyn1 = 0 1\n", "3: cache_blocks.dyn1: given twice");
}

/* Of every key: both bounds, the values beyond them, and numbers that are none or too long. */
static void numbers_are_taken_up_to_their_bounds_and_no_further(void **state)
{
	static const char *const bad[] = { "-1", "+1", "1e3", "0x10", "1,5", "18446744073709551616",
		"99999999999999999999", "340282366920938463463374607431768211456", "99999999999999999999999999999999",
		"17179869184G", "many", "1 x", "1 -1", "1 1.5", "1 1099511627777", "1 18446744073709551617" };
	char text[256], error[HKM_PROFILE_ERROR_BYTES];
	struct hkm_profile profile;

	(void)state;
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		struct hkm_profile_key description = describe(key);
		uint64_t bounds[] = { description.low, description.high, description.high + 1, description.low - 1 };

		for (unsigned i = 0; i < 3 + (description.low > 0); i++) {
			size_t length = description.thousandths ?
				(size_t)sprintf(text, HEADER "%s = %zu.%03zu 1\n", description.name,
					(size_t)bounds[i] / 1000, (size_t)bounds[i] % 1000) :
				(size_t)sprintf(text, HEADER "%s = %zu 1\n", description.name, (size_t)bounds[i]);
			bool good = parse(text, length, &profile, error);

			if (good != (i < 2) || (good && profile.values[key].value != bounds[i]))
				fail_msg("\"%s\": %s", text, good ? "accepted" : error);
			if (!good && strstr(error, description.name) == NULL)
				fail_msg("\"%s\" does not name the key: %s", text, error);
		}
		for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
			size_t length = (size_t)sprintf(text, HEADER "%s = %s\n", description.name, bad[i]);

			if (parse(text, length, &profile, error) || strstr(error, description.name) == NULL)
				fail_msg("\"%s\": %s", text, error);
		}
	}
	EXPECT_REFUSED(HEADER "windows = 1099511627777\n",
		"2: windows: expected 0..1099511627776 windows, not '1099511627777'");
	EXPECT_REFUSED(HEADER "hot_blocks = 5000 3\n", "2: hot_blocks: expected 1..4096 blocks, not '5000'");
	EXPECT_REFUSED(HEADER "wmax_mid = 0.9\n", "2: wmax_mid: expected 1.000..4.000 ratio, not '0.9'");
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

/* ---- Texts that go wrong ------------------------------------------------------------- */

/* Whether `part` has nothing but what `whole` has, too. */
static bool is_part(const struct hkm_profile *part, const struct hkm_profile *whole)
{
	bool within = true;

	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
		if (part->values[key].present)
			within = within && same_value(&part->values[key], &whole->values[key]);
	return within;
}

static void a_text_that_ends_too_early_is_noticed_within_a_line(void **state)
{
	struct random_source source = { 3 };
	char text[TEXT_BYTES], error[HKM_PROFILE_ERROR_BYTES];
	struct hkm_profile whole, part;

	(void)state;
	for (unsigned round = 0; round < 3; round++) {
		size_t length = random_text(&source, text);

		expect_accepted(text, length, &whole);
		for (size_t cut = 0; cut <= length; cut++) {
			bool good = parse(text, cut, &part, error);

			if (good != (cut > 0 && text[cut - 1] == '\n') || !is_part(&part, &whole))
				fail_msg("cut at byte %zu of %zu: %s", cut, length, error);
		}
	}
}

/* Each line in turn is cut at each byte, with the others behind it whole: whatever is made of it, the values of the
 * other lines are the same, and the error names the line. */
static void a_line_that_is_cut_harms_no_other(void **state)
{
	struct random_source source = { 4 };
	char text[TEXT_BYTES], cut_text[TEXT_BYTES], error[HKM_PROFILE_ERROR_BYTES];
	struct hkm_profile whole, part;
	size_t accepted = 0, refused = 0, line = 1;
	size_t length = random_text(&source, text);

	(void)state;
	expect_accepted(text, length, &whole);
	for (size_t start = 0; start < length; line++) {
		size_t end = (size_t)((char *)memchr(text + start, '\n', length - start) - text);

		for (size_t kept = 0; kept < end - start; kept++) {
			unsigned different = 0;

			memcpy(cut_text, text, start + kept);
			memcpy(cut_text + start + kept, text + end, length - end);
			if (!parse(cut_text, length - (end - start - kept), &part, error)) {
				refused++;
				assert_int_equal(strtoul(error, NULL, 10), line);
				continue;
			}
			accepted++;
			for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++)
				different += !same_value(&part.values[key], &whole.values[key]);
			assert_true(different <= 1);
		}
		start = end + 1;
	}
	assert_true(accepted > 100 && refused > 100);
}

static size_t mutate(struct random_source *source, char *text, size_t length)
{
	static const char bytes[] = "0123456789=# \t\r\n\0.KMG-_abcxyz\xff\x7f";
	size_t at = random_between(source, 0, length - 1), span = random_between(source, 1, 40);

	span = span < length - at ? span : length - at;
	switch (random_between(source, 0, 5)) {
	case 0: /* another byte */
		text[at] = (char)random_bits(source);
		return length;
	case 1: /* another byte, of those that mean something */
		text[at] = bytes[random_between(source, 0, sizeof bytes - 2)];
		return length;
	case 2: /* a piece less */
		memmove(text + at, text + at + span, length - at - span);
		return length > span ? length - span : 1;
	case 3: /* a piece twice */
		memmove(text + at + span, text + at, length - at);
		return length + span;
	case 4: /* a byte more */
		memmove(text + at + 1, text + at, length - at);
		text[at] = bytes[random_between(source, 0, sizeof bytes - 2)];
		return length + 1;
	default: /* a line less */
		while (at > 0 && text[at - 1] != '\n')
			at--;
		for (span = 1; at + span < length && text[at + span - 1] != '\n';)
			span++;
		memmove(text + at, text + at + span, length - at - span);
		return length > span ? length - span : 1;
	}
}

static void mutated_texts_do_no_harm(void **state)
{
	struct random_source source = { 5 };
	char text[TEXT_BYTES], error[HKM_PROFILE_ERROR_BYTES], again[TEXT_BYTES];
	struct hkm_profile profile, second;
	size_t accepted = 0, refused = 0;

	(void)state;
	for (unsigned round = 0; round < 10000; round++) {
		size_t length = random_text(&source, text);

		for (size_t left = random_between(&source, 1, 4); left > 0; left--)
			length = mutate(&source, text, length);
		if (parse(text, length, &profile, error)) {
			accepted++;
			length = hkm_profile_write(&profile, again, sizeof again);
			expect_accepted(again, length, &second);
			assert_true(same(&profile, &second));
		} else {
			refused++;
		}
	}
	/* Most of either kind: the mutations are neither too mild nor too wild. */
	assert_true(accepted > 500 && refused > 500);
}

static void random_texts_do_no_harm(void **state)
{
	static const char *const pieces[] = { "hot_blocks", "cache_blocks.1280", "cache_blocks.", "wmax_mid", "windows",
		"goal", " = ", "=", " ", "\t", "\n", "\n", "\r\n", "#", "1", "1.5", "0", "64", "4K", "99999999999999999999",
		"memory", "\x80", "-", ".", "hakmem-profile 1" };
	struct random_source source = { 6 };
	char text[TEXT_BYTES], error[HKM_PROFILE_ERROR_BYTES];
	struct hkm_profile profile;
	size_t accepted = 0;

	(void)state;
	for (unsigned round = 0; round < 50000; round++) {
		size_t length = 0, count = random_between(&source, 0, 40);

		if (random_between(&source, 0, 3) > 0)
			length = (size_t)sprintf(text, "%s", HEADER);
		for (size_t i = 0; i < count; i++)
			if (round % 2 == 0)
				text[length++] = (char)random_bits(&source);
			else
				length += (size_t)sprintf(text + length, "%s",
					pieces[random_between(&source, 0, sizeof pieces / sizeof pieces[0] - 1)]);
		accepted += parse(text, length, &profile, error);
	}
	assert_true(accepted > 100);
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
		cmocka_unit_test(what_is_written_is_read_back_the_same),
		cmocka_unit_test(writing_is_cut_to_the_buffer),
		cmocka_unit_test(forms_that_are_accepted),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(headers),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(keys_and_forms_that_are_refused),
		cmocka_unit_test(keys_that_are_given_twice),
		cmocka_unit_test(numbers_are_taken_up_to_their_bounds_and_no_further),
		cmocka_unit_test(a_process_starts_from_its_profile),
		cmocka_unit_test(a_process_starts_without_a_bad_profile),
		cmocka_unit_test(a_text_that_ends_too_early_is_noticed_within_a_line),
		cmocka_unit_test(a_line_that_is_cut_harms_no_other),
		cmocka_unit_test(mutated_texts_do_no_harm),
		cmocka_unit_test(random_texts_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
