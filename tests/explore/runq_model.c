/* SPDX-License-Identifier: MIT */
/*
 * runq_model.c - a worker in its own queue, and thieves: runq.h, runq.c.
 *
 * What models/runq_steal.pml says of the protocol, of the code itself.
 */
#include "machine.h"

#include "runq.h"

enum { TASKS = 3 };

static struct shared {
	struct runq own, robbers[2];
	struct task task[TASKS];
} s;

static int times[TASKS];	/* that each was taken */

static void
setup(void)
{
	int i;

	machine_setup(NEWCOMER, NEWCOMER, NEWCOMER);
	memset(&s, 0, sizeof s);
	memset(times, 0, sizeof times);
	s.own.shared = s.robbers[0].shared = s.robbers[1].shared = 1;
	for (i = 0; i < TASKS; i++) {
		s.task[i].band = BANDS;
		s.task[i].id = (uint64_t)i + 1;
	}
	explore_share(&s, sizeof s);
}

static void
setup_fences(void)
{
	setup();
	co__have_membarrier = false;
}

static void
took(struct task *t)
{
	if (!t)
		return;
	explore_assert(t >= s.task && t < s.task + TASKS,
	    "what was taken is no task");
	explore_assert(++times[t - s.task] == 1, "a task is taken twice");
}

static void
owner(void)
{
	runq_push_new(&s.own, &s.task[0]);
	runq_push_old(&s.own, &s.task[1]);
	took(runq_take(&s.own));
}

static void
owner_of_more(void)
{
	runq_push_new(&s.own, &s.task[0]);
	runq_push_old(&s.own, &s.task[1]);
	took(runq_take(&s.own));
	runq_push_new(&s.own, &s.task[2]);
	took(runq_take_oldest(&s.own, 0));
}

/* The third task is the one that runs, and yields. */
static void
owner_who_yields(void)
{
	struct task *to;

	runq_push_new(&s.own, &s.task[0]);
	runq_push_old(&s.own, &s.task[1]);
	to = runq_exchange(&s.own, &s.task[2]);
	took(to ? to : &s.task[2]);
	took(runq_take(&s.own));
}

static void
robber(void)
{
	runq_steal(&s.robbers[explore_self() - 1], &s.own, 4);
}

static void
robber_again(void)
{
	robber();
	robber();
}

static void
drain(struct runq *q)
{
	uint32_t n = q->waiting, i;

	for (i = 0; i < n + 1; i++)
		took(runq_take(q));
	explore_assert(q->waiting == 0, "a queue counts wrong");
	explore_assert(!q->deque.head && !q->fifo.head,
	    "a queue holds more than it counts");
}

static void
all_taken(int n)
{
	int i;

	drain(&s.own);
	drain(&s.robbers[0]);
	drain(&s.robbers[1]);
	explore_assert(s.own.crit == 0 && s.own.stop == 0 &&
	    s.own.thief.word == 0, "a queue stays closed");
	for (i = 0; i < n; i++)
		explore_assert(times[i] == 1, "a task is lost");
}

static void
end(void)
{
	all_taken(2);
}

static void
end_of_more(void)
{
	all_taken(3);
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_LIGHT_THIEF", "", LEFT_OUT, OP_HEAVY, "thief_enter", NULL),
	BUG_AT("BUG_LOOK_FIRST", "a task is taken twice", LATER, OP_STORE,
	    "runq_enter", "&q->crit"),
	BUG_AT("BUG_NO_LOOK_AGAIN", "a task is taken twice", FORGED, OP_LOAD,
	    "co__runq_wait", "&q->stop", .nth = 2),
	BUG_AT("BUG_NO_CRIT", "", LEFT_OUT, OP_STORE, "runq_enter",
	    "&q->crit"),
	BUG_AT("BUG_NO_STOP", "a task is taken twice", LEFT_OUT, OP_STORE,
	    "thief_enter", "&v->stop"),
	BUG_AT("BUG_NO_WAIT", "", FORGED, OP_LOAD, "thief_enter", "&v->crit"),
	BUG_AT("BUG_NO_WAIT_FOR_THIEF", "a task is taken twice", FORGED,
	    OP_LOAD, "runq_enter", "&q->stop"),
	BUG_AT("BUG_STAYS_STOPPED", "it spins with nobody else", LEFT_OUT,
	    OP_STORE, "runq_steal", "&victim->stop"),
	BUG_AT("BUG_LEAVE_EARLY", "", EARLIER, OP_STORE, "runq_leave",
	    "&q->crit"),
	BUG_AT("BUG_LET_GO_EARLY", "a task is taken twice", EARLIER, OP_STORE,
	    "runq_steal", "&victim->stop"),
	BUG_LAST
};

static const struct explore_bug bugs_of_thieves[] = {
	BUG_AT("BUG_TWO_THIEVES", "", SPLIT, OP_CHANGE, "thief_enter",
	    "&v->thief.word"),
	BUG_AT("BUG_STAYS_LOCKED", "a queue stays closed", LEFT_OUT, OP_STORE,
	    "runq_steal", "&victim->thief.word"),
	BUG_AT("BUG_NO_LOOK_AGAIN", "a task is taken twice", FORGED, OP_LOAD,
	    "co__runq_wait", "&q->stop", .nth = 2),
	BUG_LAST
};

static const struct explore_bug bugs_of_yields[] = {
	BUG_AT("BUG_LIGHT_THIEF", "", LEFT_OUT, OP_HEAVY, "thief_enter", NULL),
	BUG_AT("BUG_NO_CRIT", "", LEFT_OUT, OP_STORE, "runq_enter",
	    "&q->crit"),
	BUG_AT("BUG_NO_STOP", "", LEFT_OUT, OP_STORE, "thief_enter",
	    "&v->stop"),
	BUG_AT("BUG_NO_WAIT", "", FORGED, OP_LOAD, "thief_enter", "&v->crit"),
	BUG_AT("BUG_LEAVE_EARLY", "", EARLIER, OP_STORE, "runq_leave",
	    "&q->crit"),
	BUG_LAST
};

static const struct explore_bug bugs_of_fences[] = {
	BUG_AT("BUG_NO_FENCE", "", LEFT_OUT, OP_LIGHT, "runq_enter", NULL),
	BUG_AT("BUG_NO_FENCE_OF_THIEF", "", LEFT_OUT, OP_HEAVY, "thief_enter",
	    NULL),
	BUG_LAST
};

TEST(a_thief_and_an_owner)
{
	static const struct explore_model m = { .name = "runq",
		.setup = setup, .thread = { owner_of_more, robber_again },
		.end = end_of_more, .enter = machine_enter,
		.patience = "thief_enter", .bugs = bugs };

	explore(&m);
}

TEST(two_thieves_and_an_owner)
{
	static const struct explore_model m = { .name = "runq_thieves",
		.setup = setup, .thread = { owner, robber, robber },
		.end = end, .enter = machine_enter,
		.bugs = bugs_of_thieves };

	explore(&m);
}

TEST(a_thief_and_an_owner_who_yields)
{
	static const struct explore_model m = { .name = "runq_yields",
		.setup = setup, .thread = { owner_who_yields, robber_again },
		.end = end_of_more, .enter = machine_enter,
		.bugs = bugs_of_yields };

	explore(&m);
}

TEST(a_thief_and_an_owner_without_membarrier)
{
	static const struct explore_model m = { .name = "runq_fences",
		.setup = setup_fences,
		.thread = { owner_of_more, robber_again },
		.end = end_of_more, .enter = machine_enter,
		.bugs = bugs_of_fences };

	explore(&m);
}
