/* text.c - see text.h. */
#include "core/text.h"

#include <unistd.h>

#include "os/os.h"

static void put_char(struct hkm_text *text, char c)
{
	if (text->visible && ((unsigned char)c < ' ' || c == 0x7F))
		c = '?';
	text->total++;
	/* The last byte is kept for the NUL of hkm_text_finish. */
	if (text->length + 1 >= text->capacity) {
		if (text->descriptor < 0)
			return;
		hkm_os_write(text->descriptor, text->buffer, text->length);
		text->length = 0;
	}
	text->buffer[text->length++] = c;
}

static void put_padded(struct hkm_text *text, const char *string, size_t length, size_t width, bool left,
		       char pad)
{
	for (size_t i = length; !left && i < width; i++)
		put_char(text, pad);
	for (size_t i = 0; i < length; i++)
		put_char(text, string[i]);
	for (size_t i = length; left && i < width; i++)
		put_char(text, ' ');
}

static void put_number(struct hkm_text *text, uint64_t value, bool negative, unsigned base, bool prefix,
		       size_t width, bool left, char pad)
{
	char digits[24];
	size_t at = sizeof digits;
	do {
		digits[--at] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	if (prefix) {
		digits[--at] = 'x';
		digits[--at] = '0';
	}
	if (negative && pad == '0') { /* zeros stand between sign and digits */
		put_char(text, '-');
		width -= width > 0;
	} else if (negative) {
		digits[--at] = '-';
	}
	put_padded(text, digits + at, sizeof digits - at, width, left, pad);
}

void hkm_text_put_list(struct hkm_text *text, const char *format, va_list arguments)
{
	for (const char *at = format; *at != '\0'; at++) {
		if (*at != '%') {
			put_char(text, *at);
			continue;
		}
		at++;
		bool left = *at == '-';
		at += left;
		char pad = *at == '0' ? '0' : ' ';
		size_t width = 0;
		for (; *at >= '0' && *at <= '9'; at++)
			width = width * 10 + (size_t)(*at - '0');
		bool wide = *at == 'z' || *at == 'l';
		at += wide;
		if (*at == 's') {
			const char *string = va_arg(arguments, const char *);
			size_t length = 0;
			while (string[length] != '\0')
				length++;
			put_padded(text, string, length, width, left, ' ');
		} else if (*at == 'c') {
			put_char(text, (char)va_arg(arguments, int));
		} else if (*at == 'p') {
			put_number(text, (uintptr_t)va_arg(arguments, void *), false, 16, true, width, left, ' ');
		} else if (*at == 'd' && !wide) {
			int64_t value = va_arg(arguments, int);
			put_number(text, (uint64_t)(value < 0 ? -value : value), value < 0, 10, false, width, left, pad);
		} else if (*at == 'u' || *at == 'x') {
			uint64_t value = wide ? va_arg(arguments, uint64_t) : va_arg(arguments, unsigned);
			put_number(text, value, false, *at == 'u' ? 10 : 16, false, width, left, pad);
		} else {
			put_char(text, *at);
		}
	}
}

void hkm_text_put(struct hkm_text *text, const char *format, ...)
{
	va_list arguments;
	va_start(arguments, format);
	hkm_text_put_list(text, format, arguments);
	va_end(arguments);
}

void hkm_text_finish(struct hkm_text *text)
{
	if (text->descriptor >= 0) {
		hkm_os_write(text->descriptor, text->buffer, text->length);
		text->length = 0;
	} else if (text->capacity > 0) {
		text->buffer[text->length] = '\0';
	}
}

void hkm_text_put_real(struct hkm_text *text, double value)
{
	if (value < 0)
		hkm_text_put(text, "-");
	double size = value < 0 ? -value : value;
	/* Anything larger is as good as infinite to whoever reads it; what is not a number is 0. */
	uint64_t thousandths = size < 1e15 ? (uint64_t)(size * 1000 + 0.5) : size >= 1e15 ? (uint64_t)1e18 : 0;
	hkm_text_put(text, "%lu.%03u", thousandths / 1000, (unsigned)(thousandths % 1000));
}

void hkm_text_expand_path(const char *pattern, char *path, size_t size)
{
	struct hkm_text text = { .buffer = path, .capacity = size, .descriptor = -1 };
	for (; *pattern != '\0'; pattern++) {
		if (pattern[0] == '%' && pattern[1] == 'p') {
			hkm_text_put(&text, "%d", getpid());
			pattern++;
		} else {
			hkm_text_put(&text, "%c", *pattern);
		}
	}
	hkm_text_finish(&text);
}
