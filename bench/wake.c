/* SPDX-License-Identifier: MIT */
/*
 * wake.c - how long until a coroutine runs that a plain thread wakes, when the
 * runtime has gone to sleep?
 *
 * -n: wakes, one each 500 us.  Two switches of the kernel are in it; with one
 * processor (taskset) the waker has to step aside too.
 */
#include "runtime.h"

#include <pthread.h>

static struct co_sem post = CO_SEM_INIT(0);
static struct co_sem seen = CO_SEM_INIT(0);
static int64_t posted;		/* written before post, read after it */

static void *
waker(void *arg)
{
	const struct timespec pause = { .tv_nsec = 500 * 1000 };
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++) {
		nanosleep(&pause, NULL);
		posted = bench_now();
		bench_check(co_sem_post(&post) == 0, "co_sem_post");
		bench_check(co_sem_wait(&seen) == 0, "co_sem_wait");
	}
	return NULL;
}

static int
body(void *arg)
{
	double *late = calloc((size_t)bench.n, sizeof *late);
	pthread_t thread;
	long i;

	(void)arg;
	bench_check(late && pthread_create(&thread, NULL, waker, NULL) == 0,
	    "a thread");
	for (i = 0; i < bench.n; i++) {
		bench_check(co_sem_wait(&post) == 0, "co_sem_wait");
		late[i] = (double)(bench_now() - posted) / 1e3;
		bench_check(late[i] >= 0, "no wake before its post");
		bench_check(co_sem_post(&seen) == 0, "co_sem_post");
	}
	pthread_join(thread, NULL);
	bench_result("wake", bench_percentile(late, bench.n, 0.5), "us");
	bench_result("wake_p99", bench_percentile(late, bench.n, 0.99), "us");
	free(late);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 1000, 0);
	return bench_run(body);
}
