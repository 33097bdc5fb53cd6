/* test_lock.c - the lock excludes, wakes whoever sleeps on it, and leaves errno alone. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/resource.h>
#include <stdatomic.h>

#include "base/lock.h"

#define THREADS 4
#define ROUNDS 50000

static struct hkm_lock lock;
static uint64_t counter; /* guarded by the lock */
static atomic_int inside;

static void *count_up(void *argument)
{
	size_t tries = (size_t)(uintptr_t)argument;

	errno = 77;
	for (size_t i = 0; i < ROUNDS; i++) {
		if (i % 4 >= tries || !hkm_lock_try(&lock))
			hkm_lock_acquire_quiet(&lock);
		require(atomic_fetch_add(&inside, 1) == 0, "two threads hold the lock");
		counter++;
		/* Now and then the holder is interrupted, so that the others go to sleep. */
		if (i % 1024 == 0)
			sched_yield();
		atomic_fetch_sub(&inside, 1);
		if (tries == 0)
			hkm_lock_release_quietly(&lock);
		else
			hkm_lock_release(&lock);
	}
	require(errno == 77, "errno is %d", errno);
	return NULL;
}

static void threads_exclude_each_other(void **state)
{
	pthread_t threads[THREADS];

	(void)state;
	counter = 0;
	for (uintptr_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, count_up, (void *)i), 0);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(counter, THREADS * ROUNDS);
	assert_false(hkm_lock_is_held(&lock));
}

static void *take_and_note(void *argument)
{
	errno = 78;
	hkm_lock_acquire(&lock);
	require(errno == 78, "errno is %d", errno);
	atomic_fetch_add((atomic_int *)argument, 1);
	hkm_lock_release(&lock);
	return NULL;
}

static void sleepers_wait_for_the_release_and_all_wake(void **state)
{
	pthread_t threads[THREADS];
	atomic_int passed = 0;

	(void)state;
	hkm_lock_acquire(&lock);
	for (size_t i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, take_and_note, &passed), 0);
	/* 2: somebody has given up spinning. */
	while (atomic_load(&lock.state) != 2)
		sched_yield();
	sleep_milliseconds(5);
	assert_int_equal(atomic_load(&passed), 0);
	assert_false(hkm_lock_try(&lock));
	hkm_lock_release(&lock);
	for (size_t i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(atomic_load(&passed), THREADS);
	assert_false(hkm_lock_is_held(&lock));
}

static void *take_and_count_sleeps(void *switches)
{
	struct rusage before, after;

	getrusage(RUSAGE_THREAD, &before);
	hkm_lock_acquire(&lock);
	getrusage(RUSAGE_THREAD, &after);
	*(long *)switches = after.ru_nvcsw - before.ru_nvcsw;
	hkm_lock_release(&lock);
	return NULL;
}

/* With hundreds of them, those that wake up to look keep the holder from the processor. */
static void sleepers_sleep_until_they_are_woken(void **state)
{
	pthread_t thread;
	long switches = 0;

	(void)state;
	hkm_lock_acquire(&lock);
	assert_int_equal(pthread_create(&thread, NULL, take_and_count_sleeps, &switches), 0);
	while (atomic_load(&lock.state) != 2)
		sched_yield();
	sleep_milliseconds(100);
	hkm_lock_release(&lock);
	pthread_join(thread, NULL);
	if (switches > 10)
		fail_msg("slept %ld times", switches);
}

static void *take_quiet_and_note(void *argument)
{
	hkm_lock_acquire_quiet(&lock);
	atomic_fetch_add((atomic_int *)argument, 1);
	hkm_lock_release_quietly(&lock);
	return NULL;
}

/* Nobody is woken, but whoever sleeps looks again by itself. */
static void sleepers_notice_a_quiet_release(void **state)
{
	pthread_t thread;
	atomic_int passed = 0;

	(void)state;
	hkm_lock_acquire(&lock);
	assert_int_equal(pthread_create(&thread, NULL, take_quiet_and_note, &passed), 0);
	while (atomic_load(&lock.state) != 2)
		sched_yield();
	sleep_milliseconds(5);
	assert_int_equal(atomic_load(&passed), 0);
	hkm_lock_release_quietly(&lock);
	pthread_join(thread, NULL);
	assert_int_equal(atomic_load(&passed), 1);
	assert_false(hkm_lock_is_held(&lock));
}

static void a_held_lock_cannot_be_tried_and_a_reset_one_is_free(void **state)
{
	struct hkm_lock other = { 0 };

	(void)state;
	assert_false(hkm_lock_is_held(&other));
	assert_true(hkm_lock_try(&other));
	assert_true(hkm_lock_is_held(&other));
	assert_false(hkm_lock_try(&other));
	assert_true(hkm_lock_is_held(&other));
	hkm_lock_release(&other);
	assert_false(hkm_lock_is_held(&other));
	hkm_lock_acquire(&other);
	hkm_lock_reset(&other);
	assert_true(hkm_lock_try(&other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(threads_exclude_each_other),
		cmocka_unit_test(sleepers_wait_for_the_release_and_all_wake),
		cmocka_unit_test(sleepers_sleep_until_they_are_woken),
		cmocka_unit_test(sleepers_notice_a_quiet_release),
		cmocka_unit_test(a_held_lock_cannot_be_tried_and_a_reset_one_is_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
