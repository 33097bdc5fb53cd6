/* numeric.c - see numeric.h. */
#include "learn/numeric.h"

#include <stdint.h>
#include <string.h>

#define LN2 0.69314718055994530942

/* x = m * 2^e with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)), a series in a number below 0.172. */
double hkm_ln(double x)
{
	uint64_t bits;
	memcpy(&bits, &x, sizeof bits);
	int exponent = (int)(bits >> 52 & 0x7ff) - 1023;
	bits = (bits & 0xfffffffffffff) | (uint64_t)1023 << 52;
	double m;
	memcpy(&m, &bits, sizeof m);
	if (m > 1.4142135623730951) {
		m /= 2;
		exponent++;
	}
	double s = (m - 1) / (m + 1), square = s * s, power = s, sum = 0;
	for (int n = 1; n < 16; n += 2, power *= square)
		sum += power / n;
	return exponent * LN2 + 2 * sum;
}

/* x = n ln 2 + r with r in [-0.35, 0.35]: Taylor's series of e^r, times 2^n. */
double hkm_exp(double x)
{
	if (x < -700)
		return 0;
	if (x > 700)
		x = 700;
	int n = (int)(x / LN2 + (x < 0 ? -0.5 : 0.5));
	double r = x - n * LN2, term = 1, sum = 1;
	for (int i = 1; i < 14; i++) {
		term *= r / i;
		sum += term;
	}
	uint64_t bits = (uint64_t)(1023 + n) << 52;
	double scale;
	memcpy(&scale, &bits, sizeof scale);
	return sum * scale;
}
