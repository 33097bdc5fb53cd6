/* test_life.c - threads that end in every way: what their heaps held goes to others, and they are counted
 * no longer; robust mutexes of the program beside the allocator's; and signal handlers that interrupt a thread without a heap.
 */
#include "unit.h"

#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <threads.h>

#include "big/big.h"
#include "os/os.h"

#define LIVES 60u

#ifdef HAKMEM_TEST_THREAD_SANITIZED /* whose build goes without: see life.c */
#define SIGNS_OF_LIFE false
#else
#define SIGNS_OF_LIFE true
#endif

static size_t heaps(void)
{
	size_t count = 0;

	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap)
		count++;
	return count;
}

/* A look at the other heaps, now. */
static void look(struct hkm_heap *heap)
{
	for (unsigned i = 0; i < 2; i++) {
		uint64_t now = hkm_os_now_ms();

		while (hkm_os_now_ms() - now < 2 * HKM_ASLEEP_MS)
			sleep_milliseconds(4);
		heap->next_tick_ms = 0;
		for (size_t k = 0; k < 64 && heap->next_tick_ms == 0; k++)
			hkm_heap_poll(heap);
	}
}

static void use_heap(void)
{
	void *blocks[50];

	for (size_t i = 0; i < 50; i++) {
		blocks[i] = hkm_malloc(20 + i * 200);
		require(blocks[i] != NULL, "no memory");
		memset(blocks[i], 1, 20);
	}
	for (size_t i = 0; i < 50; i++)
		hkm_free(blocks[i]);
}

static pthread_key_t key;
static atomic_uint rounds;

/* The C library runs destructors four times at most: the last one comes after the allocator's own. */
static void allocate_in_every_round(void *value)
{
	atomic_fetch_add(&rounds, 1);
	use_heap();
	pthread_setspecific(key, value);
}

static void exit_in_destructor(void *value)
{
	use_heap();
	pthread_exit(value);
}

static void *set_key(void *value)
{
	use_heap();
	pthread_setspecific(key, value);
	return NULL;
}

/* The thread's own, whatever the kernel calls it; no destructor runs. */
static void *end_without_a_word(void *unused)
{
	use_heap();
	syscall(SYS_exit, 0);
	return unused;
}

static void *exit_from_deep(void *value)
{
	use_heap();
	pthread_exit(value);
}

static void *be_cancelled(void *unused)
{
	use_heap();
	for (;;)
		pause();
	return unused;
}

#ifndef HAKMEM_TEST_THREAD_SANITIZED
static int be_standard(void *unused)
{
	use_heap();
	(void)unused;
	thrd_exit(3);
}
#endif

/* LIVES threads, one after the other, that end in the same way. */
static void live(void *(*life)(void *), bool cancelled)
{
	struct hkm_heap *own = quiet_heap();

	for (unsigned i = 0; i < LIVES; i++) {
		pthread_t thread;

		require(pthread_create(&thread, NULL, life, &key) == 0, "pthread_create");
		if (cancelled)
			pthread_cancel(thread);
		pthread_join(thread, NULL);
		check_heaps(own);
	}
	look(own);
	check_heaps(own);
	require(hkm_heap_active() == 1, "%u heaps are said to have a thread", hkm_heap_active());
	require(heaps() <= 3, "%zu heaps for two threads at a time", heaps());
	for (const struct hkm_heap *heap = hkm_heap_first(); heap != NULL; heap = heap->next_heap) {
		require(heap == own || atomic_load(&heap->abandoned), "a heap has no thread, and nobody may have it");
		for (unsigned class = 0; heap != own && class < HKM_ACE_CLASSES; class++)
			require(heap->caches[class].count == 0, "a thread that has ended holds cached blocks");
	}
	hkm_malloc_trim(0);
	require(sum_spans(HKM_KIND_TINY, 48).spans == 0, "a thread that has ended holds slabs");
}

ISOLATED(destructors_that_allocate_in_the_last_round_cost_no_heap)
{
	if (!SIGNS_OF_LIFE)
		return;
	quiet_heap(); /* so that the allocator's key comes first */
	pthread_key_create(&key, allocate_in_every_round);
	live(set_key, false);
	require(atomic_load(&rounds) >= 4 * LIVES, "%u rounds", atomic_load(&rounds));
}

ISOLATED(destructors_that_end_their_thread_cost_no_heap)
{
	if (!SIGNS_OF_LIFE)
		return;
	quiet_heap();
	pthread_key_create(&key, exit_in_destructor);
	live(set_key, false);
}

ISOLATED(threads_that_end_without_a_word_cost_no_heap)
{
#ifdef HAKMEM_TEST_SANITIZED /* the sanitizers wait for the thread's last word */
	return;
#endif
	live(end_without_a_word, false);
}

/* The last thing it does is to put a block into its outbox, and it does not come to count it. */
static void *end_within_a_free(void *block)
{
	hkm_free(block);
	for (size_t i = 0; i < HKM_OUTBOXES; i++) {
		hkm_tls_heap->outboxes[i].last = NULL;
		hkm_tls_heap->outboxes[i].blocks = hkm_tls_heap->outboxes[i].bytes = 0;
	}
	syscall(SYS_exit, 0);
	return NULL;
}

ISOLATED(what_a_thread_was_freeing_when_it_ended_goes_home)
{
#ifdef HAKMEM_TEST_SANITIZED
	return;
#endif
	struct hkm_heap *own = quiet_heap();
	void *block = hkm_malloc(100);
	pthread_t thread;

	require(pthread_create(&thread, NULL, end_within_a_free, block) == 0, "pthread_create");
	pthread_join(thread, NULL);
	look(own);
	require(hkm_heap_active() == 1, "%u heaps are said to have a thread", hkm_heap_active());
	hkm_malloc_trim(0);
	require(sum_spans(HKM_KIND_TINY, 112).in_use == 0, "the block is lost");
	check_heaps(own);
}

#define CROWD 40u

static pthread_barrier_t crowd;

static void *end_in_crowd(void *unused)
{
	use_heap();
	pthread_barrier_wait(&crowd);
	syscall(SYS_exit, 0);
	return unused;
}

/* Or the malloc that ticks would wait for all of them. */
ISOLATED(a_tick_buries_few_threads)
{
#ifdef HAKMEM_TEST_SANITIZED
	return;
#endif
	struct hkm_heap *own = quiet_heap();
	pthread_t threads[CROWD];
	unsigned ticks = 0;

	pthread_barrier_init(&crowd, NULL, CROWD);
	for (unsigned i = 0; i < CROWD; i++)
		require(pthread_create(&threads[i], NULL, end_in_crowd, NULL) == 0, "pthread_create");
	for (unsigned i = 0; i < CROWD; i++)
		pthread_join(threads[i], NULL);
	for (unsigned before = hkm_heap_active(); before > 1; before = hkm_heap_active(), ticks++) {
		sleep_milliseconds(8);
		own->next_tick_ms = 0;
		hkm_heap_poll(own);
		require(before - hkm_heap_active() <= 8, "a tick has buried %u threads", before - hkm_heap_active());
	}
	check_heaps(own);
	require(ticks >= CROWD / 8, "%u ticks", ticks);
}

ISOLATED(threads_that_exit_or_are_cancelled_cost_no_heap)
{
	live(exit_from_deep, false);
	live(be_cancelled, true);
#ifndef HAKMEM_TEST_THREAD_SANITIZED /* which does not know these threads */
	for (unsigned i = 0; i < LIVES; i++) {
		thrd_t thread;

		require(thrd_create(&thread, be_standard, NULL) == thrd_success, "thrd_create");
		thrd_join(thread, NULL);
	}
#endif
	require(hkm_heap_active() == 1 && heaps() <= 3, "%u active, %zu heaps", hkm_heap_active(), heaps());
}

/* ---- Robust mutexes of the program ------------------------------------------------- */

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __real_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex);
int __real_pthread_mutex_unlock(pthread_mutex_t *mutex);
int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex);

static atomic_uint mutex_calls;

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
	atomic_fetch_add(&mutex_calls, 1);
	return __real_pthread_mutex_init(mutex, attributes);
}

int __wrap_pthread_mutex_trylock(pthread_mutex_t *mutex)
{
	atomic_fetch_add(&mutex_calls, 1);
	return __real_pthread_mutex_trylock(mutex);
}

int __wrap_pthread_mutex_unlock(pthread_mutex_t *mutex)
{
	atomic_fetch_add(&mutex_calls, 1);
	return __real_pthread_mutex_unlock(mutex);
}

#ifndef HAKMEM_TEST_THREAD_SANITIZED /* whose build has none of the allocator's */
static void init_robust(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attributes;

	pthread_mutexattr_init(&attributes);
	pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
	pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
	require(pthread_mutex_init(mutex, &attributes) == 0, "pthread_mutex_init");
	pthread_mutexattr_destroy(&attributes);
}

static char *held_page; /* of a mutex that a thread holds */
static bool held_unmapped;

/* The thread holds it for ever, and its memory is used again, or is no more; the kernel does not mind either. */
static void hold_and_forget(void)
{
	held_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	init_robust((pthread_mutex_t *)(void *)held_page);
	require(pthread_mutex_lock((pthread_mutex_t *)(void *)held_page) == 0, "pthread_mutex_lock");
	memset(held_page, 'x', 4096);
	if (held_unmapped)
		mprotect(held_page, 4096, PROT_NONE);
}

static void *hold_last(void *unused)
{
	use_heap();
	hold_and_forget();
	return unused;
}

static void *hold_first(void *unused)
{
	hold_and_forget();
	use_heap();
	return unused;
}

static void *hold_between(void *value)
{
	use_heap();
	hold_and_forget();
	pthread_setspecific(key, value);
	return NULL;
}

static void *hold_and_fork(void *unused)
{
	int status = 0;
	pid_t child;

	use_heap();
	hold_and_forget();
	child = fork();
	if (child == 0) {
		alarm(CHILD_SECONDS);
		use_heap();
		pthread_exit(unused);
	}
	require(child > 0 && waitpid(child, &status, 0) == child, "fork");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x", (unsigned)status);
	return unused;
}

static void run_with_held(void *(*life)(void *))
{
	pthread_t thread;

	require(pthread_create(&thread, NULL, life, &key) == 0, "pthread_create");
	pthread_join(thread, NULL);
	mprotect(held_page, 4096, PROT_READ);
	for (size_t i = 0; i < 4096; i++)
		require(held_page[i] == 'x', "byte %zu of the program's page was written", i);
	munmap(held_page, 4096);
}

ISOLATED(memory_of_mutexes_that_a_thread_holds_is_left_alone)
{
	static void *(*const lives[])(void *) = { hold_last, hold_first, hold_and_fork, hold_between };
	struct hkm_heap *own = quiet_heap();

	pthread_key_create(&key, allocate_in_every_round);
	for (unsigned i = 0; i < 8; i++) {
		held_unmapped = i % 2 != 0;
		run_with_held(lives[i / 2]);
		check_heaps(own);
		/* Without a sign of life, what allocates in the last round of destructors costs a heap. */
		require(lives[i / 2] == hold_between || hkm_heap_active() == 1, "life %u: %u active heaps", i, hkm_heap_active());
	}
	for (unsigned i = 0; i < LIVES; i++)
		run_with_held(i % 2 != 0 ? hold_last : hold_first);
	require(heaps() <= 5, "%zu heaps", heaps());
}

static pthread_mutex_t tokens[3];

static void *hold_tokens(void *first)
{
	if (first == NULL)
		use_heap();
	for (unsigned i = 0; i < 3; i++)
		pthread_mutex_lock(&tokens[i]);
	pthread_mutex_unlock(&tokens[1]);
	use_heap();
	return NULL;
}

ISOLATED(mutexes_that_a_thread_holds_are_marked_at_its_end)
{
	quiet_heap();
	for (unsigned i = 0; i < 3; i++)
		init_robust(&tokens[i]);
	for (unsigned round = 0; round < 10; round++) {
		pthread_t thread;

		require(pthread_create(&thread, NULL, hold_tokens, round % 2 != 0 ? tokens : NULL) == 0, "pthread_create");
		pthread_join(thread, NULL);
		for (unsigned i = 0; i < 3; i++) {
			int held = pthread_mutex_lock(&tokens[i]);

			require(held == (i == 1 ? 0 : EOWNERDEAD), "token %u: %d", i, held);
			pthread_mutex_consistent(&tokens[i]);
			pthread_mutex_unlock(&tokens[i]);
		}
	}
}

static atomic_uint step;

static void wait_for_step(unsigned wanted)
{
	while (atomic_load(&step) < wanted)
		sched_yield();
}

static void go_to_step(unsigned reached)
{
	atomic_store(&step, reached);
}

/* Its destructor comes after the allocator's. */
static void linger(void *unused)
{
	(void)unused;
	go_to_step(1);
	wait_for_step(3);
}

static void *end_slowly(void *where)
{
	use_heap();
	*(struct hkm_heap **)where = hkm_tls_heap;
	pthread_mutex_lock(&tokens[0]);
	pthread_setspecific(key, where);
	return NULL;
}

static void *inherit(void *where)
{
	struct hkm_heap *own = quiet_heap();

	require(own == *(struct hkm_heap **)where, "the heap was not adopted");
	require(!atomic_load(&own->shows_life), "the mutex is another thread's");
	go_to_step(2);
	wait_for_step(4);
	require(hkm_tls_heap == own && !atomic_load(&own->abandoned), "the heap of a live thread was taken");
	use_heap();
	return NULL;
}

static void *show_life(void *where)
{
	require(quiet_heap() == *(struct hkm_heap **)where, "the heap was not adopted");
	require(atomic_load(&hkm_tls_heap->shows_life), "no sign of life");
	return NULL;
}

/* The first thread cannot take its mutex back; the second has the heap when the kernel marks that mutex; the third shows life again. */
ISOLATED(the_mark_of_an_earlier_thread_counts_for_nothing)
{
	struct hkm_heap *own = quiet_heap(), *shared = NULL;
	pthread_t first, second;

	init_robust(&tokens[0]);
	pthread_key_create(&key, linger);
	require(pthread_create(&first, NULL, end_slowly, &shared) == 0, "pthread_create");
	wait_for_step(1);
	require(pthread_create(&second, NULL, inherit, &shared) == 0, "pthread_create");
	wait_for_step(2);
	go_to_step(3);
	pthread_join(first, NULL);
	look(own);
	require(!atomic_load(&shared->abandoned), "the heap of a live thread is abandoned");
	go_to_step(4);
	pthread_join(second, NULL);
	require(pthread_create(&first, NULL, show_life, &shared) == 0, "pthread_create");
	pthread_join(first, NULL);
	require(hkm_heap_active() == 1, "%u heaps are active", hkm_heap_active());
}

static void *see_own_number(void *unused)
{
	use_heap();
	require(hkm_tls_heap->life.__data.__lock == (int)syscall(SYS_gettid), "the mutex is not the thread's");
	return unused;
}

/* A preloaded library may wrap them, with a lock that it holds while it allocates. */
ISOLATED(heaps_come_and_go_without_functions_of_mutexes)
{
	live(see_own_number, false);
	live(exit_from_deep, false);
	require(atomic_load(&mutex_calls) == 0, "%u calls", atomic_load(&mutex_calls));
}

/* As in a signal handler that has interrupted pthread_mutex_lock. */
static void *begin_within_a_change(void *unused)
{
	struct robust_list_head *list = hkm_os_robust_list();

	list->list_op_pending = &list->list;
	use_heap();
	require(!atomic_load(&hkm_tls_heap->shows_life) && list->list.next == &list->list, "the list was changed");
	list->list_op_pending = NULL;
	return unused;
}

ISOLATED(a_list_that_is_being_changed_is_left_alone)
{
	pthread_t thread;

	quiet_heap();
	require(pthread_create(&thread, NULL, begin_within_a_change, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
	require(hkm_heap_active() == 1, "%u heaps are active", hkm_heap_active());
}
#endif

/* ---- Signal handlers that interrupt a thread without a heap ------------------------- */

bool __real_hkm_remote_receive(struct hkm_heap *heap);
bool __wrap_hkm_remote_receive(struct hkm_heap *heap);
void __real_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count);
void __wrap_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count);
void __real_hkm_span_free(struct hkm_slab *slab);
void __wrap_hkm_span_free(struct hkm_slab *slab);
bool __real_hkm_big_free(const struct hkm_policy *policy, void *pointer);
bool __wrap_hkm_big_free(const struct hkm_policy *policy, void *pointer);
void __real_hkm_policy_register(struct hkm_reader *reader);
void __wrap_hkm_policy_register(struct hkm_reader *reader);

static void *handled[4];  /* blocks that a signal handler frees; NULL: none comes */
static const size_t handled_sizes[4] = { 100, 5000, 200000, 3 * MIB };
static atomic_uint handlers;

/* Where the linker has put this, locks are held or about to be. */
static void handle(void)
{
	for (unsigned i = 0; i < 4; i++) {
		void *mine = handled[i];

		handled[i] = NULL;
		if (mine == NULL)
			continue;
		atomic_fetch_add(&handlers, 1);
		hkm_free(mine);
		mine = hkm_malloc(handled_sizes[i]);
		require(mine != NULL, "no memory in a handler");
		hkm_free(mine);
	}
}

static bool in_heapless_thread(void)
{
	return !hkm_tls_heap->enterable && (hkm_tls_heap == &hkm_ended_heap || hkm_tls_heap == &hkm_starting_heap);
}

bool __wrap_hkm_remote_receive(struct hkm_heap *heap)
{
	bool received = __real_hkm_remote_receive(heap);

	if (in_heapless_thread())
		handle();
	return received;
}

void __wrap_hkm_pool_give(const struct hkm_policy *policy, unsigned class, void **blocks, size_t count)
{
	__real_hkm_pool_give(policy, class, blocks, count);
	if (in_heapless_thread())
		handle();
}

void __wrap_hkm_span_free(struct hkm_slab *slab)
{
	__real_hkm_span_free(slab);
	if (in_heapless_thread())
		handle();
}

bool __wrap_hkm_big_free(const struct hkm_policy *policy, void *pointer)
{
	bool found = __real_hkm_big_free(policy, pointer);

	if (in_heapless_thread())
		handle();
	return found;
}

void __wrap_hkm_policy_register(struct hkm_reader *reader)
{
	__real_hkm_policy_register(reader);
	if (in_heapless_thread())
		handle();
}

static void *handled_then[4]; /* where they were */

static void expect_handlers(void)
{
	for (unsigned i = 0; i < 4; i++)
		handled_then[i] = handled[i] = hkm_malloc(handled_sizes[i]);
}

/* Nothing of what the handlers freed is still with anybody. */
static void check_handlers(void)
{
	require(atomic_load(&handlers) == 4, "%u of 4 handlers ran", atomic_load(&handlers));
	require(atomic_load(&hkm_starting_heap.deferred) == NULL, "what a handler freed is not free yet");
	require(hkm_big_was_freed(handled_then[3]), "the big block is not free");
	require(*hkm_state_of(handled_then[1]) == hkm_state(HKM_STATE_CACHED, handled_then[1]), "the Mid block is not free");
}

static void *end_with_handlers(void *unused)
{
	use_heap();
	return unused;
}

ISOLATED(handlers_interrupt_the_end_of_a_thread)
{
	pthread_t thread;

	quiet_heap();
	expect_handlers();
	require(pthread_create(&thread, NULL, end_with_handlers, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
	check_handlers();
}

ISOLATED(handlers_interrupt_the_beginning_of_a_thread)
{
	quiet_heap();
	expect_handlers();
	hkm_tls_heap = &hkm_no_heap; /* as of a thread that has none yet */
	hkm_free(hkm_malloc(100000));
	check_handlers();
}

/* Frees, after its end, one block of a layer, and is interrupted there. */
static void free_after_the_end(void *block)
{
	struct hkm_heap *own = hkm_tls_heap;

	expect_handlers();
	hkm_tls_heap = &hkm_ended_heap;
	hkm_free(block);
	require(hkm_tls_heap == &hkm_ended_heap, "the thread has a heap");
	hkm_tls_heap = own;
	check_handlers();
}

static void *left_block;

static void *leave_block(void *unused)
{
	left_block = hkm_malloc(100);
	return unused;
}

ISOLATED(handlers_interrupt_frees_of_a_thread_that_has_ended)
{
	static const size_t sizes[] = { 5000, 200000, 3 * MIB };
	pthread_t thread;

	quiet_heap();
	for (unsigned i = 0; i < 3; i++) {
		free_after_the_end(hkm_malloc(sizes[i]));
		atomic_store(&handlers, 0);
	}
	free_after_the_end(hkm_aligned_alloc(256 * KIB, 1000));
	atomic_store(&handlers, 0);
	require(pthread_create(&thread, NULL, leave_block, NULL) == 0, "pthread_create");
	pthread_join(thread, NULL);
	free_after_the_end(left_block);
}

/* ---- A heap that has a thread stays with it --------------------------------------- */

static atomic_bool awake;
static _Atomic(struct hkm_heap *) sleeper;

static void *sleep_for_long(void *block)
{
	struct hkm_heap *own = quiet_heap();
	void *mine = hkm_malloc(100);

	atomic_store(&sleeper, own);
	while (!atomic_load(&awake))
		sched_yield();
	require(hkm_tls_heap == own && !atomic_load(&own->abandoned), "the heap of a live thread was taken");
	hkm_free(mine);
	use_heap();
	hkm_free(block);
	return own;
}

static void a_sleeper_keeps_its_heap(void)
{
	struct hkm_heap *own = quiet_heap();
	pthread_t thread;
	void *taken;

	atomic_store(&awake, false);
	atomic_store(&sleeper, NULL);
	require(pthread_create(&thread, NULL, sleep_for_long, hkm_malloc(50)) == 0, "pthread_create");
	while (atomic_load(&sleeper) == NULL)
		sched_yield();
	look(own);
	require(!atomic_load(&atomic_load(&sleeper)->abandoned), "the heap of a live thread is abandoned");
	require(!atomic_load(&own->abandoned), "the calling thread's heap is abandoned");
	atomic_store(&awake, true);
	pthread_join(thread, &taken);
	require(taken == atomic_load(&sleeper), "another heap");
}

ISOLATED(a_live_thread_keeps_its_heap)
{
	a_sleeper_keeps_its_heap();
}

#ifndef HAKMEM_TEST_SANITIZED
static void *look_from_another_thread(void *parents)
{
	look(quiet_heap());
	require(!atomic_load(&((struct hkm_heap *)parents)->abandoned), "the main thread's heap was taken");
	return NULL;
}

/* What the child inherits says that threads of its parent have heaps; the parent ends, and numbers of threads are
 * used again. */
static void check_child(pid_t child)
{
	int status = 0;

	if (child == 0) {
		struct hkm_heap *own = hkm_heap_get();
		pthread_t thread;

		alarm(CHILD_SECONDS);
		a_sleeper_keeps_its_heap();
		check_heaps(own);
		require(pthread_create(&thread, NULL, look_from_another_thread, own) == 0, "pthread_create");
		pthread_join(thread, NULL);
		require(hkm_heap_get() == own, "the heap is another's");
		_exit(0);
	}
	require(child > 0 && waitpid(child, &status, 0) == child, "fork");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x", (unsigned)status);
}

ISOLATED(children_keep_their_heaps)
{
	quiet_heap();
	check_child(fork());
	check_child((pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

/* In the child its only thread ends, and another goes on. */
static void *outlive_the_first(void *parents)
{
	struct hkm_heap *own = quiet_heap();

	atomic_store(&sleeper, own);
	for (unsigned i = 0; i < 50 && !atomic_load(&((struct hkm_heap *)parents)->abandoned); i++)
		look(own);
	_exit(atomic_load(&((struct hkm_heap *)parents)->abandoned) ? 0 : 1);
}

ISOLATED(the_first_thread_of_a_child_may_end_without_a_word)
{
	int status = 0;
	quiet_heap();
	pid_t child = fork();

	if (child == 0) {
		pthread_t thread;

		alarm(CHILD_SECONDS);
		require(pthread_create(&thread, NULL, outlive_the_first, hkm_heap_get()) == 0, "pthread_create");
		while (atomic_load(&sleeper) == NULL)
			sched_yield();
		syscall(SYS_exit, 0);
	}
	require(child > 0 && waitpid(child, &status, 0) == child, "fork");
	require(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child's status is %x", (unsigned)status);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(destructors_that_allocate_in_the_last_round_cost_no_heap),
		cmocka_unit_test(destructors_that_end_their_thread_cost_no_heap),
		cmocka_unit_test(threads_that_end_without_a_word_cost_no_heap),
		cmocka_unit_test(what_a_thread_was_freeing_when_it_ended_goes_home),
		cmocka_unit_test(a_tick_buries_few_threads),
		cmocka_unit_test(threads_that_exit_or_are_cancelled_cost_no_heap),
#ifndef HAKMEM_TEST_THREAD_SANITIZED
		cmocka_unit_test(memory_of_mutexes_that_a_thread_holds_is_left_alone),
		cmocka_unit_test(mutexes_that_a_thread_holds_are_marked_at_its_end),
		cmocka_unit_test(the_mark_of_an_earlier_thread_counts_for_nothing),
		cmocka_unit_test(a_list_that_is_being_changed_is_left_alone),
		cmocka_unit_test(heaps_come_and_go_without_functions_of_mutexes),
#endif
		cmocka_unit_test(handlers_interrupt_the_end_of_a_thread),
		cmocka_unit_test(handlers_interrupt_the_beginning_of_a_thread),
		cmocka_unit_test(handlers_interrupt_frees_of_a_thread_that_has_ended),
		cmocka_unit_test(a_live_thread_keeps_its_heap),
#ifndef HAKMEM_TEST_SANITIZED
		cmocka_unit_test(children_keep_their_heaps),
		cmocka_unit_test(the_first_thread_of_a_child_may_end_without_a_word),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
