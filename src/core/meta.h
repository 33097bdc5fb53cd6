/* meta.h - memory for HAKMEM's own structures.
 *
 * Cut from mappings of their own, apart from every user's block; given back to a free list per power
 * of two, never to the system, so that a late reader sees stale data but never a fault.
 */
#ifndef HKM_META_H
#define HKM_META_H

#include "base/lock.h"

/* `size` bytes, zero, aligned to the next power of two up to a page; NULL if the system refuses. */
void *hkm_meta_alloc(size_t size);

/* Gives back what hkm_meta_alloc(size) returned. */
void hkm_meta_free(void *address, size_t size);

/* Bytes mapped for metadata so far. */
size_t hkm_meta_held(void);

/* Guards the free lists and the current chunk; for fork only. */
extern struct hkm_lock hkm_meta_lock;

#endif
