/* SPDX-License-Identifier: MIT */
/*
 * bcast_test.c - broadcasts: what every subscription sees, who waits for whom,
 * what is missed, and what an end at any moment leaves behind.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/scope.h>
#include <weft/values.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_ACQUIRE)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_ACQ_REL)

static void
run(int workers, co_fn *fn, void *arg)
{
	test_result(test_run(workers, fn, arg), 0);
}

static void
wait_for(const int *n, int want)
{
	while (load(n) < want)
		co_yield();
}

/* --- what is promised of one after the other ----------------------------- */

static int
plain_main(void *arg)
{
	co_bcast(int) b = co_bcast_new(int, 2, CO_BCAST_WAIT);
	co_sub(int) early = co_bcast_subscribe(b), late;
	int v = 9, code = 0;

	(void)arg;
	test_result(co_bcast_send(b, 1), 0);
	late = co_bcast_subscribe(b);
	test_result(co_bcast_send(b, 2), 0);
	co_timeout(CO_MS(1))
		code = co_bcast_send(b, 3);	/* early has read nothing */
	test_result(code, -ETIMEDOUT);
	test_result(co_sub_recv(early, &v), 0);
	ck_assert_int_eq(v, 1);
	test_result(co_bcast_send(b, 3), 0);
	test_result(co_sub_recv(late, &v), 0);
	ck_assert_int_eq(v, 2);			/* from then on */
	test_result(co_bcast_close(b), 0);
	test_result(co_bcast_close(b), -EPIPE);
	test_result(co_bcast_send(b, 4), -EPIPE);
	test_result(co_sub_recv(late, &v), 0);
	ck_assert_int_eq(v, 3);
	test_result(co_sub_recv(late, &v), -EPIPE);
	ck_assert_int_eq(v, 0);
	test_result(co_sub_recv(late, &v), -EPIPE);
	co_sub_unref(late);
	late = co_bcast_subscribe(b);		/* closed: nothing to come */
	test_result(co_sub_recv(late, &v), -EPIPE);
	co_sub_unref(late);
	co_bcast_unref(b);
	test_result(co_sub_recv(early, &v), 0);	/* it outlives b */
	ck_assert_int_eq(v, 2);
	test_result(co_sub_recv(early, &v), 0);
	ck_assert_int_eq(v, 3);
	test_result(co_sub_recv(early, &v), -EPIPE);
	co_sub_unref(early);
	return 0;
}

TEST(a_subscription_sees_what_is_sent_from_then_on)
{
	plain_main(NULL);
	FOR_WORKERS(w)
		run(w, plain_main, NULL);
}

static int
drop_main(void *arg)
{
	co_bcast(int) b = co_bcast_new(int, 3, CO_BCAST_DROP);
	co_sub(int) s = co_bcast_subscribe(b), t = co_bcast_subscribe(b);
	int v, i, status = 9;

	(void)arg;
	for (i = 0; i < 10; i++)
		test_result(co_bcast_send(b, i), 0);
	test_result(co_sub_recv(s, &v), 7);
	ck_assert_int_eq(v, 7);
	test_result(co_bcast_send(b, 10), 0);
	test_result(co_sub_recv(s, &v), 0);
	ck_assert_int_eq(v, 8);
	ck_assert_int_eq(co_select(co_on_sub(t, &v, &status)), 0);
	ck_assert_int_eq(status, 8);
	ck_assert_int_eq(v, 8);
	co_sub_unref(t);		/* with values unread */
	t = co_bcast_subscribe(b);
	test_result(co_bcast_send(b, 11), 0);
	test_result(co_sub_recv(t, &v), 0);
	ck_assert_int_eq(v, 11);
	co_bcast_unref(b);		/* the last one closes */
	for (i = 9; i < 12; i++) {
		test_result(co_sub_recv(s, &v), 0);
		ck_assert_int_eq(v, i);
	}
	test_result(co_sub_recv(s, &v), -EPIPE);
	ck_assert_int_eq(v, 0);
	co_sub_unref(s);
	co_sub_unref(t);
	return 0;
}

TEST(who_is_slow_learns_how_many_were_missed)
{
	drop_main(NULL);
	FOR_WORKERS(w)
		run(w, drop_main, NULL);
}

TEST(no_broadcast_is_an_error)
{
	co_bcast(int) b = NULL;
	co_sub(int) s = NULL;
	int v;

	ck_assert_ptr_null(co_bcast_new(int, 0, CO_BCAST_WAIT));
	ck_assert_ptr_null(co_bcast_new(int, 1, 7));
	ck_assert_ptr_null(co_bcast_new(int, SIZE_MAX, CO_BCAST_DROP));
	ck_assert_ptr_null(co_bcast_new(int, SIZE_MAX / 4, CO_BCAST_DROP));
	test_result(co_bcast_send(b, 1), -EINVAL);
	test_result(co_bcast_close(b), -EINVAL);
	ck_assert_ptr_null(co_bcast_subscribe(b));
	test_result(co_sub_recv(s, &v), -EINVAL);
	test_result(co_select(co_on_sub(s, &v)), -EINVAL);
	ck_assert_ptr_null(co_bcast_ref(NULL));
	ck_assert_ptr_null(co_sub_ref(NULL));
	co_bcast_unref(NULL);
	co_sub_unref(NULL);
}

static int
alone_main(void *arg)
{
	co_bcast(int) b = co_bcast_new(int, 1, CO_BCAST_WAIT);
	co_sub(int) s;
	int i, v;

	(void)arg;
	for (i = 0; i < 100; i++)	/* nobody listens: nobody waits */
		test_result(co_bcast_send(b, i), 0);
	s = co_bcast_subscribe(b);
	test_result(co_bcast_send(b, 100), 0);
	test_result(co_sub_recv(s, &v), 0);
	ck_assert_int_eq(v, 100);
	co_bcast_unref(co_bcast_ref(b));	/* not the last */
	test_result(co_bcast_send(b, 1), 0);
	co_sub_unref(co_sub_ref(s));
	test_result(co_sub_recv(s, &v), 0);
	co_sub_unref(s);
	co_bcast_unref(b);
	return 0;
}

TEST(without_subscriptions_values_are_gone)
{
	alone_main(NULL);
	run(2, alone_main, NULL);
}

/* --- everything to everybody --------------------------------------------- */

struct flow {
	co_bcast(long) b;
	size_t capacity;
	int policy;
	int senders, each;	/* values of each sender */
	int subs;
	int ready, left;	/* [atomic] */
	int cancels;		/* sends and receives are given little time */
	long got, missed;	/* [atomic] */
};

static int
flow_send(void *arg)
{
	struct flow *f = arg;
	long id = (add(&f->left, 1) - 1) & 0xffff;	/* see the end */
	uint64_t seed = test_seed() + (uint64_t)id;
	int i, code;

	for (i = 0; i < f->each; ) {
		code = 0;
		if (f->cancels)
			co_timeout((co_time)test_below(&seed, 30000))
				code = co_bcast_send(f->b, id << 32 | i);
		else
			code = co_bcast_send(f->b, id << 32 | i);
		if (code == 0)
			i++;	/* else nothing was sent: the same again */
		else
			test_result(code, -ETIMEDOUT);
	}
	if (add(&f->left, 0x10000) >> 16 == f->senders)
		test_result(co_bcast_close(f->b), 0);
	return 0;
}

static int
flow_next(struct flow *f, co_sub(long) s, long *v, uint64_t *seed)
{
	int code = 0, status = 0;

	if (f->cancels) {
		co_timeout((co_time)test_below(seed, 30000))
			code = co_sub_recv(s, v);
		return code;
	}
	if (test_below(seed, 2))
		return co_sub_recv(s, v);
	ck_assert_int_eq(co_select(co_on_sub(s, v, &status)), 0);
	return status;
}

/* Each sender's values in order, and all of them but those missed. */
static int
flow_recv(void *arg)
{
	struct flow *f = arg;
	co_sub(long) s = co_bcast_subscribe(f->b);
	uint64_t seed = test_seed() ^ co_id() ^ (uint64_t)(uintptr_t)s;
	long next[8] = { 0 }, v, got = 0, missed = 0;
	int code;

	add(&f->ready, 1);
	while ((code = flow_next(f, s, &v, &seed)) != -EPIPE) {
		if (code == -ETIMEDOUT)
			continue;
		ck_assert_int_ge(code, 0);
		missed += code;
		got++;
		if (f->policy == CO_BCAST_WAIT)
			ck_assert_int_eq(v & 0xffffffff, next[v >> 32]);
		else
			ck_assert_int_ge(v & 0xffffffff, next[v >> 32]);
		next[v >> 32] = (v & 0xffffffff) + 1;
	}
	ck_assert_int_eq(v, 0);
	ck_assert_int_eq(got + missed, (long)f->senders * f->each);
	if (f->policy == CO_BCAST_WAIT)
		ck_assert_int_eq(missed, 0);
	add(&f->got, got);
	co_sub_unref(s);
	return 0;
}

static void *
flow_recv_thread(void *arg)
{
	flow_recv(arg);
	return NULL;
}

static void *
flow_send_thread(void *arg)
{
	flow_send(arg);
	return NULL;
}

static int
flow_main(void *arg)
{
	struct flow *f = arg;
	pthread_t thread[2];
	struct co_scope s;
	int i;

	f->b = co_bcast_new(long, f->capacity, f->policy);
	f->ready = f->left = 0;
	f->got = 0;
	ck_assert(!pthread_create(&thread[0], NULL, flow_recv_thread, f));
	co_scope(s) {
		for (i = 1; i < f->subs; i++)
			co_spawn(flow_recv, f);
		wait_for(&f->ready, f->subs);
		ck_assert(!pthread_create(&thread[1], NULL, flow_send_thread,
		    f));
		for (i = 1; i < f->senders; i++)
			co_spawn(flow_send, f);
	}
	pthread_join(thread[0], NULL);
	pthread_join(thread[1], NULL);
	ck_assert_int_eq(s.status, 0);
	co_bcast_unref(f->b);
	return 0;
}

static void
flows(int policy, int cancels)
{
	static const size_t caps[] = { 1, 2, 7, 64 };
	struct flow f = { .policy = policy, .cancels = cancels, .subs = 5,
	    .senders = 3 };
	size_t i;

	(void)test_seed();	/* made before there are threads */
	f.each = (int)test_count(cancels ? 200 : 2000, 100000);
	FOR_WORKERS(w) {
		for (i = 0; i < 4; i++) {
			f.capacity = caps[i];
			run(w, flow_main, &f);
			ck_assert(policy == CO_BCAST_DROP ||
			    f.got == (long)f.subs * f.senders * f.each);
		}
	}
}

TEST(every_value_to_every_subscription_in_order)
{
	flows(CO_BCAST_WAIT, 0);
}

TEST(what_is_dropped_is_counted)
{
	flows(CO_BCAST_DROP, 0);
}

TEST(waits_that_fail_send_nothing_and_lose_nothing)
{
	flows(CO_BCAST_WAIT, 1);
}

TEST(waits_that_fail_lose_nothing_of_what_is_counted)
{
	flows(CO_BCAST_DROP, 1);
}

/* --- leaving ------------------------------------------------------------- */

struct leave {
	co_bcast(int) b;
	int sent, arrived;	/* [atomic] */
};

static int
leave_send(void *arg)
{
	struct leave *l = arg;
	int code;

	add(&l->arrived, 1);
	code = co_bcast_send(l->b, 1);
	if (code == 0)
		add(&l->sent, 1);
	return 0;
}

static int
leave_main(void *arg)
{
	struct leave l = { .b = NULL };
	struct co_scope sc;
	co_sub(int) s, other;
	int v, k;

	(void)arg;
	for (k = 0; k < (int)test_count(200, 20000); k++) {
		l = (struct leave){ .b = co_bcast_new(int, 1, CO_BCAST_WAIT) };
		s = co_bcast_subscribe(l.b);
		other = co_bcast_subscribe(l.b);
		test_result(co_bcast_send(l.b, 0), 0);
		co_scope(sc) {
			co_spawn(leave_send, &l);
			co_spawn(leave_send, &l);
			wait_for(&l.arrived, 2);
			test_result(co_sub_recv(other, &v), 0);
			if (k % 2)
				co_sleep(10000);
			ck_assert_int_eq(load(&l.sent), 0);
			co_sub_unref(s);	/* lets one in */
			wait_for(&l.sent, 1);
			test_result(co_sub_recv(other, &v), 0);
			wait_for(&l.sent, 2);
			test_result(co_sub_recv(other, &v), 0);
		}
		co_sub_unref(other);
		co_bcast_unref(l.b);
	}
	return 0;
}

TEST(who_leaves_no_longer_holds_up_senders)
{
	FOR_WORKERS(w)
		run(w, leave_main, NULL);
}

static int
blocked_send(void *arg)
{
	struct leave *l = arg;

	add(&l->arrived, 1);
	test_result(co_bcast_send(l->b, 1), -EPIPE);
	add(&l->sent, 1);
	return 0;
}

static int
blocked_recv(void *arg)
{
	struct leave *l = arg;
	co_sub(int) s = co_bcast_subscribe(l->b);
	int v = 3;

	add(&l->arrived, 1);
	test_result(co_sub_recv(s, &v), -EPIPE);
	ck_assert_int_eq(v, 0);
	co_sub_unref(s);
	add(&l->sent, 1);
	return 0;
}

static int
blocked_select(void *arg)
{
	struct leave *l = arg;
	co_sub(int) s = co_bcast_subscribe(l->b), t = co_bcast_subscribe(l->b);
	int v = 3, u = 3, status = 3, i;

	add(&l->arrived, 1);
	i = co_select(co_on_sub(s, &v, &status), co_on_sub(t, &u, &status));
	test_result(status, -EPIPE);
	ck_assert(i == 0 ? v == 0 && u == 3 : v == 3 && u == 0);
	co_sub_unref(s);
	co_sub_unref(t);
	add(&l->sent, 1);
	return 0;
}

static int
close_main(void *arg)
{
	struct leave l = { .b = co_bcast_new(int, 1, CO_BCAST_WAIT) };
	struct co_scope sc;
	co_sub(int) idle;

	(void)arg;
	co_scope(sc) {
		co_spawn(blocked_recv, &l);
		co_spawn(blocked_recv, &l);
		co_spawn(blocked_select, &l);
		wait_for(&l.arrived, 3);
		test_result(co_bcast_close(l.b), 0);
	}
	co_bcast_unref(l.b);
	l = (struct leave){ .b = co_bcast_new(int, 1, CO_BCAST_WAIT) };
	idle = co_bcast_subscribe(l.b);
	co_bcast_send(l.b, 1);
	co_scope(sc) {
		co_spawn(blocked_send, &l);
		co_spawn(blocked_send, &l);
		wait_for(&l.arrived, 2);
		test_result(co_bcast_close(l.b), 0);
	}
	co_sub_unref(idle);
	co_bcast_unref(l.b);
	return 0;
}

TEST(closing_wakes_all)
{
	int k;

	FOR_WORKERS(w)
		for (k = 0; k < (int)test_count(100, 10000); k++)
			run(w, close_main, NULL);
}

/* --- one subscription, several readers: each value to one of them -------- */

struct shared {
	co_sub(int) s;
	chan(int) out;
};

static int
shared_recv(void *arg)
{
	struct shared *s = arg;
	int v;

	while (co_sub_recv(s->s, &v) == 0)
		test_result(chan_send(s->out, v), 0);
	return 0;
}

static int
shared_main(void *arg)
{
	co_bcast(int) b = co_bcast_new(int, 2, CO_BCAST_WAIT);
	struct shared s = { co_bcast_subscribe(b), NULL };
	enum { N = 1000 };
	bool seen[N] = { false };
	struct co_scope sc;
	int i, v;

	(void)arg;
	s.out = chan_new(int, N);
	co_scope(sc) {
		for (i = 0; i < 4; i++)
			co_spawn(shared_recv, &s);
		for (i = 0; i < N; i++)
			test_result(co_bcast_send(b, i), 0);
		co_bcast_unref(b);
	}
	for (i = 0; i < N; i++) {
		test_result(chan_try_recv(s.out, &v), 0);
		ck_assert(!seen[v]);
		seen[v] = true;
	}
	chan_unref(s.out);
	co_sub_unref(s.s);
	return 0;
}

TEST(readers_of_one_subscription_share_its_values)
{
	FOR_WORKERS(w)
		run(w, shared_main, NULL);
}

/* --- coming and going while values flow ---------------------------------- */

static int
visitor(void *arg)
{
	struct leave *l = arg;
	uint64_t seed = test_seed() ^ co_id();
	co_sub(int) s;
	int i, n, v, last, code;

	while (load(&l->sent) == 0) {
		s = co_bcast_subscribe(l->b);
		n = (int)test_below(&seed, 5);
		for (i = last = 0, code = 0; i < n && code != -EPIPE; i++) {
			code = co_sub_recv(s, &v);
			ck_assert(code == -EPIPE || v > last);
			ck_assert(i == 0 || code == -EPIPE || v == last + 1);
			last = v;
		}
		co_sub_unref(s);
	}
	return 0;
}

static int
visits_main(void *arg)
{
	struct leave l = { .b = co_bcast_new(int, 2, CO_BCAST_WAIT) };
	int i, n = (int)test_count(2000, 200000);
	struct co_scope sc;

	(void)arg;
	co_scope(sc) {
		for (i = 0; i < 6; i++)
			co_spawn(visitor, &l);
		for (i = 1; i <= n; i++) {
			test_result(co_bcast_send(l.b, i), 0);
			if (i % 8 == 0)
				co_yield();
		}
		add(&l.sent, 1);
		co_bcast_close(l.b);
	}
	co_bcast_unref(l.b);
	return 0;
}

TEST(subscriptions_come_and_go)
{
	(void)test_seed();	/* made before there are threads */
	FOR_WORKERS(w)
		run(w, visits_main, NULL);
}

/* --- sizes --------------------------------------------------------------- */

struct empty {
};
struct big {
	char bytes[1 << 20];
};
struct __attribute__((aligned(128))) wide {
	char c;
};

TEST(values_of_any_size)
{
	co_bcast(struct empty) e = co_bcast_new(struct empty, 2, CO_BCAST_WAIT);
	co_bcast(struct big) b = co_bcast_new(struct big, 2, CO_BCAST_DROP);
	co_bcast(struct wide) w = co_bcast_new(struct wide, 3, CO_BCAST_DROP);
	co_sub(struct empty) es = co_bcast_subscribe(e);
	co_sub(struct big) bs = co_bcast_subscribe(b);
	co_sub(struct wide) ws = co_bcast_subscribe(w);
	struct big *big = malloc(sizeof *big), *got = malloc(sizeof *got);
	struct empty none = { };
	struct wide wide;
	int i;

	for (i = 0; i < 2; i++)
		test_result(co_bcast_send(e, none), 0);
	for (i = 0; i < 2; i++)
		test_result(co_sub_recv(es, &none), 0);
	for (i = 0; i < 5; i++) {
		memset(big, i + 1, sizeof *big);
		test_result(co_bcast_send(b, *big), 0);
		wide.c = (char)i;
		test_result(co_bcast_send(w, wide), 0);
	}
	test_result(co_sub_recv(bs, got), 3);
	ck_assert(got->bytes[0] == 4 && got->bytes[sizeof *got - 1] == 4);
	test_result(co_sub_recv(bs, got), 0);
	ck_assert(memcmp(got, big, sizeof *got) == 0);
	test_result(co_sub_recv(ws, &wide), 2);
	ck_assert_int_eq(wide.c, 2);
	co_bcast_close(e);
	test_result(co_sub_recv(es, &none), -EPIPE);
	co_bcast_unref(e);
	co_bcast_unref(b);
	co_bcast_unref(w);
	co_sub_unref(es);
	co_sub_unref(bs);
	co_sub_unref(ws);
	free(big);
	free(got);
}
