/* pair.c - malloc and free in a loop, for bench/paths, which tells the two calls apart by their
 * lines: pair COUNT SIZE. Some blocks stay live all the while, so that the loop does not measure
 * what an allocator does when its last block of a size is freed. */
#include <stdlib.h>

enum {
	KEPT = 100
};

int main(int argc, char **argv)
{
	size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	size_t size = argc > 2 ? strtoul(argv[2], NULL, 10) : 64;
	void *kept[KEPT];
	for (size_t i = 0; i < KEPT; i++)
		kept[i] = calloc(1, size);
	for (size_t i = 0; i < count; i++) {
		void *volatile block = malloc(size);
		free(block);
	}
	return kept[KEPT - 1] == NULL;
}
