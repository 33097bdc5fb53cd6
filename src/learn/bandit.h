/* bandit.h - provisional; helper `controllers` has the real one. */
#ifndef HKM_BANDIT_H
#define HKM_BANDIT_H
#define HKM_ARMS 8u
struct hkm_bandit {
	unsigned arms;
	double c, n[HKM_ARMS], sum[HKM_ARMS];
};
static inline void hkm_bandit_start(struct hkm_bandit *b, unsigned arms, double c)
{
	*b = (struct hkm_bandit){ .arms = arms, .c = c };
}
static inline unsigned hkm_bandit_choose(const struct hkm_bandit *b)
{
	unsigned best = 0;
	double most = -1;
	for (unsigned i = 0; i < b->arms; i++) {
		double score = b->n[i] == 0 ? 1e9 - i : b->sum[i] / b->n[i] + b->c / b->n[i];
		if (score > most) {
			most = score;
			best = i;
		}
	}
	return best;
}
static inline void hkm_bandit_reward(struct hkm_bandit *b, unsigned arm, double reward)
{
	b->n[arm]++;
	b->sum[arm] += reward;
}
#endif
