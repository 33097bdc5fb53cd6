/* channel.c - producers allocate, consumers free.
 *
 * Purpose: frees by a thread that did not allocate. Access: batches of 128 blocks of 16 bytes to
 * 2 KiB go through one bounded queue, from one producer to one consumer (pair) or from 4 to 4
 * (many). Punishes: an atomic operation for each remote free, memory that piles up at the
 * consumer while the producer maps more, and locks held by a thread that is not running. */
#include "queue.h"

static struct queue queue = QUEUE_INITIAL;

struct side {
	uint64_t seed, sum;
	size_t batches;
};

static void *produce(void *argument)
{
	struct side *side = argument;
	struct dice dice = { side->seed };
	struct batch batch;
	for (size_t i = 0; i < side->batches; i++) {
		batch_fill(&batch, &dice);
		queue_put(&queue, &batch);
	}
	return NULL;
}

static void *consume(void *argument)
{
	struct side *side = argument;
	struct batch batch;
	for (queue_take(&queue, &batch); batch.count != 0; queue_take(&queue, &batch))
		side->sum += batch_free(&batch);
	return NULL;
}

int main(int argc, char **argv)
{
	static const char *const names[] = { "pair", "many", NULL };
	size_t threads = variant(argc, argv, names) == 0 ? 1 : THREADS;
	size_t batches = scaled(argc, argv, 2, 60000) / threads;
	struct side producers[THREADS], consumers[THREADS];
	pthread_t consuming[THREADS];
	uint64_t sum = 0;

	for (size_t i = 0; i < threads; i++) {
		producers[i] = (struct side){ .seed = 100 + i, .batches = batches };
		consumers[i] = (struct side){ 0 };
		thread_start(&consuming[i], consume, &consumers[i]);
	}
	threads_run(produce, producers, sizeof *producers, threads);
	for (size_t i = 0; i < threads; i++)
		queue_put(&queue, &(struct batch){ .count = 0 });
	for (size_t i = 0; i < threads; i++) {
		thread_join(consuming[i]);
		sum += consumers[i].sum;
	}
	finish(sum);
}
