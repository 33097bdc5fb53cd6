/* run.c - `hakmem run`: becomes another program, with HAKMEM preloaded and its options set. */
#include <argp.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "command.h"
#include "core/options.h"
#include "core/text.h"
#include "os/os.h"

/* Where the library lies, seen from the directory of the installed command (CMAKE_INSTALL_LIBDIR). */
#ifndef HAKMEM_LIBDIR
#define HAKMEM_LIBDIR "lib"
#endif

/* ---- The library ------------------------------------------------------------------------------- */

void command_directory(char directory[PATH_MAX])
{
	ssize_t length = readlink("/proc/self/exe", directory, PATH_MAX - 1);
	if (length < 0)
		fail(EXIT_WRONG_USE, "/proc/self/exe: %s; set HAKMEM_LIBRARY to the library's path", strerror(errno));
	directory[length] = '\0';
	*strrchr(directory, '/') = '\0';
}

const char *command_library(void)
{
	static char path[PATH_MAX];
	const char *named = getenv("HAKMEM_LIBRARY");
	if (named != NULL && named[0] != '\0') {
		if (realpath(named, path) == NULL)
			fail(EXIT_WRONG_USE, "HAKMEM_LIBRARY=%s: %s", named, strerror(errno));
		return path;
	}
	static const char *const places[] = { ".", ("../" HAKMEM_LIBDIR), "../lib" };
	char directory[PATH_MAX];
	command_directory(directory);
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		char candidate[2 * PATH_MAX];
		snprintf(candidate, sizeof candidate, "%s/%s/libhakmem.so", directory, places[i]);
		if (realpath(candidate, path) != NULL)
			return path;
	}
	fail(EXIT_WRONG_USE, "libhakmem.so is not in %s nor in its ../%s; set HAKMEM_LIBRARY to its path",
		directory, HAKMEM_LIBDIR);
}

static void set_variable(const char *name, const char *value)
{
	if (setenv(name, value, 1) != 0)
		fail(EXIT_WRONG_USE, "%s: %s", name, strerror(errno));
}

/* Puts the library before whatever is preloaded already. */
static void preload(const char *library)
{
	if (strpbrk(library, ": ") != NULL)
		fail(EXIT_WRONG_USE, "%s: a library cannot be preloaded from a path with a space or colon", library);
	const char *others = getenv("LD_PRELOAD");
	char *list;
	if (asprintf(&list, "%s%s%s", library, others == NULL || others[0] == '\0' ? "" : ":",
			others == NULL ? "" : others) < 0)
		fail(EXIT_WRONG_USE, "out of memory");
	set_variable("LD_PRELOAD", list);
	free(list);
}

/* ---- The options --------------------------------------------------------------------------------- */

static void set_option(const char *name, const char *value)
{
	const struct hakmem_option *option = option_find(name);
	if (option == NULL)
		fail(EXIT_WRONG_USE, "no option '%s'; the closest is '%s' (all: hakmem options)", name,
			option_closest(name)->name);
	if (!option_accepts(option, value)) {
		char range[OPTION_DESCRIPTION_BYTES];
		option_put_range(option, range);
		if (option->kind == OPTION_TEXT)
			fail(EXIT_WRONG_USE, "%s=%s: expected %s, of less than %d bytes", option->environment, value, range,
				HKM_OPTION_TEXT_BYTES);
		fail(EXIT_WRONG_USE, "%s=%s: expected %s", option->environment, value, range);
	}
	set_variable(option->environment, value);
}

void set_assignment(char *assignment)
{
	char *equals = strchr(assignment, '=');
	if (equals == NULL)
		fail(EXIT_WRONG_USE, "--set %s: expected NAME=VALUE", assignment);
	*equals = '\0';
	set_option(assignment, equals + 1);
}

void require_creatable(const char *given, const char *pattern)
{
	char path[PATH_MAX];
	hkm_text_expand_path(pattern, path, sizeof path);
	int error = hkm_os_why_not_create(path);
	if (error != 0)
		fail(EXIT_WRONG_USE, "%s%s: cannot be written: %s", given, pattern, strerror(error));
}

void set_path(const char *name, const char *given, const char *path)
{
	require_creatable(given, path);
	char *directory = path[0] == '/' ? NULL : getcwd(NULL, 0), *absolute;
	if (path[0] != '/' && directory == NULL)
		fail(EXIT_WRONG_USE, "working directory: %s", strerror(errno));
	if (asprintf(
			&absolute, "%s%s%s", directory == NULL ? "" : directory, directory == NULL ? "" : "/", path) < 0)
		fail(EXIT_WRONG_USE, "out of memory");
	set_option(name, absolute);
	free(absolute);
	free(directory);
}

/* ---- The program ----------------------------------------------------------------------------------- */

/* Ends the command if a file that an option names cannot be used: the program might run for hours before that shows. */
static void require_paths(void)
{
	static const char *const read[] = { "HAKMEM_PROFILE", "HAKMEM_SITES" };
	static const char *const written[] = {
		"HAKMEM_STATS_FILE", "HAKMEM_PROFILE_OUT", "HAKMEM_SITES_OUT", "HAKMEM_LEARN_LOG",
	};
	for (size_t i = 0; i < sizeof read / sizeof read[0]; i++) {
		const char *path = getenv(read[i]);
		struct stat found = { 0 };
		if (path == NULL || path[0] == '\0')
			continue;
		/* Not opened, as what it leads to may be a pipe. */
		bool is_refused = access(path, R_OK) != 0 || stat(path, &found) != 0;
		if (is_refused || S_ISDIR(found.st_mode))
			fail(EXIT_WRONG_USE, "%s=%s: cannot be read: %s", read[i], path, strerror(is_refused ? errno : EISDIR));
	}
	for (size_t i = 0; i < sizeof written / sizeof written[0]; i++) {
		const char *pattern = getenv(written[i]);
		char given[64];
		if (pattern == NULL || pattern[0] == '\0')
			continue;
		snprintf(given, sizeof given, "%s=", written[i]);
		require_creatable(given, pattern);
	}
}

void become(char **program)
{
	require_paths();
	preload(command_library());
	execvp(program[0], program);
	fail(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE, "%s: %s", program[0], strerror(errno));
}

/* ---- The command line ------------------------------------------------------------------------------ */

struct request {
	const char *stats;      /* the form of the statistics; NULL: as the environment says */
	const char *stats_file; /* NULL: as the environment says */
	bool explain;
	char **program;         /* and its arguments; ends with NULL */
};

static error_t take(int key, char *value, struct argp_state *state)
{
	struct request *request = state->input;
	switch (key) {
	case 't':
		request->stats = value == NULL ? "1" : value;
		return 0;
	case 'f':
		request->stats_file = value;
		return 0;
	case 'e':
		request->explain = true;
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
		fail(EXIT_WRONG_USE, "run: no program given; see: hakmem run --help");
	default:
		return ARGP_ERR_UNKNOWN;
	}
}

int command_run(int argument_count, char **arguments)
{
	static const struct argp_option known[] = {
		{ "stats", 't', "json", OPTION_ARG_OPTIONAL,
			"print statistics at exit: a table, or with --stats=json one JSON object", 0 },
		{ "stats-file", 'f', "FILE", 0,
			"write the statistics to FILE instead of standard error; %p in it becomes the process id", 0 },
		{ "explain", 'e', NULL, 0, "learn, and print at exit what was learned and what it was worth", 0 },
		{ "set", 's', "NAME=VALUE", 0, "set an option (see: hakmem options); may be repeated", 0 },
		{ 0 },
	};
	static const struct argp parser = {
		.options = known,
		.parser = take,
		.args_doc = "[--] PROGRAM [ARGUMENT...]",
		.doc =
			"Runs PROGRAM, and every program that it starts, with HAKMEM as its malloc.\v"
			"The library is the one beside this command, or the one that the variable HAKMEM_LIBRARY names.\n"
			"Exit code: that of PROGRAM; 127 if it was not found, 126 if it could not be executed, 2 for a wrong "
			"command line.",
	};
	struct request request = { 0 };
	argp_parse(&parser, argument_count, arguments, ARGP_IN_ORDER, NULL, &request);
	if (request.stats_file != NULL)
		set_path("stats_file", "run --stats-file ", request.stats_file);
	if (request.stats != NULL)
		set_option("stats", request.stats);
	else if (request.stats_file != NULL)
		setenv("HAKMEM_STATS", "1", 0);
	if (request.explain) {
		set_option("explain", "1");
		setenv("HAKMEM_LEARN", "1", 0);
	}
	become(request.program);
}
