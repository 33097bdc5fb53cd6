/* test_differential.c - random mixes of every call against a model: what each block must hold,
 * how it must be aligned, where it must not lie.
 *
 *   test_differential [SECONDS [SEED]]      default: 1.5 seconds for each part, at least LEAST_STEPS steps, seed 1
 *
 * A third of the blocks come from calloc, in every size class; all that is freed is filled with other bytes
 * before, so that whatever is wrongly taken for zero is seen. Between rounds of growth and shrinkage all is
 * trimmed, or the threads sleep, so that the next blocks come from memory that was purged, or was not.
 *
 * Part one: one thread, and every block's range is checked against the ranges of all others.
 * Part two: four threads that pass blocks to each other, so that most are freed by a thread
 * that did not allocate them. A failure names seed, thread and step.
 *
 * With HAKMEM_TEST_REFUSALS in the environment (tests/hostile) memory may be refused: a call may return NULL with
 * ENOMEM, and whatever there was stays as it was.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define SLOTS 3000                  /* blocks a thread may hold */
#define SHARED_SLOTS 500            /* places where threads leave blocks for each other */
#define THREADS 4
#define DIRT 0xa5                   /* what freed memory is filled with */
#define LIVE_LIMIT (48 * MIB)       /* bytes a thread may hold */
#define LEAST_STEPS 20000           /* of each thread, however long they take */

static double part_seconds = 1.5;
static bool may_be_refused;
static uint64_t first_seed = 1;

/* Which function may take a block's size along when it frees it. */
enum origin { FROM_MALLOC, FROM_ALIGNED_ALLOC, FROM_OTHER };

struct block {
	unsigned char *start;
	size_t size;      /* as asked for */
	size_t usable;    /* as reported when it was allocated */
	size_t alignment; /* as asked for */
	enum origin origin;
};

struct shared_slot {
	pthread_mutex_t lock;
	struct block block;
};

/* Ranges of all live blocks, sorted by address; for the part with one thread. */
struct range_list {
	uintptr_t first[SLOTS];
	uintptr_t end[SLOTS];
	size_t count;
};

struct worker {
	struct random_source random;
	uint64_t seed;
	size_t step;
	size_t live_bytes;
	struct range_list *ranges;       /* NULL where other threads allocate too */
	struct shared_slot *shared_slots;/* NULL where there are no other threads */
	struct block blocks[SLOTS];
};

static struct shared_slot shared_slots[SHARED_SLOTS];
static struct worker workers[THREADS];
static struct range_list all_ranges;

#define check(worker, block, condition, text) \
	require(condition, "%s: seed %llu, step %zu, block %p of %zu bytes (usable %zu, alignment %zu)", \
		text, (unsigned long long)(worker)->seed, (worker)->step, (void *)(block)->start, \
		(block)->size, (block)->usable, (block)->alignment)

/* ---- The ranges ------------------------------------------------------------------- */

static size_t range_position(const struct range_list *ranges, uintptr_t first)
{
	size_t low = 0;
	size_t high = ranges->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (ranges->first[middle] < first)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void add_range(struct worker *worker, const struct block *block)
{
	struct range_list *ranges = worker->ranges;
	uintptr_t first = (uintptr_t)block->start;
	uintptr_t end = first + (block->usable > 0 ? block->usable : 1);
	size_t at = range_position(ranges, first);

	check(worker, block, at == 0 || ranges->end[at - 1] <= first, "overlaps the block below");
	check(worker, block, at == ranges->count || end <= ranges->first[at],
		"overlaps the block above");
	memmove(&ranges->first[at + 1], &ranges->first[at], (ranges->count - at) * sizeof first);
	memmove(&ranges->end[at + 1], &ranges->end[at], (ranges->count - at) * sizeof end);
	ranges->first[at] = first;
	ranges->end[at] = end;
	ranges->count++;
}

static void remove_range(struct range_list *ranges, const struct block *block)
{
	size_t at = range_position(ranges, (uintptr_t)block->start);

	ranges->count--;
	memmove(&ranges->first[at], &ranges->first[at + 1],
		(ranges->count - at) * sizeof ranges->first[0]);
	memmove(&ranges->end[at], &ranges->end[at + 1], (ranges->count - at) * sizeof ranges->end[0]);
}

/* ---- Steps ------------------------------------------------------------------------ */

/* Whether a call that allocates has been refused memory, where that may be. errno was 0 before. */
static bool was_refused(struct worker *worker, const struct block *block)
{
	if (block->start != NULL || !may_be_refused)
		return false;
	check(worker, block, errno == ENOMEM, "refused without ENOMEM");
	return true;
}

/* Takes over a block that was just allocated: checks what was promised and fills it. */
static void adopt(struct worker *worker, struct block *block)
{
	check(worker, block, block->start != NULL, "no memory");
	block->usable = malloc_usable_size(block->start);
	check(worker, block, is_aligned(block->start, block->alignment), "not aligned");
	check(worker, block, block->usable >= block->size, "usable size is too small");
	if (worker->ranges != NULL)
		add_range(worker, block);
	fill_pattern(block->start, block->usable, block_seed(block->start, block->usable));
	worker->live_bytes += block->usable;
}

/* Checks a block before it is freed or reallocated. */
static void check_content(struct worker *worker, const struct block *block)
{
	check(worker, block, malloc_usable_size(block->start) == block->usable,
		"usable size has changed");
	check(worker, block,
		pattern_holds(block->start, block->usable, block->usable,
			block_seed(block->start, block->usable)),
		"content was overwritten");
}

static void forget(struct worker *worker, const struct block *block)
{
	if (worker->ranges != NULL)
		remove_range(worker->ranges, block);
	worker->live_bytes -= block->usable;
}

/* Each doubling, from 1 KiB to 2 MiB, as often as any other, so that every class of every layer gets some; seldom more. */
static size_t size_of_any_class(struct random_source *random)
{
	size_t log = random_between(random, 0, 31) == 0 ? 21 : random_between(random, 10, 20);

	return ((size_t)1 << log) + random_between(random, 0, ((size_t)1 << log) - 1);
}

static void allocate(struct worker *worker, struct block *block)
{
	size_t size = random_size(&worker->random);
	size_t alignment = (size_t)16 << random_between(&worker->random, 0, random_between(&worker->random, 0, 7) ? 9 : 17);
	size_t call = random_between(&worker->random, 0, 99);
	void *out = NULL;

	if (call < 33 && random_between(&worker->random, 0, 2) == 0)
		size = size_of_any_class(&worker->random);
	*block = (struct block){ .size = size, .alignment = size <= 8 ? 8 : 16,
		.origin = FROM_MALLOC };
	errno = 0;
	if (call < 33) {
		block->start = calloc(size, 1);
		check(worker, block, block->start == NULL || all_bytes_are(block->start, size, 0),
			"calloc's block is not zero");
	} else if (call < 65) {
		block->start = malloc(size);
	} else if (call < 72) {
		block->start = realloc(NULL, size);
	} else if (call < 77) {
		block->start = reallocarray(NULL, size, 1);
	} else if (call < 87) {
		block->alignment = alignment;
		block->start = aligned_alloc(alignment, size);
		block->origin = FROM_ALIGNED_ALLOC;
	} else {
		block->origin = FROM_OTHER;
		if (call < 93) {
			block->alignment = alignment;
			errno = posix_memalign(&out, alignment, size);
			block->start = out;
		} else if (call < 97) {
			block->alignment = alignment;
			block->start = memalign(alignment, size);
		} else if (call < 99) {
			block->alignment = 4096;
			block->start = valloc(size);
		} else {
			block->alignment = 4096;
			block->start = pvalloc(size);
		}
	}
	if (!was_refused(worker, block))
		adopt(worker, block);
}

static void resize(struct worker *worker, struct block *block)
{
	struct block old = *block;
	size_t size = random_between(&worker->random, 0, 2) == 0 ?
		random_size(&worker->random) :
		random_between(&worker->random, old.size / 2, old.size + old.size / 2 + 32);
	size_t kept = size < old.size ? size : old.size;

	if (size == 0)
		size = 1;
	check_content(worker, block);
	forget(worker, block);
	/* What the block may lose. */
	memset(old.start + kept, DIRT, old.usable - kept);
	errno = 0;
	block->start = random_between(&worker->random, 0, 1) == 0 ?
		realloc(old.start, size) : reallocarray(old.start, 1, size);
	if (was_refused(worker, block)) {
		*block = old;
		size = old.size;
	}
	check(worker, &old, block->start != NULL, "realloc: no memory");
	check(worker, &old,
		pattern_holds(block->start, old.usable, kept, block_seed(old.start, old.usable)),
		"realloc did not keep the content");
	if (block->start != old.start || size != old.size) {
		block->size = size;
		block->alignment = size <= 8 ? 8 : 16;
		block->origin = FROM_MALLOC;
	}
	adopt(worker, block);
}

static void give_back(struct worker *worker, struct block *block)
{
	bool with_size = random_between(&worker->random, 0, 2) == 0;

	check_content(worker, block);
	forget(worker, block);
	memset(block->start, DIRT, block->usable);
	if (with_size && block->origin == FROM_MALLOC)
		free_sized(block->start, block->size);
	else if (with_size && block->origin == FROM_ALIGNED_ALLOC)
		free_aligned_sized(block->start, block->alignment, block->size);
	else if (random_between(&worker->random, 0, 50) == 0)
		require(realloc(block->start, opaque_size(0)) == NULL, "realloc to size 0");
	else
		free(block->start);
	block->start = NULL;
}

/* Exchanges a block, or none, with what another thread left in a shared slot. */
static void exchange(struct worker *worker, struct block *block)
{
	struct shared_slot *slot =
		&worker->shared_slots[random_between(&worker->random, 0, SHARED_SLOTS - 1)];
	struct block mine = *block;

	if (mine.start != NULL)
		worker->live_bytes -= mine.usable;
	pthread_mutex_lock(&slot->lock);
	*block = slot->block;
	slot->block = mine;
	pthread_mutex_unlock(&slot->lock);
	if (block->start != NULL)
		worker->live_bytes += block->usable;
}

static void step(struct worker *worker)
{
	struct block *block = &worker->blocks[random_between(&worker->random, 0, SLOTS - 1)];
	size_t chance = random_between(&worker->random, 0, 9999);

	if (chance == 0)
		malloc_trim(0);
	else if (worker->shared_slots != NULL && chance < 4000)
		exchange(worker, block);
	else if (block->start == NULL && worker->live_bytes < LIVE_LIMIT)
		allocate(worker, block);
	else if (block->start != NULL && chance < 6000 && worker->live_bytes < LIVE_LIMIT)
		resize(worker, block);
	else if (block->start != NULL)
		give_back(worker, block);
}

/* ---- The parts -------------------------------------------------------------------- */

/* One block of each class, so that caches are filled with blocks that nobody has had yet; housekeeping rides on
 * these calls, too. */
static void touch_classes(struct worker *worker)
{
	for (size_t size = KIB; size < MIB; size += size / 4) {
		unsigned char *block = calloc(1, size);

		if (block == NULL && may_be_refused)
			continue;
		require(block != NULL && all_bytes_are(block, size, 0), "calloc's block of %zu bytes is not zero: seed %llu, "
			"step %zu", size, (unsigned long long)worker->seed, worker->step);
		memset(block, DIRT, malloc_usable_size(block));
		free(block);
	}
}

/* Between two rounds all that is free may go, at once or for lack of use, and what is there may be cut anew. */
static void rest(struct worker *worker)
{
	size_t chance = random_between(&worker->random, 0, 3);

	for (size_t i = 0; chance < 2 && i < 4; i++) {
		touch_classes(worker);
		if (chance == 0)
			malloc_trim(0);
		else
			sleep_milliseconds(5);
		for (size_t j = 0; j < SLOTS / 4; j++) {
			worker->step++;
			step(worker);
		}
	}
}

/* Steps until the time is up and the steps are enough, frees most, then fills up anew: growth and shrinkage alternate. */
static void *work(void *argument)
{
	struct worker *worker = argument;
	double end = seconds_now() + part_seconds;

	while (worker->step < LEAST_STEPS || seconds_now() < end) {
		size_t steps = random_between(&worker->random, 1000, 10000);

		for (size_t i = 0; i < steps && (i % 256 != 0 || worker->step < LEAST_STEPS || seconds_now() < end); i++) {
			worker->step++;
			step(worker);
		}
		for (size_t i = 0; i < SLOTS; i++)
			if (worker->blocks[i].start != NULL && random_between(&worker->random, 0, 9) > 0)
				give_back(worker, &worker->blocks[i]);
		rest(worker);
	}
	for (size_t i = 0; i < SLOTS; i++)
		if (worker->blocks[i].start != NULL)
			give_back(worker, &worker->blocks[i]);
	return NULL;
}

static void start_worker(struct worker *worker, uint64_t seed)
{
	memset(worker, 0, sizeof *worker);
	worker->seed = seed;
	worker->random.state = mix_bits(seed);
}

static void one_thread(void **state)
{
	(void)state;
	start_worker(&workers[0], first_seed);
	workers[0].ranges = &all_ranges;
	work(&workers[0]);
	assert_int_equal(all_ranges.count, 0);
}

static void four_threads(void **state)
{
	pthread_t threads[THREADS];
	size_t started = 0;

	(void)state;
	for (size_t i = 0; i < SHARED_SLOTS; i++)
		pthread_mutex_init(&shared_slots[i].lock, NULL);
	for (size_t i = 0; i < THREADS; i++) {
		int error;

		start_worker(&workers[i], first_seed * 1000 + i);
		workers[i].shared_slots = shared_slots;
		error = pthread_create(&threads[started], NULL, work, &workers[i]);
		assert_true(error == 0 || (may_be_refused && error == EAGAIN));
		started += error == 0;
	}
	for (size_t i = 0; i < started; i++)
		pthread_join(threads[i], NULL);
	/* What is left lies in the shared slots; its threads are gone. */
	for (size_t i = 0; i < SHARED_SLOTS; i++)
		if (shared_slots[i].block.start != NULL) {
			check_content(&workers[0], &shared_slots[i].block);
			free(shared_slots[i].block.start);
		}
}

int main(int argument_count, char **arguments)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(one_thread),
		cmocka_unit_test(four_threads),
	};

	if (argument_count > 1)
		part_seconds = strtod(arguments[1], NULL);
	if (argument_count > 2)
		first_seed = strtoull(arguments[2], NULL, 10);
	may_be_refused = getenv("HAKMEM_TEST_REFUSALS") != NULL;
	printf("seed %llu\n", (unsigned long long)first_seed);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
