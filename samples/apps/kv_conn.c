/* SPDX-License-Identifier: MIT */
/*
 * kv_conn.c - a connection: one coroutine reads, carries out, and answers.
 *
 * A round takes what one recv gave, carries out every request that is whole in
 * it, and sends the answers at once: a pipeline costs two system calls.  It
 * never waits to write alone: a client may send a long pipeline and read the
 * answers later.  Only when HIGH_WATER bytes wait for it nothing more of what
 * it sent is carried out until it has read some of them.
 *
 * When the server is told to end, every wait fails with -ECANCELED.  What has
 * been carried out by then is still answered, in finish().
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

enum {
	IN_ROOM = 16 * 1024,		/* of an idle client */
	IN_KEEP = 256 * 1024,		/* more is given back when empty */
	FLUSH = 64 * 1024,		/* as much goes to one send */
	HIGH_WATER = 1024 * 1024	/* all four are guesses */
};

/* --- bytes ---------------------------------------------------------------- */

/* Room for more input.  -EMSGSIZE: the request is too large; -ENOMEM. */
static int
make_room(struct kv_client *c)
{
	size_t room;
	char *p;

	if (c->in_at == c->in_n) {
		c->in_at = c->in_n = 0;
		if (c->in_room > IN_KEEP) {
			free(c->in);
			c->in = NULL;
			c->in_room = 0;
		}
	}
	if (c->in_n < c->in_room)
		return 0;
	if (c->in_at) {
		c->in_n -= c->in_at;
		memmove(c->in, c->in + c->in_at, c->in_n);
		c->in_at = 0;
		if (c->in_n < c->in_room / 2)
			return 0;
	}
	if (c->in_room >= kv_config.max_request)
		return c->in_n < c->in_room ? 0 : -EMSGSIZE;
	room = c->in_room ? 2 * c->in_room : IN_ROOM;
	p = realloc(c->in, room);
	if (!p)
		return -ENOMEM;
	c->in = p;
	c->in_room = room;
	return 0;
}

/* 1: there is more to parse; 0: the client has no more to say. */
static int
read_more(struct kv_client *c, int flags)
{
	ssize_t n = make_room(c);

	if (n < 0)
		return (int)n;
	n = co_recv(c->fd, c->in + c->in_n, c->in_room - c->in_n, flags);
	c->now = co_now() / CO_MS(1);
	if (n > 0)
		c->in_n += (size_t)n;
	return n > 0 ? 1 : (int)n;
}

/* Sends what the socket takes. */
static int
flush(struct kv_client *c)
{
	struct kv_out *o = &c->out;
	ssize_t n;

	while (kv_out_pending(o)) {
		n = co_send(c->fd, o->p + o->sent, kv_out_pending(o),
		    MSG_DONTWAIT);
		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		o->sent += (size_t)n;
	}
	o->sent = o->n = 0;
	if (o->room > IN_KEEP) {
		free(o->p);
		*o = (struct kv_out){ 0 };
	}
	return 0;
}

/* --- rounds --------------------------------------------------------------- */

static bool
is_full(const struct kv_client *c)
{
	return kv_out_pending(&c->out) >= HIGH_WATER;
}

/* What is whole of what was read.  1: all of it; 0: the client is to read
   first.  -ESHUTDOWN: it wanted to quit.  -ENOBUFS: an answer is too large. */
static int
carry_out(struct kv_client *c)
{
	unsigned long long n = 0;
	size_t used;
	int code = 0;

	while (c->in_at < c->in_n && !is_full(c)) {
		code = kv_parse(&c->parser, c->in + c->in_at,
		    c->in_n - c->in_at, &used);
		if (code <= 0)
			break;
		code = kv_execute(c);
		if (code < 0)
			break;
		c->in_at += used;
		n += c->parser.n_args > 0;
		code = c->out.failed ? -ENOBUFS : c->quit ? -ESHUTDOWN : 0;
		if (code == 0 && kv_out_pending(&c->out) >= FLUSH)
			code = flush(c);
		if (code < 0)
			break;
	}
	atomic_fetch_add_explicit(&kv_stats.commands, n, memory_order_relaxed);
	if (code == -EPROTO)
		kv_out_error(&c->out, "ERR %s", c->parser.error);
	return code < 0 ? code : !is_full(c);
}

static void
take_messages(struct kv_client *c, struct kv_message *m)
{
	do
		kv_hub_take(c, m);
	while (kv_out_pending(&c->out) < FLUSH &&
	    chan_try_recv(c->outbox, &m) == 0);
}

/* Waits for whatever the client may be up to.  A zeroed case is never ready. */
static int
wait_for_any(struct kv_client *c)
{
	bool behind = kv_out_pending(&c->out) > 0;
	struct co_case never = { 0 };
	struct kv_message *m;
	int code;

	code = co_select(
	    is_full(c) ? never : co_on_readable(c->fd),
	    behind ? co_on_writable(c->fd) : never,
	    c->outbox && !behind ? co_on_recv(c->outbox, &m) : never,
	    co_on_event(&c->kick));
	switch (code) {
	case 0:
		code = read_more(c, MSG_DONTWAIT);
		return code == -EAGAIN ? 1 : code;
	case 1:
		return 1;
	case 2:
		take_messages(c, m);
		return c->out.failed ? -ENOBUFS : 1;
	case 3:
		return -ENOBUFS;
	default:
		return code;
	}
}

/* 1: go on.  0: the client has gone away.  Negative: it ends for that. */
static int
round_of(struct kv_client *c)
{
	struct co_scope idle;
	int code = carry_out(c), sent = code < 0 ? 0 : flush(c);

	if (code < 0 || sent < 0)
		return code < 0 ? code : sent;
	if (code == 0 && !kv_out_pending(&c->out))
		return 1;
	co_scope(idle, .timeout = c->n_topics ? 0 : kv_config.timeout) {
		if (!c->outbox && !kv_out_pending(&c->out))
			code = read_more(c, 0);
		else
			code = wait_for_any(c);
	}
	return code;
}

/* --- the end -------------------------------------------------------------- */

/*
 * Answers are not lost: they are sent, and then what the client still sends is
 * thrown away until it closes, as closing on unread input would reset the
 * connection and could take the answers with it.
 */
static void
finish(struct kv_client *c)
{
	size_t left = kv_out_pending(&c->out);
	char waste[4096];

	co_shield() {
		co_timeout(CO_SEC(5))
			if (left)
				co_write_full(c->fd, c->out.p + c->out.sent,
				    left);
		shutdown(c->fd, SHUT_WR);
		co_timeout(CO_SEC(1))
			while (co_recv(c->fd, waste, sizeof waste, 0) > 0)
				;
	}
}

static void
end_of(struct kv_client *c, int code)
{
	switch (code) {
	case -ENOBUFS:
		if (!c->kicked)
			kv_log("client %llu: an answer is too large", c->id);
		return;
	case -EMSGSIZE:
		kv_log("client %llu: a request is too large", c->id);
		kv_out_error(&c->out, "ERR Protocol error: too big request");
		break;
	case -ENOMEM:
		kv_log("client %llu: out of memory", c->id);
		kv_out_error(&c->out, "OOM out of memory");
		break;
	case -ETIMEDOUT:
	case -ECANCELED:
	case -EPROTO:
	case -ESHUTDOWN:
	case 0:
		break;
	default:		/* the connection is broken */
		return;
	}
	finish(c);
}

int
kv_serve(struct kv_connection *connection)
{
	struct kv_client c = { .fd = connection->fd, .id = connection->id,
	    .parser.max_bulk = kv_config.max_bulk, .kick = CO_EVENT_INIT };
	int code, one = 1;

	setsockopt(c.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	do
		code = round_of(&c);
	while (code > 0);
	kv_hub_leave(&c);
	end_of(&c, code);
	co_close(c.fd);
	kv_parser_free(&c.parser);
	free(c.in);
	free(c.out.p);
	atomic_fetch_sub(&kv_stats.clients, 1);
	return 0;
}
