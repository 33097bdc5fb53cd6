/* bandit.c - see bandit.h. */
#include "learn/bandit.h"

#include "base/base.h"
#include "learn/numeric.h"

#define LEAST_PULLS 0.01 /* an arm that has faded below counts as never pulled */

void hkm_bandit_start(struct hkm_bandit *bandit, unsigned arms, double c)
{
	HKM_ASSERT(arms >= 1 && arms <= HKM_ARMS);
	*bandit = (struct hkm_bandit){ .arms = arms, .c = c, .memory = 1 };
}

unsigned hkm_bandit_choose(const struct hkm_bandit *bandit)
{
	double all = 0, most = 0;
	unsigned best = bandit->arms;
	for (unsigned arm = 0; arm < bandit->arms; arm++)
		all += bandit->pulls[arm];
	for (unsigned arm = 0; arm < bandit->arms; arm++) {
		double pulls = bandit->pulls[arm];
		if (pulls < LEAST_PULLS)
			return arm;
		double score = bandit->sums[arm] / pulls;
		if (all > 1)
			score += bandit->c * __builtin_sqrt(hkm_ln(all) / pulls);
		if (best == bandit->arms || score > most) {
			most = score;
			best = arm;
		}
	}
	return best;
}

void hkm_bandit_reward(struct hkm_bandit *bandit, unsigned arm, double reward)
{
	HKM_ASSERT(arm < bandit->arms);
	for (unsigned i = 0; i < bandit->arms; i++) {
		bandit->pulls[i] *= bandit->memory;
		bandit->sums[i] *= bandit->memory;
	}
	bandit->pulls[arm]++;
	bandit->sums[arm] += reward;
}
