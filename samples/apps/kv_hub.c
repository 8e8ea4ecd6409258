/* SPDX-License-Identifier: MIT */
/*
 * kv_hub.c - publish and subscribe.
 *
 * A client that subscribes gets an outbox, a channel without a bound of its
 * own, and the bytes in it are counted.  Who publishes never waits for a
 * subscriber: a client whose outbox would go over max_backlog is kicked, that
 * is, its coroutine is told by an event to give up.  A message is one piece of
 * memory for all who get it, already as it is sent.
 *
 * The mutex kv_hub guards the table of topics, their subscribers and each
 * client's list of topics.  A client that left under it gets no more
 * messages, and only then its outbox is emptied.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

enum {
	BUCKETS = 1024,		/* a guess: topics are few */
	TOPICS = 1024,		/* of a client, and of a call: they are looked
				   through one by one, and all wait for it */
	OVERHEAD = 64		/* of a message in an outbox, a guess */
};

struct kv_message {
	atomic_uint refs;
	size_t n;
	char bytes[];
};

struct kv_topic {
	struct kv_topic *next;
	struct kv_client **subscribers;
	size_t n_subscribers, room;
	uint64_t hash;
	size_t n;
	char name[];
};

struct co_mutex kv_hub = CO_MUTEX_INIT;
static struct kv_topic *buckets[BUCKETS];	/* [hub] */

/* --- messages ------------------------------------------------------------- */

static void
message_unref(struct kv_message *m)
{
	if (atomic_fetch_sub_explicit(&m->refs, 1, memory_order_acq_rel) == 1)
		free(m);
}

static struct kv_message *
message_new(const struct kv_arg *topic, const struct kv_arg *text)
{
	size_t room = 80 + topic->n + text->n;
	struct kv_message *m = malloc(sizeof *m + room);
	char *p;

	if (!m)
		return NULL;
	atomic_init(&m->refs, 1);
	p = m->bytes + sprintf(m->bytes, "*3\r\n$7\r\nmessage\r\n$%zu\r\n",
	    topic->n);
	memcpy(p, topic->p, topic->n);
	p += topic->n;
	p += sprintf(p, "\r\n$%zu\r\n", text->n);
	memcpy(p, text->p, text->n);
	p += text->n;
	memcpy(p, "\r\n", 2);
	m->n = (size_t)(p + 2 - m->bytes);
	return m;
}

void
kv_hub_take(struct kv_client *c, struct kv_message *m)
{
	kv_out_bytes(&c->out, m->bytes, m->n);
	atomic_fetch_sub(&c->backlog, m->n + OVERHEAD);
	message_unref(m);
}

/* The hub is locked. */
static bool
deliver(struct kv_client *c, struct kv_message *m)
{
	size_t backlog;

	if (c->kicked)
		return false;
	backlog = atomic_fetch_add(&c->backlog, m->n + OVERHEAD);
	atomic_fetch_add_explicit(&m->refs, 1, memory_order_relaxed);
	if (backlog + m->n + OVERHEAD <= kv_config.max_backlog &&
	    chan_try_send(c->outbox, m) == 0)
		return true;
	message_unref(m);
	c->kicked = true;
	kv_log("client %llu: too slow a subscriber: %zu bytes wait for it",
	    c->id, backlog);
	co_event_set(&c->kick);
	return false;
}

/* --- topics; the hub is locked -------------------------------------------- */

static struct kv_topic **
topic_find(const struct kv_arg *name, uint64_t hash)
{
	struct kv_topic **at = &buckets[hash % BUCKETS];

	while (*at && ((*at)->hash != hash || (*at)->n != name->n ||
	    memcmp((*at)->name, name->p, name->n)))
		at = &(*at)->next;
	return at;
}

static struct kv_topic *
topic_get(const struct kv_arg *name)
{
	uint64_t hash = kv_hash(name->p, name->n);
	struct kv_topic **at = topic_find(name, hash);

	if (*at)
		return *at;
	*at = calloc(1, sizeof **at + name->n);
	if (!*at)
		return NULL;
	(*at)->hash = hash;
	(*at)->n = name->n;
	memcpy((*at)->name, name->p, name->n);
	return *at;
}

static void
topic_drop_if_empty(struct kv_topic *t)
{
	struct kv_topic **at = &buckets[t->hash % BUCKETS];

	if (t->n_subscribers)
		return;
	while (*at != t)
		at = &(*at)->next;
	*at = t->next;
	free(t->subscribers);
	free(t);
}

/* Room for one more pointer in a list that doubles. */
static void *
room_for(void *list, size_t n, size_t *room)
{
	size_t more = *room ? 2 * *room : 4;
	void *p;

	if (n < *room)
		return list;
	p = realloc(list, more * sizeof(void *));
	if (p)
		*room = more;
	return p;
}

static bool
join(struct kv_client *c, struct kv_topic *t)
{
	void *p;

	p = room_for(t->subscribers, t->n_subscribers, &t->room);
	if (!p)
		return false;
	t->subscribers = p;
	p = room_for(c->topics, c->n_topics, &c->topics_room);
	if (!p)
		return false;
	c->topics = p;
	t->subscribers[t->n_subscribers++] = c;
	c->topics[c->n_topics++] = t;
	return true;
}

/* c leaves the topic in its place i. */
static void
leave(struct kv_client *c, size_t i)
{
	struct kv_topic *t = c->topics[i];
	size_t k = 0;

	while (t->subscribers[k] != c)
		k++;
	t->subscribers[k] = t->subscribers[--t->n_subscribers];
	c->n_topics--;
	memmove(&c->topics[i], &c->topics[i + 1],
	    (c->n_topics - i) * sizeof c->topics[0]);
	topic_drop_if_empty(t);
}

static bool
is_in(const struct kv_client *c, const struct kv_arg *name, size_t *ret_i)
{
	size_t i;

	for (i = 0; i < c->n_topics; i++) {
		const struct kv_topic *t = c->topics[i];

		if (t->n == name->n && memcmp(t->name, name->p, t->n) == 0) {
			*ret_i = i;
			return true;
		}
	}
	return false;
}

/* --- commands ------------------------------------------------------------- */

void
kv_publish(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_arg *name = &call->args[1];
	struct kv_message *m = message_new(name, &call->args[2]);
	const struct kv_topic *t;
	long long n = 0;
	size_t i;

	if (!m) {
		kv_out_error(&c->out, "OOM out of memory");
		return;
	}
	t = *topic_find(name, kv_hash(name->p, name->n));
	for (i = 0; t && i < t->n_subscribers; i++)
		n += deliver(t->subscribers[i], m);
	message_unref(m);
	kv_out_integer(&c->out, n);
}

static void
answer(struct kv_client *c, const char *what, const struct kv_arg *name)
{
	kv_out_array(&c->out, 3);
	kv_out_string(&c->out, what);
	if (name)
		kv_out_bulk(&c->out, name->p, name->n);
	else
		kv_out_nil(&c->out);
	kv_out_integer(&c->out, (long long)c->n_topics);
}

static bool
are_too_many(struct kv_client *c, size_t n)
{
	if (n <= TOPICS)
		return false;
	kv_out_error(&c->out, "ERR too many topics");
	return true;
}

static void
subscribe(struct kv_client *c, const struct kv_arg *name)
{
	struct kv_topic *t;
	size_t i;

	if (!is_in(c, name, &i)) {
		if (are_too_many(c, c->n_topics + 1))
			return;
		t = topic_get(name);
		if (!t || !join(c, t)) {
			if (t)
				topic_drop_if_empty(t);
			kv_out_error(&c->out, "OOM out of memory");
			return;
		}
	}
	answer(c, "subscribe", name);
}

void
kv_subscribe(struct kv_client *c, const struct kv_call *call)
{
	size_t i;

	if (are_too_many(c, call->n - 1))
		return;
	if (!c->outbox)
		c->outbox = chan_new(struct kv_message *, CHAN_UNBOUNDED);
	if (!c->outbox) {
		kv_out_error(&c->out, "OOM out of memory");
		return;
	}
	for (i = 1; i < call->n; i++)
		subscribe(c, &call->args[i]);
}

/* As answer(), around leaving: the topic's name may go with it. */
static void
leave_first(struct kv_client *c)
{
	const struct kv_topic *t = c->topics[0];

	kv_out_array(&c->out, 3);
	kv_out_string(&c->out, "unsubscribe");
	kv_out_bulk(&c->out, t->name, t->n);
	leave(c, 0);
	kv_out_integer(&c->out, (long long)c->n_topics);
}

void
kv_unsubscribe(struct kv_client *c, const struct kv_call *call)
{
	size_t i, k;

	if (are_too_many(c, call->n - 1))
		return;
	for (i = 1; i < call->n; i++) {
		if (is_in(c, &call->args[i], &k))
			leave(c, k);
		answer(c, "unsubscribe", &call->args[i]);
	}
	if (call->n > 1)
		return;
	if (!c->n_topics)
		answer(c, "unsubscribe", NULL);
	while (c->n_topics)
		leave_first(c);
}

void
kv_hub_leave(struct kv_client *c)
{
	struct kv_message *m;

	if (!c->outbox)
		return;
	co_shield()
		co_locked(&kv_hub)
			while (c->n_topics)
				leave(c, c->n_topics - 1);
	while (chan_try_recv(c->outbox, &m) == 0)
		message_unref(m);
	chan_unref(c->outbox);
	free(c->topics);
}
