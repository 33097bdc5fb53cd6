/* misuse.c - does one wrong thing with the allocator, named by its argument; test_misuse.py
 * and test_environment.py look at what happens.
 *
 * Standard output gets two lines: the pointer that is used wrongly (0x...), and "survived" if
 * the process is still there afterwards and its heap still works.
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "names.h"

static char static_bytes[4096] __attribute__((aligned(64)));

static void announce(const void *pointer)
{
	char line[32];
	int length = snprintf(line, sizeof line, "0x%lx\n", (unsigned long)(uintptr_t)pointer);

	(void)!write(STDOUT_FILENO, line, (size_t)length);
}

static void wrong_free(void *pointer)
{
	announce(pointer);
	free(opaque_pointer(pointer));
}

static void wrong_realloc(void *pointer)
{
	announce(pointer);
	require(realloc(opaque_pointer(pointer), 5000) == NULL, "realloc of a wrong pointer");
}

static void *at(void *pointer, ptrdiff_t distance)
{
	return opaque_pointer((char *)pointer + distance);
}

static void *wild(uintptr_t address)
{
	return opaque_pointer((void *)address);
}

/* A pointer to a block that was just freed. */
static void *freed(size_t size)
{
	void *block = malloc(size);

	require(block != NULL, "no memory");
	free(block);
	return opaque_pointer(block);
}

static void *free_in_thread(void *block)
{
	free(block);
	return NULL;
}

static void *freed_by_a_thread(size_t size)
{
	void *block = malloc(size);
	pthread_t thread;

	pthread_create(&thread, NULL, free_in_thread, block);
	pthread_join(thread, NULL);
	return opaque_pointer(block);
}

/* Freed, and another block of the same size after it: no longer on top of a list. */
static void *freed_before_another(size_t size)
{
	void *block = malloc(size);
	void *other = malloc(size);

	free(block);
	free(other);
	return opaque_pointer(block);
}

static void *mapped_page(bool keep)
{
	void *page = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	require(page != MAP_FAILED, "mmap");
	if (!keep)
		munmap(page, 65536);
	return page;
}

/* Where a block of a slab would be that nobody has been given yet: slabs are carved from their start. */
static void *not_yet_given(size_t size)
{
	uintptr_t block = (uintptr_t)malloc(size), slab = block & ~(uintptr_t)32767;

	return wild(slab + (32768 / size - 2) * size);
}

static void stack_pointer(void)
{
	char bytes[256] __attribute__((aligned(64)));

	wrong_free(opaque_pointer(bytes));
}

static void static_pointer(void) { wrong_free(static_bytes + 64); }
static void function_pointer(void) { wrong_free(wild((uintptr_t)announce & ~(uintptr_t)15)); }
static void mapped_pointer(void) { wrong_free(at(mapped_page(true), 4096)); }
static void unmapped_pointer(void) { wrong_free(at(mapped_page(false), 4096)); }
static void far_below_heap(void) { wrong_free(at(malloc(100), -(ptrdiff_t)(64 * GIB))); }
static void far_above_heap(void) { wrong_free(at(malloc(100), (ptrdiff_t)(64 * GIB))); }
static void wild_1(void) { wrong_free(wild(1)); }
static void wild_16(void) { wrong_free(wild(16)); }
static void wild_page_one(void) { wrong_free(wild(4096)); }
static void wild_noncanonical(void) { wrong_free(wild(0xdeadbeefdeadbee0u)); }
static void wild_first_noncanonical(void) { wrong_free(wild(0x0000800000000000u)); }
static void wild_kernel(void) { wrong_free(wild(0xffff800000000010u)); }
static void wild_last(void) { wrong_free(wild(UINTPTR_MAX - 15)); }
static void misaligned_tiny(void) { wrong_free(at(malloc(100), 1)); }
static void misaligned_tiny_by_4(void) { wrong_free(at(malloc(100), 4)); }
static void misaligned_mid(void) { wrong_free(at(malloc(5000), 3)); }
static void misaligned_large(void) { wrong_free(at(malloc(300000), 8)); }
static void misaligned_big(void) { wrong_free(at(malloc(5 * MIB), 1)); }
static void interior_tiny(void) { wrong_free(at(malloc(256), 16)); }
static void interior_tiny_1024(void) { wrong_free(at(malloc(1024), 512)); }
static void not_yet_given_tiny(void) { wrong_free(not_yet_given(208)); }
static void interior_mid(void) { wrong_free(at(malloc(5000), 1600)); }
static void interior_mid_first(void) { wrong_free(at(malloc(30000), 16)); }
static void interior_mid_page(void) { wrong_free(at(malloc(30000), 4096)); }
static void interior_large(void) { wrong_free(at(malloc(300000), 65536)); }
static void interior_large_first(void) { wrong_free(at(malloc(1500000), 16)); }
static void interior_large_64k(void) { wrong_free(at(malloc(1500000), 1048576)); }
static void interior_big(void) { wrong_free(at(malloc(9 * MIB), 4096)); }
static void interior_big_first(void) { wrong_free(at(malloc(9 * MIB), 16)); }
static void interior_big_2m(void) { wrong_free(at(malloc(9 * MIB), (ptrdiff_t)(2 * MIB))); }
static void interior_big_4m(void) { wrong_free(at(malloc(9 * MIB), (ptrdiff_t)(4 * MIB))); }
static void double_tiny_8(void) { wrong_free(freed(8)); }
static void double_tiny(void) { wrong_free(freed(100)); }
static void double_tiny_1024(void) { wrong_free(freed(1024)); }
static void double_mid(void) { wrong_free(freed(5000)); }
static void double_mid_deep(void) { wrong_free(freed_before_another(5000)); }
static void double_mid_thread(void) { wrong_free(freed_by_a_thread(5000)); }
static void double_large(void) { wrong_free(freed(300000)); }
static void double_large_deep(void) { wrong_free(freed_before_another(300000)); }
static void double_large_thread(void) { wrong_free(freed_by_a_thread(300000)); }
static void double_big(void) { wrong_free(freed(5 * MIB)); }
static void double_big_deep(void) { wrong_free(freed_before_another(5 * MIB)); }
static void double_big_thread(void) { wrong_free(freed_by_a_thread(5 * MIB)); }
static void double_huge(void) { wrong_free(freed(700 * MIB)); }
static void realloc_static(void) { wrong_realloc(static_bytes + 64); }
static void realloc_wild(void) { wrong_realloc(wild(0xdeadbeefdeadbee0u)); }
static void realloc_not_yet_given(void) { wrong_realloc(not_yet_given(208)); }
static void realloc_freed_mid(void) { wrong_realloc(freed(5000)); }
static void realloc_freed_large(void) { wrong_realloc(freed(300000)); }
static void realloc_freed_big(void) { wrong_realloc(freed(5 * MIB)); }
static void realloc_interior_mid(void) { wrong_realloc(at(malloc(5000), 1600)); }
static void realloc_interior_big(void) { wrong_realloc(at(malloc(9 * MIB), 4096)); }
static void misaligned_tiny_by_8(void) { wrong_free(at(malloc(100), 8)); }
static void misaligned_mid_by_8(void) { wrong_free(at(malloc(5000), 8)); }
static void misaligned_realloc(void) { wrong_realloc(at(malloc(5000), 8)); }
static void misaligned_realloc_tiny(void) { wrong_realloc(at(malloc(100), 8)); }

/* The block behind one that was just given, which nobody has had yet: in a class that nobody else uses. */
static void neighbour_tiny(void) { wrong_free(at(malloc(976), 1024 - 64)); }
static void neighbour_mid(void) { wrong_free(at(malloc(7100), 7168)); }
static void neighbour_8(void) { wrong_free(at(malloc(8), 8)); }

/* Another thread frees a block of this one's, and then what is wrong: the pointer goes by the owner's slab. */
static void *wrong_free_in_thread(void *pointer)
{
	wrong_free(pointer);
	return NULL;
}

static void wrong_free_by_a_thread(void *pointer)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, wrong_free_in_thread, pointer) == 0, "thread");
	pthread_join(thread, NULL);
}

static void *free_twice_in_thread(void *block)
{
	free(block);
	wrong_free(block);
	return NULL;
}

static void interior_tiny_thread(void) { wrong_free_by_a_thread(at(malloc(256), 16)); }
static void misaligned_tiny_thread(void) { wrong_free_by_a_thread(at(malloc(256), 8)); }
static void misaligned_tiny_thread_by_4(void) { wrong_free_by_a_thread(at(malloc(256), 4)); }
static void double_tiny_other_thread(void)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, free_twice_in_thread, malloc(100)) == 0, "thread");
	pthread_join(thread, NULL);
}

/* ---- Writes after free: "the pointer" is what is written over the first word ---- */

#define WRITTEN 240 /* bytes; a class that nobody else uses */

static void write_after_free(uintptr_t word)
{
	void *blocks[12], *newer;

	for (size_t i = 0; i < 12; i++)
		blocks[i] = malloc(WRITTEN);
	for (size_t i = 0; i < 4; i++) /* the others are live: the slab stays */
		free(blocks[i]);
	newer = blocks[3];
	announce((void *)word);
	memcpy(opaque_pointer(newer), &word, sizeof word);
	for (size_t i = 0; i < 4; i++) { /* one of them is what the word leads to, if anybody follows it */
		unsigned char *block = malloc(WRITTEN);

		require(block != NULL && ((uintptr_t)block & 15) == 0, "no block");
		memset(block, 17, WRITTEN);
	}
}

static void written_zero(void) { write_after_free(0); }
static void written_number(void) { write_after_free(1000); }
static void written_all_ones(void) { write_after_free(UINTPTR_MAX); }
static void written_heap_pointer(void) { write_after_free((uintptr_t)malloc(100)); }
static void written_class_pointer(void) { write_after_free((uintptr_t)malloc(WRITTEN)); }
static void written_big_pointer(void) { write_after_free((uintptr_t)malloc(5 * MIB)); }
static void written_static_pointer(void) { write_after_free((uintptr_t)static_bytes); }
static void written_text(void) { write_after_free(0x4141414141414141u); }

/* Eight bytes too many into a block whose neighbour behind it is free, and goes home when the thread ends. */
static void *overflow_in_thread(void *unused)
{
	enum { COUNT = 30 };
	char *blocks[COUNT];
	uintptr_t word = 0x4242424242424242u;

	for (size_t i = 0; i < COUNT; i++) {
		blocks[i] = malloc(WRITTEN);
		memset(blocks[i], 1, WRITTEN);
	}
	for (size_t i = 1; i < COUNT; i++)
		free(blocks[i]);
	announce((void *)word);
	memcpy(opaque_pointer(blocks[COUNT - 2] + WRITTEN), &word, sizeof word);
	return unused;
}

static void written_overflow(void)
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, overflow_in_thread, NULL) == 0, "thread");
	pthread_join(thread, NULL);
}

/* ---- Asking for a size ---- */

static void wrong_usable_size(void *pointer)
{
	announce(pointer);
	require(malloc_usable_size(opaque_pointer(pointer)) == 0, "the usable size of a wrong pointer");
}

static void usable_static(void) { wrong_usable_size(static_bytes + 64); }
static void usable_wild(void) { wrong_usable_size(wild(0xdeadbeefdeadbee0u)); }
static void usable_misaligned(void) { wrong_usable_size(at(malloc(100), 1)); }
static void usable_not_yet_given(void) { wrong_usable_size(not_yet_given(208)); }
static void usable_interior_mid(void) { wrong_usable_size(at(malloc(5000), 1600)); }
static void usable_interior_big(void) { wrong_usable_size(at(malloc(9 * MIB), 4096)); }
static void usable_freed_mid(void) { wrong_usable_size(freed(5000)); }
static void usable_freed_large(void) { wrong_usable_size(freed(300000)); }
static void usable_freed_big(void) { wrong_usable_size(freed(5 * MIB)); }

/* ---- Blocks whose thread has ended ---- */

static void *allocate_in_thread(void *size)
{
	return malloc(*(const size_t *)size);
}

static void *of_ended(size_t size)
{
	pthread_t thread;
	void *block;

	free(malloc(1));
	require(pthread_create(&thread, NULL, allocate_in_thread, &size) == 0, "thread");
	pthread_join(thread, &block);
	return block;
}

/* By a thread that has a heap of its own already. */
static void double_free_of_ended(size_t size)
{
	void *block = of_ended(size);

	free(block);
	wrong_free(block);
}

static void double_tiny_ended(void) { double_free_of_ended(100); }
static void double_mid_ended(void) { double_free_of_ended(5000); }
static void double_large_ended(void) { double_free_of_ended(300000); }
static void double_big_ended(void) { double_free_of_ended(5 * MIB); }

/* ---- By a thread whose heap has gone: a destructor of a key that comes after HAKMEM's ---- */

static pthread_key_t late_key;

static void free_twice_late(void *block)
{
	static _Thread_local bool again;

	if (!again) {
		again = true;
		require(pthread_setspecific(late_key, block) == 0, "key");
		return;
	}
	free(block);
	wrong_free(block);
}

static void *end_with(void *block)
{
	free(malloc(1));
	require(pthread_setspecific(late_key, block) == 0, "key");
	return NULL;
}

static void double_free_late(void *block)
{
	pthread_t thread;

	require(pthread_key_create(&late_key, free_twice_late) == 0, "key");
	require(pthread_create(&thread, NULL, end_with, block) == 0, "thread");
	pthread_join(thread, NULL);
}

/* A block among others of a heap whose thread goes on. */
static void *among_others(size_t size)
{
	void *blocks[64];

	for (size_t i = 0; i < 64; i++)
		blocks[i] = opaque_pointer(malloc(size));
	return blocks[5];
}

static void double_tiny_late(void) { double_free_late(among_others(100)); }
static void double_tiny_8_late(void) { double_free_late(among_others(8)); }
static void double_tiny_ended_late(void) { double_free_late(of_ended(100)); }
static void double_mid_ended_late(void) { double_free_late(of_ended(5000)); }
static void double_big_ended_late(void) { double_free_late(of_ended(5 * MIB)); }

static void nothing_wrong(void) { announce(NULL); }

static const struct {
	const char *name;
	void (*act)(void);
} cases[] = {
	{ "nothing", nothing_wrong },
	{ "stack", stack_pointer },
	{ "static", static_pointer },
	{ "function", function_pointer },
	{ "mapped", mapped_pointer },
	{ "unmapped", unmapped_pointer },
	{ "far-below-heap", far_below_heap },
	{ "far-above-heap", far_above_heap },
	{ "wild-1", wild_1 },
	{ "wild-16", wild_16 },
	{ "wild-page-one", wild_page_one },
	{ "wild-noncanonical", wild_noncanonical },
	{ "wild-first-noncanonical", wild_first_noncanonical },
	{ "wild-kernel", wild_kernel },
	{ "wild-last", wild_last },
	{ "misaligned-tiny", misaligned_tiny },
	{ "misaligned-tiny-by-4", misaligned_tiny_by_4 },
	{ "misaligned-mid", misaligned_mid },
	{ "misaligned-large", misaligned_large },
	{ "misaligned-big", misaligned_big },
	{ "misaligned-tiny-by-8", misaligned_tiny_by_8 },
	{ "misaligned-mid-by-8", misaligned_mid_by_8 },
	{ "misaligned-tiny-thread", misaligned_tiny_thread },
	{ "misaligned-tiny-thread-by-4", misaligned_tiny_thread_by_4 },
	{ "realloc-misaligned-mid", misaligned_realloc },
	{ "realloc-misaligned-tiny", misaligned_realloc_tiny },
	{ "neighbour-tiny", neighbour_tiny },
	{ "neighbour-8", neighbour_8 },
	{ "neighbour-mid", neighbour_mid },
	{ "interior-tiny-thread", interior_tiny_thread },
	{ "double-tiny-other-thread", double_tiny_other_thread },
	{ "written-zero", written_zero },
	{ "written-number", written_number },
	{ "written-all-ones", written_all_ones },
	{ "written-heap-pointer", written_heap_pointer },
	{ "written-class-pointer", written_class_pointer },
	{ "written-big-pointer", written_big_pointer },
	{ "written-static-pointer", written_static_pointer },
	{ "written-text", written_text },
	{ "written-overflow", written_overflow },
	{ "interior-tiny", interior_tiny },
	{ "interior-tiny-1024", interior_tiny_1024 },
	{ "not-yet-given-tiny", not_yet_given_tiny },
	{ "interior-mid", interior_mid },
	{ "interior-mid-first", interior_mid_first },
	{ "interior-mid-page", interior_mid_page },
	{ "interior-large", interior_large },
	{ "interior-large-first", interior_large_first },
	{ "interior-large-64k", interior_large_64k },
	{ "interior-big", interior_big },
	{ "interior-big-first", interior_big_first },
	{ "interior-big-2m", interior_big_2m },
	{ "interior-big-4m", interior_big_4m },
	{ "double-tiny-8", double_tiny_8 },
	{ "double-tiny", double_tiny },
	{ "double-tiny-1024", double_tiny_1024 },
	{ "double-mid", double_mid },
	{ "double-mid-deep", double_mid_deep },
	{ "double-mid-thread", double_mid_thread },
	{ "double-large", double_large },
	{ "double-large-deep", double_large_deep },
	{ "double-large-thread", double_large_thread },
	{ "double-big", double_big },
	{ "double-big-deep", double_big_deep },
	{ "double-big-thread", double_big_thread },
	{ "double-huge", double_huge },
	{ "realloc-static", realloc_static },
	{ "realloc-wild", realloc_wild },
	{ "realloc-not-yet-given", realloc_not_yet_given },
	{ "realloc-freed-mid", realloc_freed_mid },
	{ "realloc-freed-large", realloc_freed_large },
	{ "realloc-freed-big", realloc_freed_big },
	{ "realloc-interior-mid", realloc_interior_mid },
	{ "realloc-interior-big", realloc_interior_big },
	{ "usable-static", usable_static },
	{ "usable-wild", usable_wild },
	{ "usable-misaligned", usable_misaligned },
	{ "usable-not-yet-given", usable_not_yet_given },
	{ "usable-interior-mid", usable_interior_mid },
	{ "usable-interior-big", usable_interior_big },
	{ "usable-freed-mid", usable_freed_mid },
	{ "usable-freed-large", usable_freed_large },
	{ "usable-freed-big", usable_freed_big },
	{ "double-tiny-ended", double_tiny_ended },
	{ "double-mid-ended", double_mid_ended },
	{ "double-large-ended", double_large_ended },
	{ "double-big-ended", double_big_ended },
	{ "double-tiny-late", double_tiny_late },
	{ "double-tiny-8-late", double_tiny_8_late },
	{ "double-tiny-ended-late", double_tiny_ended_late },
	{ "double-mid-ended-late", double_mid_ended_late },
	{ "double-big-ended-late", double_big_ended_late },
};

/* Blocks of all kinds must not overlap or lose their content. */
static void exercise_heap(void)
{
	enum { COUNT = 100 };
	static void *blocks[COUNT];
	static size_t sizes[COUNT];
	struct random_source random = { 17 };

	for (size_t turn = 0; turn < 5 * COUNT; turn++) {
		size_t i = turn % COUNT;

		if (blocks[i] != NULL) {
			require(pattern_holds(blocks[i], sizes[i], sizes[i], i), "block was overwritten");
			free(blocks[i]);
		}
		sizes[i] = random_size(&random);
		blocks[i] = malloc(sizes[i]);
		require(blocks[i] != NULL, "no memory");
		fill_pattern(blocks[i], sizes[i], i);
	}
	for (size_t i = 0; i < COUNT; i++) {
		require(pattern_holds(blocks[i], sizes[i], sizes[i], i), "block was overwritten");
		free(blocks[i]);
	}
}

int main(int argument_count, char **arguments)
{
	for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
		if (argument_count == 2 && strcmp(arguments[1], "--list") == 0) {
			puts(cases[i].name);
		} else if (argument_count == 2 && strcmp(arguments[1], cases[i].name) == 0) {
			cases[i].act();
			exercise_heap();
			(void)!write(STDOUT_FILENO, "survived\n", strlen("survived\n"));
			return 0;
		}
	}
	if (argument_count == 2 && strcmp(arguments[1], "--list") == 0)
		return 0;
	fprintf(stderr, "usage: misuse CASE | --list\n");
	return 2;
}
