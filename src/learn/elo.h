/* elo.h - ratings of strategies from head-to-head windows.
 *
 * The expected score of a against b is 1 / (1 + 10^((Rb - Ra) / 400)); a match moves both ratings by K = 32 times the
 * difference between score and expectation, in opposite directions (Elo, The Rating of Chessplayers, 1978). A softmax over
 * the ratings explores: the chance of a strategy is proportional to exp(rating / temperature). One thread at a time.
 *
 * Invariant: the ratings' sum stays what it was.
 */
#ifndef HKM_ELO_H
#define HKM_ELO_H

#include <stdint.h>

#define HKM_STRATEGIES 8u
#define HKM_ELO_START 1500.0

struct hkm_elo {
	unsigned players;
	double rating[HKM_STRATEGIES];
};

/* Begins with `players` (1 to HKM_STRATEGIES), all rated HKM_ELO_START. */
void hkm_elo_start(struct hkm_elo *elo, unsigned players);

/* A match of a against b; score of a: 1 won, 0.5 drawn, 0 lost, or anything between. */
void hkm_elo_match(struct hkm_elo *elo, unsigned a, unsigned b, double score);

/* A player drawn by softmax; temperature > 0, in rating points. *random_state, not 0, is moved on (xorshift64*). */
unsigned hkm_elo_choose(const struct hkm_elo *elo, double temperature, uint64_t *random_state);

#endif
