/* profile_text.c - the text of a profile: parser and writer; see profile.h.
 *
 * The parser goes through the text once, line by line, and stops at the first error. It looks at no byte beyond
 * `length`, and copies what it hands on into small buffers of its own, so the text need not end with a NUL. A line that
 * no newline ends is refused, so that a file which was cut within a line is not taken for a whole one.
 */
#include <string.h>

#include "core/options.h"
#include "core/text.h"
#include "hakmem.h"
#include "learn/profile.h"

#define HEADER "hakmem-profile "
#define NUMBER_BYTES 32

struct word {
	const char *start;
	size_t length;
};

struct parser {
	struct word rest;   /* text that is yet to be read */
	struct word line;   /* what is left of the current line, without comment and blanks at the end */
	unsigned number;    /* of the line, from 1 */
	unsigned last_key;  /* that was found */
	bool has_windows, has_goal;
	struct hkm_profile *profile;
	struct hkm_text error;
};

/* ---- Errors -------------------------------------------------------------------------------------------------- */

/* Puts a word so that it stays one short line, whatever is in it. */
static void put_word(struct hkm_text *text, struct word word)
{
	for (size_t i = 0; i < word.length && i < HKM_PROFILE_KEY_BYTES; i++)
		hkm_text_put(text, "%c", word.start[i] > ' ' && word.start[i] < 0x7f ? word.start[i] : '?');
	if (word.length > HKM_PROFILE_KEY_BYTES)
		hkm_text_put(text, "...");
}

/* Says what is wrong with the line, or with its key if that is not empty; result: false. */
static bool refuse(struct parser *parser, struct word key, const char *what)
{
	hkm_text_put(&parser->error, "%u: ", parser->number);
	if (key.length > 0) {
		put_word(&parser->error, key);
		hkm_text_put(&parser->error, ": ");
	}
	hkm_text_put(&parser->error, "%s", what);
	return false;
}

static void put_value(struct hkm_text *text, uint64_t value, bool thousandths)
{
	if (thousandths)
		hkm_text_put(text, "%lu.%03lu", value / 1000, value % 1000);
	else
		hkm_text_put(text, "%lu", value);
}

/* Says which values the key takes; result: false. */
static bool refuse_value(struct parser *parser, struct word key, struct word value,
			 const struct hkm_profile_key *description)
{
	refuse(parser, key, "expected ");
	put_value(&parser->error, description->low, description->thousandths);
	hkm_text_put(&parser->error, "..");
	put_value(&parser->error, description->high, description->thousandths);
	hkm_text_put(&parser->error, " %s, not '", description->unit);
	put_word(&parser->error, value);
	hkm_text_put(&parser->error, "'");
	return false;
}

/* ---- Words --------------------------------------------------------------------------------------------------- */

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool is_word(struct word word, const char *text)
{
	return strlen(text) == word.length && memcmp(text, word.start, word.length) == 0;
}

static void skip(struct word *line, size_t length)
{
	*line = (struct word){ line->start + length, line->length - length };
}

static void skip_blanks(struct word *line)
{
	while (line->length > 0 && is_blank(line->start[0]))
		skip(line, 1);
}

/* Takes the next word off a line: up to a blank or '=', then the blanks behind it. */
static struct word take_word(struct word *line)
{
	struct word word = { line->start, 0 };
	while (word.length < line->length && !is_blank(word.start[word.length]) && word.start[word.length] != '=')
		word.length++;
	skip(line, word.length);
	skip_blanks(line);
	return word;
}

static struct word first_word(struct word line)
{
	skip_blanks(&line);
	return take_word(&line);
}

/* Takes the next line of the text: without its newline, blanks around it, and comment. Result: false at the end, or
 * after an error. */
static bool take_line(struct parser *parser)
{
	struct word *rest = &parser->rest, line = *rest;
	if (rest->length == 0)
		return false;
	parser->number++;
	const char *newline = memchr(rest->start, '\n', rest->length);
	if (newline == NULL)
		return refuse(parser, first_word(line), "no newline ends the line; was the file cut?");
	line.length = (size_t)(newline - line.start);
	*rest = (struct word){ newline + 1, rest->length - line.length - 1 };
	if (line.length > 0 && line.start[line.length - 1] == '\r')
		line.length--;
	for (size_t i = 0; i < line.length; i++)
		if (((unsigned char)line.start[i] < ' ' && line.start[i] != '\t') || line.start[i] == 0x7f)
			return refuse(parser, first_word(line), "a control character; is this a text?");
	const char *comment = line.length > 0 ? memchr(line.start, '#', line.length) : NULL;
	if (comment != NULL)
		line.length = (size_t)(comment - line.start);
	while (line.length > 0 && is_blank(line.start[line.length - 1]))
		line.length--;
	skip_blanks(&line);
	parser->line = line;
	return true;
}

/* ---- Numbers and keys -------------------------------------------------------------------------------------------- */

static bool parse_number(struct word word, bool thousandths, uint64_t low, uint64_t high, uint64_t *value)
{
	char text[NUMBER_BYTES];
	if (word.length >= sizeof text)
		return false;
	memcpy(text, word.start, word.length);
	text[word.length] = '\0';
	return (thousandths ? hkm_parse_thousandths : hkm_parse_uint)(text, value) && *value >= low && *value <= high;
}

/* The key of that name; HKM_PROFILE_KEYS: none. Looks behind the last one first: texts are written in order. */
static unsigned find_key(struct parser *parser, struct word name, struct hkm_profile_key *description)
{
	for (unsigned tried = 0; tried < HKM_PROFILE_KEYS; tried++) {
		unsigned key = (parser->last_key + 1 + tried) % HKM_PROFILE_KEYS;
		hkm_profile_describe(key, description);
		if (is_word(name, description->name))
			return parser->last_key = key;
	}
	return HKM_PROFILE_KEYS;
}

/* ---- Lines ------------------------------------------------------------------------------------------------------- */

static bool parse_goal(struct parser *parser, struct word key, struct word value)
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

static bool parse_windows(struct parser *parser, struct word key, struct word value)
{
	static const struct hkm_profile_key description = { .unit = "windows", .high = HKM_PROFILE_MOST };
	if (parser->has_windows)
		return refuse(parser, key, "given twice");
	if (!parse_number(value, false, 0, HKM_PROFILE_MOST, &parser->profile->windows))
		return refuse_value(parser, key, value, &description);
	parser->has_windows = true;
	return true;
}

static bool parse_value(struct parser *parser, struct word name, struct word value, struct word weight)
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
	struct word key = take_word(&parser->line);
	if (key.length == 0 || parser->line.length == 0 || parser->line.start[0] != '=')
		return refuse(parser, key, "expected KEY = VALUE [WEIGHT]");
	skip(&parser->line, 1);
	skip_blanks(&parser->line);
	struct word value = take_word(&parser->line), weight = take_word(&parser->line);
	bool is_windows = is_word(key, "windows"), is_goal = is_word(key, "goal");
	if (value.length == 0 || parser->line.length > 0 || (weight.length > 0 && (is_windows || is_goal)))
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
	struct word line = parser->line;
	size_t length = strlen(HEADER);
	if (line.length <= length || memcmp(line.start, HEADER, length) != 0)
		return refuse(parser, (struct word){ 0 }, "expected 'hakmem-profile 1'");
	skip(&line, length);
	if (!parse_number(line, false, HKM_PROFILE_VERSION, HKM_PROFILE_VERSION, &version))
		return refuse(parser, (struct word){ 0 }, "expected 'hakmem-profile 1', not another version");
	return true;
}

static bool parse_lines(struct parser *parser)
{
	if (!take_line(parser)) {
		parser->number = 1;
		return parser->error.length > 0 ? false : refuse(parser, (struct word){ 0 }, "expected 'hakmem-profile 1'");
	}
	if (!parse_header(parser))
		return false;
	while (take_line(parser))
		if (parser->line.length > 0 && !parse_line(parser))
			return false;
	return parser->error.length == 0;
}

bool hkm_profile_parse(const char *text, size_t length, struct hkm_profile *profile,
		       char error[HKM_PROFILE_ERROR_BYTES])
{
	struct parser parser = {
		.rest = { text, length },
		.last_key = HKM_PROFILE_KEYS - 1,
		.profile = profile,
		.error = { .buffer = error, .capacity = HKM_PROFILE_ERROR_BYTES, .descriptor = -1 },
	};
	*profile = (struct hkm_profile){ 0 };
	bool good = parse_lines(&parser);
	if (!good)
		*profile = (struct hkm_profile){ 0 };
	hkm_text_finish(&parser.error);
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
