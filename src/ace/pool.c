/* pool.c - L1's shared pools; see ace.h.
 *
 * A pool lists the spans of its class that have free blocks, those without a block in use last. Blocks are taken from the
 * first, lowest address first, so that the others drain; an empty span goes back to the span source, but for as many as
 * the policy keeps per class and budget.
 */
#include "ace/ace.h"

#include "core/report.h"
#include "os/os.h"

#define BUNDLE_BYTES ((size_t)256 << 10)
#define STEPS 32u /* spans that a walk comes by before it lets the lock go for a moment: some microseconds */

/* All fields are guarded by `lock`, but for the counters of kept spans. */
struct pool {
	_Alignas(64) struct hkm_lock lock;
	uint32_t block_size;           /* that it now serves; 0: none was ever asked for */
	struct hkm_slab *first, *last; /* spans with free blocks */
	struct hkm_slab *first_empty;  /* of those at the end of the list that are without a block in use; NULL: none */
	uint32_t empty;                /* of those, the ones without a block in use */
	uint32_t reciprocal;           /* of spans of this size, see struct hkm_slab */
	uint16_t slices, capacity;     /* likewise */
	bool idle;                     /* nothing was taken since hkm_pool_release_idle */
	hkm_counter out_bytes;         /* in blocks taken and not given back; below 0 where hkm_ace_resize moved some */

	/* What it is worth to keep empty spans, if metered. A free block serves as well as any other, so a pool that kept
	 * fewer spans, or more, differs from this one by so many spans full of free blocks, and by nothing else. */
	uint32_t room;          /* free blocks in the listed spans */
	uint32_t surplus;       /* spans here that a pool which keeps half as many would not have */
	uint32_t ghosts;        /* spans gone that a pool which keeps more would still have */
	hkm_counter hits;       /* spans that a pool which keeps half as many would have made beyond those made here */
	hkm_counter ghost_hits; /* spans made that a pool which keeps more would not have made */
};

static struct pool pools[HKM_ACE_CLASSES];
static bool metered; /* written while the process starts */

/* Empty spans in all Mid and all Large pools: written under different pools' locks, hence atomic; relaxed,
 * as a budget may be off by one for a moment. */
static _Atomic uint32_t kept_mid, kept_large;

/* What hkm_ace_resize has added to the Large blocks that are out; relaxed: a figure for statistics. */
static _Atomic uint64_t resized_bytes;

static _Atomic uint32_t *kept_of(unsigned class)
{
	return hkm_ace_is_large(class) ? &kept_large : &kept_mid;
}

static void list_append(struct pool *pool, struct hkm_slab *slab)
{
	struct hkm_slab *next = slab->in_use != 0 ? pool->first_empty : NULL;
	slab->listed = 1;
	slab->next = next;
	slab->prev = next != NULL ? next->prev : pool->last;
	*(slab->prev != NULL ? &slab->prev->next : &pool->first) = slab;
	*(next != NULL ? &next->prev : &pool->last) = slab;
	if (slab->in_use == 0 && pool->first_empty == NULL)
		pool->first_empty = slab;
	if (HKM_UNLIKELY(metered))
		pool->room += slab->capacity - slab->in_use;
}

static void list_remove(struct pool *pool, struct hkm_slab *slab)
{
	slab->listed = 0;
	if (slab == pool->first_empty)
		pool->first_empty = slab->next;
	if (HKM_UNLIKELY(metered))
		pool->room -= slab->capacity - slab->in_use;
	if (slab->prev != NULL)
		slab->prev->next = slab->next;
	else
		pool->first = slab->next;
	if (slab->next != NULL)
		slab->next->prev = slab->prev;
	else
		pool->last = slab->prev;
}

static void count_empty(struct pool *pool, unsigned class, int change)
{
	pool->empty += (uint32_t)change;
	atomic_fetch_add_explicit(kept_of(class), (uint32_t)change, memory_order_relaxed);
}

/* Bytes behind the last block of a span. */
static size_t span_tail(size_t slices, uint32_t size)
{
	return (slices << HKM_SLICE_SHIFT) % size;
}

/* Slices of a span of `size`-byte blocks: for static classes the fewest, up to 8, whose tail wastes at most 1/32, and at least
 * two from 4 KiB on; so Large blocks above HKM_SHARED_MAX have a span each. A DYN class is there to save memory, so it takes the
 * span that wastes least. At most 64 blocks. */
size_t hkm_pool_span_slices(unsigned class, uint32_t size)
{
	if (class >= HKM_ACE_STATIC_CLASSES) {
		size_t slices = 1;
		for (size_t more = 2; more <= 8 && (more << HKM_SLICE_SHIFT) / size <= 64; more++)
			if (span_tail(more, size) * slices < span_tail(slices, size) * more)
				slices = more;
		return slices;
	}
	size_t slices = size >= 4096 ? hkm_max(2, (size + HKM_SLICE_SIZE - 1) >> HKM_SLICE_SHIFT) : 1;
	while (slices < 8 && span_tail(slices, size) > (slices << HKM_SLICE_SHIFT) / 32)
		slices++;
	return slices;
}

void hkm_pool_mark(struct hkm_slab *slab)
{
	struct hkm_bin *mark = slab->zeroed != 0 ? NULL : hkm_ace_mark(slab->class, slab->block_size);
	for (size_t i = 0; i < (slab->kind == HKM_KIND_MID ? slab->slices : 1u); i++)
		hkm_span_set_bin(slab + i, mark);
}

/* *fresh becomes the number of superslabs that were not resident and are now needed; room is made for them when the lock is
 * let go, as that unmaps. */
HKM_HOT struct hkm_slab *span_new(unsigned class, const struct pool *pool, size_t *fresh)
{
	bool zeroed, is_fresh;
	size_t slices = pool->slices;
	struct hkm_slab *slab = hkm_span_alloc(slices, false, &zeroed, &is_fresh);
	if (slab == NULL)
		return NULL;
	*fresh += is_fresh;
	bool single = hkm_ace_is_large(class) && pool->capacity == 1;
	slab->class = (uint8_t)class;
	slab->listed = 0;
	slab->distance = 0;
	slab->zeroed = zeroed && single;
	slab->deep = 1;
	slab->block_size = pool->block_size;
	slab->reciprocal = pool->reciprocal;
	slab->in_use = 0;
	slab->capacity = pool->capacity;
	slab->free_map = NULL;
	slab->free_bits = UINT64_MAX >> (64 - pool->capacity);
	for (size_t i = 1; !single && i < slices; i++) {
		slab[i].distance = (uint16_t)i;
		slab[i].kind = HKM_KIND_MID_REST;
	}
	slab->kind = single ? HKM_KIND_LARGE : HKM_KIND_MID;
	hkm_pool_mark(slab);
	return slab;
}

static void span_drop(struct hkm_slab *slab)
{
	for (size_t i = 0; i < (slab->kind == HKM_KIND_MID ? slab->slices : 1u); i++)
		hkm_span_set_bin(slab + i, NULL);
	slab->free_bits = 0;
	hkm_span_free(slab);
}

/* Gives a kept span back. */
static void drop_empty(struct pool *pool, unsigned class, struct hkm_slab *slab)
{
	list_remove(pool, slab);
	count_empty(pool, class, -1);
	pool->surplus -= pool->surplus > 0;
	span_drop(slab);
}

/* A span that a pool which keeps more would have. */
HKM_SLOW static struct hkm_slab *span_of_ghost(struct hkm_heap *heap, unsigned class, struct pool *pool, size_t *fresh)
{
	uint64_t started = heap->metered ? hkm_meter_begin_part(&heap->meter) : 0;
	struct hkm_slab *slab = span_new(class, pool, fresh);
	if (started != 0)
		hkm_price_add(&heap->meter.spans, hkm_cycles() - started);
	pool->ghosts--;
	hkm_count(&pool->ghost_hits, 1);
	return slab;
}

/* Blocks were taken: a pool that keeps half as many empty spans may have had to make some. */
static void count_hits(struct pool *pool)
{
	for (; pool->room < pool->surplus * pool->capacity; pool->surplus--)
		hkm_count(&pool->hits, 1);
}

/* The class serves its size for the first time, or, a DYN class, another size from now on: its empty spans go, the others
 * are forgotten until their last block comes back. The lock is let go now and then, and another may be faster. */
static void pool_resize(struct pool *pool, unsigned class, uint32_t block_size)
{
	unsigned steps = 0;
	while (pool->first != NULL && pool->block_size != block_size) {
		if (++steps % STEPS == 0) {
			hkm_lock_release(&pool->lock);
			hkm_lock_acquire(&pool->lock);
			continue;
		}
		struct hkm_slab *slab = pool->first;
		if (slab->in_use == 0)
			drop_empty(pool, class, slab);
		else
			list_remove(pool, slab);
	}
	if (pool->block_size == block_size)
		return;
	HKM_ASSERT(pool->room == 0 && pool->empty == 0);
	pool->surplus = pool->ghosts = 0;
	size_t slices = hkm_pool_span_slices(class, block_size), capacity = (slices << HKM_SLICE_SHIFT) / block_size;
	bool single = hkm_ace_is_large(class) && capacity == 1;
	HKM_ASSERT(capacity >= 1 && capacity <= 64);
	pool->block_size = block_size;
	pool->slices = (uint16_t)slices;
	pool->capacity = (uint16_t)capacity;
	pool->reciprocal = single ? 0 : (uint32_t)((((uint64_t)1 << 32) + block_size - 1) / block_size);
}

size_t hkm_pool_take(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class, uint32_t block_size,
		     void **blocks, size_t count)
{
	struct pool *pool = &pools[class];
	size_t taken = 0, grown = 0;
	hkm_lock_acquire(&pool->lock);
	pool->idle = false;
	if (pool->block_size != block_size)
		pool_resize(pool, class, block_size);
	while (taken < count) {
		struct hkm_slab *slab = pool->first;
		bool fresh = slab == NULL;
		if (fresh) {
			/* A bundle of fresh Large blocks is at most BUNDLE_BYTES: each is a span of its own. */
			if (taken > 0 && hkm_ace_is_large(class) && (taken + 1) * block_size > BUNDLE_BYTES)
				break;
			slab = HKM_LIKELY(pool->ghosts == 0) ? span_new(class, pool, &grown) :
							       span_of_ghost(heap, class, pool, &grown);
			if (slab == NULL)
				break;
		} else if (slab->in_use == 0) {
			HKM_ASSERT(slab == pool->first_empty);
			pool->first_empty = slab->next;
			count_empty(pool, class, -1);
		}
		char *start = hkm_slab_start(slab);
		uint64_t bits = slab->free_bits;
		uint32_t in_use = slab->in_use;
		for (; bits != 0 && taken < count; bits &= bits - 1, slab->in_use++)
			blocks[taken++] = start + (size_t)__builtin_ctzl(bits) * block_size;
		slab->free_bits = bits;
		if (HKM_UNLIKELY(metered) && !fresh)
			pool->room -= slab->in_use - in_use;
		if (bits == 0 && !fresh)
			list_remove(pool, slab);
		else if (bits != 0 && fresh)
			list_append(pool, slab);
	}
	if (HKM_UNLIKELY(metered))
		count_hits(pool);
	hkm_count(&pool->out_bytes, taken * block_size);
	hkm_lock_release(&pool->lock);
	if (HKM_UNLIKELY(grown > 0))
		hkm_heap_make_room(heap, policy, grown * HKM_SUPERSLAB_SIZE);
	return taken;
}

/* A span has become empty, and is kept. */
static void note_kept(struct pool *pool, const struct hkm_policy *policy, unsigned class)
{
	/* Those of the surplus that are in use come back first, as far as one can tell. */
	pool->surplus += pool->surplus + policy->pool_spans[class] / 2 < pool->empty;
}

/* A span has become empty, and goes. If that is for the pool's own bound, it is a ghost. */
static void note_dropped(struct pool *pool, const struct hkm_policy *policy, unsigned class, uint32_t budget)
{
	if (atomic_load_explicit(kept_of(class), memory_order_relaxed) < budget)
		pool->ghosts = (uint32_t)hkm_min(pool->ghosts + 1, hkm_pool_more(policy->pool_spans[class]));
}

/* The bit of a block in the span whose head is `slab`. */
static uint64_t bit_of(const struct hkm_slab *slab, const void *block)
{
	uint64_t offset = (uint64_t)((const char *)block - hkm_slab_start(slab));
	return (uint64_t)1 << (offset * slab->reciprocal >> 32);
}

/* The span that a block out of a cache comes home to; NULL: it is at home already, or somebody else has it by now. That is so where
 * two threads have freed it at the same instant, each into its own cache: the state byte cannot tell. */
static struct hkm_slab *home_of(unsigned class, const void *block)
{
	struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(block)];
	if (HKM_UNLIKELY(slab->kind < HKM_KIND_MID || slab->kind > HKM_KIND_LARGE))
		return NULL;
	slab = hkm_span_head(slab);
	bool cached = *hkm_state_of(block) == hkm_state(HKM_STATE_CACHED, block);
	return HKM_LIKELY(cached && slab->class == class && (slab->free_bits & bit_of(slab, block)) == 0) ? slab : NULL;
}

static void give_one(struct pool *pool, const struct hkm_policy *policy, unsigned class, void *block)
{
	struct hkm_slab *slab = home_of(class, block);
	if (HKM_UNLIKELY(slab == NULL)) {
		hkm_misuse("free", HKM_FREED_TWICE, block);
		return;
	}
	HKM_ASSERT(slab->in_use > 0);
	slab->free_bits |= bit_of(slab, block);
	slab->in_use--;
	if (HKM_UNLIKELY(metered))
		pool->room += slab->listed;
	hkm_count(&pool->out_bytes, -(uint64_t)slab->block_size);
	bool current = slab->block_size == pool->block_size;
	if (slab->in_use == 0) {
		uint32_t budget = hkm_ace_is_large(class) ? policy->budget_large : policy->budget_mid;
		if (current && pool->empty < policy->pool_spans[class] &&
		    atomic_load_explicit(kept_of(class), memory_order_relaxed) < budget) {
			count_empty(pool, class, 1);
			if (HKM_UNLIKELY(metered))
				note_kept(pool, policy, class);
		} else {
			if (HKM_UNLIKELY(metered) && current)
				note_dropped(pool, policy, class, budget);
			if (slab->listed)
				list_remove(pool, slab);
			span_drop(slab);
			return;
		}
	}
	if (slab->listed && slab->in_use == 0) /* to the others without a block in use */
		list_remove(pool, slab);
	if (!slab->listed && current)
		list_append(pool, slab);
}

void hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count)
{
	struct pool *pool = &pools[class];
	hkm_lock_acquire(&pool->lock);
	for (size_t i = 0; i < count; i++)
		give_one(pool, policy, class, blocks[i]);
	hkm_lock_release(&pool->lock);
}

static void release_empty(struct pool *pool, unsigned class)
{
	for (unsigned steps = 1; pool->first_empty != NULL; steps++) {
		drop_empty(pool, class, pool->first_empty);
		if (steps % STEPS == 0) {
			hkm_lock_release(&pool->lock);
			hkm_lock_acquire(&pool->lock);
		}
	}
	HKM_ASSERT(pool->empty == 0);
}

void hkm_pool_release_idle(bool all)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		struct pool *pool = &pools[class];
		hkm_lock_acquire(&pool->lock);
		if (pool->idle || all) {
			pool->ghosts = 0; /* a pool that keeps more would give them back now */
			release_empty(pool, class);
		}
		pool->idle = true;
		hkm_lock_release(&pool->lock);
	}
}

/* Gives back the whole pages inside runs of neighbouring free blocks of a span. */
static size_t trim_span(const struct hkm_slab *slab)
{
	struct hkm_range ranges[64];
	size_t count = 0, bytes = 0, page_size = hkm_os_page_size();
	uintptr_t base = (uintptr_t)hkm_slab_start(slab);
	for (uint64_t bits = slab->free_bits; bits != 0;) {
		unsigned first = (unsigned)__builtin_ctzl(bits);
		uint64_t behind = ~(bits >> first); /* its lowest bit set: the first block in use behind the run */
		unsigned length = behind != 0 ? (unsigned)__builtin_ctzl(behind) : 64 - first;
		bits &= length + first >= 64 ? 0 : UINT64_MAX << (first + length);
		uintptr_t start = hkm_align_up(base + (size_t)first * slab->block_size, page_size);
		uintptr_t end = base + (size_t)(first + length) * slab->block_size;
		/* Behind the last block there is nothing but the tail of the span. */
		end = first + length == slab->capacity ? base + ((size_t)slab->slices << HKM_SLICE_SHIFT) :
							  end & ~(page_size - 1);
		if (start < end) {
			ranges[count].start = (void *)start;
			ranges[count++].size = end - start;
			bytes += end - start;
		}
	}
	return count > 0 && hkm_os_purge(ranges, count) ? bytes : 0;
}

/* The pool that the span's blocks belong to; NULL: none, or it has changed. */
static struct pool *pool_of(const struct hkm_slab *slab)
{
	/* relaxed: advice without the pool's lock. With it, a mark of the class is one of a span that is the pool's: it is taken off
	 * under the lock when a span goes, and put there under the lock when all else of it is written. */
	struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed);
	if (!hkm_is_mark(bin))
		return NULL;
	return &pools[(((uintptr_t)bin & 0xffff) - offsetof(struct hkm_heap, caches)) / sizeof(struct hkm_cache)];
}

/* The lock is held for one span. */
HKM_RACY static void trim_visit(struct hkm_slab *slab, void *context)
{
	size_t *bytes = context;
	struct pool *pool = slab->kind == HKM_KIND_MID ? pool_of(slab) : NULL;
	if (pool == NULL)
		return;
	hkm_lock_acquire(&pool->lock);
	if (pool_of(slab) == pool)
		*bytes += trim_span(slab);
	hkm_lock_release(&pool->lock);
}

size_t hkm_pool_trim(void)
{
	size_t bytes = 0;
	hkm_pool_release_idle(true);
	hkm_span_visit(trim_visit, &bytes);
	return bytes;
}

struct hkm_pool_bytes hkm_pool_out(void)
{
	struct hkm_pool_bytes out = { .large = atomic_load_explicit(&resized_bytes, memory_order_relaxed) };
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		*(hkm_ace_is_large(class) ? &out.large : &out.mid) += hkm_counted(&pools[class].out_bytes);
	return out;
}

void hkm_pool_meter_all(void)
{
	metered = true;
}

HKM_RACY struct hkm_pool_kept hkm_pool_kept(unsigned class)
{
	const struct pool *pool = &pools[class];
	return (struct hkm_pool_kept){ .hits = hkm_counted(&pool->hits), .ghost_hits = hkm_counted(&pool->ghost_hits),
				       .surplus = (uint64_t)pool->surplus * pool->slices * HKM_SLICE_SIZE };
}

void hkm_pool_note_resize(uint32_t old_size, uint32_t new_size)
{
	atomic_fetch_add_explicit(&resized_bytes, (uint64_t)new_size - old_size, memory_order_relaxed);
}

HKM_RACY uint32_t hkm_pool_block_size(unsigned class)
{
	return class < HKM_ACE_STATIC_CLASSES ? hkm_ace_static_size(class) : pools[class].block_size;
}

/* ---- Invariants ------------------------------------------------------------------------------------------ */

#define CHECKED_SPANS 500u /* of a pool, in one check: so that the debug build stays fast */

/* A span that its pool lists. */
static void check_span(const struct hkm_slab *slab, unsigned class, const struct pool *pool)
{
	uint64_t all = UINT64_MAX >> (64 - slab->capacity);
	bool mid = slab->kind == HKM_KIND_MID;
	HKM_ASSERT((mid || slab->kind == HKM_KIND_LARGE) && slab->class == class && slab->listed && slab->distance == 0);
	HKM_ASSERT(slab->block_size == pool->block_size && slab->free_map == NULL);
	HKM_ASSERT(slab->free_bits != 0 && (slab->free_bits & ~all) == 0);
	HKM_ASSERT(slab->in_use + (unsigned)__builtin_popcountl(slab->free_bits) == slab->capacity);
	HKM_ASSERT((size_t)slab->capacity * slab->block_size <= (size_t)slab->slices << HKM_SLICE_SHIFT);
	HKM_ASSERT(!slab->zeroed || (!mid && slab->in_use == 0));
	const struct hkm_bin *mark = slab->zeroed ? NULL : hkm_ace_mark(class, slab->block_size);
	for (size_t i = 0; i < (mid ? slab->slices : 1u); i++) {
		HKM_ASSERT(i == 0 || (slab[i].kind == HKM_KIND_MID_REST && slab[i].distance == i && !slab[i].zeroed));
		HKM_ASSERT(atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab + i)], memory_order_relaxed) == mark);
	}
	for (uint64_t bits = slab->free_bits; bits != 0; bits &= bits - 1)
		HKM_ASSERT(!hkm_ace_is_live(hkm_slab_start(slab) + (size_t)__builtin_ctzl(bits) * slab->block_size));
}

/* The caller holds the pool's lock. */
static void check_pool(unsigned class)
{
	const struct pool *pool = &pools[class];
	const struct hkm_slab *previous = NULL, *slab = pool->first;
	uint32_t room = 0, empty = 0;
	for (unsigned count = 0; slab != NULL && count < CHECKED_SPANS; previous = slab, slab = slab->next, count++) {
		HKM_ASSERT(slab->prev == previous && (slab->in_use == 0) == (empty > 0 || slab == pool->first_empty));
		check_span(slab, class, pool);
		room += slab->capacity - slab->in_use;
		empty += slab->in_use == 0;
	}
	HKM_ASSERT(slab != NULL || (pool->last == previous && pool->empty == empty));
	HKM_ASSERT(slab != NULL || pool->room == (metered ? room : 0));
}

void hkm_pool_check(unsigned class)
{
	hkm_lock_acquire(&pools[class].lock);
	check_pool(class);
	hkm_lock_release(&pools[class].lock);
}

void hkm_pool_check_all(void)
{
	uint32_t mid = 0, large = 0;
	hkm_pool_lock_all();
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		check_pool(class);
		*(hkm_ace_is_large(class) ? &large : &mid) += pools[class].empty;
	}
	HKM_ASSERT(atomic_load_explicit(&kept_mid, memory_order_relaxed) == mid);
	HKM_ASSERT(atomic_load_explicit(&kept_large, memory_order_relaxed) == large);
	hkm_pool_unlock_all();
}

/* ---- fork ---- */

void hkm_pool_lock_all(void)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		hkm_lock_acquire(&pools[class].lock);
}

void hkm_pool_unlock_all(void)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		hkm_lock_release(&pools[class].lock);
}

bool hkm_pool_is_locked(void)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		if (hkm_lock_is_held(&pools[class].lock))
			return true;
	return false;
}

void hkm_pool_reset_locks(void)
{
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++)
		hkm_lock_reset(&pools[class].lock);
}
