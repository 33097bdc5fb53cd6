/* quantile.h - provisional: an asymmetric step towards the quantile; helper `controllers` has P2. */
#ifndef HKM_QUANTILE_H
#define HKM_QUANTILE_H
struct hkm_quantile {
	double p, value, step;
	unsigned long count;
};
static inline void hkm_quantile_start(struct hkm_quantile *q, double p)
{
	*q = (struct hkm_quantile){ .p = p };
}
static inline void hkm_quantile_add(struct hkm_quantile *q, double x)
{
	if (q->count++ == 0)
		q->value = x;
	q->step = q->value / 50 + 1;
	q->value += x > q->value ? q->step * q->p : -q->step * (1 - q->p);
}
static inline double hkm_quantile_value(const struct hkm_quantile *q)
{
	return q->value;
}
#endif
