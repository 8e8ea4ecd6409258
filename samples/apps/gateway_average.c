/* SPDX-License-Identifier: MIT */
/*
 * gateway_average.c - one coroutine has all sensors, and so needs no lock.
 *
 * It tells the average of each at the end of a window, and at once when one
 * rises over the threshold.  When the outbox is full it waits while the broker
 * is there, which slows the devices down; while the broker is away the oldest
 * message is dropped, and counted.
 */
#include <errno.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway.h"

enum { SENSORS = 100000 };	/* devices choose names: there is an end to it */

struct sensor {
	char name[SENSOR];
	struct averager *of;
	double sum;
	long n;
	bool high;		/* over the threshold */
};

static int
by_name(const void *a, const void *b)
{
	return strcmp(((const struct sensor *)a)->name,
	    ((const struct sensor *)b)->name);
}

static void
tell(struct averager *a, const char *kind, const char *name, double value)
{
	struct message m, oldest;
	int status;

	snprintf(m.topic, sizeof m.topic, "weft/%s/%s", kind, name);
	snprintf(m.text, sizeof m.text, "%.10g", value);
	if (co_select(co_on_send(a->broker->outbox, m, &status),
	    co_on_event(&a->broker->away)) == 0)
		return;
	/* It is away, or (negative) there is no more time to wait. */
	while (chan_try_send(a->broker->outbox, m) == -EAGAIN)
		if (chan_try_recv(a->broker->outbox, &oldest) == 0)
			a->dropped++;
}

static struct sensor *
find(struct averager *a, const char *name)
{
	struct sensor key = { .of = a }, *s, **found;

	memcpy(key.name, name, sizeof key.name);
	found = tfind(&key, &a->sensors, by_name);
	if (found)
		return *found;
	s = a->n < SENSORS ? malloc(sizeof *s) : NULL;
	if (!s)
		return NULL;
	*s = key;
	if (!tsearch(s, &a->sensors, by_name)) {
		free(s);
		return NULL;
	}
	a->n++;
	return s;
}

static void
take(struct averager *a, const struct reading *r)
{
	struct sensor *s = find(a, r->name);
	bool high = r->value > a->threshold;

	if (!s) {
		a->refused++;
		return;
	}
	s->sum += r->value;
	s->n++;
	a->taken++;
	if (high && !s->high)
		tell(a, "alert", s->name, r->value);
	s->high = high;
}

/* Called by twalk(3), which knows nothing of coroutines: it may wait. */
static void
tell_average(const void *node, VISIT when, int depth)
{
	struct sensor *s = *(struct sensor *const *)node;

	(void)depth;
	if ((when != postorder && when != leaf) || s->n == 0)
		return;
	tell(s->of, "average", s->name, s->sum / (double)s->n);
	s->sum = 0;
	s->n = 0;
}

int
average_all(struct averager *a)
{
	co_time end = co_now() + a->window;
	int status = 0, got;
	struct reading r;

	do {
		got = co_select(co_on_recv(a->readings, &r, &status),
		    co_on_timeout(end - co_now()));
		if (got == 0 && status == 0) {
			take(a, &r);
		} else if (got == 1) {
			twalk(a->sensors, tell_average);
			end += a->window;
			/* A slow broker makes windows longer. */
			if (end < co_now())
				end = co_now() + a->window;
		}
	} while (got >= 0 && status >= 0);
	co_timeout(a->drain)
		twalk(a->sensors, tell_average);
	chan_close(a->broker->outbox);
	tdestroy(a->sensors, free);
	return 0;
}
