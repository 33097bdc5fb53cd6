/* sites.c - what rules of call sites change, for bench/sites:
 *
 *   sites fill SIZE ROUNDS    seconds to allocate, fill and free a block that is not kept
 *   sites mix                 kilobytes resident after 1,000,000 temporary blocks, every 50th of which left another that
 *                             stays, were freed and trimmed
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
	TEMPORARIES = 1000000,
	KEPT = TEMPORARIES / 50,
	SMALL = 64
};

/* Functions for rules to name; the text behind the call keeps them apart. */
#define SITE(name) \
	__attribute__((noinline)) static char *name(size_t size) \
	{ \
		char *block = malloc(size); \
		__asm__ volatile("/* " #name " */" : "+r"(block)); \
		return block; \
	}
SITE(keeper)
SITE(temporary)
SITE(buffer)

static double seconds(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void fill(size_t size, size_t rounds)
{
	double before = seconds();
	for (size_t i = 0; i < rounds; i++) {
		char *block = buffer(size);
		memset(block, 1, size);
		__asm__ volatile("" : : "r"(block) : "memory");
		free(block);
	}
	printf("%.6f\n", seconds() - before);
}

static void mix(void)
{
	static char *temporaries[TEMPORARIES], *kept[KEPT];
	unsigned long pages = 0;
	for (size_t i = 0; i < TEMPORARIES; i++) {
		memset(temporaries[i] = temporary(SMALL), 1, SMALL);
		if (i % (TEMPORARIES / KEPT) == 0)
			memset(kept[i / (TEMPORARIES / KEPT)] = keeper(SMALL), 1, SMALL);
	}
	for (size_t i = 0; i < TEMPORARIES; i++)
		free(temporaries[i]);
	memset(temporaries, 0, sizeof temporaries);
	malloc_trim(0);
	FILE *file = fopen("/proc/self/statm", "r");
	if (file == NULL || fscanf(file, "%*u %lu", &pages) != 1)
		abort();
	printf("%lu\n", pages * (unsigned long)sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "fill") == 0)
		fill(strtoul(argv[2], NULL, 10), strtoul(argv[3], NULL, 10));
	else if (argc == 2 && strcmp(argv[1], "mix") == 0)
		mix();
	else
		return 2;
	return 0;
}
