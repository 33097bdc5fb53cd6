/* command.h - what the parts of the command `hakmem` share: the table of options and the sub-commands. */
#ifndef COMMAND_H
#define COMMAND_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

/* hakmem's own failures; a program that was started exits as it likes. */
enum exit_code {
	EXIT_WRONG_USE = 2,
	EXIT_NOT_EXECUTABLE = 126,
	EXIT_NOT_FOUND = 127
};

enum option_kind {
	OPTION_WHOLE,
	OPTION_FRACTION,
	OPTION_CHOICE,
	OPTION_TEXT,
	OPTION_RATIOS /* a text that hkm_parse_ratios accepts */
};

/* One line of src/core/options.def. The numbers of a fraction are thousandths. */
struct hakmem_option {
	enum option_kind kind;
	const char *name;          /* purge_delay_ms */
	const char *environment;   /* HAKMEM_PURGE_DELAY_MS */
	uint64_t standard;         /* the default; of a choice: its index */
	const char *standard_text; /* the default of a text or of ratios */
	uint64_t minimum, maximum;
	const char *unit;
	const char *form; /* of a choice: "a|b|c"; of a text or of ratios: what it looks like */
	const char *meaning;
};

#define OPTION_DESCRIPTION_BYTES 128

extern const struct hakmem_option hakmem_options[];
extern const unsigned hakmem_option_count;

/* The option that `name` stands for: purge_delay_ms, purge-delay-ms or HAKMEM_PURGE_DELAY_MS. NULL: none. */
const struct hakmem_option *option_find(const char *name);

/* The option whose name is most like `name`. */
const struct hakmem_option *option_closest(const char *name);

/* Whether the library would accept `value`. */
bool option_accepts(const struct hakmem_option *option, const char *value);

/* Write the default, or the values that are accepted with their unit, as people read them. */
void option_put_default(const struct hakmem_option *option, char text[OPTION_DESCRIPTION_BYTES]);
void option_put_range(const struct hakmem_option *option, char text[OPTION_DESCRIPTION_BYTES]);

/* Prints `hakmem: ` and the message as one line on standard error, control characters as `?`, and exits. */
_Noreturn void fail(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The directory in which the command itself lies, without a slash at its end. */
void command_directory(char directory[PATH_MAX]);

/* The absolute path of the library: what HAKMEM_LIBRARY names, else the one that belongs to this command. */
const char *command_library(void);

/* Sets an option from NAME=VALUE; the words are separated in place. */
void set_assignment(char *assignment);

/* Sets an option that is a path. The file is opened when the program ends, which may be in another directory by then,
 * so the path is made absolute. `given`: what stands before the path on the command line, as for require_creatable. */
void set_path(const char *name, const char *given, const char *path);

/* Fails if it seems that the file cannot be made or written; `given` is what the message has before the path. %p in it is the process id. */
void require_creatable(const char *given, const char *path);

/* Becomes a program, with HAKMEM preloaded; `program`: its name and arguments, up to a NULL. */
_Noreturn void become(char **program);

/* The sub-commands; the result is the exit code. */
int command_run(int argument_count, char **arguments);
int command_options(int argument_count, char **arguments);
int command_learn(int argument_count, char **arguments);
int command_profile(int argument_count, char **arguments);
int command_bench(int argument_count, char **arguments);

#endif
