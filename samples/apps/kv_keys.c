/* SPDX-License-Identifier: MIT */
/*
 * kv_keys.c - commands on keys.
 *
 * Whoever calls one of these has locked the shards of its keys, so each takes
 * effect as a whole, and none of them waits.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kv.h"

static const char no_integer[] = "ERR value is not an integer or out of range";
static const char no_memory[] = "OOM out of memory";
static const char wrong_type[] =
    "WRONGTYPE Operation against a key holding the wrong kind of value";

static uint64_t
hash_of(const struct kv_call *call, size_t i)
{
	return i == 1 ? call->hash : kv_hash(call->args[i].p, call->args[i].n);
}

static struct kv_entry *
find(const struct kv_client *c, const struct kv_call *call, size_t i)
{
	const struct kv_arg *key = &call->args[i];

	return kv_find(hash_of(call, i), key->p, key->n, c->now);
}

/* The first key's entry, or NULL.  False: it is of another type; answered. */
static bool
find_type(struct kv_client *c, const struct kv_call *call, enum kv_type type,
    struct kv_entry **ret)
{
	*ret = find(c, call, 1);
	if (!*ret || (*ret)->type == type)
		return true;
	kv_out_error(&c->out, "%s", wrong_type);
	return false;
}

static bool
number(struct kv_client *c, const struct kv_arg *a, long long *ret)
{
	if (kv_number(a->p, a->n, ret) == 0)
		return true;
	kv_out_error(&c->out, "%s", no_integer);
	return false;
}

/* The key becomes a string with that value; its expiry stays. */
static int
store(const struct kv_client *c, uint64_t hash, const struct kv_arg *key,
    const struct kv_arg *value, struct kv_entry **ret)
{
	struct kv_entry *old = kv_find(hash, key->p, key->n, c->now), *e = old;

	if (!e)
		e = kv_add(hash, key->p, key->n);
	if (!e)
		return -ENOMEM;
	if (kv_string_set(e, value->p, value->n) < 0) {
		if (!old)
			kv_remove(e);
		return -ENOMEM;
	}
	*ret = e;
	return 0;
}

static void
answer_value(struct kv_client *c, const struct kv_entry *e)
{
	if (e && e->type == KV_STRING)
		kv_out_bulk(&c->out, e->string.p, e->string.n);
	else
		kv_out_nil(&c->out);
}

/* --- strings -------------------------------------------------------------- */

void
kv_get(struct kv_client *c, const struct kv_call *call)
{
	struct kv_entry *e;

	if (find_type(c, call, KV_STRING, &e))
		answer_value(c, e);
}

enum { NX = 1, XX = 2, GET = 4, KEEP = 8, EX = 16, PX = 32 };

struct set_options {
	unsigned flags;
	int64_t expires;
};

/* When a duration that was given from now ends.  False: answered. */
static bool
expiry(struct kv_client *c, const struct kv_call *call, const struct kv_arg *a,
    bool seconds, bool positive, int64_t *ret)
{
	long long v;

	if (!number(c, a, &v))
		return false;
	if ((positive && v <= 0) || (seconds &&
	    (v > LLONG_MAX / 1000 || v < LLONG_MIN / 1000)) ||
	    (v = seconds ? v * 1000 : v) > LLONG_MAX - c->now) {
		kv_out_error(&c->out, "ERR invalid expire time in '%s' command",
		    call->command->name);
		return false;
	}
	v += c->now;
	*ret = v ? v : -1;	/* 0 is never */
	return true;
}

/* One option; false: there is no such one, or it does not go with another. */
static bool
set_option(const struct kv_arg *a, unsigned *flags, bool has_value)
{
	static const struct {
		const char *name;
		unsigned flag, excludes;
	} options[] = {
		{ "nx", NX, XX }, { "xx", XX, NX }, { "get", GET, 0 },
		{ "keepttl", KEEP, EX | PX }, { "ex", EX, KEEP | PX | EX },
		{ "px", PX, KEEP | EX | PX }
	};
	size_t i;

	for (i = 0; i < sizeof options / sizeof options[0]; i++) {
		if (!kv_arg_is(a, options[i].name))
			continue;
		if (*flags & options[i].excludes ||
		    (options[i].flag & (EX | PX) && !has_value))
			return false;
		*flags |= options[i].flag;
		return true;
	}
	return false;
}

static bool
set_options(struct kv_client *c, const struct kv_call *call,
    struct set_options *ret)
{
	const struct kv_arg *duration = NULL;
	size_t i;

	for (i = 3; i < call->n; i++) {
		unsigned before = ret->flags;

		if (!set_option(&call->args[i], &ret->flags, i + 1 < call->n)) {
			kv_out_error(&c->out, "ERR syntax error");
			return false;
		}
		if ((ret->flags ^ before) & (EX | PX))
			duration = &call->args[++i];
	}
	return !duration || expiry(c, call, duration, ret->flags & EX, true,
	    &ret->expires);
}

void
kv_set(struct kv_client *c, const struct kv_call *call)
{
	struct set_options o = { 0 };
	struct kv_entry *e = NULL;

	if (call->n > 3) {
		if (!set_options(c, call, &o))
			return;
		if (o.flags & GET && !find_type(c, call, KV_STRING, &e))
			return;
		if (o.flags & GET)
			answer_value(c, e);
		else if (o.flags & (NX | XX))
			e = find(c, call, 1);
		if ((o.flags & NX && e) || (o.flags & XX && !e)) {
			if (!(o.flags & GET))
				kv_out_nil(&c->out);
			return;
		}
	}
	if (store(c, call->hash, &call->args[1], &call->args[2], &e) < 0) {
		kv_out_error(&c->out, "%s", no_memory);
		return;
	}
	if (!(o.flags & KEEP))
		kv_set_expiry(e, o.expires);
	if (!(o.flags & GET))
		kv_out_text(&c->out, "+OK\r\n");
}

void
kv_mget(struct kv_client *c, const struct kv_call *call)
{
	size_t i;

	kv_out_array(&c->out, call->n - 1);
	for (i = 1; i < call->n; i++)
		answer_value(c, find(c, call, i));
}

void
kv_mset(struct kv_client *c, const struct kv_call *call)
{
	struct kv_entry *e;
	size_t i;

	if (call->n % 2 == 0) {
		kv_out_error(&c->out,
		    "ERR wrong number of arguments for 'mset' command");
		return;
	}
	for (i = 1; i < call->n; i += 2) {
		if (store(c, hash_of(call, i), &call->args[i],
		    &call->args[i + 1], &e) < 0) {
			kv_out_error(&c->out, "%s", no_memory);
			return;
		}
		kv_set_expiry(e, 0);
	}
	kv_out_text(&c->out, "+OK\r\n");
}

static void
add_number(struct kv_client *c, const struct kv_call *call, long long by)
{
	struct kv_entry *e;
	char text[24];
	struct kv_arg value = { .p = text };
	long long v = 0;

	if (!find_type(c, call, KV_STRING, &e))
		return;
	if (e && kv_number(e->string.p, e->string.n, &v) < 0) {
		kv_out_error(&c->out, "%s", no_integer);
		return;
	}
	if (__builtin_add_overflow(v, by, &v)) {
		kv_out_error(&c->out,
		    "ERR increment or decrement would overflow");
		return;
	}
	value.n = (size_t)snprintf(text, sizeof text, "%lld", v);
	if (store(c, call->hash, &call->args[1], &value, &e) < 0)
		kv_out_error(&c->out, "%s", no_memory);
	else
		kv_out_integer(&c->out, v);
}

void
kv_incr(struct kv_client *c, const struct kv_call *call)
{
	add_number(c, call, 1);
}

void
kv_decr(struct kv_client *c, const struct kv_call *call)
{
	add_number(c, call, -1);
}

void
kv_incrby(struct kv_client *c, const struct kv_call *call)
{
	long long by;

	if (number(c, &call->args[2], &by))
		add_number(c, call, by);
}

void
kv_decrby(struct kv_client *c, const struct kv_call *call)
{
	long long by;

	if (!number(c, &call->args[2], &by))
		return;
	if (by == LLONG_MIN)
		kv_out_error(&c->out, "ERR decrement would overflow");
	else
		add_number(c, call, -by);
}

void
kv_append(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_arg *more = &call->args[2];
	struct kv_entry *e;
	int code;

	if (!find_type(c, call, KV_STRING, &e))
		return;
	if (e && e->string.n + more->n > kv_config.max_bulk) {
		kv_out_error(&c->out, "ERR string exceeds maximum allowed size "
		    "(proto-max-bulk-len)");
		return;
	}
	code = e ? kv_string_append(e, more->p, more->n) :
	    store(c, call->hash, &call->args[1], more, &e);
	if (code < 0)
		kv_out_error(&c->out, "%s", no_memory);
	else
		kv_out_integer(&c->out, (long long)e->string.n);
}

void
kv_strlen(struct kv_client *c, const struct kv_call *call)
{
	struct kv_entry *e;

	if (find_type(c, call, KV_STRING, &e))
		kv_out_integer(&c->out, e ? (long long)e->string.n : 0);
}

/* --- lists ---------------------------------------------------------------- */

static void
push(struct kv_client *c, const struct kv_call *call, bool left)
{
	struct kv_entry *e;
	size_t i;

	if (!find_type(c, call, KV_LIST, &e))
		return;
	if (!e) {
		e = kv_add(call->hash, call->args[1].p, call->args[1].n);
		if (!e) {
			kv_out_error(&c->out, "%s", no_memory);
			return;
		}
		kv_become_list(e);
	}
	for (i = 2; i < call->n; i++) {
		const struct kv_arg *a = &call->args[i];

		if (kv_list_push(&e->list, left, a->p, a->n) == 0)
			continue;
		kv_out_error(&c->out, "%s", no_memory);
		if (e->list.n == 0)
			kv_remove(e);
		return;
	}
	kv_out_integer(&c->out, (long long)e->list.n);
}

void
kv_lpush(struct kv_client *c, const struct kv_call *call)
{
	push(c, call, true);
}

void
kv_rpush(struct kv_client *c, const struct kv_call *call)
{
	push(c, call, false);
}

static void
pop(struct kv_client *c, const struct kv_call *call, bool left)
{
	bool many = call->n == 3;
	long long count = 1;
	struct kv_entry *e;
	size_t n;

	if (many && (kv_number(call->args[2].p, call->args[2].n, &count) < 0 ||
	    count < 0)) {
		kv_out_error(&c->out,
		    "ERR value is out of range, must be positive");
		return;
	}
	if (!find_type(c, call, KV_LIST, &e))
		return;
	if (!e) {
		kv_out_text(&c->out, many ? "*-1\r\n" : "$-1\r\n");
		return;
	}
	n = (unsigned long long)count < e->list.n ? (size_t)count : e->list.n;
	if (many)
		kv_out_array(&c->out, n);
	while (n--) {
		struct kv_blob *b = kv_list_pop(&e->list, left);

		kv_out_bulk(&c->out, b->bytes, b->n);
		free(b);
	}
	if (e->list.n == 0)
		kv_remove(e);
}

void
kv_lpop(struct kv_client *c, const struct kv_call *call)
{
	pop(c, call, true);
}

void
kv_rpop(struct kv_client *c, const struct kv_call *call)
{
	pop(c, call, false);
}

void
kv_llen(struct kv_client *c, const struct kv_call *call)
{
	struct kv_entry *e;

	if (find_type(c, call, KV_LIST, &e))
		kv_out_integer(&c->out, e ? (long long)e->list.n : 0);
}

void
kv_lrange(struct kv_client *c, const struct kv_call *call)
{
	long long from, to, n;
	struct kv_entry *e;

	if (!number(c, &call->args[2], &from) ||
	    !number(c, &call->args[3], &to) || !find_type(c, call, KV_LIST, &e))
		return;
	n = e ? (long long)e->list.n : 0;
	from = from < 0 ? from + n : from;
	from = from < 0 ? 0 : from;
	to = to < 0 ? to + n : to;
	to = to < n ? to : n - 1;
	if (from > to) {
		kv_out_array(&c->out, 0);
		return;
	}
	kv_out_array(&c->out, (size_t)(to - from + 1));
	for (; from <= to && !c->out.failed; from++) {
		const struct kv_blob *b = kv_list_at(&e->list, (size_t)from);

		kv_out_bulk(&c->out, b->bytes, b->n);
	}
}

/* --- keys ----------------------------------------------------------------- */

void
kv_del(struct kv_client *c, const struct kv_call *call)
{
	long long n = 0;
	size_t i;

	for (i = 1; i < call->n; i++) {
		struct kv_entry *e = find(c, call, i);

		n += e != NULL;
		if (e)
			kv_remove(e);
	}
	kv_out_integer(&c->out, n);
}

void
kv_exists(struct kv_client *c, const struct kv_call *call)
{
	long long n = 0;
	size_t i;

	for (i = 1; i < call->n; i++)
		n += find(c, call, i) != NULL;
	kv_out_integer(&c->out, n);
}

void
kv_type(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_entry *e = find(c, call, 1);

	kv_out_text(&c->out, !e ? "+none\r\n" :
	    e->type == KV_LIST ? "+list\r\n" : "+string\r\n");
}

static void
expire(struct kv_client *c, const struct kv_call *call, bool seconds)
{
	struct kv_entry *e;
	int64_t expires;

	if (call->n > 3) {
		kv_out_error(&c->out, "ERR Unsupported option %.*s",
		    (int)(call->args[3].n < 128 ? call->args[3].n : 128),
		    call->args[3].p);
		return;
	}
	if (!expiry(c, call, &call->args[2], seconds, false, &expires))
		return;
	e = find(c, call, 1);
	if (e && expires <= c->now)
		kv_remove(e);
	else if (e)
		kv_set_expiry(e, expires);
	kv_out_integer(&c->out, e != NULL);
}

void
kv_expire(struct kv_client *c, const struct kv_call *call)
{
	expire(c, call, true);
}

void
kv_pexpire(struct kv_client *c, const struct kv_call *call)
{
	expire(c, call, false);
}

/* -2: no such key; -1: it does not expire. */
static long long
time_left(const struct kv_client *c, const struct kv_call *call)
{
	const struct kv_entry *e = find(c, call, 1);

	return !e ? -2 : !e->expires ? -1 : e->expires - c->now;
}

void
kv_pttl(struct kv_client *c, const struct kv_call *call)
{
	kv_out_integer(&c->out, time_left(c, call));
}

void
kv_ttl(struct kv_client *c, const struct kv_call *call)
{
	long long left = time_left(c, call);

	kv_out_integer(&c->out, left < 0 ? left : left / 1000 +
	    (left % 1000 >= 500));
}

void
kv_persist(struct kv_client *c, const struct kv_call *call)
{
	struct kv_entry *e = find(c, call, 1);
	bool did = e && e->expires;

	if (did)
		kv_set_expiry(e, 0);
	kv_out_integer(&c->out, did);
}

/* --- the whole store ------------------------------------------------------ */

/* Those that match, into the answers if told so: how many. */
static size_t
each_key(struct kv_client *c, const struct kv_arg *pattern, bool answer)
{
	size_t n = 0, i, k;
	const struct kv_entry *e;

	for (k = 0; k < KV_SHARDS; k++) {
		for (i = 0; i < kv_shards[k].n_buckets; i++) {
			for (e = kv_shards[k].buckets[i]; e; e = e->next) {
				if ((e->expires && e->expires <= c->now) ||
				    !kv_glob(pattern->p, pattern->n, e->key,
				    e->n))
					continue;
				n++;
				if (answer)
					kv_out_bulk(&c->out, e->key, e->n);
			}
		}
	}
	return n;
}

void
kv_keys(struct kv_client *c, const struct kv_call *call)
{
	kv_out_array(&c->out, each_key(c, &call->args[1], false));
	each_key(c, &call->args[1], true);
}

void
kv_dbsize(struct kv_client *c, const struct kv_call *call)
{
	size_t n = 0, k;

	(void)call;
	for (k = 0; k < KV_SHARDS; k++)
		n += kv_shards[k].n;
	kv_out_integer(&c->out, (long long)n);
}

void
kv_flushall(struct kv_client *c, const struct kv_call *call)
{
	size_t k;

	if (call->n > 2 || (call->n == 2 && !kv_arg_is(&call->args[1], "sync")
	    && !kv_arg_is(&call->args[1], "async"))) {
		kv_out_error(&c->out, "ERR syntax error");
		return;
	}
	for (k = 0; k < KV_SHARDS; k++)
		kv_store_clear(&kv_shards[k]);
	kv_out_text(&c->out, "+OK\r\n");
}
