/* live.c - liblive.so measures how much memory a program really asked for: the floor of memory in
 * the bench's tables.
 *
 * The file that HAKMEM_LIVE names holds four numbers of 64 bits; every process of the program
 * maps it and raises them:
 *     0  the most bytes that were live at once in one process, as asked for
 *     1  the resident bytes that are files' or shared (program text, libraries) when it ends
 *     2  the largest sum of both of one process
 *     3  all bytes ever allocated, of the process that allocated most
 * It runs on the C library's malloc and puts a header before each block. The bench runs it once
 * per program, and never for its time. */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *block, size_t size);
extern void __libc_free(void *block);

/* Before each block. */
struct header {
	size_t size;
	size_t offset; /* of the block in the C library's one */
};

static const size_t LIMIT = (size_t)1 << 46;

static atomic_uint_fast64_t live, peak, total;
static _Atomic(atomic_uint_fast64_t *) report;

static struct header *header_of(void *block)
{
	return (struct header *)block - 1;
}

static void raise_to(atomic_uint_fast64_t *maximum, uint64_t value)
{
	uint64_t known = atomic_load_explicit(maximum, memory_order_relaxed);
	while (known < value &&
		!atomic_compare_exchange_weak_explicit(
			maximum, &known, value, memory_order_relaxed, memory_order_relaxed))
		;
}

static void add(size_t size)
{
	atomic_fetch_add_explicit(&total, size, memory_order_relaxed);
	uint64_t now = atomic_fetch_add_explicit(&live, size, memory_order_relaxed) + size;
	if (now <= atomic_load_explicit(&peak, memory_order_relaxed))
		return;
	raise_to(&peak, now);
	/* The file is mapped once and stays; relaxed will do, since it held zero before. */
	atomic_uint_fast64_t *words = atomic_load_explicit(&report, memory_order_relaxed);
	if (words != NULL)
		raise_to(&words[0], now);
}

static void remove_block(void *block)
{
	atomic_fetch_sub_explicit(&live, header_of(block)->size, memory_order_relaxed);
}

/* Makes a block, `offset` bytes into the C library's one at `start`. */
static void *made(char *start, size_t offset, size_t size)
{
	if (start == NULL) {
		errno = ENOMEM;
		return NULL;
	}
	void *block = start + offset;
	*header_of(block) = (struct header){ size, offset };
	add(size);
	return block;
}

void *malloc(size_t size)
{
	return made(
		size > LIMIT ? NULL : __libc_malloc(size + sizeof(struct header)), sizeof(struct header), size);
}

void free(void *block)
{
	if (block == NULL)
		return;
	remove_block(block);
	__libc_free((char *)block - header_of(block)->offset);
}

void *calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		bytes = SIZE_MAX;
	return made(
		bytes > LIMIT ? NULL : __libc_calloc(1, bytes + sizeof(struct header)), sizeof(struct header), bytes);
}

void *memalign(size_t alignment, size_t size)
{
	if (alignment < 16)
		alignment = 16;
	int possible = size <= LIMIT && alignment <= LIMIT && (alignment & (alignment - 1)) == 0;
	char *start = possible ? __libc_malloc(size + alignment + sizeof(struct header)) : NULL;
	uintptr_t block =
		((uintptr_t)start + sizeof(struct header) + alignment - 1) & ~(uintptr_t)(alignment - 1);
	return made(start, block - (uintptr_t)start, size);
}

void *realloc(void *block, size_t size)
{
	if (block == NULL)
		return malloc(size);
	if (size == 0) {
		free(block);
		return NULL;
	}
	struct header old = *header_of(block);
	if (old.offset != sizeof old) {
		void *moved = malloc(size);
		if (moved != NULL) {
			memcpy(moved, block, old.size < size ? old.size : size);
			free(block);
		}
		return moved;
	}
	char *start = size > LIMIT ? NULL : __libc_realloc((char *)block - old.offset, size + sizeof old);
	if (start != NULL)
		atomic_fetch_sub_explicit(&live, old.size, memory_order_relaxed);
	return made(start, old.offset, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size)
{
	int error = errno;
	void *block = memalign(alignment, size);
	errno = error;
	if (block == NULL)
		return ENOMEM;
	*place = block;
	return 0;
}

void *valloc(size_t size)
{
	return memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

size_t malloc_usable_size(void *block)
{
	return block == NULL ? 0 : header_of(block)->size;
}

/* ---- The report ------------------------------------------------------------------------------ */

/* The resident bytes of this process that are files' or shared; 0 if unknown. */
static uint64_t file_bytes(void)
{
	char text[256], *next = text;
	int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? 0 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	text[length > 0 ? length : 0] = 0;
	uint64_t pages = 0;
	for (int field = 0; field < 3; field++)
		pages = strtoull(next, &next, 10);
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static __attribute__((constructor)) void start(void)
{
	const char *path = getenv("HAKMEM_LIVE");
	int file = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
	if (file < 0)
		return;
	void *words = mmap(NULL, 4 * sizeof(uint64_t), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	close(file);
	if (words == MAP_FAILED)
		return;
	atomic_store_explicit(&report, words, memory_order_relaxed);
	raise_to((atomic_uint_fast64_t *)words, atomic_load_explicit(&peak, memory_order_relaxed));
}

static __attribute__((destructor)) void end(void)
{
	atomic_uint_fast64_t *words = atomic_load_explicit(&report, memory_order_relaxed);
	if (words == NULL)
		return;
	uint64_t files = file_bytes();
	raise_to(&words[1], files);
	raise_to(&words[2], files + atomic_load_explicit(&peak, memory_order_relaxed));
	raise_to(&words[3], atomic_load_explicit(&total, memory_order_relaxed));
}
