/* SPDX-License-Identifier: MIT */
/*
 * gateway_mqtt.c - libmosquitto, driven over its own socket.
 *
 * One coroutine owns the client and selects over its socket, the outbox and
 * time.  The library's locks are held inside of its calls only, and none of
 * those waits: the one that looks a name up is a job of the blocking pool.
 *
 * A message is sent with "at least once": the library keeps it until the broker
 * has acknowledged it, and sends it again to the broker that comes back.  No
 * more than INFLIGHT are taken from the outbox before that.
 *
 * A broker that is away, refuses, hangs, or accepts and then closes is asked
 * again later and later; the pause is short again when one has said yes.
 */
#include <errno.h>
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway.h"

enum { INFLIGHT = 20, KEEPALIVE = 30 };	/* messages, seconds */
#define PATIENCE	CO_SEC(10)	/* until a broker says yes */
#define PAUSE		CO_MS(100)	/* before it is asked again, at first */
#define LONGEST		CO_SEC(5)

struct link {
	struct broker *b;
	struct mosquitto *m;
	co_time asked;
	co_time pause;
	unsigned seed;
	int inflight;
	int error;		/* errno of the library's last call */
	bool connected;		/* the broker has said yes */
	bool over;		/* the outbox is closed and empty */
	bool complained;	/* once for each time that it is away */
};

static void
on_connect(struct mosquitto *m, void *arg, int code)
{
	struct link *l = arg;

	(void)m;
	if (code != 0)
		return;
	printf("gateway: connected to %s port %d\n", l->b->host, l->b->port);
	l->connected = true;
	l->complained = false;
	l->pause = PAUSE;
	co_event_reset(&l->b->away);
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

	int rc = mosquitto_connect_async(l->m, l->b->host, l->b->port,
	    KEEPALIVE);

	l->error = errno;
	return rc;
}

static void
lose(struct link *l, int rc)
{
	const char *why = rc == MOSQ_ERR_ERRNO ? strerror(l->error) :
	    mosquitto_strerror(rc);

	if (!l->complained)
		printf("gateway: no broker at %s port %d: %s\n", l->b->host,
		    l->b->port, rc == MOSQ_ERR_SUCCESS ? "no answer" : why);
	l->complained = true;
	l->connected = false;
	co_event_set(&l->b->away);
}

static int
publish(struct link *l, const struct message *m)
{
	int rc = mosquitto_publish(l->m, NULL, m->topic, (int)strlen(m->text),
	    m->text, 1, false);

	/* Without a connection it is kept, for the next one. */
	if (rc == MOSQ_ERR_SUCCESS || rc == MOSQ_ERR_NO_CONN)
		l->inflight++;
	else
		l->b->lost++;
	return rc;
}

/* One step; negative: cancelled.  In *ret_rc what the library says. */
static int
step(struct link *l, int *ret_rc)
{
	int fd = mosquitto_socket(l->m), status = 0, n = 0, got, rc = 0;
	bool takes = l->connected && !l->over && l->inflight < INFLIGHT;
	struct co_case cases[4];
	struct message msg;

	*ret_rc = MOSQ_ERR_CONN_LOST;
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
	if (got == 0)
		rc = mosquitto_loop_read(l->m, 1);
	else if (got == 2 && takes && status < 0)
		l->over = true;
	else if (got == 2 && takes)
		rc = publish(l, &msg);
	else if (got >= 2)
		rc = mosquitto_loop_write(l->m, 1);
	l->error = errno;
	*ret_rc = rc == MOSQ_ERR_SUCCESS ? mosquitto_loop_misc(l->m) : rc;
	return 0;
}

/* From a connection to its loss; negative: cancelled. */
static int
carry(struct link *l)
{
	int code, rc;

	l->asked = co_now();
	code = co_blocking(connect_job, l);
	if (code < 0)
		return code;
	rc = code;
	while (rc == MOSQ_ERR_SUCCESS && !(l->over && l->inflight == 0)) {
		if (!l->connected && co_now() - l->asked > PATIENCE)
			break;
		code = step(l, &rc);
		if (code < 0)
			return code;
	}
	return rc;
}

static int
carry_on(struct link *l)
{
	int rc;

	while ((rc = carry(l)) >= 0 && !(l->over && l->inflight == 0)) {
		lose(l, rc);
		rc = co_sleep(jitter(l->pause, &l->seed));
		if (rc < 0)
			break;
		if (l->pause < LONGEST)
			l->pause *= 2;
	}
	return rc;
}

int
publish_all(struct broker *b)
{
	struct link l = {
		.b = b, .pause = PAUSE,
		.seed = (unsigned)co_now() ^ (unsigned)getpid() << 16
	};
	int code;

	co_event_set(&b->away);
	mosquitto_lib_init();
	l.m = mosquitto_new(NULL, true, &l);
	if (!l.m)
		return -ENOMEM;
	mosquitto_connect_callback_set(l.m, on_connect);
	mosquitto_publish_callback_set(l.m, on_publish);
	code = carry_on(&l);
	co_event_set(&b->away);
	b->lost += l.inflight;
	if (l.connected && mosquitto_disconnect(l.m) == MOSQ_ERR_SUCCESS)
		mosquitto_loop_write(l.m, 1);
	mosquitto_destroy(l.m);
	mosquitto_lib_cleanup();
	return code < 0 ? code : 0;
}
