/* test_nomemory.c - when the system refuses, a call returns NULL with ENOMEM, the heap stays
 * intact, and the program can free and go on.
 *
 *   test_nomemory                 limits that the program sets on itself
 *   test_nomemory --started BYTES the program was started under RLIMIT_AS = BYTES (ulimit -v)
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "names.h"

#define MOST_BLOCKS ((size_t)4 << 20)
#define LEAST_PERCENT 60 /* of the room must be usable */
#define CHILD_SECONDS 60

struct entry {
	void *start;
	size_t size;
};

/* Allocated before any limit is set. */
static struct entry *table;

static size_t next_size(struct random_source *random, enum block_kind kind)
{
	/* Tiny blocks of a middling size: some 500,000 of them fill 256 MiB. */
	return kind == KIND_TINY ? random_between(random, 200, KIB) : random_size_of_kind(random, kind);
}

/* Allocates until the system refuses; checks how. Result: the bytes got. */
static size_t allocate_until_refused(struct entry *entries, size_t most, enum block_kind kind,
	size_t *count)
{
	struct random_source random = { 21 };
	size_t bytes = 0;

	for (*count = 0; *count < most; ++*count) {
		struct entry *entry = &entries[*count];

		entry->size = next_size(&random, kind);
		errno = 0;
		entry->start = *count % 3 == 0 ? calloc(1, entry->size) : malloc(entry->size);
		if (entry->start == NULL) {
			require(errno == ENOMEM, "%s: refused with errno %d", kind_name(kind), errno);
			return bytes;
		}
		fill_pattern(entry->start, entry->size, *count);
		bytes += entry->size;
	}
	fail_process(__FILE__, __LINE__, "refusal", "%s: %zu bytes and no end", kind_name(kind), bytes);
}

static void check_all(const struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		require(pattern_holds(entries[i].start, entries[i].size, entries[i].size, i),
			"block %zu of %zu bytes was overwritten", i, entries[i].size);
}

static void free_all(struct entry *entries, size_t count)
{
	for (size_t i = 0; i < count; i++)
		free(entries[i].start);
}

/* Every call that allocates must fail cleanly while there is no memory. */
static void check_refusals(void)
{
	size_t size = 8 * GIB;
	char *block;
	void *out = &out;

	errno = 0;
	require(malloc(size) == NULL && errno == ENOMEM, "malloc");
	errno = 0;
	require(calloc(size, 1) == NULL && errno == ENOMEM, "calloc");
	errno = 0;
	require(aligned_alloc(4096, size) == NULL && errno == ENOMEM, "aligned_alloc");
	errno = 0;
	require(memalign(1 * GIB, size) == NULL && errno == ENOMEM, "memalign");
	errno = 77;
	require(posix_memalign(&out, 4096, size) == ENOMEM && errno == ENOMEM && out == &out,
		"posix_memalign");
	if (table[0].start != NULL) {
		block = realloc(opaque_pointer(table[0].start), size);
		require(block == NULL, "realloc");
	}
}

/* What was freed is not kept from the program's own mappings, the stack of a new thread, say. */
static void check_room_for_others(enum block_kind kind, size_t size)
{
	void *mapping = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(mapping != MAP_FAILED, "%s: all is freed, but no %zu KiB can be mapped", kind_name(kind), size / KIB);
	munmap(mapping, size);
}

/* The whole life: full, refused, intact, free, full again. */
static void exhaust(enum block_kind kind, size_t room)
{
	size_t count = 0;
	size_t second_count = 0;
	size_t first = allocate_until_refused(table, MOST_BLOCKS, kind, &count);
	size_t second;

	require(first >= room / 100 * LEAST_PERCENT,
		"%s: only %zu of %zu KiB could be allocated", kind_name(kind), first / KIB, room / KIB);
	check_refusals();
	check_all(table, count);
	free_all(table, count);
	second = allocate_until_refused(table, MOST_BLOCKS, kind, &second_count);
	require(second >= first / 10 * 8, "%s: %zu KiB the first time, %zu the second",
		kind_name(kind), first / KIB, second / KIB);
	check_all(table, second_count);
	free_all(table, second_count);
	check_room_for_others(kind, room / 4);
}

/* ---- Limits ----------------------------------------------------------------------- */

struct limit {
	enum block_kind kind;
	size_t room;
	bool data; /* RLIMIT_DATA instead of RLIMIT_AS */
};

static void set_limit(bool data, size_t room)
{
	size_t bytes = room + (data ? data_bytes() : virtual_bytes());
	struct rlimit limit = { bytes, bytes };

	require(setrlimit(data ? RLIMIT_DATA : RLIMIT_AS, &limit) == 0, "setrlimit");
}

static void live_under_limit(const void *argument)
{
	const struct limit *limit = argument;

	set_limit(limit->data, limit->room);
	exhaust(limit->kind, limit->room);
}

static void address_space_is_limited(void **state)
{
	static const struct limit limits[] = {
		{ KIND_TINY, 256 * MIB, false }, { KIND_MID, 256 * MIB, false },
		{ KIND_LARGE, 256 * MIB, false }, { KIND_BIG, 256 * MIB, false },
		{ KIND_TINY, 512 * MIB, false }, { KIND_LARGE, 512 * MIB, false }
	};

	(void)state;
	run_in_children(live_under_limit, limits, sizeof limits[0], 6, 2, CHILD_SECONDS);
}

static void data_is_limited(void **state)
{
	static const struct limit limits[] = {
		{ KIND_TINY, 256 * MIB, true }, { KIND_MID, 256 * MIB, true },
		{ KIND_LARGE, 256 * MIB, true }, { KIND_BIG, 256 * MIB, true }
	};

	(void)state;
	run_in_children(live_under_limit, limits, sizeof limits[0], 4, 2, CHILD_SECONDS);
}

/* What one kind of block filled must be available to the others. */
static void use_kinds_in_turn(const void *argument)
{
	size_t room = 128 * MIB;

	(void)argument;
	set_limit(false, room);
	for (int round = 0; round < 2; round++)
		for (size_t kind = 0; kind < KIND_COUNT; kind++) {
			size_t count = 0;
			size_t bytes = allocate_until_refused(table, MOST_BLOCKS, (enum block_kind)kind, &count);

			require(bytes >= room / 2, "%s after other kinds: only %zu of %zu KiB",
				kind_name((enum block_kind)kind), bytes / KIB, room / KIB);
			check_all(table, count);
			free_all(table, count);
		}
}

static void freed_memory_serves_other_kinds(void **state)
{
	(void)state;
	run_in_child(use_kinds_in_turn, NULL, CHILD_SECONDS);
}

enum { THREADS = 4 };
static pthread_barrier_t limit_is_set;

static void *exhaust_in_thread(void *argument)
{
	size_t number = (size_t)(uintptr_t)argument;
	struct entry *entries = table + number * (MOST_BLOCKS / THREADS);

	pthread_barrier_wait(&limit_is_set);
	for (int round = 0; round < 3; round++) {
		size_t count = 0;

		allocate_until_refused(entries, MOST_BLOCKS / THREADS, (enum block_kind)number, &count);
		check_all(entries, count);
		free_all(entries, count);
	}
	return NULL;
}

static void run_out_in_threads(const void *argument)
{
	pthread_t threads[THREADS];

	(void)argument;
	pthread_barrier_init(&limit_is_set, NULL, THREADS + 1);
	for (size_t i = 0; i < THREADS; i++)
		require(pthread_create(&threads[i], NULL, exhaust_in_thread, (void *)(uintptr_t)i) == 0,
			"pthread_create");
	set_limit(false, 256 * MIB);
	pthread_barrier_wait(&limit_is_set);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
}

static void threads_run_out_together(void **state)
{
	(void)state;
	run_in_child(run_out_in_threads, NULL, CHILD_SECONDS);
}

/* ---- System calls that fail ------------------------------------------------------- */

/* From now on the given system calls fail with `error`. */
static void make_calls_fail(const unsigned *calls, size_t count, unsigned error)
{
	struct sock_filter filter[32];
	struct sock_fprog program = { 0, filter };
	unsigned short length = 0;

	filter[length++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		offsetof(struct seccomp_data, nr));
	for (size_t i = 0; i < count; i++) {
		filter[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
		filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error);
	}
	filter[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	program.len = length;
	require(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0, "prctl");
	require(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0, "seccomp: %s",
		strerror(errno));
}

static void live_without_mmap(const void *argument)
{
	static const unsigned calls[] = { SYS_mmap, SYS_mremap, SYS_brk, SYS_mprotect };
	const enum block_kind *kind = argument;
	struct random_source random = { 31 };
	size_t count = 0;

	for (count = 0; count < 200; count++) {
		table[count].size = next_size(&random, *kind);
		table[count].start = malloc(table[count].size);
		require(table[count].start != NULL, "no memory");
		fill_pattern(table[count].start, table[count].size, count);
	}
	make_calls_fail(calls, sizeof calls / sizeof calls[0], ENOMEM);
	for (int round = 0; round < 3; round++) {
		size_t more = 0;

		allocate_until_refused(table + count, MOST_BLOCKS - count, *kind, &more);
		check_all(table + count, more);
		check_all(table, count);
		free_all(table + count, more);
	}
	check_refusals();
	free_all(table, count);
	/* What was freed is there to be had again; of mappings, which may have gone back, a few. */
	for (size_t i = 0; i < (*kind == KIND_BIG ? 4 : count / 4); i++) {
		table[i].start = malloc(table[i].size);
		require(table[i].start != NULL, "%s: freed memory cannot be allocated again",
			kind_name(*kind));
	}
	free_all(table, *kind == KIND_BIG ? 4 : count / 4);
}

static void live_without_madvise(const void *argument)
{
	static const unsigned calls[] = { SYS_madvise,
#ifdef SYS_process_madvise
		SYS_process_madvise,
#endif
	};
	const enum block_kind *kind = argument;
	struct random_source random = { 41 };
	size_t count = *kind <= KIND_MID ? 2000 : 30;

	make_calls_fail(calls, sizeof calls / sizeof calls[0], EINVAL);
	for (int round = 0; round < 4; round++) {
		for (size_t i = 0; i < count; i++) {
			table[i].size = next_size(&random, *kind);
			table[i].start = calloc(1, table[i].size);
			require(table[i].start != NULL, "no memory");
			require(all_bytes_are(table[i].start, table[i].size, 0),
				"%s: calloc's block is not zero though the purge failed", kind_name(*kind));
			memset(table[i].start, 0xff, table[i].size);
		}
		for (size_t i = 0; i < count; i++)
			if (i % 10 != 0)
				free(table[i].start);
		malloc_trim(0);
		for (size_t i = 0; i < count; i += 10) {
			require(all_bytes_are(table[i].start, table[i].size, 0xff), "block was overwritten");
			free(table[i].start);
		}
		malloc_trim(0);
	}
}

/* munmap fails when it would split a mapping and the process has too many of them already. */
static void live_without_munmap(const void *argument)
{
	static const unsigned calls[] = { SYS_munmap };
	const enum block_kind *kind = argument;
	size_t count = 0;

	make_calls_fail(calls, 1, ENOMEM);
	set_limit(false, 128 * MIB);
	for (int round = 0; round < 3; round++) {
		size_t bytes = allocate_until_refused(table, MOST_BLOCKS, *kind, &count);

		require(round > 0 || bytes > 64 * MIB, "%s: only %zu KiB", kind_name(*kind), bytes / KIB);
		check_all(table, count);
		free_all(table, count);
		malloc_trim(0);
	}
}

static const enum block_kind all_kinds[] = { KIND_TINY, KIND_MID, KIND_LARGE, KIND_BIG };

static void mmap_fails(void **state)
{
	(void)state;
	run_in_children(live_without_mmap, all_kinds, sizeof all_kinds[0], 4, 2, CHILD_SECONDS);
}

static void madvise_fails(void **state)
{
	(void)state;
	run_in_children(live_without_madvise, all_kinds, sizeof all_kinds[0], 4, 2, CHILD_SECONDS);
}

static void munmap_fails(void **state)
{
	(void)state;
	run_in_children(live_without_munmap, all_kinds, sizeof all_kinds[0], 4, 2, CHILD_SECONDS);
}

/* ---- Locked memory ---------------------------------------------------------------- */

static void live_locked(const void *argument)
{
	size_t before;
	size_t grown;

	(void)argument;
	/* Without the others' table: it would be locked too. */
	release_pages(table, MOST_BLOCKS * sizeof *table);
	table = map_pages(4 * MIB);
	require(mlockall(MCL_CURRENT | MCL_FUTURE) == 0, "mlockall: %s", strerror(errno));
	before = resident_bytes();
	for (size_t i = 0; i < 1000; i++) {
		table[i].size = 10 + i;
		table[i].start = malloc(table[i].size);
		require(table[i].start != NULL, "no memory");
		fill_pattern(table[i].start, table[i].size, i);
	}
	for (size_t i = 1000; i < 1020; i++) {
		table[i].size = 20000;
		table[i].start = malloc(table[i].size);
		require(table[i].start != NULL, "no memory");
		fill_pattern(table[i].start, table[i].size, i);
	}
	grown = resident_bytes() - before;
	require(grown < 64 * MIB, "0.9 MB of blocks made %zu KiB of locked memory", grown / KIB);
	check_all(table, 1020);
	free_all(table, 1020);
	malloc_trim(0);
	free(malloc(5 * MIB));
}

static void locked_memory_stays_small(void **state)
{
	struct rlimit limit;

	(void)state;
	getrlimit(RLIMIT_MEMLOCK, &limit);
	if (limit.rlim_cur != RLIM_INFINITY && mlockall(MCL_FUTURE) != 0) {
		print_message("mlockall is not permitted here\n");
		skip();
	}
	munlockall();
	run_in_child(live_locked, NULL, CHILD_SECONDS);
}

/* ---- Started under a limit -------------------------------------------------------- */

static size_t started_limit;

static void exhaust_started(const void *argument)
{
	const enum block_kind *kind = argument;

	exhaust(*kind, started_limit);
}

static void lives_under_ulimit(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		run_in_child(exhaust_started, &all_kinds[i], CHILD_SECONDS);
}

/* Blocks of three fifths of the address space are freed, and then the program maps as much itself: nobody has been refused
 * anything before. */
static void free_and_map(const void *argument)
{
	const enum block_kind *kind = argument;
	struct random_source random = { 51 };
	size_t room = started_limit / 5 * 3;
	size_t count = 0;

	for (size_t bytes = 0; bytes < room; bytes += table[count++].size) {
		table[count].size = next_size(&random, *kind);
		table[count].start = malloc(table[count].size);
		require(table[count].start != NULL, "%s: no memory after %zu bytes", kind_name(*kind), bytes);
	}
	free_all(table, count);
	check_room_for_others(*kind, room);
}

static void leaves_room_under_ulimit(void **state)
{
	(void)state;
	for (size_t i = 0; i < 4; i++)
		run_in_child(free_and_map, &all_kinds[i], CHILD_SECONDS);
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(address_space_is_limited),
		cmocka_unit_test(data_is_limited),
		cmocka_unit_test(freed_memory_serves_other_kinds),
		cmocka_unit_test(threads_run_out_together),
		cmocka_unit_test(mmap_fails),
		cmocka_unit_test(madvise_fails),
		cmocka_unit_test(munmap_fails),
		cmocka_unit_test(locked_memory_stays_small),
	};
	const struct CMUnitTest started_tests[] = {
		cmocka_unit_test(lives_under_ulimit),
		cmocka_unit_test(leaves_room_under_ulimit),
	};

	if (argument_count > 2 && strcmp(arguments[1], "--started") == 0) {
		started_limit = strtoull(arguments[2], NULL, 10);
		/* The table takes its share of the address space. */
		table = map_pages(MOST_BLOCKS * sizeof *table);
		started_limit -= MOST_BLOCKS * sizeof *table;
		return cmocka_run_group_tests(started_tests, NULL, NULL);
	}
	table = map_pages(MOST_BLOCKS * sizeof *table);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
