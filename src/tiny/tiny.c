/* tiny.c - L0's slow paths; see tiny.h. */
#include "tiny/tiny.h"

#include "core/meta.h"
#include "core/report.h"

#define FLUSH_EVERY_MS 50
#define FEW_HEAPS 16 /* with more, no heap keeps empty slabs */

#define SHAPE(size) { (uint32_t)((((uint64_t)1 << 32) + (size) - 1) / (size)), (size), HKM_SLICE_SIZE / (size) }
#define SHAPES_4(size, step) SHAPE(size), SHAPE((size) + (step)), SHAPE((size) + 2 * (step)), SHAPE((size) + 3 * (step))
/* hkm_tiny_size of each class; test_sizeclass.c holds the two against each other. */
const struct hkm_tiny_shape hkm_tiny_shapes[HKM_TINY_CLASSES] = {
	SHAPE(8),
	SHAPES_4(16, 16), SHAPES_4(80, 16),
	SHAPES_4(144, 16), SHAPES_4(208, 16),
	SHAPES_4(288, 32), SHAPES_4(416, 32),
	SHAPES_4(576, 64), SHAPES_4(832, 64),
};

static struct hkm_tiny *tiny_of(struct hkm_heap *heap, const struct hkm_bin *bin)
{
	return &heap->tiny[bin - heap->bins];
}

/* Written under the heap's lock; its thread reads it without, as advice: relaxed. */
static int32_t in_use_of(const struct hkm_tiny *tiny)
{
	return __atomic_load_n(&tiny->in_use, __ATOMIC_RELAXED);
}

static void count_in_use(struct hkm_tiny *tiny, int32_t change)
{
	__atomic_store_n(&tiny->in_use, tiny->in_use + change, __ATOMIC_RELAXED);
}

/* ---- A class's list of slabs with room ----------------------------------------------------- */

static void list_append(struct hkm_tiny *tiny, struct hkm_slab *slab)
{
	slab->listed = 1;
	slab->notice = 0;
	slab->next = NULL;
	slab->prev = tiny->last;
	if (tiny->last != NULL)
		tiny->last->next = slab;
	else
		tiny->first = slab;
	tiny->last = slab;
}

static void list_remove(struct hkm_tiny *tiny, struct hkm_slab *slab)
{
	slab->listed = 0;
	if (slab->prev != NULL)
		slab->prev->next = slab->next;
	else
		tiny->first = slab->next;
	if (slab->next != NULL)
		slab->next->prev = slab->prev;
	else
		tiny->last = slab->prev;
}

static bool has_room(const struct hkm_slab *slab)
{
	return slab->freed != NULL || slab->mapped_free != 0 || slab->carved < slab->capacity;
}

/* The active slab stops being it, and has no room: it is listed when it has regained so many blocks that refills may
 * look at it again, as a refill of one or two costs more than it brings. */
static void stop_full(struct hkm_slab *slab)
{
	HKM_ASSERT(!has_room(slab));
	slab->notice = (uint16_t)(slab->capacity - hkm_max(1, hkm_min(16, slab->capacity / 16u)));
}

/* ---- Slabs ------------------------------------------------------------------------------------ */

static void slab_start(struct hkm_slab *slab, unsigned class)
{
	const struct hkm_tiny_shape *shape = &hkm_tiny_shapes[class];
	slab->kind = HKM_KIND_TINY;
	slab->class = (uint8_t)class;
	slab->listed = 0;
	slab->notice = 0;
	slab->block_size = shape->size;
	slab->reciprocal = shape->reciprocal;
	slab->in_use = 0;
	slab->capacity = shape->capacity;
	__atomic_store_n(&slab->carved, 0, __ATOMIC_RELAXED);
	slab->freed = NULL;
	slab->free_map = NULL;
	slab->mapped_free = 0;
}

static struct hkm_slab *slab_new(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class)
{
	/* A class that has no slab yet may stay with a few blocks: one that is resident to the last page is not for it. */
	bool first = hkm_counted(&heap->tiny_counters[class].slabs) == 0;
	struct hkm_slab **link = &heap->empty;
	while (*link != NULL && first && (*link)->deep)
		link = &(*link)->next;
	struct hkm_slab *slab = *link;
	if (slab != NULL) {
		*link = slab->next;
		heap->empty_slabs--;
	} else {
		bool zeroed, fresh;
		slab = hkm_span_alloc(1, first, &zeroed, &fresh);
		if (slab == NULL)
			return NULL;
		if (fresh)
			hkm_heap_make_room(heap, policy, HKM_SUPERSLAB_SIZE);
	}
	slab_start(slab, class);
	hkm_span_set_bin(slab, &heap->bins[class]);
	hkm_count(&heap->tiny_counters[class].slabs, 1);
	return slab;
}

static void free_map_drop(struct hkm_slab *slab)
{
	if (slab->free_map != NULL)
		hkm_meta_free(slab->free_map, hkm_align_up(slab->capacity, 64) / 8);
	slab->free_map = NULL;
	slab->mapped_free = 0;
}

/* No block of the slab is in anybody's hands: it stops being one. `own`: by the heap's own thread, which alone may touch what
 * its fast paths work on. */
static void slab_release(struct hkm_heap *heap, struct hkm_slab *slab, bool own)
{
	struct hkm_tiny *tiny = &heap->tiny[slab->class];
	HKM_ASSERT(slab->in_use == 0);
	if (slab->listed)
		list_remove(tiny, slab);
	if (tiny->active == slab)
		tiny->active = NULL;
	free_map_drop(slab);
	slab->deep |= (uint32_t)slab->carved * slab->block_size > HKM_SHALLOW_BYTES;
	hkm_span_set_bin(slab, NULL);
	slab->kind = HKM_KIND_NONE;
	hkm_count(&heap->tiny_counters[slab->class].slabs, (uint64_t)-1);
	/* Many threads are likely to be sleeping threads. */
	if (own && heap->empty_slabs < heap->empty_slabs_kept && hkm_heap_active() <= FEW_HEAPS) {
		slab->next = heap->empty;
		heap->empty = slab;
		heap->empty_slabs++;
	} else {
		hkm_span_free(slab);
	}
	if (own)
		hkm_heap_expect_tick(heap);
}

void hkm_tiny_release_empty(struct hkm_heap *heap, uint32_t keep)
{
	while (heap->empty_slabs > keep) {
		struct hkm_slab *slab = heap->empty;
		heap->empty = slab->next;
		heap->empty_slabs--;
		hkm_span_free(slab);
	}
}

/* ---- Hot lists -----------------------------------------------------------------------------------
 *
 * Both counters of a bin are written on the fast paths, and read here only:
 *   length of the hot list == granted - taken - room   while room >= 0
 *                          == granted - taken          below (nothing enters it then)
 */

static int32_t bin_length(const struct hkm_bin *bin, const struct hkm_tiny *tiny)
{
	return tiny->granted - (int32_t)bin->taken - (bin->room > 0 ? bin->room : 0);
}

/* The hot list holds `length` blocks now, and may take as many frees as its capacity and the heap's grant allow. While
 * frees outnumber allocations it takes no more than there are live blocks, so that the free which leaves none is a
 * slow one; where they alternate, that would make too many of them slow. */
static void bin_grant(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_tiny *tiny, int32_t length,
		      bool alternating)
{
	int32_t free_places = tiny->hot_capacity > length ? tiny->hot_capacity - length : 0;
	int32_t live = in_use_of(tiny) - length;
	int32_t grant = (int32_t)heap->grant_mask + 1;
	if (!alternating && live <= grant)
		grant = live > 0 ? live - 1 : 0;
	bin->room = free_places < grant ? free_places : grant;
	if (HKM_UNLIKELY(heap->metered))
		hkm_count(&heap->tiny_counters[bin - heap->bins].allocations, bin->taken);
	bin->taken = 0;
	tiny->room = (int16_t)bin->room;
	tiny->fresh = 0;
	tiny->granted = length + bin->room;
}

bool hkm_tiny_is_fresh(const struct hkm_bin *bin)
{
	struct hkm_heap *heap = hkm_heap_of_bin(bin);
	const struct hkm_tiny *tiny = tiny_of(heap, bin);
	return tiny->fresh != 0 && tiny->granted - bin->room == tiny->fresh;
}

/* The hot list was empty and now consists of `count` blocks. */
static void bin_filled(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_block *list, uint32_t count)
{
	bin->head = list;
	bin_grant(heap, bin, tiny_of(heap, bin), (int32_t)count, false);
}

size_t hkm_tiny_hot_length(const struct hkm_heap *heap, unsigned class)
{
	return (size_t)bin_length(&heap->bins[class], &heap->tiny[class]);
}

void hkm_tiny_hasten(struct hkm_heap *heap, int32_t frees)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		struct hkm_bin *bin = &heap->bins[class];
		if (bin->room > frees) {
			heap->tiny[class].granted -= bin->room - frees;
			bin->room = frees;
		}
	}
}

/* ---- Free ----------------------------------------------------------------------------------------- */

static struct hkm_slab *slab_of(void *pointer)
{
	return &hkm_window.slabs[hkm_slice_of(pointer)];
}

/* The rare event of a free: the slab is empty, or worth listing. */
static void slab_changed(struct hkm_heap *heap, struct hkm_slab *slab, bool own)
{
	HKM_ASSERT(slab->in_use == 0 || (!slab->listed && heap->tiny[slab->class].active != slab));
	if (slab->in_use == 0)
		slab_release(heap, slab, own);
	else
		list_append(&heap->tiny[slab->class], slab);
}

HKM_SLOW void hkm_tiny_report_link(const char *call, const struct hkm_block *block)
{
	bool twice = hkm_may_be_block(block) && hkm_wrong_in_window(block) == HKM_FREED_TWICE;
	if (twice)
		hkm_misuse(call, HKM_FREED_TWICE, block);
	else
		hkm_misuse(call, HKM_WRITTEN_AFTER_FREE, hkm_link_text(block));
}

/* A block enters its slab's list. The caller counts the class's in_use down. */
HKM_HOT void join_slab(struct hkm_heap *heap, struct hkm_slab *slab, struct hkm_block *block, bool own)
{
	hkm_link(block, slab->freed);
	atomic_signal_fence(memory_order_release); /* as in hkm_tiny_push */
	slab->freed = block;
	if (HKM_UNLIKELY(--slab->in_use <= slab->notice))
		slab_changed(heap, slab, own);
}

static void free_to_slab(struct hkm_heap *heap, struct hkm_tiny *tiny, struct hkm_slab *slab, void *pointer, bool own)
{
	if (HKM_UNLIKELY(!hkm_tiny_is_block(slab, pointer) || pointer == slab->freed)) {
		hkm_misuse("free", hkm_wrong_in_window(pointer), pointer);
		return;
	}
	count_in_use(tiny, -1);
	join_slab(heap, slab, pointer, own);
}

/* Takes the first `count` blocks of a list of one class to their slabs; the heap is entered. Result: the rest; NULL, if the program
 * has written over a link, so that nobody knows it: what it consists of stays in use for ever.
 *
 * Each block is looked at as by hkm_tiny_led_to, by hand: what is the same for all is read once, which compilers may not, as a
 * block's word could be any variable's; and the test of a link is the one for the end of the list, too. */
static struct hkm_block *send_home(struct hkm_heap *heap, struct hkm_tiny *tiny, struct hkm_block *list, int32_t count)
{
	const struct hkm_bin *bin = &heap->bins[tiny - heap->tiny];
	const struct hkm_tiny_shape shape = hkm_tiny_shapes[tiny - heap->tiny];
	_Atomic(struct hkm_bin *) *const bins = hkm_window.bins;
	struct hkm_slab *const slabs = hkm_window.slabs;
	const uintptr_t base = hkm_window_base();
	struct hkm_block *block = list;
	int32_t left = count, twice = 0;
	for (; left > 0; left--) {
		uintptr_t offset = (uintptr_t)block - base;
		if (HKM_UNLIKELY(hkm_is_beyond(offset)) && !hkm_is_in_granule(block))
			break;
		size_t slice = offset >> HKM_SLICE_SHIFT;
		/* relaxed: as in hkm_tiny_bin_at. */
		if (HKM_UNLIKELY(atomic_load_explicit(&bins[slice], memory_order_relaxed) != bin) ||
		    HKM_UNLIKELY(!hkm_tiny_divides(offset % HKM_SLICE_SIZE, shape.reciprocal, shape.capacity)))
			break;
		struct hkm_block *next = hkm_next(block);
		struct hkm_slab *slab = &slabs[slice];
		if (HKM_LIKELY(block != slab->freed)) {
			join_slab(heap, slab, block, true);
		} else {
			hkm_misuse("free", HKM_FREED_TWICE, block);
			twice++;
		}
		block = next;
	}
	count_in_use(tiny, left + twice - count);
	if (HKM_UNLIKELY(left > 0 && block != NULL)) {
		hkm_tiny_report_link("free", block);
		block = NULL;
	}
	return block;
}

void hkm_tiny_free_local(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer)
{
	if (bin->room > 0) {
		bin->room--;
		hkm_tiny_push(bin, pointer);
	} else {
		free_to_slab(heap, tiny_of(heap, bin), slab_of(pointer), pointer, true);
	}
}

void hkm_tiny_free_for(struct hkm_heap *heap, const struct hkm_bin *bin, void *pointer)
{
	free_to_slab(heap, tiny_of(heap, bin), slab_of(pointer), pointer, false);
}

/* If all blocks of the class that are not on their slab lie on the hot list, and come from the active slab, that slab is
 * empty, and there is no need to walk the list. Result: were they? */
static bool active_is_idle(const struct hkm_tiny *tiny, int32_t hot)
{
	return tiny->active != NULL && tiny->in_use == hot && tiny->active->in_use == (uint32_t)hot && hot > 0;
}

/* Cuts a list behind its first `count` blocks, or before a link that the program has written over; *count: how many there are.
 * Result: the rest; NULL if nobody knows it. */
static struct hkm_block *list_cut(struct hkm_block **list, int32_t *count)
{
	struct hkm_block *block = *list, *last = NULL;
	int32_t kept = 0;
	/* Those that stay are looked at again when they go. */
	for (; kept < *count && hkm_may_be_block(block); kept++) {
		last = block;
		block = hkm_next(block);
	}
	if (HKM_UNLIKELY(kept < *count && block != NULL)) {
		hkm_tiny_report_link("free", block);
		block = NULL;
	}
	if (last != NULL)
		hkm_link(last, NULL);
	else
		*list = NULL;
	*count = kept;
	return block;
}

/* Moves the blocks of the hot list behind the first `keep` to their slabs. A signal handler finds it empty meanwhile, and
 * without room. */
static void bin_cut(struct hkm_heap *heap, struct hkm_bin *bin, int32_t keep)
{
	struct hkm_tiny *tiny = tiny_of(heap, bin);
	int32_t length = bin_length(bin, tiny);
	struct hkm_block *list = bin->head;
	bin->room = 0;
	bin->head = NULL;
	if (keep == 0 && active_is_idle(tiny, length)) {
		list = NULL;
		count_in_use(tiny, -tiny->in_use);
		tiny->active->in_use = 0;
		slab_release(heap, tiny->active, true);
	}
	struct hkm_block *rest = list_cut(&list, &keep);
	send_home(heap, tiny, rest, INT32_MAX);
	bin->head = list;
	bin_grant(heap, bin, tiny, keep, false);
}

/* No block of the class is live, and the thread may be about to sleep: the hot list goes to its slabs, which become
 * empty by it. At most once in a while, as a thread that lives by such rounds wants its list. Result: has it gone? */
HKM_SLOW static bool flush_idle(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_tiny *tiny)
{
	uint32_t now = (uint32_t)hkm_counted(&heap->last_poll_ms);
	if (now - tiny->flushed_ms < FLUSH_EVERY_MS)
		return false;
	tiny->flushed_ms = now;
	hkm_heap_enter(heap);
	bin_cut(heap, bin, 0);
	hkm_heap_leave(heap);
	return true;
}

/* The newest `count` blocks of a hot list of `length` go to their slabs: they lie on top of it, and are still in the
 * processor's cache. */
static void bin_shed(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_tiny *tiny, int32_t length, int32_t count)
{
	hkm_heap_enter(heap);
	struct hkm_block *list = bin->head;
	bin->head = NULL; /* as in bin_cut */
	list = send_home(heap, tiny, list, count);
	bin->head = list;
	bin_grant(heap, bin, tiny, list != NULL ? length - count : 0, false);
	hkm_heap_leave(heap);
}

/* The hot list has used up what it was granted. */
void hkm_tiny_free_full(struct hkm_heap *heap, struct hkm_bin *bin, void *pointer)
{
	struct hkm_tiny *tiny = tiny_of(heap, bin);
	bool before = tiny->alternating;
	tiny->alternating = (int32_t)bin->taken >= tiny->room / 2;
	bin->room = 0; /* the fast path has counted it down below 0 */
	hkm_heap_poll(heap);
	int32_t length = bin_length(bin, tiny), excess = length - tiny->hot_resume;
	bool flushed = in_use_of(tiny) - length <= 1 && flush_idle(heap, bin, tiny);
	if (!flushed && excess > 0)
		bin_shed(heap, bin, tiny, length, excess);
	bin_grant(heap, bin, tiny, bin_length(bin, tiny), before && tiny->alternating);
	if (bin->room > 0 && !flushed) {
		bin->room--;
		hkm_tiny_push(bin, pointer);
	} else {
		hkm_heap_enter(heap);
		free_to_slab(heap, tiny, slab_of(pointer), pointer, true);
		hkm_heap_leave(heap);
	}
}

void hkm_tiny_flush(struct hkm_heap *heap)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		if (heap->bins[class].head != NULL || heap->bins[class].taken != 0)
			bin_cut(heap, &heap->bins[class], 0);
}

void hkm_tiny_close(struct hkm_heap *heap)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		struct hkm_bin *bin = &heap->bins[class];
		heap->tiny[class].granted = bin_length(bin, &heap->tiny[class]);
		bin->room = 0;
		bin->taken = 0;
	}
}

void hkm_tiny_decay(struct hkm_heap *heap)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		struct hkm_bin *bin = &heap->bins[class];
		struct hkm_tiny *tiny = &heap->tiny[class];
		if (bin->head == NULL)
			continue;
		bool unused = bin->head == tiny->seen_head && bin->room == tiny->seen_room;
		bin_cut(heap, bin, unused ? 0 : bin_length(bin, tiny) / 2);
		tiny->seen_head = bin->head;
		tiny->seen_room = (int16_t)bin->room;
	}
}

/* ---- Refill ------------------------------------------------------------------------------------------ */

struct hkm_block *hkm_tiny_take_mapped(struct hkm_slab *slab, uint32_t limit, uint32_t *count)
{
	struct hkm_block *list = NULL, *last = NULL;
	char *start = hkm_slab_start(slab);
	uint32_t taken = 0;
	for (uint32_t word = 0; taken < limit && slab->mapped_free != 0; word++) {
		uint64_t *bits = &slab->free_map[word];
		for (; *bits != 0 && taken < limit; taken++, slab->mapped_free--) {
			uint32_t index = word * 64 + (uint32_t)__builtin_ctzl(*bits);
			*bits &= *bits - 1;
			struct hkm_block *block = (struct hkm_block *)(start + (size_t)index * slab->block_size);
			if (last != NULL)
				hkm_link(last, block);
			else
				list = block;
			last = block;
		}
	}
	if (last != NULL)
		hkm_link(last, NULL);
	if (slab->mapped_free == 0)
		free_map_drop(slab);
	slab->in_use += taken;
	*count = taken;
	return list;
}

/* Takes the slab's freed blocks, all of them: splitting the list would cost a walk over blocks that are
 * about to be used anyway. */
static bool take_freed(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_slab *slab)
{
	if (slab->freed == NULL)
		return false;
	uint32_t count = slab->carved - slab->in_use - (uint32_t)slab->mapped_free;
	struct hkm_block *list = slab->freed;
	slab->freed = NULL;
	slab->in_use += count;
	count_in_use(tiny_of(heap, bin), (int32_t)count);
	bin_filled(heap, bin, list, count);
	return true;
}

void hkm_tiny_give_up_freed(struct hkm_heap *heap, struct hkm_slab *slab)
{
	uint32_t count = slab->carved - slab->in_use - (uint32_t)slab->mapped_free;
	slab->freed = NULL;
	slab->in_use += count;
	count_in_use(&heap->tiny[slab->class], (int32_t)count);
}

static bool take_mapped(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_slab *slab, uint32_t batch)
{
	uint32_t count;
	if (slab->mapped_free == 0)
		return false;
	struct hkm_block *list = hkm_tiny_take_mapped(slab, batch, &count);
	count_in_use(tiny_of(heap, bin), (int32_t)count);
	bin_filled(heap, bin, list, count);
	return true;
}

static bool carve(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_slab *slab, uint32_t batch)
{
	uint32_t count = (uint32_t)hkm_min(batch, (size_t)(slab->capacity - slab->carved));
	if (count == 0)
		return false;
	size_t size = slab->block_size;
	char *first = hkm_slab_start(slab) + slab->carved * size, *last = first + (count - 1) * size;
	uintptr_t key = hkm_window.link_key;
	for (char *block = first; block != last; block += size)
		((struct hkm_block *)block)->link = (uintptr_t)(block + size) ^ key; /* hkm_link would read the key each time */
	hkm_link((struct hkm_block *)last, NULL);
	__atomic_store_n(&slab->carved, (uint16_t)(slab->carved + count), __ATOMIC_RELAXED); /* hkm_tiny_is_block */
	slab->in_use += count;
	count_in_use(tiny_of(heap, bin), (int32_t)count);
	hkm_count(&heap->counters.carved, count);
	bin_filled(heap, bin, (struct hkm_block *)first, count);
	tiny_of(heap, bin)->fresh = (uint16_t)count;
	return true;
}

static bool take_any(struct hkm_heap *heap, struct hkm_bin *bin, struct hkm_slab *slab, uint32_t batch)
{
	return take_freed(heap, bin, slab) || take_mapped(heap, bin, slab, batch) || carve(heap, bin, slab, batch);
}

/* Whether the hot list has a block. A head that a link led to which the program has written over goes, with all that was behind. */
static bool is_hot(struct hkm_heap *heap, struct hkm_bin *bin)
{
	if (HKM_LIKELY(bin->head == NULL))
		return false;
	if (HKM_LIKELY(hkm_tiny_slab_led_to(bin, bin->head) != NULL))
		return true;
	hkm_tiny_report_link("malloc", bin->head);
	bin_filled(heap, bin, NULL, 0);
	return false;
}

bool hkm_tiny_refill(struct hkm_heap *heap, const struct hkm_policy *policy, unsigned class)
{
	struct hkm_bin *bin = &heap->bins[class];
	struct hkm_tiny *tiny = &heap->tiny[class];
	if (is_hot(heap, bin))
		return true;
	hkm_count(&heap->tiny_counters[class].refills, 1);
	hkm_remote_receive(heap);
	if (bin->head != NULL)
		return true;
	if (tiny->active != NULL && take_freed(heap, bin, tiny->active))
		return true;
	if (tiny->first != NULL) {
		struct hkm_slab *next = tiny->first, *old = tiny->active;
		list_remove(tiny, next);
		tiny->active = next;
		if (old != NULL && has_room(old))
			list_append(tiny, old);
		else if (old != NULL)
			stop_full(old);
		return take_any(heap, bin, next, tiny->refill_batch);
	}
	if (tiny->active != NULL && take_any(heap, bin, tiny->active, tiny->refill_batch))
		return true;
	if (tiny->active != NULL)
		stop_full(tiny->active);
	tiny->active = slab_new(heap, policy, class);
	return tiny->active != NULL && carve(heap, bin, tiny->active, tiny->refill_batch);
}

void hkm_tiny_apply(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++) {
		uint32_t size = hkm_tiny_size(class);
		struct hkm_tiny *tiny = &heap->tiny[class];
		tiny->hot_capacity = (int32_t)hkm_max(2, hkm_min(policy->hot_blocks, policy->hot_bytes / size));
		tiny->hot_resume = tiny->hot_capacity - (int32_t)hkm_max(1, hkm_min(32, (size_t)tiny->hot_capacity / 4));
		tiny->refill_batch = (uint16_t)hkm_max(1, hkm_min(policy->refill_blocks, policy->refill_bytes / size));
	}
	heap->empty_slabs_kept = policy->empty_slabs;
	heap->remote_blocks = policy->remote_blocks;
	heap->remote_bytes = policy->remote_bytes;
}
