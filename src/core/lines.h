/* lines.h - reads a small text of the user's line by line: the words of profiles and of rule files.
 *
 * Goes through the text once and stops at the first error. Looks at no byte beyond its length, and needs no NUL. A line
 * that no newline ends is refused, so that a file which was cut within a line is not taken for a whole one; so are
 * control characters. A comment goes from # to the end of its line.
 */
#ifndef HKM_LINES_H
#define HKM_LINES_H

#include "core/text.h"

#define HKM_WORD_SHOWN 32 /* more of a word does not go into an error */

/* A piece of the text, or of a line. */
struct hkm_word {
	const char *start;
	size_t length;
};

struct hkm_lines {
	struct hkm_word rest;  /* text that is yet to be read */
	struct hkm_word line;  /* what is left of the current line, without comment and blanks at the end */
	unsigned number;       /* of the line, from 1 */
	struct hkm_text error; /* empty, or "LINE: KEY: what is wrong" */
};

/* Takes the next line of the text: without its newline, blanks around it, and comment. Result: false at the end, or
 * after an error. */
bool hkm_lines_next(struct hkm_lines *lines);

/* Says what is wrong with the line, or with its key if that is not empty; result: false. */
bool hkm_lines_refuse(struct hkm_lines *lines, struct hkm_word key, const char *what);

/* Puts a word so that it stays one short line, whatever is in it. */
void hkm_word_put(struct hkm_text *text, struct hkm_word word);

bool hkm_word_is(struct hkm_word word, const char *text);

/* Takes `length` bytes off a line; takes the blanks at its start off. */
void hkm_word_skip(struct hkm_word *line, size_t length);
void hkm_word_skip_blanks(struct hkm_word *line);

/* Takes the next word off a line: up to a blank or `end`, then the blanks behind it. */
struct hkm_word hkm_word_take(struct hkm_word *line, char end);

#endif
