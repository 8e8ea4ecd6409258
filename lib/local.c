/* SPDX-License-Identifier: MIT */
/*
 * local.c - task-local values.
 *
 * Layer 5.  A task has one counted block with all of its values; a child
 * begins with its spawner's block, and who sets a value in a block that others
 * have too copies it first.
 *
 *	I1  a block with refs > 1 is never written.
 */
#include "local.h"
#include "park.h"

#include <stdlib.h>

struct entry {
	const struct co__local_key *key;
	size_t at;		/* of the value, in the block's data */
};

struct locals {
	uint32_t refs;		/* [atomic] */
	uint32_t count, room;	/* entries */
	size_t used, size;	/* bytes of data */
	struct entry *entry;
	char *data;
};

struct locals *
locals_ref(struct locals *l)
{
	if (l)
		a_add_relaxed(&l->refs, 1);	/* who has one may give one */
	return l;
}

void
locals_unref(struct locals *l)
{
	if (!l || a_add_acqrel(&l->refs, -1u) != 1)
		return;
	free(l->entry);
	free(l->data);
	free(l);
}

static struct entry *
find(struct locals *l, const struct co__local_key *key)
{
	uint32_t i;

	for (i = 0; l && i < l->count; i++)
		if (l->entry[i].key == key)
			return &l->entry[i];
	return NULL;
}

/* A block of its own, with the old values and room for one more. */
static struct locals *
copy_grown(const struct locals *old, size_t size)
{
	struct locals *l = chaos_fail() ? NULL : calloc(1, sizeof *l);
	uint32_t count = old ? old->count : 0;
	size_t used = old ? old->used : 0;

	if (!l)
		return NULL;
	l->refs = 1;
	l->room = count + 4;
	l->size = (used + size) * 2 + 64;
	l->entry = calloc(l->room, sizeof *l->entry);
	l->data = malloc(l->size);
	if (!l->entry || !l->data) {
		locals_unref(l);
		return NULL;
	}
	l->count = count;
	l->used = used;
	if (old) {
		memcpy(l->entry, old->entry, count * sizeof *l->entry);
		memcpy(l->data, old->data, used);
	}
	return l;
}

EXPORT int
co__local_set(const struct co__local_key *key, const void *value)
{
	struct task *t = task_self();
	size_t need = round_up(key->size, 16);
	struct locals **at, *l;
	struct entry *e;

	if (!t)
		return -ENOMEM;
	at = &t->u.run.ext->locals;
	l = *at;
	if (!l || a_load_acquire(&l->refs) != 1 || (!find(l, key) &&
	    (l->count == l->room || l->used + need > l->size))) {
		l = copy_grown(l, need);
		if (!l)
			return -ENOMEM;
		locals_unref(*at);
		*at = l;
	}
	e = find(l, key);
	if (!e) {
		e = &l->entry[l->count++];
		e->key = key;
		e->at = l->used;
		l->used += need;
	}
	memcpy(l->data + e->at, value, key->size);
	return 0;
}

EXPORT void
co__local_get(const struct co__local_key *key, void *ret_value)
{
	struct self *s = self_get();
	struct locals *l = s->current ? s->current->u.run.ext->locals : NULL;
	struct entry *e = find(l, key);

	if (e)
		memcpy(ret_value, l->data + e->at, key->size);
	else
		memset(ret_value, 0, key->size);
}
