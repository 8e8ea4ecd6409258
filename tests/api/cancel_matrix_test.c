/* SPDX-License-Identifier: MIT */
/*
 * cancel_matrix_test.c - waits for coroutines, channels and what synchronizes,
 * ended in every way at every moment.
 */
#include "cancel_waits.h"

TEST(a_wait_in_a_scope_that_has_ended_fails_even_if_it_could_complete)
{
	run_matrix(kinds, inside_kinds, BEFORE);
}

TEST(a_parked_wait_is_ended_and_has_had_no_effect)
{
	run_matrix(kinds, inside_kinds, PARKED);
}

TEST(a_wait_that_is_ended_as_it_completes_did_all_or_nothing)
{
	run_matrix(kinds, inside_kinds, RACE);
}
