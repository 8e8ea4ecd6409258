/* SPDX-License-Identifier: MIT */
/*
 * bare.h - lists, and a channel without its calls, for those who do all by hand
 * (machine.c, stackful.c).  BARE is what waits: it has a `next` and a `v`, what
 * it sends or has received.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

struct list {
	BARE *first, **end;
};

static inline __attribute__((__always_inline__)) void
push(struct list *l, BARE *m)
{
	m->next = NULL;
	*l->end = m;
	l->end = &m->next;
}

static inline __attribute__((__always_inline__)) BARE *
pop(struct list *l)
{
	BARE *m = l->first;

	if (m && !(l->first = m->next))
		l->end = &l->first;
	return m;
}

struct channel {
	struct list senders, receivers;
	unsigned cap, head, tail;
	int ring[128];
};

static inline void
channel_init(struct channel *c, unsigned cap)
{
	c->senders = (struct list){ NULL, &c->senders.first };
	c->receivers = (struct list){ NULL, &c->receivers.first };
	c->cap = cap;
	c->head = c->tail = 0;
}

#endif
