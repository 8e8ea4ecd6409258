/* SPDX-License-Identifier: MIT */
/*
 * httpd.c - a server of files and functions over HTTP/1.1: options, accepting,
 * and the end.  The other parts are listed in httpd.h.
 *
 *	scope		what is in it			ends
 *	background	all that follows, the log	when the server has
 *	conns		a coroutine per connection	when all have ended, or
 *							the drain time is over
 *	accepting	the listener			SIGTERM, SIGINT
 *
 * A place is taken before a connection is accepted and given back at its end:
 * when none is free, the next ones wait in the kernel.  When all are back at
 * the end, nobody is left.
 */
#include "httpd.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

struct options {
	struct server server;
	struct co_options co;
	const char *root, *listen, *log;
	bool quiet;
};

/* Every failure is said where it happens, and only there. */
static int
fail(const char *what, int code)
{
	fprintf(stderr, "httpd: %s: %s\n", what, strerror(-code));
	return code;
}

/* --- serving -------------------------------------------------------------- */

static int
until_told(void *accepting)
{
	if (co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT)) >= 0)
		co_cancel(accepting);
	return 0;
}

/* One connection; a place has been taken for it. */
static int
accept_one(struct server *s, int listener, struct co_scope *conns)
{
	struct sockaddr_storage peer;
	socklen_t n = sizeof peer;
	int fd = co_accept(listener, (struct sockaddr *)&peer, &n), code;

	if (fd < 0) {
		co_sem_post(&s->places);
		return fd;
	}
	code = conn_start(s, fd, (struct sockaddr *)&peer, n, conns);
	if (code < 0 && !co_cancelled())
		fail("a connection was refused", code);
	return 0;
}

static int
accept_all(struct server *s, int listener, struct co_scope *conns)
{
	struct co_scope accepting;
	int code = 0;

	co_scope(accepting) {
		code = co_spawn(until_told, &accepting);
		while (code == 0 && (code = co_sem_wait(&s->places)) == 0)
			code = accept_one(s, listener, conns);
		co_cancel(&accepting);
	}
	/* Whoever has been let in by the kernel was let in by us, if there is
	   a descriptor for him. */
	co_timeout(CO_SEC(1)) {
		while (code == -ECANCELED && co_sem_try_wait(&s->places) == 0) {
			if (co_select(co_on_readable(listener),
			    co_otherwise) != 0) {
				co_sem_post(&s->places);
				break;
			}
			if (accept_one(s, listener, conns) != 0)
				break;
		}
	}
	return code == -ECANCELED ? 0 : code;
}

/* Lets the connections finish what they have begun. */
static void
drain(struct server *s, struct co_scope *conns)
{
	int i, code = 0;

	conn_stop_all(s);
	co_timeout(s->limits.drain_time)
		for (i = 0; i < s->limits.connections && code == 0; i++)
			code = co_sem_wait(&s->places);
	co_cancel(conns);
}

static int
serve(struct server *s, int listener)
{
	struct co_scope conns;
	int code = 0;

	co_scope(conns, .policy = CO_SUPERVISE) {
		code = accept_all(s, listener, &conns);
		if (code < 0)
			fail("accepting", code);
		co_close(listener);
		drain(s, &conns);
	}
	return code;
}

static int
flush_log(void *log)
{
	while (co_sleep(CO_SEC(1)) == 0)
		log_flush(log);
	return 0;
}

static int
serve_with_log(struct server *s, int listener)
{
	struct co_scope background;
	int code = 0;

	co_scope(background) {
		if (s->log.stream)
			code = co_spawn(flush_log, &s->log);
		if (code == 0) {
			code = serve(s, listener);
		} else {
			fail("access log", code);
			co_close(listener);
		}
		co_cancel(&background);
	}
	if (s->log.stream)
		log_flush(&s->log);
	return code;
}

static int
listen_at(const char *address)
{
	int fd = co_listen(address), code, on = 1;
	char name[128];

	if (fd < 0)
		return fail(address, fd);
	/* Connections inherit it.  A Unix socket has none. */
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	code = co_address(fd, name, sizeof name);
	if (code < 0) {
		co_close(fd);
		return fail(address, code);
	}
	/* The first use catches them: who reads this line may send one. */
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT), co_otherwise);
	fprintf(stderr, "httpd: listening at %s\n", name);
	return fd;
}

static int
open_log(struct access_log *log, const char *path)
{
	int fd = 1;

	if (path)
		fd = co_open(path, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0)
		return fail(path, fd);
	log->lock = (struct co_mutex)CO_MUTEX_INIT;
	log->stream = co_stream_new(fd);
	if (log->stream)
		return 0;
	if (path)
		co_close(fd);
	return fail("access log", -ENOMEM);
}

static int
body(void *arg)
{
	struct options *o = arg;
	struct server *s = &o->server;
	int code, fd;

	s->root = co_open(o->root, O_PATH | O_DIRECTORY, 0);
	if (s->root < 0) {
		fail(o->root, s->root);
		return 1;
	}
	code = o->quiet ? 0 : open_log(&s->log, o->log);
	fd = code < 0 ? code : listen_at(o->listen);
	if (fd >= 0)
		code = serve_with_log(s, fd);
	else
		code = fd;
	co_timeout(CO_SEC(1)) {		/* log_flush has said what is wrong */
		if (s->log.stream && co_stream_fd(s->log.stream) != 1)
			co_stream_close(s->log.stream);
		else
			co_stream_free(s->log.stream);
	}
	co_close(s->root);
	return code < 0;
}

/* --- options -------------------------------------------------------------- */

static const char usage_text[] =
    "usage: httpd [options]\n"
    "Serves the files of a directory, and /api/, over HTTP/1.1.\n\n"
    "  --root DIRECTORY       what to serve (default: .)\n"
    "  --listen ADDRESS       default: tcp:127.0.0.1:8080; port 0: any\n"
    "  --workers N            worker threads (default: one per CPU)\n"
    "  --list                 list directories that have no index.html\n"
    "  --log FILE             append the access log to it, not to stdout\n"
    "  --quiet                no access log\n"
    "  --max-head BYTES       of a request's head (8192)\n"
    "  --max-body BYTES       of its body (1048576)\n"
    "  --max-connections N    at once; more have to wait (10000)\n"
    "  --max-requests N       of a connection (10000)\n"
    "  --head-timeout SEC     for a head, from its first byte (10)\n"
    "  --body-timeout SEC     for a body, from the head's end (30)\n"
    "  --idle-timeout SEC     for the next request (60)\n"
    "  --send-timeout SEC     for the client to take a byte (30)\n"
    "  --drain-timeout SEC    for what is going on at SIGTERM (10)\n"
    "  --help                 this text\n\n"
    "SIGTERM and SIGINT end it: it stops accepting, answers what it has\n"
    "begun to read, and closes.\n";

static void
wrong(const char *name, const char *text, double least, double most)
{
	fprintf(stderr, "httpd: --%s: a number from %g to %.0f, not '%s'\n",
	    name, least, most, text);
	exit(2);
}

static double
number(const char *name, const char *text, double least, double most)
{
	char *end;
	double n = strtod(text, &end);

	if (end == text || *end || !(n >= least && n <= most))
		wrong(name, text, least, most);
	return n;
}

static long
whole(const char *name, const char *text, long least, long most)
{
	double n = number(name, text, (double)least, (double)most);

	if (n != floor(n))
		wrong(name, text, (double)least, (double)most);
	return (long)n;
}

static co_time
seconds(const char *name, const char *text)
{
	return CO_NS(number(name, text, 0.001, 1e6) * 1e9);
}

enum {
	HELP, LIST, LISTEN, LOG, QUIET, ROOT, WORKERS, MAX_HEAD, MAX_BODY,
	MAX_CONNECTIONS, MAX_REQUESTS, HEAD_TIMEOUT, BODY_TIMEOUT,
	IDLE_TIMEOUT, SEND_TIMEOUT, DRAIN_TIMEOUT
};

static const struct option long_options[] = {
	{ "help", no_argument, NULL, HELP },
	{ "list", no_argument, NULL, LIST },
	{ "listen", required_argument, NULL, LISTEN },
	{ "log", required_argument, NULL, LOG },
	{ "quiet", no_argument, NULL, QUIET },
	{ "root", required_argument, NULL, ROOT },
	{ "workers", required_argument, NULL, WORKERS },
	{ "max-head", required_argument, NULL, MAX_HEAD },
	{ "max-body", required_argument, NULL, MAX_BODY },
	{ "max-connections", required_argument, NULL, MAX_CONNECTIONS },
	{ "max-requests", required_argument, NULL, MAX_REQUESTS },
	{ "head-timeout", required_argument, NULL, HEAD_TIMEOUT },
	{ "body-timeout", required_argument, NULL, BODY_TIMEOUT },
	{ "idle-timeout", required_argument, NULL, IDLE_TIMEOUT },
	{ "send-timeout", required_argument, NULL, SEND_TIMEOUT },
	{ "drain-timeout", required_argument, NULL, DRAIN_TIMEOUT },
	{ NULL, 0, NULL, 0 }
};

/* False: it is no limit. */
static bool
limit(struct limits *l, int c, const char *name)
{
	switch (c) {
	case MAX_HEAD:		/* http_parser counts a URL in 16 bits */
		l->head = (size_t)whole(name, optarg, 64, 65000);
		return true;
	case MAX_BODY:
		l->body = (size_t)whole(name, optarg, 0, 1L << 40);
		return true;
	case MAX_CONNECTIONS:
		l->connections = (int)whole(name, optarg, 1, 1000000);
		return true;
	case MAX_REQUESTS:
		l->requests = (unsigned)whole(name, optarg, 1, 1000000000);
		return true;
	case HEAD_TIMEOUT:
		l->head_time = seconds(name, optarg);
		return true;
	case BODY_TIMEOUT:
		l->body_time = seconds(name, optarg);
		return true;
	case IDLE_TIMEOUT:
		l->idle_time = seconds(name, optarg);
		return true;
	case SEND_TIMEOUT:
		l->send_time = seconds(name, optarg);
		return true;
	case DRAIN_TIMEOUT:
		l->drain_time = seconds(name, optarg);
		return true;
	default:
		return false;
	}
}

static void
option(struct options *o, int c, const char *name)
{
	switch (c) {
	case HELP:
		fputs(usage_text, stdout);
		exit(0);
	case LIST:
		o->server.list = true;
		break;
	case LISTEN:
		o->listen = optarg;
		break;
	case LOG:
		o->log = optarg;
		break;
	case QUIET:
		o->quiet = true;
		break;
	case ROOT:
		o->root = optarg;
		break;
	case WORKERS:
		o->co.workers = (int)whole(name, optarg, 1, 256);
		break;
	default:
		if (limit(&o->server.limits, c, name))
			break;
		fputs(usage_text, stderr);
		exit(2);
	}
}

/* A descriptor for each connection, and for the file that it asked for. */
static void
raise_descriptors(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) < 0)
		return;
	r.rlim_cur = r.rlim_max;
	/* Without it co_accept waits until one is free. */
	setrlimit(RLIMIT_NOFILE, &r);
}

int
main(int argc, char **argv)
{
	struct options o = {
		.root = ".", .listen = "tcp:127.0.0.1:8080",
		.server.limits = {
			.head = 8192, .body = 1 << 20, .connections = 10000,
			.requests = 10000, .head_time = CO_SEC(10),
			.body_time = CO_SEC(30), .idle_time = CO_SEC(60),
			.send_time = CO_SEC(30), .drain_time = CO_SEC(10)
		}
	};
	int c, at = 0, code;

	while ((c = getopt_long(argc, argv, "", long_options, &at)) != -1)
		option(&o, c, c == '?' ? "" : long_options[at].name);
	if (optind != argc) {
		fputs(usage_text, stderr);
		return 2;
	}
	o.server.places = (struct co_sem)CO_SEM_INIT(
	    o.server.limits.connections);
	o.server.lock = (struct co_mutex)CO_MUTEX_INIT;
	raise_descriptors();
	code = co_run(&o.co, body, &o);
	if (code < 0)
		fail("weft", code);
	return code != 0;
}
