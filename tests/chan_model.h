/* SPDX-License-Identifier: MIT */
/*
 * chan_model.h - programs of channel operations on one worker, step by step
 * against a model of what channels and select must do.
 *
 * A program is some coroutines that do a few dozen operations on a few
 * channels.  On one worker one thing happens after the other, and an operation
 * that needs not wait returns before anything else happens.  So the model
 * follows, call by call and return by return:
 *
 *	M1  a call that returns at once took a case that was ready; without
 *	    such a case it must wait, or take co_otherwise;
 *	M2  a call that does not return at once had no case that was ready: the
 *	    model queues it, in the order of calls;
 *	M3  who acts on a channel serves the first in its queue; that operation
 *	    is then out of all queues and must return just what it was given;
 *	M4  when nobody runs any more, nobody who was served still waits;
 *	M5  in a scope whose deadline has passed a call that may wait fails at
 *	    once, and has had no effect.
 *
 * An operation may be cancelled while it waits: if it has not been served, it
 * returns -ECANCELED, has had no effect, and nobody serves it any more.  When
 * all wait, a channel is closed or an operation cancelled, until all have
 * ended.  In the end the channels hold what those of the model hold.
 *
 * The values of a program are all different.  What it is made of is the answer
 * of program->choose: of a generator in stress/chan_oracle_test.c, of the bytes
 * of an input in fuzz/chan_fuzz.c.  What happened is printed before abort().
 */
#ifndef WEFT_TESTS_CHAN_MODEL_H
#define WEFT_TESTS_CHAN_MODEL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <weft/chan.h>
#include <weft/co.h>
#include <weft/scope.h>

#include "model.h"

enum {
	COROS = 8, CHANS = 4, OPS = 40, CASES = 4,
	MAIN = COROS,		/* who closes and cancels when all wait */
	EVENTS = 8 * OPS,
	NOBODY = -1
};

enum kind { OP_SINGLE, OP_SELECT, OP_CLOSE, OP_CANCEL, OP_YIELD };
enum direction { RECV, SEND };
enum time_limit { NO_LIMIT, PASSED, FAR };

struct way {			/* a case; SINGLE and TRY are one */
	int ch;			/* CHANS: no channel */
	enum direction dir;
	int value;		/* to send */
};

struct op {
	enum kind kind;
	bool otherwise;		/* try, or a select with co_otherwise */
	enum time_limit scope;	/* of the scope around it */
	enum time_limit timer;	/* of a select: with co_on_timeout */
	int n;
	struct way way[CASES];
	int target;		/* a channel to close, a coroutine to cancel */
};

struct entry {
	int who, way;
};

struct model_queue {
	struct entry at[COROS * CASES];
	int n;
};

struct model_chan {
	size_t cap;
	bool closed;
	int buf[OPS], n;
	struct model_queue q[2];	/* by direction */
};

enum state { IDLE, CALLED, QUEUED, SERVED, ENDED };

struct outcome {
	int code;		/* of the call; or 0 and these */
	unsigned ways;		/* bits: one of them was taken */
	int status;
	int value;		/* received */
};

struct coro {
	struct program *p;
	struct op op[OPS];
	int n;			/* operations */
	int at;			/* the one that is being done */
	enum state state;
	struct outcome want;	/* when SERVED */
	struct co_scope scope;	/* around the operation */
};

struct event {
	int who;
	char what;
	const struct op *op;
	struct outcome got;
};

struct program {
	uint64_t number, seed;
	/* 0 .. n - 1 */
	uint64_t (*choose)(struct program *p, uint64_t n);
	chan(int) ch[CHANS + 1];	/* the last one: NULL */
	struct model_chan model[CHANS];
	int nchans, ncoros, value;
	int calling;		/* CALLED, and nothing has happened since */
	struct coro coro[COROS];
	struct event event[EVENTS];
	int events;
};

/* --- telling ------------------------------------------------------------- */

static void
print_op(const struct op *op)
{
	static const char *const names[] = { "", "select ", "close ", "cancel ",
		"yield " };
	int i;

	fputs(names[op->kind], stderr);
	if (op->kind == OP_CLOSE || op->kind == OP_CANCEL)
		fprintf(stderr, "%d ", op->target);
	for (i = 0; i < op->n; i++) {
		if (op->way[i].dir == RECV)
			fprintf(stderr, "recv(%d) ", op->way[i].ch);
		else
			fprintf(stderr, "send(%d, %d) ", op->way[i].ch,
			    op->way[i].value);
	}
	if (op->otherwise)
		fputs("otherwise ", stderr);
	fprintf(stderr, "scope %d timer %d ", op->scope, op->timer);
}

static void
print_program(const struct program *p)
{
	const struct event *e;
	int i;

	for (i = 0; i < p->nchans; i++)
		fprintf(stderr, "channel %d: capacity %zd\n", i,
		    p->model[i].cap == CHAN_UNBOUNDED ? -1 :
		    (ssize_t)p->model[i].cap);
	for (i = 0; i < p->events; i++) {
		e = &p->event[i];
		fprintf(stderr, "%d %c ", e->who, e->what);
		if (e->op)
			print_op(e->op);
		if (e->what == '=')
			fprintf(stderr, "code %d ways %x status %d value %d",
			    e->got.code, e->got.ways, e->got.status,
			    e->got.value);
		fputc('\n', stderr);
	}
}

static void __attribute__((noreturn))
wrong(const struct program *p, int who, const char *what)
{
	print_program(p);
	fprintf(stderr, "program %llu: %d: %s\n",
	    (unsigned long long)p->number, who, what);
	abort();
}

static void
note(struct program *p, int who, char what, const struct op *op)
{
	if (p->events == EVENTS)
		wrong(p, who, "it does not end");
	p->event[p->events++] = (struct event){ .who = who, .what = what,
	    .op = op };
}

/* --- the model ----------------------------------------------------------- */

static const struct op *
op_of(const struct coro *c)
{
	return &c->op[c->at];
}

static void
queue_leave(struct model_queue *q, int who)
{
	int i, n = 0;

	for (i = 0; i < q->n; i++)
		if (q->at[i].who != who)
			q->at[n++] = q->at[i];
	q->n = n;
}

/* The ways in which `who` waits here. */
static unsigned
queue_ways(const struct model_queue *q, int who)
{
	unsigned ways = 0;
	int i;

	for (i = 0; i < q->n; i++)
		if (q->at[i].who == who)
			ways |= 1u << q->at[i].way;
	return ways;
}

/* `who` is in no queue any more, and must return `want`. */
static void
serve(struct program *p, int who, struct outcome want)
{
	int i;

	if (p->coro[who].state != QUEUED)
		wrong(p, who, "the model serves who does not wait");
	for (i = 0; i < p->nchans; i++) {
		queue_leave(&p->model[i].q[RECV], who);
		queue_leave(&p->model[i].q[SEND], who);
	}
	p->coro[who].want = want;
	p->coro[who].state = SERVED;
}

static bool
has_room(const struct model_chan *m)
{
	return m->cap == CHAN_UNBOUNDED || (size_t)m->n < m->cap;
}

static bool
ready(const struct program *p, const struct way *w)
{
	const struct model_chan *m = &p->model[w->ch];

	if (w->ch == CHANS)
		return false;
	if (m->closed)
		return true;
	return w->dir == RECV ? m->n > 0 || m->q[SEND].n > 0 :
	    m->q[RECV].n > 0 || has_room(m);
}

static bool
any_ready(const struct program *p, const struct op *op)
{
	int i;

	for (i = 0; i < op->n; i++)
		if (ready(p, &op->way[i]))
			return true;
	return false;
}

/* M2: the call that was made last has not returned. */
static void
settle(struct program *p)
{
	int who = p->calling, i;
	const struct op *op;
	struct model_queue *q;

	if (who == NOBODY)
		return;
	p->calling = NOBODY;
	op = op_of(&p->coro[who]);
	if (op->otherwise || op->scope == PASSED || op->timer == PASSED)
		wrong(p, who, "waits although it must not");
	if (any_ready(p, op))
		wrong(p, who, "waits although it could go ahead");
	for (i = 0; i < op->n; i++) {
		if (op->way[i].ch == CHANS)
			continue;
		q = &p->model[op->way[i].ch].q[op->way[i].dir];
		q->at[q->n++] = (struct entry){ who, i };
	}
	p->coro[who].state = QUEUED;
}

/* The first sender's value goes into the buffer. */
static void
refill(struct program *p, struct model_chan *m)
{
	struct entry e;

	if (m->q[SEND].n == 0)
		return;
	e = m->q[SEND].at[0];
	m->buf[m->n++] = op_of(&p->coro[e.who])->way[e.way].value;
	serve(p, e.who, (struct outcome){ .ways = 1u << e.way });
}

/* Which of the ways of the first sender has this value?  Serves it. */
static bool
take_from_sender(struct program *p, struct model_chan *m, int value)
{
	int who = m->q[SEND].at[0].who, i;
	const struct op *op = op_of(&p->coro[who]);
	unsigned ways = queue_ways(&m->q[SEND], who);

	for (i = 0; i < op->n; i++) {
		if ((ways >> i & 1) && op->way[i].value == value) {
			serve(p, who, (struct outcome){ .ways = 1u << i });
			return true;
		}
	}
	return false;
}

static void
received(struct program *p, int who, struct model_chan *m, struct outcome got)
{
	if (m->n > 0) {
		if (got.status || got.value != m->buf[0])
			wrong(p, who, "not the first of the buffer");
		memmove(m->buf, m->buf + 1, (size_t)--m->n * sizeof m->buf[0]);
		refill(p, m);
	} else if (m->q[SEND].n > 0) {
		if (got.status || !take_from_sender(p, m, got.value))
			wrong(p, who, "not the first sender's value");
	} else if (got.status != -EPIPE || got.value != 0) {
		wrong(p, who, "received from a closed channel");
	}
}

static void
sent(struct program *p, int who, struct model_chan *m, struct outcome got,
    int value)
{
	struct outcome want = { .value = value };
	int to;

	if ((got.status == -EPIPE) != m->closed)
		wrong(p, who, "closed, and sent; or the contrary");
	if (m->closed)
		return;
	if (m->q[RECV].n > 0) {
		to = m->q[RECV].at[0].who;
		want.ways = queue_ways(&m->q[RECV], to);
		serve(p, to, want);
	} else {
		m->buf[m->n++] = value;
	}
}

/* M1: a call that returned at once. */
static void
took(struct program *p, int who, struct outcome got)
{
	const struct op *op = op_of(&p->coro[who]);
	const struct way *w;
	int i;

	if (op->scope == PASSED && !op->otherwise) {
		if (got.code != -ETIMEDOUT)
			wrong(p, who, "its time had passed");	/* M5 */
		return;
	}
	if (got.code == -ETIME) {
		if (op->timer != PASSED)
			wrong(p, who, "its timeout had not come");
		return;
	}
	if (got.code == -EAGAIN) {
		if (!op->otherwise || any_ready(p, op))
			wrong(p, who, "a case was ready");
		return;
	}
	i = got.code < 0 ? CASES : __builtin_ctz(got.ways);
	w = &op->way[i];
	if (i >= op->n || !ready(p, w))
		wrong(p, who, "what it took was not ready");
	if (w->dir == RECV)
		received(p, who, &p->model[w->ch], got);
	else
		sent(p, who, &p->model[w->ch], got, w->value);
}

static void
called(struct program *p, int who)
{
	settle(p);
	note(p, who, '(', op_of(&p->coro[who]));
	p->calling = who;
	p->coro[who].state = CALLED;
}

static void
returned(struct program *p, int who, struct outcome got)
{
	struct outcome want;

	if (p->calling != who)
		settle(p);
	note(p, who, '=', NULL);
	p->event[p->events - 1].got = got;
	if (p->calling == who) {
		p->calling = NOBODY;
		took(p, who, got);
	} else {
		want = p->coro[who].want;	/* M3 */
		if (p->coro[who].state != SERVED)
			wrong(p, who, "returns, but nobody served it");
		if (got.code != want.code || got.status != want.status)
			wrong(p, who, "returns something else");
		if (want.code == 0 && !(got.ways & want.ways))
			wrong(p, who, "returns another case");
		if (got.value != want.value)
			wrong(p, who, "returns another value");
	}
	p->coro[who].state = IDLE;
}

/* --- closing and cancelling ---------------------------------------------- */

/* Whether a waiter received or sent when both were possible, is open. */
static void
close_one(struct program *p, int who, int ch)
{
	struct model_chan *m = &p->model[ch];
	struct outcome want = { .status = -EPIPE };
	int code, waiter, was;

	settle(p);
	if (ch == CHANS) {
		if (chan_close(p->ch[ch]) != -EINVAL)
			wrong(p, who, "closes no channel");
		return;
	}
	was = m->closed ? -EPIPE : 0;
	m->closed = true;
	while (m->q[RECV].n > 0 || m->q[SEND].n > 0) {
		waiter = m->q[m->q[RECV].n > 0 ? RECV : SEND].at[0].who;
		want.ways = queue_ways(&m->q[RECV], waiter) |
		    queue_ways(&m->q[SEND], waiter);
		serve(p, waiter, want);
	}
	code = chan_close(p->ch[ch]);
	if (code != was)
		wrong(p, who, "closed or not closed");
}

static void
cancel_one(struct program *p, int target)
{
	enum state state;

	settle(p);
	state = p->coro[target].state;
	if (state != QUEUED && state != SERVED)
		return;		/* it is in no operation */
	if (state == QUEUED)
		serve(p, target, (struct outcome){ .code = -ECANCELED });
	co_cancel(&p->coro[target].scope);
}

/* --- doing it ------------------------------------------------------------ */

static struct outcome
do_single(struct program *p, const struct op *op)
{
	const struct way *w = &op->way[0];
	struct outcome got = { .ways = 1 };
	chan(int) ch = p->ch[w->ch];
	int v = -1, code;

	if (w->dir == RECV)
		code = op->otherwise ? chan_try_recv(ch, &v) :
		    chan_recv(ch, &v);
	else
		code = op->otherwise ? chan_try_send(ch, w->value) :
		    chan_send(ch, w->value);
	if (code == 0 || code == -EPIPE)
		got.status = code;
	else
		got.code = code;
	got.value = v == -1 ? 0 : v;
	if (v == -1 && w->dir == RECV && got.code == 0)
		wrong(p, MAIN, "nothing was received");
	if (v != -1 && got.code < 0)
		wrong(p, MAIN, "a receive that failed wrote a value");
	return got;
}

static struct outcome
do_select(struct program *p, const struct op *op)
{
	struct outcome got = { 0 };
	struct co_case cases[CASES + 2];
	int v[CASES], status[CASES], value[CASES], i, n, code;

	for (i = 0; i < op->n; i++) {
		v[i] = -1;
		status[i] = 1;
		value[i] = op->way[i].value;
		if (op->way[i].dir == RECV)
			cases[i] = co_on_recv(p->ch[op->way[i].ch], &v[i],
			    &status[i]);
		else
			cases[i] = co_on_send_from(p->ch[op->way[i].ch],
			    &value[i], &status[i]);
	}
	n = op->n;
	if (op->otherwise)
		cases[n++] = co_otherwise;
	if (op->timer != NO_LIMIT)
		cases[n++] = co_on_timeout(op->timer == PASSED ? 0 :
		    CO_SEC(1000));
	code = co_select_v(cases, n);
	for (i = 0; i < op->n; i++) {
		if (i != code && (v[i] != -1 || status[i] != 1))
			wrong(p, MAIN, "a case not taken had an effect");
	}
	if (code < 0 || code >= op->n) {
		got.code = code < 0 ? code :
		    code == op->n && op->otherwise ? -EAGAIN : -ETIME;
		return got;
	}
	got.ways = 1u << code;
	got.status = status[code];
	got.value = op->way[code].dir == RECV ? v[code] : 0;
	return got;
}

static int
run_coro(void *arg)
{
	static const co_time limit_of[] = { 0, -1, CO_SEC(1000) };
	struct coro *c = arg;
	struct program *p = c->p;
	int who = (int)(c - p->coro);
	struct outcome got = { 0 };
	const struct op *op;

	for (c->at = 0; c->at < c->n; c->at++) {
		op = op_of(c);
		if (op->kind == OP_SINGLE || op->kind == OP_SELECT) {
			co_scope(c->scope, .timeout = limit_of[op->scope]) {
				called(p, who);
				got = op->kind == OP_SINGLE ?
				    do_single(p, op) : do_select(p, op);
				returned(p, who, got);
			}
			continue;
		}
		settle(p);
		note(p, who, '!', op);
		if (op->kind == OP_CLOSE)
			close_one(p, who, op->target);
		else if (op->kind == OP_CANCEL)
			cancel_one(p, op->target);
		else
			co_yield();
	}
	settle(p);
	c->state = ENDED;
	return 0;
}

/* --- making it ----------------------------------------------------------- */

static bool
stands_already(const struct op *op, const struct way *w)
{
	int i;

	for (i = 0; i < op->n; i++)
		if (op->way[i].ch == w->ch && op->way[i].dir == w->dir)
			return true;
	return false;
}

/*
 * Two sends to the same channel with a buffer in one select are left out: which
 * of the values is in the buffer would be open until it is received.
 */
static void
add_way(struct program *p, struct op *op)
{
	struct way w;

	w.ch = p->choose(p, 20) == 0 ? CHANS :
	    (int)p->choose(p, (uint64_t)p->nchans);
	w.dir = p->choose(p, 2) ? SEND : RECV;
	w.value = w.dir == SEND ? ++p->value : 0;
	if (w.dir == SEND && w.ch != CHANS && p->model[w.ch].cap > 0 &&
	    stands_already(op, &w))
		return;
	op->way[op->n++] = w;
}

static enum time_limit
make_limit(struct program *p)
{
	uint64_t dice = p->choose(p, 16);

	return dice == 0 ? PASSED : dice == 1 ? FAR : NO_LIMIT;
}

static void
make_op(struct program *p, struct op *op)
{
	uint64_t dice = p->choose(p, 32);
	int n = 1;

	*op = (struct op){ .kind = OP_SINGLE };
	if (dice == 0) {
		op->kind = OP_CLOSE;
		op->target = p->choose(p, 8) == 0 ? CHANS :
		    (int)p->choose(p, (uint64_t)p->nchans);
		return;
	}
	if (dice <= 2) {
		op->kind = OP_CANCEL;
		op->target = (int)p->choose(p, (uint64_t)p->ncoros);
		return;
	}
	if (dice <= 5) {
		op->kind = OP_YIELD;
		return;
	}
	if (dice <= 18) {
		op->kind = OP_SELECT;
		n = (int)p->choose(p, CASES + 1);
	}
	op->otherwise = p->choose(p, 4) == 0;
	op->scope = make_limit(p);
	if (op->kind == OP_SELECT)
		op->timer = make_limit(p);
	while (n-- > 0)
		add_way(p, op);
	/* A try on no channel would be a matter of its own. */
	if (op->kind == OP_SINGLE && op->way[0].ch == CHANS)
		op->otherwise = false;
}

static void
make(struct program *p)
{
	static const size_t caps[] = { 0, 0, 1, 2, CHAN_UNBOUNDED };
	int i, left = 1 + (int)p->choose(p, OPS);
	struct coro *c;

	p->calling = NOBODY;
	p->nchans = 1 + (int)p->choose(p, CHANS);
	p->ncoros = 1 + (int)p->choose(p, COROS);
	p->events = p->value = 0;
	p->ch[CHANS] = NULL;
	for (i = 0; i < p->nchans; i++) {
		memset(&p->model[i], 0, sizeof p->model[i]);
		p->model[i].cap = caps[p->choose(p, 5)];
		p->ch[i] = chan_new(int, p->model[i].cap);
		must(p->ch[i] != NULL);
	}
	for (i = 0; i < p->ncoros; i++) {
		p->coro[i].p = p;
		p->coro[i].n = p->coro[i].at = 0;
		p->coro[i].state = IDLE;
	}
	while (left-- > 0) {
		c = &p->coro[p->choose(p, (uint64_t)p->ncoros)];
		make_op(p, &c->op[c->n++]);
	}
}

/* --- all that may run has run -------------------------------------------- */

static void
wait_until_quiet(struct program *p)
{
	int before;

	do {
		before = p->events;
		co_yield();
		co_yield();
	} while (p->events != before);
	settle(p);
}

/* M4.  True: all have ended. */
static bool
quiet_is_right(struct program *p)
{
	bool all = true;
	int i;

	for (i = 0; i < p->ncoros; i++) {
		if (p->coro[i].state == SERVED)
			wrong(p, i, "was served, and was not woken");
		if (p->coro[i].state != ENDED)
			all = false;
	}
	return all;
}

/* Something for those who wait: a close, or a cancellation of one of them. */
static void
stir(struct program *p)
{
	int i = (int)p->choose(p, (uint64_t)p->ncoros);
	int ch = (int)p->choose(p, (uint64_t)p->nchans);

	note(p, MAIN, '!', NULL);
	if (p->choose(p, 2) && !p->model[ch].closed) {
		close_one(p, MAIN, ch);
		return;
	}
	while (p->coro[i].state != QUEUED)
		i = (i + 1) % p->ncoros;
	cancel_one(p, i);
}

static void
check_rest(struct program *p)
{
	struct model_chan *m;
	int i, k, v;

	for (i = 0; i < p->nchans; i++) {
		m = &p->model[i];
		if (chan_len(p->ch[i]) != (size_t)m->n)
			wrong(p, MAIN, "another number is left");
		for (k = 0; k < m->n; k++) {
			if (chan_try_recv(p->ch[i], &v) != 0 || v != m->buf[k])
				wrong(p, MAIN, "another value is left");
		}
		if (chan_try_recv(p->ch[i], &v) !=
		    (m->closed ? -EPIPE : -EAGAIN))
			wrong(p, MAIN, "something is left");
		chan_unref(p->ch[i]);
	}
}

static void
run_program(struct program *p)
{
	struct co_scope s;
	int i;

	make(p);
	co_scope(s) {
		for (i = 0; i < p->ncoros; i++)
			must(co_spawn(run_coro, &p->coro[i]) == 0);
		for (;;) {
			wait_until_quiet(p);
			if (quiet_is_right(p))
				break;
			stir(p);
		}
	}
	check_rest(p);
}

#endif
