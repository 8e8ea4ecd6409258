/* SPDX-License-Identifier: MIT */
/*
 * runq.c - the rarer operations of a run queue.
 *
 * Layer 4.
 */
#include "runq.h"
#include "os.h"

cold void
co__runq_wait(struct runq *q)
{
	int i;

	do {
		a_store_release(&q->crit, 0);
		for (i = 0; a_load_acquire(&q->stop); i++) {
			if (i < 64)
				a_pause();
			else
				os_give_way();
		}
		a_store_relaxed(&q->crit, 1);
		a_light_barrier();
	} while (a_load_acquire(&q->stop));
}

static struct task *
band_pop(struct runq *q, enum runq_band b)
{
	struct task *t = tasklist_pop_head(&q->band[b]);

	if (t && b != BAND_PINNED)
		runq_count(q, -1);
	if (!q->band[b].head)
		a_store_relaxed(&q->bands, q->bands & ~(1u << b));
	return t;
}

/* Inside a section.  The high band first; pinned ones every other time; low
   ones when there is nothing else. */
struct task *
co__runq_take_band(struct runq *q)
{
	if (q->bands & 1u << BAND_HIGH)
		return band_pop(q, BAND_HIGH);
	if (q->bands & 1u << BAND_PINNED &&
	    (q->ticks & 1 || (!q->deque.head && !q->fifo.head)))
		return band_pop(q, BAND_PINNED);
	if (!q->deque.head && !q->fifo.head)
		return band_pop(q, BAND_LOW);
	return NULL;
}

/* Some of them have a band: it is not hot. */
struct task *
co__runq_exchange_band(struct runq *q, struct task *t)
{
	struct task *to = runq_take(q);

	if (to)
		runq_push_old(q, t);
	return to;
}

static struct task *
oldest_of(struct runq *q, uint32_t which)
{
	struct task *t;

	switch (which) {
	case 0:
		t = tasklist_pop_tail(&q->deque);
		break;
	case 1:
		t = tasklist_pop_head(&q->fifo);
		break;
	default:
		return band_pop(q, (enum runq_band)(which - 2));
	}
	if (t)
		runq_count(q, -1);
	return t;
}

struct task *
runq_take_oldest(struct runq *q, uint32_t turn)
{
	struct task *t;
	uint32_t i;

	runq_enter(q);
	t = oldest_of(q, turn % (2 + BANDS));
	/* A turn that nobody in a band wants is for the others: not for LOW. */
	for (i = 0; i < 2 + BANDS && !t; i++)
		t = oldest_of(q, i < 2 ? (turn + i) & 1 : i);
	runq_tick(q);
	runq_leave(q);
	return t;
}

static bool
thief_enter(struct runq *v)
{
	int i;

	if (a_xchg_acquire(&v->thief.word, 1) != 0)
		return false;
	a_store_relaxed(&v->stop, 1);
	a_heavy_barrier();		/* pairs with runq_enter */
	for (i = 0; a_load_acquire(&v->crit); i++) {
		if (i >= 1000) {	/* its processor was taken away */
			a_store_release(&v->stop, 0);
			a_store_release(&v->thief.word, 0);
			return false;
		}
		a_pause();
	}
	return true;
}

int
runq_steal(struct runq *q, struct runq *victim, uint32_t most)
{
	struct tasklist got = { NULL, NULL };
	struct task *t;
	uint32_t n, i;

	if (!thief_enter(victim))
		return 0;
	n = (victim->waiting + 1) / 2;
	if (n > most)
		n = most;
	for (i = 0; i < n; i++) {
		t = oldest_of(victim, i & 1);
		if (!t)
			t = oldest_of(victim, !(i & 1));
		if (!t)
			t = band_pop(victim, BAND_HIGH);
		if (!t)
			t = band_pop(victim, BAND_LOW);
		if (!t)
			break;
		tasklist_push_tail(&got, t);
	}
	a_store_release(&victim->stop, 0);	/* pairs with runq_enter */
	a_store_release(&victim->thief.word, 0);
	n = i;
	/* The oldest is to run first: it is pushed last. */
	while ((t = tasklist_pop_tail(&got)) != NULL)
		runq_push_new(q, t);
	return (int)n;
}
