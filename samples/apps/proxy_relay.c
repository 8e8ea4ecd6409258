/* SPDX-License-Identifier: MIT */
/*
 * proxy_relay.c - moves bytes both ways between two sockets.
 *
 * There is a coroutine for each direction, which reads and then writes what it
 * read: a receiver that is slow slows its sender down, and nothing piles up.
 * The end of one direction is passed on by shutdown(2) and leaves the other as
 * it is.  An error in one ends both.
 *
 * Bytes are copied through a buffer, or spliced through a pipe, which they
 * pass without being copied into this program.  For small messages the copy is
 * faster (one system call less a message) and needs no pipe, that is two
 * descriptors; in bulk splice(2) wins.  So a direction begins with copying,
 * goes over to splicing when a read has filled its buffer, and comes back when
 * little arrives at a time.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "proxy.h"

#define BUFFER	(16 * 1024)
#define PIPE	(64 * 1024)	/* what a pipe of the kernel holds */
#define LITTLE	(4 * 1024)	/* spliced at once: not worth the pipe */

/* What the two directions share. */
struct both {
	co_time idle;
	enum relay_move move;
	_Atomic co_time moved;	/* when the last bytes went either way */
};

struct lane {
	int from, to;
	struct both *both;
};

/* Bytes on their way: `held` of them, in the buffer at `at` or in the pipe. */
struct cargo {
	bool splice;
	int pipe[2];
	size_t at, held;
	char buf[BUFFER];
};

static ssize_t
load(struct lane *l, struct cargo *c)
{
	if (c->splice)
		return co_splice(l->from, NULL, c->pipe[1], NULL, PIPE,
		    SPLICE_F_MOVE);
	c->at = 0;
	return co_read(l->from, c->buf, sizeof c->buf);
}

static ssize_t
unload(struct lane *l, struct cargo *c)
{
	if (c->splice)
		return co_splice(c->pipe[0], NULL, l->to, NULL, c->held,
		    SPLICE_F_MOVE);
	return co_write(l->to, c->buf + c->at, c->held);
}

/*
 * One step, with a deadline that the other direction moves on: silence counts
 * as idle only when it is on both sides, as a download of an hour has one
 * request at its begin.
 */
static ssize_t
step(struct lane *l, struct cargo *c,
    ssize_t (*move)(struct lane *, struct cargo *))
{
	struct both *both = l->both;
	co_time seen;
	struct co_scope s;
	ssize_t n;

	do {
		seen = atomic_load(&both->moved);
		co_scope(s, .deadline = both->idle ? seen + both->idle : 0)
			n = move(l, c);
	} while (n == -ETIMEDOUT && atomic_load(&both->moved) != seen);
	if (n > 0)
		atomic_store(&both->moved, co_now());
	return n;
}

/* Nothing is held when this is called, so nothing is left in the other way. */
static void
choose(struct cargo *c, enum relay_move move, size_t moved)
{
	bool splice = move == RELAY_SPLICE || (move == RELAY_AUTO &&
	    (c->splice ? moved >= LITTLE : moved == BUFFER));

	/* Where there is no pipe to be had the copy goes on. */
	if (splice && c->pipe[0] < 0 && pipe2(c->pipe, O_CLOEXEC | O_NONBLOCK))
		c->pipe[0] = c->pipe[1] = -1;
	c->splice = splice && c->pipe[0] >= 0;
}

static int
pump(struct lane *l)
{
	struct cargo c;
	ssize_t n;
	size_t moved;

	c.splice = false;
	c.pipe[0] = c.pipe[1] = -1;
	choose(&c, l->both->move, 0);
	while ((n = step(l, &c, load)) > 0) {
		moved = (size_t)n;
		for (c.held = moved; c.held > 0; c.held -= (size_t)n) {
			n = step(l, &c, unload);
			if (n <= 0)
				break;
			c.at += (size_t)n;
		}
		if (n < 0)
			break;
		choose(&c, l->both->move, moved);
	}
	if (n == 0)
		shutdown(l->to, SHUT_WR);
	if (c.pipe[0] >= 0) {
		co_close(c.pipe[0]);
		co_close(c.pipe[1]);
	}
	return (int)n;
}

int
relay(int a, int b, co_time idle, enum relay_move move)
{
	struct both both = { .idle = idle, .move = move, .moved = co_now() };
	struct co_scope s;
	int code = 0;

	co_scope(s) {
		code = co_go(pump, (struct lane){ a, b, &both });
		if (code == 0)
			code = pump(&(struct lane){ b, a, &both });
		if (code < 0)
			co_cancel(&s);
	}
	/* -ECANCELED after our own failure says nothing new. */
	return s.status < 0 && (code == 0 || s.status != -ECANCELED) ?
	    s.status : code;
}
