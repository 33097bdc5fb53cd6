/* wrong.c - what is wrong with a pointer into the window that is no block's, or no live block's: for reports.
 *
 * What others write meanwhile is read without their locks: a report is wrong at worst. */
#include "span/span.h"

/* How far from a multiple of its size on a block may start, for what is known of the slice. */
static bool is_start(const struct hkm_slab *slab, const void *pointer, uint32_t count)
{
	size_t offset = (size_t)((const char *)pointer - hkm_slab_start(slab));
	return slab->block_size != 0 && offset % slab->block_size == 0 && offset / slab->block_size < count;
}

/* Whether the slice lies in a span of one block, behind its first slice. */
static bool is_inside_large(const struct hkm_slab *slab)
{
	size_t slice = hkm_slice_index(slab) % HKM_SUPERSLAB_SLICES;
	for (size_t back = 1; back <= slice; back++) {
		const struct hkm_slab *head = slab - back;
		if (head->kind != HKM_KIND_NONE)
			return (head->kind == HKM_KIND_LARGE || head->kind == HKM_KIND_ALIGNED) && head->slices > back;
	}
	return false;
}

HKM_RACY enum hkm_wrong hkm_wrong_in_window(const void *pointer)
{
	const struct hkm_slab *slab = &hkm_window.slabs[hkm_slice_of(pointer)];
	bool of_8_bytes = slab->kind == HKM_KIND_TINY && slab->block_size == 8;
	if ((uintptr_t)pointer % (of_8_bytes ? 8 : 16) != 0)
		return HKM_MISALIGNED_POINTER;
	bool cached = *hkm_state_of(pointer) == hkm_state(HKM_STATE_CACHED, pointer), freed = false;
	switch ((enum hkm_kind)slab->kind) {
	case HKM_KIND_TINY:
		freed = is_start(slab, pointer, slab->carved);
		break;
	case HKM_KIND_MID:
	case HKM_KIND_MID_REST:
	case HKM_KIND_LARGE: {
		const struct hkm_slab *head = slab->kind == HKM_KIND_MID_REST ? slab - slab->distance : slab;
		freed = cached && is_start(head, pointer, head->capacity);
		break;
	}
	case HKM_KIND_ALIGNED: /* never cached */
		break;
	case HKM_KIND_NONE:
		/* The descriptor of a span that was given up still says where its blocks were. */
		freed = !is_inside_large(slab) && (cached || is_start(slab, pointer, slab->carved));
		break;
	}
	return freed ? HKM_FREED_TWICE : HKM_INVALID_POINTER;
}
