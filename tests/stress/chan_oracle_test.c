/* SPDX-License-Identifier: MIT */
/*
 * chan_oracle_test.c - random programs on one worker, step by step against a
 * model of what channels and select must do: chan_model.h.
 *
 * SEED=n gives the same programs, but not the same choices of select; what
 * happened is printed.
 */
#include "harness.h"

#include <pthread.h>

#include "chan_model.h"

static uint64_t
choose(struct program *p, uint64_t n)
{
	return test_below(&p->seed, n);
}

static int
programs_main(void *arg)
{
	struct program *p = arg;
	uint64_t n = test_count(50000, 1000000), first = test_seed();

	p->choose = choose;
	for (p->number = 0; p->number < n; p->number++) {
		p->seed = first + p->number * UINT64_C(0x100000001b3);
		run_program(p);
	}
	test_soak("programs against the model", n);
	return 0;
}

TEST(random_programs_do_what_the_model_allows, .seconds = 120)
{
	struct program *p = calloc(1, sizeof *p);

	test_result(test_run(1, programs_main, p), 0);
	free(p);
}

/*
 * The same, while a thread of another kind waits on a channel: the worker is
 * not alone then, and takes the other path through every operation.
 */
static void *
wait_aside(void *arg)
{
	int v;

	ck_assert_int_eq(chan_recv((chan(int))arg, &v), -EPIPE);
	return NULL;
}

TEST(random_programs_beside_a_thread, .seconds = 120)
{
	struct program *p = calloc(1, sizeof *p);
	chan(int) aside = chan_new(int, 0);
	pthread_t t;

	ck_assert(!pthread_create(&t, NULL, wait_aside, (void *)aside));
	test_result(test_run(1, programs_main, p), 0);
	chan_close(aside);
	pthread_join(t, NULL);
	chan_unref(aside);
	free(p);
}
