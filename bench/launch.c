/* launch.c - runs one program under one allocator and reports what it cost.
 *
 * Usage: launch REPORT LIBRARY PROGRAM ARGUMENT...
 * LIBRARY is preloaded into the program ("" for none); one JSON object goes to the file REPORT.
 *
 * The peak resident memory that the system reports for a child starts from its parent's at the
 * time of the fork, so a Python parent would hide every small program: this launcher is tiny.
 * Times and faults include the program's own children; the peak is the largest of them. The
 * resident memory at the end is read when the program's main thread is about to leave, where
 * ptrace stops it; nothing else of the program is traced. */
#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double seconds_now(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double seconds_of(struct timeval time)
{
	return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

/* The resident memory of a process in KiB, 0 if it cannot be read. */
static long resident_kib(pid_t process)
{
	char path[64];
	long resident = 0;
	snprintf(path, sizeof path, "/proc/%d/statm", (int)process);
	FILE *file = fopen(path, "r");
	if (file != NULL) {
		if (fscanf(file, "%*s %ld", &resident) != 1)
			resident = 0;
		fclose(file);
	}
	return resident * (sysconf(_SC_PAGESIZE) / 1024);
}

/* Waits until the process has ended; its wait status. */
static int wait_for(pid_t process, struct rusage *usage, long *end_kib)
{
	int status;
	while (wait4(process, &status, __WALL, usage) == process && WIFSTOPPED(status)) {
		int event = status >> 16;
		if (event == PTRACE_EVENT_EXIT)
			*end_kib = resident_kib(process);
		/* Any other stop was caused by a signal, which is passed on. */
		int signal_number = event == 0 ? WSTOPSIG(status) : 0;
		ptrace(PTRACE_CONT, process, NULL, (void *)(long)signal_number);
	}
	return status;
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: launch REPORT LIBRARY PROGRAM ARGUMENT...\n");
		return 2;
	}
	FILE *report = fopen(argv[1], "we");
	if (report == NULL) {
		perror(argv[1]);
		return 2;
	}
	if (argv[2][0] != 0)
		setenv("LD_PRELOAD", argv[2], 1);

	struct rusage usage;
	memset(&usage, 0, sizeof usage);
	long end_kib = 0;
	pid_t process;
	double start = seconds_now();
	errno = posix_spawnp(&process, argv[3], NULL, NULL, &argv[3], environ);
	if (errno != 0) {
		perror(argv[3]);
		return 127;
	}
	/* Failing to trace costs only the figure of the end. */
	ptrace(PTRACE_SEIZE, process, NULL, (void *)(long)PTRACE_O_TRACEEXIT);
	int status = wait_for(process, &usage, &end_kib);
	double wall = seconds_now() - start;

	fprintf(report,
		"{\"wall\": %.6f, \"processor\": %.6f, \"system\": %.6f, \"peak_kib\": %ld, \"end_kib\": %ld, \"faults\": %ld, "
		"\"switches\": %ld}\n",
		wall, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), seconds_of(usage.ru_stime),
		usage.ru_maxrss, end_kib, usage.ru_minflt + usage.ru_majflt, usage.ru_nvcsw);
	fclose(report);
	if (WIFSIGNALED(status))
		fprintf(
			stderr, "%s: killed by signal %d (%s)\n", argv[3], WTERMSIG(status), strsignal(WTERMSIG(status)));
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
