/* learn.c - `hakmem learn`: becomes another program that learns its policy and leaves a profile at its end, or that
 * samples its blocks and leaves rules for its call sites. */
#include <argp.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"

struct request {
	const char *output; /* the file to write; NULL: none given */
	bool sites;         /* it gets rules for call sites, not a profile */
	char **program;     /* and its arguments; ends with NULL */
};

static error_t take(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;
	switch (key) {
	case 'o':
		request->output = value;
		return 0;
	case 'c':
		request->sites = true;
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
		{ "output", 'o', "FILE", 0, "write what was learned to FILE; %p in it becomes the process id", 0 },
		{ "sites", 'c', NULL, 0, "learn rules for call sites, not a profile", 0 },
		{ "set", 's', "NAME=VALUE", 0, "set an option (see: hakmem options); may be repeated", 0 },
		{ 0 },
	};
	static const struct argp parser = {
		.options = known,
		.parser = take,
		.args_doc = "[--sites] -o FILE [--] PROGRAM [ARGUMENT...]",
		.doc =
			"Runs PROGRAM on HAKMEM, which learns from it and writes a profile when it ends.\v"
			"Use the profile with: HAKMEM_PROFILE=FILE hakmem run -- PROGRAM\n"
			"With --sites it samples the blocks instead, and writes rules for the places that ask for them; use "
			"these with: HAKMEM_SITES=FILE hakmem run -- PROGRAM\n"
			"Every process that PROGRAM starts writes FILE, too, and the last to end wins; with %p each has a file of "
			"its own (see: hakmem profile merge).\n"
			"Exit code: as with hakmem run.",
	};
	struct request request = { 0 };
	argp_parse(&parser, argument_count, arguments, ARGP_IN_ORDER, NULL, &request);
	if (request.output == NULL)
		fail(EXIT_WRONG_USE, "learn: no -o FILE given; see: hakmem learn --help");
	set_path(request.sites ? "sites_out" : "profile_out", "learn -o ", request.output);
	if (!request.sites && setenv("HAKMEM_LEARN", "1", 1) != 0)
		fail(EXIT_WRONG_USE, "HAKMEM_LEARN: %s", strerror(errno));
	become(request.program);
}
