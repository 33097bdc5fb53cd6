/* bench.c - `hakmem bench`: becomes bench/run, which measures the library of this command against other allocators. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "command.h"

/* Where the bench lies, seen from the directory of the installed command (CMAKE_INSTALL_DATADIR). In a build tree
 * share/hakmem/bench is a link to the sources. */
#ifndef HAKMEM_DATADIR
#define HAKMEM_DATADIR "share"
#endif

int command_bench(int argument_count, char **arguments)
{
	static const char *const places[] = { ("../" HAKMEM_DATADIR "/hakmem/bench/run"),
		"share/hakmem/bench/run" };
	char directory[PATH_MAX], program[2 * PATH_MAX], library_option[] = "--library";
	command_directory(directory);
	char *library = strdup(command_library());
	/* The program, the option and its value, the given arguments, NULL. */
	char **command = calloc((size_t)argument_count + 3, sizeof *command);
	if (library == NULL || command == NULL)
		fail(EXIT_WRONG_USE, "out of memory");
	command[0] = program;
	command[1] = library_option;
	command[2] = library;
	for (int i = 1; i < argument_count; i++)
		command[i + 2] = arguments[i];
	for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
		snprintf(program, sizeof program, "%s/%s", directory, places[i]);
		if (access(program, X_OK) == 0) {
			setenv("HAKMEM_BENCH_NAME", "hakmem bench", 1);
			execv(program, command);
		}
	}
	fail(EXIT_NOT_FOUND, "the bench is not in %s/../" HAKMEM_DATADIR "/hakmem/bench; it needs python3",
		directory);
}
