/* check.c - L0: asserts the invariants of a heap's slabs and lists, in the debug build.
 *
 * A link that leads to no block is the program's fault, not an invariant's: the walk ends there, and what it would have counted is
 * not compared. Whoever follows the link has to say so. */
#include "tiny/tiny.h"

static bool has_room(const struct hkm_slab *slab)
{
	return slab->freed != NULL || slab->mapped_free != 0 || slab->carved < slab->capacity;
}

/* Length of a list of a slab's, or of a hot list's if `slab` is NULL; more than `most`: it is a circle. *whole: no link of it was
 * written over. */
static size_t length_of(const struct hkm_bin *bin, const struct hkm_slab *slab, const struct hkm_block *block, size_t most,
			bool *whole)
{
	size_t length = 0;
	for (; block != NULL && length <= most; block = hkm_next(block), length++) {
		const struct hkm_slab *found = hkm_tiny_slab_led_to(bin, block);
		if (found == NULL || (slab != NULL && found != slab)) {
			*whole = false;
			return length;
		}
	}
	*whole = true;
	return length;
}

static void check_map(const struct hkm_slab *slab)
{
	HKM_ASSERT((slab->free_map != NULL) == (slab->mapped_free != 0));
	uint64_t bits = 0;
	for (uint32_t word = 0; slab->free_map != NULL && word < hkm_align_up(slab->capacity, 64) / 64; word++) {
		uint64_t map = slab->free_map[word];
		uint32_t carved = slab->carved > word * 64 ? slab->carved - word * 64 : 0;
		HKM_ASSERT(carved >= 64 || map >> carved == 0);
		for (; map != 0; map &= map - 1)
			bits++;
	}
	HKM_ASSERT(bits == slab->mapped_free);
}

/* `shallow`: not its blocks. */
static void check_slab(const struct hkm_heap *heap, const struct hkm_slab *slab, bool shallow)
{
	bool whole = false;
	const struct hkm_bin *bin = &heap->bins[slab->class];
	HKM_ASSERT(slab->kind == HKM_KIND_TINY && slab->carved <= slab->capacity && slab->class < HKM_TINY_CLASSES);
	HKM_ASSERT(slab->block_size == hkm_tiny_shapes[slab->class].size && slab->reciprocal == hkm_tiny_shapes[slab->class].reciprocal);
	HKM_ASSERT(slab->capacity == hkm_tiny_shapes[slab->class].capacity);
	HKM_ASSERT(atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed) == bin);
	size_t freed = shallow ? 0 : length_of(bin, slab, slab->freed, slab->capacity, &whole);
	HKM_ASSERT(!whole || slab->in_use + freed + slab->mapped_free == slab->carved);
	if (!shallow)
		check_map(slab);
	/* Those that refills know are looked at when they become empty, full ones when they have regained enough. */
	bool known = slab->listed || heap->tiny[slab->class].active == slab;
	HKM_ASSERT(known ? slab->notice == 0 : slab->in_use > slab->notice);
}

/* Of a class with many slabs a few are looked through each time. */
static bool is_left_out(const struct hkm_heap *heap, size_t number)
{
	return number >= 4 && (number + heap->debug_leaves / 32) % 64 != 0;
}

static void check_class(const struct hkm_heap *heap, unsigned class)
{
	size_t number = 0;
	const struct hkm_tiny *tiny = &heap->tiny[class];
	const struct hkm_slab *previous = NULL;
	for (const struct hkm_slab *slab = tiny->first; slab != NULL; previous = slab, slab = slab->next) {
		check_slab(heap, slab, is_left_out(heap, number++));
		HKM_ASSERT(slab->listed && slab->prev == previous && slab->class == class && slab != tiny->active);
		HKM_ASSERT(has_room(slab) && slab->in_use > 0);
	}
	HKM_ASSERT(tiny->last == previous);
	if (tiny->active != NULL) {
		check_slab(heap, tiny->active, false);
		HKM_ASSERT(!tiny->active->listed && tiny->active->class == class);
	}
	bool whole;
	size_t hot = hkm_tiny_hot_length(heap, class), length = length_of(&heap->bins[class], NULL, heap->bins[class].head, hot, &whole);
	HKM_ASSERT(!whole || length == hot);
	HKM_ASSERT(tiny->in_use >= 0 && hot <= (size_t)tiny->in_use);
}

static void check_empty(const struct hkm_heap *heap)
{
	uint32_t count = 0;
	for (const struct hkm_slab *slab = heap->empty; slab != NULL; slab = slab->next, count++) {
		HKM_ASSERT(count < heap->empty_slabs && slab->kind == HKM_KIND_NONE && slab->slices == 1);
		HKM_ASSERT(slab->in_use == 0 && slab->free_map == NULL && !slab->listed);
		HKM_ASSERT(atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed) == NULL);
	}
	HKM_ASSERT(count == heap->empty_slabs);
}

void hkm_tiny_check(const struct hkm_heap *heap)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		check_class(heap, class);
	check_empty(heap);
}

/* ---- With the slabs that are full, which no list has ---- */

struct sums {
	const struct hkm_heap *heap;
	uint64_t slabs[HKM_TINY_CLASSES], in_use[HKM_TINY_CLASSES];
};

static void visit(struct hkm_slab *slab, void *context)
{
	struct sums *sums = context;
	struct hkm_bin *bin = atomic_load_explicit(&hkm_window.bins[hkm_slice_index(slab)], memory_order_relaxed);
	if (!hkm_is_bin(bin) || hkm_heap_of_bin(bin) != sums->heap)
		return;
	check_slab(sums->heap, slab, false);
	sums->slabs[slab->class]++;
	sums->in_use[slab->class] += slab->in_use;
}

void hkm_tiny_check_all(const struct hkm_heap *heap)
{
	struct sums sums = { .heap = heap };
	hkm_tiny_check(heap);
	hkm_span_visit(visit, &sums);
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		HKM_ASSERT(sums.slabs[class] == hkm_counted(&heap->tiny_counters[class].slabs));
		HKM_ASSERT(sums.in_use[class] == (uint64_t)heap->tiny[class].in_use);
	}
}
