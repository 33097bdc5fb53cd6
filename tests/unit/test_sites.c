/* test_sites.c - call sites: the functions found in files, whole and broken; the rules derived from given samples; and
 * rules and sampling at once under threads that free each other's blocks.
 */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "os/os.h"
#include "sites/modules.h"
#include "sites/samples.h"
#include "sites/sites.h"

/* ---- Modules ------------------------------------------------------------------------- */

struct search {
	const char *name;
	const struct hkm_module *module;
	uintptr_t start, end;
	unsigned functions;
};

static void look(void *context, const char *name, uintptr_t start, uintptr_t end)
{
	struct search *search = context;

	search->functions++;
	require(start >= search->module->start && start < end && end <= search->module->end, "%s is outside", name);
	if (search->name != NULL && strcmp(name, search->name) == 0) {
		search->start = start;
		search->end = end;
	}
}

static void the_programs_own_functions_are_found(void **state)
{
	struct hkm_modules *modules = hkm_modules_read();
	uintptr_t address = (uintptr_t)the_programs_own_functions_are_found;

	(void)state;
	assert_non_null(modules);
	const struct hkm_module *module = hkm_modules_find(modules, address);
	struct search search = { .name = "the_programs_own_functions_are_found", .module = module };

	assert_non_null(module);
	assert_true(hkm_word_is(hkm_module_name(module), program_invocation_short_name));
	hkm_module_functions(module, look, &search);
	assert_true(search.start == address && search.end > address && search.functions > 10);
	assert_null(hkm_modules_find(modules, 0));
	assert_null(hkm_modules_find(modules, (uintptr_t)&search));
	hkm_modules_free(modules);
}

static void write_file(const char *path, const char *bytes, size_t size)
{
	FILE *file = fopen(path, "w");

	require(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0, "%s", path);
}

/* Copies of this program with headers that lie, or that are cut: fewer functions, or others, but all in the module. */
static void broken_files_do_no_harm(void **state)
{
	struct hkm_modules *modules = hkm_modules_read();
	struct hkm_module module = *hkm_modules_find(modules, (uintptr_t)broken_files_do_no_harm);
	struct search search = { .module = &module };
	struct random_source source = { 3 };
	char path[] = "/tmp/hakmem-module-XXXXXX";
	size_t size;
	const char *original = hkm_os_map_file(module.path.start, &size);
	char *bytes = malloc(size);
	int file = mkstemp(path);
	uint64_t headers;
	unsigned different = 0, all = 0;

	(void)state;
	require(original != NULL && bytes != NULL && file >= 0, "a copy of the program");
	close(file);
	hkm_module_functions(&module, look, &search);
	all = search.functions;
	module.path = (struct hkm_word){ path, strlen(path) };
	memcpy(&headers, original + 40, sizeof headers); /* e_shoff */
	for (unsigned round = 0; round < 400; round++) {
		size_t length = round % 4 == 0 ? random_between(&source, 1, size) : size;

		memcpy(bytes, original, size);
		for (unsigned i = round % 4 == 0 ? 4 : 0; i < 4; i++) {
			size_t at = i % 2 == 0 ? random_between(&source, 16, 63) : random_between(&source, headers, size - 1);

			bytes[at] = (char)random_bits(&source);
		}
		write_file(path, bytes, length);
		search.functions = 0;
		hkm_module_functions(&module, look, &search);
		different += search.functions != all;
	}
	unlink(path);
	assert_true(different > 50 && different < 400);
	hkm_module_functions(&module, look, &search); /* no file */
	free(bytes);
	hkm_modules_free(modules);
}

/* ---- Derived rules ------------------------------------------------------------------- */

static bool name_by_number(struct hkm_text *text, uintptr_t site, void *context)
{
	(void)context;
	if (site != 99)
		hkm_text_put(text, "m+0x%lx", site);
	return site != 99;
}

#define CLOCK 1000000u

static void derived(struct hkm_sample *samples, size_t count, const char *expected)
{
	char text[4096];
	const char *body = text;

	assert_true(hkm_samples_derive(samples, count, CLOCK, name_by_number, NULL, text, sizeof text) < sizeof text);
	for (unsigned lines = 0; lines < 2; lines++)
		body = strchr(body, '\n') + 1;
	assert_string_equal(body, expected);
	/* Whatever is derived can be read. */
	static struct hkm_rule rules[HKM_RULES_MOST];
	char error[HKM_RULES_ERROR_BYTES];
	unsigned rule_count;
	assert_true(hkm_rules_parse(text, strlen(text), rules, &rule_count, error));
}

/* `count` samples of a site, born evenly over the run and living for `life`, 0: to its end. */
static size_t put(struct hkm_sample *samples, size_t at, size_t count, uintptr_t site, uint64_t size, uint64_t life,
	uint64_t touched)
{
	for (size_t i = 0; i < count; i++) {
		uint64_t born = i * (CLOCK / count), died = life == 0 || born + life >= CLOCK ? 0 : born + life;

		samples[at + i] = (struct hkm_sample){
			.site = site, .size = size, .born = born, .died = died, .touched = touched };
	}
	return at + count;
}

static void rules_follow_from_samples(void **state)
{
	struct hkm_sample samples[400];
	size_t count = 0;

	(void)state;
	derived(samples, 0, "");
	/* Long lives next to short ones. */
	count = put(samples, 0, 40, 1, 64, 0, 64);
	count = put(samples, count, 40, 2, 64, 10, 64);
	derived(samples, count, "m+0x1 long-lived  # 40 samples, median 64 bytes, 31 of 31 outlived a quarter of the run\n");
	/* Nobody else's blocks die: slabs of their own bring nothing. */
	count = put(samples, 0, 40, 1, 64, 0, 64);
	derived(samples, count, "");
	/* Too few of them, or too few that last, or a name that no rule can have. */
	count = put(samples, 0, 16, 1, 64, 0, 64);
	count = put(samples, count, 40, 2, 64, 10, 64);
	count = put(samples, count, 40, 3, 64, 0, 64);
	count = put(samples, count, 20, 3, 64, 10, 64);
	count = put(samples, count, 80, 99, 64, 0, 64);
	derived(samples, count, "");
	/* Buffers: Tiny and Mid ones are not meant, nor what is hardly touched; huge pages from 4 MiB. */
	count = put(samples, 0, 16, 1, 33000, 10, 36864);
	count = put(samples, count, 16, 2, 5 * MIB, 10, 5 * MIB);
	count = put(samples, count, 16, 3, 5 * MIB, 10, 4 * MIB);
	count = put(samples, count, 16, 4, 32000, 10, 32768);
	count = put(samples, count, 15, 5, 5 * MIB, 10, 5 * MIB);
	derived(samples, count,
		"m+0x1 populate  # 16 samples, median 33000 bytes, 16 used whole\n"
		"m+0x2 populate huge  # 16 samples, median 5242880 bytes, 16 used whole\n");
}

ISOLATED(samples_stand_for_the_whole_run_when_their_list_was_full)
{
	static hkm_hints hints[2 * HKM_SAMPLES_MOST];
	struct hkm_sampler sampler = { 0 };
	struct hkm_sample sample;
	size_t taken = 0, all = 3 * HKM_SAMPLES_MOST, left = 0;
	void *page = map_pages(4096);

	require(hkm_samples_start(), "no memory");
	require(hkm_samples_due(&sampler, 1) && hkm_samples_take(&sampler, NULL, 1) == 0, "the first draw is a sample");
	for (size_t bytes = 0; bytes < all * HKM_SAMPLES_EVERY; bytes += 4096)
		if (hkm_samples_due(&sampler, 4096)) {
			/* Each has a site of its own, by which it is known later. */
			hints[taken] = hkm_samples_take(&sampler, (void *)taken, 4096);
			require((hints[taken] & 0xff) == HKM_HINT_SAMPLED, "not a sample");
			hkm_samples_born(hints[taken++], page);
		}
	/* As many until the list is full, half of that until it is full again, a quarter of the rest. */
	size_t expected = HKM_SAMPLES_MOST + HKM_SAMPLES_MOST / 2 + HKM_SAMPLES_MOST / 4;
	require(taken > expected * 19 / 20 && taken < expected * 21 / 20, "%zu samples", taken);
	/* Of all that end, those that are still known end, and no others. */
	for (size_t i = 0; i < taken; i += 3)
		hkm_samples_died(hints[i], page, 4096);
	for (; hkm_samples_copy(left, &sample); left++)
		require((sample.died != 0) == (sample.site % 3 == 0), "sample %zu", (size_t)sample.site);
	require(left > HKM_SAMPLES_MOST / 2 && left <= HKM_SAMPLES_MOST, "%zu are left", left);
}

/* ---- Rules under threads ------------------------------------------------------------- */

#define THREADS 4

static _Atomic(unsigned char *) exchange[64];
static _Atomic(void *) one_kept, one_passing;

/* Each is one call site; the text that follows the call keeps the compiler from making one function of all. */
#define SITE(name) \
	__attribute__((noinline)) static unsigned char *name(size_t size) \
	{ \
		unsigned char *block = hkm_malloc(size); \
\
		__asm__ volatile("/* " #name " */" : "+r"(block)); \
		return block; \
	}
SITE(keeper)
SITE(passing)

static void *work(void *argument)
{
	struct random_source source = { (uintptr_t)argument };

	for (size_t i = 0; i < 20000; i++) {
		size_t size = random_between(&source, 1, i % 64 == 0 ? 100000 : 500);
		unsigned char *block = i % 2 == 0 ? keeper(size) : passing(size);

		require(block != NULL, "%zu bytes", size);
		block[0] = 0x5a;
		block = atomic_exchange(&exchange[random_between(&source, 0, 63)], block);
		require(block == NULL || block[0] == 0x5a, "a block has changed");
		if (i % 9 == 0)
			block = hkm_realloc(block, size + 400);
		hkm_free(block);
	}
	atomic_store(&one_kept, keeper(100));
	atomic_store(&one_passing, passing(100));
	return NULL;
}

static void work_with(const char *out)
{
	pthread_t threads[THREADS];
	char path[] = "/tmp/hakmem-sites-XXXXXX";
	static const char rules[] = "hakmem-sites 1\nsymbol:keeper long-lived big\n";
	int file = mkstemp(path);

	require(file >= 0 && write(file, rules, sizeof rules - 1) == sizeof rules - 1, "%s", path);
	close(file);
	setenv("HAKMEM_SITES", path, 1);
	if (out != NULL)
		setenv("HAKMEM_SITES_OUT", out, 1);
	for (size_t i = 0; i < THREADS; i++)
		require(pthread_create(&threads[i], NULL, work, (void *)(i + 1)) == 0, "pthread_create");
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	unlink(path);
	require(hkm_sites.in_use, "no rules");
}

ISOLATED(threads_with_rules)
{
	work_with(NULL);
	struct hkm_heap *kept = hkm_heap_of_bin(hkm_window.bins[hkm_slice_of(one_kept)]);
	struct hkm_heap *other = hkm_heap_of_bin(hkm_window.bins[hkm_slice_of(one_passing)]);
	require(kept != other && kept->abandoned, "no heap of its own");
	/* All that is freed comes home, and a trim gives the slabs back. */
	for (size_t i = 0; i < 64; i++)
		hkm_free(exchange[i]);
	hkm_malloc_trim(0);
	hkm_tiny_check(kept);
	uint64_t slabs = 0;
	for (unsigned class = 0; class < HKM_TINY_CLASSES; class++)
		slabs += hkm_counted(&kept->tiny_counters[class].slabs);
	/* Each thread has left one block, all of one class. */
	require(slabs == 1, "%lu slabs", (unsigned long)slabs);
}

ISOLATED(threads_with_rules_and_samples)
{
	work_with("/dev/null");
	hkm_samples_at_exit();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(the_programs_own_functions_are_found),
		cmocka_unit_test(broken_files_do_no_harm),
		cmocka_unit_test(rules_follow_from_samples),
		cmocka_unit_test(samples_stand_for_the_whole_run_when_their_list_was_full),
		cmocka_unit_test(threads_with_rules),
		cmocka_unit_test(threads_with_rules_and_samples),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
