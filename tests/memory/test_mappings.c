/* test_mappings.c - a process may have vm.max_map_count mappings, and no more: blocks aligned to 64 KiB and more do not use them
 * up, and where the program has, they are still served, and so is everything else.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "names.h"

#define MOST_BLOCKS ((size_t)75000)  /* where the system allows more mappings than that, fewer do */
#define SLACK 64                     /* mappings of the program, the libraries and the stacks */
#define SPARE 16                     /* mappings that are left where they are used up */
#define PAGE_BYTES ((size_t)4096)

static unsigned char **blocks;

static size_t limit(void)
{
	FILE *file = fopen("/proc/sys/vm/max_map_count", "r");
	unsigned long count = 65530;

	if (file != NULL) {
		require(fscanf(file, "%lu", &count) == 1, "max_map_count");
		fclose(file);
	}
	return count;
}

/* Lines of /proc/self/maps, without allocating. */
static size_t mappings(void)
{
	static char text[1 << 16];
	int file = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	size_t lines = 0;
	ssize_t got;

	require(file >= 0, "/proc/self/maps");
	while ((got = read(file, text, sizeof text)) > 0)
		for (ssize_t i = 0; i < got; i++)
			lines += text[i] == '\n';
	close(file);
	return lines;
}

static size_t size_of(size_t i)
{
	static const size_t sizes[] = { 100, 4096, 30000, 65536, 100, 100000, 1000, 40000, 200, MIB };

	/* The largest seldom, as each takes so much of the address space. */
	return i % 10 == 9 && i % 100 != 99 ? 65536 : sizes[i % 10];
}

static size_t alignment_of(size_t i)
{
	return i % 50 == 49 ? MIB : i % 10 == 8 ? 128 * KIB : 64 * KIB;
}

static void *run(void *argument)
{
	unsigned char *block = malloc(472);

	require(block != NULL, "a thread gets no memory");
	memset(block, 1, 472);
	free(block);
	return argument;
}

static void everything_works(const char *when)
{
	pthread_t thread;

	for (size_t size = 8; size < 4 * MIB; size += size / 3 + 1) {
		unsigned char *block = malloc(size);

		require(block != NULL, "%s: no memory for %zu bytes", when, size);
		block[size - 1] = 1;
		free(block);
	}
	require(pthread_create(&thread, NULL, run, NULL) == 0, "%s: no thread", when);
	require(pthread_join(thread, NULL) == 0, "pthread_join");
}

/* As many blocks as there may be mappings, and more. */
static void take_many(const void *argument)
{
	size_t count = limit() + 5000 < MOST_BLOCKS ? limit() + 5000 : MOST_BLOCKS, bytes = 0, before;

	(void)argument;
	blocks = map_pages(count * sizeof *blocks);
	everything_works("before");
	before = mappings();
	for (size_t i = 0; i < count; i++) {
		size_t size = size_of(i), alignment = alignment_of(i);

		blocks[i] = aligned_alloc(alignment, size);
		require(blocks[i] != NULL, "block %zu of %zu bytes is refused", i, size);
		require(is_aligned(blocks[i], alignment), "block %zu is at %p", i, (void *)blocks[i]);
		blocks[i][0] = (unsigned char)i;
		bytes += size < alignment ? alignment : size;
	}
	require(mappings() <= before + bytes / (2 * MIB) + SLACK, "%zu mappings, %zu before", mappings(), before);
	everything_works("with many blocks");
	for (size_t i = 0; i < count; i++) {
		require(blocks[i][0] == (unsigned char)i, "block %zu was overwritten", i);
		if (i % 3 != 0)
			free(blocks[i]);
	}
	malloc_trim(0);
	require(mappings() <= before + bytes / (2 * MIB) + SLACK, "%zu mappings after a trim", mappings());
	everything_works("after a trim");
	for (size_t i = 0; i < count; i += 3)
		free(blocks[i]);
	malloc_trim(0);
	everything_works("at the end");
}

/* Pages of the program that may be read and that may not, in turns: a mapping each, until the system refuses more; then a few are
 * given up, since what a child of fork has inherited does not join what is mapped behind it. */
static void use_up_mappings(size_t most)
{
	char *pages = mmap(NULL, most * PAGE_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t used = 0;

	require(pages != MAP_FAILED, "mmap");
	while (used < most && mprotect(pages + used * PAGE_BYTES, PAGE_BYTES, PROT_READ) == 0)
		used += 2;
	require(used < most, "the limit is none");
	for (size_t i = 1; i <= SPARE / 2; i++)
		require(mprotect(pages + (used - 2 * i) * PAGE_BYTES, PAGE_BYTES, PROT_NONE) == 0, "mprotect");
}

static void take_some_at_the_limit(const void *argument)
{
	(void)argument;
	if (limit() > MOST_BLOCKS)
		return;
	blocks = map_pages(2000 * sizeof *blocks);
	everything_works("before");
	free(aligned_alloc(64 * KIB, 100));
	use_up_mappings(limit() + 10);
	/* What the window takes now adds to a mapping that is there. */
	for (size_t i = 0; i < 2000; i++) {
		blocks[i] = aligned_alloc(alignment_of(i), size_of(i));
		require(blocks[i] != NULL, "block %zu is refused", i);
		memset(blocks[i], 1, size_of(i));
	}
	for (size_t i = 0; i < 2000; i++)
		free(blocks[i]);
	malloc_trim(0);
	for (size_t size = 8; size < MIB; size += size / 3 + 1)
		free(opaque_pointer(malloc(size)));
}

static void aligned_blocks_do_not_use_up_mappings(void **state)
{
	(void)state;
	run_in_child(take_many, NULL, 120);
}

static void aligned_blocks_are_served_where_mappings_are_used_up(void **state)
{
	(void)state;
	run_in_child(take_some_at_the_limit, NULL, 120);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(aligned_blocks_do_not_use_up_mappings),
		cmocka_unit_test(aligned_blocks_are_served_where_mappings_are_used_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
