/* SPDX-License-Identifier: MIT */
/*
 * proxy.c - a TCP forwarder, and a SOCKS5 server.
 *
 *	proxy --listen tcp::8080 --to tcp:example.org:80
 *	proxy --listen tcp:127.0.0.1:1080
 *
 * There is a coroutine for each client: proxy_socks.c asks it where to, and
 * proxy_relay.c moves the bytes.  All of them live in one scope.  On SIGTERM
 * or SIGINT the accepting ends at once, and the clients have some time to come
 * to an end by themselves; what is left then is cancelled with the scope.
 */
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "proxy.h"

/* Six for a client whose two directions have a pipe each. */
#define FDS_PER_CLIENT	6

static struct {
	const char *listen, *to;
	struct socks_options socks;
	co_time idle, drain;
	int max, workers;
	enum relay_move move;
} opt = { .listen = "tcp:127.0.0.1:1080", .socks.timeout = CO_SEC(10),
	.idle = CO_SEC(300), .drain = CO_SEC(10), .max = 1000 };

/* One permit for each client that may come yet. */
static struct co_sem room;

/*
 * The other side must not take the end of a broken connection for that of a
 * whole one: with this, closing resets it.
 */
static void
close_reset(int fd)
{
	struct linger now = { .l_onoff = 1, .l_linger = 0 };

	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
	co_close(fd);
}

/*
 * Closing with unread bytes resets the connection, and a reset may overtake
 * the answer that says why.  So the rest is read for a moment.
 */
static void
close_politely(int fd)
{
	char buf[512];

	shutdown(fd, SHUT_WR);
	co_timeout(CO_SEC(1)) {
		while (co_read(fd, buf, sizeof buf) > 0)
			;
	}
	co_close(fd);
}

static int
client(void *arg)
{
	int fd = (int)(intptr_t)arg, target = -ETIMEDOUT, code;

	if (!opt.to) {
		target = socks_open(fd, &opt.socks);
	} else {
		co_timeout(opt.socks.timeout)
			target = co_dial(opt.to);
	}
	if (target < 0) {
		close_politely(fd);
	} else {
		code = relay(fd, target, opt.idle, opt.move);
		if (code < 0) {
			close_reset(fd);
			close_reset(target);
		} else {
			co_close(fd);
			co_close(target);
		}
	}
	co_sem_post(&room);
	return 0;
}

static int
until_told(void *scope)
{
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT));
	co_cancel(scope);
	return 0;
}

/* Until the scope ends, or the listener fails.  While there is no room, those
   who come wait in the kernel's queue. */
static int
accept_clients(int listener, struct co_scope *clients)
{
	struct co_spawn_options o = { .name = "client", .scope = clients };
	int fd, code;

	while ((code = co_sem_wait(&room)) == 0) {
		fd = co_accept(listener, NULL, NULL);
		if (fd >= 0)
			code = co_spawn_with(&o, client, (void *)(intptr_t)fd);
		if (fd < 0 || code < 0)
			co_sem_post(&room);
		if (fd < 0)
			return fd;
		if (code < 0)
			co_close(fd);
	}
	return code;
}

/* Waits until all have left, as long as may be: how many have not. */
static int
drain(void)
{
	struct co_scope s;
	int gone = 0;

	co_scope(s, .timeout = opt.drain ? opt.drain : -1) {
		co_spawn(until_told, &s);	/* who tells twice is in a hurry */
		while (gone < opt.max && (co_sem_try_wait(&room) == 0 ||
		    co_sem_wait(&room) == 0))
			gone++;
		co_cancel(&s);
	}
	return opt.max - gone;
}

static int
serve(void *arg)
{
	char address[128] = "";
	struct co_scope clients, accepting;
	int listener = co_listen(opt.listen), left = 0, code = 0;

	(void)arg;
	if (listener < 0)
		return listener;
	co_address(listener, address, sizeof address);
	/* The first use catches them: who reads this line may send one. */
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT), co_otherwise);
	printf("proxy: listening on %s\n", address);
	co_scope(clients, .policy = CO_SUPERVISE) {
		co_scope(accepting) {
			code = co_spawn(until_told, &accepting);
			if (code == 0)
				code = accept_clients(listener, &clients);
			co_cancel(&accepting);
		}
		co_close(listener);
		left = drain();
		co_cancel(&clients);
	}
	printf("proxy: ended, %d cut off\n", left);
	return code == -ECANCELED ? 0 : code;
}

/* As many clients as there are descriptors for. */
static void
fit_limits(void)
{
	struct rlimit r;
	rlim_t room_for;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	setrlimit(RLIMIT_NOFILE, &r);
	getrlimit(RLIMIT_NOFILE, &r);
	room_for = r.rlim_cur / FDS_PER_CLIENT;
	if (r.rlim_cur != RLIM_INFINITY && room_for < (rlim_t)opt.max) {
		opt.max = room_for > 1 ? (int)room_for - 1 : 1;
		fprintf(stderr, "proxy: descriptors for %d clients only\n",
		    opt.max);
	}
}

static const char usage[] =
    "usage: proxy [options]                     a SOCKS5 server\n"
    "       proxy [options] --to tcp:HOST:PORT  forwards to one place\n"
    "\n"
    "  --listen ADDRESS   where clients come (tcp:127.0.0.1:1080)\n"
    "  --user NAME        asks for this user and the password in\n"
    "                     $PROXY_PASSWORD; SOCKS5 only\n"
    "  --connect SECONDS  most for the handshake, and to connect (10)\n"
    "  --idle SECONDS     ends who is silent both ways (300; 0: never)\n"
    "  --drain SECONDS    for clients to end in, after SIGTERM (10)\n"
    "  --max N            clients at a time (1000)\n"
    "  --move HOW         auto, copy or splice (auto)\n"
    "  --workers N        threads (one for each processor)\n";

static _Noreturn void
wrong(const char *option, const char *value)
{
	fprintf(stderr, "proxy: --%s does not go with '%s'\n", option, value);
	exit(2);
}

static co_time
seconds(const char *option, const char *text)
{
	char *end;
	double s = strtod(text, &end);

	if (end == text || *end || !(s >= 0 && s <= 1e9))
		wrong(option, text);
	return (co_time)(s * 1e9);
}

static int
count(const char *option, const char *text)
{
	char *end;
	long n = strtol(text, &end, 10);

	if (end == text || *end || n < 1 || n > 1000000)
		wrong(option, text);
	return (int)n;
}

static enum relay_move
how_to_move(const char *text)
{
	static const char *const names[] = { "auto", "copy", "splice" };

	for (unsigned i = 0; i < 3; i++)
		if (!strcmp(text, names[i]))
			return (enum relay_move)i;
	wrong("move", text);
}

static void
read_options(int argc, char **argv)
{
	static const struct option names[] = {
		{ "connect", required_argument, NULL, 'c' },
		{ "drain", required_argument, NULL, 'd' },
		{ "help", no_argument, NULL, 'h' },
		{ "idle", required_argument, NULL, 'i' },
		{ "listen", required_argument, NULL, 'l' },
		{ "max", required_argument, NULL, 'm' },
		{ "move", required_argument, NULL, 'v' },
		{ "to", required_argument, NULL, 't' },
		{ "user", required_argument, NULL, 'u' },
		{ "workers", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 }
	};
	int c;

	while ((c = getopt_long(argc, argv, "", names, NULL)) >= 0) {
		switch (c) {
		case 'c': opt.socks.timeout = seconds("connect", optarg); break;
		case 'd': opt.drain = seconds("drain", optarg); break;
		case 'i': opt.idle = seconds("idle", optarg); break;
		case 'l': opt.listen = optarg; break;
		case 'm': opt.max = count("max", optarg); break;
		case 'v': opt.move = how_to_move(optarg); break;
		case 't': opt.to = optarg; break;
		case 'u': opt.socks.user = optarg; break;
		case 'w': opt.workers = count("workers", optarg); break;
		case 'h': fputs(usage, stdout); exit(0);
		default: fputs(usage, stderr); exit(2);
		}
	}
	opt.socks.password = getenv("PROXY_PASSWORD");
	if (optind < argc) {
		fprintf(stderr, "proxy: what is '%s'?\n%s", argv[optind], usage);
		exit(2);
	}
	if (opt.socks.user && opt.to)
		wrong("user", "--to");
	if (opt.socks.user && !opt.socks.password) {
		fputs("proxy: --user wants $PROXY_PASSWORD\n", stderr);
		exit(2);
	}
}

int
main(int argc, char **argv)
{
	int code;

	setvbuf(stdout, NULL, _IOLBF, 0);
	read_options(argc, argv);
	fit_limits();
	room = (struct co_sem)CO_SEM_INIT(opt.max);
	code = co_run(&(struct co_options){ .workers = opt.workers }, serve,
	    NULL);
	if (code < 0)
		fprintf(stderr, "proxy: %s: %s\n", opt.listen, strerror(-code));
	return code < 0;
}
