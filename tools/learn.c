/* learn.c - `hakmem learn`: becomes another program that learns its policy and leaves a profile at its end. */
#include <argp.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct request {
	const char *profile; /* the file to write; NULL: none given */
	char **program;      /* and its arguments; ends with NULL */
};

static error_t take(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;
	switch (key) {
	case 'o':
		request->profile = value;
		return 0;
	case 's':
		set_assignment(value);
		return 0;
	case ARGP_KEY_ARG:
		/* All that follows belongs to the program. */
		request->program = state->argv + state->next - 1;
		state->next = state->argc;
		return 0;
	case ARGP_KEY_NO_ARGS:
		fail(EXIT_WRONG_USE, "learn: no program given; see: hakmem learn --help");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int command_learn(int argument_count, char **arguments)
{
	static const struct argp_option known[] = {
		{ "output", 'o', "FILE", 0, "write the profile to FILE; %p in it becomes the process id", 0 },
		{ "set", 's', "NAME=VALUE", 0, "set an option (see: hakmem options); may be repeated", 0 },
		{ 0 },
	};
	static const struct argp parser = {
		.options = known,
		.parser = take,
		.args_doc = "-o FILE [--] PROGRAM [ARGUMENT...]",
		.doc =
			"Runs PROGRAM on HAKMEM, which learns from it and writes a profile when it ends.\v"
			"Use the profile with: HAKMEM_PROFILE=FILE hakmem run -- PROGRAM\n"
			"Every process that PROGRAM starts writes FILE, too, and the last to end wins; with %p each has a file of "
			"its own (see: hakmem profile merge).\n"
			"Exit code: as with hakmem run.",
	};
	struct request request = { 0 };
	argp_parse(&parser, argument_count, arguments, ARGP_IN_ORDER, NULL, &request);
	if (request.profile == NULL)
		fail(EXIT_WRONG_USE, "learn: no -o FILE given; see: hakmem learn --help");
	set_path("profile_out", request.profile);
	if (setenv("HAKMEM_LEARN", "1", 1) != 0)
		fail(EXIT_WRONG_USE, "HAKMEM_LEARN: %s", strerror(errno));
	become(request.program);
}
