/* os.h - everything HAKMEM asks of the operating system.
 *
 * Contract of every function: addresses and sizes are multiples of the page size and not 0;
 * errno is left as it was; failure is told by the result only. A range is in one of the states
 *   gone (not mapped)  ->  usable (reads as zero, costs memory when touched)  ->  gone
 * and purging makes a usable range read as zero again.
 */
#ifndef HKM_OS_H
#define HKM_OS_H

#include "base/base.h"

struct hkm_range {
	void *start;
	size_t size; /* bytes */
};

/* The system's page size in bytes; read once. */
size_t hkm_os_page_size(void);

/* For unit tests: from now on hkm_os_page_size says `size`, a multiple of the system's. */
void hkm_os_pretend_page_size(size_t size);

/* Maps `size` usable bytes anywhere; NULL if the system refuses. */
void *hkm_os_map(size_t size);

/* As hkm_os_map, at a multiple of `alignment` (a power of two, at least a page). What had to be mapped before and behind it
 * and cannot be unmapped is told in left[0] and left[1], and reads as zero; size 0: nothing. */
void *hkm_os_map_aligned(size_t size, size_t alignment, struct hkm_range left[2]);

/* Makes `size` bytes at `address` usable. `replace`: the range is our own reservation; otherwise
 * it must be unmapped, and somebody else's mapping in it makes the call fail.
 * Result: 0, ENOMEM (refused), EEXIST (somebody else is there). */
int hkm_os_map_at(void *address, size_t size, bool replace);

/* Reserves `size` bytes of addresses without memory, near `hint` if possible; NULL if refused. */
void *hkm_os_reserve(void *hint, size_t size);

enum hkm_unmapped {
	HKM_UNMAPPED,  /* gone */
	HKM_EMPTIED,   /* refused, as it would leave more mappings than a process may have: the range stays, and reads as zero */
	HKM_UNCHANGED, /* that was refused, too (locked memory): the range stays as it is */
};

/* Gives a range back. `keep_reserved`: its addresses stay ours, and cost no memory. Result: what became of it. */
enum hkm_unmapped hkm_os_unmap(void *address, size_t size, bool keep_reserved);

/* Grows or shrinks a range, moving it if `may_move`, and copying it piece by piece if the kernel has several mappings of it; NULL if
 * refused (it then stays as it was). *left: what could not be unmapped of a range that was copied; size 0: nothing. */
void *hkm_os_remap(void *address, size_t old_size, size_t new_size, bool may_move, struct hkm_range *left);

/* Takes back what a program may have asked for a range of its own: protection, absence in a child of fork or in a core
 * dump. Result: false if not all of it is ordinary memory any more: a part is not there, or is shared or a file's. */
bool hkm_os_make_plain(void *address, size_t size);

/* Makes `size` bytes (any number) of a usable range read as zero. Where most of the memory is not there, none of it is made
 * resident, and what there is goes. */
void hkm_os_clear(void *address, size_t size);

/* Gives the memory of `count` ranges back at once; they stay usable and read as zero. One system call for all if
 * hkm_os_advise_in_batches wanted it and the kernel offers it (process_madvise), one per range otherwise.
 * Result: whether every range now reads as zero; false where the system refuses (locked memory). */
bool hkm_os_purge(const struct hkm_range *ranges, size_t count);
void hkm_os_advise_in_batches(bool wanted);

/* Asks for (or against) huge pages in a range; advice only. */
void hkm_os_huge_pages(void *address, size_t size, bool wanted);

/* Makes the pages of a range resident at once, as far as the system can and has memory; advice only. Result: whether
 * all of them are. */
bool hkm_os_populate(void *address, size_t size);

/* Bytes of a mapped range that are resident; at most the first 16 MiB are looked at, and counted for the whole. */
size_t hkm_os_resident(void *address, size_t size);

/* Whether `size` bytes at `address` (any numbers, mapped) are zero; makes nothing resident, as pages that are not there read
 * as zero. For the debug build, and for tests. */
bool hkm_os_reads_as_zero(const void *address, size_t size);

/* Nanoseconds of processor time that the calling thread has used, the kernel's on its behalf included. */
uint64_t hkm_os_thread_ns(void);

/* Milliseconds of a clock that only grows; coarse (4 ms), a few nanoseconds per call. */
uint64_t hkm_os_now_ms(void);

/* Bytes of physical memory. */
size_t hkm_os_physical_memory(void);

/* Bytes of address space that the process may have (RLIMIT_AS); SIZE_MAX: no limit. */
size_t hkm_os_address_limit(void);

/* Whether the system could give `size` bytes (any number) at once to a process that has nothing yet: false if there are not
 * so many addresses, RLIMIT_AS allows fewer, or the system has refused them and has less memory in all. Three system calls at most. */
bool hkm_os_is_possible(size_t size);

/* A number that differs between runs; not for cryptography. */
uint64_t hkm_os_random(void);

/* Writes all of `text` to the file descriptor, as far as possible. */
void hkm_os_write(int descriptor, const char *text, size_t length);

/* The process: page faults so far, minor and major; nanoseconds of processor time so far, the system's for it included; bytes
 * resident now and at most. */
struct hkm_os_usage {
	uint64_t page_faults, processor_ns;
	size_t resident, peak_resident;
};
void hkm_os_usage(struct hkm_os_usage *usage);

/* The same without resident bytes, which are 0: costs far less. */
void hkm_os_work(struct hkm_os_usage *usage);

/* Nanoseconds of a clock that only grows; fine, some tens of nanoseconds per call. */
uint64_t hkm_os_now_ns(void);

/* Standard error at the end of the process: keep duplicates it (many programs close theirs before the library's
 * last words), kept gives the duplicate, or standard error, whichever still leads to the same file; -1: neither, as the program may have
 * used the number for a file of its own. Without keep it gives standard error. */
void hkm_os_keep_error(void);
int hkm_os_kept_error(void);

/* Of the files below, the error is a number of errno's; hkm_error_text has it in words. */

/* Opens a file for writing, emptied; if that is refused, as for a pipe that nobody reads, minus the error. Here and below,
 * writing waits for no reader to come, but for one that is there to read. */
int hkm_os_create(const char *path);

/* Why hkm_os_create would not succeed: the error; 0 if it seems that it would. Opens nothing, but looks at the rights to
 * the file, or to the folder that it would be made in. */
int hkm_os_why_not_create(const char *path);

void hkm_os_close(int descriptor);

/* Reads a file from its beginning, at most `size` bytes (any number) of it, without waiting for anybody to write it.
 * Result: the bytes read, or minus the error. */
int64_t hkm_os_read_file(const char *path, char *buffer, size_t size);

/* Maps a regular file for reading, its size (any number) to *size; NULL if that cannot be done. hkm_os_unmap ends it. */
const void *hkm_os_map_file(const char *path, size_t *size);

/* Makes `length` bytes (any number) all that a file contains. A regular file, or none, is replaced in one step by a new
 * one, so that whoever reads it, or fails halfway, finds the old contents or the new; what else the path leads to (a
 * device, a pipe, a link) is written as it is.
 * Result: 0 if everything was written, else the error, and a regular file is as it was. */
int hkm_os_write_file(const char *path, const char *text, size_t length);

/* Adds text to the end of a file, which is made if need be. */
void hkm_os_append(const char *path, const char *text, size_t length);

/* Starts a detached thread that takes no signals; result: whether the system gave one. Allocates. */
bool hkm_os_start_thread(void *(*work)(void *));

/* The head of the calling thread's list of robust mutexes, as the C library has told the kernel (struct robust_list_head);
 * NULL: it has none, or the system does not say. */
void *hkm_os_robust_list(void);

/* Sleeps for about `ms` milliseconds. */
void hkm_os_sleep_ms(uint64_t ms);

#endif
