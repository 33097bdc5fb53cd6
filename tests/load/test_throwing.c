/* test_throwing.c - a program in C opens a plug-in in C++, whose operator new is to throw where there is no memory.
 *
 *   test_throwing local|global|none PLUGIN
 */
#include "cmocka_tests.h"
#include "support.h"

#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *mode;
static const char *plugin_path;
static int (*is_refused)(int form, int handler, size_t size);
static size_t (*takes_all)(size_t size);

static int open_plugin(void **state)
{
	void *plugin = dlopen(plugin_path, RTLD_NOW | (strcmp(mode, "global") == 0 ? RTLD_GLOBAL : RTLD_LOCAL));

	(void)state;
	if (plugin == NULL)
		fail_msg("%s", dlerror());
	*(void **)&is_refused = dlsym(plugin, "plugin_is_refused");
	*(void **)&takes_all = dlsym(plugin, "plugin_takes_all");
	return is_refused == NULL || takes_all == NULL;
}

static void every_form_is_refused(void **state)
{
	(void)state;
	for (int form = 0; form < 8; form++) {
		assert_int_equal(is_refused(form, 0, SIZE_MAX / 2), 0);
		assert_int_equal(is_refused(form, 1, SIZE_MAX / 2), 3);
		assert_int_equal(is_refused(form, 2, SIZE_MAX / 2), 3);
	}
}

/* What the search for the runtime takes may not be there. */
static void refused_when_memory_is_out(void **state)
{
	struct rlimit limit = { 160 * MIB, 160 * MIB };
	pid_t child = fork();
	int status;

	(void)state;
	assert_true(child >= 0);
	if (child == 0) {
		if (setrlimit(RLIMIT_AS, &limit) != 0)
			_exit(2);
		size_t sizes[] = { 10000000, 40000, 24 };
		for (size_t i = 0; i < 3; i++)
			if (takes_all(sizes[i]) < 10 * MIB)
				_exit(3);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
}

/* Nobody could catch anything: one line, and the end. */
static void without_a_runtime(void **state)
{
	void *(*new_block)(size_t size);
	void *(*new_quiet)(size_t size, const void *tag);
	int pipes[2], status;
	char text[512], expected[256];
	ssize_t length;

	(void)state;
	*(void **)&new_block = dlsym(RTLD_DEFAULT, "_Znwm");
	*(void **)&new_quiet = dlsym(RTLD_DEFAULT, "_ZnwmRKSt9nothrow_t");
	assert_true(new_block != NULL && new_quiet != NULL);
	assert_null(new_quiet(SIZE_MAX / 2, ""));
	assert_int_equal(pipe(pipes), 0);
	pid_t child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		signal(SIGABRT, SIG_DFL);
		dup2(pipes[1], STDERR_FILENO);
		new_block(SIZE_MAX / 2);
		_exit(1);
	}
	close(pipes[1]);
	length = read(pipes[0], text, sizeof text - 1);
	text[length < 0 ? 0 : length] = '\0';
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
	snprintf(expected, sizeof expected, "hakmem: %s[%d]: operator new(): no memory for 9223372036854775807 bytes, ",
		 program_invocation_short_name, (int)child);
	assert_memory_equal(text, expected, strlen(expected));
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest none[] = { cmocka_unit_test(without_a_runtime) };
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_form_is_refused),
		cmocka_unit_test(refused_when_memory_is_out),
	};

	if (argument_count != 3) {
		fprintf(stderr, "usage: test_throwing local|global|none PLUGIN\n");
		return 2;
	}
	mode = arguments[1];
	plugin_path = arguments[2];
	return strcmp(mode, "none") == 0 ? cmocka_run_group_tests(none, NULL, NULL) :
					   cmocka_run_group_tests(tests, open_plugin, NULL);
}
