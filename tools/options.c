/* options.c - `hakmem options`: lists every option, for people, as Markdown or as JSON. */
#include <argp.h>
#include <stdio.h>

#include "command.h"

/* ---- For people ------------------------------------------------------------------------------ */

static void list_for_people(void)
{
	printf("Set a variable in the environment, or use: hakmem run --set NAME=VALUE ...\n\n");
	printf("%-26s  %-8s  %s\n", "Variable", "Default", "Range");
	for (const struct hakmem_option *option = hakmem_options; option < hakmem_options + hakmem_option_count;
		 option++) {
		char standard[OPTION_DESCRIPTION_BYTES], range[OPTION_DESCRIPTION_BYTES];
		option_put_default(option, standard);
		option_put_range(option, range);
		printf("%-26s  %-8s  %s\n    %s\n", option->environment, standard[0] == '\0' ? "none" : standard,
			range, option->meaning);
	}
}

/* ---- Markdown: docs/options.md ----------------------------------------------------------------- */

/* A `|` would end the cell. */
static void put_cell(const char *text)
{
	for (; *text != '\0'; text++)
		printf(*text == '|' ? "\\%c" : "%c", *text);
}

static void list_as_markdown(void)
{
	printf(
		"<!-- Printed by `hakmem options --markdown` from src/core/options.def: change it there, then run\n"
		"tools/check/options-doc update. -->\n"
		"# Options\n\n"
		"An option is a variable in the environment of the program, or `hakmem run --set NAME=VALUE`, where NAME\n"
		"is the variable or the name; an empty VALUE stands for the default. Sizes take the suffixes K, M and G, also\n"
		"as KiB, MiB and GiB, in either case (powers of 1024). A value that is not\n"
		"accepted is reported in one line on standard error, and the default is used. Options are read once,\n"
		"when the process starts; a set-user-ID program ignores them.\n\n"
		"| Name | Variable | Default | Range | Meaning |\n"
		"| --- | --- | --- | --- | --- |\n");
	for (const struct hakmem_option *option = hakmem_options; option < hakmem_options + hakmem_option_count;
		 option++) {
		char standard[OPTION_DESCRIPTION_BYTES], range[OPTION_DESCRIPTION_BYTES];
		option_put_default(option, standard);
		option_put_range(option, range);
		printf("| %s | `%s` | %s | ", option->name, option->environment,
			standard[0] == '\0' ? "none" : standard);
		put_cell(range);
		printf(" | ");
		put_cell(option->meaning);
		printf(" |\n");
	}
}

/* ---- JSON ---------------------------------------------------------------------------------------- */

static void put_string(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++)
		printf(*text == '"' || *text == '\\' ? "\\%c" : "%c", *text);
	putchar('"');
}

static void put_member(const char *key, const char *text)
{
	printf(",\"%s\":", key);
	put_string(text);
}

static void put_choices(const char *choices)
{
	printf(",\"choices\":[\"");
	for (; *choices != '\0'; choices++)
		printf(*choices == '|' ? "\",\"" : "%c", *choices);
	printf("\"]");
}

static void put_numbers(const struct hakmem_option *option)
{
	if (option->kind == OPTION_WHOLE)
		printf(",\"default\":%lu,\"minimum\":%lu,\"maximum\":%lu", option->standard, option->minimum,
			option->maximum);
	else
		printf(",\"default\":%g,\"minimum\":%g,\"maximum\":%g", (double)option->standard / 1000,
			(double)option->minimum / 1000, (double)option->maximum / 1000);
	put_member("unit", option->unit);
}

static void list_as_json(void)
{
	static const char *const kinds[] = { "whole", "fraction", "choice", "text", "ratios" };
	printf("[");
	for (const struct hakmem_option *option = hakmem_options; option < hakmem_options + hakmem_option_count;
		 option++) {
		char standard[OPTION_DESCRIPTION_BYTES];
		option_put_default(option, standard);
		printf("%s\n{\"name\":\"%s\",\"environment\":\"%s\",\"kind\":\"%s\"",
			option == hakmem_options ? "" : ",", option->name, option->environment, kinds[option->kind]);
		switch (option->kind) {
		case OPTION_WHOLE:
		case OPTION_FRACTION:
			put_numbers(option);
			break;
		case OPTION_CHOICE:
			put_member("default", standard);
			put_choices(option->form);
			break;
		case OPTION_TEXT:
		case OPTION_RATIOS:
			put_member("default", standard);
			put_member("form", option->form);
			break;
		}
		put_member("meaning", option->meaning);
		printf("}");
	}
	printf("\n]\n");
}

/* ---- The command line ------------------------------------------------------------------------------ */

static error_t take(int key, char *value, struct argp_state *state)
{
	void (**list)(void) = state->input;
	(void)value;
	switch (key) {
	case 'm':
		*list = list_as_markdown;
		return 0;
	case 'j':
		*list = list_as_json;
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int command_options(int argument_count, char **arguments)
{
	static const struct argp_option known[] = {
		{ "markdown", 'm', NULL, 0, "as a Markdown page (docs/options.md)", 0 },
		{ "json", 'j', NULL, 0, "as a JSON array", 0 },
		{ 0 },
	};
	static const struct argp parser = {
		.options = known,
		.parser = take,
		.doc = "Lists every option of HAKMEM: its variable, default, range with unit, and meaning.",
	};
	void (*list)(void) = list_for_people;
	argp_parse(&parser, argument_count, arguments, 0, NULL, &list);
	list();
	return 0;
}
