/* SPDX-License-Identifier: MIT */
/*
 * trim.c - stack pages that a long wait does not need go back to the system.
 *
 * Layer 5.  A coroutine that once went deep and then waits keeps every page it
 * has touched.  About once a second, if the process has faulted in memory since
 * the last time, somebody goes through the task records, a slice at a time.  He
 * notes who waits, and trims the stack of who still waits the same wait at the
 * next round, once.  It costs nothing where tasks switch.
 *
 * HOLD.  A waiting task may be woken at any moment.  Who trims holds it off by
 * on_cpu, as if it were still on a worker:
 *
 *	trim				who picks it, after it was claimed
 *	T1 on_cpu: 0 -> HELD (CAS)	P1 (park was moved on by the claim)
 *	T2 a_heavy_barrier()		P2 on_cpu != 0 ?
 *	T3 park as before ?		     yes: waits, then looks again
 *	     yes: trims			     no: on_cpu = 1
 *	T4 on_cpu: HELD -> 0 (CAS)
 *
 * If T3 finds the wait unclaimed, P2 comes after T1 and finds HELD.  If P2 saw
 * 0 the claim came before T1, T3 sees it, nothing is trimmed, and T4 either
 * puts back the 0 or fails because the runner has written its 1 over it.
 */
#include "trim.h"
#include "park.h"

enum {
	PERIOD = 1000 * 1000 * 1000,	/* ns between looks */
	PAUSE = 10 * 1000 * 1000,	/* ns between slices */
	SLICE = 4096,			/* records: some 3 ms */
	BATCH = 64,			/* tasks held at a time */
	FAULTS = 16,			/* fewer are not worth a look */
	HELD = 2			/* in on_cpu */
};

struct batch {
	int n;
	bool again;		/* somebody was seen for the first time */
	struct task *task[BATCH];
	uint64_t park[BATCH];
};

static void
hold(struct batch *b, struct task *t)
{
	uint64_t park = a_load_acquire(&t->park);

	if (!(park & PARK_WAITING) || a_load_relaxed(&t->id) == 0 ||
	    !a_cas_acqrel(&t->on_cpu, (uint8_t)0, (uint8_t)HELD))	/* T1 */
		return;
	b->task[b->n] = t;
	b->park[b->n++] = park;
}

/*
 * t is held and waits with the ticket `park`, whose bit 0 is 1.  ext->trimmed
 * is that ticket once this wait has been seen, and without the bit once it has
 * been trimmed.
 */
static void
trim_task(struct batch *b, struct task *t, uint64_t park)
{
	struct task_ext *e = t->u.run.ext;

	if (e->trimmed == park) {
		stack_trim(e->stack, t->u.run.ctx.sp);
		e->trimmed = park & ~(uint64_t)PARK_WAITING;
	} else if (e->trimmed != (park & ~(uint64_t)PARK_WAITING)) {
		e->trimmed = park;
		b->again = true;
	}
}

static void
trim_batch(struct batch *b)
{
	int i;

	a_heavy_barrier();						/* T2 */
	for (i = 0; i < b->n; i++) {
		struct task *t = b->task[i];

		if (a_load_acquire(&t->park) == b->park[i])		/* T3 */
			trim_task(b, t, b->park[i]);
		a_cas_acqrel(&t->on_cpu, (uint8_t)HELD, (uint8_t)0);	/* T4 */
	}
	b->n = 0;
}

static void
slice_task(struct task *t, void *arg)
{
	struct batch *b = arg;

	hold(b, t);
	if (b->n == BATCH)
		trim_batch(b);
}

co_time
trim_slice(struct worker *w)
{
	struct runtime *rt = w->rt;
	struct batch b = { .n = 0 };
	uint64_t faults;

	if (w->census)			/* it would count too little */
		return w->now + PERIOD;
	if (!rt->trim_next) {		/* a new round, if there is cause */
		faults = os_faults();
		if (faults - rt->trim_faults < FAULTS && !rt->trim_again)
			return w->now + PERIOD;
		rt->trim_faults = faults;
		rt->trim_again = false;
	}
	rt->trim_next = task_each_some(rt, rt->trim_next, SLICE, slice_task,
	    &b);
	if (b.n)
		trim_batch(&b);
	rt->trim_again |= b.again;
	a_store_relaxed(&rt->trim_more, rt->trim_next || rt->trim_again);
	return w->now + (rt->trim_next ? PAUSE : PERIOD);
}
