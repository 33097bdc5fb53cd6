/* text.h - text into a caller's buffer, without stdio (which allocates) and without locale.
 *
 * A struct hkm_text counts what would have been written, as snprintf does, and keeps what fits;
 * with `descriptor` >= 0 a full buffer is written out instead and nothing is lost.
 */
#ifndef HKM_TEXT_H
#define HKM_TEXT_H

#include <stdarg.h>

#include "base/base.h"

struct hkm_text {
	char *buffer;
	size_t capacity;  /* bytes of buffer */
	size_t length;    /* bytes of buffer in use */
	size_t total;     /* bytes put so far, kept or not */
	int descriptor;   /* file to write full buffers to; -1: cut */
	bool visible;     /* control characters become `?` */
};

/* Formats a subset of printf: %s %d %u %x %zu %lu %p %c %%, with width, '-' and '0'. */
void hkm_text_put(struct hkm_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
void hkm_text_put_list(struct hkm_text *text, const char *format, va_list arguments)
	__attribute__((format(printf, 2, 0)));

/* Puts a number with three places behind the point. */
void hkm_text_put_real(struct hkm_text *text, double value);

/* Writes `pattern` to `path`, %p in it replaced by the process id; cuts what does not fit. */
void hkm_text_expand_path(const char *pattern, char *path, size_t size);

/* Writes what is buffered (descriptor >= 0), or terminates the buffer with a NUL. */
void hkm_text_finish(struct hkm_text *text);

#endif
