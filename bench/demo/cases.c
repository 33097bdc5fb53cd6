/* cases.c - situations of long-lived programs in which the memory that stays tells allocators apart; for scripts/demo.
 *
 *   cases peak        a server's peak: 120 MiB of small blocks, of which one in 500 lives on
 *   cases peak-big    the same with buffers of 100 KiB to 1 MiB
 *   cases idle        200 threads that have used and freed 1 MiB each, and sleep
 *   cases size BYTES  60 MiB of blocks of one size, all written, all alive
 *   cases fragments   30 MiB of small blocks stay of 120 MiB, then 60 MiB of other sizes come
 *
 * Prints a check sum, and on standard error the resident memory when it has come to rest, in KiB. */
#include <unistd.h>

#include "../workloads/workload.h"

#define MIB ((size_t)1024 * 1024)

enum {
	SLOTS = 2000000,
	IDLE = 200
};

static unsigned char *blocks[SLOTS];
static size_t sizes[SLOTS];
static pthread_barrier_t asleep;

/* Fills places with written blocks of the sizes low to high until `bytes` are reached; result: how many. */
static size_t fill(struct dice *dice, size_t first, size_t bytes, size_t low, size_t high)
{
	size_t count = 0;
	for (size_t sum = 0; sum < bytes; count++) {
		require(first + count < SLOTS, "too many blocks");
		size_t size = dice_size(dice, low, high);
		blocks[first + count] = malloc(size);
		require(blocks[first + count] != NULL, "out of memory");
		memset(blocks[first + count], (int)(count & 0xff), size);
		sizes[first + count] = size;
		sum += size;
	}
	return count;
}

/* Frees all but one in `kept` of them, chosen at random. */
static uint64_t free_most(struct dice *dice, size_t count, size_t kept)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < count; i++)
		if (dice_below(dice, kept) != 0) {
			sum += blocks[i][sizes[i] - 1];
			free(blocks[i]);
			blocks[i] = NULL;
		}
	return sum;
}

/* A little work, half a second long: a server that is still asked something now and then. */
static void idle_along(void)
{
	for (int i = 0; i < 250; i++) {
		for (int k = 0; k < 20; k++) {
			unsigned char *volatile block = malloc(100 + (size_t)k * 100);
			free(block);
		}
		usleep(2000);
	}
}

static uint64_t peak(size_t low, size_t high, size_t kept)
{
	struct dice dice = { 21 };
	size_t count = fill(&dice, 0, 120 * MIB, low, high);
	return free_most(&dice, count, kept);
}

static uint64_t fragments(void)
{
	struct dice dice = { 22 };
	size_t count = fill(&dice, 0, 120 * MIB, 16, 400);
	uint64_t sum = free_most(&dice, count, 4);
	fill(&dice, count, 60 * MIB, 600, 6000);
	return sum;
}

static void *use_and_sleep(void *argument)
{
	struct dice dice = { 5 + *(size_t *)argument };
	unsigned char *own[400];
	size_t count = 0;
	for (size_t sum = 0; sum < MIB && count < 400; count++) {
		size_t size = dice_size(&dice, 64, 16384);
		own[count] = malloc(size);
		require(own[count] != NULL, "out of memory");
		memset(own[count], 1, size);
		sum += size;
	}
	while (count > 0)
		free(own[--count]);
	pthread_barrier_wait(&asleep);
	pause();
	return NULL;
}

static void idle(void)
{
	static size_t numbers[IDLE];
	pthread_barrier_init(&asleep, NULL, IDLE + 1);
	for (size_t i = 0; i < IDLE; i++) {
		pthread_t thread;
		numbers[i] = i;
		thread_start(&thread, use_and_sleep, &numbers[i]);
	}
	pthread_barrier_wait(&asleep);
}

static void print_resident(void)
{
	unsigned long pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");
	require(file != NULL && fscanf(file, "%*u %lu", &pages) == 1, "no /proc/self/statm");
	fclose(file);
	fprintf(stderr, "%lu\n", pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "peak", "peak-big", "idle", "size", "fragments", NULL };
	uint64_t sum = 0;
	switch (variant(argc, argv, names)) {
	case 0:
		sum = peak(32, 8192, 500);
		break;
	case 1:
		sum = peak(102400, 1048576, 100);
		break;
	case 2:
		idle();
		break;
	case 3:
		fill(&(struct dice){ 1 }, 0, 60 * MIB, scaled(argc, argv, 2, 1), scaled(argc, argv, 2, 1));
		break;
	default:
		sum = fragments();
		break;
	}
	idle_along();
	print_resident();
	finish(sum);
	fflush(stdout);
	_exit(0);
}
