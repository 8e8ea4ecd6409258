/* SPDX-License-Identifier: MIT */
/*
 * claim_model.c - who wakes a task: ticket.h, park_inline.h, park.c.
 *
 * Thread 0 waits twice.  The others both try to end its first wait; then one
 * of them ends the second.  So the other one may come late, with an old ticket.
 */
#include "machine.h"

enum { FIRST = PARK_STEP + PARK_WAITING, SECOND = FIRST + PARK_STEP };
enum { BY_1 = 1, BY_2, BY_2_AGAIN };

static int won[2];		/* claims of either ticket */
static int codes[2];
static bool gave_up;

static void
setup_with(enum machine_kind waiter)
{
	machine_setup(waiter, WORKER, WORKER);
	memset(won, 0, sizeof won);
	memset(codes, 0, sizeof codes);
	gave_up = false;
}

static void
setup(void)
{
	setup_with(WORKER);
}

static void
setup_stand_in(void)
{
	setup_with(STAND_IN);
}

static void
wait_for(int n)
{
	struct task *t = machine_task(0);

	wait_begin(t, WAIT_EVENT, NULL);
	codes[n] = wait_park(t, CO_FOREVER);
}

static void
waits_twice(void)
{
	wait_for(0);
	wait_for(1);
}

static void
waits_once(void)
{
	wait_for(0);
	won[1] = 1;
	codes[1] = BY_2_AGAIN;
}

static void
gives_up_and_waits(void)
{
	struct task *t = machine_task(0);
	uint64_t ticket = wait_begin(t, WAIT_EVENT, NULL);

	gave_up = wait_cancel(t, ticket);
	if (!gave_up)
		codes[0] = wait_park(t, CO_FOREVER);
	wait_for(1);
}

static void
end_wait(uint64_t ticket, int code)
{
	struct task *t = machine_task(0);
	uint64_t park;

	/* Once it is claimed its number is one less. */
	while ((park = a_load_acquire(&t->park)) < ticket - PARK_WAITING)
		os_give_way();
	if (explore_bug("BUG_NO_TICKET") && park & PARK_WAITING)
		ticket = park;
	if (wait_claim(t, ticket)) {
		won[ticket == SECOND]++;
		task_wake(t, code);
	}
}

static void
claims(void)
{
	end_wait(FIRST, BY_1);
}

static void
claims_first(void)
{
	end_wait(FIRST, BY_2);
}

static void
claims_both(void)
{
	end_wait(FIRST, BY_2);
	end_wait(SECOND, BY_2_AGAIN);
}

static void
end(void)
{
	machine_end();
	explore_assert(won[0] == !gave_up, "one wait is ended by two");
	explore_assert(won[1] == 1, "the second wait is not ended once");
	explore_assert(gave_up || codes[0] == BY_1 || codes[0] == BY_2,
	    "a wait is ended by who did not claim it");
	explore_assert(codes[1] == BY_2_AGAIN,
	    "the second wait is ended by an old ticket");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_NO_CLAIM", "", FORGED, OP_CAS, "wait_claim", "&t->park"),
	BUG_AT("BUG_SPLIT_CLAIM", "", SPLIT, OP_CAS, "wait_claim",
	    "&t->park"),
	BUG_ITSELF("BUG_NO_TICKET", ""),
	BUG_AT("BUG_NOT_OPEN", "nobody can go on", LEFT_OUT, OP_STORE,
	    "co__wait_open_as", "&t->park"),
	BUG_LAST
};

TEST(two_claim_one_wait)
{
	static const struct explore_model m = { .name = "claim",
		.setup = setup, .thread = { waits_twice, claims, claims_both },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

TEST(two_claim_what_the_waiter_gives_up)
{
	static const struct explore_model m = { .name = "claim_give_up",
		.setup = setup,
		.thread = { gives_up_and_waits, claims, claims_both },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}

static const struct explore_bug bugs_of_one[] = {
	BUG_AT("BUG_NO_CLAIM", "", FORGED, OP_CAS, "wait_claim", "&t->park"),
	BUG_AT("BUG_SPLIT_CLAIM", "", SPLIT, OP_CAS, "wait_claim",
	    "&t->park"),
	BUG_LAST
};

TEST(two_claim_the_wait_of_a_thread)
{
	static const struct explore_model m = { .name = "claim_thread",
		.setup = setup_stand_in,
		.thread = { waits_once, claims, claims_first },
		.end = end, .enter = machine_enter, .bugs = bugs_of_one };

	explore(&m);
}
