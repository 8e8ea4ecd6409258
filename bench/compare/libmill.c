/* SPDX-License-Identifier: MIT */
/*
 * libmill.c - libmill 1.x: one thread, no join.  Where weft joins, the child
 * counts itself and the parent yields until all have.
 */
#include <libmill.h>

#include "listen.h"

static long ran;
static long ended;

static coroutine void
yielder(void)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		yield();
		ran++;
	}
	ended++;
}

static void
yield_question(void)
{
	int64_t start = bench_now();

	go(yielder());
	yielder();
	while (ended < 2)
		yield();
	peer_each("yield", start, 2.0 * bench.n);
	bench_check(ran == 2 * bench.n, "all yields");
}

static coroutine void
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
		go(one());
		yield();
	}
	peer_each("spawn_join", start, bench.n);
	bench_check(ran == bench.n, "each ran once");
	ran = 0;
	start = bench_now();
	for (i = 0; i < rounds; i++) {
		for (k = 0; k < 1000; k++)
			go(one());
		while (ran < (i + 1) * 1000)
			yield();
	}
	peer_each("spawn_1000", start, rounds * 1000.0);
}

static coroutine void
pong(chan in, chan out)
{
	long i;

	for (i = 0; i < bench.n; i++) {
		long v = chr(in, long);

		chs(out, long, v + 1);
	}
}

static void
pingpong_question(void)
{
	chan there = chmake(long, 0), back = chmake(long, 0);
	int64_t start;
	long i, v = 0;

	go(pong(there, back));
	start = bench_now();
	for (i = 0; i < bench.n; i++) {
		chs(there, long, v);
		v = chr(back, long);
	}
	peer_each("pingpong", start, 2.0 * bench.n);
	bench_check(v == bench.n, "every ball came back");
}

static coroutine void
sender(chan c, long n)
{
	long i;

	for (i = 0; i < n; i++)
		chs(c, int, (int)(i & 0xff));
}

static coroutine void
receiver(chan c, long n)
{
	long i;

	for (i = 0; i < n; i++)
		ran += chr(c, int);
	ended++;
}

static void
buffered_question(void)
{
	long i, k, n = bench.n / bench.k, wanted = 0;
	chan c = chmake(int, 128);
	int64_t start = bench_now();
	char metric[32];

	for (k = 0; k < bench.k; k++) {
		go(sender(c, n));
		go(receiver(c, n));
	}
	while (ended < bench.k)
		yield();
	snprintf(metric, sizeof metric, "buffered_%ld", bench.k);
	peer_each(metric, start, (double)n * bench.k);
	for (i = 0; i < n; i++)
		wanted += i & 0xff;
	bench_check(ran == wanted * bench.k, "the sum of the messages");
}

static void
select_question(void)
{
	long i, n = bench.n / 4, sum = 0, wanted = 0;
	int64_t start;
	chan c[4];
	int k;

	for (k = 0; k < 4; k++) {
		c[k] = chmake(int, 0);
		go(sender(c[k], n));
	}
	start = bench_now();
	for (i = 0; i < n * 4; i++) {
		choose {
		in(c[0], int, v):
			sum += v;
		in(c[1], int, v):
			sum += v;
		in(c[2], int, v):
			sum += v;
		in(c[3], int, v):
			sum += v;
		end
		}
	}
	peer_each("select_4", start, n * 4.0);
	for (i = 0; i < n; i++)
		wanted += i & 0xff;
	bench_check(sum == wanted * 4, "the sum of the messages");
}

static coroutine void
count(chan out)
{
	int i;

	for (i = 2;; i++)
		chs(out, int, i);
}

static coroutine void
sift(chan in, chan out, int prime)
{
	for (;;) {
		int v = chr(in, int);

		if (v % prime != 0)
			chs(out, int, v);
	}
}

static void
sieve_question(void)
{
	int64_t start = bench_now();
	chan c = chmake(int, 0);
	int prime = 0;
	long i;

	go(count(c));
	for (i = 0; i < bench.n; i++) {
		chan d = chmake(int, 0);

		prime = chr(c, int);
		go(sift(c, d, prime));
		c = d;
	}
	bench_result("sieve", (double)(bench_now() - start) / 1e9, "s");
	bench_check(bench.n != 5000 || prime == 48611, "the 5000th is 48611");
}

static coroutine void
skynet(chan out, long number, long size)
{
	long i, sum = 0;
	chan c;

	if (size == 1) {
		chs(out, long, number);
		chclose(out);
		return;
	}
	c = chmake(long, 0);
	for (i = 0; i < 10; i++)
		go(skynet(chdup(c), number + i * (size / 10), size / 10));
	for (i = 0; i < 10; i++)
		sum += chr(c, long);
	chclose(c);
	chs(out, long, sum);
	chclose(out);
}

static void
skynet_question(void)
{
	int64_t start = bench_now();
	chan c = chmake(long, 0);
	long sum;

	go(skynet(chdup(c), 0, bench.n));
	sum = chr(c, long);
	bench_result("skynet", (double)(bench_now() - start) / 1e9, "s");
	bench_result("skynet_peak", bench_memory("VmHWM:") / 1e6, "MB");
	bench_check(sum == bench.n * (bench.n - 1) / 2,
	    "the sum of the leaves");
}

static coroutine void
waiter(chan c)
{
	ran++;
	(void)chr(c, int);
}

static void
parked_question(void)
{
	double rss = bench_memory("VmRSS:"), tables = bench_memory("VmPTE:");
	int64_t start = bench_now();
	chan c = chmake(int, 0);
	long i;

	for (i = 0; i < bench.n; i++)
		go(waiter(chdup(c)));
	bench_check(ran == bench.n, "all started");
	peer_each("parked_create", start, bench.n);
	bench_result("parked_rss", (bench_memory("VmRSS:") - rss) / bench.n,
	    "B");
	bench_result("parked_tables", (bench_memory("VmPTE:") - tables) /
	    bench.n, "B");
}

static coroutine void
echo(int fd)
{
	char buffer[4096];

	while (fdwait(fd, FDW_IN, -1) & FDW_IN) {
		ssize_t n = recv(fd, buffer, sizeof buffer, 0);

		if (n < 0 && errno == EAGAIN)
			continue;
		if (n <= 0 || send(fd, buffer, (size_t)n, MSG_NOSIGNAL) != n)
			break;
	}
	fdclean(fd);
	close(fd);
}

static void
echo_question(void)
{
	int fd = listen_and_tell(), c;

	for (;;) {
		c = accept_next(fd);
		if (c < 0)
			fdwait(fd, FDW_IN, -1);
		else
			go(echo(c));
	}
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "yield", yield_question },
		{ "spawn", spawn_question },
		{ "pingpong", pingpong_question },
		{ "buffered", buffered_question },
		{ "select", select_question },
		{ "sieve", sieve_question },
		{ "skynet", skynet_question },
		{ "parked", parked_question },
		{ "echo", echo_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
