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

static struct task gone;
static int joined;

static void
setup(void)
{
	machine_setup(WORKER, WORKER, WORKER);
	memset(&s, 0, sizeof s);
	memset(&gone, 0, sizeof gone);
	gone.kind = TASK_CORO;
	joined = 0;
	join_begin(&s.handle, &machine.task[1]);
	explore_share(&s, sizeof s);
	explore_forbid(&gone, sizeof gone);
}

static noinline void
write_over_frames(void)
{
	void *volatile below[256];
	size_t i;

	for (i = 0; i < ARRAY_LEN(below); i++)
		below[i] = &gone;
}

static void
joiner(void)
{
	do {
		joined = co_join(&s.handle);
		write_over_frames();
	} while (joined == -ECANCELED);
	memset(&s.handle, GONE, sizeof s.handle);
}

static void
task(void)
{
	join_deliver(&s.handle, RESULT);
}

/* As wake_ended in scope_end.c. */
static void
canceller(void)
{
	struct task *t = &machine.task[0];
	uint64_t park = a_load_acquire(&t->park);

	if (park & PARK_WAITING && wait_claim(t, park))
		task_wake(t, -ECANCELED);
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
		.setup = setup, .thread = { joiner, task, canceller },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}
