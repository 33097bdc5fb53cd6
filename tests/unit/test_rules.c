/* test_rules.c - the text of site rules: what is accepted, what each refusal says, texts that go wrong. */
#include "cmocka_tests.h"
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sites/rules.h"

#define HEADER "hakmem-sites 1\n"
#define TEXT_BYTES (64 * KIB)

static struct hkm_rule rules[HKM_RULES_MOST];
static unsigned rule_count;

/* From a block of exactly that length, so that AddressSanitizer sees a read beyond it. */
static bool parse(const char *text, size_t length, char error[HKM_RULES_ERROR_BYTES])
{
	char *copy = malloc(length > 0 ? length : 1);

	require(copy != NULL, "no memory");
	memcpy(copy, text, length);
	bool good = hkm_rules_parse(copy, length, rules, &rule_count, error);

	for (unsigned i = 0; i < rule_count; i++)
		require(rules[i].name.start >= copy && rules[i].name.length > 0 &&
				rules[i].name.start + rules[i].name.length <= copy + length,
			"a name is not in the text");
	require(good || rule_count == 0, "rules of a bad text");
	require(good || (strchr(error, '\n') == NULL && strtoul(error, NULL, 10) > 0), "error: %s", error);
	free(copy);
	return good;
}

static void refused(const char *text, size_t length, const char *expected)
{
	char error[HKM_RULES_ERROR_BYTES];

	if (parse(text, length, error))
		fail_msg("\"%s\" was accepted", text);
	assert_string_equal(error, expected);
}

static void accepted(const char *text)
{
	char error[HKM_RULES_ERROR_BYTES];

	/* The names are looked at afterwards: not in parse's copy. */
	if (!parse(text, strlen(text), error) || !hkm_rules_parse(text, strlen(text), rules, &rule_count, error))
		fail_msg("\"%s\": %s", text, error);
}

#define REFUSED(text, error) refused(text, sizeof(text) - 1, error)

static void forms_that_are_accepted(void **state)
{
	(void)state;
	accepted(HEADER);
	assert_int_equal(rule_count, 0);
	accepted("hakmem-sites 1 # of a server\n\n#\nlibfoo.so.1+0x1234 long-lived\n"
		 " symbol:make_node\tbig  no-cache # both\r\nlibstdc++.so+0xAbC populate huge huge\n"
		 "/opt/x/y+0xffffffffffff big\n");
	assert_int_equal(rule_count, 4);
	assert_true(hkm_word_is(rules[0].name, "libfoo.so.1") && rules[0].offset == 0x1234 && !rules[0].is_symbol);
	assert_int_equal(rules[0].hints, HKM_HINT_LONG_LIVED);
	assert_true(hkm_word_is(rules[1].name, "make_node") && rules[1].is_symbol);
	assert_int_equal(rules[1].hints, HKM_HINT_BIG | HKM_HINT_NO_CACHE);
	assert_true(hkm_word_is(rules[2].name, "libstdc++.so") && rules[2].offset == 0xabc);
	assert_int_equal(rules[2].hints, HKM_HINT_POPULATE | HKM_HINT_HUGE);
	assert_true(hkm_word_is(rules[3].name, "/opt/x/y") && rules[3].offset == 0xffffffffffff);
}

static void forms_that_are_refused(void **state)
{
	static const char *const bad_places[] = { "a", "a+", "+0x1", "a+1234", "a+0x", "a+0xg", "a+0x1 ", "a-0x1",
		"a+0x1000000000000", "symbol:", "0x1234", "a+0x+1", "a+0X1" };

	(void)state;
	REFUSED("", "1: expected 'hakmem-sites 1'");
	REFUSED("\n" HEADER, "1: expected 'hakmem-sites 1'");
	REFUSED("hakmem-sites 2\n", "1: expected 'hakmem-sites 1'");
	REFUSED("hakmem-sites 10\n", "1: expected 'hakmem-sites 1'");
	REFUSED("hakmem-profile 1\n", "1: expected 'hakmem-sites 1'");
	REFUSED("hakmem-sites 1", "1: hakmem-sites: no newline ends the line; was the file cut?");
	REFUSED(HEADER "a+0x1\n", "2: a+0x1: no hint is given");
	REFUSED(HEADER "a+0x1 bigger\n",
		"2: a+0x1: expected long-lived, big, no-cache, populate or huge, not 'bigger'");
	REFUSED(HEADER "a+0x1 big\n\na+0x01 huge\n", "4: a+0x01: given twice");
	REFUSED(HEADER "symbol:a big\nsymbol:a big\n", "3: symbol:a: given twice");
	REFUSED(HEADER "a+0x1 big\0\n", "2: a+0x1: a control character; is this a text?");
	for (size_t i = 0; i < sizeof bad_places / sizeof bad_places[0]; i++) {
		char text[128], expected[128], place[32];

		sprintf(text, HEADER "b+0x1 big\n%s sampled\n", bad_places[i]);
		sprintf(place, "%.*s", (int)strcspn(bad_places[i], " "), bad_places[i]);
		sprintf(expected, "3: %s: expected MODULE+0xOFFSET or symbol:NAME", place);
		if (strcmp(place, "a+0x1") == 0) /* the place is good, the hint is not one that users may give */
			sprintf(expected, "3: a+0x1: expected long-lived, big, no-cache, populate or huge, not 'sampled'");
		refused(text, strlen(text), expected);
	}
}

static void rules_are_taken_up_to_their_number_and_no_further(void **state)
{
	static char text[TEXT_BYTES];
	size_t length = (size_t)sprintf(text, HEADER);

	(void)state;
	for (unsigned i = 0; i < HKM_RULES_MOST; i++)
		length += (size_t)sprintf(text + length, "module.so+0x%x huge\n", i);
	accepted(text);
	assert_int_equal(rule_count, HKM_RULES_MOST);
	sprintf(text + length, "module.so+0xfffff huge\n");
	refused(text, strlen(text), "1026: module.so+0xfffff: more than 1024 rules");
}

static void random_texts_do_no_harm(void **state)
{
	static const char *const pieces[] = { "a+0x1", "libfoo.so", "+0x", "12", "symbol:", "f", " big", " huge", " populate",
		" no-cache", " long-lived", " ", "\t", "\n", "\n", "\r\n", "#", "+", "\x80", "hakmem-sites 1",
		"b+0x20 big\n", "symbol:g huge # h\n", "\n", "\n" };
	struct random_source source = { 7 };
	char text[1024], error[HKM_RULES_ERROR_BYTES];
	size_t with_rules = 0;

	(void)state;
	for (unsigned round = 0; round < 50000; round++) {
		size_t length = 0, count = random_between(&source, 0, 20);

		if (random_between(&source, 0, 3) > 0)
			length = (size_t)sprintf(text, HEADER);
		for (size_t i = 0; i < count; i++)
			if (round % 4 == 0)
				text[length++] = (char)random_bits(&source);
			else
				length += (size_t)sprintf(text + length, "%s",
					pieces[random_between(&source, 0, sizeof pieces / sizeof pieces[0] - 1)]);
		with_rules += parse(text, length, error) && rule_count > 0;
	}
	assert_true(with_rules > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(forms_that_are_accepted),
		cmocka_unit_test(forms_that_are_refused),
		cmocka_unit_test(rules_are_taken_up_to_their_number_and_no_further),
		cmocka_unit_test(random_texts_do_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
