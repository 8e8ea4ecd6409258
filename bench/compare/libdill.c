/* SPDX-License-Identifier: MIT */
/*
 * libdill.c - libdill 2.x: one thread, unbuffered channels only.
 *
 * As it is built by default each stack has a guard page, and there is an end at
 * some 32,750 coroutines: parked, sleepers and skynet say so.
 */
#define DILL_DISABLE_RAW_NAMES
#include <libdill.h>

#include "listen.h"

static long ran;

static dill_coroutine void
yielder(void)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		dill_yield();
		ran++;
	}
}

static void
yield_question(void)
{
	int b = dill_bundle();
	int64_t start = bench_now();

	bench_check(dill_bundle_go(b, yielder()) == 0, "go");
	bench_check(dill_bundle_go(b, yielder()) == 0, "go");
	dill_bundle_wait(b, -1);
	peer_each("yield", start, 2.0 * bench.n);
	bench_check(ran == 2 * bench.n, "all yields");
	dill_hclose(b);
}

static dill_coroutine void
one(void)
{
	ran++;
}

static void
spawn_question(void)
{
	long i, k, rounds = bench.n / 1000;
	int64_t start = bench_now();

	for (i = 0; i < bench.n; i++) {
		int h = dill_go(one());

		bench_check(h >= 0, "go");
		dill_hclose(h);
	}
	peer_each("spawn_join", start, bench.n);
	bench_check(ran == bench.n, "each ran once");
	ran = 0;
	start = bench_now();
	for (i = 0; i < rounds; i++) {
		int b = dill_bundle();

		for (k = 0; k < 1000; k++)
			bench_check(dill_bundle_go(b, one()) == 0, "go");
		dill_bundle_wait(b, -1);
		dill_hclose(b);
	}
	peer_each("spawn_1000", start, rounds * 1000.0);
	bench_check(ran == rounds * 1000, "each ran once");
}

static dill_coroutine void
pong(int c)
{
	long v;

	while (dill_chrecv(c, &v, sizeof v, -1) == 0) {
		v++;
		if (dill_chsend(c, &v, sizeof v, -1) < 0)
			return;
	}
}

static void
pingpong_question(void)
{
	int c[2], h;
	long i, v = 0;
	int64_t start;

	bench_check(dill_chmake(c) == 0, "chmake");
	h = dill_go(pong(c[1]));
	start = bench_now();
	for (i = 0; i < bench.n; i++) {
		dill_chsend(c[0], &v, sizeof v, -1);
		dill_chrecv(c[0], &v, sizeof v, -1);
	}
	peer_each("pingpong", start, 2.0 * bench.n);
	bench_check(v == bench.n, "every ball came back");
	dill_hclose(h);
}

static dill_coroutine void
sender(int c)
{
	long i;
	int v;

	for (i = 0; i < bench.n / 4; i++) {
		v = (int)(i & 0xff);
		if (dill_chsend(c, &v, sizeof v, -1) < 0)
			return;
	}
}

static void
select_question(void)
{
	long i, n = bench.n / 4, sum = 0, wanted = 0;
	struct dill_chclause clause[4];
	int64_t start;
	int c[4][2], k, v;

	for (k = 0; k < 4; k++) {
		bench_check(dill_chmake(c[k]) == 0, "chmake");
		bench_check(dill_go(sender(c[k][1])) >= 0, "go");
		clause[k] = (struct dill_chclause){ DILL_CHRECV, c[k][0], &v,
		    sizeof v };
	}
	start = bench_now();
	for (i = 0; i < n * 4; i++) {
		bench_check(dill_choose(clause, 4, -1) >= 0, "choose");
		sum += v;
	}
	peer_each("select_4", start, n * 4.0);
	for (i = 0; i < n; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * 4, "the sum of the messages");
}

static dill_coroutine void
count(int out)
{
	int i;

	for (i = 2; dill_chsend(out, &i, sizeof i, -1) == 0; i++)
		;
}

static dill_coroutine void
sift(int in, int out, int prime)
{
	int v;

	while (dill_chrecv(in, &v, sizeof v, -1) == 0)
		if (v % prime != 0 &&
		    dill_chsend(out, &v, sizeof v, -1) < 0)
			return;
}

static void
sieve_question(void)
{
	int64_t start = bench_now();
	int c[2], d[2], prime = 0;
	long i;

	bench_check(dill_chmake(c) == 0, "chmake");
	bench_check(dill_go(count(c[1])) >= 0, "go");
	for (i = 0; i < bench.n; i++) {
		bench_check(dill_chrecv(c[0], &prime, sizeof prime, -1) == 0,
		    "chrecv");
		bench_check(dill_chmake(d) == 0, "chmake");
		bench_check(dill_go(sift(c[0], d[1], prime)) >= 0, "go");
		c[0] = d[0];
	}
	bench_result("sieve", (double)(bench_now() - start) / 1e9, "s");
	bench_check(bench.n != 5000 || prime == 48611, "the 5000th is 48611");
}

static dill_coroutine void
skynet(int out, long number, long size)
{
	long i, v, sum = 0;
	int c[2], b;

	if (size == 1) {
		dill_chsend(out, &number, sizeof number, -1);
		return;
	}
	bench_check(dill_chmake(c) == 0, "chmake");
	b = dill_bundle();
	for (i = 0; i < 10; i++)
		bench_check(dill_bundle_go(b, skynet(c[1], number +
		    i * (size / 10), size / 10)) == 0, "no more coroutines");
	for (i = 0; i < 10; i++) {
		bench_check(dill_chrecv(c[0], &v, sizeof v, -1) == 0,
		    "chrecv");
		sum += v;
	}
	dill_bundle_wait(b, -1);
	dill_hclose(b);
	dill_hclose(c[0]);
	dill_hclose(c[1]);
	dill_chsend(out, &sum, sizeof sum, -1);
}

static void
skynet_question(void)
{
	int64_t start = bench_now();
	int c[2], b = dill_bundle();
	long sum = 0;

	bench_check(dill_chmake(c) == 0, "chmake");
	bench_check(dill_bundle_go(b, skynet(c[1], 0, bench.n)) == 0, "go");
	bench_check(dill_chrecv(c[0], &sum, sizeof sum, -1) == 0, "chrecv");
	dill_bundle_wait(b, -1);
	bench_result("skynet", (double)(bench_now() - start) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
}

static dill_coroutine void
waiter(int c)
{
	int v;

	ran++;
	dill_chrecv(c, &v, sizeof v, -1);
}

static void
parked_question(void)
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int c[2], b = dill_bundle();
	int64_t start = bench_now();
	long i;

	bench_check(dill_chmake(c) == 0, "chmake");
	for (i = 0; i < bench.n; i++) {
		int code = dill_bundle_go(b, waiter(c[0]));

		bench_check(code == 0, strerror(errno));
	}
	bench_check(ran == bench.n, "all started");
	peer_each("parked_create", start, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
	_exit(0);
}

static dill_coroutine void
sleeper(long i)
{
	unsigned state = bench_nap_seed(i);
	long k;

	for (k = 0; k < bench.k; k++)
		dill_msleep(dill_now() + bench_nap(&state));
}

static void
sleepers_question(void)
{
	int64_t start = bench_now();
	double cpu = bench_cpu();
	int b = dill_bundle();
	long i;

	for (i = 0; i < bench.n; i++) {
		int code = dill_bundle_go(b, sleeper(i));

		bench_check(code == 0, strerror(errno));
	}
	dill_bundle_wait(b, -1);
	bench_result("sleepers", bench_cpu() - cpu, "s");
	bench_result("sleepers_wall", (double)(bench_now() - start) / 1e9,
	    "s");
	_exit(0);
}

/* On plain descriptors, its fastest way: fdin, recv, send. */
static dill_coroutine void
echo(int fd)
{
	char buffer[4096];

	for (;;) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);

		if (n < 0 && errno == EAGAIN) {
			if (dill_fdin(fd, -1) < 0)
				break;
			continue;
		}
		if (n <= 0)
			break;
		if (send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
			break;
		/* a short read: there is nothing more, so ask first */
		if (dill_fdin(fd, -1) < 0)
			break;
	}
	dill_fdclean(fd);
	close(fd);
}

static void
echo_question(void)
{
	int fd = listen_and_tell(), c;

	for (;;) {
		c = accept_next(fd);
		if (c < 0)
			dill_fdin(fd, -1);
		else
			bench_check(dill_go(echo(c)) >= 0, "go");
	}
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "pingpong", pingpong_question },
		{ "select", select_question },
		{ "sieve", sieve_question },
		{ "skynet", skynet_question },
		{ "parked", parked_question },
		{ "sleepers", sleepers_question },
		{ "echo", echo_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
