/* test_bandit.c - choosing among a few: the bandit and the ratings, against arms and players of known worth.
 */
#include "cmocka_tests.h"
#include "support.h"

#include "learn/bandit.h"
#include "learn/elo.h"

static double uniform(struct random_source *random)
{
	return (double)(random_bits(random) >> 11) / 9007199254740992.0;
}

static void every_arm_is_tried_first(void **state)
{
	struct hkm_bandit bandit;

	(void)state;
	hkm_bandit_start(&bandit, 5, 1.5);
	for (unsigned arm = 0; arm < 5; arm++) {
		assert_int_equal(hkm_bandit_choose(&bandit), arm);
		hkm_bandit_reward(&bandit, arm, 0);
	}
}

/* Share of the last half of 4,000 pulls that went to `best`, with arm i worth means[i], plus noise. */
static double share_of(struct hkm_bandit *bandit, const double *means, unsigned best, struct random_source *random)
{
	double pulls = 0;

	for (size_t i = 0; i < 4000; i++) {
		unsigned arm = hkm_bandit_choose(bandit);

		hkm_bandit_reward(bandit, arm, means[arm] + (uniform(random) - 0.5) / 2);
		pulls += i >= 2000 && arm == best;
	}
	return pulls / 2000;
}

static void the_best_arm_is_found(void **state)
{
	static const double means[] = { 0.2, 0.5, 0.9, 0.4 };
	struct random_source random = { 8 };
	struct hkm_bandit bandit;

	(void)state;
	hkm_bandit_start(&bandit, 4, 1.5);
	assert_true(share_of(&bandit, means, 2, &random) > 0.8);
}

static void a_bandit_that_forgets_follows_a_shift(void **state)
{
	static const double before[] = { 0.9, 0.2 }, after[] = { 0.1, 0.8 };
	struct random_source random = { 8 };
	struct hkm_bandit forgets, remembers;
	double share;

	(void)state;
	hkm_bandit_start(&forgets, 2, 0.3);
	forgets.memory = 0.99;
	hkm_bandit_start(&remembers, 2, 0.3);
	share_of(&forgets, before, 0, &random);
	share = share_of(&forgets, after, 1, &random);
	assert_true(share > 0.8);
	for (size_t round = 0; round < 10; round++)
		share_of(&remembers, before, 0, &random);
	assert_true(share_of(&remembers, after, 1, &random) < share);
}

/* Equal arms: none is starved. */
static void equal_arms_share(void **state)
{
	static const double means[] = { 0.5, 0.5, 0.5 };
	struct random_source random = { 8 };
	struct hkm_bandit bandit;

	(void)state;
	hkm_bandit_start(&bandit, 3, 1.5);
	share_of(&bandit, means, 0, &random);
	for (unsigned arm = 0; arm < 3; arm++)
		assert_true(bandit.pulls[arm] > 400);
}

/* ---- Ratings ------------------------------------------------------------------------------- */

/* Players win in proportion to their strength; 2,000 matches. */
static void play(struct hkm_elo *elo, const double *strength, unsigned players, struct random_source *random)
{
	hkm_elo_start(elo, players);
	for (size_t match = 0; match < 2000; match++) {
		unsigned a = (unsigned)random_between(random, 0, players - 1);
		unsigned b = (a + 1 + (unsigned)random_between(random, 0, players - 2)) % players;

		hkm_elo_match(elo, a, b, uniform(random) < strength[a] / (strength[a] + strength[b]) ? 1 : 0);
	}
}

static void ratings_order_players_by_strength(void **state)
{
	static const double strength[] = { 1, 8, 64, 8.0 * 64 };
	struct random_source random = { 21 };
	struct hkm_elo elo;
	double sum = 0;

	(void)state;
	play(&elo, strength, 4, &random);
	for (unsigned i = 0; i < 4; i++)
		sum += elo.rating[i];
	for (unsigned i = 0; i < 3; i++)
		assert_true(elo.rating[i] < elo.rating[i + 1]);
	assert_true(sum > 4 * HKM_ELO_START - 0.001 && sum < 4 * HKM_ELO_START + 0.001);
}

static void draws_between_equals_change_nothing(void **state)
{
	struct hkm_elo elo;

	(void)state;
	hkm_elo_start(&elo, 2);
	for (size_t i = 0; i < 100; i++)
		hkm_elo_match(&elo, 0, 1, 0.5);
	assert_true(elo.rating[0] == HKM_ELO_START && elo.rating[1] == HKM_ELO_START);
}

static void a_softmax_prefers_and_still_explores(void **state)
{
	struct hkm_elo elo;
	uint64_t random_state = 1;
	unsigned chosen[3] = { 0 }, cold = 0;

	(void)state;
	hkm_elo_start(&elo, 3);
	elo.rating[2] += 100;
	for (size_t i = 0; i < 10000; i++)
		chosen[hkm_elo_choose(&elo, 100, &random_state)]++;
	/* e to 1 and 1: shares of 0.576 and 0.212. */
	assert_in_range(chosen[2], 5500, 6000);
	assert_in_range(chosen[0], 1900, 2350);
	assert_in_range(chosen[1], 1900, 2350);
	for (size_t i = 0; i < 1000; i++)
		cold += hkm_elo_choose(&elo, 1, &random_state) == 2;
	assert_int_equal(cold, 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_arm_is_tried_first),
		cmocka_unit_test(the_best_arm_is_found),
		cmocka_unit_test(a_bandit_that_forgets_follows_a_shift),
		cmocka_unit_test(equal_arms_share),
		cmocka_unit_test(ratings_order_players_by_strength),
		cmocka_unit_test(draws_between_equals_change_nothing),
		cmocka_unit_test(a_softmax_prefers_and_still_explores),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
