/* reserve.c - allocation where a slow path must not be entered; see api.h. */
#include <stdatomic.h>

#include "api/api.h"
#include "os/os.h"

#define RESERVE_BLOCKS 256

/* A slot is free (start 0), being filled (start 1), or holds a block. A block's slot is claimed by a
 * compare-and-swap and emptied by whoever frees the block. */
struct reserve_slot {
	_Atomic uintptr_t start;
	size_t size;
};

static struct reserve_slot slots[RESERVE_BLOCKS];
static _Atomic uint32_t in_use; /* slots not free: spares everybody else the search; advice */

void *hkm_reserve_alloc(size_t size, size_t alignment)
{
	size = hkm_align_up(hkm_max(size, 1), hkm_os_page_size());
	if (size == 0)
		return NULL;
	for (struct reserve_slot *slot = slots; slot < slots + RESERVE_BLOCKS; slot++) {
		uintptr_t expected = 0;
		/* acquire: pairs with the release in hkm_reserve_free, for slot->size. */
		if (!atomic_compare_exchange_strong_explicit(&slot->start, &expected, 1, memory_order_acquire,
							     memory_order_relaxed))
			continue;
		atomic_fetch_add_explicit(&in_use, 1, memory_order_relaxed);
		void *start = hkm_os_map_aligned(size, alignment);
		slot->size = size;
		if (start == NULL)
			atomic_fetch_sub_explicit(&in_use, 1, memory_order_relaxed);
		/* release: pairs with the acquire in find. */
		atomic_store_explicit(&slot->start, (uintptr_t)start, memory_order_release);
		return start;
	}
	return NULL;
}

static struct reserve_slot *find(const void *pointer)
{
	if (HKM_LIKELY(atomic_load_explicit(&in_use, memory_order_relaxed) == 0) || (uintptr_t)pointer <= 1)
		return NULL;
	for (struct reserve_slot *slot = slots; slot < slots + RESERVE_BLOCKS; slot++)
		if (atomic_load_explicit(&slot->start, memory_order_acquire) == (uintptr_t)pointer)
			return slot;
	return NULL;
}

bool hkm_reserve_free(void *pointer)
{
	struct reserve_slot *slot = find(pointer);
	if (slot == NULL)
		return false;
	/* Before anybody else can be given the same addresses. */
	atomic_store_explicit(&slot->start, 1, memory_order_relaxed);
	hkm_os_unmap(pointer, slot->size, false);
	atomic_fetch_sub_explicit(&in_use, 1, memory_order_relaxed);
	/* release: pairs with the acquire in hkm_reserve_alloc. */
	atomic_store_explicit(&slot->start, 0, memory_order_release);
	return true;
}

size_t hkm_reserve_usable(const void *pointer)
{
	const struct reserve_slot *slot = find(pointer);
	return slot != NULL ? slot->size : 0;
}
