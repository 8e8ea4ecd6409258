/* SPDX-License-Identifier: MIT */
/*
 * scope_model.h - what a program knows of its own scopes, and what follows of
 * that for what the library says.
 *
 * Each scope has a node, and so has each coroutine, inside of that of its home.
 * Whoever gives a scope a reason to end writes it down before, with the time,
 * and whoever learns that it has ended writes that down after, with the time.
 * All read the same clock.  Then:
 *
 *	M1  a code that ends a wait has a reason: in the wait's own scope or in
 *	    one around it, up to the first shield; and that reason was there
 *	    before the scope was known to have ended.  So no deadline is early,
 *	    no shield is passed, and no second reason counts;
 *	M2  all waits in one scope give the same code;
 *	M3  where the scope itself has no such reason, the one around it has
 *	    ended with that code;
 *	M4  in a scope that is known to have ended no wait goes ahead, nothing
 *	    is spawned, and co_cancelled() is true, as it is after a deadline;
 *	    elsewhere it is only with a reason;
 *	M5  a scope is left when all of its children have ended; each has run
 *	    once, and what it wrote is seen; nothing runs in it afterwards;
 *	M6  the status is a child's failure, -ECANCELED of a co_cancel, or a
 *	    code that ended a wait inside; where one of them is known to have
 *	    been it, none that came later; and not 0 after any of them;
 *	M7  no sleep goes on to a time after the deadline.
 *
 * What is known of a scope is known of all that is inside once co_cancel has
 * returned; but what a wait was told only of the other scopes of that
 * coroutine, as the end may be on its way to the rest.
 */
#ifndef WEFT_TESTS_SCOPE_MODEL_H
#define WEFT_TESTS_SCOPE_MODEL_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <weft/chan.h>
#include <weft/co.h>
#include <weft/scope.h>
#include <weft/sync.h>
#include <weft/values.h>

enum { NODES = 320, KIDS = 96, KEYS = 5, CHANS = 3, SLOTS = 4 };

#define load(p)		__atomic_load_n((p), __ATOMIC_SEQ_CST)
#define store(p, v)	__atomic_store_n((p), (v), __ATOMIC_SEQ_CST)
#define add(p, n)	__atomic_add_fetch((p), (n), __ATOMIC_SEQ_CST)
#define swap(p, v)	__atomic_exchange_n((p), (v), __ATOMIC_SEQ_CST)

enum kind { SCOPE, SHIELD, TASK };

struct node {
	enum kind kind;
	struct node *outer;	/* of a task: its home; NULL: the outermost */
	struct co_scope *s;	/* NULL: it has no name */
	bool fails;		/* by a child's failure */
	bool sure;		/* somebody will end it */
	bool bound;		/* waits in it must be short anyhow */
	bool late;		/* its deadline may have passed when it began */
	/* Its own deadline, at the earliest and at the latest; and the latest
	   that the earliest around it and its own may be. */
	co_time own, own_most, limit;
	/* [atomic] Times; CO_FOREVER: not yet. */
	co_time cancelled;	/* somebody was about to cancel it */
	co_time ended;		/* it had ended */
	co_time tree;		/* it, and all inside of it */
	co_time settled;	/* it had a status */
	int code;		/* [atomic] that a wait in it gave; 0: none */
	uint32_t met;		/* [atomic] bits: codes of waits inside */
	int alive;		/* [atomic] children */
	int left;		/* [atomic] */
	struct kid *kids;	/* [atomic] */
};

/* A coroutine. */
struct kid {
	struct node task;
	struct kid *next;	/* of its home's */
	struct program *p;
	uint64_t seed;
	int depth;
	bool forked;
	bool shared;		/* any other one may join it */
	struct node *ends;	/* it is there to end this */
	co_time delay;		/* after so long */
	int local[KEYS];	/* its spawner's, when it was spawned */
	int want;		/* written as `effect` at its end */
	int want_result;	/* of one that is joined */
	/* By the kid; read when it has ended. */
	int began, effect, result;
	co_time failed;		/* it was about to return `result` < 0 */
	/* [atomic] */
	int spawned;
	int tries, taken;	/* joins that began, that gave the result */
	struct co_task handle;
};

struct slot {
	int lock;		/* [atomic] */
	struct node *n;		/* [lock] which is not left as long */
};

struct program {
	uint64_t number, seed;
	int workers;
	bool threads;		/* some stand beside */
	struct node root;	/* what the first of its coroutines lives in */
	struct kid *ender;	/* of its outermost scope; or NULL */
	/* [atomic] */
	int nodes, kids;
	int running;		/* coroutines that its end waits for */
	int failed_future, closed[CHANS];
	uint64_t sent, received, posted, passed;
	/* What they wait for. */
	chan(int) ch[CHANS];
	struct co_mutex mutex;
	int holder;		/* [mutex] */
	struct co_sem sem;
	struct co_event event;
	co_future(int) future;
	struct slot slot[SLOTS];
	struct kid kid[KIDS];
	struct node node[NODES];
};

/* --- telling ------------------------------------------------------------- */

static void
print_node(const struct node *n)
{
	static const char *const names[] = { "scope", "shield", "task" };
	const struct kid *k;

	fprintf(stderr, "  %s %p%s%s%s: deadline %lld..%lld cancelled %lld\n"
	    "    ended %lld tree %lld settled %lld code %d alive %d left %d\n",
	    names[n->kind], (const void *)n, n->fails ? " fails" : "",
	    n->sure ? " sure" : "", n->late ? " late" : "",
	    (long long)n->own, (long long)n->own_most,
	    (long long)load(&n->cancelled), (long long)load(&n->ended),
	    (long long)load(&n->tree), (long long)load(&n->settled),
	    load(&n->code), load(&n->alive), load(&n->left));
	for (k = load(&n->kids); k; k = k->next)
		fprintf(stderr, "    child %p%s%s: began %d result %d at "
		    "%lld\n", (const void *)k, k->forked ? " forked" : "",
		    k->ends ? " ends" : "", k->began, load(&k->result),
		    (long long)k->failed);
}

static void __attribute__((noreturn, noinline))
wrong(const struct program *p, const struct node *n, int code,
    const char *what)
{
	static int first;	/* [atomic] */

	if (swap(&first, 1))
		for (;;)
			pause();
	fprintf(stderr, "program %llu, the first one with SEED=%llu: %s "
	    "(%d, at %lld)\n", (unsigned long long)p->number,
	    (unsigned long long)p->seed, what, code, (long long)co_now());
	for (; n; n = n->outer)
		print_node(n);
	abort();
}

/* --- nodes --------------------------------------------------------------- */

static void
node_init(struct node *n, enum kind kind, struct node *outer)
{
	*n = (struct node){ .kind = kind, .outer = outer, .own = CO_FOREVER,
		.own_most = CO_FOREVER, .limit = CO_FOREVER,
		.cancelled = CO_FOREVER, .ended = CO_FOREVER,
		.tree = CO_FOREVER, .settled = CO_FOREVER };
	if (outer && kind != SHIELD)
		n->limit = outer->limit;
}

/* NULL: the program has had enough of them. */
static struct node *
node_new(struct program *p, enum kind kind, struct node *outer)
{
	int i = load(&p->nodes) < NODES ? add(&p->nodes, 1) - 1 : NODES;

	if (i >= NODES)
		return NULL;
	node_init(&p->node[i], kind, outer);
	return &p->node[i];
}

/* The next one whose end is an end of n. */
static struct node *
beyond(const struct node *n)
{
	return n->kind == SHIELD ? NULL : n->outer;
}

static void
earliest(co_time *at, co_time when)
{
	co_time was = load(at);

	while (when < was && !__atomic_compare_exchange_n(at, &was, when, false,
	    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
}

/* M4: must every wait in n fail? */
static bool
known(const struct node *n)
{
	bool same = true;

	for (; n; n = beyond(n)) {
		if (load(&n->tree) != CO_FOREVER ||
		    (same && load(&n->ended) != CO_FOREVER))
			return true;
		same &= n->kind != TASK;
	}
	return false;
}

/* Nobody ends it for certain: no wait may be without an end of its own. */
static bool
must_be_short(const struct node *n)
{
	for (; n && !n->bound; n = beyond(n))
		if (n->sure || n->own != CO_FOREVER)
			return false;
	return true;
}

/* M5 */
static void
check_there(const struct program *p, const struct node *n)
{
	const struct node *x;

	for (x = n; x; x = x->outer)
		if (load(&x->left))
			wrong(p, n, 0, "runs in a scope that was left");
}

/* --- reasons ------------------------------------------------------------- */

/* code 0: any */
static bool
child_failed(const struct node *n, int code, co_time by)
{
	const struct kid *k;
	int result;

	for (k = n->fails ? load(&n->kids) : NULL; k; k = k->next) {
		result = load(&k->result);
		if (result < 0 && !k->forked && k->failed <= by &&
		    (code == 0 || result == code))
			return true;
	}
	return false;
}

/* Of two deadlines the earlier ends it, and of equal ones the outer. */
static bool
deadline_passed(const struct node *n, co_time by)
{
	const struct node *outer = beyond(n);

	return n->own <= by && (n->late || !outer || n->own < outer->limit);
}

/* Has n itself had a reason to end with that code?  0: with any. */
static bool
has_reason(const struct node *n, int code, co_time by)
{
	if ((code == 0 || code == -ECANCELED) && load(&n->cancelled) <= by)
		return true;
	if ((code == 0 || code == -ETIMEDOUT) && deadline_passed(n, by))
		return true;
	return child_failed(n, code, by);
}

/* By when n is known to have ended. */
static co_time
ended_by(const struct node *n, co_time now)
{
	co_time by = load(&n->ended) < now ? load(&n->ended) : now;

	for (; n; n = beyond(n))
		if (load(&n->tree) < by)
			by = load(&n->tree);
	return by;
}

static uint32_t
bit_of(int code)
{
	return UINT32_C(1) << (0u - (unsigned)code) % 32;
}

/* M2, of what n itself has certainly been told. */
static void
note_code(const struct program *p, struct node *n, int code, co_time now,
    bool by_wait)
{
	int was = 0;

	if (!__atomic_compare_exchange_n(&n->code, &was, code, false,
	    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST) && was != code)
		wrong(p, n, code, "another code than before");
	earliest(&n->ended, now);
	if (by_wait)
		earliest(&n->settled, now);
}

/* Somebody in n was given that code: by a wait that failed, or else. */
static void
told(const struct program *p, struct node *n, int code, bool by_wait)
{
	co_time now = co_now(), by = ended_by(n, now);
	bool found = false;
	struct node *x;

	for (x = n; x; x = beyond(x)) {
		if (load(&x->ended) < by)
			by = load(&x->ended);
		if (by_wait)
			__atomic_fetch_or(&x->met, bit_of(code),
			    __ATOMIC_SEQ_CST);
		if (found)
			continue;
		note_code(p, x, code, now, by_wait);		/* M3 */
		found = has_reason(x, code, by);
	}
	if (!found)
		wrong(p, n, code, "ended for no reason");	/* M1 */
}

/* May n have ended by now? */
static bool
may_have_ended(const struct node *n)
{
	co_time now = co_now();

	while (n && !has_reason(n, 0, now))
		n = beyond(n);
	return n != NULL;
}

static void
check_cancelled(const struct program *p, struct node *n, bool was, bool is)
{
	if (was && !is)
		wrong(p, n, 0, "ended, but co_cancelled() is false");
	if (!is)
		return;
	if (!may_have_ended(n))
		wrong(p, n, 0, "co_cancelled() for no reason");
	earliest(&n->ended, co_now());
}

/* --- leaving ------------------------------------------------------------- */

static void
check_status(const struct program *p, struct node *n, int status)
{
	co_time by = load(&n->settled);

	if (status > 0)
		wrong(p, n, status, "no such status");
	if (status == 0) {
		if (by != CO_FOREVER || child_failed(n, 0, CO_FOREVER - 1))
			wrong(p, n, status, "ended with no status");
		return;
	}
	if (status == -ECANCELED && load(&n->cancelled) <= by &&
	    load(&n->cancelled) != CO_FOREVER)
		return;
	if (child_failed(n, status, by))
		return;
	if (!(load(&n->met) & bit_of(status)))
		wrong(p, n, status, "a status that no wait was given");
	told(p, n, status, false);
}

/* M5 and M6.  s: NULL if it has no name. */
static void
check_left(const struct program *p, struct node *n, const struct co_scope *s)
{
	unsigned failures = 0;
	const struct kid *k;

	if (load(&n->alive) != 0)
		wrong(p, n, 0, "left before its children have ended");
	store(&n->left, 1);
	for (k = load(&n->kids); k; k = k->next) {
		if (k->began != load(&k->spawned))
			wrong(p, n, k->began, "a child has not run once");
		if (k->effect != (k->began ? k->want : 0))
			wrong(p, n, k->effect, "a child's effect is missing");
		failures += k->result < 0 && !k->forked;
	}
	if (!s)
		return;
	if (s->failures != failures)
		wrong(p, n, (int)s->failures, "failures");
	check_status(p, n, s->status);
}

/* --- ending -------------------------------------------------------------- */

static void
cancel_scope(struct node *n)
{
	co_time now;

	earliest(&n->cancelled, co_now());
	co_cancel(n->s);
	now = co_now();
	earliest(&n->settled, now);
	earliest(&n->ended, now);
	earliest(&n->tree, now);
}

/* Its handle is its program's as long as that lasts. */
static void
cancel_kid(struct kid *k)
{
	earliest(&k->task.cancelled, co_now());
	co_task_cancel(&k->handle);
	earliest(&k->task.tree, co_now());
}

#endif
