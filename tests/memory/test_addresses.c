/* test_addresses.c - addresses that others take: wherever mappings of the program, or of the library's own, come to
 * lie, no malloc fails while there are memory and addresses, and no valid free is called wrong.
 *
 *   test_addresses               every case, in processes of their own
 *   test_addresses --case NAME   one case, in this process
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define SUPERSLAB (2 * MIB)
#define USER_END (((uintptr_t)1 << 47) - 64 * KIB) /* of the addresses that programs get unasked */
#define CASE_SECONDS 120

/* ---- The address space ------------------------------------------------------------- */

/* Takes a range of addresses away; it costs no memory. */
static void *occupy(uintptr_t start, size_t size)
{
	void *got = mmap((void *)start, size, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);

	if (got != MAP_FAILED && got != (void *)start) { /* a kernel before 4.17 */
		munmap(got, size);
		return NULL;
	}
	return got != MAP_FAILED ? got : NULL;
}

static void occupy_between(uintptr_t low, uintptr_t high)
{
	if (low < high)
		require(occupy(low, high - low) != NULL, "%" PRIxPTR " to %" PRIxPTR ": %s", low, high, strerror(errno));
}

/* Calls visit(low, high) for every gap between mappings, from the lowest 4 GiB to the end. */
static void visit_gaps(void (*visit)(uintptr_t low, uintptr_t high))
{
	static char text[1 << 22];
	size_t length = 0;
	ssize_t got;
	uintptr_t end = (uintptr_t)4 * GIB;
	int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);

	require(file >= 0, "maps");
	while ((got = read(file, text + length, sizeof text - 1 - length)) > 0)
		length += (size_t)got;
	close(file);
	text[length] = '\0';
	for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
		uintptr_t low = 0, high = 0;

		require(sscanf(line, "%" SCNxPTR "-%" SCNxPTR, &low, &high) == 2, "%.40s", line);
		if (low >= USER_END)
			break;
		if (low > end)
			visit(end, low);
		end = high > end ? high : end;
	}
	if (end < USER_END)
		visit(end, USER_END);
}

/* What fill_all_but leaves free. */
static uintptr_t kept_low, kept_high;

static void fill_gap(uintptr_t low, uintptr_t high)
{
	if (high - low < SUPERSLAB)
		return;
	occupy_between(low, high < kept_low ? high : kept_low);
	occupy_between(low > kept_high ? low : kept_high, high);
}

/* Leaves no free addresses but those from `low` to `high`. Result: whether the kernel looks there; when it works
 * bottom-up, it starts at a third of the address space. */
static bool fill_all_but(uintptr_t low, uintptr_t high)
{
	void *got;

	kept_low = low;
	kept_high = high;
	visit_gaps(fill_gap);
	got = mmap(NULL, 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (got == MAP_FAILED)
		return false;
	munmap(got, 4 * MIB);
	return true;
}

/* ---- Blocks ------------------------------------------------------------------------ */

struct entry {
	unsigned char *start;
	size_t size;
};

#define MOST_BLOCKS ((size_t)1 << 18)
static struct entry blocks[MOST_BLOCKS];
static size_t block_count;

static void take_block(size_t size)
{
	struct entry *block = &blocks[block_count];

	require(block_count < MOST_BLOCKS, "too many blocks");
	block->start = malloc(size);
	block->size = size;
	require(block->start != NULL, "malloc(%zu) after %zu blocks", size, block_count);
	require(malloc_usable_size(block->start) >= size, "usable size of %zu bytes", size);
	fill_pattern(block->start, size, block_count++);
}

static void check_blocks(void)
{
	for (size_t i = 0; i < block_count; i++)
		require(pattern_holds(blocks[i].start, blocks[i].size, blocks[i].size, i), "block %zu of %zu bytes", i,
			blocks[i].size);
}

static void free_blocks(void)
{
	check_blocks();
	for (size_t i = 0; i < block_count; i++)
		free(blocks[i].start);
	block_count = 0;
}

/* Takes blocks of all kinds until they are `bytes` together. */
static void take_bytes(size_t bytes, uint64_t seed)
{
	struct random_source random = { seed };

	for (size_t taken = 0; taken < bytes; taken += blocks[block_count - 1].size)
		take_block(random_size_of_kind(&random, (enum block_kind)random_between(&random, KIND_TINY, KIND_LARGE)));
}

/* A block that lies where those below 2 MiB do. */
static uintptr_t window_near(void)
{
	uintptr_t address = (uintptr_t)malloc(100);

	require(address != 0, "malloc(100)");
	return address & ~(SUPERSLAB - 1);
}

/* ---- L2's blocks within the window --------------------------------------------------- */

static void use_big_blocks(void)
{
	struct random_source random = { 7 };

	for (int i = 0; i < 40; i++) {
		size_t size = random_between(&random, 2 * MIB, 3 * MIB);
		unsigned char *block = malloc(size), *moved;

		require(block != NULL, "malloc(%zu)", size);
		require(malloc_usable_size(block) >= size, "usable size");
		fill_pattern(block, size, 1);
		moved = realloc(block, size + 300 * KIB);
		require(moved != NULL && pattern_holds(moved, size, 4 * KIB, 1), "realloc grows");
		moved = realloc(moved, 100 * KIB);
		require(moved != NULL && pattern_holds(moved, size, 4 * KIB, 1), "realloc shrinks");
		free(moved);
	}
}

/* The only free addresses are among those that the window has metadata for. */
static void big_blocks_in_window(void)
{
	uintptr_t window = window_near(), address;
	void *block;

	if (!fill_all_but(window + 16 * MIB, window + 64 * MIB))
		return;
	block = malloc(3 * MIB);
	address = (uintptr_t)block;
	require(address >= window && address < window + 64 * MIB, "%p is not near %" PRIxPTR, block, window);
	free(block);
	use_big_blocks();
	take_bytes(8 * MIB, 1);
	use_big_blocks();
	free_blocks();
}

/* Mappings of the program lie in every second superslab, and go again. */
static void strangers_beside_superslabs(void)
{
	uintptr_t window = window_near();
	void *strangers[100];

	for (size_t i = 0; i < 100; i++)
		strangers[i] = occupy(window + (2 * i + 1) * SUPERSLAB, 4 * KIB);
	take_bytes(64 * MIB, 2);
	free_blocks();
	malloc_trim(0);
	for (size_t i = 0; i < 100; i++)
		if (strangers[i] != NULL)
			munmap(strangers[i], 4 * KIB);
	if (!fill_all_but(window, window + 64 * MIB))
		return;
	use_big_blocks();
	take_bytes(4 * MIB, 3);
	use_big_blocks();
	free_blocks();
}

/* ---- The cases ----------------------------------------------------------------------- */

static const struct address_case {
	const char *name;
	void (*run)(void);
} cases[] = {
	{ "big_blocks_in_window", big_blocks_in_window },
	{ "strangers_beside_superslabs", strangers_beside_superslabs },
};

#define CASES (sizeof cases / sizeof cases[0])

/* Runs a case in a new process, whose address space is laid out as `layout` (a personality) says. */
static void run_case(const char *name, unsigned long layout)
{
	int status = 0;
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		alarm(CASE_SECONDS);
		require(personality(layout) != -1, "personality");
		execl("/proc/self/exe", "test_addresses", "--case", name, (char *)NULL);
		fail_process(__FILE__, __LINE__, "exec", "%s", strerror(errno));
	}
	require(waitpid(child, &status, 0) == child, "waitpid");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "case %s%s: status %x", name,
		(layout & ADDR_COMPAT_LAYOUT) != 0 ? ", bottom-up" : "", (unsigned)status);
}

static void in_the_usual_layout(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++)
		run_case(cases[i].name, PER_LINUX);
}

static void bottom_up(void **state)
{
	(void)state;
	for (size_t i = 0; i < CASES; i++)
		run_case(cases[i].name, PER_LINUX | ADDR_COMPAT_LAYOUT);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_the_usual_layout),
		cmocka_unit_test(bottom_up),
	};

	if (argument_count > 2 && strcmp(arguments[1], "--case") == 0) {
		for (size_t i = 0; i < CASES; i++)
			if (strcmp(arguments[2], cases[i].name) == 0) {
				cases[i].run();
				return 0;
			}
		return 2;
	}
	return cmocka_run_group_tests_name("addresses", tests, NULL, NULL);
}
