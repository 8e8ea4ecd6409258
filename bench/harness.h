/* SPDX-License-Identifier: MIT */
/*
 * harness.h - what every benchmark program shares, weft's and the peers'.
 *
 * A program does one piece of work, checks its outcome, and prints lines
 *
 *	metric <tab> value <tab> unit
 *
 * for bench/run, which starts the programs in turn and compares.  Alone, each
 * is useful too:
 *
 *	-w N	worker threads (1)
 *	-n N	how much work; each program says of what
 *	-k N	its second size, where it has one
 *
 * WEFT_BENCH_SHORT=1 makes the default -n a fiftieth: a trial, no measurement.
 * All in one header, so that C++ peers can have it and nothing is linked.
 */
#ifndef BENCH_HARNESS_H
#define BENCH_HARNESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

static struct {
	const char *name;
	int workers;
	long n;
	long k;
	bool brief;		/* a trial */
} bench = { "bench", 1, 0, 0, false };

/* For what must hold, or the figure means nothing. */
static inline void
bench_check(bool holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s: not so: %s\n", bench.name, what);
	exit(1);
}

static inline void
bench_begin(int argc, char **argv, long n, long k)
{
	const char *brief = getenv("WEFT_BENCH_SHORT");
	int c;

	bench.name = argv[0];
	bench.brief = brief && *brief && *brief != '0';
	bench.n = bench.brief && n >= 50 ? n / 50 : n;
	bench.k = k;
	while ((c = getopt(argc, argv, "w:n:k:")) != -1) {
		long value = c == '?' ? 0 : atol(optarg);

		if (value <= 0) {
			fprintf(stderr, "usage: %s [-w N] [-n N] [-k N]\n",
			    argv[0]);
			exit(2);
		}
		if (c == 'w')
			bench.workers = (int)value;
		else if (c == 'n')
			bench.n = value;
		else
			bench.k = value;
	}
}

static inline void
bench_result(const char *metric, double value, const char *unit)
{
	printf("%s\t%.6g\t%s\n", metric, value, unit);
	fflush(stdout);
}

/* Nanoseconds, of a clock that only goes forwards. */
static inline int64_t
bench_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * INT64_C(1000000000) + t.tv_nsec;
}

/* Seconds of processor time that this process has used. */
static inline double
bench_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return u.ru_utime.tv_sec + u.ru_stime.tv_sec +
	    1e-6 * (u.ru_utime.tv_usec + u.ru_stime.tv_usec);
}

/* A field of /proc/self/status, such as "VmRSS:", in bytes. */
static inline double
bench_memory(const char *field)
{
	FILE *f = fopen("/proc/self/status", "r");
	char line[256];
	double bytes = 0;

	while (f && fgets(line, sizeof line, f))
		if (strncmp(line, field, strlen(field)) == 0)
			bytes = atof(line + strlen(field)) * 1024;
	if (f)
		fclose(f);
	return bytes;
}

/* The nap that every peer's sleepers take: 1..1000 ms, the same sequence. */
static inline unsigned
bench_nap(unsigned *state)
{
	*state = *state * 1664525u + 1013904223u;
	return 1 + (*state >> 8) % 1000;
}

static inline unsigned
bench_nap_seed(long sleeper)
{
	return (unsigned)sleeper * 2654435761u + 1;
}

static inline int
bench_compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Of n > 0 values, which get sorted: the one that a share p lies below. */
static inline double
bench_percentile(double *values, long n, double p)
{
	qsort(values, (size_t)n, sizeof *values, bench_compare_doubles);
	return values[(long)(p * (double)(n - 1))];
}

#endif
