/* statistics.c - allocates known amounts and ends while they are live; test_statistics.py looks
 * at the statistics that HAKMEM prints then, and at those this program asks for itself.
 *
 *   statistics keep            keeps the blocks listed below, prints hkm_stats_json's text
 *   statistics usable SIZE     prints the usable size of a block of SIZE bytes
 *   statistics reuse FREED SIZE  frees a block of FREED bytes, then as usable
 *   statistics threads         threads that free each other's blocks, then as keep
 *   statistics information     frees half of the blocks, then prints malloc_info's text
 *   statistics fork            a child that ends through exit, too
 */
#include "support.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "names.h"

/* Known to test_statistics.py: count and size. */
static const struct {
	size_t count;
	size_t size;
} kept[] = { { 20000, 100 }, { 200, 5000 }, { 20, 300000 }, { 3, 5000000 } };

size_t hkm_stats_json(char *text, size_t room) __attribute__((weak));

static void keep_blocks(void)
{
	for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++)
		for (size_t k = 0; k < kept[i].count; k++) {
			char *block = opaque_pointer(malloc(kept[i].size));

			require(block != NULL, "no memory");
			memset(block, 1, kept[i].size);
		}
}

static void print_json(void)
{
	static char text[1 << 18];
	size_t length;

	require(hkm_stats_json != NULL, "hkm_stats_json is missing");
	length = hkm_stats_json(text, sizeof text);
	require(length < sizeof text, "the text is %zu bytes long", length);
	puts(text);
}

static void print_usable(size_t size)
{
	void *block = malloc(size);

	printf("%zu\n", malloc_usable_size(block));
	free(block);
}

static void *free_given(void *argument)
{
	void **blocks = argument;

	for (size_t i = 0; i < 5000; i++)
		free(blocks[i]);
	return NULL;
}

static void free_in_other_threads(void)
{
	static void *blocks[5000];

	for (int round = 0; round < 4; round++) {
		pthread_t thread;

		for (size_t i = 0; i < 5000; i++)
			require((blocks[i] = malloc(200)) != NULL, "no memory");
		require(pthread_create(&thread, NULL, free_given, blocks) == 0, "pthread_create");
		pthread_join(thread, NULL);
	}
}

static void print_information(void)
{
	void *blocks[1000];

	for (size_t i = 0; i < 1000; i++)
		require((blocks[i] = malloc(i % 2 == 0 ? 700 : 9000)) != NULL, "no memory");
	void *big = malloc(5 * MIB);
	for (size_t i = 0; i < 1000; i++)
		if (i % 4 < 2)
			free(blocks[i]);
	malloc_info(0, stdout);
	free(big);
}

static void fork_once(void)
{
	pid_t child;

	free(opaque_pointer(malloc(100)));
	child = fork();
	require(child >= 0, "fork");
	if (child == 0)
		exit(0);
	require(waitpid(child, NULL, 0) == child, "waitpid");
}

int main(int argument_count, char **arguments)
{
	const char *mode = argument_count > 1 ? arguments[1] : "";

	if (strcmp(mode, "keep") == 0) {
		keep_blocks();
		print_json();
	} else if (strcmp(mode, "usable") == 0 && argument_count == 3) {
		print_usable(strtoul(arguments[2], NULL, 10));
	} else if (strcmp(mode, "reuse") == 0 && argument_count == 4) {
		void *block = malloc(strtoul(arguments[2], NULL, 10));

		free(opaque_pointer(block));
		print_usable(strtoul(arguments[3], NULL, 10));
	} else if (strcmp(mode, "threads") == 0) {
		free_in_other_threads();
		keep_blocks();
		print_json();
	} else if (strcmp(mode, "information") == 0) {
		print_information();
	} else if (strcmp(mode, "fork") == 0) {
		fork_once();
	} else {
		fprintf(stderr, "usage: statistics keep | usable SIZE | reuse FREED SIZE | threads | information | fork\n");
		return 2;
	}
	return 0;
}
