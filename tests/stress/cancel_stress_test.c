/* SPDX-License-Identifier: MIT */
/*
 * cancel_stress_test.c - cancellations at every moment, thousands of times.
 */
#include "harness.h"

#include <pthread.h>
#include <sched.h>

#include <weft/chan.h>
#include <weft/scope.h>
#include <weft/sync.h>

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)

static void
spin(uint64_t n)
{
	volatile uint64_t i = 0;

	while (i < n)
		i = i + 1;
}

/* What a frame that has returned leaves behind is overwritten at once: who
   still writes to it, or reads it, shows. */
static void __attribute__((noinline))
scribble(void)
{
	volatile char frame[1024];
	size_t i;

	for (i = 0; i < sizeof frame; i++)
		frame[i] = (char)0xa5;
}

/* --- a thread, or another worker, cancels who is about to wait -------------- */

static struct target {
	struct co_scope s;
	int round, done;	/* [atomic] cancelled in this round */
	int rounds;
	chan(int) ch;
} target;

static void *
cancel_rounds(void *arg)
{
	uint64_t seed = test_seed();
	int i;

	for (i = 1; i <= target.rounds; i++) {
		while (load(&target.round) < i)
			co_yield();
		spin(test_below(&seed, 300));
		co_cancel(&target.s);
		store(&target.done, i);
	}
	return arg;
}

static int
cancel_rounds_task(void *arg)
{
	cancel_rounds(arg);
	return 0;
}

static int
wait_inside(void *arg)
{
	struct co_scope in, inner;
	int v, code = 0;

	switch ((intptr_t)arg % 5) {
	case 0:
		code = co_sleep(CO_FOREVER);
		break;
	case 1:
		code = chan_recv(target.ch, &v);
		break;
	case 2:
		co_scope(in)
			co_scope(inner)
				code = co_sleep(CO_FOREVER);
		break;
	case 3:
		code = co_select(co_on_recv(target.ch, &v),
		    co_on_timeout(CO_SEC(1000)));
		break;
	case 4:
		co_shield()
			co_sleep(0);
		code = chan_recv(target.ch, &v);
		break;
	}
	scribble();
	return code == -ECANCELED ? 0 : -EPROTO;
}

static void
rounds_of_waits(void)
{
	int i;

	for (i = 1; i <= target.rounds; i++) {
		co_scope(target.s) {
			if (co_inside())
				test_result(co_spawn(wait_inside,
				    (void *)(intptr_t)(i / 5)), 0);
			store(&target.round, i);
			test_result(wait_inside((void *)(intptr_t)i), 0);
			while (load(&target.done) < i)
				co_yield();
		}
		test_result(target.s.status, -ECANCELED);
		ck_assert_uint_eq(target.s.failures, 0);
	}
}

static int
cancelled_by_thread(void *arg)
{
	pthread_t t;

	target.round = target.done = 0;
	target.ch = chan_new(int, 0);
	ck_assert_int_eq(pthread_create(&t, NULL, cancel_rounds, NULL), 0);
	rounds_of_waits();
	pthread_join(t, NULL);
	chan_unref(target.ch);
	(void)arg;
	return 0;
}

TEST(a_thread_that_is_new_to_weft_is_never_missed, .seconds = 120)
{
	test_seed();
	target.rounds = (int)test_count(500, 1000000);
	FOR_WORKERS(w)
		test_result(test_run(w, cancelled_by_thread, NULL), 0);
	test_soak("cancellations", (uint64_t)target.rounds);
	target.rounds = (int)test_count(500, 100000);
	cancelled_by_thread(NULL);	/* and one thread by the other */
}

static int
cancelled_by_task(void *arg)
{
	struct co_scope s;

	(void)arg;
	target.round = target.done = 0;
	target.ch = chan_new(int, 0);
	co_scope(s) {
		test_result(co_spawn(cancel_rounds_task, NULL), 0);
		rounds_of_waits();
	}
	chan_unref(target.ch);
	return 0;
}

TEST(a_coroutine_that_cancels_is_never_missed, .seconds = 120)
{
	target.rounds = (int)test_count(5000, 1000000);
	FOR_WORKERS(w)
		test_result(test_run(w, cancelled_by_task, NULL), 0);
}

/* --- no value is lost or doubled -------------------------------------------- */

enum { ENDS = 4 };

struct traffic {
	chan(uint64_t) ch;
	uint64_t sent, received;	/* [atomic] sums of values */
	uint64_t n_sent, n_received;	/* [atomic] */
	uint64_t each;			/* values that each end wants sent */
	int senders;			/* [atomic] */
};

static int __attribute__((noinline))
send_one(struct traffic *f, uint64_t *seed, uint64_t v)
{
	int code = 0;

	switch (test_below(seed, 4)) {
	case 0:
		return chan_send(f->ch, v);
	case 1:
		co_timeout((co_time)test_below(seed, 3000))
			code = chan_send(f->ch, v);
		return code;
	case 2:
		co_timeout((co_time)test_below(seed, 3000))
			code = co_select(co_on_send(f->ch, v));
		return code;
	default:
		code = co_select(co_on_send(f->ch, v),
		    co_on_timeout((co_time)test_below(seed, 3000)));
		return code == 1 ? -ETIMEDOUT : code;
	}
}

static int __attribute__((noinline))
receive_one(struct traffic *f, uint64_t *seed, uint64_t *v)
{
	int code = 0, status = 0;

	switch (test_below(seed, 4)) {
	case 0:
		return chan_recv(f->ch, v);
	case 1:
		co_timeout((co_time)test_below(seed, 3000))
			code = chan_recv(f->ch, v);
		return code;
	case 2:
		co_timeout((co_time)test_below(seed, 3000))
			code = co_select(co_on_recv(f->ch, v, &status));
		return code == 0 ? status : code;
	default:
		code = co_select(co_on_recv(f->ch, v, &status),
		    co_on_timeout((co_time)test_below(seed, 3000)));
		return code == 1 ? -ETIMEDOUT : code == 0 ? status : code;
	}
}

static int
sender(void *arg)
{
	struct traffic *f = arg;
	uint64_t seed = test_seed() + co_id(), i, v;
	int code;

	for (i = 0; i < f->each; i++) {
		v = test_random(&seed);
		do {
			code = send_one(f, &seed, v);
			scribble();
		} while (code == -ETIMEDOUT && test_below(&seed, 4));
		if (code == 0) {
			add(&f->sent, v);
			add(&f->n_sent, 1);
		} else if (code != -ETIMEDOUT) {
			return -EPROTO;
		}
	}
	if (add(&f->senders, -1) == 0)
		chan_close(f->ch);
	return 0;
}

static int
receiver(void *arg)
{
	struct traffic *f = arg;
	uint64_t seed = test_seed() + co_id(), v;
	int code;

	for (;;) {
		code = receive_one(f, &seed, &v);
		scribble();
		if (code == 0) {
			add(&f->received, v);
			add(&f->n_received, 1);
		} else if (code == -EPIPE) {
			return 0;
		} else if (code != -ETIMEDOUT) {
			return -EPROTO;
		}
	}
}

static int
traffic(void *arg)
{
	struct traffic f = { .senders = ENDS,
		.each = test_count(1000, 1000000) };
	struct co_scope s;
	int i;

	f.ch = chan_new(uint64_t, (size_t)arg);
	co_scope(s) {
		for (i = 0; i < ENDS; i++) {
			test_result(co_spawn(sender, &f), 0);
			test_result(co_spawn(receiver, &f), 0);
		}
	}
	test_result(s.status, 0);
	ck_assert_uint_eq(f.n_sent, f.n_received);
	ck_assert_uint_eq(f.sent, f.received);
	ck_assert_uint_eq(chan_len(f.ch), 0);
	chan_unref(f.ch);
	return 0;
}

TEST(values_are_neither_lost_nor_doubled_where_ends_give_up, .seconds = 120)
{
	static const size_t caps[] = { 0, 1, 3, 100 };
	size_t i;

	test_seed();
	FOR_WORKERS(w)
		for (i = 0; i < 4; i++)
			test_result(test_run(w, traffic, (void *)caps[i]), 0);
}

/* --- trees that end anyhow -------------------------------------------------- */

/* One node: a scope with children, somewhere in a random tree. */
struct node {
	struct node *up;
	struct co_scope s;
	int depth;
	uint64_t seed;
	int alive;		/* [atomic] children */
};

static int bad;			/* [atomic] */
static int grow(void *arg);

/* A wait fails exactly where co_cancelled() says so, and again alike. */
static int
check_wait(co_time d)
{
	bool was = co_cancelled();
	int code = co_sleep(d), more;

	if (was && code == 0)
		add(&bad, 1);
	if (code == 0)
		return 0;
	more = co_sleep(d);
	if (!co_cancelled() || more != code)
		add(&bad, 1);
	return code;
}

/* Ends one of the scopes around: they are there as long as we are. */
static void
cancel_some(struct node *n)
{
	uint64_t up = test_below(&n->seed, 4);

	while (up-- > 0 && n->up)
		n = n->up;
	co_cancel(&n->s);
}

static void
live(struct node *n)
{
	int i, children = (int)test_below(&n->seed, 4);

	for (i = 0; i < children && n->depth > 0; i++) {
		struct node *c = malloc(sizeof *c);

		ck_assert_ptr_nonnull(c);
		*c = (struct node){ .up = n, .depth = n->depth - 1,
			.seed = test_random(&n->seed) };
		add(&n->alive, 1);
		if (co_spawn(grow, c) != 0) {
			if (!co_cancelled())
				add(&bad, 1);
			add(&n->alive, -1);
			free(c);
		}
	}
	switch (test_below(&n->seed, 8)) {
	case 0:
		cancel_some(n);
		break;
	case 1:
		co_shield()
			if (check_wait(CO_US(5)) != 0)
				add(&bad, 1);
		break;
	case 2:
		co_timeout((co_time)test_below(&n->seed, 20000))
			check_wait(CO_US(20));
		break;
	case 3:
		co_yield();
		break;
	default:
		check_wait((co_time)test_below(&n->seed, 20000));
		break;
	}
	check_wait(0);
}

static int
grow(void *arg)
{
	struct node *n = arg, *up = n->up;
	struct co_scope_options o = {
		.policy = test_below(&n->seed, 2) ? CO_SUPERVISE : CO_FAIL_FAST,
		.timeout = test_below(&n->seed, 4) ? 0 :
		    (co_time)test_below(&n->seed, 100000) };
	int status, fail = (int)test_below(&n->seed, 16) == 0;

	test_result(co_scope_enter(&n->s, &o), 0);
	live(n);
	status = co_scope_leave(&n->s);
	if (load(&n->alive) != 0 || status != n->s.status || status > 0)
		add(&bad, 1);
	free(n);
	if (up)
		add(&up->alive, -1);
	return fail ? -EIO : status;
}

static int
forest(void *arg)
{
	uint64_t seed = test_seed();
	int n = (int)test_count(300, 100000);
	struct co_scope s;
	struct node *root;

	(void)arg;
	bad = 0;
	while (n--) {
		root = malloc(sizeof *root);
		ck_assert_ptr_nonnull(root);
		*root = (struct node){ .depth = 5,
			.seed = test_random(&seed) };
		co_scope(s, .policy = CO_SUPERVISE)
			test_result(co_spawn(grow, root), 0);
		test_result(s.status, 0);
		ck_assert(!co_cancelled());
	}
	ck_assert_int_eq(load(&bad), 0);
	return 0;
}

TEST(trees_end_anyhow_and_nothing_is_left, .seconds = 120)
{
	test_seed();
	FOR_WORKERS(w)
		test_result(test_run(w, forest, NULL), 0);
}

/* --- the end of a runtime --------------------------------------------------- */

static int born, gone;		/* [atomic] */

/* All of them children of the root scope. */
static int
multiply(void *arg)
{
	uint64_t seed = test_seed() + co_id();
	int left = (int)(intptr_t)arg, i, code = 0;

	for (i = 0; i < 3 && left > 0; i++) {
		code = co_spawn(multiply, (void *)(intptr_t)(left - 1));
		if (code == 0)
			add(&born, 1);
		else if (code != -ECANCELED || !co_cancelled())
			add(&bad, 1);
		if (test_below(&seed, 2))
			co_yield();
	}
	switch (test_below(&seed, 4)) {
	case 0:
		code = co_sleep((co_time)test_below(&seed, 20000));
		break;
	case 1:
		code = co_sleep(CO_FOREVER);
		break;
	case 2:
		co_shield()
			if (co_sleep(CO_US(2)) != 0)
				add(&bad, 1);
		code = 0;
		break;
	default:
		code = 0;
		break;
	}
	if (code != 0 && code != -ECANCELED)
		add(&bad, 1);
	add(&gone, 1);
	return code;
}

static int
end_soon(void *arg)
{
	static struct co_task t;	/* until the root scope has ended */
	uint64_t seed = test_seed() + (uintptr_t)arg;
	int code;

	add(&born, 1);
	if (co_spawn(multiply, (void *)5) != 0 ||
	    co_fork(&t, multiply, (void *)3) != 0)
		return -EPROTO;
	add(&born, 1);
	switch (test_below(&seed, 4)) {
	case 0:
		co_task_cancel(&t);
		code = co_join(&t);
		return code == 0 || code == -ECANCELED ? 5 : code;
	case 1:
		co_sleep((co_time)test_below(&seed, 50000));
		break;
	case 2:
		co_yield();
		break;
	default:
		break;
	}
	co_task_cancel(&t);
	return 5;
}

TEST(what_main_leaves_behind_is_cancelled_and_waited_for, .seconds = 120)
{
	uintptr_t i, n = (uintptr_t)test_count(100, 20000);

	bad = 0;
	test_seed();		/* made by one */
	FOR_WORKERS(w) {
		for (i = 0; i < n; i++) {
			born = gone = 0;
			test_result(test_run(w, end_soon, (void *)i), 5);
			ck_assert_int_eq(load(&born), load(&gone));
		}
	}
	ck_assert_int_eq(load(&bad), 0);
}
