/* profile.c - `hakmem profile`: shows what was learned, compares two profiles, merges many. Reads and writes them with
 * the library's own functions. */
#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "merge.h"
#include "os/os.h"

#define ROW "%-22s  %14s  %12s"
#define VALUE_BYTES 32

static void load(const char *path, struct hkm_profile *profile)
{
	if (!hkm_profile_load("", path, profile)) /* has said why */
		exit(EXIT_WRONG_USE);
}

static void put_value(const struct hkm_profile *profile, unsigned key, char text[VALUE_BYTES])
{
	struct hkm_profile_key description;
	const struct hkm_profile_value *value = &profile->values[key];
	hkm_profile_describe(key, &description);
	if (!value->present)
		snprintf(text, VALUE_BYTES, "-");
	else if (description.thousandths)
		snprintf(text, VALUE_BYTES, "%lu.%03lu", value->value / 1000, value->value % 1000);
	else
		snprintf(text, VALUE_BYTES, "%lu", value->value);
}

/* ---- show ------------------------------------------------------------------------------------------------ */

static int show(const char *file)
{
	struct hkm_profile profile;
	load(file, &profile);
	printf("windows: %lu", profile.windows);
	printf(profile.goal[0] == '\0' ? "\n\n" : ", goal: %s\n\n", profile.goal);
	printf(ROW "  %12s  %s\n", "Key", "Value", "Weight", "Default", "Range");
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		struct hkm_profile_key description;
		char value[VALUE_BYTES], weight[VALUE_BYTES], standard[OPTION_DESCRIPTION_BYTES] = "",
			range[OPTION_DESCRIPTION_BYTES];
		if (!profile.values[key].present)
			continue;
		hkm_profile_describe(key, &description);
		put_value(&profile, key, value);
		snprintf(weight, sizeof weight, "%lu", profile.values[key].weight);
		snprintf(range, sizeof range, "%lu..%lu %s", description.low, description.high, description.unit);
		const struct hakmem_option *option = option_find(description.name);
		if (option != NULL) { /* capacities by class are no options */
			option_put_default(option, standard);
			option_put_range(option, range);
		}
		printf(ROW "  %12s  %s\n", description.name, value, weight, standard, range);
	}
	return 0;
}

/* ---- diff ------------------------------------------------------------------------------------------------ */

static int diff(const char *first, const char *second)
{
	struct hkm_profile one, other;
	int different = 0;
	load(first, &one);
	load(second, &other);
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		const struct hkm_profile_value *a = &one.values[key], *b = &other.values[key];
		struct hkm_profile_key description;
		char value[VALUE_BYTES], other_value[VALUE_BYTES];
		if (a->present == b->present && a->value == b->value)
			continue;
		if (!different)
			printf(ROW "  %14s  %12s\n", "Key", "First", "Weight", "Second", "Weight");
		different = 1;
		hkm_profile_describe(key, &description);
		put_value(&one, key, value);
		put_value(&other, key, other_value);
		printf("%-22s  %14s  %12lu  %14s  %12lu\n", description.name, value, a->weight, other_value, b->weight);
	}
	return different;
}

/* ---- merge ------------------------------------------------------------------------------------------------- */

/* What was learned for one goal says nothing of another. */
static void require_one_goal(const struct hkm_profile *profiles, char **files, unsigned count)
{
	unsigned first = 0;
	for (unsigned i = 0; i < count; i++) {
		if (profiles[i].goal[0] == '\0')
			continue;
		if (profiles[first].goal[0] == '\0')
			first = i;
		if (strcmp(profiles[i].goal, profiles[first].goal) != 0)
			fail(EXIT_WRONG_USE, "%s has the goal %s, %s the goal %s; they do not merge", files[first],
				profiles[first].goal, files[i], profiles[i].goal);
	}
}

static void merge(const char *output, char **files, unsigned count)
{
	if (output != NULL)
		require_creatable("profile merge -o ", output);
	struct hkm_profile merged, *profiles = calloc(count, sizeof *profiles);
	char text[HKM_PROFILE_FILE_BYTES];
	int error;
	if (profiles == NULL)
		fail(EXIT_WRONG_USE, "out of memory");
	for (unsigned i = 0; i < count; i++)
		load(files[i], &profiles[i]);
	require_one_goal(profiles, files, count);
	merge_profiles(profiles, count, &merged);
	free(profiles);
	size_t length = hkm_profile_write(&merged, text, sizeof text);
	if (output == NULL)
		fputs(text, stdout);
	else if (error = hkm_os_write_file(output, text, length), error != 0)
		fail(EXIT_WRONG_USE, "profile merge -o %s: cannot be written: %s", output, strerror(error));
}

/* ---- The command line ---------------------------------------------------------------------------------------- */

struct request {
	const char *output; /* NULL: standard output */
	char **words;       /* the verb and its files */
	unsigned count;
};

static error_t take(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;
	switch (key) {
	case 'o':
		request->output = value;
		return 0;
	case ARGP_KEY_INIT:
		request->words = calloc((size_t)state->argc + 1, sizeof *request->words);
		if (request->words == NULL)
			fail(EXIT_WRONG_USE, "out of memory");
		return 0;
	case ARGP_KEY_ARG:
		request->words[request->count++] = value;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static int run(const struct request *request)
{
	const char *verb = request->count > 0 ? request->words[0] : "";
	char **files = request->words + 1;
	unsigned count = request->count > 0 ? request->count - 1 : 0;
	bool is_show = strcmp(verb, "show") == 0, is_diff = strcmp(verb, "diff") == 0, is_merge = strcmp(verb, "merge") == 0;
	if (!is_show && !is_diff && !is_merge)
		fail(EXIT_WRONG_USE, "profile: expected show, diff or merge; see: hakmem profile --help");
	if (is_merge ? count < 1 : count != (is_show ? 1 : 2))
		fail(EXIT_WRONG_USE, "profile %s: expected %s", verb, is_show ? "one file" : is_diff ? "two files" : "files");
	if (!is_merge && request->output != NULL)
		fail(EXIT_WRONG_USE, "profile %s: -o belongs to merge", verb);
	if (is_merge)
		merge(request->output, files, count);
	return is_show ? show(files[0]) : is_diff ? diff(files[0], files[1]) : 0;
}

int command_profile(int argument_count, char **arguments)
{
	static const struct argp_option known[] = {
		{ "output", 'o', "FILE", 0, "merge: write the result to FILE instead of standard output", 0 },
		{ 0 },
	};
	static const struct argp parser = {
		.options = known,
		.parser = take,
		.args_doc = "show FILE\ndiff FILE FILE\nmerge [-o FILE] FILE...",
		.doc =
			"Shows what was learned, compares two profiles, or merges many into one.\v"
			"merge takes of each key the median of the files' values, weighted by their evidence.\n"
			"Exit code: 0; 1 if the values of two profiles differ; 2 for a wrong command line or a bad file.",
	};
	struct request request = { 0 };
	argp_parse(&parser, argument_count, arguments, 0, NULL, &request);
	int exit_code = run(&request);
	free(request.words);
	return exit_code;
}
