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
setup(void)
{
	machine_setup(WORKER, WORKER, WORKER);
	memset(&s, 0, sizeof s);
	joined = 0;
	join_begin(&s.handle, &machine.task[1]);
	explore_share(&s, sizeof s);
	machine_forbid_gone();
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
	join_deliver(&s.handle, RESULT);
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
	BUG_AT("BUG_NO_BUSY", "", FORGED, OP_CHANGE, "join_deliver",
	    "&h->co__word", .value = 1),
	BUG_AT("BUG_NO_BUSY_WAIT", "", FORGED, OP_LOAD,
	    "join_done", "&h->co__word", .instead_of = 3),
	BUG_AT("BUG_SPLIT_END", "", SPLIT, OP_CHANGE, "join_deliver",
	    "&h->co__word"),
	BUG_AT("BUG_SPLIT_SWAP", "", SPLIT, OP_CAS, "word_swap",
	    "&h->co__word"),
	BUG_AT("BUG_NO_DONE", "", LEFT_OUT, OP_STORE, "join_deliver",
	    "&h->co__word"),
	BUG_AT("BUG_WAKE_FIRST", "", LATER, OP_STORE,
	    "join_deliver", "&h->co__word", .value = 9),
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
