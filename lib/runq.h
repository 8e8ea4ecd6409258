/* SPDX-License-Identifier: MIT */
/*
 * runq.h - the runnable tasks of one worker.
 *
 * Layer 4.
 *
 * Two orders in one queue.  `deque` holds what a coroutine spawned or woke: its
 * worker takes the newest, so that a tree of coroutines is walked depth first
 * and what was just sent is received while it is warm.  `fifo` holds what
 * yielded, slept or waited for a descriptor: the oldest first.  The worker
 * takes from the deque, then from the fifo; each sched_turn takes the oldest of
 * one of them instead, so that neither starves the other.  Thieves take the
 * oldest.
 *
 * Links are in the tasks, so that a push cannot fail and there is no size.
 *
 * THIEVES.  The owner is inside a section while `crit` is 1.  A thief holds
 * `thief`, sets `stop`, and waits for the owner to be outside:
 *
 *	owner, runq_enter		thief, runq_steal
 *	crit = 1			stop = 1
 *	a_light_barrier()		a_heavy_barrier()
 *	stop ?				crit ?
 *	  yes: crit = 0, wait		  yes: wait a little, give up
 *	  no: go on			  no: take
 *
 * Bad outcome: both go on.  The pair of barriers forbids it.  The owner pays
 * two plain stores and a load, and a worker that computes for seconds can be
 * robbed all the same.  Lost to it: a Chase-Lev deque, whose owner pays a full
 * fence for each take, and cannot take from its old end at all.
 */
#ifndef WEFT_RUNQ_H
#define WEFT_RUNQ_H

#include "task.h"

struct tasklist {
	struct task *head, *tail;	/* linked by next and prev */
};

enum runq_band { BAND_HIGH, BAND_PINNED, BAND_LOW, BANDS };

struct runq {
	struct tasklist deque;	/* [section] head: newest, tail: oldest */
	struct tasklist fifo;	/* [section] head: oldest; prev is not kept */
	struct tasklist band[BANDS];	/* [section] head: oldest */
	uint64_t ticks;		/* [owner; read by anybody] tasks taken, and
				   looks in vain */
	uint32_t waiting;	/* [section; read by thieves] in deque, fifo,
				   high and low: what may be stolen */
	union {
		struct {
			uint32_t bands;	/* [section; read by anybody] bit i:
					   band[i] is not empty */
			uint32_t shared;	/* [const] there are thieves */
		};
		uint64_t unusual;	/* both: see runq_is_plain */
	};
	uint32_t crit;		/* [atomic] the owner is inside */
	uint32_t stop cache_aligned;	/* [atomic] a thief wants in */
	struct lock thief;	/* one thief at a time */
};

/*
 * The first one's prev and the last one's next say nothing: so a pop touches
 * no task but the one it takes.
 */
static inline void
tasklist_push_head(struct tasklist *l, struct task *t)
{
	t->next = l->head;
	if (l->head)
		l->head->prev = t;
	else
		l->tail = t;
	l->head = t;
}

static inline void
tasklist_push_tail(struct tasklist *l, struct task *t)
{
	t->prev = l->tail;
	if (l->tail)
		l->tail->next = t;
	else
		l->head = t;
	l->tail = t;
}

static inline struct task *
tasklist_pop_head(struct tasklist *l)
{
	struct task *t = l->head;

	if (l->tail == t)
		l->head = l->tail = NULL;
	else
		l->head = t->next;
	return t;
}

static inline struct task *
tasklist_pop_tail(struct tasklist *l)
{
	struct task *t = l->tail;

	if (l->head == t)
		l->head = l->tail = NULL;
	else
		l->tail = t->prev;
	return t;
}

void co__runq_wait(struct runq *q);

static always_inline void
runq_enter(struct runq *q)
{
	if (!q->shared)
		return;
	a_store_relaxed(&q->crit, 1);
	a_light_barrier();
	if (unlikely(a_load_acquire(&q->stop)))
		co__runq_wait(q);
}

static always_inline void
runq_leave(struct runq *q)
{
	if (q->shared)
		a_store_release(&q->crit, 0);	/* pairs with runq_steal */
}

static always_inline void
runq_count(struct runq *q, int32_t n)
{
	a_store_relaxed(&q->waiting, q->waiting + (uint32_t)n);
}

/* A task was taken, or looked for in vain; or one runs next that would have
   been taken, had it been put here. */
static always_inline void
runq_tick(struct runq *q)
{
	a_store_relaxed(&q->ticks, q->ticks + 1);
}

/* Pinned ones as well, which `waiting` leaves out.  May be asked by anybody. */
static inline bool
runq_has_any(const struct runq *q)
{
	return a_load_acquire(&q->waiting) || a_load_acquire(&q->bands);
}

static inline void
runq_init(struct runq *q, bool shared)
{
	memset(q, 0, sizeof *q);
	q->shared = shared;
}

/* There are no thieves, and no task that has a band. */
static always_inline bool
runq_is_plain(const struct runq *q)
{
	return a_load_relaxed(&q->unusual) == 0;
}

/* Of a queue without thieves: t, which is of no band, runs next. */
static always_inline void
runq_push_first(struct runq *q, struct task *t)
{
	tasklist_push_head(&q->deque, t);
	runq_count(q, 1);
}

/* Puts t where it runs next; returns how many now wait. */
static always_inline uint32_t
runq_push_new(struct runq *q, struct task *t)
{
	uint32_t n;

	runq_enter(q);
	if (likely(t->band == BANDS)) {
		tasklist_push_head(&q->deque, t);
	} else {
		tasklist_push_tail(&q->band[t->band], t);
		a_store_relaxed(&q->bands, q->bands | 1u << t->band);
	}
	if (t->band != BAND_PINNED)
		runq_count(q, 1);
	n = q->waiting;
	runq_leave(q);
	return n;
}

/* Puts t behind the others. */
static always_inline uint32_t
runq_push_old(struct runq *q, struct task *t)
{
	uint32_t n;

	runq_enter(q);
	if (likely(t->band == BANDS)) {
		tasklist_push_tail(&q->fifo, t);
	} else {
		tasklist_push_tail(&q->band[t->band], t);
		a_store_relaxed(&q->bands, q->bands | 1u << t->band);
	}
	if (t->band != BAND_PINNED)
		runq_count(q, 1);
	n = q->waiting;
	runq_leave(q);
	return n;
}

struct task *co__runq_take_band(struct runq *q);

/* Inside a section, or where there are no thieves; no band has anything for
   now. */
static always_inline struct task *
runq_pop_plain(struct runq *q)
{
	struct task *t = tasklist_pop_head(&q->deque);

	if (!t)
		t = tasklist_pop_head(&q->fifo);
	if (likely(t != NULL))
		runq_count(q, -1);
	runq_tick(q);
	return t;
}

/* Takes what runs next; NULL: nothing. */
static always_inline struct task *
runq_take(struct runq *q)
{
	struct task *t;

	if (likely(runq_is_plain(q)))
		return runq_pop_plain(q);
	runq_enter(q);
	t = unlikely(q->bands) ? co__runq_take_band(q) : NULL;
	if (likely(!t))
		t = runq_pop_plain(q);
	else
		runq_tick(q);
	runq_leave(q);
	return t;
}

struct task *co__runq_exchange_band(struct runq *q, struct task *t);

/* Inside a section, or where there are no thieves. */
static always_inline struct task *
runq_swap(struct runq *q, struct task *t)
{
	struct task *to;

	if (unlikely(q->deque.head != NULL)) {
		to = tasklist_pop_head(&q->deque);
		tasklist_push_tail(&q->fifo, t);
	} else if (likely((to = q->fifo.head) != NULL)) {
		/* Put first, so that the list is never empty. */
		q->fifo.tail->next = t;
		q->fifo.head = to->next;
		a_compiler_barrier();	/* else gcc makes a vector of both, and
					   the next yield waits for that */
		q->fifo.tail = t;
	}
	runq_tick(q);
	return to;
}

/* runq_take, and t put behind the others; NULL: nothing, t is not put. */
static always_inline struct task *
runq_exchange(struct runq *q, struct task *t)
{
	struct task *to;

	if (unlikely(t->band != BANDS))
		return co__runq_exchange_band(q, t);
	if (likely(runq_is_plain(q)))
		return runq_swap(q, t);
	if (unlikely(a_load_relaxed(&q->bands)))
		return co__runq_exchange_band(q, t);
	runq_enter(q);
	to = runq_swap(q, t);
	runq_leave(q);
	return to;
}

/* Takes the oldest of each list in turn: `turn` counts. */
struct task *runq_take_oldest(struct runq *q, uint32_t turn);

/* Moves up to half of the victim's to `q`, at most `most`; how many. */
int runq_steal(struct runq *q, struct runq *victim, uint32_t most);

#endif
