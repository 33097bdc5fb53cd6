/* hakmem.c - the command `hakmem`: runs programs on HAKMEM, lists its options, measures it, and handles what it
 * learned. */
#include <argp.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"
#include "hakmem.h"

static const struct command {
	const char *name;
	const char *shown_name; /* in the messages of argp */
	int (*run)(int argument_count, char **arguments);
} commands[] = {
	{ "run", "hakmem run", command_run },
	{ "learn", "hakmem learn", command_learn },
	{ "profile", "hakmem profile", command_profile },
	{ "options", "hakmem options", command_options },
	{ "bench", "hakmem bench", command_bench },
};

static const struct argp parser;

void fail(int code, const char *format, ...)
{
	va_list arguments;
	char *line;
	va_start(arguments, format);
	if (vasprintf(&line, format, arguments) < 0)
		exit(code);
	for (char *at = line; *at != '\0'; at++)
		if ((unsigned char)*at < ' ' || *at == 0x7F)
			*at = '?';
	fprintf(stderr, "hakmem: %s\n", line);
	free(line);
	va_end(arguments);
	exit(code);
}

/* Runs the command that arguments[0] names. */
static int run_command(int argument_count, char **arguments)
{
	char shown_name[32];
	for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
		if (strcmp(arguments[0], commands[i].name) == 0) {
			snprintf(shown_name, sizeof shown_name, "%s", commands[i].shown_name);
			arguments[0] = shown_name;
			return commands[i].run(argument_count, arguments);
		}
	fail(EXIT_WRONG_USE, "no command '%s'; there are: run, learn, profile, options, bench, help", arguments[0]);
}

/* `hakmem help [COMMAND]` is `hakmem [COMMAND] --help`, and `hakmem help --OPTION` is `hakmem --OPTION`. */
static int help(int argument_count, char **arguments)
{
	char program[] = "hakmem", option[] = "--help", *given = argument_count > 1 ? arguments[1] : option;
	if (strcmp(given, "help") == 0)
		given = option;
	if (given[0] != '-')
		return run_command(2, (char *[]){ given, option, NULL });
	return (int)argp_parse(&parser, 2, (char *[]){ program, given, NULL }, 0, NULL, NULL);
}

static error_t take(int key, char *value, struct argp_state *state)
{
	char **arguments = state->argv + state->next - 1;
	int *exit_code = state->input;
	switch (key) {
	case ARGP_KEY_ARG:
		*exit_code =
			(strcmp(value, "help") == 0 ? help : run_command)(state->argc - state->next + 1, arguments);
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		argp_usage(state);
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

static const struct argp parser = {
	.parser = take,
	.args_doc = "COMMAND [ARGUMENT...]",
	.doc = "Runs programs on HAKMEM, a general-purpose memory allocator.\v"
		   "Commands:\n"
		   "  run [OPTION...] [--] PROGRAM [ARGUMENT...]   run a program on HAKMEM\n"
		   "  learn [--sites] -o FILE [--] PROGRAM [...]   run a program, and keep what was learned\n"
		   "  profile show|diff|merge FILE...              look at what was learned, or join it\n"
		   "  options [--markdown|--json]                  list the options of HAKMEM\n"
		   "  bench [OPTION...] [NAME...]                  measure HAKMEM against other allocators\n"
		   "  help [COMMAND]                               this help, or that of a command\n\n"
		   "Example: hakmem run --stats --set purge_delay_ms=100 -- python3 program.py",
};

/* At exit, as argp exits by itself after it has printed a help. */
static void end_output(void)
{
	bool failed = ferror(stdout) != 0;
	errno = 0;
	if (fflush(stdout) == 0 && !failed)
		return;
	fprintf(stderr, "hakmem: standard output: %s\n", strerror(errno != 0 ? errno : EIO));
	_exit(EXIT_WRONG_USE);
}

int main(int argument_count, char **arguments)
{
	int exit_code = 0;
	atexit(end_output);
	argp_program_version = "hakmem " HKM_VERSION_STRING;
	argp_err_exit_status = EXIT_WRONG_USE;
	argp_parse(&parser, argument_count, arguments, ARGP_IN_ORDER, NULL, &exit_code);
	return exit_code;
}
