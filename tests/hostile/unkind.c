/* unkind.c - a library that is preloaded in front of HAKMEM and makes the world of a program unkind.
 *
 * HAKMEM_TEST_UNKIND names what it does, separated by commas; HAKMEM_TEST_SEED seeds its random numbers.
 *
 *   strangers    pages and large reservations of nobody appear beside and ahead of each mapping of the allocator, and
 *                anywhere in the address space
 *   addresses=N  after the start only N KiB more of addresses may be had (RLIMIT_AS)
 *   maps=N       all but N of the mappings that a process may have (vm.max_map_count) are taken
 *   locked       all memory, now and to come, is locked (mlockall)
 *   flags        pages of the allocator's mappings get flags that a program may set: MADV_DONTDUMP, MADV_NOHUGEPAGE
 *   refusals     one call in 50 of mmap, mremap, munmap and madvise fails
 *   signals      a signal handler that allocates and frees interrupts the program about every millisecond; where it interrupts
 *                HAKMEM's own code it does nothing, as README allows that nowhere: fast paths are not made for it
 *   forks        a thread forks children that allocate, free and end
 *   threads      a thread starts threads that end in every way there is
 *
 * It wraps the system calls: the allocator's own come by here; what the C library calls inside does not.
 */
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

#define PAGE ((size_t)4096)
#define GIB ((size_t)1 << 30)
#define MOST_STRANGERS 12000
#define REFUSED_ONE_IN 50

/* Written by the constructor, before there are threads. */
static bool strangers, refusals, flags;
static uint64_t seed = 1;

static uint64_t random_bits(void)
{
	static _Atomic uint64_t state;
	uint64_t value = atomic_fetch_add(&state, 0x9e3779b97f4a7c15u) + seed * 0xd1342543de82ef95u;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
	value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
	return value ^ (value >> 31);
}

static void fail(const char *text)
{
	(void)!write(STDERR_FILENO, text, strlen(text));
	abort();
}

/* ---- System calls ------------------------------------------------------------------------------------------ */

/* Result: whether this use of a call is to fail. */
static bool refuse(void)
{
	if (!refusals || random_bits() % REFUSED_ONE_IN != 0)
		return false;
	errno = ENOMEM;
	return true;
}

static char *map_for_nobody(char *start, size_t size)
{
	return (char *)syscall(SYS_mmap, start, size, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0L);
}

/* Somebody else's mappings appear around one of the allocator's. */
static void invite_strangers(char *start, size_t size)
{
	static _Atomic unsigned count;
	int saved = errno;

	if (atomic_fetch_add(&count, 1) < MOST_STRANGERS) {
		uint64_t chance = random_bits();

		if (chance % 2 == 0)
			map_for_nobody(start + size, PAGE);
		if (chance / 2 % 4 == 0)
			map_for_nobody(start - PAGE, PAGE);
		if (chance / 8 % 16 == 0)
			map_for_nobody(start + size + (chance / 128 % 64 + 1) * 2 * 1024 * 1024, GIB << (chance >> 20 & 7));
		if (chance / 4096 % 8 == 0)
			map_for_nobody((char *)(random_bits() >> 18 & ~(uintptr_t)(PAGE - 1)), PAGE << (chance >> 24 & 15));
	}
	errno = saved;
}

static void set_flags(char *start, size_t size)
{
	static const int advice[] = { MADV_DONTDUMP, MADV_NOHUGEPAGE };
	int saved = errno;

	if (size > 4 * PAGE)
		syscall(SYS_madvise, start + random_bits() % (size / PAGE) * PAGE, PAGE, advice[random_bits() % 2]);
	errno = saved;
}

__attribute__((visibility("default"))) void *mmap(void *start, size_t size, int protection, int how, int file, off_t offset)
{
	void *result;

	if (refuse())
		return MAP_FAILED;
	result = (void *)syscall(SYS_mmap, start, size, protection, how, file, offset);
	if (result != MAP_FAILED && strangers)
		invite_strangers(result, (size + PAGE - 1) & ~(PAGE - 1));
	if (result != MAP_FAILED && flags && (protection & PROT_WRITE) != 0)
		set_flags(result, size);
	return result;
}

__attribute__((visibility("default"))) int munmap(void *start, size_t size)
{
	return refuse() ? -1 : (int)syscall(SYS_munmap, start, size);
}

__attribute__((visibility("default"))) void *mremap(void *start, size_t old_size, size_t size, int how, ...)
{
	va_list arguments;
	void *target;

	va_start(arguments, how);
	target = (how & MREMAP_FIXED) != 0 ? va_arg(arguments, void *) : NULL;
	va_end(arguments);
	return refuse() ? MAP_FAILED : (void *)syscall(SYS_mremap, start, old_size, size, how, target);
}

__attribute__((visibility("default"))) int madvise(void *start, size_t size, int advice)
{
	return refuse() ? -1 : (int)syscall(SYS_madvise, start, size, advice);
}

/* ---- Signals ------------------------------------------------------------------------------------------------ */

#define HANDLER_BLOCKS 8

struct held {
	unsigned char *start;
	size_t size;
};

static __thread __attribute__((tls_model("initial-exec"))) struct held held[HANDLER_BLOCKS];

static void check_and_free(struct held *block)
{
	for (size_t i = 0; i < block->size; i += 61)
		if (block->start[i] != (unsigned char)(block->size + i))
			fail("unkind: a block of a signal handler was overwritten\n");
	free(block->start);
	block->start = NULL;
}

/* HAKMEM's code; written by the constructor. */
static uintptr_t code_start, code_end;

static int find_code(struct dl_phdr_info *module, size_t size, void *unused)
{
	(void)size;
	(void)unused;
	if (strstr(module->dlpi_name, "libhakmem") == NULL)
		return 0;
	for (size_t i = 0; i < module->dlpi_phnum; i++)
		if (module->dlpi_phdr[i].p_type == PT_LOAD && (module->dlpi_phdr[i].p_flags & PF_X) != 0) {
			code_start = module->dlpi_addr + module->dlpi_phdr[i].p_vaddr;
			code_end = code_start + module->dlpi_phdr[i].p_memsz;
		}
	return 1;
}

static uintptr_t interrupted_at(const ucontext_t *context)
{
#ifdef __x86_64__
	return (uintptr_t)context->uc_mcontext.gregs[REG_RIP];
#else
	return (uintptr_t)context->uc_mcontext.pc;
#endif
}

static void allocate_in_handler(int number, siginfo_t *info, void *context)
{
	uintptr_t at = interrupted_at(context);

	(void)number;
	(void)info;
	if (at >= code_start && at < code_end)
		return;

	struct held *block = &held[random_bits() % HANDLER_BLOCKS];
	int saved = errno;

	if (block->start != NULL) {
		check_and_free(block);
	} else {
		block->size = 1 + random_bits() % (random_bits() % 8 == 0 ? 50000 : 600);
		block->start = malloc(block->size);
		for (size_t i = 0; block->start != NULL && i < block->size; i += 61)
			block->start[i] = (unsigned char)(block->size + i);
	}
	errno = saved;
}

static void start_signals(void)
{
	struct sigaction action = { .sa_sigaction = allocate_in_handler, .sa_flags = SA_RESTART | SA_SIGINFO };
	struct itimerval interval = { { 0, 1100 }, { 0, 1100 } };

	dl_iterate_phdr(find_code, NULL);
	if (code_start == 0)
		fail("unkind: libhakmem is not there\n");
	sigaction(SIGPROF, &action, NULL);
	setitimer(ITIMER_PROF, &interval, NULL);
}

/* ---- Forks ---------------------------------------------------------------------------------------------------- */

#define CHILD_BLOCKS 200

static void live_as_child(void)
{
	static unsigned char *blocks[CHILD_BLOCKS];

	for (size_t i = 0; i < CHILD_BLOCKS; i++) {
		size_t size = 1 + random_bits() % (i % 20 == 0 ? 300000 : 1500);

		blocks[i] = calloc(1, size);
		if (blocks[i] != NULL)
			memset(blocks[i], (int)i, size);
	}
	for (size_t i = 0; i < CHILD_BLOCKS; i++) {
		if (blocks[i] != NULL && blocks[i][0] != (unsigned char)i)
			fail("unkind: a block of a child was overwritten\n");
		free(blocks[i]);
	}
	_exit(0);
}

static void nap(long milliseconds)
{
	struct timespec length = { 0, milliseconds * 1000000 };

	nanosleep(&length, NULL);
}

static void *fork_children(void *argument)
{
	(void)argument;
	for (;;) {
		int status = 0;
		pid_t child = fork();

		if (child == 0)
			live_as_child();
		while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
			;
		if (status != 0)
			fail("unkind: a child of fork did not end well\n");
		nap(2);
	}
	return NULL;
}

/* ---- Threads that end in every way ----------------------------------------------------------------------------- */

static pthread_key_t late_key;

/* Allocates in each round of destructors that the C library grants, and one more time for good measure. */
static void allocate_late(void *value)
{
	uintptr_t rounds = (uintptr_t)value;

	free(malloc(100 * rounds));
	pthread_setspecific(late_key, (void *)(rounds + 1));
}

static void *end_somehow(void *argument)
{
	uintptr_t way = (uintptr_t)argument;
	void *blocks[40];

	for (size_t i = 0; i < 40; i++)
		blocks[i] = malloc(1 + random_bits() % 4000);
	for (size_t i = 0; i < 40; i++)
		free(blocks[i]);
	if (way % 4 == 1)
		pthread_setspecific(late_key, (void *)1);
	if (way % 4 == 2)
		pthread_exit(NULL);
	while (way % 4 == 3) { /* until it is cancelled */
		free(malloc(1 + random_bits() % 4000));
		pthread_testcancel();
	}
	return NULL;
}

static void *start_threads(void *argument)
{
	pthread_attr_t small;

	(void)argument;
	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 * 1024);
	pthread_key_create(&late_key, allocate_late);
	for (uintptr_t way = 0;; way++) {
		pthread_t thread;

		if (pthread_create(&thread, &small, end_somehow, (void *)way) != 0)
			continue;
		if (way % 4 == 3)
			pthread_cancel(thread);
		pthread_join(thread, NULL);
		nap(1);
	}
	return NULL;
}

static void start_thread(void *(*work)(void *))
{
	pthread_attr_t small;
	pthread_t thread;
	sigset_t all, before;

	pthread_attr_init(&small);
	pthread_attr_setstacksize(&small, 128 * 1024);
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	if (pthread_create(&thread, &small, work, NULL) != 0)
		fail("unkind: no thread\n");
	pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- Limits ------------------------------------------------------------------------------------------------------ */

static size_t virtual_bytes(void)
{
	size_t pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	if (file == NULL || fscanf(file, "%zu", &pages) != 1)
		fail("unkind: /proc/self/statm cannot be read\n");
	fclose(file);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void limit_addresses(size_t kib)
{
	struct rlimit limit = { virtual_bytes() + kib * 1024, RLIM_INFINITY };

	if (setrlimit(RLIMIT_AS, &limit) != 0)
		fail("unkind: setrlimit\n");
}

static unsigned long map_limit(void)
{
	unsigned long most = 65530;
	FILE *file = fopen("/proc/sys/vm/max_map_count", "re");

	if (file != NULL) {
		(void)!fscanf(file, "%lu", &most);
		fclose(file);
	}
	return most;
}

static void take_mappings(unsigned long left)
{
	unsigned long most = map_limit();
	char *all;

	if (most > 200000)
		return; /* it would take too long */
	all = (char *)syscall(SYS_mmap, NULL, (most + 2) * 2 * PAGE, PROT_NONE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0L);
	for (unsigned long i = 0; i < most; i++)
		if (syscall(SYS_mprotect, all + i * 2 * PAGE, PAGE, PROT_READ) != 0)
			break;
	/* Each page that is made like its neighbours again takes two mappings less. */
	for (unsigned long i = 0; i < left / 2; i++)
		syscall(SYS_mprotect, all + i * 2 * PAGE, PAGE, PROT_NONE);
}

/* The number behind `name` in the list of what to do; -1: it is not there, or has none. */
static long number_of(const char *list, const char *name)
{
	const char *found = strstr(list, name);

	return found != NULL && found[strlen(name)] == '=' ? strtol(found + strlen(name) + 1, NULL, 10) : -1;
}

__attribute__((constructor)) static void start(void)
{
	const char *list = getenv("HAKMEM_TEST_UNKIND");
	const char *number = getenv("HAKMEM_TEST_SEED");

	if (list == NULL)
		return;
	seed = number != NULL ? strtoull(number, NULL, 10) : 1;
	if (strstr(list, "locked") != NULL && mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		exit(77); /* not permitted here */
	if (number_of(list, "maps") >= 0)
		take_mappings((unsigned long)number_of(list, "maps"));
	if (number_of(list, "addresses") >= 0)
		limit_addresses((size_t)number_of(list, "addresses"));
	strangers = strstr(list, "strangers") != NULL;
	flags = strstr(list, "flags") != NULL;
	refusals = strstr(list, "refusals") != NULL;
	if (strstr(list, "forks") != NULL)
		start_thread(fork_children);
	if (strstr(list, "threads") != NULL)
		start_thread(start_threads);
	if (strstr(list, "signals") != NULL)
		start_signals();
}
