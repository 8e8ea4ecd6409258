/* SPDX-License-Identifier: MIT */
/*
 * park_test.c - what a wait leaves behind on its worker: nothing.
 */
#include "harness.h"

#include <weft/chan.h>
#include <weft/scope.h>

#include "worker.h"

enum { ROUNDS = 100 };

static chan(int) ch;

static uint32_t
timers_armed(void)
{
	const struct timers *h = &worker_self()->timers;
	uint32_t i, n = 0;

	for (i = 0; i < h->room; i++)
		n += h->node[i].armed != 0;
	return n;
}

static int
send_some(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < ROUNDS; i++)
		test_result(chan_send(ch, i), 0);
	return 0;
}

static int
waits_that_end_otherwise(void *arg)
{
	struct co_task t;
	int i, v;

	(void)arg;
	test_result(co_fork(&t, send_some, NULL), 0);
	for (i = 0; i < ROUNDS / 2; i++) {
		test_result(co_select(co_on_recv(ch, &v),
		    co_on_timeout(i & 1 ? CO_MS(20000) : CO_SEC(3600))), 0);
		ck_assert_uint_eq(timers_armed(), 0);
	}
	for (; i < ROUNDS; i++) {
		co_timeout(CO_SEC(3600))
			test_result(chan_recv(ch, &v), 0);
		ck_assert_uint_eq(timers_armed(), 0);
	}
	test_result(co_join(&t), 0);
	return 0;
}

TEST(a_wait_that_ends_otherwise_leaves_no_timer)
{
	ch = chan_new(int, 0);
	test_result(test_run(1, waits_that_end_otherwise, NULL), 0);
	chan_unref(ch);
}

static int
sleep_long(void *arg)
{
	(void)arg;
	return co_sleep(CO_SEC(3600));
}

static int
cancels_sleepers(void *arg)
{
	struct co_scope s;
	int i;

	(void)arg;
	co_scope(s) {
		for (i = 0; i < ROUNDS; i++)
			test_result(co_spawn(sleep_long, NULL), 0);
		while (timers_armed() < ROUNDS)
			co_yield();
		co_cancel(&s);
	}
	ck_assert_uint_eq(timers_armed(), 0);
	return 0;
}

TEST(a_cancelled_sleep_leaves_no_timer)
{
	test_result(test_run(1, cancels_sleepers, NULL), 0);
}
