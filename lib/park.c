/* SPDX-License-Identifier: MIT */
/*
 * park.c - the only way to block.
 *
 * Layer 5.  See park.h for how it is used, task.h for tickets.
 *
 * A cancellation and a park cross like this; neither may miss the other:
 *
 *	wait_begin, wait_is_refused	end_tree in scope_end.c
 *	P1 park = ticket (odd)		C1 ended = code
 *	P2 a_light_barrier()		C2 a_heavy_barrier()
 *	P3 ended ?			C3 park odd ?
 *	     yes: claims itself		     yes: claims it, wakes it
 *
 * Bad outcome: P3 reads 0 and C3 reads an even number: the task sleeps in a
 * scope that has ended.  The barriers forbid it.  Both may win the claim's
 * race; one does.
 */
#include "park_here.h"
#include "foreign.h"
#include "scope.h"

static co_time
scope_deadline(const struct task *t)
{
	const struct co_scope *s = t->scope;

	return s && s->co__armer ? s->co__armer->co__deadline : CO_FOREVER;
}

/* The thread itself sleeps. */
static int
foreign_sleep(struct task *t, uint64_t ticket, co_time until)
{
	struct foreign *f = foreign_of(t);
	co_time limit;

	for (;;) {
		limit = scope_deadline(t);
		if (t->scope && t->scope->co__armer &&
		    a_load_relaxed(&t->scope->co__armer->co__ended))
			limit = CO_FOREVER;	/* it has done its work */
		if (until < limit)
			limit = until;
		os_futex_wait(&f->woken, 0, limit);
		if (a_load_acquire(&f->woken))	/* pairs with task_wake */
			break;
		if (limit == CO_FOREVER || os_now() < limit)
			continue;
		if (limit == until) {
			if (wait_claim(t, ticket)) {
				t->wake = WAIT_UNTIL;
				break;
			}
			until = CO_FOREVER;	/* we are being woken */
		} else {
			scope_expired(t->scope->co__armer);
		}
	}
	a_store_relaxed(&f->woken, 0);
	co__foreign_leave();
	return t->wake;
}

/*
 * Arms what must wake us: the scope's deadline, once for all the waits in it,
 * and `until`, when that is earlier.
 */
static int
arm(struct task *t, uint64_t ticket, co_time until, uint32_t *ret_id)
{
	struct timers *h = &t->worker->timers;
	int code;

	if (t->scope && t->scope->co__armer) {
		code = scope_arm(t->scope->co__armer, t->worker);
		if (unlikely(code < 0))
			return code;
	}
	if (until == CO_FOREVER)
		return 0;
	code = timer_add(h, t->worker->now, until, t, ticket, ret_id);
	return code < 0 ? code : 1;
}

static always_inline int
coro_sleep(struct task *t, uint64_t ticket, co_time until)
{
	struct timers *h = &t->worker->timers;
	uint32_t id = 0;
	int armed = 0;

	if (unlikely(until != CO_FOREVER) ||
	    (t->scope && unlikely(t->scope->co__armer != NULL))) {
		armed = arm(t, ticket, until, &id);
		if (unlikely(armed < 0)) {
			if (!(ticket & PARK_SHIELDED) && wait_claim(t, ticket))
				return armed;
			armed = 0;
		}
	}
	t = sched_park_here(t->worker, t);
	if (armed && t->wake != WAIT_UNTIL)
		timer_del(h, id, t, ticket);
	return t->wake;
}

cold int
co__wait_refused(struct task *t)
{
	int code = a_load_relaxed(&t->ended);

	if (t->kind == TASK_FOREIGN)
		co__foreign_leave();
	return co__wait_noted(t, code);
}

/* The time of a wait has come, and no later than it the deadline around, whose
   timer may be another worker's who has not come to it. */
static noinline int
until_came(struct task *t, co_time until)
{
	int code;

	if (scope_deadline(t) > until)
		return WAIT_UNTIL;
	scope_look(t, os_now());
	code = wait_check(t);
	return code ? code : WAIT_UNTIL;
}

static always_inline int
park_raw(struct task *t, co_time until)
{
	uint64_t ticket = a_load_relaxed(&t->park) | PARK_WAITING;
	int code;

	if (wait_is_refused(t, ticket))
		return co__wait_refused(t);
	if (likely(t->kind == TASK_CORO))
		code = coro_sleep(t, ticket, until);
	else
		code = foreign_sleep(t, ticket, until);
	if (unlikely(code < 0))
		code = code == WAIT_UNTIL ? until_came(t, until) :
		    co__wait_noted(t, code);
	return code;
}

int
wait_park_raw(struct task *t, co_time until)
{
	return park_raw(t, until);
}

int
wait_park(struct task *t, co_time until)
{
	int code;

	if (likely(until == CO_FOREVER))
		return wait_park_here(t);
	code = wait_park_raw(t, until);
	return unlikely(code == WAIT_UNTIL) ? -ETIMEDOUT : code;
}

static void
foreign_wake(struct task *t)
{
	struct foreign *f = foreign_of(t);

	a_store_release(&f->woken, 1);	/* from here on it may be gone (I1) */
	os_futex_wake(&f->woken, 1);
}

void
task_wake(struct task *t, int code)
{
	t->wake = code;
	if (unlikely(t->kind == TASK_FOREIGN))
		foreign_wake(t);
	else if (likely(self_get()->current != NULL))
		sched_ready(t);
	else			/* the reactor's doing waits its turn */
		sched_ready_late(t);
}

void
task_wake_late(struct task *t, int code)
{
	t->wake = code;
	if (unlikely(t->kind == TASK_FOREIGN))
		foreign_wake(t);
	else
		sched_ready_late(t);
}

/* One frame, as each is some lines of a stack that is in no cache any more. */
static noinline returns_by_jump int
sleep_here(struct task *t, co_time when)
{
	int code;

	wait_begin(t, WAIT_SLEEP, (void *)(intptr_t)when);
	code = park_raw(t, when);
	return likely(code == WAIT_UNTIL) ? 0 : code;
}

EXPORT int
co_sleep_until(co_time when)
{
	struct task *t;
	co_time now;
	int code;

	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	now = os_now();
	if (likely(when > now))
		return sleep_here(t, when);
	scope_look(t, now);
	code = wait_check(t);
	if (!code)
		co_yield_now();
	return code;
}

/* now + d, without wrapping. */
co_time
co__time_after(co_time d)
{
	co_time now = os_now(), sum;

	if (__builtin_add_overflow(now, d, &sum))
		return d < 0 ? INT64_MIN : CO_FOREVER;
	return sum;
}

/* Of a very short one a second look at the clock says that it has passed. */
EXPORT int
co_sleep(co_time duration)
{
	struct task *t;
	int code;

	if (unlikely(duration < CO_US(1)))
		return co_sleep_until(duration <= 0 ? INT64_MIN :
		    co__time_after(duration));
	code = wait_enter(&t);
	if (unlikely(code))
		return code;
	return sleep_here(t, co__time_after(duration));
}

EXPORT co_time
co_now(void)
{
	return os_now();
}

/* A deadline that no wait has armed a timer for is noticed here. */
static noinline void
yield_turn(struct worker *w)
{
	struct task *t = w->self.current;

	if (t->scope->co__armer)
		scope_look(t, os_now());
	co__sched_yield_turn(w, t);
}

EXPORT returns_by_jump void
co_yield(void)
{
	struct self *s = self_get();
	struct worker *w;

	if (unlikely(!s->worker)) {
		os_give_way();
		return;
	}
	co__locks_none_held("a coroutine yields while it holds a lock");
	w = worker_of(s);
	if (unlikely(sched_turn_is_over(w)))
		yield_turn(w);
	else
		sched_yield_here(w);
}

EXPORT void co_yield_now(void) __attribute__((alias("co_yield")));
