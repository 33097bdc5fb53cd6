/* span.h - where L0 and L1 get their memory: spans of 32 KiB slices out of 2 MiB superslabs.
 *
 *   window      one range of addresses; mapped superslab by superslab, never reserved as a whole (a
 *               reservation would count against RLIMIT_AS and mlockall)
 *   superslab   2 MiB, aligned: 64 slices; a bit per slice says free, another free-but-resident
 *   slice       32 KiB, with one struct hkm_slab beside the window
 *   span        1 to 64 neighbouring slices of a superslab, handed out as one
 *
 * Per slice there is, out of the blocks' reach, in arrays that grow with the window:
 *   bins[]   the bin whose owner may free into this slice (L0), the mark of the class (L1), or NULL: all that free
 *            reads of a slice
 *   slabs[]  the descriptor
 *   states[] a byte per KiB, for L1: whether a live block starts there, and where exactly
 *
 * Invariants: a slice is free in exactly one superslab mask or belongs to exactly one span, whose
 * slices' bins[i] are NULL while it is free; addresses from window.limit on have no metadata.
 */
#ifndef HKM_SPAN_H
#define HKM_SPAN_H

#include "base/lock.h"
#include "base/regret.h"
#include "core/report.h"

#ifndef HKM_SLICE_SHIFT /* docs/design/slabs.md compares sizes */
#define HKM_SLICE_SHIFT 15
#endif
#define HKM_SLICE_SIZE ((size_t)1 << HKM_SLICE_SHIFT)
#define HKM_SHALLOW_BYTES 8192u
#define HKM_SUPERSLAB_SLICES 64u
#define HKM_SUPERSLAB_SIZE (HKM_SLICE_SIZE * HKM_SUPERSLAB_SLICES)

struct hkm_bin;
struct hkm_policy;

enum hkm_kind {
	HKM_KIND_NONE = 0, /* free, or inside a span of one block */
	HKM_KIND_TINY,     /* L0: a slab */
	HKM_KIND_MID,      /* L1: first slice of a span of several blocks */
	HKM_KIND_MID_REST, /* L1: a later slice of it; `distance` slices behind the first */
	HKM_KIND_LARGE,    /* L1: first slice of a span of one block, above 32 KiB */
	HKM_KIND_ALIGNED,  /* L1: the same of a block of any size that no pool has, for its alignment is above 32 KiB */
};

/* Descriptor of a slice. Who writes: the heap that owns the slab (L0), or the holder of the class's
 * pool lock (L1). `kind`, `class` and `block_size` are constant while a block of the span lives. */
struct hkm_slab {
	uint8_t kind;        /* enum hkm_kind */
	uint8_t class;       /* of L0 or L1 */
	uint8_t listed;      /* is on its bin's or pool's list of spans with room */
	uint8_t zeroed : 1;  /* L1 Large: reads as zero since nobody has had it; set when the span is made, cleared with the first free,
			      * or with the span. First slice only: elsewhere, and in free slices, 0 */
	uint8_t deep : 1;    /* L0: more than HKM_SHALLOW_BYTES of the slice may be resident; L1: 1 */
	uint16_t slices;     /* of the span; first slice only */
	union {
		uint16_t distance; /* L1: slices from the first one of the span */
		uint16_t notice;   /* L0: a free that leaves so many blocks in use, or fewer, has more to do */
	};
	uint32_t block_size; /* bytes */
	uint32_t reciprocal; /* ceil(2^32 / block_size): a block's offset * reciprocal >> 32 is its index; Large: 0 */
	uint32_t in_use;     /* blocks that are not in this slab (L0) or pool (L1) */
	uint16_t capacity;   /* blocks in all */
	uint16_t carved;     /* L0: blocks handed out at least once; those above were never linked */
	struct hkm_block *freed; /* L0: blocks freed by the owner past its hot list */
	uint64_t *free_map;  /* L0: after a trim, a bit per free block that is on no list; else NULL */
	union {
		uint64_t free_bits;   /* L1: a bit per block in the pool */
		uint64_t mapped_free; /* L0: bits set in free_map */
	};
	struct hkm_slab *next, *prev; /* list of spans with room */
};
HKM_STATIC_ASSERT(sizeof(struct hkm_slab) == 64, "a descriptor is one cache line");

#define HKM_NO_WINDOW ((uintptr_t)1 << 63) /* a base from which all addresses are beyond */

/* What the fast paths read. Written once at start, but for `beyond`, which follows the window's growth under the
 * span lock; relaxed suffices, as whoever holds a pointer into a slice has it from a thread that saw the slice within. */
struct hkm_window {
	uintptr_t base;                       /* first address, a multiple of the superslab size */
	_Atomic uintptr_t beyond;             /* bits that the offset of no block has: see hkm_is_beyond */
	_Atomic(struct hkm_bin *) *bins;
	struct hkm_slab *slabs;
	uint8_t *states;
	uintptr_t states_origin;              /* where the state of address 0 would be */
	uintptr_t link_key;                   /* of the links in free blocks: see links.h */
};
extern struct hkm_window hkm_window __attribute__((visibility("hidden")));

/* The window's base. A thread that has no heap yet may ask for it, with a NULL in hand, while another one sets it: NULL is beyond from
 * either value. An atomic load would be an instruction of its own, so only ThreadSanitizer sees one. */
static inline uintptr_t hkm_window_base(void)
{
#if defined(__SANITIZE_THREAD__)
	return __atomic_load_n(&hkm_window.base, __ATOMIC_RELAXED);
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
	return __atomic_load_n(&hkm_window.base, __ATOMIC_RELAXED);
#else
	return hkm_window.base;
#endif
#else
	return hkm_window.base;
#endif
}

/* Whether `offset`, of a pointer from the base on, is none of an aligned pointer into a slice with metadata. There are 2^n
 * bytes of such slices, so one mask has the bits above and the three below that an aligned pointer has not. */
static inline bool hkm_is_beyond(uintptr_t offset)
{
#ifdef __x86_64__
	/* The relaxed load as an operand of the test; compilers take an instruction of its own for it. */
	bool beyond;
	__asm__("test %[offset], %[beyond]" : "=@ccnz"(beyond) : [offset] "r"(offset), [beyond] "m"(hkm_window.beyond));
	return beyond;
#else
	return (offset & atomic_load_explicit(&hkm_window.beyond, memory_order_relaxed)) != 0;
#endif
}

/* Number of the window's slices with metadata, from the base on: none or a power of two. */
static inline size_t hkm_window_slices(void)
{
	uintptr_t beyond = atomic_load_explicit(&hkm_window.beyond, memory_order_relaxed);
	return -(beyond & ~(uintptr_t)7) >> HKM_SLICE_SHIFT;
}

/* Index of the slice that holds `address`, counted from the base on. */
static inline size_t hkm_slice_of(const void *address)
{
	return ((uintptr_t)address - hkm_window.base) >> HKM_SLICE_SHIFT;
}

/* Whether a slice beyond the window has metadata, and whether an aligned pointer leads there; window.h. */
bool hkm_granule_is_ours(size_t slice);
bool hkm_is_in_granule(const void *pointer);

/* Whether a slice has metadata. */
static inline bool hkm_slice_is_ours(size_t slice)
{
	return HKM_LIKELY(slice < hkm_window_slices()) || hkm_granule_is_ours(slice);
}

static inline size_t hkm_slice_index(const struct hkm_slab *slab)
{
	return (size_t)(slab - hkm_window.slabs);
}

static inline char *hkm_slab_start(const struct hkm_slab *slab)
{
	return (char *)(hkm_window.base + (hkm_slice_index(slab) << HKM_SLICE_SHIFT));
}

/* The byte that tells whether an L1 block starts at `address`. */
static inline uint8_t *hkm_state_of(const void *address)
{
	return (uint8_t *)(hkm_window.states_origin + ((uintptr_t)address >> 10));
}

/* A state byte: what is at a KiB of address space, and at which multiple of 8 bytes in it. As that multiple is even, its
 * lowest bit is free, and of a pointer that no block has, for being misaligned, it makes a live block's byte another. */
enum {
	HKM_STATE_CACHED = 0x01,
	HKM_STATE_LIVE = 0x80,
};

static inline uint8_t hkm_state(unsigned state, const void *pointer)
{
	return (uint8_t)(((uintptr_t)pointer >> 3 & 0x7f) | state);
}

/* Chooses the window; once, while the process starts. */
void hkm_span_start(void);

/* Hands out a span of `slices` (1 to 64) neighbouring slices, at a multiple of 32 KiB. `little`: little of it is likely
 * to be used. *zeroed tells whether it reads as zero, *fresh whether as much as a superslab that
 * was not resident has been handed out since it last was so.
 * Result: the first slice's descriptor, whose span fields (slices) and `deep`, as the slices were) are set and kind is NONE; NULL if
 * the system refuses memory. Any thread. */
struct hkm_slab *hkm_span_alloc(size_t slices, bool little, bool *zeroed, bool *fresh);

/* The same at a multiple of `alignment` slices, a power of two up to HKM_ALIGNED_SLICES. It may be refused although there is such a
 * run, or address space for one, where most of what is free is misaligned. */
#define HKM_ALIGNED_SLICES (HKM_SUPERSLAB_SLICES / 2)
struct hkm_slab *hkm_span_alloc_aligned(size_t slices, size_t alignment, bool little, bool *zeroed, bool *fresh);

/* Takes a span back; its slices' descriptors become NONE, its memory is purged later. If its `deep` is 0, at most
 * HKM_SHALLOW_BYTES of it have been touched since it was last purged. */
void hkm_span_free(struct hkm_slab *slab);

/* Grows a span in place to `slices`; result: whether the slices behind it were free. */
bool hkm_span_extend(struct hkm_slab *slab, size_t slices, bool *zeroed);

/* Gives the last slices of a span back, so that `slices` remain. */
void hkm_span_shrink(struct hkm_slab *slab, size_t slices);

/* Gives free resident slices back to the system, superslab by superslab, in the order in which their first slice
 * became free: of all superslabs where that was before `before_ms`, and then until no more than `keep_bytes` are
 * left. Empty superslabs are unmapped; but once the system has refused one, only before_ms UINT64_MAX unmaps more than half
 * of those that there were. If another thread is purging, only before_ms UINT64_MAX waits for it. Result: bytes given
 * back. */
size_t hkm_span_purge(uint64_t before_ms, size_t keep_bytes);

/* Bytes that purging would give back now (read without the lock: advice). */
size_t hkm_span_dirty(void);

/* How much of a superslab is made resident when it is mapped (policy, fault_ahead). Any thread; the last one counts. */
void hkm_span_set_fault_ahead(size_t bytes);

/* Tells what time it is; called by whoever looks at the clock, so that freeing a span need not. */
void hkm_span_note_time(uint64_t now_ms);

/* Whether some slices have been free and resident since before `before_ms`. Any thread; advice. */
bool hkm_span_purge_is_due(uint64_t before_ms);

/* Makes a slice's owner, or mark, known to free; NULL: neither. */
void hkm_span_set_bin(struct hkm_slab *slab, struct hkm_bin *bin);

/* Whether what is in bins[] is a mark: no address has the top bit set. */
static inline bool hkm_is_mark(const struct hkm_bin *bin)
{
	return (intptr_t)bin < 0;
}

/* Whether it is a bin. */
static inline bool hkm_is_bin(const struct hkm_bin *bin)
{
	return (intptr_t)bin > 0;
}

/* What is wrong with a pointer into a slice with metadata that is not one of a live block (wrong.c). Any thread; no lock. */
enum hkm_wrong hkm_wrong_in_window(const void *pointer);

struct hkm_span_stats {
	size_t mapped;       /* bytes of superslabs mapped */
	size_t free_slices;  /* of them, free */
	size_t dirty_slices; /* of those, resident */
	uint64_t purged;     /* bytes given back so far */
	uint64_t fresh;      /* bytes handed out so far that were not resident */
	uint64_t populated;  /* bytes made resident ahead so far; they are handed out as resident ones */
	uint64_t populate_ns; /* of processor time that took */
	uint64_t visited;    /* spans that hkm_span_visit has come by so far */
};
void hkm_span_stats(struct hkm_span_stats *stats);

/* What became of slices that were given back because of their age, and because there were too many of them. Reuse is
 * counted under the first. Constant addresses. */
extern struct hkm_regret hkm_span_aged, hkm_span_surplus;

/* Calls visit(slab, context) for the first slice of every span in use; other threads may go on
 * meanwhile, so what it reads is advice. */
void hkm_span_visit(void (*visit)(struct hkm_slab *slab, void *context), void *context);

/* Asserts all that must hold of superslabs, buckets, the queue and the counters; the debug build only. Takes the lock. */
void hkm_span_check(void);

/* Guards the superslabs; and, held for as long as slices are out to be purged, so that a child of fork does not lose
 * them, the right to purge. For fork only. */
extern struct hkm_lock hkm_span_lock, hkm_purge_lock;

#endif
