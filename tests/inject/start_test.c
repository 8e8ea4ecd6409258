/* SPDX-License-Identifier: MIT */
/*
 * inject/start_test.c - what cannot be had when a runtime begins, and kernels
 * that lack what weft uses by preference.
 */
#include "harness.h"
#include "inject/fault.h"
#include "inject/scenarios.h"

/* All scenarios do well while the calls fail, each time. */
static void
do_without(const char *calls, int error, bool wanted)
{
	struct fault f = { .only = calls, .from = 1, .error = error };
	const struct scenario *s;
	uint64_t hits = 0;
	int workers, code;

	for (workers = 1; workers <= 2; workers++) {
		for (s = scenarios; s->name; s++) {
			fault_arm(&f);
			code = scenario_run(s, workers);
			hits += fault_disarm();
			ck_assert_msg(code == 0, "%s gives %d (%s)", s->name,
			    code, strerror(-code));
		}
	}
	if (wanted)
		ck_assert_uint_gt(hits, 0);
}

/* libev takes poll(2). */
TEST(a_kernel_without_epoll)
{
	if (!fault_sees_libev())
		test_skip("libev is not linked as an archive");
	do_without(" epoll_create epoll_create1 ", ENOSYS, true);
}

TEST(a_kernel_without_timer_descriptors)
{
	do_without(" timerfd_create ", ENOSYS, true);
}

TEST(a_kernel_without_process_descriptors)
{
	do_without(" pidfd_open ", ENOSYS, false);
}

TEST(a_kernel_without_barriers_for_others)
{
	do_without(" membarrier ", ENOSYS, true);
}

TEST(a_kernel_without_guards_in_page_tables)
{
	do_without(" madvise ", EINVAL, true);
}

TEST(a_kernel_that_cannot_write_without_a_signal)
{
	do_without(" pwritev2 ", EOPNOTSUPP, true);
}


/* LC-01.  As often as not: the next one does well. */
static void
refuse(const char *call, int error, uint64_t from, int workers)
{
	struct fault f = { .only = call, .from = from, .times = 1,
	    .error = error };
	const struct scenario *s = scenario_find("tcp");

	fault_arm(&f);
	test_result(scenario_run(s, workers), -error);
	ck_assert_uint_eq(fault_disarm(), 1);
	test_result(scenario_run(s, workers), 0);
}

TEST(a_start_without_descriptors_says_so_and_the_next_does_well)
{
	uint64_t n;

	for (n = 1; n <= 3; n++) {
		refuse(" eventfd ", EMFILE, n, 3);
		refuse(" eventfd ", ENFILE, n, 3);
		refuse(" eventfd ", ENOMEM, n, 3);
	}
	if (!fault_sees_libev())
		return;
	for (n = 1; n <= 6; n++) {
		refuse(" epoll_ctl ", ENOMEM, n, 3);
		refuse(" epoll_ctl ", ENOSPC, n, 3);
	}
}

TEST(a_start_without_threads_says_so_and_the_next_does_well)
{
	uint64_t n;

	for (n = 1; n <= 3; n++) {
		refuse(" pthread_create ", EAGAIN, n, 4);
		if (fault_can("sigaltstack"))
			refuse(" sigaltstack ", ENOMEM, n, 4);
	}
}
