/* window.c - see window.h, and docs/design/address-window.md.
 *
 * The window has far more addresses than are used, so that whatever others map there can be jumped over. Where that does not
 * help, superslabs come from granules at random places, or where the kernel itself finds room.
 */
#include "span/window.h"

#include <errno.h>

#include "core/meta.h"
#include "os/os.h"
#include "span/links.h"
#include "span/masks.h"

/* The end of the addresses that Linux gives to programs unasked. */
#ifdef __aarch64__
#define ADDRESS_END ((uintptr_t)1 << 48)
#else
#define ADDRESS_END ((uintptr_t)1 << 47)
#endif
#define HINTS_START ((uintptr_t)32 << 40)
#define HINTS_END ((uintptr_t)0x2aaaaaaa0000) /* a third of 47 bits: from there on the kernel places mappings bottom-up */
#define LEAST_SIZE ((size_t)4 << 40) /* of the window */
#define MOST_SIZE ((size_t)8 << 40)
#define START_TRIES 4u     /* places for the window that are looked at */
#define STRANGER_TRIES 32u /* places where somebody else is that one call passes over */
#define FIRST 2u           /* superslabs whose metadata is mapped at first */
#define PIECE 8u           /* slices of which a superslab is mapped where the system refuses whole ones */
#define ARRAYS 4u
#define GRANULE_LEAST 64u  /* superslabs of a granule at pages of 4 KiB: its metadata consists of whole pages */
#define GRANULES (ADDRESS_END / HKM_SUPERSLAB_SIZE / GRANULE_LEAST)
#define GRANULE_TRIES 16u  /* granules that one call looks at */
#define LEAF_GRANULES ((size_t)1 << 15) /* granules that a page of the table of them is for: 4 TiB of addresses */

/* Until the start every pointer is beyond; but for one that no program has. */
struct hkm_window hkm_window = { .base = HKM_NO_WINDOW, .beyond = UINTPTR_MAX, .link_key = HKM_LINK_TAG };
struct superslab *hkm_superslabs;
size_t hkm_granule_size;

/* A bit for each granule, by its distance from the base; a page of them is there once one is set in it. Written under
 * hkm_span_lock before any block of the granule is handed out; whoever asks has a pointer to one from a thread that saw it, or is
 * told no: a bit is relaxed. */
struct leaf {
	_Atomic uint64_t bits[LEAF_GRANULES / 64];
};
static _Atomic(struct leaf *) leaves[GRANULES / LEAF_GRANULES];
static _Atomic(struct granule *) granules, *last_granule = &granules;

/* Bytes of each array for a superslab: descriptors, states, bins, superslabs. */
static const size_t widths[ARRAYS] = {
	sizeof(struct hkm_slab) * HKM_SUPERSLAB_SLICES,
	HKM_SUPERSLAB_SIZE / 1024,
	sizeof(void *) * HKM_SUPERSLAB_SLICES,
	sizeof(struct superslab),
};

/* Constant after hkm_span_start up to `reserved`; the rest is guarded by hkm_span_lock. */
static struct {
	uintptr_t arrays[ARRAYS]; /* the entry of the base in each */
	size_t size;        /* superslabs in the window */
	size_t reach;       /* superslabs whose metadata has a place: the window's and those above it */
	bool reserved;      /* the window's addresses are reserved by a mapping of ours; sanitizers, say: there are no granules */
	size_t capacity;    /* superslabs of the window that may be used: as many as have metadata once a stranger is in the way of more */
	size_t ready;       /* of them, those with metadata mapped */
	size_t next;        /* superslab of the window that is to be mapped next */
	unsigned strangers; /* places where somebody else was since a superslab could be mapped */
	struct superslab *vacant;  /* unmapped ones, last first */
	struct superslab *partial; /* one that the system refused to map whole; NULL: none */
	uint64_t random;
} window;

/* ---- Start ------------------------------------------------------------------------------------- */

/* Address sanitizers own most of the address space: there, and where the system does not follow a
 * hint, the window stays reserved. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define FOLLOW_HINT 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define FOLLOW_HINT 0
#else
#define FOLLOW_HINT 1
#endif
#else
#define FOLLOW_HINT 1
#endif

/* Bytes of the metadata of `superslabs`. */
static size_t metadata_size(size_t superslabs)
{
	size_t size = (ARRAYS + 1) * hkm_os_page_size();
	for (size_t i = 0; i < ARRAYS; i++)
		size += superslabs * widths[i];
	return hkm_align_up(size, HKM_SUPERSLAB_SIZE);
}

/* Lays the arrays out from `start` on for so many superslabs. */
static void lay_out(uintptr_t start, size_t superslabs)
{
	for (size_t i = 0; i < ARRAYS; i++) {
		window.arrays[i] = hkm_align_up(start, hkm_os_page_size());
		start = window.arrays[i] + superslabs * widths[i];
	}
	hkm_window.slabs = (struct hkm_slab *)window.arrays[0];
	hkm_window.states = (uint8_t *)window.arrays[1];
	hkm_window.states_origin = window.arrays[1] - (hkm_window.base >> 10);
	hkm_window.bins = (_Atomic(struct hkm_bin *) *)window.arrays[2];
	hkm_superslabs = (struct superslab *)window.arrays[3];
}

/* A place for the window and its metadata, `whole` bytes; 0: the system follows no hint. */
static uintptr_t find_place(size_t whole)
{
	for (unsigned tries = 0; FOLLOW_HINT && tries < START_TRIES; tries++) {
		/* Clear of programs, stacks, libraries, and of where the kernel places mappings, from whichever end. */
		uintptr_t hint = HINTS_START + (window.random >> 17) % (HINTS_END - HINTS_START - whole);
		hint &= ~(HKM_SUPERSLAB_SIZE - 1);
		window.random = window.random * 6364136223846793005u + 1442695040888963407u;
		char *start = hkm_os_reserve((void *)hint, whole);
		if (start == NULL) /* a limit on addresses: they are taken unseen */
			return hint;
		bool followed = (uintptr_t)start == hint;
		if (hkm_os_unmap(start, whole, false) == HKM_UNMAPPED) {
			if (followed)
				return hint;
			continue;
		}
		if (followed) {
			window.reserved = true;
			return hint;
		}
	}
	return 0;
}

void hkm_span_start(void)
{
	size_t size = FOLLOW_HINT ? LEAST_SIZE : (size_t)64 << 30;
	while (size < 4 * hkm_os_physical_memory() && size < MOST_SIZE)
		size *= 2;
	window.random = hkm_os_random();
	window.size = window.capacity = size / HKM_SUPERSLAB_SIZE;
	hkm_granule_size = hkm_max(GRANULE_LEAST, hkm_os_page_size() / sizeof(struct superslab));
	window.reach = (ADDRESS_END - HINTS_START) / HKM_SUPERSLAB_SIZE;
	size_t metadata = metadata_size(window.reach);
	uintptr_t start = find_place(metadata + size);
	if (start == 0) {
		window.reserved = true;
		window.reach = window.size;
		metadata = metadata_size(window.reach);
		start = (uintptr_t)hkm_os_reserve(NULL, metadata + size + HKM_SUPERSLAB_SIZE);
		window.capacity = start != 0 ? window.capacity : 0;
		start = hkm_align_up(start, HKM_SUPERSLAB_SIZE);
	}
	__atomic_store_n(&hkm_window.base, start + metadata, __ATOMIC_RELAXED); /* hkm_window_base */
	hkm_window.link_key = (__builtin_bswap64(hkm_os_random()) & ~(uintptr_t)7) | HKM_LINK_TAG;
	lay_out(start, window.reach);
	window.reach = hkm_min(window.reach, (ADDRESS_END - hkm_window.base) / HKM_SUPERSLAB_SIZE) & ~(hkm_granule_size - 1);
	hkm_span_note_time(hkm_os_now_ms());
}

/* ---- Metadata ----------------------------------------------------------------------------------- */

/* Maps the metadata of `count` superslabs from number `first` on. Where entries of others share the first page, it is
 * mapped already. Result: 0, ENOMEM, EEXIST. */
static int map_metadata(ptrdiff_t first, size_t count)
{
	size_t page = hkm_os_page_size();
	struct hkm_range parts[ARRAYS];
	for (size_t i = 0; i < ARRAYS; i++) {
		uintptr_t low = window.arrays[i] + (uintptr_t)first * widths[i], high = low + count * widths[i];
		low = hkm_align_up(low, page);
		parts[i] = (struct hkm_range){ (void *)low, hkm_align_up(high, page) - low };
		int error = parts[i].size != 0 ? hkm_os_map_at(parts[i].start, parts[i].size, window.reserved) : 0;
		if (error == 0)
			continue;
		while (i-- > 0)
			if (parts[i].size != 0)
				hkm_os_unmap(parts[i].start, parts[i].size, window.reserved);
		return error;
	}
	return 0;
}

/* Maps the metadata of as many superslabs as have some, so that there are always a power of two. */
static int window_grow(void)
{
	size_t growth = window.ready != 0 ? window.ready : FIRST;
	if (window.ready + growth > window.capacity)
		return EEXIST;
	int error = map_metadata((ptrdiff_t)window.ready, growth);
	if (error == EEXIST)
		window.capacity = window.ready;
	if (error != 0)
		return error;
	window.ready += growth;
	/* relaxed: see struct hkm_window. */
	atomic_store_explicit(&hkm_window.beyond, -(window.ready * HKM_SUPERSLAB_SIZE) | 7, memory_order_relaxed);
	return 0;
}

/* ---- Superslabs ------------------------------------------------------------------------------------ */

static void vacant_remove(struct superslab *superslab)
{
	if (superslab->prev != NULL)
		superslab->prev->next = superslab->next;
	else
		window.vacant = superslab->next;
	if (superslab->next != NULL)
		superslab->next->prev = superslab->prev;
	superslab->vacant = false;
}

static void vacant_add(struct superslab *superslab)
{
	superslab->vacant = true;
	superslab->prev = NULL;
	superslab->next = window.vacant;
	if (superslab->next != NULL)
		superslab->next->prev = superslab;
	window.vacant = superslab;
}

/* Maps `count` more slices of a superslab. */
static int map_slices(struct superslab *superslab, size_t count, uint64_t *bits)
{
	char *start = superslab_start(superslab) + superslab->mapped * HKM_SLICE_SIZE;
	int error = hkm_os_map_at(start, count * HKM_SLICE_SIZE, window.reserved);
	if (error != 0)
		return error;
	*bits = run_mask(count) << superslab->mapped;
	superslab->mapped = (uint8_t)(superslab->mapped + count);
	if (window.partial == superslab && superslab->mapped == HKM_SUPERSLAB_SLICES)
		window.partial = NULL;
	else if (superslab->mapped < HKM_SUPERSLAB_SLICES)
		window.partial = superslab;
	return 0;
}

/* Maps the rest of a superslab, or, if the system refuses that, less of it: at least `slices` more. */
static int map_rest(struct superslab *superslab, size_t slices, uint64_t *bits)
{
	size_t rest = HKM_SUPERSLAB_SLICES - superslab->mapped;
	size_t least = hkm_min(rest, hkm_align_up(slices, hkm_max(1, hkm_os_page_size() >> HKM_SLICE_SHIFT)));
	int error = map_slices(superslab, rest, bits);
	if (error == ENOMEM && rest > PIECE && least < PIECE)
		error = map_slices(superslab, PIECE, bits);
	if (error == ENOMEM && least < rest)
		error = map_slices(superslab, least, bits);
	return error;
}

/* Maps more of the superslab that is mapped in part. */
static int partial_grow(size_t slices, uint64_t *bits)
{
	struct superslab *superslab = window.partial;
	uint64_t used = ~superslab->free & run_mask(superslab->mapped);
	size_t tail = superslab->mapped - (used != 0 ? hkm_log2(used) + 1u : 0u);
	if (slices > tail + HKM_SUPERSLAB_SLICES - superslab->mapped)
		return EEXIST;
	return map_rest(superslab, slices > tail ? slices - tail : 1, bits);
}

/* A superslab that was mapped before. */
static int map_vacant(size_t slices, struct superslab **superslab, uint64_t *bits)
{
	for (unsigned tries = 0; window.vacant != NULL && tries < STRANGER_TRIES; tries++) {
		*superslab = window.vacant;
		int error = map_rest(*superslab, slices, bits);
		if (error == ENOMEM)
			return error;
		vacant_remove(*superslab);
		if (error == 0)
			return 0;
	}
	return EEXIST;
}

/* The window's next superslab. Where several places in a row belong to others, twice as many are passed over each time: a
 * reservation of a TiB takes twenty steps. */
static int map_next(size_t slices, struct superslab **superslab, uint64_t *bits)
{
	for (unsigned tries = 0; tries < STRANGER_TRIES && window.next < window.capacity; tries++) {
		int error = 0;
		while (error == 0 && window.next >= window.ready)
			error = window_grow();
		if (error != 0)
			return error;
		*superslab = &hkm_superslabs[window.next];
		error = map_rest(*superslab, slices, bits);
		if (error == ENOMEM)
			return error;
		window.next += error == 0 ? 1 : (size_t)1 << window.strangers;
		window.strangers = error == 0 ? 0 : window.strangers + 1;
		if (error == 0)
			return 0;
	}
	return EEXIST;
}

/* ---- Granules ------------------------------------------------------------------------------------------- */

bool hkm_granule_is_ours(size_t slice)
{
	size_t granule = slice / HKM_SUPERSLAB_SLICES / hkm_max(hkm_granule_size, 1), bit = granule % LEAF_GRANULES;
	if (granule >= GRANULES)
		return false;
	/* acquire: pairs with the release in leaf_for, so that a page that is found is empty but for what was set. */
	struct leaf *leaf = atomic_load_explicit(&leaves[granule / LEAF_GRANULES], memory_order_acquire);
	return leaf != NULL && (atomic_load_explicit(&leaf->bits[bit / 64], memory_order_relaxed) >> bit % 64 & 1) != 0;
}

bool hkm_is_in_granule(const void *pointer)
{
	return pointer != NULL && (uintptr_t)pointer % 8 == 0 && hkm_granule_is_ours(hkm_slice_of(pointer));
}

const struct granule *hkm_window_next_granule(const struct granule *previous)
{
	/* acquire: pairs with the release in granule_add, so that one that is found is initialised. */
	return atomic_load_explicit(previous != NULL ? &previous->next : &granules, memory_order_acquire);
}

/* The page that has the granule's bit; NULL: no memory for it. It is never given back. */
static struct leaf *leaf_for(size_t granule)
{
	_Atomic(struct leaf *) *place = &leaves[granule / LEAF_GRANULES];
	struct leaf *leaf = atomic_load_explicit(place, memory_order_relaxed); /* written under the lock that is held */
	if (leaf == NULL) {
		leaf = hkm_meta_alloc(sizeof *leaf);
		atomic_store_explicit(place, leaf, memory_order_release); /* pairs with the acquire in hkm_granule_is_ours */
	}
	return leaf;
}

/* Makes the granule ours that superslab `number` is in: its superslabs are vacant. Result: 0, ENOMEM, EEXIST (a stranger is in
 * the place of its metadata, or it is ours already, or none). */
static int granule_add(size_t number)
{
	size_t first = number & ~(hkm_granule_size - 1), granule = first / hkm_granule_size;
	if (first < window.size || first + hkm_granule_size > window.reach || hkm_granule_is_ours(first * HKM_SUPERSLAB_SLICES))
		return EEXIST;
	struct leaf *leaf = leaf_for(granule);
	struct granule *added = leaf != NULL ? hkm_meta_alloc(sizeof *added) : NULL;
	if (added == NULL)
		return ENOMEM;
	int error = map_metadata((ptrdiff_t)first, hkm_granule_size);
	if (error != 0) {
		hkm_meta_free(added, sizeof *added);
		return error;
	}
	added->first = first;
	for (size_t i = hkm_granule_size; i-- > 0;)
		vacant_add(&hkm_superslabs[first + i]);
	atomic_fetch_or_explicit(&leaf->bits[granule % LEAF_GRANULES / 64], (uint64_t)1 << granule % 64, memory_order_relaxed);
	/* release: pairs with the acquire in hkm_window_next_granule. */
	atomic_store_explicit(last_granule, added, memory_order_release);
	last_granule = &added->next;
	return 0;
}

/* The number of the superslab behind an address where the kernel itself finds room; 0: it finds none. */
static size_t room_of_kernel(void)
{
	uintptr_t room = (uintptr_t)hkm_os_reserve(NULL, 2 * HKM_SUPERSLAB_SIZE);
	if (room != 0)
		hkm_os_unmap((void *)room, 2 * HKM_SUPERSLAB_SIZE, false);
	return room > hkm_window.base ? (room - hkm_window.base) / HKM_SUPERSLAB_SIZE + 1 : 0;
}

/* A superslab of a new granule, at a random place; the last tries where the kernel finds room. */
static int map_elsewhere(size_t slices, struct superslab **superslab, uint64_t *bits)
{
	int error = EEXIST;
	for (unsigned tries = 0; error == EEXIST && !window.reserved && tries < GRANULE_TRIES; tries++) {
		window.random = window.random * 6364136223846793005u + 1442695040888963407u;
		size_t above = window.size + (window.random >> 20) % (window.reach - window.size);
		error = granule_add(tries < GRANULE_TRIES - 2 ? above : room_of_kernel());
		if (error == 0)
			error = map_vacant(slices, superslab, bits);
	}
	return error;
}

struct superslab *hkm_window_map(size_t slices, uint64_t *bits)
{
	struct superslab *superslab = window.partial;
	int error = superslab != NULL ? partial_grow(slices, bits) : EEXIST;
	if (error == EEXIST)
		error = map_vacant(slices, &superslab, bits);
	if (error == EEXIST)
		error = map_next(slices, &superslab, bits);
	if (error == EEXIST)
		error = map_elsewhere(slices, &superslab, bits);
	return error == 0 ? superslab : NULL;
}

enum hkm_unmapped hkm_window_unmap(struct superslab *superslab)
{
	size_t size = superslab->mapped * HKM_SLICE_SIZE;
	if (window.partial == superslab)
		window.partial = NULL;
	/* `mapped` stays meanwhile, so that nobody else takes the addresses. */
	hkm_lock_release(&hkm_span_lock);
	enum hkm_unmapped result = hkm_os_unmap(superslab_start(superslab), size, window.reserved);
	hkm_lock_acquire(&hkm_span_lock);
	if (result == HKM_UNMAPPED) {
		superslab->mapped = 0;
		vacant_add(superslab);
	}
	return result;
}
