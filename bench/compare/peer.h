/* SPDX-License-Identifier: MIT */
/*
 * peer.h - a peer's program answers all questions that it can:
 *
 *	peer QUESTION [-w N] [-n N] [-k N]
 *
 * Without a question it lists those it knows, for bench/run.  The work of each
 * is that of weft's program of the same name; so are metric names.  Where the
 * sizes decide (the memory of a stack, a guard page), the peer's own default
 * stands, unless its entry says otherwise.
 */
#ifndef BENCH_PEER_H
#define BENCH_PEER_H

#include <harness.h>

struct peer_question {
	const char *name;
	void (*run)(void);
};

static inline int
peer_main(int argc, char **argv, const struct peer_question *q)
{
	if (argc < 2) {
		for (; q->name; q++)
			puts(q->name);
		return 0;
	}
	for (; q->name; q++)
		if (strcmp(argv[1], q->name) == 0)
			break;
	if (!q->name) {
		fprintf(stderr, "%s: no question %s\n", argv[0], argv[1]);
		return 77;
	}
	bench_begin(argc - 1, argv + 1, 100000, 1);
	q->run();
	return 0;
}

/* The result of work that began at start, as nanoseconds for each of n. */
static inline void
peer_each(const char *metric, int64_t start, double n)
{
	bench_result(metric, (double)(bench_now() - start) / n, "ns");
}

#endif
