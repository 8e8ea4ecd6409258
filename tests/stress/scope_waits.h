/* SPDX-License-Identifier: MIT */
/*
 * scope_waits.h - what the coroutines of scope_oracle_test.c wait for, and the
 * values that they have of their own.
 *
 * A wait gives what it was told by its scope, < 0, or >= 0 if it went ahead, or
 * SAID_NO.  What it changed is counted in the program, which looks at its end
 * whether a wait that failed has changed something.
 */
#ifndef WEFT_TESTS_SCOPE_WAITS_H
#define WEFT_TESTS_SCOPE_WAITS_H

#include "harness.h"
#include "scope_model.h"

enum { MINE = 8, DEPTH = 4, ENDED_FUTURE = -400000 };
enum { SAID_NO = 0x7fffffff };	/* a wait that says nothing of the scope */

/* Who does something: a coroutine, or a plain thread. */
struct life {
	struct program *p;
	struct kid *kid;	/* NULL: a thread */
	struct node *in;	/* its innermost scope, or itself */
	uint64_t seed;
	int depth;
	int last;		/* code of the last wait that failed */
	int local[KEYS];
	struct kid *mine[MINE];	/* forked, and for nobody else to join */
	int n;
	struct visit *visit;
};

static uint64_t born;		/* [atomic] coroutines, in one runtime */

static uint64_t
choose(struct life *l, uint64_t n)
{
	return test_below(&l->seed, n);
}

/* --- values of a coroutine ----------------------------------------------- */

struct wide {
	int v;
	char rest[100];
};

static CO_LOCAL(int, local_int);
static CO_LOCAL(struct wide, local_wide);
static CO_LOCAL(char, local_char);
static CO_LOCAL(uint64_t, local_long);
static CO_LOCAL(struct wide, local_other);

static int
get_local(int key)
{
	switch (key) {
	case 0:
		return co_local_get(local_int);
	case 1:
		return co_local_get(local_wide).v;
	case 2:
		return co_local_get(local_char);
	case 3:
		return (int)co_local_get(local_long);
	default:
		return co_local_get(local_other).v;
	}
}

static int
set_local(int key, int v)
{
	switch (key) {
	case 0:
		return co_local_set(local_int, v);
	case 1:
		return co_local_set(local_wide, (struct wide){ .v = v });
	case 2:
		return co_local_set(local_char, (char)v);
	case 3:
		return co_local_set(local_long, (uint64_t)v);
	default:
		return co_local_set(local_other, (struct wide){ .v = v });
	}
}

static void
check_locals(struct life *l)
{
	int key;

	for (key = 0; key < KEYS; key++)
		if (get_local(key) != l->local[key])
			wrong(l->p, l->in, get_local(key), "a local value");
}

static void
change_local(struct life *l)
{
	int key = (int)choose(l, KEYS), v = 1 + (int)choose(l, 100);

	if (set_local(key, v) != 0)
		wrong(l->p, l->in, key, "a local value cannot be set");
	l->local[key] = v;
	check_locals(l);
}

/* --- waits --------------------------------------------------------------- */

/* M1, M2, M4.  was: known(l->in), before the wait. */
static void
heard(struct life *l, bool was, int code)
{
	check_there(l->p, l->in);
	if (code == SAID_NO)
		return;
	if (code < 0) {
		told(l->p, l->in, code, true);
		l->last = code;
	} else if (was) {
		wrong(l->p, l->in, code, "a wait went ahead after the end");
	}
}

static co_time
duration(struct life *l)
{
	static const co_time most[] = { 3, 1000, 20000, 20000, 100000 };

	return (co_time)choose(l, (uint64_t)most[choose(l, 5)]);
}

/* M7 */
static void
check_time_came(const struct life *l, co_time from, co_time d)
{
	if (co_now() - from < d)
		wrong(l->p, l->in, 0, "a time came early");
	if (d > 0 && l->in->limit < from + d)
		wrong(l->p, l->in, 0, "a time came after the deadline");
}

static int
sleep_for(struct life *l, co_time d)
{
	co_time from = co_now();
	int code;

	if (choose(l, 2) || d == CO_FOREVER)
		code = co_sleep(d);
	else
		code = co_sleep_until(from + d);
	if (code == 0)
		check_time_came(l, from, d);
	return code;
}

static int
nap(struct life *l)
{
	return sleep_for(l, (co_time)choose(l, 20000));
}

static void
nap_heard(struct life *l, bool was)
{
	heard(l, was, nap(l));
}

static int
wait_sleep(struct life *l)
{
	return sleep_for(l, choose(l, 8) ? duration(l) : CO_FOREVER);
}

static int
wait_nothing(struct life *l)
{
	int v, code = choose(l, 2) ? co_select_v(NULL, 0) :
	    chan_recv((chan(int))NULL, &v);

	if (code >= 0)
		wrong(l->p, l->in, code, "what never comes has come");
	return code;
}

static int
wait_mutex(struct life *l)
{
	struct program *p = l->p;
	int code = co_mutex_lock(&p->mutex);

	if (code < 0)
		return code;
	if (p->holder++ != 0)
		wrong(p, l->in, 0, "two hold a mutex");
	if (choose(l, 2))
		co_yield();
	else if (choose(l, 2))
		nap_heard(l, known(l->in));
	p->holder--;
	if (co_mutex_unlock(&p->mutex) != 0)
		wrong(p, l->in, 0, "cannot unlock");
	return 0;
}

static int
wait_sem(struct life *l)
{
	int code = co_sem_wait(&l->p->sem);

	if (code == 0)
		add(&l->p->passed, 1);
	return code;
}

static int
wait_event(struct life *l)
{
	return co_event_wait(&l->p->event);
}

/* code: of the future, or of the wait */
static int
future_gave(struct life *l, int code, int v)
{
	if (code == ENDED_FUTURE && load(&l->p->failed_future))
		return 1;
	if (code == 0 && v != 77)
		wrong(l->p, l->in, v, "a future's value");
	return code;
}

static int
wait_future(struct life *l)
{
	int v = 0, code = co_future_get(l->p->future, &v);

	return future_gave(l, code, v);
}

static int
sent(struct life *l, int ch, int code, int v)
{
	if (code == 0)
		add(&l->p->sent, (uint64_t)v);
	if (code == -EPIPE && load(&l->p->closed[ch]))
		return 1;
	return code;
}

static int
received(struct life *l, int ch, int code, int v)
{
	if (code == 0)
		add(&l->p->received, (uint64_t)v);
	if (code == -EPIPE && load(&l->p->closed[ch]))
		return v == 0 ? 1 : -EPROTO;
	return code;
}

static int
wait_send(struct life *l)
{
	int ch = (int)choose(l, CHANS), v = 1 + (int)choose(l, 1000);

	return sent(l, ch, chan_send(l->p->ch[ch], v), v);
}

static int
wait_recv(struct life *l)
{
	int ch = (int)choose(l, CHANS), v = 0;
	int code = chan_recv(l->p->ch[ch], &v);

	return received(l, ch, code, v);
}

static int
wait_select(struct life *l)
{
	int a = (int)choose(l, CHANS), b = (int)choose(l, CHANS), w = 0;
	int v = 1 + (int)choose(l, 1000), status[3] = { 0 }, code, f = 0;
	co_time from = co_now(), d = choose(l, 3) ? duration(l) : CO_FOREVER;

	code = co_select(co_on_recv(l->p->ch[a], &w, &status[0]),
	    co_on_send(l->p->ch[b], v, &status[1]),
	    co_on_future(l->p->future, &f, &status[2]),
	    co_on_event(&l->p->event), co_on_timeout(d));
	switch (code) {
	case 0:
		return received(l, a, status[0], w);
	case 1:
		return sent(l, b, status[1], v);
	case 2:
		return future_gave(l, status[2], f);
	case 4:
		check_time_came(l, from, d);
		return 1;
	default:
		return code;
	}
}

/* --- joins --------------------------------------------------------------- */

/* What a join of k gave: of k, of the scope, or SAID_NO. */
static int
joined(struct life *l, struct kid *k, int code)
{
	if (code == k->want_result) {
		if (add(&k->taken, 1) != 1)
			wrong(l->p, &k->task, code, "joined twice");
		if (k->effect != k->want)
			wrong(l->p, &k->task, code, "ended with no effect");
		return 1;
	}
	if (code == -EINVAL && k->shared && load(&k->tries) > 1)
		return SAID_NO;
	if (code == -EDEADLK && l->kid == k)
		return SAID_NO;
	if (code >= 0)
		wrong(l->p, &k->task, code, "joined with another's result");
	return code;
}

static int
wait_join_mine(struct life *l)
{
	struct kid *k;
	int code, r = 0;

	if (l->n == 0)
		return wait_sleep(l);
	k = l->mine[l->n - 1];
	if (choose(l, 2)) {
		code = co_join(&k->handle);
	} else {
		code = co_select(co_on_join(&k->handle, &r),
		    co_on_recv((chan(int))NULL, &r));
		if (code == 0)
			code = r;
	}
	code = joined(l, k, code);
	if (code == 1) {
		if (co_join(&k->handle) != -EINVAL)
			wrong(l->p, &k->task, 0, "joined again");
		memset(&k->handle, 0xa5, sizeof k->handle);
		l->n--;
	}
	return code;
}

/* One that anybody may join, from that one on; NULL: there is none. */
static struct kid *
some_shared(struct program *p, uint64_t from, bool not_taken)
{
	struct kid *k;
	int i;

	for (i = 0; i < KIDS; i++) {
		k = &p->kid[(from + (uint64_t)i) % KIDS];
		if (load(&k->spawned) && k->shared &&
		    !(not_taken && load(&k->taken)))
			return k;
	}
	return NULL;
}

static int
wait_join_shared(struct life *l)
{
	struct kid *k = some_shared(l->p, choose(l, KIDS), choose(l, 4));
	int taken, code;

	if (!k)
		return wait_sleep(l);
	add(&k->tries, 1);
	taken = load(&k->taken);
	code = co_join(&k->handle);
	if (taken && code == k->want_result)
		wrong(l->p, &k->task, code, "joined again");
	return joined(l, k, code);
}

#endif
