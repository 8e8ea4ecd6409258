/* SPDX-License-Identifier: MIT */
/*
 * libev.c - callbacks on a plain libev loop: the echo and the sleepers, for
 * what weft's own coroutines cost on top of the library they wait in.
 */
#include "listen.h"

#include <ev.h>

struct connection {
	ev_io watcher;
};

static void
on_readable(EV_P_ ev_io *w, int events)
{
	char buffer[4096];
	ssize_t n = recv(w->fd, buffer, sizeof buffer, 0);

	(void)events;
	if (n < 0 && errno == EAGAIN)
		return;
	if (n > 0 && send(w->fd, buffer, (size_t)n, MSG_NOSIGNAL) == n)
		return;
	ev_io_stop(EV_A_ w);
	close(w->fd);
	free(w);
}

static void
on_connection(EV_P_ ev_io *w, int events)
{
	int fd;

	(void)events;
	while ((fd = accept_next(w->fd)) >= 0) {
		struct connection *c = malloc(sizeof *c);

		bench_check(c != NULL, "memory");
		ev_io_init(&c->watcher, on_readable, fd, EV_READ);
		ev_io_start(EV_A_ &c->watcher);
	}
}

static void
echo_question(void)
{
	struct ev_loop *loop = ev_default_loop(0);
	ev_io listener;

	ev_io_init(&listener, on_connection, listen_and_tell(), EV_READ);
	ev_io_start(loop, &listener);
	ev_run(loop, 0);
}

struct sleeper {
	ev_timer timer;
	unsigned state;
	long left;
};

static void
nap(EV_P_ ev_timer *w, int events)
{
	struct sleeper *s = (struct sleeper *)w;

	(void)events;
	if (s->left-- == 0)
		return;
	ev_timer_set(w, bench_nap(&s->state) * 1e-3, 0);
	ev_timer_start(EV_A_ w);
}

static void
sleepers_question(void)
{
	struct sleeper *s = calloc((size_t)bench.n, sizeof *s);
	struct ev_loop *loop = ev_default_loop(0);
	int64_t start = bench_now();
	double cpu = bench_cpu();
	long i;

	bench_check(s != NULL, "memory");
	for (i = 0; i < bench.n; i++) {
		s[i].state = bench_nap_seed(i);
		s[i].left = bench.k;
		ev_timer_init(&s[i].timer, nap, 0, 0);
		nap(loop, &s[i].timer, 0);
	}
	ev_run(loop, 0);
	bench_result("sleepers", bench_cpu() - cpu, "s");
	bench_result("sleepers_wall", (double)(bench_now() - start) / 1e9,
	    "s");
	free(s);
}

int
main(int argc, char **argv)
{
	static const struct peer_question questions[] = {
		{ "echo", echo_question },
		{ "sleepers", sleepers_question },
		{ NULL, NULL }
	};

	return peer_main(argc, argv, questions);
}
