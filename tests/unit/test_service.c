/* test_service.c - who is told what was learned, and when, while somebody else has the learner's state. */
#include "unit.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/resource.h>

#include "learn/service.h"

static atomic_bool held, given; /* by `hold`; what it waits for */
static atomic_uint reports;

static void hold(struct hkm_text *text, const struct hkm_report *report)
{
	(void)text;
	(void)report;
	atomic_store(&held, true);
	while (!atomic_load(&given))
		sleep_milliseconds(1);
	atomic_store(&held, false);
}

static void *holder(void *unused)
{
	hkm_service_report(hold, NULL);
	return unused;
}

static void count_report(struct hkm_text *text, const struct hkm_report *report)
{
	(void)text;
	(void)report;
	atomic_fetch_add(&reports, 1);
}

static void require_not_held(struct hkm_text *text, const struct hkm_report *report)
{
	require(!atomic_load(&held), "somebody else has the state");
	count_report(text, report);
}

static pthread_t start_holder(void)
{
	pthread_t thread;

	hkm_policy_start();
	require(pthread_create(&thread, NULL, holder, NULL) == 0, "no thread");
	while (!atomic_load(&held))
		sleep_milliseconds(1);
	return thread;
}

static void *give_later(void *unused)
{
	sleep_milliseconds(50);
	atomic_store(&given, true);
	return unused;
}

ISOLATED(a_report_waits_for_who_has_the_state)
{
	pthread_t first = start_holder(), second;

	require(pthread_create(&second, NULL, give_later, NULL) == 0, "no thread");
	hkm_service_report(require_not_held, NULL);
	require(atomic_load(&reports) == 1, "%u reports", atomic_load(&reports));
	pthread_join(first, NULL);
	pthread_join(second, NULL);
}

ISOLATED(a_report_does_not_wait_forever)
{
	pthread_t thread = start_holder();
	double start = seconds_now();

	hkm_service_report(count_report, NULL);
	require(atomic_load(&reports) == 1 && atomic_load(&held), "%u reports", atomic_load(&reports));
	require(seconds_now() - start > 1, "after %f s", seconds_now() - start);
	atomic_store(&given, true);
	pthread_join(thread, NULL);
}

static void report_in_handler(int signal_number)
{
	(void)signal_number;
	hkm_service_report(count_report, NULL);
}

static void interrupt(struct hkm_text *text, const struct hkm_report *report)
{
	(void)text;
	(void)report;
	raise(SIGUSR1);
}

/* Who is interrupted cannot give the state back. */
ISOLATED(a_signal_handler_does_not_wait_for_its_own_thread)
{
	struct rusage before, after;

	hkm_policy_start();
	getrusage(RUSAGE_THREAD, &before);
	signal(SIGUSR1, report_in_handler);
	hkm_service_report(interrupt, NULL);
	require(atomic_load(&reports) == 1, "%u reports", atomic_load(&reports));
	/* Who waits sleeps, a millisecond at a time. */
	getrusage(RUSAGE_THREAD, &after);
	require(after.ru_nvcsw - before.ru_nvcsw < 20, "slept %ld times", after.ru_nvcsw - before.ru_nvcsw);
	/* It has not given back what was not its own. */
	hkm_service_report(require_not_held, NULL);
	require(atomic_load(&reports) == 2, "%u reports", atomic_load(&reports));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_report_waits_for_who_has_the_state),
		cmocka_unit_test(a_report_does_not_wait_forever),
		cmocka_unit_test(a_signal_handler_does_not_wait_for_its_own_thread),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
