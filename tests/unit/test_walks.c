/* test_walks.c - how far the walks over heaps, spans and ranges go whose length the program decides: counted, not timed.
 * docs/design/walks.md has the bounds.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "big/big.h"
#include "core/meta.h"
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

#ifndef HAKMEM_TEST_SANITIZED
static void limit_addresses(size_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}
#endif

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

static atomic_bool may_allocate, has_allocated;

static void *allocate_when_told(void *argument)
{
	hkm_free(hkm_malloc(1)); /* so that it has a heap */
	pthread_barrier_wait(&all_there);
	while (!atomic_load(&may_allocate))
		;
	hkm_free(hkm_malloc(3 * MIB));
	atomic_store(&has_allocated, true);
	return argument;
}

/* While somebody forks nobody enters a slow path; and who waited for that goes on afterwards. */
ISOLATED(a_slow_path_waits_for_a_fork)
{
	pthread_t thread;

	quiet_heap();
	pthread_barrier_init(&all_there, NULL, 2);
	require(pthread_create(&thread, NULL, allocate_when_told, NULL) == 0, "pthread_create");
	pthread_barrier_wait(&all_there);
	hkm_heap_fork_prepare();
	/* L2's lock, which the other would wait for otherwise. */
	hkm_lock_release(&hkm_meta_lock);
	hkm_lock_release(&hkm_big_lock);
	atomic_store(&may_allocate, true);
	sleep_milliseconds(30);
	require(!atomic_load(&has_allocated), "a slow path was entered during a fork");
	hkm_lock_acquire(&hkm_big_lock);
	hkm_lock_acquire(&hkm_meta_lock);
	hkm_heap_fork_parent();
	pthread_join(thread, NULL);
	require(atomic_load(&has_allocated), "the slow path was not entered");
}

bool __real_hkm_os_purge(const struct hkm_range *ranges, size_t count);
bool __wrap_hkm_os_purge(const struct hkm_range *ranges, size_t count);

static size_t most_at_once, purges;

/* The linker puts this between the allocator and its hkm_os_purge. */
bool __wrap_hkm_os_purge(const struct hkm_range *ranges, size_t count)
{
	size_t bytes = 0;

	for (size_t i = 0; i < count; i++)
		bytes += ranges[i].size;
	if (bytes > most_at_once)
		most_at_once = bytes;
	purges++;
	return __real_hkm_os_purge(ranges, count);
}

#define MANY 400

/* A purge holds its lock, which fork waits for, for a few MiB at a time, and does not begin while somebody forks. */
ISOLATED(a_purge_is_done_in_small_steps)
{
	static void *large[MANY];
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;
	size_t dirty;

	hkm_policy_copy(&policy);
	policy.dirty_bytes = GIB;
	impose(heap, &policy);
	for (size_t i = 0; i < MANY; i++)
		require((large[i] = hkm_malloc(500 * KIB)) != NULL, "no memory");
	/* One block stays in each superslab or two, so that none is unmapped as a whole. */
	for (size_t i = 0; i < MANY; i++)
		if (i % 3 != 0)
			hkm_free(large[i]);
	hkm_heap_enter(heap);
	hkm_ace_flush(heap, hkm_policy_read(&heap->reader));
	hkm_heap_leave(heap);
	hkm_pool_release_idle(true);
	dirty = hkm_span_dirty();
	require(dirty > 100 * MIB, "only %zu bytes are dirty", dirty);
	hkm_gate_close(&hkm_fork_gate);
	require(hkm_span_purge(0, 0) == 0 && hkm_span_dirty() == dirty, "purged during a fork");
	hkm_gate_open(&hkm_fork_gate);
	most_at_once = purges = 0;
	require(hkm_span_purge(UINT64_MAX, 0) >= dirty && hkm_span_dirty() == 0, "%zu bytes stay dirty", hkm_span_dirty());
	require(most_at_once <= 6 * MIB && purges >= dirty / (6 * MIB) / 2, "%zu KiB at once, %zu times", most_at_once / KIB, purges);
}

/* malloc_trim comes by the spans of the pools once, and holds a pool's lock for one span: its blocks go in one call. */
ISOLATED(a_trim_of_the_pools_goes_span_by_span)
{
	static void *mid[MANY * 8];
	size_t spans;

	quiet_heap();
	for (size_t i = 0; i < MANY * 8; i++)
		require((mid[i] = hkm_malloc(20000)) != NULL, "no memory");
	for (size_t i = 0; i < MANY * 8; i++)
		if (i % 8 != 0)
			hkm_free(mid[i]);
	spans = sum_spans(HKM_KIND_MID, slab_of_block(mid[0])->block_size).spans;
	most_at_once = purges = 0;
	require(hkm_heap_trim_all() > MANY * 8 * 20000 / 2, "too little was given back");
	require(spans > MANY / 4 && purges >= spans / 2 && most_at_once <= 6 * MIB, "%zu spans, %zu purges of at most %zu KiB",
		spans, purges, most_at_once / KIB);
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
		cmocka_unit_test(a_slow_path_waits_for_a_fork),
		cmocka_unit_test(a_purge_is_done_in_small_steps),
		cmocka_unit_test(a_trim_of_the_pools_goes_span_by_span),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
