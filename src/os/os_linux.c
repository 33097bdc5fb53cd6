/* os_linux.c - os.h on Linux; the only file that maps, advises and unmaps. */
#include "os/os.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h> /* rename */
#include <string.h>
#include <stdatomic.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; older ones refuse it */
#endif
#define PIDFD_SELF_PROCESS (-10001) /* Linux 6.14: the own process without opening a descriptor */

#define COPIED ((size_t)2 << 20)  /* of a move by copying, what is there twice */
#define CHUNK ((size_t)4096)      /* the smallest page */
#define CLEARED ((size_t)16 << 20) /* bytes that are cleared by writing, at most */
#define MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE)

static _Atomic size_t known_page_size; /* idempotent: every writer stores the same value */

void hkm_os_pretend_page_size(size_t size)
{
	atomic_store_explicit(&known_page_size, size, memory_order_relaxed);
}

size_t hkm_os_page_size(void)
{
	size_t size = atomic_load_explicit(&known_page_size, memory_order_relaxed);
	if (HKM_UNLIKELY(size == 0)) {
		size = (size_t)getauxval(AT_PAGESZ);
		atomic_store_explicit(&known_page_size, size, memory_order_relaxed);
	}
	return size;
}

static void *map(void *address, size_t size, int protection, int flags)
{
	int saved = errno;
	void *result = mmap(address, size, protection, flags, -1, 0);
	errno = saved;
	return result == MAP_FAILED ? NULL : result;
}

void *hkm_os_map(size_t size)
{
	return map(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

/* What is left of a range that is given back. */
static struct hkm_range unmap_left(void *start, size_t size)
{
	bool gone = size == 0 || hkm_os_unmap(start, size, false) == HKM_UNMAPPED;
	return (struct hkm_range){ start, gone ? 0 : size };
}

void *hkm_os_map_aligned(size_t size, size_t alignment, struct hkm_range left[2])
{
	left[0].size = left[1].size = 0;
	if (alignment <= hkm_os_page_size())
		return hkm_os_map(size);
	size_t whole = size + alignment;
	if (whole < size)
		return NULL;
	char *start = hkm_os_map(whole);
	if (start == NULL)
		return NULL;
	char *aligned = (char *)hkm_align_up((uintptr_t)start, alignment);
	size_t before = (size_t)(aligned - start);
	size_t after = whole - before - size;
	left[0] = unmap_left(start, before);
	left[1] = unmap_left(aligned + size, after);
	return aligned;
}

int hkm_os_map_at(void *address, size_t size, bool replace)
{
	int saved = errno;
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | (replace ? MAP_FIXED : MAP_FIXED_NOREPLACE);
	void *result = mmap(address, size, PROT_READ | PROT_WRITE, flags, -1, 0);
	int error = result == MAP_FAILED ? errno : 0;
	if (error == 0 && result != address) { /* a kernel before 4.17 takes the address as a hint */
		munmap(result, size);
		error = EEXIST;
	}
	errno = saved;
	return error == 0 || error == EEXIST ? error : ENOMEM;
}

void *hkm_os_reserve(void *hint, size_t size)
{
	return map(hint, size, PROT_NONE, MAP_FLAGS);
}

enum hkm_unmapped hkm_os_unmap(void *address, size_t size, bool keep_reserved)
{
	int saved = errno;
	bool done = keep_reserved ? mmap(address, size, PROT_NONE, MAP_FLAGS | MAP_FIXED, -1, 0) != MAP_FAILED :
				    munmap(address, size) == 0;
	/* The process has as many mappings as it may, and a hole would be one more: the addresses stay, the memory
	 * goes. */
	enum hkm_unmapped result = HKM_UNMAPPED;
	if (HKM_UNLIKELY(!done))
		result = madvise(address, size, MADV_DONTNEED) == 0 ? HKM_EMPTIED : HKM_UNCHANGED;
	errno = saved;
	return result;
}

static bool all_zero(const unsigned char *bytes, size_t size)
{
	static const unsigned char zeros[4096];
	for (size_t done = 0; done < size; done += sizeof zeros)
		if (memcmp(bytes + done, zeros, hkm_min(sizeof zeros, size - done)) != 0)
			return false;
	return true;
}

/* Copies `size` bytes to `to`, which is fresh, and gives the source back behind the copy; what is zero stays untouched. Not
 * mremap to a fixed place: before Linux 6.17 it unmaps the target, and refuses only then what is several mappings. Result:
 * what is left of the source. */
static struct hkm_range move_by_copy(char *from, char *to, size_t size)
{
	struct hkm_range left = { NULL, 0 };
	mprotect(from, size, PROT_READ); /* the program may have protected some of it */
	for (size_t piece; size > 0; size -= piece, from += piece, to += piece) {
		piece = hkm_min(COPIED, size);
		for (size_t at = 0; at < piece; at += CHUNK)
			if (!all_zero((unsigned char *)from + at, CHUNK))
				memcpy(to + at, from + at, CHUNK);
		if (left.size == 0) {
			left = unmap_left(from, piece);
		} else { /* the rest of it stays in one piece */
			madvise(from, piece, MADV_DONTNEED);
			left.size += piece;
		}
	}
	return unmap_left(left.start, left.size);
}

void *hkm_os_remap(void *address, size_t old_size, size_t new_size, bool may_move, struct hkm_range *left)
{
	left->size = 0;
	int saved = errno;
	void *result = mremap(address, old_size, new_size, may_move ? MREMAP_MAYMOVE : 0);
	if (result == MAP_FAILED && errno == EFAULT && may_move && new_size >= old_size) {
		result = hkm_os_map(new_size);
		if (result != NULL)
			*left = move_by_copy(address, result, old_size);
	}
	errno = saved;
	return result == MAP_FAILED ? NULL : result;
}

/* The system does not know MADV_WIPEONFORK (before Linux 4.14). Any thread may write it; all find the same answer. */
static _Atomic bool no_wipe;

static bool find_no_wipe(void)
{
	size_t size = hkm_os_page_size();
	void *page = hkm_os_map(size);
	bool unknown = page != NULL && madvise(page, size, MADV_WIPEONFORK) != 0 && errno == EINVAL;
	if (page != NULL)
		hkm_os_unmap(page, size, false);
	atomic_store_explicit(&no_wipe, unknown, memory_order_relaxed);
	return unknown;
}

/* Whether all of the range is private memory without a file behind it: nothing else takes this advice. At the most mappings
 * that a process may have (EAGAIN), nothing is known against it. */
static bool is_anonymous(void *address, size_t size)
{
	if (HKM_UNLIKELY(atomic_load_explicit(&no_wipe, memory_order_relaxed)))
		return true;
	bool taken = madvise(address, size, MADV_WIPEONFORK) == 0 || errno == EAGAIN || (errno == EINVAL && find_no_wipe());
	bool undone = madvise(address, size, MADV_KEEPONFORK) == 0 || atomic_load_explicit(&no_wipe, memory_order_relaxed);
	return taken && undone;
}

bool hkm_os_make_plain(void *address, size_t size)
{
	int saved = errno;
	/* These fail if part of it is not there. mprotect alone, for want of memory: nothing in it is known to be protected. */
	bool accessible = mprotect(address, size, PROT_READ | PROT_WRITE) == 0 || errno == ENOMEM;
	bool plain = accessible && is_anonymous(address, size) && madvise(address, size, MADV_DOFORK) == 0;
	if (plain)
		madvise(address, size, MADV_DODUMP);
	errno = saved;
	return plain;
}

/* What is to be cleared was in use, and is nearly always resident: writing is cheaper than the faults of fresh pages. A
 * lot of it may never have been touched, so beyond CLEARED the system gives fresh pages. mincore would tell, but programs that
 * have forbidden themselves what malloc does not need (seccomp) are killed for it. */
void hkm_os_clear(void *address, size_t size)
{
	int saved = errno;
	size_t page_size = hkm_os_page_size();
	char *start = address, *end = start + size;
	char *first = (char *)hkm_align_up((uintptr_t)start, page_size), *last = (char *)((uintptr_t)end & ~(page_size - 1));
	if (size <= CLEARED || madvise(first, (size_t)(last - first), MADV_DONTNEED) != 0) {
		memset(start, 0, size);
	} else {
		memset(start, 0, (size_t)(first - start));
		memset(last, 0, (size_t)(end - last));
	}
	errno = saved;
}

/* Tells whether one process_madvise call advises many ranges of the own process: 0 not tried,
 * 1 yes, 2 no. Any thread may write it; all find the same answer. */
static _Atomic int batch_advice = 2;

void hkm_os_advise_in_batches(bool wanted)
{
	atomic_store_explicit(&batch_advice, wanted ? 0 : 2, memory_order_relaxed);
}

bool hkm_os_purge(const struct hkm_range *ranges, size_t count)
{
	int saved = errno;
	size_t done = 0;
	HKM_STATIC_ASSERT(sizeof(struct iovec) == sizeof(struct hkm_range), "a range is an iovec");
	if (count > 1 && atomic_load_explicit(&batch_advice, memory_order_relaxed) != 2) {
		size_t total = 0;
		for (size_t i = 0; i < count; i++)
			total += ranges[i].size;
		long advised = syscall(SYS_process_madvise, PIDFD_SELF_PROCESS, (const struct iovec *)ranges,
				       count, MADV_DONTNEED, 0);
		if (advised == (long)total) {
			atomic_store_explicit(&batch_advice, 1, memory_order_relaxed);
			done = count;
		} else if (advised < 0) {
			atomic_store_explicit(&batch_advice, 2, memory_order_relaxed);
		}
	}
	bool purged = true;
	for (; done < count; done++)
		purged &= madvise(ranges[done].start, ranges[done].size, MADV_DONTNEED) == 0;
	errno = saved;
	return purged;
}

void hkm_os_huge_pages(void *address, size_t size, bool wanted)
{
	int saved = errno;
	madvise(address, size, wanted ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	errno = saved;
}

bool hkm_os_populate(void *address, size_t size)
{
	int saved = errno;
	bool done = madvise(address, size, MADV_POPULATE_WRITE) == 0;
	errno = saved;
	return done;
}

size_t hkm_os_resident(void *address, size_t size)
{
	int saved = errno;
	unsigned char pages[4096];
	size_t page_size = hkm_os_page_size(), looked = hkm_min(size, sizeof pages * page_size), resident = 0;
	if (mincore(address, looked, pages) == 0)
		for (size_t i = 0; i < looked / page_size; i++)
			resident += (pages[i] & 1) * page_size;
	errno = saved;
	return resident / page_size * (size / page_size) / (looked / page_size) * page_size;
}

bool hkm_os_reads_as_zero(const void *address, size_t size)
{
	int saved = errno;
	unsigned char resident[512];
	size_t page_size = hkm_os_page_size();
	const unsigned char *cursor = address, *end = cursor + size;
	bool zero = true;
	while (zero && cursor < end) {
		const unsigned char *page = (const unsigned char *)((uintptr_t)cursor & ~(page_size - 1));
		size_t pages = hkm_min(sizeof resident, ((size_t)(end - page) + page_size - 1) / page_size);
		bool known = pages > 1 && mincore((void *)(uintptr_t)page, pages * page_size, resident) == 0;
		for (size_t i = 0; zero && i < pages; i++, page += page_size) {
			const unsigned char *stop = page + page_size < end ? page + page_size : end;
			zero = (known && (resident[i] & 1) == 0) || all_zero(cursor, (size_t)(stop - cursor));
			cursor = stop;
		}
	}
	errno = saved;
	return zero;
}

uint64_t hkm_os_thread_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

uint64_t hkm_os_now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Of memory, and of swap space; false: unknown. */
static bool installed(size_t *memory, size_t *swap)
{
	struct sysinfo info;
	/* The bare call: a sanitizer's wrapper of sysinfo may not be ready when the first block is asked for. */
	int saved = errno;
	long failed = syscall(SYS_sysinfo, &info);
	errno = saved;
	if (failed != 0)
		return false;
	*memory = (size_t)info.totalram * info.mem_unit;
	*swap = (size_t)info.totalswap * info.mem_unit;
	return true;
}

size_t hkm_os_physical_memory(void)
{
	size_t memory, swap;
	return installed(&memory, &swap) ? memory : (size_t)1 << 32;
}

/* A power of two that no address lies above: the stack is at the top, or near it. */
static size_t addresses_end(void)
{
	size_t top = (size_t)getauxval(AT_RANDOM);
	return top != 0 ? (size_t)2 << hkm_log2(top) : SIZE_MAX;
}

bool hkm_os_is_possible(size_t size)
{
	size_t memory, swap;
	if (size >= addresses_end() || size > hkm_os_address_limit())
		return false;
	if (!installed(&memory, &swap) || size <= memory + swap)
		return true;
	/* More than there is: by its settings the system refuses that, or does not count. */
	size = hkm_align_up(size, hkm_os_page_size());
	void *trial = hkm_os_map(size);
	if (trial != NULL)
		hkm_os_unmap(trial, size, false);
	return trial != NULL;
}

size_t hkm_os_address_limit(void)
{
	struct rlimit limit;
	int saved = errno; /* the bare call: as above */
	bool known = syscall(SYS_prlimit64, 0, RLIMIT_AS, NULL, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
	errno = saved;
	return known ? limit.rlim_cur : SIZE_MAX;
}

uint64_t hkm_os_random(void)
{
	uint64_t value = hkm_os_now_ms();
	const void *bytes = (const void *)getauxval(AT_RANDOM); /* 16 from the kernel, aligned to nothing */
	uint64_t seed[2] = { 0 };
	if (bytes != NULL)
		memcpy(seed, bytes, sizeof seed);
	value ^= seed[0] ^ (seed[1] << 1);
	return value * 0x9E3779B97F4A7C15u; /* Fibonacci hashing: spread what differs over all bits */
}

/* ---- Files ---------------------------------------------------------------------------------
 *
 * The C library's open, read, write and close are cancellation points: a thread that is to be cancelled would end in
 * the middle of malloc, with whatever locks it holds. The bare calls are not. */

static int open_file(const char *path, int flags)
{
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, 0666);
}

/* Opening a pipe that nobody reads must not wait, and fails; writing to one that somebody reads may wait. */
static int open_to_write(const char *path, int flags)
{
	int file = open_file(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | flags);
	if (file >= 0)
		fcntl(file, F_SETFL, flags & O_APPEND);
	return file;
}

static ssize_t read_file(int file, char *buffer, size_t size)
{
	return syscall(SYS_read, file, buffer, size);
}

static int close_file(int file)
{
	return (int)syscall(SYS_close, file);
}

/* Result: 0 if everything was written, else the error. */
static int write_all(int descriptor, const char *text, size_t length)
{
	while (length > 0) {
		ssize_t written = syscall(SYS_write, descriptor, text, length);
		if (written < 0 && errno == EINTR)
			continue;
		if (written <= 0)
			return written < 0 ? errno : EIO;
		text += written;
		length -= (size_t)written;
	}
	return 0;
}

void hkm_os_write(int descriptor, const char *text, size_t length)
{
	int saved = errno;
	write_all(descriptor, text, length);
	errno = saved;
}

/* Bytes resident now: the second number, in pages, of /proc/self/statm. */
static size_t resident_now(void)
{
	char text[128] = { 0 };
	int file = open_file("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	if (file >= 0) {
		ssize_t length = read_file(file, text, sizeof text - 1);
		text[length > 0 ? length : 0] = '\0';
		close_file(file);
	}
	const char *cursor = text;
	while (*cursor != '\0' && *cursor != ' ')
		cursor++;
	size_t pages = 0;
	for (cursor += *cursor == ' '; *cursor >= '0' && *cursor <= '9'; cursor++)
		pages = pages * 10 + (size_t)(*cursor - '0');
	return pages * hkm_os_page_size();
}

static struct rusage own_usage(struct hkm_os_usage *usage)
{
	int saved = errno;
	struct rusage own = { 0 };
	getrusage(RUSAGE_SELF, &own);
	errno = saved;
	uint64_t seconds = (uint64_t)own.ru_utime.tv_sec + (uint64_t)own.ru_stime.tv_sec;
	uint64_t microseconds = (uint64_t)own.ru_utime.tv_usec + (uint64_t)own.ru_stime.tv_usec;
	*usage = (struct hkm_os_usage){
		.page_faults = (uint64_t)own.ru_minflt + (uint64_t)own.ru_majflt,
		.processor_ns = seconds * 1000000000 + microseconds * 1000,
	};
	return own;
}

void hkm_os_work(struct hkm_os_usage *usage)
{
	own_usage(usage);
}

void hkm_os_usage(struct hkm_os_usage *usage)
{
	int saved = errno;
	struct rusage own = own_usage(usage);
	usage->resident = resident_now();
	/* The kernel counts the two in different ways, and batches the counts of each processor. */
	usage->peak_resident = hkm_max((size_t)own.ru_maxrss * 1024, usage->resident);
	errno = saved;
}

uint64_t hkm_os_now_ns(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

bool hkm_os_start_thread(void *(*work)(void *))
{
	int saved = errno;
	sigset_t all, before;
	pthread_t thread;
	sigfillset(&all);
	/* The new thread inherits the mask. */
	pthread_sigmask(SIG_SETMASK, &all, &before);
	bool started = pthread_create(&thread, NULL, work, NULL) == 0;
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (started)
		pthread_detach(thread);
	errno = saved;
	return started;
}

void *hkm_os_robust_list(void)
{
	void *head = NULL;
	size_t size;
	int saved = errno;
	long failed = syscall(SYS_get_robust_list, 0, &head, &size);
	errno = saved;
	return failed == 0 ? head : NULL;
}

void hkm_os_sleep_ms(uint64_t ms)
{
	struct timespec length = { .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 };
	int saved = errno;
	syscall(SYS_nanosleep, &length, NULL); /* the C library's is a cancellation point */
	errno = saved;
}

/* Written while the process starts. */
static struct {
	int descriptor;   /* the duplicate; -1: there is none */
	bool is_wanted;   /* hkm_os_keep_error was called */
	bool is_known;    /* what follows */
	struct stat file; /* what it leads to: the program may close all descriptors and use the numbers again */
} kept_error = { .descriptor = -1 };

#define KEPT_LOWEST 200 /* out of the way of programs that count on low numbers */

void hkm_os_keep_error(void)
{
	int saved = errno;
	kept_error.is_wanted = true;
	kept_error.is_known = fstat(STDERR_FILENO, &kept_error.file) == 0;
	if (kept_error.is_known)
		kept_error.descriptor = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, KEPT_LOWEST);
	errno = saved;
}

/* Whether a descriptor leads to what standard error led to at the start. */
static bool is_kept_file(int descriptor)
{
	struct stat now;
	return kept_error.is_known && descriptor >= 0 && fstat(descriptor, &now) == 0 &&
	       now.st_dev == kept_error.file.st_dev && now.st_ino == kept_error.file.st_ino;
}

int hkm_os_kept_error(void)
{
	int saved = errno;
	int descriptor = is_kept_file(kept_error.descriptor) ? kept_error.descriptor : STDERR_FILENO;
	if (kept_error.is_wanted && !is_kept_file(descriptor))
		descriptor = -1;
	errno = saved;
	return descriptor;
}

int hkm_os_create(const char *path)
{
	int saved = errno;
	int descriptor = open_to_write(path, O_CREAT | O_TRUNC);
	if (descriptor < 0)
		descriptor = -errno;
	errno = saved;
	return descriptor;
}

int hkm_os_why_not_create(const char *path)
{
	int saved = errno;
	struct stat found;
	char folder[4096] = ".";
	const char *slash = strrchr(path, '/');
	size_t length = slash == NULL ? 0 : slash == path ? 1 : (size_t)(slash - path);
	int error = 0;
	if (stat(path, &found) == 0) {
		error = S_ISDIR(found.st_mode) ? EISDIR : access(path, W_OK) != 0 ? errno : 0;
	} else if (errno != ENOENT || length >= sizeof folder) {
		error = errno != ENOENT ? errno : ENAMETOOLONG;
	} else {
		if (length > 0) {
			memcpy(folder, path, length);
			folder[length] = '\0';
		}
		error = access(folder, W_OK | X_OK) != 0 ? errno : 0;
	}
	errno = saved;
	return error;
}

void hkm_os_append(const char *path, const char *text, size_t length)
{
	int saved = errno;
	int descriptor = open_to_write(path, O_CREAT | O_APPEND);
	if (descriptor >= 0) {
		hkm_os_write(descriptor, text, length);
		close_file(descriptor);
	}
	errno = saved;
}

void hkm_os_close(int descriptor)
{
	int saved = errno;
	close_file(descriptor);
	errno = saved;
}

int64_t hkm_os_read_file(const char *path, char *buffer, size_t size)
{
	int saved = errno;
	int64_t total;
	/* Opening a pipe that nobody writes to must not wait. */
	int file = open_file(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file >= 0) {
		ssize_t got;
		total = 0;
		do {
			got = read_file(file, buffer + total, size - (size_t)total);
			total += got > 0 ? got : 0;
		} while (got > 0 || (got < 0 && errno == EINTR));
		if (got < 0)
			total = -errno;
		close_file(file);
	} else {
		total = -errno;
	}
	errno = saved;
	return total;
}

const void *hkm_os_map_file(const char *path, size_t *size)
{
	int saved = errno;
	struct stat status;
	void *result = MAP_FAILED;
	int file = open_file(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (file >= 0 && fstat(file, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
		*size = (size_t)status.st_size;
		result = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
	}
	if (file >= 0)
		close_file(file);
	errno = saved;
	return result == MAP_FAILED ? NULL : result;
}

/* Writes a new file beside `path`, which differs from those of other processes, and gives it that name. Result as of
 * hkm_os_write_file. */
static int replace_file(const char *path, const char *text, size_t length)
{
	char temporary[PATH_MAX];
	size_t end = strlen(path);
	if (end + 16 > sizeof temporary)
		return ENAMETOOLONG;
	memcpy(temporary, path, end);
	temporary[end++] = '.';
	for (unsigned pid = (unsigned)getpid(); pid != 0; pid /= 10)
		temporary[end++] = (char)('0' + pid % 10);
	temporary[end] = '\0';
	int file = open_to_write(temporary, O_CREAT | O_TRUNC | O_NOFOLLOW);
	if (file < 0)
		return errno;
	int error = write_all(file, text, length);
	if (close_file(file) != 0 && error == 0)
		error = errno;
	if (error == 0 && rename(temporary, path) != 0)
		error = errno;
	if (error != 0)
		unlink(temporary);
	return error;
}

int hkm_os_write_file(const char *path, const char *text, size_t length)
{
	int saved = errno;
	struct stat status;
	int error;
	if (lstat(path, &status) == 0 ? S_ISREG(status.st_mode) : errno == ENOENT) {
		error = replace_file(path, text, length);
	} else {
		int file = open_to_write(path, O_TRUNC);
		error = file < 0 ? errno : write_all(file, text, length);
		if (file >= 0)
			close_file(file);
	}
	errno = saved;
	return error;
}
