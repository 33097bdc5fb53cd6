/* test_span.c - spans of slices against a model: aligned, apart, truthfully zero; grown, shrunk, purged;
 * empty superslabs go back.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "os/os.h"
#include "span/span.h"

#define MODEL_SLICES 8192u  /* 512 MiB of window: more than the test ever uses */
#define MOST_LIVE 1500u     /* slices */
#define SPANS 256u
#define STEPS 6000u
#define PAGE ((size_t)4096)
#define PAGES_IN_SLICE (HKM_SLICE_SIZE / PAGE)

struct span {
	struct hkm_slab *slab;
	size_t slices;
	uint64_t mark;
};

static struct span spans[SPANS];
static bool in_model[MODEL_SLICES]; /* slices that belong to a span */
static size_t live_slices;
static uint64_t next_mark = 1;

/* All writing is done here, a word per page, so looking at these words is looking at everything. */
static uint64_t *word_of_page(const struct hkm_slab *slab, size_t page)
{
	return (uint64_t *)(void *)(hkm_slab_start(slab) + page * PAGE + 64);
}

static bool pages_hold(const struct hkm_slab *slab, size_t first, size_t end, uint64_t mark)
{
	for (size_t page = first; page < end; page++)
		if (*word_of_page(slab, page) != mark)
			return false;
	return true;
}

static void mark_pages(const struct hkm_slab *slab, size_t first, size_t end, uint64_t mark)
{
	for (size_t page = first; page < end; page++)
		*word_of_page(slab, page) = mark;
}

static void claim(const struct hkm_slab *slab, size_t first, size_t end)
{
	size_t index = hkm_slice_index(slab);

	require(index + end <= MODEL_SLICES, "slice %zu", index);
	require((index + first) / HKM_SUPERSLAB_SLICES == (index + end - 1) / HKM_SUPERSLAB_SLICES,
		"a span lies across superslabs");
	for (size_t i = first; i < end; i++) {
		require(!in_model[index + i], "slice %zu was handed out twice", index + i);
		in_model[index + i] = true;
	}
	live_slices += end - first;
}

static void disclaim(const struct hkm_slab *slab, size_t first, size_t end)
{
	size_t index = hkm_slice_index(slab);

	for (size_t i = first; i < end; i++)
		in_model[index + i] = false;
	live_slices -= end - first;
}

static void check_stats(void)
{
	struct hkm_span_stats stats;

	hkm_span_stats(&stats);
	require(stats.mapped % HKM_SUPERSLAB_SIZE == 0, "%zu bytes mapped", stats.mapped);
	require(stats.free_slices == stats.mapped / HKM_SLICE_SIZE - live_slices,
		"%zu slices free of %zu bytes, %zu live", stats.free_slices, stats.mapped, live_slices);
	require(stats.dirty_slices <= stats.free_slices, "%zu slices dirty", stats.dirty_slices);
	require(hkm_span_dirty() == stats.dirty_slices * HKM_SLICE_SIZE, "%zu bytes dirty", hkm_span_dirty());
	hkm_span_check();
}

static void take_aligned(struct span *span, size_t slices, size_t alignment)
{
	bool zeroed, fresh;
	struct hkm_span_stats before, after;

	hkm_span_stats(&before);
	span->slab = hkm_span_alloc_aligned(slices, alignment, false, &zeroed, &fresh);
	hkm_span_stats(&after);
	require(span->slab != NULL, "no memory");
	require(span->slab->slices == slices && span->slab->kind == HKM_KIND_NONE, "%u slices of %zu",
		span->slab->slices, slices);
	require(fresh == (after.fresh / HKM_SUPERSLAB_SIZE > before.fresh / HKM_SUPERSLAB_SIZE), "fresh is %d", fresh);
	require(is_aligned(hkm_slab_start(span->slab), HKM_SLICE_SIZE), "misaligned");
	require(is_aligned(hkm_slab_start(span->slab), alignment * HKM_SLICE_SIZE), "not at %zu slices", alignment);
	require(&hkm_window.slabs[hkm_slice_of(hkm_slab_start(span->slab))] == span->slab, "descriptor");
	claim(span->slab, 0, slices);
	if (zeroed)
		require(pages_hold(span->slab, 0, slices * PAGES_IN_SLICE, 0), "zeroed, but it is not");
	span->slices = slices;
	span->mark = next_mark++;
	mark_pages(span->slab, 0, slices * PAGES_IN_SLICE, span->mark);
}

static void take(struct span *span, size_t slices)
{
	take_aligned(span, slices, 1);
}

static void give(struct span *span)
{
	require(pages_hold(span->slab, 0, span->slices * PAGES_IN_SLICE, span->mark),
		"a span was overwritten");
	disclaim(span->slab, 0, span->slices);
	hkm_span_free(span->slab);
	span->slab = NULL;
}

static bool model_is_free(const struct hkm_slab *slab, size_t first, size_t end)
{
	size_t index = hkm_slice_index(slab);

	if (index % HKM_SUPERSLAB_SLICES + end > HKM_SUPERSLAB_SLICES)
		return false;
	for (size_t i = first; i < end; i++)
		if (in_model[index + i])
			return false;
	return true;
}

static void extend(struct span *span, size_t slices)
{
	size_t old = span->slices;
	bool possible = model_is_free(span->slab, old, slices), zeroed;

	require(hkm_span_extend(span->slab, slices, &zeroed) == possible,
		"from %zu to %zu slices: expected %d", old, slices, possible);
	require(pages_hold(span->slab, 0, old * PAGES_IN_SLICE, span->mark), "contents lost");
	if (!possible) {
		require(span->slab->slices == old, "a failure changed the span");
		return;
	}
	require(span->slab->slices == slices, "%u slices", span->slab->slices);
	claim(span->slab, old, slices);
	if (zeroed)
		require(pages_hold(span->slab, old * PAGES_IN_SLICE, slices * PAGES_IN_SLICE, 0),
			"zeroed, but it is not");
	mark_pages(span->slab, old * PAGES_IN_SLICE, slices * PAGES_IN_SLICE, span->mark);
	span->slices = slices;
}

static void shrink(struct span *span, size_t slices)
{
	hkm_span_shrink(span->slab, slices);
	require(span->slab->slices == slices, "%u slices", span->slab->slices);
	disclaim(span->slab, slices, span->slices);
	span->slices = slices;
}

static void purge_all(void)
{
	size_t dirty = hkm_span_dirty(), purged = hkm_span_purge(UINT64_MAX, 0);

	require(purged == dirty, "%zu bytes of %zu were purged", purged, dirty);
	require(hkm_span_dirty() == 0, "%zu bytes are still dirty", hkm_span_dirty());
}

ISOLATED(random_sequences_agree_with_the_model)
{
	struct random_source random = { 20261122 };
	struct hkm_span_stats stats;

	hkm_span_start();
	for (size_t step = 0; step < STEPS; step++) {
		struct span *span = &spans[random_between(&random, 0, SPANS - 1)];
		size_t chance = random_between(&random, 0, 99);

		if (span->slab == NULL) {
			size_t slices = random_between(&random, 1, chance < 80 ? 8 : HKM_SUPERSLAB_SLICES);

			size_t alignment = chance % 4 == 0 ? (size_t)1 << random_between(&random, 0, 5) : 1;

			if (live_slices + slices <= MOST_LIVE)
				take_aligned(span, slices, alignment);
		} else if (chance < 60) {
			give(span);
		} else if (chance < 80 && span->slices < HKM_SUPERSLAB_SLICES) {
			extend(span, span->slices + random_between(&random, 1, HKM_SUPERSLAB_SLICES - span->slices));
		} else if (span->slices > 1) {
			shrink(span, random_between(&random, 1, span->slices));
		}
		if (step % 500 == 499)
			purge_all();
		check_stats();
	}
	for (size_t i = 0; i < SPANS; i++)
		if (spans[i].slab != NULL)
			give(&spans[i]);
	check_stats();
	purge_all();
	hkm_span_stats(&stats);
	require(stats.mapped <= HKM_SUPERSLAB_SIZE, "%zu bytes of empty superslabs are mapped", stats.mapped);
}

ISOLATED(spans_of_every_length_fit)
{
	hkm_span_start();
	for (size_t slices = 1; slices <= HKM_SUPERSLAB_SLICES; slices++)
		take(&spans[slices], slices);
	check_stats();
	for (size_t slices = 1; slices <= HKM_SUPERSLAB_SLICES; slices++)
		give(&spans[slices]);
	check_stats();
}

static size_t superslab_of(const struct span *span)
{
	return hkm_slice_index(span->slab) / HKM_SUPERSLAB_SLICES;
}

/* Full superslabs fill up, empty ones stay empty. */
ISOLATED(a_span_comes_from_the_superslab_it_fits_most_tightly)
{
	hkm_span_start();
	take(&spans[0], 40); /* leaves 24 */
	take(&spans[1], 56); /* leaves 8 */
	take(&spans[2], 48); /* leaves 16 */
	take(&spans[3], 8);
	require(superslab_of(&spans[3]) == superslab_of(&spans[1]), "8 slices are not put into the gap of 8");
	take(&spans[4], 10);
	require(superslab_of(&spans[4]) == superslab_of(&spans[2]), "10 slices are not put into the gap of 16");
	take(&spans[5], 20);
	require(superslab_of(&spans[5]) == superslab_of(&spans[0]), "20 slices are not put into the gap of 24");
}

/* Aligned spans fill the superslabs that are there, as far as the alignment allows. */
ISOLATED(aligned_spans_lie_closely)
{
	struct hkm_span_stats stats;

	hkm_span_start();
	for (size_t i = 0; i < 64; i++)
		take_aligned(&spans[i], 1, 2);
	hkm_span_stats(&stats);
	require(stats.mapped == 2 * HKM_SUPERSLAB_SIZE, "%zu bytes mapped", stats.mapped);
	/* Between them is room for others. */
	for (size_t i = 64; i < 128; i++)
		take(&spans[i], 1);
	hkm_span_stats(&stats);
	require(stats.mapped == 2 * HKM_SUPERSLAB_SIZE && stats.free_slices == 0, "%zu slices free", stats.free_slices);
	for (size_t i = 128; i < 136; i++)
		take_aligned(&spans[i], 20, HKM_ALIGNED_SLICES);
	hkm_span_stats(&stats);
	require(stats.mapped == 6 * HKM_SUPERSLAB_SIZE, "%zu bytes mapped", stats.mapped);
	/* A hole that just fits is found again, however many superslabs have longer runs that do not. */
	for (size_t i = 0; i < 20; i++) {
		struct hkm_slab *slab = spans[130].slab;

		give(&spans[130]);
		take_aligned(&spans[130], 20, HKM_ALIGNED_SLICES);
		require(spans[130].slab == slab, "another place");
	}
	check_stats();
}

ISOLATED(resident_slices_go_first)
{
	struct hkm_slab *second;

	hkm_span_start();
	for (size_t i = 0; i < 4; i++)
		take(&spans[i], 4);
	second = spans[1].slab;
	give(&spans[1]);
	purge_all();
	second = spans[2].slab;
	give(&spans[2]);
	take(&spans[4], 4);
	require(spans[4].slab == second, "a purged span was preferred to a resident one");
}

ISOLATED(no_slice_of_a_span_that_goes_is_part_of_one)
{
	struct hkm_slab *slab;

	hkm_span_start();
	take(&spans[0], 4);
	slab = spans[0].slab;
	slab->kind = HKM_KIND_MID;
	for (unsigned i = 1; i < 4; i++) {
		slab[i].kind = HKM_KIND_MID_REST;
		slab[i].distance = (uint8_t)i;
	}
	give(&spans[0]);
	for (unsigned i = 0; i < 4; i++)
		require(slab[i].kind == HKM_KIND_NONE, "slice %u", i);
}

/* Three superslabs, all but one slice of each free and resident, the first for longest. */
static void leave_three_dirty(void)
{
	hkm_span_start();
	hkm_span_note_time(hkm_os_now_ms());
	for (size_t i = 0; i < 3; i++) {
		take(&spans[2 * i], HKM_SUPERSLAB_SLICES - 1);
		take(&spans[2 * i + 1], 1);
	}
	for (size_t i = 0; i < 3; i++)
		give(&spans[2 * i]);
}

static struct hkm_slab *dirty_slab(size_t i)
{
	return spans[2 * i + 1].slab - (HKM_SUPERSLAB_SLICES - 1);
}

static bool is_dirty(size_t i)
{
	return !pages_hold(dirty_slab(i), 0, (HKM_SUPERSLAB_SLICES - 1) * PAGES_IN_SLICE, 0);
}

#define DIRTY_EACH ((HKM_SUPERSLAB_SLICES - 1) * HKM_SLICE_SIZE)

ISOLATED(purging_by_amount_takes_the_oldest_first)
{
	struct hkm_span_stats stats;

	leave_three_dirty();
	require(hkm_span_dirty() == 3 * DIRTY_EACH, "%zu bytes dirty", hkm_span_dirty());
	require(hkm_span_purge(0, 3 * DIRTY_EACH) == 0, "purged although no more is dirty than may be");
	require(hkm_span_purge(0, 3 * DIRTY_EACH - 1) == DIRTY_EACH, "not one superslab was purged");
	require(!is_dirty(0) && is_dirty(1) && is_dirty(2), "not the oldest was purged");
	require(hkm_span_purge(0, 0) == 2 * DIRTY_EACH, "not the rest was purged");
	require(!is_dirty(1) && !is_dirty(2), "purged memory does not read as zero");
	require(hkm_span_purge(0, 0) == 0, "purged twice");
	hkm_span_stats(&stats);
	require(stats.purged == 3 * DIRTY_EACH, "%zu bytes counted", (size_t)stats.purged);
	for (size_t i = 0; i < 3; i++)
		require(pages_hold(spans[2 * i + 1].slab, 0, PAGES_IN_SLICE, spans[2 * i + 1].mark),
			"a live span was purged");
}

ISOLATED(purging_by_age_spares_the_young)
{
	uint64_t start, between, end;

	leave_three_dirty();
	start = hkm_os_now_ms();
	between = next_tick_of_clock(hkm_os_now_ms);
	hkm_span_note_time(between);
	/* The third becomes young: taken and given back. */
	take(&spans[4], HKM_SUPERSLAB_SLICES - 1);
	require(superslab_of(&spans[4]) == superslab_of(&spans[5]), "another superslab");
	give(&spans[4]);
	end = next_tick_of_clock(hkm_os_now_ms);
	require(!hkm_span_purge_is_due(start > 1000 ? start - 1000 : 1), "due before its time");
	require(hkm_span_purge(start > 1000 ? start - 1000 : 0, SIZE_MAX) == 0, "purged before its time");
	require(hkm_span_purge_is_due(between), "not due in its time");
	require(hkm_span_purge(between, SIZE_MAX) == 2 * DIRTY_EACH, "not the old ones were purged");
	require(!is_dirty(0) && !is_dirty(1) && is_dirty(2), "not the old ones were purged");
	require(!hkm_span_purge_is_due(between) && hkm_span_purge_is_due(end), "the queue's age is wrong");
	require(hkm_span_purge(end, SIZE_MAX) == DIRTY_EACH, "not the young one was purged");
	require(!hkm_span_purge_is_due(UINT64_MAX), "due, but nothing is dirty");
}

ISOLATED(what_is_old_is_found_behind_what_is_young_again)
{
	uint64_t between;

	hkm_span_start();
	hkm_span_note_time(hkm_os_now_ms());
	take(&spans[0], 32);
	take(&spans[1], 32);
	take(&spans[2], 31);
	take(&spans[3], 33);
	require(superslab_of(&spans[0]) != superslab_of(&spans[2]), "one superslab");
	give(&spans[0]);
	give(&spans[2]);
	between = next_tick_of_clock(hkm_os_now_ms);
	hkm_span_note_time(between);
	/* Only the first superslab has room for it, and is clean meanwhile. */
	take(&spans[0], 32);
	require(superslab_of(&spans[0]) == superslab_of(&spans[1]), "another superslab");
	give(&spans[0]);
	require(hkm_span_purge(between, SIZE_MAX) == 31 * HKM_SLICE_SIZE, "not what is old was purged");
}

/* Not only by a trim: by whoever purges what has come of age, or is too much. */
ISOLATED(empty_superslabs_are_unmapped_whoever_purges)
{
	struct hkm_span_stats stats;

	hkm_span_start();
	for (size_t i = 0; i < 8; i++)
		take(&spans[i], HKM_SUPERSLAB_SLICES);
	for (size_t i = 0; i < 8; i++)
		give(&spans[i]);
	require(hkm_span_purge(0, 0) == 8 * HKM_SUPERSLAB_SIZE, "not all was purged");
	hkm_span_stats(&stats);
	require(stats.mapped == HKM_SUPERSLAB_SIZE, "%zu bytes of empty superslabs are mapped", stats.mapped);
}

#ifndef HAKMEM_TEST_SANITIZED /* which needs addresses without limit */
static void limit_addresses(size_t bytes)
{
	struct rlimit limit = { bytes, RLIM_INFINITY };

	require(setrlimit(RLIMIT_AS, &limit) == 0, "setrlimit");
}

/* What is unmapped where memory is short may not be had again. */
ISOLATED(half_stays_mapped_where_memory_was_refused)
{
	struct hkm_span_stats stats;
	bool zeroed, fresh;

	hkm_span_start();
	for (size_t i = 0; i < 8; i++)
		take(&spans[i], HKM_SUPERSLAB_SLICES);
	limit_addresses(virtual_bytes());
	require(hkm_span_alloc(1, false, &zeroed, &fresh) == NULL, "there is no limit");
	limit_addresses(RLIM_INFINITY);
	for (size_t i = 0; i < 8; i++)
		give(&spans[i]);
	require(hkm_span_purge(0, 0) > 0 && hkm_span_dirty() == 0, "not all was purged");
	hkm_span_stats(&stats);
	require(stats.mapped == 4 * HKM_SUPERSLAB_SIZE, "%zu bytes are mapped", stats.mapped);
}

#define PIECE ((size_t)8 * HKM_SLICE_SIZE) /* as in window.c */

ISOLATED(a_part_of_a_superslab_is_mapped_where_a_whole_one_is_refused)
{
	struct hkm_span_stats stats;
	size_t superslab;

	hkm_span_start();
	take(&spans[0], HKM_SUPERSLAB_SLICES);
	limit_addresses(virtual_bytes() + PIECE + HKM_SLICE_SIZE);
	take(&spans[1], 1);
	hkm_span_stats(&stats);
	require(stats.mapped == HKM_SUPERSLAB_SIZE + PIECE, "%zu bytes are mapped", stats.mapped);
	superslab = superslab_of(&spans[1]);
	/* The rest comes when it may, before any other. */
	limit_addresses(RLIM_INFINITY);
	take(&spans[2], HKM_SUPERSLAB_SLICES - 1);
	require(superslab_of(&spans[2]) == superslab, "another superslab");
	check_stats();
}
#endif

ISOLATED(empty_superslabs_are_unmapped_and_their_addresses_used_again)
{
	struct hkm_span_stats stats;
	size_t first;

	hkm_span_start();
	for (size_t i = 0; i < 8; i++)
		take(&spans[i], HKM_SUPERSLAB_SLICES);
	first = superslab_of(&spans[0]);
	for (size_t i = 0; i < 8; i++)
		give(&spans[i]);
	purge_all();
	hkm_span_stats(&stats);
	require(stats.mapped == HKM_SUPERSLAB_SIZE, "%zu bytes are mapped", stats.mapped);
	for (size_t i = 0; i < 8; i++) {
		take(&spans[i], HKM_SUPERSLAB_SLICES);
		require(superslab_of(&spans[i]) < first + 8, "the window grew instead");
	}
	check_stats();
}

ISOLATED(memory_that_cannot_be_purged_stays_dirty_and_nothing_hangs)
{
	leave_three_dirty();
	/* Not mlock: the sanitizers turn it into nothing. */
	if (syscall(SYS_mlock, hkm_slab_start(dirty_slab(1)), PAGE) != 0)
		return;
	hkm_span_purge(UINT64_MAX, 0);
	require(hkm_span_dirty() >= DIRTY_EACH, "%zu bytes dirty", hkm_span_dirty());
	require(is_dirty(1), "locked memory was emptied");
	syscall(SYS_munlock, hkm_slab_start(dirty_slab(1)), PAGE);
	purge_all();
	require(!is_dirty(1), "not purged after all");
}

/* ---- What is said to read as zero -------------------------------------------------------- */

/* Takes a span and frees it again, having written to it or not; result: whether it was said to be zero, which is then true. */
static bool is_said_to_be_zero(size_t slices, bool dirties)
{
	struct span span = { 0 };
	bool zeroed, fresh;

	span.slab = hkm_span_alloc(slices, false, &zeroed, &fresh);
	require(!zeroed || hkm_os_reads_as_zero(hkm_slab_start(span.slab), slices * HKM_SLICE_SIZE), "it is not");
	if (dirties)
		mark_pages(span.slab, 0, slices * PAGES_IN_SLICE, 7);
	hkm_span_free(span.slab);
	return zeroed;
}

ISOLATED(only_slices_that_nobody_has_had_since_a_purge_are_said_to_be_zero)
{
	struct hkm_slab *slab;
	bool zeroed, fresh;

	hkm_span_start();
	require(is_said_to_be_zero(8, true), "fresh slices are not");
	require(!is_said_to_be_zero(8, true), "slices that were used are");
	require(!is_said_to_be_zero(16, true), "slices of which half were used are");
	take(&spans[0], 1); /* so that the superslab stays */
	purge_all();
	require(is_said_to_be_zero(16, false), "purged slices are not");
	require(!is_said_to_be_zero(16, true), "somebody could have used them");
	purge_all();
	/* Mapped anew. */
	give(&spans[0]);
	take(&spans[1], HKM_SUPERSLAB_SLICES);
	take(&spans[2], HKM_SUPERSLAB_SLICES);
	give(&spans[1]);
	give(&spans[2]);
	purge_all();
	require(is_said_to_be_zero(HKM_SUPERSLAB_SLICES, true), "a purged superslab is not");
	purge_all();
	/* What is cut off a span, and what it grows into. */
	slab = hkm_span_alloc(8, false, &zeroed, &fresh);
	require(hkm_span_extend(slab, 16, &zeroed) && zeroed, "fresh slices behind a span are not");
	memset(hkm_slab_start(slab), 9, 16 * HKM_SLICE_SIZE);
	hkm_span_shrink(slab, 4);
	require(hkm_span_extend(slab, 5, &zeroed) && !zeroed, "what was cut off is");
	require(hkm_span_extend(slab, 17, &zeroed) && !zeroed, "a part of it was used");
	require(hkm_span_extend(slab, 18, &zeroed) && zeroed, "behind it nobody has been");
	hkm_span_free(slab);
}

ISOLATED(locked_slices_are_not_said_to_be_zero)
{
	leave_three_dirty();
	if (syscall(SYS_mlock, hkm_slab_start(dirty_slab(1)), PAGE) != 0)
		return;
	hkm_span_purge(UINT64_MAX, 0);
	for (size_t i = 0; i < 3; i++) {
		bool zeroed, fresh;
		struct hkm_slab *slab = hkm_span_alloc(HKM_SUPERSLAB_SLICES - 1, false, &zeroed, &fresh);
		bool zero = hkm_os_reads_as_zero(hkm_slab_start(slab), DIRTY_EACH);

		require(zero || !zeroed, "memory that could not be purged is");
		require(!zero || slab != dirty_slab(1), "locked memory was emptied");
	}
}

/* The most mappings that a process may have, and memory that is locked. */
static bool unmaps_nothing, advises_nothing;

int __real_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size);
int __wrap_munmap(void *start, size_t size)
{
	if (unmaps_nothing) {
		errno = ENOMEM;
		return -1;
	}
	return __real_munmap(start, size);
}

static unsigned freed_meanwhile = UINT32_MAX; /* spans that others have freed while memory was given back; UINT32_MAX: nobody does */

int __real_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice);
int __wrap_madvise(void *start, size_t size, int advice)
{
	if (advises_nothing) {
		errno = EINVAL;
		return -1;
	}
	if (freed_meanwhile < 5) {
		hkm_span_note_time(hkm_os_now_ms() + 1000);
		give(&spans[2 * ++freed_meanwhile]);
	}
	return __real_madvise(start, size, advice);
}

/* Or a trim would last as long as other threads free. */
ISOLATED(a_purge_does_not_follow_what_is_freed_meanwhile)
{
	hkm_span_start();
	for (size_t i = 0; i < 6; i++) {
		take(&spans[2 * i], HKM_SUPERSLAB_SLICES - 1);
		take(&spans[2 * i + 1], 1);
	}
	give(&spans[0]);
	freed_meanwhile = 0;
	hkm_span_purge(UINT64_MAX, 0);
	require(freed_meanwhile == 1, "%u superslabs were freed meanwhile", freed_meanwhile);
	require(hkm_span_dirty() == DIRTY_EACH, "%zu bytes dirty", hkm_span_dirty());
}

#ifndef HAKMEM_TEST_SANITIZED /* there the window is reserved, and munmap is not asked */
ISOLATED(superslabs_that_can_be_neither_unmapped_nor_purged_are_not_said_to_be_zero)
{
	struct hkm_span_stats stats;

	hkm_span_start();
	for (size_t i = 0; i < 4; i++)
		take(&spans[i], HKM_SUPERSLAB_SLICES);
	for (size_t i = 0; i < 4; i++)
		give(&spans[i]);
	unmaps_nothing = advises_nothing = true;
	hkm_span_purge(UINT64_MAX, 0);
	hkm_span_check();
	require(hkm_span_dirty() == 4 * HKM_SUPERSLAB_SIZE, "%zu bytes dirty", hkm_span_dirty());
	for (size_t i = 0; i < 4; i++)
		require(!is_said_to_be_zero(HKM_SUPERSLAB_SLICES, true), "superslab %zu is", i);
	advises_nothing = false;
	purge_all();
	hkm_span_stats(&stats);
	require(stats.mapped == 4 * HKM_SUPERSLAB_SIZE, "%zu bytes are mapped", stats.mapped);
	require(is_said_to_be_zero(HKM_SUPERSLAB_SLICES, true), "a superslab that was emptied is not");
	unmaps_nothing = false;
	purge_all();
	hkm_span_check();
	hkm_span_stats(&stats);
	require(stats.mapped == HKM_SUPERSLAB_SIZE, "%zu bytes are mapped", stats.mapped);
}
#endif

/* A span that nobody has written to is freed: what is made of its slices later knows nothing of that. */
ISOLATED(a_promise_ends_with_its_span)
{
	hkm_span_start();
	for (size_t i = 0; i < 4; i++)
		take(&spans[i], 4);
	for (size_t i = 0; i < 4; i++)
		spans[i].slab->zeroed = 1;
	for (size_t i = 0; i < 4; i++)
		give(&spans[i]);
	take(&spans[0], 16);
	for (size_t i = 0; i < 16; i++)
		require(spans[0].slab[i].zeroed == 0, "slice %zu still reads as zero", i);
}

/* ---- Addresses that others have -------------------------------------------------------------- */

#ifndef HAKMEM_TEST_SANITIZED /* there the window is reserved */
#define ELSEWHERE 300u

static struct hkm_slab *elsewhere[ELSEWHERE];

static void take_elsewhere(void)
{
	bool zeroed, fresh;

	for (size_t i = 0; i < ELSEWHERE; i++) {
		elsewhere[i] = hkm_span_alloc(HKM_SUPERSLAB_SLICES, false, &zeroed, &fresh);
		require(elsewhere[i] != NULL, "no span %zu", i);
		require(!zeroed || pages_hold(elsewhere[i], 0, HKM_SUPERSLAB_SLICES * PAGES_IN_SLICE, 0), "not zero");
		require(hkm_slice_is_ours(hkm_slice_index(elsewhere[i])), "not ours");
		require(hkm_slice_of(hkm_slab_start(elsewhere[i])) == hkm_slice_index(elsewhere[i]), "descriptor");
		mark_pages(elsewhere[i], 0, HKM_SUPERSLAB_SLICES * PAGES_IN_SLICE, i + 1);
		*hkm_state_of(hkm_slab_start(elsewhere[i])) = (uint8_t)i;
		hkm_span_set_bin(elsewhere[i], NULL);
		elsewhere[i]->kind = HKM_KIND_LARGE;
		if (i % 50 == 0)
			hkm_span_check();
	}
}

static void give_elsewhere(void)
{
	for (size_t i = 0; i < ELSEWHERE; i++) {
		require(pages_hold(elsewhere[i], 0, HKM_SUPERSLAB_SLICES * PAGES_IN_SLICE, i + 1), "overwritten");
		require(*hkm_state_of(hkm_slab_start(elsewhere[i])) == (uint8_t)i, "state overwritten");
		*hkm_state_of(hkm_slab_start(elsewhere[i])) = 0;
		hkm_span_free(elsewhere[i]);
	}
	hkm_span_check();
}

static void count_span(struct hkm_slab *slab, void *context)
{
	require(slab->kind == HKM_KIND_LARGE, "kind");
	++*(size_t *)context;
}

ISOLATED(a_reservation_in_the_window_is_jumped_over)
{
	size_t visited = 0, outside = 0;
	struct hkm_span_stats stats;
	char *stranger;

	hkm_span_start();
	require(!hkm_slice_is_ours(hkm_slice_of(&stats)) && !hkm_slice_is_ours(hkm_slice_of(NULL)) &&
		!hkm_slice_is_ours(hkm_slice_of((void *)UINTPTR_MAX)), "a wrong address is ours");
	take(&spans[0], HKM_SUPERSLAB_SLICES);
	stranger = hkm_slab_start(spans[0].slab) + 3 * HKM_SUPERSLAB_SIZE;
	require(mmap(stranger, 1024 * GIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		-1, 0) == stranger, "stranger");
	give(&spans[0]);
	take_elsewhere();
	for (size_t i = 0; i < ELSEWHERE; i++)
		outside += hkm_slab_start(elsewhere[i]) >= stranger + 1024 * GIB;
	require(outside >= ELSEWHERE - 3, "%zu outside", outside);
	hkm_span_visit(count_span, &visited);
	require(visited == ELSEWHERE, "%zu visited", visited);
	give_elsewhere();
	purge_all();
	hkm_span_stats(&stats);
	require(stats.mapped <= HKM_SUPERSLAB_SIZE, "%zu bytes of empty superslabs are mapped", stats.mapped);
	take_elsewhere();
	give_elsewhere();
}

/* Twice as many each time, so that a few tries pass over hundreds of places. */
ISOLATED(many_places_of_others_are_passed_over_in_one_call)
{
	bool zeroed, fresh;
	const struct hkm_slab *slab;
	char *stranger;

	hkm_span_start();
	take(&spans[0], HKM_SUPERSLAB_SLICES);
	stranger = hkm_slab_start(spans[0].slab) + HKM_SUPERSLAB_SIZE;
	require(mmap(stranger, 100 * HKM_SUPERSLAB_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
		-1, 0) == stranger, "stranger");
	slab = hkm_span_alloc(HKM_SUPERSLAB_SLICES, false, &zeroed, &fresh);
	require(slab != NULL && hkm_slice_index(slab) < hkm_slice_index(spans[0].slab) + 256 * HKM_SUPERSLAB_SLICES,
		"the window was left");
}

/* Pages of 64 KiB are two slices: a slice beside one in use stays, and a page is given back when both are free. */
ISOLATED(a_page_of_several_slices_is_purged_whole)
{
	hkm_os_pretend_page_size(2 * HKM_SLICE_SIZE);
	hkm_span_start();
	for (size_t i = 0; i < HKM_SUPERSLAB_SLICES; i++)
		take(&spans[i], 1);
	for (size_t i = 0; i < HKM_SUPERSLAB_SLICES; i += 2)
		give(&spans[i]);
	hkm_span_purge(UINT64_MAX, 0);
	require(hkm_span_dirty() == HKM_SUPERSLAB_SIZE / 2, "%zu bytes dirty", hkm_span_dirty());
	hkm_span_check();
	for (size_t i = 1; i < HKM_SUPERSLAB_SLICES; i += 2)
		require(pages_hold(spans[i].slab, 0, PAGES_IN_SLICE, spans[i].mark), "the neighbour was wiped");
	for (size_t i = 1; i < 16; i += 2)
		give(&spans[i]);
	hkm_span_purge(UINT64_MAX, 0);
	require(hkm_span_dirty() == HKM_SUPERSLAB_SIZE / 2 - 8 * HKM_SLICE_SIZE, "%zu bytes dirty", hkm_span_dirty());
	hkm_span_check();
	for (size_t i = 17; i < HKM_SUPERSLAB_SLICES; i += 2)
		require(pages_hold(spans[i].slab, 0, PAGES_IN_SLICE, spans[i].mark), "the neighbour was wiped");
}
#endif

/* ---- What the learner wants to know ------------------------------------------------------ */

ISOLATED(what_is_asked_for_in_time_is_regretted)
{
	static struct hkm_regret regret;

	require(hkm_regret_ask(&regret, 10, 100) == 10, "nothing was given back, and is regretted");
	hkm_regret_give(&regret, 100, 1000, 1600);
	require(hkm_regret_ask(&regret, 30, 1500) == 0 && hkm_counted(&regret.again) == 30, "in time");
	require(hkm_regret_ask(&regret, 90, 1600) == 20 && hkm_counted(&regret.again) == 100, "more than was given back");
	hkm_regret_give(&regret, 100, 2000, 2600);
	require(hkm_regret_ask(&regret, 50, 2601) == 50 && hkm_counted(&regret.again) == 100, "too late");
	hkm_regret_give(&regret, 5, 3000, 3600);
	require(hkm_regret_ask(&regret, 50, 3000) == 45, "what is past came back");
	require(hkm_counted(&regret.given) == 205, "%lu", hkm_counted(&regret.given));
	hkm_regret_reuse(&regret, 7, 4000, 4050, 200);
	require(hkm_counted(&regret.reused) == 7 && hkm_counted(&regret.late) == 0, "a quarter of the delay");
	hkm_regret_reuse(&regret, 7, 4000, 4051, 200);
	require(hkm_counted(&regret.reused) == 14 && hkm_counted(&regret.late) == 7, "after a quarter of the delay");
}

ISOLATED(slices_given_back_too_soon_are_regretted)
{
	leave_three_dirty();
	hkm_regret_set_delay(1000);
	hkm_span_note_time(hkm_os_now_ms());
	hkm_span_purge(0, 2 * DIRTY_EACH);
	require(hkm_counted(&hkm_span_surplus.given) == DIRTY_EACH, "%lu", hkm_counted(&hkm_span_surplus.given));
	hkm_span_purge(next_tick_of_clock(hkm_os_now_ms) - 1, SIZE_MAX);
	require(hkm_counted(&hkm_span_aged.given) == 2 * DIRTY_EACH, "%lu", hkm_counted(&hkm_span_aged.given));
	take(&spans[0], HKM_SUPERSLAB_SLICES - 1);
	require(hkm_counted(&hkm_span_aged.again) + hkm_counted(&hkm_span_surplus.again) == DIRTY_EACH, "it is not");
	give(&spans[0]);
	take(&spans[0], HKM_SUPERSLAB_SLICES - 1);
	require(hkm_counted(&hkm_span_aged.reused) >= DIRTY_EACH, "%lu reused", hkm_counted(&hkm_span_aged.reused));
	/* A trim is nobody's fault. */
	give(&spans[0]);
	purge_all();
	require(hkm_counted(&hkm_span_aged.given) == 2 * DIRTY_EACH, "a trim counts");
}

/* The first that goes is a surplus, as it is where a heap shrinks before anything has come of age. */
ISOLATED(a_surplus_is_regretted_before_anything_was_aged)
{
	hkm_regret_set_delay(1000);
	leave_three_dirty();
	hkm_span_note_time(hkm_os_now_ms());
	hkm_span_purge(0, 0);
	take(&spans[0], HKM_SUPERSLAB_SLICES - 1);
	require(hkm_counted(&hkm_span_surplus.again) == DIRTY_EACH, "%lu", hkm_counted(&hkm_span_surplus.again));
}

ISOLATED(fresh_superslabs_are_populated)
{
	struct hkm_span_stats stats;
	unsigned char resident[16 * PAGES_IN_SLICE];

	hkm_span_start();
	take(&spans[0], HKM_SUPERSLAB_SLICES);
	hkm_span_set_fault_ahead(16 * HKM_SLICE_SIZE);
	take(&spans[1], 1);
	hkm_span_stats(&stats);
	require(stats.fresh == (HKM_SUPERSLAB_SLICES + 1) * HKM_SLICE_SIZE, "%lu fresh", stats.fresh);
	if (stats.populated == 0)
		return; /* a system that does not know how */
	require(stats.populated == 15 * HKM_SLICE_SIZE, "%lu populated", stats.populated);
	require(hkm_span_dirty() == stats.populated, "they do not count as resident");
	require(mincore(hkm_slab_start(spans[1].slab), sizeof resident * PAGE, resident) == 0, "mincore");
	for (size_t i = 0; i < sizeof resident; i++)
		require((resident[i] & 1) != 0, "page %zu is not resident", i);
	take(&spans[2], 15);
	require(hkm_counted(&hkm_span_aged.reused) == 15 * HKM_SLICE_SIZE, "not used");
	check_stats();
}

static void visit(struct hkm_slab *slab, void *context)
{
	(void)slab;
	++*(size_t *)context;
}

ISOLATED(only_spans_with_a_kind_are_visited)
{
	size_t visited = 0;

	hkm_span_start();
	for (size_t i = 0; i < 6; i++)
		take(&spans[i], 3);
	spans[1].slab->kind = HKM_KIND_TINY;
	spans[2].slab->kind = HKM_KIND_LARGE;
	spans[3].slab->kind = HKM_KIND_MID;
	spans[3].slab[1].kind = spans[3].slab[2].kind = HKM_KIND_MID_REST;
	hkm_span_visit(visit, &visited);
	require(visited == 3, "%zu spans visited", visited);
	give(&spans[3]);
	visited = 0;
	hkm_span_visit(visit, &visited);
	require(visited == 2, "%zu spans visited after one was freed", visited);
}

/* ---- Many threads ---------------------------------------------------------------- */

static void *churn(void *argument)
{
	struct random_source random = { (uint64_t)(uintptr_t)argument };
	struct span own[16] = { 0 };

	for (size_t step = 0; step < 3000; step++) {
		struct span *span = &own[random_between(&random, 0, 15)];
		bool zeroed, fresh;

		if (span->slab != NULL) {
			require(pages_hold(span->slab, 0, span->slices * PAGES_IN_SLICE, span->mark),
				"a span was overwritten");
			hkm_span_free(span->slab);
			span->slab = NULL;
			continue;
		}
		span->slices = random_between(&random, 1, 6);
		span->mark = random_bits(&random) | 1;
		span->slab = hkm_span_alloc(span->slices, false, &zeroed, &fresh);
		require(span->slab != NULL, "no memory");
		if (zeroed)
			require(pages_hold(span->slab, 0, span->slices * PAGES_IN_SLICE, 0),
				"zeroed, but it is not");
		mark_pages(span->slab, 0, span->slices * PAGES_IN_SLICE, span->mark);
		if (step % 64 == 0)
			hkm_span_purge(UINT64_MAX, step % 128 == 0 ? 0 : 4 * MIB);
	}
	for (size_t i = 0; i < 16; i++)
		if (own[i].slab != NULL)
			hkm_span_free(own[i].slab);
	return NULL;
}

ISOLATED(threads_share_superslabs)
{
	pthread_t threads[4];
	struct hkm_span_stats stats;

	hkm_span_start();
	for (uintptr_t i = 0; i < 4; i++)
		pthread_create(&threads[i], NULL, churn, (void *)(i + 1));
	for (size_t i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	check_stats();
	purge_all();
	hkm_span_stats(&stats);
	require(stats.mapped <= HKM_SUPERSLAB_SIZE, "%zu bytes of empty superslabs are mapped", stats.mapped);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(random_sequences_agree_with_the_model),
		cmocka_unit_test(spans_of_every_length_fit),
		cmocka_unit_test(a_span_comes_from_the_superslab_it_fits_most_tightly),
		cmocka_unit_test(aligned_spans_lie_closely),
		cmocka_unit_test(resident_slices_go_first),
		cmocka_unit_test(purging_by_amount_takes_the_oldest_first),
		cmocka_unit_test(purging_by_age_spares_the_young),
		cmocka_unit_test(what_is_old_is_found_behind_what_is_young_again),
		cmocka_unit_test(no_slice_of_a_span_that_goes_is_part_of_one),
		cmocka_unit_test(empty_superslabs_are_unmapped_whoever_purges),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(half_stays_mapped_where_memory_was_refused),
		cmocka_unit_test(a_part_of_a_superslab_is_mapped_where_a_whole_one_is_refused),
#endif
		cmocka_unit_test(empty_superslabs_are_unmapped_and_their_addresses_used_again),
		cmocka_unit_test(memory_that_cannot_be_purged_stays_dirty_and_nothing_hangs),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(a_reservation_in_the_window_is_jumped_over),
		cmocka_unit_test(many_places_of_others_are_passed_over_in_one_call),
		cmocka_unit_test(a_page_of_several_slices_is_purged_whole),
		cmocka_unit_test(superslabs_that_can_be_neither_unmapped_nor_purged_are_not_said_to_be_zero),
#endif
		cmocka_unit_test(only_slices_that_nobody_has_had_since_a_purge_are_said_to_be_zero),
		cmocka_unit_test(locked_slices_are_not_said_to_be_zero),
		cmocka_unit_test(a_purge_does_not_follow_what_is_freed_meanwhile),
		cmocka_unit_test(a_promise_ends_with_its_span),
		cmocka_unit_test(what_is_asked_for_in_time_is_regretted),
		cmocka_unit_test(slices_given_back_too_soon_are_regretted),
		cmocka_unit_test(a_surplus_is_regretted_before_anything_was_aged),
		cmocka_unit_test(fresh_superslabs_are_populated),
		cmocka_unit_test(only_spans_with_a_kind_are_visited),
		cmocka_unit_test(threads_share_superslabs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
