/* fast.h - the two fast paths. Nothing else, and no policy, no counter, no lock.
 *
 *   malloc(n)  n <= 1024:  table -> bin -> can its head be a block? -> pop the hot list
 *   free(p)    p's slice -> the bin it belongs to -> is that bin in my heap? -> push on its hot list
 *
 * Lines of cache: malloc 4 (table, bin, window, block), free 4 (window, bins[], bin, block). Everything else falls
 * through to one slow function each: no heap yet, empty or full hot list, larger sizes, other threads' blocks,
 * NULL, wrong pointers, links that the program has written over (span/links.h). Included by the files of api only.
 */
#ifndef HKM_FAST_H
#define HKM_FAST_H

#include "tiny/tiny.h"

/* The call site of malloc and its family: where the function that uses it returns to. */
#define HKM_CALL_SITE __builtin_return_address(0)

/* Whatever the fast paths do not do. `site`: the call site of the program's. */
void *hkm_malloc_slow(size_t size, const void *site) __attribute__((visibility("hidden")));
void hkm_free_slow(void *pointer) __attribute__((visibility("hidden")));
void hkm_free_other(void *pointer, const struct hkm_bin *found) __attribute__((visibility("hidden")));
void hkm_free_full(void *pointer, struct hkm_bin *bin) __attribute__((visibility("hidden")));
void hkm_free_twice(void *pointer) __attribute__((visibility("hidden")));

/* The checked build only: no block starts at `pointer`. */
void hkm_free_wrong(void *pointer) __attribute__((visibility("hidden")));

/* The debug build only: whether the block is anywhere on the bin's hot list. */
bool hkm_is_hot(const struct hkm_bin *bin, const void *pointer) __attribute__((visibility("hidden")));

/* NULL: it takes a slow path. */
HKM_HOT void *hkm_fast_pop(size_t size)
{
	if (HKM_UNLIKELY(size > HKM_TINY_MAX))
		return NULL;
	size_t bin_offset = atomic_load_explicit(&hkm_bin_offsets[(size + 7) / 8], memory_order_relaxed);
	struct hkm_bin *bin = (struct hkm_bin *)((char *)hkm_tls_heap + bin_offset);
	return hkm_tiny_pop(bin);
}

/* In the function that the program calls: the call site is read on the slow path only. */
HKM_HOT void *hkm_fast_malloc(size_t size)
{
	void *block = hkm_fast_pop(size);
	return HKM_LIKELY(block != NULL) ? block : hkm_malloc_slow(size, HKM_CALL_SITE);
}

/* Anywhere else. */
HKM_HOT void *hkm_fast_malloc_at(size_t size, const void *site)
{
	void *block = hkm_fast_pop(size);
	return HKM_LIKELY(block != NULL) ? block : hkm_malloc_slow(size, site);
}

/* `base`: hkm_window.base, or what leads nowhere. Result: whether it may be a block of the window; if not, nothing is done. */
HKM_HOT bool hkm_fast_free_from(void *pointer, uintptr_t base)
{
	HKM_ASSERT(base == HKM_NO_WINDOW || base == hkm_window.base);
	uintptr_t offset = (uintptr_t)pointer - base;
	if (HKM_UNLIKELY(hkm_is_beyond(offset)))
		return false;
	/* Only this thread stores its own bins there, so one that is found is current; see hkm_span_set_bin. All else
	 * (NULL, another heap's, a mark of L1) leads to another heap or to none. */
	size_t slice = offset >> HKM_SLICE_SHIFT;
	struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[slice], memory_order_relaxed);
	if (HKM_UNLIKELY(hkm_heap_of_bin(bin) != hkm_tls_heap)) {
		hkm_free_other(pointer, bin);
		return true;
	}
	if (HKM_UNLIKELY(pointer == bin->head)) {
		hkm_free_twice(pointer);
		return true;
	}
	if (HAKMEM_CHECKED && HKM_UNLIKELY(!hkm_tiny_is_block(&hkm_window.slabs[slice], pointer))) {
		hkm_free_wrong(pointer);
		return true;
	}
	if (HAKMEM_DEBUG && hkm_is_hot(bin, pointer)) {
		hkm_free_twice(pointer);
		return true;
	}
	if (HKM_UNLIKELY(--bin->room < 0)) {
		hkm_free_full(pointer, bin);
		return true;
	}
	hkm_tiny_push(bin, pointer);
	return true;
}

HKM_HOT void hkm_fast_free(void *pointer)
{
	if (HKM_UNLIKELY(!hkm_fast_free_from(pointer, hkm_window.base)))
		hkm_free_slow(pointer);
}

#endif
