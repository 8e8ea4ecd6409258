/* SPDX-License-Identifier: MIT */
/*
 * select.c - waits for several things, lets exactly one take effect.
 *
 * Layer 6.  Built on chan, park.  How a kind of case is made: select.h.
 *
 * EXACTLY ONE.  All waiters of a select carry one ticket.  Who wins its claim
 * decides for that case; for everybody else, and for time and cancellation,
 * the ticket is then void.  A case that takes effect without waiting does so
 * before the ticket is made, or after the select has won its own claim.
 *
 * NO CASE IS OVERLOOKED.  The cases are looked at one by one first, each under
 * its own lock.  That is no picture of one moment: of two channels that took
 * turns in being ready, a look at each may find neither.  So before a select
 * takes co_otherwise or goes to sleep it holds the locks of all locked kinds
 * and looks again: at that moment none of them is ready.  A sleeper is queued
 * with all of them in that same moment.  A self-locking kind looks once more
 * while it queues, and nobody unmakes its readiness but those who wait for it.
 *
 * UNIFORM.  The cases are looked at in the order of a random permutation, made
 * as far as it is needed (Fisher and Yates): the first ready one in it is each
 * of the ready ones with the same chance, whatever lies between them.
 *
 * ALONE.  In the section of a lone worker (lock.h, SOLO) nothing changes but
 * by itself, and no lock is taken.  Where all cases are channels and timeouts
 * it sees which of them are ready, and draws one: co__select.
 *
 * Locks: select_lock.c.
 *
 * Rejected: queueing on one case after the other, each under its own lock,
 * with a look at it first.  It needs no order and so no sorting, but the
 * ticket must be revoked when a later case is found ready, and it cannot
 * answer for co_otherwise.
 * Rejected: rooms for the waiters inside of struct co_case.  co_select_v would
 * never need memory, but gcc clears or copies them for each case of a
 * co_select, which was a fifth of its time.
 */
#include "select_case.h"

#include <stdlib.h>

#include "scope.h"
#include "worker.h"

/* How the cases are looked at. */
enum how {
	LOOK_SOLO,		/* in one section: no locks needed */
	LOOK_EACH,		/* each under its own lock */
	LOOK_LOCKED		/* only locked kinds, all locks are held */
};

enum {
	ROOMS = 16,		/* on the stack of co_select_v */
	SOLO_CASES = 64,	/* bits of a word */
	DRAW_ONCE = 12		/* 12! / 2^64: no bias to speak of */
};

/* By itself, as it makes its enum unsigned. */
enum { PICK_QUEUED = UINT32_MAX };	/* in `pick`: a table case, queued */

/* --- chance --------------------------------------------------------------- */

/* A step of wyrand: good enough for chi-square, and a multiplication long. */
static always_inline uint64_t
random_step(uint64_t *state)
{
	unsigned __int128 m;

	*state += UINT64_C(0xa0761d6478bd642f);
	m = (unsigned __int128)*state * (*state ^ UINT64_C(0xe7037ed1a0b428db));
	return (uint64_t)(m >> 64) ^ (uint64_t)m;
}

/* The worker's own state; a thread that is not ours draws from a common one. */
static always_inline uint64_t
random_draw(struct self *self)
{
	static uint64_t common;		/* [atomic] */
	uint64_t seed;

	if (likely(self->worker != NULL))
		return random_step(&self->worker->random);
	seed = a_add_relaxed(&common, UINT64_C(0x9e3779b97f4a7c15));
	return random_step(&seed);
}

/* --- looking -------------------------------------------------------------- */

static always_inline bool
look_at(struct select *s, uint32_t i, enum how how, struct case_taken *taken)
{
	struct co_case *c = &s->cases[i];
	struct lock *l;
	bool ready;

	if (how == LOOK_SOLO)
		return case_take(c, taken, true);
	if (how == LOOK_LOCKED)
		return s->rooms[i].lock && case_take(c, taken, false);
	l = case_lock(c);
	if (!l)		/* no object there; or a self-locking kind, or none */
		return !is_chan(c) && !(table(c) && table(c)->lock) &&
		    case_take(c, taken, false);
	if (!case_maybe(c))
		return false;
	lock_take(l, case_rank(c));
	ready = case_take(c, taken, false);
	if (is_chan(c))
		co__chan_check(c->co__obj);
	lock_drop(l, case_rank(c));
	return ready;
}

/*
 * Looks at the cases in random order; the index of the one that was ready and
 * has been taken, or -1.  The product of a draw and the number of cases left
 * has the choice in its upper half and, in its lower one, chance that is still
 * unused.
 */
static always_inline int
look(struct select *s, struct self *self, enum how how,
    struct case_taken *taken)
{
	uint64_t chance = random_draw(self);
	uint32_t n = (uint32_t)s->n, k, at, i;
	unsigned __int128 m;

	for (k = 0; k < n; k++) {
		m = (unsigned __int128)chance * (n - k);
		at = k + (uint32_t)(m >> 64);
		chance = (uint64_t)m;
		if (unlikely(n > DRAW_ONCE))
			chance = random_draw(self);
		i = s->rooms[at].pick;
		s->rooms[at].pick = s->rooms[k].pick;
		s->rooms[k].pick = i;
		if (look_at(s, i, how, taken))
			return (int)i;
	}
	return -1;
}

/* --- waiting -------------------------------------------------------------- */

/*
 * Queues the cases of one sort; 0, or what the first gave that could not be.
 * Channels can always be.
 */
static int
enqueue_sort(struct select *s, bool locked)
{
	struct co_case *c;
	int i, code = 0;

	for (i = 0; i < s->n; i++) {
		c = &s->cases[i];
		if (likely(is_chan(c))) {
			if (locked && c->co__obj)
				waitq_push(chan_queue(c), case_waiter(s, i));
			continue;
		}
		if (!table(c) || !table(c)->lock != !locked || code)
			continue;
		if (locked && !table(c)->lock(c))
			continue;
		case_waiter(s, i)->queued = false;
		code = table(c)->enqueue(c, &s->rooms[i].w);
		if (likely(!code))
			s->rooms[i].pick = PICK_QUEUED;
	}
	return code;
}

/* Leaves all queues; case `but` was taken off its queue by its waker. */
static always_inline void
dequeue_all(struct select *s, int but)
{
	struct self *self = self_get();
	bool solo = solo_enter(self);
	struct co_case *c;
	struct lock *l;
	int i;

	for (i = 0; i < s->n; i++) {
		c = &s->cases[i];
		if (i == but || (likely(is_chan(c)) ? !c->co__obj :
		    !table(c) || s->rooms[i].pick != PICK_QUEUED))
			continue;
		l = likely(solo) ? NULL : case_lock(c);
		if (l)
			lock_take(l, case_rank(c));
		if (likely(is_chan(c)))
			waitq_remove(chan_queue(c), &s->rooms[i].w);
		else
			table(c)->dequeue(c, &s->rooms[i].w);
		if (l)
			lock_drop(l, case_rank(c));
	}
	if (likely(solo))
		solo_leave(self);
}

/* A plain thread's: its timeout, or earlier. */
static cold co_time
next_look(struct select *s)
{
	co_time look = co__time_after(CO_MS(s->nap));

	if (s->nap < 16)
		s->nap *= 2;
	return look < s->until ? look : s->until;
}

/*
 * All that could be has been queued; code says whether that was all.  The
 * index of the case that was chosen, a negative code, or AGAIN.  alone: the
 * thread, if the wait was begun in its solo.
 */
static always_inline int
sleep_until_chosen(struct select *s, int code, struct self *alone)
{
	co_time until;

	if (unlikely(code) && wait_cancel(s->t, s->ticket)) {
		dequeue_all(s, -1);
		s->again = code > 0;
		return code;
	}
	if (unlikely(s->timeout >= 0) && s->until == CO_FOREVER)
		s->until = co__time_after(s->cases[s->timeout].co__arg);
	until = s->until;
	if (unlikely(s->polled) && s->t->kind == TASK_FOREIGN)
		until = next_look(s);
	code = alone && likely(until == CO_FOREVER) ?
	    alone_park(alone, s->t) : wait_park_raw(s->t, until);
	dequeue_all(s, code);
	if (likely(code >= 0)) {
		s->again = s->rooms[code].w.status == WAIT_AGAIN;
		if (likely(!s->again))
			case_chosen(&s->cases[code], &s->rooms[code].w);
		return code;
	}
	if (code != WAIT_UNTIL)
		return code;
	s->again = until < s->until;
	return s->timeout;
}

/* --- any cases, beside any threads ---------------------------------------- */

/* Case i is no channel: notes what it is.  True: a timeout that has passed. */
static bool
note_kind(struct select *s, int i)
{
	const struct co_case *c = &s->cases[i];

	if (c->co__kind == CO__CASE_TIMEOUT) {
		if (s->timeout < 0 || c->co__arg <
		    s->cases[s->timeout].co__arg)
			s->timeout = i;
		return c->co__arg <= 0;
	}
	if (c->co__kind == CO__CASE_OTHERWISE) {
		if (s->otherwise < 0)
			s->otherwise = i;
	} else if (c->co__kind >= CO__CASE_TABLE) {
		s->tables = true;
		s->polled |= table(c)->polled;
	}
	return false;
}

/* What there is among the cases, and the permutation to begin with. */
static void
sort_out(struct select *s)
{
	int i;

	s->otherwise = s->timeout = -1;
	s->again = false;
	for (i = 0; i < s->n; i++) {
		s->rooms[i].pick = (uint32_t)i;
		if (!is_chan(&s->cases[i]))
			note_kind(s, i);
	}
}

/* Opens the wait and queues the locked kinds: all locks are held, or solo. */
static int
enqueue_locked(struct select *s)
{
	int i;

	s->ticket = wait_begin(s->t, WAIT_SELECT, s);
	for (i = 0; i < s->n; i++)
		s->rooms[i].pick = 0;
	return enqueue_sort(s, true);
}

static noinline int
select_once(struct select *s)
{
	struct case_taken taken = { 0, NULL, NULL };
	struct self *self = self_get();
	bool solo = solo_enter(self);
	int i, code = 0;

	i = solo ? look(s, self, LOOK_SOLO, &taken) :
	    look(s, self, LOOK_EACH, &taken);
	if (i < 0) {
		if (!solo) {
			co__select_lock(s);
			i = look(s, self, LOOK_LOCKED, &taken);
		}
		if (i < 0 && s->otherwise < 0)
			code = enqueue_locked(s);
		if (!solo)
			co__select_unlock(s);
	}
	if (solo)
		solo_leave(self);
	if (i >= 0) {
		code = case_finish(&s->cases[i], &taken, NULL);
		return code < 0 ? code : i;
	}
	if (s->otherwise >= 0)
		return s->otherwise;
	if (!code && s->tables)
		code = enqueue_sort(s, false);
	return sleep_until_chosen(s, code, NULL);
}

static cold void
shut_all(struct select *s, int n)
{
	const struct case_ops *ops;

	while (n-- > 0) {
		ops = table(&s->cases[n]);
		if (ops && ops->shut)
			ops->shut(&s->cases[n]);
	}
}

static cold int
open_all(struct select *s)
{
	const struct case_ops *ops;
	int i, code;

	for (i = 0; i < s->n; i++) {
		ops = table(&s->cases[i]);
		if (!ops || !ops->open)
			continue;
		code = ops->open(&s->cases[i]);
		if (code < 0) {
			shut_all(s, i);
			return code;
		}
	}
	return 0;
}

static noinline int
select_any(struct select *s)
{
	int code;

	s->t = task_self();
	if (unlikely(!s->t))
		return -ENOMEM;
	sort_out(s);
	if (s->otherwise < 0) {
		code = wait_check(s->t);
		if (unlikely(code))
			return code;
	}
	if (s->tables) {
		code = open_all(s);
		if (unlikely(code < 0))
			return code;
	}
	code = select_once(s);
	while (unlikely(s->again)) {
		code = wait_check(s->t);
		if (unlikely(code))
			break;
		sort_out(s);
		code = select_once(s);
	}
	if (s->tables)
		shut_all(s, s->n);
	return code;
}

/* --- alone, and channels only --------------------------------------------- */

/*
 * Could somebody in q be claimed?  Whose claim is void is thrown out: nobody
 * else looks at the queue in this section.
 */
static always_inline bool
claimable(struct waitq *q)
{
	struct waiter *w;

	while ((w = q->head) != NULL) {
		if (likely(a_load_relaxed(&w->task->park) == w->ticket))
			return true;
		waitq_remove(q, w);
	}
	return false;
}

static always_inline bool
chan_ready(const struct co_case *c)
{
	struct chan *ch = c->co__obj;

	if (unlikely(!ch))
		return false;
	if (likely(c->co__kind == CO__CASE_RECV))
		return ch->count | ch->closed || claimable(&ch->sendq);
	return ch->count < ch->limit || ch->closed | ch->unbounded ||
	    claimable(&ch->recvq);
}

/* The number of one of the bits of `ready`, each with the same chance. */
static always_inline int
draw(uint64_t ready, struct self *self)
{
	uint64_t rest = ready & (ready - 1);
	uint32_t n = 1;

	if (rest) {
		for (; rest; rest &= rest - 1)
			n++;
		n = (uint32_t)((random_draw(self) >> 32) * n >> 32);
		while (n--)
			ready &= ready - 1;
	}
	return __builtin_ctzll(ready);
}

static always_inline struct select
select_of(struct co_case *cases, int n, struct co__room *rooms, struct task *t)
{
	return (struct select){ .cases = cases,
	    .rooms = (struct room *)(void *)rooms, .n = n, .t = t,
	    .otherwise = -1, .timeout = -1, .nap = 1, .until = CO_FOREVER };
}

/* Opens the wait and queues all channels; leaves the section. */
static always_inline int
sleep_alone(struct select *s, struct self *self)
{
	int i;

	s->ticket = alone_begin(self, s->t, WAIT_SELECT, s);
	for (i = 0; i < s->n; i++) {
		struct co_case *c = &s->cases[i];

		if (likely(is_chan(c)) && likely(c->co__obj != NULL))
			waitq_push(chan_queue(c), case_waiter(s, i));
	}
	alone_leave(self);
	return sleep_until_chosen(s, 0, self);
}

/* One of those that are ready, in a section, which it leaves. */
static always_inline int
take_drawn(struct co_case *cases, uint64_t ready, struct self *self)
{
	struct case_taken taken = { 0, NULL, NULL };
	int i = draw(ready, self), code;

	(void)case_take(&cases[i], &taken, true);
	alone_leave(self);
	code = case_finish(&cases[i], &taken, self);
	return unlikely(code < 0) ? code : i;
}

/* None of them, all channels, is ready.  In a section, which it leaves. */
static noinline returns_by_jump int
wait_alone(struct co_case *cases, int n, struct co__room *rooms,
    struct self *self)
{
	struct select s = select_of(cases, n, rooms, self->current);

	return sleep_alone(&s, self);
}

/* Not all of them are channels.  In a section, which it leaves. */
static noinline int
select_mixed(struct co_case *cases, int n, struct co__room *rooms,
    struct self *self)
{
	struct select s = select_of(cases, n, rooms, self->current);
	uint64_t ready = 0;
	int i;

	for (i = 0; i < n; i++) {
		if (is_chan(&cases[i]))
			ready |= (uint64_t)chan_ready(&cases[i]) << i;
		else if (note_kind(&s, i))
			ready |= UINT64_C(1) << i;
	}
	if (unlikely(s.tables)) {
		alone_leave(self);
		return select_any(&s);
	}
	if (ready)
		return take_drawn(cases, ready, self);
	if (s.otherwise < 0)
		return sleep_alone(&s, self);
	alone_leave(self);
	return s.otherwise;
}

/* Other threads are there, or the scope has ended, or there are many. */
static noinline int
select_beside(struct co_case *cases, int n, struct co__room *rooms)
{
	struct select s = select_of(cases, n, rooms, NULL);

	return select_any(&s);
}

EXPORT int
co__select(struct co_case *cases, int n, struct co__room *rooms)
{
	struct self *self = self_get();
	uint64_t ready = 0;
	int i;

	if (unlikely(!self->current) ||
	    unlikely(a_load_relaxed(&self->current->ended)) ||
	    unlikely(n > SOLO_CASES) || unlikely(!alone_enter(self)))
		return select_beside(cases, n, rooms);
	for (i = 0; i < n; i++) {
		if (unlikely(!is_chan(&cases[i])))
			return select_mixed(cases, n, rooms, self);
		ready |= (uint64_t)chan_ready(&cases[i]) << i;
	}
	if (ready)
		return take_drawn(cases, ready, self);
	return wait_alone(cases, n, rooms, self);
}

static noinline int
select_many(struct co_case *cases, int n)
{
	struct co__room *rooms;
	int code;

	rooms = chaos_fail() ? NULL : malloc((size_t)n * sizeof(*rooms));
	if (!rooms)
		return -ENOMEM;
	code = co__select(cases, n, rooms);
	free(rooms);
	return code;
}

EXPORT int
co_select_v(struct co_case *cases, int n)
{
	struct co__room rooms[ROOMS];

	if (unlikely(n < 0) || unlikely(!cases && n > 0))
		return -EINVAL;
	if (unlikely(n > ROOMS))
		return select_many(cases, n);
	return co__select(cases, n, rooms);
}

EXPORT struct co_case
co__on_join(struct co_task *task, int *result)
{
	return co__case((uintptr_t)&co__case_join, task, result, NULL);
}

EXPORT struct co_case
co_on_event(struct co_event *e)
{
	return co__case((uintptr_t)&co__case_event, e, NULL, NULL);
}
