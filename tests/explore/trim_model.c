/* SPDX-License-Identifier: MIT */
/*
 * trim_model.c - giving back the pages of a stack against a wake-up: HOLD in
 * trim.c, sched.h (sched_claim_cpu).
 *
 * What models/trim_hold.pml says of the protocol.  The heavy barrier T2 is for
 * processors that let a load pass an atomic operation before it; with these
 * store buffers nobody misses it.
 */
#include "trim.c"

#include "machine.h"
#include "sched.h"

enum { TICKET = PARK_STEP + PARK_WAITING };

static bool running, trimming;
static int trimmed;

size_t
stack_trim(struct stack *s, const void *sp)
{
	(void)s;
	(void)sp;
	explore_assert(!running, "the stack of a running task is trimmed");
	trimming = true;
	explore_point();
	trimming = false;
	trimmed++;
	return 0;
}

uint64_t
os_faults(void)
{
	bug("it is never called: os_faults");
}

struct slab_chunk *
task_each_some(struct runtime *rt, struct slab_chunk *from, uint32_t n,
    void (*fn)(struct task *, void *), void *arg)
{
	(void)rt;
	(void)from;
	(void)n;
	fn(&machine.task[2], arg);
	return NULL;
}

static void
setup(void)
{
	struct task *t = &machine.task[2];

	machine_setup(WORKER, WORKER, WORKER);
	machine.worker[1].runq.shared = 1;	/* others may trim */
	t->park = TICKET;
	t->on_cpu = 0;
	machine.ext[2].trimmed = TICKET;	/* seen a round ago */
	explore_share(&machine.ext[2].trimmed, sizeof machine.ext[2].trimmed);
	running = trimming = false;
	trimmed = 0;
}

static void
trims(void)
{
	struct batch b = { .n = 0 };

	task_each_some(NULL, NULL, 1, slice_task, &b);
	if (b.n)
		trim_batch(&b);
}

static void
runs(struct task *t)
{
	while (!sched_claim_cpu(&machine.worker[1], t))
		os_give_way();
	explore_assert(!trimming, "it runs on a stack that is trimmed");
	running = true;
	explore_point();
	explore_assert(a_load_relaxed(&t->on_cpu) == 1,
	    "a task that runs is not on a worker");
	running = false;
}

/* Wakes it, is itself who picks it, and lets it wait again. */
static void
wakes_and_runs(void)
{
	struct task *t = &machine.task[2];

	if (wait_claim(t, TICKET))
		runs(t);
	a_store_release(&t->park, TICKET + PARK_STEP);
	a_store_release(&t->on_cpu, 0);
	if (wait_claim(t, TICKET + PARK_STEP))
		runs(t);
}

static void
end(void)
{
	explore_assert(trimmed <= 1, "a wait is trimmed twice");
	explore_assert(machine.task[2].on_cpu == 1, "it is on no worker");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_NO_LOOK", "", FORGED, OP_LOAD, "trim_batch", "&t->park",
	    .value = TICKET),
	BUG_AT("BUG_NO_HOLD", "", LEFT_OUT, OP_CAS, "hold", "&t->on_cpu"),
	BUG_AT("BUG_SPLIT_HOLD", "", SPLIT, OP_CAS, "hold", "&t->on_cpu"),
	BUG_AT("BUG_PUT_BACK_ANYWAY", "", FORGED, OP_CAS,
	    "trim_batch", "&t->on_cpu"),
	BUG_AT("BUG_NO_WAIT", "", FORGED, OP_LOAD, "sched_claim_cpu",
	    "&to->on_cpu"),
	BUG_LAST
};

TEST(a_stack_is_not_trimmed_while_it_is_used)
{
	static const struct explore_model m = { .name = "trim",
		.setup = setup, .thread = { trims, wakes_and_runs },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}
