/* trim.c - L0: gives back the pages of partly used slabs.
 *
 * The free blocks of a slab leave its freed list and become bits of its free_map, out of the blocks, so that no
 * link lies in a page that is given back; refills take them from there (hkm_tiny_take_mapped). A page goes
 * back if no block that overlaps it is in use.
 */
#include <string.h>

#include "core/meta.h"
#include "os/os.h"
#include "tiny/tiny.h"

#define RANGES 64

struct trim_batch {
	struct hkm_range ranges[RANGES];
	size_t count;
	size_t bytes; /* given back so far */
};

static void batch_flush(struct trim_batch *batch)
{
	if (batch->count == 0 || !hkm_os_purge(batch->ranges, batch->count)) {
		batch->count = 0;
		return;
	}
	while (batch->count > 0)
		batch->bytes += batch->ranges[--batch->count].size;
}

static void batch_add(struct trim_batch *batch, char *start, size_t size)
{
	struct hkm_range *last = batch->count > 0 ? &batch->ranges[batch->count - 1] : NULL;
	if (last != NULL && (char *)last->start + last->size == start) {
		last->size += size;
		return;
	}
	if (batch->count == RANGES)
		batch_flush(batch);
	batch->ranges[batch->count].start = start;
	batch->ranges[batch->count++].size = size;
}

static bool is_free(const struct hkm_slab *slab, const uint64_t *map, uint32_t index)
{
	return index >= slab->carved || (map[index / 64] >> index % 64 & 1) != 0;
}

/* Adds the pages of the slab that only free blocks overlap. */
static void add_free_pages(const struct hkm_slab *slab, const uint64_t *map, struct trim_batch *batch)
{
	size_t page_size = hkm_os_page_size(), size = slab->block_size;
	char *start = hkm_slab_start(slab);
	for (size_t offset = 0; offset < HKM_SLICE_SIZE; offset += page_size) {
		uint32_t first = (uint32_t)(offset / size), last = (uint32_t)((offset + page_size - 1) / size);
		uint32_t index = first;
		while (index <= last && is_free(slab, map, index))
			index++;
		if (index > last)
			batch_add(batch, start + offset, page_size);
	}
}

static void trim_slab(struct hkm_slab *slab, struct trim_batch *batch)
{
	size_t map_bytes = hkm_align_up(slab->capacity, 64) / 8;
	if (slab->free_map == NULL) {
		slab->free_map = hkm_meta_alloc(map_bytes);
		if (slab->free_map == NULL)
			return;
	}
	for (struct hkm_block *block = slab->freed; block != NULL; block = block->next) {
		uint32_t offset = (uint32_t)((char *)block - hkm_slab_start(slab));
		uint32_t index = offset / slab->block_size;
		slab->free_map[index / 64] |= (uint64_t)1 << index % 64;
		slab->mapped_free++;
	}
	slab->freed = NULL;
	add_free_pages(slab, slab->free_map, batch);
	if (slab->mapped_free == 0) {
		hkm_meta_free(slab->free_map, map_bytes);
		slab->free_map = NULL;
	}
}

struct trim_visit {
	struct hkm_heap *heap;
	struct trim_batch *batch;
};

static void visit(struct hkm_slab *slab, void *context)
{
	struct trim_visit *trim = context;
	/* Only this heap's slabs: others' owners may be writing them. */
	struct hkm_bin *bin =
		atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed);
	if (hkm_is_bin(bin) && hkm_heap_of_bin(bin) == trim->heap)
		trim_slab(slab, trim->batch);
}

size_t hkm_tiny_trim(struct hkm_heap *heap)
{
	hkm_tiny_flush(heap);
	return hkm_tiny_trim_slabs(heap);
}

size_t hkm_tiny_trim_slabs(struct hkm_heap *heap)
{
	struct trim_batch batch;
	batch.count = batch.bytes = 0;
	hkm_tiny_release_empty(heap, 0);
	hkm_span_visit(visit, &(struct trim_visit){ heap, &batch });
	batch_flush(&batch);
	return batch.bytes;
}
