/* SPDX-License-Identifier: MIT */
/*
 * solo_model.c - a lone worker goes without locks until somebody comes: SOLO in
 * lock.h, lock.c.
 *
 * What models/solo_lock.pml says of the protocol; and that a claim without an
 * atomic operation (ticket.h) has one winner, too.
 */
#include "machine.h"

static struct shared {
	struct lock lock;
	uint32_t count;		/* [lock] */
} s;

static int inside, won;

static void
setup_with(enum machine_kind a, enum machine_kind b)
{
	machine_setup(a, b, NEWCOMER);
	memset(&s, 0, sizeof s);
	inside = 0;
	explore_share(&s, sizeof s);
}

static void
setup(void)
{
	setup_with(WORKER, NEWCOMER);
}

static void
section(void)
{
	lock_take(&s.lock, LOCK_CHAN);
	explore_assert(++inside == 1, "two are inside");
	explore_point();
	s.count++;
	inside--;
	lock_drop(&s.lock, LOCK_CHAN);
}

static void
begins_a_solo(void)
{
	co__solo_begin(&machine.worker[0].self);
	section();
	section();
}

static void
begins_shortly(void)
{
	co__solo_begin(&machine.worker[0].self);
	section();
}

static void
end(void)
{
	explore_assert(s.count == 3, "an addition is lost");
	explore_assert(s.lock.word == 0, "a lock is held for ever");
	explore_assert(co__foreign == 0, "a thread is still counted");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_LIGHT_END", "", LEFT_OUT, OP_HEAVY,
	    "co__solo_end", NULL),
	BUG_AT("BUG_NO_WAIT", "", FORGED, OP_LOAD,
	    "co__solo_end", "&s->crit"),
	BUG_AT("BUG_NO_COUNT", "", FORGED, OP_LOAD,
	    "co__solo_begin", "&co__foreign"),
	BUG_AT("BUG_NO_FENCE", "", LEFT_OUT, OP_FENCE,
	    "co__solo_begin", NULL),
	BUG_AT("BUG_NO_END", "", FORGED, OP_LOAD,
	    "count_in", "&co__shared", .value = 1),
	BUG_AT("BUG_LOOK_ONCE", "", AS_BEFORE, OP_LOAD,
	    "solo_enter", "&co__solo", .nth = 2),
	BUG_AT("BUG_LOOK_FIRST", "", LATER, OP_STORE,
	    "solo_enter", "&s->crit"),
	BUG_AT("BUG_LEAVE_EARLY", "", EARLIER, OP_STORE, "solo_leave",
	    "&s->crit"),
	BUG_LAST
};

static const struct explore_bug bugs_of_locks[] = {
	BUG_AT("BUG_SPLIT_TAKE", "", SPLIT, OP_CHANGE,
	    "lock_take", "&l->word"),
	BUG_AT("BUG_SPLIT_WAIT", "", SPLIT, OP_CHANGE,
	    "co__lock_slow", "&l->word"),
	BUG_AT("BUG_DROP_EARLY", "", EARLIER, OP_STORE, "lock_drop",
	    "&l->word"),
	BUG_AT("BUG_NO_DROP", "", LEFT_OUT, OP_STORE, "lock_drop",
	    "&l->word"),
	BUG_LAST
};

TEST(a_newcomer_ends_a_solo)
{
	static const struct explore_model m = { .name = "solo",
		.setup = setup, .thread = { begins_a_solo, section },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

TEST(two_newcomers_end_a_solo)
{
	static const struct explore_model m = { .name = "solo_two",
		.setup = setup, .thread = { begins_shortly, section, section },
		.end = end, .enter = machine_enter };

	explore(&m);
}

TEST(a_lock_is_held_by_one)
{
	static const struct explore_model m = { .name = "lock",
		.setup = setup, .thread = { section, section, section },
		.end = end, .enter = machine_enter,
		.bugs = bugs_of_locks };

	explore(&m);
}

/* --- a worker that sleeps ------------------------------------------------- */

static void
setup_sleeper(void)
{
	setup_with(WORKER, WORKER);
	co__awake = 1;
}

static void
solo_when_alone(void)
{
	co__solo_try(&machine.worker[explore_self()].self, INT64_MAX);
	section();
}

static void
sleeps_between(void)
{
	solo_when_alone();
	co__awake_leave(1);
	co__awake_enter(1);
	section();
}

static void
wakes(void)
{
	co__awake_enter(1);
	section();
	co__awake_leave(1);
}

static const struct explore_bug bugs_of_sleepers[] = {
	BUG_AT("BUG_NO_AWAKE", "", FORGED, OP_LOAD, "co__solo_begin",
	    "&co__awake", .value = 1),
	BUG_AT("BUG_WAKES_QUIETLY", "", FORGED, OP_LOAD, "count_in",
	    "&co__shared", .value = 1),
	BUG_AT("BUG_NO_FENCE", "", LEFT_OUT, OP_FENCE, "co__solo_begin",
	    NULL),
	BUG_AT("BUG_LIGHT_END", "", LEFT_OUT, OP_HEAVY, "co__solo_end", NULL),
	BUG_LAST
};

TEST(who_wakes_ends_a_solo)
{
	static const struct explore_model m = { .name = "solo_wakes",
		.setup = setup_sleeper, .thread = { sleeps_between, wakes },
		.end = end, .enter = machine_enter,
		.bugs = bugs_of_sleepers };

	explore(&m);
}

TEST(who_wakes_and_a_newcomer_end_a_solo)
{
	static const struct explore_model m = { .name = "solo_three",
		.setup = setup_sleeper,
		.thread = { solo_when_alone, wakes, section },
		.end = end, .enter = machine_enter };

	explore(&m);
}

/* --- a claim without an atomic operation ---------------------------------- */

enum { TICKET = PARK_STEP + PARK_WAITING };

static void
setup_claim(void)
{
	machine_setup(WORKER, STAND_IN, WORKER);
	machine.task[2].park = TICKET;
	co__awake = 1;
	won = 0;
}

static void
claims_alone(void)
{
	co__solo_begin(&machine.worker[0].self);
	won += wait_claim(&machine.task[2], TICKET);
}

static void
claims_from_outside(void)
{
	co__foreign_enter();
	won += wait_claim(&machine.task[2], TICKET);
	co__foreign_leave();
}

static void
end_of_claim(void)
{
	explore_assert(won == 1, "not one has won");
	explore_assert(machine.task[2].park == PARK_STEP, "it waits for ever");
}

static const struct explore_bug bugs_of_claim[] = {
	BUG_AT("BUG_LIGHT_END", "not one has won", LEFT_OUT, OP_HEAVY,
	    "co__solo_end", NULL),
	BUG_AT("BUG_NO_WAIT", "not one has won", FORGED, OP_LOAD,
	    "co__solo_end", "&s->crit"),
	BUG_AT("BUG_LOOK_ONCE", "not one has won", AS_BEFORE, OP_LOAD,
	    "solo_enter", "&co__solo", .nth = 2),
	BUG_AT("BUG_LEAVE_EARLY", "not one has won", EARLIER, OP_STORE,
	    "solo_leave", "&s->crit"),
	BUG_LAST
};

TEST(a_lone_worker_and_a_thread_claim)
{
	static const struct explore_model m = { .name = "solo_claim",
		.setup = setup_claim,
		.thread = { claims_alone, claims_from_outside },
		.end = end_of_claim, .enter = machine_enter,
		.bugs = bugs_of_claim };

	explore(&m);
}
