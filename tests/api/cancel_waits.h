/* SPDX-License-Identifier: MIT */
/*
 * cancel_waits.h - sleeping, joining, and every wait for channels and for what
 * synchronizes, as rows of a table: what prepares it, the wait, what makes it
 * complete, and what must be left after it.
 * Used by cancel_matrix_test.c.
 */
#ifndef WEFT_TESTS_CANCEL_WAITS_H
#define WEFT_TESTS_CANCEL_WAITS_H

#include "cancel_cell.h"

#include <weft/chan.h>
#include <weft/sync.h>

static struct rig {
	chan(int) ch;
	struct co_mutex m;
	struct co_rwlock rw;
	struct co_cond c;
	struct co_sem sem;
	struct co_event ev, go, held;
	struct co_barrier bar;
	struct co_once once;
	struct co_waitgroup wg;
	struct background holder;
	bool flag;
	bool has_holder;
} r;

static int
wait_sleep(void)
{
	return co_sleep(CO_FOREVER);
}

static int
wait_sleep_until(void)
{
	return co_sleep_until(co_now() + CO_SEC(1000));
}

static void
init_chan0(void)
{
	r.ch = chan_new(int, 0);
}

static void
init_chan1(void)
{
	r.ch = chan_new(int, 1);
}

static void
init_full(void)
{
	init_chan1();
	test_result(chan_send(r.ch, 7), 0);
}

static void
init_unbounded(void)
{
	r.ch = chan_new(int, CHAN_UNBOUNDED);
}

static void
fini_chan(void)
{
	ck_assert_uint_eq(chan_len(r.ch), 0);
	chan_unref(r.ch);
}

static void
fini_full(void)
{
	int v = 0;

	test_result(chan_recv(r.ch, &v), 0);
	ck_assert_int_eq(v, 42);
	fini_chan();
}

static int
wait_recv(void)
{
	int v = -1, code = chan_recv(r.ch, &v);

	ck_assert_int_eq(v, code == 0 ? 42 : -1);
	return code;
}

static int
wait_send(void)
{
	return chan_send(r.ch, 42);
}

static int
finish_recv(void)
{
	int v = 0, code = chan_recv(r.ch, &v);

	return code == 0 && v != 42 ? -EPROTO : code;
}

static int
finish_full(void)
{
	int v = 0, code = chan_recv(r.ch, &v);

	return code == 0 && v != 7 ? -EPROTO : code;
}

static int
wait_null_recv(void)
{
	chan(int) none = NULL;
	int v;

	return chan_recv(none, &v);
}

static int
wait_null_send(void)
{
	chan(int) none = NULL;

	return chan_send(none, 1);
}

static int
wait_each(void)
{
	int got = 0;

	chan_each(int, v, r.ch) {
		got = v;
		break;
	}
	if (got == 42)
		return 0;
	ck_assert(co_cancelled());
	return co_sleep(0);
}

static int
wait_select_recv(void)
{
	int v = -1, w = -1, i;
	chan(int) none = NULL;

	i = co_select(co_on_recv(r.ch, &v), co_on_recv(none, &w));
	ck_assert_int_eq(v, i == 0 ? 42 : -1);
	return i;
}

static int
wait_select_send(void)
{
	int w = -1, i;
	chan(int) none = NULL;

	i = co_select(co_on_recv(none, &w), co_on_send(r.ch, 42));
	ck_assert_int_eq(w, -1);
	return i == 1 ? 0 : i;
}

static int
wait_select_event(void)
{
	return co_select(co_on_event(&r.ev));
}

static int
wait_select_join(void)
{
	int result = 5, i = co_select(co_on_join(&r.holder.task, &result));

	ck_assert_int_eq(result, i == 0 ? 0 : 5);
	return i;
}

static int
wait_select_timeout(void)
{
	return co_select(co_on_timeout(CO_SEC(1000)));
}

static int
wait_select_nothing(void)
{
	return co_select_v(NULL, 0);
}

static void
init_sync(void)
{
	r.m = (struct co_mutex)CO_MUTEX_INIT;
	r.rw = (struct co_rwlock)CO_RWLOCK_INIT;
	r.c = (struct co_cond)CO_COND_INIT;
	r.sem = (struct co_sem)CO_SEM_INIT(0);
	r.ev = (struct co_event)CO_EVENT_INIT;
	r.go = (struct co_event)CO_EVENT_INIT;
	r.held = (struct co_event)CO_EVENT_INIT;
	r.bar = (struct co_barrier)CO_BARRIER_INIT(2);
	r.once = (struct co_once)CO_ONCE_INIT;
	r.wg = (struct co_waitgroup)CO_WAITGROUP_INIT;
	test_result(co_waitgroup_add(&r.wg, 1), 0);
	r.flag = false;
}

/* Whoever holds what is waited for, until r.go is set. */
static void
init_holder(int (*fn)(void))
{
	init_sync();
	start(&r.holder, fn);
	test_result(co_event_wait(&r.held), 0);
}

static int
hold(void)
{
	co_event_set(&r.held);
	return co_event_wait(&r.go);
}

static int
finish_hold(void)
{
	return co_event_set(&r.go);
}

static void
fini_hold(void)
{
	finish(&r.holder);
}

static int
hold_mutex(void)
{
	int code = co_mutex_lock(&r.m);

	code = code ? code : hold();
	return code ? code : co_mutex_unlock(&r.m);
}

static void
init_mutex(void)
{
	init_holder(hold_mutex);
}

static int
wait_mutex(void)
{
	int code = co_mutex_lock(&r.m);

	return code ? code : co_mutex_unlock(&r.m);
}

static int
wait_locked(void)
{
	bool in = false;

	co_locked(&r.m)
		in = true;
	return in ? 0 : co_sleep(CO_FOREVER);
}

static int
hold_rwlock(void)
{
	int code = co_rwlock_wrlock(&r.rw);

	code = code ? code : hold();
	return code ? code : co_rwlock_unlock(&r.rw);
}

static void
init_rwlock(void)
{
	init_holder(hold_rwlock);
}

static int
wait_rdlock(void)
{
	int code = co_rwlock_rdlock(&r.rw);

	return code ? code : co_rwlock_unlock(&r.rw);
}

static int
wait_wrlock(void)
{
	int code = co_rwlock_wrlock(&r.rw);

	return code ? code : co_rwlock_unlock(&r.rw);
}

static int
wait_cond(void)
{
	int code = co_mutex_lock(&r.m);

	if (code)
		return code;
	while (code == 0 && !r.flag)
		code = co_cond_wait(&r.c, &r.m);
	if (code == 0)
		r.flag = false;
	test_result(co_mutex_unlock(&r.m), 0);	/* it is held again */
	return code;
}

static int
finish_cond(void)
{
	int code = co_mutex_lock(&r.m);

	if (code)
		return code;
	r.flag = true;
	co_cond_signal(&r.c);
	return co_mutex_unlock(&r.m);
}

static int
wait_sem(void)
{
	return co_sem_wait(&r.sem);
}

static int
finish_sem(void)
{
	return co_sem_post(&r.sem);
}

static void
fini_sem(void)
{
	test_result(co_sem_try_wait(&r.sem), -EAGAIN);
}

static int
wait_event(void)
{
	return co_event_wait(&r.ev);
}

static int
finish_event(void)
{
	return co_event_set(&r.ev);
}

static int
wait_barrier(void)
{
	int code = co_barrier_wait(&r.bar);

	return code < 0 ? code : 0;
}

static int
hold_once_fn(void *arg)
{
	(void)arg;
	return hold();
}

static int
hold_once(void)
{
	return co_once_do(&r.once, hold_once_fn, NULL);
}

static void
init_once(void)
{
	init_holder(hold_once);
}

static int
wait_once(void)
{
	return co_once_do(&r.once, hold_once_fn, NULL);
}

static int
wait_waitgroup(void)
{
	return co_waitgroup_wait(&r.wg);
}

static int
finish_waitgroup(void)
{
	return co_waitgroup_done(&r.wg);
}

static void
init_join(void)
{
	init_holder(hold);
}

static int
wait_join(void)
{
	return co_join(&r.holder.task);
}

static const struct kind kinds[] = {
	{ "sleep", NULL, wait_sleep, NULL, NULL },
	{ "sleep until", NULL, wait_sleep_until, NULL, NULL },
	{ "recv", init_chan0, wait_recv, wait_send, fini_chan },
	{ "recv, buffered", init_chan1, wait_recv, wait_send, fini_chan },
	{ "recv, unbounded", init_unbounded, wait_recv, wait_send, fini_chan },
	{ "send", init_chan0, wait_send, finish_recv, fini_chan },
	{ "send, full", init_full, wait_send, finish_full, fini_full },
	{ "recv, NULL", NULL, wait_null_recv, NULL, NULL },
	{ "send, NULL", NULL, wait_null_send, NULL, NULL },
	{ "chan_each", init_chan1, wait_each, wait_send, fini_chan },
	{ "select recv", init_chan0, wait_select_recv, wait_send, fini_chan },
	{ "select send", init_chan0, wait_select_send, finish_recv, fini_chan },
	{ "select send, full", init_full, wait_select_send, finish_full,
	  fini_full },
	{ "select event", init_sync, wait_select_event, finish_event, NULL },
	{ "select timeout", NULL, wait_select_timeout, NULL, NULL },
	{ "select nothing", NULL, wait_select_nothing, NULL, NULL },
	{ "mutex", init_mutex, wait_mutex, finish_hold, fini_hold },
	{ "co_locked", init_mutex, wait_locked, finish_hold, fini_hold },
	{ "rdlock", init_rwlock, wait_rdlock, finish_hold, fini_hold },
	{ "wrlock", init_rwlock, wait_wrlock, finish_hold, fini_hold },
	{ "cond", init_sync, wait_cond, finish_cond, NULL },
	{ "sem", init_sync, wait_sem, finish_sem, fini_sem },
	{ "event", init_sync, wait_event, finish_event, NULL },
	{ "barrier", init_sync, wait_barrier, wait_barrier, NULL },
	{ "once", init_once, wait_once, finish_hold, fini_hold },
	{ "waitgroup", init_sync, wait_waitgroup, finish_waitgroup, NULL },
	{ .name = NULL }
};

static const struct kind inside_kinds[] = {
	{ "join", init_join, wait_join, finish_hold, NULL },
	{ "select join", init_join, wait_select_join, finish_hold, NULL },
	{ .name = NULL }
};

#endif
