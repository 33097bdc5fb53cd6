/* table.c - the options as the library knows them: its table, and its parser of values. */
#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "core/options.h"

const struct hakmem_option hakmem_options[] = {
#define HKM_OPTION_UINT(name, environment, standard, minimum, maximum, unit, meaning) \
	{ OPTION_WHOLE, #name, environment, standard, "", minimum, maximum, unit, "", meaning },
#define HKM_OPTION_REAL(name, environment, standard, minimum, maximum, unit, meaning) \
	{ OPTION_FRACTION, #name, environment, standard, "", minimum, maximum, unit, "", meaning },
#define HKM_OPTION_ENUM(name, environment, standard, choices, meaning) \
	{ OPTION_CHOICE, #name, environment, standard, "", 0, 0, "", choices, meaning },
#define HKM_OPTION_TEXT(name, environment, standard, form, meaning) \
	{ OPTION_TEXT, #name, environment, 0, standard, 0, 0, "", form, meaning },
#define HKM_OPTION_RATIOS(name, environment, standard, form, meaning) \
	{ OPTION_RATIOS, #name, environment, 0, standard, 0, 0, "", form, meaning },
#include "core/options.def"
};

const unsigned hakmem_option_count = sizeof hakmem_options / sizeof hakmem_options[0];

/* ---- Names ------------------------------------------------------------------------------- */

/* Writes `name` as the table spells it: no HAKMEM_ in front, lower case, underscores. Cuts what is too long
 * for any option. */
static void put_plain_name(const char *name, char *plain, size_t size)
{
	static const char prefix[] = "HAKMEM_";
	if (strncmp(name, prefix, sizeof prefix - 1) == 0)
		name += sizeof prefix - 1;
	size_t length = 0;
	for (; *name != '\0' && length + 1 < size; name++)
		plain[length++] = *name == '-' ? '_' : (char)tolower((unsigned char)*name);
	plain[length] = '\0';
}

const struct hakmem_option *option_find(const char *name)
{
	char plain[64];
	put_plain_name(name, plain, sizeof plain);
	for (unsigned i = 0; i < hakmem_option_count; i++)
		if (strcmp(hakmem_options[i].name, plain) == 0)
			return &hakmem_options[i];
	return NULL;
}

/* The fewest letters to insert, delete or replace that turn `a` into `b` (Levenshtein); b: below 64 letters. */
static unsigned edits_between(const char *a, const char *b)
{
	unsigned row[64], columns = (unsigned)strlen(b);
	for (unsigned column = 0; column <= columns; column++)
		row[column] = column;
	for (unsigned line = 1; a[line - 1] != '\0'; line++) {
		unsigned diagonal = row[0];
		row[0] = line;
		for (unsigned column = 1; column <= columns; column++) {
			unsigned least = diagonal + (a[line - 1] != b[column - 1]);
			if (row[column] + 1 < least)
				least = row[column] + 1;
			if (row[column - 1] + 1 < least)
				least = row[column - 1] + 1;
			diagonal = row[column];
			row[column] = least;
		}
	}
	return row[columns];
}

const struct hakmem_option *option_closest(const char *name)
{
	char plain[64];
	put_plain_name(name, plain, sizeof plain);
	const struct hakmem_option *closest = NULL;
	unsigned fewest = UINT32_MAX;
	for (unsigned i = 0; i < hakmem_option_count; i++) {
		unsigned edits = edits_between(hakmem_options[i].name, plain);
		if (edits < fewest) {
			fewest = edits;
			closest = &hakmem_options[i];
		}
	}
	return closest;
}

/* ---- Values ------------------------------------------------------------------------------ */

static bool is_choice(const char *choices, const char *value)
{
	size_t length = strlen(value);
	for (const char *choice = choices;;) {
		size_t choice_length = strcspn(choice, "|");
		if (choice_length == length && strncmp(choice, value, length) == 0)
			return true;
		if (choice[choice_length] == '\0')
			return false;
		choice += choice_length + 1;
	}
}

bool option_accepts(const struct hakmem_option *option, const char *value)
{
	uint64_t number = 0;
	uint32_t ratios[HKM_OPTION_RATIOS_MOST];
	unsigned count;
	bool parsed = false;
	if (value[0] == '\0')
		return true; /* as good as none */
	switch (option->kind) {
	case OPTION_WHOLE:
		parsed = hkm_parse_uint(value, &number);
		break;
	case OPTION_FRACTION:
		parsed = hkm_parse_thousandths(value, &number);
		break;
	case OPTION_CHOICE:
		return is_choice(option->form, value);
	case OPTION_TEXT:
		return strlen(value) < HKM_OPTION_TEXT_BYTES;
	case OPTION_RATIOS:
		return strlen(value) < HKM_OPTION_TEXT_BYTES && hkm_parse_ratios(value, ratios, &count);
	}
	return parsed && number >= option->minimum && number <= option->maximum;
}

/* ---- Descriptions -------------------------------------------------------------------------- */

/* A number as people read it: bytes in K, M or G if they are whole, fractions with their point. */
static void put_number(const struct hakmem_option *option, uint64_t number, char text[32])
{
	if (option->kind == OPTION_FRACTION) {
		snprintf(text, 32, "%g", (double)number / 1000);
		return;
	}
	const char *suffix = "";
	if (strcmp(option->unit, "bytes") == 0 && number != 0)
		for (const char *next = "KMG"; *next != '\0' && number % 1024 == 0; next++) {
			number /= 1024;
			suffix = next;
		}
	snprintf(text, 32, "%lu%.1s", number, suffix);
}

void option_put_default(const struct hakmem_option *option, char text[OPTION_DESCRIPTION_BYTES])
{
	if (option->kind == OPTION_CHOICE) {
		const char *choice = option->form;
		for (uint64_t i = 0; i < option->standard; i++)
			choice += strcspn(choice, "|") + 1;
		snprintf(text, OPTION_DESCRIPTION_BYTES, "%.*s", (int)strcspn(choice, "|"), choice);
	} else if (option->kind == OPTION_TEXT || option->kind == OPTION_RATIOS) {
		snprintf(text, OPTION_DESCRIPTION_BYTES, "%s", option->standard_text);
	} else {
		put_number(option, option->standard, text);
	}
}

void option_put_range(const struct hakmem_option *option, char text[OPTION_DESCRIPTION_BYTES])
{
	if (option->kind != OPTION_WHOLE && option->kind != OPTION_FRACTION) {
		snprintf(text, OPTION_DESCRIPTION_BYTES, "%s", option->form);
	} else {
		char minimum[32], maximum[32];
		put_number(option, option->minimum, minimum);
		put_number(option, option->maximum, maximum);
		snprintf(text, OPTION_DESCRIPTION_BYTES, "%s..%s %s", minimum, maximum, option->unit);
	}
}
