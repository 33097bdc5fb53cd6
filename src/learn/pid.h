/* pid.h - two rules that move a capacity towards a hit rate.
 *
 *   hkm_pid_step   proportional, integral and derivative parts; positional form turned into changes
 *   hkm_cap_step   the seed's: one step up below target - eps, one down above target + eps
 *
 * The PID has a dead band (an error within it counts as none and clears nothing), takes the derivative from the measurement
 * (a new target makes no kick), and does not integrate while its output is cut off in the same direction (conditional
 * integration, Astrom and Hagglund, PID Controllers, 2nd ed. 1995, section 3.5: no wind-up). One thread at a time.
 */
#ifndef HKM_PID_H
#define HKM_PID_H

#include <stdbool.h>

struct hkm_pid {
	double kp, ki, kd;       /* gains: output per error, per error and second, per change a second */
	double deadband;         /* of the error */
	double out_min, out_max; /* of the output */
	double integral;         /* of the error, in seconds */
	double last;             /* measurement */
	bool started;            /* there is a last one */
};

/* The change to make after `seconds` in which `measured` was seen where `target` was wanted. */
double hkm_pid_step(struct hkm_pid *pid, double target, double measured, double seconds);

/* The seed's rule: the new capacity, within least and most. */
int hkm_cap_step(int capacity, double hit_rate, double target, double epsilon, int step, int least, int most);

#endif
