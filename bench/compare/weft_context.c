/* SPDX-License-Identifier: MIT */
/*
 * weft_context.c - weft's switch alone, as it is inlined where tasks park; the
 * one program here that looks inside of the library (lib/context.h).
 */
#include <context.h>

#include "peer.h"

static struct context here, there;
static long total;

static void
other_side(void)
{
	context_landed();
	for (;;) {
		total++;
		context_switch(&there, &here);
	}
}

static void
switch_question(void)
{
	static _Alignas(64) char stack[64 * 1024];
	int64_t start;
	long i;

	context_adopt(&here);
	context_make(&there, stack, stack + sizeof stack, other_side);
	start = bench_now();
	for (i = 0; i < bench.n; i++)
		context_switch(&here, &there);
	peer_each("switch", start, 2.0 * bench.n);
	bench_check(total == bench.n, "all switches");
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "switch", switch_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
