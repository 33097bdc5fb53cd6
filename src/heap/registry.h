/* registry.h - what heap.c, life.c, escape.c, trim.c and fork.c share: the lists of heaps, and the lock over them. For these files only. */
#ifndef HKM_REGISTRY_H
#define HKM_REGISTRY_H

#include "heap/heap.h"

/* Guards the lists of all and of abandoned heaps, and starting the process. */
extern struct hkm_lock hkm_registry_lock;

/* Heaps without a thread, through next_abandoned. */
extern struct hkm_heap *hkm_abandoned_heaps;

/* See hkm_heap_alloc_long_lived; written while the process starts. */
extern struct hkm_heap *hkm_long_lived_heap;

/* Counts malloc_trim calls; heaps compare it with what they have followed. */
extern _Atomic uint64_t hkm_trim_requests;

#define HKM_GRANT_MIN 8 /* frees that a hot list takes between two looks at the clock, at least */

/* The heap of the calling thread from now on; its signal handlers see all that came before. */
static inline void hkm_heap_set(struct hkm_heap *heap)
{
	atomic_signal_fence(memory_order_seq_cst);
	hkm_tls_heap = heap;
	atomic_signal_fence(memory_order_seq_cst);
}

/* The calling thread shows by heap->life from now on that it is there, if it can. The caller holds the heap's lock, unless nobody else
 * may look at it. */
void hkm_heap_begin_life(struct hkm_heap *heap);

/* In a child of fork: whatever thread of the parent holds heap->life, it is in nobody's list here. */
void hkm_heap_forget_life(struct hkm_heap *heap);

/* Gives the calling thread a heap, adopted or new; NULL: no memory, and it keeps what it has. `left`: the one that it leaves
 * behind, see escape.c, or NULL. */
struct hkm_heap *hkm_heap_acquire(struct hkm_heap *left);

/* The heap has no thread, and cannot have one, as its lock will never be released. The caller holds the registry lock. */
void hkm_heap_lose(struct hkm_heap *heap);

/* Whether nobody holds, at this moment, a lock that slow paths of several heaps take; escape.c. */
bool hkm_locks_are_free(void);

/* Makes those blocks wait in `to` that wait in `from` (heap->deferred). */
void hkm_heap_inherit_deferred(struct hkm_heap *to, struct hkm_heap *from);

/* The thread of this heap does not exist, and ended, or was copied, at any moment outside a slow path. */
void hkm_heap_repair(struct hkm_heap *heap);

/* Whether the heap's thread has ended without a word, and it has none now. */
bool hkm_heap_life_is_over(const struct hkm_heap *heap);

/* If the heap's thread has ended without a word: it has none from now on. Whoever looks has no lock but that of its own
 * heap. Result: has it been put on the list of abandoned ones? */
bool hkm_heap_bury(struct hkm_heap *heap);

/* The heap has no thread from now on. The caller holds the registry lock, and the heap's unless nobody else exists. */
void hkm_heap_abandon(struct hkm_heap *heap);

#endif
