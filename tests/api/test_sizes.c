/* test_sizes.c - every size from 0 to 70,000 and those around each power of two up to 64 MiB:
 * aligned, writable, apart from its neighbours; calloc's zeroes; realloc between all kinds.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <string.h>

#include "names.h"

#ifdef HAKMEM_TEST_SANITIZED
#define SIZE_STEP 11
#else
#define SIZE_STEP 1
#endif

#define AROUND 17      /* sizes looked at below and above a power of two */
#define WINDOW 32      /* blocks that live at the same time */

struct live_block {
	unsigned char *start;
	size_t usable;
};

/* Replaces the oldest block of the window by a new one of `size` bytes and checks both. */
static void replace(struct live_block *slot, size_t size)
{
	if (slot->start != NULL) {
		assert_int_equal(malloc_usable_size(slot->start), slot->usable);
		assert_true(pattern_holds(slot->start, slot->usable, slot->usable,
			block_seed(slot->start, slot->usable)));
		free(slot->start);
	}
	slot->start = malloc(size);
	assert_non_null(slot->start);
	assert_true(is_aligned(slot->start, size <= 8 ? 8 : 16));
	slot->usable = malloc_usable_size(slot->start);
	assert_true(slot->usable >= size);
	fill_pattern(slot->start, slot->usable, block_seed(slot->start, slot->usable));
}

static void empty(struct live_block *window)
{
	for (size_t i = 0; i < WINDOW; i++) {
		free(window[i].start);
		window[i].start = NULL;
	}
}

static void every_small_size(void **state)
{
	static struct live_block window[WINDOW];

	(void)state;
	for (size_t size = 0; size <= 70000; size += SIZE_STEP)
		replace(&window[size / SIZE_STEP % WINDOW], size);
	empty(window);
}

static void sizes_around_powers_of_two(void **state)
{
	static struct live_block window[WINDOW];
	size_t turn = 0;

	(void)state;
	for (size_t power = 32 * KIB; power <= 64 * MIB; power *= 2)
		for (size_t size = power - AROUND; size <= power + AROUND; size++)
			replace(&window[turn++ % (power >= 16 * MIB ? 4 : WINDOW)], size);
	empty(window);
}

static void waste_is_bounded(void **state)
{
	(void)state;
	for (size_t size = 129; size <= 1024; size++) {
		void *block = malloc(size);

		assert_non_null(block);
		/* At most 12.5 % above 128 bytes (spec, L0-classes), and rounding to 16. */
		assert_true(malloc_usable_size(block) <= size + size / 8 + 16);
		free(block);
	}
}

static void calloc_zeroes_recycled_memory(void **state)
{
	unsigned char *blocks[8];

	(void)state;
	for (size_t size = 1; size <= 24 * MIB; size += size < 2100 ? 1 : size / 3) {
		size_t count = size < MIB ? 8 : 2;

		for (size_t i = 0; i < count; i++) {
			assert_non_null(blocks[i] = malloc(size));
			memset(blocks[i], 0xff, malloc_usable_size(blocks[i]));
		}
		for (size_t i = 0; i < count; i++)
			free(blocks[i]);
		for (size_t i = 0; i < count; i++) {
			assert_non_null(blocks[i] = size % 4 == 0 ? calloc(size / 4, 4) : calloc(1, size));
			assert_true(is_aligned(blocks[i], size <= 8 ? 8 : 16));
			assert_true(all_bytes_are(blocks[i], size, 0));
			memset(blocks[i], 0xff, size);
		}
		for (size_t i = 0; i < count; i++)
			free(blocks[i]);
	}
}

static void calloc_zeroes_after_trim(void **state)
{
	static unsigned char *blocks[2000];

	(void)state;
	for (size_t size = 16; size <= 100000; size *= 5) {
		for (size_t i = 0; i < 2000; i++) {
			assert_non_null(blocks[i] = malloc(size));
			memset(blocks[i], 0xff, size);
		}
		for (size_t i = 0; i < 2000; i++)
			if (i % 50 != 0)
				free(blocks[i]);
		malloc_trim(0);
		for (size_t i = 0; i < 2000; i++) {
			if (i % 50 == 0) {
				assert_true(all_bytes_are(blocks[i], size, 0xff));
				free(blocks[i]);
			}
			assert_non_null(blocks[i] = calloc(1, size));
			assert_true(all_bytes_are(blocks[i], size, 0));
		}
		for (size_t i = 0; i < 2000; i++)
			free(blocks[i]);
	}
}

static void realloc_between_all_sizes(void **state)
{
	static const size_t sizes[] = {
		1, 7, 8, 9, 15, 16, 17, 64, 100, 128, 129, 255, 500, 1023, 1024, 1025, 1500, 2048, 2049,
		4096, 8192, 12288, 12289, 20000, 32767, 32768, 32769, 65536, 65537, 200000, 524288,
		1048576, 1048577, 2097136, 2097151, 2097152, 2097153, 2200000, 4194304, 9000000, 20000000
	};
	const size_t count = sizeof sizes / sizeof sizes[0];

	(void)state;
	for (size_t from = 0; from < count; from++) {
		for (size_t to = 0; to < count; to++) {
			size_t kept = sizes[from] < sizes[to] ? sizes[from] : sizes[to];
			char *block = malloc(sizes[from]);

			assert_non_null(block);
			fill_pattern(block, sizes[from], from + 1);
			block = realloc(block, sizes[to]);
			assert_non_null(block);
			assert_true(is_aligned(block, sizes[to] <= 8 ? 8 : 16));
			assert_true(malloc_usable_size(block) >= sizes[to]);
			assert_true(pattern_holds(block, sizes[from], kept, from + 1));
			fill_pattern(block, sizes[to], to + 100);
			block = realloc(block, sizes[from]);
			assert_non_null(block);
			assert_true(pattern_holds(block, sizes[to], kept, to + 100));
			free(block);
		}
	}
}

static void growing_and_shrinking_step_by_step(void **state)
{
	char *block = NULL;
	size_t size = 0;

	(void)state;
	while (size < 40 * MIB) {
		size_t next = size + size / 8 + 1;

		block = realloc(block, next);
		assert_non_null(block);
		assert_true(pattern_holds(block, size, size, size));
		fill_pattern(block, next, next);
		size = next;
	}
	while (size > 1) {
		size_t next = size - size / 7 - (size < 7);

		block = realloc(block, next);
		assert_non_null(block);
		assert_true(pattern_holds(block, size, next, size));
		fill_pattern(block, next, next);
		size = next;
	}
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_small_size),
		cmocka_unit_test(sizes_around_powers_of_two),
		cmocka_unit_test(waste_is_bounded),
		cmocka_unit_test(calloc_zeroes_recycled_memory),
		cmocka_unit_test(calloc_zeroes_after_trim),
		cmocka_unit_test(realloc_between_all_sizes),
		cmocka_unit_test(growing_and_shrinking_step_by_step),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
