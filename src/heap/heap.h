/* heap.h - the per-thread heap: everything a thread can do without asking anyone.
 *
 *   bins[]      L0 fast path: per class the hot list that malloc pops and free pushes
 *   tiny[]      L0 slow path: per class the slab in use and the slabs with room
 *   inbox       L0: blocks of this heap that other threads have freed
 *   outboxes[]  L0: blocks of other heaps that this thread has freed, per owner
 *   caches[]    L1: per class the addresses of free blocks
 *
 * A heap belongs to one thread at a time; only that thread touches it, but for `inbox` (any thread
 * pushes) and the counters (any thread reads). A thread that ends leaves its heap, whole, on the list of
 * abandoned heaps for the next new thread to adopt. Heaps are never freed: a late reader of a heap's
 * address finds a heap.
 *
 * `reader.lock` is held during every slow path that changes slabs or lists: it keeps fork from copying a
 * heap halfway through a change, keeps the policy snapshot alive, and lets others drain an abandoned heap.
 * The fast path does not take it.
 */
#ifndef HKM_HEAP_H
#define HKM_HEAP_H

#include <pthread.h>
#include <stdatomic.h>

#include "heap/meter.h"
#include "policy/policy.h"
#include "sites/samples.h"
#include "span/span.h"

#define HKM_HEAP_ALIGNMENT 1024u /* a bin's address, rounded down to it, is its heap's */
#define HKM_OUTBOXES 16u
#define HKM_JUMP 4u /* a block in a message also points to the one so many places behind it */

/* What the fast path works on; 16 bytes, laid out for malloc and free in api/fast.h. Owner only. */
struct hkm_bin {
	struct hkm_block *head; /* hot list: freed and ready to be handed out, newest first */
	int32_t room;           /* frees that may still enter the hot list; counted down by free, below 0 it is slow */
	uint32_t taken;         /* blocks taken off the hot list since the last grant; counted up by malloc */
};

/* The slabs of one Tiny class. Owner only. One cache line. */
struct hkm_tiny {
	struct hkm_slab *active;      /* the slab that refills come from; on no list */
	struct hkm_slab *first, *last; /* slabs with room, in the order in which they regained it */
	struct hkm_block *seen_head;  /* of the bin at the last tick, never followed */
	int32_t granted;              /* length of the hot list if all of the last grant is used and nothing taken */
	int32_t hot_capacity;         /* blocks on the hot list, from the policy */
	int32_t hot_resume;           /* a list that is full is cut down to this length */
	int32_t in_use;               /* sum of the slabs' in_use: live, hot or on their way home */
	uint32_t flushed_ms;          /* when the hot list last went to its slabs because nothing was live */
	int16_t seen_room;            /* of the bin at the last tick */
	int16_t room;                 /* of the bin after the last grant */
	bool alternating;             /* during the last grant there were at least half as many allocations as frees */
	uint16_t refill_batch;        /* blocks carved at once, from the policy */
	uint16_t fresh;               /* blocks carved at the last grant, if it came of carving; else 0 */
};
HKM_STATIC_ASSERT(sizeof(struct hkm_tiny) <= 64, "one cache line");

/* Of one Tiny class. Written by the owner, read by anyone. */
struct hkm_tiny_counters {
	hkm_counter slabs;            /* owned in all */
	hkm_counter refills;
	hkm_counter allocations;      /* served by hot lists, if metered; counted at grants, so it lags behind */
};

/* Blocks freed by this thread for one other heap, waiting to be sent. Owner only. */
struct hkm_outbox {
	struct hkm_heap *owner; /* of the blocks; NULL: empty */
	struct hkm_block *first, *last;
	uint32_t blocks, bytes;
	struct hkm_block *recent[HKM_JUMP]; /* the blocks put in last, as a ring */
};
HKM_STATIC_ASSERT(sizeof(struct hkm_outbox) == 64, "one cache line");

/* Free blocks of one L1 class. Owner only; count may be read by anyone as advice. */
struct hkm_cache {
	uint32_t count;
	uint32_t capacity; /* of blocks: grows where it is missed, shrinks where it is not used */
	uint32_t block_size; /* bytes; of DYN classes from the policy, 0: none */
	uint32_t lowest;   /* fewest blocks since the last tick: so many were not needed */
	void **slots;      /* HKM_MID_SLOTS or HKM_LARGE_SLOTS of them */
	struct hkm_bin *mark; /* of the spans whose blocks it takes, see ace.h; NULL: of none */
	hkm_counter hits, misses;
	uint32_t given;    /* blocks that found it full since it last ran empty */
	uint32_t least, most; /* of the capacity, from the policy */
	uint32_t ghosts;   /* if metered: blocks that went to the pool because it was full, and were not missed yet */
};
HKM_STATIC_ASSERT(sizeof(struct hkm_cache) == 64, "one cache line");

struct hkm_heap_counters {
	hkm_counter carved;          /* Tiny blocks taken from fresh memory */
	hkm_counter remote_sent;     /* blocks freed for other heaps */
	hkm_counter remote_messages; /* messages they went in */
	hkm_counter remote_received; /* blocks that came back */
	hkm_counter remote_full;     /* messages that were sent because they were full */
	hkm_counter remote_full_blocks; /* in them */
	hkm_counter remote_spared;   /* of those messages, the ones that four times the size would have spared */
};

struct hkm_heap {
	struct hkm_bin bins[HKM_TINY_CLASSES];
	struct hkm_bin no_bin;      /* always empty: where malloc looks while call sites are of interest (api/malloc.c) */

	struct hkm_reader reader;   /* its lock: see above */
	bool fork_interrupts;       /* its thread forks in a handler that has interrupted a slow path; owner only */
	bool metered;               /* its meter runs: constant */
	bool window_over;           /* the learner is to be called when the slow path has been left; owner only */
	bool miscounted;            /* a slab may count a block more than is true, as its thread ended, or was copied, while it
	                             * freed one: costs at most that slab, but the checks of the debug build would call it broken */
	bool expecting;             /* holds or has freed memory that a later tick gives back */
	_Atomic bool abandoned;     /* has no thread; written under the registry and the reader's lock */
	bool bare;                  /* abandoned, and all that is free in it lies on its slabs; written under the reader's lock */
	_Alignas(64) bool enterable; /* not inside a slow path, so that a signal handler may enter; owner only */
	uint32_t grant_mask;        /* frees that a hot list takes, and hits of a cache, between two looks at the clock, a
	                             * power of two; less one */
	uint32_t largest_dynamic;   /* size of the larger DYN class that no static one has, from the policy; 0: none */
	size_t cache_limit;         /* most bytes in caches[], see hkm_ace_set_limit */
	ptrdiff_t cache_room;       /* of them, those that are free; below 0 after the limit has fallen */
	/* Blocks that signal handlers freed while they interrupted a slow path of this heap; they belong to any
	 * layer, and the API frees them when the slow path is left. Owner only, but atomically. */
	_Atomic(struct hkm_block *) deferred;
	uint32_t empty_slabs;       /* slabs in `empty` */
	uint32_t empty_slabs_kept;  /* most of them, from the policy */
	uint32_t remote_blocks, remote_bytes; /* size of a message, from the policy */
	uint64_t policy_generation; /* whose numbers are in tiny[] and caches[] */
	uint64_t trim_generation;   /* last request of malloc_trim that was followed */
	size_t dirty_bytes;         /* idle memory of the process that is purged at once beyond this, from the policy */
	uint32_t polls_skipped;     /* slow paths that did not look at the clock */
	uint32_t debug_leaves;      /* slow paths left, for the debug build's checks */
	hkm_counter last_poll_ms;   /* last look at the clock; others see by it whether its thread sleeps */
	uint64_t next_tick_ms;
	struct hkm_slab *empty;     /* slabs without a class, kept */
	struct hkm_heap *next_heap; /* all heaps; constant once linked */
	struct hkm_heap *next_abandoned; /* guarded by the registry lock */
	struct hkm_heap_counters counters;
	struct hkm_sampler sampler; /* owner only */
	uintptr_t entered_at;       /* where on its thread's stack the slow path was entered that is open; owner only */
	/* escape.c: the heaps that its thread has before left in a slow path, through this; owner only. */
	struct hkm_heap *left;
	/* Its thread has another; guarded by the registry lock, but its thread, too, may read it. */
	bool left_behind;
	bool fork_skips;            /* a fork in progress does not wait for it; guarded by the registry lock */
	_Atomic bool shows_life;    /* its thread holds `life`, or did until it ended; written under the lock of the heap */
	_Atomic bool forsaken;      /* nobody may ever release its lock again, so fork does not wait for it; advice */

	_Alignas(64) struct hkm_tiny tiny[HKM_TINY_CLASSES];
	struct hkm_tiny_counters tiny_counters[HKM_TINY_CLASSES];
	struct hkm_outbox outboxes[HKM_OUTBOXES];
	uint16_t outbox_rows[HKM_OUTBOXES]; /* full messages that each has sent in a row: see tiny/remote.c */
	_Alignas(64) struct hkm_cache caches[HKM_ACE_CLASSES];

	/* Pushed by other threads: a line of its own, so that they do not take the owner's. */
	_Alignas(128) _Atomic(struct hkm_block *) inbox;
	/* The rest of what came in, which a receiver has left as it was too much at once; written by whoever holds the lock.
	 * Relaxed: others see by it whether there is something. */
	_Atomic(struct hkm_block *) backlog;
	/* Held by its thread if shows_life; the kernel marks it when that thread is no more (life.c). Held without that, it is still in
	 * the list of a thread that had the heap before. Here, as there is room in this line. */
	pthread_mutex_t life;

	_Alignas(128) void *mid_slots[HKM_MID_CLASSES + 2][HKM_MID_SLOTS];
	void *large_slots[HKM_ACE_STATIC_CLASSES - HKM_MID_CLASSES][HKM_LARGE_SLOTS];

	struct hkm_meter meter; /* last: without learning its pages are not touched */
};
HKM_STATIC_ASSERT(offsetof(struct hkm_heap, reader) <= HKM_HEAP_ALIGNMENT, "a bin leads to its heap");
HKM_STATIC_ASSERT(sizeof(struct hkm_heap) <= 16384, "metadata comes in powers of two");

/* Offset in the heap of the bin that serves (size + 7) / 8 bytes; filled up to whole lines of cache, which nothing else
 * is to write. Written by hkm_bins_divert only, while no thread but the calling one has a heap; relaxed suffices, as
 * in hkm_no_heap all bins are empty. */
#define HKM_BIN_OFFSETS 160u
HKM_STATIC_ASSERT(HKM_BIN_OFFSETS > HKM_TINY_MAX / 8 && HKM_BIN_OFFSETS * 2 % 64 == 0, "whole lines");
extern _Atomic uint16_t hkm_bin_offsets[HKM_BIN_OFFSETS] __attribute__((visibility("hidden")));

/* From now on every malloc takes the slow path. Called while the process starts. */
void hkm_bins_divert(void);

/* The calling thread's heap; hkm_no_heap before its first call, hkm_ended_heap after its end. Initial-exec: one
 * load from the thread pointer. */
extern _Thread_local struct hkm_heap *hkm_tls_heap
	__attribute__((tls_model("initial-exec"), visibility("hidden")));

/* Heaps whose lists are empty and to which no slab belongs: every fast path falls through them. */
extern struct hkm_heap hkm_no_heap __attribute__((visibility("hidden")));
extern struct hkm_heap hkm_ended_heap __attribute__((visibility("hidden")));

/* Stands for the heap that a thread is just making or giving up, or does without while it holds a lock: a signal handler
 * finds that it must not enter it, and what it frees is put aside there. */
extern struct hkm_heap hkm_starting_heap __attribute__((visibility("hidden")));

static inline struct hkm_heap *hkm_heap_of_bin(const struct hkm_bin *bin)
{
	return (struct hkm_heap *)((uintptr_t)bin & ~(uintptr_t)(HKM_HEAP_ALIGNMENT - 1));
}

/* A signal handler that interrupts what follows must not enter the heap: it holds a lock without being entered. */
static inline void hkm_heap_guard(struct hkm_heap *heap, bool guarded)
{
	if (guarded)
		heap->entered_at = (uintptr_t)&guarded;
	atomic_signal_fence(memory_order_seq_cst);
	heap->enterable = !guarded;
	atomic_signal_fence(memory_order_seq_cst);
}

/* Takes the lock of a heap, of the calling thread's or, from outside of every slow path, of another's. Waits while somebody
 * forks. */
void hkm_heap_lock_after_fork(struct hkm_heap *heap);
static inline void hkm_heap_lock(struct hkm_heap *heap)
{
	hkm_lock_acquire_quiet(&heap->reader.lock);
	if (HKM_UNLIKELY(hkm_gate_is_closed(&hkm_fork_gate)))
		hkm_heap_lock_after_fork(heap);
}

/* The same without waiting, by anybody. Who is refused because of a fork leaves what is in the heap's inbox to whoever forks. */
static inline bool hkm_heap_try_lock(struct hkm_heap *heap)
{
	while (hkm_lock_try(&heap->reader.lock)) {
		if (HKM_LIKELY(!hkm_gate_is_closed(&hkm_fork_gate)))
			return true;
		hkm_lock_release(&heap->reader.lock);
		if (hkm_gate_is_closed(&hkm_fork_gate)) /* still: it opens after the release, and its owner then finds the lock free */
			return false;
	}
	return false;
}

/* The calling thread's heap, made or adopted if it has none; NULL if there is no memory for one, or if
 * the thread is just making it (a signal handler asks). */
struct hkm_heap *hkm_heap_get(void);

/* Enters a slow path of a heap that the calling thread owns: takes its lock and returns the policy, whose
 * numbers have been taken over. hkm_heap_leave ends it. Only for an enterable heap. */
const struct hkm_policy *hkm_heap_enter(struct hkm_heap *heap);
void hkm_heap_leave(struct hkm_heap *heap);

/* For a call that finds its heap not enterable: it interrupts a slow path, as a signal handler does, or that slow path was
 * left for good by a jump out of a handler. Result: another heap, which is the thread's from now on, if it is likely that the slow path was
 * left, or if it is `pressing`; and if the slow path holds no lock that the other heap may need; otherwise NULL. See
 * escape.c. */
struct hkm_heap *hkm_heap_escape(struct hkm_heap *heap, bool pressing);

/* The same for a thread that has no heap, with the guest's lock (policy.h): its signal handlers find hkm_starting_heap
 * meanwhile. */
const struct hkm_policy *hkm_guest_enter(void);
void hkm_guest_leave(void);

/* Frees a list of blocks, of any layer, that was taken from `deferred`. Whatever lies behind a link that the program has written
 * over is lost. */
void hkm_heap_free_list(struct hkm_block *block);

/* Housekeeping. poll looks at the clock (heap not entered) and ticks when it is time; tick, with the heap
 * entered, shrinks unused caches, sends old messages, purges what is due, follows malloc_trim of other
 * threads. Rides on slow paths: hot lists and caches are granted so many frees that a busy thread polls
 * after some dozens of a kind and an almost idle one after a handful. */
void hkm_heap_poll(struct hkm_heap *heap);
void hkm_heap_poll_entered(struct hkm_heap *heap, const struct hkm_policy *policy);

/* The heap has given up or cached memory that is to be purged later: makes sure that it polls soon. */
void hkm_heap_expect_tick(struct hkm_heap *heap);

/* The span source has just grown by `bytes` of fresh memory: gives back as much idle memory elsewhere, so
 * that the process does not grow while it holds memory that nobody uses. */
void hkm_heap_make_room(struct hkm_heap *heap, const struct hkm_policy *policy, size_t bytes);

/* Gives back all that malloc_trim promises (hakmem.h); result: bytes. */
size_t hkm_heap_trim_all(void);

/* The system has refused a request of `bytes`: gives back what idle memory could make it succeed, which is whole spans and
 * ranges; pages within them cost the process neither addresses nor promises of memory. Result: whether to try again;
 * false, at once, if nothing could help. The caller's heap is not entered. */
bool hkm_heap_reclaim(size_t bytes);

/* Heaps that malloc_trim and hkm_heap_reclaim have looked at so far; for tests. */
extern hkm_counter hkm_heaps_looked_at;

/* Whether blocks that others have freed wait in a heap; without its lock this is advice. The first: such as have been taken off
 * its inbox. */
static inline bool hkm_heap_has_backlog(const struct hkm_heap *heap)
{
	return atomic_load_explicit(&heap->backlog, memory_order_relaxed) != NULL;
}

static inline bool hkm_heap_has_mail(const struct hkm_heap *heap)
{
	/* seq_cst: see send in tiny/remote.c. */
	return hkm_heap_has_backlog(heap) || atomic_load_explicit(&heap->inbox, memory_order_seq_cst) != NULL;
}

/* Drains the inbox of an abandoned heap, or of one whose thread sleeps, if nobody else is at it; any thread. Result: whether it was
 * too much at once, and a backlog is left. */
bool hkm_heap_drain(struct hkm_heap *heap);

/* Releases the lock of a heap that has no thread, or one that sleeps, and looks again at its inbox: who sent something
 * meanwhile found the lock held, and left. Every release of the lock of such a heap comes by here, or by hkm_heap_drain,
 * which does the same. The caller's heap is guarded. */
void hkm_heap_let_go(struct hkm_heap *heap);

/* Whether the heap's thread has not looked at the clock for so long that others take in what they have freed for it: it may
 * sleep for ever. It may also wake at any moment; the heap's lock keeps it out then. Advice. */
#define HKM_ASLEEP_MS 100
static inline bool hkm_heap_is_asleep(const struct hkm_heap *heap, uint64_t now_ms)
{
	uint64_t last = hkm_counted(&heap->last_poll_ms);
	return now_ms > last && now_ms - last >= HKM_ASLEEP_MS;
}

/* A Tiny block that its call site calls long-lived, from slabs that hold such blocks only: those of a heap that all
 * threads share and none owns. It counts as abandoned, so that what is freed comes home as to any such heap, but nobody
 * adopts it. The caller has no slow path open. NULL: no memory, or no rule has asked for it. */
void *hkm_heap_alloc_long_lived(struct hkm_heap *caller, size_t size);

/* Heaps that have a thread now; advice. */
uint32_t hkm_heap_active(void);

/* Debug: asserts that every heap has a thread, or is abandoned, lost or that of long-lived blocks, and is counted as that. Takes
 * the registry lock; the caller's heap is guarded. */
void hkm_heap_check(void);

/* ---- The learner ----
 *
 * learn/ stands above the layers, and reads their counters; they do not know it. This table is all that heap.c
 * calls of it. */
struct hkm_learning {
	/* The process starts: options are read, the first policy stands; no heap exists yet. */
	void (*start)(void);
	/* hkm_window_end_ms has passed. Called outside of every lock by a thread that has just looked at the clock;
	 * its heap, if it has one, is guarded. */
	void (*window_over)(uint64_t now_ms);
	/* This is the child of a fork, and no other thread exists. */
	void (*forked)(void);
};
extern const struct hkm_learning hkm_learning;

/* When the learner is to be called next; UINT64_MAX: not at all, or somebody is at it. Written by the learner, by
 * compare-and-swap where threads compete; polls look at it (relaxed: a late look makes a late window). */
extern _Atomic uint64_t hkm_window_end_ms;

/* Heaps made from now on are metered. Called by the learner's start. */
void hkm_heap_meter_all(void);

/* All heaps ever made, through next_heap; and their number. */
struct hkm_heap *hkm_heap_first(void);

/* fork: takes every lock in order; gives them back in the parent; makes other threads' heaps adoptable in
 * the child. */
void hkm_heap_fork_prepare(void);

/* Between the two no other thread's fork begins, or has begun. Result of the first: whether it is to be followed by the second; if not,
 * the calling thread forks itself, or is between them already. */
bool hkm_fork_hold_off(void);
void hkm_fork_hold_off_no_more(void);

void hkm_heap_fork_parent(void);
void hkm_heap_fork_child(void);

#endif
