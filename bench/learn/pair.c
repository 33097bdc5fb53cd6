/* pair.c - a producer and a consumer.
 *
 * Purpose: frees by a thread that did not allocate. Access: one thread fills batches of 128
 * blocks of 16 bytes to 2 KiB, another takes them from a bounded queue, keeps the last 64 and
 * frees the oldest. Punishes: an atomic operation for each remote free, messages so long that
 * memory piles up at the sender, and empty slabs given back that the producer needs again at once. */
#include "learn.h"
#include "queue.h"

enum {
	LIVE = 64,
	BATCHES = 190000
};

static struct queue queue = QUEUE_INITIAL;

struct producer {
	struct dice dice;
	size_t batches;
};

static void *produce(void *argument)
{
	struct producer *producer = argument;
	struct batch batch;
	for (size_t i = 0; i < producer->batches; i++) {
		batch_fill(&batch, &producer->dice);
		queue_put(&queue, &batch);
	}
	queue_put(&queue, &(struct batch){ .count = 0 });
	return NULL;
}

int main(int argc, char **argv)
{
	struct course course = course_start(argc, argv);
	size_t live = course_live(&course, LIVE), received = 0;
	struct batch *kept = calloc(live, sizeof *kept);
	struct producer producer = { course_dice(&course, 0), course_steps(&course, BATCHES) };
	struct batch batch;
	pthread_t thread;

	require(kept != NULL, "out of memory");
	course_phase(&course, "steady");
	thread_start(&thread, produce, &producer);
	for (queue_take(&queue, &batch); batch.count != 0; queue_take(&queue, &batch)) {
		struct batch *oldest = &kept[received++ % live];
		course.sum += batch_free(oldest);
		course.operations += batch.count;
		*oldest = batch;
	}
	for (size_t i = 0; i < live; i++)
		course.sum += batch_free(&kept[i]);
	thread_join(thread);
	free(kept);
	course_end(&course);
}
