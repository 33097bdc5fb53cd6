/* tiny.h - L0, requests up to 1 KiB: slabs of one span each, hot lists over them.
 *
 * malloc pops the hot list (api/fast.h); when it is empty, hkm_tiny_refill takes, in this order,
 *   1. what other threads have sent back (inbox),
 *   2. the active slab's freed blocks, wholesale,
 *   3. the slab that has had room for longest,
 *   4. fresh blocks carved from the active slab,
 *   5. a kept empty slab, or a new span.
 * free pushes on the hot list while it has room (a countdown granted here), then on the block's slab.
 *
 * Accounting: slab->in_use counts the blocks that are neither on the slab's freed list, nor in its
 * free_map, nor uncarved: those in the program's hands, on hot lists, in outboxes and inboxes. It is exact
 * whenever its owner looks, and a slab is released when it is zero and never before.
 *
 * Block states:  uncarved -> hot list -> program -> hot list | slab's freed list | outbox -> inbox
 * A trim turns freed blocks into bits of free_map, so that no link lies in memory given back.
 *
 * Callers own the heap and have entered it (heap.h), unless said otherwise.
 */
#ifndef HKM_TINY_H
#define HKM_TINY_H

#include "heap/heap.h"
#include "span/links.h"

/* Takes the newest block off a hot list: the head, which may be a block. */
HKM_HOT struct hkm_block *hkm_tiny_take_head(struct hkm_bin *bin, struct hkm_block *block)
{
	struct hkm_block *next = hkm_next(block);
	bin->taken++;
	bin->head = next;
	__builtin_prefetch(next, 1); /* both its user and the next call here will want it: docs/design/hot-lists.md */
	return block;
}

/* The same, for the fast path. NULL: there is none, it lies beyond the window, or the program has written over the link that
 * led there; then hkm_tiny_refill has more to say. */
HKM_HOT struct hkm_block *hkm_tiny_pop(struct hkm_bin *bin)
{
	struct hkm_block *block = bin->head;
#ifdef __x86_64__
	__asm__("" : "+a"(block)); /* where malloc returns it: gcc would put the bin there, and need another instruction */
#endif
	if (HKM_UNLIKELY(hkm_is_beyond((uintptr_t)block - hkm_window_base())))
		return NULL;
	return hkm_tiny_take_head(bin, block);
}

/* Pushes a block on a hot list. */
HKM_HOT void hkm_tiny_push(struct hkm_bin *bin, struct hkm_block *block)
{
	hkm_link(block, bin->head);
	/* In a child of fork the list is whole at whatever moment this thread was copied; no instruction. */
	atomic_signal_fence(memory_order_release);
	bin->head = block;
}

/* Blocks on the hot list of a class. By the heap's thread, or whoever holds its lock while it does not run. */
size_t hkm_tiny_hot_length(const struct hkm_heap *heap, unsigned class);

/* Fills the hot list of `class`, if it is empty. Result: whether it holds a block now; false: no memory. A list that the
 * program has written to is reported, and given up: its blocks stay in use for ever. */
bool hkm_tiny_refill(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class);

/* Frees a block of a slab that `heap` owns, on the hot list or its slab. */
void hkm_tiny_free_local(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer);

/* The same on behalf of the heap's thread, which sleeps: by another one that holds the heap's lock. Nothing is touched that fast
 * paths work on, so the block goes to its slab. */
void hkm_tiny_free_for(struct hkm_heap *heap, const struct hkm_bin *bin, void *pointer);

/* A free that found its grant used up (bin->room has gone below 0): looks at the clock, makes room if the hot list is
 * full, and grants more. The heap is not entered. */
void hkm_tiny_free_full(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer);

/* What a slab of a class looks like; constant. */
struct hkm_tiny_shape {
	uint32_t reciprocal; /* ceil(2^32 / size) */
	uint16_t size;       /* of a block, bytes */
	uint16_t capacity;   /* blocks */
};
extern const struct hkm_tiny_shape hkm_tiny_shapes[HKM_TINY_CLASSES] __attribute__((visibility("hidden")));

/* Whether one of `capacity` blocks starts `offset` bytes behind the start of a slab.
 *
 * One multiplication by the reciprocal, ceil(2^32 / size), tells both the index (its high half: division by a
 * constant, Granlund and Montgomery 1994) and whether the division is exact (its low half is below the reciprocal:
 * Lemire, Kaser and Kurz 2019), as offset and size are below 2^16. Tested for every offset of every class by
 * tests/unit/test_sizeclass.c. */
HKM_HOT bool hkm_tiny_divides(uintptr_t offset, uint32_t reciprocal, uint32_t capacity)
{
	uint64_t product = offset * reciprocal;
	return (uint32_t)product < reciprocal && product >> 32 < capacity;
}

/* Whether a block of the slab that was ever handed out starts at `pointer`. Any thread: relaxed, as whoever holds a block has
 * it from a thread that saw it carved. */
HKM_HOT bool hkm_tiny_is_block(const struct hkm_slab *slab, const void *pointer)
{
	return hkm_tiny_divides((uintptr_t)pointer & (HKM_SLICE_SIZE - 1), slab->reciprocal,
				__atomic_load_n(&slab->carved, __ATOMIC_RELAXED));
}

/* The same for a slab of `class`, without a look at its descriptor. */
HKM_HOT bool hkm_tiny_starts_block(unsigned class, const void *pointer)
{
	const struct hkm_tiny_shape *shape = &hkm_tiny_shapes[class];
	return hkm_tiny_divides((uintptr_t)pointer & (HKM_SLICE_SIZE - 1), shape->reciprocal, shape->capacity);
}

/* Whose list a block of the window may be on, if of any. relaxed: an entry is acted on only if it is of the heap that asks, which has
 * stored it. */
HKM_HOT struct hkm_bin *hkm_tiny_bin_at(const struct hkm_block *block)
{
	return atomic_load_explicit(&hkm_window.bins[hkm_slice_of(block)], memory_order_relaxed);
}

/* The bin whose list a link of the heap's may lead to, at the start of a block; NULL: the program has written over the link, or has
 * freed the block twice, and its slab has gone meanwhile. */
HKM_HOT struct hkm_bin *hkm_tiny_led_to(struct hkm_heap *heap, const struct hkm_block *block)
{
	if (HKM_UNLIKELY(!hkm_may_be_block(block)))
		return NULL;
	struct hkm_bin *bin = hkm_tiny_bin_at(block);
	if (HKM_UNLIKELY(hkm_heap_of_bin(bin) != heap))
		return NULL;
	return HKM_LIKELY(hkm_tiny_starts_block((unsigned)(bin - heap->bins), block)) ? bin : NULL;
}

/* The same where the class is known, and the slab's descriptor is about to be touched: the slab. */
HKM_HOT struct hkm_slab *hkm_tiny_slab_led_to(const struct hkm_bin *bin, const struct hkm_block *block)
{
	if (HKM_UNLIKELY(!hkm_may_be_block(block)))
		return NULL;
	struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(block)];
	return HKM_LIKELY(hkm_tiny_bin_at(block) == bin && hkm_tiny_is_block(slab, block)) ? slab : NULL;
}

/* Says what is wrong with a link that leads to `block`, which is not to be followed. */
void hkm_tiny_report_link(const char *call, const struct hkm_block *block);

/* The slab's freed list cannot be followed: what is on it counts as in use from now on. */
void hkm_tiny_give_up_freed(struct hkm_heap *heap, struct hkm_slab *slab);

/* Whether the program was never given the blocks on a hot list: they were carved, and none was freed since. Of the calling
 * thread's heap. */
bool hkm_tiny_is_fresh(const struct hkm_bin *bin);

/* Takes over the policy's numbers. */
void hkm_tiny_apply(struct hkm_heap *heap, const struct hkm_policy *policy);

/* Moves all hot blocks to their slabs and releases the slabs that become empty. */
void hkm_tiny_flush(struct hkm_heap *heap);

/* Cuts what is granted to `frees` per hot list, so that the heap polls soon. */
void hkm_tiny_hasten(struct hkm_heap *heap, int32_t frees);

/* Nobody uses the heap any more: what is freed into it goes to slabs only. */
void hkm_tiny_close(struct hkm_heap *heap);

/* Once a tick: hot lists that have not changed since the last go to their slabs, others lose their older half;
 * blocks that lie on a hot list for long would hold on to slabs that are otherwise empty. */
void hkm_tiny_decay(struct hkm_heap *heap);

/* Releases kept empty slabs down to `keep`. */
void hkm_tiny_release_empty(struct hkm_heap *heap, uint32_t keep);

/* Gives the pages back that no live block lies in, of all slabs of all heaps (trim.c); result: bytes. The calling thread's
 * heap is guarded. */
size_t hkm_tiny_trim(void);

/* Takes up to `limit` blocks out of a slab's free_map; result: their list, *count their number. */
struct hkm_block *hkm_tiny_take_mapped(struct hkm_slab *slab, uint32_t limit, uint32_t *count);

/* ---- Remote frees (remote.c) ---- */

/* Frees a block of another heap: puts it into the outbox for it, which is sent when it is full. `from` is
 * the calling thread's heap (not entered), or NULL if it has none. */
void hkm_remote_free(struct hkm_heap *from, struct hkm_heap *owner, uint32_t block_size, void *pointer);

/* Sends what the outboxes hold. */
void hkm_remote_send_all(struct hkm_heap *heap);

/* Frees what is in the inbox, a few thousand blocks at most: the rest is the heap's backlog, and comes first next time. Result:
 * whether there was anything. The second one on behalf of a thread that sleeps, by whoever holds the heap's lock. */
bool hkm_remote_receive(struct hkm_heap *heap);
bool hkm_remote_receive_for(struct hkm_heap *heap);

/* fork, in the child: makes the outboxes whole of a heap whose thread was copied at any moment. */
void hkm_remote_repair(struct hkm_heap *heap);

/* Debug: asserts the invariants of a heap's outboxes and of its inbox (its first 1,000 blocks); by whoever holds its lock, and
 * for its thread or without one. */
void hkm_remote_check(const struct hkm_heap *heap);

/* Debug: asserts the invariants of a heap's lists, and of the slabs on them (check.c). By the heap's thread, in
 * its heap. The second one does so of all its slabs, which takes a walk through the window, and of their sums. */
void hkm_tiny_check(const struct hkm_heap *heap);
void hkm_tiny_check_all(const struct hkm_heap *heap);

#endif
