/* registry.h - what heap.c, trim.c and fork.c share: the lists of heaps, and the lock over them. For these files only. */
#ifndef HKM_REGISTRY_H
#define HKM_REGISTRY_H

#include "heap/heap.h"

/* Guards the lists of all and of abandoned heaps, and starting the process. */
extern struct hkm_lock hkm_registry_lock;

/* Heaps without a thread, through next_abandoned. */
extern struct hkm_heap *hkm_abandoned_heaps;

/* See hkm_heap_alloc_long_lived; written while the process starts. */
extern struct hkm_heap *hkm_long_lived_heap;

/* Stands for the heap that a thread is just making or giving up. */
extern struct hkm_heap hkm_starting_heap;

/* This is a child of fork: a slab that another thread was just freeing into counts one block more than is true, which
 * costs at most that slab; the checks of the debug build would call it broken. */
extern bool hkm_is_forked;

/* Counts malloc_trim calls; heaps compare it with what they have followed. */
extern _Atomic uint64_t hkm_trim_requests;

/* The heap has no thread from now on. The caller holds the registry lock, and the heap's unless nobody else exists. */
void hkm_heap_abandon(struct hkm_heap *heap);

/* Releases the lock of a heap that has no thread, or one that sleeps, and looks again at its inbox: who sent something
 * meanwhile found the lock held, and left. Every release of the lock of such a heap comes by here, or by hkm_heap_drain,
 * which does the same. The caller's heap is guarded. */
void hkm_heap_let_go(struct hkm_heap *heap);

#endif
