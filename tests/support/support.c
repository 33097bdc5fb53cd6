/* support.c - what the test programs share; see support.h. */
#include "support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE_BYTES ((size_t)4096)
#define FULL_PATTERN_BYTES (64 * KIB)

void fail_process(const char *file, int line, const char *condition, const char *format, ...)
{
	char text[1024];
	int used = snprintf(text, sizeof text, "%s:%d: %s: ", file, line, condition);
	va_list arguments;

	va_start(arguments, format);
	used += vsnprintf(text + used, sizeof text - (size_t)used - 1, format, arguments);
	va_end(arguments);
	if ((size_t)used > sizeof text - 2)
		used = (int)sizeof text - 2;
	text[used++] = '\n';
	(void)!write(STDERR_FILENO, text, (size_t)used);
	abort();
}

size_t opaque_size(size_t size)
{
	volatile size_t copy = size;

	return copy;
}

void *opaque_pointer(void *pointer)
{
	void *volatile copy = pointer;

	return copy;
}

/* ---- Random numbers --------------------------------------------------------------- */

uint64_t mix_bits(uint64_t value)
{
	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return value ^ (value >> 31);
}

uint64_t random_bits(struct random_source *source)
{
	source->state += 0x9e3779b97f4a7c15u;
	return mix_bits(source->state);
}

size_t random_between(struct random_source *source, size_t low, size_t high)
{
	return low + (size_t)(random_bits(source) % (high - low + 1));
}

const char *kind_name(enum block_kind kind)
{
	static const char *const names[KIND_COUNT] = { "tiny", "mid", "large", "big" };

	return names[kind];
}

size_t random_size_of_kind(struct random_source *source, enum block_kind kind)
{
	switch (kind) {
	case KIND_TINY:
		return random_between(source, 1, KIB);
	case KIND_MID:
		return random_between(source, KIB + 1, 32 * KIB);
	case KIND_LARGE:
		return random_between(source, 32 * KIB + 1, 2 * MIB - 1);
	default:
		return random_between(source, 2 * MIB, 16 * MIB);
	}
}

size_t random_size(struct random_source *source)
{
	size_t chance = random_between(source, 0, 999);

	if (chance < 700)
		return random_between(source, 0, 256);
	if (chance < 850)
		return random_between(source, 0, KIB);
	if (chance < 980)
		return random_size_of_kind(source, KIND_MID);
	if (chance < 998)
		return random_size_of_kind(source, KIND_LARGE);
	return random_between(source, 2 * MIB, 6 * MIB);
}

/* ---- Patterns --------------------------------------------------------------------- */

uint64_t block_seed(const void *block, size_t size)
{
	return mix_bits((uint64_t)(uintptr_t)block ^ mix_bits(size));
}

static void fill_range(unsigned char *bytes, size_t first, size_t end, uint64_t seed)
{
	size_t at = first;

	for (; end - at >= sizeof(uint64_t); at += sizeof(uint64_t)) {
		uint64_t word = seed + at * 0x9e3779b97f4a7c15u;

		memcpy(bytes + at, &word, sizeof word);
	}
	if (at < end) {
		uint64_t word = seed + at * 0x9e3779b97f4a7c15u;

		memcpy(bytes + at, &word, end - at);
	}
}

static bool range_holds(const unsigned char *bytes, size_t first, size_t end, size_t kept,
	uint64_t seed)
{
	for (size_t at = first; at < end && at < kept; at += sizeof(uint64_t)) {
		uint64_t word = seed + at * 0x9e3779b97f4a7c15u;
		size_t length = (end < kept ? end : kept) - at;

		if (length > sizeof word)
			length = sizeof word;
		if (memcmp(bytes + at, &word, length) != 0)
			return false;
	}
	return true;
}

void fill_pattern(void *block, size_t size, uint64_t seed)
{
	if (size <= FULL_PATTERN_BYTES) {
		fill_range(block, 0, size, seed);
		return;
	}
	fill_range(block, 0, PAGE_BYTES, seed);
	for (size_t at = PAGE_BYTES + 8; at < size - PAGE_BYTES; at += PAGE_BYTES)
		fill_range(block, at, at + sizeof(uint64_t), seed);
	fill_range(block, size - PAGE_BYTES, size, seed);
}

bool pattern_holds(const void *block, size_t size, size_t kept, uint64_t seed)
{
	if (size <= FULL_PATTERN_BYTES)
		return range_holds(block, 0, size, kept, seed);
	if (!range_holds(block, 0, PAGE_BYTES, kept, seed))
		return false;
	/* The last 4 KiB were written after the words between: a word that reaches into them was
	 * overwritten. */
	for (size_t at = PAGE_BYTES + 8; at + sizeof(uint64_t) <= size - PAGE_BYTES; at += PAGE_BYTES)
		if (!range_holds(block, at, at + sizeof(uint64_t), kept, seed))
			return false;
	return range_holds(block, size - PAGE_BYTES, size, kept, seed);
}

bool all_bytes_are(const void *block, size_t size, unsigned char value)
{
	const unsigned char *bytes = block;

	return size == 0 || (bytes[0] == value && memcmp(bytes, bytes + 1, size - 1) == 0);
}

bool is_aligned(const void *block, size_t alignment)
{
	return ((uintptr_t)block & (alignment - 1)) == 0;
}

/* ---- The process ------------------------------------------------------------------ */

double seconds_now(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void sleep_milliseconds(unsigned milliseconds)
{
	struct timespec length = { milliseconds / 1000, (long)(milliseconds % 1000) * 1000000 };

	nanosleep(&length, NULL);
}

#define DEFAULT_PATIENCE 10

unsigned hang_seconds(unsigned idle_seconds)
{
	const char *text = getenv("TEST_PATIENCE");
	unsigned long patience = text != NULL ? strtoul(text, NULL, 10) : DEFAULT_PATIENCE;

	return idle_seconds * (unsigned)(patience > 0 && patience <= 1000 ? patience : DEFAULT_PATIENCE);
}

/* Field `index` of /proc/self/statm, in bytes: 0 virtual, 1 resident, 5 data and stack. */
static size_t memory_figure(int index)
{
	char text[256];
	int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, text, sizeof text - 1);
	char *at = text;

	require(length > 0, "/proc/self/statm cannot be read");
	close(file);
	text[length] = '\0';
	while (index-- > 0)
		strtoul(at, &at, 10);
	return strtoul(at, NULL, 10) * (size_t)sysconf(_SC_PAGESIZE);
}

size_t virtual_bytes(void)
{
	return memory_figure(0);
}

size_t resident_bytes(void)
{
	return memory_figure(1);
}

size_t data_bytes(void)
{
	return memory_figure(5);
}

void *map_pages(size_t size)
{
	void *pages = mmap(NULL, size, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	require(pages != MAP_FAILED, "mmap of %zu bytes", size);
	return pages;
}

void release_pages(void *pages, size_t size)
{
	require(munmap(pages, size) == 0, "munmap of %zu bytes", size);
}

static void expect_success(pid_t child)
{
	int status = 0;

	require(waitpid(child, &status, 0) == child, "waitpid");
	require(!WIFSIGNALED(status), "child ended by signal %d (%s)", WTERMSIG(status),
		WTERMSIG(status) == SIGALRM ? "it hung" : strsignal(WTERMSIG(status)));
	require(WEXITSTATUS(status) == 0, "child ended with status %d", WEXITSTATUS(status));
}

static pid_t start_child(void (*work)(const void *), const void *argument, unsigned seconds)
{
	pid_t child = fork();

	require(child >= 0, "fork");
	if (child == 0) {
		/* cmocka's handlers would go on with the parent's tests in the child. */
		signal(SIGSEGV, SIG_DFL);
		signal(SIGBUS, SIG_DFL);
		signal(SIGILL, SIG_DFL);
		signal(SIGFPE, SIG_DFL);
		alarm(hang_seconds(seconds));
		work(argument);
		_exit(0);
	}
	return child;
}

void run_in_child(void (*work)(const void *), const void *argument, unsigned seconds)
{
	expect_success(start_child(work, argument, seconds));
}

void run_in_children(void (*work)(const void *), const void *arguments, size_t argument_size,
	size_t count, size_t at_once, unsigned seconds)
{
	pid_t children[64];

	require(count <= 64, "at most 64 children");
	for (size_t i = 0; i < count; i++) {
		if (i >= at_once)
			expect_success(children[i - at_once]);
		children[i] = start_child(work, (const char *)arguments + i * argument_size, seconds);
	}
	for (size_t i = count > at_once ? count - at_once : 0; i < count; i++)
		expect_success(children[i]);
}
