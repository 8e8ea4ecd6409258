/* SPDX-License-Identifier: MIT */
/*
 * explore_memory.c - store buffers, and what each thread sees.
 *
 * The objects themselves always hold what the thread that runs sees: memory,
 * and over it what is in its own buffer.  So real code may look at them as it
 * likes.  `view` is what they held when this was last looked after; where they
 * differ from it, the code has stored without an operation.
 */
#include "explore_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REGIONS = 24, BUFFER = 128 };

struct region {
	char *p;
	unsigned at, size;	/* in `view` and `memory` */
	bool quiet, forbidden;
};

struct store {
	unsigned at, size;	/* at most 8 bytes; 0: overtaken */
	unsigned char value[8];
};

struct buffer {
	struct store store[BUFFER];	/* from `first` on: the oldest */
	unsigned first, n;
};

static struct region regions[REGIONS];
static unsigned nregions, used;
static unsigned char memory[MEMORY], view[MEMORY];
static struct buffer buffers[EXPLORE_THREADS];
static uint8_t readers[MEMORY], writers[MEMORY];	/* bit t: thread t */
static bool learned;

static struct store *
nth(struct buffer *b, unsigned i)
{
	return &b->store[(b->first + i) % BUFFER];
}

static bool
meets(const struct store *s, unsigned at, size_t size)
{
	return s->size && s->at < at + size && at < s->at + s->size;
}

void
memory_reset(void)
{
	int t;

	nregions = used = 0;
	for (t = 0; t < EXPLORE_THREADS; t++)
		buffers[t].n = 0;
}

static struct region *
share(const void *p, size_t size)
{
	struct region *r = &regions[nregions];

	if (nregions == REGIONS || used + size + 8 > MEMORY) {
		fputs("explore: a model shares too much\n", stderr);
		abort();
	}
	nregions++;
	*r = (struct region){ .p = (char *)(uintptr_t)p, .at = used,
		.size = (unsigned)size };
	used += (unsigned)(size + 7) & ~7u;
	return r;
}

void
explore_share(void *p, size_t size)
{
	share(p, size);
}

void
explore_share_quietly(void *p, size_t size)
{
	share(p, size)->quiet = true;
}

void
explore_forbid(const void *p, size_t size)
{
	share(p, size)->forbidden = true;
}

void
memory_begin(void)
{
	unsigned i;

	for (i = 0; i < nregions; i++) {
		memcpy(view + regions[i].at, regions[i].p, regions[i].size);
		memcpy(memory + regions[i].at, regions[i].p, regions[i].size);
	}
}

static struct region *
region_of(unsigned at)
{
	unsigned i;

	for (i = 0; i < nregions; i++)
		if (at >= regions[i].at && at < regions[i].at + regions[i].size)
			return &regions[i];
	return NULL;
}

unsigned
memory_find(const struct explore_site *at, const void *p, size_t size)
{
	const char *q = p;
	unsigned i;

	for (i = 0; i < nregions; i++) {
		struct region *r = &regions[i];

		if (q < r->p || q + size > r->p + r->size)
			continue;
		if (r->forbidden)
			explore_violation("an operation on what is gone",
			    at->file, at->line);
		return r->at + (unsigned)(q - r->p);
	}
	fprintf(stderr, "explore: %s of %s (%s:%d) is not shared\n", at->what,
	    at->func, at->file, at->line);
	abort();
}

uint64_t
memory_value(unsigned at, size_t size)
{
	struct region *r = region_of(at);
	unsigned char b[8] = { 0 };
	uint64_t value = 0;
	size_t i;

	memcpy(b, r->p + (at - r->at), size < 8 ? size : 8);
	for (i = 8; i-- > 0;)
		value = value << 8 | b[i];
	return value;
}

/* --- what is touched by whom ---------------------------------------------- */

static void
learn(uint8_t *who, int t, unsigned at, size_t size)
{
	size_t i;

	for (i = at; i < at + size; i++) {
		learned |= !(who[i] >> t & 1);
		who[i] |= (uint8_t)(1 << t);
	}
}

bool
memory_matters(int t, unsigned at, size_t size, bool writes)
{
	uint8_t others = 0;
	size_t i;

	learn(writes ? writers : readers, t, at, size);
	if (region_of(at)->quiet)
		return false;
	for (i = at; i < at + size; i++)
		others |= writes ? readers[i] | writers[i] : writers[i];
	return others & ~(1 << t);
}

void
memory_forget(void)
{
	memset(readers, 0, sizeof readers);
	memset(writers, 0, sizeof writers);
	learned = false;
}

bool
memory_learned(void)
{
	bool was = learned;

	learned = false;
	return was;
}

/* --- buffers -------------------------------------------------------------- */

/* The bytes there, as thread t sees them, to `view` and to the object. */
static void
show(int t, unsigned at, unsigned size)
{
	struct region *r = region_of(at);
	unsigned i, k;

	memcpy(view + at, memory + at, size);
	for (i = 0; i < buffers[t].n; i++) {
		struct store *s = nth(&buffers[t], i);

		for (k = 0; k < s->size; k++)
			if (s->at + k >= at && s->at + k < at + size)
				view[s->at + k] = s->value[k];
	}
	memcpy(r->p + (at - r->at), view + at, size);
}

/* Bytes there that t has stored itself and that are not in memory yet: if all,
   it sees its own. */
static bool
forwards(int t, unsigned at, size_t size)
{
	unsigned i;

	for (i = 0; i < buffers[t].n; i++) {
		struct store *s = nth(&buffers[t], i);

		if (s->at <= at && s->at + s->size >= at + size)
			return true;
	}
	return false;
}

/* Threads that are not in `but` and hold a store to there, and which of theirs
   it is. */
static int
holders(unsigned but, unsigned at, size_t size, int *ret_who,
    unsigned *ret_upto)
{
	unsigned i;
	int u, n = 0;

	for (u = 0; u < EXPLORE_THREADS; u++) {
		for (i = 0; !(but >> u & 1) && i < buffers[u].n; i++) {
			if (meets(nth(&buffers[u], i), at, size)) {
				ret_upto[n] = i;
				ret_who[n++] = u;
				break;
			}
		}
	}
	return n;
}

/*
 * The oldest store of t comes to memory.  Where another thread holds a store to
 * the same place, that may come first; `busy`: t, and those who are
 * about to.
 */
static void
commit(int t, int who, unsigned busy)
{
	struct store *s = nth(&buffers[t], 0);

	for (;;) {
		int other[EXPLORE_THREADS], n, u;
		unsigned upto[EXPLORE_THREADS], i;

		n = holders(busy, s->at, s->size, other, upto);
		if (n == 0 || (u = choose(n + 1) - 1) < 0)
			break;
		for (i = 0; i <= upto[u]; i++)
			commit(other[u], who, busy | 1u << other[u]);
	}
	memcpy(memory + s->at, s->value, s->size);
	buffers[t].first = (buffers[t].first + 1) % BUFFER;
	buffers[t].n--;
	came(t, s->at, s->size);
	if (who != NOBODY && who != t && s->size)
		show(who, s->at, s->size);
}

static void
push(int t, unsigned at, unsigned size, const unsigned char *value)
{
	struct buffer *b = &buffers[t];
	struct store *s;

	if (b->n == BUFFER)
		commit(t, t, 1u << t);
	s = nth(b, b->n++);
	s->at = at;
	s->size = size;
	memcpy(s->value, value, size);
	memcpy(view + at, value, size);
}

/* Runs of bytes that differ, within words. */
static void
sync_word(int t, unsigned at, const unsigned char *now, unsigned size)
{
	unsigned from = 0, to;

	while (from < size) {
		if (now[from] == view[at + from]) {
			from++;
			continue;
		}
		for (to = from; to < size && now[to] != view[at + to]; to++)
			;
		learn(writers, t, at + from, to - from);
		push(t, at + from, to - from, now + from);
		from = to;
	}
}

void
memory_sync(int t)
{
	unsigned i, k, n;

	for (i = 0; i < nregions; i++) {
		struct region *r = &regions[i];

		if (memcmp(r->p, view + r->at, r->size) == 0)
			continue;
		for (k = 0; k < r->size; k += 8) {
			n = r->size - k < 8 ? r->size - k : 8;
			if (memcmp(r->p + k, view + r->at + k, n) != 0)
				sync_word(t, r->at + k,
				    (unsigned char *)r->p + k, n);
		}
	}
}

void
memory_show(int t)
{
	unsigned i, k;

	memcpy(view, memory, used);
	for (i = 0; t != NOBODY && i < buffers[t].n; i++) {
		struct store *s = nth(&buffers[t], i);

		for (k = 0; k < s->size; k++)
			view[s->at + k] = s->value[k];
	}
	for (i = 0; i < nregions; i++)
		memcpy(regions[i].p, view + regions[i].at, regions[i].size);
}

static const unsigned char *
object(unsigned at)
{
	struct region *r = region_of(at);

	return (unsigned char *)r->p + (at - r->at);
}

void
memory_stored(int t, unsigned at, size_t size)
{
	push(t, at, (unsigned)size, object(at));
}

/* Those to the same place are overwritten: they never come to memory. */
void
memory_overtakes(int t, unsigned at, size_t size)
{
	unsigned i;

	for (i = 0; i < buffers[t].n; i++) {
		struct store *s = nth(&buffers[t], i);

		if (s->at >= at && s->at + s->size <= at + size)
			s->size = 0;
	}
	memory_changed(t, at, size);
}

void
memory_changed(int t, unsigned at, size_t size)
{
	memcpy(view + at, object(at), size);
	memcpy(memory + at, object(at), size);
	came(t, at, size);
}

bool
memory_awaits(int t, unsigned at, size_t size)
{
	int other[EXPLORE_THREADS];
	unsigned upto[EXPLORE_THREADS];

	return !forwards(t, at, size) &&
	    holders(1u << t, at, size, other, upto) > 0;
}

void
memory_look(int t, unsigned at, size_t size, bool must)
{
	int other[EXPLORE_THREADS], n, u;
	unsigned upto[EXPLORE_THREADS], i;

	while (!forwards(t, at, size)) {
		n = holders(1u << t, at, size, other, upto);
		if (n == 0)
			return;
		u = must ? choose(n) : choose(n + 1) - 1;
		if (u < 0)
			return;
		must = false;
		for (i = 0; i <= upto[u]; i++)
			commit(other[u], t, 1u << other[u]);
	}
}

void
memory_drain(int t, int who)
{
	while (buffers[t].n)
		commit(t, who, 1u << t);
}

bool
memory_pending(int t)
{
	return buffers[t].n != 0;
}
