/* rules.c - see rules.h. */
#include "sites/rules.h"

#include <string.h>

#define HEADER "hakmem-sites 1"
#define SYMBOL "symbol:"
#define LONGEST_NAME 255

static const struct {
	const char *name;
	uint8_t hint;
} hints[] = {
	{ "long-lived", HKM_HINT_LONG_LIVED }, { "big", HKM_HINT_BIG },   { "no-cache", HKM_HINT_NO_CACHE },
	{ "populate", HKM_HINT_POPULATE },     { "huge", HKM_HINT_HUGE },
};

void hkm_hints_put(struct hkm_text *text, hkm_hints set)
{
	for (size_t i = 0; i < sizeof hints / sizeof hints[0]; i++)
		if ((set & hints[i].hint) != 0)
			hkm_text_put(text, " %s", hints[i].name);
}

static bool parse_offset(struct hkm_word digits, uint64_t *offset)
{
	*offset = 0;
	for (size_t i = 0; i < digits.length; i++) {
		char c = digits.start[i];
		unsigned digit = c >= '0' && c <= '9' ? (unsigned)(c - '0') :
				 c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10 :
				 c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10 : 16;
		if (digit == 16)
			return false;
		*offset = *offset << 4 | digit;
	}
	return digits.length > 0 && digits.length <= 12; /* an offset is less than 2^48 */
}

/* The place, symbol:NAME or MODULE+0xOFFSET; names of modules may have a plus, too. */
static bool parse_place(struct hkm_word word, struct hkm_rule *rule)
{
	size_t prefix = strlen(SYMBOL);
	*rule = (struct hkm_rule){ .name = word };
	if (word.length > prefix && memcmp(word.start, SYMBOL, prefix) == 0) {
		hkm_word_skip(&rule->name, prefix);
		rule->is_symbol = true;
		return rule->name.length <= LONGEST_NAME;
	}
	for (size_t at = word.length; at-- > 1;) {
		if (word.start[at] != '+')
			continue;
		struct hkm_word digits = word;
		hkm_word_skip(&digits, at + 1);
		if (digits.length < 3 || digits.start[0] != '0' || digits.start[1] != 'x')
			return false;
		hkm_word_skip(&digits, 2);
		rule->name.length = at;
		return at <= LONGEST_NAME && parse_offset(digits, &rule->offset);
	}
	return false;
}

static bool same_place(const struct hkm_rule *one, const struct hkm_rule *other)
{
	return one->is_symbol == other->is_symbol && one->offset == other->offset &&
	       one->name.length == other->name.length &&
	       memcmp(one->name.start, other->name.start, one->name.length) == 0;
}

/* PLACE HINT... */
static bool parse_rule(struct hkm_lines *lines, struct hkm_rule *rules, unsigned *count)
{
	struct hkm_rule rule;
	struct hkm_word place = hkm_word_take(&lines->line, ' ');
	if (!parse_place(place, &rule))
		return hkm_lines_refuse(lines, place, "expected MODULE+0xOFFSET or symbol:NAME");
	for (unsigned i = 0; i < *count; i++)
		if (same_place(&rules[i], &rule))
			return hkm_lines_refuse(lines, place, "given twice");
	while (lines->line.length > 0) {
		struct hkm_word word = hkm_word_take(&lines->line, ' ');
		size_t i = 0;
		while (i < sizeof hints / sizeof hints[0] && !hkm_word_is(word, hints[i].name))
			i++;
		if (i == sizeof hints / sizeof hints[0]) {
			hkm_lines_refuse(lines, place, "expected long-lived, big, no-cache, populate or huge, not '");
			hkm_word_put(&lines->error, word);
			hkm_text_put(&lines->error, "'");
			return false;
		}
		rule.hints |= hints[i].hint;
	}
	if (rule.hints == 0)
		return hkm_lines_refuse(lines, place, "no hint is given");
	if (*count == HKM_RULES_MOST)
		return hkm_lines_refuse(lines, place, "more than 1024 rules");
	rules[(*count)++] = rule;
	return true;
}

static bool parse_lines(struct hkm_lines *lines, struct hkm_rule *rules, unsigned *count)
{
	bool any = hkm_lines_next(lines);
	if (!any && lines->error.total > 0)
		return false;
	if (!any || !hkm_word_is(lines->line, HEADER)) {
		lines->number = 1;
		return hkm_lines_refuse(lines, (struct hkm_word){ 0 }, "expected '" HEADER "'");
	}
	while (hkm_lines_next(lines))
		if (lines->line.length > 0 && !parse_rule(lines, rules, count))
			return false;
	return lines->error.total == 0;
}

bool hkm_rules_parse(const char *text, size_t length, struct hkm_rule rules[HKM_RULES_MOST], unsigned *count,
		     char error[HKM_RULES_ERROR_BYTES])
{
	struct hkm_lines lines = {
		.rest = { text, length },
		.error = { .buffer = error, .capacity = HKM_RULES_ERROR_BYTES, .descriptor = -1 },
	};
	*count = 0;
	bool good = parse_lines(&lines, rules, count);
	if (!good)
		*count = 0;
	hkm_text_finish(&lines.error);
	return good;
}
