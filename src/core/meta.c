/* meta.c - see meta.h. */
#include "core/meta.h"

#include <string.h>

#include "os/os.h"

#define CHUNK ((size_t)64 << 10)       /* what is mapped at once; less at first, as there may be little address space, */
#define FIRST_CHUNK ((size_t)16 << 10) /* and as much as there is of it where the system refuses that */
#define SMALLEST_LOG 6 /* a cache line */
#define LISTS 11       /* 64 B to 64 KiB */

struct hkm_lock hkm_meta_lock;

/* All guarded by hkm_meta_lock. */
static struct piece {
	struct piece *next;
} *free_lists[LISTS];
static char *chunk_next, *chunk_end;
static hkm_counter held;

static unsigned list_of(size_t size)
{
	return size <= (size_t)1 << SMALLEST_LOG ? 0 : hkm_log2(size - 1) + 1 - SMALLEST_LOG;
}

/* Maps a chunk with room for `size` bytes; its start, or NULL. */
static char *chunk_map(size_t size)
{
	size_t page = hkm_os_page_size();
	size_t least = hkm_align_up(size, page), chunk = hkm_align_up(hkm_max(size, FIRST_CHUNK), page);
	while (chunk < CHUNK && chunk < hkm_counted(&held))
		chunk *= 2;
	char *start = hkm_os_map(chunk);
	if (start == NULL && least < chunk) {
		chunk = least;
		start = hkm_os_map(chunk);
	}
	if (start != NULL) {
		chunk_end = start + chunk;
		hkm_count(&held, chunk);
	}
	return start;
}

void *hkm_meta_alloc(size_t size)
{
	unsigned list = list_of(size);
	HKM_ASSERT(list < LISTS);
	size_t rounded = (size_t)1 << (list + SMALLEST_LOG);
	hkm_lock_acquire(&hkm_meta_lock);
	void *result = free_lists[list];
	if (result != NULL) {
		free_lists[list] = free_lists[list]->next;
		memset(result, 0, rounded);
	} else {
		/* Chunks are page-aligned, so aligning within one aligns up to a page. */
		char *start = (char *)hkm_align_up((uintptr_t)chunk_next, hkm_min(rounded, 4096));
		if (chunk_next == NULL || rounded > (size_t)(chunk_end - start) || start > chunk_end)
			start = chunk_map(rounded);
		if (start != NULL)
			chunk_next = start + rounded;
		result = start;
	}
	hkm_lock_release(&hkm_meta_lock);
	return result;
}

void hkm_meta_free(void *address, size_t size)
{
	unsigned list = list_of(size);
	struct piece *piece = address;
	hkm_lock_acquire(&hkm_meta_lock);
	piece->next = free_lists[list];
	free_lists[list] = piece;
	hkm_lock_release(&hkm_meta_lock);
}

size_t hkm_meta_held(void)
{
	return hkm_counted(&held);
}
