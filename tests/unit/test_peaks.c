/* test_peaks.c - where dynamic classes are put, and how a budget is shared out.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <string.h>

#include "learn/budget.h"
#include "learn/peaks.h"

static uint32_t count[HKM_PEAK_BUCKETS];
static uint16_t largest[HKM_PEAK_BUCKETS];
static const uint32_t none[2] = { 0, 0 };

static void request(uint32_t size, uint32_t times)
{
	uint32_t bucket = (size - 1 - 1024) / 256;

	count[bucket] += times;
	if (size > largest[bucket])
		largest[bucket] = (uint16_t)size;
}

static void clear(void)
{
	memset(count, 0, sizeof count);
	memset(largest, 0, sizeof largest);
}

static bool is_legal(uint32_t size)
{
	return size == 0 || (size % 16 == 0 && size > HKM_TINY_MAX && size <= HKM_MID_MAX &&
			     size != hkm_ace_static_size(hkm_ace_class(size)));
}

static void peaks_get_classes_of_their_size(void **state)
{
	uint32_t chosen[2];

	(void)state;
	clear();
	request(4112, 1000);
	request(20496, 500);
	request(2048, 1000);
	hkm_peaks_choose(count, largest, none, 0.02, chosen);
	assert_int_equal(chosen[0] + chosen[1], 4112 + 20496);
}

/* Two sizes in the same gap: one class serves both, and is not the smaller one's where that saves less. */
static void what_counts_is_the_bytes_saved(void **state)
{
	uint32_t chosen[2];

	(void)state;
	clear();
	request(8200, 100);
	request(8800, 10000);
	hkm_peaks_choose(count, largest, none, 0.02, chosen);
	assert_int_equal(chosen[0], 8800);
}

static void nothing_is_chosen_for_nothing(void **state)
{
	uint32_t chosen[2];

	(void)state;
	clear();
	hkm_peaks_choose(count, largest, none, 0.02, chosen);
	assert_true(chosen[0] == 0 && chosen[1] == 0);
	request(2048, 100000); /* a static class */
	request(2544, 1000);   /* wastes half a per cent */
	hkm_peaks_choose(count, largest, none, 0.02, chosen);
	assert_true(chosen[0] == 0 && chosen[1] == 0);
}

static void sizes_stay_unless_others_are_clearly_better(void **state)
{
	static const uint32_t current[2] = { 4112, 0 };
	uint32_t chosen[2];

	(void)state;
	clear();
	request(4112, 1000);
	request(1296, 100);
	hkm_peaks_choose(count, largest, current, 0.02, chosen);
	assert_true(chosen[0] == 4112);
	clear();
	request(12304, 1000); /* the peak has gone */
	hkm_peaks_choose(count, largest, current, 0.02, chosen);
	assert_true((chosen[0] == 12304) != (chosen[1] == 12304));
	assert_true(chosen[0] != 4112 && chosen[1] != 4112);
}

static void whatever_is_chosen_is_legal(void **state)
{
	struct random_source random = { 31 };

	(void)state;
	for (size_t round = 0; round < 3000; round++) {
		uint32_t chosen[2];

		clear();
		for (size_t peaks = random_between(&random, 0, 12); peaks > 0; peaks--)
			request((uint32_t)random_between(&random, 1025, HKM_MID_MAX), (uint32_t)random_between(&random, 1, 1000));
		hkm_peaks_choose(count, largest, none, 0.01, chosen);
		assert_true(is_legal(chosen[0]) && is_legal(chosen[1]));
		assert_true(chosen[0] == 0 || chosen[0] != chosen[1]);
	}
}

/* ---- Budget ----------------------------------------------------------------------------------- */

static void a_budget_is_never_exceeded(void **state)
{
	struct random_source random = { 32 };

	(void)state;
	for (size_t round = 0; round < 2000; round++) {
		double gains[20], costs[20], budget = (double)random_between(&random, 0, 500), spent = 0;
		uint32_t most[20], granted[20], units = (uint32_t)random_between(&random, 0, 100), all = 0;

		for (size_t i = 0; i < 20; i++) {
			gains[i] = (double)random_between(&random, 0, 100);
			costs[i] = (double)random_between(&random, 1, 40);
			granted[i] = most[i] = (uint32_t)random_between(&random, 0, 32);
		}
		hkm_budget_fill(gains, costs, 20, budget, units, granted);
		for (size_t i = 0; i < 20; i++) {
			spent += granted[i] * costs[i];
			all += granted[i];
			assert_true(granted[i] <= most[i] && (granted[i] == 0 || gains[i] > 0));
		}
		assert_true(spent <= budget && all <= units);
	}
}

static void plenty_satisfies_all(void **state)
{
	const double gains[] = { 1, 2, 3 }, costs[] = { 1, 1, 1 };
	uint32_t granted[] = { 4, 5, 6 };

	(void)state;
	hkm_budget_fill(gains, costs, 3, 1000, HKM_BUDGET_UNITS, granted);
	assert_true(granted[0] == 4 && granted[1] == 5 && granted[2] == 6);
}

static void scarcity_goes_where_it_gains_most(void **state)
{
	const double gains[] = { 100, 10, 100 }, costs[] = { 1, 1, 10 };
	uint32_t granted[] = { 8, 8, 8 };

	(void)state;
	hkm_budget_fill(gains, costs, 3, 9, HKM_BUDGET_UNITS, granted);
	/* The second's first unit gains 10, as much as the tenth of the first would. */
	assert_true(granted[0] == 8 && granted[1] == 1 && granted[2] == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(peaks_get_classes_of_their_size),
		cmocka_unit_test(what_counts_is_the_bytes_saved),
		cmocka_unit_test(nothing_is_chosen_for_nothing),
		cmocka_unit_test(sizes_stay_unless_others_are_clearly_better),
		cmocka_unit_test(whatever_is_chosen_is_legal),
		cmocka_unit_test(a_budget_is_never_exceeded),
		cmocka_unit_test(plenty_satisfies_all),
		cmocka_unit_test(scarcity_goes_where_it_gains_most),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
