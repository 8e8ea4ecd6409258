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
 * Locks: those of the cases by rank and address, each once even if several
 * cases share it.  A lone worker (lock.h, SOLO) enters one section instead,
 * and within it one look is enough.
 *
 * Rejected: queueing on one case after the other, each under its own lock,
 * with a look at it first.  It needs no order and so no sorting, but the
 * ticket must be revoked when a later case is found ready, and it cannot
 * answer for co_otherwise.
 */
#include "chan.h"
#include "scope.h"
#include "worker.h"

/* The case's room, seen from inside. */
struct room {
	struct waiter w;
	struct lock *lock;	/* NULL: no locked kind; set by lock_all */
	uint32_t pick;		/* the k-th room's: which case is looked at as
				   the k-th */
	uint32_t order;		/* the k-th room's: whose lock is the k-th */
};

_Static_assert(sizeof(struct room) <= sizeof(((struct co_case *)0)->co__room),
    "a case has room for a waiter");
_Static_assert(_Alignof(struct room) <= _Alignof(struct co_case),
    "and it is aligned");

struct select {
	struct co_case *cases;
	struct task *t;
	uint64_t ticket;
	int n;
	int otherwise;		/* index, or -1 */
	int timeout;		/* index of the earliest, or -1 */
	bool tables;		/* some are kinds with a table */
	uint32_t nlocks;	/* cases with a lock; set by lock_all */
};

/* How the cases are looked at. */
enum how {
	LOOK_SOLO,		/* in one section: no locks needed */
	LOOK_EACH,		/* each under its own lock */
	LOOK_LOCKED		/* only locked kinds, all locks are held */
};

enum {
	DRAW_ONCE = 12,		/* 12! / 2^64: no bias to speak of */
	AGAIN = INT_MIN + 1,	/* no code of anybody */
	PICK_QUEUED = UINT32_MAX	/* in `pick`, once the looking is over */
};

static always_inline struct room *
room(const struct select *s, uint32_t i)
{
	return (struct room *)(void *)s->cases[i].co__room;
}

static always_inline bool
is_chan(const struct co_case *c)
{
	return c->co__kind == CO__CASE_RECV || c->co__kind == CO__CASE_SEND;
}

static always_inline const struct case_ops *
table(const struct co_case *c)
{
	return c->co__kind < CO__CASE_TABLE ? NULL :
	    (const struct case_ops *)c->co__kind;
}

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
random_seed(struct self *self)
{
	static uint64_t common;		/* [atomic] */
	uint64_t seed;

	if (likely(self != NULL) && likely(self->worker != NULL))
		return random_step(&self->worker->random);
	seed = a_add_relaxed(&common, UINT64_C(0x9e3779b97f4a7c15));
	return random_step(&seed);
}

/* --- the kinds without a table -------------------------------------------- */

/* The lock of a locked kind, or NULL. */
static always_inline struct lock *
case_lock(struct co_case *c)
{
	const struct case_ops *ops;

	if (likely(is_chan(c)))
		return c->co__obj ? &((struct chan *)c->co__obj)->lock : NULL;
	ops = table(c);
	return ops && ops->lock ? ops->lock(c) : NULL;
}

static enum lock_rank
case_rank(const struct co_case *c)
{
	return is_chan(c) ? LOCK_CHAN : table(c)->rank;
}

/*
 * Without the lock, so perhaps wrong; take looks again.  The race is meant,
 * hence no_sanitize: the queues are plain data otherwise.
 */
__attribute__((no_sanitize("thread")))
static bool
chan_maybe(const struct co_case *c)
{
	const volatile struct chan *ch = c->co__obj;

	if (ch->closed)
		return true;
	if (c->co__kind == CO__CASE_RECV)
		return ch->count > 0 || ch->sendq.head;
	return ch->recvq.head || ch->count < ch->limit || ch->unbounded;
}

static bool
case_maybe(struct co_case *c)
{
	if (likely(is_chan(c)))
		return chan_maybe(c);
	return !table(c)->maybe || table(c)->maybe(c);
}

static always_inline bool
case_take(struct co_case *c, struct case_taken *taken, bool solo)
{
	struct chan *ch = c->co__obj;

	if (likely(c->co__kind == CO__CASE_RECV)) {
		if (unlikely(!ch))
			return false;
		taken->status = chan_get(ch, c->co__slot, &taken->peer,
		    solo);
		return taken->status != -EAGAIN;
	}
	if (likely(c->co__kind == CO__CASE_SEND)) {
		if (unlikely(!ch))
			return false;
		taken->status = chan_put(ch, c->co__slot, &taken->peer,
		    solo);
		return taken->status != -EAGAIN;
	}
	if (c->co__kind == CO__CASE_TIMEOUT)
		return c->co__arg <= 0;
	return table(c) && table(c)->take(c, taken);
}

/* No lock held.  The index, or -ENOMEM. */
static always_inline int
case_finish(struct select *s, int i, struct case_taken *taken)
{
	struct co_case *c = &s->cases[i];
	struct chan *ch = c->co__obj;

	if (unlikely(taken->status == -ENOMEM))
		return -ENOMEM;
	if (likely(c->co__kind == CO__CASE_RECV)) {
		if (taken->peer)
			chan_get_rest(ch, c->co__slot, taken->peer);
		else if (unlikely(taken->status == -EPIPE))
			memset(c->co__slot, 0, ch->size);
	} else if (c->co__kind == CO__CASE_SEND) {
		if (taken->peer)
			chan_put_rest(ch, c->co__slot, taken->peer);
	} else if (table(c) && table(c)->finish) {
		table(c)->finish(c, taken);
	}
	if (c->co__status)
		*c->co__status = taken->status;
	return i;
}

/* A waker has chosen case i. */
static always_inline int
case_chosen(struct select *s, int i)
{
	struct co_case *c = &s->cases[i];
	struct waiter *w = &room(s, i)->w;
	int status = w->status;

	if (c->co__kind == CO__CASE_RECV) {
		if (unlikely(status == -EPIPE))
			memset(c->co__slot, 0,
			    ((struct chan *)c->co__obj)->size);
	} else if (table(c) && table(c)->chosen) {
		status = table(c)->chosen(c, w);
	}
	if (c->co__status)
		*c->co__status = status;
	return i;
}

static always_inline struct waitq *
chan_queue(struct co_case *c)
{
	struct chan *ch = c->co__obj;

	return c->co__kind == CO__CASE_RECV ? &ch->recvq : &ch->sendq;
}

/* Lock held, or a self-locking kind.  0, 1 or a negative errno: select.h. */
static always_inline int
case_enqueue(struct select *s, int i)
{
	struct co_case *c = &s->cases[i];
	struct waiter *w = &room(s, i)->w;

	w->task = s->t;
	w->ticket = s->ticket;
	w->slot = c->co__slot;
	w->index = i;
	w->status = 0;
	w->multi = true;
	if (likely(is_chan(c))) {
		waitq_push(chan_queue(c), w);
		return 0;
	}
	w->queued = false;
	return table(c)->enqueue(c, w);
}

static always_inline void
case_dequeue(struct select *s, int i)
{
	struct co_case *c = &s->cases[i];
	struct waiter *w = &room(s, i)->w;

	if (likely(is_chan(c)))
		waitq_remove(chan_queue(c), w);
	else
		table(c)->dequeue(c, w);
}

/* --- all locks ------------------------------------------------------------ */

/* Is the lock of case a to be taken before that of case b? */
static bool
lock_before(const struct select *s, uint32_t a, uint32_t b)
{
	enum lock_rank ra = case_rank(&s->cases[a]);
	enum lock_rank rb = case_rank(&s->cases[b]);

	return ra != rb ? ra < rb : (uintptr_t)room(s, a)->lock <
	    (uintptr_t)room(s, b)->lock;
}

/* Shell's sort with Knuth's steps: for a few cases a plain insertion, and for
   65,536 of them some millions of comparisons; it needs no stack. */
static void
sort_locks(struct select *s)
{
	uint32_t step = 1, k, at, i;

	while (step < s->nlocks / 9)
		step = 3 * step + 1;
	for (; step > 0; step /= 3) {
		for (k = step; k < s->nlocks; k++) {
			i = room(s, k)->order;
			for (at = k; at >= step && lock_before(s, i,
			    room(s, at - step)->order); at -= step)
				room(s, at)->order = room(s, at - step)->order;
			room(s, at)->order = i;
		}
	}
}

/* The k-th lock in order, or NULL when it is the same as the one before. */
static struct lock *
lock_at(const struct select *s, uint32_t k)
{
	struct lock *l = room(s, room(s, k)->order)->lock;

	return k > 0 && room(s, room(s, k - 1)->order)->lock == l ? NULL : l;
}

static void
lock_all(struct select *s)
{
	struct lock *l;
	uint32_t k;
	int i;

	s->nlocks = 0;
	for (i = 0; i < s->n; i++) {
		room(s, i)->lock = l = case_lock(&s->cases[i]);
		if (l)
			room(s, s->nlocks++)->order = (uint32_t)i;
	}
	sort_locks(s);
	for (k = 0; k < s->nlocks; k++) {
		if ((l = lock_at(s, k)) != NULL)
			lock_take(l, case_rank(&s->cases[room(s, k)->order]));
	}
}

static void
unlock_all(struct select *s)
{
	const struct co_case *c;
	struct lock *l;
	uint32_t k;

	for (k = s->nlocks; k-- > 0; ) {
		if ((l = lock_at(s, k)) == NULL)
			continue;
		c = &s->cases[room(s, k)->order];
		if (is_chan(c))
			co__chan_check(c->co__obj);
		lock_drop(l, case_rank(c));
	}
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
		return room(s, i)->lock && case_take(c, taken, false);
	l = case_lock(c);
	if (!l)
		return (!table(c) || !table(c)->lock) &&
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
	uint64_t draw = random_seed(self);
	uint32_t n = (uint32_t)s->n, k, at, i;
	unsigned __int128 m;

	for (k = 0; k < n; k++) {
		m = (unsigned __int128)draw * (n - k);
		at = k + (uint32_t)(m >> 64);
		draw = (uint64_t)m;
		if (unlikely(n > DRAW_ONCE))
			draw = random_seed(self);
		i = room(s, at)->pick;
		room(s, at)->pick = room(s, k)->pick;
		room(s, k)->pick = i;
		if (look_at(s, i, how, taken))
			return (int)i;
	}
	return -1;
}

/* --- waiting -------------------------------------------------------------- */

/* Queues the cases of one sort; 0, or what the first gave that could not be. */
static always_inline int
enqueue_sort(struct select *s, bool locked)
{
	struct co_case *c;
	int i, code = 0;
	bool mine;

	for (i = 0; i < s->n && !code; i++) {
		c = &s->cases[i];
		if (likely(is_chan(c)))
			mine = locked && c->co__obj;
		else
			mine = table(c) && !table(c)->lock == !locked &&
			    (!locked || case_lock(c));
		if (!mine)
			continue;
		code = case_enqueue(s, i);
		if (likely(!code))
			room(s, i)->pick = PICK_QUEUED;
	}
	return code;
}

static void
enqueue_begin(struct select *s)
{
	int i;

	s->ticket = wait_begin(s->t, WAIT_SELECT, s->cases);
	for (i = 0; i < s->n; i++)
		room(s, i)->pick = 0;
}

/* Leaves all queues; case `but` was taken off its queue by its waker. */
static always_inline void
dequeue_all(struct select *s, int but)
{
	struct self *self = self_get();
	bool solo = solo_enter(self);
	struct lock *l;
	int i;

	for (i = 0; i < s->n; i++) {
		if (room(s, i)->pick != PICK_QUEUED || i == but)
			continue;
		l = solo ? NULL : case_lock(&s->cases[i]);
		if (l)
			lock_take(l, case_rank(&s->cases[i]));
		case_dequeue(s, i);
		if (l)
			lock_drop(l, case_rank(&s->cases[i]));
	}
	if (solo)
		solo_leave(self);
}

/*
 * The locked kinds have been queued; code says how that ended.  The index of
 * the case that was chosen, a negative code, or AGAIN.
 */
static noinline int
sleep_until_chosen(struct select *s, int code)
{
	co_time until = CO_FOREVER;

	if (!code && s->tables)
		code = enqueue_sort(s, false);
	if (unlikely(code) && wait_cancel(s->t, s->ticket)) {
		dequeue_all(s, -1);
		return code > 0 ? AGAIN : code;
	}
	if (s->timeout >= 0)
		until = co__time_after(s->cases[s->timeout].co__arg);
	code = wait_park_raw(s->t, until);
	dequeue_all(s, code);
	if (code >= 0)
		return case_chosen(s, code);
	return code == WAIT_UNTIL ? s->timeout : code;
}

/* --- select --------------------------------------------------------------- */

static always_inline int
select_once(struct select *s)
{
	struct case_taken taken = { 0, NULL, NULL };
	struct self *self = self_get();
	bool solo = solo_enter(self), all = false;
	int i, code = 0;

	i = look(s, self, solo ? LOOK_SOLO : LOOK_EACH, &taken);
	if (i < 0 && !solo) {
		lock_all(s);
		all = true;
		i = look(s, self, LOOK_LOCKED, &taken);
	}
	if (i < 0 && s->otherwise < 0) {
		enqueue_begin(s);
		code = enqueue_sort(s, true);
	}
	if (solo)
		solo_leave(self);
	else if (all)
		unlock_all(s);
	if (i >= 0)
		return case_finish(s, i, &taken);
	if (s->otherwise >= 0)
		return s->otherwise;
	return sleep_until_chosen(s, code);
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

/* What there is among the cases, and the permutation to begin with. */
static always_inline void
sort_out(struct select *s)
{
	const struct co_case *c;
	int i;

	for (i = 0; i < s->n; i++) {
		c = &s->cases[i];
		room(s, i)->pick = (uint32_t)i;
		if (likely(is_chan(c)))
			continue;
		if (c->co__kind == CO__CASE_TIMEOUT) {
			if (s->timeout < 0 || c->co__arg <
			    s->cases[s->timeout].co__arg)
				s->timeout = i;
		} else if (c->co__kind == CO__CASE_OTHERWISE) {
			if (s->otherwise < 0)
				s->otherwise = i;
		} else if (c->co__kind >= CO__CASE_TABLE) {
			s->tables = true;
		}
	}
}

EXPORT int
co_select_v(struct co_case *cases, int n)
{
	struct select s = { .cases = cases, .n = n, .otherwise = -1,
	    .timeout = -1 };
	int code;

	if (unlikely(n < 0) || unlikely(!cases && n > 0))
		return -EINVAL;
	s.t = task_self();
	if (unlikely(!s.t))
		return -ENOMEM;
	sort_out(&s);
	if (s.otherwise < 0) {
		code = wait_check(s.t);
		if (unlikely(code))
			return code;
	}
	if (unlikely(s.tables)) {
		code = open_all(&s);
		if (code < 0)
			return code;
	}
	while (unlikely((code = select_once(&s)) == AGAIN))
		sort_out(&s);
	if (unlikely(s.tables))
		shut_all(&s, n);
	return code;
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
