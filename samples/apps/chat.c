/* SPDX-License-Identifier: MIT */
/*
 * chat.c - a chat room: what one says, all hear.
 *
 * A client has two coroutines in a scope of its own: one reads lines, and one
 * alone writes.  The room is a broadcast that drops: who speaks never waits for
 * who is slow.  Who is slow is told how many lines he missed; who takes nothing
 * at all for WRITE_TIME is left.
 */
#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <weft.h>

enum { NAME = 17, TEXT = 400, KEPT = 64 };	/* bytes, bytes, lines */
#define WRITE_TIME	CO_SEC(30)

struct line {
	char text[TEXT + NAME + 64];
};

struct client {
	struct client *next;		/* [everybody] */
	char name[NAME];		/* [everybody]; its reader writes it */
	struct co_stream *stream;
	co_sub(struct line) heard;	/* what is said in the room */
	chan(struct line) answers;	/* to this client; closed: the end */
};

static co_time idle_time = CO_SEC(600);
static co_bcast(struct line) room;
static struct co_mutex everybody = CO_MUTEX_INIT;
static struct client *clients;		/* [everybody] */

/* To one client, or to the room. */
static int __attribute__((format(printf, 2, 3)))
say(struct client *to, const char *format, ...)
{
	struct line l;
	va_list ap;

	va_start(ap, format);
	vsnprintf(l.text, sizeof l.text, format, ap);
	va_end(ap);
	return to ? chan_send(to->answers, l) : co_bcast_send(room, l);
}

/* A failure, also the end of the room, ends the scope, and so the reader. */
static int
writer(void *arg)
{
	struct client *c = arg;
	int missed = 0, status = 0, code;
	struct line l;

	for (;;) {
		code = co_select(co_on_sub(c->heard, &l, &missed),
		    co_on_recv(c->answers, &l, &status));
		if (code < 0 || missed < 0 || status < 0)
			return code < 0 ? code : missed < 0 ? missed : 0;
		co_timeout(WRITE_TIME) {
			if (code == 0 && missed > 0)
				co_stream_printf(c->stream,
				    "* you have missed %d lines\n", missed);
			co_stream_printf(c->stream, "%s\n", l.text);
			code = co_stream_flush(c->stream);
		}
		if (code < 0)
			return code;
	}
}

static int
rename_to(struct client *c, const char *name)
{
	bool taken = false;
	char old[NAME];
	size_t i = 0;

	while (isalnum((unsigned char)name[i]) && i < NAME)
		i++;
	if (i == 0 || i >= NAME || name[i])
		return say(c, "* a name has 1 to 16 letters or digits");
	co_locked(&everybody) {
		for (struct client *o = clients; o; o = o->next)
			taken |= strcmp(o->name, name) == 0;
		strcpy(old, c->name);
		if (!taken)
			strcpy(c->name, name);
	}
	return taken ? say(c, "* there is a %s already", name) :
	    say(NULL, "* %s is now %s", old, name);
}

static int
list(struct client *c)
{
	struct line l = { "* here are:" };
	size_t n = strlen(l.text);

	co_locked(&everybody)
		for (struct client *o = clients; o && n < TEXT; o = o->next)
			n += (size_t)sprintf(l.text + n, " %s", o->name);
	return chan_send(c->answers, l);
}

/* Negative: it is over. */
static int
hear(struct client *c, char *text, size_t n)
{
	while (n > 0 && (text[n - 1] == '\n' || text[n - 1] == '\r'))
		text[--n] = 0;
	for (size_t i = 0; i < n; i++)	/* no tricks with terminals */
		if (iscntrl((unsigned char)text[i]))
			text[i] = '?';
	if (strcmp(text, "/quit") == 0)
		return -ESHUTDOWN;
	if (strcmp(text, "/who") == 0)
		return list(c);
	if (strncmp(text, "/nick ", 6) == 0)
		return rename_to(c, text + 6);
	if (text[0] == '/')
		return say(c, "* there are /nick NAME, /who and /quit");
	return text[0] ? say(NULL, "%s: %s", c->name, text) : 0;
}

static void
reader(struct client *c)
{
	char text[TEXT + 2];
	ssize_t n = 0;

	do {
		co_timeout(idle_time)
			n = co_stream_read_line(c->stream, text, sizeof text);
	} while (n > 0 && hear(c, text, (size_t)n) >= 0);
	if (n == -EMSGSIZE)
		say(c, "* a line has at most %d bytes; good-bye", TEXT);
	if (n == -ETIMEDOUT)
		say(c, "* nothing heard for a long time; good-bye");
	chan_close(c->answers);		/* the writer ends behind them */
}

static void
enter(struct client *c)
{
	static unsigned guests;		/* [everybody] */
	const struct client *o;

	co_locked(&everybody) {
		do {
			sprintf(c->name, "guest%u", ++guests);
			for (o = clients; o && strcmp(o->name, c->name) != 0; )
				o = o->next;
		} while (o);
		c->next = clients;
		clients = c;
	}
	say(NULL, "* %s is here", c->name);
}

static void
leave(struct client *c)
{
	struct client **at = &clients;

	co_locked(&everybody) {
		while (*at != c)
			at = &(*at)->next;
		*at = c->next;
	}
	say(NULL, "* %s has left", c->name);
}

static int
session(int *fd)
{
	struct client c = { .stream = co_stream_new(*fd),
	    .heard = co_bcast_subscribe(room),
	    .answers = chan_new(struct line, 4) };
	struct co_scope s;

	if (c.stream && c.heard && c.answers) {
		enter(&c);
		co_scope(s)
			if (co_spawn(writer, &c) == 0)
				reader(&c);
		leave(&c);
	}
	chan_unref(c.answers);
	co_sub_unref(c.heard);
	co_stream_free(c.stream);
	return co_close(*fd);
}

/* A closed room is the end for each writer, behind the last line. */
static int
until_told(int *fd)
{
	int code = co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT));

	co_close(*fd);			/* who accepts gets -EBADF */
	say(NULL, "* the server ends; good-bye");
	co_bcast_close(room);
	return code < 0 ? code : 0;
}

static int
body(void *address)
{
	int fd = co_listen(address), code = 0, peer;
	char at[128] = "";
	struct co_scope s;

	room = co_bcast_new(struct line, KEPT, CO_BCAST_DROP);
	if (fd < 0 || !room)
		return fd < 0 ? fd : -ENOMEM;
	co_address(fd, at, sizeof at);
	/* The first use catches them: who reads this line may send one. */
	co_select(co_on_signal(SIGTERM), co_on_signal(SIGINT), co_otherwise);
	printf("chat: listening on %s\n", at);
	fflush(stdout);
	co_scope(s, .policy = CO_SUPERVISE) {
		code = co_go(until_told, fd);
		while (code == 0 && (peer = co_accept(fd, NULL, NULL)) >= 0)
			if (co_go(session, peer) < 0)
				co_close(peer);
		if (code == 0 && peer != -EBADF) {	/* not by until_told */
			code = peer;
			co_cancel(&s);
		}
	}
	co_bcast_unref(room);
	return code;
}

int
main(int argc, char **argv)
{
	int code;

	if (argc < 2 || argc > 3 || (argc == 3 && atoi(argv[2]) < 1)) {
		fprintf(stderr, "usage: chat ADDRESS [SECONDS-IDLE]\n");
		return 2;
	}
	if (argc == 3)
		idle_time = CO_SEC(atoi(argv[2]));
	code = co_run(NULL, body, argv[1]);
	if (code < 0)
		fprintf(stderr, "chat: %s: %s\n", argv[1], strerror(-code));
	return code < 0;
}
