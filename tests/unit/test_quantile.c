/* test_quantile.c - the P2 estimator against exact quantiles, on streams that it likes and streams that it does not.
 */
#include "cmocka_tests.h"
#include "support.h"

#include <math.h>
#include <stdlib.h>

#include "learn/numeric.h"
#include "learn/quantile.h"

#define COUNT 20000

static double stream[COUNT], sorted[COUNT];

static double uniform(struct random_source *random)
{
	return ((double)(random_bits(random) >> 11) + 0.5) / 9007199254740992.0;
}

static double normal(struct random_source *random)
{
	return sqrt(-2 * log(uniform(random))) * cos(6.283185307179586 * uniform(random));
}

/* The streams; each fills `stream`. */
static double even(struct random_source *random, size_t i) { (void)i; return uniform(random); }
static double lognormal(struct random_source *random, size_t i) { (void)i; return exp(2 * normal(random)); }
static double heavy(struct random_source *random, size_t i) { (void)i; return pow(uniform(random), -1 / 1.5); }
static double rising(struct random_source *random, size_t i) { (void)random; return (double)i; }
static double falling(struct random_source *random, size_t i) { (void)random; return (double)(COUNT - i); }
static double alternating(struct random_source *random, size_t i)
{
	return i % 2 == 0 ? uniform(random) : 100 + uniform(random);
}
/* Slow paths: most of them short, some with page faults, a few with a purge. */
static double latency(struct random_source *random, size_t i)
{
	double roll = uniform(random);
	(void)i;
	return roll < 0.9 ? 80 + 20 * normal(random) : roll < 0.98 ? 1600 + 200 * normal(random) : 50000 * uniform(random);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* How far, as a share of all values, the estimate lies from the p-quantile. */
static double rank_error(double estimate, double p)
{
	size_t below = 0, equal = 0;
	double low, high;

	for (size_t i = 0; i < COUNT; i++) {
		below += sorted[i] < estimate;
		equal += sorted[i] == estimate;
	}
	low = (double)below / COUNT;
	high = (double)(below + equal) / COUNT;
	return p < low ? low - p : p > high ? p - high : 0;
}

static void estimates_are_close(void **state)
{
	static const struct {
		const char *name;
		double (*next)(struct random_source *random, size_t i);
		double bound;
	} streams[] = {
		{ "even", even, 0.02 }, { "log-normal", lognormal, 0.02 }, { "heavy-tailed", heavy, 0.02 },
		{ "latency", latency, 0.02 }, { "alternating", alternating, 0.02 },
		{ "rising", rising, 0.02 }, { "falling", falling, 0.02 },
	};
	static const double ps[] = { 0.5, 0.95, 0.99 };

	(void)state;
	for (size_t s = 0; s < sizeof streams / sizeof streams[0]; s++) {
		struct random_source random = { 11 };

		for (size_t i = 0; i < COUNT; i++)
			sorted[i] = stream[i] = streams[s].next(&random, i);
		qsort(sorted, COUNT, sizeof sorted[0], compare);
		for (size_t q = 0; q < 3; q++) {
			struct hkm_quantile quantile;
			double error;

			hkm_quantile_start(&quantile, ps[q]);
			for (size_t i = 0; i < COUNT; i++)
				hkm_quantile_add(&quantile, stream[i]);
			error = rank_error(hkm_quantile_value(&quantile), ps[q]);
			if (error > streams[s].bound)
				fail_msg("%s, p %.2f: off by %.3f of the ranks", streams[s].name, ps[q], error);
		}
	}
}

static void few_values_are_exact(void **state)
{
	static const double values[] = { 5, 1, 4, 2 };
	struct hkm_quantile quantile;

	(void)state;
	hkm_quantile_start(&quantile, 0.5);
	assert_true(hkm_quantile_value(&quantile) == 0);
	for (size_t i = 0; i < 3; i++)
		hkm_quantile_add(&quantile, values[i]);
	assert_true(hkm_quantile_value(&quantile) == 4);
	hkm_quantile_add(&quantile, values[3]);
	assert_true(hkm_quantile_value(&quantile) == 4 || hkm_quantile_value(&quantile) == 2);
}

/* Streams of one value and of two: the estimate is between the smallest and the largest, and right where it can be. */
static void degenerate_streams_do_no_harm(void **state)
{
	struct hkm_quantile quantile;

	(void)state;
	hkm_quantile_start(&quantile, 0.99);
	for (size_t i = 0; i < 1000; i++)
		hkm_quantile_add(&quantile, 7);
	assert_true(hkm_quantile_value(&quantile) == 7);
	hkm_quantile_start(&quantile, 0.5);
	for (size_t i = 0; i < 10000; i++)
		hkm_quantile_add(&quantile, i % 10 == 0 ? 1000 : 1);
	assert_true(hkm_quantile_value(&quantile) >= 1 && hkm_quantile_value(&quantile) < 2);
}

static void the_two_functions_are_precise(void **state)
{
	(void)state;
	for (double x = 1e-6; x < 1e9; x *= 1.37)
		assert_true(fabs(hkm_ln(x) - log(x)) <= 1e-9 * (1 + fabs(log(x))));
	for (double x = -50; x < 50; x += 0.37)
		assert_true(fabs(hkm_exp(x) - exp(x)) <= 1e-9 * exp(x));
	assert_true(hkm_exp(-1e9) == 0 && isfinite(hkm_exp(1e9)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(estimates_are_close),
		cmocka_unit_test(few_values_are_exact),
		cmocka_unit_test(degenerate_streams_do_no_harm),
		cmocka_unit_test(the_two_functions_are_precise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
