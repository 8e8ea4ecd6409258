/* SPDX-License-Identifier: MIT */
/*
 * future_model.c - one sets a future, one waits for it, and a third ends that
 * wait: future.c, waiter.h.
 *
 * The reader's frame, in which its waiter lies, is written over as soon as it
 * has returned, with the address of a task that is gone.
 */
#include "future.c"

#include "machine.h"

enum { VALUE = 42 };

static struct shared {
	struct future future;
	uint32_t value;
} s;

static uint32_t got;
static int code;

static void
setup(void)
{
	machine_setup(WORKER, WORKER, WORKER);
	memset(&s, 0, sizeof s);
	s.future.cell.value = (char *)&s.value;
	s.future.cell.size = sizeof s.value;
	got = 0;
	code = 1;
	explore_share(&s, sizeof s);
	machine_forbid_gone();
}

static void
reader(void)
{
	code = co__future_get(&s.future, &got);
	machine_write_over_frames();
}

static void
setter(void)
{
	const uint32_t value = VALUE;

	explore_assert(co__future_set(&s.future, &value) == 0,
	    "it was set before");
}

static void
end(void)
{
	machine_end();
	explore_assert(code == 0 || code == -ECANCELED,
	    "a wait ends for no reason");
	explore_assert(code != 0 || got == VALUE, "the value is another one");
	explore_assert(waitq_empty(&s.future.cell.q), "somebody is queued");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_SET_EARLY", "the value is another one", EARLIER, OP_STORE,
	    "settle", "&f->state"),
	BUG_AT("BUG_NOT_SET", "", LEFT_OUT, OP_STORE, "settle", "&f->state"),
	BUG_AT("BUG_SPLIT_LOCK", "", SPLIT, OP_CHANGE, "lock_take",
	    "&l->word"),
	BUG_AT("BUG_SPLIT_CLAIM", "", SPLIT, OP_CAS, "wait_claim",
	    "&t->park"),
	BUG_AT("BUG_NO_CLAIM", "", FORGED, OP_CAS, "wait_claim", "&t->park"),
	BUG_LAST
};

TEST(who_waits_for_a_future_gets_its_value)
{
	static const struct explore_model m = { .name = "future",
		.setup = setup, .thread = { reader, setter, machine_cancel_wait },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}
