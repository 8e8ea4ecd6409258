/* SPDX-License-Identifier: MIT */
/*
 * yardstick.c - how fast this processor is just now: nanoseconds of a step that
 * wants six operations in the same cycle.
 *
 * Whoever shares the core, or the processor itself, makes it slower; how it is
 * used says quiet.py.
 */
#include <harness.h>

enum { STEPS = 1000000, LOOKS = 8 };

static uint64_t
steps(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6, i;

	for (i = 0; i < STEPS; i++) {
		a += i;
		b ^= i;
		c -= i;
		d += a;
		e ^= b;
		f += c;
		/* Neither vectors nor sums known beforehand. */
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d),
		    "+r"(e), "+r"(f));
	}
	return a + b + c + d + e + f;
}

int
main(void)
{
	static volatile uint64_t keep;
	int64_t start;
	int i;

	keep = steps();		/* the clock rate comes up */
	start = bench_now();
	for (i = 0; i < LOOKS; i++)
		keep = steps();
	printf("%.4f\n", (double)(bench_now() - start) / LOOKS / STEPS);
	return 0;
}
