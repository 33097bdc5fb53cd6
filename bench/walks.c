/* walks.c - how long a malloc waits while another thread does what comes by all heaps and all memory:
 * walks HEAPS GIB. So many threads live at once, leave GIB of blocks of which one page is touched, and end; then one thread
 * allocates and frees, each call timed, while another trims, forks, asks for statistics, or is refused memory. Last, fork is
 * timed among HEAPS threads that live; that alone if GIB is 0. With HKM_HOLDS it is linked with the allocator, and each time
 * also prints how long locks were held.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#ifdef HKM_HOLDS
#include "heap/heap.h"
#include "walks_holds.h"
#else
static void holds_forget(void)
{
}

static void holds_print(void)
{
}
#endif

enum {
	STACK_BYTES = 65536,
	BLOCK_BYTES = 1000000,
	TINY_SIZES = 8,
	IN_USE = 64,
	REPEATS = 20,
	SENT = 100000,  /* blocks that come back to one heap at once */
	RANGES = 10000, /* blocks of L2, every second of which is freed */
	LARGE = 600     /* blocks of 1 MB that are touched, and freed */
};

static pthread_barrier_t all_there;
static size_t blocks_each;
static atomic_bool stop, working;
static double longest;
static size_t calls, over_1_ms;

static double now_us(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static void *leave_memory(void *argument)
{
	for (size_t i = 0; i < TINY_SIZES; i++)
		*(volatile char *)malloc(16 << i) = 1;
	for (size_t i = 0; i < blocks_each; i++) {
		char *volatile block = malloc(BLOCK_BYTES);
		if (block != NULL)
			*block = 1;
	}
	pthread_barrier_wait(&all_there);
	return argument;
}

static void end_threads(size_t heaps)
{
	pthread_t *threads = malloc(heaps * sizeof *threads);
	pthread_attr_t attributes;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_barrier_init(&all_there, NULL, (unsigned)heaps);
	for (size_t i = 0; i < heaps; i++)
		if (pthread_create(&threads[i], &attributes, leave_memory, NULL) != 0) {
			fprintf(stderr, "walks: no thread %zu\n", i);
			exit(1);
		}
	for (size_t i = 0; i < heaps; i++)
		pthread_join(threads[i], NULL);
	free(threads);
}

/* A malloc and a free of every layer. */
static void *work(void *argument)
{
	static const size_t sizes[] = { 48, 500, 3000, 20000, 150000 };
	void *blocks[IN_USE] = { 0 };
	for (size_t i = 0; !atomic_load(&stop); i++) {
		if (i == IN_USE)
			atomic_store(&working, true);
		free(blocks[i % IN_USE]);
		double start = now_us();
		blocks[i % IN_USE] = malloc(sizes[i % 5]);
		double us = now_us() - start;
		longest = us > longest ? us : longest;
		over_1_ms += us > 1000;
		calls++;
	}
	for (size_t i = 0; i < IN_USE; i++)
		free(blocks[i]);
	return argument;
}

static void wait_a_little(void)
{
	usleep(20000);
}

static void trim(void)
{
	malloc_trim(0);
}

static void fork_once(void)
{
	pid_t child = fork();
	if (child == 0)
		_exit(0);
	waitpid(child, NULL, 0);
}

static void ask(void)
{
	mallinfo2();
}

static void be_refused(void)
{
	for (size_t i = 0; i < 1000; i++) {
		void *volatile block = malloc((size_t)1 << 47);
		(void)block;
	}
}

static void *sent[SENT];

static void *free_sent(void *argument)
{
	for (size_t i = 0; i < SENT; i++)
		free(sent[i]);
	return argument;
}

/* Another thread frees all that this one has allocated; its next calls take it in. */
static void be_sent_blocks(void)
{
	pthread_t thread;
	for (size_t i = 0; i < SENT; i++)
		sent[i] = malloc(64);
	pthread_create(&thread, NULL, free_sent, NULL);
	pthread_join(thread, NULL);
	for (size_t i = 0; i < SENT; i++)
		sent[i] = malloc(64);
	for (size_t i = 0; i < SENT; i++)
		free(sent[i]);
}

/* Thousands of kept ranges, and best fits among them. */
static void keep_ranges(void)
{
	static void *ranges[RANGES];
	for (size_t i = 0; i < RANGES; i++)
		ranges[i] = malloc(((size_t)2 << 20) + i % 64 * 4096);
	for (size_t i = 0; i < RANGES; i += 2)
		free(ranges[i]);
	for (size_t i = 0; i < RANGES; i += 2)
		ranges[i] = malloc(((size_t)2 << 20) + i % 61 * 4096);
	for (size_t i = 0; i < RANGES; i++)
		free(ranges[i]);
}

/* Memory that was used, more than is kept. */
static void give_back(void)
{
	static void *large[LARGE];
	for (size_t i = 0; i < LARGE; i++) {
		large[i] = malloc(BLOCK_BYTES);
		for (size_t at = 0; large[i] != NULL && at < BLOCK_BYTES; at += 4096)
			((volatile char *)large[i])[at] = 1;
	}
	for (size_t i = 0; i < LARGE; i++)
		free(large[i]);
}

#ifdef HKM_HOLDS
/* What is done beside the fork itself. */
static void prepare_fork(void)
{
	hkm_heap_fork_prepare();
	hkm_heap_fork_parent();
}
#endif

/* A million calls of each function, whose results are all NULL. */
static void refuse_each(void)
{
	enum { CALLS = 1000000 };
	static void *volatile result;
	static const size_t sizes[] = { SIZE_MAX, (size_t)1 << 62, (size_t)1 << 47 };
	void *block = malloc(100), *large = malloc((size_t)4 << 20);
	for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
		double us[6];
		for (unsigned function = 0; function < 6; function++) {
			double start = now_us();
			for (size_t j = 0; j < CALLS; j++) {
				switch (function) {
				case 0: result = malloc(sizes[i]); break;
				case 1: result = calloc(sizes[i] / 8, 8); break;
				case 2: result = realloc(block, sizes[i]); break;
				case 3: result = realloc(large, sizes[i]); break;
				case 4: result = aligned_alloc(64, sizes[i]); break;
				default: result = aligned_alloc((size_t)1 << 21, sizes[i]); break;
				}
				if (result != NULL)
					abort();
			}
			us[function] = (now_us() - start) / CALLS;
		}
		printf("%zu bytes refused by malloc in %.3f us, calloc %.3f, realloc of 100 bytes %.3f, of 4 MiB %.3f, "
		       "aligned to 64 %.3f, to 2 MiB %.3f\n", sizes[i], us[0], us[1], us[2], us[3], us[4], us[5]);
	}
	free(block);
	free(large);
}

static void measure(const char *name, void (*disturb)(void))
{
	pthread_t worker;
	double slowest = 0;
	longest = 0;
	calls = over_1_ms = 0;
	atomic_store(&stop, false);
	atomic_store(&working, false);
	pthread_create(&worker, NULL, work, NULL);
	while (!atomic_load(&working))
		usleep(100);
	holds_forget();
	for (size_t i = 0; i < REPEATS; i++) {
		double start = now_us();
		disturb();
		double us = now_us() - start;
		slowest = us > slowest ? us : slowest;
	}
	atomic_store(&stop, true);
	pthread_join(worker, NULL);
	printf("%-28s %12.0f %16.0f %10zu of %zu\n", name, slowest, longest, over_1_ms, calls);
	holds_print();
	fflush(stdout);
}

static void *allocate_and_stay(void *argument)
{
	void *volatile block = malloc(100);
	(void)block;
	pthread_barrier_wait(&all_there);
	pause();
	return argument;
}

/* How long fork takes with so many threads, in the parent. */
static void fork_among_threads(size_t count)
{
	pthread_t thread;
	pthread_attr_t attributes;
	double best = 1e12, best_child = 1e12;
	double *child_us = mmap(NULL, sizeof *child_us, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_barrier_init(&all_there, NULL, (unsigned)count + 1);
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&thread, &attributes, allocate_and_stay, NULL) != 0)
			return;
	pthread_barrier_wait(&all_there);
	holds_forget();
	for (size_t i = 0; i < REPEATS; i++) {
		double start = now_us();
		pid_t child = fork();
		if (child == 0) {
			/* Begins at 0: what the child has done since the system made it. */
			struct timespec used;
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
			*child_us = (double)used.tv_sec * 1e6 + (double)used.tv_nsec / 1e3;
			_exit(0);
		}
		double us = now_us() - start;
		best = us < best ? us : best;
		waitpid(child, NULL, 0);
		best_child = *child_us < best_child ? *child_us : best_child;
	}
	printf("fork among %zu threads: %.0f us, then %.0f us of the child's processor time (best of %d)\n", count, best,
	       best_child, REPEATS);
	holds_print();
#ifdef HKM_HOLDS
	holds_forget();
	for (size_t i = 0; i < REPEATS; i++)
		prepare_fork();
	printf("the handlers in the parent alone\n");
	holds_print();
#endif
}

static void measure_all(size_t heaps, size_t gib)
{
	blocks_each = (gib << 30) / BLOCK_BYTES / heaps;
	end_threads(heaps);
	printf("%zu heaps, %zu GiB\n%-28s %12s %16s %10s\n", heaps, gib, "another thread", "longest us", "malloc waits us",
	       "over 1 ms");
	measure("sleeps 20 ms", wait_a_little);
	measure("malloc_trim(0)", trim);
	measure("fork()", fork_once);
	measure("mallinfo2()", ask);
	measure("malloc(2^47), 1,000 times", be_refused);
	measure("is sent 100,000 blocks", be_sent_blocks);
	measure("keeps 10,000 ranges", keep_ranges);
	measure("malloc_trim(0), ranges kept", trim);
	measure("frees 600 MB", give_back);
	measure("malloc_trim(0), then", trim);
#ifdef HKM_HOLDS
	measure("the handlers of fork alone", prepare_fork);
#endif
}

int main(int argc, char **argv)
{
	size_t heaps = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t gib = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
	if (gib > 0)
		measure_all(heaps, gib);
	refuse_each();
	fork_among_threads(heaps);
	fflush(stdout);
	_exit(0);
}
