/* report.c - see report.h. */
#include "core/report.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/text.h"
#include "os/os.h"

static bool misuse_goes_on; /* written while the process starts, read afterwards */

void hkm_misuse_goes_on(bool goes_on)
{
	misuse_goes_on = goes_on;
}

/* relaxed: a number of its own. */
static _Atomic int warnings_to = STDERR_FILENO;

void hkm_warn_at_exit(void)
{
	atomic_store_explicit(&warnings_to, hkm_os_kept_error(), memory_order_relaxed);
}

/* The program's name, without its path; cut after 64 bytes, as it is what was given to exec. */
static void put_program(struct hkm_text *text)
{
	const char *name = program_invocation_short_name;
	for (size_t i = 0; name != NULL && name[i] != '\0' && i < 64; i++)
		hkm_text_put(text, "%c", name[i]);
	hkm_text_put(text, "[%d]: ", getpid());
}

static void put_line(bool names_program, const char *format, va_list arguments)
{
	char line[384];
	/* The buffer is flushed once, so that the lines of several threads do not mix. */
	struct hkm_text text = { .buffer = line, .capacity = sizeof line, .descriptor = atomic_load_explicit(&warnings_to, memory_order_relaxed) };
	hkm_text_put(&text, "hakmem: ");
	text.visible = true;
	if (names_program)
		put_program(&text);
	hkm_text_put_list(&text, format, arguments);
	text.visible = false;
	hkm_text_put(&text, "\n");
	hkm_text_finish(&text);
}

void hkm_warn(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	put_line(false, format, arguments);
	va_end(arguments);
}

const char *hkm_error_text(int error)
{
	static const struct {
		int error;
		const char *text;
	} texts[] = {
		{ EPERM, "Operation not permitted" },
		{ ENOENT, "No such file or directory" },
		{ EIO, "Input/output error" },
		{ ENXIO, "No such device or address" }, /* a pipe that nobody reads */
		{ ENOMEM, "Cannot allocate memory" },
		{ EACCES, "Permission denied" },
		{ EBUSY, "Device or resource busy" },
		{ EEXIST, "File exists" },
		{ EXDEV, "Invalid cross-device link" },
		{ ENODEV, "No such device" },
		{ ENOTDIR, "Not a directory" },
		{ EISDIR, "Is a directory" },
		{ EINVAL, "Invalid argument" },
		{ ENFILE, "Too many open files in system" },
		{ EMFILE, "Too many open files" },
		{ ETXTBSY, "Text file busy" },
		{ EFBIG, "File too large" },
		{ ENOSPC, "No space left on device" },
		{ EROFS, "Read-only file system" },
		{ EPIPE, "Broken pipe" },
		{ EAGAIN, "Resource temporarily unavailable" },
		{ ENAMETOOLONG, "File name too long" },
		{ ELOOP, "Too many levels of symbolic links" },
		{ EDQUOT, "Disk quota exceeded" },
		{ ENOSYS, "Function not implemented" },
	};
	for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
		if (texts[i].error == error)
			return texts[i].text;
	return "the system refuses";
}

void hkm_warn_unwritten(const char *variable, const char *path, int error)
{
	hkm_warn("%s=%s: cannot be written: %s", variable, path, hkm_error_text(error));
}

void hkm_accuse(const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	put_line(true, format, arguments);
	va_end(arguments);
}

static const char *const what[] = {
	[HKM_INVALID_POINTER] = "invalid pointer",
	[HKM_MISALIGNED_POINTER] = "misaligned pointer",
	[HKM_FREED_TWICE] = "double free of",
	[HKM_WRITTEN_AFTER_FREE] = "a free block was written to (write after free, or past the end of a block?); it begins with",
};

HKM_SLOW void hkm_misuse(const char *call, enum hkm_wrong wrong, const void *pointer)
{
	bool free_only = wrong == HKM_FREED_TWICE && strcmp(call, "free") != 0;
	hkm_accuse("%s(): %s %p", call, free_only ? "pointer to a freed block" : what[wrong], pointer);
	if (!misuse_goes_on)
		abort();
}

_Noreturn HKM_SLOW void hkm_assert_failed(const char *condition, const char *file, int line)
{
	hkm_accuse("%s:%d: invariant broken: %s", file, line, condition);
	abort();
}
