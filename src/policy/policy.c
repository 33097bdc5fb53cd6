/* policy.c - see policy.h. */
#include "policy/policy.h"

#include <string.h>

#include "core/meta.h"
#include "core/options.h"
#include "os/os.h"

#define IDLE_SHARE 8u           /* of the address space, where that is limited, at most so much lies idle in one layer */
#define KEPT_SPAN_BYTES 131072u /* pools of blocks from this size up keep no empty spans: docs/design/thread-caches.md */

static size_t most_idle = SIZE_MAX; /* bytes; constant after the start */

struct hkm_lock hkm_policy_lock;
struct hkm_reader hkm_guest;

/* The first snapshot; later ones are metadata. Never reused, so that a reader which is registered
 * late can never see it change. */
static struct hkm_policy first;

/* Written by publishers under hkm_policy_lock, read by everybody. */
static _Atomic(struct hkm_policy *) current = &first;

/* The generation of the current snapshot, written after `current`: all older ones are retired. */
static _Atomic uint64_t published = 1;

/* All readers; only ever added to, and read without a lock. */
static _Atomic(struct hkm_reader *) readers;

/* Guarded by hkm_policy_lock. */
static struct hkm_policy *retired; /* newest first */
static struct hkm_policy *spare;   /* past their grace period */

const struct hkm_policy *hkm_policy_read(struct hkm_reader *reader)
{
	HKM_ASSERT(hkm_lock_is_held(&reader->lock));
	/* seq_cst: ordered after the reader's lock; pairs with the store in hkm_policy_replace_if (see policy.h). */
	const struct hkm_policy *policy = atomic_load_explicit(&current, memory_order_seq_cst);
	/* release: pairs with the acquire in oldest_in_use; what was read from older snapshots happened
	 * before. */
	if (atomic_load_explicit(&reader->seen, memory_order_relaxed) != policy->generation)
		atomic_store_explicit(&reader->seen, policy->generation, memory_order_release);
	return policy;
}

/* No reader holds a snapshot of an older generation, or ever will. Walks over all readers, so it is called without the lock:
 * what it has found stays true. */
static uint64_t oldest_in_use(void)
{
	/* acquire: pairs with the release in hkm_policy_replace_if; the stores of `current` up to this generation come before the
	 * looks at the readers' locks. */
	uint64_t oldest = atomic_load_explicit(&published, memory_order_acquire);
	/* seq_cst: see hkm_policy_register. */
	for (struct hkm_reader *reader = atomic_load_explicit(&readers, memory_order_seq_cst); reader != NULL;
	     reader = reader->next)
		if (hkm_lock_is_held(&reader->lock))
			oldest = hkm_min(oldest, atomic_load_explicit(&reader->seen, memory_order_acquire));
	return oldest;
}

/* Moves the retired snapshots whose grace period is over to the spare ones; the caller holds the lock. `oldest`: what
 * oldest_in_use has found before. */
static void reclaim(uint64_t oldest)
{
	struct hkm_policy **link = &retired;
	/* Newest first. */
	while (*link != NULL && (*link)->generation >= oldest)
		link = &(*link)->retired;
	struct hkm_policy *done = *link;
	*link = NULL;
	while (done != NULL) {
		struct hkm_policy *next = done->retired;
		if (done != &first) {
			done->retired = spare;
			spare = done;
		}
		done = next;
	}
}

static uint64_t clamp(uint64_t value, uint64_t low, uint64_t high)
{
	return value < low ? low : value > high ? high : value;
}

/* clamp_<option>: into the option's range. */
#define HKM_OPTION_UINT(name, environment, standard, low, high, ...) \
	__attribute__((unused)) static uint64_t clamp_##name(uint64_t value) { return clamp(value, low, high); }
#define HKM_OPTION_REAL HKM_OPTION_UINT
#include "core/options.def"

/* A dynamic class lies strictly between two static ones. */
static uint32_t legal_dynamic_size(uint32_t size)
{
	size = (uint32_t)hkm_align_up(size, 16);
	return size <= HKM_TINY_MAX || size == hkm_ace_static_size(hkm_ace_class(size)) ? 0 : size;
}

/* Forces every value into its legal range, so that any snapshot is safe. */
static void sanitize(struct hkm_policy *policy)
{
#define HKM_POLICY_FIELD(option, member) policy->member = (__typeof__(policy->member))clamp_##option(policy->member);
#include "policy/fields.def"
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		bool is_large = class >= HKM_MID_CLASSES && class < HKM_ACE_STATIC_CLASSES;
#define HKM_POLICY_CLASSES(member, unit, mid, large) \
	policy->member[class] = (uint16_t)clamp(policy->member[class], 0, is_large ? (large) : (mid));
#include "policy/fields.def"
	}
	for (unsigned i = 0; i < 2; i++)
		policy->dynamic_size[i] = legal_dynamic_size(policy->dynamic_size[i]);
	if (policy->dynamic_size[0] == policy->dynamic_size[1])
		policy->dynamic_size[1] = 0;
	policy->big_cache_bytes = hkm_min(policy->big_cache_bytes, most_idle);
	policy->dirty_bytes = hkm_min(policy->dirty_bytes, most_idle);
}

/* The caller holds the lock. */
static void check(void)
{
	const struct hkm_policy *now = atomic_load_explicit(&current, memory_order_relaxed);
	struct hkm_policy legal = *now;
	sanitize(&legal);
	HKM_ASSERT(memcmp(&legal, now, sizeof legal) == 0);
	uint64_t newer = now->generation;
	for (const struct hkm_policy *policy = retired; policy != NULL; policy = policy->retired) {
		HKM_ASSERT(policy->generation < newer && policy->generation > 0 && policy != now);
		newer = policy->generation;
	}
	for (const struct hkm_policy *policy = spare; policy != NULL; policy = policy->retired)
		HKM_ASSERT(policy != now && policy != &first && policy->generation < now->generation);
	for (const struct hkm_reader *reader = readers; reader != NULL; reader = reader->next) {
		uint64_t seen = atomic_load_explicit(&reader->seen, memory_order_relaxed);
		HKM_ASSERT(reader->registered && (seen <= now->generation || seen == UINT64_MAX));
	}
}

void hkm_policy_check(void)
{
	hkm_lock_acquire(&hkm_policy_lock);
	check();
	hkm_lock_release(&hkm_policy_lock);
}

uint64_t hkm_policy_replace(const struct hkm_policy *policy)
{
	return hkm_policy_replace_if(policy, 0);
}

uint64_t hkm_policy_replace_if(const struct hkm_policy *policy, uint64_t expected)
{
	uint64_t oldest = oldest_in_use();
	hkm_lock_acquire(&hkm_policy_lock);
	if (expected != 0 && atomic_load_explicit(&current, memory_order_relaxed)->generation != expected) {
		hkm_lock_release(&hkm_policy_lock);
		return 0;
	}
	reclaim(oldest);
	struct hkm_policy *fresh = spare;
	if (fresh != NULL)
		spare = fresh->retired;
	else
		fresh = hkm_meta_alloc(sizeof *fresh);
	uint64_t generation = 0;
	if (fresh != NULL) {
		struct hkm_policy *old = atomic_load_explicit(&current, memory_order_relaxed);
		*fresh = *policy;
		sanitize(fresh);
		generation = fresh->generation = old->generation + 1;
		/* seq_cst: publishes the contents (pairs with the load in get), and comes before the look at the
		 * readers' locks in oldest_in_use. */
		atomic_store_explicit(&current, fresh, memory_order_seq_cst);
		atomic_store_explicit(&published, generation, memory_order_release); /* see oldest_in_use */
		old->retired = retired;
		retired = old;
	}
	if (HAKMEM_DEBUG)
		check();
	hkm_lock_release(&hkm_policy_lock);
	return generation;
}

void hkm_policy_copy(struct hkm_policy *copy)
{
	/* Under the lock no snapshot is retired, so the current one stays what it is. */
	hkm_lock_acquire(&hkm_policy_lock);
	*copy = *atomic_load_explicit(&current, memory_order_relaxed);
	hkm_lock_release(&hkm_policy_lock);
}

void hkm_policy_register(struct hkm_reader *reader)
{
	if (reader->registered)
		return;
	reader->registered = true;
	reader->next = atomic_load_explicit(&readers, memory_order_relaxed);
	/* seq_cst, as is the load of `current` that follows in hkm_policy_read: a publisher whose snapshot that load misses finds
	 * the reader. Includes release: it is initialised. */
	while (!atomic_compare_exchange_weak_explicit(&readers, &reader->next, reader, memory_order_seq_cst, memory_order_relaxed))
		;
}

size_t hkm_policy_retired_count(void)
{
	size_t count = 0;
	uint64_t oldest = oldest_in_use();
	hkm_lock_acquire(&hkm_policy_lock);
	reclaim(oldest);
	for (struct hkm_policy *policy = retired; policy != NULL; policy = policy->retired)
		count++;
	hkm_lock_release(&hkm_policy_lock);
	return count;
}

void hkm_policy_start(void)
{
	struct hkm_policy *policy = &first;
	policy->generation = 1;
	size_t limit = hkm_os_address_limit();
	most_idle = limit != SIZE_MAX ? limit / IDLE_SHARE : SIZE_MAX;
#define HKM_POLICY_FIELD(option, member) policy->member = (__typeof__(policy->member))hkm_options.option;
#include "policy/fields.def"
	for (unsigned class = 0; class < HKM_ACE_CLASSES; class++) {
		bool dynamic = class >= HKM_ACE_STATIC_CLASSES;
		bool mid = class < HKM_MID_CLASSES || dynamic;
		size_t size = !dynamic ? hkm_ace_static_size(class) :
					 hkm_max(policy->dynamic_size[class - HKM_DYN1], HKM_TINY_MAX);
		size_t bytes = mid ? hkm_options.mid_cache_bytes : hkm_options.large_cache_bytes;
		policy->cache_blocks[class] = (uint16_t)hkm_min(hkm_max(bytes / size, bytes > 0), HKM_MID_SLOTS);
		/* A span kept by its class is one that no other class can have. */
		size_t kept = size < KEPT_SPAN_BYTES ? hkm_min(4, hkm_options.large_cache_bytes / size) : 0;
		policy->pool_spans[class] = mid ? 1 : (uint16_t)kept;
	}
	sanitize(policy);
	hkm_policy_register(&hkm_guest);
}
