/* SPDX-License-Identifier: MIT */
/*
 * scope_oracle_test.c - random programs of scopes and coroutines against what
 * must be so: scope_model.h.
 *
 * A program is a tree: coroutines enter scopes, blocks with a deadline and
 * shields, in all the ways that there are, spawn others into them, wait for
 * everything, cancel what they can reach, and leave.  Its outermost scope ends
 * for certain, by a deadline, a cancellation or a failing child; or it does not
 * and each wait inside has an end of its own.  So each program comes to its end
 * if the library ends what is to be ended; the harness sees to it if not.
 *
 * SEED=n gives the same programs, but not the same order of what happens.
 */
#include "harness.h"

#include <pthread.h>

#include <weft/inspect.h>

#include "scope_blocks.h"

/* --- steps --------------------------------------------------------------- */

static void
some_deadline(struct life *l, struct co_scope_options *o)
{
	co_time around = l->in->limit;

	switch (choose(l, 9)) {
	case 0:
		o->timeout = -1 - (co_time)choose(l, 100);
		break;
	case 1:
		o->deadline = co_now() - (co_time)choose(l, 2) * 1000;
		break;
	case 2:
		o->timeout = 1 + (co_time)choose(l, 3000);
		break;
	case 3:
		o->timeout = 1 + (co_time)choose(l, 200000);
		break;
	case 4:		/* the same as around, or next to it */
		if (around != CO_FOREVER)
			o->deadline = around + (co_time)choose(l, 3) - 1;
		break;
	case 5:
		o->timeout = o->deadline = CO_FOREVER;
		break;
	case 6:
		o->timeout = 1 + (co_time)choose(l, 100000);
		o->deadline = co_now() + (co_time)choose(l, 100000);
		break;
	default:
		break;
	}
}

static void
nest_body(struct life *l)
{
	if (l->in->s && must_be_short(l->in) && choose(l, 2))
		spawn_ender(l, l->in, false);
	steps(l);
}

static void
nest(struct life *l)
{
	struct co_scope_options o = { .policy = choose(l, 2) ? CO_FAIL_FAST :
		CO_SUPERVISE };
	enum form form = choose(l, 2) ? A_SCOPE : (enum form)choose(l, FORMS);

	if (l->depth == 0)
		return;
	if (form == A_SCOPE) {
		some_deadline(l, &o);
		o.shield = choose(l, 8) == 0;
	} else if (form == A_TIMEOUT) {
		o.timeout = duration(l) - (co_time)choose(l, 2) * 10000;
	}
	l->depth--;
	run_block(l, form, &o, nest_body);
	l->depth++;
}

/* In a block of its own where nobody else would end it. */
static void
one_wait(struct life *l)
{
	static int (*const waits[])(struct life *) = { wait_sleep, wait_sleep,
		wait_sleep, wait_sleep, wait_nothing, wait_mutex, wait_mutex,
		wait_sem, wait_event, wait_future, wait_send, wait_recv,
		wait_select, wait_select, wait_join_mine, wait_join_mine,
		wait_join_mine, wait_join_shared, wait_join_shared };
	struct co_scope_options o = { .timeout = 1 + duration(l) };
	bool brief = must_be_short(l->in), was = known(l->in);
	int code;

	if (brief && choose(l, 2)) {
		run_block(l, A_TIMEOUT, &o, one_wait);
		return;
	}
	if (brief)
		code = choose(l, 2) ? nap(l) : wait_mutex(l);
	else
		code = waits[choose(l, sizeof waits / sizeof waits[0])](l);
	heard(l, was, code);
	if (code < 0)		/* it stays so */
		nap_heard(l, true);
}

/* One around, rather a near one. */
static void
cancel_around(struct life *l)
{
	struct node *n;

	for (n = l->in; n; n = n->outer) {
		if (n->s && choose(l, 3) == 0) {
			cancel_scope(n);
			return;
		}
	}
}

static void
cancel_anywhere(struct life *l)
{
	struct slot *s = &l->p->slot[choose(l, SLOTS)];
	struct node **at = slot_take(s);

	if (*at)
		cancel_scope(*at);
	slot_drop(s);
}

static void
cancel_some_kid(struct life *l)
{
	struct kid *k = some_shared(l->p, choose(l, KIDS), true);

	if (k)
		cancel_kid(k);
}

static void
end_something(struct life *l)
{
	switch (choose(l, 6)) {
	case 0:
		cancel_around(l);
		break;
	case 1:
		cancel_anywhere(l);
		break;
	case 2:
	case 3:
		cancel_some_kid(l);
		break;
	default:
		break;
	}
}

/* What others may wait for. */
static void
make_ready(struct life *l)
{
	int ch = (int)choose(l, CHANS), v = 1 + (int)choose(l, 100);

	switch (choose(l, 8)) {
	case 0:
		co_event_set(&l->p->event);
		break;
	case 1:
		co_event_reset(&l->p->event);
		break;
	case 2:
		co_future_set(l->p->future, 77);
		break;
	case 3:
		store(&l->p->failed_future, 1);
		co_future_fail(l->p->future, ENDED_FUTURE);
		break;
	case 4:
		if (choose(l, 8))
			break;
		store(&l->p->closed[ch], 1);
		chan_close(l->p->ch[ch]);
		break;
	case 5:
		if (chan_try_send(l->p->ch[ch], v) == 0)
			add(&l->p->sent, (uint64_t)v);
		break;
	default:
		add(&l->p->posted, 1);
		co_sem_post(&l->p->sem);
		break;
	}
}

static void
look(struct life *l)
{
	bool was = known(l->in) || l->in->limit <= co_now();

	check_cancelled(l->p, l->in, was, co_cancelled());
}

static void
step(struct life *l)
{
	check_there(l->p, l->in);
	switch (choose(l, 20)) {
	case 0:
	case 1:
	case 2:
		spawn_one(l);
		break;
	case 3:
		fork_one(l);
		break;
	case 4:
		fork_and_cancel(l);
		break;
	case 5:
	case 6:
	case 7:
		nest(l);
		break;
	case 8:
		end_something(l);
		break;
	case 9:
	case 10:
		make_ready(l);
		break;
	case 11:
		change_local(l);
		break;
	case 12:
		look(l);
		break;
	case 13:
		co_yield();
		break;
	case 14:
		if (l->p->threads && l->kid && choose(l, 4) == 0)
			visit(l, NULL);
		break;
	default:
		one_wait(l);
		break;
	}
}

static void
steps(struct life *l)
{
	uint64_t n = 1 + choose(l, 8);

	while (n-- > 0 && (!known(l->in) || choose(l, 2)))
		step(l);
}

/* --- coroutines ---------------------------------------------------------- */

/* The outermost scope of a program: what is in it will end, or has ends. */
static void
first_body(struct life *l)
{
	int i;

	if (l->in->own == CO_FOREVER && choose(l, 4))
		spawn_ender(l, l->in, true);
	for (i = 0; i < 4; i++)
		steps(l);
}

static void
first_scope(struct life *l)
{
	struct co_scope_options o = { .policy = choose(l, 2) ? CO_FAIL_FAST :
		CO_SUPERVISE };

	if (choose(l, 3) == 0)
		o.timeout = 1 + (co_time)choose(l, 300000);
	run_block(l, A_SCOPE, &o, first_body);
}

static void
end_scope(struct life *l)
{
	bool was = known(l->in);
	int code = sleep_for(l, l->kid->delay);

	heard(l, was, code);
	if (l->kid->forked && code < 0)
		return;		/* it is not needed any more */
	if (l->kid->want_result < 0)
		return;
	if (l->p->threads && choose(l, 2))
		visit(l, l->kid->ends);
	else
		cancel_scope(l->kid->ends);
}

static int
result_of(struct life *l)
{
	if (l->kid->want_result != 0)
		return l->kid->want_result;
	switch (choose(l, 16)) {
	case 0:
		return own_failure(l->kid);
	case 1:
		return l->last;
	default:
		return (int)choose(l, 3);
	}
}

static int
run_kid(void *arg)
{
	struct kid *k = arg;
	struct program *p = k->p;
	struct life l = { .p = p, .kid = k, .in = &k->task, .seed = k->seed,
		.depth = k->depth };
	int result;

	k->began++;
	memcpy(l.local, k->local, sizeof l.local);
	check_locals(&l);
	if (k->ends)
		end_scope(&l);
	else if (k == &p->kid[0] && !k->task.bound)
		first_scope(&l);
	else
		steps(&l);
	check_locals(&l);
	check_there(p, l.in);
	result = result_of(&l);
	k->effect = k->want;
	k->failed = co_now();
	store(&k->result, result);
	if (k != p->ender)
		run_out(p);
	add(&k->task.outer->alive, -1);
	return result;
}

/* --- programs ------------------------------------------------------------ */

struct crowd {
	uint64_t n;		/* programs */
	uint64_t next;		/* [atomic] */
	int lanes, workers;
	bool threads;		/* stand beside */
};

static void
begin_program(struct program *p, uint64_t number, const struct crowd *c)
{
	static const size_t caps[CHANS] = { 0, 1, 4 };
	struct life nobody = { .p = p, .depth = DEPTH + 1 };
	int i;

	memset(p, 0, offsetof(struct program, node));
	p->number = number;
	p->seed = nobody.seed = test_seed() + number * UINT64_C(0x100000001b3);
	p->workers = c->workers;
	p->threads = c->threads;
	for (i = 0; i < CHANS; i++)
		p->ch[i] = chan_new(int, caps[i]);
	p->mutex = (struct co_mutex)CO_MUTEX_INIT;
	p->sem = (struct co_sem)CO_SEM_INIT(3);
	p->posted = 3;
	p->event = (struct co_event)CO_EVENT_INIT;
	p->future = co_future_new(int);
	node_init(&p->root, SCOPE, NULL);
	kid_new(&nobody, &p->root);
}

static void
check_kid(struct program *p, struct kid *k)
{
	size_t i;

	if (!k->forked || !k->spawned)
		return;
	if (!k->taken && co_join(&k->handle) != k->want_result)
		wrong(p, &k->task, 0, "cannot be joined");
	if (k->taken && !k->shared) {
		for (i = 0; i < sizeof k->handle; i++)
			if (((unsigned char *)&k->handle)[i] != 0xa5)
				wrong(p, &k->task, 0, "a handle was touched");
	} else if (co_join(&k->handle) != -EINVAL) {
		wrong(p, &k->task, 0, "joined again");
	}
}

/* A wait that failed has had no effect. */
static void
end_program(struct program *p)
{
	int i, v;

	for (i = 0; i < p->kids && i < KIDS; i++)
		check_kid(p, &p->kid[i]);
	for (i = 0; i < CHANS; i++) {
		while (chan_try_recv(p->ch[i], &v) == 0)
			p->received += (uint64_t)v;
		chan_unref(p->ch[i]);
	}
	while (co_sem_try_wait(&p->sem) == 0)
		p->passed++;
	if (p->sent != p->received)
		wrong(p, NULL, 0, "values were lost or doubled");
	if (p->posted != p->passed)
		wrong(p, NULL, 0, "permits were lost or doubled");
	if (co_mutex_try_lock(&p->mutex) != 0)
		wrong(p, NULL, 0, "the mutex is locked");
	(void)co_mutex_unlock(&p->mutex);
	co_future_unref(p->future);
}

/* One program after the other; several lanes are beside each other. */
static int
run_lane(void *arg)
{
	struct program *p = calloc(1, sizeof *p);
	struct crowd *c = arg;
	struct co_scope s;
	uint64_t i;

	ck_assert_ptr_nonnull(p);
	while ((i = add(&c->next, 1) - 1) < c->n) {
		begin_program(p, i, c);
		p->running = 1;
		p->root.kids = &p->kid[0];
		p->root.alive = 1;
		p->kid[0].spawned = 1;
		add(&born, 1);
		co_scope(s, .policy = CO_SUPERVISE)
			test_result(co_spawn(run_kid, &p->kid[0]), 0);
		check_left(p, &p->root, &s);
		end_program(p);
	}
	free(p);
	return 0;
}

static int
run_lanes(void *arg)
{
	struct crowd *c = arg;
	struct co_stats stats;
	struct co_scope s;
	int i;

	born = 0;
	c->next = 0;
	co_scope(s)
		for (i = 0; i < c->lanes; i++)
			test_result(co_spawn(run_lane, c), 0);
	test_result(s.status, 0);
	test_result(co_stats_get(&stats), 0);
	ck_assert_uint_eq(stats.all.spawned, born + (unsigned)c->lanes);
	ck_assert_uint_eq(stats.all.ended, born + (unsigned)c->lanes);
	ck_assert_uint_eq(stats.coroutines, 1);
	return 0;
}

/* With 1, 2 and 4 workers, or as many as were asked for. */
static void
run_crowds(struct crowd *c, int (*run)(struct crowd *c))
{
	test_seed();
	FOR_WORKERS(w) {
		c->workers = w;
		if (w <= 4 || test_workers(1) == 0)
			test_result(run(c), 0);
	}
}

static int
run_crowd(struct crowd *c)
{
	return test_run(c->workers, run_lanes, c);
}

TEST(random_scopes_keep_what_is_promised, .seconds = 120)
{
	struct crowd c = { .n = test_count(5000, 200000), .lanes = 3 };

	run_crowds(&c, run_crowd);
	test_soak("programs of scopes", 3 * c.n);
}

TEST(random_scopes_beside_threads_keep_it_too, .seconds = 120)
{
	struct crowd c = { .n = test_count(2000, 100000), .lanes = 3,
		.threads = true };
	pthread_t t[2];
	int i;

	visits = chan_new(struct visit *, CHAN_UNBOUNDED);
	for (i = 0; i < 2; i++)
		ck_assert(!pthread_create(&t[i], NULL, stand_beside, NULL));
	run_crowds(&c, run_crowd);
	chan_close(visits);
	for (i = 0; i < 2; i++)
		pthread_join(t[i], NULL);
	chan_unref(visits);
	test_soak("programs of scopes and threads", 3 * c.n);
}

/* A runtime's first coroutine, whose return ends the others. */
static int
run_first(void *arg)
{
	struct program *p = arg;
	int result;

	result = run_kid(&p->kid[0]);
	earliest(&p->root.cancelled, co_now());
	return result;
}

static int
run_runtimes(struct crowd *c)
{
	struct program *p = calloc(1, sizeof *p);
	uint64_t i;
	int code;

	ck_assert_ptr_nonnull(p);
	for (i = 0; i < c->n; i++) {
		begin_program(p, i, c);
		p->root.sure = p->kid[0].task.bound = true;
		p->root.alive = 1;
		p->running = 1;
		code = test_run(c->workers, run_first, p);
		test_result(code, p->kid[0].result);
		check_left(p, &p->root, NULL);
		end_program(p);
	}
	free(p);
	return 0;
}

TEST(what_main_leaves_behind_ends_so_too, .seconds = 120)
{
	struct crowd c = { .n = test_count(200, 20000) };

	run_crowds(&c, run_runtimes);
	test_soak("runtimes of scopes", 3 * c.n);
}
