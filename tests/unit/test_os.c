/* test_os.c - what HAKMEM asks of the operating system: the states of a range of addresses, alignment,
 * purging one range and many, and that errno stays as it was.
 */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "os/os.h"

#define PAGE ((size_t)4096)
#define MARK 77 /* a value of errno that no call sets */

/* Whether the byte at `address` can be read, as the kernel sees it. */
static bool is_readable(const void *address)
{
	int ends[2];
	ssize_t written;

	require(pipe2(ends, O_CLOEXEC) == 0, "pipe");
	written = syscall(SYS_write, ends[1], address, (size_t)1);
	close(ends[0]);
	close(ends[1]);
	return written == 1;
}

static bool is_resident(void *page)
{
	unsigned char there = 0;

	require(mincore(page, 1, &there) == 0, "mincore");
	return (there & 1) != 0;
}

static void mapped_memory_is_zero_and_goes(void **state)
{
	unsigned char *start;

	(void)state;
	errno = MARK;
	start = hkm_os_map(8 * PAGE);
	assert_non_null(start);
	assert_true(all_bytes_are(start, 8 * PAGE, 0));
	memset(start, 1, 8 * PAGE);
	hkm_os_unmap(start, 8 * PAGE, false);
	assert_int_equal(errno, MARK);
	assert_false(is_readable(start));
}

static struct hkm_range left[2], rest; /* what the system has not unmapped: nothing */

static void what_the_system_refuses_is_null(void **state)
{
	(void)state;
	errno = MARK;
	assert_null(hkm_os_map((size_t)1 << 50));
	assert_null(hkm_os_map_aligned((size_t)1 << 50, 1 << 21, left));
	assert_null(hkm_os_map_aligned(SIZE_MAX - PAGE + 1, 1 << 21, left));
	assert_null(hkm_os_reserve(NULL, (size_t)1 << 50));
	assert_int_equal(errno, MARK);
}

static void aligned_mappings_are_aligned_and_leave_nothing_behind(void **state)
{
	size_t before = virtual_bytes();

	(void)state;
	for (size_t alignment = PAGE; alignment <= GIB; alignment *= 2) {
		for (size_t size = PAGE; size <= 16 * MIB; size *= 16) {
			unsigned char *start = hkm_os_map_aligned(size, alignment, left);

			assert_non_null(start);
			assert_true(is_aligned(start, alignment));
			assert_true(left[0].size == 0 && left[1].size == 0);
			start[0] = start[size - 1] = 1;
			hkm_os_unmap(start, size, false);
		}
	}
	/* What was cut off would be more than 8 GiB by now. */
	assert_true(virtual_bytes() < before + 64 * MIB);
}

static void a_stranger_is_never_replaced(void **state)
{
	unsigned char *start = hkm_os_map(4 * PAGE);

	(void)state;
	memset(start, 5, 4 * PAGE);
	hkm_os_unmap(start + 2 * PAGE, 2 * PAGE, false);
	errno = MARK;
	assert_int_equal(hkm_os_map_at(start, 2 * PAGE, false), EEXIST);
	assert_int_equal(hkm_os_map_at(start + PAGE, 2 * PAGE, false), EEXIST);
	assert_int_equal(errno, MARK);
	assert_true(all_bytes_are(start, 2 * PAGE, 5));
	assert_int_equal(hkm_os_map_at(start + 2 * PAGE, 2 * PAGE, false), 0);
	assert_true(all_bytes_are(start + 2 * PAGE, 2 * PAGE, 0));
	assert_int_equal(hkm_os_map_at(start, 4 * PAGE, true), 0);
	assert_true(all_bytes_are(start, 4 * PAGE, 0));
	hkm_os_unmap(start, 4 * PAGE, false);
}

static void a_reservation_becomes_usable_and_a_reservation_again(void **state)
{
	unsigned char *start = hkm_os_reserve(NULL, 16 * MIB);

	(void)state;
	assert_non_null(start);
	assert_false(is_readable(start + MIB));
	assert_int_equal(hkm_os_map_at(start + MIB, MIB, true), 0);
	assert_true(all_bytes_are(start + MIB, MIB, 0));
	memset(start + MIB, 1, MIB);
	assert_false(is_readable(start + 2 * MIB));
	hkm_os_unmap(start + MIB, MIB, true);
	assert_false(is_readable(start + MIB));
	assert_int_equal(hkm_os_map_at(start + MIB, MIB, false), EEXIST);
	assert_int_equal(hkm_os_map_at(start + MIB, MIB, true), 0);
	assert_true(all_bytes_are(start + MIB, MIB, 0));
	hkm_os_unmap(start, 16 * MIB, false);
	assert_false(is_readable(start + MIB));
}

static void remapping_keeps_the_contents(void **state)
{
	unsigned char *start = hkm_os_map(MIB), *moved;

	(void)state;
	memset(start, 9, MIB);
	moved = hkm_os_remap(start, MIB, 64 * MIB, true, &rest);
	assert_non_null(moved);
	assert_true(all_bytes_are(moved, MIB, 9));
	assert_true(all_bytes_are(moved + MIB, 4 * MIB, 0));
	start = hkm_os_remap(moved, 64 * MIB, PAGE, false, &rest);
	assert_ptr_equal(start, moved);
	assert_true(all_bytes_are(start, PAGE, 9));
	assert_false(is_readable(start + PAGE));
	hkm_os_unmap(start, PAGE, false);
}

static void remapping_in_place_stops_at_a_neighbour(void **state)
{
	unsigned char *start = hkm_os_map(8 * PAGE);

	(void)state;
	memset(start, 3, 8 * PAGE);
	/* Another protection, so that the kernel does not take both for one mapping. */
	assert_int_equal(mprotect(start + 4 * PAGE, 4 * PAGE, PROT_READ), 0);
	errno = MARK;
	assert_null(hkm_os_remap(start, 4 * PAGE, 8 * PAGE, false, &rest));
	assert_int_equal(errno, MARK);
	assert_true(all_bytes_are(start, 8 * PAGE, 3));
	hkm_os_unmap(start, 8 * PAGE, false);
}

/* Purges every other page of `count` pairs. */
static void purge_every_other_page(size_t count)
{
	unsigned char *start = hkm_os_map(2 * count * PAGE);
	struct hkm_range ranges[64];

	memset(start, 7, 2 * count * PAGE);
	for (size_t i = 0; i < count; i++)
		ranges[i] = (struct hkm_range){ start + 2 * i * PAGE, PAGE };
	errno = MARK;
	assert_true(hkm_os_purge(ranges, count));
	assert_int_equal(errno, MARK);
	for (size_t i = 0; i < count; i++) {
		assert_false(is_resident(start + 2 * i * PAGE));
		assert_true(is_resident(start + (2 * i + 1) * PAGE));
		assert_true(all_bytes_are(start + 2 * i * PAGE, PAGE, 0));
		assert_true(all_bytes_are(start + (2 * i + 1) * PAGE, PAGE, 7));
	}
	memset(start, 8, 2 * count * PAGE);
	hkm_os_unmap(start, 2 * count * PAGE, false);
}

static void purging_empties_what_it_is_told_and_no_more(void **state)
{
	(void)state;
	purge_every_other_page(1);
	purge_every_other_page(2);
	purge_every_other_page(64);
	hkm_os_advise_in_batches(true);
	purge_every_other_page(1);
	purge_every_other_page(64);
	purge_every_other_page(3); /* once the way for many ranges has been chosen */
	hkm_os_advise_in_batches(false);
}

static void locked_memory_is_not_purged_and_said_so(void **state)
{
	unsigned char *start = hkm_os_map(3 * PAGE);
	struct hkm_range ranges[] = { { start, PAGE }, { start + PAGE, PAGE }, { start + 2 * PAGE, PAGE } };

	(void)state;
	memset(start, 4, 3 * PAGE);
	/* Not mlock: the sanitizers turn it into nothing. */
	if (syscall(SYS_mlock, start + PAGE, PAGE) != 0)
		skip();
	errno = MARK;
	assert_false(hkm_os_purge(&ranges[1], 1));
	assert_false(hkm_os_purge(ranges, 3));
	assert_int_equal(errno, MARK);
	assert_true(all_bytes_are(start + PAGE, PAGE, 4));
	assert_int_equal(syscall(SYS_munlock, start + PAGE, PAGE), 0);
	assert_true(hkm_os_purge(ranges, 3));
	assert_true(all_bytes_are(start, 3 * PAGE, 0));
	hkm_os_unmap(start, 3 * PAGE, false);
}

static void advice_on_huge_pages_changes_no_contents(void **state)
{
	unsigned char *start = hkm_os_map_aligned(4 * MIB, 2 * MIB, left);

	(void)state;
	memset(start, 6, 4 * MIB);
	errno = MARK;
	hkm_os_huge_pages(start, 4 * MIB, true);
	hkm_os_huge_pages(start, 4 * MIB, false);
	assert_int_equal(errno, MARK);
	assert_true(all_bytes_are(start, 4 * MIB, 6));
	hkm_os_unmap(start, 4 * MIB, false);
}

static void figures_of_system_and_process_are_plausible(void **state)
{
	struct hkm_os_usage before, after;
	uint64_t before_ms = (uint64_t)(seconds_now() * 1000), now = hkm_os_now_ms(), after_ms = (uint64_t)(seconds_now() * 1000);
	unsigned char *start;

	(void)state;
	assert_int_equal(hkm_os_page_size(), sysconf(_SC_PAGESIZE));
	assert_true(hkm_os_physical_memory() > 64 * MIB);
	/* The allocator's clock lags behind by a tick of the kernel at most. */
	assert_true(now <= after_ms && now + 20 >= before_ms);
	assert_true(next_tick_of_clock(hkm_os_now_ms) > now);
	errno = MARK;
	hkm_os_usage(&before);
	start = hkm_os_map(8 * MIB);
	hkm_os_huge_pages(start, 8 * MIB, false);
	memset(start, 1, 8 * MIB);
	hkm_os_usage(&after);
	assert_int_equal(errno, MARK);
	assert_true(after.resident >= before.resident + 6 * MIB);
	assert_true(after.peak_resident >= 8 * MIB);
	assert_true(after.page_faults >= before.page_faults + 1024);
	hkm_os_unmap(start, 8 * MIB, false);
}

static void files_are_created_empty_and_written_whole(void **state)
{
	char path[] = "/tmp/hakmem-test-os-XXXXXX", text[16];
	int file = mkstemp(path);

	(void)state;
	assert_true(file >= 0 && write(file, "something old", 13) == 13);
	close(file);
	errno = MARK;
	file = hkm_os_create(path);
	assert_true(file >= 0);
	hkm_os_write(file, "new", 3);
	hkm_os_close(file);
	assert_int_equal(hkm_os_create("/nowhere/at/all"), -ENOENT);
	assert_int_equal(hkm_os_create("/tmp"), -EISDIR);
	hkm_os_write(-1, "lost", 4);
	assert_int_equal(errno, MARK);
	file = open(path, O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(file, text, sizeof text), 3);
	assert_memory_equal(text, "new", 3);
	close(file);
	unlink(path);
}

/* The file at `path` has these contents, by the library and by the system, and errno does not change. */
static void expect_contents(const char *path, const char *text)
{
	char buffer[64] = { 0 };

	errno = MARK;
	assert_int_equal(hkm_os_read_file(path, buffer, sizeof buffer), strlen(text));
	assert_int_equal(errno, MARK);
	assert_string_equal(buffer, text);
}

static void expect_written(const char *path, const char *text, int error)
{
	errno = MARK;
	assert_int_equal(hkm_os_write_file(path, text, strlen(text)), error);
	assert_int_equal(errno, MARK);
}

static void why_a_file_cannot_be_created(void **state)
{
	char directory[] = "/tmp/hakmem-os-XXXXXX", path[64], long_name[300];

	(void)state;
	require(mkdtemp(directory) != NULL, "temporary directory");
	sprintf(path, "%s/file", directory);
	memset(long_name, 'x', sizeof long_name - 1);
	long_name[sizeof long_name - 1] = '\0';
	errno = MARK;
	assert_int_equal(hkm_os_why_not_create(path), 0);
	assert_int_equal(access(path, F_OK), -1);
	errno = MARK;
	expect_written(path, "text", 0);
	assert_int_equal(hkm_os_why_not_create(path), 0);
	assert_int_equal(hkm_os_why_not_create("file-in-the-working-directory"), 0);
	assert_int_equal(hkm_os_why_not_create(directory), EISDIR);
	assert_int_equal(hkm_os_why_not_create("/no/where"), ENOENT);
	assert_int_equal(hkm_os_why_not_create("/dev/null/file"), ENOTDIR);
	assert_int_equal(hkm_os_why_not_create(long_name), ENAMETOOLONG);
	assert_int_equal(errno, MARK);
	assert_int_equal(unlink(path) + rmdir(directory), 0);
}

static void files_are_read_up_to_a_bound(void **state)
{
	char directory[] = "/tmp/hakmem-os-XXXXXX", path[64], buffer[8] = "yyyyyyy";

	(void)state;
	require(mkdtemp(directory) != NULL, "temporary directory");
	sprintf(path, "%s/file", directory);
	expect_written(path, "abcdef", 0);
	expect_contents(path, "abcdef");
	assert_int_equal(hkm_os_read_file(path, buffer, 4), 4);
	assert_string_equal(buffer, "abcdyyy");
	assert_int_equal(hkm_os_read_file("/dev/zero", buffer, sizeof buffer), sizeof buffer);
	errno = MARK;
	assert_int_equal(hkm_os_read_file("/no/where", buffer, sizeof buffer), -ENOENT);
	assert_int_equal(hkm_os_read_file(directory, buffer, sizeof buffer), -EISDIR);
	assert_int_equal(errno, MARK);
	assert_int_equal(unlink(path) + rmdir(directory), 0);
}

static void files_are_mapped_for_reading(void **state)
{
	char path[] = "/tmp/hakmem-os-XXXXXX";
	int file = mkstemp(path);
	size_t size = 0;
	const char *bytes;

	(void)state;
	errno = MARK;
	assert_null(hkm_os_map_file(path, &size)); /* empty */
	require(write(file, "abcdef", 6) == 6 && close(file) == 0, "%s", path);
	bytes = hkm_os_map_file(path, &size);
	assert_non_null(bytes);
	assert_true(size == 6 && memcmp(bytes, "abcdef", 6) == 0);
	hkm_os_unmap((void *)(uintptr_t)bytes, PAGE, false);
	assert_null(hkm_os_map_file("/no/where", &size));
	assert_null(hkm_os_map_file("/tmp", &size));
	assert_null(hkm_os_map_file("/dev/zero", &size));
	assert_int_equal(errno, MARK);
	unlink(path);
}

static void resident_pages_are_counted_and_populated(void **state)
{
	size_t size = 64 * PAGE;
	char *pages = hkm_os_map(size);

	(void)state;
	assert_non_null(pages);
	hkm_os_huge_pages(pages, size, false);
	assert_int_equal(hkm_os_resident(pages, size), 0);
	pages[0] = pages[5 * PAGE] = 1;
	errno = MARK;
	assert_int_equal(hkm_os_resident(pages, size), 2 * PAGE);
	hkm_os_populate(pages, size / 2);
	assert_int_equal(errno, MARK);
	/* A kernel before 5.14 does not know how. */
	size_t resident = hkm_os_resident(pages, size);
	assert_true(resident == size / 2 || resident == 2 * PAGE);
	assert_true(pages[0] == 1 && pages[5 * PAGE] == 1 && pages[6 * PAGE] == 0);
	hkm_os_unmap(pages, size, false);
	/* Of a long range the beginning stands for the whole. */
	size = 32 * MIB;
	pages = hkm_os_map(size);
	assert_non_null(pages);
	hkm_os_huge_pages(pages, size, false);
	for (size_t at = 0; at < 4 * MIB; at += PAGE)
		pages[at] = 1;
	assert_int_equal(hkm_os_resident(pages, size), 8 * MIB);
	hkm_os_unmap(pages, size, false);
}

/* Every byte counts, at any alignment, and looking makes nothing resident. */
static void memory_that_reads_as_zero_is_told_apart(void **state)
{
	size_t size = 1100 * PAGE;
	unsigned char *pages = hkm_os_map(size);

	(void)state;
	hkm_os_huge_pages(pages, size, false);
	errno = MARK;
	assert_true(hkm_os_reads_as_zero(pages, size));
	assert_int_equal(hkm_os_resident(pages, size), 0);
	for (size_t at = 0; at < size; at += 511 * PAGE / 2 + 17) {
		pages[at] = 1;
		assert_false(hkm_os_reads_as_zero(pages, size));
		assert_false(hkm_os_reads_as_zero(pages + at, 1));
		assert_true(hkm_os_reads_as_zero(pages, at));
		assert_true(hkm_os_reads_as_zero(pages + at + 1, size - at - 1));
		pages[at] = 0;
	}
	pages[size - 1] = 1;
	assert_false(hkm_os_reads_as_zero(pages + 5, size - 5));
	assert_true(hkm_os_reads_as_zero(pages + 5, size - 6));
	assert_int_equal(errno, MARK);
	hkm_os_unmap(pages, size, false);
}

static void files_are_replaced_in_one_step(void **state)
{
	char directory[] = "/tmp/hakmem-os-XXXXXX", path[64], link_path[64], old[8] = { 0 };
	struct stat before, after;
	int file;

	(void)state;
	require(mkdtemp(directory) != NULL, "temporary directory");
	sprintf(path, "%s/file", directory);
	sprintf(link_path, "%s/link", directory);
	expect_written(path, "first", 0);
	file = open(path, O_RDONLY);
	expect_written(path, "2nd", 0);
	/* Whoever had it open reads the old file to its end. */
	assert_int_equal(read(file, old, sizeof old), 5);
	assert_string_equal(old, "first");
	close(file);
	expect_contents(path, "2nd");
	/* A link stays a link, a device a device. */
	assert_int_equal(symlink(path, link_path), 0);
	expect_written(link_path, "third", 0);
	assert_true(lstat(link_path, &after) == 0 && S_ISLNK(after.st_mode));
	expect_contents(path, "third");
	assert_int_equal(lstat("/dev/null", &before), 0);
	expect_written("/dev/null", "4th", 0);
	assert_true(lstat("/dev/null", &after) == 0 && after.st_ino == before.st_ino && S_ISCHR(after.st_mode));
	/* What fails leaves the file and nothing else. */
	expect_written("/dev/full", "5th", ENOSPC);
	expect_written("/no/where", "6th", ENOENT);
	expect_written(directory, "7th", EISDIR);
	assert_int_equal(unlink(path) + unlink(link_path) + rmdir(directory), 0);
}

struct reader {
	int pipe;
	size_t got;
	atomic_bool written; /* nothing comes any more */
};

/* Slower than whoever writes, so that the pipe is full most of the time. */
static void *read_slowly(void *argument)
{
	struct reader *reader = argument;
	char buffer[65536];
	bool last;
	ssize_t got;

	do {
		sleep_milliseconds(2);
		last = atomic_load(&reader->written);
		got = read(reader->pipe, buffer, sizeof buffer); /* 0 before the pipe is opened, too */
		reader->got += got > 0 ? (size_t)got : 0;
	} while (got > 0 || !last);
	return argument;
}

/* Writes to a pipe with a reader, in one of the three ways; result: whether all has come through. */
static bool goes_through(const char *path, unsigned way)
{
	static char text[1000000];
	struct reader reader = { .pipe = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC) };
	pthread_t thread;

	require(reader.pipe >= 0 && fcntl(reader.pipe, F_SETFL, 0) == 0, "no reader");
	require(pthread_create(&thread, NULL, read_slowly, &reader) == 0, "no thread");
	if (way == 0) {
		int file = hkm_os_create(path);

		require(file >= 0, "a pipe with a reader is refused");
		hkm_os_write(file, text, sizeof text);
		hkm_os_close(file);
	} else if (way == 1) {
		hkm_os_append(path, text, sizeof text);
	} else {
		require(hkm_os_write_file(path, text, sizeof text) == 0, "a pipe with a reader is refused");
	}
	atomic_store(&reader.written, true);
	pthread_join(thread, NULL);
	close(reader.pipe);
	return reader.got == sizeof text;
}

ISOLATED(pipes_are_not_waited_for_and_written_whole)
{
	char directory[] = "/tmp/hakmem-os-XXXXXX", path[64];

	require(mkdtemp(directory) != NULL, "temporary directory");
	sprintf(path, "%s/pipe", directory);
	require(mkfifo(path, 0600) == 0, "mkfifo");
	alarm(hang_seconds(20));
	errno = MARK;
	require(hkm_os_create(path) == -ENXIO && hkm_os_write_file(path, "text", 4) == ENXIO, "a pipe without a reader is open");
	hkm_os_append(path, "text", 4);
	require(errno == MARK, "errno is %d", errno);
	for (unsigned way = 0; way < 3; way++)
		require(goes_through(path, way), "a part is lost in way %u", way);
	require(unlink(path) == 0 && rmdir(directory) == 0, "something is left behind");
}

/* A full disk, played by a limit on the size of files. */
ISOLATED(a_file_that_cannot_be_written_whole_stays_as_it_was)
{
	char directory[] = "/tmp/hakmem-os-XXXXXX", path[64], buffer[64] = { 0 };
	struct rlimit limit = { 4, 4 };

	require(mkdtemp(directory) != NULL, "temporary directory");
	sprintf(path, "%s/file", directory);
	require(hkm_os_write_file(path, "whole", 5) == 0, "cannot write");
	signal(SIGXFSZ, SIG_IGN);
	require(setrlimit(RLIMIT_FSIZE, &limit) == 0, "setrlimit");
	require(hkm_os_write_file(path, "longer", 6) == EFBIG, "a part was taken for the whole");
	require(hkm_os_read_file(path, buffer, sizeof buffer) == 5 && strcmp(buffer, "whole") == 0,
		"the file is \"%s\"", buffer);
	require(unlink(path) == 0 && rmdir(directory) == 0, "something is left behind");
}

static void *use_files(void *path)
{
	char buffer[64];
	size_t size;

	pthread_cancel(pthread_self()); /* acts at the next cancellation point */
	hkm_os_write_file(path, "text", 4);
	hkm_os_append(path, "more", 4);
	hkm_os_read_file(path, buffer, sizeof buffer);
	hkm_os_map_file(path, &size);
	int file = hkm_os_create(path);
	hkm_os_write(file, "text", 4);
	hkm_os_close(file);
	hkm_os_sleep_ms(1);
	struct hkm_os_usage usage;
	hkm_os_usage(&usage);
	unlink(path);
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	return path;
}

ISOLATED(a_thread_is_not_cancelled_in_files)
{
	char path[] = "/tmp/hakmem-os-XXXXXX";
	pthread_t thread;
	void *result;

	require(mkstemp(path) >= 0, "temporary file");
	require(pthread_create(&thread, NULL, use_files, path) == 0, "pthread_create");
	pthread_join(thread, &result);
	require(result == path, "the thread was cancelled");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mapped_memory_is_zero_and_goes),
		cmocka_unit_test(what_the_system_refuses_is_null),
		cmocka_unit_test(aligned_mappings_are_aligned_and_leave_nothing_behind),
		cmocka_unit_test(a_stranger_is_never_replaced),
		cmocka_unit_test(a_reservation_becomes_usable_and_a_reservation_again),
		cmocka_unit_test(remapping_keeps_the_contents),
		cmocka_unit_test(remapping_in_place_stops_at_a_neighbour),
		cmocka_unit_test(purging_empties_what_it_is_told_and_no_more),
		cmocka_unit_test(locked_memory_is_not_purged_and_said_so),
		cmocka_unit_test(advice_on_huge_pages_changes_no_contents),
		cmocka_unit_test(figures_of_system_and_process_are_plausible),
		cmocka_unit_test(files_are_created_empty_and_written_whole),
		cmocka_unit_test(why_a_file_cannot_be_created),
		cmocka_unit_test(files_are_read_up_to_a_bound),
		cmocka_unit_test(files_are_mapped_for_reading),
		cmocka_unit_test(resident_pages_are_counted_and_populated),
		cmocka_unit_test(memory_that_reads_as_zero_is_told_apart),
		cmocka_unit_test(files_are_replaced_in_one_step),
		cmocka_unit_test(pipes_are_not_waited_for_and_written_whole),
		cmocka_unit_test(a_file_that_cannot_be_written_whole_stays_as_it_was),
		cmocka_unit_test(a_thread_is_not_cancelled_in_files),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
