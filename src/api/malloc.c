/* malloc.c - the hkm_ functions: fast path, then the layer that the size or the pointer belongs to. */
#include "api/api.h"
#include "api/fast.h"

#include <errno.h>
#include <string.h>

#include "ace/ace.h"
#include "big/big.h"
#include "core/report.h"
#include "hakmem.h"
#include "learn/profile.h"
#include "os/os.h"
#include "sites/sites.h"
#include "tiny/tiny.h"

/* ---- Allocation ----------------------------------------------------------------------------------- */

static void *allocate_tiny(struct hkm_heap *heap, size_t size)
{
	unsigned class = hkm_tiny_class(size);
	struct hkm_bin *bin = &heap->bins[class];
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	hkm_heap_poll_entered(heap, policy);
	struct hkm_block *block = hkm_tiny_refill(heap, policy, class) ? hkm_tiny_take_head(bin, bin->head) : NULL;
	hkm_heap_leave(heap);
	return block;
}

/* Every call of L2 that allocates, frees or resizes goes in and out by these two: each of them looks at the clock, and what
 * it leaves in the cache is given back in time. */
static const struct hkm_policy *enter_big(struct hkm_heap *heap)
{
	const struct hkm_policy *policy = hkm_heap_enter(heap);
	if (HKM_UNLIKELY(heap->metered))
		hkm_meter_exact(&heap->meter);
	hkm_heap_poll_entered(heap, policy);
	return policy;
}

static void leave_big(struct hkm_heap *heap)
{
	hkm_heap_leave(heap);
	if (hkm_big_cached() != 0)
		hkm_heap_expect_tick(heap);
}

static void *allocate_big(struct hkm_heap *heap, size_t size, size_t alignment, hkm_hints hints, size_t *dirty)
{
	const struct hkm_policy *policy = enter_big(heap);
	void *block = hkm_big_alloc_hinted(policy, size, alignment, hints, dirty);
	size_t fresh = block != NULL ? size - hkm_min(size, *dirty) : 0;
	size_t idle = fresh > 0 ? hkm_span_dirty() : 0;
	if (idle > 0) /* as much that lies idle below goes */
		hkm_span_purge(0, idle > fresh ? idle - fresh : 0);
	leave_big(heap);
	return block;
}

static bool is_for_big(size_t size, size_t alignment)
{
	return size >= HKM_LARGE_MAX || alignment > HKM_APART_MAX;
}

/* One try, in the layer for the size. */
static void *allocate_once(struct hkm_heap *heap, size_t size, size_t alignment, size_t *dirty)
{
	*dirty = size;
	if (size <= HKM_TINY_MAX && alignment <= 16)
		return allocate_tiny(heap, size);
	if (is_for_big(size, alignment))
		return allocate_big(heap, size, alignment, 0, dirty);
	bool zeroed = false;
	void *block = alignment <= 16		? hkm_ace_alloc(heap, size, &zeroed) :
		      alignment <= HKM_SLICE_SIZE ? hkm_ace_alloc_aligned(heap, size, alignment, &zeroed) :
						    hkm_ace_alloc_apart(heap, size, alignment, &zeroed);
	if (block == NULL && alignment > HKM_SLICE_SIZE)
		return allocate_big(heap, size, alignment, 0, dirty);
	*dirty = zeroed ? 0 : size;
	return block;
}

/* ---- Call sites: while rules are loaded, or blocks sampled, every allocation comes by here ---- */

/* The hints for a request; the heap is not in a slow path. */
static hkm_hints hints_for(struct hkm_heap *heap, size_t size, const void *site)
{
	hkm_hints hints = 0;
	if (hkm_sites.sampling && hkm_samples_due(&heap->sampler, size)) {
		hkm_heap_guard(heap, true);
		hints = hkm_samples_take(&heap->sampler, site, size);
		hkm_heap_guard(heap, false);
	}
	if (hints != 0 || hkm_sites.table == NULL)
		return hints;
	hints = hkm_sites_find(site);
	if (HKM_UNLIKELY(hints == HKM_SITE_UNKNOWN)) {
		hkm_heap_guard(heap, true);
		hints = hkm_sites_resolve(site);
		hkm_heap_guard(heap, false);
	}
	return hints;
}

static void *allocate_sampled(struct hkm_heap *heap, size_t size, size_t alignment, hkm_hints hints, size_t *dirty)
{
	void *block = allocate_big(heap, size, alignment, hints, dirty);
	hkm_heap_guard(heap, true);
	hkm_samples_born(hints, block);
	hkm_heap_guard(heap, false);
	return block;
}

/* A block as the hints want it; NULL: they say nothing for this size, or there is no memory for it. */
HKM_SLOW static void *allocate_hinted(struct hkm_heap *heap, size_t size, size_t alignment, hkm_hints hints, size_t *dirty)
{
	if ((hints & HKM_HINT_SAMPLED) != 0)
		return allocate_sampled(heap, size, alignment, hints, dirty);
	if (size <= HKM_TINY_MAX && alignment <= 16)
		return (hints & HKM_HINT_LONG_LIVED) != 0 ? hkm_heap_alloc_long_lived(heap, size) : NULL;
	if (is_for_big(size, alignment) || (size > HKM_TINY_MAX && (hints & (HKM_HINT_BIG | HKM_HINT_NO_CACHE)) != 0))
		return allocate_big(heap, size, alignment, hints, dirty);
	if (size <= HKM_MID_MAX || (hints & HKM_HINT_POPULATE) == 0)
		return NULL;
	void *block = allocate_once(heap, size, alignment, dirty);
	if (block != NULL && *dirty == 0) /* fresh, and a span of its own */
		hkm_os_populate(block, hkm_align_up(size, hkm_os_page_size()));
	return block;
}

/* ---- Any size ---- */

/* The heap is not in a slow path. */
static void *allocate_from(struct hkm_heap *heap, size_t size, size_t alignment, hkm_hints hints, size_t *dirty)
{
	void *block = NULL;
	*dirty = size;
	if (HKM_UNLIKELY(hints != 0))
		block = allocate_hinted(heap, size, alignment, hints, dirty);
	if (HKM_LIKELY(block == NULL))
		block = allocate_once(heap, size, alignment, dirty);
	/* No memory: what lies idle anywhere in the process goes first, if that could help. */
	if (HKM_UNLIKELY(block == NULL) && hkm_heap_reclaim(size))
		block = allocate_once(heap, size, alignment, dirty);
	/* No room for a superslab, which is 2 MiB, or for its metadata, which has its place; but perhaps for a few pages. */
	if (HKM_UNLIKELY(block == NULL) && size < HKM_LARGE_MAX)
		block = allocate_big(heap, size, alignment, 0, dirty);
	hkm_free_deferred(heap);
	return block;
}

/* A heap that can be entered instead of `heap`, which cannot; NULL: none. */
HKM_SLOW static struct hkm_heap *other_heap(struct hkm_heap *heap)
{
	return heap != NULL ? hkm_heap_escape(heap, hkm_reserve_is_crowded()) : NULL;
}

static void *allocate(size_t size, size_t alignment, size_t *dirty, const void *site)
{
	void *block = NULL;
	*dirty = size;
	if (HKM_LIKELY(size <= PTRDIFF_MAX - HKM_HEAP_ALIGNMENT)) {
		struct hkm_heap *heap = hkm_heap_get();
		if (HKM_UNLIKELY(heap == NULL || !heap->enterable))
			heap = other_heap(heap);
		if (HKM_UNLIKELY(heap == NULL)) {
			block = hkm_reserve_alloc(size, alignment);
		} else {
			hkm_hints hints = HKM_UNLIKELY(hkm_sites.in_use) ? hints_for(heap, size, site) : 0;
			block = allocate_from(heap, size, alignment, hints, dirty);
		}
	}
	if (HKM_UNLIKELY(block == NULL))
		errno = ENOMEM;
	return block;
}

HKM_SLOW static void *allocate_slow(size_t size, const void *site)
{
	size_t dirty;
	return allocate(size, 16, &dirty, site);
}

/* While call sites are of interest, for a site of which it is known that no rule is for it: what is done otherwise. */
static __attribute__((noinline)) void *malloc_above_tiny(size_t size, const void *site)
{
	bool zeroed;
	void *block = size < HKM_LARGE_MAX ? hkm_ace_alloc(hkm_tls_heap, size, &zeroed) : NULL;
	return HKM_LIKELY(block != NULL) ? block : allocate_slow(size, site);
}

static __attribute__((noinline)) void *malloc_at(size_t size, const void *site)
{
	if (HKM_UNLIKELY(hkm_sites.sampling || hkm_sites_find(site) != 0))
		return allocate_slow(size, site);
	if (size > HKM_TINY_MAX)
		return malloc_above_tiny(size, site);
	struct hkm_block *block = hkm_tiny_pop(&hkm_tls_heap->bins[hkm_tiny_class(size)]);
	return HKM_LIKELY(block != NULL) ? block : allocate_slow(size, site);
}

/* No cached block of L1: as on a hit, nobody asks for the site. */
static __attribute__((noinline)) void *malloc_uncached(struct hkm_heap *heap, size_t size)
{
	bool zeroed;
	void *block = hkm_ace_alloc_uncached(heap, size, &zeroed);
	hkm_free_deferred(heap);
	return HKM_LIKELY(block != NULL) ? block : allocate_slow(size, NULL);
}

void *hkm_malloc_slow(size_t size, const void *site)
{
	struct hkm_heap *heap = hkm_tls_heap;
	if (HKM_UNLIKELY(!heap->enterable)) /* as is always that of a thread without a heap */
		return allocate_slow(size, site);
	/* L1, whose hits deserve a short way. */
	if (HKM_LIKELY(size - HKM_TINY_MAX - 1 < hkm_sites.direct_sizes)) {
		void *block = hkm_ace_alloc_cached(heap, size);
		return HKM_LIKELY(block != NULL) ? block : malloc_uncached(heap, size);
	}
	return hkm_sites.in_use ? malloc_at(size, site) : allocate_slow(size, site);
}

void *hkm_allocate_aligned(size_t size, size_t alignment, const void *site)
{
	size_t dirty;
	if (HKM_UNLIKELY(alignment > PTRDIFF_MAX || size > PTRDIFF_MAX - alignment)) {
		errno = ENOMEM;
		return NULL;
	}
	if (alignment <= 8)
		return hkm_fast_malloc_at(size, site);
	/* A Tiny block starts at a multiple of its size; the class of a multiple of the alignment is one itself. */
	size_t multiple = hkm_align_up(hkm_max(size, 1), alignment);
	if (multiple <= HKM_TINY_MAX)
		return hkm_fast_malloc_at(multiple, site);
	struct hkm_heap *heap = hkm_tls_heap;
	size_t served = hkm_ace_aligned_size(size, alignment);
	/* A DYN class need not be a multiple of anything. */
	if (HKM_LIKELY(alignment <= HKM_SLICE_SIZE && served - HKM_TINY_MAX - 1 < hkm_sites.direct_sizes && heap->enterable) &&
	    HKM_LIKELY(served > heap->largest_dynamic)) {
		void *block = hkm_ace_alloc_cached(heap, served);
		if (HKM_LIKELY(block != NULL))
			return block;
	}
	return allocate(size, alignment, &dirty, site);
}

/* ---- Free -------------------------------------------------------------------------------------------- */

void hkm_defer_free(struct hkm_heap *heap, void *pointer)
{
	/* A push may interrupt anything. release: pairs with the acquire where the list is taken, as that of
	 * hkm_starting_heap is several threads'; any other list is its thread's alone. */
	struct hkm_block *block = pointer, *head = atomic_load_explicit(&heap->deferred, memory_order_relaxed);
	do
		block->link = hkm_deferred_link(head);
	while (!atomic_compare_exchange_weak_explicit(&heap->deferred, &head, block, memory_order_release,
						      memory_order_relaxed));
}

void hkm_free_deferred(struct hkm_heap *heap)
{
	if (HKM_LIKELY(atomic_load_explicit(&heap->deferred, memory_order_relaxed) == NULL))
		return;
	/* acquire: pairs with the release in hkm_defer_free. */
	hkm_heap_free_list(atomic_exchange_explicit(&heap->deferred, NULL, memory_order_acquire));
}

static bool free_big(struct hkm_heap *heap, void *pointer)
{
	bool found;
	if (heap != NULL) {
		found = hkm_big_free(enter_big(heap), pointer);
		leave_big(heap);
	} else {
		found = hkm_big_free(hkm_guest_enter(), pointer);
		hkm_guest_leave();
	}
	return found;
}

/* Whether a range that is free now, and kept, may have started there once. */
static bool was_big(struct hkm_heap *heap, const void *pointer)
{
	if ((uintptr_t)pointer % hkm_os_page_size() != 0 || heap == NULL || !heap->enterable)
		return false;
	hkm_heap_guard(heap, true);
	bool freed = hkm_big_was_freed(pointer);
	hkm_heap_guard(heap, false);
	return freed;
}

/* No live block starts at `pointer`: says what it looks like. */
HKM_SLOW static void report_wrong(const char *call, const void *pointer)
{
	/* This may be the process's first call: HAKMEM_ON_ERROR is to be known. */
	struct hkm_heap *heap = hkm_heap_get();
	enum hkm_wrong wrong = (uintptr_t)pointer % 16 != 0 ? HKM_MISALIGNED_POINTER : HKM_INVALID_POINTER;
	if (hkm_slice_is_ours(hkm_slice_of(pointer)))
		wrong = hkm_wrong_in_window(pointer);
	if (wrong == HKM_INVALID_POINTER && was_big(heap, pointer))
		wrong = HKM_FREED_TWICE;
	hkm_misuse(call, wrong, pointer);
}

/* A block of a slab that another heap owns, or a wrong pointer into one of this heap's. The slab's descriptor is not
 * touched: its owner writes it all the time. */
static void free_tiny_remote(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer)
{
	struct hkm_heap *owner = hkm_heap_of_bin(bin);
	unsigned class = (unsigned)(bin - owner->bins);
	if (HKM_UNLIKELY(!hkm_tiny_starts_block(class, pointer)))
		report_wrong("free", pointer);
	else
		hkm_remote_free(heap, owner, hkm_tiny_shapes[class].size, pointer);
}

/* A block of one of this heap's slabs beyond the window, or a wrong pointer into one: what the fast path does within. */
static void free_tiny_own(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer)
{
	const struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(pointer)];
	if (HKM_UNLIKELY(pointer == bin->head || !hkm_tiny_is_block(slab, pointer)))
		report_wrong("free", pointer);
	else if (bin->room > 0)
		hkm_tiny_free_local(heap, bin, pointer);
	else
		hkm_free_full(pointer, bin);
}

/* The descriptor of the slice that holds `pointer`, if L0 or L1 has a span there. NULL: the block, if it is one, is L2's or
 * the reserve's; a foreign mapping, and so either of theirs, may lie within the window, too. */
static struct hkm_slab *slab_in_use(const void *pointer)
{
	size_t slice = hkm_slice_of(pointer);
	if (HKM_UNLIKELY(!hkm_slice_is_ours(slice)))
		return NULL;
	struct hkm_slab *slab = &hkm_window.slabs[slice];
	return HKM_LIKELY(slab->kind != HKM_KIND_NONE) ? slab : NULL;
}

/* A block in a slice of a span, or a wrong pointer; heap NULL: the thread has none, and can have none. */
static void free_in_slab(struct hkm_heap *heap, struct hkm_slab *slab, void *pointer)
{
	/* relaxed: see hkm_span_set_bin. */
	struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed);
	if (hkm_is_bin(bin) && hkm_heap_of_bin(bin) == heap)
		free_tiny_own(heap, bin, pointer);
	else if (hkm_is_bin(bin))
		free_tiny_remote(heap, bin, pointer);
	else if (slab->kind < HKM_KIND_MID)
		report_wrong("free", pointer);
	else
		hkm_ace_free(heap, slab, pointer);
}

void hkm_free_slow(void *pointer)
{
	struct hkm_heap *heap = hkm_tls_heap;
	if (pointer == NULL)
		return;
	if (heap == &hkm_no_heap) /* a thread that only frees sends messages, too */
		heap = hkm_heap_get();
	else if (heap == &hkm_ended_heap) /* the C library clears up behind a thread */
		heap = NULL;
	if (HKM_UNLIKELY(heap != NULL && !heap->enterable)) {
		struct hkm_heap *other = other_heap(heap);
		if (other == NULL) {
			if (!hkm_reserve_free(pointer))
				hkm_defer_free(heap, pointer);
			return;
		}
		heap = other;
	}
	/* Looked at only now: getting a heap may have started the process. */
	struct hkm_slab *slab = slab_in_use(pointer);
	if (slab != NULL)
		free_in_slab(heap, slab, pointer);
	else if (!hkm_reserve_free(pointer) && !free_big(heap, pointer))
		report_wrong("free", pointer);
	/* A thread without a heap has been guarded by that one, and so may others have been. */
	hkm_free_deferred(heap != NULL ? heap : &hkm_starting_heap);
}

/* No room for a block of L1 in its cache. */
static __attribute__((noinline)) void free_uncached(void *pointer, const struct hkm_bin *found, struct hkm_heap *heap)
{
	hkm_ace_free_uncached(heap, hkm_ace_marked_cache(heap, found), found, pointer);
	hkm_free_deferred(heap);
}

/* Not this heap's Tiny block: L1's hits, which deserve a short way, or whatever else. */
void hkm_free_other(void *pointer, const struct hkm_bin *found)
{
	struct hkm_heap *heap = hkm_tls_heap;
	struct hkm_cache *cache = hkm_ace_marked_cache(heap, found);
	if (HKM_UNLIKELY(!hkm_is_mark(found) || !heap->enterable) || HKM_UNLIKELY(cache->mark != found) ||
	    HKM_UNLIKELY(!hkm_ace_is_live(pointer)))
		hkm_free_slow(pointer);
	else if (HKM_UNLIKELY(!hkm_ace_free_cached(heap, cache, pointer)))
		free_uncached(pointer, found, heap);
}

void hkm_free_full(void *pointer, struct hkm_bin *bin)
{
	struct hkm_heap *heap = hkm_heap_of_bin(bin);
	if (HKM_UNLIKELY(!heap->enterable)) {
		hkm_defer_free(heap, pointer);
		return;
	}
	hkm_tiny_free_full(heap, bin, pointer);
	hkm_free_deferred(heap);
}

HKM_SLOW void hkm_free_twice(void *pointer)
{
	const struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[hkm_slice_of(pointer)], memory_order_relaxed);
	hkm_misuse("free", hkm_tiny_is_fresh(bin) ? HKM_INVALID_POINTER : HKM_FREED_TWICE, pointer);
}

HKM_SLOW void hkm_free_wrong(void *pointer)
{
	report_wrong("free", pointer);
}

bool hkm_is_hot(const struct hkm_bin *bin, const void *pointer)
{
	const struct hkm_block *block = bin->head;
	while (hkm_may_be_block(block) && block != pointer)
		block = hkm_next(block);
	return block == pointer;
}

/* ---- The interface ------------------------------------------------------------------------------------ */

void *hkm_malloc(size_t size)
{
	return hkm_fast_malloc(size);
}

void hkm_free(void *pointer)
{
	hkm_fast_free(pointer);
}

void *hkm_calloc_at(size_t count, size_t size, const void *site)
{
	size_t bytes;
	if (HKM_UNLIKELY(__builtin_mul_overflow(count, size, &bytes))) {
		errno = ENOMEM;
		return NULL;
	}
	size_t dirty = bytes;
	void *block = bytes <= HKM_TINY_MAX ? hkm_fast_malloc_at(bytes, site) : allocate(bytes, 16, &dirty, site);
	if (block != NULL && dirty >= HKM_LARGE_MAX) /* pages of its own */
		hkm_os_clear(block, hkm_min(dirty, bytes));
	else if (block != NULL)
		memset(block, 0, hkm_min(dirty, bytes));
	HKM_ASSERT(block == NULL || hkm_os_reads_as_zero(block, bytes));
	return block;
}

void *hkm_calloc(size_t count, size_t size)
{
	return hkm_calloc_at(count, size, HKM_CALL_SITE);
}

/* Usable bytes of a live block; a wrong pointer is reported, and 0. */
static size_t usable_size(const void *pointer, const char *call)
{
	struct hkm_slab *slab = slab_in_use(pointer);
	size_t size = 0;
	if (HKM_UNLIKELY(slab == NULL)) {
		struct hkm_heap *heap = hkm_heap_get();
		bool nested = heap == NULL || !heap->enterable; /* a signal handler */
		size = hkm_reserve_usable(pointer);
		if (size == 0 && nested)
			return hkm_big_usable_at_once(pointer);
		if (size == 0) {
			hkm_heap_guard(heap, true);
			size = hkm_big_usable(pointer);
			hkm_heap_guard(heap, false);
			hkm_free_deferred(heap);
		}
	} else if (slab->kind == HKM_KIND_TINY) {
		size = hkm_tiny_is_block(slab, pointer) ? slab->block_size : 0;
	} else {
		size = hkm_ace_usable(slab, pointer);
	}
	if (HKM_UNLIKELY(size == 0))
		report_wrong(call, pointer);
	return size;
}

size_t hkm_malloc_usable_size(void *pointer)
{
	return pointer != NULL ? usable_size(pointer, "malloc_usable_size") : 0;
}

/* Resizes where the block lies, or moves its pages; NULL: it has to be copied. */
static void *resize_in_place(void *pointer, size_t usable, size_t size)
{
	/* Small blocks stay as long as half of them is used, mappings as long as seven eighths are. */
	size_t least = usable >= HKM_LARGE_MAX ? usable - usable / 8 : usable / 2;
	if (size <= usable && (size >= least || usable <= 64))
		return pointer;
	struct hkm_heap *heap = hkm_heap_get();
	if (heap == NULL || !heap->enterable)
		return NULL;
	struct hkm_slab *slab = slab_in_use(pointer);
	if (slab != NULL) {
		if (slab->kind < HKM_KIND_LARGE)
			return NULL;
		hkm_heap_poll_entered(heap, hkm_heap_enter(heap));
		bool resized = hkm_ace_resize(slab, pointer, size);
		hkm_heap_leave(heap);
		hkm_heap_expect_tick(heap); /* the slices that it has given up */
		hkm_free_deferred(heap);
		return resized ? pointer : NULL;
	}
	if (size < HKM_LARGE_MAX)
		return NULL;
	void *moved = hkm_big_resize(enter_big(heap), pointer, size);
	leave_big(heap);
	hkm_free_deferred(heap);
	return moved;
}

void *hkm_realloc_at(void *pointer, size_t size, const void *site)
{
	if (pointer == NULL)
		return hkm_fast_malloc_at(size, site);
	if (size == 0) {
		hkm_fast_free(pointer);
		return NULL;
	}
	size_t usable = usable_size(pointer, "realloc");
	if (HKM_UNLIKELY(usable == 0 || size > PTRDIFF_MAX)) {
		errno = ENOMEM;
		return NULL;
	}
	void *block = resize_in_place(pointer, usable, size);
	if (block != NULL)
		return block;
	block = hkm_fast_malloc_at(size, site);
	if (block == NULL)
		return NULL;
	memcpy(block, pointer, hkm_min(usable, size));
	hkm_fast_free(pointer);
	return block;
}

void *hkm_realloc(void *pointer, size_t size)
{
	return hkm_realloc_at(pointer, size, HKM_CALL_SITE);
}

void *hkm_reallocarray_at(void *pointer, size_t count, size_t size, const void *site)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes)) {
		errno = ENOMEM;
		return NULL;
	}
	return hkm_realloc_at(pointer, bytes, site);
}

void *hkm_reallocarray(void *pointer, size_t count, size_t size)
{
	return hkm_reallocarray_at(pointer, count, size, HKM_CALL_SITE);
}

void hkm_free_sized(void *pointer, size_t size)
{
	HKM_ASSERT(pointer == NULL || usable_size(pointer, "free_sized") >= size);
	(void)size;
	hkm_fast_free(pointer);
}

void hkm_free_aligned_sized(void *pointer, size_t alignment, size_t size)
{
	HKM_ASSERT(((uintptr_t)pointer & (alignment - 1)) == 0);
	(void)alignment;
	hkm_free_sized(pointer, size);
}

void *hkm_aligned_alloc_at(size_t alignment, size_t size, const void *site)
{
	if (HKM_UNLIKELY(!hkm_is_power_of_two(alignment))) {
		errno = EINVAL;
		return NULL;
	}
	return hkm_allocate_aligned(size, alignment, site);
}

void *hkm_aligned_alloc(size_t alignment, size_t size)
{
	return hkm_aligned_alloc_at(alignment, size, HKM_CALL_SITE);
}

void *hkm_memalign_at(size_t alignment, size_t size, const void *site)
{
	if (HKM_UNLIKELY(!hkm_is_power_of_two(alignment))) {
		if (alignment > (size_t)1 << 63) {
			errno = EINVAL;
			return NULL;
		}
		alignment = alignment == 0 ? 1 : (size_t)1 << (hkm_log2(alignment) + 1);
	}
	return hkm_allocate_aligned(size, alignment, site);
}

void *hkm_memalign(size_t alignment, size_t size)
{
	return hkm_memalign_at(alignment, size, HKM_CALL_SITE);
}

int hkm_posix_memalign_at(void **out, size_t alignment, size_t size, const void *site)
{
	if (HKM_UNLIKELY(!hkm_is_power_of_two(alignment) || alignment % sizeof(void *) != 0))
		return EINVAL;
	void *block = hkm_allocate_aligned(size, alignment, site);
	if (block == NULL)
		return ENOMEM; /* and, as with glibc, in errno */
	*out = block;
	return 0;
}

int hkm_posix_memalign(void **out, size_t alignment, size_t size)
{
	return hkm_posix_memalign_at(out, alignment, size, HKM_CALL_SITE);
}

void *hkm_valloc(size_t size)
{
	return hkm_allocate_aligned(size, hkm_os_page_size(), HKM_CALL_SITE);
}

void *hkm_pvalloc_at(size_t size, const void *site)
{
	size_t page_size = hkm_os_page_size();
	if (size > PTRDIFF_MAX - page_size) {
		errno = ENOMEM;
		return NULL;
	}
	return hkm_allocate_aligned(hkm_align_up(size, page_size), page_size, site);
}

void *hkm_pvalloc(size_t size)
{
	return hkm_pvalloc_at(size, HKM_CALL_SITE);
}

int hkm_malloc_trim(size_t pad)
{
	(void)pad;
	int saved = errno;
	size_t bytes = hkm_heap_trim_all();
	struct hkm_heap *heap = hkm_tls_heap;
	if (heap->enterable)
		hkm_free_deferred(heap);
	errno = saved;
	return bytes > 0;
}

/* glibc's parameters lie in -8..-1 and 1; they tune mechanisms that HAKMEM does not have. */
int hkm_mallopt(int parameter, int value)
{
	(void)value;
	return parameter == 1 || (parameter <= -1 && parameter >= -8);
}

/* Here, and not in stats.c, so that a static link has it whenever it allocates. */
__attribute__((destructor)) static void at_exit(void)
{
	hkm_warn_at_exit();
	hkm_stats_at_exit();
	hkm_profile_at_exit();
	struct hkm_heap *heap = hkm_sites.sampling ? hkm_heap_get() : NULL;
	if (heap != NULL && heap->enterable) {
		hkm_heap_guard(heap, true);
		hkm_samples_at_exit();
		hkm_heap_guard(heap, false);
	}
}

const char *hkm_version(void)
{
	return HKM_VERSION_STRING;
}
