/* SPDX-License-Identifier: MIT */
/*
 * flat_model.c - the end of the root scope against a spawn and an end in it:
 * FLAT in scope_child.h, scope_end.c.
 *
 * What models/scope_flat.pml says of the protocol.  The scope's owner waits in
 * co_scope_leave: then the walk over its own tree makes no barrier.
 */
#include "machine.h"

#include "scope_inside.h"

static struct co_scope *const root = &machine.rt.root;
static struct task *const child = &machine.task[2];
static int code;

static void
setup(void)
{
	struct task *owner = &machine.foreign[2].task;

	machine_setup(WORKER, WORKER, STAND_IN);
	root->co__owner = owner;
	root->co__flat = 1;
	owner->worker = &machine.worker[1];
	owner->scope = root;
	owner->park = PARK_STEP + PARK_WAITING + PARK_SHIELDED;
	child->worker = &machine.worker[0];
	child->kind = TASK_CORO;
	child->id = 3;
	code = 0;
	explore_share(root, sizeof *root);
	explore_share(child, sizeof *child);
	explore_share(&machine.worker[0].flat, sizeof machine.worker[0].flat);
}

static void
setup_child(void)
{
	setup();
	child->home = child->scope = root;
	machine.worker[0].flat = 1;
}

static void
spawns(void)
{
	code = flat_add(root, child);
}

/* Its record is at once another task's, of another scope. */
static void
child_ends(void)
{
	flat_remove(root, child);
	child->scope = NULL;
	a_store_relaxed(&child->ended, 0);
	a_store_release(&child->id, 99);
}

static void
cancels(void)
{
	co_cancel(root);
}

static void
end_of_spawn(void)
{
	explore_assert(code == -ECANCELED || child->ended == -ECANCELED,
	    "a child is not told of the end");
	explore_assert(machine.worker[0].flat == (code == 0),
	    "the children are counted wrong");
}

static void
end_of_child(void)
{
	explore_assert(child->ended == 0, "another task is cancelled");
	explore_assert(machine.worker[0].flat == 0,
	    "the children are counted wrong");
}

static const struct explore_bug bugs_of_spawn[] = {
	BUG_AT("BUG_LIGHT_END", "not told", LEFT_OUT, OP_HEAVY, "flat_end",
	    NULL, .nth = 1),
	BUG_AT("BUG_NO_LOOK", "not told", FORGED, OP_LOAD, "flat_enter",
	    "&root->co__ended"),
	BUG_AT("BUG_NO_HOME", "not told", LEFT_OUT, OP_STORE, "flat_enter",
	    "&child->home"),
	BUG_LAST
};

static const struct explore_bug bugs_of_child[] = {
	BUG_AT("BUG_LIGHT_END", "another task", LEFT_OUT, OP_HEAVY,
	    "flat_end", NULL, .nth = 1),
	BUG_AT("BUG_NO_LOOK", "another task", FORGED, OP_LOAD, "flat_remove",
	    "&root->co__ended"),
	BUG_LAST
};

TEST(the_end_of_the_root_scope_misses_no_spawn)
{
	static const struct explore_model m = { .name = "flat_spawn",
		.setup = setup, .thread = { spawns, cancels },
		.end = end_of_spawn, .enter = machine_enter,
		.bugs = bugs_of_spawn };

	explore(&m);
}

TEST(the_end_of_the_root_scope_hits_no_other_task)
{
	static const struct explore_model m = { .name = "flat_end",
		.setup = setup_child, .thread = { child_ends, cancels },
		.end = end_of_child, .enter = machine_enter,
		.bugs = bugs_of_child };

	explore(&m);
}
