/* life.c - heaps come and go with their threads; see heap.h.
 *
 * A thread that ends tells so by the destructor of a pthread key (thread_exit). The destructor need not run: the C library
 * calls destructors four times at most, and another one that allocates after ours in the last round gives the thread a
 * heap again; one that ends its thread by itself keeps the others from running; a thread may end by the bare system call.
 * So each heap also has a sign of life that needs no call of anybody: a robust mutex, which its thread holds from the
 * moment it gets the heap. When a thread ends in whatever way, the kernel marks the mutexes that it holds
 * (set_robust_list(2)). The mark is proof: it cannot come from another thread of the same number, nor, as it is the
 * memory of this process only that the kernel writes to, from a parent or a child. Taking and releasing the mutex costs no system call.
 *
 * The C library keeps the mutexes that a thread holds in a list through the mutexes themselves. The program's are in it, too,
 * and their memory need not be there any more: a program may unmap or use again what it holds. So ours enters the list
 * only if that is empty, and leaves it only if it is alone there: nothing is written to but its own words and the head.
 * Otherwise the heap shows no sign of life, or its mutex stays in the list, held, until the thread is no more.
 * This is done here, and not by pthread_mutex_trylock and its kin: a program may have functions of its own by these names, which
 * allocate, or wait for who allocates. The layout of entries is the C library's, as it links its own to ours.
 *
 * Without a sign (the program held a robust mutex; another C library's thread; more robust mutexes than the kernel walks, or a
 * list that the program has damaged) the thread counts as alive until its destructor tells otherwise.
 *
 * Marks are looked for by whoever needs a heap and finds none abandoned, and by ticks (heap.c), so many heaps at a time.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <time.h>

#include "ace/ace.h"
#include "core/meta.h"
#include "core/options.h"
#include "core/report.h"
#include "hakmem.h"
#include "heap/registry.h"
#include "learn/profile.h"
#include "os/os.h"
#include "sites/sites.h"
#include "tiny/tiny.h"

/* ThreadSanitizer follows mutexes, and loses sight of a thread before its last destructors run. */
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SIGNS_OF_LIFE false
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define SIGNS_OF_LIFE false
#endif
#ifndef SIGNS_OF_LIFE
#define SIGNS_OF_LIFE true
#endif

#define SEARCHED 512 /* heaps that are looked at before a new one is made: some 20 us */

/* Nobody may enter these three: `enterable` stays false. All zero, so that no page of them need be there. */
_Alignas(HKM_HEAP_ALIGNMENT) struct hkm_heap hkm_no_heap;
_Alignas(HKM_HEAP_ALIGNMENT) struct hkm_heap hkm_ended_heap;
_Alignas(HKM_HEAP_ALIGNMENT) struct hkm_heap hkm_starting_heap;

_Thread_local struct hkm_heap *hkm_tls_heap = &hkm_no_heap;

struct hkm_lock hkm_registry_lock;
static _Atomic(struct hkm_heap *) all_heaps; /* read without the lock, too: heaps are only ever added */
struct hkm_heap *hkm_abandoned_heaps;
static hkm_counter active_heaps; /* written under the lock, read by anyone */
static bool started;
struct hkm_heap *hkm_long_lived_heap;

static uint32_t debug_ends; /* of threads, for the debug build's checks; guarded by the registry lock */

static pthread_key_t thread_key;
static bool has_key; /* the program may have taken them all */
static pthread_once_t fork_hooks = PTHREAD_ONCE_INIT;

static bool metered; /* written while the process starts */

struct hkm_heap *hkm_heap_first(void)
{
	/* acquire: pairs with the release in heap_new, so that a heap found is initialised. */
	return atomic_load_explicit(&all_heaps, memory_order_acquire);
}

static struct hkm_heap *heap_new(void)
{
	struct hkm_heap *heap = hkm_meta_alloc(sizeof *heap);
	if (heap == NULL)
		return NULL;
	HKM_ASSERT(((uintptr_t)heap & (HKM_HEAP_ALIGNMENT - 1)) == 0);
	heap->enterable = true;
	heap->grant_mask = HKM_GRANT_MIN - 1;
	heap->metered = metered;
	hkm_policy_register(&heap->reader);
	heap->next_heap = atomic_load_explicit(&all_heaps, memory_order_relaxed);
	/* release: pairs with the acquire in hkm_heap_first. */
	atomic_store_explicit(&all_heaps, heap, memory_order_release);
	return heap;
}

/* ---- Signs of life ------------------------------------------------------------------------------------- */

/* From pthread_self() to the head of the calling thread's list of robust mutexes; 0: not known. Written while the process starts. */
static ptrdiff_t list_offset;

#define LIST_FAR 8192 /* beyond this, the head is not in the C library's description of the thread */

static void find_list(void)
{
	char *head = SIGNS_OF_LIFE ? hkm_os_robust_list() : NULL;
	ptrdiff_t offset = head - (char *)pthread_self();
	if (head != NULL && offset > -LIST_FAR && offset < LIST_FAR)
		list_offset = offset;
}

/* The mutex as the kernel knows it, an entry in a list; the layouts are those of set_robust_list(2). */
static struct robust_list *entry_of(struct hkm_heap *heap)
{
	return (struct robust_list *)(void *)&heap->life.__data.__list.__next;
}

#define ENTRY_TO_WORD ((long)offsetof(pthread_mutex_t, __data.__lock) - (long)offsetof(pthread_mutex_t, __data.__list.__next))

/* The list of the calling thread; NULL: it has none, or a signal handler is here that has interrupted a change of it. */
static struct robust_list_head *own_list(void)
{
	struct robust_list_head *head = (void *)((char *)pthread_self() + list_offset);
	if (list_offset == 0 || head->futex_offset != ENTRY_TO_WORD || head->list_op_pending != NULL)
		return NULL;
	return head;
}

static unsigned word_of(const struct hkm_heap *heap)
{
	/* acquire: pairs with the kernel's write of the mark, after all that the thread has written on its fast paths. */
	return (unsigned)__atomic_load_n(&heap->life.__data.__lock, __ATOMIC_ACQUIRE);
}

static void set_word(struct hkm_heap *heap, unsigned word)
{
	__atomic_store_n(&heap->life.__data.__lock, (int)word, __ATOMIC_RELAXED);
}

void hkm_heap_begin_life(struct hkm_heap *heap)
{
	struct robust_list_head *list = own_list();
	clockid_t clock; /* has the kernel's number of the thread in it; a thread that the C library does not know has none */
	/* Held, and not marked: in the list of a thread that had the heap before, and may live. */
	bool is_listed = word_of(heap) != 0 && (word_of(heap) & FUTEX_OWNER_DIED) == 0;
	atomic_store_explicit(&heap->shows_life, false, memory_order_relaxed);
	if (is_listed || list == NULL || list->list.next != &list->list || pthread_getcpuclockid(pthread_self(), &clock) != 0)
		return;
	entry_of(heap)->next = &list->list;
	heap->life.__data.__list.__prev = (void *)&list->list;
	set_word(heap, ~(unsigned)(clock >> 3) & FUTEX_TID_MASK);
	atomic_signal_fence(memory_order_seq_cst); /* the kernel, and handlers, find it whole */
	list->list.next = entry_of(heap);
	atomic_store_explicit(&heap->shows_life, true, memory_order_relaxed);
}

/* By the thread that began it. */
static void end_life(struct hkm_heap *heap)
{
	struct robust_list_head *list = own_list();
	struct robust_list *entry = entry_of(heap);
	bool shown = atomic_load_explicit(&heap->shows_life, memory_order_relaxed);
	atomic_store_explicit(&heap->shows_life, false, memory_order_relaxed);
	if (!shown || list == NULL || list->list.next != entry || entry->next != &list->list)
		return;
	list->list.next = &list->list;
	atomic_signal_fence(memory_order_seq_cst);
	set_word(heap, 0);
}

void hkm_heap_forget_life(struct hkm_heap *heap)
{
	if (word_of(heap) != 0)
		set_word(heap, 0);
	if (atomic_load_explicit(&heap->shows_life, memory_order_relaxed))
		atomic_store_explicit(&heap->shows_life, false, memory_order_relaxed);
}

/* Whether the thread whose heap it was has ended. Relaxed, as the lock of the heap comes before anything that its thread wrote. */
bool hkm_heap_life_is_over(const struct hkm_heap *heap)
{
	return (word_of(heap) & FUTEX_OWNER_DIED) != 0 && atomic_load_explicit(&heap->shows_life, memory_order_relaxed) &&
	       !atomic_load_explicit(&heap->abandoned, memory_order_relaxed);
}

/* ---- Ends ------------------------------------------------------------------------------------------------ */

void hkm_heap_abandon(struct hkm_heap *heap)
{
	/* seq_cst: see send in tiny/remote.c. */
	atomic_store_explicit(&heap->abandoned, true, memory_order_seq_cst);
	heap->empty_slabs_kept = 0; /* until it is adopted */
	heap->left = NULL;
	if (!heap->left_behind) /* whose thread counts with another */
		hkm_count(&active_heaps, (uint64_t)-1);
	heap->left_behind = false;
	atomic_store_explicit(&heap->forsaken, false, memory_order_relaxed);
	heap->next_abandoned = hkm_abandoned_heaps;
	hkm_abandoned_heaps = heap;
}

/* All but slabs with live blocks goes to others; the caller holds the heap's lock. */
static void empty(struct hkm_heap *heap, const struct hkm_policy *policy)
{
	hkm_remote_send_all(heap);
	hkm_ace_flush(heap, policy);
	hkm_remote_receive(heap);
	hkm_tiny_flush(heap);
	hkm_tiny_close(heap);
	hkm_tiny_release_empty(heap, 0);
	heap->bare = true;
}

void hkm_heap_repair(struct hkm_heap *heap)
{
	heap->miscounted = true;
	heap->enterable = true;
	hkm_remote_repair(heap);
	hkm_ace_repair(heap);
	hkm_tiny_close(heap);
}

/* A thread that has ended within a slow path, in a signal handler, still holds the lock: its heap is lost, as what it was
 * changing is not whole. */
bool hkm_heap_bury(struct hkm_heap *heap)
{
	if (HKM_LIKELY(!hkm_heap_life_is_over(heap)) || !hkm_heap_try_lock(heap))
		return false;
	/* Against the order of locks, and others may have been faster. */
	bool buried = hkm_heap_life_is_over(heap);
	if (buried) {
		hkm_heap_repair(heap);
		empty(heap, hkm_policy_read(&heap->reader));
		buried = hkm_lock_try(&hkm_registry_lock);
	}
	if (buried) {
		hkm_heap_abandon(heap);
		hkm_lock_release(&hkm_registry_lock);
	}
	hkm_heap_let_go(heap);
	return buried;
}

/* The next block of a list of deferred frees, of whatever layer; NULL: there is none, or the program has written over the link. */
static struct hkm_block *next_deferred(const struct hkm_block *block)
{
	uintptr_t next = hkm_deferred_link((void *)block->link);
	if (HKM_LIKELY(next % 8 == 0))
		return (struct hkm_block *)next;
	hkm_misuse("free", HKM_WRITTEN_AFTER_FREE, (void *)block->link);
	return NULL;
}

void hkm_heap_free_list(struct hkm_block *block)
{
	while (block != NULL) {
		struct hkm_block *next = next_deferred(block);
		hkm_free(block);
		block = next;
	}
}

static struct hkm_block *take_deferred(struct hkm_heap *heap)
{
	/* acquire: pairs with the release in hkm_defer_free, as hkm_starting_heap's list is that of several threads. */
	return atomic_exchange_explicit(&heap->deferred, NULL, memory_order_acquire);
}

static void check_heaps(void);

/* The calling thread, whose heap it is, ends. */
static void end_heap(struct hkm_heap *heap)
{
	empty(heap, hkm_heap_enter(heap));
	hkm_heap_leave(heap);
	while (hkm_heap_has_mail(heap)) { /* a fork may come between */
		hkm_heap_enter(heap);
		hkm_remote_receive(heap);
		hkm_heap_leave(heap);
	}
	hkm_heap_set(&hkm_starting_heap); /* while this thread holds the registry lock */
	struct hkm_block *deferred = take_deferred(heap);
	hkm_lock_acquire(&hkm_registry_lock);
	hkm_lock_acquire_quiet(&heap->reader.lock);
	end_life(heap);
	hkm_heap_abandon(heap);
	hkm_remote_receive(heap);
	if (HAKMEM_DEBUG && ++debug_ends % 8 == 0)
		check_heaps();
	hkm_lock_release(&hkm_registry_lock);
	hkm_heap_let_go(heap);
	hkm_heap_set(&hkm_ended_heap);
	hkm_heap_free_list(deferred);
}

void hkm_heap_lose(struct hkm_heap *heap)
{
	if (!heap->left_behind)
		hkm_count(&active_heaps, (uint64_t)-1);
	heap->left_behind = true;
	/* relaxed: no policy is read under this lock any more, so it keeps none from being used again. */
	atomic_store_explicit(&heap->reader.seen, UINT64_MAX, memory_order_relaxed);
}

/* The calling thread ends in a signal handler, or has jumped out of one, that interrupted a slow path of its heap. If that
 * holds the heap's lock, the heap is lost: what it was changing is not whole. */
static void lose_heap(struct hkm_heap *heap)
{
	atomic_store_explicit(&heap->forsaken, true, memory_order_relaxed);
	if (!hkm_locks_are_free())
		return;
	if (hkm_lock_try(&heap->reader.lock)) {
		hkm_heap_repair(heap);
		hkm_lock_release(&heap->reader.lock);
		hkm_heap_set(heap);
		end_heap(heap);
		return;
	}
	hkm_lock_acquire(&hkm_registry_lock);
	hkm_heap_lose(heap);
	hkm_lock_release(&hkm_registry_lock);
}

/* Runs at the end of a thread (pthread key). A free that comes later finds no heap and goes home one by one;
 * a malloc that comes later adopts a heap again, and the C library runs this again. */
static void thread_exit(void *value)
{
	struct hkm_heap *heap = hkm_tls_heap, *next;
	(void)value; /* it may have left that one */
	if (heap == &hkm_no_heap || heap == &hkm_ended_heap || heap == &hkm_starting_heap)
		heap = NULL;
	for (; heap != NULL; heap = next) {
		next = heap->left;
		heap->left = NULL;
		hkm_heap_set(heap->enterable ? heap : &hkm_starting_heap);
		if (heap->enterable)
			end_heap(heap);
		else
			lose_heap(heap);
	}
	hkm_heap_set(&hkm_ended_heap);
	hkm_heap_free_list(take_deferred(&hkm_starting_heap));
}

/* ---- Threads without a heap ------------------------------------------------------------------------------ */

static struct hkm_heap *guest_was; /* what the guest's heap is called otherwise; guarded by the guest's lock */

const struct hkm_policy *hkm_guest_enter(void)
{
	struct hkm_heap *was = hkm_tls_heap;
	hkm_heap_set(&hkm_starting_heap);
	hkm_lock_acquire(&hkm_guest.lock);
	guest_was = was;
	return hkm_policy_read(&hkm_guest);
}

void hkm_guest_leave(void)
{
	struct hkm_heap *was = guest_was;
	hkm_lock_release(&hkm_guest.lock);
	hkm_heap_set(was);
}

/* ---- Beginnings ------------------------------------------------------------------------------------------- */

/* The heap of long-lived blocks; it is made whenever there are rules, and costs nothing until one applies. */
static void start_sites(void)
{
	if (!hkm_sites_start())
		return;
	hkm_bins_divert();
	hkm_long_lived_heap = heap_new();
	if (hkm_long_lived_heap != NULL)
		atomic_store_explicit(&hkm_long_lived_heap->abandoned, true, memory_order_relaxed);
}

/* Called with the registry lock held. */
static void start_process(void)
{
	hkm_options_read();
	hkm_policy_start();
	hkm_profile_start();
	hkm_span_start();
	start_sites();
	hkm_learning.start();
	find_list();
	has_key = pthread_key_create(&thread_key, thread_exit) == 0;
	started = true;
}

static void install_fork_hooks(void)
{
	pthread_atfork(hkm_heap_fork_prepare, hkm_heap_fork_parent, hkm_heap_fork_child);
}

/* The caller holds the registry lock. */
static struct hkm_heap *adopt(void)
{
	struct hkm_heap *heap = hkm_abandoned_heaps;
	if (heap == NULL)
		return NULL;
	hkm_abandoned_heaps = heap->next_abandoned;
	hkm_lock_acquire_quiet(&heap->reader.lock);
	heap->bare = false;
	hkm_heap_begin_life(heap); /* so that no mark of the last one's is there when it counts as somebody's */
	atomic_store_explicit(&heap->abandoned, false, memory_order_relaxed);
	hkm_lock_release(&heap->reader.lock);
	return heap;
}

/* Looks for heaps whose threads have ended without a word, until one is found; each time from where the last search ended. */
static void bury_one(void)
{
	static _Atomic(struct hkm_heap *) next; /* NULL: at the first */
	/* acquire: pairs with the release below, as hkm_heap_first does with heap_new. */
	struct hkm_heap *heap = atomic_load_explicit(&next, memory_order_acquire);
	bool found = false;
	for (unsigned i = 0; i < SEARCHED && !found; i++) {
		if (heap == NULL)
			heap = hkm_heap_first();
		if (heap == NULL)
			return;
		found = hkm_heap_bury(heap);
		heap = heap->next_heap;
	}
	atomic_store_explicit(&next, heap, memory_order_release);
}

/* A heap for the calling thread, adopted or new, which it holds the life of; NULL: no memory. */
static struct hkm_heap *find_heap(struct hkm_heap *left)
{
	hkm_lock_acquire(&hkm_registry_lock);
	if (!started)
		start_process();
	struct hkm_heap *heap = adopt();
	if (heap == NULL) {
		hkm_lock_release(&hkm_registry_lock);
		bury_one();
		hkm_lock_acquire(&hkm_registry_lock);
		heap = adopt();
	}
	if (heap == NULL && (heap = heap_new()) != NULL)
		hkm_heap_begin_life(heap);
	if (heap != NULL) {
		heap->left = left;
		if (left != NULL)
			left->left_behind = true;
		else
			hkm_count(&active_heaps, 1);
	}
	hkm_lock_release(&hkm_registry_lock);
	return heap;
}

void hkm_heap_inherit_deferred(struct hkm_heap *to, struct hkm_heap *from)
{
	struct hkm_block *first = take_deferred(from), *last = first;
	if (first == NULL)
		return;
	for (struct hkm_block *next; (next = next_deferred(last)) != NULL;)
		last = next;
	struct hkm_block *head = atomic_load_explicit(&to->deferred, memory_order_relaxed);
	do
		last->link = hkm_deferred_link(head);
	while (!atomic_compare_exchange_weak_explicit(&to->deferred, &head, first, memory_order_relaxed,
						      memory_order_relaxed));
}

HKM_SLOW struct hkm_heap *hkm_heap_acquire(struct hkm_heap *left)
{
	struct hkm_heap *before = hkm_tls_heap;
	int saved = errno;
	hkm_heap_set(&hkm_starting_heap);
	/* Before the lock is held for the first time: a child that was forked without the hooks could find it so. Such a child
	 * runs them again, if another thread was at it (glibc's pthread_once). What they allocate comes from the reserve. */
	pthread_once(&fork_hooks, install_fork_hooks);
	struct hkm_heap *heap = find_heap(left);
	hkm_heap_set(heap != NULL ? heap : before);
	if (heap != NULL) {
		const struct hkm_policy *policy = hkm_heap_enter(heap);
		heap->empty_slabs_kept = policy->empty_slabs;
		hkm_ace_set_limit(heap, policy);
		hkm_heap_leave(heap);
		if (has_key)
			pthread_setspecific(thread_key, heap); /* may allocate */
		/* What handlers have freed meanwhile is the heap's to free when it next leaves a slow path. */
		hkm_heap_inherit_deferred(heap, &hkm_starting_heap);
	}
	errno = saved;
	return heap;
}

uint32_t hkm_heap_active(void)
{
	return (uint32_t)hkm_counted(&active_heaps);
}

struct hkm_heap *hkm_heap_get(void)
{
	struct hkm_heap *heap = hkm_tls_heap;
	if (HKM_LIKELY(heap != &hkm_no_heap && heap != &hkm_ended_heap))
		return heap != &hkm_starting_heap ? heap : NULL;
	return hkm_heap_acquire(NULL);
}

void hkm_heap_meter_all(void)
{
	metered = true;
}

/* ---- Invariants ------------------------------------------------------------------------------------------ */

/* The caller holds the registry lock, so that no heap comes, goes, or is left behind. */
static void check_heaps(void)
{
	uint64_t all = 0, without = 0, left = 0, with = 0;
	for (const struct hkm_heap *heap = hkm_abandoned_heaps; heap != NULL; heap = heap->next_abandoned, without++)
		HKM_ASSERT(atomic_load_explicit(&heap->abandoned, memory_order_relaxed) && heap->reader.registered &&
			   heap->left == NULL && !heap->left_behind && heap != hkm_long_lived_heap && without < UINT32_MAX);
	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap, all++) {
		bool abandoned = atomic_load_explicit(&heap->abandoned, memory_order_relaxed);
		left += heap->left_behind;
		with += !abandoned && !heap->left_behind;
		HKM_ASSERT(!abandoned || !heap->left_behind);
	}
	HKM_ASSERT(with == hkm_heap_active());
	HKM_ASSERT(all == with + left + without + (hkm_long_lived_heap != NULL));
}

void hkm_heap_check(void)
{
	hkm_lock_acquire(&hkm_registry_lock);
	check_heaps();
	hkm_lock_release(&hkm_registry_lock);
}
