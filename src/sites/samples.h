/* samples.h - rules of call sites, derived from a run of the program (HAKMEM_SITES_OUT; `hakmem learn --sites`).
 *
 * About one block per 64 KiB that a thread allocates is sampled: it comes from fresh pages of its own (L2), so that its
 * end is noticed there, and so that it shows which of its pages the program has touched. A sample notes the call site,
 * the size, and birth and end on a clock of bytes that all threads have allocated: what counts for an allocator is how
 * much else comes and goes during a block's life, which does not depend on the machine.
 *
 * The list of samples is bounded. When it is full, every other one is forgotten, and blocks are sampled half as often
 * from then on, so that at the end it stands for the whole run evenly.
 */
#ifndef HKM_SAMPLES_H
#define HKM_SAMPLES_H

#include "sites/modules.h"
#include "sites/sites.h"

#define HKM_SAMPLES_MOST 16384u
#define HKM_SAMPLES_EVERY ((size_t)64 << 10) /* bytes, until the list is full for the first time */

/* A thread's way to its next sample; in its heap. Zero: it has not allocated yet. */
struct hkm_sampler {
	int64_t left;  /* bytes to it */
	int64_t drawn; /* bytes from the last to it */
	uint64_t random;
};

struct hkm_sample {
	uintptr_t site;
	uint64_t size;       /* as asked for; bytes */
	uint64_t born, died; /* on the clock of bytes; died 0: lives */
	uint64_t touched;    /* bytes of its pages that were resident at its end */
	void *block;         /* while it lives */
};

/* What derived rules are called by: puts "MODULE+0xOFFSET"; false: the site has no such name. */
typedef bool hkm_site_namer(struct hkm_text *text, uintptr_t site, void *context);

/* Result: whether there is memory for samples. */
bool hkm_samples_start(void);

/* Whether a request for `size` bytes is to be sampled. Called for every request while sampling. */
static inline bool hkm_samples_due(struct hkm_sampler *sampler, size_t size)
{
	sampler->left -= (int64_t)hkm_min(size, (size_t)1 << 40);
	return HKM_UNLIKELY(sampler->left < 0);
}

/* It is due: notes a sample and draws the next. Result: the hints of its block, or 0 (the thread's first draw). */
hkm_hints hkm_samples_take(struct hkm_sampler *sampler, const void *site, size_t size);

/* The block of a sample was allocated; it is given back. `hints` are those it was allocated with. */
void hkm_samples_born(hkm_hints hints, void *block);
void hkm_samples_died(hkm_hints hints, void *block, size_t block_size);

/* Copies a sample that is in the list, by its place; false: there are fewer. */
bool hkm_samples_copy(size_t place, struct hkm_sample *sample);

/* Writes the rules that `count` samples of a run of `clock` bytes suggest, with their evidence; sorts the samples.
 * Result: the length of the text, as with snprintf. */
size_t hkm_samples_derive(struct hkm_sample *samples, size_t count, uint64_t clock, hkm_site_namer *name, void *context,
			  char *buffer, size_t buffer_size);

/* Writes the file that HAKMEM_SITES_OUT names. The caller has made sure that no signal handler allocates meanwhile. */
void hkm_samples_at_exit(void);

#endif
