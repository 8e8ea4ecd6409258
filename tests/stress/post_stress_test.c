/* SPDX-License-Identifier: MIT */
/*
 * post_stress_test.c - many threads post into a runtime that sleeps: each post
 * is handled, soon, and they do not cost a wake-up each.
 */
#include "harness.h"

#include <linux/futex.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/scope.h>

static uint64_t wakes;		/* [atomic] calls that wake a thread */

/* --- counted calls -------------------------------------------------------- */

long __real_syscall(long number, ...);
long __wrap_syscall(long number, ...);
ssize_t __real_write(int fd, const void *buf, size_t n);
ssize_t __wrap_write(int fd, const void *buf, size_t n);

static void
count(void)
{
	__atomic_add_fetch(&wakes, 1, __ATOMIC_RELAXED);
}

long
__wrap_syscall(long number, ...)
{
	long a[6];
	va_list ap;
	int i;

	va_start(ap, number);
	for (i = 0; i < 6; i++)
		a[i] = va_arg(ap, long);
	va_end(ap);
	if (number == SYS_futex && (a[1] & FUTEX_CMD_MASK) == FUTEX_WAKE)
		count();
	return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* To an eventfd, when it is so short. */
ssize_t
__wrap_write(int fd, const void *buf, size_t n)
{
	if (n == sizeof(uint64_t))
		count();
	return __real_write(fd, buf, n);
}

/* --- posts ---------------------------------------------------------------- */

enum { POSTERS = 16, RECEIVERS = 4, BACKLOG = 256 };

struct note {
	uint32_t from, number;
	int64_t when;
};

static chan(struct note) notes;
static uint32_t each;		/* so many of each thread */

static struct {
	uint64_t n, sum;
	int64_t latest;
} handled[RECEIVERS];

static void
spin(uint64_t n)
{
	volatile uint64_t i;

	for (i = 0; i < n; i++)
		continue;
}

static void *
post(void *arg)
{
	uint32_t me = (uint32_t)(intptr_t)arg, i;
	uint64_t random = test_seed() + me, gap;

	for (i = 0; i < each; i++) {
		gap = test_below(&random, 64);
		if (gap > 60)
			usleep((unsigned)gap);	/* all may be asleep then */
		else
			spin(gap * 20);
		while (chan_len(notes) > BACKLOG)
			usleep(100);	/* that would be no late wake-up */
		test_result(chan_send(notes, (struct note){ me, i,
		    test_now() }), 0);
	}
	return NULL;
}

static int
receive(void *arg)
{
	int i = (int)(intptr_t)arg;
	int64_t late;

	chan_each(struct note, v, notes) {
		late = test_now() - v.when;
		if (late > handled[i].latest)
			handled[i].latest = late;
		handled[i].n++;
		handled[i].sum += (uint64_t)v.from * each + v.number;
	}
	return 0;
}

static int
receive_all(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s)
		for (i = 0; i < RECEIVERS; i++)
			test_result(co_spawn(receive, (void *)(intptr_t)i), 0);
	return s.status;
}

static void *
post_all(void *arg)
{
	pthread_t t[POSTERS];
	int i;

	for (i = 0; i < POSTERS; i++)
		ck_assert_int_eq(pthread_create(&t[i], NULL, post,
		    (void *)(intptr_t)i), 0);
	for (i = 0; i < POSTERS; i++)
		pthread_join(t[i], NULL);
	test_result(chan_close(notes), 0);
	return arg;
}

static void
check_handled(void)
{
	uint64_t posts = (uint64_t)POSTERS * each, n = 0, sum = 0;
	int i;

	for (i = 0; i < RECEIVERS; i++) {
		n += handled[i].n;
		sum += handled[i].sum;
		test_between(handled[i].latest, 0, TEST_SOON);
	}
	ck_assert_uint_eq(n, posts);
	ck_assert_uint_eq(sum, posts * (posts - 1) / 2);
	test_soak("posts", posts);
}

TEST(posts_into_a_runtime_that_sleeps_share_their_wake_ups, .seconds = 120)
{
	pthread_t t;

	each = (uint32_t)(test_count(64000, 10000000) / POSTERS);
	test_seed();		/* made by one */
	FOR_WORKERS(w) {
		memset(handled, 0, sizeof handled);
		notes = chan_new(struct note, CHAN_UNBOUNDED);
		__atomic_store_n(&wakes, 0, __ATOMIC_RELAXED);
		ck_assert_int_eq(pthread_create(&t, NULL, post_all, NULL), 0);
		test_result(test_run(w, receive_all, NULL), 0);
		pthread_join(t, NULL);
		ck_assert_uint_gt(wakes, 0);
		ck_assert_uint_lt(wakes, (uint64_t)POSTERS * each);
		check_handled();
		chan_unref(notes);
	}
}
