/* elo.h - provisional; helper `controllers` has the real one. */
#ifndef HKM_ELO_H
#define HKM_ELO_H
#include <stdint.h>
#define HKM_STRATEGIES 8u
struct hkm_elo {
	unsigned n;
	double rating[HKM_STRATEGIES];
};
static inline void hkm_elo_start(struct hkm_elo *e, unsigned n)
{
	*e = (struct hkm_elo){ .n = n };
}
static inline void hkm_elo_match(struct hkm_elo *e, unsigned a, unsigned b, double score)
{
	e->rating[a] += 32 * (score - 0.5);
	e->rating[b] -= 32 * (score - 0.5);
}
static inline unsigned hkm_elo_choose(const struct hkm_elo *e, double temperature, uint64_t *random_state)
{
	(void)temperature;
	*random_state = *random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)(*random_state >> 33) % e->n;
}
#endif
