/* numeric.h - the two functions of the mathematics library that the controllers need, as libhakmem links nothing but
 * libc. Pure; any thread.
 */
#ifndef HKM_NUMERIC_H
#define HKM_NUMERIC_H

/* Natural logarithm of x > 0; relative error below 1e-9. */
double hkm_ln(double x);

/* e to the x; relative error below 1e-9; 0 below -700, the largest result for x above 700. */
double hkm_exp(double x);

#endif
