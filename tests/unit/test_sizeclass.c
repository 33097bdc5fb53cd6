/* test_sizeclass.c - from a size to a class and back, over every size; the fast path's table; the
 * division by multiplication, over every offset.
 */
#include "unit.h"

#include "api/fast.h"
#include "core/sizeclass.h"

static void every_tiny_size_gets_the_smallest_class_that_fits(void **state)
{
	(void)state;
	for (size_t size = 0; size <= HKM_TINY_MAX; size++) {
		unsigned class = hkm_tiny_class(size);

		assert_in_range(class, 0, HKM_TINY_CLASSES - 1);
		assert_true(hkm_tiny_size(class) >= size);
		if (class > 0)
			assert_true(hkm_tiny_size(class - 1) < size);
	}
	assert_int_equal(hkm_tiny_size(HKM_TINY_CLASSES - 1), HKM_TINY_MAX);
}

static void tiny_blocks_are_aligned_and_waste_an_eighth_at_most(void **state)
{
	(void)state;
	for (unsigned class = 1; class < HKM_TINY_CLASSES; class++)
		assert_int_equal(hkm_tiny_size(class) % 16, 0);
	for (size_t size = 129; size <= HKM_TINY_MAX; size++) {
		size_t block = hkm_tiny_size(hkm_tiny_class(size));

		assert_true((block - size) * 8 <= block);
	}
}

static void powers_of_two_are_tiny_classes(void **state)
{
	(void)state;
	for (size_t size = 8; size <= HKM_TINY_MAX; size *= 2)
		assert_int_equal(hkm_tiny_size(hkm_tiny_class(size)), size);
}

static void the_fast_table_agrees_with_the_classes(void **state)
{
	(void)state;
	for (size_t size = 0; size <= HKM_TINY_MAX; size++)
		assert_int_equal(hkm_bin_offsets[(size + 7) / 8],
			offsetof(struct hkm_heap, bins) + hkm_tiny_class(size) * sizeof(struct hkm_bin));
}

static void every_l1_size_gets_the_smallest_class_that_fits(void **state)
{
	(void)state;
	for (size_t size = HKM_TINY_MAX + 1; size <= HKM_LARGE_MAX; size++) {
		unsigned class = hkm_ace_class(size);
		size_t block = hkm_ace_static_size(class);

		if (class >= HKM_ACE_STATIC_CLASSES || block < size ||
			(class > 0 && hkm_ace_static_size(class - 1) >= size) || (block - size) * 5 > block)
			fail_msg("size %zu: class %u of %zu bytes", size, class, block);
	}
}

static void mid_and_large_meet_at_32_kib(void **state)
{
	(void)state;
	assert_int_equal(hkm_ace_class(HKM_TINY_MAX + 1), 0);
	assert_int_equal(hkm_ace_class(HKM_MID_MAX), HKM_MID_CLASSES - 1);
	assert_int_equal(hkm_ace_static_size(HKM_MID_CLASSES - 1), HKM_MID_MAX);
	assert_int_equal(hkm_ace_class(HKM_MID_MAX + 1), HKM_MID_CLASSES);
	assert_int_equal(hkm_ace_class(HKM_LARGE_MAX), HKM_ACE_STATIC_CLASSES - 1);
	assert_int_equal(hkm_ace_static_size(HKM_ACE_STATIC_CLASSES - 1), HKM_LARGE_MAX);
	for (size_t size = 2 * KIB; size <= HKM_LARGE_MAX; size *= 2)
		assert_int_equal(hkm_ace_static_size(hkm_ace_class(size)), size);
}

/* hkm_allocate_aligned and hkm_ace_alloc_aligned rely on it. */
static void the_class_of_a_multiple_of_an_alignment_is_one_too(void **state)
{
	(void)state;
	for (size_t alignment = 16; alignment <= HKM_SLICE_SIZE; alignment *= 2) {
		for (size_t size = alignment; size <= HKM_TINY_MAX; size += alignment)
			assert_int_equal(hkm_tiny_size(hkm_tiny_class(size)) % alignment, 0);
		for (size_t size = hkm_align_up(HKM_TINY_MAX + 1, alignment); size <= HKM_MID_MAX; size += alignment)
			assert_int_equal(hkm_ace_static_size(hkm_ace_class(size)) % alignment, 0);
	}
}

/* The reciprocals come from real slabs, so that the test follows the code that makes them. */
ISOLATED(division_in_tiny_slabs_is_exact_for_every_offset)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		uint32_t size = hkm_tiny_size(class);
		const struct hkm_slab *slab = slab_of_block(hkm_malloc(size));
		const char *start = hkm_slab_start(slab);

		require(slab->block_size == size, "class %u: %u bytes", class, slab->block_size);
		require(slab->capacity == HKM_SLICE_SIZE / size, "class %u: %u blocks", class, slab->capacity);
		for (uint32_t offset = 0; offset < HKM_SLICE_SIZE; offset++) {
			bool is_start = offset % size == 0 && offset / size < slab->capacity;
			bool was_given = is_start && offset / size < slab->carved;

			require(hkm_tiny_is_block(slab, start + offset) == was_given, "size %u, offset %u", size,
				offset);
			require(hkm_tiny_starts_block(class, start + offset) == is_start, "by class: size %u, offset %u",
				size, offset);
		}
	}
}

static struct hkm_slab *head_of(void *block)
{
	return hkm_span_head(slab_of_block(block));
}

static uint64_t index_by_reciprocal(const struct hkm_slab *slab, uint64_t offset)
{
	return offset * slab->reciprocal >> 32;
}

ISOLATED(division_in_static_mid_spans_is_exact_for_every_offset)
{
	for (unsigned class = 0; class < HKM_MID_CLASSES; class++) {
		uint32_t size = hkm_ace_static_size(class);
		const struct hkm_slab *slab = head_of(hkm_malloc(size));
		uint64_t bytes = (uint64_t)slab->slices << HKM_SLICE_SHIFT;

		require(slab->block_size == size, "class %u: %u bytes", class, slab->block_size);
		for (uint64_t offset = 0; offset < bytes; offset++)
			require(index_by_reciprocal(slab, offset) == offset / size, "size %u, offset %zu", size,
				(size_t)offset);
	}
}

/* Only starts of blocks are divided; within a block of an odd size near the end of four slices the
 * quotient may be one too large. */
ISOLATED(division_in_spans_of_every_dynamic_size_is_exact_for_every_block)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;

	hkm_policy_copy(&policy);
	policy.dynamic_size[1] = 0;
	for (uint32_t size = HKM_TINY_MAX + 16; size < HKM_MID_MAX; size += 16) {
		const struct hkm_slab *slab;
		void *block;

		policy.dynamic_size[0] = size;
		impose(heap, &policy);
		block = hkm_malloc(size);
		slab = head_of(block);
		require(slab->block_size == size, "size %u is served by %u bytes", size, slab->block_size);
		require(slab->capacity >= 1 && slab->capacity <= 64 &&
			slab->capacity == ((size_t)slab->slices << HKM_SLICE_SHIFT) / size,
			"size %u: %u blocks in %u slices", size, slab->capacity, slab->slices);
		for (uint64_t index = 0; index < slab->capacity; index++)
			require(index_by_reciprocal(slab, index * size) == index, "size %u, block %zu", size,
				(size_t)index);
		hkm_free(block);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_tiny_size_gets_the_smallest_class_that_fits),
		cmocka_unit_test(tiny_blocks_are_aligned_and_waste_an_eighth_at_most),
		cmocka_unit_test(powers_of_two_are_tiny_classes),
		cmocka_unit_test(the_fast_table_agrees_with_the_classes),
		cmocka_unit_test(every_l1_size_gets_the_smallest_class_that_fits),
		cmocka_unit_test(mid_and_large_meet_at_32_kib),
		cmocka_unit_test(the_class_of_a_multiple_of_an_alignment_is_one_too),
		cmocka_unit_test(division_in_tiny_slabs_is_exact_for_every_offset),
		cmocka_unit_test(division_in_static_mid_spans_is_exact_for_every_offset),
		cmocka_unit_test(division_in_spans_of_every_dynamic_size_is_exact_for_every_block),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
