/* replay.c - replays a trace of a real program's malloc.
 *
 * Usage: replay FILE [SCALE]      (FILE as made by `tracefile.py unpack`)
 *        replay --describe FILE   (one JSON object: events, threads, peak live bytes)
 *
 * Purpose: the order, sizes and lifetimes that real programs have, without the programs. Access:
 * every thread of the program becomes a thread that makes the same calls in the same order. Where
 * there are several, they stay together: time is cut into epochs of 16,384 calls, and no thread
 * begins one before all have ended the last. Within one they wait only for blocks that another
 * thread has yet to allocate. Each block is written once as it is allocated (of calloc's only the
 * ends), and its ends are checked as it goes. What is left is freed at the end of a round; rounds
 * follow until 20 million calls are made or 4 GB allocated, each on the heap that the last one
 * left. Punishes: free lists that lose their order from round to round, and whatever a synthetic
 * workload forgets, such as many sizes with few blocks each, phases, and realloc in small steps.
 *
 * The file: a head, a head for each thread, how many threads take part in each epoch, then for
 * each thread its calls in LEB128, each a number whose low three bits are the operation. Blocks
 * are named by slots: of the thread that allocates and frees them (allocations take the slot
 * freed last), or shared ones, used once. The file is read through small buffers and the slots
 * stand in a table of their own, so that hardly any resident memory is the replayer's. */
#include <fcntl.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <unistd.h>

#include "../workloads/workload.h"

/* Of a call; VALUE is the rest of its number. */
enum operation {
	PLAY_FREE,        /* of the slot VALUE */
	PLAY_MALLOC,      /* of VALUE bytes */
	PLAY_CALLOC,      /* of VALUE bytes */
	PLAY_REALLOC,     /* of the slot VALUE; the new size follows */
	PLAY_ALIGNED,     /* to 1 << VALUE bytes; the size follows */
	PLAY_EPOCH,       /* epoch VALUE: wait until it has begun */
	PLAY_FREE_SHARED, /* of the shared slot VALUE */
	PLAY_SHARE        /* the next allocation goes to the shared slot VALUE */
};

enum {
	MOST_THREADS = 256,
	BUFFER = 8192
};
/* Rounds follow each other until this much has been done. More bytes would be too many for the bump allocator. */
static const double MOST_CALLS = 2e7, MOST_BYTES = 4e9;

struct head {
	char magic[8];
	uint64_t threads, shared_slots, epochs, calls, bytes, peak_bytes; /* bytes: of all allocations */
};

struct thread_head {
	uint64_t bytes, slots;
};

struct slot {
	_Atomic(unsigned char *) block; /* of a shared slot: NULL until its thread has allocated it */
	size_t size;                    /* of a free slot: the slot freed before it */
};

static const size_t NO_SLOT = SIZE_MAX;

struct player {
	int file;
	off_t place, end; /* of what has not been read */
	unsigned char buffer[BUFFER];
	size_t used, filled;
	struct slot *slots;
	size_t fresh, freed; /* the first slot never used; the one freed last */
	size_t share;        /* the shared slot of the next allocation, or NO_SLOT */
	uint64_t sum;
	pthread_t thread;
	int in_epoch; /* counts among those that the epoch waits for */
};

static struct head head;
static struct thread_head thread_heads[MOST_THREADS];
static struct player players[MOST_THREADS];
static struct slot *shared;

static pthread_mutex_t epoch_lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next three */
static pthread_cond_t epoch_begun = PTHREAD_COND_INITIALIZER;
static uint64_t epoch; /* the current one; only counted up within a round */
static uint64_t busy;  /* threads that have not ended it */
static uint64_t *epoch_threads;

/* ---- Reading --------------------------------------------------------------------------------- */

static int next_byte(struct player *me)
{
	if (me->used == me->filled) {
		size_t wanted = me->end - me->place < BUFFER ? (size_t)(me->end - me->place) : BUFFER;
		if (wanted == 0)
			return -1;
		ssize_t count = pread(me->file, me->buffer, wanted, me->place);
		require(count > 0, "the trace cannot be read");
		me->place += count;
		me->used = 0;
		me->filled = (size_t)count;
	}
	return me->buffer[me->used++];
}

/* The next number; 0 if there is none. */
static int next_number(struct player *me, uint64_t *number)
{
	*number = 0;
	for (unsigned shift = 0;; shift += 7) {
		int byte = next_byte(me);
		if (byte < 0)
			return 0;
		*number |= (uint64_t)(byte & 0x7f) << shift;
		if (byte < 0x80)
			return 1;
	}
}

static size_t next_size(struct player *me)
{
	uint64_t size;
	require(next_number(me, &size), "the trace ends within a call");
	return size;
}

/* ---- Playing --------------------------------------------------------------------------------- */

static void put_block(struct player *me, unsigned char *block, size_t size, int is_zero)
{
	struct slot *slot = &shared[me->share];
	size_t number = me->share;
	require(block != NULL, "out of memory");
	if (number == NO_SLOT) {
		number = me->freed != NO_SLOT ? me->freed : me->fresh++;
		slot = &me->slots[number];
		if (number == me->freed)
			me->freed = slot->size;
	}
	if (!is_zero) {
		memset(block, (int)(number & 0xff), size);
	} else if (size > 0) {
		require(block[0] == 0 && block[size - 1] == 0, "calloc's block is not zero");
		block[0] = block[size - 1] = (unsigned char)number;
	}
	slot->size = size;
	me->share = NO_SLOT;
	/* Pairs with take_shared(): whoever sees the block sees its size. */
	atomic_store_explicit(&slot->block, block, memory_order_release);
}

/* Checks the block of slot `number` and frees it. */
static void drop(struct player *me, struct slot *slot, size_t number)
{
	unsigned char *block = atomic_load_explicit(&slot->block, memory_order_relaxed);
	if (slot->size > 0) {
		unsigned char mark = (unsigned char)number;
		require(block[0] == mark && block[slot->size - 1] == mark, "a block has changed");
		me->sum += mark;
	}
	atomic_store_explicit(&slot->block, NULL, memory_order_relaxed);
	free(block);
}

static void drop_own(struct player *me, size_t number)
{
	drop(me, &me->slots[number], number);
	me->slots[number].size = me->freed;
	me->freed = number;
}

static void drop_shared(struct player *me, size_t number)
{
	/* Pairs with put_block(). */
	while (atomic_load_explicit(&shared[number].block, memory_order_acquire) == NULL)
		sched_yield();
	drop(me, &shared[number], number);
}

static void resize(struct player *me, size_t number, size_t size)
{
	struct slot *slot = &me->slots[number];
	unsigned char mark = (unsigned char)number;
	unsigned char *block = realloc(atomic_load_explicit(&slot->block, memory_order_relaxed), size ? size : 1);
	require(block != NULL, "out of memory");
	require(slot->size == 0 || size == 0 || block[0] == mark, "realloc has changed the block");
	if (size > slot->size)
		memset(block + slot->size, mark, size - slot->size);
	else if (size > 0)
		block[size - 1] = mark;
	slot->size = size;
	atomic_store_explicit(&slot->block, block, memory_order_relaxed);
}

/* Ends the thread's current epoch, and waits for epoch `wanted` to begin. */
static void change_epoch(struct player *me, uint64_t wanted)
{
	if (head.epochs == 0)
		return;
	pthread_mutex_lock(&epoch_lock);
	if (me->in_epoch && --busy == 0 && ++epoch < head.epochs) {
		busy = epoch_threads[epoch];
		pthread_cond_broadcast(&epoch_begun);
	}
	while (epoch < wanted)
		pthread_cond_wait(&epoch_begun, &epoch_lock);
	me->in_epoch = 1;
	pthread_mutex_unlock(&epoch_lock);
}

static void *play(void *argument)
{
	struct player *me = argument;
	uint64_t number;
	while (next_number(me, &number)) {
		size_t value = number >> 3, size;
		void *block = NULL;
		switch ((enum operation)(number & 7)) {
		case PLAY_FREE:
			drop_own(me, value);
			break;
		case PLAY_MALLOC:
			put_block(me, malloc(value), value, 0);
			break;
		case PLAY_CALLOC:
			put_block(me, calloc(1, value), value, 1);
			break;
		case PLAY_REALLOC:
			resize(me, value, next_size(me));
			break;
		case PLAY_ALIGNED:
			size = next_size(me);
			require(posix_memalign(&block, (size_t)1 << value, size) == 0, "out of memory");
			put_block(me, block, size, 0);
			break;
		case PLAY_EPOCH:
			change_epoch(me, value);
			break;
		case PLAY_FREE_SHARED:
			drop_shared(me, value);
			break;
		case PLAY_SHARE:
			me->share = value;
			break;
		}
	}
	change_epoch(me, 0);
	return NULL;
}

/* Plays the whole trace once, and frees what it left. */
static void play_round(int file)
{
	off_t place =
		(off_t)(sizeof head + head.threads * sizeof thread_heads[0] + head.epochs * sizeof *epoch_threads);
	for (size_t i = 0; i < head.threads; i++) {
		struct player *player = &players[i];
		player->file = file;
		player->place = place;
		player->end = place += (off_t)thread_heads[i].bytes;
		player->used = player->filled = player->fresh = 0;
		player->freed = player->share = NO_SLOT;
		player->in_epoch = 0;
	}
	epoch = 0;
	busy = head.epochs > 0 ? epoch_threads[0] : 0;
	/* The program's main thread is the main thread here too. */
	for (size_t i = 1; i < head.threads; i++)
		thread_start(&players[i].thread, play, &players[i]);
	play(&players[0]);
	for (size_t i = 1; i < head.threads; i++)
		thread_join(players[i].thread);
	for (size_t i = 0; i < head.threads; i++)
		for (size_t number = 0; number < players[i].fresh; number++)
			if (atomic_load_explicit(&players[i].slots[number].block, memory_order_relaxed) != NULL)
				drop(&players[i], &players[i].slots[number], number);
}

/* Zero bytes that are not the allocator's. */
static void *own_memory(size_t bytes)
{
	void *memory = mmap(NULL, bytes + 1, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	require(memory != MAP_FAILED, "no memory for the replayer");
	return memory;
}

/* Reads the heads and makes the slots. */
static int open_trace(const char *path)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	require(file >= 0, "the trace cannot be opened");
	require(read(file, &head, sizeof head) == (ssize_t)sizeof head && memcmp(head.magic, "hkmtrace", 8) == 0,
		"the file is no trace");
	require(head.threads >= 1 && head.threads <= MOST_THREADS, "the trace has too many threads");
	size_t bytes = head.threads * sizeof thread_heads[0], slots = head.shared_slots;
	require(read(file, thread_heads, bytes) == (ssize_t)bytes, "the trace is cut off");
	for (size_t i = 0; i < head.threads; i++)
		slots += thread_heads[i].slots;

	size_t epoch_bytes = head.epochs * sizeof *epoch_threads;
	epoch_threads = own_memory(epoch_bytes);
	require(read(file, epoch_threads, epoch_bytes) == (ssize_t)epoch_bytes, "the trace is cut off");
	shared = own_memory(slots * sizeof *shared);
	struct slot *next = shared + head.shared_slots;
	for (size_t i = 0; i < head.threads; i++) {
		players[i].slots = next;
		next += thread_heads[i].slots;
	}
	return file;
}

int main(int argc, char **argv)
{
	int describe = argc > 2 && strcmp(argv[1], "--describe") == 0;
	require(argc > 1, "usage: replay FILE [SCALE] | replay --describe FILE");
	int file = open_trace(argv[describe ? 2 : 1]);
	if (describe) {
		printf("{\"calls\": %" PRIu64 ", \"threads\": %" PRIu64 ", \"peak_bytes\": %" PRIu64 "}\n",
			head.calls, head.threads, head.peak_bytes);
		return 0;
	}
	double by_calls = MOST_CALLS / (double)head.calls, by_bytes = MOST_BYTES / (double)head.bytes;
	size_t rounds = scaled(argc, argv, 2, (size_t)(by_calls < by_bytes ? by_calls : by_bytes));
	for (size_t i = 0; i < rounds; i++)
		play_round(file);
	uint64_t sum = 0;
	for (size_t i = 0; i < head.threads; i++)
		sum += players[i].sum;
	finish(sum);
}
