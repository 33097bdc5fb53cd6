/* report.c - see report.h. */
#include "core/report.h"

#include <stdatomic.h>
#include <stdlib.h>
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

void hkm_warn(const char *format, ...)
{
	char line[256];
	/* The buffer is flushed once, so that the lines of several threads do not mix. */
	struct hkm_text text = { .buffer = line, .capacity = sizeof line, .descriptor = atomic_load_explicit(&warnings_to, memory_order_relaxed) };
	va_list arguments;
	va_start(arguments, format);
	hkm_text_put(&text, "hakmem: ");
	text.visible = true;
	hkm_text_put_list(&text, format, arguments);
	text.visible = false;
	hkm_text_put(&text, "\n");
	hkm_text_finish(&text);
	va_end(arguments);
}

HKM_SLOW void hkm_misuse(const char *call, const char *what, const void *pointer)
{
	hkm_warn("%s(): %s %p", call, what, pointer);
	if (!misuse_goes_on)
		abort();
}

_Noreturn HKM_SLOW void hkm_assert_failed(const char *condition, const char *file, int line)
{
	hkm_warn("%s:%d: invariant broken: %s", file, line, condition);
	abort();
}
