/* pid.c - see pid.h. */
#include "learn/pid.h"

double hkm_pid_step(struct hkm_pid *pid, double target, double measured, double seconds)
{
	double error = target - measured;
	double slope = pid->started && seconds > 0 ? (measured - pid->last) / seconds : 0;
	pid->last = measured;
	pid->started = true;
	if (error <= pid->deadband && error >= -pid->deadband)
		return 0;
	double integral = pid->integral + error * seconds;
	double output = pid->kp * error + pid->ki * integral - pid->kd * slope;
	bool winds_up = (output > pid->out_max && error > 0) || (output < pid->out_min && error < 0);
	if (!winds_up)
		pid->integral = integral;
	return output < pid->out_min ? pid->out_min : output > pid->out_max ? pid->out_max : output;
}

int hkm_cap_step(int capacity, double hit_rate, double target, double epsilon, int step, int least, int most)
{
	if (hit_rate < target - epsilon)
		capacity += step;
	else if (hit_rate > target + epsilon)
		capacity -= step;
	return capacity < least ? least : capacity > most ? most : capacity;
}
