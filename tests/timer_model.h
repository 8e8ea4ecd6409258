/* SPDX-License-Identifier: MIT */
/*
 * timer_model.h - timers beside one sorted array.
 *
 * Timers have tasks as owners only in name here: scopes, which fire without
 * being claimed, stand for all of them.  Used by unit/timer_test.c and
 * fuzz/timer_fuzz.c.
 */
#ifndef WEFT_TESTS_TIMER_MODEL_H
#define WEFT_TESTS_TIMER_MODEL_H

#include "timer.h"

#include "model.h"

enum { MOST = 300 };

struct model {			/* what is armed, in the order of firing */
	co_time when;
	uint32_t seq;
	uint32_t id;
	int scope;
};

static struct timers heap;
static struct co_scope scopes[MOST];
static struct model model[MOST];
static bool armed[MOST];
static int n_model;
static uint32_t next_seq;
static int fired[MOST], n_fired;

static void
on_wake(struct task *t)
{
	must(t == NULL);	/* no task has a timer here */
}

static void
on_end(struct co_scope *s)
{
	must(s->co__timer_state == SCOPE_TIMER_FIRING);
	fired[n_fired++] = (int)(s - scopes);
}

static uint32_t
check_one(const struct timer_heap *x, uint32_t index)
{
	uint32_t i;

	must(x->index == index);
	for (i = 0; i < x->count; i++) {
		const struct timer_entry *e = &x->at[i];
		const struct timer_entry *up = &x->at[i ? (i - 1) / 4 : 0];

		must(x->loose ? x->least <= e->when : up->when <= e->when);
		must(heap.pos[e->node] == i);
		must(heap.node[e->node].armed == 1 + index);
	}
	return x->count;
}

static void
take_least(co_time *least, co_time when)
{
	if (when < *least)
		*least = when;
}

/* *least: of the tops, as well. */
static uint32_t
check_wheel(int which, co_time *least)
{
	const struct timer_wheel *w = &heap.wheel[which];
	uint32_t i, n = 0;
	int64_t number;
	bool any = false;

	for (number = w->from; number < w->from + TIMER_SLOTS; number++) {
		const struct timer_heap *x;

		i = (uint32_t)((uint64_t)number % TIMER_SLOTS);
		x = &w->slot[i];
		n += check_one(x, TIMER_HEAPS +
		    (uint32_t)which * TIMER_SLOTS + i);
		must((w->used[i / 64] >> i % 64 & 1) == (x->count != 0));
		must(x->count != 0 || x->loose);
		if (x->count == 0)
			continue;
		if (!any) {
			must(w->head == x && w->first == number);
			take_least(least, timer_heap_top(x));
		}
		any = true;
		must(x->at[0].when >> (which ? 28 : 22) == number);
	}
	must(any || !w->head);
	return n;
}

static void
check_heap(void)
{
	const struct timer_heap *exact = &heap.heap[TIMER_EXACT];
	const struct timer_heap *far = &heap.heap[TIMER_FAR];
	co_time late = timer_heap_top(far), next;
	uint32_t n = check_one(exact, TIMER_EXACT) + check_one(far, TIMER_FAR);
	int i;

	for (i = 0; heap.wheel && i < TIMER_WHEELS; i++)
		n += check_wheel(i, &late);
	must(n == (uint32_t)n_model);
	next = timer_heap_top(exact);
	must(heap.next == (late < next ? late : next));
	must(heap.next <= (n_model ? model[0].when : CO_FOREVER));
	must((heap.next == CO_FOREVER) == (n_model == 0 ||
	    model[0].when == CO_FOREVER));
	late = late < CO_FOREVER - TIMER_SLACK ? late + TIMER_SLACK :
	    CO_FOREVER;
	must(heap.wake == (late < next ? late : next));
}

static void
add(int scope, co_time now, co_time when)
{
	struct model m = { when, next_seq++, 0, scope };
	int at = n_model;

	must(timer_add(&heap, now, when, &scopes[scope], 0, &m.id) == 0);
	while (at > 0 && model[at - 1].when > when) {
		model[at] = model[at - 1];
		at--;
	}
	model[at] = m;
	n_model++;
	armed[scope] = true;
}

static int
place_of(int scope)
{
	int i;

	for (i = 0; i < n_model; i++)
		if (model[i].scope == scope)
			return i;
	return -1;
}

static void
del(int scope)
{
	int at = place_of(scope);
	struct model m;

	if (at < 0)
		return;
	m = model[at];
	must(timer_del(&heap, m.id, &scopes[scope], 0));
	must(!timer_del(&heap, m.id, &scopes[scope], 0));
	memmove(&model[at], &model[at + 1],
	    (size_t)(n_model - at - 1) * sizeof *model);
	n_model--;
	armed[scope] = false;
}

static void
expire(co_time now)
{
	int due = 0, i;

	n_fired = 0;
	while (due < n_model && model[due].when <= now)
		due++;
	must(timers_expire(&heap, now, on_wake, on_end) == due);
	must(n_fired == due);
	for (i = 0; i < due; i++) {
		must(fired[i] == model[i].scope);
		must(!timer_del(&heap, model[i].id,
		    &scopes[model[i].scope], 0));
		armed[model[i].scope] = false;
	}
	memmove(model, &model[due], (size_t)(n_model - due) * sizeof *model);
	n_model -= due;
}

static void
model_begin(void)
{
	timers_init(&heap);
	n_model = 0;
	memset(armed, 0, sizeof armed);
}

#endif
