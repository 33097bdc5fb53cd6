/* test_text.c - formatting without the C library: against snprintf, into short buffers, into files. */
#include "unit.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "core/report.h"
#include "core/text.h"

/* Formats with both and compares. */
#define assert_as_printf(...) \
	do { \
		char expected[256], got[256]; \
		struct hkm_text text = { .buffer = got, .capacity = sizeof got, .descriptor = -1 }; \
		int length = snprintf(expected, sizeof expected, __VA_ARGS__); \
		hkm_text_put(&text, __VA_ARGS__); \
		hkm_text_finish(&text); \
		assert_string_equal(got, expected); \
		assert_int_equal(text.total, length); \
	} while (0)

static void strings_and_characters(void **state)
{
	(void)state;
	assert_as_printf("%s", "plain");
	assert_as_printf("<%s|%s>", "", "two");
	assert_as_printf("<%10s>", "right");
	assert_as_printf("<%-10s>", "left");
	assert_as_printf("<%3s>", "longer");
	assert_as_printf("%c%c", 'a', 'z');
	assert_as_printf("100%%");
}

static void numbers(void **state)
{
	(void)state;
	assert_as_printf("%d %d %d", 0, 7, -7);
	assert_as_printf("%d %d", INT_MAX, INT_MIN);
	assert_as_printf("%u %u", 0u, UINT_MAX);
	assert_as_printf("%x %x", 0u, 0xdeadbeefu);
	assert_as_printf("%lu %lu", 0ul, ULONG_MAX);
	assert_as_printf("%zu", SIZE_MAX);
	assert_as_printf("%lx", 0x123456789abcdeful);
	assert_as_printf("%p", (void *)0x7f1234567890);
}

static void widths(void **state)
{
	(void)state;
	assert_as_printf("<%8d><%-8d><%08d>", 42, 42, 42);
	assert_as_printf("<%8d><%-8d>", -42, -42);
	assert_as_printf("<%8u><%-8u><%08u>", 42u, 42u, 42u);
	assert_as_printf("<%12zu><%-12zu><%012zu>", (size_t)42, (size_t)42, (size_t)42);
	assert_as_printf("<%03lu><%3lu>", 12345ul, 12345ul);
	assert_as_printf("<%04x>", 0xau);
}

static void zeros_stand_between_sign_and_digits(void **state)
{
	(void)state;
	assert_as_printf("<%08d>", -42);
}

static void a_full_buffer_keeps_what_fits(void **state)
{
	(void)state;
	for (size_t capacity = 1; capacity <= 12; capacity++) {
		char buffer[16];
		struct hkm_text text = { .buffer = buffer, .capacity = capacity, .descriptor = -1 };
		char expected[16];

		memset(buffer, '#', sizeof buffer);
		hkm_text_put(&text, "%s%u", "hakmem", 1234u);
		hkm_text_finish(&text);
		snprintf(expected, capacity, "hakmem1234");
		assert_string_equal(buffer, expected);
		assert_int_equal(text.total, 10);
		for (size_t at = capacity; at < sizeof buffer; at++)
			assert_int_equal(buffer[at], '#');
	}
}

static void no_buffer_counts_only(void **state)
{
	struct hkm_text text = { .descriptor = -1 };

	(void)state;
	hkm_text_put(&text, "%d bytes", 17);
	hkm_text_finish(&text);
	assert_int_equal(text.total, 8);
	assert_int_equal(text.length, 0);
}

static void control_characters_can_be_shown(void **state)
{
	char buffer[32];
	struct hkm_text text = { .buffer = buffer, .capacity = sizeof buffer, .descriptor = -1, .visible = true };

	(void)state;
	hkm_text_put(&text, "a\n%s%c", "\x1b[1m\x7f\x80\xff ", '\t');
	text.visible = false;
	hkm_text_put(&text, "\n");
	hkm_text_finish(&text);
	assert_string_equal(buffer, "a??[1m?\x80\xff ?\n");
}

static void a_file_gets_everything(void **state)
{
	char buffer[8], got[512], expected[512];
	size_t length = 0;
	int ends[2];

	(void)state;
	assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
	for (size_t capacity = 2; capacity <= sizeof buffer; capacity++) {
		struct hkm_text text = { .buffer = buffer, .capacity = capacity, .descriptor = ends[1] };

		for (unsigned i = 0; i < 20; i++) {
			hkm_text_put(&text, "%u,", i);
			if (capacity == 2)
				length += (size_t)snprintf(expected + length, sizeof expected - length, "%u,", i);
		}
		hkm_text_finish(&text);
		assert_int_equal(read(ends[0], got, sizeof got), (ssize_t)length);
		assert_memory_equal(got, expected, length);
		assert_int_equal(text.total, length);
	}
	close(ends[0]);
	close(ends[1]);
}

static void errors_are_told_as_strerror_does(void **state)
{
	unsigned told = 0;

	(void)state;
	for (int error = 1; error < 134; error++) {
		if (strcmp(hkm_error_text(error), hkm_error_text(99999)) == 0)
			continue;
		assert_string_equal(hkm_error_text(error), strerror(error));
		told++;
	}
	assert_true(told >= 20);
	assert_string_equal(hkm_error_text(ENOENT), "No such file or directory");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strings_and_characters),
		cmocka_unit_test(numbers),
		cmocka_unit_test(widths),
		cmocka_unit_test(zeros_stand_between_sign_and_digits),
		cmocka_unit_test(a_full_buffer_keeps_what_fits),
		cmocka_unit_test(no_buffer_counts_only),
		cmocka_unit_test(control_characters_can_be_shown),
		cmocka_unit_test(a_file_gets_everything),
		cmocka_unit_test(errors_are_told_as_strerror_does),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
