/* walks.c - how long a malloc waits while another thread does what comes by all heaps and all memory:
 * walks HEAPS GIB. So many threads live at once, leave GIB of blocks that nobody has touched, and end; then one thread
 * allocates and frees, each call timed, while another trims, forks, asks for statistics, or is refused memory. Last, fork is
 * timed among HEAPS threads that live; that alone if GIB is 0.
 */
#include <malloc.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
	STACK_BYTES = 65536,
	BLOCK_BYTES = 1000000,
	TINY_SIZES = 8,
	IN_USE = 64,
	REPEATS = 20
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
		void *volatile block = malloc(BLOCK_BYTES);
		(void)block;
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
	for (size_t i = 0; i < REPEATS; i++) {
		double start = now_us();
		disturb();
		double us = now_us() - start;
		slowest = us > slowest ? us : slowest;
	}
	atomic_store(&stop, true);
	pthread_join(worker, NULL);
	printf("%-28s %12.0f %16.0f %10zu of %zu\n", name, slowest, longest, over_1_ms, calls);
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
	double best = 1e12;
	pthread_attr_init(&attributes);
	pthread_attr_setstacksize(&attributes, STACK_BYTES);
	pthread_barrier_init(&all_there, NULL, (unsigned)count + 1);
	for (size_t i = 0; i < count; i++)
		if (pthread_create(&thread, &attributes, allocate_and_stay, NULL) != 0)
			return;
	pthread_barrier_wait(&all_there);
	for (size_t i = 0; i < REPEATS; i++) {
		double start = now_us();
		pid_t child = fork();
		if (child == 0)
			_exit(0);
		double us = now_us() - start;
		best = us < best ? us : best;
		waitpid(child, NULL, 0);
	}
	printf("fork among %zu threads: %.0f us (best of %d)\n", count, best, REPEATS);
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
}

int main(int argc, char **argv)
{
	size_t heaps = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
	size_t gib = argc > 2 ? strtoul(argv[2], NULL, 10) : 8;
	if (gib > 0)
		measure_all(heaps, gib);
	fork_among_threads(heaps);
	fflush(stdout);
	_exit(0);
}
