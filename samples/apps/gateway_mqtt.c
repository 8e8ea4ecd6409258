/* SPDX-License-Identifier: MIT */
/*
 * gateway_mqtt.c - libmosquitto, driven over its own socket.
 *
 * One coroutine owns the client and selects over its socket, the outbox and
 * time.  The library's locks are held inside of its calls only, and none of
 * those waits: connecting, which does, is a job of the blocking pool.
 *
 * A message is sent with "at least once": the library keeps it until the broker
 * has acknowledged it, and sends it again to the broker that comes back.  No
 * more than INFLIGHT are taken from the outbox before that.
 */
#include <errno.h>
#include <mosquitto.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

enum { INFLIGHT = 20, KEEPALIVE = 30 };	/* messages, seconds */

struct link {
	struct broker *b;
	struct mosquitto *m;
	bool connected;		/* the broker has said so */
	bool over;		/* the outbox is closed and empty */
	int inflight;
};

static void
on_connect(struct mosquitto *m, void *arg, int code)
{
	(void)m;
	((struct link *)arg)->connected = code == 0;
}

static void
on_publish(struct mosquitto *m, void *arg, int id)
{
	struct link *l = arg;

	(void)m, (void)id;
	l->inflight--;
	l->b->sent++;
}

static int
connect_job(void *arg)
{
	struct link *l = arg;

	return mosquitto_connect(l->m, l->b->host, l->b->port, KEEPALIVE) ==
	    MOSQ_ERR_SUCCESS ? 0 : -ECONNREFUSED;
}

/* Until there is a connection, later and later; negative: cancelled. */
static int
connect_sometime(struct link *l)
{
	co_time pause = CO_MS(100);
	int code;

	while ((code = co_blocking(connect_job, l)) == -ECONNREFUSED) {
		code = co_sleep(pause / 2 + rand() % (pause / 2));
		if (code < 0)
			return code;
		if (pause < CO_SEC(5))
			pause *= 2;
	}
	return code;
}

/* One step; negative: cancelled.  False in *ret_up: the broker is lost. */
static int
step(struct link *l, bool *ret_up)
{
	int fd = mosquitto_socket(l->m), status = 0, n = 0, got, rc = 0;
	bool takes = l->connected && !l->over && l->inflight < INFLIGHT;
	struct co_case cases[4];
	struct message msg;

	*ret_up = fd >= 0;
	if (fd < 0)
		return 0;
	cases[n++] = co_on_readable(fd);
	cases[n++] = co_on_timeout(CO_SEC(1));
	if (takes)
		cases[n++] = co_on_recv(l->b->outbox, &msg, &status);
	if (mosquitto_want_write(l->m))
		cases[n++] = co_on_writable(fd);
	got = co_select_v(cases, n);
	if (got < 0)
		return got;
	if (got == 0) {
		rc = mosquitto_loop_read(l->m, 1);
	} else if (got == 2 && takes) {
		if (status < 0) {
			l->over = true;
		} else {
			rc = mosquitto_publish(l->m, NULL, msg.topic,
			    (int)strlen(msg.text), msg.text, 1, false);
			l->inflight += rc == MOSQ_ERR_SUCCESS ||
			    rc == MOSQ_ERR_NO_CONN;
		}
	} else if (got >= 2) {
		rc = mosquitto_loop_write(l->m, 1);
	}
	if (rc == MOSQ_ERR_SUCCESS)
		rc = mosquitto_loop_misc(l->m);
	*ret_up = rc == MOSQ_ERR_SUCCESS;
	return 0;
}

static int
carry(struct link *l)
{
	int code = 0;
	bool up;

	while (code >= 0 && !(l->over && l->inflight == 0)) {
		code = connect_sometime(l);
		for (up = true; code >= 0 && up &&
		    !(l->over && l->inflight == 0); )
			code = step(l, &up);
		l->connected = false;
	}
	return code;
}

int
publish_all(struct broker *b)
{
	struct link l = { .b = b };
	int code;

	mosquitto_lib_init();
	l.m = mosquitto_new(NULL, true, &l);
	if (!l.m)
		return -ENOMEM;
	mosquitto_connect_callback_set(l.m, on_connect);
	mosquitto_publish_callback_set(l.m, on_publish);
	code = carry(&l);
	if (code >= 0 && mosquitto_disconnect(l.m) == MOSQ_ERR_SUCCESS)
		mosquitto_loop_write(l.m, 1);
	mosquitto_destroy(l.m);
	mosquitto_lib_cleanup();
	return code;
}
