/* SPDX-License-Identifier: MIT */
/*
 * kv_store.h - keys and what they hold: strings and lists, which may expire.
 *
 * The store is a row of shards, each a hash table with a mutex of its own.
 * Who locks several locks them in the order of their numbers.  But for the
 * hash, every function wants the shard's lock held; none of them waits.
 */
#ifndef KV_STORE_H
#define KV_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <weft.h>

enum { KV_SHARDS = 64 };	/* a word has a bit for each */

enum kv_type { KV_STRING, KV_LIST };

struct kv_blob {
	size_t n;
	char bytes[];
};

struct kv_list {		/* a ring */
	struct kv_blob **ring;
	size_t first, n, room;	/* room is a power of two, or 0 */
};

struct kv_string {
	char *p;
	size_t n, room;
};

struct kv_entry {
	struct kv_entry *next;	/* in its bucket */
	uint64_t hash;
	int64_t expires;	/* milliseconds of co_now(), or 0 */
	union {
		struct kv_string string;
		struct kv_list list;
	};
	enum kv_type type;
	uint32_t n;
	char key[];
};

struct kv_shard {
	struct co_mutex mutex;
	struct kv_entry **buckets;
	size_t n_buckets;	/* a power of two, or 0 */
	size_t n, n_expiring;	/* entries */
	size_t swept;		/* where kv_sweep goes on */
} __attribute__((aligned(64)));

extern struct kv_shard kv_shards[KV_SHARDS];

int kv_store_init(void);	/* 0, or a negative errno: no seed */
void kv_store_clear(struct kv_shard *s);

uint64_t kv_hash(const char *key, size_t n);

static inline unsigned
kv_shard_of(uint64_t hash)
{
	return (unsigned)(hash >> 58);
}

/* NULL: there is none, or its time has come. */
struct kv_entry *kv_find(uint64_t hash, const char *key, size_t n, int64_t now);
/* A new, empty string under a key that is not there.  NULL: no memory. */
struct kv_entry *kv_add(uint64_t hash, const char *key, size_t n);
void kv_remove(struct kv_entry *e);
void kv_set_expiry(struct kv_entry *e, int64_t expires);
/* Up to n_buckets of them are looked at for what has expired. */
void kv_sweep(struct kv_shard *s, size_t n_buckets, int64_t now);

/* 0 or -ENOMEM, and then nothing has changed. */
int kv_string_set(struct kv_entry *e, const char *p, size_t n);
int kv_string_append(struct kv_entry *e, const char *p, size_t n);
void kv_become_list(struct kv_entry *e);
int kv_list_push(struct kv_list *l, bool left, const char *p, size_t n);
/* The list is not empty; to be freed with free(3). */
struct kv_blob *kv_list_pop(struct kv_list *l, bool left);

static inline struct kv_blob *
kv_list_at(const struct kv_list *l, size_t i)
{
	return l->ring[(l->first + i) & (l->room - 1)];
}

#endif
