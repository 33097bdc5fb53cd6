/* samples.c - see samples.h. */
#include "sites/samples.h"

#include <errno.h>

#include "core/options.h"
#include "core/report.h"
#include "core/sizeclass.h"
#include "hakmem.h"
#include "os/os.h"

/* What a rule is derived from; docs/sites.md gives the reasons. */
#define EVIDENCE 16u               /* fewer samples of a site say nothing */
#define MOST_OF(count) ((count) - (count) / 8)
#define LONG_LIFE(clock) ((clock) / 4)
#define HUGE_LEAST ((uint64_t)4 << 20)

#define OUT_BYTES ((size_t)256 << 10)

/* Guarded by hkm_sites_lock; NULL: not sampling. */
static struct {
	struct hkm_sample list[HKM_SAMPLES_MOST];
	size_t count;
	unsigned thinned; /* how often every other sample was forgotten */
	uint64_t clock;   /* bytes allocated by all threads up to their last samples */
} *state;

/* ---- Taking samples ------------------------------------------------------------------------------------------ */

bool hkm_samples_start(void)
{
	state = hkm_os_map(hkm_align_up(sizeof *state, hkm_os_page_size()));
	return state != NULL;
}

/* The number of bytes to the next sample: evenly drawn, so that no rhythm of the program's is sampled or missed. */
static void draw(struct hkm_sampler *sampler)
{
	if (sampler->random == 0)
		sampler->random = (hkm_os_random() ^ (uintptr_t)sampler) | 1;
	sampler->random ^= sampler->random << 13; /* xorshift64: Marsaglia 2003 */
	sampler->random ^= sampler->random >> 7;
	sampler->random ^= sampler->random << 17;
	uint64_t range = 2 * HKM_SAMPLES_EVERY << state->thinned;
	sampler->left = sampler->drawn = (int64_t)(1 + (sampler->random >> 11) % range);
}

static void thin(void)
{
	for (size_t i = 0; i < state->count / 2; i++)
		state->list[i] = state->list[2 * i];
	state->count /= 2;
	state->thinned++;
}

/* A sample's number stays the same when others are forgotten; its place is that many times smaller. */
static struct hkm_sample *find(hkm_hints hints)
{
	uint64_t number = hints >> HKM_HINT_BITS, place = number >> state->thinned;
	return place << state->thinned == number && place < state->count ? &state->list[place] : NULL;
}

hkm_hints hkm_samples_take(struct hkm_sampler *sampler, const void *site, size_t size)
{
	hkm_lock_acquire(&hkm_sites_lock);
	bool first = sampler->drawn == 0;
	uint64_t number = 0;
	state->clock += (uint64_t)(sampler->drawn - sampler->left);
	if (!first) {
		if (state->count == HKM_SAMPLES_MOST)
			thin();
		number = (uint64_t)state->count << state->thinned;
		state->list[state->count++] =
			(struct hkm_sample){ .site = (uintptr_t)site, .size = size, .born = state->clock };
	}
	draw(sampler);
	hkm_lock_release(&hkm_sites_lock);
	return first ? 0 : number << HKM_HINT_BITS | HKM_HINT_SAMPLED;
}

void hkm_samples_born(hkm_hints hints, void *block)
{
	hkm_lock_acquire(&hkm_sites_lock);
	struct hkm_sample *sample = find(hints);
	if (sample != NULL && block != NULL)
		sample->block = block;
	else if (sample != NULL)
		sample->died = sample->born; /* there was no memory for it */
	hkm_lock_release(&hkm_sites_lock);
}

void hkm_samples_died(hkm_hints hints, void *block, size_t block_size)
{
	hkm_lock_acquire(&hkm_sites_lock);
	struct hkm_sample *sample = find(hints);
	if (sample != NULL) {
		sample->touched = hkm_os_resident(block, block_size);
		sample->died = state->clock;
		sample->block = NULL;
	}
	hkm_lock_release(&hkm_sites_lock);
}

bool hkm_samples_copy(size_t place, struct hkm_sample *sample)
{
	hkm_lock_acquire(&hkm_sites_lock);
	bool found = place < state->count;
	if (found)
		*sample = state->list[place];
	hkm_lock_release(&hkm_sites_lock);
	return found;
}

/* ---- Deriving rules ------------------------------------------------------------------------------------------ */

static bool is_before(const struct hkm_sample *one, const struct hkm_sample *other)
{
	return one->site != other->site ? one->site < other->site : one->size < other->size;
}

/* By site, then by size (Shell 1959, with the gaps of Knuth): qsort of the C library allocates. */
static void sort(struct hkm_sample *samples, size_t count)
{
	size_t gap = 1;
	while (gap < count / 3)
		gap = 3 * gap + 1;
	for (; gap > 0; gap /= 3)
		for (size_t i = gap; i < count; i++) {
			struct hkm_sample moved = samples[i];
			size_t at = i;
			for (; at >= gap && is_before(&moved, &samples[at - gap]); at -= gap)
				samples[at] = samples[at - gap];
			samples[at] = moved;
		}
}

struct evidence {
	size_t count;
	uint64_t median;      /* size, bytes */
	size_t known, lasted; /* blocks of which it is known whether they have a long life; those that have */
	size_t used;          /* blocks most of whose bytes were touched */
};

static void add(struct evidence *evidence, const struct hkm_sample *sample, uint64_t clock)
{
	bool lives = sample->died == 0;
	uint64_t life = (lives ? clock : sample->died) - sample->born;
	bool lasted = life >= LONG_LIFE(clock);
	evidence->count++;
	evidence->lasted += lasted;
	evidence->known += lasted || !lives;
	evidence->used += sample->touched >= MOST_OF(sample->size);
}

static bool enough(size_t part, size_t whole)
{
	return whole >= EVIDENCE && part >= MOST_OF(whole);
}

static void put_rule(struct hkm_text *text, const struct evidence *site, bool mixed, uintptr_t address,
		     hkm_site_namer *name, void *context)
{
	hkm_hints hints = 0;
	if (site->median <= HKM_TINY_MAX && mixed && enough(site->lasted, site->known))
		hints |= HKM_HINT_LONG_LIVED;
	if (site->median > HKM_MID_MAX && enough(site->used, site->count))
		hints |= HKM_HINT_POPULATE | (site->median >= HUGE_LEAST ? HKM_HINT_HUGE : 0);
	if (hints == 0 || !name(text, address, context))
		return;
	hkm_hints_put(text, hints);
	hkm_text_put(text, "  # %zu samples, median %lu bytes", site->count, site->median);
	if ((hints & HKM_HINT_LONG_LIVED) != 0)
		hkm_text_put(text, ", %zu of %zu outlived a quarter of the run", site->lasted, site->known);
	else
		hkm_text_put(text, ", %zu used whole", site->used);
	hkm_text_put(text, "\n");
}

size_t hkm_samples_derive(struct hkm_sample *samples, size_t count, uint64_t clock, hkm_site_namer *name, void *context,
			  char *buffer, size_t buffer_size)
{
	struct hkm_text text = { .buffer = buffer, .capacity = buffer_size, .descriptor = -1 };
	struct evidence tiny = { 0 };
	hkm_text_put(&text, "hakmem-sites %d\n# hakmem %s, from %zu samples of %lu bytes allocated; place hint...\n",
		     HKM_RULES_VERSION, HKM_VERSION_STRING, count, clock);
	for (size_t i = 0; i < count; i++)
		if (samples[i].size <= HKM_TINY_MAX)
			add(&tiny, &samples[i], clock);
	/* Slabs of their own bring nothing to blocks that have hardly any others beside them. */
	bool mixed = tiny.known - tiny.lasted >= tiny.known / 8 && tiny.known > 0;
	sort(samples, count);
	for (size_t i = 0, end; i < count; i = end) {
		struct evidence site = { 0 };
		for (end = i; end < count && samples[end].site == samples[i].site; end++)
			add(&site, &samples[end], clock);
		site.median = samples[i + site.count / 2].size;
		put_rule(&text, &site, mixed, samples[i].site, name, context);
	}
	hkm_text_finish(&text);
	return text.total;
}

/* ---- The end of the run -------------------------------------------------------------------------------------- */

/* Whether a path can stand in a rule. */
static bool is_plain(struct hkm_word name)
{
	for (size_t i = 0; i < name.length; i++)
		if (name.start[i] <= ' ' || name.start[i] >= 0x7f || name.start[i] == '#')
			return false;
	return name.length > 0;
}

static bool name_site(struct hkm_text *text, uintptr_t site, void *context)
{
	const struct hkm_module *module = hkm_modules_find(context, site);
	if (module == NULL || !is_plain(hkm_module_name(module)))
		return false;
	hkm_text_put(text, "%s+0x%lx", hkm_module_name(module).start, site - module->base);
	return true;
}

/* Blocks that live: what has been touched of them by now. */
static void look_at_the_living(void)
{
	for (size_t i = 0; i < state->count; i++) {
		struct hkm_sample *sample = &state->list[i];
		if (sample->block != NULL)
			sample->touched = hkm_os_resident(sample->block, hkm_align_up(sample->size, hkm_os_page_size()));
	}
}

static void write_rules(const char *path, char *buffer, struct hkm_modules *modules)
{
	look_at_the_living();
	size_t length = hkm_samples_derive(state->list, state->count, state->clock, name_site, modules, buffer, OUT_BYTES);
	state->count = 0; /* they are in another order now */
	int error = length >= OUT_BYTES ? EFBIG : hkm_os_write_file(path, buffer, length);
	if (error != 0 && !hkm_output_refused.sites_out)
		hkm_warn_unwritten("HAKMEM_SITES_OUT", path, error);
}

void hkm_samples_at_exit(void)
{
	char path[HKM_OPTION_TEXT_BYTES + 32];
	hkm_text_expand_path(hkm_options.sites_out, path, sizeof path);
	struct hkm_modules *modules = hkm_modules_read();
	char *buffer = hkm_os_map(OUT_BYTES);
	hkm_lock_acquire(&hkm_sites_lock);
	if (modules != NULL && buffer != NULL)
		write_rules(path, buffer, modules);
	else
		hkm_warn_unwritten("HAKMEM_SITES_OUT", path, ENOMEM);
	hkm_lock_release(&hkm_sites_lock);
	if (modules != NULL)
		hkm_modules_free(modules);
	if (buffer != NULL)
		hkm_os_unmap(buffer, OUT_BYTES, false);
}
