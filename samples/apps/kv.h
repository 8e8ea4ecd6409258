/* SPDX-License-Identifier: MIT */
/*
 * kv.h - what the parts of the server kv share.
 *
 *	kv.c		options, the listener, the end
 *	kv_conn.c	a connection: one coroutine
 *	kv_resp.c	requests out of bytes
 *	kv_command.c	the table of commands, and those about the server
 *	kv_keys.c	commands on keys
 *	kv_store.c	keys and values
 *	kv_hub.c	publish and subscribe
 *	kv_out.c	answers into bytes
 */
#ifndef KV_H
#define KV_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <weft.h>

#include "kv_resp.h"
#include "kv_store.h"

struct kv_config {		/* [const] once the server runs */
	const char *listen;
	int workers;
	int max_clients;
	size_t max_bulk;	/* bytes of an argument */
	size_t max_request;	/* bytes of a whole request */
	size_t max_output;	/* bytes of answers that wait for a client */
	size_t max_backlog;	/* bytes of messages that wait for one */
	co_time timeout;	/* of idle clients; 0: none */
};
extern struct kv_config kv_config;

struct kv_stats {
	atomic_int clients;
	atomic_ullong connections, commands;
};
extern struct kv_stats kv_stats;

void kv_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* --- answers -------------------------------------------------------------- */

struct kv_out {
	char *p;
	size_t sent, n, room;	/* bytes: sent, written, there is room for */
	bool failed;		/* over max_output, or out of memory */
};

static inline size_t
kv_out_pending(const struct kv_out *o)
{
	return o->n - o->sent;
}

void kv_out_bytes(struct kv_out *o, const char *p, size_t n);
void kv_out_text(struct kv_out *o, const char *text);	/* "+OK\r\n" */
void kv_out_integer(struct kv_out *o, long long v);
void kv_out_array(struct kv_out *o, size_t n);
void kv_out_bulk(struct kv_out *o, const char *p, size_t n);
void kv_out_string(struct kv_out *o, const char *text);	/* as a bulk */
void kv_out_nil(struct kv_out *o);
/* Without "-" and the line's end; bytes that would end the line are blanked. */
void kv_out_error(struct kv_out *o, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* --- clients and commands ------------------------------------------------- */

struct kv_message;
struct kv_topic;

struct kv_client {		/* all but the last part: [its coroutine] */
	int fd;
	unsigned long long id;
	int64_t now;		/* milliseconds, when it was last read from */
	struct kv_parser parser;
	char *in;
	size_t in_at, in_n, in_room;	/* read: from in_at to in_n */
	struct kv_out out;
	bool quit;
	char name[64];

	/* kv_hub.c */
	struct kv_topic **topics;	/* [hub] which it is subscribed to */
	size_t n_topics, topics_room;
	chan(struct kv_message *) outbox;	/* NULL: never subscribed */
	atomic_size_t backlog;	/* bytes in outbox: publishers add, we take */
	bool kicked;		/* [hub] */
	struct co_event kick;	/* it was too slow */
};

struct kv_command;

struct kv_call {
	const struct kv_command *command;
	const struct kv_arg *args;	/* the first is the command's name */
	size_t n;
	uint64_t hash;		/* of the first key */
};

typedef void kv_fn(struct kv_client *c, const struct kv_call *call);

enum {
	KV_WRITE = 1, KV_READONLY = 2, KV_FAST = 4,	/* what COMMAND says */
	KV_PUBSUB = 8,		/* also while subscribed */
	KV_ALL_KEYS = 16,	/* wants the whole store locked */
	KV_HUB = 32		/* wants kv_hub locked */
};

struct kv_command {
	const char *name;
	kv_fn *fn;
	int arity;		/* arguments with the name; -n: n or more */
	unsigned flags;
	int first, last, step;	/* its keys; last < 0: from the end */
};

/* Answers the request in c->parser.  Negative: it was not carried out, and
   nothing was answered. */
int kv_execute(struct kv_client *c);

/* Does an argument say the word, whatever its case? */
bool kv_arg_is(const struct kv_arg *a, const char *word);
bool kv_glob(const char *pattern, size_t n, const char *s, size_t size);

/* The commands on keys, in kv_keys.c; their keys are locked. */
kv_fn kv_append, kv_dbsize, kv_decr, kv_decrby, kv_del, kv_exists, kv_expire,
    kv_flushall, kv_get, kv_incr, kv_incrby, kv_keys, kv_llen, kv_lpop,
    kv_lpush, kv_lrange, kv_mget, kv_mset, kv_persist, kv_pexpire, kv_pttl,
    kv_rpop, kv_rpush, kv_set, kv_strlen, kv_ttl, kv_type;

/* --- connections and messages --------------------------------------------- */

struct kv_connection {
	int fd;
	unsigned long long id;
};

int kv_serve(struct kv_connection *connection);

extern struct co_mutex kv_hub;
kv_fn kv_publish, kv_subscribe, kv_unsubscribe;	/* kv_hub is locked */
/* The client's subscriptions, and the messages that wait for it, go. */
void kv_hub_leave(struct kv_client *c);
/* Takes a message out of the outbox into the answers. */
void kv_hub_take(struct kv_client *c, struct kv_message *m);

#endif
