/* SPDX-License-Identifier: MIT */
/*
 * sieve.c - the first -n primes through a chain of filters: how long?
 *
 * A coroutine and a rendezvous channel for each prime; 5000 of them pass about
 * 28 million messages.
 */
#include "runtime.h"

struct filter {
	chan(int) in, out;
	int prime;
};

static int
count(void *arg)
{
	chan(int) out = arg;
	int i;

	for (i = 2; chan_send(out, i) == 0; i++)
		;
	return 0;
}

static int
sift(struct filter *f)
{
	int prime = f->prime, v;
	chan(int) out = f->out;
	chan(int) in = f->in;

	while (chan_recv(in, &v) == 0)
		if (v % prime != 0 && chan_send(out, v) < 0)
			break;
	return 0;
}

/* The last prime.  Every channel lives until all who use it have ended. */
static int
sieve(void **channels)
{
	struct co_scope s;
	int prime = 0;
	long i;

	co_scope(s) {
		chan(int) in = chan_new(int, 0);

		channels[0] = in;
		bench_check(in && co_spawn(count, in) == 0, "co_spawn");
		for (i = 1; i <= bench.n; i++) {
			chan(int) out = chan_new(int, 0);

			channels[i] = out;
			bench_check(chan_recv(in, &prime) == 0, "chan_recv");
			bench_check(out && co_go(sift, (struct filter){ in,
			    out, prime }) == 0, "co_go");
			in = out;
		}
		co_cancel(&s);
	}
	return prime;
}

static int
body(void *arg)
{
	void **channels = calloc((size_t)bench.n + 1, sizeof *channels);
	int64_t start = bench_now();
	int prime;
	long i;

	(void)arg;
	bench_check(channels != NULL, "memory");
	prime = sieve(channels);
	bench_result("sieve", (double)(bench_now() - start) / 1e9, "s");
	bench_check(bench.n != 5000 || prime == 48611, "the 5000th is 48611");
	bench_check(bench.n != 1000 || prime == 7919, "the 1000th is 7919");
	bench_check(bench.n != 100 || prime == 541, "the 100th is 541");
	for (i = 0; i <= bench.n; i++) {
		chan(int) c = channels[i];

		chan_unref(c);
	}
	free(channels);
	return 0;
}

int
main(int argc, char **argv)
{
	bench_begin(argc, argv, 5000, 0);
	return bench_run(body);
}
