/* SPDX-License-Identifier: MIT */
/*
 * watchdog.c - names the coroutine that keeps its worker for too long.
 *
 * Layer 10.  A thread of its own looks at all workers now and then: has one run
 * the same coroutine since, without a pick?  Workers do nothing for it.
 *
 * A machine may be busy with other things, and a worker that is not given a
 * processor is not kept by anybody.  So only a stretch counts in which the
 * worker's thread has used half of that time, or was seen twice asleep in the
 * kernel: then it is in a call that blocks.
 *
 * SHOWING.  A thread that computes is sent a signal whose handler walks its own
 * stack.  One that is asleep in the kernel is not, as its call could end with
 * EINTR.  The states of `shown.state`:
 *
 *	IDLE -- ask --> ASKED -- show_frames --> FILLING --> DONE
 *	  ^               |                                    |
 *	  +--- too late --+-------------------- ask -----------+
 */
#include "watchdog.h"
#include "backtrace.h"
#include "deadlock.h"
#include "os_look.h"
#include "place.h"
#include "snap.h"

#include <stdlib.h>
#include <unistd.h>

enum { IDLE, ASKED, FILLING, DONE };
enum { SHOW_TIME = 200 * 1000 * 1000 };	/* ns that a thread may take to show
					   itself; a guess, not measured */

struct watched {		/* one worker's present stretch */
	uint64_t id;		/* of the coroutine; 0: none */
	uint64_t ticks;
	uint32_t turns;
	co_time since;		/* when it was first seen */
	co_time used;		/* by the thread, then; < 0: not known */
	bool blocked;		/* at the last look */
	bool said;
};

struct watchdog {
	struct os_thread thread;
	struct runtime *rt;	/* [const] */
	co_time time;		/* [const] that is too long */
	uint32_t over;		/* [atomic] futex */
	bool shows;		/* [const] threads can be asked */
	bool all_said;		/* [the thread] */
	struct watched of[];	/* [the thread] each worker */
};

static struct {
	struct os_mutex mutex;	/* one asks at a time */
	uint32_t state;		/* [atomic] futex */
	uint64_t id;		/* [ASKED] whose frames */
	struct backtrace frames;	/* [FILLING, DONE] */
} shown;

/* --- showing -------------------------------------------------------------- */

/* In a signal handler, on the thread that was asked. */
static void
show_frames(uintptr_t pc, uintptr_t fp)
{
	const struct self *s = self_get();
	const struct task *t = s->worker ? s->current : NULL;
	const struct stack *stack;

	if (!a_cas_acqrel(&shown.state, (uint32_t)ASKED, (uint32_t)FILLING))
		return;
	if (t && t->id == shown.id && t->u.run.ext->stack) {
		stack = t->u.run.ext->stack;
		backtrace_walk(&shown.frames, pc, fp, (uintptr_t)stack->lo,
		    (uintptr_t)t->u.run.ext);
	}
	a_store_release(&shown.state, (uint32_t)DONE);	/* pairs with ask */
	os_futex_wake(&shown.state, 1);
}

static void
ask(int tid, uint64_t id, struct backtrace *ret)
{
	co_time until = os_now() + SHOW_TIME;
	uint32_t state;

	ret->n = 0;
	os_mutex_lock(&shown.mutex);
	shown.id = id;
	shown.frames.n = 0;
	a_store_release(&shown.state, (uint32_t)ASKED);
	if (os_show_ask(tid) < 0)
		until = 0;
	while ((state = a_load_acquire(&shown.state)) != DONE) {
		if (state == ASKED && os_now() >= until &&
		    a_cas_acqrel(&shown.state, (uint32_t)ASKED,
		    (uint32_t)IDLE))
			break;
		os_futex_wait(&shown.state, state,
		    state == ASKED ? until : CO_FOREVER);
	}
	if (state == DONE)
		*ret = shown.frames;
	a_store_relaxed(&shown.state, (uint32_t)IDLE);
	os_mutex_unlock(&shown.mutex);
}

/* --- saying --------------------------------------------------------------- */

static void
say_coroutine(struct text *x, const struct worker *w, struct task *t,
    uint64_t id)
{
	struct snap s;

	text_add(x, "weft: coroutine ");
	text_dec(x, id);
	if (!snap_take(&s, w->rt, t) || s.id != id)
		s = (struct snap){ .id = 0 };
	text_name(x, s.name);
	if (s.site) {
		text_add(x, " (spawned by ");
		text_dec(x, s.parent);
		text_add(x, " in ");
		place_add_named(x, s.site);
		text_add(x, ")");
	}
}

static void
say_frames(struct text *x, const struct watchdog *d, const struct worker *w,
    uint64_t id)
{
	struct backtrace b;
	int i;

	if (!d->shows)
		return;
	ask(a_load_relaxed(&w->tid), id, &b);
	for (i = 0; i < b.n; i++) {
		text_add(x, "    at ");
		place_add_named(x, b.pc[i]);
		text_add(x, "\n");
	}
}

static void
say(const struct watchdog *d, const struct worker *w, struct task *t,
    const struct os_thread_look *look, co_time now)
{
	const struct watched *v = &d->of[w->index];
	struct text x = { .fd = STDERR_FILENO };

	say_coroutine(&x, w, t, v->id);
	text_add(&x, " has kept worker ");
	text_dec(&x, w->index);
	text_add(&x, " busy for ");
	text_dec(&x, (uint64_t)(now - v->since) / 1000000);
	text_add(&x, " ms");
	if (v->blocked) {
		text_add(&x, ", in a blocking call");
		if (look->pc) {
			text_add(&x, ": ");
			place_add_named(&x, (const void *)look->pc);
		}
	}
	text_add(&x, "\n");
	if (!v->blocked)
		say_frames(&x, d, w, v->id);
	text_flush(&x);
}

static void
say_all_stuck(struct watchdog *d)
{
	struct text x = { .fd = STDERR_FILENO };
	uint32_t i;

	for (i = 0; i < d->rt->nworkers; i++)
		if (!d->of[i].said || !d->of[i].blocked)
			break;
	if (i < d->rt->nworkers) {
		d->all_said = false;
	} else if (!d->all_said) {
		text_add(&x, "weft: every worker (");
		text_dec(&x, i);
		text_add(&x, ") is in a blocking call: "
		    "no other coroutine can run\n");
		text_flush(&x);
		d->all_said = true;
	}
}

/* --- looking -------------------------------------------------------------- */

/* Who is current, and how often w has come by its scheduler.  These fields are
   w's own: the kernel reads them for us. */
static struct task *
look_at(const struct worker *w, struct watched *ret)
{
	struct task *t = NULL;
	uint64_t id = 0;

	ret->ticks = a_load_relaxed(&w->runq.ticks);
	if (a_load_relaxed(&w->asleep) || a_load_relaxed(&w->tid) == 0 ||
	    !os_peek(&ret->turns, &w->turns, sizeof ret->turns) ||
	    !os_peek(&t, &w->self.current, sizeof t) ||
	    !t || !os_peek(&id, &t->id, sizeof id))
		return NULL;
	ret->id = id;
	return id ? t : NULL;
}

static bool
is_same(const struct watched *a, const struct watched *b)
{
	return a->id && a->id == b->id && a->ticks == b->ticks &&
	    a->turns == b->turns;
}

/* A stretch of w lasts, and half of the time has passed. */
static void
look_closer(struct watchdog *d, struct worker *w, struct task *t, co_time now)
{
	struct watched *v = &d->of[w->index];
	struct os_thread_look look;
	bool sleeps, blocked, computes;

	os_thread_look(a_load_relaxed(&w->tid), &look);
	sleeps = look.state == 'S' || look.state == 'D';
	blocked = sleeps && v->blocked;
	computes = look.used < 0 || v->used < 0 ||
	    look.used - v->used >= d->time / 2;
	v->blocked = sleeps;
	if (v->said || now - v->since < d->time || (!blocked && !computes))
		return;
	v->said = true;
	say(d, w, t, &look, now);
}

static void
look_at_all(struct watchdog *d)
{
	struct runtime *rt = d->rt;
	struct os_thread_look look;
	struct watched seen;
	co_time now = os_now();
	struct task *t;
	uint32_t i;

	for (i = 0; i < rt->nworkers; i++) {
		struct watched *v = &d->of[i];

		memset(&seen, 0, sizeof seen);
		t = look_at(&rt->workers[i], &seen);
		if (t && is_same(v, &seen)) {
			if (now - v->since >= d->time / 2)
				look_closer(d, &rt->workers[i], t, now);
			continue;
		}
		*v = seen;
		v->since = now;
		if (t) {
			os_thread_look(a_load_relaxed(&rt->workers[i].tid),
			    &look);
			v->used = look.used;
		}
	}
	say_all_stuck(d);
}

/* Four looks in the time: what is too long is said a quarter late at most. */
static void
thread_main(void *arg)
{
	struct watchdog *d = arg;
	co_time next;

	while (!a_load_acquire(&d->over)) {
		look_at_all(d);
		next = os_now() + d->time / 4;
		while (!a_load_acquire(&d->over) && os_futex_wait(&d->over, 0,
		    next) != -ETIMEDOUT)
			continue;
	}
}

/* --- beginning and end ---------------------------------------------------- */

int
watchdog_start(struct runtime *rt)
{
	struct watchdog *d;
	int code;

	if (rt->watchdog_time == 0)
		return 0;
	d = chaos_fail() ? NULL :
	    calloc(1, sizeof *d + rt->nworkers * sizeof d->of[0]);
	if (!d)
		return -ENOMEM;
	d->rt = rt;
	d->time = rt->watchdog_time;
	d->shows = os_show_begin(show_frames) == 0;
	rt->watchdog = d;
	code = os_thread_start(&d->thread, thread_main, d);
	if (code < 0) {
		if (d->shows)
			os_show_end();
		rt->watchdog = NULL;
		free(d);
		return code;
	}
	deadlock_helper_threads(1);
	return 0;
}

void
watchdog_stop(struct runtime *rt)
{
	struct watchdog *d = rt->watchdog;

	if (!d)
		return;
	deadlock_helper_threads(-1);
	a_store_release(&d->over, 1);
	os_futex_wake(&d->over, 1);
	os_thread_join(&d->thread);
	if (d->shows)
		os_show_end();
	rt->watchdog = NULL;
	free(d);
}

void
watchdog_enter(struct worker *w)
{
	struct watchdog *d = w->rt->watchdog;

	if (!d)
		return;
	if (d->shows)
		w->refused = os_show_accept();
	a_store_relaxed(&w->tid, os_thread_id());
}

void
watchdog_leave(struct worker *w)
{
	struct watchdog *d = w->rt->watchdog;

	if (!d)
		return;
	a_store_relaxed(&w->tid, 0);
	if (d->shows && w->refused)
		os_show_refuse();
}
