/* test_walks.c - how far the walks over heaps, spans and ranges go whose length the program decides: counted, not timed.
 * docs/design/walks.md has the bounds.
 */
#include "unit.h"

#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "big/big.h"
#include "os/os.h"

#define THREADS 48
#define SLABS 40 /* of each thread; they keep a block each */
#define CALLS 2000

static pthread_barrier_t all_there;
static void *kept[THREADS][SLABS];

/* Leaves a heap with SLABS slabs, each with one live block. */
static void *leave_slabs(void *argument)
{
	enum { BLOCKS = HKM_SLICE_SIZE / 1024 };
	void **own = argument, *blocks[SLABS * BLOCKS];

	for (size_t i = 0; i < SLABS * BLOCKS; i++) {
		require((blocks[i] = hkm_malloc(1024)) != NULL, "no memory");
		memset(blocks[i], 1, 1024);
	}
	for (size_t i = 0; i < SLABS * BLOCKS; i++) {
		if (i % BLOCKS == 0)
			own[i / BLOCKS] = blocks[i];
		else
			hkm_free(blocks[i]);
	}
	pthread_barrier_wait(&all_there); /* so that each has a heap of its own */
	return NULL;
}

static size_t heaps(void)
{
	size_t count = 0;

	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		count++;
	return count;
}

static void end_threads(void)
{
	static pthread_t threads[THREADS];

	pthread_barrier_init(&all_there, NULL, THREADS);
	for (size_t i = 0; i < THREADS; i++)
		require(pthread_create(&threads[i], NULL, leave_slabs, kept[i]) == 0, "pthread_create");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	require(heaps() >= THREADS, "only %zu heaps", heaps());
}

struct walked {
	uint64_t heaps, spans;
};

static struct walked walked(void)
{
	struct hkm_span_stats stats;

	hkm_span_stats(&stats);
	return (struct walked){ hkm_counted(&hkm_heaps_looked_at), stats.visited };
}

static void refuse(size_t size)
{
	errno = 0;
	require(hkm_malloc(size) == NULL && errno == ENOMEM, "malloc(%zu), errno %d", size, errno);
}

static void limit_addresses(size_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

/* Sizes that no system could give are refused without a walk, and what is kept stays. */
ISOLATED(impossible_sizes_cost_nothing)
{
	static const size_t sizes[] = { SIZE_MAX, PTRDIFF_MAX, (size_t)1 << 62, (size_t)1 << 47, ((size_t)1 << 47) - 4096 };
	struct walked before, after;
	void *blocks[16];
	size_t cached, dirty;
	struct hkm_heap *heap = quiet_heap();

	end_threads();
	hkm_free(hkm_malloc(8 * MIB));
	hkm_free(hkm_malloc(100000));
	for (size_t i = 0; i < 16; i++)
		blocks[i] = hkm_malloc(100);
	for (size_t i = 0; i < 8; i++)
		hkm_free(blocks[i]);
	cached = hkm_big_cached();
	dirty = hkm_span_dirty();
	require(cached >= 8 * MIB, "%zu bytes are kept", cached);
	before = walked();
	for (size_t i = 0; i < CALLS; i++)
		for (size_t j = 0; j < sizeof sizes / sizeof sizes[0]; j++)
			if (sizes[j] > PTRDIFF_MAX || !hkm_os_is_possible(sizes[j]))
				refuse(sizes[j]);
#ifndef HAKMEM_TEST_SANITIZED
	limit_addresses(virtual_bytes() + 64 * MIB);
	for (size_t i = 0; i < CALLS; i++)
		refuse(virtual_bytes() + 100 * MIB);
#endif
	after = walked();
	require(after.heaps == before.heaps && after.spans == before.spans, "%lu heaps and %lu spans looked at",
		(unsigned long)(after.heaps - before.heaps), (unsigned long)(after.spans - before.spans));
	require(hkm_big_cached() == cached && hkm_span_dirty() == dirty, "%zu of %zu kept bytes, %zu of %zu dirty ones",
		hkm_big_cached(), cached, hkm_span_dirty(), dirty);
	require(heap->bins[hkm_tiny_class(100)].head != NULL, "the hot lists were emptied");
}

#ifndef HAKMEM_TEST_SANITIZED
/* What a full address space refuses is not looked for again and again: other heaps at most once in HKM_ASLEEP_MS, spans
 * never. */
ISOLATED(refusals_do_not_walk_each_time)
{
	struct walked before, after;
	uint64_t started, elapsed;

	quiet_heap();
	end_threads();
	limit_addresses(virtual_bytes() + 16 * MIB);
	started = hkm_os_now_ms();
	before = walked();
	for (size_t i = 0; i < CALLS; i++)
		refuse(20 * MIB);
	after = walked();
	elapsed = hkm_os_now_ms() - started;
	require(after.spans == before.spans, "%lu spans looked at", (unsigned long)(after.spans - before.spans));
	require(after.heaps - before.heaps <= heaps() * (elapsed / HKM_ASLEEP_MS + 2), "%lu heaps looked at in %lu ms",
		(unsigned long)(after.heaps - before.heaps), (unsigned long)elapsed);
	require(after.heaps - before.heaps >= heaps(), "the other heaps were not looked at");
	require(hkm_malloc(1 * MIB) != NULL, "no memory for what there is room for");
}
#endif

/* malloc_trim comes by each span once, however many heaps there are; and gives the pages of all of them back. */
ISOLATED(a_trim_comes_by_each_span_once)
{
	struct walked before, after;
	struct hkm_span_stats stats;
	size_t bytes;

	quiet_heap();
	end_threads();
	hkm_span_stats(&stats);
	before = walked();
	bytes = hkm_heap_trim_all();
	after = walked();
	/* Once for slabs, and once for spans of several blocks. */
	require(after.spans - before.spans <= 2 * stats.mapped / HKM_SLICE_SIZE, "%lu spans looked at, %zu slices",
		(unsigned long)(after.spans - before.spans), stats.mapped / HKM_SLICE_SIZE);
	require(after.heaps - before.heaps <= heaps(), "%lu heaps looked at", (unsigned long)(after.heaps - before.heaps));
	require(bytes >= THREADS * (SLABS - 2) * (HKM_SLICE_SIZE - 8 * KIB), "only %zu KiB given back", bytes / KIB);
	for (size_t i = 0; i < THREADS; i++)
		for (size_t j = 0; j < SLABS; j++)
			hkm_free(kept[i][j]);
}

/* Whether fork has written to a heap shows in its page: the test makes it read-only meanwhile. */
ISOLATED(fork_writes_to_no_idle_heap)
{
	size_t made_read_only = 0;

	quiet_heap();
	end_threads();
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		if (heap != hkm_tls_heap) {
			uintptr_t page = (uintptr_t)&heap->reader & ~(uintptr_t)4095;

			require(mprotect((void *)page, 4096, PROT_READ) == 0, "mprotect");
			made_read_only++;
		}
	require(made_read_only >= THREADS - 1, "only %zu idle heaps", made_read_only);
	hkm_heap_fork_prepare();
	hkm_heap_fork_parent();
	for (struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		mprotect((void *)((uintptr_t)&heap->reader & ~(uintptr_t)4095), 4096, PROT_READ | PROT_WRITE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(impossible_sizes_cost_nothing),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(refusals_do_not_walk_each_time),
#endif
		cmocka_unit_test(a_trim_comes_by_each_span_once),
		cmocka_unit_test(fork_writes_to_no_idle_heap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
