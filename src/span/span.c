/* span.c - see span.h.
 *
 * Superslabs with free slices stand in buckets by the length of their longest free run, so a span comes
 * from the superslab that it fits most tightly: full ones fill up, empty ones stay empty and can go
 * back to the system. Superslabs with resident free slices stand in a queue by age as well.
 */
#include "span/span.h"

#include "os/os.h"
#include "span/links.h"
#include "span/masks.h"
#include "span/window.h"

#define HUGE_SLICES ((2u << 20) >> HKM_SLICE_SHIFT) /* slices in a huge page */
#define POPULATE_SLICE_NS 8000u /* what the page faults of a slice cost at least */
#define SKIP_FIRST 16u         /* superslabs that are not populated after one that was too dear */
#define SKIP_MOST 4096u
#define ALIGNED_LOOKS 16u      /* superslabs that are looked at for an aligned run which may not be there */
#define CHECK_EVERY 500u       /* calls between two checks of everything, in the debug build */
#define PURGE_RANGES 64u       /* ranges advised away in one call */
#define PURGE_BYTES ((size_t)4 << 20) /* in them: what the system takes less than a millisecond for */
#define QUEUE_STEPS 64u        /* superslabs taken off the queue before the lock is let go for a moment */

struct hkm_lock hkm_span_lock, hkm_purge_lock;

/* Guarded by hkm_span_lock; the counters are read by anyone. */
static struct superslab *buckets[HKM_SUPERSLAB_SLICES + 1];
static uint64_t bucket_bits; /* bit n-1: buckets[n] is not empty */
static struct superslab *dirty_head, *dirty_tail;
static size_t refused_at; /* slices that were mapped when the system refused another; 0: it did not refuse the last one */
static hkm_counter mapped_count, free_count, dirty_count, purged_bytes;
static hkm_counter visited_count; /* whoever visits; a figure for tests */
static hkm_counter oldest_dirty_ms; /* of the queue's head; 0: empty */

struct hkm_regret hkm_span_aged, hkm_span_surplus; /* guarded by hkm_span_lock */

static hkm_counter fresh_bytes, populated_bytes, populate_ns;
static uint64_t populates_to_skip, skip_next = SKIP_FIRST;
static unsigned clean_slices; /* handed out since they last filled a superslab; guarded by hkm_span_lock */
static _Atomic size_t fault_ahead; /* relaxed: a value of its own */

/* The time of the last look at the clock by anyone; written by polling threads (relaxed: any recent value will do),
 * spares the span lock's holder the call. */
static _Atomic uint64_t recent_ms;

/* ---- Superslabs, buckets, the queue -------------------------------------------------------- */

static void bucket_remove(struct superslab *superslab)
{
	unsigned bucket = superslab->longest;
	if (bucket == 0)
		return;
	if (superslab->prev != NULL)
		superslab->prev->next = superslab->next;
	else
		buckets[bucket] = superslab->next;
	if (superslab->next != NULL)
		superslab->next->prev = superslab->prev;
	if (buckets[bucket] == NULL)
		bucket_bits &= ~((uint64_t)1 << (bucket - 1));
}

static void bucket_insert(struct superslab *superslab)
{
	unsigned bucket = superslab->longest;
	if (bucket == 0)
		return;
	superslab->prev = NULL;
	superslab->next = buckets[bucket];
	if (superslab->next != NULL)
		superslab->next->prev = superslab;
	buckets[bucket] = superslab;
	bucket_bits |= (uint64_t)1 << (bucket - 1);
}

/* `longest`: length of the longest run of `bits`; `gained`: bits more than before, modulo 2^64. */
static void set_free(struct superslab *superslab, uint64_t bits, unsigned longest, uint64_t gained)
{
	HKM_ASSERT(longest == longest_run(bits) && gained == count_bits(bits) - count_bits(superslab->free));
	superslab->free = bits;
	hkm_count(&free_count, gained);
	if (longest == superslab->longest)
		return;
	bucket_remove(superslab);
	superslab->longest = (uint8_t)longest;
	bucket_insert(superslab);
}

/* `bits`: a run of `length`. */
static void add_free(struct superslab *superslab, uint64_t bits, uint64_t length)
{
	uint64_t free = superslab->free | bits;
	unsigned around = run_around(free, (unsigned)__builtin_ctzl(bits));
	set_free(superslab, free, around > superslab->longest ? around : superslab->longest, length);
}

/* `bits`: a run of `length`. Looks for the longest run only if the one that it comes from was it. */
static void take_free(struct superslab *superslab, uint64_t bits, uint64_t length)
{
	bool from_longest = run_around(superslab->free, (unsigned)__builtin_ctzl(bits)) == superslab->longest;
	uint64_t free = superslab->free & ~bits;
	set_free(superslab, free, from_longest ? longest_run(free) : superslab->longest, -length);
}

/* When the superslab's first slice became dirty; less than 49 days ago. */
static uint64_t dirty_since_ms(const struct superslab *superslab)
{
	uint64_t now = atomic_load_explicit(&recent_ms, memory_order_relaxed);
	return now - ((uint32_t)now - superslab->dirty_since);
}

static void note_oldest(void)
{
	uint64_t since = dirty_head != NULL ? hkm_max(dirty_since_ms(dirty_head), 1) : 0;
	hkm_count(&oldest_dirty_ms, since - hkm_counted(&oldest_dirty_ms));
}

static void queue_remove(struct superslab *superslab)
{
	if (superslab->dirty_prev != NULL)
		superslab->dirty_prev->dirty_next = superslab->dirty_next;
	else
		dirty_head = superslab->dirty_next;
	if (superslab->dirty_next != NULL)
		superslab->dirty_next->dirty_prev = superslab->dirty_prev;
	else
		dirty_tail = superslab->dirty_prev;
	superslab->queued = false;
	note_oldest();
}

static void queue_append(struct superslab *superslab)
{
	superslab->dirty_since = (uint32_t)atomic_load_explicit(&recent_ms, memory_order_relaxed);
	if (superslab->queued)
		return;
	superslab->queued = true;
	superslab->dirty_next = NULL;
	superslab->dirty_prev = dirty_tail;
	if (dirty_tail != NULL)
		dirty_tail->dirty_next = superslab;
	else
		dirty_head = superslab;
	dirty_tail = superslab;
}

/* `gained`: bits more than before, modulo 2^64. */
static void set_dirty(struct superslab *superslab, uint64_t bits, uint64_t gained)
{
	HKM_ASSERT(gained == count_bits(bits) - count_bits(superslab->dirty));
	hkm_count(&dirty_count, gained);
	superslab->shallow &= bits;
	bool was_clean = superslab->dirty == 0;
	superslab->dirty = bits;
	if (bits == 0 || !was_clean)
		return; /* one that has become clean stays on the queue: it is likely to become dirty again soon */
	if (superslab->queued && superslab != dirty_tail)
		queue_remove(superslab);
	queue_append(superslab);
	note_oldest();
}

void hkm_span_note_time(uint64_t now_ms)
{
	atomic_store_explicit(&recent_ms, now_ms, memory_order_relaxed);
}

/* Maps a superslab, or more of one; NULL if the system refuses. */
static struct superslab *superslab_map(size_t slices)
{
	uint64_t bits, count;
	struct superslab *superslab = hkm_window_map(slices, &bits);
	if (superslab != NULL) {
		count = count_bits(bits);
		hkm_count(&mapped_count, count);
		add_free(superslab, bits, count);
		HKM_ASSERT(superslab->longest >= slices);
	}
	refused_at = superslab == NULL || superslab->mapped < HKM_SUPERSLAB_SLICES ? hkm_counted(&mapped_count) : 0;
	return superslab;
}

/* ---- Spans ----------------------------------------------------------------------------------- */

/* `all` slices of a superslab are handed out, of which `there` were dirty: had the others been given back too soon? */
static void note_use(const struct superslab *superslab, uint64_t there, uint64_t all)
{
	uint64_t now = atomic_load_explicit(&recent_ms, memory_order_relaxed);
	if (there > 0)
		hkm_regret_reuse(&hkm_span_aged, there * HKM_SLICE_SIZE, dirty_since_ms(superslab), now,
				 hkm_regret_delay_ms());
	if (there < all) {
		hkm_count(&fresh_bytes, (all - there) * HKM_SLICE_SIZE);
		hkm_regret_ask(&hkm_span_surplus, hkm_regret_ask(&hkm_span_aged, (all - there) * HKM_SLICE_SIZE, now), now);
	}
}

/* So many slices are handed out that are not resident. Result: whether they fill another superslab. */
static bool note_clean(uint64_t slices)
{
	clean_slices += (unsigned)slices;
	bool full = clean_slices >= HKM_SUPERSLAB_SLICES;
	clean_slices -= full ? HKM_SUPERSLAB_SLICES : 0;
	return full;
}

void hkm_span_set_fault_ahead(size_t bytes)
{
	atomic_store_explicit(&fault_ahead, bytes, memory_order_relaxed);
}

/* Huge pages may be dearer than faults: where the system has to move memory for them, or, in a virtual machine, has
 * to get them from the host. Then a while goes by before the next try, each time twice as long.
 * The first slices of a fresh superslab become resident; those that are still free are dirty from now on. Called without
 * the lock, as it takes long: whoever is handed a slice meanwhile finds it zeroed, resident or not. */
static void populate(struct superslab *superslab, size_t bytes)
{
	size_t slices = hkm_align_up(bytes, HKM_SLICE_SIZE) >> HKM_SLICE_SHIFT;
	size_t size = slices << HKM_SLICE_SHIFT;
	hkm_lock_acquire(&hkm_span_lock);
	bool skipped = populates_to_skip > 0;
	populates_to_skip -= skipped;
	hkm_lock_release(&hkm_span_lock);
	if (skipped)
		return;
	uint64_t start = hkm_os_thread_ns();
	if (slices >= HUGE_SLICES)
		hkm_os_huge_pages(superslab_start(superslab), size, true);
	bool done = hkm_os_populate(superslab_start(superslab), size);
	uint64_t ns = hkm_os_thread_ns() - start;
	hkm_lock_acquire(&hkm_span_lock);
	hkm_count(&populate_ns, ns);
	if (!done)
		slices = 0;
	if (ns <= slices * POPULATE_SLICE_NS) {
		skip_next = SKIP_FIRST;
	} else {
		populates_to_skip = skip_next;
		skip_next = hkm_min(2 * skip_next, SKIP_MOST);
	}
	uint64_t bits = superslab->free & run_mask(slices);
	hkm_count(&populated_bytes, count_bits(bits) * HKM_SLICE_SIZE);
	set_dirty(superslab, superslab->dirty | bits, count_bits(bits & ~superslab->dirty));
	hkm_lock_release(&hkm_span_lock);
}

/* The first slice of a run of `slices` in a superslab, at a multiple of `alignment`: a resident one, as it costs no page fault.
 * Whoever needs little leaves those that are resident to the last page to whoever needs more, even for a fresh page or two.
 * HKM_SUPERSLAB_SLICES: there is none. */
static unsigned best_start(const struct superslab *superslab, size_t slices, size_t alignment, bool little)
{
	uint64_t free = superslab->free, dirty = superslab->dirty, shallow = superslab->shallow, at = multiples(alignment);
	uint64_t first = little ? shallow : dirty & ~shallow, second = little ? free & ~dirty : dirty;
	uint64_t starts = run_starts(first, slices) & at;
	if (starts == 0)
		starts = run_starts(second, slices) & at;
	if (starts == 0)
		starts = run_starts(free, slices) & at;
	return starts != 0 ? (unsigned)__builtin_ctzl(starts) : HKM_SUPERSLAB_SLICES;
}

/* The superslab that a run of `slices` at a multiple of `alignment` fits most tightly; NULL: none is known. A run that is longer
 * by what the alignment may cost has such a start for certain; of shorter ones, the longest first, some are looked at. */
static struct superslab *find_fitting(size_t slices, size_t alignment)
{
	size_t certain = hkm_min(slices + alignment - 1, HKM_SUPERSLAB_SLICES);
	unsigned looks = 0;
	for (size_t length = certain - 1; length >= slices; length--)
		for (struct superslab *superslab = buckets[length]; superslab != NULL && looks < ALIGNED_LOOKS;
		     superslab = superslab->next, looks++)
			if ((run_starts(superslab->free, slices) & multiples(alignment)) != 0)
				return superslab;
	uint64_t fitting = bucket_bits & ~run_mask(certain - 1);
	return fitting != 0 ? buckets[__builtin_ctzl(fitting) + 1] : NULL;
}

/* For the debug build: slices of a span, just taken, have left no promise behind, and read as zero if they are said to. */
static bool promises_hold(const struct hkm_slab *slab, size_t first, size_t end, bool zeroed)
{
	for (size_t i = first; i < end; i++)
		if (slab[i].zeroed)
			return false;
	return !zeroed || hkm_os_reads_as_zero(hkm_slab_start(slab + first), (end - first) << HKM_SLICE_SHIFT);
}

/* The debug build: hkm_span_check at the end of every so many calls. */
static void check_sometimes(void)
{
	static _Atomic unsigned calls; /* relaxed: any count will do */
	if (HAKMEM_DEBUG && atomic_fetch_add_explicit(&calls, 1, memory_order_relaxed) % CHECK_EVERY == 0)
		hkm_span_check();
}

struct hkm_slab *hkm_span_alloc_aligned(size_t slices, size_t alignment, bool little, bool *zeroed, bool *fresh)
{
	HKM_ASSERT(slices >= 1 && slices <= HKM_SUPERSLAB_SLICES && alignment <= HKM_ALIGNED_SLICES);
	struct hkm_slab *slab = NULL;
	*fresh = false;
	hkm_lock_acquire(&hkm_span_lock);
	struct superslab *superslab = find_fitting(slices, alignment);
	bool grown = superslab == NULL;
	if (grown)
		superslab = superslab_map(slices);
	unsigned start = superslab != NULL ? best_start(superslab, slices, alignment, little) : HKM_SUPERSLAB_SLICES;
	if (start < HKM_SUPERSLAB_SLICES) {
		uint64_t bits = run_mask(slices) << start;
		*zeroed = (superslab->dirty & bits) == 0;
		bool deep = (superslab->dirty & ~superslab->shallow & bits) != 0;
		uint64_t there = count_bits(superslab->dirty & bits);
		note_use(superslab, there, slices);
		*fresh = note_clean(slices - there);
		take_free(superslab, bits, slices);
		set_dirty(superslab, superslab->dirty & ~bits, -there);
		slab = superslab_slab(superslab, start);
		HKM_ASSERT(slab->kind == HKM_KIND_NONE);
		slab->slices = (uint16_t)slices;
		slab->deep = deep;
	}
	hkm_lock_release(&hkm_span_lock);
	HKM_ASSERT(slab == NULL || promises_hold(slab, 0, slices, *zeroed));
	check_sometimes();
	size_t ahead = atomic_load_explicit(&fault_ahead, memory_order_relaxed);
	if (grown && ahead > 0 && slab != NULL)
		populate(superslab, ahead);
	return slab;
}

struct hkm_slab *hkm_span_alloc(size_t slices, bool little, bool *zeroed, bool *fresh)
{
	return hkm_span_alloc_aligned(slices, 1, little, zeroed, fresh);
}

static void give_back(struct hkm_slab *slab, size_t slices, bool deep)
{
	struct superslab *superslab = superslab_of(slab);
	uint64_t bits = run_mask(slices) << hkm_slice_index(slab) % HKM_SUPERSLAB_SLICES;
	hkm_lock_acquire(&hkm_span_lock);
	HKM_ASSERT((superslab->free & bits) == 0 && (bits & ~run_mask(superslab->mapped)) == 0);
	add_free(superslab, bits, slices);
	set_dirty(superslab, superslab->dirty | bits, slices);
	if (!deep)
		superslab->shallow |= bits;
	hkm_lock_release(&hkm_span_lock);
}

void hkm_span_free(struct hkm_slab *slab)
{
	size_t slices = slab->slices;
	HKM_ASSERT(slab->free_map == NULL && !slab->listed);
	if (slab->kind == HKM_KIND_MID)
		for (size_t i = 1; i < slices; i++)
			slab[i].kind = HKM_KIND_NONE;
	slab->kind = HKM_KIND_NONE;
	slab->zeroed = 0;
	give_back(slab, slices, slab->deep != 0);
	check_sometimes();
}

bool hkm_span_extend(struct hkm_slab *slab, size_t slices, bool *zeroed)
{
	struct superslab *superslab = superslab_of(slab);
	size_t first = hkm_slice_index(slab) % HKM_SUPERSLAB_SLICES;
	if (first + slices > HKM_SUPERSLAB_SLICES)
		return false;
	hkm_lock_acquire(&hkm_span_lock);
	uint64_t bits = run_mask(slices - slab->slices) << (first + slab->slices);
	bool possible = (superslab->free & bits) == bits;
	size_t before = slab->slices;
	if (possible) {
		*zeroed = (superslab->dirty & bits) == 0;
		take_free(superslab, bits, slices - slab->slices);
		set_dirty(superslab, superslab->dirty & ~bits, -count_bits(superslab->dirty & bits));
		slab->slices = (uint16_t)slices;
	}
	hkm_lock_release(&hkm_span_lock);
	HKM_ASSERT(!possible || promises_hold(slab, before, slices, *zeroed));
	return possible;
}

void hkm_span_shrink(struct hkm_slab *slab, size_t slices)
{
	size_t rest = slab->slices - slices;
	if (rest == 0)
		return;
	slab->slices = (uint16_t)slices;
	give_back(slab + slices, rest, true);
}

void hkm_span_set_bin(struct hkm_slab *slab, struct hkm_bin *bin)
{
	/* relaxed: only a thread whose own bin is stored acts on it without further synchronisation, and it
	 * stored it itself, or adopted the heap under its lock. A mark is stored before a block of the span is handed out,
	 * and whoever frees the block has it from there. Any other value leads to the slow path. */
	atomic_store_explicit(&hkm_window.bins[hkm_slice_index(slab)], bin, memory_order_relaxed);
}

/* ---- Purging ----------------------------------------------------------------------------------- */

struct purge_batch {
	struct hkm_range ranges[PURGE_RANGES];
	struct superslab *superslabs[PURGE_RANGES]; /* of each range */
	uint64_t bits[PURGE_RANGES];
	size_t count, bytes;
};

/* Slices that can be given back: the dirty ones. Where a page is larger than a slice: whole pages that are free, and
 * dirty in part. */
static uint64_t purgeable(const struct superslab *superslab)
{
	size_t in_page = hkm_os_page_size() >> HKM_SLICE_SHIFT;
	uint64_t bits = 0;
	if (HKM_LIKELY(in_page <= 1))
		return superslab->dirty;
	for (size_t first = 0; first < HKM_SUPERSLAB_SLICES; first += in_page) {
		uint64_t page = run_mask(in_page) << first;
		if ((superslab->free & page) == page && (superslab->dirty & page) != 0)
			bits |= page;
	}
	return bits;
}

/* Takes slices of a superslab that can be given back out, as if they were in use, into the batch. Result: whether there
 * was one. */
static bool purge_take(struct superslab *superslab, struct purge_batch *batch)
{
	uint64_t dirty = purgeable(superslab), taken = 0;
	while (dirty != 0 && batch->count < PURGE_RANGES) {
		unsigned length, start = next_run(&dirty, &length);
		batch->ranges[batch->count].start = superslab_start(superslab) + start * HKM_SLICE_SIZE;
		batch->ranges[batch->count].size = length * HKM_SLICE_SIZE;
		batch->bytes += length * HKM_SLICE_SIZE;
		batch->superslabs[batch->count] = superslab;
		batch->bits[batch->count++] = run_mask(length) << start;
		taken |= run_mask(length) << start;
	}
	uint64_t rest = superslab->free & ~taken;
	set_free(superslab, rest, longest_run(rest), -count_bits(taken));
	set_dirty(superslab, superslab->dirty & ~taken, -count_bits(superslab->dirty & taken));
	if (superslab->dirty == 0)
		queue_remove(superslab);
	return taken != 0;
}

/* Nothing of it can be given back: it goes to the end of the queue. */
static void postpone(struct superslab *superslab)
{
	queue_remove(superslab);
	queue_append(superslab);
	note_oldest();
}

/* Whether all of a superslab that is mapped is free. */
static bool is_empty(const struct superslab *superslab)
{
	return superslab->free == run_mask(superslab->mapped);
}

/* Unmaps an empty superslab; called and returns with the lock held, lets go of it meanwhile. Result: what became of it. One
 * that the system leaves as it is is as dirty as before, and counts as dirty from now on. */
static enum hkm_unmapped superslab_unmap(struct superslab *superslab)
{
	uint64_t bits = superslab->free, slices = count_bits(bits), dirty = superslab->dirty;
	set_dirty(superslab, 0, -count_bits(superslab->dirty));
	if (superslab->queued)
		queue_remove(superslab);
	set_free(superslab, 0, 0, -slices);
	enum hkm_unmapped result = hkm_window_unmap(superslab);
	if (result == HKM_UNMAPPED)
		hkm_count(&mapped_count, -slices);
	else
		add_free(superslab, bits, slices);
	if (HKM_UNLIKELY(result == HKM_UNCHANGED))
		set_dirty(superslab, dirty, count_bits(dirty));
	return result;
}

/* Purges what purge_take collected; called and returns with the lock held, lets go of it meanwhile. */
static size_t purge_batch(struct purge_batch *batch)
{
	size_t bytes = 0;
	hkm_lock_release(&hkm_span_lock);
	bool purged = hkm_os_purge(batch->ranges, batch->count);
	hkm_lock_acquire(&hkm_span_lock);
	for (size_t i = 0; i < batch->count; i++) {
		struct superslab *superslab = batch->superslabs[i];
		uint64_t slices = batch->ranges[i].size / HKM_SLICE_SIZE;
		add_free(superslab, batch->bits[i], slices);
		if (!purged) /* locked memory, say: still there, and to be tried again only when its time has come */
			set_dirty(superslab, superslab->dirty | batch->bits[i], slices);
		bytes += batch->ranges[i].size;
	}
	batch->count = batch->bytes = 0;
	return purged ? bytes : 0;
}

/* Slices are given back: because they are older than `before_ms`, or because there are too many. */
static void note_purge(uint64_t slices, bool aged, uint64_t before_ms, uint64_t now_ms)
{
	if (before_ms > now_ms)
		return; /* somebody wants all of it back; no policy is to blame */
	if (aged)
		hkm_regret_give(&hkm_span_aged, slices * HKM_SLICE_SIZE, now_ms, now_ms + 3 * hkm_regret_delay_ms());
	else
		hkm_regret_give(&hkm_span_surplus, slices * HKM_SLICE_SIZE, now_ms, now_ms + hkm_regret_delay_ms());
}

/* One step of a purge, for which both locks are held: some superslabs of the queue, or one that is empty; it lets go of the span
 * lock while the system works. What could not be purged since `started_ms` is not tried again. Result: whether there may
 * be more to do. */
static bool purge_step(uint64_t before_ms, size_t keep_bytes, uint64_t started_ms, size_t *bytes)
{
	struct purge_batch batch;
	batch.count = batch.bytes = 0;
	/* The system may refuse what is unmapped, too; but others may need the addresses. */
	size_t stay_mapped = hkm_max(HKM_SUPERSLAB_SLICES, before_ms == UINT64_MAX ? 0 : refused_at / 2);
	struct superslab *superslab = dirty_head;
	for (unsigned steps = 0; superslab != NULL && steps < QUEUE_STEPS; steps++, superslab = dirty_head) {
		if (superslab->dirty == 0) {
			queue_remove(superslab);
			continue;
		}
		uint64_t since = dirty_since_ms(superslab), dirty = hkm_counted(&dirty_count);
		bool aged = since < before_ms;
		if ((!aged && dirty * HKM_SLICE_SIZE <= keep_bytes) || since > started_ms) {
			superslab = NULL;
			break;
		}
		bool empty = is_empty(superslab) && hkm_counted(&mapped_count) > stay_mapped;
		if (batch.count == PURGE_RANGES || batch.bytes >= PURGE_BYTES || (empty && batch.count > 0))
			break;
		if (empty) {
			uint64_t slices = count_bits(superslab->dirty);
			note_purge(slices, aged, before_ms, started_ms);
			if (HKM_UNLIKELY(superslab_unmap(superslab) == HKM_UNCHANGED))
				return false;
			*bytes += slices * HKM_SLICE_SIZE;
			return true;
		}
		if (!purge_take(superslab, &batch)) {
			postpone(superslab);
			superslab = NULL;
			break;
		}
		note_purge(dirty - hkm_counted(&dirty_count), aged, before_ms, started_ms);
	}
	bool some = batch.count > 0;
	size_t purged = some ? purge_batch(&batch) : 0;
	*bytes += purged;
	if (some ? purged > 0 : superslab != NULL)
		return true;
	/* Those that were purged while the system refused memory are free to the last slice, but on no queue. */
	if (before_ms != UINT64_MAX || buckets[HKM_SUPERSLAB_SLICES] == NULL || hkm_counted(&mapped_count) <= HKM_SUPERSLAB_SLICES)
		return false;
	return superslab_unmap(buckets[HKM_SUPERSLAB_SLICES]) == HKM_UNMAPPED;
}

size_t hkm_span_purge(uint64_t before_ms, size_t keep_bytes)
{
	size_t bytes = 0;
	uint64_t started = hkm_os_now_ms();
	hkm_span_note_time(started);
	for (bool more = true; more;) {
		size_t before = bytes;
		if (before_ms == UINT64_MAX) {
			hkm_gate_wait(&hkm_fork_gate); /* which would find the purge lock held again and again */
			hkm_lock_acquire(&hkm_purge_lock);
		} else if (hkm_gate_is_closed(&hkm_fork_gate) || !hkm_lock_try(&hkm_purge_lock)) {
			break;
		}
		hkm_lock_acquire(&hkm_span_lock);
		more = purge_step(before_ms, keep_bytes, started, &bytes);
		hkm_count(&purged_bytes, bytes - before);
		hkm_lock_release(&hkm_span_lock);
		hkm_lock_release(&hkm_purge_lock);
	}
	check_sometimes();
	return bytes;
}

size_t hkm_span_dirty(void)
{
	return hkm_counted(&dirty_count) * HKM_SLICE_SIZE;
}

bool hkm_span_purge_is_due(uint64_t before_ms)
{
	uint64_t oldest = hkm_counted(&oldest_dirty_ms);
	return oldest != 0 && oldest < before_ms;
}

/* ---- Looking ----------------------------------------------------------------------------------- */

void hkm_span_stats(struct hkm_span_stats *stats)
{
	stats->mapped = hkm_counted(&mapped_count) * HKM_SLICE_SIZE;
	stats->free_slices = hkm_counted(&free_count);
	stats->dirty_slices = hkm_counted(&dirty_count);
	stats->purged = hkm_counted(&purged_bytes);
	stats->fresh = hkm_counted(&fresh_bytes);
	stats->populated = hkm_counted(&populated_bytes);
	stats->populate_ns = hkm_counted(&populate_ns);
	stats->visited = hkm_counted(&visited_count);
}

struct visit {
	void (*visit)(struct hkm_slab *slab, void *context);
	void *context;
};

HKM_RACY static void visit_superslabs(struct superslab *first, size_t count, const struct visit *visit)
{
	for (struct superslab *superslab = first; superslab < first + count; superslab++) {
		unsigned slices = superslab->mapped;
		if (superslab->free == run_mask(slices))
			continue; /* without a span in use, mapped or not */
		for (unsigned slice = 0; slice < slices; slice++) {
			struct hkm_slab *slab = superslab_slab(superslab, slice);
			if (slab->kind != HKM_KIND_NONE && slab->kind != HKM_KIND_MID_REST) {
				visit->visit(slab, visit->context);
				hkm_count(&visited_count, 1);
			}
		}
	}
}

void hkm_span_visit(void (*visit)(struct hkm_slab *slab, void *context), void *context)
{
	const struct visit all = { visit, context };
	visit_superslabs(hkm_superslabs, hkm_window_superslabs(), &all);
	for (const struct granule *granule = NULL; (granule = hkm_window_next_granule(granule)) != NULL;)
		visit_superslabs(&hkm_superslabs[granule->first], hkm_granule_size, &all);
}

/* ---- Checking ------------------------------------------------------------------------------------ */

struct sums {
	uint64_t mapped, free, dirty, in_buckets, queued;
};

static void check_superslabs(struct superslab *first, size_t count, struct sums *sums)
{
	for (struct superslab *superslab = first; superslab < first + count; superslab++) {
		HKM_ASSERT((superslab->free & ~run_mask(superslab->mapped)) == 0);
		HKM_ASSERT((superslab->dirty & ~superslab->free) == 0);
		HKM_ASSERT((superslab->shallow & ~superslab->dirty) == 0);
		HKM_ASSERT(superslab->longest == longest_run(superslab->free));
		HKM_ASSERT(superslab->dirty == 0 || superslab->queued);
		HKM_ASSERT(!superslab->vacant || (superslab->mapped == 0 && !superslab->queued));
		sums->mapped += superslab->mapped;
		sums->free += count_bits(superslab->free);
		sums->dirty += count_bits(superslab->dirty);
		sums->in_buckets += superslab->longest > 0;
		sums->queued += superslab->queued;
	}
}

void hkm_span_check(void)
{
	struct sums sums = { 0 };
	hkm_lock_acquire(&hkm_span_lock);
	check_superslabs(hkm_superslabs, hkm_window_superslabs(), &sums);
	for (const struct granule *granule = NULL; (granule = hkm_window_next_granule(granule)) != NULL;)
		check_superslabs(&hkm_superslabs[granule->first], hkm_granule_size, &sums);
	HKM_ASSERT(sums.mapped == hkm_counted(&mapped_count));
	HKM_ASSERT(sums.free == hkm_counted(&free_count));
	HKM_ASSERT(sums.dirty == hkm_counted(&dirty_count));
	for (unsigned bucket = 1; bucket <= HKM_SUPERSLAB_SLICES; bucket++) {
		HKM_ASSERT((buckets[bucket] != NULL) == (bucket_bits >> (bucket - 1) & 1));
		for (const struct superslab *superslab = buckets[bucket]; superslab != NULL; superslab = superslab->next) {
			HKM_ASSERT(superslab->longest == bucket);
			sums.in_buckets--;
		}
	}
	for (const struct superslab *superslab = dirty_head; superslab != NULL; superslab = superslab->dirty_next)
		sums.queued--;
	HKM_ASSERT(sums.in_buckets == 0 && sums.queued == 0);
	hkm_lock_release(&hkm_span_lock);
}
