/* trim.c - L0: gives back the pages of partly used slabs.
 *
 * The free blocks of a slab leave its freed list and become bits of its free_map, out of the blocks, so that no
 * link lies in a page that is given back; refills take them from there (hkm_tiny_take_mapped). A page goes
 * back if no block that overlaps it is in use.
 *
 * One walk over the window serves all heaps; the lock of a slab's heap is held for that slab only.
 */
#include <string.h>

#include "core/meta.h"
#include "os/os.h"
#include "tiny/tiny.h"

#define RANGES (HKM_SLICE_SIZE / 4096) /* pages in a slab, of the smallest size that there is */
#define LOCK_TRIES 100u /* a slow path is short, and who is in a longer one keeps its slab's pages until the next trim */

/* What is given back of one slab. */
struct pages {
	struct hkm_range ranges[RANGES];
	size_t count;
	size_t bytes;
};

static void pages_add(struct pages *pages, char *start, size_t size)
{
	struct hkm_range *last = pages->count > 0 ? &pages->ranges[pages->count - 1] : NULL;
	pages->bytes += size;
	if (last != NULL && (char *)last->start + last->size == start) {
		last->size += size;
		return;
	}
	pages->ranges[pages->count].start = start;
	pages->ranges[pages->count++].size = size;
}

static bool is_free(const struct hkm_slab *slab, const uint64_t *map, uint32_t index)
{
	return index >= slab->carved || (map[index / 64] >> index % 64 & 1) != 0;
}

/* Adds the pages of the slab that only free blocks overlap. */
static void add_free_pages(const struct hkm_slab *slab, const uint64_t *map, struct pages *pages)
{
	size_t page_size = hkm_os_page_size(), size = slab->block_size;
	char *start = hkm_slab_start(slab);
	if (page_size > HKM_SLICE_SIZE)
		return; /* a page is also that of the slabs beside this one */
	for (size_t offset = 0; offset < HKM_SLICE_SIZE; offset += page_size) {
		uint32_t first = (uint32_t)(offset / size), last = (uint32_t)((offset + page_size - 1) / size);
		uint32_t index = first;
		while (index <= last && is_free(slab, map, index))
			index++;
		if (index > last)
			pages_add(pages, start + offset, page_size);
	}
}

/* Moves the slab's list into its map. What lies behind a link that the program has written over stays in use for ever. */
static void map_freed(struct hkm_heap *heap, struct hkm_slab *slab)
{
	struct hkm_block *block = slab->freed;
	for (; block != NULL && hkm_tiny_slab_led_to(&heap->bins[slab->class], block) == slab; block = hkm_next(block)) {
		uint32_t offset = (uint32_t)((char *)block - hkm_slab_start(slab));
		uint32_t index = offset / slab->block_size;
		slab->free_map[index / 64] |= (uint64_t)1 << index % 64;
		slab->mapped_free++;
	}
	slab->freed = NULL;
	if (HKM_UNLIKELY(block != NULL)) {
		hkm_tiny_give_up_freed(heap, slab);
		hkm_tiny_report_link("malloc_trim", block);
	}
}

/* The caller holds the lock of the slab's heap. Result: bytes given back. */
static size_t trim_slab(struct hkm_heap *heap, struct hkm_slab *slab)
{
	struct pages pages;
	size_t map_bytes = hkm_align_up(slab->capacity, 64) / 8;
	pages.count = pages.bytes = 0;
	if (slab->free_map == NULL) {
		slab->free_map = hkm_meta_alloc(map_bytes);
		if (slab->free_map == NULL)
			return 0;
	}
	map_freed(heap, slab);
	add_free_pages(slab, slab->free_map, &pages);
	if (slab->mapped_free == 0) {
		hkm_meta_free(slab->free_map, map_bytes);
		slab->free_map = NULL;
	}
	return pages.count > 0 && hkm_os_purge(pages.ranges, pages.count) ? pages.bytes : 0;
}

static struct hkm_heap *owner_of(const struct hkm_slab *slab)
{
	/* relaxed: advice without the owner's lock; with it, and the owner's bin there, it stays so. */
	struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed);
	return hkm_is_bin(bin) ? hkm_heap_of_bin(bin) : NULL;
}

static bool try_for_a_while(struct hkm_heap *heap)
{
	for (unsigned i = 0; i < LOCK_TRIES; i++)
		if (hkm_heap_try_lock(heap))
			return true;
	return false;
}

/* Nothing is touched that the fast paths of the owner work on, so it need not sleep; and its slow paths wait for one slab
 * at most. */
static void visit(struct hkm_slab *slab, void *context)
{
	size_t *bytes = context;
	struct hkm_heap *heap = owner_of(slab);
	if (heap == NULL || !try_for_a_while(heap))
		return;
	if (owner_of(slab) == heap)
		*bytes += trim_slab(heap, slab);
	hkm_heap_let_go(heap);
}

size_t hkm_tiny_trim(void)
{
	size_t bytes = 0;
	hkm_span_visit(visit, &bytes);
	return bytes;
}
