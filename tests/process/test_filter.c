/* test_filter.c - a process that has forbidden itself all system calls but those of a usual C program (seccomp, as OpenSSH's
 * and chrony's workers do): allocating, purging and ending need no others.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "names.h"

#define BLOCKS 3000

#define ALLOW(name) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##name, 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)

static bool forbid_the_rest(void)
{
	struct sock_filter rules[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(brk), ALLOW(mmap), ALLOW(munmap), ALLOW(mremap), ALLOW(mprotect), ALLOW(madvise), ALLOW(futex),
#ifdef HAKMEM_TEST_DEBUG
		ALLOW(mincore), /* its checks look whether zero pages are there */
#endif
		ALLOW(read), ALLOW(write), ALLOW(close), ALLOW(clock_gettime), ALLOW(exit), ALLOW(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
	};
	struct sock_fprog program = { sizeof rules / sizeof rules[0], rules };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Blocks of all layers come and go long enough for the delay after which free memory is purged to pass, many times. */
static void work(uint64_t milliseconds)
{
	static void *blocks[BLOCKS];
	struct random_source random = { 7 };
	uint64_t end = now_ms() + milliseconds;

	for (uint64_t step = 0; now_ms() < end; step++) {
		size_t at = random_between(&random, 0, BLOCKS - 1);
		size_t most = step / 20000 % 2 == 0 ? 200 : 20000;

		free(blocks[at]);
		size_t size = step % 5000 == 0 ? 3 * MIB : random_between(&random, 1, most);
		blocks[at] = step % 10000 == 0 ? calloc(1, step % 50000 == 0 ? 40 * MIB : size) : malloc(size);
		require(blocks[at] != NULL, "no memory");
		*(char *)blocks[at] = 1;
	}
	for (size_t at = 0; at < BLOCKS; at++) {
		free(blocks[at]);
		blocks[at] = NULL;
	}
}

/* Result: how the child ended, that works under the filter; before, too, or not. */
static int status_of_child(bool used_before)
{
	int status = 0;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		if (used_before)
			work(50);
		if (!forbid_the_rest())
			_exit(77);
		work(1000);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	return status;
}

static void check(int status)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		skip(); /* no seccomp here */
	if (WIFSIGNALED(status))
		fail_msg("ended by signal %d (31: a forbidden system call)", WTERMSIG(status));
	assert_int_equal(WEXITSTATUS(status), 0);
}

static void a_filtered_process_allocates_and_purges(void **state)
{
	(void)state;
	check(status_of_child(true));
}

/* Has to be the first test. */
static void a_filtered_process_allocates_for_the_first_time(void **state)
{
	(void)state;
	check(status_of_child(false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_filtered_process_allocates_for_the_first_time),
		cmocka_unit_test(a_filtered_process_allocates_and_purges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
