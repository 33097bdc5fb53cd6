/* options.c - see options.h. Reads `environ` itself: getenv is the C library's, and programs
 * replace it. */
#include "core/options.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "core/report.h"
#include "core/text.h"
#include "os/os.h"

struct hkm_options hkm_options = {
#define HKM_OPTION_UINT(name, environment, standard, ...) .name = (standard),
#define HKM_OPTION_REAL(name, environment, standard, ...) .name = (standard),
#define HKM_OPTION_ENUM(name, environment, standard, ...) .name = (standard),
#define HKM_OPTION_TEXT(name, environment, standard, ...) .name = standard,
#include "core/options.def"
};

bool hkm_option_given[HKM_OPTIONS];
struct hkm_output_refused hkm_output_refused;

/* NULL if it is not set, or empty: that is how a shell's user takes a variable back. */
static const char *variable(const char *name)
{
	size_t length = strlen(name);
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		if (strncmp(*entry, name, length) == 0 && (*entry)[length] == '=')
			return (*entry)[length + 1] == '\0' ? NULL : *entry + length + 1;
	return NULL;
}

/* Whether there is a variable of ours at all: mostly there is none, and a process's start is short. */
static bool any_variable(void)
{
	for (char **entry = environ; entry != NULL && *entry != NULL; entry++)
		if (strncmp(*entry, "HAKMEM_", 7) == 0)
			return true;
	return false;
}

bool hkm_parse_uint(const char *text, uint64_t *value)
{
	uint64_t number = 0;
	const char *at = text;
	for (; *at >= '0' && *at <= '9'; at++)
		if (__builtin_mul_overflow(number, 10, &number) ||
		    __builtin_add_overflow(number, (uint64_t)(*at - '0'), &number))
			return false;
	if (at == text)
		return false;
	unsigned shift = 0;
	switch (*at) {
	case 'K': case 'k': shift = 10; break;
	case 'M': case 'm': shift = 20; break;
	case 'G': case 'g': shift = 30; break;
	default: break;
	}
	at += shift != 0;
	if (shift != 0 && (at[0] == 'i' || at[0] == 'I') && (at[1] == 'B' || at[1] == 'b'))
		at += 2;
	if (*at != '\0' || number > UINT64_MAX >> shift)
		return false;
	*value = number << shift;
	return true;
}

bool hkm_parse_thousandths(const char *text, uint64_t *value)
{
	uint64_t number = 0, unit = 1000;
	bool digits = false, point = false;
	for (; *text != '\0'; text++) {
		if (*text == '.' && !point) {
			point = true;
		} else if (*text >= '0' && *text <= '9' && number < UINT64_MAX / 20000) {
			digits = true;
			if (point && unit > 1)
				number += (unit /= 10) * (uint64_t)(*text - '0');
			else if (!point)
				number = number * 10 + 1000 * (uint64_t)(*text - '0');
		} else {
			return false;
		}
	}
	*value = number;
	return digits;
}

bool hkm_parse_ratios(const char *text, uint32_t values[HKM_OPTION_RATIOS_MOST], unsigned *count)
{
	uint32_t ratios[HKM_OPTION_RATIOS_MOST];
	unsigned found = 0;
	for (bool more = *text != '\0'; more;) {
		char part[HKM_OPTION_TEXT_BYTES];
		size_t length = strcspn(text, ",");
		uint64_t value;
		if (found == HKM_OPTION_RATIOS_MOST || length >= sizeof part)
			return false;
		memcpy(part, text, length);
		part[length] = '\0';
		if (!hkm_parse_thousandths(part, &value) || value < 1000 || value > 4000)
			return false;
		ratios[found++] = (uint32_t)value;
		more = text[length] == ',';
		text += length + 1;
	}
	memcpy(values, ratios, found * sizeof ratios[0]);
	*count = found;
	return true;
}

/* Each of these reads one variable, and says whether it is there. */

/* A number as people write it: bytes in K, M or G if they are whole. */
static const char *number_text(uint64_t number, const char *unit, char text[24])
{
	struct hkm_text buffer = { .buffer = text, .capacity = 24, .descriptor = -1 };
	const char *suffixes = "KMG";
	char suffix = '\0';
	for (; *suffixes != '\0' && strcmp(unit, "bytes") == 0 && number != 0 && number % 1024 == 0; number /= 1024)
		suffix = *suffixes++;
	hkm_text_put(&buffer, "%lu", number);
	if (suffix != '\0')
		hkm_text_put(&buffer, "%c", suffix);
	hkm_text_finish(&buffer);
	return text;
}

static bool read_uint(const char *environment, uint64_t *value, uint64_t low, uint64_t high, const char *unit)
{
	const char *text = variable(environment);
	char lowest[24], highest[24], standard[24];
	uint64_t parsed;
	if (text == NULL)
		return false;
	if (hkm_parse_uint(text, &parsed) && parsed >= low && parsed <= high)
		*value = parsed;
	else
		hkm_warn("%s=%s: expected %s..%s %s; using %s", environment, text, number_text(low, unit, lowest),
			 number_text(high, unit, highest), unit, number_text(*value, unit, standard));
	return true;
}

static bool read_real(const char *environment, uint64_t *value, uint64_t low, uint64_t high, const char *unit)
{
	const char *text = variable(environment);
	uint64_t parsed;
	if (text == NULL)
		return false;
	if (hkm_parse_thousandths(text, &parsed) && parsed >= low && parsed <= high)
		*value = parsed;
	else
		hkm_warn("%s=%s: expected %lu.%03lu..%lu.%03lu (%s); using %lu.%03lu", environment, text, low / 1000,
			 low % 1000, high / 1000, high % 1000, unit, *value / 1000, *value % 1000);
	return true;
}

static bool read_enum(const char *environment, uint64_t *value, const char *choices)
{
	const char *text = variable(environment);
	if (text == NULL)
		return false;
	size_t length = strlen(text);
	uint64_t index = 0;
	const char *standard = choices;
	for (const char *choice = choices;; index++) {
		size_t choice_length = strcspn(choice, "|");
		if (length == choice_length && strncmp(choice, text, length) == 0) {
			*value = index;
			return true;
		}
		if (index == *value)
			standard = choice;
		if (choice[choice_length] == '\0')
			break;
		choice += choice_length + 1;
	}
	char name[32];
	size_t cut = hkm_min(strcspn(standard, "|"), sizeof name - 1);
	memcpy(name, standard, cut);
	name[cut] = '\0';
	hkm_warn("%s=%s: expected %s; using %s", environment, text, choices, name);
	return true;
}

static bool read_text(const char *environment, char *value, const char *form)
{
	const char *text = variable(environment);
	if (text == NULL)
		return false;
	size_t length = strlen(text);
	if (length < HKM_OPTION_TEXT_BYTES)
		memcpy(value, text, length + 1);
	else
		hkm_warn("%s: expected %s of less than %d bytes; ignored", environment, form, HKM_OPTION_TEXT_BYTES);
	return true;
}

static bool read_ratios(const char *environment, char *value, const char *form)
{
	const char *text = variable(environment);
	uint32_t ratios[HKM_OPTION_RATIOS_MOST];
	unsigned count;
	if (text == NULL)
		return false;
	size_t length = strlen(text);
	if (length < HKM_OPTION_TEXT_BYTES && hkm_parse_ratios(text, ratios, &count))
		memcpy(value, text, length + 1);
	else
		hkm_warn("%s=%s: expected %s; using %s", environment, text, form, value);
	return true;
}

/* Whether there is a file to be written at exit and it cannot be; that is told now, before the program runs for hours. */
static bool is_refused(const char *environment, const char *pattern)
{
	char path[HKM_OPTION_TEXT_BYTES + 32];
	if (pattern[0] == '\0')
		return false;
	hkm_text_expand_path(pattern, path, sizeof path);
	int error = hkm_os_why_not_create(path);
	if (error != 0)
		hkm_warn_unwritten(environment, path, error);
	return error != 0;
}

void hkm_options_read(void)
{
	/* A program that runs with more rights than its caller takes no orders from the caller. */
	if (getauxval(AT_SECURE) != 0 || !any_variable())
		return;
#define HKM_OPTION_UINT(name, environment, standard, low, high, unit, meaning) \
	hkm_option_given[HKM_OPTION_##name] = read_uint(environment, &hkm_options.name, low, high, unit);
#define HKM_OPTION_REAL(name, environment, standard, low, high, unit, meaning) \
	hkm_option_given[HKM_OPTION_##name] = read_real(environment, &hkm_options.name, low, high, unit);
#define HKM_OPTION_ENUM(name, environment, standard, choices, meaning) \
	hkm_option_given[HKM_OPTION_##name] = read_enum(environment, &hkm_options.name, choices);
#define HKM_OPTION_TEXT(name, environment, standard, form, meaning) \
	hkm_option_given[HKM_OPTION_##name] = read_text(environment, hkm_options.name, form);
#define HKM_OPTION_RATIOS(name, environment, standard, form, meaning) \
	hkm_option_given[HKM_OPTION_##name] = read_ratios(environment, hkm_options.name, form);
#include "core/options.def"
	hkm_misuse_goes_on(hkm_options.on_error == 1);
	hkm_os_advise_in_batches(hkm_options.batch_advice == 1);
	bool reports = hkm_options.stats != 0 || hkm_options.explain == 1;
	if (reports || hkm_options.sites_out[0] != '\0' || hkm_options.profile_out[0] != '\0')
		hkm_os_keep_error();
	hkm_output_refused.stats_file = is_refused("HAKMEM_STATS_FILE", hkm_options.stats_file);
	hkm_output_refused.profile_out = is_refused("HAKMEM_PROFILE_OUT", hkm_options.profile_out);
	hkm_output_refused.sites_out = is_refused("HAKMEM_SITES_OUT", hkm_options.sites_out);
}
