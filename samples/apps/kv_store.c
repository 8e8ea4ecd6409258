/* SPDX-License-Identifier: MIT */
/*
 * kv_store.c - keys and what they hold: strings and lists, which may expire.
 *
 * Keys hash by SipHash with a random seed: clients choose the keys, and must
 * not be able to choose them all for one bucket.  A shard doubles its table at
 * once; as there are 64 of them, the stall is a 64th of what one would take.
 *
 * With many keys a lookup is waiting for memory: for the bucket and for each
 * entry of its chain (nearly half of the server's time, with 100,000 keys and
 * pipelines of 16).  So a table is at most half full, and most look at one.
 */
#include "kv_store.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct kv_shard kv_shards[KV_SHARDS];
static uint64_t seed[2];	/* [const] after kv_store_init */

int
kv_store_init(void)
{
	unsigned i;

	for (i = 0; i < KV_SHARDS; i++)
		kv_shards[i].mutex = (struct co_mutex)CO_MUTEX_INIT;
	if (getrandom(seed, sizeof seed, 0) != sizeof seed)
		return -EIO;
	return 0;
}

/* --- SipHash-1-3 ---------------------------------------------------------- */

static inline uint64_t
turn(uint64_t x, unsigned bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = turn(v[1], 13) ^ v[0];
	v[3] = turn(v[3], 16) ^ v[2];
	v[0] = turn(v[0], 32) + v[3];
	v[2] += v[1];
	v[1] = turn(v[1], 17) ^ v[2];
	v[3] = turn(v[3], 21) ^ v[0];
	v[2] = turn(v[2], 32);
}

uint64_t
kv_hash(const char *key, size_t n)
{
	uint64_t v[4] = {
		seed[0] ^ UINT64_C(0x736f6d6570736575),
		seed[1] ^ UINT64_C(0x646f72616e646f6d),
		seed[0] ^ UINT64_C(0x6c7967656e657261),
		seed[1] ^ UINT64_C(0x7465646279746573)
	};
	uint64_t word;
	size_t i;

	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&word, key + i, 8);
		v[3] ^= word;
		sip_round(v);
		v[0] ^= word;
	}
	word = 0;
	memcpy(&word, key + i, n - i);
	word ^= (uint64_t)n << 56;
	v[3] ^= word;
	sip_round(v);
	v[0] ^= word;
	v[2] ^= 0xff;
	sip_round(v);
	sip_round(v);
	sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the table ------------------------------------------------------------ */

static struct kv_entry **
bucket_of(const struct kv_shard *s, uint64_t hash)
{
	return &s->buckets[hash & (s->n_buckets - 1)];
}

/* A full table that cannot grow goes on with longer chains. */
static int
grow(struct kv_shard *s)
{
	size_t n = s->n_buckets ? 2 * s->n_buckets : 16, i;
	struct kv_shard old = *s;
	struct kv_entry **buckets = calloc(n, sizeof *buckets), *e, *next;

	if (!buckets)
		return s->buckets ? 0 : -ENOMEM;
	s->buckets = buckets;
	s->n_buckets = n;
	s->swept = 0;
	for (i = 0; i < old.n_buckets; i++) {
		for (e = old.buckets[i]; e; e = next) {
			struct kv_entry **b = bucket_of(s, e->hash);

			next = e->next;
			e->next = *b;
			*b = e;
		}
	}
	free(old.buckets);
	return 0;
}

static void
value_free(struct kv_entry *e)
{
	if (e->type == KV_STRING) {
		free(e->string.p);
		return;
	}
	while (e->list.n)
		free(kv_list_pop(&e->list, true));
	free(e->list.ring);
}

void
kv_remove(struct kv_entry *e)
{
	struct kv_shard *s = &kv_shards[kv_shard_of(e->hash)];
	struct kv_entry **at = bucket_of(s, e->hash);

	while (*at != e)
		at = &(*at)->next;
	*at = e->next;
	s->n--;
	s->n_expiring -= e->expires != 0;
	value_free(e);
	free(e);
}

static bool
expired(const struct kv_entry *e, int64_t now)
{
	return e->expires && e->expires <= now;
}

struct kv_entry *
kv_find(uint64_t hash, const char *key, size_t n, int64_t now)
{
	struct kv_shard *s = &kv_shards[kv_shard_of(hash)];
	struct kv_entry *e = s->n ? *bucket_of(s, hash) : NULL;

	while (e && (e->hash != hash || e->n != n || memcmp(e->key, key, n)))
		e = e->next;
	if (e && expired(e, now)) {
		kv_remove(e);
		return NULL;
	}
	return e;
}

struct kv_entry *
kv_add(uint64_t hash, const char *key, size_t n)
{
	struct kv_shard *s = &kv_shards[kv_shard_of(hash)];
	struct kv_entry *e, **b;

	if (n > UINT32_MAX || (s->n >= s->n_buckets / 2 && grow(s) < 0))
		return NULL;
	e = malloc(sizeof *e + n);
	if (!e)
		return NULL;
	b = bucket_of(s, hash);
	*e = (struct kv_entry){ .next = *b, .hash = hash, .n = (uint32_t)n };
	memcpy(e->key, key, n);
	*b = e;
	s->n++;
	return e;
}

void
kv_set_expiry(struct kv_entry *e, int64_t expires)
{
	struct kv_shard *s = &kv_shards[kv_shard_of(e->hash)];

	s->n_expiring += (size_t)(expires != 0) - (size_t)(e->expires != 0);
	e->expires = expires;
}

void
kv_sweep(struct kv_shard *s, size_t n_buckets, int64_t now)
{
	struct kv_entry *e, *next;

	while (n_buckets-- && s->n_expiring) {
		s->swept &= s->n_buckets - 1;
		for (e = s->buckets[s->swept++]; e; e = next) {
			next = e->next;
			if (expired(e, now))
				kv_remove(e);
		}
	}
}

void
kv_store_clear(struct kv_shard *s)
{
	size_t i;

	for (i = 0; i < s->n_buckets; i++)
		while (s->buckets[i])
			kv_remove(s->buckets[i]);
	free(s->buckets);
	s->buckets = NULL;
	s->n_buckets = s->swept = 0;
}

/* --- values --------------------------------------------------------------- */

int
kv_string_set(struct kv_entry *e, const char *p, size_t n)
{
	/* Reused if it fits and does not waste more than half of it. */
	if (e->type != KV_STRING || !e->string.p || n > e->string.room ||
	    n < e->string.room / 2) {
		char *copy = malloc(n ? n : 1);

		if (!copy)
			return -ENOMEM;
		value_free(e);
		e->type = KV_STRING;
		e->string = (struct kv_string){ .p = copy, .room = n };
	}
	memcpy(e->string.p, p, n);
	e->string.n = n;
	return 0;
}

int
kv_string_append(struct kv_entry *e, const char *p, size_t n)
{
	struct kv_string *s = &e->string;

	if (n > s->room - s->n) {
		size_t room = 2 * (s->n + n);
		char *more = realloc(s->p, room);

		if (!more)
			return -ENOMEM;
		s->p = more;
		s->room = room;
	}
	memcpy(s->p + s->n, p, n);
	s->n += n;
	return 0;
}

void
kv_become_list(struct kv_entry *e)
{
	value_free(e);
	e->type = KV_LIST;
	e->list = (struct kv_list){ 0 };
}

static int
list_grow(struct kv_list *l)
{
	size_t room = l->room ? 2 * l->room : 8, i;
	struct kv_blob **ring = malloc(room * sizeof *ring);

	if (!ring)
		return -ENOMEM;
	for (i = 0; i < l->n; i++)
		ring[i] = kv_list_at(l, i);
	free(l->ring);
	l->ring = ring;
	l->room = room;
	l->first = 0;
	return 0;
}

int
kv_list_push(struct kv_list *l, bool left, const char *p, size_t n)
{
	struct kv_blob *b;

	if (l->n == l->room && list_grow(l) < 0)
		return -ENOMEM;
	b = malloc(sizeof *b + n);
	if (!b)
		return -ENOMEM;
	b->n = n;
	memcpy(b->bytes, p, n);
	l->first -= left;
	l->ring[(left ? l->first : l->first + l->n) & (l->room - 1)] = b;
	l->n++;
	return 0;
}

struct kv_blob *
kv_list_pop(struct kv_list *l, bool left)
{
	struct kv_blob *b = kv_list_at(l, left ? 0 : l->n - 1);

	l->first += left;
	l->n--;
	return b;
}
