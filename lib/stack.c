/* SPDX-License-Identifier: MIT */
/*
 * stack.c - the pool: promises, warm stacks, the slow side of the caches.
 *
 * Layer 2.  Built on stack_arena.
 *
 * A class is all stacks of one size; the first one is the default's.  True for
 * each class whenever p->lock is free:
 *
 *	S1  out <= promised <= limit; PROMISES in stack.h says why that is
 *	    enough for stack_get never to fail
 *	S2  limit is the sum of `ready` of its arenas
 *	S3  out + warm is the sum of `out` of its arenas
 *	S4  an arena is on the free list if it has a cold or fresh stack
 *
 * `out` counts stacks that the pool has given away, be they used or cached.
 * `warm` ones count as neither out nor promised: they are the pool's own.
 *
 * Locks: p->lock, rank LOCK_STACK, for a few dozen instructions.  p->growing,
 * which sleeps, is held around the system calls that make room; it is taken
 * first.  Memory is given back with no lock held: the stacks are still `out`
 * then, and nobody else knows them.
 */
#include "stack.h"
#include "os.h"
#include "stack_arena.h"

#include <stdlib.h>

enum {
	CACHE_MAX = 64,		/* count + credit of a cache; a guess */
	CACHE_KEEP = 32,	/* stacks left when it gives some away */
	CREDIT_BATCH = 16,	/* promises fetched at once, and kept */
	ARENA_FIRST = 16,	/* stacks: 4 MiB, for small RLIMIT_AS */
	ARENA_MOST = 4096,	/* stacks: 1 GiB */
	WARM_LEAST = 256,
	WARM_MOST = 4096,
	WARM_SHARE = 32		/* of the most that were ever out: 3 % */
};

struct stack_class {
	size_t size;			/* [const] */
	struct stack_arena *arenas;	/* [p->lock] all */
	struct stack_arena *free;	/* [p->lock] S4, oldest first */
	struct stack *warm;		/* [p->lock] hottest first */
	uint32_t warm_count;		/* [p->lock] */
	uint64_t promised, limit;	/* [p->lock] */
	uint64_t out, out_most;		/* [p->lock] */
	struct stack_class *next;	/* [p->lock] */
};

struct stack_pool {
	struct lock lock;
	bool allow_unguarded;		/* [const] */
	bool tight;			/* [lock] the system refused something */
	enum guard_mode mode;		/* [atomic] */
	uint64_t ages;			/* [growing] */
	struct stack_cache *caches;	/* [lock] */
	struct os_mutex growing;
	struct stack_class class;	/* of the default size */
};

static inline void
pool_lock(struct stack_pool *p)
{
	lock_take(&p->lock, LOCK_STACK);
}

static inline void
pool_unlock(struct stack_pool *p)
{
	lock_drop(&p->lock, LOCK_STACK);
}

/* --- classes and arenas, p->lock held ------------------------------------ */

/* NULL: there has never been a stack of that size. */
static struct stack_class *
class_find(struct stack_pool *p, size_t size)
{
	struct stack_class *k = &p->class;

	while (k && k->size != size)
		k = k->next;
	return k;
}

static void
free_list_add(struct stack_class *k, struct stack_arena *a)
{
	struct stack_arena **at = &k->free;

	if (a->free_listed)
		return;
	while (*at && (*at)->age < a->age)
		at = &(*at)->free_next;
	a->free_next = *at;
	a->free_back = at;
	if (*at)
		(*at)->free_back = &a->free_next;
	*at = a;
	a->free_listed = true;
}

static void
free_list_remove(struct stack_arena *a)
{
	if (!a->free_listed)
		return;
	*a->free_back = a->free_next;
	if (a->free_next)
		a->free_next->free_back = a->free_back;
	a->free_listed = false;
}

static void
arena_link(struct stack_class *k, struct stack_arena *a)
{
	a->next = k->arenas;
	a->back = &k->arenas;
	if (a->next)
		a->next->back = &a->next;
	k->arenas = a;
	k->limit += a->ready;
	if (a->ready)
		free_list_add(k, a);
}

static void
arena_unlink(struct stack_class *k, struct stack_arena *a)
{
	*a->back = a->next;
	if (a->next)
		a->next->back = a->back;
	k->limit -= a->ready;
	free_list_remove(a);
}

/* Takes a cold stack, else a fresh one; its struct is not made yet. */
static struct stack_arena *
arena_take(struct stack_class *k, uint32_t *ret_index)
{
	struct stack_arena *a = k->free;

	bug_if(!a);		/* more were got than reserved */
	if (a->cold_head) {
		*ret_index = a->cold_head - 1;
		a->cold_head = a->link[*ret_index];
	} else {
		*ret_index = a->fresh++;
	}
	a->out++;
	if (!a->cold_head && a->fresh == a->ready)
		free_list_remove(a);
	return a;
}

static void
arena_give(struct stack_class *k, struct stack_arena *a, uint32_t index)
{
	a->link[index] = a->cold_head;
	a->cold_head = index + 1;
	a->out--;
	free_list_add(k, a);
}

/*
 * Empty arenas go back whole: only so do their page tables, an eighth of what
 * a stack of one page costs.  Enough stays to do without a system call when
 * spawning goes on; next_arena() makes the next ones larger again.
 */
static struct stack_arena *
class_shed(struct stack_class *k, struct stack_arena *a)
{
	if (a->out != 0 || a->ready < a->shape.count ||
	    k->limit - a->ready < k->promised + ARENA_FIRST)
		return NULL;
	arena_unlink(k, a);
	return a;
}

static uint32_t
warm_max(const struct stack_class *k)
{
	uint64_t max = k->out_most / WARM_SHARE;

	if (max < WARM_LEAST)
		return WARM_LEAST;
	return max > WARM_MOST ? WARM_MOST : (uint32_t)max;
}

/* --- caches, p->lock held ------------------------------------------------ */

static void
cache_list(struct stack_cache *c)
{
	struct stack_pool *p = c->pool;

	if (c->listed)
		return;
	c->link = p->caches;
	c->back = &p->caches;
	if (c->link)
		c->link->back = &c->link;
	p->caches = c;
	c->listed = true;
	a_store_relaxed(&c->max, p->tight ? 0 : CACHE_MAX);
}

static void
cache_unlist(struct stack_cache *c)
{
	if (!c->listed)
		return;
	*c->back = c->link;
	if (c->link)
		c->link->back = c->back;
	c->listed = false;
}

/*
 * While memory is short nothing stays in the caches that passes through them:
 * what one worker gives back another one can have.
 */
static void
pool_set_tight(struct stack_pool *p, bool tight)
{
	struct stack_cache *c;

	if (p->tight == tight)
		return;
	p->tight = tight;
	for (c = p->caches; c; c = c->link)
		a_store_relaxed(&c->max, tight ? 0 : CACHE_MAX);
}

/* --- making room --------------------------------------------------------- */

/* Each arena doubles its class, within bounds. */
static uint32_t
next_arena(const struct stack_class *k, uint64_t have)
{
	uint64_t first = ARENA_FIRST, most = ARENA_MOST;
	size_t whole = (size_t)1 << 30;

	if (most > whole / k->size)
		most = whole / k->size;		/* STACK_MAX: 1 */
	if (first > (whole >> 8) / k->size)
		first = (whole >> 8) / k->size;
	if (have < first)
		have = first;
	if (have > most)
		have = most;
	return have ? (uint32_t)have : 1;
}

/* p->growing held.  An arena with stacks that may not be promised yet. */
static struct stack_arena *
find_unready(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;

	pool_lock(p);
	for (a = k->arenas; a; a = a->next)
		if (a->ready < a->shape.count)
			break;
	pool_unlock(p);
	return a;
}

/* p->growing held; only its holder changes `ready`, and frees no arena that
   has unready stacks. */
static int
make_ready(struct stack_pool *p, struct stack_class *k, struct stack_arena *a)
{
	uint32_t n = a->shape.count - a->ready;
	int error = 0;

	if (a_load_relaxed(&p->mode) == GUARD_MPROTECT) {
		if (n > CREDIT_BATCH)
			n = CREDIT_BATCH;
		error = stack_arena_protect(a, a->ready, n);
		if (error && !p->allow_unguarded)
			return error;
		if (error)
			a_store_relaxed(&p->mode, GUARD_OFF);
	}
	pool_lock(p);
	a->ready += n;
	k->limit += n;
	free_list_add(k, a);
	pool_unlock(p);
	return 0;
}

/* p->growing held. */
static int
add_arena(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;
	enum guard_mode mode = a_load_relaxed(&p->mode);

	a = stack_arena_new(k->size, next_arena(k, k->limit), &mode);
	if (!a)
		return -ENOMEM;
	a->class = k;
	a->age = p->ages++;
	a_store_relaxed(&p->mode, mode);
	if (mode != GUARD_MPROTECT)
		a->ready = a->shape.count;
	pool_lock(p);
	arena_link(k, a);
	pool_unlock(p);
	return mode == GUARD_MPROTECT ? make_ready(p, k, a) : 0;
}

/* Returns 0 when there is something to promise, perhaps by someone else. */
static cold int
class_grow(struct stack_pool *p, struct stack_class *k)
{
	struct stack_arena *a;
	int error = 0;
	bool enough;

	os_mutex_lock(&p->growing);
	pool_lock(p);
	enough = k->promised < k->limit;
	pool_unlock(p);
	if (!enough) {
		a = find_unready(p, k);
		error = a ? make_ready(p, k, a) : add_arena(p, k);
		pool_lock(p);
		pool_set_tight(p, error != 0);
		pool_unlock(p);
	}
	os_mutex_unlock(&p->growing);
	return error;
}

/* Promises 1 to most stacks; returns how many, or -ENOMEM. */
static int
class_promise(struct stack_pool *p, struct stack_class *k, uint32_t most)
{
	uint64_t n;
	int error;

	for (;;) {
		pool_lock(p);
		n = k->limit - k->promised;
		if (n > 0)
			break;
		pool_unlock(p);
		error = class_grow(p, k);
		if (error)
			return error;
	}
	if (p->tight)
		n = 1;
	if (n > most)
		n = most;
	k->promised += n;
	pool_unlock(p);
	return (int)n;
}

/* NULL: no memory. */
static struct stack_class *
class_of(struct stack_pool *p, size_t size)
{
	struct stack_class *k, *new;

	pool_lock(p);
	k = class_find(p, size);
	pool_unlock(p);
	if (k)
		return k;
	new = chaos_fail() ? NULL : calloc(1, sizeof *new);
	if (!new)
		return NULL;
	new->size = size;
	pool_lock(p);
	k = class_find(p, size);
	if (!k) {
		new->next = p->class.next;
		p->class.next = new;
		k = new;
		new = NULL;
	}
	pool_unlock(p);
	free(new);
	return k;
}

/* --- taking stacks back -------------------------------------------------- */

/* No lock held. */
static void
shed_free(struct stack_pool *p, struct stack_class *k, struct stack_arena *list)
{
	struct stack_arena *a;
	bool freed;

	while ((a = list) != NULL) {
		list = a->next;
		freed = stack_arena_free(a);
		pool_lock(p);
		if (!freed)
			arena_link(k, a);
		else if (a_load_relaxed(&p->mode) == GUARD_OFF)
			a_store_relaxed(&p->mode, GUARD_MPROTECT);
		pool_unlock(p);
	}
}

/* n stacks of the caller's come back; p->lock held, and kept. */
static void
class_back(struct stack_pool *p, struct stack_class *k, uint32_t n,
    uint32_t credits)
{
	k->promised -= n + credits;
	k->out -= n;
	if (p->tight && k->promised < k->limit / 2)
		pool_set_tight(p, false);
}

static void
put_warm(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		stack_arena_tidy(list[i]);
	pool_lock(p);
	for (i = 0; i < n; i++) {
		list[i]->next = k->warm;
		k->warm = list[i];
	}
	k->warm_count += n;
	class_back(p, k, n, credits);
	pool_unlock(p);
}

static void
put_cold(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	struct stack_place at[CACHE_MAX + 1];
	struct stack_arena *a, *shed = NULL;
	uint32_t i;

	for (i = 0; i < n; i++)
		at[i] = (struct stack_place){ list[i]->arena, list[i]->index };
	stack_arena_cool(at, n);
	pool_lock(p);
	class_back(p, k, n, credits);
	for (i = 0; i < n; i++) {
		arena_give(k, at[i].arena, at[i].index);
		a = class_shed(k, at[i].arena);
		if (a) {
			a->next = shed;
			shed = a;
		}
	}
	pool_unlock(p);
	shed_free(p, k, shed);
}

/*
 * n stacks and the promises that cover them, and `credits` more, come back.
 * They stay warm if there is room, without what they hold far down; otherwise
 * they give their memory back.
 */
static void
class_put(struct stack_pool *p, struct stack_class *k, struct stack **list,
    uint32_t n, uint32_t credits)
{
	bool warm;

	pool_lock(p);
	warm = !p->tight && k->warm_count + n <= warm_max(k);
	pool_unlock(p);
	if (warm)
		put_warm(p, k, list, n, credits);
	else
		put_cold(p, k, list, n, credits);
}

/* Takes the coldest out of a cache that is to keep the first `keep`. */
static uint32_t
cache_cut(struct stack_cache *c, uint32_t keep, struct stack **ret_list)
{
	struct stack **at = &c->top, *s;
	uint32_t i, n = 0;

	for (i = 0; i < keep && *at; i++)
		at = &(*at)->next;
	for (s = *at; s; s = s->next)
		ret_list[n++] = s;
	*at = NULL;
	stack_cache_add(c->count, -n);
	return n;
}

static void
cache_give(struct stack_cache *c, uint32_t keep, uint32_t keep_credit)
{
	struct stack *list[CACHE_MAX + 1];
	uint32_t n = cache_cut(c, keep, list), credits = 0;

	if (c->credit > keep_credit) {
		credits = c->credit - keep_credit;
		stack_cache_add(c->credit, -credits);
	}
	if (n + credits)
		class_put(c->pool, &c->pool->class, list, n, credits);
}

/* --- the interface ------------------------------------------------------- */

struct stack_pool *
stack_pool_new(size_t default_size, bool allow_unguarded)
{
	struct stack_pool *p = chaos_fail() ? NULL : calloc(1, sizeof *p);

	if (!p)
		return NULL;
	p->class.size = stack_size_round(default_size);
	p->allow_unguarded = allow_unguarded;
	p->mode = stack_guard_mode();
	return p;
}

static void
class_free(struct stack_class *k)
{
	struct stack_arena *a;

	while ((a = k->arenas) != NULL) {
		k->arenas = a->next;
		/* Refused: a part of it was locked or its map cannot be cut.
		   What is left are addresses. */
		(void)stack_arena_free(a);
	}
}

void
stack_pool_free(struct stack_pool *p)
{
	struct stack_class *k;

	if (!p)
		return;
	bug_if(p->caches);
	while ((k = p->class.next) != NULL) {
		p->class.next = k->next;
		class_free(k);
		free(k);
	}
	class_free(&p->class);
	free(p);
}

void
stack_cache_init(struct stack_cache *c, struct stack_pool *p)
{
	memset(c, 0, sizeof *c);
	c->max = CACHE_MAX;
	c->size = p->class.size;
	c->pool = p;
}

void
stack_cache_flush(struct stack_cache *c)
{
	cache_give(c, 0, 0);
	pool_lock(c->pool);
	cache_unlist(c);
	pool_unlock(c->pool);
}

void
stack_cache_trim(struct stack_cache *c)
{
	struct stack *s;

	for (s = c->top; s; s = s->next)
		stack_arena_tidy(s);
}

/* 0: out of bounds. */
static size_t
size_of(const struct stack_pool *p, size_t size)
{
	if (size == 0)
		return p->class.size;
	if (size < STACK_MIN || size > STACK_MAX)
		return 0;
	return stack_size_round(size);
}

int
stack_reserve(struct stack_pool *p, size_t size)
{
	struct stack_class *k;
	int n;

	size = size_of(p, size);
	if (size == 0)
		return -EINVAL;
	k = class_of(p, size);
	if (!k)
		return -ENOMEM;
	n = class_promise(p, k, 1);
	return n < 0 ? n : 0;
}

void
stack_unreserve(struct stack_pool *p, size_t size)
{
	struct stack_class *k;

	size = size_of(p, size);
	pool_lock(p);
	k = class_find(p, size);
	bug_if(!k || k->promised == 0);
	k->promised--;
	pool_unlock(p);
}

int
co__stack_reserve_slow(struct stack_cache *c, size_t size)
{
	struct stack_pool *p = c->pool;
	int n;

	if (size_of(p, size) != c->size)
		return stack_reserve(p, size);
	if (c->credit == 0) {
		n = class_promise(p, &p->class, CREDIT_BATCH);
		if (n < 0)
			return n;
		stack_cache_add(c->credit, n);
		pool_lock(p);
		cache_list(c);
		pool_unlock(p);
	}
	stack_cache_add(c->credit, -1);
	return 0;
}

/*
 * p->lock held.  Moves warm stacks into a cache that has run out, as long as
 * its credit covers them.
 */
static void
cache_fill(struct stack_cache *c, struct stack_class *k)
{
	struct stack *s;
	uint32_t n;

	for (n = 0; n < CREDIT_BATCH && c->credit && k->warm; n++) {
		s = k->warm;
		k->warm = s->next;
		k->warm_count--;
		k->out++;
		s->next = c->top;
		c->top = s;
		stack_cache_add(c->count, 1);
		stack_cache_add(c->credit, -1);
	}
}

/* p->lock held. */
static void
class_count_out(struct stack_class *k)
{
	k->out++;
	if (k->out > k->out_most)
		k->out_most = k->out;
}

struct stack *
co__stack_get_slow(struct stack_cache *c, size_t size)
{
	struct stack_pool *p = c->pool;
	struct stack_class *k;
	struct stack_arena *a = NULL;
	struct stack *s;
	uint32_t i = 0;

	size = size_of(p, size);
	if (size == c->size && c->top)
		return stack_get(c, 0);
	pool_lock(p);
	k = class_find(p, size);
	bug_if(!k);
	s = k->warm;
	if (s) {
		k->warm = s->next;
		k->warm_count--;
		if (k == &p->class)
			cache_fill(c, k);
	} else {
		a = arena_take(k, &i);
	}
	class_count_out(k);
	pool_unlock(p);
	return s ? s : stack_arena_make(a, i, &p->mode);
}

void
co__stack_put_slow(struct stack_cache *c, struct stack *s)
{
	struct stack_pool *p = c->pool;

	if (s->size != c->size) {
		class_put(p, s->arena->class, &s, 1, 0);
		return;
	}
	s->next = c->top;
	c->top = s;
	stack_cache_add(c->count, 1);
	if (a_load_relaxed(&c->max) == 0)
		cache_give(c, 0, 0);
	else
		cache_give(c, CACHE_KEEP, CREDIT_BATCH);
	pool_lock(p);
	cache_list(c);
	pool_unlock(p);
}

static void
class_stats(struct stack_pool *p, const struct stack_class *k,
    struct stack_stats *ret)
{
	const struct stack_arena *a;

	for (a = k->arenas; a; a = a->next) {
		ret->mapped += a->shape.count;
		ret->unguarded += a_load_relaxed(&a->waived);
		ret->maps += 1 + 2 * (uint64_t)a_load_relaxed(&a->protected);
	}
	ret->reserved += k->promised;
	ret->in_use += k->out;
	(void)p;
}

/* What lies in the caches of running workers may be a moment old. */
void
stack_stats_get(struct stack_pool *p, struct stack_stats *ret)
{
	struct stack_stats st = { 0 };
	const struct stack_class *k;
	const struct stack_cache *c;
	uint64_t count, credit;

	pool_lock(p);
	for (k = &p->class; k; k = k->next)
		class_stats(p, k, &st);
	for (c = p->caches; c; c = c->link) {
		count = a_load_relaxed(&c->count);
		credit = a_load_relaxed(&c->credit);
		st.in_use -= count < st.in_use ? count : st.in_use;
		count += credit;
		st.reserved -= count < st.reserved ? count : st.reserved;
	}
	pool_unlock(p);
	*ret = st;
}
