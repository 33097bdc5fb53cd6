/* test_tiny.c - L0: every slab's count of blocks in use is exact at every moment, a slab is free the moment
 * its last block is back, remote frees travel in the messages that the policy asks for, trimming.
 */
#include "os/os.h"
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "core/report.h"
#include "learn/signals.h"

#define SIZE 112u /* a class of its own: nobody else in the process allocates through hkm_malloc */
#define CAPACITY (HKM_SLICE_SIZE / SIZE)

static size_t length_of(const struct hkm_block *list)
{
	size_t length = 0;

	for (; list != NULL; list = hkm_next(list))
		length++;
	return length;
}

static size_t hot_blocks(const struct hkm_heap *heap, uint32_t size)
{
	return length_of(heap->bins[hkm_tiny_class(size)].head);
}

static size_t outbox_blocks(const struct hkm_heap *heap)
{
	size_t blocks = 0;

	for (size_t i = 0; i < HKM_OUTBOXES; i++) {
		require(length_of(heap->outboxes[i].first) == heap->outboxes[i].blocks, "an outbox counts wrongly");
		blocks += heap->outboxes[i].blocks;
	}
	return blocks;
}

static void check(struct hkm_heap *heap)
{
	hkm_heap_enter(heap);
	hkm_tiny_check_all(heap);
	hkm_heap_leave(heap);
}

/* The length of the hot list as its counters tell it. */
static size_t counted_hot_blocks(const struct hkm_heap *heap, unsigned class)
{
	const struct hkm_bin *bin = &heap->bins[class];
	int64_t length = (int64_t)heap->tiny[class].granted - bin->taken - (bin->room > 0 ? bin->room : 0);

	return (size_t)length;
}

/* ---- Accounting ------------------------------------------------------------------ */

struct live_block {
	unsigned char *start;
	size_t size;
};

#define LIVE 4000
static struct live_block blocks[LIVE];
static size_t live_of_class[HKM_TINY_CLASSES];

static void check_accounts(struct hkm_heap *heap)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		uint32_t size = hkm_tiny_size(class);
		struct span_sum sum = sum_spans(HKM_KIND_TINY, size);
		size_t expected = live_of_class[class] + hot_blocks(heap, size);

		require(counted_hot_blocks(heap, class) == hot_blocks(heap, size), "%u bytes: %zu hot, counted %zu", size,
			hot_blocks(heap, size), counted_hot_blocks(heap, class));
		require(sum.in_use == expected, "%u bytes: %zu in use, expected %zu", size, sum.in_use, expected);
		require(sum.spans == hkm_counted(&heap->tiny_counters[class].slabs), "%u bytes: %zu slabs, %zu counted", size,
			sum.spans, (size_t)hkm_counted(&heap->tiny_counters[class].slabs));
	}
	check(heap);
}

static size_t trim(struct hkm_heap *heap)
{
	size_t bytes;

	hkm_heap_guard(heap, true);
	bytes = hkm_tiny_trim();
	hkm_heap_guard(heap, false);
	return bytes;
}

ISOLATED(every_slab_counts_exactly)
{
	struct hkm_heap *heap = quiet_heap();
	struct random_source random = { 5 };

	for (size_t step = 0; step < 150000; step++) {
		struct live_block *block = &blocks[random_between(&random, 0, LIVE - 1)];

		if (block->start != NULL) {
			require(pattern_holds(block->start, block->size, block->size, block->size), "overwritten");
			hkm_free(block->start);
			block->start = NULL;
			live_of_class[hkm_tiny_class(block->size)]--;
		} else {
			block->size = random_between(&random, 1, random_between(&random, 0, 1) ? 200 : HKM_TINY_MAX);
			block->start = hkm_malloc(block->size);
			fill_pattern(block->start, block->size, block->size);
			live_of_class[hkm_tiny_class(block->size)]++;
		}
		if (step % 1500 == 0)
			check_accounts(heap);
		if (step % 15000 == 0) {
			hkm_heap_enter(heap);
			if (step % 30000 == 0)
				hkm_tiny_flush(heap);
			else
				hkm_tiny_decay(heap);
			hkm_heap_leave(heap);
			if (step % 30000 == 0)
				trim(heap);
			check_accounts(heap);
		}
	}
	for (size_t i = 0; i < LIVE; i++)
		hkm_free(blocks[i].start);
	memset(live_of_class, 0, sizeof live_of_class);
	check_accounts(heap);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		require(sum_spans(HKM_KIND_TINY, hkm_tiny_size(class)).spans == 0, "class %u: slabs are left", class);
}

/* ---- Slabs ----------------------------------------------------------------------- */

static void *first_slab[CAPACITY], *second_slab[CAPACITY];

/* Two slabs full of live blocks, and a hot list that is full of blocks of the second, with the policy's
 * numbers as given. */
static struct hkm_heap *fill_two_slabs(uint32_t empty_slabs)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;

	hkm_policy_copy(&policy);
	policy.hot_blocks = 1; /* the allocator makes it 2 */
	policy.refill_blocks = 1;
	policy.empty_slabs = empty_slabs;
	impose(heap, &policy);
	for (size_t i = 0; i < CAPACITY; i++)
		first_slab[i] = hkm_malloc(SIZE);
	for (size_t i = 0; i < CAPACITY; i++)
		second_slab[i] = hkm_malloc(SIZE);
	for (size_t i = 0; i < CAPACITY; i++) {
		require(slab_of_block(first_slab[i]) == slab_of_block(first_slab[0]), "not one slab");
		require(slab_of_block(second_slab[i]) == slab_of_block(second_slab[0]), "not one slab");
	}
	require(slab_of_block(first_slab[0]) != slab_of_block(second_slab[0]), "not two slabs");
	require(hot_blocks(heap, SIZE) == 0, "%zu blocks are hot", hot_blocks(heap, SIZE));
	hkm_free(second_slab[0]);
	hkm_free(second_slab[1]);
	require(hot_blocks(heap, SIZE) == 2, "%zu blocks are hot", hot_blocks(heap, SIZE));
	return heap;
}

ISOLATED(a_slab_is_free_the_moment_its_last_block_is_back)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	struct hkm_slab *slab = slab_of_block(first_slab[0]);
	void *next;

	for (size_t i = 0; i < CAPACITY; i++) {
		/* The block freed last is hot. */
		require(slab->kind == HKM_KIND_TINY && slab->in_use == CAPACITY - i + (i > 0), "block %zu: %u in use", i,
			slab->in_use);
		hkm_free(first_slab[i]);
	}
	hkm_free(second_slab[2]);
	require(slab->kind == HKM_KIND_NONE, "the slab is not free");
	check(heap);
	/* Resident slices go first, so a class that needs a second slab gets it. One that needs its first leaves it to those
	 * that use more. */
	next = hkm_malloc(1000);
	require(slab_of_block(next) != slab, "the first slab of a class is resident to the last page");
	for (size_t i = 0; i < 32; i++)
		next = hkm_malloc(1000);
	require(slab_of_block(next) == slab, "the slab is not used again");
	require(slab->block_size == 1024 && slab->in_use >= 1, "%u bytes", slab->block_size);
	check(heap);
}

ISOLATED(first_slabs_share_slices_of_which_little_was_touched)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	void *block = hkm_malloc(1000), *other;
	struct hkm_slab *slab = slab_of_block(block);

	require(slab->deep == 0, "fresh, and yet touched");
	hkm_free(block);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	require(slab->kind == HKM_KIND_NONE, "the slab is not free");
	other = hkm_malloc(500);
	require(slab_of_block(other) == slab && slab->deep == 0, "the slice is not used again");
	/* Used up, it is no longer shallow. */
	for (size_t i = 0; i < HKM_SLICE_SIZE / 512; i++)
		hkm_malloc(500);
	for (size_t i = 0; i < slab->capacity; i++)
		hkm_free((char *)hkm_slab_start(slab) + i * slab->block_size);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	require(slab->kind == HKM_KIND_NONE && slab->deep == 1, "the slab is in use, or counts as shallow");
	require(slab_of_block(hkm_malloc(1000)) != slab, "a first slab takes a slice that is resident to the last page");
	check(heap);
}

#define MANY_THREADS 16u /* with this one more than FEW_HEAPS of tiny.c */

static pthread_barrier_t all_there;

static void *live_for_a_while(void *unused)
{
	hkm_free(hkm_malloc(SIZE));
	pthread_barrier_wait(&all_there);
	pthread_barrier_wait(&all_there);
	return unused;
}

ISOLATED(among_many_threads_no_heap_keeps_empty_slabs)
{
	struct hkm_heap *heap = fill_two_slabs(1);
	pthread_t threads[MANY_THREADS];

	pthread_barrier_init(&all_there, NULL, MANY_THREADS + 1);
	for (size_t i = 0; i < MANY_THREADS; i++)
		require(pthread_create(&threads[i], NULL, live_for_a_while, NULL) == 0, "pthread_create");
	pthread_barrier_wait(&all_there);
	for (size_t i = 0; i < CAPACITY; i++)
		hkm_free(first_slab[i]);
	hkm_free(second_slab[2]); /* the block freed last is no longer hot */
	require(heap->empty_slabs == 0, "%u empty slabs", heap->empty_slabs);
	pthread_barrier_wait(&all_there);
	for (size_t i = 0; i < MANY_THREADS; i++)
		pthread_join(threads[i], NULL);
}

/* The descriptors of slabs that are no more say where their blocks were, also of those that a large block covers now. */
ISOLATED(a_place_within_a_large_block_was_not_freed)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	size_t covered = 0;

	for (size_t i = 0; i < CAPACITY; i++)
		hkm_free(first_slab[i]);
	for (size_t i = 2; i < CAPACITY; i++)
		hkm_free(second_slab[i]);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	for (size_t i = 0; i < 20; i++) {
		char *large = hkm_malloc(500000);

		for (char *at = large + HKM_SLICE_SIZE; at < large + 500000; at += HKM_SLICE_SIZE) {
			const struct hkm_slab *slab = slab_of_block(at);

			covered += slab->kind == HKM_KIND_NONE && slab->carved > 0;
			require(hkm_wrong_in_window(hkm_slab_start(slab)) == HKM_INVALID_POINTER, "called freed twice");
		}
	}
	require(covered > 0, "no slab is covered");
}

ISOLATED(the_heap_keeps_as_many_empty_slabs_as_the_policy_says)
{
	struct hkm_heap *heap = fill_two_slabs(1);
	struct hkm_slab *slab = slab_of_block(first_slab[0]), *second = slab_of_block(second_slab[0]);
	void *next;

	for (size_t i = 0; i < CAPACITY; i++)
		hkm_free(first_slab[i]);
	hkm_free(second_slab[2]); /* the block freed last is no longer hot */
	require(heap->empty == slab && heap->empty_slabs == 1, "%u empty slabs", heap->empty_slabs);
	for (size_t i = 3; i < CAPACITY - 1; i++)
		hkm_free(second_slab[i]);
	require(second->in_use == 3, "%u in use, though two are hot and one is live", second->in_use);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
	hkm_free(second_slab[CAPACITY - 1]);
	require(heap->empty_slabs == 1 && second->kind == HKM_KIND_NONE, "%u empty slabs", heap->empty_slabs);
	/* As among free slices: resident to the last page, it is not for the first slab of a class, but for the second. */
	next = hkm_malloc(40);
	require(slab_of_block(next) != slab && heap->empty_slabs == 1, "a first slab is resident to the last page");
	for (size_t i = 0; i < HKM_SLICE_SIZE / 48; i++)
		next = hkm_malloc(40);
	require(slab_of_block(next) == slab && heap->empty_slabs == 0, "the empty slab is not used");
	check(heap);
}

ISOLATED(a_slab_whose_blocks_are_all_hot_goes_without_a_walk)
{
	struct hkm_heap *heap = quiet_heap();
	void *first = hkm_malloc(SIZE), *second = hkm_malloc(SIZE);
	struct hkm_slab *slab = slab_of_block(first);

	hkm_free(first);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	require(slab->kind == HKM_KIND_TINY && slab->in_use == 1, "%u in use, though one is live", slab->in_use);
	hkm_heap_leave(heap);
	first = hkm_malloc(SIZE);
	hkm_free(second);
	hkm_free(first);
	memset(first, 0xff, SIZE); /* a walk would follow this link */
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_release_empty(heap, 0);
	hkm_heap_leave(heap);
	require(slab->kind == HKM_KIND_NONE, "%u blocks are in use", slab->in_use);
	require(heap->tiny[hkm_tiny_class(SIZE)].in_use == 0 && hkm_malloc(SIZE) != NULL, "the class is not empty");
	check(heap);
}

ISOLATED(ignored_double_frees_change_nothing)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	struct hkm_bin *bin = &heap->bins[hkm_tiny_class(SIZE)];
	struct hkm_slab *slab;

	hkm_misuse_goes_on(true);
	slab = slab_of_block(first_slab[0]);
	/* Onto the slab's list twice in a row, as frees that come from other threads are. */
	hkm_heap_enter(heap);
	hkm_tiny_free_local(heap, bin, first_slab[0]);
	hkm_tiny_free_local(heap, bin, first_slab[0]);
	hkm_heap_leave(heap);
	require(slab->in_use == CAPACITY - 1, "%u in use", slab->in_use);
	/* Onto the hot list twice in a row. */
	hkm_free(second_slab[1]);
	require(hot_blocks(heap, SIZE) == 2, "%zu blocks are hot", hot_blocks(heap, SIZE));
}

/* It has gone home with the hot list, is its slab's newest, and comes home again. */
ISOLATED(an_ignored_double_free_after_a_flush_changes_nothing)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	const struct hkm_slab *slab = slab_of_block(first_slab[5]);

	hkm_misuse_goes_on(true);
	for (unsigned i = 0; i < 3; i++) {
		hkm_heap_enter(heap);
		hkm_tiny_flush(heap);
		hkm_heap_leave(heap);
		require(i == 0 || (slab->freed == first_slab[5] && hkm_next(slab->freed) == NULL), "it is linked to itself");
		hkm_free(first_slab[5]);
	}
	check(heap);
}

/* ---- Refill ---------------------------------------------------------------------- */

static void expect_carved(uint32_t refill_blocks, uint32_t refill_bytes, uint32_t size, size_t expected)
{
	struct hkm_heap *heap = hkm_heap_get();
	struct hkm_policy policy;
	uint64_t before = hkm_counted(&heap->counters.carved);
	size_t carved;

	hkm_policy_copy(&policy);
	policy.refill_blocks = refill_blocks;
	policy.refill_bytes = refill_bytes;
	impose(heap, &policy);
	for (size_t i = 1; i <= 2; i++) {
		for (size_t block = 0; block < expected; block++)
			hkm_malloc(size);
		carved = (size_t)(hkm_counted(&heap->counters.carved) - before);
		require(carved == i * expected, "%u blocks, %u bytes at most: %zu of %u bytes carved", refill_blocks,
			refill_bytes, carved, size);
	}
}

ISOLATED(refills_carve_what_the_policy_says_and_no_more)
{
	quiet_heap();
	expect_carved(5, 65536, 64, 5);
	expect_carved(1024, 640, 80, 8);
	expect_carved(1, 65536, 96, 1);
	expect_carved(100, 256, 768, 1);
	expect_carved(1024, 65536, 1024, 64);
}

ISOLATED(hot_lists_stay_within_the_policy)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;
	static void *taken[4000];

	hkm_policy_copy(&policy);
	policy.refill_blocks = 1;
	hkm_malloc(64); /* a class without a live block would give up its list */
	for (uint32_t limit = 2; limit <= 512; limit *= 4) {
		size_t most = hkm_min(limit, 200), count = 0;

		policy.hot_blocks = limit;
		policy.hot_bytes = 64 * 200;
		impose(heap, &policy);
		/* A refill may bring more than the limit; the frees begin with an empty list. */
		while (count < 2000 || hot_blocks(heap, 64) > 0)
			taken[count++] = hkm_malloc(64);
		for (size_t i = 0; i < count; i++) {
			hkm_free(taken[i]);
			require(hot_blocks(heap, 64) <= most, "%zu blocks are hot, %zu allowed",
				hot_blocks(heap, 64), most);
		}
		require(hot_blocks(heap, 64) > most / 2, "only %zu blocks are hot", hot_blocks(heap, 64));
	}
}

/* Whatever the order of frees: the last one finds out. */
ISOLATED(a_class_without_live_blocks_gives_up_its_slabs)
{
	struct hkm_heap *heap = quiet_heap();
	static void *taken[3000];

	for (size_t count = 1; count <= 3000; count = count * 3 + 1) {
		uint32_t size = hkm_tiny_size((unsigned)(count % HKM_TINY_CLASSES));
		unsigned class = hkm_tiny_class(size);

		heap->tiny[class].flushed_ms = (uint32_t)heap->last_poll_ms - 10000;
		for (size_t i = 0; i < count; i++)
			taken[i] = hkm_malloc(size);
		for (size_t i = 0; i < count; i++)
			hkm_free(taken[count % 2 == 0 ? i : count - 1 - i]);
		require(hkm_counted(&heap->tiny_counters[class].slabs) == 0, "%zu blocks of %u: %zu slabs", count, size,
			(size_t)hkm_counted(&heap->tiny_counters[class].slabs));
	}
	check(heap);
}

/* A thread that lives by such rounds does so once in a while only. */
ISOLATED(rounds_that_follow_each_other_keep_the_list)
{
	struct hkm_heap *heap = quiet_heap();
	static void *taken[40];

	for (size_t round = 0; round < 50; round++) {
		heap->tiny[hkm_tiny_class(64)].flushed_ms = (uint32_t)hkm_os_now_ms();
		for (size_t i = 0; i < 40; i++)
			taken[i] = hkm_malloc(64);
		for (size_t i = 0; i < 40; i++)
			hkm_free(taken[i]);
		require(hot_blocks(heap, 64) >= 30, "%zu blocks are hot", hot_blocks(heap, 64));
	}
}

/* ---- Trimming -------------------------------------------------------------------- */

ISOLATED(trimming_gives_back_pages_without_live_blocks)
{
	struct hkm_heap *heap = quiet_heap();
	static unsigned char *taken[64 * 20];
	struct hkm_slab *slab;
	size_t bytes;
	const size_t count = sizeof taken / sizeof taken[0];

	for (size_t i = 0; i < count; i++) {
		taken[i] = hkm_malloc(1024);
		memset(taken[i], (int)(i % 251), 1024);
	}
	slab = slab_of_block(taken[100]);
	/* One live block in sixteen: each has a page of its own, and three of four pages hold none. */
	for (size_t i = 0; i < count; i++)
		if ((size_t)(taken[i] - (unsigned char *)hkm_window.base) % HKM_SLICE_SIZE % (16 * KIB) != 0) {
			hkm_free(taken[i]);
			taken[i] = NULL;
		}
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
	bytes = trim(heap);
	require(bytes >= count * 1024 / 4 * 3 - HKM_SLICE_SIZE, "%zu bytes given back", bytes);
	require(slab->free_map != NULL && slab->mapped_free == slab->capacity / 16 * 15 &&
			slab->in_use == slab->capacity / 16 && slab->freed == NULL,
		"%zu blocks mapped, %u in use", (size_t)slab->mapped_free, slab->in_use);
	check(heap);
	for (size_t i = 0; i < count; i++) {
		if (taken[i] != NULL)
			require(all_bytes_are(taken[i], 1024, (unsigned char)(i % 251)), "a live block was emptied");
		else
			taken[i] = hkm_malloc(1024);
		memset(taken[i], (int)(i % 251), 1024);
	}
	/* All of the old slabs serve again. */
	require(slab->in_use == slab->capacity && slab->free_map == NULL, "%u in use", slab->in_use);
	require(sum_spans(HKM_KIND_TINY, 1024).spans <= count / slab->capacity + 1, "new slabs were made");
	check(heap);
	for (size_t i = 0; i < count; i++) {
		require(all_bytes_are(taken[i], 1024, (unsigned char)(i % 251)), "one block for two");
		hkm_free(taken[i]);
	}
}

/* A slab's slice may have been another's, and be resident where no block has been carved yet. */
ISOLATED(trimming_gives_back_pages_that_were_never_carved)
{
	struct hkm_heap *heap = fill_two_slabs(0);
	void *first = hkm_malloc(1024), *second = hkm_malloc(1024);
	const struct hkm_slab *slab = slab_of_block(first);
	size_t bytes;

	require(slab_of_block(second) == slab && slab->carved <= 4, "%u blocks are carved", slab->carved);
	hkm_free(second);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
	bytes = trim(heap);
	require(bytes >= HKM_SLICE_SIZE - 2 * 4 * KIB && bytes < HKM_SLICE_SIZE, "%zu bytes given back", bytes);
}

/* ---- Other threads' blocks ------------------------------------------------------- */

#define GIFTS 1000

static pthread_barrier_t turn;
static void *gifts[GIFTS];
static struct hkm_heap *owner;

static void take_turns(void)
{
	pthread_barrier_wait(&turn);
}

/* Allocates, lets the main thread free, and looks at its accounts before and after it receives. */
static void *own_gifts(void *argument)
{
	struct span_sum sum;

	owner = quiet_heap();
	for (size_t i = 0; i < GIFTS; i++)
		gifts[i] = hkm_malloc(SIZE);
	take_turns();
	/* The main thread frees all and sends. */
	take_turns();
	sum = sum_spans(HKM_KIND_TINY, SIZE);
	require(sum.in_use == GIFTS + hot_blocks(owner, SIZE), "blocks on their way are not in use: %zu",
		sum.in_use);
	hkm_heap_enter(owner);
	require(hkm_remote_receive(owner), "nothing came");
	require(!hkm_remote_receive(owner), "something came twice");
	hkm_heap_leave(owner);
	require(hkm_counted(&owner->counters.remote_received) == GIFTS, "%zu received",
		(size_t)hkm_counted(&owner->counters.remote_received));
	sum = sum_spans(HKM_KIND_TINY, SIZE);
	require(sum.in_use == hot_blocks(owner, SIZE), "%zu in use, %zu hot", sum.in_use, hot_blocks(owner, SIZE));
	check(owner);
	hkm_heap_enter(owner);
	hkm_tiny_flush(owner);
	hkm_tiny_release_empty(owner, 0);
	hkm_heap_leave(owner);
	require(sum_spans(HKM_KIND_TINY, SIZE).spans == 0, "slabs are left");
	return argument;
}

static void free_gifts_of_a_thread(uint32_t remote_blocks, uint32_t remote_bytes, size_t message)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;
	pthread_t thread;

	hkm_policy_copy(&policy);
	policy.remote_blocks = remote_blocks;
	policy.remote_bytes = remote_bytes;
	impose(heap, &policy);
	pthread_barrier_init(&turn, NULL, 2);
	pthread_create(&thread, NULL, own_gifts, NULL);
	take_turns();
	for (size_t i = 1; i <= GIFTS; i++) {
		hkm_free(gifts[i - 1]);
		require(outbox_blocks(heap) == i % message, "%zu freed: %zu wait in the outbox", i,
			outbox_blocks(heap));
		require(hkm_counted(&heap->counters.remote_sent) == i - i % message &&
			hkm_counted(&heap->counters.remote_messages) == i / message, "%zu freed: %zu sent in %zu", i,
			(size_t)hkm_counted(&heap->counters.remote_sent),
			(size_t)hkm_counted(&heap->counters.remote_messages));
	}
	hkm_remote_send_all(heap);
	require(outbox_blocks(heap) == 0 && hkm_counted(&heap->counters.remote_sent) == GIFTS, "not all was sent");
	take_turns();
	pthread_join(thread, NULL);
}

ISOLATED(messages_hold_as_many_blocks_as_the_policy_says)
{
	free_gifts_of_a_thread(10, 1 << 20, 10);
}

ISOLATED(messages_hold_as_many_bytes_as_the_policy_says)
{
	free_gifts_of_a_thread(4096, 1000, 9); /* 8 * 112 < 1000 <= 9 * 112 */
}

ISOLATED(messages_of_one_block_are_sent_at_once)
{
	free_gifts_of_a_thread(1, 1 << 20, 1);
}

/* Messages of ten, in rows of `row` that nothing interrupts. */
static void send_rows(size_t row, size_t spared)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;
	pthread_t thread;

	hkm_policy_copy(&policy);
	policy.remote_blocks = 10;
	policy.remote_bytes = 1 << 20;
	impose(heap, &policy);
	pthread_barrier_init(&turn, NULL, 2);
	pthread_create(&thread, NULL, own_gifts, NULL);
	take_turns();
	for (size_t i = 0; i < GIFTS; i++) {
		hkm_free(gifts[i]);
		if ((i + 1) % (10 * row) == 0)
			hkm_remote_send_all(heap);
	}
	hkm_remote_send_all(heap);
	require(hkm_counted(&heap->counters.remote_full) == GIFTS / 10 &&
			hkm_counted(&heap->counters.remote_full_blocks) == GIFTS, "%zu messages with %zu blocks",
		(size_t)hkm_counted(&heap->counters.remote_full), (size_t)hkm_counted(&heap->counters.remote_full_blocks));
	require(hkm_counted(&heap->counters.remote_spared) == spared, "%zu messages would be spared, not %zu",
		(size_t)hkm_counted(&heap->counters.remote_spared), spared);
	take_turns();
	pthread_join(thread, NULL);
}

ISOLATED(a_message_of_four_times_the_size_spares_three_of_four_in_a_row)
{
	send_rows(GIFTS, GIFTS / 10 * 3 / 4);
}

ISOLATED(messages_that_are_sent_between_others_would_not_be_spared)
{
	send_rows(2, GIFTS / 20);
}

ISOLATED(rows_of_one_spare_nothing)
{
	send_rows(1, 0);
}

static struct hkm_totals *totals(void)
{
	static struct hkm_collection collection;

	hkm_collect_begin(&collection);
	while (!hkm_collect(&collection, 1))
		;
	return &collection.totals;
}

/* What is sent because it is old, or another owner's blocks come, was not full. */
ISOLATED(only_full_messages_count_as_full)
{
	struct hkm_heap *heap = quiet_heap();
	struct hkm_policy policy;
	pthread_t thread;
	uint64_t live;

	hkm_policy_copy(&policy);
	policy.remote_blocks = 40;
	policy.remote_bytes = 1 << 20;
	impose(heap, &policy);
	pthread_barrier_init(&turn, NULL, 2);
	pthread_create(&thread, NULL, own_gifts, NULL);
	take_turns();
	live = totals()->live;
	require(totals()->outboxed == 0, "%zu bytes in outboxes", (size_t)totals()->outboxed);
	for (size_t i = 0; i < 30; i++)
		hkm_free(gifts[i]);
	/* A quarter of a message has 10 blocks. */
	require(totals()->outboxed == 30 * SIZE && totals()->outboxed_beyond == 20 * SIZE, "%zu bytes, %zu beyond",
		(size_t)totals()->outboxed, (size_t)totals()->outboxed_beyond);
	require(totals()->live == live - 30 * SIZE, "blocks in an outbox are live");
	for (size_t i = 30; i < GIFTS; i++) {
		if (i % 30 == 0)
			hkm_remote_send_all(heap);
		hkm_free(gifts[i]);
	}
	hkm_remote_send_all(heap);
	require(hkm_counted(&heap->counters.remote_full) == 0 && hkm_counted(&heap->counters.remote_messages) == GIFTS / 30 + 1,
		"%zu of %zu were full", (size_t)hkm_counted(&heap->counters.remote_full),
		(size_t)hkm_counted(&heap->counters.remote_messages));
	take_turns();
	pthread_join(thread, NULL);
}

/* One of sixteen slow paths is timed, and a message is one if the learner runs. */
ISOLATED(full_messages_are_timed_if_metered)
{
	struct hkm_heap *heap = quiet_heap();

	heap->metered = true;
	send_rows(GIFTS, GIFTS / 10 * 3 / 4);
	require(hkm_counted(&heap->meter.messages.count) >= GIFTS / 10 / HKM_METER_PERIOD &&
			hkm_counted(&heap->meter.messages.count) <= GIFTS / 10 / HKM_METER_PERIOD + 2 &&
			hkm_counted(&heap->meter.messages.cycles) > 0, "%zu were timed",
		(size_t)hkm_counted(&heap->meter.messages.count));
}

#define TRADERS 4
#define TRADES 20000

static _Atomic(void *) market[64];
static struct hkm_heap *traders[TRADERS];

static void *trade(void *argument)
{
	size_t number = (size_t)(uintptr_t)argument;
	struct random_source random = { number };

	traders[number] = quiet_heap();
	take_turns();
	for (size_t i = 0; i < TRADES; i++) {
		size_t size = random_between(&random, 16, 300);
		unsigned char *block = hkm_malloc(size);

		memset(block, (int)size % 256, size);
		*(size_t *)(void *)block = size;
		block = atomic_exchange(&market[random_between(&random, 0, 63)], block);
		if (block != NULL) {
			size = *(size_t *)(void *)block;
			require(all_bytes_are(block + 8, size - 8, (unsigned char)(size % 256)), "overwritten");
			hkm_free(block);
		}
		/* So that they take turns on however few processors. */
		if (i % 16 == 0)
			sched_yield();
	}
	take_turns();
	if (number == 0)
		for (size_t i = 0; i < 64; i++)
			hkm_free(market[i]);
	hkm_remote_send_all(traders[number]);
	take_turns();
	settle(traders[number]);
	hkm_heap_enter(traders[number]);
	hkm_remote_receive(traders[number]);
	hkm_tiny_flush(traders[number]);
	hkm_heap_leave(traders[number]);
	take_turns();
	/* Nobody ends before all have looked. */
	take_turns();
	return NULL;
}

ISOLATED(what_is_sent_is_received_and_all_slabs_become_free)
{
	pthread_t threads[TRADERS];
	uint64_t sent = 0, received = 0, slabs = 0;

	pthread_barrier_init(&turn, NULL, TRADERS + 1);
	for (uintptr_t i = 0; i < TRADERS; i++)
		pthread_create(&threads[i], NULL, trade, (void *)i);
	for (size_t i = 0; i < 4; i++)
		take_turns();
	for (size_t i = 0; i < TRADERS; i++) {
		sent += hkm_counted(&traders[i]->counters.remote_sent);
		received += hkm_counted(&traders[i]->counters.remote_received);
		for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
			slabs += hkm_counted(&traders[i]->tiny_counters[class].slabs);
		check(traders[i]);
	}
	take_turns();
	for (size_t i = 0; i < TRADERS; i++)
		pthread_join(threads[i], NULL);
	require(sent == received && sent > 64, "%zu sent, %zu received", (size_t)sent, (size_t)received);
	require(slabs == 0, "%zu slabs are left", (size_t)slabs);
}

/* ---- Misuse ---------------------------------------------------------------------- */

static void free_twice(void *block)
{
	hkm_free(block);
	hkm_free(block);
}

static void free_it(void *block)
{
	hkm_free(block);
}

/* The only block of its class that is not on its slab. */
static void *last_block(struct hkm_heap *heap)
{
	void *block = hkm_malloc(SIZE);

	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
	require(slab_of_block(block)->in_use == 1, "%u blocks are in use", slab_of_block(block)->in_use);
	heap->expecting = false;
	return block;
}

/* By its own thread a slab that becomes empty is kept for a while, and a tick is to come; by others it is neither. */
ISOLATED(others_keep_no_slab_for_a_thread)
{
	struct hkm_heap *heap = quiet_heap();
	void *block = last_block(heap);
	uint32_t kept = heap->empty_slabs;

	require(heap->empty_slabs_kept > kept, "no slab is kept anyway");
	hkm_heap_enter(heap);
	hkm_tiny_free_for(heap, &heap->bins[hkm_tiny_class(SIZE)], block);
	hkm_heap_leave(heap);
	require(heap->empty_slabs == kept && !heap->expecting, "%u slabs are kept", heap->empty_slabs);
	block = last_block(heap);
	kept = heap->empty_slabs;
	hkm_heap_enter(heap);
	heap->bins[hkm_tiny_class(SIZE)].room = 0;
	hkm_tiny_free_local(heap, &heap->bins[hkm_tiny_class(SIZE)], block);
	hkm_heap_leave(heap);
	require(heap->empty_slabs == kept + 1 && heap->expecting, "%u slabs are kept, and a tick is %sexpected",
		heap->empty_slabs, heap->expecting ? "" : "not ");
}

static void free_inside(void *block)
{
	struct hkm_heap *heap = hkm_heap_get();

	hkm_heap_enter(heap);
	hkm_tiny_free_for(heap, &heap->bins[hkm_tiny_class(SIZE)], (char *)block + 16);
}

ISOLATED(what_comes_home_to_a_slab_starts_a_block)
{
	expect_abort(free_inside, last_block(quiet_heap()), "free(): ");
}

ISOLATED(wrong_frees_end_the_process)
{
	char *block = hkm_malloc(SIZE);

	expect_abort(free_twice, block, "free(): double free of 0x");
	expect_abort(free_it, block + 4, "free(): misaligned pointer 0x");
	hkm_free(block);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_slab_counts_exactly),
		cmocka_unit_test(a_slab_is_free_the_moment_its_last_block_is_back),
		cmocka_unit_test(first_slabs_share_slices_of_which_little_was_touched),
		cmocka_unit_test(the_heap_keeps_as_many_empty_slabs_as_the_policy_says),
		cmocka_unit_test(among_many_threads_no_heap_keeps_empty_slabs),
		cmocka_unit_test(a_place_within_a_large_block_was_not_freed),
		cmocka_unit_test(a_slab_whose_blocks_are_all_hot_goes_without_a_walk),
		cmocka_unit_test(ignored_double_frees_change_nothing),
		cmocka_unit_test(an_ignored_double_free_after_a_flush_changes_nothing),
		cmocka_unit_test(refills_carve_what_the_policy_says_and_no_more),
		cmocka_unit_test(hot_lists_stay_within_the_policy),
		cmocka_unit_test(a_class_without_live_blocks_gives_up_its_slabs),
		cmocka_unit_test(rounds_that_follow_each_other_keep_the_list),
		cmocka_unit_test(trimming_gives_back_pages_without_live_blocks),
		cmocka_unit_test(trimming_gives_back_pages_that_were_never_carved),
		cmocka_unit_test(messages_hold_as_many_blocks_as_the_policy_says),
		cmocka_unit_test(messages_hold_as_many_bytes_as_the_policy_says),
		cmocka_unit_test(messages_of_one_block_are_sent_at_once),
		cmocka_unit_test(a_message_of_four_times_the_size_spares_three_of_four_in_a_row),
		cmocka_unit_test(messages_that_are_sent_between_others_would_not_be_spared),
		cmocka_unit_test(rows_of_one_spare_nothing),
		cmocka_unit_test(only_full_messages_count_as_full),
		cmocka_unit_test(full_messages_are_timed_if_metered),
		cmocka_unit_test(what_is_sent_is_received_and_all_slabs_become_free),
		cmocka_unit_test(others_keep_no_slab_for_a_thread),
		cmocka_unit_test(what_comes_home_to_a_slab_starts_a_block),
		cmocka_unit_test(wrong_frees_end_the_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
