/* test_pid.c - the two rules for capacities against simulated caches, and the change detector.
 *
 * The plant: a cache of capacity c has the hit rate c / (c + 10).
 */
#include "cmocka_tests.h"
#include "support.h"

#include "learn/change.h"
#include "learn/pid.h"

static struct hkm_pid pid_for_caches(void)
{
	return (struct hkm_pid){ .kp = 8, .ki = 2, .kd = 1, .deadband = 0.02, .out_min = -8, .out_max = 8 };
}

static double hit_rate(double capacity)
{
	return capacity / (capacity + 10);
}

static double clamp(double value, double least, double most)
{
	return value < least ? least : value > most ? most : value;
}

static void a_pid_reaches_its_target_and_stays(void **state)
{
	(void)state;
	for (double start = 0; start <= 64; start += 16) {
		struct hkm_pid pid = pid_for_caches();
		double capacity = start;

		for (size_t window = 0; window < 60; window++) {
			double change = hkm_pid_step(&pid, 0.65, hit_rate(capacity), 1);

			capacity = clamp(capacity + change, 0, 64);
			if (window > 40)
				assert_true(hit_rate(capacity) > 0.65 - 0.05 && hit_rate(capacity) < 0.65 + 0.05);
		}
	}
}

/* A cache that cannot reach the target for a long time winds nothing up: when it can, it is there at once. */
static void a_pid_does_not_wind_up(void **state)
{
	struct hkm_pid pid = pid_for_caches();

	(void)state;
	for (size_t window = 0; window < 1000; window++)
		hkm_pid_step(&pid, 0.65, 0, 1);
	assert_true(hkm_pid_step(&pid, 0.65, 0.95, 1) < 8);
	for (size_t window = 0; window < 10; window++)
		hkm_pid_step(&pid, 0.65, 0.95, 1);
	assert_true(hkm_pid_step(&pid, 0.65, 0.95, 1) < 0);
}

static void a_dead_signal_changes_nothing(void **state)
{
	struct hkm_pid pid = pid_for_caches();

	(void)state;
	for (size_t window = 0; window < 100; window++)
		assert_true(hkm_pid_step(&pid, 0.65, 0.65 + (window % 2 == 0 ? 0.015 : -0.015), 1) == 0);
}

static void a_new_target_makes_no_kick(void **state)
{
	struct hkm_pid with = pid_for_caches(), without = pid_for_caches();

	(void)state;
	without.kd = 0;
	hkm_pid_step(&with, 0.5, 0.5, 1);
	hkm_pid_step(&without, 0.5, 0.5, 1);
	assert_true(hkm_pid_step(&with, 0.6, 0.5, 1) == hkm_pid_step(&without, 0.6, 0.5, 1));
}

static void the_seeds_step_is_the_seeds(void **state)
{
	(void)state;
	assert_int_equal(hkm_cap_step(10, 0.50, 0.65, 0.02, 4, 0, 32), 14);
	assert_int_equal(hkm_cap_step(10, 0.80, 0.65, 0.02, 4, 0, 32), 6);
	assert_int_equal(hkm_cap_step(10, 0.66, 0.65, 0.02, 4, 0, 32), 10);
	assert_int_equal(hkm_cap_step(30, 0.10, 0.65, 0.02, 4, 0, 32), 32);
	assert_int_equal(hkm_cap_step(2, 0.99, 0.65, 0.02, 4, 0, 32), 0);
}

/* ---- Change ------------------------------------------------------------------------------ */

static double noisy(struct random_source *random, double level)
{
	return level + ((double)random_between(random, 0, 2000) - 1000) / 10000;
}

static void a_level_is_no_change(void **state)
{
	struct random_source random = { 3 };
	struct hkm_change change;

	(void)state;
	hkm_change_start(&change, 0.1, 0.8);
	for (size_t i = 0; i < 100000; i++)
		assert_false(hkm_change_add(&change, noisy(&random, 1)));
}

static void a_step_is_noticed_soon_in_both_directions(void **state)
{
	static const double levels[] = { 1.5, 0.5 };

	(void)state;
	for (size_t l = 0; l < 2; l++) {
		struct random_source random = { 4 };
		struct hkm_change change;
		size_t after = 0;

		hkm_change_start(&change, 0.1, 0.8);
		for (size_t i = 0; i < 50; i++)
			assert_false(hkm_change_add(&change, noisy(&random, 1)));
		while (!hkm_change_add(&change, noisy(&random, levels[l])))
			assert_true(++after < 6);
		for (size_t i = 0; i < 1000; i++) /* the new level is the level now */
			assert_false(hkm_change_add(&change, noisy(&random, levels[l])));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_pid_reaches_its_target_and_stays),
		cmocka_unit_test(a_pid_does_not_wind_up),
		cmocka_unit_test(a_dead_signal_changes_nothing),
		cmocka_unit_test(a_new_target_makes_no_kick),
		cmocka_unit_test(the_seeds_step_is_the_seeds),
		cmocka_unit_test(a_level_is_no_change),
		cmocka_unit_test(a_step_is_noticed_soon_in_both_directions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
