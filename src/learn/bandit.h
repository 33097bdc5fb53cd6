/* bandit.h - UCB1: which of a few values to try next.
 *
 * The arm with the highest mean reward + c * sqrt(ln N / n), N pulls in all, n of this arm; arms that were never pulled come
 * first. (Auer, Cesa-Bianchi and Fischer, "Finite-time analysis of the multiarmed bandit problem", 2002; c = 1.5 is the
 * seed's.) With a memory below 1 all counts and sums fade by it at each reward, so that an arm's past stops counting when
 * the workload changes (discounted UCB: Garivier and Moulines 2011). Rewards are of the order of 1. One thread at a time.
 */
#ifndef HKM_BANDIT_H
#define HKM_BANDIT_H

#define HKM_ARMS 8u

struct hkm_bandit {
	unsigned arms;
	double c;               /* weight of what is not known */
	double memory;          /* 1: nothing is forgotten */
	double pulls[HKM_ARMS]; /* faded with `memory`, as are the sums */
	double sums[HKM_ARMS];  /* of rewards */
};

/* Begins with `arms` (1 to HKM_ARMS) that nothing is known of, and nothing forgotten. */
void hkm_bandit_start(struct hkm_bandit *bandit, unsigned arms, double c);

/* The arm to pull next. */
unsigned hkm_bandit_choose(const struct hkm_bandit *bandit);

/* What pulling an arm has brought. */
void hkm_bandit_reward(struct hkm_bandit *bandit, unsigned arm, double reward);

#endif
