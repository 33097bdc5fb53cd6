/* pipeline.c - messages pass through stages, each of which answers with blocks of its own.
 *
 * Purpose: chains of remote frees. Access: four threads in a row; each takes a batch of blocks,
 * allocates one of another size for each, frees the one received and passes the new ones on.
 * Every thread allocates and frees at the same rate, but never frees what it allocated itself.
 * Punishes: thread caches that only fill and only empty, and remote frees that the owner finds
 * late. */
#include "queue.h"

enum {
	STAGES = 4
};

static struct queue queues[STAGES] = { QUEUE_INITIAL, QUEUE_INITIAL, QUEUE_INITIAL, QUEUE_INITIAL };

struct stage {
	size_t place;
	uint64_t sum;
};

static void *work(void *argument)
{
	struct stage *stage = argument;
	struct batch batch, answer;
	for (;;) {
		queue_take(&queues[stage->place], &batch);
		answer.count = batch.count;
		for (size_t i = 0; i < batch.count; i++) {
			answer.sizes[i] = batch.sizes[i] % 7 == 0 ? batch.sizes[i] / 2 + 16 : batch.sizes[i] + 16;
			answer.blocks[i] = malloc(answer.sizes[i]);
			block_mark(answer.blocks[i], answer.sizes[i], answer.sizes[i]);
		}
		stage->sum += batch_free(&batch);
		if (stage->place + 1 < STAGES)
			queue_put(&queues[stage->place + 1], &answer);
		else
			stage->sum += batch_free(&answer);
		if (batch.count == 0)
			return NULL;
	}
}

int main(int argc, char **argv)
{
	size_t batches = scaled(argc, argv, 1, 18000);
	struct stage stages[STAGES];
	pthread_t threads[STAGES];
	struct dice dice = { 77 };
	struct batch batch;
	uint64_t sum = 0;

	for (size_t i = 0; i < STAGES; i++) {
		stages[i] = (struct stage){ .place = i };
		thread_start(&threads[i], work, &stages[i]);
	}
	for (size_t i = 0; i < batches; i++) {
		batch_fill(&batch, &dice);
		queue_put(&queues[0], &batch);
	}
	batch.count = 0;
	queue_put(&queues[0], &batch);
	for (size_t i = 0; i < STAGES; i++) {
		thread_join(threads[i]);
		sum = sum * 31 + stages[i].sum;
	}
	finish(sum);
}
