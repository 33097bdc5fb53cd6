/* bins.c - the table that leads malloc's fast path to a bin of the heap.
 *
 * While call sites are of interest (sites/), every entry leads to a bin that is always empty, so that each malloc takes
 * the slow path, which knows where it was called from; otherwise the fast path pays nothing for them.
 */
#include "heap/heap.h"

#define OFFSET(size) (uint16_t)((TINY_CLASS(size)) * sizeof(struct hkm_bin))
/* hkm_tiny_class as a constant expression; test_sizeclass.c holds the two against each other. */
#define TINY_CLASS(size) \
	((size) <= 8 ? 0 : (size) <= 128 ? ((size) + 15) / 16 : \
	 (size) <= 256 ? ((size) - 1) / 16 + 1 : (size) <= 512 ? ((size) - 1) / 32 + 9 : ((size) - 1) / 64 + 17)
#define OFFSETS_8(n) \
	OFFSET((n) * 8), OFFSET((n) * 8 + 8), OFFSET((n) * 8 + 16), OFFSET((n) * 8 + 24), OFFSET((n) * 8 + 32), \
	OFFSET((n) * 8 + 40), OFFSET((n) * 8 + 48), OFFSET((n) * 8 + 56)
#define OFFSETS_32(n) OFFSETS_8(n), OFFSETS_8((n) + 8), OFFSETS_8((n) + 16), OFFSETS_8((n) + 24)

_Alignas(64) _Atomic uint16_t hkm_bin_offsets[HKM_BIN_OFFSETS] = {
	OFFSETS_32(0), OFFSETS_32(32), OFFSETS_32(64), OFFSETS_32(96), OFFSET(1024),
};

void hkm_bins_divert(void)
{
	for (unsigned i = 0; i <= HKM_TINY_MAX / 8; i++)
		atomic_store_explicit(&hkm_bin_offsets[i], offsetof(struct hkm_heap, no_bin), memory_order_relaxed);
}
