/* test_options.c - the parsers of options, and the table options.def as a whole: defaults within their
 * ranges, names that belong together, every bound accepted and everything beyond it refused.
 */
#include "unit.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/options.h"
#include "core/report.h"

/* ---- The parsers ----------------------------------------------------------------- */

static void whole_numbers(void **state)
{
	static const struct {
		const char *text;
		uint64_t value;
	} right[] = {
		{ "0", 0 }, { "7", 7 }, { "007", 7 }, { "1k", 1024 }, { "1K", 1024 }, { "2M", 2u << 20 },
		{ "2m", 2u << 20 }, { "3G", (uint64_t)3 << 30 }, { "3g", (uint64_t)3 << 30 }, { "0G", 0 },
		{ "1KiB", 1024 }, { "1kib", 1024 }, { "2MiB", 2u << 20 }, { "3GiB", (uint64_t)3 << 30 },
		{ "18446744073709551615", UINT64_MAX },
		{ "17179869183G", (uint64_t)17179869183u << 30 },
		{ "18014398509481983K", (uint64_t)18014398509481983u << 10 },
	};
	static const char *const wrong[] = {
		"", " ", "K", "-1", "+1", " 1", "1 ", "1KB", "1Ki", "1iB", "1KiBs", "1KK", "1T", "0x10", "1.5", "1,000", "abc", "1e3",
		"18446744073709551616", "18446744073709551620", "99999999999999999999999999",
		"17179869184G", "18014398509481984K", "17592186044416M",
	};

	(void)state;
	for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
		uint64_t value = 99;

		if (!hkm_parse_uint(right[i].text, &value) || value != right[i].value)
			fail_msg("\"%s\" gives %" PRIu64, right[i].text, value);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		uint64_t value = 99;

		if (hkm_parse_uint(wrong[i], &value) || value != 99)
			fail_msg("\"%s\" gives %" PRIu64, wrong[i], value);
	}
}

static void fractions(void **state)
{
	static const struct {
		const char *text;
		uint64_t thousandths;
	} right[] = {
		{ "0", 0 }, { "1", 1000 }, { "1.4", 1400 }, { "1.25", 1250 }, { "0.65", 650 }, { "2.000", 2000 },
		{ "0.001", 1 }, { "1.2349", 1234 }, { "1.00000000000000000000000000", 1000 }, { "12.5", 12500 },
		{ ".5", 500 },
	};
	static const char *const wrong[] = {
		"", ".", "-1", "+1", "1.2.3", "1e3", "1,5", "1.5x", "x", " 1", "1 ", "1K",
		"18446744073709551", "99999999999999999999999999999",
	};

	(void)state;
	for (size_t i = 0; i < sizeof right / sizeof right[0]; i++) {
		uint64_t value = 99;

		if (!hkm_parse_thousandths(right[i].text, &value) || value != right[i].thousandths)
			fail_msg("\"%s\" gives %" PRIu64, right[i].text, value);
	}
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
		uint64_t value = 99;

		if (hkm_parse_thousandths(wrong[i], &value))
			fail_msg("\"%s\" gives %" PRIu64, wrong[i], value);
	}
}

static void lists_of_ratios(void **state)
{
	static const char *const wrong[] = {
		",", "1.4,", ",1.4", "1.4,,1.6", "abc", "1.4,abc", "1.4 1.6", "1.4, 1.6", "0.999", "4.001", "1,2,3,4,1,2,3,4",
		"1.4000000000000garbage",
	};
	char longest[HKM_OPTION_TEXT_BYTES + 2] = "1.";
	uint32_t values[HKM_OPTION_RATIOS_MOST + 1] = { 0 };
	unsigned count = 99;

	(void)state;
	assert_true(hkm_parse_ratios("", values, &count) && count == 0);
	assert_true(hkm_parse_ratios("1", values, &count) && count == 1 && values[0] == 1000);
	assert_true(hkm_parse_ratios("4,1.0009,1.25,2.000,3.5,1.75,1", values, &count) && count == 7);
	assert_true(values[0] == 4000 && values[1] == 1000 && values[2] == 1250 && values[6] == 1000 && values[7] == 0);
	for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
		if (hkm_parse_ratios(wrong[i], values, &count) || count != 7 || values[0] != 4000)
			fail_msg("\"%s\" gives %u ratios", wrong[i], count);
	memset(longest + 2, '0', sizeof longest - 3);
	assert_false(hkm_parse_ratios(longest, values, &count));
}

/* ---- The table ------------------------------------------------------------------- */

enum option_kind {
	OPTION_UINT,
	OPTION_REAL,
	OPTION_ENUM,
	OPTION_TEXT,
	OPTION_RATIOS
};

struct option {
	enum option_kind kind;
	const char *name, *environment;
	uint64_t standard, low, high; /* OPTION_UINT, OPTION_REAL; standard also OPTION_ENUM */
	const char *form;             /* unit, choices or form */
	const char *meaning;
	void *value;                  /* in hkm_options */
};

static const struct option options[] = {
#define HKM_OPTION_UINT(name, environment, standard, low, high, unit, meaning) \
	{ OPTION_UINT, #name, environment, standard, low, high, unit, meaning, &hkm_options.name },
#define HKM_OPTION_REAL(name, environment, standard, low, high, unit, meaning) \
	{ OPTION_REAL, #name, environment, standard, low, high, unit, meaning, &hkm_options.name },
#define HKM_OPTION_ENUM(name, environment, standard, choices, meaning) \
	{ OPTION_ENUM, #name, environment, standard, 0, 0, choices, meaning, &hkm_options.name },
#define HKM_OPTION_TEXT(name, environment, standard, form, meaning) \
	{ OPTION_TEXT, #name, environment, sizeof(standard), 0, 0, form, meaning, hkm_options.name },
#define HKM_OPTION_RATIOS(name, environment, standard, form, meaning) \
	{ OPTION_RATIOS, #name, environment, sizeof(standard), 0, 0, form, meaning, hkm_options.name },
#include "core/options.def"
};

#define OPTIONS (sizeof options / sizeof options[0])

static uint64_t value_of(const struct option *option)
{
	return *(const uint64_t *)option->value;
}

static bool is_text(const struct option *option)
{
	return option->kind == OPTION_TEXT || option->kind == OPTION_RATIOS;
}

static size_t choices_of(const struct option *option)
{
	size_t count = 1;

	for (const char *at = option->form; *at != '\0'; at++)
		count += *at == '|';
	return count;
}

static void defaults_lie_within_their_ranges(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTIONS; i++) {
		const struct option *option = &options[i];
		bool good;

		if (is_text(option))
			good = option->standard <= HKM_OPTION_TEXT_BYTES;
		else if (option->kind == OPTION_ENUM)
			good = option->standard < choices_of(option);
		else
			good = option->low <= option->standard && option->standard <= option->high &&
				option->low < option->high;
		if (!good)
			fail_msg("%s", option->name);
		if (!is_text(option))
			assert_int_equal(value_of(option), option->standard);
	}
}

static void names_belong_together_and_are_unique(void **state)
{
	(void)state;
	for (size_t i = 0; i < OPTIONS; i++) {
		char expected[64] = "HAKMEM_";
		size_t at = strlen(expected);

		for (const char *name = options[i].name; *name != '\0'; name++)
			expected[at++] = (char)toupper(*name);
		assert_string_equal(options[i].environment, expected);
		assert_true(strlen(options[i].meaning) > 10);
		assert_true(strlen(options[i].form) > 0);
		for (size_t other = 0; other < i; other++)
			assert_string_not_equal(options[i].environment, options[other].environment);
	}
}

/* ---- Reading the environment ----------------------------------------------------- */

static int errors = -1; /* file that standard error goes to */

static void catch_standard_error(void)
{
	errors = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	require(errors >= 0 && dup2(errors, STDERR_FILENO) >= 0, "no temporary file");
}

/* Reads the environment with one variable set; result: what was printed, a line or nothing. */
static const char *read_with(const struct option *option, const char *text)
{
	static char printed[2048];
	ssize_t length;

	require(ftruncate(errors, 0) == 0 && lseek(errors, 0, SEEK_SET) == 0, "temporary file");
	if (!is_text(option))
		*(uint64_t *)option->value = option->standard;
	setenv(option->environment, text, 1);
	hkm_options_read();
	unsetenv(option->environment);
	length = pread(errors, printed, sizeof printed - 1, 0);
	require(length >= 0, "temporary file");
	printed[length] = '\0';
	return printed;
}

/* `require` prints to what is standard error: a child shows it by its exit status, and here. */
static void show(const char *format, const struct option *option, const char *text, const char *printed)
{
	dprintf(STDOUT_FILENO, format, option->environment, text, printed);
	abort();
}

static void expect_accepted(const struct option *option, const char *text, uint64_t value)
{
	const char *printed = read_with(option, text);

	if (printed[0] != '\0' || value_of(option) != value)
		show("%s=%s is not accepted: %s\n", option, text, printed);
}

static void expect_refused(const struct option *option, const char *text)
{
	const char *printed = read_with(option, text);
	const char *end = strchr(printed, '\n');

	if (strncmp(printed, "hakmem: ", 8) != 0 || strstr(printed, option->environment) == NULL ||
		strstr(printed, text) == NULL || end == NULL || end[1] != '\0' ||
		value_of(option) != option->standard)
		show("%s=%s is not refused in one line: %s\n", option, text, printed);
}

static void print_number(char *text, enum option_kind kind, uint64_t value)
{
	if (kind == OPTION_REAL)
		sprintf(text, "%" PRIu64 ".%03" PRIu64, value / 1000, value % 1000);
	else
		sprintf(text, "%" PRIu64, value);
}

ISOLATED(numbers_are_taken_up_to_their_bounds_and_no_further)
{
	char text[64];

	catch_standard_error();
	for (const struct option *option = options; option < options + OPTIONS; option++) {
		if (option->kind != OPTION_UINT && option->kind != OPTION_REAL)
			continue;
		print_number(text, option->kind, option->low);
		expect_accepted(option, text, option->low);
		print_number(text, option->kind, option->high);
		expect_accepted(option, text, option->high);
		print_number(text, option->kind, option->high + 1);
		expect_refused(option, text);
		if (option->low > 0) {
			print_number(text, option->kind, option->low - 1);
			expect_refused(option, text);
		}
		expect_refused(option, "many");
		expect_refused(option, "-1");
	}
}

ISOLATED(choices_are_taken_as_they_are_written)
{
	char text[64];

	catch_standard_error();
	for (const struct option *option = options; option < options + OPTIONS; option++) {
		uint64_t index = 0;

		if (option->kind != OPTION_ENUM)
			continue;
		for (const char *choice = option->form; choice != NULL; index++) {
			const char *bar = strchr(choice, '|');
			int length = bar != NULL ? (int)(bar - choice) : (int)strlen(choice);

			sprintf(text, "%.*s", length, choice);
			expect_accepted(option, text, index);
			sprintf(text, "%.*sx", length, choice);
			expect_refused(option, text);
			choice = bar != NULL ? bar + 1 : NULL;
		}
		expect_refused(option, option->form);
		expect_refused(option, "|");
	}
}

ISOLATED(texts_are_taken_whole_or_not_at_all)
{
	char text[HKM_OPTION_TEXT_BYTES + 1];

	catch_standard_error();
	for (const struct option *option = options; option < options + OPTIONS; option++) {
		const char *value = option->value;

		if (option->kind != OPTION_TEXT)
			continue;
		memset(text, 'x', sizeof text);
		text[HKM_OPTION_TEXT_BYTES - 1] = '\0';
		if (read_with(option, text)[0] != '\0' || strcmp(value, text) != 0)
			show("%s=%s is not accepted: %s\n", option, text, value);
		text[HKM_OPTION_TEXT_BYTES - 1] = 'x';
		text[HKM_OPTION_TEXT_BYTES] = '\0';
		if (strstr(read_with(option, text), option->environment) == NULL ||
			strlen(value) != HKM_OPTION_TEXT_BYTES - 1)
			show("%s=%s is not refused: %s\n", option, text, value);
	}
}

/* A bad list is refused as a whole, and what is used instead is a list as well. */
ISOLATED(ratios_are_taken_whole_or_not_at_all)
{
	static const char *const right[] = { "1.5", "1,1.5,2,2.5,3,3.5,4" };
	static const char *const wrong[] = { "abc", "1.5,abc,2.0", "5", "1,1,1,1,1,1,1,1", "," };
	char longer[HKM_OPTION_TEXT_BYTES + 1], expected[2048];

	catch_standard_error();
	for (const struct option *option = options; option < options + OPTIONS; option++) {
		const char *value = option->value;
		char standard[HKM_OPTION_TEXT_BYTES];

		if (option->kind != OPTION_RATIOS)
			continue;
		strcpy(standard, value);
		memset(longer, '0', HKM_OPTION_TEXT_BYTES);
		memcpy(longer, "1.", 2);
		longer[HKM_OPTION_TEXT_BYTES] = '\0';
		for (size_t i = 0; i <= sizeof wrong / sizeof wrong[0]; i++) {
			const char *text = i < sizeof wrong / sizeof wrong[0] ? wrong[i] : longer, *printed;

			printed = read_with(option, text);
			sprintf(expected, "hakmem: %s=%s: expected up to 7 ratios from 1 to 4, separated by commas; using %s\n",
				option->environment, text, standard);
			if (strcmp(printed, expected) != 0 || strcmp(value, standard) != 0)
				show("%s=%s is not refused: %s\n", option, text, printed);
		}
		for (size_t i = 0; i < sizeof right / sizeof right[0]; i++)
			if (read_with(option, right[i])[0] != '\0' || strcmp(value, right[i]) != 0)
				show("%s=%s is not accepted: %s\n", option, right[i], value);
	}
}

ISOLATED(a_refusal_names_value_range_and_default)
{
	const struct option *option = options;
	const char *printed;

	catch_standard_error();
	while (strcmp(option->name, "purge_delay_ms") != 0)
		option++;
	printed = read_with(option, "abc");
	if (strcmp(printed, "hakmem: HAKMEM_PURGE_DELAY_MS=abc: expected 0..600000 ms; using 100\n") != 0)
		show("%s=%s: %s\n", option, "abc", printed);
}

ISOLATED(names_that_only_begin_alike_are_not_options)
{
	setenv("HAKMEM_STATSX", "json", 1);
	setenv("XHAKMEM_STATS", "json", 1);
	hkm_options_read();
	require(hkm_options.stats == 0, "HAKMEM_STATSX was taken for HAKMEM_STATS");
}

/* NAME= is how a variable is taken back in a shell, and in many files of settings. */
ISOLATED(an_empty_variable_is_as_good_as_none)
{
	catch_standard_error();
	hkm_options_read();
	struct hkm_options standard = hkm_options;
	for (const struct option *option = options; option < options + OPTIONS; option++)
		setenv(option->environment, "", 1);
	hkm_options_read();
	require(memcmp(&standard, &hkm_options, sizeof standard) == 0, "an empty variable changes an option");
	for (unsigned option = 0; option < HKM_OPTIONS; option++)
		require(!hkm_option_given[option], "%s= is taken for given", options[option].environment);
	require(lseek(errors, 0, SEEK_END) == 0, "an empty variable is refused");
}

/* A bad value counts as given: its message promises the default, whatever a profile says. */
ISOLATED(it_is_known_which_options_are_given)
{
	setenv("HAKMEM_HOT_BLOCKS", "9", 1);
	setenv("HAKMEM_WMAX_MID", "1.5", 1);
	setenv("HAKMEM_STATS_FILE", "x", 1);
	setenv("HAKMEM_ON_ERROR", "warn", 1);
	setenv("HAKMEM_HOT_BYTES", "many", 1);
	catch_standard_error();
	hkm_options_read();
	for (unsigned option = 0; option < HKM_OPTIONS; option++) {
		bool given = option == HKM_OPTION_hot_blocks || option == HKM_OPTION_wmax_mid ||
			option == HKM_OPTION_stats_file || option == HKM_OPTION_on_error ||
			option == HKM_OPTION_hot_bytes;

		if (hkm_option_given[option] != given)
			show("%s is taken for %s given%s\n", &options[option], given ? "not" : "", "");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_numbers),
		cmocka_unit_test(fractions),
		cmocka_unit_test(lists_of_ratios),
		cmocka_unit_test(defaults_lie_within_their_ranges),
		cmocka_unit_test(names_belong_together_and_are_unique),
		cmocka_unit_test(numbers_are_taken_up_to_their_bounds_and_no_further),
		cmocka_unit_test(choices_are_taken_as_they_are_written),
		cmocka_unit_test(texts_are_taken_whole_or_not_at_all),
		cmocka_unit_test(ratios_are_taken_whole_or_not_at_all),
		cmocka_unit_test(a_refusal_names_value_range_and_default),
		cmocka_unit_test(names_that_only_begin_alike_are_not_options),
		cmocka_unit_test(an_empty_variable_is_as_good_as_none),
		cmocka_unit_test(it_is_known_which_options_are_given),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
