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
	struct task *woken = join_deliver(&machine.worker[1].self, &s.handle,
	    RESULT);

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
