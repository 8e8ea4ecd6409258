/* SPDX-License-Identifier: MIT */
/*
 * stack.c - the pool, and the slow side of the caches.
 *
 * Layer 2.  Built on stack_class, stack_arena; invariants: stack_pool.h.
 */
#include "stack.h"
#include "stack_pool.h"

#include <stdlib.h>

/* --- caches, p->lock held ------------------------------------------------- */

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
	a_store_relaxed(&c->max, 0);
}

/*
 * While memory is short nothing stays in the caches that passes through them:
 * what one worker gives back another one can have.
 */
void
stack_pool_tight(struct stack_pool *p, bool tight)
{
	struct stack_cache *c;

	p->tight_puts = 0;
	if (p->tight == tight)
		return;
	p->tight = tight;
	for (c = p->caches; c; c = c->link)
		a_store_relaxed(&c->max, tight ? 0 : CACHE_MAX);
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
		stack_class_put(c->pool, &c->pool->class, list, n, credits);
}

/* --- the interface -------------------------------------------------------- */

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

void
stack_pool_free(struct stack_pool *p)
{
	struct stack_class *k;

	if (!p)
		return;
	bug_if(p->caches);
	while ((k = p->class.next) != NULL) {
		p->class.next = k->next;
		stack_class_unmap(k);
		free(k);
	}
	stack_class_unmap(&p->class);
	free(p);
}

void
stack_cache_init(struct stack_cache *c, struct stack_pool *p)
{
	memset(c, 0, sizeof *c);	/* max too, until it is listed */
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
co__stack_cache_share(struct stack_cache *c)
{
	cache_give(c, 0, 0);
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
	k = stack_class_of(p, size);
	if (!k)
		return -ENOMEM;
	n = stack_class_promise(p, k, 1);
	return n < 0 ? n : 0;
}

void
stack_unreserve(struct stack_pool *p, size_t size)
{
	struct stack_class *k;

	size = size_of(p, size);
	pool_lock(p);
	k = stack_class_find(p, size);
	bug_if(!k || k->promised == 0);
	k->promised--;
	pool_unlock(p);
}

static int
cache_reserve(struct stack_cache *c, size_t size)
{
	struct stack_pool *p = c->pool;
	int n;

	if (size_of(p, size) != c->size)
		return stack_reserve(p, size);
	if (c->credit == 0) {
		n = stack_class_promise(p, &p->class, CREDIT_BATCH);
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

/* What lies in the caller's cache may keep the room that is lacking; others
   share theirs (stack_cache_share) a little later. */
int
co__stack_reserve_slow(struct stack_cache *c, size_t size)
{
	int code = cache_reserve(c, size);

	if (code != -ENOMEM || c->count + c->credit == 0)
		return code;
	co__stack_cache_share(c);
	return cache_reserve(c, size);
}

void
stack_reclaim(struct stack_cache *c)
{
	struct stack_pool *p = c->pool;

	co__stack_cache_share(c);
	os_mutex_lock(&p->growing);
	stack_pool_reclaim(p);
	pool_lock(p);
	stack_pool_tight(p, true);
	pool_unlock(p);
	os_mutex_unlock(&p->growing);
}

/* The cache is full: many go back at once. */
void
co__stack_unreserve_slow(struct stack_cache *c, size_t size)
{
	struct stack_pool *p = c->pool;
	uint32_t more;

	if (size != 0 || c->credit <= CREDIT_BATCH) {
		stack_unreserve(p, size);
		return;
	}
	more = c->credit - CREDIT_BATCH;
	stack_cache_add(c->credit, -more);
	stack_class_put(p, &p->class, NULL, 0, more + 1);
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

	for (n = 0; n < CREDIT_BATCH && c->credit; n++) {
		s = stack_class_warm(k);
		if (!s)
			return;
		s->next = c->top;
		c->top = s;
		stack_cache_add(c->count, 1);
		stack_cache_add(c->credit, -1);
	}
}

struct stack *
co__stack_get_slow(struct stack_cache *c, size_t size)
{
	struct stack_pool *p = c->pool;
	struct stack_class *k;
	struct stack_place at = { 0 };
	struct stack *s;

	size = size_of(p, size);
	if (size == c->size && c->top)
		return stack_get(c, 0);
	pool_lock(p);
	k = stack_class_find(p, size);
	bug_if(!k);
	s = stack_class_warm(k);
	if (!s)
		at = stack_class_cold(k);
	else if (k == &p->class)
		cache_fill(c, k);
	pool_unlock(p);
	return s ? s : stack_arena_make(at.arena, at.index, &p->mode);
}

void
co__stack_put_slow(struct stack_cache *c, struct stack *s)
{
	struct stack_pool *p = c->pool;

	if (s->size != c->size) {
		s->owner = NULL;
		stack_class_put(p, s->arena->class, &s, 1, 0);
		return;
	}
	stack_put_one(c, s);
	pool_lock(p);
	cache_list(c);
	pool_unlock(p);
	if (a_load_relaxed(&c->max) == 0)
		cache_give(c, 0, 0);
	else
		cache_give(c, CACHE_KEEP, CREDIT_BATCH);
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
		stack_class_stats(k, &st);
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
