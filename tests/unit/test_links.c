/* test_links.c - the program writes to free blocks: whoever follows the link says so, loses what lies behind it, and nothing else.
 */
#include "unit.h"

#include <pthread.h>
#include <sched.h>

#include "api/api.h"
#include "core/report.h"

#define SIZE 112u /* a class of its own: nobody else in the process allocates through hkm_malloc */
#define CAPACITY (HKM_SLICE_SIZE / SIZE)
#define COUNT 24u
#define MANY (3 * CAPACITY)

static char *blocks[COUNT], *other;

/* ---- What is written ------------------------------------------------------------- */

enum kind {
	ZERO, ONE, EIGHT, ALL_ONES, HEAP_POINTER, SAME_CLASS, SAME_BLOCK, STACK_POINTER, TEXT, END_OF_TEXT, LESS, MORE, BEFORE,
	KINDS
};

static const char *const kind_names[KINDS] = {
	"zero", "1", "8", "all ones", "a block of another size", "a live block of the class", "the block itself", "the stack",
	"a text", "a zero byte", "one less", "one more", "an overflow of 8 bytes",
};

static void write_over(char *block, enum kind kind)
{
	uintptr_t word, local;

	memcpy(&word, block, sizeof word);
	switch (kind) {
	case ZERO: word = 0; break;
	case ONE: word = 1; break;
	case EIGHT: word = 8; break;
	case ALL_ONES: word = UINTPTR_MAX; break;
	case HEAP_POINTER: word = (uintptr_t)other; break;
	case SAME_CLASS: word = (uintptr_t)blocks[0]; break;
	case SAME_BLOCK: word = (uintptr_t)block; break;
	case STACK_POINTER: word = (uintptr_t)&local; break;
	case TEXT: memcpy(&word, "overflow", sizeof word); break;
	case END_OF_TEXT: word &= ~(uintptr_t)0xff; break;
	case LESS: word--; break;
	case MORE: word++; break;
	case BEFORE: word = 0x4141414141414141; break;
	case KINDS: break;
	}
	memcpy(opaque_pointer(block), &word, sizeof word);
}

/* ---- What is said ---------------------------------------------------------------- */

static int errors;

/* Reports since the last call that tell of a free block that was written to; anything else fails the test. */
static unsigned reports(void)
{
	static char text[4096];
	unsigned count = 0;
	ssize_t length = pread(errors, text, sizeof text - 1, 0);

	require(length >= 0 && ftruncate(errors, 0) == 0 && lseek(errors, 0, SEEK_SET) == 0, "no reports");
	text[length] = '\0';
	for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1, count++)
		require(strstr(line, "write after free") != NULL && strchr(line, '\n') != NULL, "%s", line);
	return count;
}

/* ---- A heap with a hot list ------------------------------------------------------ */

static struct hkm_heap *start(void)
{
	struct hkm_heap *heap = quiet_heap();

	errors = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	require(errors >= 0 && dup2(errors, STDERR_FILENO) >= 0, "no file for the reports");
	hkm_misuse_goes_on(true);
	other = hkm_malloc(500);
	return heap;
}

static void allocate(void)
{
	for (size_t i = 0; i < COUNT; i++) {
		blocks[i] = hkm_malloc(SIZE);
		require(blocks[i] != NULL, "no memory");
	}
}

/* All but a few, from the first of them on. */
static void free_some(void)
{
	for (size_t i = 4; i < COUNT; i++)
		hkm_free(blocks[i]);
}

/* The heap still works: what it hands out does not overlap, and its accounts are right. */
static void require_sound(struct hkm_heap *heap)
{
	static char *many[MANY];

	hkm_heap_enter(heap);
	hkm_tiny_check_all(heap);
	hkm_heap_leave(heap);
	for (size_t i = 0; i < MANY; i++) {
		many[i] = hkm_malloc(SIZE);
		require(many[i] != NULL, "no memory");
		fill_pattern(many[i], SIZE, i);
	}
	for (size_t i = 0; i < MANY; i++) {
		require(pattern_holds(many[i], SIZE, SIZE, i), "blocks overlap");
		hkm_free(many[i]);
	}
	for (size_t i = 0; i < 4; i++)
		hkm_free(blocks[i]);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_check_all(heap);
	hkm_heap_leave(heap);
	require(reports() == 0, "more was said");
}

static void for_each_kind(void (*act)(struct hkm_heap *heap, enum kind kind))
{
	struct hkm_heap *heap = start();

	for (enum kind kind = 0; kind < KINDS; kind++) {
		unsigned count;

		allocate();
		act(heap, kind);
		count = reports();
		require(count == 1, "%s: %u reports", kind_names[kind], count);
		require_sound(heap);
	}
}

/* ---- Who follows ----------------------------------------------------------------- */

static void pop(struct hkm_heap *heap, enum kind kind)
{
	void *newest, *next;

	(void)heap;
	free_some();
	write_over(blocks[COUNT - 1], kind);
	newest = hkm_malloc(SIZE);
	require(newest == blocks[COUNT - 1] && reports() == 0, "the block itself is as good as any");
	next = hkm_malloc(SIZE);
	require(next != NULL && slab_of_block(next)->block_size == SIZE, "%s: handed out", kind_names[kind]);
	hkm_free(newest);
	hkm_free(next);
}

static void flush(struct hkm_heap *heap, enum kind kind)
{
	free_some();
	write_over(blocks[COUNT - 1], kind);
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
}

static void cut(struct hkm_heap *heap, enum kind kind)
{
	free_some();
	write_over(blocks[COUNT - 1], kind);
	hkm_heap_enter(heap);
	hkm_tiny_decay(heap);
	hkm_heap_leave(heap);
}

/* In the part of the list that goes. */
static void cut_off(struct hkm_heap *heap, enum kind kind)
{
	free_some();
	write_over(blocks[5], kind);
	hkm_heap_enter(heap);
	hkm_tiny_decay(heap);
	hkm_heap_leave(heap);
}

static struct hkm_block *first_of_slab(struct hkm_heap *heap)
{
	free_some();
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
	return slab_of_block(blocks[0])->freed;
}

static void trim(struct hkm_heap *heap, enum kind kind)
{
	write_over((char *)first_of_slab(heap), kind);
	hkm_tiny_trim();
}

static void refill(struct hkm_heap *heap, enum kind kind)
{
	void *first;

	write_over((char *)first_of_slab(heap), kind);
	first = hkm_malloc(SIZE);
	hkm_free(first);
	require(reports() == 0, "nobody has followed");
	hkm_heap_enter(heap);
	hkm_tiny_flush(heap);
	hkm_heap_leave(heap);
}

static void *free_as_another(void *unused)
{
	free_some();
	return unused;
}

/* Links of a chain that other threads have sent. */
static void receive(struct hkm_heap *heap, enum kind kind)
{
	pthread_t thread;
	struct hkm_block *newest;

	require(pthread_create(&thread, NULL, free_as_another, NULL) == 0 && pthread_join(thread, NULL) == 0, "thread");
	newest = atomic_load(&heap->inbox);
	require(newest != NULL, "nothing was sent");
	write_over((char *)newest, kind);
	hkm_heap_enter(heap);
	require(hkm_remote_receive(heap), "nothing was received");
	hkm_heap_leave(heap);
}

static void defer(struct hkm_heap *heap, enum kind kind)
{
	for (size_t i = 4; i < COUNT; i++)
		hkm_defer_free(heap, blocks[i]);
	write_over(blocks[COUNT - 1], kind);
	hkm_free_deferred(heap);
}

ISOLATED(malloc_hands_out_no_link) { for_each_kind(pop); }
ISOLATED(a_flush_follows_no_link) { for_each_kind(flush); }
ISOLATED(a_cut_follows_no_link) { for_each_kind(cut); }
ISOLATED(what_is_cut_off_is_looked_at) { for_each_kind(cut_off); }
ISOLATED(a_trim_follows_no_link) { for_each_kind(trim); }
ISOLATED(a_refill_follows_no_link) { for_each_kind(refill); }
ISOLATED(the_receiver_of_messages_follows_no_link) { for_each_kind(receive); }
ISOLATED(deferred_frees_follow_no_link) { for_each_kind(defer); }

static void *give_blocks(void *arrived)
{
	quiet_heap();
	allocate();
	atomic_store((_Atomic int *)arrived, 1);
	for (;;)
		sched_yield();
	return NULL;
}

/* The child of a fork makes its lost threads' outboxes whole. */
ISOLATED(an_outbox_is_made_whole_up_to_the_link)
{
	static _Atomic int arrived;
	struct hkm_heap *heap = start();
	struct hkm_outbox *outbox;
	pthread_t thread;

	require(pthread_create(&thread, NULL, give_blocks, &arrived) == 0, "thread");
	while (atomic_load(&arrived) == 0)
		sched_yield();
	for (size_t i = 4; i < 10; i++)
		hkm_free(blocks[i]);
	outbox = heap->outboxes;
	while (outbox->first == NULL)
		outbox++;
	require(outbox->blocks == 6 && outbox->bytes == 6 * SIZE, "%u blocks in the outbox", outbox->blocks);
	hkm_remote_repair(heap);
	require(outbox->blocks == 6 && outbox->bytes == 6 * SIZE && outbox->last == (void *)blocks[4], "not the same");
	write_over(blocks[7], HEAP_POINTER);
	hkm_remote_repair(heap);
	require(outbox->blocks == 3 && outbox->bytes == 3 * SIZE && outbox->last == (void *)blocks[7], "not cut");
	require(reports() == 1, "nothing was said");
}

/* What only whoever knows the key can write: a link to a block of another class, or into one. */
ISOLATED(what_goes_home_is_a_block_of_the_class)
{
	struct hkm_heap *heap = start();

	for (unsigned i = 0; i < 2; i++) {
		allocate();
		free_some();
		hkm_link(heap->bins[hkm_tiny_class(SIZE)].head, (const struct hkm_block *)(void *)(i == 0 ? other : blocks[0] + 16));
		hkm_heap_enter(heap);
		hkm_tiny_flush(heap);
		hkm_heap_leave(heap);
		/* It may look like a block that was freed twice, too. */
		require(lseek(errors, 0, SEEK_END) > 0 && ftruncate(errors, 0) == 0 && lseek(errors, 0, SEEK_SET) == 0,
			"a link of kind %u is followed", i);
		require_sound(heap);
	}
}

/* A key that has the wrong bits would let aligned pointers pass. */
ISOLATED(the_key_has_its_lowest_bits_and_is_random)
{
	quiet_heap();
	require(hkm_window.link_key % 8 == HKM_LINK_TAG && hkm_window.link_key >> 16 != 0, "%lx", hkm_window.link_key);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(malloc_hands_out_no_link),
		cmocka_unit_test(a_flush_follows_no_link),
		cmocka_unit_test(a_cut_follows_no_link),
		cmocka_unit_test(what_is_cut_off_is_looked_at),
		cmocka_unit_test(a_trim_follows_no_link),
		cmocka_unit_test(a_refill_follows_no_link),
		cmocka_unit_test(the_receiver_of_messages_follows_no_link),
		cmocka_unit_test(deferred_frees_follow_no_link),
		cmocka_unit_test(an_outbox_is_made_whole_up_to_the_link),
		cmocka_unit_test(what_goes_home_is_a_block_of_the_class),
		cmocka_unit_test(the_key_has_its_lowest_bits_and_is_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
