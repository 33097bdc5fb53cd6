/* steer.c - steers HAKMEM by hand: a program that knows what it is about to do says so.
 *
 *   cc steer.c -lhakmem && ./a.out        or, in a build directory:  ./examples/steer
 *
 * It works in two phases. In the first one, 48 KiB buffers come and go by the dozen: their cache is made as large as
 * it can be. In the second, the program waits for work: everything idle goes back to the system at once. Each phase
 * prints what the statistics say of it.
 */
#include <hakmem.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BUFFERS 8
#define ROUNDS 10000
#define BUFFER_BYTES (48 * 1024)

static struct hkm_policy_values current_policy(void)
{
	struct hkm_policy_values values = { .size = sizeof values };

	if (hkm_policy_get(&values) != 0) {
		fprintf(stderr, "steer: this library has another policy\n");
		exit(1);
	}
	return values;
}

static void put_in_force(const struct hkm_policy_values *values)
{
	int error = hkm_policy_publish(values);

	if (error != 0) {
		fprintf(stderr, "steer: %s\n", strerror(error));
		exit(1);
	}
}

/* Every buffer is used for a moment only. */
static void work(void)
{
	void *buffers[BUFFERS];

	for (int round = 0; round < ROUNDS; round++) {
		for (int i = 0; i < BUFFERS; i++) {
			buffers[i] = hkm_malloc(BUFFER_BYTES);
			if (buffers[i] == NULL)
				exit(1);
			memset(buffers[i], round, 64);
		}
		for (int i = 0; i < BUFFERS; i++)
			hkm_free(buffers[i]);
	}
}

int main(void)
{
	struct hkm_policy_values usual = current_policy(), busy = usual, idle = usual;

	for (int class = 0; class < HKM_POLICY_CLASSES_COUNT; class++) {
		busy.cache_blocks[class] = UINT16_MAX; /* moved into the range: as many as there are places */
		idle.cache_blocks[class] = 0;
	}
	put_in_force(&busy);
	work();
	printf("busy: policy %lu, up to %u blocks a cache\n", (unsigned long)current_policy().generation,
		(unsigned)current_policy().cache_blocks[0]);

	idle.purge_delay_ms = 0;
	idle.big_cache_bytes = 0;
	put_in_force(&idle);
	hkm_malloc_trim(0);
	printf("idle: policy %lu, %zu KiB held\n", (unsigned long)current_policy().generation,
		hkm_mallinfo2().arena / 1024);

	/* As before. */
	put_in_force(&usual);
	return current_policy().purge_delay_ms == usual.purge_delay_ms ? 0 : 1;
}
