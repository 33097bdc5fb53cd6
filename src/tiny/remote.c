/* remote.c - L0: blocks freed by a thread that does not own them travel home in messages.
 *
 *   sender   outbox per owner: a chain of blocks linked through their first words
 *   receiver inbox: one word, the head of a stack of all chains sent
 *
 *              | send    | receive
 *      send    |   -     |   -       (-: no exclusion needed; X: callers exclude each other)
 *      receive |   -     |   X       (whoever holds the heap's lock: the owner, or, if it has ended or sleeps, another)
 *
 * Sending is one compare-and-swap for a whole chain (Treiber 1986); the linearisation point of a send is its
 * successful compare-and-swap, of a receive its exchange. The receiver takes everything at once and never a
 * single element, so a head that comes back (ABA) does no harm: whatever chain is appended in front of it.
 *
 * No message is left behind in a heap that has no thread. Three parties look at its inbox:
 *
 *   sender   1 pushes (compare-and-swap)      2 loads `abandoned`       3 tries the heap's lock; held: leaves
 *   owner    1 takes the lock, stores `abandoned`   2 receives          3 releases the lock, loads the inbox
 *   holder   1 takes the lock (a drainer, a trim, a fork)   2 receives  3 releases the lock, loads the inbox
 *
 * Each of these accesses is seq_cst, so they have one order that all agree on. A sender whose 2 comes before the owner's
 * store has pushed before it, and the owner's receive sees the message. A sender whose try fails has pushed before a moment
 * at which the lock was held, so that holder's release comes later, and its load of the inbox after it sees the message:
 * it then tries the lock itself, and if that fails the duty passes to the next holder in the same way. Holders are
 * finitely many, and the last one receives (as the combiner of flat combining: Hendler, Incze, Shavit and Tzafrir 2010).
 * If the heap is adopted meanwhile, its new thread receives at its next refill or tick. Two others need no such duty:
 * whoever holds the lock of a heap with a thread (its owner receives later), and the child of a fork, whose first tick
 * looks at all heaps (look_after_others in heap/heap.c).
 *
 * What is too much at once becomes the heap's backlog. Its thread goes on with it at its next refill or tick; if it has none,
 * or sleeps, that is what look_after_others comes by for.
 *
 * The blocks come from another core's cache, and a chain is walked one miss after the other; so each block of at
 * least 16 bytes also points HKM_JUMP places ahead, and the receiver prefetches from there (jump pointers: Roth
 * and Sohi, ISCA 1999).
 */
#include "core/report.h"
#include "tiny/tiny.h"

/* Blocks that are received at once: a tenth of a millisecond where all are near, and less than one where each is a
 * cache miss. Others wait for the heap's lock meanwhile, and its thread for its malloc. */
#define RECEIVED_MOST 4096u

/* A block in a message. */
struct message_block {
	struct hkm_block link;
	struct hkm_block *ahead; /* only to be prefetched; blocks of 8 bytes do not have it */
};

static void send(struct hkm_heap *owner, struct hkm_block *first, struct hkm_block *last)
{
	struct hkm_block *head = atomic_load_explicit(&owner->inbox, memory_order_relaxed);
	do {
		hkm_link(last, head);
		/* seq_cst includes release, which pairs with the exchange in hkm_remote_receive: links, and all that the
		 * program wrote into the blocks, happened before they are used again. Beyond that, this, the load below
		 * and the try in hkm_heap_drain pair with an owner that ends and with whoever holds its heap's lock:
		 * see above. */
	} while (!atomic_compare_exchange_weak_explicit(&owner->inbox, &head, first, memory_order_seq_cst,
							memory_order_relaxed));
	if (HKM_UNLIKELY(atomic_load_explicit(&owner->abandoned, memory_order_seq_cst)))
		hkm_heap_drain(owner);
}

static void outbox_send(struct hkm_heap *heap, struct hkm_outbox *outbox)
{
	struct hkm_block *first = outbox->first, *last = outbox->last;
	hkm_count(&heap->counters.remote_sent, outbox->blocks);
	hkm_count(&heap->counters.remote_messages, 1);
	outbox->first = outbox->last = NULL;
	outbox->blocks = outbox->bytes = 0;
	for (unsigned i = 0; i < HKM_JUMP; i++)
		outbox->recent[i] = NULL;
	send(outbox->owner, first, last);
	if (HKM_UNLIKELY(hkm_heap_is_asleep(outbox->owner, hkm_counted(&heap->last_poll_ms))))
		hkm_heap_drain(outbox->owner);
}

/* Full messages in a row, with nothing sent between them for another reason: of four, one of four times the size would
 * have held all, and the last three are what it spares. A row that ends early may have spared one more. */
static void outbox_send_full(struct hkm_heap *heap, struct hkm_outbox *outbox)
{
	uint16_t *row = &heap->outbox_rows[outbox - heap->outboxes];
	hkm_count(&heap->counters.remote_full, 1);
	hkm_count(&heap->counters.remote_full_blocks, outbox->blocks);
	hkm_count(&heap->counters.remote_spared, *row % 4 != 0);
	++*row;
	if (HKM_LIKELY(!heap->metered)) {
		outbox_send(heap, outbox);
		return;
	}
	hkm_meter_begin(&heap->meter);
	outbox_send(heap, outbox);
	uint64_t cycles = hkm_meter_end(&heap->meter);
	if (cycles != 0)
		hkm_price_add(&heap->meter.messages, cycles);
}

void hkm_remote_free(struct hkm_heap *from, struct hkm_heap *owner, uint32_t block_size, void *pointer)
{
	struct hkm_block *block = pointer;
	if (from == NULL) {
		/* Freed before, and not received yet. relaxed: a head that is outdated is not this block, which was the program's since. */
		if (HKM_UNLIKELY(atomic_load_explicit(&owner->inbox, memory_order_relaxed) == block)) {
			hkm_misuse("free", HKM_FREED_TWICE, pointer);
			return;
		}
		if (block_size >= sizeof(struct message_block))
			((struct message_block *)block)->ahead = NULL;
		send(owner, block, block);
		return;
	}
	struct hkm_outbox *outbox = &from->outboxes[((uintptr_t)owner >> 14) % HKM_OUTBOXES];
	if (outbox->owner != owner) {
		if (outbox->first != NULL)
			outbox_send(from, outbox);
		from->outbox_rows[outbox - from->outboxes] = 0;
		outbox->owner = owner;
	}
	if (HKM_UNLIKELY(block == outbox->first)) {
		hkm_misuse("free", HKM_FREED_TWICE, pointer);
		return;
	}
	hkm_link(block, outbox->first);
	if (outbox->first == NULL)
		outbox->last = block;
	atomic_signal_fence(memory_order_release); /* a child of fork finds the chain whole */
	outbox->first = block;
	struct hkm_block **recent = &outbox->recent[outbox->blocks % HKM_JUMP];
	if (block_size >= sizeof(struct message_block))
		((struct message_block *)block)->ahead = *recent;
	*recent = block;
	outbox->blocks++;
	outbox->bytes += block_size;
	if (outbox->blocks >= from->remote_blocks || outbox->bytes >= from->remote_bytes) {
		outbox_send_full(from, outbox);
		hkm_heap_poll(from);
	}
}

void hkm_remote_send_all(struct hkm_heap *heap)
{
	for (unsigned i = 0; i < HKM_OUTBOXES; i++) {
		if (heap->outboxes[i].first != NULL)
			outbox_send(heap, &heap->outboxes[i]);
		heap->outbox_rows[i] = 0;
	}
}

/* `own`: see hkm_tiny_free_for. */
static bool receive(struct hkm_heap *heap, bool own)
{
	struct hkm_block *block = atomic_load_explicit(&heap->backlog, memory_order_relaxed);
	if (HKM_LIKELY(block == NULL)) {
		/* seq_cst: after `abandoned` was set, see send. */
		if (atomic_load_explicit(&heap->inbox, memory_order_seq_cst) == NULL)
			return false;
		/* acquire: pairs with the compare-and-swap in send. */
		block = atomic_exchange_explicit(&heap->inbox, NULL, memory_order_acquire);
	}
	uint64_t received = 0;
	while (block != NULL && received < RECEIVED_MOST) {
		struct hkm_bin *bin = hkm_tiny_led_to(heap, block);
		if (HKM_UNLIKELY(bin == NULL)) {
			hkm_tiny_report_link("free", block);
			block = NULL;
			break;
		}
		struct hkm_block *next = hkm_next(block);
		if (bin != heap->bins) /* not the class of 8 bytes */
			__builtin_prefetch(((struct message_block *)block)->ahead, 1);
		if (own)
			hkm_tiny_free_local(heap, bin, block);
		else
			hkm_tiny_free_for(heap, bin, block);
		block = next;
		received++;
	}
	atomic_store_explicit(&heap->backlog, block, memory_order_relaxed);
	hkm_count(&heap->counters.remote_received, received);
	return true;
}

bool hkm_remote_receive(struct hkm_heap *heap)
{
	return receive(heap, true);
}

bool hkm_remote_receive_for(struct hkm_heap *heap)
{
	return receive(heap, false);
}

/* Counts a chain, and finds its last block: where it ends, or where the program has written over a link. */
static void repair(struct hkm_outbox *outbox)
{
	struct hkm_heap *owner = outbox->owner;
	struct hkm_block *block = outbox->first;
	for (const struct hkm_bin *bin; block != NULL && (bin = hkm_tiny_led_to(owner, block)) != NULL; block = hkm_next(block)) {
		outbox->last = block;
		outbox->blocks++;
		outbox->bytes += hkm_tiny_shapes[bin - owner->bins].size;
	}
	if (block != NULL)
		hkm_tiny_report_link("free", block);
	if (outbox->last == NULL)
		outbox->first = NULL;
}

void hkm_remote_repair(struct hkm_heap *heap)
{
	for (unsigned i = 0; i < HKM_OUTBOXES; i++) {
		struct hkm_outbox *outbox = &heap->outboxes[i];
		outbox->blocks = outbox->bytes = 0;
		outbox->last = NULL;
		if (outbox->first != NULL)
			repair(outbox);
	}
}

/* ---- Invariants ------------------------------------------------------------------------------------------ */

#define CHECKED_BLOCKS 1000u

/* A heap may send to itself: where a thread's first call frees a block of the heap that it adopts by it. A link that the program
 * has written over ends a walk: see check.c. */
static void check_outbox(const struct hkm_outbox *outbox)
{
	uint32_t blocks = 0, bytes = 0;
	const struct hkm_block *last = NULL;
	HKM_ASSERT((outbox->first == NULL) == (outbox->last == NULL) && (outbox->first == NULL) == (outbox->blocks == 0));
	for (const struct hkm_block *block = outbox->first; block != NULL && blocks < outbox->blocks; block = hkm_next(block)) {
		const struct hkm_bin *bin = hkm_tiny_led_to(outbox->owner, block);
		if (bin == NULL)
			return;
		bytes += hkm_tiny_shapes[bin - outbox->owner->bins].size;
		blocks++;
		last = block;
	}
	HKM_ASSERT(blocks == outbox->blocks && bytes == outbox->bytes && last == outbox->last);
}

static void check_chain(const struct hkm_heap *heap, const struct hkm_block *block)
{
	for (unsigned i = 0; hkm_may_be_block(block) && i < CHECKED_BLOCKS; i++, block = hkm_next(block))
		HKM_ASSERT(hkm_heap_of_bin(hkm_tiny_bin_at(block)) == heap);
}

void hkm_remote_check(const struct hkm_heap *heap)
{
	for (unsigned i = 0; i < HKM_OUTBOXES; i++)
		check_outbox(&heap->outboxes[i]);
	check_chain(heap, atomic_load_explicit(&heap->backlog, memory_order_relaxed));
	/* acquire: pairs with the compare-and-swap in send, as the exchange in receive does. Others only add in front. */
	check_chain(heap, atomic_load_explicit(&heap->inbox, memory_order_acquire));
}
