/* quantile.c - see quantile.h; the letters q, n of the paper are height, place here. */
#include "learn/quantile.h"

void hkm_quantile_start(struct hkm_quantile *quantile, double p)
{
	*quantile = (struct hkm_quantile){ .p = p };
}

static void insert_sorted(struct hkm_quantile *quantile, double value)
{
	uint64_t i = quantile->count;
	for (; i > 0 && quantile->height[i - 1] > value; i--)
		quantile->height[i] = quantile->height[i - 1];
	quantile->height[i] = value;
}

static void place_markers(struct hkm_quantile *quantile)
{
	double p = quantile->p;
	const double wanted[HKM_MARKERS] = { 1, 1 + 2 * p, 1 + 4 * p, 3 + 2 * p, 5 };
	for (unsigned i = 0; i < HKM_MARKERS; i++) {
		quantile->place[i] = i + 1;
		quantile->wanted[i] = wanted[i];
	}
}

/* Height of marker i after a step of `by` (-1 or 1) places, on the parabola through it and its neighbours. */
static double parabolic(const struct hkm_quantile *quantile, unsigned i, double by)
{
	const double *q = quantile->height, *n = quantile->place;
	return q[i] + by / (n[i + 1] - n[i - 1]) *
			      ((n[i] - n[i - 1] + by) * (q[i + 1] - q[i]) / (n[i + 1] - n[i]) +
			       (n[i + 1] - n[i] - by) * (q[i] - q[i - 1]) / (n[i] - n[i - 1]));
}

static void move_marker(struct hkm_quantile *quantile, unsigned i)
{
	double *q = quantile->height, *n = quantile->place;
	double lag = quantile->wanted[i] - n[i], by = lag > 0 ? 1 : -1;
	unsigned neighbour = lag > 0 ? i + 1 : i - 1;
	double gap = (n[neighbour] - n[i]) * by; /* places between the two */
	if (lag * by < 1 || gap <= 1)
		return;
	double height = parabolic(quantile, i, by);
	if (height <= q[i - 1] || height >= q[i + 1])
		height = q[i] + (q[neighbour] - q[i]) / gap;
	q[i] = height;
	n[i] += by;
}

void hkm_quantile_add(struct hkm_quantile *quantile, double value)
{
	if (quantile->count < HKM_MARKERS) {
		insert_sorted(quantile, value);
		if (++quantile->count == HKM_MARKERS)
			place_markers(quantile);
		return;
	}
	quantile->count++;
	if (value < quantile->height[0])
		quantile->height[0] = value;
	if (value > quantile->height[4])
		quantile->height[4] = value;
	for (unsigned i = 1; i < HKM_MARKERS; i++)
		if (i == 4 || value < quantile->height[i])
			quantile->place[i]++;
	const double p = quantile->p, step[HKM_MARKERS] = { 0, p / 2, p, (1 + p) / 2, 1 };
	for (unsigned i = 0; i < HKM_MARKERS; i++)
		quantile->wanted[i] += step[i];
	for (unsigned i = 1; i < 4; i++)
		move_marker(quantile, i);
}

double hkm_quantile_value(const struct hkm_quantile *quantile)
{
	if (quantile->count >= HKM_MARKERS)
		return quantile->height[2];
	if (quantile->count == 0)
		return 0;
	return quantile->height[(uint64_t)(quantile->p * (double)(quantile->count - 1) + 0.5)];
}
