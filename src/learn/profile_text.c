/* profile_text.c - the text of a profile: parser and writer; see profile.h, and core/lines.h for lines and words. */
#include <string.h>

#include "core/lines.h"
#include "core/options.h"
#include "hakmem.h"
#include "learn/profile.h"

#define HEADER "hakmem-profile "
#define NUMBER_BYTES 32

struct parser {
	struct hkm_lines lines;
	unsigned last_key;  /* that was found */
	bool has_windows, has_goal;
	struct hkm_profile *profile;
};

/* ---- Errors -------------------------------------------------------------------------------------------------- */

/* Says what is wrong with the line, or with its key if that is not empty; result: false. */
static bool refuse(struct parser *parser, struct hkm_word key, const char *what)
{
	return hkm_lines_refuse(&parser->lines, key, what);
}

static void put_value(struct hkm_text *text, uint64_t value, bool thousandths)
{
	if (thousandths)
		hkm_text_put(text, "%lu.%03lu", value / 1000, value % 1000);
	else
		hkm_text_put(text, "%lu", value);
}

/* Says which values the key takes; result: false. */
static bool refuse_value(struct parser *parser, struct hkm_word key, struct hkm_word value,
			 const struct hkm_profile_key *description)
{
	refuse(parser, key, "expected ");
	put_value(&parser->lines.error, description->low, description->thousandths);
	hkm_text_put(&parser->lines.error, "..");
	put_value(&parser->lines.error, description->high, description->thousandths);
	hkm_text_put(&parser->lines.error, " %s, not '", description->unit);
	hkm_word_put(&parser->lines.error, value);
	hkm_text_put(&parser->lines.error, "'");
	return false;
}

/* ---- Numbers and keys -------------------------------------------------------------------------------------------- */

static bool parse_number(struct hkm_word word, bool thousandths, uint64_t low, uint64_t high, uint64_t *value)
{
	char text[NUMBER_BYTES];
	if (word.length >= sizeof text)
		return false;
	memcpy(text, word.start, word.length);
	text[word.length] = '\0';
	return (thousandths ? hkm_parse_thousandths : hkm_parse_uint)(text, value) && *value >= low && *value <= high;
}

/* The key of that name; HKM_PROFILE_KEYS: none. Looks behind the last one first: texts are written in order. */
static unsigned find_key(struct parser *parser, struct hkm_word name, struct hkm_profile_key *description)
{
	for (unsigned tried = 0; tried < HKM_PROFILE_KEYS; tried++) {
		unsigned key = (parser->last_key + 1 + tried) % HKM_PROFILE_KEYS;
		hkm_profile_describe(key, description);
		if (hkm_word_is(name, description->name))
			return parser->last_key = key;
	}
	return HKM_PROFILE_KEYS;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static bool parse_goal(struct parser *parser, struct hkm_word key, struct hkm_word value)
{
	bool good = !parser->has_goal && value.length < HKM_PROFILE_GOAL_BYTES;
	for (size_t i = 0; i < value.length; i++)
		good = good && value.start[i] >= 'a' && value.start[i] <= 'z';
	if (parser->has_goal)
		return refuse(parser, key, "given twice");
	if (!good)
		return refuse(parser, key, "expected a word of at most 15 small letters");
	memcpy(parser->profile->goal, value.start, value.length);
	parser->profile->goal[value.length] = '\0';
	parser->has_goal = true;
	return true;
}

static bool parse_windows(struct parser *parser, struct hkm_word key, struct hkm_word value)
{
	static const struct hkm_profile_key description = { .unit = "windows", .high = HKM_PROFILE_MOST };
	if (parser->has_windows)
		return refuse(parser, key, "given twice");
	if (!parse_number(value, false, 0, HKM_PROFILE_MOST, &parser->profile->windows))
		return refuse_value(parser, key, value, &description);
	parser->has_windows = true;
	return true;
}

static bool parse_value(struct parser *parser, struct hkm_word name, struct hkm_word value, struct hkm_word weight)
{
	static const struct hkm_profile_key weights = { .unit = "windows as weight", .high = HKM_PROFILE_MOST };
	struct hkm_profile_key description;
	unsigned key = find_key(parser, name, &description);
	if (key == HKM_PROFILE_KEYS)
		return refuse(parser, name, "no such key");
	struct hkm_profile_value *place = &parser->profile->values[key];
	if (place->present)
		return refuse(parser, name, "given twice");
	if (!parse_number(value, description.thousandths, description.low, description.high, &place->value))
		return refuse_value(parser, name, value, &description);
	if (weight.length > 0 && !parse_number(weight, false, 0, HKM_PROFILE_MOST, &place->weight))
		return refuse_value(parser, name, weight, &weights);
	place->present = true;
	return true;
}

/* key = value [weight] */
static bool parse_line(struct parser *parser)
{
	struct hkm_word key = hkm_word_take(&parser->lines.line, '=');
	if (key.length == 0 || parser->lines.line.length == 0 || parser->lines.line.start[0] != '=')
		return refuse(parser, key, "expected KEY = VALUE [WEIGHT]");
	hkm_word_skip(&parser->lines.line, 1);
	hkm_word_skip_blanks(&parser->lines.line);
	struct hkm_word value = hkm_word_take(&parser->lines.line, '='), weight = hkm_word_take(&parser->lines.line, '=');
	bool is_windows = hkm_word_is(key, "windows"), is_goal = hkm_word_is(key, "goal");
	if (value.length == 0 || parser->lines.line.length > 0 || (weight.length > 0 && (is_windows || is_goal)))
		return refuse(parser, key, is_windows || is_goal ? "expected one value" : "expected VALUE [WEIGHT]");
	if (is_windows)
		return parse_windows(parser, key, value);
	if (is_goal)
		return parse_goal(parser, key, value);
	return parse_value(parser, key, value, weight);
}

static bool parse_header(struct parser *parser)
{
	uint64_t version;
	struct hkm_word line = parser->lines.line;
	size_t length = strlen(HEADER);
	if (line.length <= length || memcmp(line.start, HEADER, length) != 0)
		return refuse(parser, (struct hkm_word){ 0 }, "expected 'hakmem-profile 1'");
	hkm_word_skip(&line, length);
	if (!parse_number(line, false, HKM_PROFILE_VERSION, HKM_PROFILE_VERSION, &version))
		return refuse(parser, (struct hkm_word){ 0 }, "expected 'hakmem-profile 1', not another version");
	return true;
}

static bool parse_lines(struct parser *parser)
{
	if (!hkm_lines_next(&parser->lines)) {
		parser->lines.number = 1;
		return parser->lines.error.length > 0 ? false : refuse(parser, (struct hkm_word){ 0 }, "expected 'hakmem-profile 1'");
	}
	if (!parse_header(parser))
		return false;
	while (hkm_lines_next(&parser->lines))
		if (parser->lines.line.length > 0 && !parse_line(parser))
			return false;
	return parser->lines.error.length == 0;
}

bool hkm_profile_parse(const char *text, size_t length, struct hkm_profile *profile,
		       char error[HKM_PROFILE_ERROR_BYTES])
{
	struct parser parser = {
		.lines = {
			.rest = { text, length },
			.error = { .buffer = error, .capacity = HKM_PROFILE_ERROR_BYTES, .descriptor = -1 },
		},
		.last_key = HKM_PROFILE_KEYS - 1,
		.profile = profile,
	};
	*profile = (struct hkm_profile){ 0 };
	bool good = parse_lines(&parser);
	if (!good)
		*profile = (struct hkm_profile){ 0 };
	hkm_text_finish(&parser.lines.error);
	return good;
}

/* ---- Writing --------------------------------------------------------------------------------------------------- */

size_t hkm_profile_write(const struct hkm_profile *profile, char *buffer, size_t size)
{
	struct hkm_text text = { .buffer = buffer, .capacity = size, .descriptor = -1 };
	hkm_text_put(&text, HEADER "%u\n# hakmem %s; key = value weight\n", HKM_PROFILE_VERSION, HKM_VERSION_STRING);
	hkm_text_put(&text, "windows = %lu\n", profile->windows);
	if (profile->goal[0] != '\0')
		hkm_text_put(&text, "goal = %s\n", profile->goal);
	for (unsigned key = 0; key < HKM_PROFILE_KEYS; key++) {
		const struct hkm_profile_value *value = &profile->values[key];
		struct hkm_profile_key description;
		if (!value->present)
			continue;
		hkm_profile_describe(key, &description);
		HKM_ASSERT(value->value >= description.low && value->value <= description.high);
		hkm_text_put(&text, "%s = ", description.name);
		put_value(&text, value->value, description.thousandths);
		hkm_text_put(&text, " %lu\n", value->weight);
	}
	hkm_text_finish(&text);
	return text.total;
}
