/* queue.h - a bounded queue of batches of blocks between threads, for the producer and consumer
 * workloads. Batches keep the price of the lock small beside that of the allocator. */
#ifndef QUEUE_H
#define QUEUE_H

#include "workload.h"

enum {
	BATCH = 128,
	QUEUE_DEPTH = 32
};

struct batch {
	void *blocks[BATCH];
	size_t sizes[BATCH];
	size_t count; /* 0 tells the receiver to stop */
};

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t not_empty, not_full;
	size_t head, count;
	struct batch batches[QUEUE_DEPTH];
};

#define QUEUE_INITIAL \
	{ \
		.lock = PTHREAD_MUTEX_INITIALIZER, .not_empty = PTHREAD_COND_INITIALIZER, \
		.not_full = PTHREAD_COND_INITIALIZER \
	}

static inline void queue_put(struct queue *queue, const struct batch *batch)
{
	pthread_mutex_lock(&queue->lock);
	while (queue->count == QUEUE_DEPTH)
		pthread_cond_wait(&queue->not_full, &queue->lock);
	queue->batches[(queue->head + queue->count) % QUEUE_DEPTH] = *batch;
	queue->count++;
	pthread_cond_signal(&queue->not_empty);
	pthread_mutex_unlock(&queue->lock);
}

static inline void queue_take(struct queue *queue, struct batch *batch)
{
	pthread_mutex_lock(&queue->lock);
	while (queue->count == 0)
		pthread_cond_wait(&queue->not_empty, &queue->lock);
	*batch = queue->batches[queue->head];
	queue->head = (queue->head + 1) % QUEUE_DEPTH;
	queue->count--;
	pthread_cond_signal(&queue->not_full);
	pthread_mutex_unlock(&queue->lock);
}

/* Fills the batch with new blocks of 16 bytes to 2 KiB. */
static inline void batch_fill(struct batch *batch, struct dice *dice)
{
	for (batch->count = 0; batch->count < BATCH; batch->count++) {
		size_t size = dice_size(dice, 16, 2048);
		batch->sizes[batch->count] = size;
		batch->blocks[batch->count] = malloc(size);
		block_mark(batch->blocks[batch->count], size, size * 3);
	}
}

/* Checks and frees the batch's blocks; the sum of their marks. */
static inline uint64_t batch_free(struct batch *batch)
{
	uint64_t sum = 0;
	for (size_t i = 0; i < batch->count; i++) {
		sum += block_check(batch->blocks[i], batch->sizes[i]);
		free(batch->blocks[i]);
	}
	return sum;
}

#endif
