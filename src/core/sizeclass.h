/* sizeclass.h - from a size to a class and back, for L0 and L1.
 *
 * L0 (Tiny), 33 classes: 8; 16 to 128 in steps of 16; then eight per doubling up to 1024, so at most
 * 12.5 % of a block above 128 B is waste. L1, 44 static classes: four per doubling from 1280 B to
 * 2 MiB; the first 20 (up to 32 KiB) are Mid, the rest Large; DYN1 and DYN2 follow them.
 * All arithmetic here is tested over every size by tests/unit/test_sizeclass.c.
 */
#ifndef HKM_SIZECLASS_H
#define HKM_SIZECLASS_H

#include "base/base.h"

#define HKM_TINY_MAX 1024u
#define HKM_TINY_CLASSES 33u

#define HKM_MID_MAX 32768u
#define HKM_LARGE_MAX (2u << 20) /* a request of this size is Big; the class serves those just below */
#define HKM_MID_CLASSES 20u
#define HKM_ACE_STATIC_CLASSES 44u
#define HKM_DYN1 HKM_ACE_STATIC_CLASSES
#define HKM_DYN2 (HKM_ACE_STATIC_CLASSES + 1)
#define HKM_ACE_CLASSES (HKM_ACE_STATIC_CLASSES + 2)

/* The class of a Tiny request, 0 to 1024 bytes. The fast path reads the same from a table. */
static inline unsigned hkm_tiny_class(size_t size)
{
	if (size <= 8)
		return 0;
	if (size <= 128)
		return (unsigned)((size + 15) / 16);
	unsigned log = hkm_log2(size - 1); /* 7, 8 or 9 */
	return 8 * (log - 6) + (unsigned)((size - 1) >> (log - 3)) - 7;
}

/* Block size in bytes of a Tiny class. */
static inline uint32_t hkm_tiny_size(unsigned class)
{
	if (class == 0)
		return 8;
	if (class <= 8)
		return class * 16;
	unsigned log = 7 + (class - 9) / 8;
	return ((class - 9) % 8 + 9) << (log - 3);
}

/* The static class of an L1 request, 1025 to 2 MiB. */
static inline unsigned hkm_ace_class(size_t size)
{
	unsigned log = hkm_log2(size - 1);
	return 4 * (log - 10) + (unsigned)((size - 1) >> (log - 2)) - 4;
}

/* Block size in bytes of a static L1 class. */
static inline uint32_t hkm_ace_static_size(unsigned class)
{
	unsigned log = 10 + class / 4;
	return (class % 4 + 5) << (log - 2);
}

#endif
