/* SPDX-License-Identifier: MIT */
/*
 * pthread.c - threads of the kernel, where they can be compared at all.
 */
#include "peer.h"

#include <pthread.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t not_empty = PTHREAD_COND_INITIALIZER;
static pthread_cond_t not_full = PTHREAD_COND_INITIALIZER;

static void
start_thread(pthread_t *t, void *(*fn)(void *), void *arg)
{
	pthread_attr_t attr;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 256 * 1024);
	bench_check(pthread_create(t, &attr, fn, arg) == 0, "pthread_create");
	pthread_attr_destroy(&attr);
}

static void *
one(void *arg)
{
	++*(long *)arg;
	return NULL;
}

static void
spawn_question(void)
{
	int64_t start = bench_now();
	long i, ran = 0;
	pthread_t t;

	for (i = 0; i < bench.n; i++) {
		start_thread(&t, one, &ran);
		pthread_join(t, NULL);
	}
	peer_each("spawn_join", start, bench.n);
	bench_check(ran == bench.n, "each ran once");
}

/* A queue of room for 128, with a lock and two conditions. */
static int queue[128];
static unsigned head, tail;
static long received;		/* [mutex] */

static void *
sender(void *arg)
{
	long i;

	(void)arg;
	for (i = 0; i < bench.n / bench.k; i++) {
		pthread_mutex_lock(&mutex);
		while (tail - head == 128)
			pthread_cond_wait(&not_full, &mutex);
		queue[tail++ % 128] = (int)(i & 0xff);
		pthread_mutex_unlock(&mutex);
		pthread_cond_signal(&not_empty);
	}
	return NULL;
}

static void *
receiver(void *sum)
{
	long i;

	for (i = 0; i < bench.n / bench.k; i++) {
		pthread_mutex_lock(&mutex);
		while (tail == head)
			pthread_cond_wait(&not_empty, &mutex);
		*(long *)sum += queue[head++ % 128];
		received++;
		pthread_mutex_unlock(&mutex);
		pthread_cond_signal(&not_full);
	}
	return NULL;
}

static void
buffered_question(void)
{
	long i, k, sum = 0, wanted = 0, sums[64][8] = { { 0 } };
	int64_t start = bench_now();
	pthread_t in[64], out[64];
	char metric[32];

	for (k = 0; k < bench.k; k++) {
		start_thread(&in[k], sender, NULL);
		start_thread(&out[k], receiver, sums[k]);
	}
	for (k = 0; k < bench.k; k++) {
		pthread_join(in[k], NULL);
		pthread_join(out[k], NULL);
		sum += sums[k][0];
	}
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, start, bench.n);
	for (i = 0; i < bench.n / bench.k; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * bench.k, "the sum of the messages");
}

static long ball;		/* [mutex] even: for the pong side */

static void
play(long parity)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		pthread_mutex_lock(&mutex);
		while (ball % 2 != parity)
			pthread_cond_wait(parity ? &not_full : &not_empty,
			    &mutex);
		ball++;
		pthread_cond_signal(parity ? &not_empty : &not_full);
		pthread_mutex_unlock(&mutex);
	}
}

static void *
pong(void *arg)
{
	(void)arg;
	play(1);
	return NULL;
}

static void
pingpong_question(void)
{
	int64_t start = bench_now();
	pthread_t t;

	start_thread(&t, pong, NULL);
	play(0);
	pthread_join(t, NULL);
	peer_each("pingpong", start, 2.0 * bench.n);
	bench_check(ball == 2 * bench.n, "every ball came back");
}

static void
mutex_question(void)
{
	int64_t start = bench_now();
	long i;

	for (i = 0; i < bench.n; i++) {
		pthread_mutex_lock(&mutex);
		received++;
		pthread_mutex_unlock(&mutex);
	}
	peer_each("mutex_free", start, bench.n);
	bench_check(received == bench.n, "every lock counts");
}

static void *
compute(void *arg)
{
	uint64_t (*range)[8] = arg, x;
	long i, k;

	for (k = 0; k < (long)range[0][1]; k++) {
		for (x = range[k][0], i = 0; i < bench.k; i++)
			x = x * UINT64_C(6364136223846793005) +
			    1442695040888963407u;
		range[k][0] = x;
	}
	return NULL;
}

static double
compute_with(long threads)
{
	uint64_t (*v)[8] = (uint64_t (*)[8])calloc((size_t)bench.n, sizeof *v);
	int64_t start = bench_now();
	pthread_t t[2];
	long i;

	bench_check(v != NULL, "memory");
	for (i = 0; i < threads; i++) {
		v[i * bench.n / 2][1] = (uint64_t)(bench.n / threads);
		start_thread(&t[i], compute, v[i * bench.n / 2]);
	}
	for (i = 0; i < threads; i++)
		pthread_join(t[i], NULL);
	free(v);
	return (double)(bench_now() - start);
}

static void
steal_question(void)
{
	double one_thread = compute_with(1);

	bench_result("steal", one_thread / compute_with(2), "x");
}

static void *
waiter(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&mutex);
	received++;
	for (;;)
		pthread_cond_wait(&not_empty, &mutex);
	return NULL;
}

static void
parked_question(void)
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int64_t start = bench_now();
	long i, all = 0;
	pthread_t t;

	for (i = 0; i < bench.n; i++)
		start_thread(&t, waiter, NULL);
	while (all < bench.n) {
		usleep(1000);
		pthread_mutex_lock(&mutex);
		all = received;
		pthread_mutex_unlock(&mutex);
	}
	peer_each("parked_create", start, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
	_exit(0);
}

static int64_t posted;		/* [mutex] 0: nothing yet */

static void *
waker(void *arg)
{
	const struct timespec pause = { .tv_nsec = 500 * 1000 };
	long i;

	(void)arg;
	for (i = 0; i < bench.n; i++) {
		nanosleep(&pause, NULL);
		pthread_mutex_lock(&mutex);
		posted = bench_now();
		pthread_cond_signal(&not_empty);
		while (posted != 0)
			pthread_cond_wait(&not_full, &mutex);
		pthread_mutex_unlock(&mutex);
	}
	return NULL;
}

static void
wake_question(void)
{
	double *late = (double *)calloc((size_t)bench.n, sizeof *late);
	pthread_t t;
	long i;

	bench_check(late != NULL, "memory");
	start_thread(&t, waker, NULL);
	for (i = 0; i < bench.n; i++) {
		pthread_mutex_lock(&mutex);
		while (posted == 0)
			pthread_cond_wait(&not_empty, &mutex);
		late[i] = (double)(bench_now() - posted) / 1e3;
		posted = 0;
		pthread_cond_signal(&not_full);
		pthread_mutex_unlock(&mutex);
	}
	pthread_join(t, NULL);
	bench_result("wake", bench_percentile(late, bench.n, 0.5), "us");
	bench_result("wake_p99", bench_percentile(late, bench.n, 0.99), "us");
	free(late);
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "spawn", spawn_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "mutex", mutex_question },
		{ "steal", steal_question },
		{ "parked", parked_question },
		{ "wake", wake_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
