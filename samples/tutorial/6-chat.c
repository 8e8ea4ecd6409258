/* SPDX-License-Identifier: MIT */
/*
 * 6-chat.c - everybody hears what anybody says, until SIGTERM.
 *
 * With an address it serves there; without, it tries itself.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <weft.h>

struct text {
	char line[256];
};

struct guest {
	int fd;
	co_bcast(struct text) room;
	co_sub(struct text) ears;
};

static struct co_waitgroup present = CO_WAITGROUP_INIT;

static int
listen_to(void *arg)
{
	struct guest *g = arg;
	struct text t;
	ssize_t n;

	do {
		n = co_sub_recv(g->ears, &t);
		if (n >= 0)
			n = co_write_full(g->fd, t.line, strlen(t.line));
	} while (n >= 0);
	return (int)n;			/* ends the guest's scope */
}

static void
speak(struct guest *g, struct co_stream *s)
{
	struct text t;

	while (co_stream_read_line(s, t.line, sizeof t.line) > 0)
		if (co_bcast_send(g->room, t) < 0)
			break;
}

static int
guest(struct guest *g)
{
	struct co_stream *s = co_stream_new(g->fd);
	struct co_scope both;

	g->ears = co_bcast_subscribe(g->room);
	if (s && g->ears) {
		co_scope(both) {
			if (co_spawn(listen_to, g) == 0)
				speak(g, s);
			co_cancel(&both);
		}
	}
	co_sub_unref(g->ears);
	co_stream_free(s);
	co_close(g->fd);
	return co_waitgroup_done(&present);
}

static void
welcome(int fd, co_bcast(struct text) room)
{
	co_waitgroup_add(&present, 1);
	if (co_go(guest, (struct guest){ fd, room, NULL }) < 0) {
		co_waitgroup_done(&present);
		co_close(fd);
	}
}

static int
chat(int listener, co_bcast(struct text) room)
{
	struct text end = { "the chat ends\n" };
	struct co_scope guests;
	int fd = 0, left = 0;

	co_scope(guests) {
		while (fd >= 0 && co_select(co_on_readable(listener),
		    co_on_signal(SIGTERM)) == 0) {
			co_timeout(CO_SEC(1))	/* where descriptors are out */
				fd = co_accept(listener, NULL, NULL);
			if (fd >= 0)
				welcome(fd, room);
			else if (fd == -ETIMEDOUT)
				fd = 0;
		}
		co_bcast_send(room, end);
		co_bcast_close(room);	/* who has heard it all is done */
		co_timeout(CO_SEC(5))
			left = co_waitgroup_wait(&present);
		co_cancel(&guests);	/* who is not has had his time */
	}
	return fd < 0 ? fd : left == -ETIMEDOUT ? 0 : left;
}

static int
visit(void *address)
{
	int fd = co_dial(address);
	struct co_stream *s = fd < 0 ? NULL : co_stream_new(fd);
	char line[256];
	ssize_t n;

	if (!s) {
		kill(getpid(), SIGTERM);
		return fd < 0 ? fd : co_close(fd);
	}
	n = co_stream_printf(s, "hello, all\n");
	if (n > 0)
		n = co_stream_flush(s);
	if (n == 0)
		n = co_stream_read_line(s, line, sizeof line);
	if (n > 0)
		printf("heard: %s", line);
	kill(getpid(), SIGTERM);
	while (n > 0 && (n = co_stream_read_line(s, line, sizeof line)) > 0)
		printf("heard: %s", line);
	co_stream_close(s);
	return (int)n;
}

static int
body(void *arg)
{
	co_bcast(struct text) room = co_bcast_new(struct text, 64,
	    CO_BCAST_DROP);
	int listener = room ? co_listen(arg ? arg : "tcp:127.0.0.1:0") :
	    -ENOMEM;
	char address[64];
	struct co_task visitor;
	int code = listener, seen = 0;

	if (listener >= 0 && !arg)
		code = co_address(listener, address, sizeof address);
	if (code >= 0 && !arg) {
		/* The first use catches it: the visitor sends one. */
		co_select(co_on_signal(SIGTERM), co_otherwise);
		code = co_fork(&visitor, visit, address);
	}
	if (code >= 0) {
		code = chat(listener, room);
		seen = arg ? 0 : co_join(&visitor);
	}
	co_bcast_unref(room);
	if (listener >= 0)
		co_close(listener);
	return code < 0 ? code : seen;
}

int
main(int argc, char **argv)
{
	return co_run(NULL, body, argc > 1 ? argv[1] : NULL) < 0;
}
