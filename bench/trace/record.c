/* record.c - librecord.so, preloaded into a program, writes down every call of its malloc.
 *
 * Usage: HAKMEM_TRACE=PREFIX LD_PRELOAD=librecord.so PROGRAM ARGUMENT...
 * Each process writes the file PREFIX.PROCESS of `struct event`; pack.py makes a trace of it.
 *
 * The file is mapped and written in place, so nothing is lost when the program leaves by _exit
 * or is killed; what follows the last event is zero. One lock keeps the events in one order. A
 * block is written down before it is freed and after it is allocated, and realloc runs under the
 * lock: so whenever an address comes back, its free stands before its next allocation.
 *
 * The blocks come from the next malloc in line (the C library's, or the program's own library),
 * found by dlsym; what dlsym itself allocates comes from a small fixed area and is not recorded. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum operation {
	OPERATION_NONE, /* the end of the file */
	OPERATION_FREE,
	OPERATION_MALLOC,
	OPERATION_CALLOC,
	OPERATION_REALLOC,
	OPERATION_ALIGNED
};

/* pack.py reads it as "<BBHIQQQ". */
struct event {
	uint8_t operation;
	uint8_t alignment_shift; /* of OPERATION_ALIGNED */
	uint16_t unused;
	uint32_t thread; /* counted from 0 in the order of their first events */
	uint64_t block;  /* its address; of OPERATION_REALLOC, the new one */
	uint64_t size;   /* as asked for */
	uint64_t old;    /* of OPERATION_REALLOC, the address before */
};
_Static_assert(sizeof(struct event) == 32, "pack.py knows the size");

enum {
	WINDOW_EVENTS = 1 << 17,
	WINDOW_BYTES = WINDOW_EVENTS * sizeof(struct event),
	EARLY_BYTES = 1 << 16
};

/* ---- The malloc behind --------------------------------------------------------------------- */

static void *(*next_malloc)(size_t);
static void (*next_free)(void *);
static void *(*next_calloc)(size_t, size_t);
static void *(*next_realloc)(void *, size_t);
static void *(*next_memalign)(size_t, size_t);
static size_t (*next_usable_size)(void *);

static _Alignas(16) char early[EARLY_BYTES];
static size_t early_used;

/* Fresh zero bytes; the size stands before the block. Only one thread exists so early. */
static void *early_allocate(size_t size)
{
	size_t bytes = ((size + 15) & ~(size_t)15) + 16;
	if (size > sizeof early || bytes > sizeof early - early_used)
		abort();
	char *block = early + early_used + 16;
	early_used += bytes;
	((size_t *)block)[-1] = size;
	return block;
}

static bool is_early(const void *block)
{
	return (uintptr_t)block - (uintptr_t)early < sizeof early;
}

static void *find(const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);
	if (function == NULL)
		abort();
	return function;
}

/* Whether the malloc behind is known; false only within dlsym's own calls. */
static bool ready(void)
{
	static bool looking;
	if (next_usable_size != NULL)
		return true;
	if (looking)
		return false;
	looking = true;
	next_malloc = find("malloc");
	next_free = find("free");
	next_calloc = find("calloc");
	next_realloc = find("realloc");
	next_memalign = find("memalign");
	next_usable_size = find("malloc_usable_size");
	return true;
}

/* ---- The file ------------------------------------------------------------------------------ */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards all below */
static const char *prefix;                               /* NULL: record nothing */
static int file = -1;
static off_t file_bytes;
static struct event *window; /* the mapped end of the file */
static size_t window_used;   /* events */
static uint32_t threads;

static _Thread_local __attribute__((tls_model("initial-exec"))) uint32_t thread_number; /* + 1; 0: none yet */

static void next_window(void)
{
	if (file < 0) {
		char path[4096];
		snprintf(path, sizeof path, "%s.%d", prefix, (int)getpid());
		file = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
	}
	if (window != NULL)
		munmap(window, WINDOW_BYTES);
	window = NULL;
	if (file >= 0 && ftruncate(file, file_bytes + WINDOW_BYTES) == 0)
		window = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, file, file_bytes);
	if (window == NULL || window == MAP_FAILED)
		abort();
	file_bytes += WINDOW_BYTES;
	window_used = 0;
}

/* With the lock held. */
static void put(struct event event)
{
	if (prefix == NULL)
		return;
	if (window == NULL || window_used == WINDOW_EVENTS)
		next_window();
	if (thread_number == 0)
		thread_number = ++threads;
	event.thread = thread_number - 1;
	window[window_used++] = event;
}

static void put_locked(struct event event)
{
	int error = errno;
	pthread_mutex_lock(&lock);
	put(event);
	pthread_mutex_unlock(&lock);
	errno = error;
}

static void before_fork(void)
{
	pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
	pthread_mutex_unlock(&lock);
}

/* The child writes a file of its own. Its parent's blocks are unknown there; pack.py leaves them out. */
static void after_fork_in_child(void)
{
	if (window != NULL)
		munmap(window, WINDOW_BYTES);
	if (file >= 0)
		close(file);
	window = NULL;
	file = -1;
	file_bytes = 0;
	pthread_mutex_unlock(&lock);
}

static __attribute__((constructor)) void start(void)
{
	pthread_atfork(before_fork, after_fork, after_fork_in_child);
	prefix = getenv("HAKMEM_TRACE");
}

/* ---- malloc and its family ------------------------------------------------------------------ */

void *malloc(size_t size)
{
	if (!ready())
		return early_allocate(size);
	void *block = next_malloc(size);
	if (block != NULL)
		put_locked((struct event){ .operation = OPERATION_MALLOC, .block = (uintptr_t)block, .size = size });
	return block;
}

void free(void *block)
{
	if (block == NULL || is_early(block))
		return;
	put_locked((struct event){ .operation = OPERATION_FREE, .block = (uintptr_t)block });
	next_free(block);
}

void *calloc(size_t count, size_t size)
{
	if (!ready())
		return early_allocate(count * size);
	void *block = next_calloc(count, size);
	if (block != NULL)
		put_locked(
			(struct event){ .operation = OPERATION_CALLOC, .block = (uintptr_t)block, .size = count * size });
	return block;
}

void *realloc(void *old, size_t size)
{
	if (old == NULL || !ready())
		return malloc(size);
	if (is_early(old)) {
		void *block = malloc(size);
		size_t kept = ((size_t *)old)[-1];
		return block == NULL ? NULL : memcpy(block, old, kept < size ? kept : size);
	}
	pthread_mutex_lock(&lock);
	void *block = next_realloc(old, size);
	int error = errno;
	if (block != NULL)
		put((struct event){
			.operation = OPERATION_REALLOC, .block = (uintptr_t)block, .size = size, .old = (uintptr_t)old });
	else if (size == 0)
		put((struct event){ .operation = OPERATION_FREE, .block = (uintptr_t)old });
	pthread_mutex_unlock(&lock);
	errno = error;
	return block;
}

void *memalign(size_t alignment, size_t size)
{
	void *block = ready() ? next_memalign(alignment, size) : NULL;
	if (block != NULL)
		put_locked((struct event){ .operation = OPERATION_ALIGNED,
			.alignment_shift = (uint8_t)__builtin_ctzll(alignment | (uint64_t)1 << 62),
			.block = (uintptr_t)block,
			.size = size });
	return block;
}

void *aligned_alloc(size_t alignment, size_t size)
{
	return memalign(alignment, size);
}

int posix_memalign(void **place, size_t alignment, size_t size)
{
	int error = errno;
	void *block = memalign(alignment, size);
	errno = error;
	if (block == NULL)
		return ENOMEM;
	*place = block;
	return 0;
}

void *valloc(size_t size)
{
	return memalign((size_t)sysconf(_SC_PAGESIZE), size);
}

size_t malloc_usable_size(void *block)
{
	if (block == NULL || is_early(block) || !ready())
		return block == NULL ? 0 : ((size_t *)block)[-1];
	return next_usable_size(block);
}
