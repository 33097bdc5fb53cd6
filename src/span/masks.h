/* masks.h - arithmetic on masks of a superslab's 64 slices: runs of set bits. Pure. Included by span.c only. */
#ifndef HKM_MASKS_H
#define HKM_MASKS_H

#include "base/base.h"

#define HKM_ALL_SLICES UINT64_MAX

static inline uint64_t run_mask(size_t length)
{
	return length >= 64 ? HKM_ALL_SLICES : ((uint64_t)1 << length) - 1;
}

/* Every `step`th bit, a power of two up to 32, from the lowest on. */
static inline uint64_t multiples(size_t step)
{
	return step == 1 ? HKM_ALL_SLICES : HKM_ALL_SLICES / run_mask(step);
}

/* Bits at which a run of `length` set bits starts. */
static inline uint64_t run_starts(uint64_t bits, size_t length)
{
	size_t have = 1; /* bit i of `bits`: a run of `have` starts at i */
	while (have < length && bits != 0) {
		size_t step = hkm_min(have, length - have);
		bits &= bits >> step;
		have += step;
	}
	return bits;
}

/* Doubles a length for which there is a run while it can, then adds the powers of two below that still fit. */
static inline unsigned longest_run(uint64_t bits)
{
	uint64_t starts[7] = { bits }; /* starts[n]: where runs of 2^n start */
	unsigned log = 0, length;
	if (bits == 0)
		return 0;
	while (log < 6 && (starts[log + 1] = starts[log] & starts[log] >> (1u << log)) != 0)
		log++;
	length = 1u << log;
	for (bits = starts[log]; log-- > 0 && length < 64;) {
		uint64_t longer = bits & starts[log] >> length;
		if (longer != 0) {
			bits = longer;
			length += 1u << log;
		}
	}
	return length;
}

/* Length of the run of set bits that bit `at` is part of. */
static inline unsigned run_around(uint64_t bits, unsigned at)
{
	uint64_t above = ~(bits >> at), below = ~(bits << (63 - at));
	unsigned up = above != 0 ? (unsigned)__builtin_ctzl(above) : 64;
	unsigned down = below != 0 ? (unsigned)__builtin_clzl(below) : 64;
	return up + down - 1;
}

/* Cuts the lowest run of set bits out of *bits; result: its start, *length its length. */
static inline unsigned next_run(uint64_t *bits, unsigned *length)
{
	unsigned start = (unsigned)__builtin_ctzl(*bits);
	uint64_t rest = ~(*bits >> start);
	*length = rest == 0 ? 64 - start : (unsigned)__builtin_ctzl(rest);
	*bits &= ~(run_mask(*length) << start);
	return start;
}

/* Number of set bits, without the instruction that the baseline processor does not have, and without branches, as nobody
 * can predict them: sums of neighbouring fields of 1, 2 and 4 bits, then of all bytes (Warren, Hacker's Delight, 5-1). */
static inline uint64_t count_bits(uint64_t bits)
{
	bits -= bits >> 1 & 0x5555555555555555;
	bits = (bits & 0x3333333333333333) + (bits >> 2 & 0x3333333333333333);
	bits = (bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0f;
	return bits * 0x0101010101010101 >> 56;
}

#endif
