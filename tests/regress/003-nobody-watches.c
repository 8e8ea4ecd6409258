/* SPDX-License-Identifier: MIT */
/*
 * 003-nobody-watches.c - one of two workers wakes after a while of idleness,
 * leaves a task on its queue, and computes.
 *
 * The other slept for half a second at a time, or for ever if it had been the
 * one that woke the first: the task waited for the end of the computation.
 */
#include "harness.h"

#include <unistd.h>

#include <weft/scope.h>

static int64_t queued, begun;	/* [atomic] */

static int
note(void *arg)
{
	(void)arg;
	__atomic_store_n(&begun, test_now(), __ATOMIC_RELEASE);
	return 0;
}

static int
compute(void *arg)
{
	int64_t until;
	struct co_scope s;

	(void)arg;
	co_scope(s) {
		test_result(co_sleep(CO_MS(60)), 0);
		begun = 0;
		queued = test_now();
		until = queued + CO_SEC(2) * test_slow();
		test_result(co_spawn(note, NULL), 0);
		while (!__atomic_load_n(&begun, __ATOMIC_ACQUIRE))
			if (test_now() > until)
				return -ETIMEDOUT;
	}
	return 0;
}

TEST(a_lone_task_behind_a_computation_is_found)
{
	int i, late = 0;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		test_skip("one processor");
	for (i = 0; i < 7; i++) {
		test_result(test_run(2, compute, NULL), 0);
		late += begun - queued > CO_MS(50) * test_slow();
	}
	ck_assert_int_le(late, 3);	/* the machine may be busy */
}
