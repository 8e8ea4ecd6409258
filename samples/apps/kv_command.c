/* SPDX-License-Identifier: MIT */
/*
 * kv_command.c - the table of commands, how one is carried out, and those
 * about the server and the connection.
 *
 * A request locks the shards of its keys, all of them, lowest first, and so is
 * carried out as a whole.  With one worker the locks are free whenever they are
 * asked for, as nobody waits while he holds one; they cost some 10 ns of a
 * request.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "kv.h"

/* What clients look for to know what they can ask. */
static const char version[] = "7.0.15";

bool
kv_arg_is(const struct kv_arg *a, const char *word)
{
	return strlen(word) == a->n && strncasecmp(a->p, word, a->n) == 0;
}

/* --- patterns ------------------------------------------------------------- */

/* The set at p, behind its '[': does it have c?  *ret_p is behind it. */
static bool
glob_set(const char *p, const char *end, char c, const char **ret_p)
{
	bool not = p < end && *p == '^', found = false;

	for (p += not; p < end && *p != ']'; p++) {
		if (*p == '\\' && p + 1 < end) {
			p++;
			found |= *p == c;
		} else if (p + 2 < end && p[1] == '-') {
			char low = p[0] < p[2] ? p[0] : p[2];
			char high = p[0] < p[2] ? p[2] : p[0];

			found |= c >= low && c <= high;
			p += 2;
		} else {
			found |= *p == c;
		}
	}
	*ret_p = p < end ? p + 1 : p;
	return found != not;
}

/*
 * The last '*' takes one byte more whenever the rest does not match: that is
 * enough, and takes no more than n * size steps.
 */
bool
kv_glob(const char *pattern, size_t n, const char *s, size_t size)
{
	const char *p = pattern, *end = pattern + n, *s_end = s + size;
	const char *star = NULL, *from = NULL, *next;
	bool match;

	while (s < s_end || p < end) {
		match = false;
		next = p + 1;
		if (p < end && *p == '*') {
			star = ++p;
			from = s;
			continue;
		}
		if (p < end && s < s_end) {
			if (*p == '[')
				match = glob_set(p + 1, end, *s, &next);
			else if (*p == '\\' && next < end)
				match = *next++ == *s;
			else
				match = *p == '?' || *p == *s;
		}
		if (match) {
			p = next;
			s++;
		} else if (star && from < s_end) {
			p = star;
			s = ++from;
		} else {
			return false;
		}
	}
	return true;
}

/* --- about the connection ------------------------------------------------- */

static void
ping(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_arg none = { .p = c->name, .n = 0 };
	const struct kv_arg *a = call->n == 2 ? &call->args[1] : &none;

	if (call->n > 2) {
		kv_out_error(&c->out,
		    "ERR wrong number of arguments for 'ping' command");
	} else if (c->n_topics) {
		kv_out_array(&c->out, 2);
		kv_out_string(&c->out, "pong");
		kv_out_bulk(&c->out, a->p, a->n);
	} else if (call->n == 2) {
		kv_out_bulk(&c->out, a->p, a->n);
	} else {
		kv_out_text(&c->out, "+PONG\r\n");
	}
}

static void
echo(struct kv_client *c, const struct kv_call *call)
{
	kv_out_bulk(&c->out, call->args[1].p, call->args[1].n);
}

static void
quit(struct kv_client *c, const struct kv_call *call)
{
	(void)call;
	kv_out_text(&c->out, "+OK\r\n");
	c->quit = true;
}

static void
select_db(struct kv_client *c, const struct kv_call *call)
{
	long long v;

	if (kv_number(call->args[1].p, call->args[1].n, &v) < 0)
		kv_out_error(&c->out,
		    "ERR value is not an integer or out of range");
	else if (v != 0)
		kv_out_error(&c->out, "ERR DB index is out of range");
	else
		kv_out_text(&c->out, "+OK\r\n");
}

static bool
set_name(struct kv_client *c, const struct kv_arg *a)
{
	size_t i;

	for (i = 0; i < a->n && a->p[i] >= '!' && a->p[i] <= '~'; i++)
		;
	if (i < a->n) {
		kv_out_error(&c->out, "ERR Client names cannot contain spaces, "
		    "newlines or special characters.");
		return false;
	}
	if (a->n >= sizeof c->name) {
		kv_out_error(&c->out, "ERR Client name is too long");
		return false;
	}
	memcpy(c->name, a->p, a->n);
	c->name[a->n] = 0;
	return true;
}

/* HELLO [2 [SETNAME name]]: RESP2 is what we speak. */
static void
hello(struct kv_client *c, const struct kv_call *call)
{
	long long v = 2;

	if (call->n > 1 &&
	    kv_number(call->args[1].p, call->args[1].n, &v) < 0) {
		kv_out_error(&c->out,
		    "ERR Protocol version is not an integer or out of range");
		return;
	}
	if (v != 2) {
		kv_out_error(&c->out, "NOPROTO unsupported protocol version");
		return;
	}
	if (call->n > 2 && (call->n != 4 ||
	    !kv_arg_is(&call->args[2], "setname"))) {
		kv_out_error(&c->out, "ERR Syntax error in HELLO option '%.*s'",
		    (int)(call->args[2].n < 128 ? call->args[2].n : 128),
		    call->args[2].p);
		return;
	}
	if (call->n == 4 && !set_name(c, &call->args[3]))
		return;
	kv_out_array(&c->out, 14);
	kv_out_string(&c->out, "server");
	kv_out_string(&c->out, "redis");
	kv_out_string(&c->out, "version");
	kv_out_string(&c->out, version);
	kv_out_string(&c->out, "proto");
	kv_out_integer(&c->out, 2);
	kv_out_string(&c->out, "id");
	kv_out_integer(&c->out, (long long)c->id);
	kv_out_string(&c->out, "mode");
	kv_out_string(&c->out, "standalone");
	kv_out_string(&c->out, "role");
	kv_out_string(&c->out, "master");
	kv_out_string(&c->out, "modules");
	kv_out_array(&c->out, 0);
}

/* Is the first argument that word, and are there n?  It answers if not n. */
static bool
sub(struct kv_client *c, const struct kv_call *call, const char *word,
    size_t least, size_t most, bool *ret_done)
{
	if (*ret_done || !kv_arg_is(&call->args[1], word))
		return false;
	*ret_done = true;
	if (call->n >= least && call->n <= most)
		return true;
	kv_out_error(&c->out, "ERR wrong number of arguments for '%s|%s' "
	    "command", call->command->name, word);
	return false;
}

static void
unknown_sub(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_arg *a = &call->args[1];
	char upper[16] = "";
	size_t i;

	for (i = 0; call->command->name[i] && i + 1 < sizeof upper; i++)
		upper[i] = (char)(call->command->name[i] - 'a' + 'A');
	kv_out_error(&c->out, "ERR unknown subcommand '%.*s'. Try %s HELP.",
	    (int)(a->n < 128 ? a->n : 128), a->p, upper);
}

static void
client(struct kv_client *c, const struct kv_call *call)
{
	bool done = false;

	if (sub(c, call, "setname", 3, 3, &done)) {
		if (set_name(c, &call->args[2]))
			kv_out_text(&c->out, "+OK\r\n");
	} else if (sub(c, call, "getname", 2, 2, &done)) {
		if (c->name[0])
			kv_out_string(&c->out, c->name);
		else
			kv_out_nil(&c->out);
	} else if (sub(c, call, "id", 2, 2, &done)) {
		kv_out_integer(&c->out, (long long)c->id);
	} else if (sub(c, call, "setinfo", 4, 4, &done)) {
		kv_out_text(&c->out, "+OK\r\n");
	} else if (!done) {
		unknown_sub(c, call);
	}
}

/* --- about the server ----------------------------------------------------- */

static void
config(struct kv_client *c, const struct kv_call *call)
{
	struct { const char *name; char value[24]; } v[] = {
		{ "appendonly", "no" }, { "databases", "1" },
		{ "maxclients", "" }, { "proto-max-bulk-len", "" },
		{ "save", "" }, { "timeout", "" }
	};
	size_t n = sizeof v / sizeof v[0], i, k, found = 0, round;
	bool done = false;

	if (!sub(c, call, "get", 3, SIZE_MAX, &done)) {
		if (!done)
			unknown_sub(c, call);
		return;
	}
	snprintf(v[2].value, sizeof v[2].value, "%d", kv_config.max_clients);
	snprintf(v[3].value, sizeof v[3].value, "%zu", kv_config.max_bulk);
	snprintf(v[5].value, sizeof v[5].value, "%lld",
	    (long long)(kv_config.timeout / CO_SEC(1)));
	for (round = 0; round < 2; round++) {
		for (i = 0; i < n; i++) {
			for (k = 2; k < call->n && !kv_glob(call->args[k].p,
			    call->args[k].n, v[i].name, strlen(v[i].name)); k++)
				;
			if (k == call->n)
				continue;
			found += !round;
			if (round) {
				kv_out_string(&c->out, v[i].name);
				kv_out_string(&c->out, v[i].value);
			}
		}
		if (!round)
			kv_out_array(&c->out, 2 * found);
	}
}

static void
info(struct kv_client *c, const struct kv_call *call)
{
	size_t keys = 0, expiring = 0, k;
	char text[1024];
	int n;

	(void)call;
	for (k = 0; k < KV_SHARDS; k++) {
		keys += kv_shards[k].n;
		expiring += kv_shards[k].n_expiring;
	}
	n = snprintf(text, sizeof text,
	    "# Server\r\nredis_version:%s\r\nredis_mode:standalone\r\n"
	    "server_name:weft-kv\r\nprocess_id:%ld\r\n\r\n"
	    "# Clients\r\nconnected_clients:%d\r\nmaxclients:%d\r\n\r\n"
	    "# Stats\r\ntotal_connections_received:%llu\r\n"
	    "total_commands_processed:%llu\r\n\r\n"
	    "# Replication\r\nrole:master\r\n\r\n# Keyspace\r\n",
	    version, (long)getpid(), atomic_load(&kv_stats.clients),
	    kv_config.max_clients, atomic_load(&kv_stats.connections),
	    atomic_load(&kv_stats.commands));
	if (keys)
		n += snprintf(text + n, sizeof text - (size_t)n,
		    "db0:keys=%zu,expires=%zu,avg_ttl=0\r\n", keys, expiring);
	kv_out_bulk(&c->out, text, (size_t)n);
}

static kv_fn command;

static const struct kv_command commands[] = {
	/* name, what it does, arity, flags, keys: first, last, step */
	{ "append", kv_append, 3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "client", client, -2, 0, 0, 0, 0 },
	{ "command", command, -1, 0, 0, 0, 0 },
	{ "config", config, -2, 0, 0, 0, 0 },
	{ "dbsize", kv_dbsize, 1, KV_READONLY | KV_ALL_KEYS, 0, 0, 0 },
	{ "decr", kv_decr, 2, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "decrby", kv_decrby, 3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "del", kv_del, -2, KV_WRITE, 1, -1, 1 },
	{ "echo", echo, 2, KV_FAST, 0, 0, 0 },
	{ "exists", kv_exists, -2, KV_READONLY | KV_FAST, 1, -1, 1 },
	{ "expire", kv_expire, -3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "flushall", kv_flushall, -1, KV_WRITE | KV_ALL_KEYS, 0, 0, 0 },
	{ "get", kv_get, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "hello", hello, -1, KV_FAST, 0, 0, 0 },
	{ "incr", kv_incr, 2, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "incrby", kv_incrby, 3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "info", info, -1, KV_ALL_KEYS, 0, 0, 0 },
	{ "keys", kv_keys, 2, KV_READONLY | KV_ALL_KEYS, 0, 0, 0 },
	{ "llen", kv_llen, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "lpop", kv_lpop, -2, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "lpush", kv_lpush, -3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "lrange", kv_lrange, 4, KV_READONLY, 1, 1, 1 },
	{ "mget", kv_mget, -2, KV_READONLY | KV_FAST, 1, -1, 1 },
	{ "mset", kv_mset, -3, KV_WRITE, 1, -1, 2 },
	{ "persist", kv_persist, 2, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "pexpire", kv_pexpire, -3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "ping", ping, -1, KV_FAST | KV_PUBSUB, 0, 0, 0 },
	{ "pttl", kv_pttl, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "publish", kv_publish, 3, KV_FAST | KV_HUB, 0, 0, 0 },
	{ "quit", quit, -1, KV_FAST | KV_PUBSUB, 0, 0, 0 },
	{ "rpop", kv_rpop, -2, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "rpush", kv_rpush, -3, KV_WRITE | KV_FAST, 1, 1, 1 },
	{ "select", select_db, 2, KV_FAST, 0, 0, 0 },
	{ "set", kv_set, -3, KV_WRITE, 1, 1, 1 },
	{ "strlen", kv_strlen, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "subscribe", kv_subscribe, -2, KV_PUBSUB | KV_HUB, 0, 0, 0 },
	{ "ttl", kv_ttl, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "type", kv_type, 2, KV_READONLY | KV_FAST, 1, 1, 1 },
	{ "unsubscribe", kv_unsubscribe, -1, KV_PUBSUB | KV_HUB, 0, 0, 0 }
};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

/* Binary search: six comparisons, nearly always of the first letters. */
static const struct kv_command *
find_command(const struct kv_arg *a)
{
	int low = 0, high = N_COMMANDS - 1;

	while (low <= high) {
		int at = (low + high) / 2;
		const char *name = commands[at].name;
		int order = strncasecmp(a->p, name, a->n);

		if (order == 0 && strlen(name) == a->n)
			return &commands[at];
		if (order > 0 || (order == 0 && strlen(name) < a->n))
			low = at + 1;
		else
			high = at - 1;
	}
	return NULL;
}

static void
describe(struct kv_client *c, const struct kv_command *m)
{
	kv_out_array(&c->out, 6);
	kv_out_string(&c->out, m->name);
	kv_out_integer(&c->out, m->arity);
	kv_out_array(&c->out, (size_t)__builtin_popcount(m->flags &
	    (KV_WRITE | KV_READONLY | KV_FAST)));
	if (m->flags & KV_WRITE)
		kv_out_text(&c->out, "+write\r\n");
	if (m->flags & KV_READONLY)
		kv_out_text(&c->out, "+readonly\r\n");
	if (m->flags & KV_FAST)
		kv_out_text(&c->out, "+fast\r\n");
	kv_out_integer(&c->out, m->first);
	kv_out_integer(&c->out, m->last);
	kv_out_integer(&c->out, m->step);
}

static void
command(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_command *m;
	bool done = false;
	size_t i;

	if (call->n == 1) {
		kv_out_array(&c->out, N_COMMANDS);
		for (i = 0; i < N_COMMANDS; i++)
			describe(c, &commands[i]);
	} else if (sub(c, call, "count", 2, 2, &done)) {
		kv_out_integer(&c->out, N_COMMANDS);
	} else if (sub(c, call, "docs", 2, SIZE_MAX, &done)) {
		kv_out_array(&c->out, 0);
	} else if (sub(c, call, "info", 2, SIZE_MAX, &done)) {
		kv_out_array(&c->out, call->n - 2);
		for (i = 2; i < call->n; i++) {
			m = find_command(&call->args[i]);
			if (m)
				describe(c, m);
			else
				kv_out_text(&c->out, "*-1\r\n");
		}
	} else if (!done) {
		unknown_sub(c, call);
	}
}

/* --- carrying out --------------------------------------------------------- */

static void
unknown(struct kv_client *c, const struct kv_call *call)
{
	char args[192] = "";
	size_t n = 0, i;

	for (i = 1; i < call->n && n < 128; i++) {
		size_t most = 128 - n;

		if (most > call->args[i].n)
			most = call->args[i].n;
		n += (size_t)snprintf(args + n, sizeof args - n, "'%.*s' ",
		    (int)most, call->args[i].p);
	}
	kv_out_error(&c->out, "ERR unknown command '%.*s', with args beginning "
	    "with: %s", (int)(call->args[0].n < 128 ? call->args[0].n : 128),
	    call->args[0].p, args);
}

/* May it be carried out?  Else it is answered. */
static bool
admit(struct kv_client *c, const struct kv_call *call)
{
	const struct kv_command *m = call->command;

	if (!m) {
		unknown(c, call);
		return false;
	}
	if (m->arity > 0 ? call->n != (size_t)m->arity :
	    call->n < (size_t)-m->arity) {
		kv_out_error(&c->out, "ERR wrong number of arguments for '%s' "
		    "command", m->name);
		return false;
	}
	if (c->n_topics && !(m->flags & KV_PUBSUB)) {
		kv_out_error(&c->out, "ERR Can't execute '%s': only "
		    "(P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
		    "are allowed in this context", m->name);
		return false;
	}
	return true;
}

/* A bit for each shard that the command needs. */
static uint64_t
shards_of(struct kv_call *call)
{
	const struct kv_command *m = call->command;
	const struct kv_arg *a = call->args;
	uint64_t set;
	size_t i, last;

	if (m->flags & KV_ALL_KEYS)
		return UINT64_MAX;
	if (!m->first)
		return 0;
	call->hash = kv_hash(a[1].p, a[1].n);
	set = UINT64_C(1) << kv_shard_of(call->hash);
	last = m->last < 0 ? call->n - 1 : (size_t)m->last;
	for (i = 1 + (size_t)m->step; i <= last; i += (size_t)m->step)
		set |= UINT64_C(1) << kv_shard_of(kv_hash(a[i].p, a[i].n));
	return set;
}

static void
unlock(uint64_t set)
{
	for (; set; set &= set - 1)
		co_mutex_unlock(&kv_shards[__builtin_ctzll(set)].mutex);
}

static int
lock(uint64_t set)
{
	uint64_t left = set;
	int code;

	for (; left; left &= left - 1) {
		code = co_mutex_lock(&kv_shards[__builtin_ctzll(left)].mutex);
		if (code < 0) {
			unlock(set & ~left);
			return code;
		}
	}
	return 0;
}

int
kv_execute(struct kv_client *c)
{
	struct kv_call call = { .args = c->parser.args,
	    .n = c->parser.n_args };
	uint64_t set;
	int code;

	if (call.n == 0)
		return 0;
	call.command = find_command(&call.args[0]);
	if (!admit(c, &call))
		return 0;
	if (call.command->flags & KV_HUB) {
		code = co_mutex_lock(&kv_hub);
		if (code < 0)
			return code;
		call.command->fn(c, &call);
		return co_mutex_unlock(&kv_hub);
	}
	set = shards_of(&call);
	code = lock(set);
	if (code < 0)
		return code;
	call.command->fn(c, &call);
	unlock(set);
	return 0;
}
