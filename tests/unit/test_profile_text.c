/* test_profile_text.c - profiles as text: what is written is read back the same, what is accepted is in
 * range, and what is not is refused whole, in one line.
 *
 * Texts are parsed from blocks of exactly their length, so that AddressSanitizer sees a byte read
 * too much. The random tests have fixed seeds.
 */
#include "profiles.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define TEXT_BYTES 16384

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
		cmocka_unit_test(what_is_written_is_read_back_the_same),
		cmocka_unit_test(writing_is_cut_to_the_buffer),
		cmocka_unit_test(forms_that_are_accepted),
		cmocka_unit_test(line_ends),
		cmocka_unit_test(headers),
		cmocka_unit_test(bytes_that_are_no_text),
		cmocka_unit_test(keys_and_forms_that_are_refused),
		cmocka_unit_test(keys_that_are_given_twice),
		cmocka_unit_test(numbers_are_taken_up_to_their_bounds_and_no_further),
		cmocka_unit_test(a_text_that_ends_too_early_is_noticed_within_a_line),
		cmocka_unit_test(a_line_that_is_cut_harms_no_other),
		cmocka_unit_test(mutated_texts_do_no_harm),
		cmocka_unit_test(random_texts_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
