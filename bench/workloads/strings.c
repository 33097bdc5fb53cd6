/* strings.c - text of mixed lifetime.
 *
 * Purpose: what interpreters and servers do with text. Access: words are made and joined; most
 * results die at once, one in 8 lives for the next 20,000 steps, one in 256 to the end; lengths
 * from a few bytes to some kilobytes. Punishes: long-lived blocks that pin pages of short-lived
 * ones, poor reuse of what has just been freed, and slow realloc of small blocks. */
#include "workload.h"

enum {
	RECENT = 20000
};

static char *word(struct dice *dice)
{
	size_t length = dice_size(dice, 4, 2048);
	char *text = malloc(length + 1);
	require(text != NULL, "out of memory");
	memset(text, (int)('a' + length % 26), length);
	text[length] = 0;
	return text;
}

static char *joined(char *first, const char *second)
{
	size_t length = strlen(first), added = strlen(second);
	char *text = realloc(first, length + added + 2);
	require(text != NULL, "out of memory");
	text[length] = ' ';
	memcpy(text + length + 1, second, added + 1);
	return text;
}

int main(int argc, char **argv)
{
	static char *recent[RECENT];
	size_t steps = scaled(argc, argv, 1, 4500000);
	char **kept = calloc(steps / 256 + 1, sizeof(char *));
	size_t kept_count = 0;
	struct dice dice = { 23 };
	uint64_t sum = 0;

	require(kept != NULL, "out of memory");
	for (size_t step = 0; step < steps; step++) {
		char *text = word(&dice);
		char *second = word(&dice);
		text = joined(text, second);
		free(second);
		sum = sum * 31 + strlen(text) + (unsigned char)text[0];
		if (step % 256 == 0) {
			kept[kept_count++] = text;
		} else if (step % 8 == 0) {
			char **place = &recent[step / 8 % RECENT];
			if (*place != NULL)
				sum += strlen(*place);
			free(*place);
			*place = text;
		} else {
			free(text);
		}
	}
	for (size_t i = 0; i < kept_count; i++) {
		sum = sum * 31 + strlen(kept[i]);
		free(kept[i]);
	}
	for (size_t i = 0; i < RECENT; i++)
		free(recent[i]);
	free(kept);
	finish(sum);
}
