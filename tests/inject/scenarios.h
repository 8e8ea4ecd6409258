/* SPDX-License-Identifier: MIT */
/*
 * inject/scenarios.h - short programs that use all of the library, for the
 * tests that make calls fail under them.
 *
 * Each gives 0, or the code of what failed first, and leaves nothing behind in
 * either case.  What must never happen, such as a value that was lost while
 * all calls said that they succeeded, aborts with a line on stderr.
 */
#ifndef WEFT_TESTS_INJECT_SCENARIOS_H
#define WEFT_TESTS_INJECT_SCENARIOS_H

#include <weft/co.h>

struct scenario {
	const char *name;
	co_fn *fn;		/* the main coroutine's */
	unsigned flags;		/* of co_run */
};

extern const struct scenario scenarios[];	/* the last has no name */

/* co_run of one, with so many workers. */
int scenario_run(const struct scenario *s, int workers);
const struct scenario *scenario_find(const char *name);

#endif
