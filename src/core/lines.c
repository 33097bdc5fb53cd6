/* lines.c - see lines.h. */
#include "core/lines.h"

#include <string.h>

void hkm_word_put(struct hkm_text *text, struct hkm_word word)
{
	for (size_t i = 0; i < word.length && i < HKM_WORD_SHOWN; i++)
		hkm_text_put(text, "%c", word.start[i] > ' ' && word.start[i] < 0x7f ? word.start[i] : '?');
	if (word.length > HKM_WORD_SHOWN)
		hkm_text_put(text, "...");
}

bool hkm_lines_refuse(struct hkm_lines *lines, struct hkm_word key, const char *what)
{
	hkm_text_put(&lines->error, "%u: ", lines->number);
	if (key.length > 0) {
		hkm_word_put(&lines->error, key);
		hkm_text_put(&lines->error, ": ");
	}
	hkm_text_put(&lines->error, "%s", what);
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool hkm_word_is(struct hkm_word word, const char *text)
{
	return strlen(text) == word.length && memcmp(text, word.start, word.length) == 0;
}

void hkm_word_skip(struct hkm_word *line, size_t length)
{
	*line = (struct hkm_word){ line->start + length, line->length - length };
}

void hkm_word_skip_blanks(struct hkm_word *line)
{
	while (line->length > 0 && is_blank(line->start[0]))
		hkm_word_skip(line, 1);
}

struct hkm_word hkm_word_take(struct hkm_word *line, char end)
{
	struct hkm_word word = { line->start, 0 };
	while (word.length < line->length && !is_blank(word.start[word.length]) && word.start[word.length] != end)
		word.length++;
	hkm_word_skip(line, word.length);
	hkm_word_skip_blanks(line);
	return word;
}

static struct hkm_word first_word(struct hkm_word line)
{
	hkm_word_skip_blanks(&line);
	return hkm_word_take(&line, '=');
}

bool hkm_lines_next(struct hkm_lines *lines)
{
	struct hkm_word *rest = &lines->rest, line = *rest;
	if (rest->length == 0)
		return false;
	lines->number++;
	const char *newline = memchr(rest->start, '\n', rest->length);
	if (newline == NULL)
		return hkm_lines_refuse(lines, first_word(line), "no newline ends the line; was the file cut?");
	line.length = (size_t)(newline - line.start);
	*rest = (struct hkm_word){ newline + 1, rest->length - line.length - 1 };
	if (line.length > 0 && line.start[line.length - 1] == '\r')
		line.length--;
	for (size_t i = 0; i < line.length; i++)
		if (((unsigned char)line.start[i] < ' ' && line.start[i] != '\t') || line.start[i] == 0x7f)
			return hkm_lines_refuse(lines, first_word(line), "a control character; is this a text?");
	const char *comment = line.length > 0 ? memchr(line.start, '#', line.length) : NULL;
	if (comment != NULL)
		line.length = (size_t)(comment - line.start);
	while (line.length > 0 && is_blank(line.start[line.length - 1]))
		line.length--;
	hkm_word_skip_blanks(&line);
	lines->line = line;
	return true;
}
