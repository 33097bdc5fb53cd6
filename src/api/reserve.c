/* reserve.c - allocation where a slow path must not be entered; see api.h. */
#include <stdatomic.h>

#include "api/api.h"
#include "os/os.h"

#define FIRST_SLOTS 256u /* in the first table; each further one has as many as all before it */
#define TABLES 13u       /* a million slots: more than there can be mappings */

/* A slot is free (start 0), being filled (start 1), or holds a block. A block's slot is claimed by a
 * compare-and-swap and emptied by whoever frees the block. */
struct reserve_slot {
	_Atomic uintptr_t start;
	size_t size;
};

static struct reserve_slot first_slots[FIRST_SLOTS];
/* A thread whose slow path was left by a jump out of a signal handler may need the reserve for long, hence the others. */
static _Atomic(struct reserve_slot *) tables[TABLES] = { first_slots };
static _Atomic uint32_t in_use; /* slots not free: spares everybody else the search; advice */

static size_t table_slots(unsigned table)
{
	return table == 0 ? FIRST_SLOTS : (size_t)FIRST_SLOTS << (table - 1);
}

/* NULL: it is not there, and not to be made. */
static struct reserve_slot *table_at(unsigned table, bool make)
{
	/* acquire: pairs with the compare-and-swap below, so that the slots are seen to be empty. */
	struct reserve_slot *slots = atomic_load_explicit(&tables[table], memory_order_acquire);
	if (slots != NULL || !make)
		return slots;
	size_t size = hkm_align_up(table_slots(table) * sizeof *slots, hkm_os_page_size());
	struct reserve_slot *fresh = hkm_os_map(size);
	if (fresh == NULL || atomic_compare_exchange_strong_explicit(&tables[table], &slots, fresh, memory_order_acq_rel,
								     memory_order_acquire))
		return fresh;
	hkm_os_unmap(fresh, size, false);
	return slots;
}

/* Claims a slot. */
static struct reserve_slot *claim(void)
{
	for (unsigned table = 0; table < TABLES; table++) {
		struct reserve_slot *slots = table_at(table, true);
		for (size_t i = 0; slots != NULL && i < table_slots(table); i++) {
			uintptr_t expected = 0;
			/* acquire: pairs with the release in hkm_reserve_free, for slot->size. */
			if (atomic_load_explicit(&slots[i].start, memory_order_relaxed) == 0 &&
			    atomic_compare_exchange_strong_explicit(&slots[i].start, &expected, 1, memory_order_acquire,
								    memory_order_relaxed))
				return &slots[i];
		}
	}
	return NULL;
}

void *hkm_reserve_alloc(size_t size, size_t alignment)
{
	size = hkm_align_up(hkm_max(size, 1), hkm_os_page_size());
	struct reserve_slot *slot = size != 0 ? claim() : NULL;
	if (slot == NULL)
		return NULL;
	atomic_fetch_add_explicit(&in_use, 1, memory_order_relaxed);
	struct hkm_range left[2]; /* at most so much for each slot: nobody keeps it */
	void *start = hkm_os_map_aligned(size, alignment, left);
	slot->size = size;
	if (start == NULL)
		atomic_fetch_sub_explicit(&in_use, 1, memory_order_relaxed);
	/* release: pairs with the acquire in find. */
	atomic_store_explicit(&slot->start, (uintptr_t)start, memory_order_release);
	return start;
}

static struct reserve_slot *find(const void *pointer)
{
	if (HKM_LIKELY(atomic_load_explicit(&in_use, memory_order_relaxed) == 0) || (uintptr_t)pointer <= 1)
		return NULL;
	for (unsigned table = 0; table < TABLES; table++) {
		struct reserve_slot *slots = table_at(table, false);
		for (size_t i = 0; slots != NULL && i < table_slots(table); i++)
			if (atomic_load_explicit(&slots[i].start, memory_order_acquire) == (uintptr_t)pointer)
				return &slots[i];
	}
	return NULL;
}

bool hkm_reserve_is_crowded(void)
{
	return atomic_load_explicit(&in_use, memory_order_relaxed) >= FIRST_SLOTS / 2;
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
