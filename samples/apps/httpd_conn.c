/* SPDX-License-Identifier: MIT */
/*
 * httpd_conn.c - a connection: a coroutine that reads requests and answers.
 *
 * All reading and writing goes through one stream, whose two functions below
 * know the deadlines.  Reading first sends what has been answered: so replies
 * to requests that came together leave together, and a request costs one
 * receive and one send.
 *
 * Between two requests it is idle, and the end of the server ends it; once a
 * byte has come the request is answered.  A select over the socket and an event
 * would say so, but costs a poll(2) for each request.  So the server shuts the
 * sockets of idle connections for reading, which their receive takes for the
 * end.  None is missed, as either it sees `stopping` or the server sees `idle`:
 *
 *	conn_read			conn_stop_all
 *	idle = true			stopping = true
 *	stopping?  then take only	idle?  then shutdown(fd, SHUT_RD)
 *	what is there
 */
#include "httpd.h"

#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* When we are the first to close, how long, and for how many bytes, the peer
   may take to do so: what comes after a close makes the kernel take back what
   it has not delivered yet. */
#define LINGER_TIME	CO_SEC(1)
#define LINGER_BYTES	((size_t)1 << 20)

/* --- the stream ----------------------------------------------------------- */

static bool
is_stopping(const struct conn *c)
{
	return __atomic_load_n(&c->server->stopping, __ATOMIC_SEQ_CST);
}

static ssize_t
conn_read(void *arg, void *buf, size_t n)
{
	struct conn *c = arg;
	struct co_scope s;
	ssize_t got = co_stream_flush(c->stream);
	int flags = 0;

	if (got < 0)
		return got;
	if (!c->begun) {
		__atomic_store_n(&c->idle, true, __ATOMIC_SEQ_CST);
		flags = is_stopping(c) ? MSG_DONTWAIT : 0;
	}
	co_scope(s, .deadline = c->until)
		got = co_recv(c->fd, buf, n, flags);
	if (!c->begun)
		__atomic_store_n(&c->idle, false, __ATOMIC_SEQ_CST);
	if (got == -EAGAIN)
		return 0;
	c->gone = got <= 0 && got != -ETIMEDOUT && !is_stopping(c);
	if (got > 0 && !c->begun) {
		c->begun = true;
		c->until = co_now() + c->server->limits.head_time;
	}
	return got;
}

static ssize_t
conn_write(void *arg, const void *buf, size_t n)
{
	struct conn *c = arg;
	ssize_t put = 0;

	co_timeout(c->server->limits.send_time)
		put = co_send(c->fd, buf, n, c->more ? MSG_MORE : 0);
	c->gone |= put < 0;
	return put;
}

static const struct co_stream_ops conn_ops = {
	.read = conn_read, .write = conn_write
};

/* --- replies -------------------------------------------------------------- */

static const char *
date(struct conn *c)
{
	time_t now = time(NULL);
	struct tm tm;

	if (now != c->date_at) {
		c->date_at = now;
		strftime(c->date, sizeof c->date, "%a, %d %b %Y %H:%M:%S GMT",
		    gmtime_r(&now, &tm));
	}
	return c->date;
}

static const char *
reason(int status)
{
	return http_status_str((enum http_status)status);
}

/* Put together from its parts, not by printf: that takes a tenth more
   instructions for a small request, of 12,000 that are not the kernel's. */
int
reply_head(struct conn *c, int status, const char *type, int64_t length,
    const char *extra)
{
	const http_parser *p = &c->request.parser;
	bool old = p->http_major == 1 && p->http_minor == 0;
	char number[16], size[64] = "";
	const char *part[] = {
		"HTTP/1.1 ", number, " ", reason(status),
		"\r\nServer: weft\r\nDate: ", date(c), "\r\n",
		type ? "Content-Type: " : "", type ? type : "",
		type ? "\r\n" : "", status == 304 ? "" : size, extra,
		"", "\r\n"
	};
	const size_t parts = sizeof part / sizeof part[0];
	ssize_t n = 0;
	size_t i;

	c->status = status;
	snprintf(number, sizeof number, "%d", status);
	if (length >= 0)
		snprintf(size, sizeof size, "Content-Length: %lld\r\n",
		    (long long)length);
	else if (old)
		c->keep = false;	/* it ends where the connection does */
	else
		strcpy(size, "Transfer-Encoding: chunked\r\n");
	if (!c->keep)
		part[parts - 2] = "Connection: close\r\n";
	else if (old)
		part[parts - 2] = "Connection: keep-alive\r\n";
	for (i = 0; i < parts && n >= 0; i++)
		n = co_stream_write(c->stream, part[i], strlen(part[i]));
	return n < 0 ? (int)n : 0;
}

int
reply_body(struct conn *c, const void *data, size_t n)
{
	ssize_t put;

	if (c->request.parser.method == HTTP_HEAD && c->request.url)
		return 0;
	put = co_stream_write(c->stream, data, n);
	if (put < 0)
		return (int)put;
	c->sent += n;
	return 0;
}

int
reply(struct conn *c, int status, const char *type, const void *data, size_t n,
    const char *extra)
{
	int code = reply_head(c, status, type, (int64_t)n, extra);

	return code < 0 ? code : reply_body(c, data, n);
}

int
reply_status(struct conn *c, int status, const char *extra)
{
	char text[64];
	int n = snprintf(text, sizeof text, "%d %s\n", status, reason(status));

	return reply(c, status, "text/plain", text, (size_t)n, extra);
}

int
reply_flush_more(struct conn *c)
{
	int code;

	c->more = true;
	code = co_stream_flush(c->stream);
	c->more = false;
	return code;
}

/* --- requests ------------------------------------------------------------- */

static int
answer(struct conn *c)
{
	if (api_knows(c->request.path))
		return api_reply(c);
	return file_reply(c);
}

/* A request and its reply.  True: another may follow. */
static bool
exchange(struct conn *c)
{
	const struct limits *l = &c->server->limits;
	int status, code;

	c->begun = co_stream_buffered(c->stream) > 0;
	c->until = co_now() + (c->begun ? l->head_time : l->idle_time);
	c->status = 0;
	c->sent = 0;
	c->keep = false;
	status = request_head(c);
	if (status == 200) {
		c->until = co_now() + l->body_time;
		status = request_body(c);
	}
	if (status == 0)
		return false;
	__atomic_fetch_add(&c->server->requests, 1, __ATOMIC_RELAXED);
	c->keep = status == 200 && http_should_keep_alive(&c->request.parser) &&
	    ++c->requests < l->requests && !is_stopping(c);
	code = status == 200 ? answer(c) : reply_status(c, status, "");
	log_request(c);
	return code == 0 && c->keep;
}

/* --- closing -------------------------------------------------------------- */

/* Closes so that what has been sent arrives. */
static void
linger(struct conn *c)
{
	struct co_scope s;
	size_t left = LINGER_BYTES;
	ssize_t n = 1;
	char buf[4096];

	if (shutdown(c->fd, SHUT_WR) < 0)
		return;
	co_scope(s, .timeout = LINGER_TIME)
		while (n > 0 && left > 0) {
			n = co_recv(c->fd, buf, sizeof buf, 0);
			left -= n > 0 && (size_t)n < left ? (size_t)n : left;
		}
}

/* --- all of them ---------------------------------------------------------- */

static void
enlist(struct conn *c)
{
	struct server *s = c->server;

	co_shield() co_locked(&s->lock) {
		c->next = s->conns;
		if (c->next)
			c->next->at = &c->next;
		c->at = &s->conns;
		s->conns = c;
	}
}

static void
delist(struct conn *c)
{
	co_shield() co_locked(&c->server->lock) {
		*c->at = c->next;
		if (c->next)
			c->next->at = c->at;
	}
}

void
conn_stop_all(struct server *s)
{
	struct conn *c;

	__atomic_store_n(&s->stopping, true, __ATOMIC_SEQ_CST);
	co_shield() co_locked(&s->lock) {
		for (c = s->conns; c; c = c->next)
			if (__atomic_load_n(&c->idle, __ATOMIC_SEQ_CST))
				shutdown(c->fd, SHUT_RD);
	}
}

/* --- the connection ------------------------------------------------------- */

static void
conn_free(struct conn *c)
{
	co_stream_free(c->stream);
	co_close(c->fd);
	free(c->request.body);
	free(c->head);
	free(c);
}

static int
connection(void *arg)
{
	struct conn *c = arg;
	struct server *s = c->server;

	enlist(c);
	while (exchange(c))
		continue;
	if (!c->gone && co_stream_flush(c->stream) == 0)
		linger(c);
	delist(c);
	conn_free(c);
	co_sem_post(&s->places);
	return 0;
}

static struct conn *
conn_new(struct server *s, int fd, const struct sockaddr *peer,
    socklen_t peer_n)
{
	struct conn *c = calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->server = s;
	c->fd = fd;
	c->stream = co_stream_new_ops(&conn_ops, c);
	c->head = malloc(s->limits.head + 1);
	if (getnameinfo(peer, peer_n, c->peer, sizeof c->peer, NULL, 0,
	    NI_NUMERICHOST) != 0 || !c->peer[0])
		strcpy(c->peer, "-");
	return c;
}

/* Takes the descriptor and a place, and gives both back: 0, or why not. */
int
conn_start(struct server *s, int fd, const struct sockaddr *peer,
    socklen_t peer_n, struct co_scope *scope)
{
	struct conn *c = conn_new(s, fd, peer, peer_n);
	int code = -ENOMEM;

	if (c && c->stream && c->head)
		code = co_spawn_with(&(struct co_spawn_options){
		    .name = "connection", .scope = scope }, connection, c);
	if (code == 0) {
		__atomic_fetch_add(&s->connections, 1, __ATOMIC_RELAXED);
		return 0;
	}
	if (c)
		conn_free(c);
	else
		co_close(fd);
	co_sem_post(&s->places);
	return code;
}
