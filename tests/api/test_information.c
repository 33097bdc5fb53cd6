/* test_information.c - what the allocator says about itself: mallinfo2, malloc_stats,
 * malloc_info, hkm_stats_json, and that none of it goes to standard output.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "names.h"

#define BLOCKS 100000

static void mallinfo2_counts_live_bytes(void **state)
{
	static void *blocks[BLOCKS];
	struct mallinfo2 before = mallinfo2();
	struct mallinfo2 during;
	struct mallinfo2 after;

	(void)state;
	for (size_t i = 0; i < BLOCKS; i++)
		assert_non_null(blocks[i] = malloc(100));
	during = mallinfo2();
	assert_true(during.uordblks >= before.uordblks + BLOCKS * 95);
	assert_true(during.uordblks <= before.uordblks + BLOCKS * 200);
	assert_true(during.arena >= BLOCKS * 100);
	assert_true(during.arena + during.hblkhd >= during.uordblks);
	for (size_t i = 0; i < BLOCKS; i++)
		free(blocks[i]);
	malloc_trim(0);
	after = mallinfo2();
	assert_true(after.uordblks < before.uordblks + BLOCKS * 10);
	assert_true(after.fordblks < during.arena);
}

static void mallinfo2_counts_big_blocks(void **state)
{
	struct mallinfo2 before = mallinfo2();
	void *first = malloc(10 * MIB);
	void *second = malloc(3 * MIB);
	struct mallinfo2 during = mallinfo2();

	(void)state;
	assert_non_null(first);
	assert_non_null(second);
	assert_int_equal(during.hblks, before.hblks + 2);
	assert_true(during.hblkhd >= before.hblkhd + 13 * MIB);
	assert_true(during.hblkhd <= before.hblkhd + 20 * MIB);
	free(first);
	free(second);
	during = mallinfo2();
	assert_int_equal(during.hblks, before.hblks);
	assert_int_equal(during.hblkhd, before.hblkhd);
}

/* What mallinfo(3) says of the fields. */
static void mallinfo2_adds_up(void **state)
{
	enum { COUNT = 2000 };
	static void *blocks[COUNT];
	struct mallinfo2 full, half;

	(void)state;
	for (size_t i = 0; i < COUNT; i++)
		assert_non_null(blocks[i] = malloc(i % 2 == 0 ? 900 : 20000));
	free(malloc(5 * MIB));
	full = mallinfo2();
	for (size_t i = 0; i < COUNT; i += 4) {
		free(blocks[i]);
		free(blocks[i + 1]);
	}
	half = mallinfo2();
	for (int i = 0; i < 2; i++) {
		struct mallinfo2 info = i == 0 ? full : half;
		assert_int_equal(info.arena, info.uordblks + info.fordblks);
		assert_true(info.fsmblks <= info.fordblks);
		assert_true(info.keepcost <= info.fordblks);
		assert_int_equal(info.smblks != 0, info.fsmblks != 0);
		assert_int_equal(info.usmblks, 0);
	}
	/* Each free block counts as one, whichever list it is on; whole slices that got empty count as one, too. */
	assert_true(half.ordblks + half.smblks >= full.ordblks + full.smblks + COUNT / 4);
	assert_true(half.ordblks + half.smblks <= full.ordblks + full.smblks + COUNT);
	assert_true(half.uordblks <= full.uordblks - COUNT / 4 * 20900);
	for (size_t i = 0; i < COUNT; i++)
		if (i % 4 > 1)
			free(blocks[i]);
}

/* Runs `print` with standard output and error sent to files; reads what came out. */
static void capture(void (*print)(void), char *output, char *errors, size_t capacity)
{
	FILE *files[2] = { tmpfile(), tmpfile() };
	int saved[2];
	char *texts[2] = { output, errors };

	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		assert_non_null(files[i]);
		saved[i] = dup(i + 1);
		dup2(fileno(files[i]), i + 1);
	}
	print();
	fflush(NULL);
	for (int i = 0; i < 2; i++) {
		dup2(saved[i], i + 1);
		close(saved[i]);
		rewind(files[i]);
		texts[i][fread(texts[i], 1, capacity - 1, files[i])] = '\0';
		fclose(files[i]);
	}
}

static void malloc_stats_prints_on_standard_error(void **state)
{
	static char output[65536];
	static char errors[65536];

	(void)state;
	capture(malloc_stats, output, errors, sizeof output);
	assert_string_equal(output, "");
	assert_true(strlen(errors) > 100);
	assert_non_null(strchr(errors, '\n'));
}

#ifdef HAKMEM_TEST_API

static void stats_json_cuts_like_snprintf(void **state)
{
	static char whole[1 << 16];
	static char part[1 << 16];
	size_t length = hkm_stats_json(whole, sizeof whole);

	(void)state;
	assert_true(length < sizeof whole);
	assert_int_equal(strlen(whole), length);
	assert_int_equal(whole[0], '{');
	assert_true(hkm_stats_json(NULL, 0) > 100);
	for (size_t room = 1; room <= 300; room++) {
		memset(part, 'x', sizeof part);
		assert_true(hkm_stats_json(part, room) >= room);
		assert_int_equal(strlen(part), room - 1);
		assert_int_equal(part[room], 'x');
		/* The head names version and process: it does not change between calls. */
		if (room <= 20)
			assert_memory_equal(part, whole, room - 1);
	}
}

static void version_is_the_header_s(void **state)
{
	(void)state;
	assert_string_equal(hkm_version(), HKM_VERSION_STRING);
}

#else

static void mallinfo_is_mallinfo2_in_ints(void **state)
{
	void *block = malloc(200000);
	struct mallinfo2 wide = mallinfo2();
	struct mallinfo narrow = mallinfo();

	(void)state;
	assert_non_null(block);
	assert_true(narrow.uordblks >= 200000);
	assert_int_equal(narrow.uordblks, wide.uordblks);
	assert_int_equal(narrow.arena, wide.arena);
	assert_int_equal(narrow.hblks, wide.hblks);
	assert_int_equal(narrow.ordblks, wide.ordblks);
	assert_int_equal(narrow.smblks, wide.smblks);
	assert_int_equal(narrow.fsmblks, wide.fsmblks);
	free(block);
}

static void malloc_info_writes_xml(void **state)
{
	char text[65536];
	FILE *file = tmpfile();

	(void)state;
	assert_non_null(file);
	assert_int_equal(malloc_info(0, file), 0);
	rewind(file);
	text[fread(text, 1, sizeof text - 1, file)] = '\0';
	assert_int_equal(strncmp(text, "<malloc", strlen("<malloc")), 0);
	assert_non_null(strstr(text, "</malloc>"));
	assert_int_equal(malloc_info(1, file), EINVAL);
	fclose(file);
}

#endif

#ifdef HAKMEM_TEST_API
static void policy_values_come_back_as_published(void **state)
{
	struct hkm_policy_values usual = { .size = sizeof usual }, changed, seen = { .size = sizeof seen };

	(void)state;
	assert_int_equal(hkm_policy_get(&usual), 0);
	changed = usual;
	changed.cache_start = 4096;
	changed.fault_ahead = 65536;
	changed.mid_dyn2 = 4112;
	changed.big_cache_bytes = 5 * MIB;
	changed.cache_blocks[3] = 7;
	changed.pool_spans[30] = 2;
	assert_int_equal(hkm_policy_publish(&changed), 0);
	assert_int_equal(hkm_policy_get(&seen), 0);
	assert_true(seen.generation > usual.generation);
	changed.generation = seen.generation;
	assert_memory_equal(&seen, &changed, sizeof seen);
	assert_int_equal(hkm_policy_publish(&usual), 0);
	seen.size = sizeof seen + 8;
	assert_int_equal(hkm_policy_get(&seen), EINVAL);
	assert_int_equal(hkm_policy_publish(&seen), EINVAL);
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mallinfo2_counts_live_bytes),
		cmocka_unit_test(mallinfo2_counts_big_blocks),
		cmocka_unit_test(mallinfo2_adds_up),
		cmocka_unit_test(malloc_stats_prints_on_standard_error),
#ifdef HAKMEM_TEST_API
		cmocka_unit_test(stats_json_cuts_like_snprintf),
		cmocka_unit_test(version_is_the_header_s),
		cmocka_unit_test(policy_values_come_back_as_published),
#else
		cmocka_unit_test(mallinfo_is_mallinfo2_in_ints),
		cmocka_unit_test(malloc_info_writes_xml),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
