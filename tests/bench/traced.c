/* traced.c - a program whose calls of malloc are known, for test_bench.py: it keeps LIVE blocks of
 * 1,000 bytes, has another thread free one of them and allocate one that the first frees, and
 * calls each function of the family. Its peak is at least LIVE * 1000 bytes, and 100,000 at `large`. */
#include <malloc.h>
#include <pthread.h>
#include <stdlib.h>

enum {
	LIVE = 50
};

static void *from_thread;

static void *thread(void *block)
{
	free(block);
	from_thread = malloc(300);
	return NULL;
}

int main(void)
{
	void *live[LIVE], *volatile large, *aligned = NULL;
	pthread_t other;
	for (int i = 0; i < LIVE; i++)
		live[i] = i % 2 ? malloc(1000) : calloc(10, 100);
	large = malloc(50000);
	large = realloc(large, 100000);
	if (posix_memalign(&aligned, 256, 2000) != 0 || pthread_create(&other, NULL, thread, live[0]) != 0)
		return 1;
	pthread_join(other, NULL);
	free(from_thread);
	free(large);
	free(aligned);
	for (int i = 1; i < LIVE; i++)
		free(live[i]);
	return 0;
}
