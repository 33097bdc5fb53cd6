/* support.h - what the test programs share: failing loudly, random numbers, patterns in
 * blocks, the process's memory, children. Nothing here allocates through malloc.
 */
#ifndef HAKMEM_TESTS_SUPPORT_H
#define HAKMEM_TESTS_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KIB ((size_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* ---- Failing ---------------------------------------------------------------------- */

/* Ends the process with SIGABRT and one line on standard error unless `condition` holds.
 * Works in every thread and child, where cmocka's assertions do not. After the condition
 * come a printf format and its arguments. */
#define require(condition, ...) \
	do { \
		if (!(condition)) \
			fail_process(__FILE__, __LINE__, #condition, __VA_ARGS__); \
	} while (0)

__attribute__((noreturn, format(printf, 4, 5)))
void fail_process(const char *file, int line, const char *condition, const char *format, ...);

/* ---- Values the compiler cannot see through --------------------------------------- */

size_t opaque_size(size_t size);
void *opaque_pointer(void *pointer);

/* ---- Random numbers --------------------------------------------------------------- */

struct random_source {
	uint64_t state;
};

/* A well-mixed function of `value`. */
uint64_t mix_bits(uint64_t value);

uint64_t random_bits(struct random_source *source);

/* A number from `low` to `high`, both included. */
size_t random_between(struct random_source *source, size_t low, size_t high);

/* The kinds of block that HAKMEM serves from different places. */
enum block_kind {
	KIND_TINY,  /* up to 1 KiB */
	KIND_MID,   /* up to 32 KiB */
	KIND_LARGE, /* below 2 MiB */
	KIND_BIG,   /* 2 MiB to 16 MiB */
	KIND_COUNT
};

const char *kind_name(enum block_kind kind);
size_t random_size_of_kind(struct random_source *source, enum block_kind kind);

/* A size as programs ask for them: mostly tiny, seldom big (up to 6 MiB). */
size_t random_size(struct random_source *source);

/* ---- Patterns --------------------------------------------------------------------- */

/* The seed of the pattern that belongs to a block: differs by address and size. */
uint64_t block_seed(const void *block, size_t size);

/* Fills `size` bytes with the pattern of `seed`: all of a block of up to 64 KiB; of a longer
 * one the first and last 4 KiB and some bytes of each page between. */
void fill_pattern(void *block, size_t size, uint64_t seed);

/* Whether the first `kept` of the bytes that fill_pattern wrote are still there. */
bool pattern_holds(const void *block, size_t size, size_t kept, uint64_t seed);

bool all_bytes_are(const void *block, size_t size, unsigned char value);
bool is_aligned(const void *block, size_t alignment);

/* ---- The process ------------------------------------------------------------------ */

double seconds_now(void);
void sleep_milliseconds(unsigned milliseconds);

/* The seconds after which what takes `idle_seconds` on an idle machine, generously counted, is taken to hang: ten times
 * as many, or as many times as the environment variable TEST_PATIENCE says (scripts/test-all measures it). For
 * alarm() and for loops that wait for an event. A limit only ends what hangs; no test asserts that something is fast. */
unsigned hang_seconds(unsigned idle_seconds);

/* Memory of this process, in bytes, as the kernel counts it. */
size_t resident_bytes(void);
size_t virtual_bytes(void);
size_t data_bytes(void);

/* Zeroed memory straight from the kernel. `release_pages` gives it back. */
void *map_pages(size_t size);
void release_pages(void *pages, size_t size);

/* Runs work(argument) in a child; the test fails unless the child ends by itself, without an
 * error, before hang_seconds(seconds) are over. */
void run_in_child(void (*work)(const void *), const void *argument, unsigned seconds);

/* As run_in_child for `count` arguments of `argument_size` bytes each, `at_once` children at
 * a time. */
void run_in_children(void (*work)(const void *), const void *arguments, size_t argument_size,
	size_t count, size_t at_once, unsigned seconds);

#endif /* HAKMEM_TESTS_SUPPORT_H */
