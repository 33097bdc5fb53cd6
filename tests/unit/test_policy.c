/* test_policy.c - snapshots: published and read, forced into their ranges, unchanged while somebody reads
 * them, and reused soon after; any sequence of policies is safe for a working program.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/meta.h"
#include "core/options.h"

static struct hkm_reader reader, second_reader;

static void start(void)
{
	hkm_policy_start();
	hkm_policy_register(&reader);
	hkm_policy_register(&second_reader);
}

static const struct hkm_policy *enter(struct hkm_reader *who)
{
	hkm_lock_acquire(&who->lock);
	return hkm_policy_read(who);
}

static void leave(struct hkm_reader *who)
{
	hkm_lock_release(&who->lock);
}

ISOLATED(the_first_policy_is_what_the_options_say)
{
	const struct hkm_policy *policy;

	hkm_options.refill_blocks = 17;
	hkm_options.wmax_large = 1750;
	hkm_options.mid_dyn2 = 5200;
	hkm_options.big_cache_bytes = 123456789;
	start();
	policy = enter(&reader);
	require(policy->generation == 1, "generation %zu", (size_t)policy->generation);
	require(policy->refill_blocks == 17 && policy->wmax_large == 1750 &&
		policy->big_cache_bytes == 123456789, "options are not taken over");
	require(policy->dynamic_size[0] == 0, "DYN1 = 12288 is the size of a static class");
	require(policy->dynamic_size[1] == 5200, "DYN2 is %u", policy->dynamic_size[1]);
	require(policy->purge_delay_ms == hkm_options.purge_delay_ms &&
		policy->dirty_bytes == hkm_options.dirty_bytes, "options are not taken over");
	leave(&reader);
}

/* A new thread does not wait for whoever publishes, and looks at all readers meanwhile. */
ISOLATED(a_reader_registers_without_a_lock)
{
	static struct hkm_reader late;

	start();
	hkm_lock_acquire(&hkm_policy_lock);
	hkm_policy_register(&late);
	hkm_lock_release(&hkm_policy_lock);
	enter(&late);
	for (size_t i = 0; i < 5; i++) {
		struct hkm_policy policy;

		hkm_policy_copy(&policy);
		require(hkm_policy_replace(&policy) != 0, "no memory");
	}
	require(hkm_policy_retired_count() == 5, "a snapshot is given up that a late reader holds");
	leave(&late);
	require(hkm_policy_retired_count() == 0, "snapshots are kept that nobody holds");
}

ISOLATED(what_is_published_is_what_readers_get)
{
	struct hkm_policy policy, copy;
	uint64_t generation = 1;

	start();
	hkm_policy_copy(&policy);
	for (uint32_t i = 1; i <= 100; i++) {
		policy.refill_blocks = i;
		require(hkm_policy_replace(&policy) == ++generation, "the generation does not grow by one");
		require(enter(&reader)->refill_blocks == i && enter(&second_reader)->generation == generation,
			"a reader got another policy");
		leave(&reader);
		leave(&second_reader);
		hkm_policy_copy(&copy);
		require(copy.refill_blocks == i && copy.generation == generation, "the copy is another policy");
	}
}

ISOLATED(a_policy_made_from_an_older_one_is_refused)
{
	struct hkm_policy policy, copy;

	start();
	hkm_policy_copy(&policy);
	policy.refill_blocks = 7;
	uint64_t generation = hkm_policy_replace_if(&policy, policy.generation);
	require(generation == policy.generation + 1, "generation %lu", generation);
	policy.refill_blocks = 8;
	require(hkm_policy_replace_if(&policy, generation - 1) == 0, "it replaced one that it does not know");
	hkm_policy_copy(&copy);
	require(copy.refill_blocks == 7 && copy.generation == generation, "%u blocks", copy.refill_blocks);
}

/* ---- Ranges ---------------------------------------------------------------------- */

static bool is_within(const char *name, uint64_t value, uint64_t low, uint64_t high)
{
	bool within = low <= value && value <= high;

	if (!within)
		fprintf(stderr, "%s = %zu is not in %zu..%zu\n", name, (size_t)value, (size_t)low, (size_t)high);
	return within;
}

static const struct {
	const char *name;
	uint64_t low, high;
} ranges[] = {
#define HKM_OPTION_UINT(name, environment, standard, low, high, unit, meaning) { #name, low, high },
#define HKM_OPTION_REAL(name, environment, standard, low, high, unit, meaning) { #name, low, high },
#include "core/options.def"
};

/* Whether a number of the policy lies in the range of the option of its name. */
static bool is_legal(const char *name, uint64_t value)
{
	size_t i = 0;

	while (strcmp(ranges[i].name, name) != 0)
		require(++i < sizeof ranges / sizeof ranges[0], "%s is not an option", name);
	return is_within(name, value, ranges[i].low, ranges[i].high);
}

static bool numbers_are_legal(const struct hkm_policy *policy)
{
	bool legal = true;

	legal &= is_legal("refill_blocks", policy->refill_blocks);
	legal &= is_legal("refill_bytes", policy->refill_bytes);
	legal &= is_legal("hot_blocks", policy->hot_blocks);
	legal &= is_legal("hot_bytes", policy->hot_bytes);
	legal &= is_legal("remote_blocks", policy->remote_blocks);
	legal &= is_legal("remote_bytes", policy->remote_bytes);
	legal &= is_legal("empty_slabs", policy->empty_slabs);
	legal &= is_legal("budget_mid", policy->budget_mid);
	legal &= is_legal("budget_large", policy->budget_large);
	legal &= is_legal("wmax_mid", policy->wmax_mid);
	legal &= is_legal("wmax_large", policy->wmax_large);
	legal &= is_legal("big_cache_bytes", policy->big_cache_bytes);
	legal &= is_legal("big_surplus", policy->big_surplus);
	legal &= is_legal("thp_threshold", policy->thp_threshold);
	legal &= is_legal("fault_ahead", policy->fault_ahead);
	legal &= is_legal("cache_bytes", policy->cache_bytes);
	legal &= is_legal("cache_share", policy->cache_share);
	legal &= is_legal("cache_start", policy->cache_start);
	legal &= is_legal("purge_delay_ms", policy->purge_delay_ms);
	legal &= is_legal("dirty_bytes", policy->dirty_bytes);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		legal &= is_within("cache_blocks", policy->cache_blocks[class], 0,
			hkm_ace_is_large(class) ? HKM_LARGE_SLOTS : HKM_MID_SLOTS);
	for (unsigned i = 0; i < 2; i++) {
		uint32_t size = policy->dynamic_size[i];

		if (size != 0 && (size % 16 != 0 || size <= HKM_TINY_MAX || size >= HKM_MID_MAX ||
			size == hkm_ace_static_size(hkm_ace_class(size)))) {
			fprintf(stderr, "dynamic_size[%u] = %u\n", i, size);
			legal = false;
		}
	}
	return legal;
}

ISOLATED(illegal_numbers_are_forced_into_their_ranges)
{
	struct hkm_policy policy, copy;
	bool legal;

	start();
	memset(&policy, 0, sizeof policy);
	hkm_policy_replace(&policy);
	hkm_policy_copy(&copy);
	legal = numbers_are_legal(&copy);
	memset(&policy, 0xff, sizeof policy);
	hkm_policy_replace(&policy);
	hkm_policy_copy(&copy);
	legal &= numbers_are_legal(&copy);
	require(legal, "see above");
}

ISOLATED(dynamic_sizes_lie_between_static_ones)
{
	static const struct {
		uint32_t asked, got;
	} cases[] = {
		{ 0, 0 }, { 1, 0 }, { 1024, 0 }, { 1025, 1040 }, { 1040, 1040 }, { 1279, 0 }, { 1280, 0 },
		{ 1281, 1296 }, { 5120, 0 }, { 5121, 5136 }, { 5200, 5200 }, { 5201, 5216 }, { 12288, 0 },
		{ 26000, 26000 }, { 28672, 0 }, { 32752, 32752 }, { 32753, 0 }, { 32768, 0 }, { 32769, 0 },
		{ UINT32_MAX, 0 },
	};
	struct hkm_policy policy, copy;

	start();
	hkm_policy_copy(&policy);
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		policy.dynamic_size[0] = cases[i].asked;
		policy.dynamic_size[1] = cases[i].asked;
		hkm_policy_replace(&policy);
		hkm_policy_copy(&copy);
		require(copy.dynamic_size[0] == cases[i].got, "%u became %u", cases[i].asked,
			copy.dynamic_size[0]);
		require(copy.dynamic_size[1] == 0, "two classes of %u bytes", copy.dynamic_size[1]);
		policy.dynamic_size[0] = 20000;
		hkm_policy_replace(&policy);
		hkm_policy_copy(&copy);
		require(copy.dynamic_size[1] == cases[i].got, "DYN2: %u became %u", cases[i].asked,
			copy.dynamic_size[1]);
	}
}

/* ---- The grace period ------------------------------------------------------------ */

ISOLATED(a_reader_inside_keeps_its_snapshot)
{
	const struct hkm_policy *held, *second_held;
	struct hkm_policy before, second_before, policy;

	start();
	hkm_policy_copy(&policy);
	policy.refill_blocks = 11;
	hkm_policy_replace(&policy);
	held = enter(&reader);
	before = *held;
	for (uint32_t i = 1; i <= 300; i++) {
		policy.refill_blocks = 100 + i;
		hkm_policy_replace(&policy);
	}
	second_held = enter(&second_reader);
	second_before = *second_held;
	require(second_before.refill_blocks == 400, "a late reader got an old policy");
	for (uint32_t i = 1; i <= 300; i++) {
		policy.refill_blocks = 500 + i;
		hkm_policy_replace(&policy);
	}
	require(memcmp(&before.refill_blocks, &held->refill_blocks,
		sizeof before - offsetof(struct hkm_policy, refill_blocks)) == 0 &&
		held->generation == before.generation, "the snapshot has changed");
	leave(&reader);
	for (uint32_t i = 1; i <= 300; i++)
		hkm_policy_replace(&policy);
	require(second_held->generation == second_before.generation && second_held->refill_blocks == 400,
		"the second reader's snapshot has changed");
	leave(&second_reader);
	require(hkm_policy_retired_count() == 0, "%zu snapshots wait for nobody", hkm_policy_retired_count());
}

ISOLATED(snapshots_are_reused_when_nobody_reads)
{
	struct hkm_policy policy;
	size_t held;

	start();
	hkm_policy_copy(&policy);
	for (size_t i = 0; i < 10; i++)
		hkm_policy_replace(&policy);
	held = hkm_meta_held();
	for (size_t i = 0; i < 20000; i++)
		hkm_policy_replace(&policy);
	require(hkm_meta_held() == held, "%zu bytes more are held", hkm_meta_held() - held);
	/* Whoever has been inside but is outside now holds nothing. */
	enter(&reader);
	leave(&reader);
	for (size_t i = 0; i < 20000; i++)
		hkm_policy_replace(&policy);
	require(hkm_meta_held() == held, "%zu bytes more are held", hkm_meta_held() - held);
}

ISOLATED(what_a_late_reader_does_not_hold_is_reused)
{
	struct hkm_policy policy;

	start();
	hkm_policy_copy(&policy);
	enter(&reader);
	for (size_t i = 0; i < 50; i++)
		hkm_policy_replace(&policy);
	enter(&second_reader);
	leave(&reader);
	/* All but the second reader's snapshot may go. */
	require(hkm_policy_retired_count() == 0, "%zu wait for a reader of the newest",
		hkm_policy_retired_count());
	hkm_policy_replace(&policy);
	require(hkm_policy_retired_count() == 1, "%zu wait for the second reader", hkm_policy_retired_count());
	leave(&second_reader);
	require(hkm_policy_retired_count() == 0, "%zu wait for nobody", hkm_policy_retired_count());
}

/* ---- Policies under a working program -------------------------------------------- */

#define PUBLISHED 10000
#define WORKERS 3
#define LIVE 48

static atomic_bool stop;
static atomic_size_t steps; /* of all workers */

static void *work(void *argument)
{
	struct random_source random = { (uint64_t)(uintptr_t)argument };
	struct {
		void *start;
		size_t size;
	} blocks[LIVE] = { 0 };

	while (!atomic_load_explicit(&stop, memory_order_relaxed)) {
		size_t at = random_between(&random, 0, LIVE - 1);

		if (blocks[at].start != NULL) {
			require(pattern_holds(blocks[at].start, blocks[at].size, blocks[at].size, at),
				"a block of %zu bytes was overwritten", blocks[at].size);
			hkm_free(blocks[at].start);
		}
		blocks[at].size = random_between(&random, 1, random_between(&random, 0, 3) == 0 ? 300000 : 9000);
		blocks[at].start = hkm_malloc(blocks[at].size);
		require(blocks[at].start != NULL, "no memory");
		require(hkm_malloc_usable_size(blocks[at].start) >= blocks[at].size, "a block is too small");
		fill_pattern(blocks[at].start, blocks[at].size, at);
		atomic_fetch_add_explicit(&steps, 1, memory_order_relaxed);
	}
	for (size_t at = 0; at < LIVE; at++)
		hkm_free(blocks[at].start);
	return NULL;
}

static uint32_t any_number(struct random_source *random, uint32_t most)
{
	uint64_t bits = random_bits(random);

	/* One in eight is illegal, most likely. */
	return bits % 8 == 0 ? (uint32_t)(bits >> 32) : (uint32_t)((bits >> 32) % ((uint64_t)most + 1));
}

static void choose_policy(struct random_source *random, struct hkm_policy *policy)
{
	policy->refill_blocks = any_number(random, 1024);
	policy->refill_bytes = any_number(random, 65536);
	policy->hot_blocks = any_number(random, 200);
	policy->hot_bytes = any_number(random, 32768);
	policy->remote_blocks = any_number(random, 100);
	policy->remote_bytes = any_number(random, 20000);
	policy->empty_slabs = any_number(random, 4);
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		policy->cache_blocks[class] = (uint16_t)any_number(random, 40);
		policy->pool_spans[class] = (uint16_t)any_number(random, 3);
	}
	policy->budget_mid = any_number(random, 300);
	policy->budget_large = any_number(random, 50);
	policy->wmax_mid = any_number(random, 4000);
	policy->wmax_large = any_number(random, 4000);
	policy->dynamic_size[0] = any_number(random, HKM_MID_MAX);
	policy->dynamic_size[1] = any_number(random, HKM_MID_MAX);
	policy->big_cache_bytes = any_number(random, 1 << 24);
	policy->big_surplus = any_number(random, 4000);
	policy->thp_threshold = any_number(random, 1 << 23);
	policy->fault_ahead = (uint32_t)any_number(random, 1 << 23);
	policy->cache_bytes = any_number(random, 1 << 23);
	policy->cache_share = (uint32_t)any_number(random, 5000);
	policy->cache_start = (uint32_t)any_number(random, UINT32_MAX);
	policy->purge_delay_ms = any_number(random, 1000);
	policy->dirty_bytes = any_number(random, 1 << 28);
}

ISOLATED(any_policy_is_safe_at_any_moment)
{
	struct random_source random = { 7 };
	struct hkm_policy policy;
	pthread_t workers[WORKERS];
	uint64_t generation = 0;

	hkm_free(hkm_malloc(1));
	hkm_policy_copy(&policy);
	for (uintptr_t i = 0; i < WORKERS; i++)
		pthread_create(&workers[i], NULL, work, (void *)(i + 1));
	for (size_t i = 1; i <= PUBLISHED; i++) {
		uint64_t published;
		double end;

		choose_policy(&random, &policy);
		published = hkm_policy_replace(&policy);
		require(published > generation, "the generation does not grow");
		generation = published;
		/* Policies change while the workers work: two steps a policy. */
		while (atomic_load_explicit(&steps, memory_order_relaxed) < 2 * i)
			sched_yield();
		if (i % 100 != 0)
			continue;
		/* Readers come and go: whoever was inside during the last hundred leaves soon. */
		end = seconds_now() + hang_seconds(20);
		while (hkm_policy_retired_count() > 0) {
			require(seconds_now() < end, "%zu snapshots are never reused", hkm_policy_retired_count());
			sched_yield();
		}
	}
	atomic_store(&stop, true);
	for (size_t i = 0; i < WORKERS; i++)
		pthread_join(workers[i], NULL);
	require(generation == PUBLISHED + 1, "generation %zu", (size_t)generation);
	require(hkm_policy_retired_count() == 0, "%zu snapshots are left", hkm_policy_retired_count());
	/* 100 snapshots and the heaps: the metadata does not grow with the number of policies. */
	require(hkm_meta_held() < 2 * MIB, "%zu bytes of metadata", hkm_meta_held());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_first_policy_is_what_the_options_say),
		cmocka_unit_test(a_reader_registers_without_a_lock),
		cmocka_unit_test(what_is_published_is_what_readers_get),
		cmocka_unit_test(a_policy_made_from_an_older_one_is_refused),
		cmocka_unit_test(illegal_numbers_are_forced_into_their_ranges),
		cmocka_unit_test(dynamic_sizes_lie_between_static_ones),
		cmocka_unit_test(a_reader_inside_keeps_its_snapshot),
		cmocka_unit_test(snapshots_are_reused_when_nobody_reads),
		cmocka_unit_test(what_a_late_reader_does_not_hold_is_reused),
		cmocka_unit_test(any_policy_is_safe_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
