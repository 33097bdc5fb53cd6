/* pid.h - provisional; helper `controllers` has the real one. */
#ifndef HKM_PID_H
#define HKM_PID_H
struct hkm_pid {
	double kp, ki, kd, deadband, out_min, out_max;
	double integral, last;
};
static inline double hkm_pid_step(struct hkm_pid *pid, double target, double measured, double dt_seconds)
{
	double error = target - measured;
	if (error < pid->deadband && error > -pid->deadband)
		return 0;
	pid->integral += error * dt_seconds;
	double out = pid->kp * error + pid->ki * pid->integral - pid->kd * (measured - pid->last);
	pid->last = measured;
	return out < pid->out_min ? pid->out_min : out > pid->out_max ? pid->out_max : out;
}
static inline int hkm_cap_step(int capacity, double rate, double target, double eps, int step, int min, int max)
{
	int next = rate < target - eps ? capacity + step : rate > target + eps ? capacity - step : capacity;
	return next < min ? min : next > max ? max : next;
}
#endif
