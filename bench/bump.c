/* bump.c - libbump.so, a malloc that never frees: the floor of time in the bench's tables.
 *
 * Each thread cuts blocks off a chunk of its own, after a 16-byte header that holds the size. Its
 * first chunk is small and each later one twice the last, up to CHUNK.
 * free does nothing; realloc copies. What it saves in work it pays in fresh memory, for which
 * it asks huge pages; where memory is reused much a real allocator can still be faster. Programs
 * that allocate more than LIMIT in all get NULL, and are shown as failed; for workloads that would,
 * the bench measures a part and multiplies. */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum {
	HEADER = 16,
	FIRST_CHUNK = 64 << 10,
	CHUNK = 4 << 20
};
static const size_t LIMIT = (size_t)6 << 30;

static _Thread_local __attribute__((tls_model("initial-exec"))) uintptr_t next, end;
static _Thread_local __attribute__((tls_model("initial-exec"))) size_t last_chunk;
static atomic_size_t mapped;

static void *bump(size_t alignment, size_t size);

/* Takes a new chunk for this thread, and from it a block. */
static __attribute__((noinline)) void *bump_from_new_chunk(size_t alignment, size_t size)
{
	if (size <= LIMIT && alignment <= LIMIT) {
		size_t chunk_bytes = last_chunk == 0 ? FIRST_CHUNK : last_chunk < CHUNK ? 2 * last_chunk : CHUNK;
		size_t bytes = (size + alignment + HEADER + chunk_bytes - 1) & ~(chunk_bytes - 1);
		last_chunk = chunk_bytes;
		void *chunk = MAP_FAILED;
		if (atomic_fetch_add_explicit(&mapped, bytes, memory_order_relaxed) + bytes <= LIMIT)
			chunk = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		if (chunk != MAP_FAILED) {
			madvise(chunk, bytes, MADV_HUGEPAGE);
			next = (uintptr_t)chunk;
			end = next + bytes;
			return bump(alignment, size);
		}
	}
	errno = ENOMEM;
	return NULL;
}

static void *bump(size_t alignment, size_t size)
{
	uintptr_t block = (next + HEADER + alignment - 1) & ~(uintptr_t)(alignment - 1);
	if (size > LIMIT || alignment > LIMIT || block + size > end)
		return bump_from_new_chunk(alignment, size);
	next = (block + size + 15) & ~(uintptr_t)15;
	((size_t *)block)[-1] = size;
	return (void *)block;
}

void *malloc(size_t size)
{
	return bump(16, size);
}

void free(void *block)
{
	(void)block;
}

/* Chunks are zero when mapped and no block is used twice. */
void *calloc(size_t count, size_t size)
{
	size_t bytes;
	if (__builtin_mul_overflow(count, size, &bytes))
		bytes = SIZE_MAX;
	return bump(16, bytes);
}

size_t malloc_usable_size(void *block)
{
	return block == NULL ? 0 : ((size_t *)block)[-1];
}

void *realloc(void *block, size_t size)
{
	size_t old = malloc_usable_size(block);
	if (block != NULL && size <= old)
		return block;
	void *larger = bump(16, size);
	if (larger != NULL && block != NULL)
		memcpy(larger, block, old);
	return larger;
}

void *memalign(size_t alignment, size_t size)
{
	return bump(alignment < 16 ? 16 : alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size)
{
	*place = memalign(alignment, size);
	return *place == NULL ? ENOMEM : 0;
}

void *valloc(size_t size)
{
	return bump(4096, size);
}
