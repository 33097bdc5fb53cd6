/* elo.c - see elo.h. */
#include "learn/elo.h"

#include "base/base.h"
#include "learn/numeric.h"

#define K 32.0
#define LN10 2.30258509299404568402

void hkm_elo_start(struct hkm_elo *elo, unsigned players)
{
	HKM_ASSERT(players >= 1 && players <= HKM_STRATEGIES);
	*elo = (struct hkm_elo){ .players = players };
	for (unsigned i = 0; i < players; i++)
		elo->rating[i] = HKM_ELO_START;
}

void hkm_elo_match(struct hkm_elo *elo, unsigned a, unsigned b, double score)
{
	double expected = 1 / (1 + hkm_exp((elo->rating[b] - elo->rating[a]) / 400 * LN10));
	double change = K * (score - expected);
	elo->rating[a] += change;
	elo->rating[b] -= change;
}

/* A number from 0 up to 1. */
static double draw(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return (double)((*state * UINT64_C(2685821657736338717)) >> 11) / 9007199254740992.0;
}

unsigned hkm_elo_choose(const struct hkm_elo *elo, double temperature, uint64_t *random_state)
{
	double highest = elo->rating[0], weight[HKM_STRATEGIES], sum = 0;
	for (unsigned i = 1; i < elo->players; i++)
		highest = elo->rating[i] > highest ? elo->rating[i] : highest;
	for (unsigned i = 0; i < elo->players; i++)
		sum += weight[i] = hkm_exp((elo->rating[i] - highest) / temperature);
	double left = draw(random_state) * sum;
	unsigned chosen = 0;
	while (chosen + 1 < elo->players && left >= weight[chosen])
		left -= weight[chosen++];
	return chosen;
}
