/* test_edges.c - the edges of every call: size 0, overflow, absurd sizes, alignments that are
 * none, errno, and what POSIX, C23 and glibc promise there.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#include "names.h"

#define PAGE_BYTES ((size_t)4096)
#define MARK 1234 /* an errno that no function sets */

/* Sizes no system can serve. */
static const size_t absurd_sizes[] = {
	(size_t)PTRDIFF_MAX - 4096, (size_t)PTRDIFF_MAX - 1, (size_t)PTRDIFF_MAX,
	(size_t)PTRDIFF_MAX + 1, SIZE_MAX - 65536, SIZE_MAX - 4096, SIZE_MAX - 16, SIZE_MAX - 1,
	SIZE_MAX
};
#define ABSURD_COUNT (sizeof absurd_sizes / sizeof absurd_sizes[0])

static void size_zero_gives_unique_blocks(void **state)
{
	void *blocks[100];

	(void)state;
	for (size_t i = 0; i < 100; i++) {
		blocks[i] = malloc(opaque_size(0));
		assert_non_null(blocks[i]);
		assert_true(is_aligned(blocks[i], 8));
		for (size_t k = 0; k < i; k++)
			assert_ptr_not_equal(blocks[i], blocks[k]);
	}
	for (size_t i = 0; i < 100; i++)
		free(blocks[i]);

	void *block = calloc(opaque_size(0), 16);
	assert_non_null(block);
	free(block);
	block = calloc(16, opaque_size(0));
	assert_non_null(block);
	free(block);
	block = realloc(NULL, opaque_size(0));
	assert_non_null(block);
	free(block);
	block = aligned_alloc(64, opaque_size(0));
	assert_non_null(block);
	assert_true(is_aligned(block, 64));
	free(block);
	block = memalign(256, opaque_size(0));
	assert_non_null(block);
	assert_true(is_aligned(block, 256));
	free(block);
	block = valloc(opaque_size(0));
	assert_non_null(block);
	assert_true(is_aligned(block, PAGE_BYTES));
	free(block);
	block = pvalloc(opaque_size(0));
	assert_non_null(block);
	assert_true(is_aligned(block, PAGE_BYTES));
	free(block);
	block = NULL;
	assert_int_equal(posix_memalign(&block, 64, opaque_size(0)), 0);
	assert_non_null(block);
	free(block);
}

static void absurd_sizes_are_refused(void **state)
{
	(void)state;
	for (size_t i = 0; i < ABSURD_COUNT; i++) {
		size_t size = opaque_size(absurd_sizes[i]);

		errno = 0;
		assert_null(malloc(size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(calloc(1, size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(calloc(size, 1));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(realloc(NULL, size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(valloc(size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(pvalloc(size));
		assert_int_equal(errno, ENOMEM);
		for (size_t alignment = 16; alignment != 0; alignment *= 2) { /* up to 2^63 */
			void *out = &out;

			errno = 0;
			assert_null(aligned_alloc(alignment, size));
			assert_int_equal(errno, ENOMEM);
			errno = 0;
			assert_null(memalign(alignment, size));
			assert_int_equal(errno, ENOMEM);
			errno = MARK;
			assert_int_equal(posix_memalign(&out, alignment, size), ENOMEM);
			assert_int_equal(errno, ENOMEM);
			assert_ptr_equal(out, &out);
		}
	}
}

static void overflowing_products_are_refused(void **state)
{
	static const size_t factors[][2] = {
		{ SIZE_MAX / 2 + 1, 2 }, { SIZE_MAX / 2, 3 }, { SIZE_MAX, SIZE_MAX }, { SIZE_MAX, 2 },
		{ (size_t)1 << 32, (size_t)1 << 32 }, { ((size_t)1 << 32) + 1, (size_t)1 << 32 },
		{ SIZE_MAX / 16 + 1, 16 }, { SIZE_MAX / 16 + 2, 16 }, { 3, SIZE_MAX / 3 + 1 },
		{ (size_t)1 << 62, 2 }
	};
	char *kept = malloc(100);

	(void)state;
	assert_non_null(kept);
	memset(kept, 'k', 100);
	for (size_t i = 0; i < sizeof factors / sizeof factors[0]; i++) {
		size_t count = opaque_size(factors[i][0]);
		size_t size = opaque_size(factors[i][1]);

		errno = 0;
		assert_null(calloc(count, size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(reallocarray(NULL, count, size));
		assert_int_equal(errno, ENOMEM);
		errno = 0;
		assert_null(reallocarray(opaque_pointer(kept), count, size));
		assert_int_equal(errno, ENOMEM);
		assert_true(all_bytes_are(kept, 100, 'k'));
	}
	free(kept);
}

static void failed_realloc_keeps_the_block(void **state)
{
	static const size_t sizes[] = { 1, 8, 100, 1024, 5000, 32768, 300000, 3000000, 20000000 };

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		void *block = malloc(sizes[i]);

		assert_non_null(block);
		fill_pattern(block, sizes[i], 7);
		for (size_t k = 0; k < ABSURD_COUNT; k++) {
			errno = 0;
			assert_null(realloc(opaque_pointer(block), opaque_size(absurd_sizes[k])));
			assert_int_equal(errno, ENOMEM);
		}
		assert_true(pattern_holds(block, sizes[i], sizes[i], 7));
		free(block);
	}
}

static void realloc_to_nothing_frees(void **state)
{
	static const size_t sizes[] = { 1, 100, 1000, 5000, 40000, 3000000 };
	size_t before;

	(void)state;
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		errno = MARK;
		assert_null(realloc(malloc(sizes[i]), opaque_size(0)));
		assert_int_equal(errno, MARK);
		assert_null(reallocarray(malloc(sizes[i]), opaque_size(0), 5));
		assert_null(reallocarray(malloc(sizes[i]), 5, opaque_size(0)));
		assert_int_equal(errno, MARK);
	}
	before = resident_bytes();
	for (int i = 0; i < 100000; i++) {
		char *block = malloc(3000);

		assert_non_null(block);
		memset(block, 1, 3000);
		assert_null(realloc(block, opaque_size(0)));
	}
	/* 300 MB went through; had they not been freed, they would be resident. */
	assert_true(resident_bytes() < before + 64 * MIB);
}

static void realloc_of_nothing_allocates(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 8 * MIB; size = size * 3 + 1) {
		char *block = realloc(NULL, size);

		assert_non_null(block);
		memset(block, 1, size);
		free(block);
		block = reallocarray(NULL, size, 1);
		assert_non_null(block);
		memset(block, 1, size);
		free(block);
	}
}

static void reallocarray_multiplies(void **state)
{
	unsigned *numbers = NULL;

	(void)state;
	for (unsigned count = 1; count <= 100000; count = count * 2 + 1) {
		numbers = reallocarray(numbers, count, sizeof *numbers);
		assert_non_null(numbers);
		assert_true(malloc_usable_size(numbers) >= count * sizeof *numbers);
		for (unsigned i = 0; i < count / 2; i++)
			assert_int_equal(numbers[i], i);
		for (unsigned i = 0; i < count; i++)
			numbers[i] = i;
	}
	free(numbers);
}

static void alignments_that_are_none(void **state)
{
	static const size_t not_powers[] = { 0, 3, 5, 6, 12, 24, 40, 48, 100, 4095, 4097, SIZE_MAX };

	(void)state;
	for (size_t i = 0; i < sizeof not_powers / sizeof not_powers[0]; i++) {
		size_t alignment = opaque_size(not_powers[i]);
		void *out = &out;

		errno = 0;
		assert_null(aligned_alloc(alignment, 64));
		assert_int_equal(errno, EINVAL);
		errno = MARK;
		assert_int_equal(posix_memalign(&out, alignment, 64), EINVAL);
		assert_int_equal(errno, MARK);
		assert_ptr_equal(out, &out);
	}
	/* Powers of two, but no multiple of sizeof(void *). */
	for (size_t alignment = 1; alignment < sizeof(void *); alignment *= 2) {
		void *out = &out;

		errno = MARK;
		assert_int_equal(posix_memalign(&out, opaque_size(alignment), 64), EINVAL);
		assert_int_equal(errno, MARK);
		assert_ptr_equal(out, &out);
	}
	/* An invalid alignment is reported as such even when the size is absurd too. */
	void *out = &out;
	assert_int_equal(posix_memalign(&out, opaque_size(24), opaque_size(SIZE_MAX)), EINVAL);
	assert_ptr_equal(out, &out);
}

static void memalign_rounds_its_alignment_up(void **state)
{
	static const size_t pairs[][2] = {
		{ 0, 8 }, { 3, 4 }, { 12, 16 }, { 24, 32 }, { 48, 64 }, { 100, 128 }, { 4097, 8192 },
		{ 1000000, 1048576 }
	};

	(void)state;
	for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
		for (size_t size = 1; size <= 4 * MIB; size = size * 7 + 3) {
			char *block = memalign(opaque_size(pairs[i][0]), size);

			assert_non_null(block);
			assert_true(is_aligned(block, pairs[i][1]));
			memset(block, 1, size);
			free(block);
		}
	}
	errno = 0;
	assert_null(memalign(opaque_size(SIZE_MAX / 2 + 2), 64));
	assert_int_equal(errno, EINVAL);
}

static void every_alignment_is_honoured(void **state)
{
	static const size_t sizes[] = {
		0, 1, 8, 24, 100, 1000, 1024, 4096, 5000, 32768, 32769, 100000, 1048576, 2097151, 2097152,
		3000000
	};

	(void)state;
	for (size_t alignment = 1; alignment <= GIB; alignment *= 2) {
		for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
			char *blocks[3] = { aligned_alloc(opaque_size(alignment), sizes[i]),
				memalign(opaque_size(alignment), sizes[i]), NULL };

			if (alignment >= sizeof(void *))
				assert_int_equal(
					posix_memalign((void **)&blocks[2], opaque_size(alignment), sizes[i]), 0);
			else
				blocks[2] = malloc(sizes[i]);
			for (int k = 0; k < 3; k++) {
				size_t usable = malloc_usable_size(blocks[k]);

				assert_non_null(blocks[k]);
				assert_true(is_aligned(blocks[k], alignment));
				assert_true(usable >= sizes[i]);
				fill_pattern(blocks[k], usable, block_seed(blocks[k], usable));
			}
			for (int k = 0; k < 3; k++) {
				size_t usable = malloc_usable_size(blocks[k]);

				assert_true(pattern_holds(blocks[k], usable, usable,
					block_seed(blocks[k], usable)));
				free(blocks[k]);
			}
		}
	}
}

static void alignments_above_the_limit(void **state)
{
	(void)state;
	for (size_t alignment = 2 * GIB; alignment != 0; alignment *= 2) {
		void *block;

		errno = 0;
		block = aligned_alloc(opaque_size(alignment), 100);
		if (block != NULL)
			assert_true(is_aligned(block, alignment));
		else
			assert_true(errno == EINVAL || errno == ENOMEM);
		free(block);
	}
}

static void aligned_blocks_can_be_reallocated(void **state)
{
	(void)state;
	for (size_t alignment = 16; alignment <= 4 * MIB; alignment *= 4) {
		for (size_t size = 10; size <= 4 * MIB; size *= 13) {
			char *block = aligned_alloc(alignment, size);
			size_t grown = size * 3;

			assert_non_null(block);
			fill_pattern(block, size, size);
			block = realloc(block, grown);
			assert_non_null(block);
			assert_true(pattern_holds(block, size, size, size));
			fill_pattern(block, grown, grown);
			block = realloc(block, size / 2 + 1);
			assert_non_null(block);
			assert_true(pattern_holds(block, grown, size / 2 + 1, grown));
			free(block);
		}
	}
}

static void page_functions(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 8 * MIB; size = size * 5 + 2) {
		char *block = valloc(size);

		assert_non_null(block);
		assert_true(is_aligned(block, PAGE_BYTES));
		memset(block, 1, size);
		free(block);

		block = pvalloc(size);
		assert_non_null(block);
		assert_true(is_aligned(block, PAGE_BYTES));
		assert_true(malloc_usable_size(block) >= (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
		memset(block, 1, (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES);
		free(block);
	}
}

static void usable_size_is_stable_and_writable(void **state)
{
	(void)state;
	assert_int_equal(malloc_usable_size(NULL), 0);
	for (size_t size = 0; size <= 8 * MIB; size = size + size / 9 + 1) {
		unsigned char *block = malloc(size);
		unsigned char *neighbour = malloc(size);
		size_t usable = malloc_usable_size(block);

		assert_true(usable >= size);
		memset(neighbour, 0x55, malloc_usable_size(neighbour));
		memset(block, 0xaa, usable);
		assert_true(all_bytes_are(neighbour, malloc_usable_size(neighbour), 0x55));
		free(neighbour);
		assert_int_equal(malloc_usable_size(block), usable);
		assert_true(all_bytes_are(block, usable, 0xaa));
		/* All that was usable belongs to the block: realloc must keep it. */
		block = realloc(block, usable + 1);
		assert_non_null(block);
		assert_true(all_bytes_are(block, usable, 0xaa));
		free(block);
	}
}

static void free_leaves_errno_alone(void **state)
{
	(void)state;
	errno = MARK;
	free(NULL);
	assert_int_equal(errno, MARK);
	for (size_t size = 1; size <= 600 * MIB; size *= 2) {
		void *block = malloc(size);

		assert_non_null(block);
		errno = MARK;
		free(block);
		assert_int_equal(errno, MARK);
	}
	/* Many at once, so that caches overflow and memory goes back. */
	static void *blocks[20000];
	for (size_t size = 16; size <= 8192; size *= 8) {
		for (size_t i = 0; i < 20000; i++)
			assert_non_null(blocks[i] = malloc(size));
		errno = MARK;
		for (size_t i = 0; i < 20000; i++)
			free(blocks[i]);
		assert_int_equal(errno, MARK);
	}
}

static void sized_frees(void **state)
{
	(void)state;
	assert_ptr_not_equal(free_sized, NULL);
	assert_ptr_not_equal(free_aligned_sized, NULL);
	errno = MARK;
	free_sized(NULL, 0);
	free_sized(NULL, 100);
	free_aligned_sized(NULL, 64, 100);
	for (size_t size = 0; size <= 8 * MIB; size = size * 3 + 1) {
		void *blocks[4] = { malloc(size), calloc(size, 1), realloc(malloc(10), size + 1),
			aligned_alloc(64, size) };

		for (int i = 0; i < 4; i++)
			assert_non_null(blocks[i]);
		errno = MARK;
		free_sized(blocks[0], size);
		free_sized(blocks[1], size);
		free_sized(blocks[2], size + 1);
		free_aligned_sized(blocks[3], 64, size);
		assert_int_equal(errno, MARK);
	}
}

static void small_blocks_are_aligned(void **state)
{
	enum { COUNT = 300 };
	static void *blocks[COUNT];

	(void)state;
	for (size_t size = 0; size <= 2048; size++) {
		size_t alignment = size <= 8 ? 8 : 16;

		for (size_t i = 0; i < (size < 64 ? COUNT : 10); i++) {
			blocks[i] = i % 3 == 0 ? malloc(size) :
				i % 3 == 1 ? calloc(1, size) : realloc(malloc(2), size + (size == 0));
			assert_non_null(blocks[i]);
			assert_true(is_aligned(blocks[i], alignment));
		}
		for (size_t i = 0; i < (size < 64 ? COUNT : 10); i++)
			free(blocks[i]);
	}
}

static void trim_and_mallopt(void **state)
{
	(void)state;
	for (size_t pad = 0; pad <= 16 * MIB; pad = pad * 16 + 1) {
		int result = malloc_trim(pad);

		assert_true(result == 0 || result == 1);
	}
	free(malloc(100 * MIB));
	malloc_trim(0);
	assert_int_equal(mallopt(M_MMAP_THRESHOLD, 65536), 1);
	assert_int_equal(mallopt(M_TRIM_THRESHOLD, 65536), 1);
	assert_int_equal(mallopt(M_TOP_PAD, 4096), 1);
	assert_int_equal(mallopt(M_MMAP_MAX, 100), 1);
	assert_int_equal(mallopt(M_ARENA_MAX, 2), 1);
	assert_int_equal(mallopt(12345, 1), 0);

	void *block = malloc(1000000);
	assert_non_null(block);
	free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(size_zero_gives_unique_blocks),
		cmocka_unit_test(absurd_sizes_are_refused),
		cmocka_unit_test(overflowing_products_are_refused),
		cmocka_unit_test(failed_realloc_keeps_the_block),
		cmocka_unit_test(realloc_to_nothing_frees),
		cmocka_unit_test(realloc_of_nothing_allocates),
		cmocka_unit_test(reallocarray_multiplies),
		cmocka_unit_test(alignments_that_are_none),
		cmocka_unit_test(memalign_rounds_its_alignment_up),
		cmocka_unit_test(every_alignment_is_honoured),
		cmocka_unit_test(alignments_above_the_limit),
		cmocka_unit_test(aligned_blocks_can_be_reallocated),
		cmocka_unit_test(page_functions),
		cmocka_unit_test(usable_size_is_stable_and_writable),
		cmocka_unit_test(free_leaves_errno_alone),
		cmocka_unit_test(sized_frees),
		cmocka_unit_test(small_blocks_are_aligned),
		cmocka_unit_test(trim_and_mallopt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
