/* SPDX-License-Identifier: MIT */
/*
 * load.c - the load of an echo server: -k connections, each with one message
 * of 64 bytes under way, for -n milliseconds after a fifth of that to warm up.
 *
 * load PORT PID [-k N] [-n N].  Gives requests a second, how long they took,
 * and the processor time that the server, process PID, used for each, as its
 * threads' schedstat tells it.
 */
#include <harness.h>

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { MESSAGE = 64, BUCKETS = 10000000 };

struct connection {
	int fd;
	size_t got;
	int64_t sent;		/* when */
	unsigned char number;	/* what the message is filled with */
};

static int ep;
static long requests;
static long slow[BUCKETS];	/* how many took so many microseconds */

/* Nanoseconds that the threads of pid have run. */
static double
server_time(const char *pid)
{
	char path[512];
	struct dirent *entry;
	double sum = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%s/task", pid);
	d = opendir(path);
	bench_check(d != NULL, "the server lives");
	while ((entry = readdir(d))) {
		double ns = 0;
		FILE *f;

		snprintf(path, sizeof path, "/proc/%s/task/%s/schedstat", pid,
		    entry->d_name);
		f = entry->d_name[0] == '.' ? NULL : fopen(path, "r");
		if (f && fscanf(f, "%lf", &ns) == 1)
			sum += ns;
		if (f)
			fclose(f);
	}
	closedir(d);
	return sum;
}

static void
ask(struct connection *c)
{
	char message[MESSAGE];

	memset(message, ++c->number, sizeof message);
	c->got = 0;
	c->sent = bench_now();
	bench_check(send(c->fd, message, MESSAGE, MSG_NOSIGNAL) == MESSAGE,
	    "a message is sent");
}

static void
answer(struct connection *c)
{
	char in[MESSAGE];
	ssize_t n = recv(c->fd, in, MESSAGE - c->got, 0), i;
	int64_t took;

	if (n < 0 && errno == EAGAIN)
		return;
	bench_check(n > 0, "the connection stays open");
	for (i = 0; i < n; i++)
		bench_check((unsigned char)in[i] == c->number,
		    "what comes back is what was sent");
	c->got += (size_t)n;
	if (c->got < MESSAGE)
		return;
	took = (bench_now() - c->sent) / 1000;
	slow[took < BUCKETS ? took : BUCKETS - 1]++;
	requests++;
	ask(c);
}

static void
run_for(int64_t ns)
{
	int64_t end = bench_now() + ns;
	struct epoll_event e[256];
	int i, n;

	while (bench_now() < end) {
		n = epoll_wait(ep, e, 256, 100);
		for (i = 0; i < n; i++)
			answer(e[i].data.ptr);
	}
}

static void
dial(struct connection *c, int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET };
	struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };
	int one = 1;

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	a.sin_port = htons((uint16_t)port);
	c->fd = socket(AF_INET, SOCK_STREAM, 0);
	bench_check(connect(c->fd, (struct sockaddr *)&a, sizeof a) == 0,
	    "connect");
	setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	bench_check(epoll_ctl(ep, EPOLL_CTL_ADD, c->fd, &e) == 0, "epoll_ctl");
}

static double
percentile(double p)
{
	long below = 0, us;

	for (us = 0; us < BUCKETS - 1; us++)
		if ((double)(below += slow[us]) >= p * (double)requests)
			break;
	return (double)us;
}

int
main(int argc, char **argv)
{
	struct connection *c;
	double used;
	int64_t start;
	long i;

	if (argc < 3) {
		fprintf(stderr, "usage: load PORT PID [-k N] [-n N]\n");
		return 2;
	}
	bench_begin(argc - 2, argv + 2, 1000, 100);
	bench.name = argv[0];
	c = calloc((size_t)bench.k, sizeof *c);
	ep = epoll_create1(0);
	bench_check(c && ep >= 0, "memory");
	for (i = 0; i < bench.k; i++)
		dial(&c[i], atoi(argv[1]));
	for (i = 0; i < bench.k; i++)
		ask(&c[i]);
	run_for(bench.n * INT64_C(200000));
	requests = 0;
	memset(slow, 0, sizeof slow);
	used = server_time(argv[2]);
	start = bench_now();
	run_for(bench.n * INT64_C(1000000));
	used = server_time(argv[2]) - used;
	bench_check(requests > 0, "the server answers");
	bench_result("echo_cpu", used / 1e3 / (double)requests, "us");
	bench_result("echo_rate", (double)requests /
	    ((double)(bench_now() - start) / 1e9), "1/s");
	bench_result("echo_p50", percentile(0.5), "us");
	bench_result("echo_p99", percentile(0.99), "us");
	free(c);
	return 0;
}
