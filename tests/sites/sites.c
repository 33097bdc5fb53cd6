/* sites.c - a program with three call sites of its own: what test_sites.py writes rules for.
 *
 *   sites places          blocks of each site, one line each: NAME ADDRESS... (hexadecimal)
 *   sites lives           much garbage from temporary(), blocks that stay from keeper(), buffers that are filled
 *   sites threads         threads that allocate at all sites and free each other's blocks, while others fork
 *   sites load PLUGIN     the blocks of a function of a module that is loaded late
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support.h"

#define BLOCKS 300
#define THREADS 4

/* Each is one call site; the text behind the call keeps it from being the function's last act, and the compiler from
 * making one function of all. */
#define SITE(name) \
	__attribute__((noinline)) static void *name(size_t size) \
	{ \
		void *block = malloc(size); \
		__asm__ volatile("/* " #name " */" : "+r"(block)); \
		require(block != NULL, "%zu bytes", size); \
		return block; \
	}
SITE(keeper)
SITE(temporary)
SITE(buffer)

__attribute__((noinline)) static void *zeroed(size_t size)
{
	unsigned char *block = calloc(1, size);

	__asm__ volatile("" : "+r"(block));
	require(block != NULL && all_bytes_are(block, size, 0), "calloc");
	return block;
}

static void show(const char *name, void *const *blocks, size_t count)
{
	printf("%s", name);
	for (size_t i = 0; i < count; i++)
		printf(" %p", blocks[i]);
	printf("\n");
}

/* In turn, so that without rules they share slabs. */
static void places(void)
{
	static void *kept[BLOCKS], *passing[BLOCKS], *buffers[2], *cleared[BLOCKS];

	for (size_t i = 0; i < BLOCKS; i++) {
		kept[i] = keeper(48);
		passing[i] = temporary(48);
		cleared[i] = zeroed(48);
	}
	buffers[0] = buffer(5000);
	buffers[1] = buffer(100000);
	show("keeper", kept, BLOCKS);
	show("temporary", passing, BLOCKS);
	show("zeroed", cleared, BLOCKS);
	show("buffer", buffers, 2);
	/* What is freed comes back, whichever thread frees it. */
	for (size_t i = 0; i < BLOCKS; i++) {
		free(kept[i]);
		free(passing[i]);
		free(cleared[i]);
	}
	free(buffers[0]);
	free(buffers[1]);
}

static void lives(void)
{
	static void *kept[20000];

	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
		kept[i] = keeper(600);
		for (size_t j = 0; j < 20; j++)
			free(temporary(100));
		if (i % 200 == 0) {
			void *filled = buffer(300000);

			memset(filled, 1, 300000);
			__asm__ volatile("" : : "r"(filled) : "memory");
			free(filled);
		}
	}
	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
		require(kept[i] != NULL, "kept");
}

static _Atomic(unsigned char *) exchange[256];

static void *work(void *argument)
{
	struct random_source source = { (uintptr_t)argument };

	for (size_t i = 0; i < 40000; i++) {
		size_t size = random_between(&source, 16, i % 50 == 0 ? 200000 : 1000);
		unsigned char *block = i % 3 == 0 ? keeper(size) : i % 3 == 1 ? buffer(size) : temporary(size);

		memset(block, (int)(size & 0xff), 16);
		block[0] = 0x5a;
		block = atomic_exchange(&exchange[random_between(&source, 0, 255)], block);
		if (block != NULL)
			require(block[0] == 0x5a && block[1] == block[15], "a block has changed");
		if (i % 7 == 0)
			block = realloc(block, 2000);
		free(block);
	}
	return NULL;
}

static void child(const void *argument)
{
	work((void *)(uintptr_t)argument);
}

static void threads(void)
{
	pthread_t running[THREADS];

	for (size_t i = 0; i < THREADS; i++)
		require(pthread_create(&running[i], NULL, work, (void *)(i + 1)) == 0, "pthread_create");
	for (size_t i = 0; i < 4; i++)
		run_in_child(child, (void *)(i + 11), 20);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(running[i], NULL);
	puts("survived");
}

static void load(const char *path)
{
	void *module = dlopen(path, RTLD_NOW);
	void *(*make)(size_t) = module == NULL ? NULL : (void *(*)(size_t))dlsym(module, "plugin_make");
	void *blocks[2];

	require(make != NULL, "%s", dlerror());
	blocks[0] = make(5000);
	blocks[1] = make(9000);
	show("plugin", blocks, 2);
	show("temporary", (void *[]){ temporary(48) }, 1);
	free(blocks[0]);
	free(blocks[1]);
}

int main(int count, char **arguments)
{
	const char *what = count > 1 ? arguments[1] : "";

	if (strcmp(what, "places") == 0)
		places();
	else if (strcmp(what, "lives") == 0)
		lives();
	else if (strcmp(what, "threads") == 0)
		threads();
	else if (strcmp(what, "load") == 0 && count > 2)
		load(arguments[2]);
	else
		return 2;
	return 0;
}
