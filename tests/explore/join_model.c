/* SPDX-License-Identifier: MIT */
/*
 * join_model.c - the end of a task, its joiner, and who ends the joiner's wait:
 * join.c, park.c.
 *
 * What models/join_word.pml says of the protocol.  The joiner's frame is
 * written over as soon as co_join has returned, with the address of a task that
 * is gone; the handle, as soon as it is joined.
 */
#include "machine.h"

#include "join.h"

enum { RESULT = 7, GONE = 0xee };

static struct shared {
	struct co_task handle;
} s;

static int joined;

static void
setup_with(enum machine_kind a, enum machine_kind b, enum machine_kind c)
{
	machine_setup(a, b, c);
	memset(&s, 0, sizeof s);
	joined = 0;
	join_begin(&s.handle, &machine.task[1]);
	explore_share(&s, sizeof s);
	machine_forbid_gone();
}

static void
setup(void)
{
	setup_with(WORKER, WORKER, WORKER);
}

static void
joiner(void)
{
	do {
		joined = co_join(&s.handle);
		machine_write_over_frames();
	} while (joined == -ECANCELED);
	memset(&s.handle, GONE, sizeof s.handle);
}

static void
task(void)
{
	struct task *woken = join_deliver(&machine.worker[1].self,
	    &machine.task[1], &s.handle, RESULT);

	if (woken)
		task_wake(woken, woken->wake);
}

static void
end(void)
{
	unsigned char *p = (unsigned char *)&s.handle;
	size_t i;

	machine_end();
	explore_assert(joined == RESULT, "the result is another one");
	for (i = 0; i < sizeof s.handle; i++)
		explore_assert(p[i] == GONE, "the handle is used later");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_NO_BUSY", "", FORGED, OP_CHANGE, "co__join_deliver",
	    "&h->co__word", .value = 1),
	BUG_AT("BUG_NO_BUSY_WAIT", "", FORGED, OP_LOAD,
	    "join_done", "&h->co__word", .instead_of = 3),
	BUG_AT("BUG_SPLIT_END", "", SPLIT, OP_CHANGE, "co__join_deliver",
	    "&h->co__word"),
	BUG_AT("BUG_SPLIT_SWAP", "", SPLIT, OP_CAS, "word_swap",
	    "&h->co__word"),
	BUG_AT("BUG_NO_DONE", "", LEFT_OUT, OP_STORE, "co__join_deliver",
	    "&h->co__word"),
	BUG_AT("BUG_WAKE_FIRST", "", LATER, OP_STORE,
	    "co__join_deliver", "&h->co__word", .value = 9),
	BUG_AT("BUG_NO_CLAIM", "", FORGED, OP_CAS, "wait_claim", "&t->park"),
	BUG_LAST
};

TEST(a_joiner_gets_the_result_and_nobody_touches_what_is_gone)
{
	static const struct explore_model m = { .name = "join",
		.setup = setup, .thread = { joiner, task, machine_cancel_wait },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

/* --- a thread joins a task of a lone worker ------------------------------- */

static void
setup_alone(void)
{
	setup_with(STAND_IN, WORKER, NEWCOMER);
}

static void
task_alone(void)
{
	co__solo_begin(&machine.worker[1].self);
	task();
}

static const struct explore_bug bugs_alone[] = {
	BUG_AT("BUG_LIGHT_END", "", LEFT_OUT, OP_HEAVY, "co__solo_end", NULL),
	BUG_AT("BUG_NO_WAIT", "", FORGED, OP_LOAD, "co__solo_end",
	    "&s->crit"),
	BUG_AT("BUG_LOOK_FIRST", "", LATER, OP_STORE, "alone_enter",
	    "&self->crit"),
	BUG_AT("BUG_LEAVE_EARLY", "", EARLIER, OP_STORE, "alone_leave",
	    "&self->crit"),
	BUG_AT("BUG_NO_DONE", "", LEFT_OUT, OP_STORE, "join_deliver",
	    "&h->co__word"),
	BUG_LAST
};

TEST(a_thread_gets_the_result_of_a_lone_workers_task)
{
	static const struct explore_model m = { .name = "join_alone",
		.setup = setup_alone,
		.thread = { joiner, task_alone, machine_cancel_wait },
		.end = end, .enter = machine_enter, .bugs = bugs_alone };

	explore(&m);
}

/* --- a thread cancels a task of a lone worker ----------------------------- */

static struct co_scope home;

static void
setup_cancel(void)
{
	setup_with(NEWCOMER, WORKER, NEWCOMER);
	memset(&home, 0, sizeof home);
	home.co__owner = &machine.task[2];
	machine.task[1].home = machine.task[1].scope = &home;
	explore_share(&home, sizeof home);
}

/* Its record is at once another task's. */
static void
task_ends_alone(void)
{
	struct task *t = &machine.task[1];

	task_alone();
	t->cancelled = 0;
	a_store_relaxed(&t->ended, 0);
	a_store_release(&t->id, 99);
}

static void
cancels_task(void)
{
	scope_cancel_task(&machine.task[1], 2);
}

static void
end_of_cancel(void)
{
	explore_assert(!machine.task[1].cancelled && !machine.task[1].ended,
	    "another task is cancelled");
	explore_assert(machine.task[1].lock.word == 0, "a lock is held");
}

static const struct explore_bug bugs_of_cancel[] = {
	BUG_AT("BUG_NO_WAIT", "another task", FORGED, OP_LOAD, "co__solo_end",
	    "&s->crit"),
	BUG_AT("BUG_LOOK_FIRST", "another task", LATER, OP_STORE,
	    "alone_enter", "&self->crit"),
	BUG_AT("BUG_NO_HIDE", "another task", LEFT_OUT, OP_STORE,
	    "join_deliver", "&t->id"),
	BUG_LAST
};

TEST(a_thread_cancels_no_other_task_than_the_one_that_ended_alone)
{
	static const struct explore_model m = { .name = "join_cancel_alone",
		.setup = setup_cancel,
		.thread = { cancels_task, task_ends_alone },
		.end = end_of_cancel, .enter = machine_enter,
		.bugs = bugs_of_cancel };

	explore(&m);
}
