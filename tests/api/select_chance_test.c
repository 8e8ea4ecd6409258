/* SPDX-License-Identifier: MIT */
/*
 * select_chance_test.c - of several cases that are ready each has the same
 * chance, whatever it is for and wherever it stands.
 */
#include "harness.h"

#include <weft.h>

enum { MOST = 64 };

typedef chan(int) int_chan;

/* --- cases that are ready, however often they are taken, and never --------- */

enum kind { RECV_CLOSED, RECV, SEND, EVENT, FUTURE, WATCH, KINDS, MIXED };

struct thing {
	enum kind kind;
	bool ready;
	int_chan ch;
	struct co_event event;
	co_future(int) future;
	co_watch(int) watch;
	uint64_t version;
};

static int got, one = 1;

/* The case is for a thing that is ready or not. */
static struct co_case
thing_open(struct thing *t, enum kind kind, bool ready)
{
	*t = (struct thing){ .kind = kind, .ready = ready,
	    .event = CO_EVENT_INIT };
	switch (kind) {
	case EVENT:
		if (ready)
			co_event_set(&t->event);
		return co_on_event(&t->event);
	case FUTURE:
		t->future = co_future_new(int);
		if (ready)
			test_result(co_future_set(t->future, 1), 0);
		return co_on_future(t->future, &got);
	case WATCH:
		t->watch = co_watch_new(int, 1);
		t->version = ready ? 0 : 1;
		return co_on_watch(t->watch, &got, &t->version);
	case RECV_CLOSED:
	case RECV:
	case SEND:
	case KINDS:
	case MIXED:
	default:
		break;
	}
	t->ch = chan_new(int, 1);
	if (kind == RECV_CLOSED && ready)
		test_result(chan_close(t->ch), 0);
	if (kind == SEND ? !ready : kind == RECV && ready)
		test_result(chan_send(t->ch, 1), 0);
	return kind == SEND ? co_on_send_from(t->ch, &one) :
	    co_on_recv(t->ch, &got);
}

/* It was taken: it is made ready again. */
static void
thing_again(struct thing *t)
{
	if (t->kind == RECV)
		test_result(chan_try_send(t->ch, 1), 0);
	else if (t->kind == SEND)
		test_result(chan_try_recv(t->ch, &got), 0);
	else if (t->kind == WATCH)
		t->version = 0;
}

static void
thing_close(struct thing *t)
{
	chan_unref(t->ch);
	co_future_unref(t->future);
	co_watch_unref(t->watch);
}

/* --- odds ------------------------------------------------------------------ */

struct odds {
	enum kind kind;
	int cases, nready, ready[MOST], n;
	double limit;		/* of chi-square */
	int miss;		/* longest run without one case, p < 1e-9 */
};

static bool
is_ready(const struct odds *o, int at)
{
	int i;

	for (i = 0; i < o->nready; i++)
		if (o->ready[i] == at)
			return true;
	return false;
}

static void
choose(const struct odds *o, struct thing *t, struct co_case *cases,
    long *ret_hits)
{
	long last[MOST] = { 0 };
	int i, at;

	for (i = 0; i < o->n; i++) {
		at = co_select_v(cases, o->cases);
		ck_assert(at >= 0 && t[at].ready);
		ck_assert_msg(i - last[at] <= o->miss, "case %d of kind %d was "
		    "not taken %ld times", at, (int)t[at].kind, i - last[at]);
		ret_hits[at]++;
		last[at] = i;
		thing_again(&t[at]);
	}
	for (i = 0; i < o->nready; i++) {
		at = o->ready[i];
		ck_assert_msg(o->n - last[at] <= o->miss, "case %d of kind %d "
		    "was no longer taken", at, (int)t[at].kind);
	}
}

static int
odds_main(void *arg)
{
	const struct odds *o = arg;
	double want = (double)o->n / o->nready, chi = 0, off;
	struct co_case cases[MOST];
	long hits[MOST] = { 0 };
	struct thing t[MOST];
	int i;

	for (i = 0; i < o->cases; i++)
		cases[i] = thing_open(&t[i], o->kind == MIXED ?
		    (enum kind)(i % KINDS) : o->kind, is_ready(o, i));
	choose(o, t, cases, hits);
	for (i = 0; i < o->nready; i++) {
		off = (double)hits[o->ready[i]] - want;
		chi += off * off / want;
	}
	ck_assert_msg(chi <= o->limit, "chi-square %f of %d of kind %d", chi,
	    o->nready, (int)o->kind);
	for (i = 0; i < o->cases; i++)
		thing_close(&t[i]);
	return 0;
}

static void
run(int workers, struct odds *o)
{
	test_result(test_run(workers, odds_main, o), 0);
}

TEST(all_that_are_ready_are_chosen_alike, .seconds = 300)
{
	static const struct {
		int k;
		double limit;	/* p = 1e-6 */
		int miss;
	} rows[] = {
		{ 2, 23.93, 50 }, { 3, 27.63, 86 }, { 4, 30.66, 121 },
		{ 8, 40.52, 259 }, { 16, 56.49, 536 }, { 64, 131.37, 2194 }
	};
	static const enum kind kinds[] = { RECV_CLOSED, RECV, SEND, EVENT,
		MIXED };
	struct odds o;
	size_t r, k;
	int i;

	FOR_WORKERS(w) {
		for (r = 0; r < sizeof rows / sizeof rows[0]; r++) {
			o = (struct odds){ .cases = rows[r].k,
			    .nready = rows[r].k, .limit = rows[r].limit,
			    .miss = rows[r].miss,
			    .n = (int)test_count(50000, 1000000) };
			for (i = 0; i < o.cases; i++)
				o.ready[i] = i;
			for (k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
				o.kind = kinds[k];
				run(w, &o);
			}
		}
	}
}

/* 6.467 standard deviations, p = 1e-10: there are many pairs. */
static struct odds
pair(int a, int b, enum kind kind)
{
	return (struct odds){ .kind = kind, .cases = MOST, .nready = 2,
	    .ready = { a, b }, .limit = 41.82, .miss = 50,
	    .n = (int)test_count(2000, 20000) };
}

TEST(cases_that_are_never_ready_change_no_chances, .seconds = 300)
{
	static const int pairs[][2] = { { 0, 1 }, { 0, 63 }, { 62, 63 },
	    { 31, 32 }, { 5, 40 }, { 17, 18 } };
	static const enum kind kinds[] = { RECV_CLOSED, RECV, SEND, EVENT,
		MIXED };
	struct odds o;
	size_t i, k;

	FOR_WORKERS(w) {
		for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
			for (k = 0; k < sizeof kinds / sizeof kinds[0]; k++) {
				o = pair(pairs[i][0], pairs[i][1], kinds[k]);
				o.n *= 10;
				run(w, &o);
			}
		}
	}
}

/* All of them in the long form, else some, other ones each time. */
TEST(any_two_places_among_those_that_are_never_ready_are_alike, .seconds = 300)
{
	uint64_t random = test_seed();
	struct odds o;
	int a, b;

	for (a = 0; a < MOST; a++) {
		for (b = a + 1; b < MOST; b++) {
			if (!test_long() && test_below(&random, 16) > 0)
				continue;
			o = pair(a, b, test_below(&random, 2) ? RECV : MIXED);
			run(1 + (int)test_below(&random, 2), &o);
		}
	}
}
