/* SPDX-License-Identifier: MIT */
/*
 * cell_model.c - the count of references of a cell: cell.h.
 */
#include <stdlib.h>

static void gone(void *p);

#define free(p)	gone(p)
#include "cell.h"
#undef free

#include "machine.h"

enum { GONE = 0xee };

static struct cell cell;
static int times_gone;

static void
gone(void *p)
{
	times_gone++;
	memset(p, GONE, sizeof cell);
}

static void
setup(void)
{
	machine_setup(NEWCOMER, NEWCOMER, NEWCOMER);
	memset(&cell, 0, sizeof cell);
	cell.refs = 3;		/* each thread has one */
	times_gone = 0;
	explore_share(&cell, sizeof cell);
}

static void
gives_one_back(void)
{
	cell_unref(&cell);
}

static void
takes_one_more(void)
{
	cell_ref(&cell);
	cell_unref(&cell);
	cell_unref(&cell);
}

static void
end(void)
{
	unsigned char *p = (unsigned char *)&cell;
	size_t i;

	explore_assert(times_gone == 1, "it is not freed once");
	for (i = 0; i < sizeof cell; i++)
		explore_assert(p[i] == GONE, "it is used after its end");
}

static const struct explore_bug bugs[] = {
	BUG_AT("BUG_SPLIT_REF", "", SPLIT, OP_CHANGE, "cell_ref", "&c->refs"),
	BUG_AT("BUG_SPLIT_UNREF", "", SPLIT, OP_CHANGE, "cell_unref",
	    "&c->refs"),
	BUG_LAST
};

TEST(the_last_reference_frees)
{
	static const struct explore_model m = { .name = "cell",
		.setup = setup,
		.thread = { takes_one_more, takes_one_more, gives_one_back },
		.end = end, .enter = machine_enter, .bugs = bugs };

	explore(&m);
}
