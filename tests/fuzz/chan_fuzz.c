/* SPDX-License-Identifier: MIT */
/*
 * chan_fuzz.c - any program of operations on channels, select, timeouts and
 * cancellation on one worker, against the model: chan_model.h.
 */
#include "fuzz.h"

#include "chan_model.h"

static struct bytes input;

static uint64_t
choose(struct program *p, uint64_t n)
{
	(void)p;
	return below(&input, (unsigned)n);
}

static int
program_main(void *arg)
{
	run_program(arg);
	return 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct program program;
	struct co_options one = { .workers = 1 };

	input = (struct bytes){ data, size };
	program.choose = choose;
	must(co_run(&one, program_main, &program) == 0);
	return 0;
}
