/* SPDX-License-Identifier: MIT */
/*
 * runtime.h - main() of weft's own benchmarks: body() runs as the first
 * coroutine of a runtime with -w workers.
 */
#ifndef BENCH_RUNTIME_H
#define BENCH_RUNTIME_H

#include "harness.h"

#include <weft.h>

static inline int
bench_run(co_fn *body)
{
	struct co_options options = { .workers = bench.workers };
	int result = co_run(&options, body, NULL);

	if (result < 0)
		fprintf(stderr, "%s: %s\n", bench.name, strerror(-result));
	return result < 0;
}

#endif
