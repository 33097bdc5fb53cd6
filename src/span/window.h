/* window.h - where superslabs and their metadata lie; between window.c and span.c. All of it is guarded by hkm_span_lock.
 *
 * The metadata of a slice lies at a place that its address alone decides, by the same formula for all addresses from the
 * window's base on; only the parts that are used are mapped.
 *
 *   window    the first choice: superslabs from the base on, metadata in powers of two, so that free knows its slices by one mask
 *   granules  128 MiB each, anywhere above the window: where superslabs are taken when others' mappings are in the way of the window or
 *             of its metadata. The fast paths pass them by; the slow ones know them by a bit each
 */
#ifndef HKM_SPAN_WINDOW_H
#define HKM_SPAN_WINDOW_H

#include "os/os.h"
#include "span/span.h"

/* Metadata of a superslab. All fields are guarded by hkm_span_lock. */
struct superslab {
	uint64_t free;      /* bit per slice that is free; those that are not mapped are not free */
	uint64_t dirty;     /* of those, the ones that may be resident */
	uint64_t shallow;   /* of those, the ones of which a slab has touched a page or two */
	struct superslab *next, *prev;             /* bucket; vacant ones: list of those */
	struct superslab *dirty_next, *dirty_prev; /* queue by age */
	uint32_t dirty_since; /* low half of the time in ms; see dirty_since_ms */
	uint8_t longest;    /* longest run of free bits, its bucket */
	uint8_t mapped;     /* slices that are mapped, from the first on; 64 but where the system refuses more */
	bool vacant;        /* was mapped, and is on the list of addresses to be mapped again */
	bool queued;        /* on the queue */
};
HKM_STATIC_ASSERT(sizeof(struct superslab) == 64, "one cache line a superslab");

/* The superslab that starts at the window's base. */
extern struct superslab *hkm_superslabs __attribute__((visibility("hidden")));

static inline char *superslab_start(const struct superslab *superslab)
{
	return (char *)(hkm_window.base + (uintptr_t)(superslab - hkm_superslabs) * HKM_SUPERSLAB_SIZE);
}

static inline struct hkm_slab *superslab_slab(const struct superslab *superslab, unsigned slice)
{
	return hkm_window.slabs + (superslab - hkm_superslabs) * (ptrdiff_t)HKM_SUPERSLAB_SLICES + slice;
}

static inline struct superslab *superslab_of(const struct hkm_slab *slab)
{
	return hkm_superslabs + ((slab - hkm_window.slabs) >> 6);
}

/* Maps a superslab, or as much of one as the system gives, so that it has a run of `slices` free ones. *bits: its slices
 * that are new, and zero, and that the caller makes free. NULL: the system refuses. */
struct superslab *hkm_window_map(size_t slices, uint64_t *bits);

/* Gives an empty superslab's memory back, which the caller has made neither free nor dirty. Lets go of the lock meanwhile.
 * Result: what became of it. */
enum hkm_unmapped hkm_window_unmap(struct superslab *superslab);

/* A granule: the one after `previous` (NULL: the first); NULL: there is none. Its superslabs are the `hkm_granule_size` from
 * its first on. Any thread, without the lock. */
struct granule {
	_Atomic(struct granule *) next;
	size_t first;
};
const struct granule *hkm_window_next_granule(const struct granule *previous);
extern size_t hkm_granule_size; /* in superslabs; written while the process starts */

/* Superslabs of the window with metadata, from the base on. Without the lock it is advice. */
static inline size_t hkm_window_superslabs(void)
{
	return hkm_window_slices() / HKM_SUPERSLAB_SLICES;
}

#endif
