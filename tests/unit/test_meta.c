/* test_meta.c - memory for the allocator's own structures: zero, aligned, apart from each other, reused. */
#include "unit.h"

#include <pthread.h>
#include <sys/resource.h>

#include "core/meta.h"

#define BLOCKS 600
#define LARGEST ((size_t)64 * KIB)

static size_t next_power_of_two(size_t size)
{
	size_t power = 64;

	while (power < size)
		power *= 2;
	return power;
}

ISOLATED(blocks_are_zero_aligned_and_apart)
{
	static struct {
		unsigned char *start;
		size_t size;
	} blocks[BLOCKS];
	struct random_source random = { 1 };

	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < BLOCKS; i++) {
			size_t size = i == 0 ? LARGEST : random_between(&random, 1, i % 8 == 0 ? LARGEST : 300);

			blocks[i].size = size;
			blocks[i].start = hkm_meta_alloc(size);
			require(blocks[i].start != NULL, "no memory");
			require(is_aligned(blocks[i].start, hkm_min(next_power_of_two(size), 4096)),
				"%zu bytes at %p", size, (void *)blocks[i].start);
			require(all_bytes_are(blocks[i].start, size, 0), "%zu bytes are not zero", size);
			memset(blocks[i].start, (int)(1 + i % 255), size);
		}
		for (size_t i = 0; i < BLOCKS; i++) {
			require(all_bytes_are(blocks[i].start, blocks[i].size, (unsigned char)(1 + i % 255)),
				"a block of %zu bytes was overwritten", blocks[i].size);
			hkm_meta_free(blocks[i].start, blocks[i].size);
		}
	}
}

ISOLATED(freed_blocks_are_reused)
{
	size_t held;

	for (size_t size = 1; size <= LARGEST; size = size * 3 + 1)
		hkm_meta_free(hkm_meta_alloc(size), size);
	held = hkm_meta_held();
	for (size_t i = 0; i < 1000; i++)
		for (size_t size = 1; size <= LARGEST; size = size * 3 + 1)
			hkm_meta_free(hkm_meta_alloc(size), size);
	require(hkm_meta_held() == held, "grew from %zu to %zu bytes", held, hkm_meta_held());
}

ISOLATED(small_blocks_share_what_is_mapped)
{
	for (size_t i = 0; i < 4 * LARGEST / 64; i++)
		require(hkm_meta_alloc(64) != NULL, "no memory");
	require(hkm_meta_held() == 4 * LARGEST, "%zu bytes are held", hkm_meta_held());
}

#ifndef HAKMEM_TEST_SANITIZED
/* The sanitizers do not run under a limit on addresses. */
ISOLATED(no_memory_gives_null_and_nothing_breaks)
{
	struct rlimit unlimited, limit;
	size_t count = 0, held;
	void *first = hkm_meta_alloc(LARGEST);

	getrlimit(RLIMIT_AS, &unlimited);
	limit = unlimited;
	limit.rlim_cur = virtual_bytes() + 1 * MIB;
	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
	while (hkm_meta_alloc(LARGEST) != NULL)
		require(++count <= 16, "the limit does not hold");
	held = hkm_meta_held();
	require(hkm_meta_alloc(LARGEST) == NULL && hkm_meta_held() == held, "held grows without memory");
	hkm_meta_free(first, LARGEST);
	require(hkm_meta_alloc(LARGEST) == first, "a freed block is not reused");
	setrlimit(RLIMIT_AS, &unlimited);
	require(hkm_meta_alloc(LARGEST) != NULL, "the failure lasts");
}
#endif

static void *churn(void *argument)
{
	unsigned char mark = (unsigned char)(uintptr_t)argument;
	struct random_source random = { mark };
	unsigned char *blocks[32] = { 0 };
	size_t sizes[32];

	for (size_t i = 0; i < 4000; i++) {
		size_t at = i % 32;

		if (blocks[at] != NULL) {
			require(all_bytes_are(blocks[at], sizes[at], mark), "a block was overwritten");
			hkm_meta_free(blocks[at], sizes[at]);
		}
		sizes[at] = random_between(&random, 1, 2000);
		blocks[at] = hkm_meta_alloc(sizes[at]);
		require(all_bytes_are(blocks[at], sizes[at], 0), "a block is not zero");
		memset(blocks[at], mark, sizes[at]);
	}
	return NULL;
}

ISOLATED(any_thread_may_call)
{
	pthread_t threads[4];

	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	require(!hkm_lock_is_held(&hkm_meta_lock), "the lock is left held");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(blocks_are_zero_aligned_and_apart),
		cmocka_unit_test(freed_blocks_are_reused),
		cmocka_unit_test(small_blocks_share_what_is_mapped),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(no_memory_gives_null_and_nothing_breaks),
#endif
		cmocka_unit_test(any_thread_may_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
