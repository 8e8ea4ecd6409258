/* SPDX-License-Identifier: MIT */
/*
 * scope_blocks.h - how the programs of scope_oracle_test.c enter scopes, leave
 * them, and spawn into them.
 */
#ifndef WEFT_TESTS_SCOPE_BLOCKS_H
#define WEFT_TESTS_SCOPE_BLOCKS_H

#include "scope_waits.h"

/* In scope_oracle_test.c. */
static void one_wait(struct life *l);
static void steps(struct life *l);
static int run_kid(void *arg);

/* --- blocks -------------------------------------------------------------- */

enum form { A_SCOPE, A_TIMEOUT, A_SHIELD, FORMS };
enum way { BY_END, BY_BREAK, BY_CONTINUE, BY_RETURN, BY_GOTO, BY_HAND, WAYS };

struct block {
	struct life *l;
	struct node *n;
	enum form form;
	enum way way;
	void (*fn)(struct life *);
	struct co_scope_options o;
	struct co_scope s;
	co_time from;		/* before it was entered */
	int ran;
};

static co_time
after(co_time now, co_time d)
{
	return d < CO_FOREVER - now ? now + d : CO_FOREVER;
}

/* The earliest that its deadline may be; before it is entered. */
static void
before_block(struct block *b)
{
	const struct co_scope_options *o = &b->o;
	struct node *n = b->n;

	b->from = co_now();
	if (o->timeout > 0)
		n->own = after(b->from, o->timeout);
	if (o->deadline != 0 && o->deadline < n->own)
		n->own = o->deadline;
	if (o->timeout < 0 || n->own <= b->from ||
	    (b->form == A_TIMEOUT && o->timeout == 0)) {
		n->late = true;
		n->own = b->from;
	}
}

/* The latest that it may be; and what is known by that. */
static void
after_entry(struct block *b)
{
	const struct co_scope_options *o = &b->o;
	struct node *n = b->n;
	co_time now = co_now();

	if (o->timeout > 0)
		n->own_most = after(now, o->timeout);
	if (o->deadline != 0 && o->deadline < n->own_most)
		n->own_most = o->deadline;
	if (n->late) {
		n->own_most = now;
		store(&n->ended, now);
		store(&n->tree, now);
	} else if (o->deadline != 0 && o->deadline <= now) {
		n->late = true;
	}
	if (n->own_most < n->limit)
		n->limit = n->own_most;
}

static struct node **
slot_take(struct slot *s)
{
	while (swap(&s->lock, 1))
		co_yield();
	return &s->n;
}

static void
slot_drop(struct slot *s)
{
	store(&s->lock, 0);
}

static void
within(struct block *b)
{
	struct life *l = b->l;
	struct slot *slot = &l->p->slot[choose(l, SLOTS)];
	bool shown = false;
	struct node **at;

	b->ran++;
	after_entry(b);
	l->in = b->n;
	if (b->n->s && choose(l, 2)) {
		at = slot_take(slot);
		shown = *at == NULL;
		if (shown)
			*at = b->n;
		slot_drop(slot);
	}
	b->fn(l);
	if (shown) {
		*slot_take(slot) = NULL;
		slot_drop(slot);
	}
	check_there(l->p, l->in);
}

/* Is followed by what the block that it stands in ends with. */
#define WITHIN(b) \
	within(b); \
	if ((b)->way == BY_BREAK) \
		break; \
	if ((b)->way == BY_CONTINUE) \
		continue; \
	if ((b)->way == BY_RETURN) \
		return; \
	if ((b)->way == BY_GOTO) \
		goto out

static void
as_scope(struct block *b)
{
	co_scope(b->s, .timeout = b->o.timeout, .deadline = b->o.deadline,
	    .policy = b->o.policy, .shield = b->o.shield) {
		WITHIN(b);
	}
out:
	return;
}

static void
as_timeout(struct block *b)
{
	co_timeout(b->o.timeout) {
		WITHIN(b);
	}
out:
	return;
}

static void
as_shield(struct block *b)
{
	co_shield() {
		WITHIN(b);
	}
out:
	return;
}

static void
as_scope_by_hand(struct block *b)
{
	if (co_scope_enter(&b->s, &b->o) != 0)
		wrong(b->l->p, b->n, 0, "cannot be entered");
	within(b);
	if (co_scope_leave(&b->s) != b->s.status)
		wrong(b->l->p, b->n, b->s.status, "two statuses");
}

static void
run_block(struct life *l, enum form form, const struct co_scope_options *o,
    void (*fn)(struct life *))
{
	struct block b = { .l = l, .form = form, .fn = fn, .o = *o,
		.way = (enum way)choose(l, WAYS) };
	struct node *outer = l->in;

	b.n = node_new(l->p, form == A_SHIELD || o->shield ? SHIELD : SCOPE,
	    outer);
	if (!b.n)
		return;
	b.n->fails = form != A_SCOPE || o->policy == CO_FAIL_FAST;
	if (form == A_SCOPE)
		b.n->s = &b.s;
	before_block(&b);
	if (form == A_SHIELD)
		as_shield(&b);
	else if (form == A_TIMEOUT)
		as_timeout(&b);
	else if (b.way == BY_HAND)
		as_scope_by_hand(&b);
	else
		as_scope(&b);
	l->in = outer;
	if (b.ran != 1)
		wrong(l->p, b.n, b.ran, "a block did not run once");
	check_left(l->p, b.n, b.n->s);
}

/* --- spawning ------------------------------------------------------------ */

struct small {
	struct kid *k;
};

struct large {
	struct kid *k;
	unsigned char fill[500];
};

static int
run_small(struct small *v)
{
	return run_kid(v->k);
}

static int
run_large(const struct large *v)
{
	size_t i;

	for (i = 0; i < sizeof v->fill; i++)
		if (v->fill[i] != (unsigned char)v->k->want)
			wrong(v->k->p, &v->k->task, (int)i, "a copied value");
	return run_kid(v->k);
}

static struct kid *
kid_new(struct life *l, struct node *home)
{
	struct program *p = l->p;
	int i = load(&p->kids) < KIDS ? add(&p->kids, 1) - 1 : KIDS;
	struct kid *k = &p->kid[i];

	if (i >= KIDS)
		return NULL;
	k->p = p;
	node_init(&k->task, TASK, home);
	k->seed = test_random(&l->seed);
	k->depth = l->depth - 1;
	k->failed = CO_FOREVER;
	k->want = 1 + (int)choose(l, 1000000);
	memcpy(k->local, l->local, sizeof k->local);
	return k;
}

/* A result that nobody else has, and that fits in 16 bits or does not. */
static int
own_failure(const struct kid *k)
{
	int i = (int)(k - k->p->kid);

	return i % 2 ? -1000 - i : -100000 - i;
}

static int
start(struct life *l, struct kid *k, bool inner)
{
	struct large large = { .k = k };
	struct co_spawn_options o = {
		.name = choose(l, 2) ? "a name" : NULL,
		.pinned = choose(l, 4) == 0,
		.stack_size = choose(l, 4) ? 0 : 64 * 1024,
		.priority = (enum co_priority)choose(l, 3),
		.scope = inner ? NULL : k->task.outer->s
	};

	if (k->forked)
		return co_fork(&k->handle, run_kid, k);
	switch (inner ? choose(l, 5) : 4) {
	case 0:
	case 1:
		return co_spawn(run_kid, k);
	case 2:
		return co_go(run_small, (struct small){ k });
	case 3:
		memset(large.fill, k->want, sizeof large.fill);
		return co_go(run_large, large);
	default:
		return co_spawn_with(&o, run_kid, k);
	}
}

/* A coroutine without a scope of its own spawns into the one it lives in. */
static struct node *
innermost(const struct life *l)
{
	return l->in->kind == TASK ? l->in->outer : l->in;
}

static bool
launch(struct life *l, struct kid *k)
{
	struct node *home = k->task.outer;
	bool was = known(home);
	int code;

	k->next = load(&home->kids);
	while (!__atomic_compare_exchange_n(&home->kids, &k->next, k, false,
	    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
		;
	add(&home->alive, 1);
	if (k != l->p->ender)
		add(&l->p->running, 1);
	code = start(l, k, home == innermost(l));
	if (code == 0) {
		if (was)
			wrong(l->p, home, 0, "spawned into what had ended");
		store(&k->spawned, 1);
		add(&born, 1);
		return true;
	}
	add(&home->alive, -1);
	if (k != l->p->ender)
		add(&l->p->running, -1);
	told(l->p, home, code, false);
	if (home == innermost(l))
		earliest(&l->in->ended, co_now());
	return false;
}

/* The last one that is to be waited for: the end need not come. */
static void
run_out(struct program *p)
{
	struct kid *e = p->ender;

	if (add(&p->running, -1) == 0 && e && e->forked && load(&e->spawned))
		cancel_kid(e);
}

static void
spawn_one(struct life *l)
{
	struct node *home, *n;
	struct kid *k;

	if (!l->kid) {
		if (co_spawn(run_kid, NULL) != -EINVAL)
			wrong(l->p, l->in, 0, "a thread spawns");
		return;
	}
	home = innermost(l);
	if (choose(l, 6) == 0)
		for (n = home; n; n = n->outer)
			if (n->s && choose(l, 2))
				home = n;
	k = l->depth > 0 ? kid_new(l, home) : NULL;
	if (k)
		launch(l, k);
}

/* Its result is known before, and no scope's. */
static struct kid *
fork_new(struct life *l)
{
	struct kid *k;

	if (!l->kid || l->depth == 0 || l->n == MINE)
		return NULL;
	k = kid_new(l, innermost(l));
	if (!k)
		return NULL;
	k->forked = true;
	k->want_result = (int)choose(l, 2) ? 1000 + (int)(k - l->p->kid) :
	    -200000 - (int)(k - l->p->kid);
	return k;
}

static void
fork_one(struct life *l)
{
	struct kid *k = fork_new(l);

	if (!k)
		return;
	k->shared = choose(l, 2);
	if (launch(l, k) && !k->shared)
		l->mine[l->n++] = k;
}

/* It may wait for what never comes: it is cancelled. */
static void
fork_and_cancel(struct life *l)
{
	struct kid *k = fork_new(l);

	if (!k)
		return;
	k->task.sure = true;
	if (!launch(l, k))
		return;
	if (choose(l, 2))
		one_wait(l);
	cancel_kid(k);
	l->mine[l->n++] = k;
}

/* Spawns who ends n, which was just entered. */
static void
spawn_ender(struct life *l, struct node *n, bool first)
{
	struct kid *k = l->kid ? kid_new(l, n) : NULL;

	if (!k)
		return;
	k->ends = n;
	k->delay = duration(l) * (first ? 3 : 1);
	if (n->fails && choose(l, 2)) {
		k->want_result = own_failure(k);
	} else if (first) {
		k->forked = true;
		k->want_result = 7;
		l->p->ender = k;
	}
	n->sure = true;
	launch(l, k);
}

/* --- threads beside ------------------------------------------------------ */

struct visit {
	struct program *p;
	uint64_t seed;
	struct node *cancel;	/* NULL: it does what it likes */
	struct co_event done;
};

static chan(struct visit *) visits;

static void
be_visited(struct life *l, struct visit *v)
{
	l->p = v->p;
	l->seed = v->seed;
	l->in = node_new(v->p, TASK, NULL);
	if (v->cancel)
		cancel_scope(v->cancel);
	else if (l->in)
		steps(l);
	check_locals(l);
	co_event_set(&v->done);
}

static void *
stand_beside(void *arg)
{
	struct life l = { .depth = 2 };

	chan_each(struct visit *, v, visits)
		be_visited(&l, v);
	return arg;
}

/* In a shield: v is the caller's. */
static void
visit_in_shield(struct life *l)
{
	bool was = known(l->in);

	heard(l, was, chan_send(visits, l->visit));
	heard(l, was, co_event_wait(&l->visit->done));
}

static void
visit(struct life *l, struct node *cancel)
{
	static const struct co_scope_options none;
	struct visit v = { .p = l->p, .seed = test_random(&l->seed),
		.cancel = cancel, .done = CO_EVENT_INIT };

	l->visit = &v;
	run_block(l, A_SHIELD, &none, visit_in_shield);
}

#endif
