/* SPDX-License-Identifier: MIT */
/*
 * cancel_model.c - a cancellation against a park, and against the end of a
 * task: park.c (P1 to P3), scope_end.c (C1 to C3), scope.h (scope_hide_task).
 *
 * What models/cancel_park.pml says of the protocol.
 */
#include "machine.h"

#include "scope.h"

enum { TICKET = PARK_STEP + PARK_WAITING, WOKEN = 1 };

static struct co_scope scope;
static int code, again;

static void
setup_with(enum machine_kind waiter)
{
	struct task *t;

	machine_setup(waiter, WORKER, WORKER);
	memset(&scope, 0, sizeof scope);
	code = again = 0;
	t = machine_task(0);
	t->scope = &scope;
	scope.co__owner = t;
	explore_share(&scope, sizeof scope);
}

static void
setup(void)
{
	setup_with(WORKER);
}

static void
setup_thread(void)
{
	setup_with(STAND_IN);
}

static int
wait_once(void)
{
	struct task *t = machine_task(0);
	int ret = wait_check(t);

	if (ret)
		return ret;
	wait_begin(t, WAIT_EVENT, NULL);
	return wait_park(t, CO_FOREVER);
}

static void
waiter(void)
{
	code = wait_once();
}

static void
waits_twice(void)
{
	code = wait_once();
	again = wait_once();
}

static void
canceller(void)
{
	co_cancel(&scope);
}

static void
waker(void)
{
	struct task *t = machine_task(0);

	if (wait_claim(t, TICKET))
		task_wake(t, WOKEN);
}

static void
end(void)
{
	machine_end();
	explore_assert(code == -ECANCELED, "a wait ends and is not cancelled");
}

static void
end_of_two(void)
{
	machine_end();
	explore_assert(code == -ECANCELED || code == WOKEN,
	    "a wait ends for no reason");
	explore_assert(again == -ECANCELED, "a wait ends and is not cancelled");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_LIGHT_CANCEL", "nobody can go on", LEFT_OUT, OP_HEAVY,
	    "end_tree", NULL),
	BUG_AT("BUG_NO_LOOK", "nobody can go on", FORGED, OP_LOAD,
	    "wait_is_refused", "&t->ended"),
	BUG_AT("BUG_NOT_TOLD", "", LEFT_OUT, OP_STORE,
	    "end_task", "&t->ended"),
	BUG_AT("BUG_NOT_SEEN", "nobody can go on", FORGED, OP_LOAD,
	    "wake_ended", "&t->park"),
	BUG_AT("BUG_SPLIT_CLAIM", "", SPLIT, OP_CAS, "wait_claim",
	    "&t->park"),
	BUG_LAST
};

static const struct explore_bug bugs_without[] = {
	BUG_AT("BUG_NO_FENCE", "nobody can go on", LEFT_OUT, OP_LIGHT,
	    "wait_is_refused", NULL),
	BUG_AT("BUG_NO_FENCE_OF_CANCEL", "nobody can go on", LEFT_OUT,
	    OP_HEAVY, "end_tree", NULL),
	BUG_LAST
};

TEST(a_cancellation_never_misses_a_wait)
{
	static const struct explore_model m = { .name = "cancel",
		.setup = setup, .thread = { waiter, canceller }, .end = end,
		.enter = machine_enter, .bugs = bugs };

	explore(&m);
}

static void
setup_fences(void)
{
	setup();
	co__have_membarrier = false;
}

TEST(a_cancellation_without_membarrier_never_misses_a_wait)
{
	static const struct explore_model m = { .name = "cancel_fences",
		.setup = setup_fences, .thread = { waiter, canceller },
		.end = end, .enter = machine_enter, .bugs = bugs_without };

	explore(&m);
}

TEST(a_cancellation_never_misses_the_wait_of_a_thread)
{
	static const struct explore_model m = { .name = "cancel_thread",
		.setup = setup_thread, .thread = { waiter, canceller },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

TEST(a_cancellation_and_a_wake_have_one_winner)
{
	static const struct explore_model m = { .name = "cancel_wake",
		.setup = setup, .thread = { waits_twice, canceller, waker },
		.end = end_of_two, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

/* --- a task that ends ----------------------------------------------------- */

static void
setup_hide(void)
{
	setup();
	machine.task[0].home = &scope;
	scope.co__owner = &machine.task[2];
}

/* Its record is at once another task's. */
static void
ends(void)
{
	struct task *t = &machine.task[0];

	scope_hide_task(t);
	t->cancelled = 0;
	a_store_relaxed(&t->ended, 0);
	a_store_release(&t->id, 99);
}

static void
cancels_task(void)
{
	scope_cancel_task(&machine.task[0], 1);
}

static void
end_of_hide(void)
{
	explore_assert(!machine.task[0].cancelled && !machine.task[0].ended,
	    "another task is cancelled");
	explore_assert(machine.task[0].lock.word == 0, "a lock is held");
}

static const struct explore_bug bugs_of_hide[] = {
	BUG_AT("BUG_LIGHT_CANCEL", "another task", LEFT_OUT, OP_HEAVY,
	    "scope_cancel_task", NULL),
	BUG_AT("BUG_NO_LOOK", "another task", FORGED, OP_LOAD,
	    "scope_hide_task", "&t->lock.word"),
	BUG_AT("BUG_LOOK_FIRST", "another task", LATER, OP_STORE,
	    "scope_hide_task", "&t->id"),
	BUG_LAST
};

TEST(a_cancellation_never_hits_another_task)
{
	static const struct explore_model m = { .name = "cancel_hide",
		.setup = setup_hide, .thread = { ends, cancels_task },
		.end = end_of_hide, .enter = machine_enter,
		.bugs = bugs_of_hide };

	explore(&m);
}
